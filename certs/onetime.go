package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
)

// IsOneTime tells whether a certificate has the two extensions of profile
// OneTime: its issuer vouches for its whole, short validity (EN 319 412-1 §5.2)
// and publishes no status of it (noRevAvail, RFC 9608).
func IsOneTime(cert *x509.Certificate) bool {
	has := func(oid asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oid) })
	}
	return has(oidExtValidityAssured) && has(oidExtNoRevAvail)
}
