package signer_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"tekend/cms"
	"tekend/signer"
	"tekend/validate"
)

// ordered puts an order of client acme, for a person who is known by ref.
func (w *world) ordered(o signer.Order, up signer.Upload) (*signer.Request, string) {
	w.t.Helper()
	r, err := w.front.Create(w.t.Context(), "acme", o, up)
	w.must(err)
	_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
	return r, token
}

// finish has the person do what the page asks for until the request is finished.
func (w *world) finish(r *signer.Request, token, person string) *signer.Request {
	w.t.Helper()
	w.walk(token, person, signer.StepDone, signer.StepFailed)
	return w.wait(r.ID, signer.Finished)
}

// document reads what was made of document n.
func (w *world) document(id string, n int) []byte {
	w.t.Helper()
	c, err := w.front.Document(w.t.Context(), "acme", id, n)
	w.must(err)
	defer func() { _ = c.Close() }()
	b, err := io.ReadAll(c)
	w.must(err)
	if int64(len(b)) != c.Size {
		w.t.Errorf("%d bytes, %d were told", len(b), c.Size)
	}
	return b
}

// offline judges a PDF with nothing but what it holds.
func (w *world) offline(doc []byte) *validate.Report {
	w.t.Helper()
	r, err := validate.PDF(w.t.Context(), bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: w.roots, At: w.now()})
	w.must(err)
	return r
}

func TestEveryLevelOfPAdESIsReachedAndSaid(t *testing.T) {
	w := newWorld(t)
	for _, level := range []string{"B-B", "B-T", "B-LT", "B-LTA"} {
		r, token := w.ordered(signer.Order{Reference: "ref", Level: level}, upload(onePage("% "+level+" 1\n"), onePage("% "+level+" 2\n")))
		r = w.finish(r, token, "approve")
		for n, d := range r.Documents {
			if d.Level != level || r.Level != level {
				t.Errorf("%s, document %d: level %q", level, n+1, d.Level)
			}
			report := w.offline(w.document(r.ID, n+1))
			sig := report.Signatures[0]
			lasting := level == "B-LT" || level == "B-LTA"
			if want := validate.TotalPassed; lasting && (report.Indication != want || sig.Level != level) {
				t.Errorf("%s, document %d, offline: %v %s, level %s: %v", level, n+1, report.Indication, report.SubIndication, sig.Level, sig.Reasons)
			}
			if !lasting && report.Indication == validate.TotalPassed {
				t.Errorf("%s passes without any proof that its certificates are good", level)
			}
		}
	}
}

func TestEveryLevelOfCAdES(t *testing.T) {
	w := newWorld(t)
	file := bytes.Repeat([]byte("not a PDF\x00\xff"), 5000)
	for _, packaging := range []string{signer.Detached, signer.Attached} {
		for _, level := range []string{"B-B", "B-T", "B-LT", "B-LTA"} {
			o := signer.Order{Reference: "ref", Level: level, Format: signer.CAdES, Packaging: packaging}
			content := append([]byte(packaging+level), file...)
			r, token := w.ordered(o, upload(content, []byte("b"+level+packaging)))
			r = w.finish(r, token, "approve")
			if r.Format != signer.CAdES || r.Packaging != packaging || r.Documents[0].Level != level {
				t.Errorf("%s %s: %+v", packaging, level, r.Documents[0])
			}
			der, data := w.document(r.ID, 1), validate.Data{}
			if packaging == signer.Detached {
				data.Reader, data.Size = bytes.NewReader(content), int64(len(content))
			} else if !bytes.Contains(der, content) {
				t.Error("the file is not inside")
			}
			report, err := validate.CMS(t.Context(), bytes.NewReader(der), int64(len(der)), data, validate.Options{Roots: w.roots, At: w.now()})
			w.must(err)
			sig := report.Signatures[0]
			lasting := level == "B-LT" || level == "B-LTA"
			if passed := report.Indication == validate.TotalPassed && sig.Level == level; passed != lasting {
				t.Errorf("%s %s offline: %v %s, level %s: %v", packaging, level, report.Indication, report.SubIndication, sig.Level, sig.Reasons)
			}
		}
	}
}

// TestASigningTimeIsNeverOldWhenThePersonIsAsked: whoever opens the page an hour later confirms attributes of now. An answer
// to the question about the old ones signs nothing.
func TestASigningTimeIsNeverOldWhenThePersonIsAsked(t *testing.T) {
	w := enrolled(t)
	r, token := w.ordered(signer.Order{Reference: "cust-1", Format: signer.CAdES, Level: "B-LT"}, upload([]byte("a file"), []byte("another")))
	first := w.walk(token, "approve", signer.StepConfirm)
	late := w.atItsme(first.Link, "approve")
	w.sleep(time.Hour)
	asked := w.now()
	second := w.walk(token, "approve", signer.StepConfirm)
	if second.Link == first.Link {
		t.Errorf("the question is the old one: %s %s, %v %v", first.CheckCode, second.CheckCode, first.ExpiresAt, second.ExpiresAt)
	}
	if _, err := w.front.Callback(t.Context(), late.state, late.code, late.err); codeOf(err) != signer.ErrStateExpired.Code {
		t.Errorf("the answer to the old question: %v", err)
	}
	r = w.finish(r, token, "approve")
	for n := range r.Documents {
		sd, err := cms.Parse(w.document(r.ID, n+1), cms.Budget{})
		w.must(err)
		a, err := cms.ParseSignedAttributes(sd.SignerInfos[0].SignedAttrs)
		w.must(err)
		if a.SigningTime.Before(asked.Add(-time.Second)) || a.SigningTime.After(w.now()) {
			t.Errorf("signing-time %v, asked at %v", a.SigningTime, asked)
		}
	}
}
