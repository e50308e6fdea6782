package cms

import (
	"bytes"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// pieces is a ContentInfo taken apart as far as it is added to. The elements
// stay as they stand: hash indexes and signatures are over them.
type pieces struct {
	version  int
	algs     [][]byte // elements of digestAlgorithms
	encap    []byte   // EncapsulatedContentInfo
	certs    [][]byte
	crls     [][]byte
	hasCerts bool
	signer   []byte   // the SignerInfo's fields before its unsigned attributes
	unsigned [][]byte // its unsigned attributes

	oldArchive bool
}

// split takes apart what [Parse] has accepted, with one SignerInfo.
func split(der []byte) (*pieces, error) {
	sd, err := Parse(der, WholeFile())
	if err != nil {
		return nil, err
	}
	if len(sd.SignerInfos) != 1 {
		return nil, errf(CodeArchive, "%d signatures", len(sd.SignerInfos))
	}
	bad := errf(CodeMalformed, "SignedData")
	in := cryptobyte.String(der)
	var info, body, version, algs, encap cryptobyte.String
	if !in.ReadASN1(&info, casn1.SEQUENCE) || !info.SkipASN1(casn1.OBJECT_IDENTIFIER) || !info.ReadASN1(&in, context(0)) ||
		!in.ReadASN1(&body, casn1.SEQUENCE) || !body.ReadASN1(&version, casn1.INTEGER) || !body.ReadASN1(&algs, casn1.SET) ||
		!body.ReadASN1Element(&encap, casn1.SEQUENCE) {
		return nil, bad
	}
	p := &pieces{
		version: sd.Version, encap: encap, certs: slices.Clone(sd.RawCertificates), crls: slices.Clone(sd.RawCRLs),
		hasCerts: body.PeekASN1Tag(context(0)), signer: sd.SignerInfos[0].signed,
		oldArchive: sd.SignerInfos[0].oldArchive(),
	}
	for _, a := range sd.SignerInfos[0].Unsigned {
		p.unsigned = append(p.unsigned, a.raw)
	}
	p.algs, err = elements(algs, "digestAlgorithms")
	return p, err
}

// join writes the ContentInfo again.
func (p *pieces) join() []byte {
	body := [][]byte{{byte(casn1.INTEGER), 1, byte(p.version)}, element(casn1.SET, p.algs...), p.encap}
	if p.hasCerts || len(p.certs) > 0 {
		body = append(body, element(context(0), p.certs...))
	}
	if len(p.crls) > 0 {
		body = append(body, element(context(1), p.crls...))
	}
	signer := [][]byte{p.signer}
	if len(p.unsigned) > 0 {
		signer = append(signer, element(context(1), p.unsigned...))
	}
	body = append(body, element(casn1.SET, element(casn1.SEQUENCE, signer...)))
	return element(casn1.SEQUENCE, oidSignedDataDER, element(context(0), element(casn1.SEQUENCE, body...)))
}

// insert puts an element into a SET OF: before the first that sorts behind it,
// so that a set in the order of DER keeps it. One that is there is not repeated.
func insert(set [][]byte, one []byte) [][]byte {
	at := len(set)
	for i, have := range set {
		switch c := bytes.Compare(have, one); {
		case c == 0:
			return set
		case c > 0 && i < at:
			at = i
		}
	}
	return slices.Insert(set, at, one)
}

func (p *pieces) addUnsigned(attribute []byte) error {
	before := len(p.unsigned)
	if p.unsigned = insert(p.unsigned, attribute); len(p.unsigned) == before {
		return errf(CodeArchive, "the attribute is there already")
	}
	return nil
}

// AddValidationData puts certificates, OCSP responses and revocation lists, DER,
// into the SignedData of a signature (CAdES B-LT, EN 319 122-1 §6.3). What is
// there stays byte for byte; data that are there are not added again, and when
// nothing is new cmsDER itself comes back. A signature with an archive form that
// this would break is refused with the code archive_form.
func AddValidationData(cmsDER []byte, certs, ocsps, crls [][]byte) ([]byte, error) {
	p, err := split(cmsDER)
	if err != nil {
		return nil, err
	}
	was := len(p.certs) + len(p.crls)
	for _, der := range certs {
		if err := oneSequence(der); err != nil {
			return nil, err
		}
		p.certs = insert(p.certs, der)
	}
	choices, err := revocationChoices(ocsps, crls)
	if err != nil {
		return nil, err
	}
	for _, one := range choices {
		p.crls = insert(p.crls, one)
	}
	if len(p.certs)+len(p.crls) == was {
		return cmsDER, nil
	}
	if p.oldArchive {
		return nil, errf(CodeArchiveForm, "the signature has an archive time-stamp over the SignedData as it is")
	}
	if len(ocsps) > 0 {
		p.version = 5
	}
	return p.join(), nil
}

// AddArchiveTimeStamp puts a value of archive-time-stamp-v3, from
// [WithHashIndex], into a signature (CAdES B-LTA): as a further unsigned
// attribute, beside those that are there. Its hash index must fit; whether its
// imprint does, [VerifyArchive] tells, with the content.
func AddArchiveTimeStamp(cmsDER, token []byte) ([]byte, error) {
	t, err := parseToken(token)
	if err != nil {
		return nil, err
	}
	raw, version, err := t.index()
	if err != nil {
		return nil, err
	}
	x, err := readIndex(raw, version)
	if err != nil {
		return nil, err
	}
	sd, err := Parse(cmsDER, WholeFile())
	if err != nil {
		return nil, err
	}
	p, err := split(cmsDER)
	if err != nil {
		return nil, err
	}
	if _, err := x.find(sd, &sd.SignerInfos[0]); err != nil {
		return nil, err
	}
	if err := p.addUnsigned(attributeDER(oidArchiveTimeStampDER, token)); err != nil {
		return nil, err
	}
	p.algs = insert(p.algs, digestAlgorithmDER(t.hash))
	return p.join(), nil
}
