package cms

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"encoding/asn1"
	"slices"
	"sync"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ArchiveImprint computes what an archive-time-stamp-v3 (EN 319 122-1 §5.5.3) of
// a signature has to stamp, by h, and the DER ATSHashIndexV3 (§5.5.2) that goes
// with it: pass it to [WithHashIndex] together with the token. contentDigest is
// the digest of the content by h; nil takes it from the content that is attached.
// cmsDER has one SignerInfo.
func ArchiveImprint(cmsDER, contentDigest []byte, h crypto.Hash) (imprint, hashIndex []byte, err error) {
	sd, err := Parse(cmsDER, WholeFile())
	if err != nil {
		return nil, nil, err
	}
	if len(sd.SignerInfos) != 1 {
		return nil, nil, errf(CodeArchive, "%d signatures", len(sd.SignerInfos))
	}
	if _, ok := OIDOfHash(h); !ok {
		return nil, nil, errf(CodeAlgorithm, "an archive time-stamp by hash %d", h)
	}
	if contentDigest == nil && sd.HasContent {
		contentDigest = digestOf(h, sd.Content)
	}
	if len(contentDigest) != h.Size() {
		return nil, nil, errf(CodeArchive, "a digest of the content of %d bytes", len(contentDigest))
	}
	si := &sd.SignerInfos[0]
	hashIndex = newIndex(sd, si, h).encode()
	return sd.archiveImprint(si, contentDigest, hashIndex, h), hashIndex, nil
}

// ArchiveImprintOf is [ArchiveImprint] for a signature that is still in parts;
// attached and detached give the same.
func ArchiveImprintOf(p Parts, contentDigest []byte, h crypto.Hash) (imprint, hashIndex []byte, err error) {
	der, err := Assemble(p)
	if err != nil {
		return nil, nil, err
	}
	return ArchiveImprint(der, contentDigest, h)
}

// archiveImprint is the digest of content type, digest of the content, the
// fields of the SignerInfo before its unsigned attributes, and the hash index:
// each as it stands, so that nobody's encoding matters.
func (sd *SignedData) archiveImprint(si *SignerInfo, contentDigest, hashIndex []byte, h crypto.Hash) []byte {
	return digestOf(h, sd.rawType, contentDigest, si.signed, hashIndex)
}

func digestOf(h crypto.Hash, parts ...[]byte) []byte {
	w := h.New()
	for _, p := range parts {
		w.Write(p)
	}
	return w.Sum(nil)
}

// index is an ATSHashIndex of one of its three versions.
//
//	ATSHashIndexV3 ::= SEQUENCE { hashIndAlgorithm AlgorithmIdentifier, certificatesHashIndex SEQUENCE OF OCTET STRING,
//	  crlsHashIndex SEQUENCE OF OCTET STRING, unsignedAttrValuesHashIndex SEQUENCE OF OCTET STRING }
type index struct {
	version  int // 1, 2 or 3: 1 and 2 hash whole attributes, 3 hashes type and each value
	hash     crypto.Hash
	certs    [][]byte
	crls     [][]byte
	unsigned [][]byte
}

func newIndex(sd *SignedData, si *SignerInfo, h crypto.Hash) index {
	e := sd.elementDigests(h)
	x := index{version: 3, hash: h, certs: e.certs, crls: e.crls}
	for _, a := range si.Unsigned {
		for _, v := range a.Values {
			x.unsigned = append(x.unsigned, digestOf(h, a.rawType, v))
		}
	}
	return x
}

func (x index) encode() []byte {
	lists := [][]byte{digestAlgorithmDER(x.hash)}
	for _, list := range [][][]byte{x.certs, x.crls, x.unsigned} {
		var octets [][]byte
		for _, h := range list {
			octets = append(octets, element(casn1.OCTET_STRING, h))
		}
		lists = append(lists, element(casn1.SEQUENCE, octets...))
	}
	return element(casn1.SEQUENCE, lists...)
}

// readIndex reads an index that nobody vouches for. hashIndAlgorithm may be
// absent in version 1, where it has the default SHA-256, and some leave it out
// of the others too.
func readIndex(der []byte, version int) (index, error) {
	x := index{version: version, hash: crypto.SHA256}
	bad := errf(CodeArchiveIndex, "the hash index does not follow EN 319 122-1")
	in := cryptobyte.String(der)
	var seq, list cryptobyte.String
	if !in.ReadASN1(&seq, casn1.SEQUENCE) || !in.Empty() {
		return x, bad
	}
	if alg := seq; alg.ReadASN1(&list, casn1.SEQUENCE) && list.PeekASN1Tag(casn1.OBJECT_IDENTIFIER) {
		var a algorithmIdentifier
		if !readAlgorithm(&seq, casn1.SEQUENCE, &a) || !a.plain() {
			return x, bad
		}
		known := false
		if x.hash, known = HashByOID(a.oid); !known {
			return x, errf(CodeAlgorithm, "hash index by %v", a.oid)
		}
	}
	for _, to := range []*[][]byte{&x.certs, &x.crls, &x.unsigned} {
		if !seq.ReadASN1(&list, casn1.SEQUENCE) {
			return x, bad
		}
		for !list.Empty() {
			var h cryptobyte.String
			if !list.ReadASN1(&h, casn1.OCTET_STRING) || len(h) != x.hash.Size() {
				return x, bad
			}
			*to = append(*to, h)
		}
	}
	if !seq.Empty() {
		return x, bad
	}
	return x, nil
}

// Archived is what an archive time-stamp covers beside content and signature:
// elements of the signature's file, as they stand in it.
type Archived struct {
	Hash         crypto.Hash // of the imprint and of the index
	IndexVersion int         // of the ATSHashIndex: 3 is the present one
	Certificates [][]byte    // of SignedData.RawCertificates
	Revocations  [][]byte    // of SignedData.RawCRLs
	Unsigned     []Attribute // unsigned attributes with the values that are covered
}

// VerifyArchive tells whether token, a value of archive-time-stamp-v3, is over
// this signature: its hash index names only what is there, every hash of it, and
// its imprint is that of EN 319 122-1 §5.5.3. What the index does not name is
// not covered, as Archived says. The token itself is for tsa.Token.Verify.
// contentDigest gives the digest of the content by the token's hash; its error
// is given back as it is. Other errors are *[Error].
func VerifyArchive(sd *SignedData, si *SignerInfo, token []byte, contentDigest func(crypto.Hash) ([]byte, error)) (Archived, error) {
	t, err := parseToken(token)
	if err != nil {
		return Archived{}, err
	}
	raw, version, err := t.index()
	if err != nil {
		return Archived{}, err
	}
	x, err := readIndex(raw, version)
	if err != nil {
		return Archived{}, err
	}
	if x.hash != t.hash {
		return Archived{}, errf(CodeArchiveIndex, "the hash index is by another hash than the imprint")
	}
	digest, err := contentDigest(t.hash)
	if err != nil {
		return Archived{}, err
	}
	if subtle.ConstantTimeCompare(sd.archiveImprint(si, digest, raw, t.hash), t.imprint) != 1 {
		return Archived{}, errf(CodeArchive, "the archive time-stamp is over something else")
	}
	return x.find(sd, si)
}

// find gives the element behind each hash of the index.
func (x index) find(sd *SignedData, si *SignerInfo) (Archived, error) {
	a := Archived{Hash: x.hash, IndexVersion: x.version}
	var left int
	e := sd.elementDigests(x.hash)
	if a.Certificates, left = named(x.certs, sd.RawCertificates, e.certs); left > 0 {
		return Archived{}, errf(CodeArchiveIndex, "%d certificates of the hash index are not there", left)
	}
	if a.Revocations, left = named(x.crls, sd.RawCRLs, e.crls); left > 0 {
		return Archived{}, errf(CodeArchiveIndex, "%d revocation data of the hash index are not there", left)
	}
	names := setOfHashes(x.unsigned)
	seen := map[string]bool{}
	for _, u := range si.Unsigned {
		covered := Attribute{Type: u.Type, raw: u.raw, rawType: u.rawType}
		if x.version < 3 {
			if h := string(digestOf(x.hash, u.raw)); names[h] {
				seen[h], covered.Values = true, u.Values
			}
		} else {
			for _, v := range u.Values {
				if h := string(digestOf(x.hash, u.rawType, v)); names[h] {
					seen[h], covered.Values = true, append(covered.Values, v)
				}
			}
		}
		if len(covered.Values) > 0 {
			a.Unsigned = append(a.Unsigned, covered)
		}
	}
	if len(seen) != len(names) {
		return Archived{}, errf(CodeArchiveIndex, "%d unsigned attributes of the hash index are not there", len(names)-len(seen))
	}
	return a, nil
}

func setOfHashes(hashes [][]byte) map[string]bool {
	set := make(map[string]bool, len(hashes))
	for _, h := range hashes {
		set[string(h)] = true
	}
	return set
}

// named gives the elements whose digests are among hashes, and how many of these
// are of nothing.
func named(hashes, list, digests [][]byte) (found [][]byte, left int) {
	names := setOfHashes(hashes)
	seen := map[string]bool{}
	for i, one := range list {
		if h := string(digests[i]); names[h] {
			seen[h], found = true, append(found, one)
		}
	}
	return found, len(names) - len(seen)
}

// digests are those of the elements of a SignedData, made once for each hash:
// a file may have many archive time-stamps over megabytes of lists.
type digests struct {
	mu   sync.Mutex
	made map[crypto.Hash]elementDigests
}

type elementDigests struct{ certs, crls [][]byte }

func (sd *SignedData) elementDigests(h crypto.Hash) (e elementDigests) {
	if c := sd.digests; c != nil { // nil in one that was not parsed
		c.mu.Lock()
		defer c.mu.Unlock()
		if e, ok := c.made[h]; ok {
			return e
		}
		defer func() { c.made[h] = e }()
	}
	for _, one := range sd.RawCertificates {
		e.certs = append(e.certs, digestOf(h, one))
	}
	for _, one := range sd.RawCRLs {
		e.crls = append(e.crls, digestOf(h, one))
	}
	return e
}

// stamp is a time-stamp token as far as archive time-stamps need it.
type stamp struct {
	sd      *SignedData
	hash    crypto.Hash // of the imprint
	imprint []byte
}

// parseToken reads a time-stamp token and the imprint in it (RFC 3161 §2.4.2):
//
//	TSTInfo ::= SEQUENCE { version INTEGER, policy OBJECT IDENTIFIER, messageImprint MessageImprint, … }
//	MessageImprint ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, hashedMessage OCTET STRING }
func parseToken(der []byte) (stamp, error) {
	sd, err := Parse(der, Budget{})
	if err != nil {
		return stamp{}, err
	}
	if !sd.ContentType.Equal(OIDTSTInfo) || len(sd.SignerInfos) != 1 {
		return stamp{}, errf(CodeMalformed, "not a time-stamp token")
	}
	t := stamp{sd: sd}
	in := cryptobyte.String(sd.Content)
	var info, imprint cryptobyte.String
	var policy asn1.ObjectIdentifier
	var version int
	var alg algorithmIdentifier
	if !in.ReadASN1(&info, casn1.SEQUENCE) || !info.ReadASN1Integer(&version) || !info.ReadASN1ObjectIdentifier(&policy) ||
		!info.ReadASN1(&imprint, casn1.SEQUENCE) || !readAlgorithm(&imprint, casn1.SEQUENCE, &alg) ||
		!imprint.ReadASN1Bytes(&t.imprint, casn1.OCTET_STRING) || !imprint.Empty() {
		return stamp{}, errf(CodeMalformed, "not a time-stamp token")
	}
	known := false
	if t.hash, known = HashByOID(alg.oid); !known || !alg.plain() {
		return stamp{}, errf(CodeAlgorithm, "an imprint by %v", alg.oid)
	}
	return t, nil
}

// index gives the one hash index of the token, as it stands, and its version.
func (t stamp) index() (der []byte, version int, err error) {
	n := 0
	for i, oid := range []asn1.ObjectIdentifier{OIDHashIndexV1, OIDHashIndexV2, OIDHashIndexV3} {
		list := values(t.sd.SignerInfos[0].Unsigned, oid)
		if n += len(list); len(list) == 1 {
			der, version = list[0], i+1
		}
	}
	if n != 1 {
		return nil, 0, errf(CodeArchiveIndex, "an archive time-stamp with %d hash indexes", n)
	}
	return der, version, nil
}

// WithHashIndex puts a hash index into a time-stamp token, as an unsigned
// attribute of its signature: what comes out is a value of archive-time-stamp-v3,
// for [AddArchiveTimeStamp] or [Parts]. Nothing else of the token is touched.
func WithHashIndex(token, hashIndex []byte) ([]byte, error) {
	t, err := parseToken(token)
	if err != nil {
		return nil, err
	}
	if _, _, err := t.index(); err == nil {
		return nil, errf(CodeArchiveIndex, "the token has a hash index")
	}
	x, err := readIndex(hashIndex, 3)
	if err != nil {
		return nil, err
	}
	if x.hash != t.hash || !bytes.Equal(x.encode(), hashIndex) {
		return nil, errf(CodeArchiveIndex, "not the hash index of this token's imprint")
	}
	p, err := split(token)
	if err != nil {
		return nil, err
	}
	if err := p.addUnsigned(attributeDER(oidHashIndexV3DER, hashIndex)); err != nil {
		return nil, err
	}
	return p.join(), nil
}

// ArchiveTimeStamps gives the values of archive-time-stamp-v3, DER ContentInfo
// each, in the order found; their genTime says which came first.
func (si *SignerInfo) ArchiveTimeStamps() [][]byte { return values(si.Unsigned, OIDArchiveTimeStampV3) }

// ContentTimeStamps gives the content-time-stamps (EN 319 122-1 §5.2.8), DER
// ContentInfo each: they are over the content, before it was signed.
func (si *SignerInfo) ContentTimeStamps() [][]byte { return si.Values(OIDContentTimeStamp) }

// oldArchive tells of archive forms that hash the fields of the SignedData as a
// whole: whoever adds to those breaks them (EN 319 122-1 §A.2.4, §5.5.1).
func (si *SignerInfo) oldArchive() bool {
	return slices.ContainsFunc(si.Unsigned, func(a Attribute) bool {
		return a.Type.Equal(OIDArchiveTimeStampV2) || a.Type.Equal(OIDLongTermValidation)
	})
}

// CRLs gives the revocation lists in the field crls, DER CertificateList each.
func (sd *SignedData) CRLs() [][]byte {
	var out [][]byte
	for _, one := range sd.RawCRLs {
		if one[0] == byte(casn1.SEQUENCE) {
			out = append(out, one)
		}
	}
	return out
}

// OCSPs gives the OCSP responses in the field crls, DER OCSPResponse each. A
// BasicOCSPResponse, which some put there under its own type, is wrapped into
// one that is successful (RFC 6960 §4.2.1).
func (sd *SignedData) OCSPs() [][]byte {
	var out [][]byte
	for _, one := range sd.RawCRLs {
		s := cryptobyte.String(one)
		var seq, der cryptobyte.String
		var kind asn1.ObjectIdentifier
		if !s.ReadASN1(&seq, context(1)) || !seq.ReadASN1ObjectIdentifier(&kind) || !seq.ReadASN1Element(&der, casn1.SEQUENCE) || !seq.Empty() {
			continue
		}
		switch {
		case kind.Equal(OIDOCSPResponse):
			out = append(out, der)
		case kind.Equal(OIDBasicOCSPResponse):
			basic := element(casn1.SEQUENCE, []byte{6, 9, 0x2B, 6, 1, 5, 5, 7, 0x30, 1, 1}, element(casn1.OCTET_STRING, der))
			out = append(out, element(casn1.SEQUENCE, []byte{byte(casn1.ENUM), 1, 0}, element(context(0), basic)))
		}
	}
	return out
}
