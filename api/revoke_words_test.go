package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tekend/sam"
	"tekend/signer"
)

// page reads an answer that must be a sound page in this language with everything filled in.
func (s *server) page(t *testing.T, name, lang string, answer *file, err error) string {
	t.Helper()
	if err != nil {
		t.Fatalf("%s %s: %v", name, lang, err)
	}
	text := string(answer.bytes)
	h := readHTML(t, name+" "+lang, text)
	if h.lang != lang || h.headings[1] != 1 || !h.viewport || !strings.Contains(text, s.words.say(lang, "sandbox.title")) {
		t.Errorf("%s %s: lang %q, headings %v, viewport %v", name, lang, h.lang, h.headings, h.viewport)
	}
	if strings.Contains(text, "no value") || strings.Contains(text, "{n}") || strings.Contains(text, "{kind}") || strings.Contains(text, "%!") || strings.Contains(text, "ZgotmplZ") {
		t.Errorf("%s %s: something was not filled in:\n%s", name, lang, text)
	}
	return h.text
}

func TestEveryPageOfARevocationInEveryLanguageIsSound(t *testing.T) {
	s := loaded(t)
	s.cfg.Sandbox = true
	at := time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)
	failures := []*signer.Error{nil, signer.ErrDeclined, signer.ErrAgain, signer.ErrWrongPerson, signer.ErrNoCredential, signer.ErrRevoked, signer.ErrOnCall, signer.ErrOutcome}
	seen := map[string]string{}
	for _, lang := range s.words.langs {
		cl := &call{langs: wanted{chosen: lang}}
		form, err := s.revokeForm(cl)
		once(t, seen, "form "+lang, s.page(t, "form", lang, form, err))
		for _, step := range []string{signer.StepConfirm, signer.StepWait, signer.StepBlocked, signer.StepPublished, signer.StepRefused, signer.StepExpired, signer.StepFailed} {
			for i, failure := range failures {
				ends := step == signer.StepRefused || step == signer.StepExpired || step == signer.StepFailed
				if i > 0 && step != signer.StepFailed {
					continue // the reasons are looked at once
				}
				p := &signer.RevocationPage{Step: step, Language: "en", All: i == 0, Count: 2, At: at, Text: "Revoke <all>"}
				if ends {
					p.Failure = failure
				}
				if step == signer.StepConfirm {
					p.Link, p.ExpiresAt = "https://idp.example/authorize?a=1&b=2", at
				}
				f, err := s.revocationPage(cl, "to-ken_1", p)
				once(t, seen, fmt.Sprint(step, " ", lang, " ", i), s.page(t, step, lang, f, err))
			}
		}
	}
	f, err := s.revocationPage(&call{langs: wanted{chosen: "en"}}, "to-ken_1", &signer.RevocationPage{Step: signer.StepPublished, Count: 1, At: at})
	if text := s.page(t, "one", "en", f, err); !strings.Contains(text, "Your certificate is revoked") {
		t.Errorf("%s", text)
	}
}

// once holds that no two pages say the same.
func once(t *testing.T, seen map[string]string, name, text string) {
	t.Helper()
	if other, ok := seen[text]; ok {
		t.Errorf("%s says the same as %s: %s", name, other, text)
	}
	seen[text] = name
}

func TestTheSignersCertificatesAndUsesInEveryLanguage(t *testing.T) {
	s := loaded(t)
	s.cfg.Sandbox = true
	at := time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)
	var all []signer.CredentialInfo
	var uses sam.Uses
	for i, state := range []string{sam.CredentialActive, "blocked", sam.CredentialSuspended, sam.CredentialRevoked, sam.CredentialDestroyed} {
		all = append(all, signer.CredentialInfo{
			ID: fmt.Sprint("cred_", i), State: state, Serial: "0a1b", NotBefore: at, NotAfter: at.AddDate(2, 0, 0), OneTime: i == 4, Revocable: i < 3,
		})
	}
	for _, kind := range []string{"credential.linked", "confirmation.prepared", "confirmation.authorized", "key.used", "key.unknown", "key.not_used", "credential.revoked", "refusal.declined"} {
		uses.Uses = append(uses.Uses, sam.Use{Seq: 7, At: at, Kind: kind, Labels: []string{"<b>contract</b>.pdf"}, CheckCode: "7k3m-9qwx-2b4d-hj5n"})
	}
	uses.Before = 7
	for _, lang := range s.words.langs {
		cl := &call{langs: wanted{chosen: lang}}
		c, err := s.credentialsPage(cl, "to-ken_1", all)
		text := s.page(t, "certificates", lang, c, err)
		if n := strings.Count(text, s.words.say(lang, "credentials.revoke")); n != 3 {
			t.Errorf("%s: %d buttons", lang, n)
		}
		for _, state := range []string{"active", "blocked", "suspended", "revoked", "over"} { // the one-time one is not revoked
			if !strings.Contains(text, s.words.say(lang, "credentials.state."+state)) {
				t.Errorf("%s: %s is not said", lang, state)
			}
		}
		u, err := s.usesPage(cl, "to-ken_1", uses)
		text = s.page(t, "uses", lang, u, err)
		if !strings.Contains(text, s.words.say(lang, "uses.key.used")) || !strings.Contains(text, "refusal.declined") || !strings.Contains(text, "<b>contract</b>.pdf") {
			t.Errorf("%s: %s", lang, text)
		}
	}
}
