package cms

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SignedData is a CMS object as found (RFC 5652 §5.1). Nothing in it is proven
// before [SignerInfo.VerifyValue]. The slices alias the bytes that were parsed.
type SignedData struct {
	Version      int
	ContentType  asn1.ObjectIdentifier // of the encapsulated or detached content
	HasContent   bool                  // eContent is there
	Content      []byte                // its octets; nil after [ParseAt] when it left them where they are
	Certificates [][]byte              // DER certificates, in the order found
	Others       int                   // entries of certificates that are not X.509 certificates
	HasCRLs      bool                  // the crls field is there
	SignerInfos  []SignerInfo

	// ContentOffset and ContentSize say where [ParseAt] left the octets of an
	// attached content, in bytes from the beginning of the file.
	ContentOffset, ContentSize int64
	// RawCertificates and RawCRLs are the elements of both fields as they stand:
	// every CertificateChoices, every RevocationInfoChoice with its own tag.
	RawCertificates, RawCRLs [][]byte

	digestAlgorithms []algorithmIdentifier
	rawType          []byte // ContentType as it stands
	digests          *digests
}

// SignerInfo is one signature (RFC 5652 §5.3).
type SignerInfo struct {
	Version      int
	IssuerDER    []byte      // DER Name; nil when the signer is named by key identifier
	Serial       *big.Int    // nil when the signer is named by key identifier
	SubjectKeyID []byte      // nil when the signer is named by issuer and serial
	SignedAttrs  []byte      // as found, but with tag 0x31: what is hashed. nil when absent
	Attributes   []Attribute // the signed ones
	Value        []byte      // the signature value
	Unsigned     []Attribute

	signed             []byte // version to signature as they stand: what an archive time-stamp is over
	contentType        asn1.ObjectIdentifier
	digestAlgorithm    algorithmIdentifier
	signatureAlgorithm algorithmIdentifier
	embedded           *embedded             // certificates, shared by all signers
	announced          []algorithmIdentifier // digestAlgorithms of the SignedData
}

// Attribute is a signed or unsigned attribute; Values are DER, one each.
type Attribute struct {
	Type   asn1.ObjectIdentifier
	Values [][]byte

	raw, rawType []byte // the whole and its type, as they stand
}

// Parse reads a ContentInfo with SignedData. It refuses everything that is not
// DER in its lengths, trailing bytes, and what exceeds b. Signed attributes
// must be DER throughout, sets sorted. Errors are *[Error].
//
//	ContentInfo ::= SEQUENCE { contentType OBJECT IDENTIFIER, content [0] EXPLICIT ANY }
//	SignedData ::= SEQUENCE { version INTEGER, digestAlgorithms SET OF AlgorithmIdentifier,
//	  encapContentInfo EncapsulatedContentInfo, certificates [0] IMPLICIT CertificateSet OPTIONAL,
//	  crls [1] IMPLICIT RevocationInfoChoices OPTIONAL, signerInfos SET OF SignerInfo }
func Parse(der []byte, b Budget) (*SignedData, error) {
	if err := scanSignedData(der, b.orDefault()); err != nil {
		return nil, err
	}
	in := cryptobyte.String(der)
	var info, explicit, body cryptobyte.String
	var kind asn1.ObjectIdentifier
	if !in.ReadASN1(&info, casn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&kind) {
		return nil, errf(CodeMalformed, "not a ContentInfo")
	}
	if !kind.Equal(OIDSignedData) {
		return nil, errf(CodeNotSignedData, "content type %v", kind)
	}
	if !info.ReadASN1(&explicit, context(0)) || !info.Empty() || !explicit.ReadASN1(&body, casn1.SEQUENCE) || !explicit.Empty() {
		return nil, errf(CodeMalformed, "not a ContentInfo")
	}
	sd := &SignedData{digests: &digests{made: map[crypto.Hash]elementDigests{}}}
	if err := sd.read(body); err != nil {
		return nil, err
	}
	return sd, nil
}

func context(n uint8) casn1.Tag { return casn1.Tag(n).Constructed().ContextSpecific() }

func (sd *SignedData) read(body cryptobyte.String) error {
	var algs, certs, crls, signers cryptobyte.String
	var hasCerts bool
	var err error
	if !body.ReadASN1Integer(&sd.Version) || !body.ReadASN1(&algs, casn1.SET) {
		return errf(CodeMalformed, "SignedData: version or digestAlgorithms")
	}
	for !algs.Empty() {
		var a algorithmIdentifier
		if !readAlgorithm(&algs, casn1.SEQUENCE, &a) {
			return errf(CodeMalformed, "SignedData: digestAlgorithms")
		}
		sd.digestAlgorithms = append(sd.digestAlgorithms, a)
	}
	if err := sd.readContent(&body); err != nil {
		return err
	}
	if !body.ReadOptionalASN1(&certs, &hasCerts, context(0)) || !body.ReadOptionalASN1(&crls, &sd.HasCRLs, context(1)) ||
		!body.ReadASN1(&signers, casn1.SET) || !body.Empty() {
		return errf(CodeMalformed, "SignedData: certificates, crls or signerInfos")
	}
	if sd.RawCertificates, err = elements(certs, "certificates"); err != nil {
		return err
	}
	if sd.RawCRLs, err = elements(crls, "crls"); err != nil {
		return err
	}
	for _, one := range sd.RawCertificates {
		if one[0] == byte(casn1.SEQUENCE) {
			sd.Certificates = append(sd.Certificates, one)
		} else {
			sd.Others++
		}
	}
	bag := newEmbedded(sd.Certificates)
	for !signers.Empty() {
		var one cryptobyte.String
		if !signers.ReadASN1(&one, casn1.SEQUENCE) {
			return errf(CodeMalformed, "SignedData: signerInfos")
		}
		si := SignerInfo{contentType: sd.ContentType, embedded: bag, announced: sd.digestAlgorithms}
		if err := si.read(one); err != nil {
			return err
		}
		sd.SignerInfos = append(sd.SignerInfos, si)
	}
	return sd.checkVersions()
}

// elements takes the content of a SET apart.
func elements(s cryptobyte.String, name string) ([][]byte, error) {
	var out [][]byte
	for !s.Empty() {
		var one cryptobyte.String
		var tag casn1.Tag
		if !s.ReadAnyASN1Element(&one, &tag) {
			return nil, errf(CodeMalformed, "SignedData: %s", name)
		}
		out = append(out, one)
	}
	return out, nil
}

// readContent reads
//
//	EncapsulatedContentInfo ::= SEQUENCE { eContentType OBJECT IDENTIFIER, eContent [0] EXPLICIT OCTET STRING OPTIONAL }
func (sd *SignedData) readContent(body *cryptobyte.String) error {
	var seq, explicit cryptobyte.String
	if !body.ReadASN1(&seq, casn1.SEQUENCE) {
		return errf(CodeMalformed, "encapContentInfo")
	}
	whole := seq
	if !seq.ReadASN1ObjectIdentifier(&sd.ContentType) {
		return errf(CodeMalformed, "encapContentInfo")
	}
	sd.rawType = whole[:len(whole)-len(seq)]
	if !seq.ReadOptionalASN1(&explicit, &sd.HasContent, context(0)) || !seq.Empty() {
		return errf(CodeMalformed, "encapContentInfo")
	}
	if sd.HasContent && (!explicit.ReadASN1Bytes(&sd.Content, casn1.OCTET_STRING) || !explicit.Empty()) {
		return errf(CodeMalformed, "eContent is not one OCTET STRING")
	}
	return nil
}

// read reads
//
//	SignerInfo ::= SEQUENCE { version INTEGER, sid SignerIdentifier, digestAlgorithm AlgorithmIdentifier,
//	  signedAttrs [0] IMPLICIT SET OF Attribute OPTIONAL, signatureAlgorithm AlgorithmIdentifier,
//	  signature OCTET STRING, unsignedAttrs [1] IMPLICIT SET OF Attribute OPTIONAL }
//	SignerIdentifier ::= CHOICE { issuerAndSerialNumber SEQUENCE { issuer Name, serialNumber INTEGER },
//	  subjectKeyIdentifier [0] OCTET STRING }
func (si *SignerInfo) read(s cryptobyte.String) error {
	whole := s
	if !s.ReadASN1Integer(&si.Version) || !si.readID(&s) || !readAlgorithm(&s, casn1.SEQUENCE, &si.digestAlgorithm) {
		return errf(CodeMalformed, "SignerInfo: version, sid or digestAlgorithm")
	}
	var signed, unsigned cryptobyte.String
	if s.PeekASN1Tag(context(0)) {
		if !s.ReadASN1Element(&signed, context(0)) {
			return errf(CodeMalformed, "SignerInfo: signedAttrs")
		}
		// RFC 5652 §5.4: hashed with the tag of a SET OF, not with [0].
		si.SignedAttrs = append([]byte{byte(casn1.SET)}, signed[1:]...)
		var err error
		if si.Attributes, err = readAttributes(si.SignedAttrs); err != nil {
			return err
		}
	}
	hasUnsigned := false
	if !readAlgorithm(&s, casn1.SEQUENCE, &si.signatureAlgorithm) || !s.ReadASN1Bytes(&si.Value, casn1.OCTET_STRING) {
		return errf(CodeMalformed, "SignerInfo: signatureAlgorithm or signature")
	}
	si.signed = whole[:len(whole)-len(s)]
	if !s.ReadOptionalASN1(&unsigned, &hasUnsigned, context(1)) || !s.Empty() {
		return errf(CodeMalformed, "SignerInfo: unsignedAttrs")
	}
	for !unsigned.Empty() {
		a, err := readAttribute(&unsigned)
		if err != nil {
			return err
		}
		si.Unsigned = append(si.Unsigned, a)
	}
	return nil
}

func (si *SignerInfo) readID(s *cryptobyte.String) bool {
	if s.PeekASN1Tag(casn1.Tag(0).ContextSpecific()) {
		return s.ReadASN1Bytes(&si.SubjectKeyID, casn1.Tag(0).ContextSpecific())
	}
	var seq, issuer cryptobyte.String
	si.Serial = new(big.Int)
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !seq.ReadASN1Element(&issuer, casn1.SEQUENCE) || !seq.ReadASN1Integer(si.Serial) {
		return false
	}
	si.IssuerDER = issuer
	return seq.Empty()
}

// readAttributes reads a scanned SET OF Attribute that must be DER.
func readAttributes(der []byte) ([]Attribute, error) {
	if err := strict(der); err != nil {
		return nil, err
	}
	s := cryptobyte.String(der)
	var set cryptobyte.String
	if !s.ReadASN1(&set, casn1.SET) || !s.Empty() {
		return nil, errf(CodeMalformed, "not a SET OF Attribute")
	}
	var list []Attribute
	var last []byte
	for !set.Empty() {
		a, err := readAttribute(&set)
		if err != nil {
			return nil, err
		}
		if !isSorted(a.Values) {
			return nil, errf(CodeNotDER, "the values of an attribute are not sorted")
		}
		if bytes.Compare(last, a.raw) >= 0 {
			return nil, errf(CodeNotDER, "the attributes are not sorted")
		}
		last = a.raw
		list = append(list, a)
	}
	return list, nil
}

func readAttribute(s *cryptobyte.String) (Attribute, error) {
	var a Attribute
	var raw, seq, kind, set cryptobyte.String
	if !s.ReadASN1Element(&raw, casn1.SEQUENCE) {
		return a, errf(CodeMalformed, "an attribute")
	}
	a.raw = raw
	if !raw.ReadASN1(&seq, casn1.SEQUENCE) || !seq.ReadASN1Element(&kind, casn1.OBJECT_IDENTIFIER) {
		return a, errf(CodeMalformed, "an attribute")
	}
	a.rawType = kind
	if !kind.ReadASN1ObjectIdentifier(&a.Type) || !seq.ReadASN1(&set, casn1.SET) || !seq.Empty() {
		return a, errf(CodeMalformed, "an attribute")
	}
	for !set.Empty() {
		var v cryptobyte.String
		var tag casn1.Tag
		if !set.ReadAnyASN1Element(&v, &tag) {
			return a, errf(CodeMalformed, "the value of an attribute")
		}
		a.Values = append(a.Values, v)
	}
	return a, nil
}

func isSorted(parts [][]byte) bool {
	for i := 1; i < len(parts); i++ {
		if bytes.Compare(parts[i-1], parts[i]) > 0 {
			return false
		}
	}
	return true
}

// checkVersions holds the version numbers against RFC 5652 §5.1 and §5.3:
// nobody signs them, so a wrong one is damage.
func (sd *SignedData) checkVersions() error {
	v3 := !sd.ContentType.Equal(OIDData)
	for i := range sd.SignerInfos {
		si := &sd.SignerInfos[i]
		if byKey := si.Serial == nil; byKey && si.Version != 3 || !byKey && si.Version != 1 {
			return errf(CodeMalformed, "SignerInfo: version %d", si.Version)
		}
		v3 = v3 || si.Version == 3
	}
	want := 1
	switch {
	case tagged(sd.RawCertificates, context(3)) || tagged(sd.RawCRLs, context(1)):
		want = 5
	case tagged(sd.RawCertificates, context(2)):
		want = 4
	case v3 || tagged(sd.RawCertificates, context(1)):
		want = 3
	}
	if sd.Version != want {
		return errf(CodeMalformed, "SignedData: version %d where RFC 5652 has %d", sd.Version, want)
	}
	return nil
}

// tagged tells whether one of the elements has a tag.
func tagged(list [][]byte, tag casn1.Tag) bool {
	for _, one := range list {
		if one[0] == byte(tag) {
			return true
		}
	}
	return false
}
