package cms

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"slices"

	"golang.org/x/crypto/cryptobyte"
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
// an OCSP response (RFC 5652 §5.1). cryptobyte does not write lengths above 4
// GiB, so the elements around the content are written here.
func (p Parts) frame(sch scheme, c content, size int64) (before, after []byte, err error) {
	crls, err := p.crls()
	if err != nil {
		return nil, nil, err
	}
	version := int64(1)
	switch {
	case len(p.OCSPs) > 0:
		version = 5
	case !c.kind.Equal(OIDData):
		version = 3
	}
	var head, kind, tail cryptobyte.Builder
	head.AddASN1Int64(version)
	if err := p.addDigestAlgorithms(&head, sch.hash); err != nil {
		return nil, nil, err
	}
	kind.AddASN1ObjectIdentifier(c.kind)
	if c.certs {
		certs, err := p.certificates()
		if err != nil {
			return nil, nil, err
		}
		tail.AddBytes(certs)
	}
	tail.AddBytes(crls)
	tail.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { p.addSignerInfo(b, sch) })
	return around(&head, &kind, &tail, size)
}

// around puts the parts of a SignedData round its content.
func around(head, kind, tail *cryptobyte.Builder, size int64) (before, after []byte, err error) {
	h, err1 := head.Bytes()
	k, err2 := kind.Bytes()
	t, err3 := tail.Bytes()
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return nil, nil, errf(CodeMalformed, "encode: %v", err)
		}
	}
	encap := slices.Clone(k)
	hole := int64(0) // the octets that are not here
	if size != detached {
		hole = size
		octets := appendHeader(nil, casn1.OCTET_STRING, size)
		encap = appendHeader(encap, context(0), int64(len(octets))+size)
		encap = append(encap, octets...)
	}
	body := appendHeader(h, casn1.SEQUENCE, int64(len(encap))+hole)
	body = append(body, encap...)
	sd := appendHeader(nil, casn1.SEQUENCE, int64(len(body))+hole+int64(len(t)))
	oid := oidSignedDataDER
	explicit := appendHeader(nil, context(0), int64(len(sd)+len(body))+hole+int64(len(t)))
	before = appendHeader(nil, casn1.SEQUENCE, int64(len(oid)+len(explicit)+len(sd)+len(body))+hole+int64(len(t)))
	return slices.Concat(before, oid, explicit, sd, body), t, nil
}

// oidSignedDataDER is OIDSignedData encoded.
var oidSignedDataDER = []byte{6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2}

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

// addDigestAlgorithms writes the hash of the signature and those of the
// archive time-stamps (EN 319 122-1 §5.5.3).
func (p Parts) addDigestAlgorithms(b *cryptobyte.Builder, h crypto.Hash) error {
	if len(p.Archive) == 0 {
		oid, _ := OIDOfHash(h)
		b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { addDigestAlgorithm(b, casn1.SEQUENCE, oid) })
		return nil
	}
	list := []crypto.Hash{h}
	for _, token := range p.Archive {
		t, err := parseToken(token)
		if err != nil {
			return err
		}
		if !slices.Contains(list, t.hash) {
			list = append(list, t.hash)
		}
	}
	var set [][]byte
	for _, h := range list {
		set = append(set, digestAlgorithmDER(h))
	}
	der, err := setOf(casn1.SET, set)
	b.AddBytes(der)
	return err
}

func digestAlgorithmDER(h crypto.Hash) []byte {
	oid, _ := OIDOfHash(h)
	var b cryptobyte.Builder
	addDigestAlgorithm(&b, casn1.SEQUENCE, oid)
	der, err := b.Bytes()
	if err != nil {
		return nil // setOf refuses it
	}
	return der
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
var oidOCSPResponseDER = []byte{6, 8, 0x2B, 6, 1, 5, 5, 7, 16, 2}

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

func (p Parts) addSignerInfo(b *cryptobyte.Builder, sch scheme) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(p.Certificate.RawIssuer)
			b.AddASN1BigInt(p.Certificate.SerialNumber)
		})
		digestOID, _ := OIDOfHash(sch.hash)
		addDigestAlgorithm(b, casn1.SEQUENCE, digestOID)
		b.AddBytes([]byte{byte(context(0))})
		b.AddBytes(p.SignedAttrs[1:])
		sch.addAlgorithm(b, casn1.SEQUENCE)
		b.AddASN1OctetString(p.Value)
		var unsigned [][]byte
		if p.TimeStampToken != nil {
			unsigned = append(unsigned, unsignedAttribute(oidSignatureTimeStampDER, p.TimeStampToken))
		}
		for _, token := range p.Archive {
			unsigned = append(unsigned, unsignedAttribute(oidArchiveTimeStampDER, token))
		}
		if len(unsigned) > 0 {
			slices.SortFunc(unsigned, bytes.Compare)
			b.AddBytes(element(context(1), unsigned...))
		}
	})
}

// The types of the attributes that we write beside the signature, encoded.
var (
	oidSignatureTimeStampDER = []byte{6, 11, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 2, 14}
	oidArchiveTimeStampDER   = []byte{6, 6, 4, 0, 0x8D, 0x45, 2, 4}
	oidHashIndexV3DER        = []byte{6, 7, 4, 0, 0x81, 0x95, 0x32, 1, 5}
)

// unsignedAttribute is an attribute with one value.
func unsignedAttribute(oid, value []byte) []byte {
	return element(casn1.SEQUENCE, oid, element(casn1.SET, value))
}
