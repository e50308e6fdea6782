package cms

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"math/big"
	"slices"

	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// content is what a SignedData is about.
type content struct {
	kind   asn1.ObjectIdentifier
	octets []byte // nil: detached
	certs  bool   // embed certificates
}

// detached is the size of a content that is elsewhere.
const detached = -1

// maxContent keeps sums of sizes within 64 bits; no file is as large.
const maxContent = 1 << 56

// encode writes ContentInfo and SignedData; see [Parse] for the grammar.
func (p Parts) encode(sch scheme, c content) ([]byte, error) {
	size := int64(detached)
	if c.octets != nil {
		size = int64(len(c.octets))
	}
	before, after, err := p.frame(sch, c, size)
	if err != nil {
		return nil, err
	}
	return slices.Concat(before, c.octets, after), nil
}

// frame writes what stands before and after the octets of the content; with
// [detached] the two meet. Version 1 for id-data, 3 for other contents, 5 with
// an OCSP response (RFC 5652 §5.1).
func (p Parts) frame(sch scheme, c content, size int64) (before, after []byte, err error) {
	crls, err := p.crls()
	if err != nil {
		return nil, nil, err
	}
	version := byte(1)
	switch {
	case len(p.OCSPs) > 0:
		version = 5
	case !c.kind.Equal(OIDData):
		version = 3
	}
	algs, err := p.digestAlgorithms(sch.hash)
	if err != nil {
		return nil, nil, err
	}
	tail := [][]byte{nil, crls, element(casn1.SET, p.signerInfo(sch))}
	if c.certs {
		if tail[0], err = p.certificates(); err != nil {
			return nil, nil, err
		}
	}
	before, after = around(slices.Concat([]byte{byte(casn1.INTEGER), 1, version}, algs), oidDER(c.kind), slices.Concat(tail...), size)
	return before, after, nil
}

// around puts the parts of a SignedData round its content.
func around(head, kind, tail []byte, size int64) (before, after []byte) {
	encap := kind
	hole := int64(0) // the octets that are not here
	if size != detached {
		hole = size
		octets := appendHeader(nil, casn1.OCTET_STRING, size)
		encap = appendHeader(encap, context(0), int64(len(octets))+size)
		encap = append(encap, octets...)
	}
	body := appendHeader(head, casn1.SEQUENCE, int64(len(encap))+hole)
	body = append(body, encap...)
	rest := hole + int64(len(tail)) // what is behind body
	sd := appendHeader(nil, casn1.SEQUENCE, int64(len(body))+rest)
	explicit := appendHeader(nil, context(0), int64(len(sd)+len(body))+rest)
	before = appendHeader(nil, casn1.SEQUENCE, int64(len(oidSignedDataDER)+len(explicit)+len(sd)+len(body))+rest)
	return slices.Concat(before, oidSignedDataDER, explicit, sd, body), tail
}

// oidSignedDataDER is OIDSignedData encoded.
var oidSignedDataDER = oidDER(OIDSignedData)

// appendHeader writes tag and length, however large.
func appendHeader(to []byte, tag casn1.Tag, n int64) []byte {
	to = append(to, byte(tag))
	if n < 0x80 {
		return append(to, byte(n))
	}
	k := 0
	for v := n; v > 0; v >>= 8 {
		k++
	}
	to = append(to, 0x80|byte(k))
	for k--; k >= 0; k-- {
		to = append(to, byte(n>>(8*k)))
	}
	return to
}

// element puts tag and length before a body.
func element(tag casn1.Tag, body ...[]byte) []byte {
	n := 0
	for _, b := range body {
		n += len(b)
	}
	out := make([]byte, 0, n+6)
	out = appendHeader(out, tag, int64(n))
	for _, b := range body {
		out = append(out, b...)
	}
	return out
}

// digestAlgorithms writes the hash of the signature and those of the archive
// time-stamps (EN 319 122-1 §5.5.3).
func (p Parts) digestAlgorithms(h crypto.Hash) ([]byte, error) {
	set := [][]byte{digestAlgorithmDER(h)}
	for _, token := range p.Archive {
		t, err := parseToken(token)
		if err != nil {
			return nil, err
		}
		set = insert(set, digestAlgorithmDER(t.hash))
	}
	return setOf(casn1.SET, set)
}

func (p Parts) certificates() ([]byte, error) {
	set := [][]byte{p.Certificate.Raw}
	add := func(der []byte) {
		if !slices.ContainsFunc(set, func(have []byte) bool { return bytes.Equal(have, der) }) {
			set = append(set, der)
		}
	}
	for _, c := range p.Chain {
		add(c.Raw)
	}
	for _, der := range p.ExtraCertificates {
		if err := oneSequence(der); err != nil {
			return nil, err
		}
		add(der)
	}
	return setOf(context(0), set)
}

// crls writes the revocation data, nothing when there are none.
func (p Parts) crls() ([]byte, error) {
	if len(p.CRLs)+len(p.OCSPs) == 0 {
		return nil, nil
	}
	set, err := revocationChoices(p.OCSPs, p.CRLs)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(set, bytes.Compare)
	return setOf(context(1), slices.CompactFunc(set, bytes.Equal))
}

// revocationChoices are the elements of the field crls (RFC 5652 §10.2.1, RFC
// 5940 §2.1):
//
//	RevocationInfoChoice ::= CHOICE { crl CertificateList, other [1] IMPLICIT OtherRevocationInfoFormat }
//	OtherRevocationInfoFormat ::= SEQUENCE { otherRevInfoFormat OBJECT IDENTIFIER, otherRevInfo ANY }
func revocationChoices(ocsps, crls [][]byte) ([][]byte, error) {
	var set [][]byte
	for _, der := range crls {
		if err := oneSequence(der); err != nil {
			return nil, err
		}
		set = append(set, der)
	}
	for _, der := range ocsps {
		if err := oneSequence(der); err != nil {
			return nil, err
		}
		set = append(set, element(context(1), oidOCSPResponseDER, der))
	}
	return set, nil
}

// oidOCSPResponseDER is id-ri-ocsp-response, 1.3.6.1.5.5.7.16.2, encoded.
var oidOCSPResponseDER = oidDER(OIDOCSPResponse)

// oneSequence tells whether foreign bytes are one SEQUENCE and nothing behind;
// what is in it, its readers say.
func oneSequence(der []byte) error {
	if len(der) == 0 || der[0] != byte(casn1.SEQUENCE) {
		return errf(CodeMalformed, "validation data that are not a SEQUENCE")
	}
	head, n, err := header(der)
	if err != nil {
		return err
	}
	if head+n != len(der) {
		return errf(CodeTrailingData, "validation data with something behind them")
	}
	return nil
}

func (p Parts) signerInfo(sch scheme) []byte {
	fields := [][]byte{
		{byte(casn1.INTEGER), 1, 1},
		element(casn1.SEQUENCE, p.Certificate.RawIssuer, integerDER(p.Certificate.SerialNumber)),
		digestAlgorithmDER(sch.hash),
		{byte(context(0))}, p.SignedAttrs[1:],
		element(casn1.SEQUENCE, sch.body),
		element(casn1.OCTET_STRING, p.Value),
	}
	var unsigned [][]byte
	if p.TimeStampToken != nil {
		unsigned = append(unsigned, attributeDER(oidSignatureTimeStampDER, p.TimeStampToken))
	}
	for _, token := range p.Archive {
		unsigned = append(unsigned, attributeDER(oidArchiveTimeStampDER, token))
	}
	if len(unsigned) > 0 {
		slices.SortFunc(unsigned, bytes.Compare)
		fields = append(fields, element(context(1), unsigned...))
	}
	return element(casn1.SEQUENCE, fields...)
}

// integerDER writes an INTEGER.
func integerDER(n *big.Int) []byte {
	b := n.Bytes()
	if n.Sign() < 0 { // crypto/x509 reads none in certificates
		return nil
	}
	if len(b) == 0 || b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	return element(casn1.INTEGER, b)
}
