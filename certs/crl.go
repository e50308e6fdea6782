package certs

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"time"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
)

// Revoked is one entry of a CRL: the certificate's serial number, when it was
// revoked, and the reason code of RFC 5280 §5.3.1 (0: none is written).
type Revoked struct {
	Serial *big.Int
	At     time.Time
	Reason int
}

// reasons are the codes we use (RFC 5280 §5.3.1): no hold and no removal,
// because a revocation is for ever (Regulation 910/2014 Art 28(4)), and none
// that speaks of attribute authorities.
var reasons = []int{0, 1, 2, 3, 4, 5, 9}

func reasonAllowed(code int) bool { return slices.Contains(reasons, code) }

// CRLSpec says what a CRL is to contain. Times are cut to seconds.
type CRLSpec struct {
	Issuer                 Issuer
	Number                 *big.Int // positive, at most 20 octets, never used before
	ThisUpdate, NextUpdate time.Time
	// ExpiredCerts: revoked certificates that have expired since then are still
	// listed (expiredCertsOnCRL, EN 319 411-2 CSS-6.3.10-04). Zero: not said.
	ExpiredCerts time.Time
	// Shard is the address of the distribution point that this list is for; it
	// then lists the certificates that name this address and no others. "": the
	// list is for all.
	Shard string
	// Last: no list will follow; nextUpdate is 99991231235959Z (EN 319 411-1
	// CSS-6.3.9-06) and NextUpdate is not looked at.
	Last bool
	// Entries gives the revoked certificates, in any order, each once; it stops
	// and returns what yield returned. It is called once.
	Entries func(yield func(Revoked) error) error
}

// CRL makes a full certificate revocation list in DER, for lists that fit into
// memory. Findings come as a *LintError.
func CRL(issuer Issuer, number *big.Int, revoked []Revoked, thisUpdate, nextUpdate time.Time) ([]byte, error) {
	var out bytes.Buffer
	err := WriteCRL(&out, CRLSpec{Issuer: issuer, Number: number, ThisUpdate: thisUpdate, NextUpdate: nextUpdate, Entries: Listed(revoked)})
	if err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Listed gives the entries of a slice, for CRLSpec.
func Listed(revoked []Revoked) func(yield func(Revoked) error) error {
	return func(yield func(Revoked) error) error {
		for _, r := range revoked {
			if err := yield(r); err != nil {
				return err
			}
		}
		return nil
	}
}

// crlExtensions are those of our CRLs, and whether they are critical.
var crlExtensions = map[string]bool{
	oidExtAKI.String(): false, oidExtCRLNumber.String(): false, oidExtIssuingPoint.String(): true, oidExtExpiredCerts.String(): false,
}

// LintCRL judges a DER CRL by zlint (RFC 5280) and by our rules.
func LintCRL(der []byte) []Finding {
	var found []Finding
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return []Finding{{"unreadable", "RFC 5280 §5.1", err.Error()}}
	}
	if list.Number == nil || list.Number.Sign() <= 0 || len(list.Number.Bytes()) > 20 {
		found = append(found, Finding{"crl-number", "RFC 5280 §5.2.3", "missing, not positive or longer than 20 octets"})
	}
	if !list.ThisUpdate.Before(list.NextUpdate) {
		found = append(found, Finding{"crl-update", "RFC 5280 §5.1.2.5, EN 319 411-1 CSS-6.3.9-06", "nextUpdate is missing or not after thisUpdate"})
	}
	if len(list.AuthorityKeyId) == 0 {
		found = append(found, Finding{"crl-authority-key", "RFC 5280 §5.2.1", "the authority key identifier is missing"})
	}
	for _, e := range list.Extensions {
		if critical, known := crlExtensions[e.Id.String()]; !known || critical != e.Critical {
			found = append(found, Finding{"crl-extension", "RFC 5280 §5.2, X.509 §9.5.2.8", fmt.Sprintf("%v, critical %v, is not in the profile", e.Id, e.Critical)})
		}
	}
	for _, e := range list.RevokedCertificateEntries {
		if !reasonAllowed(e.ReasonCode) {
			found = append(found, Finding{"crl-reason", "RFC 5280 §5.3.1; Regulation 910/2014 Art 28(4)", fmt.Sprintf("an entry has the reason %d", e.ReasonCode)})
			break
		}
	}
	parsed, err := zx509.ParseRevocationList(der)
	if err != nil {
		return append(found, Finding{"unreadable", "zlint", "zcrypto cannot read it: " + err.Error()})
	}
	registry, err := lintRegistry()
	if err != nil {
		return append(found, Finding{"no-lint", "zlint", err.Error()})
	}
	return append(found, zlintFindings(zlint.LintRevocationListEx(parsed, registry), registry)...)
}
