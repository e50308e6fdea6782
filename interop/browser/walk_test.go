//go:build browser

// Package browser_test walks the signer's pages in a real browser at the size of a phone, in each language, against the
// whole sandbox: what is shown, what can be reached by touch and by keyboard, and that nothing is asked for elsewhere.
// Screenshots go to $TEKEND_SHOTS (default: tekend-shots in the temporary folder) for people to look at.
package browser_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tekend/interop/sandboxtest"
)

// place is a sandbox and what the tests know of it.
type place struct {
	t    *testing.T
	info sandboxtest.Info
	flow *sandboxtest.Flow
	pdf  []byte
}

func start(t *testing.T) *place {
	t.Helper()
	s := sandboxtest.Start(t)
	pdf, err := os.ReadFile(filepath.Join(sandboxtest.Root(t), "testdata/pdf/libreoffice-writer.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	return &place{t, s.Info(t), s.Flow(t), pdf}
}

// hosts are the origins a page may speak to.
func (pl *place) hosts() []string {
	itsme, err := url.Parse(pl.info.Itsme)
	if err != nil {
		pl.t.Fatal(err)
	}
	return []string{pl.info.Front + "/", itsme.Scheme + "://" + itsme.Host + "/", pl.info.Provider + "/", "about:blank"}
}

// order asks for a signature of a new person and returns the request and its page.
func (pl *place) order(lang string) sandboxtest.Request {
	pl.t.Helper()
	q := url.Values{"language": {lang}, "redirect_url": {pl.info.Provider + "/"}}
	req, err := http.NewRequest(http.MethodPost, pl.info.Front+"/v1/signature-requests?"+q.Encode(), bytes.NewReader(pl.pdf))
	if err != nil {
		pl.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+pl.flow.Key)
	req.Header.Set("Content-Type", "application/pdf")
	req.Header.Set("Content-Disposition", `attachment; filename*=UTF-8''Huurovereenkomst%20Kerkstraat%2012%20%E2%80%93%20d%C3%A9finitief.pdf`)
	resp, err := pl.flow.HTTP.Do(req)
	if err != nil {
		pl.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated {
		pl.t.Fatalf("%d %s %v", resp.StatusCode, b, err)
	}
	var r sandboxtest.Request
	if err := json.Unmarshal(b, &r); err != nil {
		pl.t.Fatal(err)
	}
	return r
}

// loaded is true when the page is there, so that a tap does not meet half of it.
const loaded = `document.readyState === "complete"`

// step waits until the page shows a step.
func (p *phone) step(name string) {
	p.t.Helper()
	p.until(loaded + ` && !!document.querySelector('#page[data-step="` + name + `"]')`)
}

// atItsme plays the person and the phone until the browser is back at our front. It returns the text that the app showed.
func (p *phone) atItsme(front, person, answer string) (shown string) {
	p.t.Helper()
	for range 200 {
		if strings.HasPrefix(p.maybe(loaded+` ? location.href : ""`), front) && p.maybe(`document.querySelector("#page") ? "page" : "other"`) == "page" {
			return shown
		}
		switch p.maybe(loaded + ` && ["#person", "#open-phone", "#confirm"].find((s) => document.querySelector(s)) || ""`) {
		case "#person":
			p.do(chromedp.SetValue("#person", person), chromedp.Submit("#person"))
		case "#open-phone":
			p.do(chromedp.Click("#open-phone"))
		case "#confirm":
			shown = p.maybe(`(document.getElementById("text") || {innerText: ""}).innerText`)
			p.do(chromedp.Click("#" + answer))
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.shot("lost-at-itsme")
	p.t.Fatalf("the browser did not come back from itsme; it is at %s", p.where())
	return ""
}

// left waits until a tap has taken effect.
func (p *phone) left(front string) {
	p.t.Helper()
	p.until(`!location.href.startsWith("` + front + `")`)
}

// enrol walks from the first page to the step confirm.
func (p *phone) enrol(front, person string) {
	p.t.Helper()
	p.step("accept_terms")
	p.do(chromedp.Click("#accept"), chromedp.Click(`form[action$="/terms"] button`))
	for _, step := range []string{"identify", "consent"} {
		p.step(step)
		p.do(chromedp.Click("a.button"))
		p.left(front)
		p.atItsme(front, person, "confirm")
	}
	p.step("confirm")
}

func TestANewSignerSignsOnAPhone(t *testing.T) {
	pl := start(t)
	for lang, person := range map[string]string{"en": "diacritics", "nl": "approve"} {
		t.Run(lang, func(t *testing.T) {
			p := open(t, lang, pl.hosts()...)
			r := pl.order(lang)
			p.do(chromedp.Navigate(r.SigningURL))
			p.step("accept_terms")
			p.look("1-accept-terms")
			if got := get(p, chromedp.Evaluate[string](`document.documentElement.lang`)); got != lang {
				t.Errorf("the page is in %s", got)
			}
			// Without the tick the form does not go; the page says so by itself.
			p.do(chromedp.Click(`form[action$="/terms"] button`))
			time.Sleep(300 * time.Millisecond)
			if s := get(p, chromedp.Evaluate[string](`document.getElementById("page").dataset.step + document.querySelector("#accept").validity.valueMissing`)); s != "accept_termstrue" {
				t.Errorf("went on without the terms: %s", s)
			}
			p.documents(pl, len(pl.pdf), false)
			p.do(chromedp.Click("#accept"), chromedp.Click(`form[action$="/terms"] button`))
			p.step("identify")
			p.look("2-identify")
			p.do(chromedp.Click("a.button"))
			p.left(pl.info.Front)
			p.atItsme(pl.info.Front, person, "confirm")
			p.step("consent")
			p.look("3-consent")
			p.do(chromedp.Click("a.button"))
			p.left(pl.info.Front)
			p.atItsme(pl.info.Front, person, "confirm")
			p.step("confirm")
			p.do(chromedp.Click("section.code summary"))
			p.look("4-confirm")
			p.documents(pl, len(pl.pdf), true)
			code := p.text(".code .value")
			if got := pl.checkcode(p); got != code {
				t.Errorf("tekend checkcode says %q of the downloaded document, the page %q", got, code)
			}
			p.keyboard("a.button")
			p.left(pl.info.Front)
			shown := p.atItsme(pl.info.Front, person, "confirm")
			if len(code) != 19 || !strings.Contains(shown, code) {
				t.Errorf("the page shows the code %q, the app %q", code, shown)
			}
			p.step("done")
			p.look("5-done")
			p.documents(pl, len(pl.pdf), true)
			p.do(chromedp.Click("a.button"))
			p.until(`location.href.startsWith("` + pl.info.Provider + `/?signature_request=` + r.ID + `")`)
			if got, err := pl.flow.Get(t.Context(), r.ID); err != nil || got.State != "finished" {
				t.Errorf("%+v %v", got, err)
			}

			// With the same person's certificate there already, the second leg is not needed.
			r = pl.order(lang)
			p.do(chromedp.Navigate(r.SigningURL))
			p.step("accept_terms")
			p.do(chromedp.Click("#accept"), chromedp.Click(`form[action$="/terms"] button`))
			p.step("identify")
			p.do(chromedp.Click("a.button"))
			p.left(pl.info.Front)
			p.atItsme(pl.info.Front, person, "confirm")
			p.step("confirm")
			p.silent()
		})
	}
}

// checkcode is the check code of the page's document, computed from what the person can download.
func (pl *place) checkcode(p *phone) string {
	pl.t.Helper()
	resp, err := pl.flow.HTTP.Get(p.maybe(`document.querySelector(".documents a[download]").href`))
	if err != nil {
		pl.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		pl.t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
	if err != nil {
		pl.t.Fatal(err)
	}
	file := filepath.Join(pl.t.TempDir(), params["filename"])
	if err := os.WriteFile(file, b, 0o600); err != nil {
		pl.t.Fatal(err)
	}
	out, err := exec.Command(sandboxtest.Bin(pl.t, "tekend"), "checkcode", file).Output()
	if err != nil {
		pl.t.Fatalf("%v %s", err, out)
	}
	return regexp.MustCompile(`[0-9a-z]{4}(-[0-9a-z]{4}){3}`).FindString(string(out))
}

// documents reads the first document through the page's own link: a whole PDF, longer than the upload once prepared.
func (p *phone) documents(pl *place, uploaded int, longer bool) {
	p.t.Helper()
	const js = `fetch(document.querySelector(".documents a").href).then((r) => r.blob().then((b) => b.slice(0, 5).text().then((s) => s + " " + r.headers.get("content-type") + " " + (b.size > %d))))`
	got := get(p, chromedp.Evaluate[string](strings.Replace(js, "%d", itoa(uploaded), 1), chromedp.EvalAwaitPromise))
	want := "%PDF- application/pdf " + map[bool]string{true: "true", false: "false"}[longer]
	if got != want {
		p.t.Errorf("the document is %q, want %q", got, want)
	}
	if target := get(p, chromedp.Evaluate[string](`document.querySelector(".documents a").target + " " + document.querySelector(".documents a[download]").search`)); target != "_blank ?download=1" {
		p.t.Errorf("links of the document: %s", target)
	}
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// keyboard reaches an element with the tab key alone and presses Enter. The focus must be seen.
func (p *phone) keyboard(sel string) {
	p.t.Helper()
	for range 30 {
		p.do(chromedp.KeyEvent(kb.Tab))
		at := get(p, chromedp.Evaluate[bool](`document.activeElement.matches("`+sel+`")`))
		if seen := get(p, chromedp.Evaluate[bool](`getComputedStyle(document.activeElement).outlineStyle !== "none"`)); !seen {
			p.t.Error("the focus cannot be seen on " + get(p, chromedp.Evaluate[string](`document.activeElement.outerHTML`)))
		}
		if at {
			p.do(chromedp.KeyEvent(kb.Enter))
			return
		}
	}
	p.t.Fatalf("%s cannot be reached by keyboard", sel)
}

func TestRefusingInTheAppAndOnThePage(t *testing.T) {
	pl := start(t)
	p := open(t, "nl", pl.hosts()...)
	r := pl.order("nl")
	p.do(chromedp.Navigate(r.SigningURL))
	p.enrol(pl.info.Front, "approve")
	p.do(chromedp.Click("a.button"))
	p.left(pl.info.Front)
	p.atItsme(pl.info.Front, "approve", "refuse")
	p.step("refused")
	p.look("refused")
	if got, err := pl.flow.Get(t.Context(), r.ID); err != nil || got.State != "declined" {
		t.Errorf("%+v %v", got, err)
	}
	r = pl.order("nl")
	p.do(chromedp.Navigate(r.SigningURL))
	p.step("accept_terms")
	p.do(chromedp.Click(`form[action$="/decline"] button`))
	p.step("refused")
	if got, err := pl.flow.Get(t.Context(), r.ID); err != nil || got.State != "declined" {
		t.Errorf("%+v %v", got, err)
	}
	p.silent()
}

// TestAnAnswerCountsOnce goes back to the callback, as people do, and to one that never was.
func TestAnAnswerCountsOnce(t *testing.T) {
	pl := start(t)
	p := open(t, "en", pl.hosts()...)
	r := pl.order("en")
	p.do(chromedp.Navigate(r.SigningURL))
	p.enrol(pl.info.Front, "approve")
	page, err := pl.flow.Page(t.Context(), r.SigningURL)
	if err != nil {
		t.Fatal(err)
	}
	back, err := pl.flow.AtItsme(t.Context(), page.Link, "approve")
	if err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Navigate(back))
	p.step("done")
	p.silent()
	p.do(chromedp.Navigate(back))
	p.do(chromedp.WaitVisible(`main .notice`))
	p.look("answer-used")
	if text := p.text("main"); !strings.Contains(text, "callback_used") {
		t.Errorf("the page says %q", text)
	}
	p.do(chromedp.Click("a.button"))
	p.step("done")
	p.do(chromedp.Navigate(pl.info.Front + "/itsme/callback?state=never&code=never"))
	p.do(chromedp.WaitVisible(`main .notice`))
	p.look("answer-unknown")
	if text := p.text("main"); !strings.Contains(text, "callback_unknown") || len(get(p, chromedp.Evaluate[[]string](`[...document.querySelectorAll("main a")].map((a) => a.href)`))) != 0 {
		t.Errorf("the page says %q", text)
	}
}

// TestAskingAgain loses the way back from itsme: the link is spent, and the page makes a new one.
func TestAskingAgain(t *testing.T) {
	pl := start(t)
	for lang, person := range map[string]string{"en": "diacritics", "nl": "approve"} {
		p := open(t, lang, pl.hosts()...)
		r := pl.order(lang)
		p.do(chromedp.Navigate(r.SigningURL))
		p.enrol(pl.info.Front, person)
		link := func() string { return p.maybe(`document.querySelector("a.button").href`) }
		old := link()
		back, err := pl.flow.AtItsme(t.Context(), old, person)
		if err != nil {
			t.Fatal(err)
		}
		p.do(chromedp.Click(`form[action$="/again"] button`))
		p.until(loaded + ` && (document.querySelector("#page[data-step=confirm] a.button") || {href: ""}).href.startsWith("http") && document.querySelector("a.button").href !== ` + quote(old))
		p.look("asked-again")
		p.do(chromedp.Click(`form[action$="/again"] button`)) // a second tap, too soon
		p.do(chromedp.WaitVisible(`main .notice`))
		p.look("asked-too-soon")
		if text := p.text("main"); !strings.Contains(text, "too_soon") {
			t.Errorf("the page says %q", text)
		}
		p.do(chromedp.Navigate(back)) // the first answer comes after all
		p.do(chromedp.WaitVisible(`main .notice`))
		p.look("answer-abandoned")
		if text := p.text("main"); !strings.Contains(text, "callback_expired") {
			t.Errorf("the page says %q", text)
		}
		p.do(chromedp.Click("a.button"))
		p.step("confirm")
		p.do(chromedp.Click("a.button"))
		p.left(pl.info.Front)
		p.atItsme(pl.info.Front, person, "confirm")
		p.step("done")
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestThePageFollowsAnotherDevice confirms elsewhere and looks at the page that was left open.
func TestThePageFollowsAnotherDevice(t *testing.T) {
	pl := start(t)
	p := open(t, "nl", pl.hosts()...)
	r := pl.order("nl")
	p.do(chromedp.Navigate(r.SigningURL))
	p.enrol(pl.info.Front, "approve")
	if step, err := pl.flow.Walk(t.Context(), r.SigningURL, "approve"); err != nil || step != "done" {
		t.Fatalf("%s %v", step, err)
	}
	p.step("done")
	p.silent()
}

// TestThePageWorksWithoutScripts walks everything with scripts switched off.
func TestThePageWorksWithoutScripts(t *testing.T) {
	pl := start(t)
	p := open(t, "en", pl.hosts()...)
	r := pl.order("en")
	p.do(chromedp.Navigate(r.SigningURL))
	p.enrol(pl.info.Front, "approve")
	set(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	p.do(chromedp.Reload())
	p.do(chromedp.WaitVisible(`#page[data-step="confirm"]`))
	if _, err := pl.flow.Step(t.Context(), r.SigningURL, "approve"); err != nil {
		t.Fatal(err)
	}
	p.do(chromedp.Reload())
	p.do(chromedp.WaitVisible(`#page[data-step="done"]`)) // by itself, should it have been "wait"
	p.silent()
}

func TestTheContractIsReadable(t *testing.T) {
	pl := start(t)
	p := open(t, "en", pl.hosts()...)
	for _, path := range []string{"/docs", "/terms/2026-11-24", "/terms/2026-11-24?lang=nl", "/revoke?lang=nl"} {
		p.do(chromedp.Navigate(pl.info.Front + path))
		p.do(chromedp.WaitVisible("h1"))
		p.shot(strings.Trim(strings.NewReplacer("/", "-", "?lang=", "-").Replace(path), "-"))
		if w := get(p, chromedp.Evaluate[int](`document.documentElement.scrollWidth`)); w > 390 {
			t.Errorf("%s is %d wide", path, w)
		}
	}
	p.silent()
}
