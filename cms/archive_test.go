package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
)

// stamp makes a time-stamp token over an imprint, as far as package cms looks:
// whether a token is good is tested in package tsa.
func (p person) stamp(t testing.TB, imprint []byte, h crypto.Hash) []byte {
	t.Helper()
	kind, _ := cms.OIDOfHash(h)
	body := build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 3})
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(kind) })
				b.AddASN1OctetString(imprint)
			})
			b.AddASN1BigInt(big.NewInt(7))
			b.AddASN1GeneralizedTime(time.Now())
		})
	})
	attrs, err := cms.ContentAttributes(cms.OIDTSTInfo, p.digest(body), p.cert)
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.key.Sign(rand.Reader, p.digest(attrs), p.alg.Options())
	if err != nil {
		t.Fatal(err)
	}
	der, err := cms.AssembleToken(body, cms.Parts{SignedAttrs: attrs, Value: v, Certificate: p.cert}, true)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

func contentOf(b []byte) func(crypto.Hash) ([]byte, error) {
	return func(h crypto.Hash) ([]byte, error) { return sum(h, b), nil }
}

// cadesParts signs by the form of CAdES, with a signature time-stamp and
// validation data that only look like some: nobody here looks into them.
func (p person) cadesParts(t testing.TB, content []byte) cms.Parts {
	t.Helper()
	attrs, err := p.alg.CAdESAttributes(p.digest(content), p.cert, time.Now(), "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.key.Sign(rand.Reader, p.digest(attrs), p.alg.Options())
	if err != nil {
		t.Fatal(err)
	}
	return cms.Parts{SignedAttrs: attrs, Value: v, Certificate: p.cert, Chain: []*x509.Certificate{p.issuer}}
}

func (p person) longTerm(t testing.TB, content []byte) cms.Parts {
	t.Helper()
	q := p.cadesParts(t, content)
	unit := newPerson(t, "P-256")
	q.TimeStampToken = unit.stamp(t, sum(crypto.SHA256, q.Value), crypto.SHA256)
	q.ExtraCertificates = [][]byte{unit.cert.Raw, unit.issuer.Raw, p.issuer.Raw}
	q.OCSPs = [][]byte{wrapped(t, casn1.SEQUENCE, octets(t, []byte("ocsp 1"))), wrapped(t, casn1.SEQUENCE, octets(t, []byte("ocsp 2")))}
	q.CRLs = [][]byte{aList(t)}
	return q
}

// aList is a revocation list of nobody.
func aList(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	by := &x509.Certificate{Subject: pkix.Name{CommonName: "Nobody"}, SubjectKeyId: []byte{1}, KeyUsage: x509.KeyUsageCRLSign}
	now := time.Now()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}, by, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// archived adds an archive time-stamp by h to parts.
func archived(t testing.TB, p cms.Parts, content []byte, h crypto.Hash) cms.Parts {
	t.Helper()
	imprint, index, err := cms.ArchiveImprintOf(p, sum(h, content), h)
	if err != nil {
		t.Fatal(err)
	}
	token, err := cms.WithHashIndex(newPerson(t, "P-256").stamp(t, imprint, h), index)
	if err != nil {
		t.Fatal(err)
	}
	p.Archive = append(slices.Clone(p.Archive), token)
	return p
}

func parse(t testing.TB, der []byte) *cms.SignedData {
	t.Helper()
	sd, err := cms.Parse(der, cms.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	return sd
}

// TestEveryLevelIsReadBack: B-B to B-LTA and a second archive time-stamp,
// detached and attached, from parts and by adding to a file: the same bytes.
func TestEveryLevelIsReadBack(t *testing.T) {
	content := bytes.Repeat([]byte("content "), 1000)
	for kind := range kinds {
		p := newPerson(t, kind)
		lt := p.longTerm(t, content)
		bt := lt
		bt.ExtraCertificates, bt.OCSPs, bt.CRLs = nil, nil, nil
		lta := archived(t, lt, content, crypto.SHA512)
		again := archived(t, lta, content, p.alg.Hash())

		der := assemble(t, bt)
		if der = added(t, der, lt); !bytes.Equal(der, assemble(t, lt)) {
			t.Errorf("%s: data added later give other bytes", kind)
		}
		if same := added(t, der, lt); !bytes.Equal(der, same) {
			t.Errorf("%s: data that are there change the file", kind)
		}
		for i, level := range []cms.Parts{lta, again} {
			var err error
			if der, err = cms.AddArchiveTimeStamp(der, level.Archive[i]); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(der, assemble(t, level)) {
				t.Errorf("%s: archive time-stamp %d added later gives other bytes", kind, i)
			}
		}
		for i, level := range []cms.Parts{bt, lt, lta, again} {
			sd := parse(t, assemble(t, level))
			checkLevel(t, p, sd, content, max(0, i-1))
			before, after, err := cms.Frame(level, int64(len(content)))
			if err != nil {
				t.Fatal(err)
			}
			whole := slices.Concat(before, content, after)
			attached := parse(t, whole)
			if !bytes.Equal(attached.Content, content) {
				t.Errorf("%s: the content is another", kind)
			}
			checkLevel(t, p, attached, content, max(0, i-1))
			at, err := cms.ParseAt(bytes.NewReader(whole), int64(len(whole)), cms.Budget{Bytes: len(whole) - len(content) + 10})
			if err != nil {
				t.Fatal(err)
			}
			if got := whole[at.ContentOffset : at.ContentOffset+at.ContentSize]; !bytes.Equal(got, content) || at.Content != nil || !at.HasContent {
				t.Errorf("%s: the content is elsewhere: %d, %d", kind, at.ContentOffset, at.ContentSize)
			}
			checkLevel(t, p, at, content, max(0, i-1))
		}
	}
}

func added(t testing.TB, der []byte, p cms.Parts) []byte {
	t.Helper()
	der, err := cms.AddValidationData(der, p.ExtraCertificates, p.OCSPs, p.CRLs)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func checkLevel(t *testing.T, p person, sd *cms.SignedData, content []byte, archives int) {
	t.Helper()
	si := &sd.SignerInfos[0]
	if err := si.VerifyValue(p.cert, p.digest(content)); err != nil {
		t.Error(err)
	}
	if n := len(si.ArchiveTimeStamps()); n != archives {
		t.Errorf("%d archive time-stamps, %d put in", n, archives)
	}
	if want := map[bool]int{true: 5, false: 1}[len(sd.OCSPs()) > 0]; sd.Version != want {
		t.Errorf("version %d", sd.Version)
	}
	for _, token := range si.ArchiveTimeStamps() {
		a, err := cms.VerifyArchive(sd, si, token, contentOf(content))
		if err != nil {
			t.Error(err)
			continue
		}
		if a.IndexVersion != 3 || len(a.Certificates) != len(sd.Certificates) || len(a.Revocations) != 3 || len(a.Unsigned) == 0 {
			t.Errorf("%+v", a)
		}
		if _, err := cms.VerifyArchive(sd, si, token, contentOf([]byte("other"))); code(err) != cms.CodeArchive {
			t.Errorf("over another content: %v", err)
		}
	}
}

// TestWhatAnArchiveTimeStampCoversCannotChange: any element that the index
// names, any field of the signature, the index, and the token.
func TestWhatAnArchiveTimeStampCoversCannotChange(t *testing.T) {
	content := []byte("content")
	p := newPerson(t, "P-256")
	parts := archived(t, p.longTerm(t, content), content, crypto.SHA256)
	good := assemble(t, parts)
	verify := func(der []byte) error {
		sd, err := cms.Parse(der, cms.Budget{})
		if err != nil {
			return err
		}
		list := sd.SignerInfos[0].ArchiveTimeStamps()
		if len(list) != 1 {
			return os.ErrNotExist
		}
		_, err = cms.VerifyArchive(sd, &sd.SignerInfos[0], list[0], contentOf(content))
		return err
	}
	if err := verify(good); err != nil {
		t.Fatal(err)
	}
	// Not covered: headers around the elements, digestAlgorithms, and of the token
	// all but imprint and index, which tsa.Token.Verify holds.
	sd := parse(t, good)
	var covered [][]byte
	for _, list := range [][][]byte{sd.RawCertificates, sd.RawCRLs, {sd.SignerInfos[0].Value, parts.SignedAttrs[1:], parts.TimeStampToken}} {
		covered = append(covered, list...)
	}
	changed := 0
	for _, one := range covered {
		at := bytes.Index(good, one)
		if at < 0 {
			t.Fatal("an element is not in the file")
		}
		for i := range one {
			bad := bytes.Clone(good)
			bad[at+i] ^= 1
			if changed++; verify(bad) == nil {
				t.Errorf("byte %d changed: still over it", at+i)
			}
		}
	}
	index := indexOf(t, parts.Archive[0])
	at := bytes.LastIndex(good, index)
	for i := range index {
		bad := bytes.Clone(good)
		bad[at+i] ^= 1
		if verify(bad) == nil {
			t.Errorf("byte %d of the index changed: still over it", i)
		}
	}
	t.Logf("%d bytes changed", changed+len(index))
	for name, change := range map[string]func(q *cms.Parts){
		"a certificate taken out": func(q *cms.Parts) { q.ExtraCertificates = q.ExtraCertificates[1:] },
		"an OCSP taken out":       func(q *cms.Parts) { q.OCSPs = q.OCSPs[1:] },
		"the list taken out":      func(q *cms.Parts) { q.CRLs = nil },
		"the time-stamp out":      func(q *cms.Parts) { q.TimeStampToken = nil },
		"another signature":       func(q *cms.Parts) { q.Value = p.cadesParts(t, content).Value },
	} {
		q := parts
		change(&q)
		if _, err := cms.Assemble(q); err == nil {
			t.Errorf("%s: assembled", name)
		}
		if _, _, err := cms.Frame(q, 7); err == nil {
			t.Errorf("%s: framed", name)
		}
	}
}

// indexOf gives the hash index in a token, DER.
func indexOf(t testing.TB, token []byte) []byte {
	t.Helper()
	for _, a := range parse(t, token).SignerInfos[0].Unsigned {
		if a.Type.Equal(cms.OIDHashIndexV3) {
			return a.Values[0]
		}
	}
	t.Fatal("no index")
	return nil
}

// TestMoreThanTheIndexNamesIsNotCovered: what came later may be there, and is
// not proven.
func TestMoreThanTheIndexNamesIsNotCovered(t *testing.T) {
	content := []byte("content")
	p := newPerson(t, "P-256")
	der := assemble(t, archived(t, p.longTerm(t, content), content, crypto.SHA256))
	late := wrapped(t, casn1.SEQUENCE, octets(t, []byte("late")))
	more, err := cms.AddValidationData(der, nil, nil, [][]byte{late})
	if err != nil {
		t.Fatal(err)
	}
	sd := parse(t, more)
	si := &sd.SignerInfos[0]
	a, err := cms.VerifyArchive(sd, si, si.ArchiveTimeStamps()[0], contentOf(content))
	if err != nil {
		t.Fatal(err)
	}
	if len(sd.CRLs()) != 2 || slices.ContainsFunc(a.Revocations, func(r []byte) bool { return bytes.Equal(r, late) }) || len(a.Revocations) != 3 {
		t.Error("a list that came after the time-stamp counts as covered")
	}
}

func TestAdditionsAreHeldToTheirForm(t *testing.T) {
	content := []byte("content")
	p := newPerson(t, "P-256")
	lt := p.longTerm(t, content)
	der := assemble(t, lt)
	imprint, index, err := cms.ArchiveImprint(der, sum(crypto.SHA256, content), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	unit := newPerson(t, "P-256")
	plain := unit.stamp(t, imprint, crypto.SHA256)
	token, err := cms.WithHashIndex(plain, index)
	if err != nil {
		t.Fatal(err)
	}
	try := func(_ []byte, err error) error { return err }
	longer := assemble(t, archived(t, lt, content, crypto.SHA256))
	for name, tc := range map[string]struct {
		err  error
		code string
	}{
		"a token without index":   {try(cms.AddArchiveTimeStamp(der, plain)), cms.CodeArchiveIndex},
		"not a token":             {try(cms.AddArchiveTimeStamp(der, der)), cms.CodeMalformed},
		"index of another file":   {try(cms.AddArchiveTimeStamp(assemble(t, p.cadesParts(t, content)), token)), cms.CodeArchiveIndex},
		"a second index":          {try(cms.WithHashIndex(token, index)), cms.CodeArchiveIndex},
		"no index":                {try(cms.WithHashIndex(plain, nil)), cms.CodeArchiveIndex},
		"index by another hash":   {try(cms.WithHashIndex(unit.stamp(t, sum(crypto.SHA512, content), crypto.SHA512), index)), cms.CodeArchiveIndex},
		"a list with a tail":      {try(cms.AddValidationData(der, nil, nil, [][]byte{append(bytes.Clone(lt.CRLs[0]), 0)})), cms.CodeTrailingData},
		"a list that is none":     {try(cms.AddValidationData(der, nil, nil, [][]byte{{4, 0}})), cms.CodeMalformed},
		"an OCSP that is none":    {try(cms.AddValidationData(der, nil, [][]byte{nil}, nil)), cms.CodeMalformed},
		"an indefinite length":    {try(cms.AddValidationData(der, [][]byte{{0x30, 0x80, 0, 0}}, nil, nil)), cms.CodeNotDER},
		"a short digest":          {second(cms.ArchiveImprint(der, make([]byte, 31), crypto.SHA256)), cms.CodeArchive},
		"no digest, and detached": {second(cms.ArchiveImprint(der, nil, crypto.SHA256)), cms.CodeArchive},
		"MD5":                     {second(cms.ArchiveImprint(der, make([]byte, 16), crypto.MD5)), cms.CodeAlgorithm},
		"a negative size":         {second(cms.Frame(lt, -1)), cms.CodeTooLarge},
		"good":                    {try(cms.AddArchiveTimeStamp(der, token)), ""},
		"good, a second one":      {try(cms.AddArchiveTimeStamp(longer, token)), ""},
	} {
		if tc.err == nil && tc.code == "" {
			continue
		}
		if code(tc.err) != tc.code {
			t.Errorf("%s: %v", name, tc.err)
		}
	}
}

func second(_, _ []byte, err error) error { return err }

// TestOldArchiveFormsAreNotBroken: nothing is added beside an archive time-stamp
// that is over the SignedData as a whole.
func TestOldArchiveFormsAreNotBroken(t *testing.T) {
	const corpora = "../../shared/corpora/files"
	der, err := os.ReadFile(filepath.Join(corpora, "30257c9b50969995.p7s"))
	if os.IsNotExist(err) {
		t.Skipf("%s is absent", corpora)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.AddValidationData(der, nil, nil, [][]byte{{0x30, 0}}); code(err) != cms.CodeArchiveForm {
		t.Error(err)
	}
	if same, err := cms.AddValidationData(der, nil, nil, nil); err != nil || !bytes.Equal(same, der) {
		t.Error(err)
	}
}

// TestOthersArchiveTimeStamps recomputes imprint and index of every
// archive-time-stamp-v3 of the corpora (specs/ades.md §9.3). The names of the
// files that must not fit say so themselves.
func TestOthersArchiveTimeStamps(t *testing.T) {
	const corpora = "../../shared/corpora/files"
	refused := map[string]string{
		"0c170860100147c9.p7m": cms.CodeArchiveIndex, // …removed_ocsp: a certificate and a response are gone
		"10d7e43b86a2a779.cms": cms.CodeArchiveIndex, // …broken-sig-tst-and-ats-v3
		"4c800490f775bc7b.p7m": cms.CodeArchiveIndex, // …dss1956: four indexes in one token
		"532c4d16759695b9.p7m": cms.CodeArchiveIndex, // …wrong-cert
		"82875c47f351ef07.p7m": cms.CodeArchive,      // …modified_ats_hash_element
		"eb8636f8582cf78b.p7m": cms.CodeArchiveIndex, // …copied-atst: the token lies where an archive's does and has no index
	}
	files, err := filepath.Glob(filepath.Join(corpora, "*"))
	if err != nil || len(files) == 0 {
		t.Skipf("%s is absent: nothing was compared", corpora)
	}
	versions := map[int]int{}
	bad := map[string]bool{}
	for _, path := range files {
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".pdf") {
			continue
		}
		der, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sd, err := cms.Parse(der, cms.Budget{})
		if err != nil || !sd.HasContent {
			continue
		}
		for i := range sd.SignerInfos {
			for _, token := range sd.SignerInfos[i].ArchiveTimeStamps() {
				a, err := cms.VerifyArchive(sd, &sd.SignerInfos[i], token, contentOf(sd.Content))
				if code(err) != refused[name] {
					t.Errorf("%s: %v", name, err)
				}
				if err != nil {
					bad[name] = true
				}
				versions[a.IndexVersion]++
			}
		}
	}
	t.Logf("fitting, by version of the index: %v", versions)
	if versions[1] < 6 || versions[3] < 2 || len(bad) != len(refused) {
		t.Errorf("%v fit, %v do not", versions, bad)
	}
}

// TestContentStaysInTheFile: a content beyond 4 GiB, which is not there at all.
func TestContentStaysInTheFile(t *testing.T) {
	p := newPerson(t, "P-256")
	for _, size := range []int64{0, 1, 0x7F, 0x80, 0xFFFF, 1 << 20, 5 << 30, 1 << 50} {
		parts := p.longTerm(t, []byte("content"))
		before, after, err := cms.Frame(parts, size)
		if err != nil {
			t.Fatal(err)
		}
		f := holed{before, after, size}
		sd, err := cms.ParseAt(f, f.size(), cms.Budget{})
		if err != nil {
			t.Errorf("%d: %v", size, err)
			continue
		}
		if sd.ContentOffset != int64(len(before)) || sd.ContentSize != size || len(sd.SignerInfos) != 1 {
			t.Errorf("%d: %d, %d", size, sd.ContentOffset, sd.ContentSize)
		}
		if _, err := cms.ParseAt(f, f.size()-1, cms.Budget{}); err == nil {
			t.Errorf("%d: a cut file is read", size)
		}
	}
}

// holed is a file of before, size zeros, after.
type holed struct {
	before, after []byte
	content       int64
}

func (f holed) size() int64 { return int64(len(f.before)+len(f.after)) + f.content }

func (f holed) ReadAt(b []byte, off int64) (int, error) {
	for i := range b {
		switch at := off + int64(i); {
		case at < int64(len(f.before)):
			b[i] = f.before[at]
		case at < int64(len(f.before))+f.content:
			b[i] = 0
		case at < f.size():
			b[i] = f.after[at-int64(len(f.before))-f.content]
		default:
			return i, os.ErrInvalid
		}
	}
	return len(b), nil
}

// TestParseAtIsAsStrictAsParse: for each byte of a file changed.
func TestParseAtIsAsStrictAsParse(t *testing.T) {
	p := newPerson(t, "P-256")
	before, after, err := cms.Frame(p.cadesParts(t, []byte("content")), 7)
	if err != nil {
		t.Fatal(err)
	}
	good := slices.Concat(before, []byte("content"), after)
	for at := range good {
		for _, bit := range []byte{1, 0x20, 0x80, 0xFF} {
			bad := bytes.Clone(good)
			bad[at] ^= bit
			_, err1 := cms.Parse(bad, cms.Budget{})
			_, err2 := cms.ParseAt(bytes.NewReader(bad), int64(len(bad)), cms.Budget{})
			if (err1 == nil) != (err2 == nil) {
				t.Errorf("byte %d ^ %02x: %v; %v", at, bit, err1, err2)
			}
		}
	}
}

// TestLargeLists: a list of two million entries is one element, and goes with
// an archive time-stamp through everything that handles whole files.
func TestLargeLists(t *testing.T) {
	content := []byte("content")
	p := newPerson(t, "P-256")
	parts := p.cadesParts(t, content)
	parts.CRLs = [][]byte{wrapped(t, casn1.SEQUENCE, bytes.Repeat([]byte{0x30, 3, 2, 1, 5}, 2_000_000))}
	parts = archived(t, parts, content, crypto.SHA256)
	der := assemble(t, parts)
	sd, err := cms.Parse(der, cms.WholeFile())
	if err != nil || len(sd.CRLs()) != 1 || sd.Version != 1 {
		t.Fatal(err)
	}
	if _, err := cms.VerifyArchive(sd, &sd.SignerInfos[0], parts.Archive[0], contentOf(content)); err != nil {
		t.Error(err)
	}
	if _, err := cms.AddValidationData(der, nil, nil, [][]byte{aList(t)}); err != nil {
		t.Error(err)
	}
	if _, err := cms.Parse(der, cms.Budget{}); code(err) != cms.CodeTooLarge {
		t.Errorf("as a signature alone: %v", err)
	}
}

// TestOCSPsOfOthers: the response as RFC 5940 has it, and the basic one alone.
func TestOCSPsOfOthers(t *testing.T) {
	p := newPerson(t, "P-256")
	basic := wrapped(t, casn1.SEQUENCE, octets(t, []byte("basic")))
	choice := wrapped(t, casn1.Tag(1).Constructed().ContextSpecific(), oid(t, cms.OIDBasicOCSPResponse), basic)
	parts := p.cadesParts(t, []byte("content"))
	parts.OCSPs = [][]byte{basic}
	own := parse(t, assemble(t, parts)).RawCRLs[0]
	der := assemble(t, parts)
	// The same length of type would be needed to swap in place; so take the choice apart here.
	if got := parse(t, der).OCSPs(); len(got) != 1 || !bytes.Equal(got[0], basic) || !bytes.Contains(own, oid(t, cms.OIDOCSPResponse)) {
		t.Errorf("%x", got)
	}
	sd := &cms.SignedData{RawCRLs: [][]byte{choice, {0x30, 0}, {0xA1, 0}}}
	got := sd.OCSPs()
	if len(got) != 1 || !bytes.HasPrefix(got[0][2:], []byte{0x0A, 1, 0, 0xA0}) || !bytes.Contains(got[0], basic) || len(sd.CRLs()) != 1 {
		t.Errorf("%x", got)
	}
}
