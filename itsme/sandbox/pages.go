package sandbox

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed pages
var pageFiles embed.FS

var pageTemplates = template.Must(template.New("").ParseFS(pageFiles, "pages/*.html"))

// view is what a page shows.
type view struct {
	W          words
	Lang       string
	Langs      []string
	Action     *action
	Title      string
	Label      string
	Time       string
	Text       template.HTML
	Payment    *confirmTemplate
	Shared     []string
	People     []choice
	QR         bool
	Left       int // seconds
	Error      string
	Result     string
	Other      bool
	Deviations []deviation
}

type choice struct{ Name, Hint, FullName string }

func (s *Server) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /sandbox/actions/{id}", s.entryPage)
	mux.HandleFunc("POST /sandbox/actions/{id}/person", s.choosePerson)
	mux.HandleFunc("GET /sandbox/actions/{id}/state", s.actionState)
	mux.HandleFunc("GET /sandbox/actions/{id}/qr.svg", s.qrImage)
	mux.HandleFunc("GET /sandbox/phone/{id}", s.phonePage)
	mux.HandleFunc("POST /sandbox/phone/{id}", s.phoneAnswer)
	mux.HandleFunc("GET /sandbox/icons/{file}", s.iconImage)
	mux.HandleFunc("GET /sandbox/deviations", s.deviationsPage)
	for _, f := range []string{"style.css", "page.js"} {
		mux.HandleFunc("GET /sandbox/"+f, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, pageFiles, "pages/"+f) })
	}
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/sandbox/deviations", http.StatusSeeOther)
	})
}

// show writes a page. Its policy lets nothing run or load that is not ours;
// forms may end at the partner's redirect URI, because browsers hold
// form-action against redirects too.
func (s *Server) show(w http.ResponseWriter, status int, name string, v view) {
	targets := "'self'"
	if v.Action != nil {
		if u, err := url.Parse(v.Action.req.redirectURI); err == nil {
			targets += " " + u.Scheme + "://" + u.Host
		}
	}
	var page bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&page, name, v); err != nil {
		http.Error(w, "page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; frame-ancestors 'none'; form-action "+targets)
	w.Header().Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// view fills what every page has; ?lang= switches the language (SB-22).
func (s *Server) view(r *http.Request, lang string, a *action) view {
	if l := r.URL.Query().Get("lang"); slices.Contains(languages, l) {
		lang = l
	}
	v := view{W: allWords[lang], Lang: lang, Langs: languages, Action: a}
	if a != nil {
		v.Label, v.Title = a.req.client.Label, v.W.Titles[a.req.kind]
		v.Time = s.cfg.Now().UTC().Format("2006-01-02 15:04 UTC")
		v.Left = max(0, int(actionLife.Seconds()-s.cfg.Now().Sub(a.created).Seconds()))
	}
	return v
}

// find answers 404 itself when there is no such action.
func (s *Server) find(w http.ResponseWriter, r *http.Request) *action {
	a, ok := s.actions.get(r.PathValue("id"))
	if !ok {
		s.errorPage(w, r, "en", onPage("invalid_request", "There is no such request (any more)"))
		return nil
	}
	return a
}

// errorPage has itsme's form: a correlation number, the code, a text
// (specs/itsme.md §5.1).
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, lang string, e *oauthError) {
	v := s.view(r, lang, nil)
	v.Error = fmt.Sprintf("[%09d] %s - %s", number(1_000_000_000), e.code, e.text)
	s.show(w, http.StatusBadRequest, "error.html", v)
}

// settle ends an action whose time is over and tells whether it is done.
func (s *Server) settle(a *action) (done bool, result string) {
	a.mu.Lock()
	over := a.expired(s.cfg.Now()) && !a.done
	a.mu.Unlock()
	if over {
		s.answer(a, false, "", "")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.done, a.result
}

// entryPage is what the browser shows: who are you, then the icon to compare
// and the time left (SB-35).
func (s *Server) entryPage(w http.ResponseWriter, r *http.Request) {
	a := s.find(w, r)
	if a == nil {
		return
	}
	if done, result := s.settle(a); done {
		if result == "" {
			s.expiredPage(w, r, a)
			return
		}
		http.Redirect(w, r, result, http.StatusSeeOther)
		return
	}
	v := s.view(r, a.req.lang, a)
	a.mu.Lock()
	identified := a.person != nil
	a.mu.Unlock()
	if identified {
		s.show(w, http.StatusOK, "icon.html", v)
		return
	}
	v.QR = !a.mobile
	for i := range people {
		if q := &people[i]; !q.hidden {
			v.People = append(v.People, choice{q.name, q.hint, q.fullName()})
		}
	}
	s.show(w, http.StatusOK, "entry.html", v)
}

func (s *Server) expiredPage(w http.ResponseWriter, r *http.Request, a *action) {
	s.show(w, http.StatusOK, "expired.html", s.view(r, a.req.lang, a))
}

func (s *Server) choosePerson(w http.ResponseWriter, r *http.Request) {
	a := s.find(w, r)
	if a == nil {
		return
	}
	q := findPerson(r.PostFormValue("person"))
	if q == nil || q.hidden {
		s.errorPage(w, r, a.req.lang, onPage("invalid_request", "Nobody of that name is in the simulation"))
		return
	}
	a.mu.Lock()
	if a.person == nil {
		a.identify(q)
	}
	a.mu.Unlock()
	http.Redirect(w, r, "/sandbox/actions/"+a.id+langQuery(r), http.StatusSeeOther)
}

func langQuery(r *http.Request) string {
	if l := r.FormValue("lang"); slices.Contains(languages, l) {
		return "?lang=" + l
	}
	return ""
}

// actionState is asked by the waiting page.
func (s *Server) actionState(w http.ResponseWriter, r *http.Request) {
	a, ok := s.actions.get(r.PathValue("id"))
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]bool{"done": false})
		return
	}
	done, _ := s.settle(a)
	writeJSON(w, http.StatusOK, map[string]bool{"done": done})
}

// phonePage plays the app (SB-23, SB-32 to SB-34).
func (s *Server) phonePage(w http.ResponseWriter, r *http.Request) {
	a := s.find(w, r)
	if a == nil {
		return
	}
	if done, _ := s.settle(a); done {
		s.show(w, http.StatusOK, "expired.html", s.view(r, a.req.lang, a))
		return
	}
	a.mu.Lock()
	if a.person == nil {
		a.identify(findPerson(defaultPerson)) // somebody scanned the code
	}
	who := a.identity
	a.mu.Unlock()
	v := s.view(r, a.req.lang, a)
	v.Other = r.URL.Query().Get("other") == "1"
	if t := a.req.template; t != nil {
		if t.text != "" {
			v.Text = renderText(t.text)
		} else {
			v.Payment = t
		}
	}
	v.Shared = a.req.shared(who, s.cfg.Now())
	s.show(w, http.StatusOK, "phone.html", v)
}

// shared lists the identity data that the partner will get; data about the
// approval itself is not identity data.
func (r *authRequest) shared(who *person, now time.Time) []string {
	names := slices.Concat(r.idToken, r.userinfo)
	for _, scope := range r.scopes {
		names = append(names, scopeClaims[scope]...)
	}
	have := who.chosen(names, circumstances{now: now})
	var list []string
	for name := range have {
		short := strings.TrimPrefix(name, prefix)
		switch short {
		case "identification_mode", "transaction_ip", "ongoing_call", "app", "account", "claim_device":
			continue
		}
		list = append(list, short)
	}
	slices.Sort(list)
	return list
}

// phoneAnswer is Confirm or Refuse.
func (s *Server) phoneAnswer(w http.ResponseWriter, r *http.Request) {
	a := s.find(w, r)
	if a == nil {
		return
	}
	// The page of another site must not answer for the person.
	if o := r.Header.Get("Origin"); o != "" && o != "null" && o != s.base.String() {
		http.Error(w, "wrong origin", http.StatusForbidden)
		return
	}
	confirm := r.PostFormValue("answer") == "confirm"
	code := r.PostFormValue("code")
	if confirm && a.req.advanced && (len(code) != 5 || strings.Trim(code, "0123456789") != "") {
		s.errorPage(w, r, a.req.lang, onPage("invalid_request", "This level needs the code of five digits"))
		return
	}
	a.mu.Lock()
	if a.person == nil {
		a.identify(findPerson(defaultPerson))
	}
	does := a.does
	a.mu.Unlock()
	if confirm && does.outcome == expires {
		// This person's answer never arrives: the browser goes on waiting.
		http.Redirect(w, r, "/sandbox/actions/"+a.id, http.StatusSeeOther)
		return
	}
	if does.slow && !wait(r.Context(), s.cfg.SlowDelay) {
		return
	}
	other := r.PostFormValue("other") == "1"
	mode := "QR"
	if a.mobile {
		mode = "MSISDN"
	}
	target := s.answer(a, confirm, host(r.RemoteAddr), mode)
	if other || target == "" {
		http.Redirect(w, r, "/sandbox/phone/"+a.id, http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// iconImage draws the icon that browser and phone must show alike (SB-35).
func (s *Server) iconImage(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(strings.TrimSuffix(r.PathValue("file"), ".svg"))
	if err != nil || n < 1 || n > 9 {
		http.NotFound(w, r)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 %d" fill="#345">`, 30*((n+2)/3))
	for i := range n {
		fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="11"/>`, 15+30*(i%3), 15+30*(i/3))
	}
	b.WriteString(`</svg>`)
	w.Header().Set("Content-Type", "image/svg+xml")
	_, _ = w.Write([]byte(b.String()))
}

func (s *Server) qrImage(w http.ResponseWriter, r *http.Request) {
	a := s.find(w, r)
	if a == nil {
		return
	}
	svg, err := qrSVG(s.base.String() + "/sandbox/phone/" + a.id + "?other=1")
	if err != nil {
		http.Error(w, "too long for a QR code", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	_, _ = w.Write([]byte(svg))
}

func (s *Server) deviationsPage(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, http.StatusOK, deviations)
		return
	}
	v := s.view(r, "en", nil)
	v.Deviations = deviations
	for i := range people {
		if q := &people[i]; !q.hidden {
			v.People = append(v.People, choice{q.name, q.hint, q.fullName()})
		}
	}
	v.Shared = Defects()
	s.show(w, http.StatusOK, "deviations.html", v)
}
