package tsa

import (
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// FailureInfo is a bit of PKIFailureInfo (RFC 3161 §2.4.2).
type FailureInfo int

// The bits that RFC 3161 allows.
const (
	BadAlg              FailureInfo = 0
	BadRequest          FailureInfo = 2
	BadDataFormat       FailureInfo = 5
	TimeNotAvailable    FailureInfo = 14
	UnacceptedPolicy    FailureInfo = 15
	UnacceptedExtension FailureInfo = 16
	AddInfoNotAvailable FailureInfo = 17
	SystemFailure       FailureInfo = 25
)

var failureNames = map[FailureInfo]string{
	BadAlg: "badAlg", BadRequest: "badRequest", BadDataFormat: "badDataFormat", TimeNotAvailable: "timeNotAvailable",
	UnacceptedPolicy: "unacceptedPolicy", UnacceptedExtension: "unacceptedExtension",
	AddInfoNotAvailable: "addInfoNotAvailable", SystemFailure: "systemFailure",
}

// String gives the name of RFC 3161, "" for a bit that it does not have.
func (f FailureInfo) String() string { return failureNames[f] }

// Failure is why a request is rejected: the bit and a text for the requester.
type Failure struct {
	Info FailureInfo
	Text string
}

// Error implements error.
func (f *Failure) Error() string { return f.Info.String() + ": " + f.Text }

// Request is a TimeStampReq as a server reads it.
type Request struct {
	Imprint Imprint
	Policy  asn1.ObjectIdentifier // nil: any
	Nonce   *big.Int              // nil: none
	CertReq bool
}

// MaxRequest bounds a request, in bytes; a large one has 200.
const MaxRequest = 64 << 10

// maxNonce keeps a nonce, in bits, from being a way to make tokens large.
const maxNonce = 512

// ParseRequest reads a TimeStampReq: DER, version 1, a digest of the length of
// its algorithm, no extensions (RFC 3161 §2.4.1 has the server refuse every
// extension that it does not know, critical or not), nothing behind. The
// algorithms are those of package cms; which of them still count is for the
// authority.
//
//	TimeStampReq ::= SEQUENCE { version INTEGER { v1(1) }, messageImprint MessageImprint, reqPolicy OBJECT IDENTIFIER OPTIONAL,
//	  nonce INTEGER OPTIONAL, certReq BOOLEAN DEFAULT FALSE, extensions [0] IMPLICIT Extensions OPTIONAL }
func ParseRequest(der []byte) (Request, *Failure) {
	var r Request
	bad := func(text string) (Request, *Failure) { return Request{}, &Failure{BadDataFormat, text} }
	if len(der) > MaxRequest {
		return Request{}, TooLarge()
	}
	in := cryptobyte.String(der)
	var s cryptobyte.String
	version := 0
	if !in.ReadASN1(&s, casn1.SEQUENCE) || !in.Empty() {
		return bad("the request is not one DER SEQUENCE")
	}
	if !s.ReadASN1Integer(&version) {
		return bad("the version is malformed")
	}
	if version != 1 {
		return Request{}, &Failure{BadRequest, "only version 1 is known"}
	}
	im, f := readImprint(&s)
	if f != nil {
		return Request{}, f
	}
	r.Imprint = im
	if s.PeekASN1Tag(casn1.OBJECT_IDENTIFIER) && !s.ReadASN1ObjectIdentifier(&r.Policy) {
		return bad("the policy is malformed")
	}
	if s.PeekASN1Tag(casn1.INTEGER) {
		r.Nonce = new(big.Int)
		if !s.ReadASN1Integer(r.Nonce) || r.Nonce.BitLen() > maxNonce {
			return bad("the nonce is malformed or too long")
		}
	}
	// DER leaves a default out, so that FALSE never stands there.
	if s.PeekASN1Tag(casn1.BOOLEAN) && (!s.ReadASN1Boolean(&r.CertReq) || !r.CertReq) {
		return bad("certReq is malformed")
	}
	if s.PeekASN1Tag(explicit(0)) {
		return Request{}, &Failure{UnacceptedExtension, "no extension is known"}
	}
	if !s.Empty() {
		return bad("the request has unknown members")
	}
	return r, nil
}
