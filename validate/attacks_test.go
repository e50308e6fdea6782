package validate_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"tekend/cms"
	"tekend/pdf/pdftest"
	"tekend/validate"
)

// bB signs with the world's key, without a time-stamp.
func (w *world) bB(content []byte) ([]byte, error) {
	digest := w.alg.Hash().New()
	digest.Write(content)
	attrs, err := w.alg.SignedAttributes(digest.Sum(nil), w.leaf)
	if err != nil {
		return nil, err
	}
	digest.Reset()
	digest.Write(attrs)
	value, err := w.key.Sign(rand.Reader, digest.Sum(nil), w.alg.Options())
	if err != nil {
		return nil, err
	}
	return cms.Assemble(cms.Parts{SignedAttrs: attrs, Value: value, Certificate: w.leaf})
}

// of is the signature of a field.
func of(rep *validate.Report, field string) *validate.SignatureReport {
	for i := range rep.Signatures {
		if rep.Signatures[i].FieldName == field {
			return &rep.Signatures[i]
		}
	}
	return nil
}

// TestAttacks: the document of the attacks passes, certified or not; no attack on its structure does, although its signature is
// one of the world's. Those that come in a later revision leave the signed one intact, and that alone is what is said.
func TestAttacks(t *testing.T) {
	w := newWorld(t, "P-256")
	w.roots.AddCert(w.issuing)
	m := pdftest.Maker{Reserve: 4 << 10, Sign: w.bB, Time: w.now}
	sound, err := m.Sound()
	check(t, err)
	passes := map[string][]byte{"sound": sound}
	for p, name := range []string{1: "certified 1", 2: "certified 2", 3: "certified 3"} {
		if p > 0 {
			passes[name], err = m.Certified(p)
			check(t, err)
		}
	}
	for name, doc := range passes {
		if rep := w.judge(t, doc, time.Time{}); rep.Indication != validate.TotalPassed {
			t.Errorf("%s: %s %s %v", name, rep.Indication, rep.SubIndication, rep.Signatures[0].Reasons)
		}
	}
	attacks, err := m.Attacks()
	check(t, err)
	if len(attacks) < 100 {
		t.Fatalf("%d attacks", len(attacks))
	}
	for _, a := range attacks {
		t.Run(a.Name, func(t *testing.T) {
			rep, err := validate.PDF(context.Background(), bytes.NewReader(a.PDF), int64(len(a.PDF)),
				validate.Options{Roots: w.roots, At: w.now.Add(time.Second), NoRevocation: true})
			if a.Refused != "" || err != nil {
				if a.Refused == "" || err == nil || !strings.Contains(err.Error(), a.Refused) {
					t.Errorf("%v, want %q", err, a.Refused)
				}
				return
			}
			s := of(rep, a.Field)
			if rep.Indication == validate.TotalPassed || s != nil && s.Indication == validate.TotalPassed {
				t.Fatalf("passed: %+v", rep)
			}
			if a.Reason == "" {
				return
			}
			if s == nil || s.Indication != validate.Indeterminate || len(s.Reasons) == 0 {
				t.Fatalf("%+v", s)
			}
			said := false
			for _, r := range s.Reasons {
				said = said || strings.HasSuffix(r, a.Reason)
				if !strings.HasPrefix(r, "later_changes: ") {
					t.Errorf("also %q", r)
				}
			}
			if !said {
				t.Errorf("%q, want %q", s.Reasons, a.Reason)
			}
		})
	}
}
