package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// OCSPResponse is a successful answer as it was read. Nothing in it counts
// before Verify said so.
type OCSPResponse struct {
	Singles      []SingleStatus
	ProducedAt   time.Time
	Nonce        []byte // nil: none
	Certificates []*x509.Certificate

	responderName []byte // DER Name, or nil
	responderKey  []byte // SHA-1 of the key, or nil
	data          []byte // DER ResponseData: what is signed
	algorithm     x509.SignatureAlgorithm
	signature     []byte
}

// maxOCSPCertificates bounds the certificates in an answer.
const maxOCSPCertificates = 8

var errOCSPResponse = errors.New("not an OCSP response")

// ParseOCSPResponse reads an answer of at most MaxOCSPResponse bytes. A status
// other than successful comes as *OCSPError.
func ParseOCSPResponse(der []byte) (*OCSPResponse, error) {
	if len(der) > MaxOCSPResponse {
		return nil, fmt.Errorf("%w: longer than %d bytes", errOCSPResponse, MaxOCSPResponse)
	}
	outer := cryptobyte.String(der)
	var response, explicit, body, basic cryptobyte.String
	var status int
	var kind asn1.ObjectIdentifier
	if !outer.ReadASN1(&response, cbasn1.SEQUENCE) || !outer.Empty() || !response.ReadASN1Enum(&status) {
		return nil, errOCSPResponse
	}
	if status != int(OCSPSuccessful) {
		if !response.Empty() {
			return nil, errOCSPResponse
		}
		return nil, &OCSPError{OCSPResponseStatus(status), "the responder gives no answer"}
	}
	if !response.ReadASN1(&explicit, cbasn1.Tag(0).ContextSpecific().Constructed()) || !response.Empty() ||
		!explicit.ReadASN1(&body, cbasn1.SEQUENCE) || !explicit.Empty() ||
		!body.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidOCSPBasic) ||
		!body.ReadASN1(&basic, cbasn1.OCTET_STRING) || !body.Empty() {
		return nil, errOCSPResponse
	}
	return readBasicResponse(basic)
}

func readBasicResponse(der cryptobyte.String) (*OCSPResponse, error) {
	var body, data, alg, certificates cryptobyte.String
	var has bool
	r := &OCSPResponse{}
	if !der.ReadASN1(&body, cbasn1.SEQUENCE) || !der.Empty() || !body.ReadASN1Element(&data, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element(&alg, cbasn1.SEQUENCE) || !body.ReadASN1BitStringAsBytes(&r.signature) ||
		!body.ReadOptionalASN1(&certificates, &has, cbasn1.Tag(0).ContextSpecific().Constructed()) || !body.Empty() {
		return nil, errOCSPResponse
	}
	r.data, r.signature = bytes.Clone(data), bytes.Clone(r.signature)
	r.algorithm = readAlgorithm(alg)
	if has {
		if err := r.readCertificates(certificates); err != nil {
			return nil, err
		}
	}
	return r, r.readData(data)
}

func (r *OCSPResponse) readCertificates(der cryptobyte.String) error {
	var list cryptobyte.String
	if !der.ReadASN1(&list, cbasn1.SEQUENCE) || !der.Empty() {
		return errOCSPResponse
	}
	for !list.Empty() {
		var one cryptobyte.String
		if len(r.Certificates) == maxOCSPCertificates || !list.ReadASN1Element(&one, cbasn1.SEQUENCE) {
			return errOCSPResponse
		}
		c, err := x509.ParseCertificate(bytes.Clone(one))
		if err != nil {
			return fmt.Errorf("%w: a certificate in it cannot be read", errOCSPResponse)
		}
		r.Certificates = append(r.Certificates, c)
	}
	return nil
}

func (r *OCSPResponse) readData(der cryptobyte.String) error {
	var data, explicit, list cryptobyte.String
	if !der.ReadASN1(&data, cbasn1.SEQUENCE) || !der.Empty() || !readVersion1(&data) {
		return errOCSPResponse
	}
	switch {
	case data.PeekASN1Tag(cbasn1.Tag(1).ContextSpecific().Constructed()):
		var name cryptobyte.String
		if !data.ReadASN1(&explicit, cbasn1.Tag(1).ContextSpecific().Constructed()) || !explicit.ReadASN1Element(&name, cbasn1.SEQUENCE) || !explicit.Empty() {
			return errOCSPResponse
		}
		r.responderName = bytes.Clone(name)
	default:
		var key cryptobyte.String
		if !data.ReadASN1(&explicit, cbasn1.Tag(2).ContextSpecific().Constructed()) || !explicit.ReadASN1(&key, cbasn1.OCTET_STRING) || !explicit.Empty() || len(key) == 0 {
			return errOCSPResponse
		}
		r.responderKey = bytes.Clone(key)
	}
	if !data.ReadASN1GeneralizedTime(&r.ProducedAt) || !data.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return errOCSPResponse
	}
	for !list.Empty() {
		if len(r.Singles) == MaxOCSPSingles {
			return fmt.Errorf("%w: too many certificates", errOCSPResponse)
		}
		s, err := readSingle(&list)
		if err != nil {
			return err
		}
		r.Singles = append(r.Singles, s)
	}
	extensions, err := readTaggedExtensions(&data, 1)
	if err != nil || !data.Empty() {
		return badExtensions(err)
	}
	r.Nonce = extensions.nonce
	return nil
}

func readSingle(list *cryptobyte.String) (SingleStatus, error) {
	var one cryptobyte.String
	var s SingleStatus
	var ok bool
	if !list.ReadASN1(&one, cbasn1.SEQUENCE) {
		return s, errOCSPResponse
	}
	if s.ID, ok = readCertID(&one); !ok || !s.readState(&one) || !one.ReadASN1GeneralizedTime(&s.ThisUpdate) {
		return s, errOCSPResponse
	}
	var next cryptobyte.String
	var has bool
	if !one.ReadOptionalASN1(&next, &has, cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		has && (!next.ReadASN1GeneralizedTime(&s.NextUpdate) || !next.Empty()) {
		return s, errOCSPResponse
	}
	extensions, err := readTaggedExtensions(&one, 1)
	if err != nil || !one.Empty() {
		return s, badExtensions(err)
	}
	s.ArchiveCutoff, s.certHash = extensions.archiveCutoff, extensions.certHash
	return s, nil
}

// badExtensions says why extensions are refused; nil: there is more behind them.
func badExtensions(err error) error {
	if errors.Is(err, errUnknownCritical) {
		return refused(FromOCSP, StatusCritical, "a critical extension is not known")
	}
	return fmt.Errorf("%w: its extensions", errOCSPResponse)
}

func (s *SingleStatus) readState(one *cryptobyte.String) bool {
	var value cryptobyte.String
	var tag cbasn1.Tag
	if !one.ReadAnyASN1(&value, &tag) {
		return false
	}
	switch tag {
	case cbasn1.Tag(0).ContextSpecific():
		s.State = StatusGood
		return value.Empty()
	case cbasn1.Tag(2).ContextSpecific():
		return value.Empty()
	case cbasn1.Tag(1).ContextSpecific().Constructed():
	default:
		return false
	}
	if !value.ReadASN1GeneralizedTime(&s.RevokedAt) {
		return false
	}
	s.State = StatusRevoked
	var reason cryptobyte.String
	var has bool
	if !value.ReadOptionalASN1(&reason, &has, cbasn1.Tag(0).ContextSpecific().Constructed()) || !value.Empty() {
		return false
	}
	return !has || reason.ReadASN1Enum(&s.Reason) && reason.Empty()
}

// For gives what the answer says of cert, issued by issuer. It reports false
// when it says nothing, or two things.
func (r *OCSPResponse) For(cert, issuer *x509.Certificate) (SingleStatus, bool) {
	var found []SingleStatus
	for _, s := range r.Singles {
		if s.ID.Serial.Cmp(cert.SerialNumber) == 0 && s.ID.Of(issuer) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return SingleStatus{}, false
	}
	return found[0], true
}

// Verify tells whether the answer counts for certificates of issuer at a time:
// it is signed, with an accepted algorithm, by the issuer itself or by a
// responder that the issuer certified directly (RFC 6960 §4.2.2.2), valid then,
// for OCSP signing and with id-pkix-ocsp-nocheck: a responder without it would
// have to be looked up in its turn, which package revocation does (OCSPStatus).
// Which certificates it speaks of and how fresh it is are for the caller (For,
// ThisUpdate, NextUpdate).
func (r *OCSPResponse) Verify(issuer *x509.Certificate, at time.Time) error {
	signer, err := r.verified(issuer, at)
	if err != nil {
		return err
	}
	if !signer.Equal(issuer) && NeedsStatus(signer) {
		return refused(FromOCSP, StatusResponder, "the responder's own status would have to be asked for")
	}
	for _, s := range r.Singles {
		if !s.ID.Of(issuer) {
			return refused(FromOCSP, StatusOther, "it speaks of a certificate of another CA")
		}
	}
	return nil
}

// verified gives the certificate whose key signed the answer: the issuer's, or
// that of a responder it certified. Several may bear the name of a byName id.
func (r *OCSPResponse) verified(issuer *x509.Certificate, at time.Time) (*x509.Certificate, error) {
	err := refused(FromOCSP, StatusResponder, "the responder's certificate is missing")
	for n, c := range append([]*x509.Certificate{issuer}, r.Certificates...) {
		if !r.names(c) || n > 0 && c.Equal(issuer) {
			continue
		}
		if err = r.signedBy(c, issuer, at); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// signedBy tells whether the value is of c's key, and c is the issuer or may answer for it.
func (r *OCSPResponse) signedBy(c, issuer *x509.Certificate, at time.Time) error {
	if at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return refused(FromOCSP, StatusTime, "the responder's certificate is not valid then")
	}
	if !c.Equal(issuer) {
		if err := mayAnswer(c, issuer, at); err != nil {
			return err
		}
	}
	if err := CheckAlgorithm(r.algorithm, c.PublicKey, at); err != nil {
		return refused(FromOCSP, StatusAlgorithm, err.Error())
	}
	if c.CheckSignature(r.algorithm, r.data, r.signature) != nil {
		return refused(FromOCSP, StatusSignature, "the value does not verify")
	}
	return nil
}

// mayAnswer tells whether issuer certified c, directly, for OCSP. An extended
// key usage that allows anything does not (RFC 6960 §4.2.2.2).
func mayAnswer(c, issuer *x509.Certificate, at time.Time) error {
	no := func(reason StatusReason, detail string) error { return refused(FromOCSP, reason, detail) }
	switch {
	case !IssuedBy(c, issuer):
		return no(StatusResponder, "the issuer did not certify the responder")
	case CheckAlgorithm(c.SignatureAlgorithm, issuer.PublicKey, at) != nil:
		return no(StatusAlgorithm, "the responder's certificate is signed by an algorithm that is not accepted")
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return no(StatusResponder, "the responder's certificate is not for OCSP")
	case c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0:
		return no(StatusResponder, "the responder's key is not for signatures")
	case len(c.UnhandledCriticalExtensions) > 0:
		return no(StatusCritical, "the responder's certificate has a critical extension that is not known")
	}
	return nil
}

// names tells whether the answer's responder id is that of a certificate.
func (r *OCSPResponse) names(c *x509.Certificate) bool {
	if r.responderName != nil {
		return bytes.Equal(r.responderName, c.RawSubject)
	}
	id, err := keyIdentifier(c.RawSubjectPublicKeyInfo)
	return err == nil && bytes.Equal(id, r.responderKey)
}

// certHash is the digest of the certificate that an answer speaks of: the
// responder has seen it (Common PKI part 4 §3.1.2). hash 0: none, or of a digest
// algorithm that we do not know.
//
//	CertHash ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, certificateHash OCTET STRING }
type certHash struct {
	hash   crypto.Hash
	digest []byte
}

func (c *certHash) read(der cryptobyte.String) bool {
	var body, alg, digest cryptobyte.String
	if !der.ReadASN1(&body, cbasn1.SEQUENCE) || !der.Empty() || !body.ReadASN1Element(&alg, cbasn1.SEQUENCE) ||
		!body.ReadASN1(&digest, cbasn1.OCTET_STRING) || !body.Empty() {
		return false
	}
	c.hash, c.digest = digestOf(alg), bytes.Clone(digest)
	return true
}

// speaksOf tells whether the answer holds the digest of cert, by an algorithm
// that counts; another digest is another certificate's.
func (s SingleStatus) speaksOf(cert *x509.Certificate) (bool, error) {
	if s.certHash.hash == 0 || !s.certHash.hash.Available() || CheckHash(s.certHash.hash, s.ThisUpdate) != nil {
		return false, nil
	}
	h := s.certHash.hash.New()
	h.Write(cert.Raw)
	if !bytes.Equal(h.Sum(nil), s.certHash.digest) {
		return false, refused(FromOCSP, StatusOther, "it was given for another certificate with this serial number")
	}
	return true, nil
}
