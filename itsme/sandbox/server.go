package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Server is the simulated provider. All methods may be called concurrently.
type Server struct {
	cfg      Config
	base     *url.URL // of the issuer, without path
	state    *state
	partners *partnerKeys
	seen     once
	codes    *timed[*grant]
	tokens   *timed[*grant]
	actions  *timed[*action]
	opened   *timed[*action] // by the query that opened it

	mu       sync.Mutex // guards all below
	sw       Switches
	next     []order
	warnings []string
}

// order is what the next answer will be (SB-80).
type order struct {
	Outcome string `json:"outcome"`
	Client  string `json:"client,omitempty"`
}

// New makes the provider and reads or writes its state file. It does not
// listen: the caller does, on Config.Listen.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.SlowDelay == 0 {
		cfg.SlowDelay = 5 * time.Second
	}
	cfg.Clients = slices.Clone(cfg.Clients)
	for i := range cfg.Clients {
		if cfg.Clients[i].Label == "" {
			cfg.Clients[i].Label = cfg.Clients[i].ID
		}
	}
	base, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("sandbox: issuer: %w", err)
	}
	base.Path = ""
	st, err := openState(cfg.StateFile)
	if err != nil {
		return nil, err
	}
	hc, err := partnerHTTP(cfg.RPCAFile)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, base: base, state: st, sw: cfg.Switches,
		seen:  once{newTimed[struct{}](cfg.Now)},
		codes: newTimed[*grant](cfg.Now), tokens: newTimed[*grant](cfg.Now), actions: newTimed[*action](cfg.Now), opened: newTimed[*action](cfg.Now),
	}
	s.partners = &partnerKeys{http: hc, now: cfg.Now, warn: s.warn, cache: map[string]cachedSet{}}
	return s, nil
}

// Handler serves everything: /v2/…, the pages below /sandbox/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET /v2/jwkSet", s.jwks)
	mux.HandleFunc("GET /v2/authorization", s.authorization)
	mux.HandleFunc("POST /v2/token", s.token)
	mux.HandleFunc("GET /v2/userinfo", s.userinfo)
	s.pages(mux)
	s.admin(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Only our own name: a foreign page must not reach us by DNS rebinding.
		if r.Host != s.base.Host {
			http.Error(w, "wrong host", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxForeign)
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) discovery(w http.ResponseWriter, _ *http.Request) {
	iss := s.cfg.Issuer
	oaep, enc := []string{"RSA-OAEP", "RSA-OAEP-256"}, []string{"A128CBC-HS256", "A256GCM"}
	rs256 := []string{"RS256"}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": iss, "authorization_endpoint": iss + "/authorization", "token_endpoint": iss + "/token",
		"userinfo_endpoint": iss + "/userinfo", "jwks_uri": iss + "/jwkSet",
		"response_types_supported": []string{"code"}, "grant_types_supported": []string{"authorization_code"},
		"subject_types_supported": []string{"pairwise"}, "display_values_supported": []string{"page"},
		"claim_types_supported": []string{"normal"}, "claims_parameter_supported": true,
		"request_parameter_supported": true, "request_uri_parameter_supported": true, "require_request_uri_registration": true,
		"code_challenge_methods_supported":                 []string{"S256"},
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": rs256,
		"request_object_signing_alg_values_supported":      rs256,
		"request_object_encryption_alg_values_supported":   oaep, "request_object_encryption_enc_values_supported": enc,
		"id_token_signing_alg_values_supported": rs256, "id_token_encryption_alg_values_supported": oaep, "id_token_encryption_enc_values_supported": enc,
		"userinfo_signing_alg_values_supported": rs256, "userinfo_encryption_alg_values_supported": oaep, "userinfo_encryption_enc_values_supported": enc,
		"acr_values_supported": []string{prefix + "acr_basic", prefix + "acr_advanced"},
		"ui_locales_supported": []string{"fr", "nl", "en", "de"},
		"scopes_supported":     []string{"openid", "service", "profile", "email", "address", "phone", "eid", "idDocument"},
	})
}

func (s *Server) jwks(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.state.public())
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// authorization is the authorization endpoint (SB-10 to SB-25).
//
// A browser sends the same address twice when a link is clicked twice; while
// its action waits it is led there again, afterwards the used jti is refused.
func (s *Server) authorization(w http.ResponseWriter, r *http.Request) {
	if a, ok := s.opened.get(r.URL.RawQuery); ok {
		if done, _ := s.settle(a); !done {
			http.Redirect(w, r, "/sandbox/actions/"+a.id, http.StatusSeeOther)
			return
		}
	}
	req, refused := s.readRequest(r.Context(), r.URL.Query())
	var a *action
	if refused == nil {
		a, refused = s.newAction(req, mobile(r.UserAgent()))
	}
	if refused != nil {
		if refused.onPage || req.redirectURI == "" {
			s.errorPage(w, r, req.lang, refused)
			return
		}
		q := url.Values{"error": {refused.code}, "error_description": {refused.text}}
		http.Redirect(w, r, redirectTo(req.redirectURI, q, req.state), http.StatusFound)
		return
	}
	s.actions.put(a.id, a, a.created.Add(keepAction))
	if !s.cfg.AutoApprove && !req.ext.auto {
		s.opened.put(r.URL.RawQuery, a, a.created.Add(actionLife))
		// A page of its own, so that loading it again does not repeat the request.
		http.Redirect(w, r, "/sandbox/actions/"+a.id, http.StatusSeeOther)
		return
	}
	if a.person == nil {
		a.identify(findPerson(defaultPerson))
	}
	if a.does.slow && !wait(r.Context(), s.cfg.SlowDelay) {
		return
	}
	if target := s.answer(a, true, host(r.RemoteAddr), "QR"); target != "" {
		http.Redirect(w, r, target, http.StatusFound)
		return
	}
	s.expiredPage(w, r, a)
}

// wait returns false when the browser went away.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func mobile(userAgent string) bool {
	return strings.Contains(userAgent, "Mobile") || strings.Contains(userAgent, "Android") || strings.Contains(userAgent, "iPhone")
}

func (s *Server) client(id string) *ClientRegistration {
	for i := range s.cfg.Clients {
		if s.cfg.Clients[i].ID == id {
			return &s.cfg.Clients[i]
		}
	}
	return nil
}

func (s *Server) switches() Switches {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sw
}

// SetSwitches changes the switches of the running provider.
func (s *Server) SetSwitches(sw Switches) error {
	if err := sw.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sw = sw
	return nil
}

// maxWarnings bounds what /sandbox/warnings remembers.
const maxWarnings = 100

// warn records, once for each text, what real itsme would not accept.
func (s *Server) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.mu.Lock()
	if slices.Contains(s.warnings, text) {
		s.mu.Unlock()
		return
	}
	s.warnings = append(s.warnings, text)
	if len(s.warnings) > maxWarnings {
		s.warnings = s.warnings[1:]
	}
	s.mu.Unlock()
	if s.cfg.Warn != nil {
		s.cfg.Warn(text)
	}
}

// Warnings are the last things that real itsme would not accept (SB-08).
func (s *Server) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.warnings)
}

// Next orders the outcome or defect of the next answer, of one client or ("")
// of any (SB-80). Orders are used up one by one.
func (s *Server) Next(outcome, client string) error {
	if !known(outcome) {
		return fmt.Errorf("sandbox: unknown outcome %q", outcome)
	}
	if client != "" && s.client(client) == nil {
		return errors.New("sandbox: unknown client")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.next) >= maxWarnings {
		return errors.New("sandbox: too many orders are waiting")
	}
	s.next = append(s.next, order{outcome, client})
	return nil
}

// RotateKey makes a new key of use "sig" or "enc"; without keepOld the old ones
// are gone from the key set at once.
func (s *Server) RotateKey(use string, keepOld bool) error {
	if use != "sig" && use != "enc" {
		return errors.New(`sandbox: use must be "sig" or "enc"`)
	}
	return s.state.rotate(use, keepOld)
}

// Recreate deletes a person's account and makes it anew: all its subs change
// (SB-52).
func (s *Server) Recreate(name string) error {
	if findPerson(name) == nil {
		return errors.New("sandbox: unknown person")
	}
	return s.state.recreate(name)
}

// Sub is the pairwise subject of a person for a client.
func (s *Server) Sub(name, client string) string { return s.state.sub(name, client) }

// People are the names that sandbox_person takes.
func People() []string {
	var names []string
	for i := range people {
		if !people[i].hidden {
			names = append(names, people[i].name)
		}
	}
	return names
}

// CheckRegistration fetches a client's key set and applies itsme's rules
// (SB-03).
func (s *Server) CheckRegistration(ctx context.Context, client string) error {
	c := s.client(client)
	if c == nil {
		return errors.New("sandbox: unknown client")
	}
	_, err := s.partners.set(ctx, c, false)
	return err
}
