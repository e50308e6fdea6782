package certs

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// Where a Status was read.
const (
	FromOCSP = "ocsp"
	FromCRL  = "crl"
)

// The reason codes that mean something to a reader (RFC 5280 §5.3.1). A
// certificate on hold may become good again; removeFromCRL belongs to delta
// lists, which are refused.
const (
	ReasonOnHold  = 6
	reasonRemoved = 8
)

// Status is what an issuer says of one certificate: the value is verified and
// the one who says it may. Whether it is fresh enough is for the caller, and so
// is what a revocation means for something that was signed before it. The zero
// value proves nothing (State StatusUnknown).
type Status struct {
	State     CertState
	RevokedAt time.Time // of StatusRevoked
	Reason    int       // of StatusRevoked: RFC 5280 §5.3.1; 0: none is given
	// ThisUpdate is when it was known to be so, NextUpdate until when it is meant
	// to be used (zero: not said), ProducedAt when it was signed (of a CRL: ThisUpdate).
	ThisUpdate, NextUpdate, ProducedAt time.Time
	// Kind is FromOCSP or FromCRL, DER the whole answer or list, as a product holds it.
	Kind string
	DER  []byte
	// Responder is the certificate of a delegated responder, nil: the issuer
	// itself said it. When NeedsStatus(Responder), the answer counts only with the
	// responder's own status.
	Responder *x509.Certificate
	// Algorithm signed it. It was accepted at ProducedAt; who looks at old data
	// asks CheckAlgorithm for the time from which it is proven to exist.
	Algorithm x509.SignatureAlgorithm
	// Covers is since when expired certificates are spoken of too (archive cut-off,
	// expiredCertsOnCRL); zero: not said.
	Covers time.Time
	// Nonce is that of an OCSP answer, nil: none.
	Nonce []byte
	// CertHash tells that the answer holds the certificate's digest (certHash of
	// Common PKI): the responder has seen it.
	CertHash bool
}

// StatusReason says why an answer or a list does not count; stable words.
type StatusReason string

// The reasons of a StatusError.
const (
	StatusMalformed  StatusReason = "malformed"   // not the structure, or longer than allowed
	StatusNoAnswer   StatusReason = "no_answer"   // the responder answered with one of the protocol's errors
	StatusAlgorithm  StatusReason = "algorithm"   // signed by an algorithm or key that is not accepted
	StatusSignature  StatusReason = "signature"   // the value does not verify
	StatusResponder  StatusReason = "responder"   // signed by somebody who may not
	StatusIssuer     StatusReason = "issuer"      // of another issuer
	StatusOther      StatusReason = "other"       // speaks of other certificates
	StatusScope      StatusReason = "scope"       // a list for other certificates of this issuer
	StatusPartial    StatusReason = "partial"     // delta or indirect, or for some reasons only
	StatusCritical   StatusReason = "critical"    // an unknown critical extension
	StatusTime       StatusReason = "time"        // its times contradict each other or a validity
	StatusNotCovered StatusReason = "not_covered" // from before the certificate, or silent about expired ones
)

// StatusError is why an answer or a list does not count. Detail holds nothing
// of what stands in certificates.
type StatusError struct {
	Kind   string
	Reason StatusReason
	Detail string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: %s (%s)", e.Kind, e.Detail, e.Reason)
}

func refused(kind string, reason StatusReason, detail string) error {
	return &StatusError{kind, reason, detail}
}

// NeedsStatus tells whether the status of a certificate must be known before it
// counts. It need not when the certificate is its own issuer, says that there is
// none (noRevAvail, RFC 9608; validity assured, EN 319 412-1 §5.2), or is of an
// OCSP responder whose issuer vouches for it (id-pkix-ocsp-nocheck, RFC 6960
// §4.2.2.2.1). The last counts for responders alone: in a signer's certificate
// it excuses nothing; nor does one of the others in a CA's, or noRevAvail beside
// an address where the status is told (RFC 9608 §3). Whether a certificate is a
// trust anchor the caller knows.
func NeedsStatus(cert *x509.Certificate) bool {
	has := func(oid asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oid) })
	}
	switch {
	case cert.IsCA:
	case has(oidExtNoRevAvail) && len(cert.OCSPServer) == 0 && !has(oidExtCRLDP), has(oidExtValidityAssured):
		return false
	case has(oidExtOCSPNoCheck) && slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return false
	}
	return !bytes.Equal(cert.RawSubject, cert.RawIssuer) || cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil
}

// clockSkew is by how much the times inside one answer may contradict each other.
const clockSkew = time.Minute

// OCSPStatus reads an OCSP answer about cert, issued by issuer, and verifies
// what EN 319 102-1 §5.2.6.2 and RFC 6960 §3.2 ask for: it is successful, speaks
// of this certificate by the issuer's name and key, once; it is signed, by an
// algorithm accepted when it was produced, by the issuer or by a responder that
// the issuer certified directly for OCSP, valid when it was produced; its times
// fit together; and it covers the certificate. "unknown" is a Status and no
// error. The error is a *StatusError.
func OCSPStatus(der []byte, cert, issuer *x509.Certificate) (Status, error) {
	r, err := ParseOCSPResponse(der)
	if err != nil {
		return Status{}, ocspRefusal(err)
	}
	one, ok := r.For(cert, issuer)
	if !ok {
		return Status{}, refused(FromOCSP, StatusOther, "it says nothing of this certificate, or two things")
	}
	if !IssuedBy(cert, issuer) {
		return Status{}, refused(FromOCSP, StatusIssuer, "the certificate is not of this issuer")
	}
	signer, err := r.verified(issuer, r.ProducedAt)
	if err != nil {
		return Status{}, err
	}
	s := Status{
		State: one.State, RevokedAt: one.RevokedAt, Reason: one.Reason,
		ThisUpdate: one.ThisUpdate, NextUpdate: one.NextUpdate, ProducedAt: r.ProducedAt,
		Kind: FromOCSP, DER: der, Algorithm: r.algorithm, Covers: one.ArchiveCutoff, Nonce: r.Nonce,
	}
	if !signer.Equal(issuer) {
		s.Responder = signer
	}
	if s.CertHash, err = one.speaksOf(cert); err != nil {
		return Status{}, err
	}
	return s, s.check(cert)
}

// ocspRefusal gives the word for an answer that cannot be read.
func ocspRefusal(err error) error {
	switch e := err.(type) {
	case *StatusError:
		return e
	case *OCSPError:
		return refused(FromOCSP, StatusNoAnswer, e.Error())
	}
	return refused(FromOCSP, StatusMalformed, err.Error())
}

// check looks at the times of a status: with each other and with the certificate's.
func (s Status) check(cert *x509.Certificate) error {
	switch {
	case !s.NextUpdate.IsZero() && s.NextUpdate.Before(s.ThisUpdate):
		return refused(s.Kind, StatusTime, "nextUpdate is before thisUpdate")
	case s.ThisUpdate.After(s.ProducedAt.Add(clockSkew)):
		return refused(s.Kind, StatusTime, "thisUpdate is after its production")
	case !s.NextUpdate.IsZero() && s.ProducedAt.After(s.NextUpdate.Add(clockSkew)):
		return refused(s.Kind, StatusTime, "it was produced after nextUpdate")
	}
	if s.State != StatusGood {
		return nil
	}
	if s.ThisUpdate.Before(cert.NotBefore) {
		return refused(s.Kind, StatusNotCovered, "it is from before the certificate")
	}
	if s.ThisUpdate.After(cert.NotAfter) && !s.CertHash && (s.Covers.IsZero() || cert.NotAfter.Before(s.Covers)) {
		return refused(s.Kind, StatusNotCovered, "it is from after the certificate's end and does not speak of expired ones")
	}
	return nil
}

// IssuedBy tells whether issuer's name stands in cert and issuer's key signed
// it, whatever the algorithm is worth today (CheckAlgorithm).
func IssuedBy(cert, issuer *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, issuer.RawSubject) && issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// Newest chooses among what several sources say of one certificate: the one
// with the latest thisUpdate, and of those as late the one that speaks of a
// revocation. differ tells that an answer contradicts it: another state, or
// another time of the revocation. "unknown" says nothing and is chosen only
// when there is nothing else. Of an empty list it gives the zero value.
func Newest(all []Status) (newest Status, differ bool) {
	for _, s := range all {
		switch {
		case s.State == StatusUnknown && newest.Kind != "":
		case newest.State == StatusUnknown, s.ThisUpdate.After(newest.ThisUpdate),
			s.ThisUpdate.Equal(newest.ThisUpdate) && s.State == StatusRevoked && newest.State == StatusGood:
			newest = s
		}
	}
	for _, s := range all {
		if s.State == StatusUnknown {
			continue
		}
		differ = differ || s.State != newest.State && !(s.ThisUpdate.Before(newest.RevokedAt) && s.State == StatusGood) ||
			s.State == StatusRevoked && newest.State == StatusRevoked && !s.RevokedAt.Equal(newest.RevokedAt)
	}
	return newest, differ
}
