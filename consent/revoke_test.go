package consent_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"tekend/consent"
)

func revocation() consent.Manifest {
	m := vector()
	m.Op, m.Docs, m.Root, m.Reason = consent.OpRevoke, nil, "", consent.DefaultReason
	m.Template.Text = "<b>Revoke my certificate</b>"
	return m
}

// TestRevokeManifest: one certificate of one person, or all of whoever answers;
// nothing of the other operations stands in it.
func TestRevokeManifest(t *testing.T) {
	all := revocation()
	all.Cred, all.Sub = nil, ""
	for name, m := range map[string]consent.Manifest{"one": revocation(), "all": all} {
		b, err := m.Encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if back, err := consent.DecodeManifest(b); err != nil || back.Op != consent.OpRevoke || back.Reason != "unspecified" {
			t.Errorf("%s: %+v %v", name, back, err)
		}
		// The same bytes under another operation are no manifest.
		for _, op := range []string{"sign", "enrol"} {
			if _, err := consent.DecodeManifest(bytes.Replace(b, []byte(`"op":"revoke"`), []byte(`"op":"`+op+`"`), 1)); err == nil {
				t.Errorf("%s: read as op %s", name, op)
			}
		}
	}
	for name, change := range map[string]func(*consent.Manifest){
		"no reason":      func(m *consent.Manifest) { m.Reason = "" },
		"their reason":   func(m *consent.Manifest) { m.Reason = "privilegeWithdrawn" },
		"documents":      func(m *consent.Manifest) { m.Docs, m.Root = vectorDocs(), vectorRoot },
		"an application": func(m *consent.Manifest) { m.Application = digest("a") },
		"no text":        func(m *consent.Manifest) { m.Template = nil },
		"nobody's":       func(m *consent.Manifest) { m.Sub = "" },
		"not which":      func(m *consent.Manifest) { m.Cred = nil },
		"no certificate": func(m *consent.Manifest) { m.Cred.CertSHA256 = "" },
	} {
		m := revocation()
		change(&m)
		if _, err := m.Encode(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	sign := vector()
	sign.Reason = consent.DefaultReason
	if _, err := sign.Encode(); err == nil {
		t.Error("op sign with a reason was accepted")
	}
}

func TestPolicyStandsInTheManifest(t *testing.T) {
	m := vector()
	m.Policy = digest("practice statement")
	b, err := m.Encode()
	if err != nil || !strings.Contains(string(b), `"op":"sign","policy":"`+m.Policy+`","redirect_uri"`) {
		t.Fatalf("%s %v", b, err)
	}
	if back, err := consent.DecodeManifest(b); err != nil || back.Policy != m.Policy {
		t.Errorf("%+v %v", back, err)
	}
	m.Policy = "x"
	if _, err := m.Encode(); err == nil {
		t.Error("a policy that is no digest was accepted")
	}
}

func TestRevokeTexts(t *testing.T) {
	end := time.Date(2029, 11, 24, 12, 0, 0, 0, time.UTC)
	for lang, want := range map[string][3]string{
		"en": {"<b>Revoke my certificate", "<br>Certificate 0a1b, valid until 2029-11-24.", "<b>Revoke all my certificates"},
		"nl": {"<b>Herroep mijn certificaat", "<br>Certificaat 0a1b, geldig tot 2029-11-24.", "<b>Herroep al mijn certificaten"},
	} {
		texts := map[string]bool{}
		for _, reason := range []string{"unspecified", "keyCompromise", "superseded", "cessationOfOperation"} {
			one, err := consent.RevokeText(lang, consent.Revocation{Serial: "0a1b", NotAfter: end, Reason: reason})
			all, err2 := consent.RevokeText(lang, consent.Revocation{Reason: reason})
			if err != nil || err2 != nil || !strings.HasPrefix(one, want[0]) || !strings.Contains(one, want[1]) || !strings.HasPrefix(all, want[2]) {
				t.Errorf("%s %s: %q %q %v %v", lang, reason, one, all, err, err2)
			}
			texts[one] = true
			if label, err := consent.Label(strings.NewReplacer("<b>", "", "</b>", "", "<br>", " ").Replace(one)); err != nil || strings.Contains(label, "?") {
				t.Errorf("%s: itsme cannot show %q", lang, one)
			}
		}
		if len(texts) != 4 {
			t.Errorf("%s: two reasons have one text", lang)
		}
	}
	for name, c := range map[string]struct {
		lang string
		r    consent.Revocation
	}{
		"language": {"fr", consent.Revocation{Reason: "unspecified"}}, "reason": {"en", consent.Revocation{Reason: "privilegeWithdrawn"}},
		"no reason": {"en", consent.Revocation{}}, "markup": {"en", consent.Revocation{Serial: "<b>", NotAfter: end, Reason: "unspecified"}},
		"no end": {"en", consent.Revocation{Serial: "0a", Reason: "unspecified"}},
	} {
		if got, err := consent.RevokeText(c.lang, c.r); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, want := range map[string]int{"unspecified": 0, "keyCompromise": 1, "superseded": 4, "cessationOfOperation": 5} {
		if code, err := consent.ReasonCode(name); err != nil || code != want {
			t.Errorf("%s: %d %v", name, code, err)
		}
	}
}
