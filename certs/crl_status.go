package certs

import (
	"bytes"
	"crypto/x509"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Status looks cert, issued by issuer, up in the list and verifies what EN 319
// 102-1 §5.2.6.2 and RFC 5280 §6.3.3 ask for: the list is of this issuer by name
// and key, signed by an algorithm accepted at thisUpdate by a key that may sign
// lists, made while the issuer was valid; its scope holds the certificate; its
// times fit; and "good" covers the certificate. A certificate on hold is
// StatusRevoked with ReasonOnHold. The error is a *StatusError.
func (l *RevocationList) Status(cert, issuer *x509.Certificate) (Status, error) {
	if err := l.verify(issuer); err != nil {
		return Status{}, err
	}
	if !IssuedBy(cert, issuer) {
		return Status{}, refused(FromCRL, StatusIssuer, "the certificate is not of this issuer")
	}
	if err := l.point.holds(cert); err != nil {
		return Status{}, err
	}
	s := Status{
		State: StatusGood, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, ProducedAt: l.ThisUpdate,
		Kind: FromCRL, DER: l.der, Algorithm: l.algorithm, Covers: l.ExpiredCerts,
	}
	if err := l.find(cert, &s); err != nil {
		return Status{}, err
	}
	return s, s.check(cert)
}

// verify tells whether issuer made the list.
func (l *RevocationList) verify(issuer *x509.Certificate) error {
	if known := l.verified.Load(); known != nil && known.Equal(issuer) {
		return nil
	}
	switch {
	case !bytes.Equal(l.issuer, issuer.RawSubject):
		return refused(FromCRL, StatusIssuer, "a list of another issuer")
	case len(l.keyID) > 0 && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(l.keyID, issuer.SubjectKeyId):
		return refused(FromCRL, StatusIssuer, "a list of another key of this issuer")
	case issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return refused(FromCRL, StatusResponder, "the issuer's key is not for lists")
	case l.ThisUpdate.Before(issuer.NotBefore) || l.ThisUpdate.After(issuer.NotAfter):
		return refused(FromCRL, StatusTime, "the issuer was not valid when it was made")
	}
	if err := CheckAlgorithm(l.algorithm, issuer.PublicKey, l.ThisUpdate); err != nil {
		return refused(FromCRL, StatusAlgorithm, err.Error())
	}
	if issuer.CheckSignature(l.algorithm, l.tbs, l.signature) != nil {
		return refused(FromCRL, StatusSignature, "the value does not verify")
	}
	l.verified.Store(issuer)
	return nil
}

// find sets what the list says of cert. The serial number is compared as the
// bytes of DER, which has one form for a number.
func (l *RevocationList) find(cert *x509.Certificate, s *Status) error {
	var b cryptobyte.Builder
	b.AddASN1BigInt(cert.SerialNumber)
	element, err := b.Bytes()
	if err != nil {
		return refused(FromCRL, StatusOther, "the certificate's serial number is none")
	}
	var serial cryptobyte.String
	if whole := cryptobyte.String(element); !whole.ReadASN1(&serial, cbasn1.INTEGER) {
		return refused(FromCRL, StatusOther, "the certificate's serial number is none")
	}
	return l.each(func(one, at []byte, extensions cryptobyte.String) (bool, error) {
		if !bytes.Equal(one, serial) {
			return false, nil
		}
		when := cryptobyte.String(at)
		var t time.Time
		if !readTime(&when, &t) {
			return true, badCRL("the time of a revocation")
		}
		s.State, s.RevokedAt = StatusRevoked, t
		s.Reason, err = entryReason(extensions)
		return true, err
	})
}

// holds tells whether a list of this scope speaks of cert (RFC 5280 §6.3.3 (b)).
func (p *issuingPoint) holds(cert *x509.Certificate) error {
	if p == nil {
		return nil
	}
	authority := cert.BasicConstraintsValid && cert.IsCA
	if p.attributes || p.users && authority || p.authorities && !authority {
		return refused(FromCRL, StatusScope, "a list for another kind of certificates")
	}
	if p.names == nil {
		return nil
	}
	for _, mine := range pointsOf(cert) {
		for _, name := range p.names {
			if bytes.Equal(mine, name) {
				return nil
			}
		}
	}
	return refused(FromCRL, StatusScope, "a list of another distribution point")
}

// pointsOf gives the names (DER GeneralName) of the distribution points whose
// lists are complete and made by the issuer: those with reasons or another
// cRLIssuer are passed over.
//
//	CRLDistributionPoints ::= SEQUENCE OF SEQUENCE { distributionPoint [0]
//	  DistributionPointName OPTIONAL, reasons [1] ReasonFlags OPTIONAL,
//	  cRLIssuer [2] GeneralNames OPTIONAL }   (RFC 5280 §4.2.1.13)
func pointsOf(cert *x509.Certificate) (names [][]byte) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidExtCRLDP) {
			continue
		}
		value := cryptobyte.String(e.Value)
		var list cryptobyte.String
		if !value.ReadASN1(&list, cbasn1.SEQUENCE) || !value.Empty() {
			return nil
		}
		for !list.Empty() {
			var one, name cryptobyte.String
			var has bool
			if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadOptionalASN1(&name, &has, cbasn1.Tag(0).ContextSpecific().Constructed()) {
				return nil
			}
			if has && one.Empty() {
				names = append(names, fullName(name)...)
			}
		}
	}
	return names
}
