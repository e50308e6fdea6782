package validate_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

var text = bytes.Repeat([]byte("a document that is no PDF\n"), 1000)

func sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

// cades signs text to level B-T, at w.now.
func (w *world) cades(t testing.TB, change func(*cms.Parts)) cms.Parts {
	t.Helper()
	attrs, err := w.alg.CAdESAttributes(sum(w.alg.Hash(), text), w.leaf, w.now, "text/plain")
	check(t, err)
	return w.signAttributes(t, attrs, change)
}

func (w *world) signAttributes(t testing.TB, attrs []byte, change func(*cms.Parts)) cms.Parts {
	t.Helper()
	value, err := w.key.Sign(rand.Reader, sum(w.alg.Hash(), attrs), w.alg.Options())
	check(t, err)
	p := cms.Parts{SignedAttrs: attrs, Value: value, Certificate: w.leaf, Chain: []*x509.Certificate{w.issuing}}
	p.TimeStampToken = w.token(t, sum(crypto.SHA256, value), w.now)
	if change != nil {
		change(&p)
	}
	return p
}

func withData(p cms.Parts, m pdf.Material) cms.Parts {
	p.ExtraCertificates, p.OCSPs, p.CRLs = m.Certificates, m.OCSPs, m.CRLs
	return p
}

// archive adds an archive time-stamp over content.
func (w *world) archive(t testing.TB, p cms.Parts, content []byte, at time.Time) cms.Parts {
	t.Helper()
	imprint, index, err := cms.ArchiveImprintOf(p, sum(crypto.SHA256, content), crypto.SHA256)
	check(t, err)
	token, err := cms.WithHashIndex(w.token(t, imprint, at), index)
	check(t, err)
	p.Archive = append(slices.Clone(p.Archive), token)
	return p
}

// file is a CMS with what belongs to it.
type file struct {
	der  []byte
	data validate.Data
}

func detached(t testing.TB, p cms.Parts) file {
	t.Helper()
	der, err := cms.Assemble(p)
	check(t, err)
	return file{der, validate.Data{Reader: bytes.NewReader(text), Size: int64(len(text))}}
}

func attached(t testing.TB, p cms.Parts) file {
	t.Helper()
	before, after, err := cms.Frame(p, int64(len(text)))
	check(t, err)
	return file{der: slices.Concat(before, text, after)}
}

func (w *world) askCMS(t testing.TB, f file, at time.Time, change func(*validate.Options)) *validate.Report {
	t.Helper()
	rep, err := w.tryCMS(f, at, change)
	check(t, err)
	return rep
}

func (w *world) tryCMS(f file, at time.Time, change func(*validate.Options)) (*validate.Report, error) {
	o := validate.Options{Roots: w.roots, At: at}
	if change != nil {
		change(&o)
	}
	return validate.CMS(context.Background(), bytes.NewReader(f.der), int64(len(f.der)), f.data, o)
}

// TestEveryLevelOfCAdES: each level with each algorithm, attached, detached, and
// detached by its digest alone.
func TestEveryLevelOfCAdES(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "RSA-3072", "RSA-3072-PSS"} {
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			w := newWorld(t, kind)
			var err error
			w.alg, err = w.alg.WithHash(h)
			check(t, err)
			data := w.data(t)
			bt := w.cades(t, nil)
			bb := bt
			bb.TimeStampToken = nil
			lt := withData(bt, data)
			lta := w.archive(t, lt, text, w.at(3))
			for level, p := range map[string]cms.Parts{"B-B": bb, "B-T": bt, "B-LT": lt, "B-LTA": lta} {
				digests := detached(t, p)
				digests.data = validate.Data{Digests: map[crypto.Hash][]byte{h: sum(h, text), crypto.SHA256: sum(crypto.SHA256, text)}}
				for form, f := range map[string]file{"attached": attached(t, p), "detached": detached(t, p), "digests": digests} {
					name := strings.Join([]string{kind, h.String(), level, form}, " ")
					change := func(o *validate.Options) {
						if level == "B-B" || level == "B-T" {
							o.Material = data
						}
					}
					rep := w.askCMS(t, f, w.at(5), change)
					s := rep.Signatures[0]
					if rep.Indication != passed || s.Level != level || s.Signer != "Jo Doe (SANDBOX)" || !s.SignedAt.Equal(w.now.Truncate(time.Second)) {
						t.Errorf("%s: %v/%s %q %v", name, s.Indication, s.SubIndication, s.Level, s.Reasons)
					}
					if (level == "B-LTA") != (len(s.ArchiveTimeStamps) == 1) || len(s.Path) != 3 || (level == "B-B") != (len(s.TimeStamps) == 0) {
						t.Errorf("%s: %+v", name, s)
					}
				}
			}
		}
	}
}

func TestCAdESWithoutWhatItNeeds(t *testing.T) {
	w := newWorld(t, "P-256")
	bt := w.cades(t, nil)
	lta := w.archive(t, withData(bt, w.data(t)), text, w.at(3))
	verdict := func(f file) validate.SignatureReport { return w.askCMS(t, f, w.at(5), nil).Signatures[0] }

	want(t, verdict(detached(t, bt)), undecided, validate.TryLater, "B-B") // nor is its time-stamp proven
	f := detached(t, lta)
	f.data = validate.Data{}
	want(t, verdict(f), undecided, validate.SignedDataNotFound, "")
	f.data.Digests = map[crypto.Hash][]byte{crypto.SHA512: sum(crypto.SHA512, text)}
	want(t, verdict(f), undecided, validate.SignedDataNotFound, "")
	f.data.Digests = map[crypto.Hash][]byte{crypto.SHA256: sum(crypto.SHA256, []byte("other"))}
	want(t, verdict(f), failed, validate.HashFailure, "")
	f.data = validate.Data{Reader: strings.NewReader("other"), Size: 5}
	want(t, verdict(f), failed, validate.HashFailure, "")

	for name, data := range map[string]validate.Data{
		"a short file":   {Reader: bytes.NewReader(text[:10]), Size: int64(len(text))},
		"a short digest": {Digests: map[crypto.Hash][]byte{crypto.SHA256: make([]byte, 31)}},
	} {
		f.data = data
		if rep, err := w.tryCMS(f, w.at(5), nil); err == nil {
			t.Errorf("%s: %+v", name, rep)
		}
	}
	f = attached(t, lta)
	f.data = validate.Data{Reader: bytes.NewReader(text), Size: int64(len(text))}
	if rep, err := w.tryCMS(f, w.at(5), nil); err == nil {
		t.Errorf("two contents: %+v", rep)
	}
	f.data, f.der = validate.Data{}, f.der[:len(f.der)-1]
	if _, err := w.tryCMS(f, w.at(5), nil); !isCMS(err) {
		t.Errorf("a cut file: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f = attached(t, lta)
	if _, err := validate.CMS(ctx, bytes.NewReader(f.der), int64(len(f.der)), f.data, validate.Options{Roots: w.roots, At: w.now}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func isCMS(err error) bool { _, ok := errors.AsType[*cms.Error](err); return ok }

// TestNoChangedByteOfACAdESPasses changes every byte of a B-LTA in turn.
func TestNoChangedByteOfACAdESPasses(t *testing.T) {
	w := newWorld(t, "P-256")
	p := w.archive(t, withData(w.cades(t, nil), w.data(t)), text, w.at(3))
	good := detached(t, p)
	rep := w.askCMS(t, good, w.at(5), nil)
	want(t, rep.Signatures[0], passed, "", "B-LTA")
	step := 3
	if testing.Short() {
		step = 17
	}
	for at := 0; at < len(good.der); at += step {
		bad := good
		bad.der = bytes.Clone(good.der)
		bad.der[at] ^= 1 << (at % 7)
		if rep, err := w.tryCMS(bad, w.at(5), nil); err == nil && rep.Indication == passed {
			t.Errorf("byte %d of %d changed: still passed, level %s", at, len(good.der), rep.Signatures[0].Level)
		}
	}
}

// TestArchiveTimeStampsOutliveWhatTheyCover: the signer's certificate, the
// issuing CA and the first unit are over; a chain of two archive time-stamps
// still proves the signature, one does not.
func TestArchiveTimeStampsOutliveWhatTheyCover(t *testing.T) {
	w := newWorld(t, "P-256")
	begin := w.now.Truncate(time.Millisecond)
	lta := w.archive(t, withData(w.cades(t, nil), w.data(t)), text, w.at(3))
	s := w.askCMS(t, attached(t, lta), w.leaf.NotAfter.Add(time.Hour), nil).Signatures[0]
	want(t, s, passed, "", "B-LTA") // the unit's certificate is still good
	// A year later a new unit takes over, with new data about the old one.
	first := w.unit
	w.now = w.now.AddDate(1, 0, -1)
	w.newUnit(t, w.now.Add(-time.Hour))
	again := lta
	again.ExtraCertificates = append(slices.Clone(lta.ExtraCertificates), w.unit.Raw, first.Raw)
	again.CRLs = append(slices.Clone(lta.CRLs), w.crl(t, w.root, w.at(-60), w.at(30*86400)))
	again = w.archive(t, again, text, w.now)
	at := w.unit.NotAfter.Add(-time.Hour) // of the leaf and of the first unit nothing is left
	fresh := func(o *validate.Options) {
		o.Material.CRLs = [][]byte{w.crl(t, w.root, at.Add(-time.Hour), at.AddDate(0, 1, 0))}
	}
	for form, p := range map[string]file{"attached": attached(t, again), "detached": detached(t, again)} {
		s := w.askCMS(t, p, at, fresh).Signatures[0]
		want(t, s, passed, "", "B-LTA")
		if len(s.ArchiveTimeStamps) != 2 || !s.BestTime.Equal(begin) {
			t.Errorf("%s: %+v", form, s)
		}
	}
	if s := w.askCMS(t, attached(t, lta), at, fresh).Signatures[0]; s.Indication == passed {
		t.Errorf("without the second one: %+v", s)
	}
}

// TestArchiveTimeStampsThatDoNotFit: each is said, none is overlooked.
func TestArchiveTimeStampsThatDoNotFit(t *testing.T) {
	w := newWorld(t, "P-256")
	lt := withData(w.cades(t, nil), w.data(t))
	good := w.archive(t, lt, text, w.at(3))
	der := func(p cms.Parts) []byte { return detached(t, p).der }
	put := func(base []byte, token []byte) []byte {
		out, err := cms.AddArchiveTimeStamp(base, token)
		check(t, err)
		return out
	}
	imprint, index, err := cms.ArchiveImprint(der(lt), sum(crypto.SHA256, text), crypto.SHA256)
	check(t, err)
	indexed := func(token []byte) []byte {
		out, err := cms.WithHashIndex(token, index)
		check(t, err)
		return out
	}
	stranger := newWorld(t, "P-256")
	// The unit that is asked second has a clock behind the first one's.
	turned := w.archive(t, lt, text, w.at(400))
	w.newUnit(t, w.from)
	turned.ExtraCertificates = append(slices.Clone(turned.ExtraCertificates), w.unit.Raw)
	turned = w.archive(t, turned, text, w.at(4))
	more, err := cms.AddValidationData(der(lt), nil, nil, [][]byte{w.crl(t, w.root, w.at(2), w.at(9999))})
	check(t, err)
	for name, tc := range map[string]struct {
		der   []byte
		sub   string
		level string
	}{
		"over another content":   {put(der(lt), indexed(w.token(t, sum(crypto.SHA256, text), w.at(5)))), validate.SigConstraintsFailure, "B-T"},
		"a unit of others":       {put(der(lt), indexed(stranger.token(t, imprint, w.at(3)))), validate.NoCertificateChain, "B-T"},
		"data that came later":   {put(more, good.Archive[0]), "", "B-LTA"},
		"from the future":        {put(der(lt), indexed(w.token(t, imprint, w.at(3600)))), validate.SigConstraintsFailure, "B-T"},
		"younger than its cover": {der(turned), validate.TimeStampOrderFailure, "B-T"},
	} {
		f := file{tc.der, validate.Data{Reader: bytes.NewReader(text), Size: int64(len(text))}}
		s := w.askCMS(t, f, w.at(500), nil).Signatures[0]
		t.Run(name, func(t *testing.T) {
			if tc.sub == "" {
				want(t, s, passed, "", tc.level)
			} else {
				want(t, s, undecided, tc.sub, tc.level)
			}
		})
	}
}

// TestCAdESProfile: what CAdES baseline has and has not.
func TestCAdESProfile(t *testing.T) {
	w := newWorld(t, "P-256")
	data := w.data(t)
	pades, err := w.alg.SignedAttributes(sum(w.alg.Hash(), text), w.leaf)
	check(t, err)
	good, err := w.alg.CAdESAttributes(sum(w.alg.Hash(), text), w.leaf, w.now, "")
	check(t, err)
	early, err := w.alg.CAdESAttributes(sum(w.alg.Hash(), text), w.leaf, w.leaf.NotBefore.Add(-time.Hour), "")
	check(t, err)
	for name, tc := range map[string]struct {
		attrs []byte
		sub   string
	}{
		"good":                      {good, ""},
		"no signing-time":           {pades, validate.SigConstraintsFailure},
		"a time before certificate": {early, validate.SigConstraintsFailure},
	} {
		p := withData(w.signAttributes(t, tc.attrs, nil), data)
		s := w.askCMS(t, attached(t, p), w.at(5), nil).Signatures[0]
		if tc.sub == "" {
			want(t, s, passed, "", "B-LT")
		} else if s.Indication != undecided || s.SubIndication != tc.sub {
			t.Errorf("%s: %v/%s", name, s.Indication, s.SubIndication)
		}
	}
	// The other way round: a CAdES signature is none of a PDF.
	doc := w.sign(t, base(t), recipe{attrs: func(digest []byte) []byte {
		attrs, err := w.alg.CAdESAttributes(digest, w.leaf, w.now, "")
		check(t, err)
		return attrs
	}})
	s := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Material = data }).Signatures[0]
	want(t, s, undecided, validate.SigConstraintsFailure, "")
}

// TestRevokedCAdES: a revocation after the time-stamp does no harm, one before
// does.
func TestRevokedCAdES(t *testing.T) {
	w := newWorld(t, "P-256")
	for name, tc := range map[string]struct {
		revoked time.Time
		want    validate.Indication
		sub     string
	}{
		"after":  {w.at(2), passed, ""},
		"before": {w.at(-2), undecided, validate.RevokedNoPOE},
	} {
		m := w.data(t)
		m.OCSPs = [][]byte{w.ocsp(t, says{at: w.at(3), revoked: tc.revoked, reason: 1})}
		s := w.askCMS(t, attached(t, withData(w.cades(t, nil), m)), w.at(5), nil).Signatures[0]
		if s.Indication != tc.want || s.SubIndication != tc.sub {
			t.Errorf("%s: %v/%s %v", name, s.Indication, s.SubIndication, s.Reasons)
		}
	}
}

// TestSeveralSignersOfOneContent: each gets a verdict, the worst is the file's.
func TestSeveralSignersOfOneContent(t *testing.T) {
	w := newWorld(t, "P-256")
	p := withData(w.cades(t, nil), w.data(t))
	one := detached(t, p)
	der := twoSigners(t, one.der)
	rep, err := w.tryCMS(file{der, one.data}, w.at(5), nil)
	check(t, err)
	if len(rep.Signatures) != 2 || rep.Signatures[0].FieldName != "#0" || rep.Signatures[1].FieldName != "#1" || rep.Indication != undecided {
		t.Errorf("%+v", rep)
	}
	// The same token at two signatures.
	if !strings.Contains(strings.Join(rep.Signatures[1].Reasons, " "), "elsewhere too") {
		t.Errorf("%v", rep.Signatures[1].Reasons)
	}
	rep, err = w.tryCMS(file{der, one.data}, w.at(5), func(o *validate.Options) { o.MaxSignatures = 1 })
	check(t, err)
	if rep.Indication != undecided || len(rep.Signatures) != 1 {
		t.Errorf("%+v", rep)
	}
	rep, err = w.tryCMS(file{der, one.data}, w.at(5), func(o *validate.Options) { o.Only = []string{"#1", "#7"} })
	check(t, err)
	if len(rep.Signatures) != 1 || rep.Signatures[0].FieldName != "#1" || !strings.Contains(strings.Join(rep.Reasons, " "), `"#7"`) {
		t.Errorf("%+v", rep)
	}
}

// twoSigners repeats the SignerInfo of a file.
func twoSigners(t testing.TB, der []byte) []byte { return joined(t, der, der) }

// TestContentIsReadOnce and within the memory of a buffer.
func TestContentIsReadOnce(t *testing.T) {
	w := newWorld(t, "P-256")
	const size = 64 << 20
	h := crypto.SHA256.New()
	_, err := io.CopyN(h, zeros{}, size)
	check(t, err)
	attrs, err := w.alg.CAdESAttributes(h.Sum(nil), w.leaf, w.now, "")
	check(t, err)
	p := w.signAttributes(t, attrs, nil)
	der, err := cms.Assemble(p)
	check(t, err)
	r := &counting{}
	rep, err := validate.CMS(context.Background(), bytes.NewReader(der), int64(len(der)), validate.Data{Reader: r, Size: size},
		validate.Options{Roots: w.roots, At: w.at(5), NoRevocation: true})
	check(t, err)
	if rep.Indication != passed || r.read != size {
		t.Errorf("%v %v: %d bytes read", rep.Indication, rep.Reasons, r.read)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counting struct{ read int64 }

func (c *counting) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	c.read += int64(len(p))
	return len(p), nil
}
