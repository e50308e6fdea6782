package certs

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
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

// CRL makes a full certificate revocation list (RFC 5280 §5) in DER: with
// number, thisUpdate, nextUpdate and the authority key identifier. It is
// linted as a twin that a throw-away key signed, then signed by the issuer,
// compared with the twin and verified. Findings come as a *LintError.
func CRL(issuer Issuer, number *big.Int, revoked []Revoked, thisUpdate, nextUpdate time.Time) ([]byte, error) {
	if issuer.Cert == nil || !SameKey(issuer.Signer.Public(), issuer.Cert.PublicKey) {
		return nil, errors.New("CRL: the key is not the issuer's")
	}
	alg, err := signingAlgorithm(issuer.Cert.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("CRL: %w", err)
	}
	template := &x509.RevocationList{
		SignatureAlgorithm: alg.sig, Number: number,
		ThisUpdate: thisUpdate.UTC().Truncate(time.Second), NextUpdate: nextUpdate.UTC().Truncate(time.Second),
	}
	for _, r := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: r.Serial, RevocationTime: r.At.UTC().Truncate(time.Second), ReasonCode: r.Reason,
		})
	}
	worthless, err := throwAway(alg)
	if err != nil {
		return nil, err
	}
	twin, err := x509.CreateRevocationList(rand.Reader, template, issuer.Cert, worthless)
	if err != nil {
		return nil, fmt.Errorf("build CRL: %w", err)
	}
	if found := LintCRL(twin); len(found) > 0 {
		return nil, &LintError{found}
	}
	return signCRL(issuer, alg, twin)
}

// signCRL has the very bytes signed that were linted.
//
//	CertificateList ::= SEQUENCE { tbsCertList, signatureAlgorithm
//	  AlgorithmIdentifier, signatureValue BIT STRING }        (RFC 5280 §5.1)
func signCRL(issuer Issuer, alg algorithm, twin []byte) ([]byte, error) {
	linted, err := x509.ParseRevocationList(twin)
	if err != nil {
		return nil, fmt.Errorf("read the linted CRL: %w", err)
	}
	signature, err := signDigest(issuer.Signer, alg, linted.RawTBSRevocationList)
	if err != nil {
		return nil, err
	}
	der, err := assemble(linted.RawTBSRevocationList, alg, signature)
	if err != nil {
		return nil, err
	}
	signed, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("read the signed CRL: %w", err)
	}
	if err := sameBytes(signed.RawTBSRevocationList, linted.RawTBSRevocationList); err != nil {
		return nil, err
	}
	if err := signed.CheckSignatureFrom(issuer.Cert); err != nil {
		return nil, fmt.Errorf("the CRL's new signature does not verify: %w", err)
	}
	return der, nil
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
