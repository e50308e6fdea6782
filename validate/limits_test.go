package validate_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"tekend/certs"
	"tekend/pdf"
	"tekend/validate"
)

// large is a sound PDF with one stream of n bytes.
func large(n int) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	var at []int
	object := func(s string) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), s)
	}
	object("<</Type/Catalog/Pages 2 0 R>>")
	object("<</Type/Pages/Kids[3 0 R]/Count 1>>")
	object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R>>")
	at = append(at, b.Len())
	fmt.Fprintf(&b, "4 0 obj\n<</Length %d>>\nstream\n", n)
	line := bytes.Repeat([]byte("0 0 m 612 792 l S\n"), 1000)
	for n > 0 {
		k := min(n, len(line))
		b.Write(line[:k])
		n -= k
	}
	b.WriteString("\nendstream\nendobj\n")
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, a := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", a)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, start)
	return b.Bytes()
}

// BenchmarkValidate100MB compares a validation of a B-LTA file of 100 MB with
// SHA-256 over it; ratio is the one to the other.
func BenchmarkValidate100MB(b *testing.B) {
	w := newWorld(b, "P-256")
	doc := w.stamp(b, store(b, w.sign(b, large(100<<20), recipe{}), w.data(b)), w.at(3))
	path := filepath.Join(b.TempDir(), "large.pdf")
	check(b, os.WriteFile(path, doc, 0o600))
	size := int64(len(doc))
	doc = nil
	f, err := os.Open(path)
	check(b, err)
	defer f.Close()
	o := validate.Options{Roots: w.roots, At: w.at(5)}
	runtime.GC()
	b.SetBytes(size)
	b.ReportAllocs()
	var hashing, judging time.Duration
	for b.Loop() {
		start := time.Now()
		h := sha256.New()
		_, err := io.CopyBuffer(h, io.NewSectionReader(f, 0, size), make([]byte, 1<<20))
		check(b, err)
		hashing += time.Since(start)
		start = time.Now()
		rep, err := validate.PDF(b.Context(), f, size, o)
		check(b, err)
		judging += time.Since(start)
		if rep.Indication != passed || rep.Signatures[0].Level != "B-LTA" {
			b.Fatalf("%+v", rep)
		}
	}
	b.ReportMetric(judging.Seconds()/hashing.Seconds(), "ratio")
}

// cost runs what must stay within 5 s and 256 MB. Memory is what the heap holds
// at most, sampled; the time limit is wide, since the machine does other things.
func cost(t *testing.T, name string, f func()) {
	t.Helper()
	runtime.GC()
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)
	done := make(chan struct{})
	peak := make(chan uint64)
	go func() {
		most := uint64(0)
		for {
			select {
			case <-done:
				peak <- most
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&during)
				most = max(most, during.HeapInuse)
			}
		}
	}()
	start := time.Now()
	f()
	took := time.Since(start)
	close(done)
	grown := int64(<-peak) - int64(before.HeapInuse)
	t.Logf("%s: %v, %d MB", name, took.Round(time.Millisecond), grown>>20)
	if took > 20*time.Second || grown > 256<<20 {
		t.Errorf("%s: %v, %d MB", name, took, grown>>20)
	}
}

// TestHostileData: floods of what a validator looks at.
func TestHostileData(t *testing.T) {
	w := newWorld(t, "P-256")
	bt := w.sign(t, base(t), recipe{})
	good := w.data(t)
	// Thousands of issuers with the name and the key of the real one: each could
	// lead to the anchor, and none does.
	twins := pdf.Material{}
	stranger := newKey(t, "")
	for i := range 3000 {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: w.from, NotAfter: w.from.AddDate(5, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}, &x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}, RawSubject: w.issuing.RawSubject}, w.caKey.Public(), stranger)
		check(t, err)
		twins.Certificates = append(twins.Certificates, der)
	}
	answers := pdf.Material{}
	ca := &certs.OCSPResponder{Cert: w.issuing, Signer: w.caKey, Issuer: w.issuing}
	for i := range 900 {
		answers.OCSPs = append(answers.OCSPs, w.ocsp(t, says{at: w.at(-1 - i), responder: ca}))
	}
	for name, m := range map[string]pdf.Material{"3000 certificates": twins, "900 answers": answers} {
		flooded := store(t, store(t, bt, good), m)
		cost(t, name, func() {
			rep := w.ask(t, flooded, w.at(5), nil)
			if name == "900 answers" && rep.Indication != passed {
				t.Errorf("%s: %v %q", name, rep.Indication, rep.Signatures[0].Reasons)
			}
		})
		first := store(t, store(t, bt, m), good)
		cost(t, name+" before the good ones", func() { w.ask(t, first, w.at(5), nil) })
	}
}

// TestManySignatures: one after the other, each with a time-stamp. With some
// dozens, the comparison of all revisions with all later ones exceeds its
// budget, and then the earliest do not pass.
func TestManySignatures(t *testing.T) {
	if testing.Short() {
		t.Skip("short: fifty signatures are made")
	}
	w := newWorld(t, "P-256")
	doc := base(t)
	for i := range 50 {
		if i == 20 {
			cost(t, "20 signatures", func() {
				rep := w.ask(t, doc, w.at(100), func(o *validate.Options) { o.NoRevocation = true })
				if rep.Indication != passed || len(rep.Signatures) != i {
					t.Errorf("%v, %d signatures %q", rep.Indication, len(rep.Signatures), rep.Reasons)
				}
			})
		}
		doc = w.sign(t, doc, recipe{at: w.at(i), claimed: w.now})
	}
	doc = w.stamp(t, doc, w.at(60))
	cost(t, "50 signatures", func() {
		rep := w.ask(t, doc, w.at(100), func(o *validate.Options) { o.NoRevocation = true })
		last := rep.Signatures[len(rep.Signatures)-1]
		if len(rep.Signatures) != 51 || last.Indication != passed || rep.Indication == failed {
			t.Errorf("%v, %d signatures %q", rep.Indication, len(rep.Signatures), rep.Reasons)
		}
	})
}

// TestMoreSignaturesThanAreJudged: no verdict on the whole, and none on the field
// that was left out.
func TestMoreSignaturesThanAreJudged(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := base(t)
	for i := range 3 {
		doc = w.sign(t, doc, recipe{at: w.at(i)})
	}
	last := w.judge(t, doc, w.at(5)).Signatures[2].FieldName
	for _, only := range [][]string{nil, {last}} {
		rep := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.MaxSignatures, o.NoRevocation, o.Only = 2, true, only })
		if rep.Indication != undecided || rep.SubIndication != validate.Generic || rep.Reasons[0] != "only the oldest 2 of 3 signatures were looked at" {
			t.Errorf("%v: %+v", only, rep)
		}
		for _, s := range rep.Signatures {
			if s.FieldName == last || s.Changes != "form_filling" {
				t.Errorf("%+v", s)
			}
		}
		if len(rep.Signatures) != 2-2*len(only) {
			t.Errorf("%v: %d signatures", only, len(rep.Signatures))
		}
	}
}

// TestAFloodHidesNoRevocation: what the caller knows is read before what the
// document brings.
func TestAFloodHidesNoRevocation(t *testing.T) {
	w := newWorld(t, "P-256")
	m := w.data(t)
	ca := &certs.OCSPResponder{Cert: w.issuing, Signer: w.caKey, Issuer: w.issuing}
	for i := range 1100 {
		m.OCSPs = append(m.OCSPs, w.ocsp(t, says{at: w.at(1).Add(-time.Duration(i) * time.Second), responder: ca}))
	}
	doc := store(t, w.sign(t, base(t), recipe{}), m)
	known := pdf.Material{OCSPs: [][]byte{w.ocsp(t, says{at: w.at(2), revoked: w.at(-60)})}, CRLs: m.CRLs}
	s := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Material = known }).Signatures[0]
	want(t, s, undecided, validate.RevokedNoPOE, "B-T")
}

// TestAFloodHidesNoData: more answers than are looked at, before the signature or
// after its data.
func TestAFloodHidesNoData(t *testing.T) {
	w := newWorld(t, "P-256")
	flood := pdf.Material{}
	ca := &certs.OCSPResponder{Cert: w.issuing, Signer: w.caKey, Issuer: w.issuing}
	for i := range 1100 {
		flood.OCSPs = append(flood.OCSPs, w.ocsp(t, says{at: w.at(-1).Add(-time.Duration(i) * time.Second), responder: ca}))
	}
	flood.CRLs = [][]byte{w.crl(t, w.issuing, w.at(-600), w.at(600))}
	before := store(t, w.sign(t, store(t, base(t), flood), recipe{}), w.data(t))
	after := store(t, store(t, w.sign(t, base(t), recipe{}), w.data(t)), flood)
	for name, doc := range map[string][]byte{"before": before, "after": after} {
		t.Run(name, func(t *testing.T) { want(t, w.ask(t, doc, w.at(5), nil).Signatures[0], passed, "", "B-LT") })
	}
}

// many is a document with n signature fields, each with Contents of size bytes.
func many(n, size int) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	at := make([]int, 0, 2*n+3)
	object := func(s string) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), s)
	}
	fields := ""
	for i := range n {
		fields += fmt.Sprintf("%d 0 R ", 4+2*i)
	}
	object("<</Type/Catalog/Pages 2 0 R/AcroForm<</SigFlags 3/Fields[" + fields + "]>>>>")
	object("<</Type/Pages/Kids[3 0 R]/Count 1>>")
	object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]>>")
	hex := "3084" + fmt.Sprintf("%08x", size-6) + string(bytes.Repeat([]byte("30"), size-6))
	for i := range n {
		object(fmt.Sprintf("<</FT/Sig/T(S%d)/V %d 0 R>>", i, 5+2*i))
		object(fmt.Sprintf("<</Type/Sig/Filter/X/SubFilter/ETSI.CAdES.detached/ByteRange[0 10 20 30]/Contents<%s>>>", hex))
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, a := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", a)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, start)
	return b.Bytes()
}

// TestLargeContents: signatures of megabytes, more of them than are kept.
func TestLargeContents(t *testing.T) {
	w := newWorld(t, "P-256")
	// Five are judged, and do not pass; with more the budget of package pdf ends the work.
	for _, n := range []int{5, 14, 40} {
		doc := many(n, 4<<20)
		cost(t, fmt.Sprintf("%d signatures of 4 MB", n), func() {
			rep, err := validate.PDF(t.Context(), bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: w.roots, At: w.at(5)})
			switch e, tooMuch := errors.AsType[*pdf.Error](err); {
			case n > 5 && (!tooMuch || e.Code != pdf.CodeTooMuchWork):
				t.Error(err)
			case n == 5 && (err != nil || rep.Indication != failed || len(rep.Signatures) != n):
				t.Errorf("%v, %+v", err, rep)
			}
		})
	}
	doc := many(3000, 2000)
	cost(t, "3000 signatures", func() {
		rep, err := validate.PDF(t.Context(), bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: w.roots, At: w.at(5)})
		if err == nil && rep.Indication == passed {
			t.Error("passed")
		}
	})
}

// TestLargeList: a list of the issuing CA with half a million entries, asked
// about the signer for each question that there is.
func TestLargeList(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a list of 18 MB is made")
	}
	w := newWorld(t, "P-256")
	entries := make([]certs.Revoked, 500_000)
	for i := range entries {
		entries[i] = certs.Revoked{Serial: new(big.Int).Lsh(big.NewInt(int64(i+1)), 90), At: w.from}
	}
	data := w.data(t)
	data.OCSPs = nil
	data.CRLs = append(data.CRLs, w.crl(t, w.issuing, w.at(1), w.at(86400), entries...))
	entries = nil
	doc := store(t, w.sign(t, base(t), recipe{}), data)
	doc = w.stamp(t, doc, w.at(3))
	data = pdf.Material{}
	cost(t, "a list of half a million", func() {
		rep := w.ask(t, doc, w.at(5), nil)
		want(t, rep.Signatures[0], passed, "", "B-LTA")
	})
}
