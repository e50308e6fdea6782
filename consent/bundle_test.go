package consent_test

import (
	"bytes"
	"strings"
	"testing"

	"tekend/consent"
)

func bundle() *consent.Bundle {
	return &consent.Bundle{
		V: consent.BundleVersion, Manifest: []byte("m"), Text: "<b>Sign</b> é \" \\", Request: "a.b.c", ClientKeys: []byte("ours"), Token: "d.e.f",
		IssuerKeys:   consent.IssuerKeys{URL: "https://idp/keys", At: "2026-11-24T12:00:00.000000Z", Body: []byte("theirs")},
		Certificates: [][]byte{{1}, {2, 3}},
		Positions:    []consent.Position{{Label: "l", Digest: []byte{4}, Attributes: []byte{5}, Algorithm: "a", Value: []byte{6}}},
		Audit: consent.AuditExtract{LogKey: "k", WitnessKeys: []string{"w"}, Checkpoint: "c\n",
			Rows: []consent.AuditRow{{Seq: 7, Row: []byte("row"), Hashes: [][]byte{{8}}}}},
		TimeStamps: [][]byte{{9}},
	}
}

// TestBundleHasOneSpelling: what is written is read back, and nothing else is read.
func TestBundleHasOneSpelling(t *testing.T) {
	for name, b := range map[string]*consent.Bundle{
		"plain": bundle(),
		"with an order": func() *consent.Bundle {
			b := bundle()
			b.Order = &consent.SignedOrder{Provider: "acme", JWS: "g.h.i", KeySet: []byte("{}")}
			return b
		}(),
	} {
		out, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := consent.DecodeBundle(out)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		if back, err := again.Encode(); err != nil || !bytes.Equal(back, out) {
			t.Errorf("%s: %v\n%s\n%s", name, err, out, back)
		}
		text := string(out)
		for what, other := range map[string]string{
			"space":             strings.Replace(text, ":", ": ", 1),
			"line end":          text + "\n",
			"member absent":     strings.Replace(text, `"text":"<b>Sign</b> é \" \\",`, "", 1),
			"member null":       strings.Replace(text, `"checkpoint":"c\n"`, `"checkpoint":null`, 1),
			"list null":         strings.Replace(text, `"witness_keys":["w"]`, `"witness_keys":null`, 1),
			"empty stamps":      strings.Replace(text, `"time_stamps":["CQ=="]`, `"time_stamps":[]`, 1),
			"unknown member":    strings.Replace(text, `"v":`, `"u":1,"v":`, 1),
			"member twice":      strings.Replace(text, `"v":`, `"v":"tekend-evidence/1","v":`, 1),
			"other order":       strings.Replace(text, `"v":"tekend-evidence/1"}`, `"token":"d.e.f"}`, 1),
			"other version":     strings.Replace(text, "tekend-evidence/1", "tekend-evidence/2", 1),
			"escaped character": strings.Replace(text, "é", `\u00e9`, 1),
			"escaped <":         strings.Replace(text, "<b>", `\u003cb>`, 1),
			"unused bits":       strings.Replace(text, `"CQ=="`, `"CR=="`, 1),
			"without padding":   strings.Replace(text, `"CQ=="`, `"CQ"`, 1),
			"real number":       strings.Replace(text, `"seq":7`, `"seq":7.0`, 1),
			"large number":      strings.Replace(text, `"seq":7`, `"seq":9007199254740992`, 1),
		} {
			if other == text {
				t.Errorf("%s: nothing was changed", what)
			}
			if _, err := consent.DecodeBundle([]byte(other)); err == nil {
				t.Errorf("%s, %s: accepted", name, what)
			}
		}
	}
}

// TestImprint: all but the time-stamps is in it.
func TestImprint(t *testing.T) {
	of := func(change func(*consent.Bundle)) string {
		b := bundle()
		change(b)
		sum, err := b.Imprint()
		if err != nil {
			t.Fatal(err)
		}
		return string(sum)
	}
	plain := of(func(*consent.Bundle) {})
	if of(func(b *consent.Bundle) { b.TimeStamps = nil }) != plain {
		t.Error("the imprint depends on the time-stamps")
	}
	for name, change := range map[string]func(*consent.Bundle){
		"manifest": func(b *consent.Bundle) { b.Manifest = []byte("n") }, "text": func(b *consent.Bundle) { b.Text = "" },
		"request": func(b *consent.Bundle) { b.Request = "" }, "client keys": func(b *consent.Bundle) { b.ClientKeys = nil },
		"token": func(b *consent.Bundle) { b.Token = "" }, "keys": func(b *consent.Bundle) { b.IssuerKeys.Body = nil },
		"url": func(b *consent.Bundle) { b.IssuerKeys.URL = "" }, "at": func(b *consent.Bundle) { b.IssuerKeys.At = "" },
		"certificates": func(b *consent.Bundle) { b.Certificates = nil }, "positions": func(b *consent.Bundle) { b.Positions = nil },
		"value": func(b *consent.Bundle) { b.Positions[0].Value = nil }, "rows": func(b *consent.Bundle) { b.Audit.Rows = nil },
		"seq": func(b *consent.Bundle) { b.Audit.Rows[0].Seq++ }, "checkpoint": func(b *consent.Bundle) { b.Audit.Checkpoint = "" },
		"witness": func(b *consent.Bundle) { b.Audit.WitnessKeys = nil }, "order": func(b *consent.Bundle) { b.Order = &consent.SignedOrder{} },
	} {
		if of(change) == plain {
			t.Errorf("the imprint does not depend on %s", name)
		}
	}
}

func FuzzBundle(f *testing.F) {
	out, err := bundle().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out)
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := consent.DecodeBundle(in)
		if err != nil {
			return
		}
		if again, err := b.Encode(); err != nil || !bytes.Equal(again, in) {
			t.Errorf("%v\n%s\n%s", err, in, again)
		}
	})
}
