package validate_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

// forgeCMS signs changed attributes and puts them into a changed frame. The
// value is always good over the attributes, so that only the defect can be at
// fault. Attached, and with a time-stamp.
func (w *world) forgeCMS(t testing.TB, attrs func([][]byte) [][]byte, change func(*frame)) []byte {
	t.Helper()
	good, err := w.alg.CAdESAttributes(sum(crypto.SHA256, text), w.leaf, w.now, "")
	check(t, err)
	if attrs != nil {
		good = set(t, attrs(elements(t, good)))
	}
	value, err := w.key.Sign(rand.Reader, sum(crypto.SHA256, good), crypto.SHA256)
	check(t, err)
	f := frame{content: text, attrs: good, algorithm: ecdsaSHA256, value: value, signers: 1,
		unsigned: [][]byte{attribute(t, cms.OIDSignatureTimeStamp, w.token(t, sha(value), w.now))}}
	if change != nil {
		change(&f)
	}
	return f.der(t, w.leaf, w.issuing)
}

// TestDefectsOfCAdES: one defect a case, all else as it should be.
func TestDefectsOfCAdES(t *testing.T) {
	w := newWorld(t, "P-256")
	null := []byte{5, 0}
	utf8 := func(s string) []byte {
		return build(t, func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
		})
	}
	unsigned := func(add ...[]byte) func(*frame) {
		return func(f *frame) { f.unsigned = append(f.unsigned, add...) }
	}
	for name, tc := range map[string]struct {
		attrs  func([][]byte) [][]byte
		change func(*frame)
		want   validate.Indication
		sub    string
	}{
		"good":            {nil, nil, passed, ""},
		"mime-type":       {adding(attribute(t, cms.OIDMimeType, utf8("text/plain"))), nil, passed, ""},
		"no signing-time": {without(t, cms.OIDSigningTime), nil, undecided, validate.SigConstraintsFailure},
		"signing-time with two": {func(l [][]byte) [][]byte {
			return append(without(t, cms.OIDSigningTime)(l), attribute(t, cms.OIDSigningTime, utcTime(t), utcTime(t)))
		}, nil, undecided, validate.SigConstraintsFailure},
		"no signing-certificate":      {without(t, cms.OIDSigningCertificateV2), nil, undecided, validate.NoSigningCertificate},
		"no message-digest":           {without(t, cms.OIDMessageDigest), nil, failed, validate.FormatFailure},
		"no content-type":             {without(t, cms.OIDContentType), nil, failed, validate.FormatFailure},
		"mime-type and content-hints": {adding(attribute(t, cms.OIDMimeType, utf8("a/b")), attribute(t, cms.OIDContentHints, null)), nil, undecided, validate.SigConstraintsFailure},
		"two policies":                {adding(attribute(t, cms.OIDSignaturePolicy, null, utf8("x"))), nil, undecided, validate.SigConstraintsFailure},
		"a policy store alone":        {nil, unsigned(attribute(t, cms.OIDSignaturePolicyStore, null)), undecided, validate.SigConstraintsFailure},
		"a countersignature": {nil, func(f *frame) {
			f.unsigned = append(f.unsigned, attribute(t, cms.OIDCounterSignature, build(t, func(b *cryptobyte.Builder) {
				f.signer(b, func(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
				}, w.leaf)
			})))
		}, passed, ""},
		"a countersignature that is none": {nil, unsigned(attribute(t, cms.OIDCounterSignature, null)), undecided, validate.SigConstraintsFailure},
		"algorithm protection of no value": {func(l [][]byte) [][]byte {
			return append(without(t, cms.OIDAlgorithmProtection)(l), attribute(t, cms.OIDAlgorithmProtection))
		}, nil, failed, validate.FormatFailure},
		"old archive form":      {nil, unsigned(attribute(t, cms.OIDArchiveTimeStampV2, null)), undecided, validate.SigConstraintsFailure},
		"archive is no token":   {nil, unsigned(attribute(t, cms.OIDArchiveTimeStampV3, null)), undecided, validate.SigConstraintsFailure},
		"archive without index": {nil, unsigned(attribute(t, cms.OIDArchiveTimeStampV3, w.token(t, sha(text), w.now))), undecided, validate.SigConstraintsFailure},
		"another content":       {nil, func(f *frame) { f.content = []byte("other") }, failed, validate.HashFailure},
		"another value":         {nil, func(f *frame) { f.value = otherValue(t, w.key) }, failed, validate.SigCryptoFailure},
		"no signed attributes":  {nil, func(f *frame) { f.attrs = nil }, failed, validate.FormatFailure},
		"no signer at all":      {nil, func(f *frame) { f.signers = 0 }, undecided, validate.Generic},
	} {
		der := w.forgeCMS(t, tc.attrs, tc.change)
		rep := w.askCMS(t, file{der: der}, w.at(5), func(o *validate.Options) { o.NoRevocation = true })
		if rep.Indication != tc.want || rep.SubIndication != tc.sub {
			var reasons []string
			for _, s := range rep.Signatures {
				reasons = append(reasons, s.Reasons...)
			}
			t.Errorf("%s: %v/%s %v", name, rep.Indication, rep.SubIndication, reasons)
		}
	}
}

// TestAttributesAreNoContent: signed attributes, passed off as a content that
// was signed without attributes (RFC 5652 §5.4 has both under one key).
func TestAttributesAreNoContent(t *testing.T) {
	w := newWorld(t, "P-256")
	der := w.forgeCMS(t, nil, func(f *frame) { f.content, f.attrs = f.attrs, nil })
	rep := w.askCMS(t, file{der: der}, w.at(5), func(o *validate.Options) { o.NoRevocation = true })
	if rep.Indication != failed {
		t.Errorf("%+v", rep)
	}
}

// TestContentTimeStampOfCAdES: it proves that the signature is younger.
func TestContentTimeStampOfCAdES(t *testing.T) {
	w := newWorld(t, "P-256")
	ask := func(imprint []byte) validate.SignatureReport {
		token := w.token(t, imprint, w.at(-5))
		der := w.forgeCMS(t, adding(attribute(t, cms.OIDContentTimeStamp, token)), nil)
		return w.askCMS(t, file{der: der}, w.at(5), func(o *validate.Options) { o.NoRevocation = true }).Signatures[0]
	}
	s := ask(sha(text))
	want(t, s, passed, "", "B-T")
	if !s.NotBefore.Equal(w.at(-5).Truncate(time.Millisecond)) || len(s.TimeStamps) != 1 {
		t.Errorf("%+v", s)
	}
	w.now = w.now.Add(time.Minute)
	want(t, ask(sha(text[1:])), undecided, validate.SigConstraintsFailure, "B-T")
}

// TestTheCMSOfAPDFIsHeldToPAdES, by its digest alone.
func TestTheCMSOfAPDFIsHeldToPAdES(t *testing.T) {
	w := newWorld(t, "P-256")
	pades, err := w.alg.SignedAttributes(sum(w.alg.Hash(), text), w.leaf)
	check(t, err)
	data := validate.Data{PDF: true, Digests: map[crypto.Hash][]byte{crypto.SHA256: sha(text)}}
	ask := func(f file) validate.SignatureReport {
		f.data = data
		return w.askCMS(t, f, w.at(5), func(o *validate.Options) { o.NoRevocation = true }).Signatures[0]
	}
	one := detached(t, w.signAttributes(t, pades, nil))
	want(t, ask(one), passed, "", "B-T")
	if s := ask(one); s.Coverage != "" || s.CoversWholeFile {
		t.Errorf("%+v: what of the PDF was signed is not known", s)
	}
	want(t, ask(detached(t, w.cades(t, nil))), undecided, validate.SigConstraintsFailure, "")
	two := twoSigners(t, one.der)
	if s := ask(file{der: two}); s.Indication != failed {
		t.Errorf("two signers: %+v", s)
	}
	// Both are looked for among certificates that were parsed once: 128 signers and 1500 of them took seconds.
	sd, err := cms.Parse(two, cms.Budget{})
	check(t, err)
	if a, b := sd.SignerInfos[0].Named(nil), sd.SignerInfos[1].Named(nil); len(a) != 1 || len(b) != 1 || a[0] != b[0] {
		t.Errorf("certificates of the signers: %p, %p", a, b)
	}
	f := attached(t, w.signAttributes(t, pades, nil))
	for _, f.data = range []validate.Data{data, {PDF: true}} {
		if rep, err := w.tryCMS(f, w.at(5), nil); err == nil {
			t.Errorf("a content inside: %+v", rep)
		}
	}
}

// TestFloodOfArchiveTimeStamps: more than are looked at never pass, and cost
// little.
func TestFloodOfArchiveTimeStamps(t *testing.T) {
	w := newWorld(t, "P-256")
	lta := w.archive(t, withData(w.cades(t, nil), w.data(t)), text, w.at(3))
	one := attribute(t, cms.OIDArchiveTimeStampV3, lta.Archive[0])
	w.now = w.at(4) // the unit's clock goes on
	der := w.forgeCMS(t, nil, func(f *frame) {
		for range 500 {
			f.unsigned = append(f.unsigned, one)
		}
	})
	begin := time.Now()
	rep := w.askCMS(t, file{der: der}, w.at(5), func(o *validate.Options) { o.NoRevocation = true })
	if rep.Indication == passed || !strings.Contains(strings.Join(rep.Signatures[0].Reasons, " "), "more of them") {
		t.Errorf("%v %v", rep.Indication, rep.Signatures[0].Reasons)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}

// FuzzCMS: no panic and no hang; and nothing but what was signed passes.
func FuzzCMS(f *testing.F) {
	w := newWorld(f, "P-256")
	f.Add(w.forgeCMS(f, adding(attribute(f, cms.OIDContentTimeStamp, w.token(f, sha(text), w.now))), nil))
	bt := w.cades(f, nil)
	lta := w.archive(f, withData(bt, w.data(f)), text, w.at(3))
	good := detached(f, lta)
	f.Add(good.der)
	f.Add(attached(f, lta).der)
	f.Add(detached(f, bt).der)
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, data := range []validate.Data{{}, good.data} {
			rep, err := w.tryCMS(file{der, data}, w.at(5), nil)
			if err == nil && rep.Indication == passed && !bytes.Contains(der, lta.Value) && !bytes.Contains(der, bt.Value) {
				t.Error("another signature passes")
			}
		}
	})
}

// TestHostileCAdESCosts: files as large as they may be, of what is looked at.
func TestHostileCAdESCosts(t *testing.T) {
	if testing.Short() {
		t.Skip("short: files of 30 MB are made")
	}
	w := newWorld(t, "P-256")
	bt := w.cades(t, nil)
	numbered := func(n int, size int) [][]byte {
		var out [][]byte
		for i := range n {
			out = append(out, build(t, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1Int64(int64(i))
					b.AddASN1OctetString(make([]byte, size))
				})
			}))
		}
		return out
	}
	// One list of the issuing CA, of half a million entries, under four archive
	// time-stamps: each is over all of it.
	entries := make([]certs.Revoked, 500_000)
	for i := range entries {
		entries[i] = certs.Revoked{Serial: new(big.Int).Lsh(big.NewInt(int64(i+1)), 90), At: w.from}
	}
	data := w.data(t)
	data.OCSPs = nil
	data.CRLs = append(data.CRLs, w.crl(t, w.issuing, w.at(1), w.at(86400), entries...))
	chain := withData(bt, data)
	for i := range 4 {
		chain = w.archive(t, chain, text, w.at(i+3))
	}
	w.now = w.at(20) // the unit's clock goes on
	// Attributes that nobody signed, under as many archive time-stamps as are looked
	// at and more.
	flood := w.forgeCMS(t, nil, func(f *frame) {
		f.unsigned = append(f.unsigned, attribute(t, cms.OIDSignaturePolicyStore, build(t, func(b *cryptobyte.Builder) { b.AddASN1OctetString(make([]byte, 28<<20)) })))
		for range 60 {
			f.unsigned = append(f.unsigned, attribute(t, cms.OIDArchiveTimeStampV3, chain.Archive[0]))
		}
	})
	cost(t, "large attributes", func() {
		if rep := w.askCMS(t, file{der: flood}, w.at(60), nil); rep.Indication == passed {
			t.Errorf("%+v", rep)
		}
	})
	// Frames of BER around a content as large as may be.
	large := slices.Concat([]byte{0x30, 0x80}, oidSignedData, []byte{0xA0, 0x80, 0x30, 0x80, 2, 1, 1, 0x31, 0, 0x30, 0x80}, oidData,
		[]byte{0xA0, 0x80, 0x24, 0x80}, octetString(t, make([]byte, 15<<20)), make([]byte, 6), []byte{0x31, 0}, make([]byte, 6))
	cost(t, "BER", func() {
		if rep := w.askCMS(t, file{der: large}, w.at(60), nil); rep.Indication != undecided {
			t.Errorf("%+v", rep)
		}
	})
	for name, p := range map[string]cms.Parts{
		"a list of half a million": chain,
		"30 000 lists":             withData(bt, pdf.Material{CRLs: numbered(30_000, 900)}),
		"30 000 certificates":      withData(bt, pdf.Material{Certificates: numbered(30_000, 900)}),
		"40 000 answers":           withData(bt, pdf.Material{OCSPs: numbered(40_000, 600)}),
	} {
		before, after, err := cms.Frame(p, int64(len(text)))
		check(t, err)
		der := slices.Concat(before, text, after)
		cost(t, name, func() {
			rep := w.askCMS(t, file{der: der}, w.at(60), nil)
			if got := rep.Signatures[0]; (got.Level == "B-LTA") != (len(p.Archive) > 0) {
				t.Errorf("%s: %v %q %v", name, got.Indication, got.Level, got.Reasons)
			}
		})
	}
}

var (
	oidSignedData = []byte{6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2}
	oidData       = []byte{6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1}
)

func octetString(t testing.TB, v []byte) []byte {
	return build(t, func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}
