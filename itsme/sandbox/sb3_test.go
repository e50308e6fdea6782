package sandbox_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tekend/itsme"
	"tekend/itsme/sandbox"
)

const phoneUA = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148"

// phone opens a request with pages and returns its id.
func (w *world) phone(a asked, header ...string) string {
	w.t.Helper()
	resp, body := w.get(a.url, header...)
	id, ok := strings.CutPrefix(resp.Header.Get("Location"), "/sandbox/actions/")
	if !ok {
		w.t.Fatalf("%d %s %s", resp.StatusCode, resp.Header.Get("Location"), body)
	}
	return id
}

// withClaims is a Confirmation whose claims.userinfo is given.
func (w *world) withTemplate(members map[string]string) asked {
	userinfo := map[string]any{}
	for k, v := range members {
		userinfo["http://itsme.services/v2/claim/claim_approval_"+k] = map[string]any{"essential": true, "value": v}
	}
	return w.nested(func(m map[string]any) { m["claims"] = map[string]any{"userinfo": userinfo} })
}

func TestSB30Templates(t *testing.T) {
	w := newWorld(t, nil)
	for _, m := range []map[string]string{
		{}, {"template_name": "free_text"}, {"text_key": "hello"}, {"template_name": "other", "text_key": "hello"},
		{"template_name": "adv_payment", "amount_key": "100", "currency_key": "EUR"},
		{"template_name": "adv_payment", "amount_key": "100", "iban_key": "BE68539007547034"},
		{"template_name": "adv_payment", "currency_key": "EUR", "iban_key": "BE68539007547034"},
	} {
		w.wantError(w.withTemplate(m), "invalid_request_object")
	}
	w.wantError(w.nested(func(m map[string]any) { delete(m, "claims") }), "invalid_request_object")
}

func TestSB31TextLimits(t *testing.T) {
	w := newWorld(t, nil)
	text := func(s string) asked {
		return w.withTemplate(map[string]string{"template_name": "free_text", "text_key": s})
	}
	for name, s := range map[string]string{"too long": strings.Repeat("a", 7501), "curly": "don’t", "dash": "a – b", "emoji": "🙂", "8859-1 only": "½", "greek": "Ω"} {
		if got := w.answer(text(s)).Get("error"); got != "invalid_request_object" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, s := range map[string]string{"7500": strings.Repeat("é", 7500), "euro": "€ Š ž Œ", "plain": "Ik teken één document."} {
		if q := w.answer(text(s)); q.Get("code") == "" {
			t.Errorf("%s: %v", name, q)
		}
	}
}

func TestSB32Rendering(t *testing.T) {
	w := newWorld(t, nil)
	for in, out := range map[string]string{
		"<b>a</b><i>b</i><u>c</u><br>d<BR/>e":         "<b>a</b><i>b</i><u>c</u><br>d<br>e",
		"<h1>a</h1><script>alert(1)</script>":         "aalert(1)",
		`<img src=x onerror=alert(1)>x`:               "x",
		`<b onclick="x">a</b>`:                        "a",
		"a < b & c > d":                               "a &lt; b &amp; c &gt; d",
		"<b>open":                                     "<b>open</b>",
		"</b></div>x":                                 "x",
		"&lt;b&gt;":                                   "&amp;lt;b&amp;gt;",
		"<b><i>x</b>y":                                "<b><i>xy</i></b>",
		"<!-- a -->b<a href='http://evil.test'>c</a>": "bc",
		"x<": "x&lt;",
	} {
		a := w.withTemplate(map[string]string{"template_name": "free_text", "text_key": in})
		a.url = strings.Replace(a.url, "sandbox_auto=1", "", 1)
		_, body := w.get("/sandbox/phone/" + w.phone(a))
		if !strings.Contains(body, `class="text">`+out+`</div>`) {
			t.Errorf("%q: want %q in\n%s", in, out, body)
		}
	}
}

func TestSB33Payment(t *testing.T) {
	w := newWorld(t, nil)
	pay := func(amount, currency, iban string) asked {
		return w.withTemplate(map[string]string{"template_name": "adv_payment", "amount_key": amount, "currency_key": currency, "iban_key": iban})
	}
	for _, bad := range [][3]string{
		{"1.5", "EUR", "BE68539007547034"}, {"-1", "EUR", "BE68539007547034"}, {"", "EUR", "BE68539007547034"},
		{"100", "EUX", "BE68539007547034"}, {"100", "eur", "BE68539007547034"}, {"100", "EUR", "BE68539007547035"}, {"100", "EUR", "BE"}, {"100", "EUR", "BE6853900754703é"},
	} {
		w.wantError(pay(bad[0], bad[1], bad[2]), "invalid_request_object")
	}
	a := pay("100", "EUR", "BE68 5390 0754 7034")
	a.url = strings.Replace(a.url, "sandbox_auto=1", "", 1)
	_, body := w.get("/sandbox/phone/" + w.phone(a))
	if !strings.Contains(body, "100 EUR") || !strings.Contains(body, "BE68539007547034") {
		t.Error(body)
	}
}

func TestSB34PhoneScreen(t *testing.T) {
	w := newWorld(t, nil)
	id := w.phone(w.ask(w.confirm, func(r *itsme.AuthRequest) { r.IDTokenClaims = []string{"name", "birthdate"} }).with("sandbox_person", "approve"))
	resp, body := w.get("/sandbox/phone/" + id)
	for _, must := range []string{
		`<h1 id="title">Confirm</h1>`, `<dd id="partner">Test partner</dd>`, "2026-05-28", "Contract.pdf", "<li>birthdate</li><li>name</li>",
		`value="confirm"`, `value="refuse"`, "Simulation for tests", "width=device-width",
	} {
		if !strings.Contains(body, must) {
			t.Errorf("%s is missing:\n%s", must, body)
		}
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") ||
		!strings.Contains(csp, "form-action 'self' "+w.rp.URL) {
		t.Error(csp)
	}
	// Nothing comes from elsewhere, and nothing runs inline.
	for _, m := range regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if !strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "?") {
			t.Errorf("outside address %s", m[1])
		}
	}
	if strings.Contains(body, "<style") || strings.Contains(body, " style=") || strings.Contains(body, "<script>") || strings.Contains(body, "onclick") {
		t.Error("inline style or script")
	}
	for _, f := range []string{"/sandbox/style.css", "/sandbox/page.js", "/sandbox/icons/4.svg"} {
		if resp, _ := w.get(f); resp.StatusCode != 200 {
			t.Errorf("%s: %d", f, resp.StatusCode)
		}
	}
	// Refuse, then nothing more can be answered.
	resp, _ = w.post("/sandbox/phone/"+id, url.Values{"answer": {"refuse"}})
	if u, err := resp.Location(); err != nil || u.Query().Get("error") != "access_denied" {
		t.Fatal(err, u)
	}
	resp, _ = w.post("/sandbox/phone/"+id, url.Values{"answer": {"confirm"}, "code": {"12345"}})
	if u, err := resp.Location(); err != nil || u.Query().Get("code") != "" {
		t.Error("confirmed after the refusal")
	}
	// Another site cannot press the button.
	id = w.phone(w.ask(w.confirm, nil).with("sandbox_person", "approve"))
	resp, _ = w.post("/sandbox/phone/"+id, url.Values{"answer": {"confirm"}, "code": {"12345"}}, "Origin", "https://evil.test")
	if resp.StatusCode != http.StatusForbidden {
		t.Error(resp.StatusCode)
	}
	resp, _ = w.post("/sandbox/phone/"+id, url.Values{"answer": {"confirm"}, "code": {"12345"}}, "Origin", w.web.URL)
	if u, err := resp.Location(); err != nil || u.Query().Get("code") == "" {
		t.Error("not confirmed", err)
	}
}

func TestSB35EntryPages(t *testing.T) {
	w := newWorld(t, nil)
	id := w.phone(w.ask(w.confirm, nil))
	_, body := w.get("/sandbox/actions/" + id)
	if !strings.Contains(body, "/qr.svg") || strings.Contains(body, `type="tel"`) {
		t.Error("desktop: no QR code, or a telephone form")
	}
	if resp, qr := w.get("/sandbox/actions/" + id + "/qr.svg"); resp.Header.Get("Content-Type") != "image/svg+xml" || len(qr) < 5000 {
		t.Error("no QR code")
	}
	id = w.phone(w.ask(w.confirm, nil), "User-Agent", phoneUA)
	if _, body = w.get("/sandbox/actions/"+id, "User-Agent", phoneUA); strings.Contains(body, "/qr.svg") || !strings.Contains(body, `type="tel"`) {
		t.Error("mobile: a QR code, or no telephone form")
	}
	resp, _ := w.post("/sandbox/actions/"+id+"/person", url.Values{"person": {"approve"}, "lang": {"nl"}})
	_, body = w.get(resp.Header.Get("Location"))
	m := regexp.MustCompile(`alt="Icon number (\d)"`).FindStringSubmatch(body)
	if m == nil || !strings.Contains(body, `data-left="180"`) || !strings.Contains(body, "Bewijs dat u het bent") {
		t.Fatal(body)
	}
	if _, phone := w.get("/sandbox/phone/" + id); !strings.Contains(phone, m[0]) {
		t.Error("the phone shows another icon")
	}
	if resp, _ := w.post("/sandbox/actions/"+id+"/person", url.Values{"person": {"the-other"}}); resp.StatusCode != http.StatusBadRequest {
		t.Error(resp.StatusCode)
	}
	// The second device answers; the browser that began goes back to the partner.
	id = w.phone(w.ask(w.confirm, nil))
	resp, _ = w.post("/sandbox/phone/"+id, url.Values{"answer": {"confirm"}, "code": {"12345"}, "other": {"1"}})
	if loc := resp.Header.Get("Location"); loc != "/sandbox/phone/"+id {
		t.Error("the second device was sent to", loc)
	}
	if _, state := w.get("/sandbox/actions/" + id + "/state"); !strings.Contains(state, `"done":true`) {
		t.Error(state)
	}
	resp, _ = w.get("/sandbox/actions/" + id)
	if u, err := resp.Location(); err != nil || u.Query().Get("code") == "" {
		t.Error("the first browser was not sent back", err)
	}
}

func TestSB36NoAnswerWithinThreeMinutes(t *testing.T) {
	w := newWorld(t, nil)
	id := w.phone(w.ask(w.confirm, nil).with("sandbox_person", "approve"))
	w.clock.Add(179 * time.Second)
	if _, state := w.get("/sandbox/actions/" + id + "/state"); strings.Contains(state, "true") {
		t.Error("over before three minutes")
	}
	w.clock.Add(time.Second)
	resp, _ := w.post("/sandbox/phone/"+id, url.Values{"answer": {"confirm"}, "code": {"12345"}})
	if u, err := resp.Location(); err != nil || u.Query().Get("error") != "access_denied" {
		t.Error(u, err)
	}
	// Also when nobody does anything.
	id = w.phone(w.ask(w.confirm, nil).with("sandbox_person", "approve"))
	w.clock.Add(3 * time.Minute)
	resp, _ = w.get("/sandbox/actions/" + id)
	if u, err := resp.Location(); err != nil || u.Query().Get("error") != "access_denied" {
		t.Error(u, err)
	}
	// expire: the button does nothing, the time runs out.
	id = w.phone(w.ask(w.confirm, nil).with("sandbox_person", "expire"))
	resp, _ = w.post("/sandbox/phone/"+id, url.Values{"answer": {"confirm"}, "code": {"12345"}})
	if loc := resp.Header.Get("Location"); loc != "/sandbox/actions/"+id {
		t.Error(loc)
	}
	if _, state := w.get("/sandbox/actions/" + id + "/state"); strings.Contains(state, "true") {
		t.Error("expire answered")
	}
	if err := w.op.SetSwitches(sandbox.Switches{SilentExpiry: true}); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(3 * time.Minute)
	resp, body := w.get("/sandbox/actions/" + id)
	if resp.StatusCode != 200 || resp.Header.Get("Location") != "" || !strings.Contains(body, "Expired") {
		t.Error("silence was not silent", resp.StatusCode)
	}
	resp, _ = w.get(w.ask(w.confirm, nil).auto("expire").url)
	if resp.StatusCode != 200 {
		t.Error(resp.StatusCode)
	}
}
