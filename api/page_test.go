package api_test

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"tekend/api"
	"tekend/signer"
)

const formType = "application/x-www-form-urlencoded"

func termsInForce(t *testing.T) string {
	t.Helper()
	version, _, err := api.TermsInForce()
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestThePageAsDataAndAsHTML(t *testing.T) {
	d := open(t, nil)
	r, token := d.order(`{"language":"nl","redirect_url":"https://acme.example/back"}`)
	var p api.SigningPage
	d.get("/sign/"+token, "Accept", "application/json").into(t, &p)
	version := termsInForce(t)
	if p.RequestId != r.Id || p.RequestedBy != "acme" || p.State != "created" || p.Step != "accept_terms" || p.Language != "nl" || !p.Sandbox ||
		len(p.Documents) != 1 || *p.TermsVersion != version || *p.ReturnUrl != "https://acme.example/back?signature_request="+r.Id || p.Link != nil {
		t.Errorf("%s", mustJSON(p))
	}
	a := d.get("/sign/" + token)
	if a.status != 200 || a.header.Get("Content-Type") != "text/html; charset=utf-8" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	csp := a.header.Get("Content-Security-Policy")
	for _, rule := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, rule) {
			t.Errorf("no %s in %s", rule, csp)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
		t.Error(csp)
	}
	for _, text := range []string{`<html lang="nl">`, "acme vraagt u", "contract.pdf", "/sign/" + token + "/documents/1", "Simulatie", "/terms/" + version} {
		if !strings.Contains(string(a.body), text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	for _, asset := range []string{"/assets/page.css", "/assets/page.js", "/assets/icon.svg"} {
		if a := d.get(asset); a.status != 200 || len(a.body) < 200 || a.header.Get("Cache-Control") != "public, max-age=3600" {
			t.Errorf("%s: %d", asset, a.status)
		}
	}
}

func TestEveryPageSaysWhetherThisIsASimulation(t *testing.T) {
	for _, sandbox := range []bool{true, false} {
		d := open(t, func(s *setup) { s.api.Sandbox = sandbox })
		_, token := d.order(`{}`)
		for _, path := range []string{"/sign/" + token, "/sign/unknown", "/terms/2026-11", "/itsme/callback?state=x&code=y", "/docs"} {
			if a := d.get(path, "Accept", "text/html"); strings.Contains(string(a.body), "Simulation.") != sandbox {
				t.Errorf("sandbox %v: %s speaks of a simulation: %v", sandbox, path, !sandbox)
			}
		}
	}
}

func TestTheLanguageIsChosenByThePersonThenTheBrowserThenTheOrder(t *testing.T) {
	d := open(t, nil)
	_, token := d.order(`{"language":"nl"}`)
	at := "/sign/" + token
	for _, c := range []struct {
		query, cookie, accept, want string
	}{
		{"", "", "", "nl"},
		{"", "", "xx-broken;q=zz", "nl"},
		{"", "", "fr-BE", "nl"},
		{"", "", "en-GB,en;q=0.8", "en"},
		{"", "", "fr-BE, en;q=0.5, nl;q=0.4", "en"},
		{"", "", "nl-BE", "nl"},
		{"?lang=en", "", "nl", "en"},
		{"?lang=EN-us", "", "nl", "en"},
		{"?lang=fr", "", "", "nl"},
		{"", "en", "nl", "en"},
		{"?lang=nl", "en", "en", "nl"},
		{"", "zz", "en", "en"},
		{"", "", strings.Repeat("en,", 100000), "nl"},
	} {
		req := d.request(http.MethodGet, at+c.query, nil, "Accept", "text/html")
		if c.accept != "" {
			req.Header.Set("Accept-Language", c.accept)
		}
		if c.cookie != "" {
			req.AddCookie(&http.Cookie{Name: "lang", Value: c.cookie})
		}
		a := d.do(req)
		if !strings.Contains(string(a.body), `<html lang="`+c.want+`">`) {
			t.Errorf("%+.60v: not %s", c, c.want)
		}
		if cookie := a.header.Get("Set-Cookie"); (strings.Contains(c.query, c.want) || strings.Contains(c.query, "EN")) &&
			(!strings.HasPrefix(cookie, "lang="+c.want+";") || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax")) {
			t.Errorf("%+v: cookie %q", c, cookie)
		}
	}
	d.get(at+"?lang=<script>", "Accept", "application/json").problem(t, "request_invalid", 400)
}

func TestFormsComeFromThePageItself(t *testing.T) {
	d := open(t, nil)
	_, token := d.order(`{}`)
	at := "/sign/" + token + "/decline"
	for _, h := range [][2]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "http://127.0.0.1:1"},
	} {
		d.post(at, formType, "", append([]string{"Accept", "application/json"}, h[:]...)...).problem(t, "cross_site", 403)
	}
	var p api.SigningPage
	d.get("/sign/"+token, "Accept", "application/json").into(t, &p)
	if p.State != "created" {
		t.Fatalf("another site has declined: %s", p.State)
	}
	// What our own page sends: Referrer-Policy no-referrer makes the origin null.
	a := d.post(at, formType, "", "Origin", "null", "Sec-Fetch-Site", "same-origin", "Accept", "text/html")
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/sign/"+token {
		t.Errorf("%d %q", a.status, a.header.Get("Location"))
	}
	a = d.get("/sign/"+token, "Accept", "text/html")
	if !strings.Contains(string(a.body), "You declined. Nothing was signed.") {
		t.Errorf("%s", a.body)
	}
	// Again, as a program does it, with and without a body; and to late for the rest.
	d.post(at, "application/json", `{}`).into(t, &p)
	if p.Step != "refused" || p.Problem == nil || p.Problem.Code != "declined" {
		t.Errorf("%s", mustJSON(p))
	}
	d.do(d.request(http.MethodPost, at, nil, "Accept", "application/json")).into(t, &p)
	d.post("/sign/"+token+"/terms", "application/json", `{"terms_version":"`+termsInForce(t)+`"}`).problem(t, "ended", 409)
	if a := d.post(at+"?lang=nl", formType, ""); a.status != http.StatusSeeOther || a.header.Get("Location") != "/sign/"+token+"?lang=nl" {
		t.Errorf("%d %q", a.status, a.header.Get("Location"))
	}
}

// TestAskingAgainIsAForm: what a new question is belongs to signer; here are its doors.
func TestAskingAgainIsAForm(t *testing.T) {
	d := open(t, nil)
	_, token := d.order(`{}`)
	at := "/sign/" + token + "/again"
	for _, h := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		d.post(at, formType, "", "Accept", "application/json", h[0], h[1]).problem(t, "cross_site", 403)
	}
	var p api.SigningPage
	for _, a := range []answer{d.post(at, "application/json", `{}`), d.do(d.request(http.MethodPost, at, nil, "Accept", "application/json"))} {
		if a.into(t, &p); p.Step != "accept_terms" {
			t.Errorf("%s", mustJSON(p))
		}
	}
	a := d.post(at+"?lang=nl", formType, "", "Origin", "null", "Sec-Fetch-Site", "same-origin", "Accept", "text/html")
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/sign/"+token+"?lang=nl" {
		t.Errorf("%d %q", a.status, a.header.Get("Location"))
	}
	d.post(at, "application/json", `{"x":1}`).problem(t, "request_invalid", 400)
	d.get(at, "Accept", "application/json").problem(t, "method_not_allowed", 405)
	d.post("/sign/unknown/again", "application/json", `{}`).problem(t, "not_found", 404)
	d.post("/sign/"+token+"/decline", "application/json", `{}`)
	d.post(at, "application/json", `{}`).problem(t, "ended", 409)
	a = d.post(at, formType, "", "Accept", "text/html")
	if a.status != http.StatusConflict || !strings.Contains(string(a.body), `href="/sign/`+token+`"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestTooSoonSaysWhenToComeBack: with the real service in the state that it has after a new question.
func TestTooSoonSaysWhenToComeBack(t *testing.T) {
	d := open(t, nil)
	r, token := d.order(`{}`)
	rec, err := d.store.Load(t.Context(), signer.Lookup{ID: r.Id})
	if err != nil {
		t.Fatal(err)
	}
	rec.Progress.Terms, rec.Progress.AskedAgain = "2026-11", time.Now()
	rec.Progress.Enrolment = &signer.Enrolment{ID: "e", Step: "identify", URL: "https://idp.example/", ExpiresAt: time.Now().Add(time.Minute)}
	if err := d.store.Advance(t.Context(), signer.Change{Was: rec.State, Now: rec}); err != nil {
		t.Fatal(err)
	}
	a := d.post("/sign/"+token+"/again", "application/json", `{}`)
	if p := a.problem(t, "too_soon", 429); !p.Retryable || a.header.Get("Retry-After") != "10" {
		t.Errorf("%s, Retry-After %q", mustJSON(p), a.header.Get("Retry-After"))
	}
	a = d.post("/sign/"+token+"/again", formType, "", "Accept", "text/html")
	if a.status != http.StatusTooManyRequests || !strings.Contains(string(a.body), `href="/sign/`+token+`"`) || !strings.Contains(string(a.body), "after 10 seconds") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestTermsAreReadInOneWayOnly(t *testing.T) {
	d := open(t, nil)
	_, token := d.order(`{}`)
	at := "/sign/" + token + "/terms"
	const v = `"terms_version":"` + secret + `"`
	for name, c := range map[string]struct {
		body, code, pointer string
		status              int
	}{
		"duplicate":               {`{` + v + `,` + v + `}`, "json_invalid", "/terms_version", 400},
		"case variant":            {`{` + v + `,"Terms_Version":"2"}`, "json_invalid", "/Terms_Version", 400},
		"case variant alone":      {`{"Terms_version":"` + secret + `"}`, "request_invalid", "/Terms_version", 400},
		"unknown":                 {`{` + v + `,"x":1}`, "request_invalid", "/x", 400},
		"missing":                 {`{}`, "request_invalid", "/terms_version", 400},
		"number":                  {`{"terms_version":1}`, "request_invalid", "/terms_version", 400},
		"null":                    {`{"terms_version":null}`, "request_invalid", "/terms_version", 400},
		"empty text":              {`{"terms_version":""}`, "request_invalid", "/terms_version", 400},
		"long text":               {`{"terms_version":"` + strings.Repeat("x", 41) + `"}`, "request_invalid", "/terms_version", 400},
		"language":                {`{` + v + `,"language":"` + secret + `"}`, "request_invalid", "/language", 400},
		"trailing":                {`{` + v + `}]`, "json_invalid", "", 400},
		"array":                   {`[` + v + `]`, "json_invalid", "/1", 400},
		"empty":                   {``, "json_invalid", "", 400},
		"half a surrogate":        {`{"terms_version":"\ud800"}`, "json_invalid", "/terms_version", 400},
		"not UTF-8":               {"{\"terms_version\":\"\xff\"}", "json_invalid", "", 400},
		"duplicate in a deep one": {`{"terms_version":{"a":1,"a":2}}`, "json_invalid", "/terms_version/a", 400},
		"over 64 KiB":             {`{` + v + strings.Repeat(" ", 64<<10) + `}`, "body_too_large", "", 413},
		"old terms":               {`{"terms_version":"2020-01"}`, "terms_changed", "", 409},
	} {
		t.Run(name, func(t *testing.T) {
			d := *d
			d.t = t
			p := d.post(at, "application/json", c.body).problem(t, c.code, c.status)
			got := ""
			if p.Issues != nil {
				for _, i := range *p.Issues {
					if i.Pointer != nil && got == "" {
						got = *i.Pointer
					}
				}
			}
			if got != c.pointer {
				t.Errorf("issues %s, want %q", mustJSON(p.Issues), c.pointer)
			}
		})
	}
	req := d.request(http.MethodPost, at, &endless{1 << 20}, "Content-Type", "application/json") // chunked
	d.do(req).problem(t, "body_too_large", 413)

	for body, code := range map[string]string{
		"terms_version=2020-01":                         "terms_changed",
		"terms_version=2020-01&terms_version=" + secret: "request_invalid",
		"language=en":                                 "request_invalid",
		"terms_version=2020-01&x=" + secret:           "request_invalid",
		"terms_version=%zz":                           "request_invalid",
		"terms_version=" + strings.Repeat("x", 5<<10): "body_too_large",
	} {
		a := d.post(at+"?terms_version="+termsInForce(t), formType, body, "Accept", "application/json")
		var status = map[string]int{"terms_changed": 409, "request_invalid": 400, "body_too_large": 413}[code]
		a.problem(t, code, status)
	}
	for _, media := range []string{"", "text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16"} {
		d.post(at, media, `{"terms_version":"2026-11"}`, "Accept", "application/json").problem(t, "unsupported_media_type", 415)
	}
	a := d.post(at, formType, "terms_version=2020-01", "Accept", "text/html", "Accept-Language", "nl")
	if a.status != 409 || !strings.Contains(string(a.body), "voorwaarden zijn intussen veranderd") || !strings.Contains(string(a.body), "terms_changed") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestTermsCanBeReadAndTheirDigestComputed(t *testing.T) {
	d := open(t, nil)
	version, sum, err := api.TermsInForce()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("../policy/texts/" + version + "/terms-mul.txt")
	if err != nil {
		t.Fatal(err)
	}
	a := d.get("/terms/" + version + ".txt")
	if string(a.body) != string(file) || len(sum) != 32 || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d %v", a.status, a.header)
	}
	for lang, text := range map[string]string{"en": "This service makes electronic signatures", "nl": "Deze dienst plaatst elektronische handtekeningen"} {
		a := d.get("/terms/" + version + "?lang=" + lang)
		if a.status != 200 || !strings.Contains(string(a.body), text) || strings.Contains(string(a.body), "== ") {
			t.Errorf("%s: %d %s", lang, a.status, a.body)
		}
	}
	d.get("/terms/1999-01", "Accept", "application/json").problem(t, "not_found", 404)
	d.get("/terms/..", "Accept", "application/json").problem(t, "not_found", 404)
}

func TestCallbacksThatLeadNowhere(t *testing.T) {
	d := open(t, nil)
	for query, want := range map[string]string{
		"state=" + secret + "&code=" + secret:      "callback_unknown",
		"state=" + secret + "&error=access_denied": "callback_unknown",
		"state=" + secret:                          "callback_malformed",
		"code=" + secret:                           "callback_malformed",
		"":                                         "callback_malformed",
		"state=" + secret + "&code=x&error=access_denied":           "callback_malformed",
		"state=a&state=" + secret + "&code=x":                       "request_invalid",
		"state=" + secret + "&code=x&code=y":                        "request_invalid",
		"state=&code=x":                                             "request_invalid",
		"state=" + strings.Repeat("s", 513) + "&code=x":             "request_invalid",
		"state=s&code=" + strings.Repeat("c", 5000):                 "request_invalid",
		"state=%zz&code=x":                                          "request_invalid",
		"state=s&code=x&redirect_uri=https%3A%2F%2Fevil.example%2F": "callback_unknown",
	} {
		status := map[string]int{"callback_unknown": 404, "callback_malformed": 400, "request_invalid": 400}[want]
		d.get("/itsme/callback?"+query, "Accept", "application/json").problem(t, want, status)
		a := d.get("/itsme/callback?"+query, "Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language", "nl")
		if a.status != status || a.header.Get("Location") != "" || !strings.Contains(string(a.body), want) || !strings.Contains(string(a.body), `<html lang="nl">`) ||
			strings.Contains(string(a.body), "evil.example") {
			t.Errorf("%.60s: %d %v %s", query, a.status, a.header, a.body)
		}
	}
}

func TestAnUnknownPageIsAPage(t *testing.T) {
	d := open(t, nil)
	for _, path := range []string{"/sign/" + secret, "/sign/x", "/sign/" + strings.Repeat("x", 5000), "/sign/%3Cscript%3E", "/sign/" + url.PathEscape("é")} {
		a := d.get(path, "Accept", "text/html")
		if a.status != 404 || !strings.Contains(string(a.body), "not_found") || strings.Contains(string(a.body), "<script>") {
			t.Errorf("%.40s: %d %s", path, a.status, a.body)
		}
		d.get(path, "Accept", "application/json").problem(t, "not_found", 404)
	}
}
