//go:build browser

package browser_test

import (
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tekend/interop/sandboxtest"
)

// sign walks a whole request to its end, in this browser.
func (p *phone) sign(pl *place, r sandboxtest.Request, person string) {
	p.t.Helper()
	p.do(chromedp.Navigate(r.SigningURL))
	p.enrol(pl.info.Front, person)
	p.do(chromedp.Click("a.button"))
	p.left(pl.info.Front)
	p.atItsme(pl.info.Front, person, "confirm")
	p.step("done")
}

// TestRevokingOnAPhone: at /revoke without any link, and beside a certificate in the browser that signed. Afterwards the person is
// asked to enrol anew.
func TestRevokingOnAPhone(t *testing.T) {
	pl := start(t)
	for lang, want := range map[string][3]string{
		"en": {"diacritics", "Revoke all my certificates", "keyCompromise"}, "nl": {"approve", "Herroep al mijn certificaten", "cessationOfOperation"},
	} {
		t.Run(lang, func(t *testing.T) {
			p := open(t, lang, pl.hosts()...)
			p.sign(pl, pl.order(lang), want[0])
			p.do(chromedp.Navigate(pl.info.Front + "/revoke"))
			p.do(chromedp.WaitVisible("fieldset"))
			if got := get(p, chromedp.Evaluate[string](`document.documentElement.lang`)); got != lang {
				t.Errorf("the page is in %s", got)
			}
			p.look("revoke-1")
			p.do(chromedp.Click("#"+want[2]), chromedp.Click("main form button"))
			p.step("confirm")
			p.look("revoke-2-confirm")
			p.do(chromedp.Click("a.button"))
			p.left(pl.info.Front)
			if shown := p.atItsme(pl.info.Front, want[0], "confirm"); !strings.Contains(shown, want[1]) {
				t.Errorf("the app shows %q", shown)
			}
			p.step("published") // by itself, from blocked
			p.look("revoke-3-published")
			p.sign(pl, pl.order(lang), want[0]) // with both legs: enrol waits for the second one

			// One certificate, where the proof is.
			p.do(chromedp.Click(`a[href$="/credentials"]`))
			p.step("list")
			p.look("revoke-4-certificates")
			states := `[...document.querySelectorAll("[data-credential]")].map((e) => e.dataset.state).join(" ")`
			if got := get(p, chromedp.Evaluate[string](states)); !strings.HasPrefix(got, "active ") {
				t.Errorf("the certificates are %s", got)
			}
			p.keyboard("form[action$='/revoke'] button")
			p.step("confirm")
			p.do(chromedp.Click("a.button"))
			p.left(pl.info.Front)
			p.atItsme(pl.info.Front, want[0], "refuse")
			p.step("refused")
			p.look("revoke-5-refused")
			p.do(chromedp.Click("a.button"))
			p.do(chromedp.WaitVisible("fieldset"))
			p.silent()
		})
	}
}

// TestHistoryAndPoliciesAreReadable on a phone.
func TestHistoryAndPoliciesAreReadable(t *testing.T) {
	pl := start(t)
	for _, lang := range []string{"en", "nl"} {
		p := open(t, lang, pl.hosts()...)
		r := pl.order(lang)
		p.sign(pl, r, map[string]string{"en": "diacritics", "nl": "approve"}[lang])
		p.do(chromedp.Navigate(r.SigningURL + "/uses"))
		p.step("list")
		p.look("uses")
		if rows := get(p, chromedp.Evaluate[int](`document.querySelectorAll("tr").length`)); rows < 3 {
			t.Errorf("%d lines of history", rows)
		}
		p.do(chromedp.Navigate(pl.info.Front + "/pki/policies/"))
		p.do(chromedp.WaitVisible("h1"))
		p.look("policies")
		text := get(p, chromedp.Evaluate[string](`fetch(document.querySelector("a[hreflang=fr]").href).then((r) => r.text())`, chromedp.EvalAwaitPromise))
		if !strings.Contains(text, "CECI EST UN BAC À SABLE") {
			t.Errorf("the French practice statement is %.100q", text)
		}
		p.silent()
	}
	other := open(t, "en", pl.hosts()...) // another browser with the same link
	r := pl.order("en")
	other.do(chromedp.Navigate(r.SigningURL + "/credentials"))
	other.do(chromedp.WaitVisible(".notice"))
	if got := other.text("main"); !strings.Contains(got, "signer_unproven") {
		t.Errorf("a list for everybody: %s", got)
	}
}

// TestTimeStampsByHTTPS is for programs, not for browsers: curl and openssl, as anybody has them.
func TestTimeStampsByHTTPS(t *testing.T) {
	s := sandboxtest.Start(t)
	info, dir := s.Info(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	root := filepath.Join(s.Dir, info.HTTPSRootPEM)
	run("openssl", "ts", "-query", "-digest", strings.Repeat("ab", 32), "-sha256", "-cert", "-out", at("query"))
	run("curl", "-sSf", "--cacert", root, "-H", "Content-Type: application/timestamp-query", "--data-binary", "@"+at("query"), "-o", at("reply"), info.HTTPS+"/tsa")
	if out := run("openssl", "ts", "-verify", "-in", at("reply"), "-queryfile", at("query"), "-CAfile", info.RootPEM); !strings.Contains(out, "Verification: OK") {
		t.Errorf("%s", out)
	}
	if err := exec.CommandContext(t.Context(), "curl", "-sS", "--cacert", root, "--tls-max", "1.1", info.HTTPS+"/health").Run(); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	resp, err := http.Get(info.Front + "/.well-known/security.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), "\nExpires: ") {
		t.Errorf("%s %v", b, err)
	}
}
