package api

import (
	"encoding/xml"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"tekend/policy"
	"tekend/signer"
)

func loaded(t *testing.T) *server {
	t.Helper()
	s := &server{cfg: Config{Now: time.Now, Log: slog.New(slog.DiscardHandler), Sandbox: true}, origin: "https://sign.example"}
	var err error
	if s.spec, err = loadContract(); err != nil {
		t.Fatal(err)
	}
	if s.words, err = loadCatalogues(); err != nil {
		t.Fatal(err)
	}
	if s.pages, err = loadPages(s.spec, s.words, true); err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
	messageKey  = regexp.MustCompile(`\.(?:T|Words "?\$?[A-Za-z]*"?|Words \.) ?"([a-z._]+)"`)
)

func TestEveryLanguageHasEveryWord(t *testing.T) {
	s := loaded(t)
	if !slices.Equal(s.words.langs[:2], []string{"en", "nl"}) {
		t.Fatalf("languages %v", s.words.langs)
	}
	base := s.words.words[defaultLanguage]
	for lang, words := range s.words.words {
		for key, text := range base {
			if strings.TrimSpace(words[key]) == "" {
				t.Errorf("%s lacks %s", lang, key)
				continue
			}
			want, got := placeholder.FindAllString(text, -1), placeholder.FindAllString(words[key], -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("%s %s has %v, not %v", lang, key, got, want)
			}
			if lang != defaultLanguage && words[key] == text && len(strings.Fields(text)) > 2 {
				t.Errorf("%s %s is not translated", lang, key)
			}
		}
		for key := range words {
			if _, ok := base[key]; !ok {
				t.Errorf("%s has %s, which %s has not", lang, key, defaultLanguage)
			}
		}
	}
}

// TestNoWordIsOutsideTheCatalogues looks at the text of the templates and at the keys that they use.
func TestNoWordIsOutsideTheCatalogues(t *testing.T) {
	s := loaded(t)
	used := map[string]bool{}
	action := regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	tag := regexp.MustCompile(`(?s)<[^>]*>`)
	shownAttr := regexp.MustCompile(`(?:title|alt|placeholder|aria-label|content)="([^"]*)"`)
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil || len(files) != 10 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		text, err := templateFiles.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messageKey.FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
			if !s.words.has(m[1]) {
				t.Errorf("%s uses %s, which no catalogue has", f, m[1])
			}
		}
		bare := action.ReplaceAllString(string(text), "")
		for _, m := range shownAttr.FindAllStringSubmatch(bare, -1) {
			if letters(m[1]) && !strings.Contains("width=device-width, initial-scale=1 noindex, nofollow telephone=no", m[1]) {
				t.Errorf("%s shows %q", f, m[1])
			}
		}
		if rest := tag.ReplaceAllString(bare, ""); letters(rest) {
			t.Errorf("%s holds words: %q", f, strings.Join(strings.Fields(rest), " "))
		}
	}
	for _, step := range steps() {
		used["title."+step] = true
	}
	for _, kind := range policy.Kinds() {
		used["policies."+kind] = true
	}
	for _, lang := range append(policy.Languages(), policy.AllLanguages) {
		used["policies.language."+lang] = true
	}
	for key := range s.words.words[defaultLanguage] { // the code is beside each: GetRevokeForm, whyNotRevoked, usesPage, the states of package sam
		for _, begins := range []string{"revoke.reason.", "revoke.error.", "uses.", "credentials.state."} {
			used[key] = used[key] || strings.HasPrefix(key, begins)
		}
	}
	for key := range s.words.words[defaultLanguage] {
		if !used[key] && !strings.HasPrefix(key, "error.") && !strings.HasPrefix(key, "title.") {
			t.Errorf("nobody uses %s", key)
		}
	}
	if len(used) < 40 {
		t.Errorf("only %d keys were found in the templates", len(used))
	}
}

func letters(s string) bool { return strings.ContainsFunc(s, unicode.IsLetter) }

func steps() []string {
	return []string{signer.StepTerms, signer.StepIdentify, signer.StepConsent, signer.StepConfirm, signer.StepWait, signer.StepDone, signer.StepRefused, signer.StepExpired, signer.StepFailed}
}

// orderOnly are codes that only programs see, in answers to an order or about its evidence.
var orderOnly = []string{
	"no_documents", "document_twice", "too_many_documents", "too_many_signatures", "document_too_large", "request_too_large", "document_name_invalid", "level_not_supported",
	"reference_invalid", "redirect_url_invalid", "lifetime_invalid", "multipart_invalid", "unauthorized", "idempotency_key_invalid", "idempotency_key_reused", "evidence_not_ready",
	"signed_order_invalid", "reason_invalid", "revision_held",
	"visible_with_signed_order", "format_not_supported", "digest_invalid", "digest_algorithm_not_supported", "document_empty", "continues_unknown",
	"digests_too_early", "not_identified", "digests_not_awaited",
}

// is422 are refusals of an order or a document, which answers leaves to its default.
var is422 = []string{
	"no_documents", "document_twice", "too_many_documents", "too_many_signatures", "document_name_invalid", "level_not_supported", "language_not_supported", "reference_invalid",
	"redirect_url_invalid", "lifetime_invalid", "cms_too_large", "signed_order_invalid", "reason_invalid",
	"appearance_invalid", "visible_with_signed_order", "format_not_supported", "digest_invalid", "digest_algorithm_not_supported", "document_empty", "continues_unknown",
	"digests_too_early",
}

// TestEveryCodeHasAStatusAndWords reads the codes out of the sources, so that a new one cannot be forgotten.
func TestEveryCodeHasAStatusAndWords(t *testing.T) {
	s := loaded(t)
	codes := map[string]bool{}
	for _, f := range []string{"../signer/errors.go", "problem.go"} {
		for _, c := range codesIn(t, f) {
			codes[c] = true
		}
	}
	if len(codes) < 60 {
		t.Fatalf("only %d codes found", len(codes))
	}
	for code := range codes {
		if code == "not_a_pdf" || strings.HasPrefix(code, "pdf_") {
			continue // a refusal of a document: 422, and only programs see it
		}
		if _, ok := answers[code]; ok == slices.Contains(is422, code) {
			t.Errorf("%s: in answers %v, in the list of 422 %v", code, ok, !ok)
		}
		if s.words.has("error."+code) == slices.Contains(orderOnly, code) {
			t.Errorf("%s: has words %v, only for programs %v", code, s.words.has("error."+code), slices.Contains(orderOnly, code))
		}
	}
	for key := range s.words.words[defaultLanguage] {
		if code, ok := strings.CutPrefix(key, "error."); ok && !codes[code] && code != "other" {
			t.Errorf("words for %s, which nobody says", code)
		}
	}
	for code := range answers {
		if !codes[code] {
			t.Errorf("a status for %s, which nobody says", code)
		}
	}
}

// codesIn finds the values of the fields Code in a file's composite literals.
func codesIn(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(f, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, isName := kv.Key.(*ast.Ident)
		lit, isText := kv.Value.(*ast.BasicLit)
		if isName && isText && key.Name == "Code" && lit.Kind == token.STRING {
			c, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		return true
	})
	return all
}

// every is a page in each step, as the signer would give it.
func every(step string) *signer.Page {
	p := &signer.Page{
		Request: &signer.Request{
			ID: "sr_x", Client: "acme", State: signer.Created, Level: "B-T", Language: "en", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
			Documents: []signer.DocumentInfo{{ID: "doc_1", Name: `<b>"one" & 'two'</b>.pdf`, Size: 1234567}, {ID: "doc_2", Name: "2.pdf", Size: 999}},
		},
		Step: step, ReturnURL: "https://acme.example/back?signature_request=sr_x", ExpiresAt: time.Now().Add(time.Minute),
		Notice: signer.ErrOnCall,
	}
	switch step {
	case signer.StepTerms:
		p.TermsVersion = "2026-11"
	case signer.StepIdentify, signer.StepConsent, signer.StepConfirm:
		p.Link = "https://idp.example/authorize?a=1&b=2"
	case signer.StepDone:
		p.Request.State = signer.Finished
	case signer.StepFailed:
		p.Failure = signer.ErrOutcome
	}
	if step == signer.StepConfirm || step == signer.StepDone {
		p.CheckCode, p.Text = "7K3M-9QWX-2B4D-HJ5N", "Sign <2> documents\nCode 7K3M-9QWX-2B4D-HJ5N"
	}
	return p
}

func TestEveryStepInEveryLanguageIsASoundPage(t *testing.T) {
	s := loaded(t)
	for _, step := range steps() {
		seen := map[string]string{}
		for _, lang := range s.words.langs {
			f, err := s.signingPage(&call{langs: wanted{chosen: lang}}, "to-ken_1", every(step))
			if err != nil {
				t.Fatal(err)
			}
			text := string(f.bytes)
			h := readHTML(t, step+" "+lang, text)
			if h.lang != lang || h.headings[1] != 1 || !h.viewport || !strings.Contains(text, s.words.say(lang, "sandbox.title")) {
				t.Errorf("%s %s: lang %q, headings %v, viewport %v", step, lang, h.lang, h.headings, h.viewport)
			}
			link := `<a class="button" href="https://idp.example/authorize?a=1&amp;b=2"`
			if strings.Contains(text, link) != linked(step) {
				t.Errorf("%s %s: link %v", step, lang, strings.Contains(text, link))
			}
			if code := strings.Contains(text, `<span>7K3M</span>`); code != (step == signer.StepConfirm || step == signer.StepDone) {
				t.Errorf("%s %s: code %v", step, lang, code)
			}
			if strings.Contains(text, "<b>") || strings.Contains(text, "Sign <2>") {
				t.Errorf("%s %s: a name became markup", step, lang)
			}
			if strings.Contains(text, "<img") || strings.Contains(strings.ToLower(text), "logo") {
				t.Errorf("%s %s: a picture", step, lang)
			}
			if form := strings.Contains(text, `action="/sign/to-ken_1/decline"`); form != (step == signer.StepTerms || linked(step)) {
				t.Errorf("%s %s: may decline %v", step, lang, form)
			}
			if form := strings.Contains(text, `action="/sign/to-ken_1/again"`); form != linked(step) {
				t.Errorf("%s %s: may ask again %v", step, lang, form)
			}
			if strings.Contains(text, "no value") || strings.Contains(text, "{client}") || strings.Contains(text, "%!") {
				t.Errorf("%s %s: something was not filled in", step, lang)
			}
			for other, body := range seen {
				if body == h.text {
					t.Errorf("%s says the same in %s and %s", step, lang, other)
				}
			}
			seen[lang] = h.text
		}
	}
}

// html is what readHTML saw.
type html struct {
	lang, text string
	headings   map[int]int
	viewport   bool
}

// readHTML reads a page strictly enough to trust its structure: tags close, ids are unique, controls have names, and
// nothing runs or loads that the policy forbids.
func readHTML(t *testing.T, name, text string) html {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(text))
	dec.Strict, dec.AutoClose, dec.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	h := html{headings: map[int]int{}}
	ids, labels, inputs := map[string]bool{}, map[string]bool{}, []string{}
	var b strings.Builder
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch tok := tok.(type) {
		case xml.CharData:
			b.Write(tok)
		case xml.StartElement:
			attr := map[string]string{}
			for _, a := range tok.Attr {
				attr[a.Name.Local] = a.Value
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "style" {
					t.Errorf("%s: inline %s", name, a.Name.Local)
				}
			}
			if id := attr["id"]; id != "" {
				if ids[id] {
					t.Errorf("%s: id %s stands twice", name, id)
				}
				ids[id] = true
			}
			element(t, name, tok.Name.Local, attr, &h)
			switch tok.Name.Local {
			case "label":
				labels[attr["for"]] = true
			case "input", "select", "textarea":
				if attr["type"] != "hidden" {
					inputs = append(inputs, attr["id"])
				}
			}
		}
	}
	for _, id := range inputs {
		if id == "" || !labels[id] {
			t.Errorf("%s: the control %q has no label", name, id)
		}
	}
	h.text = strings.Join(strings.Fields(b.String()), " ")
	return h
}

func element(t *testing.T, name, tag string, attr map[string]string, h *html) {
	t.Helper()
	switch tag {
	case "html":
		h.lang = attr["lang"]
	case "h1", "h2", "h3", "h4":
		h.headings[int(tag[1]-'0')]++
	case "meta":
		h.viewport = h.viewport || attr["name"] == "viewport" && !strings.Contains(attr["content"], "scalable")
	case "script":
		if !strings.HasPrefix(attr["src"], "/assets/") {
			t.Errorf("%s: a script that is not ours: %v", name, attr)
		}
	case "link":
		if !strings.HasPrefix(attr["href"], "/assets/") {
			t.Errorf("%s: something from elsewhere: %v", name, attr)
		}
	case "form":
		if attr["method"] != "post" || !strings.HasPrefix(attr["action"], "/sign/to-ken_1/") && attr["action"] != "/revoke" {
			t.Errorf("%s: form %v", name, attr)
		}
	case "a":
		if attr["target"] == "_blank" && attr["rel"] != "noopener" {
			t.Errorf("%s: link %v", name, attr)
		}
	case "style", "iframe", "object", "embed", "base":
		t.Errorf("%s: <%s>", name, tag)
	}
}

func TestProblemsAndTermsAreSoundPages(t *testing.T) {
	s := loaded(t)
	for _, lang := range s.words.langs {
		v := problemView{view: s.pages.view(lang, true), Instance: "x", Page: "/sign/to-ken_1", Reason: *s.reason(lang, signer.ErrStateUsed)}
		v.Title = "x"
		b, err := s.pages.render("problem", v)
		if err != nil {
			t.Fatal(err)
		}
		if h := readHTML(t, "problem", string(b)); h.lang != lang || !strings.Contains(string(b), `href="/sign/to-ken_1"`) {
			t.Errorf("%s: %s", lang, b)
		}
		version, _, err := TermsInForce()
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile("../policy/texts/" + version + "/terms-mul.txt")
		if err != nil {
			t.Fatal(err)
		}
		paragraphs, err := termsSection(string(text), lang)
		if err != nil || len(paragraphs) < 8 {
			t.Errorf("%s: %d paragraphs, %v", lang, len(paragraphs), err)
		}
	}
	readHTML(t, "docs", string(s.pages.docs))
}

func TestSizesForPeople(t *testing.T) {
	for n, want := range map[int64][2]string{
		0: {"0 B", "0 B"}, 999: {"999 B", "999 B"}, 1000: {"1.0 kB", "1,0 kB"}, 1234567: {"1.2 MB", "1,2 MB"}, 2 << 40: {"2.2 TB", "2,2 TB"},
	} {
		if got := [2]string{size("en", n), size("nl", n)}; got != want {
			t.Errorf("%d: %v", n, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT24H": 24 * time.Hour, "P1D": 24 * time.Hour, "P2DT3H4M5S": 51*time.Hour + 4*time.Minute + 5*time.Second, "PT90M": 90 * time.Minute, "PT0S": 0,
		"P999DT9999H99999M9999999S": 999*24*time.Hour + 9999*time.Hour + 99999*time.Minute + 9999999*time.Second,
		"":                          -1, "P": -1, "PT": -1, "P1": -1, "P1M": -1, "P1Y": -1, "P1W": -1, "PT1": -1, "PT1.5H": -1, "-PT1H": -1, "P1DT": -1, "PT1S1H": -1, "pt1h": -1, "PT1H ": -1,
	} {
		got, ok := duration(text)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v %v", text, got, ok)
		}
	}
}

func TestDispositions(t *testing.T) {
	for name, want := range map[string]string{
		"a.pdf":        `attachment; filename="a.pdf"; filename*=UTF-8''a.pdf`,
		"a b;c.PDF":    `attachment; filename="a b;c.PDF"; filename*=UTF-8''a%20b%3Bc.PDF`,
		"\"\\\r\n.pdf": `attachment; filename="____.pdf"; filename*=UTF-8''%22%5C%0D%0A.pdf`,
		"ř€😀":          `attachment; filename="___.pdf"; filename*=UTF-8''%C5%99%E2%82%AC%F0%9F%98%80.pdf`,
		"run.exe":      `attachment; filename="run.exe.pdf"; filename*=UTF-8''run.exe.pdf`,
	} {
		if got := disposition(true, name, "application/pdf"); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	for media, want := range map[string]string{
		"application/pkcs7-signature": `attachment; filename="a.exe.p7s"; filename*=UTF-8''a.exe.p7s`,
		"application/pkcs7-mime":      `attachment; filename="a.exe.p7m"; filename*=UTF-8''a.exe.p7m`,
		"application/octet-stream":    `attachment; filename="a.exe"; filename*=UTF-8''a.exe`,
	} {
		if got := disposition(true, "a.exe", media); got != want {
			t.Errorf("%s: %s", media, got)
		}
	}
	if got := disposition(false, "a.pdf", "application/pdf"); !strings.HasPrefix(got, "inline; ") {
		t.Error(got)
	}
}
