package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"tekend/signer"
)

// GetSigningPage shows the signer's page.
func (s *server) GetSigningPage(ctx context.Context, in GetSigningPageRequestObject) (GetSigningPageResponseObject, error) {
	ctx, cl := enter(ctx)
	p, err := s.dep.Signer.Page(ctx, in.Token)
	if err != nil {
		return nil, err
	}
	if cl.json {
		return GetSigningPage200JSONResponse{SigningPageJSONResponse(s.pageData(p))}, nil
	}
	return s.signingPage(cl, in.Token, p)
}

// AcceptTerms is the form of the step accept_terms.
func (s *server) AcceptTerms(ctx context.Context, in AcceptTermsRequestObject) (AcceptTermsResponseObject, error) {
	ctx, cl := enter(ctx)
	accepted := in.JSONBody
	if accepted == nil {
		accepted = in.FormdataBody
	}
	if accepted == nil {
		return nil, invalid(Issue{In: Body, Reason: "is required"})
	}
	lang := string(value(accepted.Language))
	if lang == "" {
		p, err := s.dep.Signer.Page(ctx, in.Token)
		if err != nil {
			return nil, err
		}
		lang = p.Request.Language
	}
	if err := s.dep.Signer.AcceptTerms(ctx, in.Token, accepted.TermsVersion, lang); err != nil {
		return nil, err
	}
	if !cl.json {
		return s.toPage(in.Token, in.Params.Lang), nil
	}
	p, err := s.dep.Signer.Page(ctx, in.Token)
	if err != nil {
		return nil, err
	}
	return AcceptTerms200JSONResponse{SigningPageJSONResponse(s.pageData(p))}, nil
}

// DeclineRequest is the form that says no.
func (s *server) DeclineRequest(ctx context.Context, in DeclineRequestRequestObject) (DeclineRequestResponseObject, error) {
	ctx, cl := enter(ctx)
	if err := s.dep.Signer.Decline(ctx, in.Token); err != nil {
		return nil, err
	}
	if !cl.json {
		return s.toPage(in.Token, in.Params.Lang), nil
	}
	p, err := s.dep.Signer.Page(ctx, in.Token)
	if err != nil {
		return nil, err
	}
	return DeclineRequest200JSONResponse{SigningPageJSONResponse(s.pageData(p))}, nil
}

// AskAgain is the form that wishes for a new question at itsme.
func (s *server) AskAgain(ctx context.Context, in AskAgainRequestObject) (AskAgainResponseObject, error) {
	ctx, cl := enter(ctx)
	if err := s.dep.Signer.Again(ctx, in.Token); err != nil {
		if !errors.Is(err, signer.ErrUnknown) {
			cl.back = "/sign/" + url.PathEscape(in.Token) // the person goes on with the page
		}
		return nil, err
	}
	if !cl.json {
		return s.toPage(in.Token, in.Params.Lang), nil
	}
	p, err := s.dep.Signer.Page(ctx, in.Token)
	if err != nil {
		return nil, err
	}
	return AskAgain200JSONResponse{SigningPageJSONResponse(s.pageData(p))}, nil
}

// GetPageDocument streams a document to the signer.
func (s *server) GetPageDocument(ctx context.Context, in GetPageDocumentRequestObject) (GetPageDocumentResponseObject, error) {
	ctx, cl := enter(ctx)
	doc, err := s.dep.Signer.PageDocument(ctx, in.Token, in.N)
	if err != nil {
		return nil, err
	}
	return &document{content: doc, attachment: value(in.Params.Download) == "1", patience: cl.patience}, nil
}

// ItsmeCallback takes itsme's answer and leads to the page it belongs to, and nowhere else. What went wrong with the
// answer itself shows on that page; a state that nobody waits for is a problem.
func (s *server) ItsmeCallback(ctx context.Context, in ItsmeCallbackRequestObject) (ItsmeCallbackResponseObject, error) {
	ctx, cl := enter(ctx)
	p := in.Params
	if p.State == nil || (p.Code == nil) == (p.Error == nil) {
		return nil, signer.ErrBadReply
	}
	token, err := s.dep.Signer.Callback(ctx, *p.State, value(p.Code), value(p.Error))
	if errors.Is(err, signer.ErrStateUnknown) {
		return s.revocationReply(ctx, cl, p)
	}
	if err != nil {
		if token != "" {
			cl.back = "/sign/" + url.PathEscape(token) // whoever had a state of ours may go on with the page
		}
		return nil, err
	}
	to := s.toPage(token, p.Lang)
	if p.Code != nil {
		to.Headers.SetCookie = s.signerCookie(token, *p.Code)
	}
	return to, nil
}

// revocationReply is the callback of a revocation.
func (s *server) revocationReply(ctx context.Context, cl *call, p ItsmeCallbackParams) (ItsmeCallbackResponseObject, error) {
	token, err := s.dep.Signer.RevocationReply(ctx, *p.State, value(p.Code), value(p.Error))
	if err != nil {
		if token != "" {
			cl.back = s.revocationPath(token, nil)
		}
		return nil, err
	}
	return ToPageResponse{Headers: ToPageResponseHeaders{Location: new(s.revocationPath(token, p.Lang))}}, nil
}

// toPage leads to the signer's page by 303, so that the browser does not send its form or its code again.
func (s *server) toPage(token string, lang *string) ToPageResponse {
	at := "/sign/" + url.PathEscape(token)
	if l := s.words.known(value(lang)); l != "" {
		at += "?lang=" + l
	}
	return ToPageResponse{Headers: ToPageResponseHeaders{Location: &at}}
}

// pageData is the page as JSON.
func (s *server) pageData(p *signer.Page) SigningPage {
	r := p.Request
	d := SigningPage{
		RequestId: r.ID, RequestedBy: s.clientName(r.Client), State: State(r.State), Step: SigningPageStep(p.Step),
		Language: Language(r.Language), Link: optional(p.Link), CheckCode: optional(p.CheckCode), Text: optional(p.Text),
		Documents: documents(r), TermsVersion: optional(p.TermsVersion), ReturnUrl: optional(p.ReturnURL),
		ExpiresAt: &r.ExpiresAt, Notice: because(p.Notice), Problem: because(p.Failure), Sandbox: s.cfg.Sandbox,
	}
	if !p.ExpiresAt.IsZero() {
		d.LinkExpiresAt = &p.ExpiresAt
	}
	return d
}

func (s *server) clientName(id string) string {
	if s.dep.ClientName != nil {
		if n := s.dep.ClientName(id); n != "" {
			return n
		}
	}
	return id
}

// pages are the parsed templates and what they need besides a request.
type pages struct {
	words *catalogues
	sets  map[string]*template.Template // one for each page, on top of the layout
	docs  []byte
}

// names of the pages; each is templates/<name>.html with a "content".
var pageNames = []string{"sign", "problem", "terms", "docs", "policies", "revoke", "revocation", "credentials", "uses"}

func loadPages(spec *contract, words *catalogues, sandbox bool) (*pages, error) {
	p := &pages{words: words, sets: map[string]*template.Template{}}
	for _, name := range pageNames {
		t, err := template.New("layout.html").ParseFS(templateFiles, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		p.sets[name] = t
	}
	var err error
	p.docs, err = p.renderDocs(spec, sandbox)
	return p, err
}

// view is what every template gets.
type view struct {
	Lang    string
	Langs   []string // that the person may switch to
	Sandbox bool
	Refresh bool // the page loads itself again
	Title   string
	Wide    bool

	words *catalogues
}

// T is a message in the language of the page.
func (v view) T(key string, args ...string) string { return v.words.say(v.Lang, key, args...) }

// Words is a message in another language: a language is named in itself.
func (v view) Words(lang, key string) string { return v.words.say(lang, key) }

func (p *pages) view(lang string, sandbox bool) view {
	return view{Lang: lang, Langs: p.words.langs, Sandbox: sandbox, words: p.words}
}

func (p *pages) render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := p.sets[name].Execute(&b, data); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// signView is the signer's page.
type signView struct {
	view
	Step, Link   string
	Requester    string
	CheckCode    []string // groups of four
	Text         string
	Terms        string // version to accept
	Back         string
	Base         string // path of the page
	Documents    []docView
	Notice, Fail *reasonView
	Until        time.Time // of the link
	Ends         time.Time // of the request
	Signed       bool
	Proven       bool // this browser may see the signer's certificates
	Hashes       bool // only digests are here: there is nothing to read
	Stored       bool // a browser would not show these documents, but store them
	State        signer.State
}

type docView struct {
	N                 int
	Name, Size        string
	Algorithm, Digest string // of a document that is not here; the digest in hex, for comparison with what other programs print
}

type reasonView struct{ Code, Text string }

// steps in which the page shows a link to itsme.
func linked(step string) bool {
	return step == signer.StepIdentify || step == signer.StepConsent || step == signer.StepConfirm
}

func (s *server) signingPage(cl *call, token string, p *signer.Page) (*file, error) {
	r := p.Request
	lang := s.words.choose(cl.langs, r.Language)
	v := signView{
		view: s.pages.view(lang, s.cfg.Sandbox), Step: p.Step, Requester: s.clientName(r.Client), Text: p.Text,
		Terms: p.TermsVersion, Back: p.ReturnURL, Base: "/sign/" + url.PathEscape(token), Until: p.ExpiresAt, Ends: r.ExpiresAt,
		Signed: r.State == signer.Finished, Proven: cl.viewer, State: r.State,
		Hashes: r.Hashes, Stored: r.Format == signer.CAdES,
	}
	if linked(p.Step) {
		v.Link = p.Link
	}
	if p.CheckCode != "" {
		v.CheckCode = strings.Split(p.CheckCode, "-")
	}
	for i, d := range r.Documents {
		one := docView{N: i + 1, Name: d.Name, Algorithm: d.DigestAlgorithm, Digest: d.Digest}
		if !r.Hashes {
			one.Size = size(lang, d.Size)
		}
		v.Documents = append(v.Documents, one)
	}
	v.Notice, v.Fail = s.reason(lang, p.Notice), s.reason(lang, p.Failure)
	v.Title = s.words.say(lang, "title."+p.Step)
	v.Refresh = p.Step == signer.StepWait
	return s.html("sign", v, cl)
}

// reason is an error in words. Codes without a sentence of their own get a general one; the code stands beside it.
func (s *server) reason(lang string, e *signer.Error) *reasonView {
	if e == nil {
		return nil
	}
	key := "error." + e.Code
	if !s.words.has(key) {
		key = "error.other"
	}
	return &reasonView{e.Code, s.words.say(lang, key)}
}

// html is a rendered page; a choice of language is kept in a cookie.
func (s *server) html(name string, data any, cl *call) (*file, error) {
	b, err := s.pages.render(name, data)
	if err != nil {
		return nil, err
	}
	f := &file{media: "text/html; charset=utf-8", bytes: b, policy: policyPage, vary: "Accept, Accept-Language, Cookie"}
	if cl.langs.chosen != "" {
		f.session = []*http.Cookie{s.languageCookie(cl.langs.chosen)}
	}
	return f, nil
}

func (s *server) languageCookie(lang string) *http.Cookie {
	return &http.Cookie{
		Name: languageCookie, Value: lang, Path: "/", MaxAge: 24 * 60 * 60, HttpOnly: true,
		Secure: strings.HasPrefix(s.origin, "https:"), SameSite: http.SameSiteLaxMode, // Lax: itsme's redirect brings it along
	}
}

// problemView is a problem for people.
type problemView struct {
	view
	Reason   reasonView
	Instance string
	Page     string // where to go on, "" if not known
}

// problemPage answers a problem where a person looks on. It is part of fail.
func (s *server) problemPage(c *gin.Context, cl *call, p Problem) {
	lang := s.words.choose(cl.langs, "")
	v := problemView{view: s.pages.view(lang, s.cfg.Sandbox), Instance: strings.TrimPrefix(p.Instance, "urn:uuid:")}
	v.Reason = *s.reason(lang, &signer.Error{Code: p.Code})
	v.Title = s.words.say(lang, "title.problem")
	v.Page = cl.back
	b, err := s.pages.render("problem", v)
	if err != nil {
		s.cfg.Log.Error("internal", "request_id", cl.id, "route", c.FullPath(), "err", err)
		b = []byte(p.Code)
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policyPage)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Vary", "Accept, Accept-Language, Cookie")
	c.Writer.WriteHeader(p.Status)
	_, _ = c.Writer.Write(b) // the person may be gone
}

// size is a number of bytes for people, in the units of ISO 80000-13 and the decimal sign of the language.
func size(lang string, n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1000, "kB"
	for _, u := range []string{"MB", "GB", "TB"} {
		if v < 1000 {
			break
		}
		v, unit = v/1000, u
	}
	text := strconv.FormatFloat(v, 'f', 1, 64)
	if lang != "en" {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text + " " + unit
}
