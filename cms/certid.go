package cms

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CertID names a certificate by its digest: an ESSCertIDv2 (RFC 5035 §4) or
// the older ESSCertID with SHA-1 (RFC 2634 §5.4.1).
type CertID struct {
	Hash      crypto.Hash
	Digest    []byte
	IssuerDER []byte   // DER Name; nil when there is no issuerSerial
	Serial    *big.Int // nil when there is no issuerSerial
}

// Matches tells whether cert is the certificate named: digest, and issuer and
// serial number where they are given.
func (c CertID) Matches(cert *x509.Certificate) bool {
	h := c.Hash.New()
	h.Write(cert.Raw)
	if subtle.ConstantTimeCompare(h.Sum(nil), c.Digest) != 1 {
		return false
	}
	return c.Serial == nil || c.Serial.Cmp(cert.SerialNumber) == 0 && bytes.Equal(c.IssuerDER, cert.RawIssuer)
}

// readCertIDs reads signing-certificate-v2, or version 1 by its type.
func readCertIDs(a Attribute) ([]CertID, error) {
	bad := errf(CodeAttributes, "signing-certificate does not follow RFC 5035")
	if len(a.Values) != 1 {
		return nil, bad
	}
	v2 := a.Type.Equal(OIDSigningCertificateV2)
	s := cryptobyte.String(a.Values[0])
	var seq, certs, policies cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !s.Empty() || !seq.ReadASN1(&certs, casn1.SEQUENCE) ||
		!seq.ReadOptionalASN1(&policies, nil, casn1.SEQUENCE) || !seq.Empty() {
		return nil, bad
	}
	var ids []CertID
	for !certs.Empty() {
		var one cryptobyte.String
		if !certs.ReadASN1(&one, casn1.SEQUENCE) {
			return nil, bad
		}
		id, err := readCertID(one, v2)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, bad
	}
	return ids, nil
}

func readCertID(s cryptobyte.String, v2 bool) (CertID, error) {
	bad := errf(CodeAttributes, "ESSCertID does not follow RFC 5035")
	id := CertID{Hash: crypto.SHA1}
	if v2 {
		id.Hash = crypto.SHA256
		if s.PeekASN1Tag(casn1.SEQUENCE) {
			var alg algorithmIdentifier
			if !readAlgorithm(&s, casn1.SEQUENCE, &alg) || !alg.plain() {
				return id, bad
			}
			h, ok := HashByOID(alg.oid)
			if !ok {
				return id, errf(CodeAlgorithm, "certificate hash %v", alg.oid)
			}
			id.Hash = h
		}
	}
	if !s.ReadASN1Bytes(&id.Digest, casn1.OCTET_STRING) || len(id.Digest) != id.Hash.Size() {
		return id, bad
	}
	if s.Empty() {
		return id, nil
	}
	var is, names, name cryptobyte.String
	id.Serial = new(big.Int)
	if !s.ReadASN1(&is, casn1.SEQUENCE) || !s.Empty() || !is.ReadASN1(&names, casn1.SEQUENCE) ||
		!names.ReadASN1(&name, casn1.Tag(4).Constructed().ContextSpecific()) || !names.Empty() ||
		!is.ReadASN1Integer(id.Serial) || !is.Empty() {
		return id, bad
	}
	id.IssuerDER = name
	return id, nil
}
