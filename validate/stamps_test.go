package validate_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

// TestForgedDocumentTimeStamps: a later time-stamp that is not what it should
// be takes nothing from the signature, and the document does not pass.
func TestForgedDocumentTimeStamps(t *testing.T) {
	w, stranger := newWorld(t, "P-256"), newWorld(t, "P-256")
	lt := store(t, w.sign(t, base(t), recipe{}), w.data(t))
	list, err := pdf.Signatures(bytes.NewReader(lt), int64(len(lt)), pdf.Budget{})
	check(t, err)
	for name, tc := range map[string]struct {
		token func([]byte) []byte
		ind   validate.Indication
		sub   string
	}{
		"of another digest":     {func([]byte) []byte { return w.token(t, sha([]byte("another")), w.at(3)) }, failed, validate.HashFailure},
		"of an unknown unit":    {func(d []byte) []byte { return stranger.token(t, d, stranger.at(3)) }, undecided, validate.NoCertificateChain},
		"a changed value":       {func(d []byte) []byte { return changedValue(t, w.token(t, d, w.at(3))) }, failed, validate.SigCryptoFailure},
		"a signature, no token": {func([]byte) []byte { return list[0].CMS }, failed, validate.FormatFailure},
	} {
		t.Run(name, func(t *testing.T) {
			rep := w.ask(t, w.stampWith(t, lt, tc.token), w.at(10), nil)
			want(t, rep.Signatures[0], passed, "", "B-LT")
			s := rep.Signatures[1]
			want(t, s, tc.ind, tc.sub, "")
			if rep.Indication != tc.ind || rep.SubIndication != tc.sub || !s.BestTime.IsZero() {
				t.Errorf("document: %v/%s %v", rep.Indication, rep.SubIndication, s.BestTime)
			}
		})
	}
}

// TestCopiedDocumentTimeStamp: the token of one field in another field.
func TestCopiedDocumentTimeStamp(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.stamp(t, store(t, w.sign(t, base(t), recipe{}), w.data(t)), w.at(3))
	list, err := pdf.Signatures(bytes.NewReader(doc), int64(len(doc)), pdf.Budget{})
	check(t, err)
	rep := w.ask(t, w.stampWith(t, doc, func([]byte) []byte { return list[1].CMS }), w.at(10), nil)
	want(t, rep.Signatures[0], passed, "", "B-LTA")
	want(t, rep.Signatures[1], undecided, validate.SigConstraintsFailure, "")
	want(t, rep.Signatures[2], failed, validate.HashFailure, "")
	if rep.Indication != failed {
		t.Errorf("document: %v", rep.Indication)
	}
}

func sha(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

// changedValue changes the last byte of the signature value.
func changedValue(t testing.TB, token []byte) []byte {
	t.Helper()
	sd, err := cms.Parse(token, cms.Budget{})
	check(t, err)
	v := sd.SignerInfos[0].Value
	at := bytes.LastIndex(token, v)
	out := bytes.Clone(token)
	out[at+len(v)-1] ^= 1
	return out
}

// TestOrderOfTimeStamps: what is covered is older than what covers it.
func TestOrderOfTimeStamps(t *testing.T) {
	w := newWorld(t, "P-256")
	// The unit's clock goes on, so that the older time comes from another unit.
	bt := w.sign(t, base(t), recipe{at: w.at(600), claimed: w.now})
	w.newUnit(t, w.from)
	doc := w.stamp(t, bt, w.at(0))
	rep := w.ask(t, doc, w.at(1000), func(o *validate.Options) { o.NoRevocation = true })
	want(t, rep.Signatures[0], undecided, validate.TimeStampOrderFailure, "B-T")
	want(t, rep.Signatures[1], passed, "", "")
	// A signature over a time-stamp that is younger than its own.
	w = newWorld(t, "P-256")
	doc = w.stamp(t, base(t), w.at(600))
	w.newUnit(t, w.from)
	doc = w.sign(t, doc, recipe{})
	rep = w.ask(t, doc, w.at(1000), func(o *validate.Options) { o.NoRevocation = true })
	want(t, rep.Signatures[1], undecided, validate.TimeStampOrderFailure, "B-T")
	// A document time-stamp under an older one.
	w = newWorld(t, "P-256")
	doc = w.stamp(t, w.sign(t, base(t), recipe{}), w.at(600))
	w.newUnit(t, w.from)
	doc = w.stamp(t, doc, w.at(100))
	rep = w.ask(t, doc, w.at(1000), func(o *validate.Options) { o.NoRevocation = true })
	want(t, rep.Signatures[1], undecided, validate.TimeStampOrderFailure, "")
}

// TestDuplicatedTimeStamps: one token stands at one place.
func TestDuplicatedTimeStamps(t *testing.T) {
	w := newWorld(t, "P-256")
	var token []byte
	r := w.forge(t, nil, func(f *frame) {
		token = w.token(t, sha(f.value), w.now)
		f.unsigned = [][]byte{attribute(t, cms.OIDSignatureTimeStamp, token, token)}
	})
	s := w.ask(t, w.sign(t, base(t), r), w.at(5), func(o *validate.Options) { o.NoRevocation = true }).Signatures[0]
	want(t, s, undecided, validate.SigConstraintsFailure, "B-T")
	if !strings.Contains(strings.Join(s.Reasons, "|"), "elsewhere") {
		t.Errorf("%q", s.Reasons)
	}
	// Two different ones are two proofs; the earlier counts.
	r = w.forge(t, nil, func(f *frame) {
		f.unsigned = [][]byte{attribute(t, cms.OIDSignatureTimeStamp, w.token(t, sha(f.value), w.at(1)), w.token(t, sha(f.value), w.at(2)))}
	})
	s = w.ask(t, w.sign(t, base(t), r), w.at(5), func(o *validate.Options) { o.NoRevocation = true }).Signatures[0]
	want(t, s, passed, "", "B-T")
	if !s.BestTime.Equal(s.TimeStamps[0].GenTime) || len(s.TimeStamps) != 2 {
		t.Errorf("%+v", s)
	}
	// A crowd of them is refused, and not looked at one by one.
	r = w.forge(t, nil, func(f *frame) {
		all := make([][]byte, 200)
		for i := range all {
			all[i] = []byte{4, 1, byte(i)}
		}
		f.unsigned = [][]byte{attribute(t, cms.OIDSignatureTimeStamp, all...)}
	})
	s = w.ask(t, w.sign(t, base(t), r), w.at(5), func(o *validate.Options) { o.NoRevocation = true }).Signatures[0]
	if s.Indication == passed || len(s.TimeStamps) > 9 {
		t.Errorf("%d time-stamps, %v", len(s.TimeStamps), s.Indication)
	}
}

// TestArchivedFileIsOneFile: what is outside of the last range keeps every
// signature from passing (specs/eidas.md §7.6).
func TestArchivedFileIsOneFile(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.stamp(t, store(t, w.sign(t, base(t), recipe{}), w.data(t)), w.at(3))
	list, err := pdf.Signatures(bytes.NewReader(doc), int64(len(doc)), pdf.Budget{})
	check(t, err)
	padding := func(n int) []byte {
		bad := bytes.Clone(doc)
		bad[list[n].ContentsEnd-2] = '1'
		return bad
	}
	annotated := append(bytes.Clone(doc), "%"...)
	for name, bad := range map[string][]byte{
		"bytes behind the end":                       append(bytes.Clone(doc), "extra"...),
		"a comment behind the end":                   append(bytes.Clone(doc), "% and so on\n"...),
		"one byte behind the end":                    annotated,
		"the last byte cut":                          doc[:len(doc)-1],
		"the tail cut":                               doc[:len(doc)-7],
		"padding of the signature's Contents":        padding(0),
		"padding of the time-stamp's Contents":       padding(1),
		"a page's content changed in the first part": bytes.Replace(doc, []byte("/MediaBox"), []byte("/MediaBoy"), 1),
	} {
		if bytes.Equal(bad, doc) {
			t.Fatalf("%s: nothing was changed", name)
		}
		rep, err := validate.PDF(t.Context(), bytes.NewReader(bad), int64(len(bad)), validate.Options{Roots: w.roots, At: w.at(5)})
		if err == nil && rep.Indication == passed {
			t.Errorf("%s: passed", name)
		}
	}
	if rep := w.ask(t, doc, w.at(5), nil); rep.Indication != passed {
		t.Errorf("the whole: %+v", rep)
	}
}

// TestContentTimeStamp: a time-stamp of the content, under the signature, tells
// what the signature is younger than; a bad one is not overlooked.
func TestContentTimeStamp(t *testing.T) {
	w := newWorld(t, "P-256")
	signed := func(imprint func([]byte) []byte) validate.SignatureReport {
		r := recipe{attrs: func(digest []byte) []byte {
			good, err := cms.SignedAttributes(digest, w.leaf)
			check(t, err)
			return set(t, append(elements(t, good), attribute(t, cms.OIDContentTimeStamp, w.token(t, imprint(digest), w.at(0)))))
		}}
		r.rebuild = func(p cms.Parts) []byte {
			f := frame{attrs: p.SignedAttrs, algorithm: ecdsaSHA256, value: p.Value, signers: 1,
				unsigned: [][]byte{attribute(t, cms.OIDSignatureTimeStamp, w.token(t, sha(p.Value), w.at(10)))}}
			return f.der(t, p.Certificate, w.issuing)
		}
		r.noStamp = true
		return w.ask(t, w.sign(t, base(t), r), w.at(20), func(o *validate.Options) { o.NoRevocation = true }).Signatures[0]
	}
	same := func(d []byte) []byte { return d }
	s := signed(same)
	want(t, s, passed, "", "B-T")
	if !s.NotBefore.Equal(w.now.Truncate(time.Millisecond)) || len(s.TimeStamps) != 1 {
		t.Errorf("%+v", s)
	}
	w.now = w.now.Add(time.Minute) // the unit's clock goes on
	want(t, signed(sha), undecided, validate.SigConstraintsFailure, "B-T")
	w.now = w.now.Add(time.Hour)
	w.leaf = w.person(t, w.from, w.at(-600))
	s = signed(same)
	want(t, s, failed, validate.Expired, "B-T")
}

// TestNoChangedByteOfAnArchivedDocumentPasses changes bytes all over a B-LTA
// file, and closer together in its document time-stamp.
func TestNoChangedByteOfAnArchivedDocumentPasses(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.stamp(t, store(t, w.sign(t, base(t), recipe{}), w.data(t)), w.at(3))
	list, err := pdf.Signatures(bytes.NewReader(doc), int64(len(doc)), pdf.Budget{})
	check(t, err)
	s := list[1]
	var places []int64
	step := int64(5)
	if testing.Short() {
		step = 23
	}
	for at := int64(0); at < int64(len(doc)); at += 23 * step {
		places = append(places, at)
	}
	for at := s.ContentsStart - 400; at < s.ContentsStart+1+2*int64(len(s.CMS)); at += step {
		places = append(places, at)
	}
	for at := s.ContentsEnd - 2; at < int64(len(doc)); at++ {
		places = append(places, at)
	}
	for _, at := range places {
		bad := bytes.Clone(doc)
		bad[at] ^= 1
		if bytes.EqualFold(bad, doc) {
			continue
		}
		rep, err := validate.PDF(t.Context(), bytes.NewReader(bad), int64(len(bad)), validate.Options{Roots: w.roots, At: w.at(5)})
		if err == nil && rep.Indication == passed {
			t.Errorf("byte %d of %d changed: still passed (Contents %d to %d)", at, len(doc), s.ContentsStart, s.ContentsEnd)
		}
	}
	if len(places) < 150 {
		t.Errorf("only %d places", len(places))
	}
}
