package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme/token"
	"tekend/strictjson"
)

// oauthError is a refusal of the authorization endpoint. On page means: shown
// by itsme itself, never sent to a redirect URI.
type oauthError struct {
	code, text string
	onPage     bool
}

func (e *oauthError) Error() string { return e.code + " - " + e.text }

func fail(code, text string) *oauthError   { return &oauthError{code: code, text: text} }
func onPage(code, text string) *oauthError { return &oauthError{code: code, text: text, onPage: true} }

// authRequest is an authorization request after all checks.
type authRequest struct {
	client      *ClientRegistration
	service     string
	kind        ServiceType
	redirectURI string // registered; "" until that is known
	state       string
	nonce       string
	challenge   string
	advanced    bool
	lang        string
	scopes      []string
	userinfo    []string // claims asked there
	idToken     []string
	targetSub   string
	hasClaims   bool
	template    *confirmTemplate
	values      map[string]string // of claims.userinfo, for the template
	ext         extension
}

// extension is what scripts may add to the URL; not a part of itsme.
type extension struct {
	person string
	auto   bool
	defect string
}

// params are the OAuth parameters, wherever they came from.
type params map[string]string

// known parameters; others are ignored, as are max_age, id_token_hint,
// response_mode and claims_locales (SB-21).
var single = []string{
	"client_id", "response_type", "scope", "redirect_uri", "state", "nonce", "display", "prompt", "acr_values",
	"claims", "request", "request_uri", "code_challenge", "code_challenge_method", "ui_locales", "registration",
	"sandbox_person", "sandbox_auto", "sandbox_defect",
}

// readRequest checks an authorization request in the order in which the
// answers differ: first who asks and where to answer, then the rest. The
// returned request is never nil; its redirectURI is set once errors may go
// there.
func (s *Server) readRequest(ctx context.Context, query url.Values) (*authRequest, *oauthError) {
	r := &authRequest{lang: "en", ext: extension{person: query.Get("sandbox_person"), auto: query.Get("sandbox_auto") == "1", defect: query.Get("sandbox_defect")}}
	plain := params{}
	for _, name := range single {
		if v := query[name]; len(v) > 1 {
			return r, onPage("invalid_request", fmt.Sprintf("Duplicate %q parameter", name))
		} else if len(v) == 1 {
			plain[name] = v[0]
		}
	}
	r.lang = language(plain["ui_locales"])
	if r.client = s.client(plain["client_id"]); r.client == nil {
		return r, onPage("invalid_client_id", "Unknown client")
	}
	if uri, ok := plain["redirect_uri"]; ok {
		if !slices.Contains(r.client.RedirectURIs, uri) {
			return r, onPage("invalid_redirect_uri", "The redirect URI is not registered")
		}
		r.redirectURI = uri
	}
	r.state = plain["state"]
	if plain["response_type"] == "" {
		return r, onPage("invalid_request", `Missing "response_type" parameter`)
	}
	if err := r.ext.check(); err != nil {
		return r, err
	}
	merged, nested, err := s.merge(ctx, r, plain)
	if err != nil {
		return r, err
	}
	if !slices.Contains(r.client.RedirectURIs, merged["redirect_uri"]) {
		r.redirectURI = ""
		return r, onPage("invalid_redirect_uri", "The redirect URI is missing or not registered")
	}
	r.redirectURI, r.state, r.nonce = merged["redirect_uri"], merged["state"], merged["nonce"]
	r.lang = language(merged["ui_locales"])
	if err := r.readParams(merged); err != nil {
		return r, err
	}
	return r, s.readService(r, nested)
}

func (e extension) check() *oauthError {
	if e.person != "" && (findPerson(e.person) == nil || findPerson(e.person).hidden) {
		return onPage("invalid_request", "sandbox_person names nobody of the simulation")
	}
	if e.defect != "" && !slices.Contains(Defects(), e.defect) {
		return onPage("invalid_request", "sandbox_defect names no defect of the simulation")
	}
	return nil
}

// readParams checks the parameters that do not depend on the service.
func (r *authRequest) readParams(m params) *oauthError {
	switch {
	case m["response_type"] != "code":
		return fail("unsupported_response_type", "Only code is supported")
	case m["display"] != "" && m["display"] != "page":
		return fail("unsupported_display", "Only page is supported")
	case slices.Contains(strings.Fields(m["prompt"]), "none"):
		return fail("login_required", "Every request needs the person")
	case m["registration"] != "":
		return fail("registration_not_supported", "Not supported")
	}
	if m["code_challenge"] != "" || m["code_challenge_method"] != "" {
		if m["code_challenge_method"] != "S256" || len(m["code_challenge"]) != 43 {
			return fail("invalid_request", "PKCE needs S256 and a challenge of 43 characters")
		}
	} else if r.client.PKCERequired {
		return fail("invalid_request", "PKCE is required for this client")
	}
	r.challenge = m["code_challenge"]
	for acr := range strings.FieldsSeq(m["acr_values"]) {
		// Capital V2 appears in older samples (specs/itsme.md §2.3).
		if strings.Replace(acr, "/V2/", "/v2/", 1) == token.ACRAdvanced {
			r.advanced = true
		}
	}
	r.scopes = strings.Fields(m["scope"])
	return r.readClaims(m["claims"])
}

// readClaims reads the claims parameter (OpenID Connect Core 1.0 §5.5).
func (r *authRequest) readClaims(raw string) *oauthError {
	if raw == "" {
		return nil
	}
	type wanted struct {
		Value json.RawMessage `json:"value"`
	}
	var c struct {
		UserInfo map[string]*wanted `json:"userinfo"`
		IDToken  map[string]*wanted `json:"id_token"`
	}
	if err := strictjson.DecodeLoose([]byte(raw), maxForeign, &c); err != nil {
		return fail("invalid_request", "The claims parameter is not readable")
	}
	r.values, r.hasClaims = map[string]string{}, true
	for name, w := range c.UserInfo {
		r.userinfo = append(r.userinfo, name)
		if w == nil || len(w.Value) == 0 {
			continue
		}
		var text string
		if json.Unmarshal(w.Value, &text) != nil {
			return fail("invalid_request", "A value in the claims parameter is not a string")
		}
		r.values[name] = text
	}
	// sub is honoured under userinfo and ignored under id_token (SB-24).
	r.targetSub = r.values["sub"]
	for name := range c.IDToken {
		r.idToken = append(r.idToken, name)
	}
	return nil
}

// readService finds the service in the scope and applies its rules.
func (s *Server) readService(r *authRequest, nested bool) *oauthError {
	if !slices.Contains(r.scopes, "openid") {
		return fail("invalid_scope", "The scope must contain openid")
	}
	for _, scope := range r.scopes {
		code, ok := strings.CutPrefix(scope, "service:")
		if kind, known := r.client.Services[code]; ok && known && r.service == "" {
			r.service, r.kind = code, kind
		} else if ok {
			return fail("invalid_scope", "The scope must name exactly one registered service")
		}
	}
	switch {
	case r.service == "":
		return fail("invalid_scope", "The scope must name a registered service")
	case r.kind == Confirmation && !nested:
		return fail("invalid_request", "A Confirmation needs a request object")
	case r.kind == Identification && !r.asksIdentity():
		return fail("invalid_request", "An Identification must ask for at least one claim")
	case r.kind == Confirmation:
		return r.readTemplate()
	}
	return nil
}

func (r *authRequest) asksIdentity() bool {
	for _, scope := range r.scopes {
		if _, ok := scopeClaims[scope]; ok {
			return true
		}
	}
	return len(r.idToken)+len(r.userinfo) > 0
}

// merge takes the parameters out of a request object, if there is one; they
// supersede the plain ones (SB-16).
func (s *Server) merge(ctx context.Context, r *authRequest, plain params) (params, bool, *oauthError) {
	raw := plain["request"]
	if uri, ok := plain["request_uri"]; ok {
		if raw != "" {
			return nil, false, fail("invalid_request", "Both request and request_uri")
		}
		var err *oauthError
		if raw, err = s.fetchRequest(ctx, r.client, uri); err != nil {
			return nil, false, err
		}
	}
	if raw == "" {
		return plain, false, nil
	}
	inner, err := s.openRequest(ctx, r.client, raw)
	if err != nil {
		return nil, false, err
	}
	for _, name := range []string{"response_type", "client_id", "scope"} {
		if plain[name] != inner[name] {
			return nil, false, fail("invalid_request", "OAuth2 parameters do not match Request object")
		}
	}
	merged := params{}
	for name, v := range plain {
		if !strings.HasPrefix(name, "sandbox_") && name != "request" && name != "request_uri" {
			merged[name] = v
		}
	}
	for name, v := range inner {
		merged[name] = v
	}
	return merged, true, nil
}

// fetchRequest reads a request_uri, once (SB-17, SB-18).
func (s *Server) fetchRequest(ctx context.Context, c *ClientRegistration, uri string) (string, *oauthError) {
	refused := fail("invalid_request_uri", "Not registered, or not https with an explicit port 443 on a public host")
	u, err := url.Parse(uri)
	if err != nil || !slices.Contains(c.RequestURIs, uri) {
		return "", refused
	}
	real := u.Scheme == "https" && u.Port() == "443" && !loopback(u.Hostname())
	if !real {
		if s.switches().RefuseLocalRequestURI || !local(u.Hostname()) {
			return "", refused
		}
		s.warn("request_uri on %s: real itsme demands https, :443 and a public host", u.Host)
	}
	body, _, err := s.partners.get(ctx, uri)
	if err != nil {
		return "", fail("invalid_request_uri", "The request object could not be fetched")
	}
	return strings.TrimSpace(string(body)), nil
}

// openRequest decrypts and verifies a request object (SB-15, SB-16, SB-19).
func (s *Server) openRequest(ctx context.Context, c *ClientRegistration, raw string) (params, *oauthError) {
	bad := func(text string) *oauthError { return fail("invalid_request_object", text) }
	if len(raw) > maxForeign {
		return nil, bad("The request object is too long")
	}
	jws, err := s.decrypt(raw)
	if err != nil {
		return nil, bad("The request object must be signed and then encrypted to our key")
	}
	payload, err := s.verifyPartner(ctx, c, jws)
	if err != nil {
		return nil, bad("The signature of the request object is not good: " + err.Error())
	}
	members := map[string]json.RawMessage{}
	if err := strictjson.DecodeLoose(payload, maxForeign, &members); err != nil {
		return nil, bad("The request object is not readable")
	}
	if text := s.checkEnvelope(c, members); text != "" {
		return nil, bad(text)
	}
	inner := params{}
	for _, name := range single {
		v, ok := members[name]
		if !ok {
			continue
		}
		if name == "request" || name == "request_uri" {
			return nil, bad("A request object in a request object")
		}
		var text string
		if json.Unmarshal(v, &text) == nil {
			inner[name] = text
		} else if name == "claims" && v[0] == '{' {
			inner[name] = string(v)
		} else {
			return nil, bad("A parameter in the request object has the wrong type")
		}
	}
	return inner, nil
}

// checkEnvelope checks iss, aud, exp, nbf and jti; "" = good.
func (s *Server) checkEnvelope(c *ClientRegistration, m map[string]json.RawMessage) string {
	var iss, jti string
	if json.Unmarshal(m["iss"], &iss) != nil || iss != c.ID {
		return "iss must be the client id"
	}
	if !s.audienceOK(m["aud"]) {
		return "aud must be the issuer"
	}
	now := s.cfg.Now()
	expires := now.Add(10 * time.Minute)
	for name, check := range map[string]func(time.Time) bool{
		"exp": func(t time.Time) bool { expires = t; return now.Before(t) },
		"nbf": func(t time.Time) bool { return !now.Before(t) },
	} {
		if raw, ok := m[name]; ok {
			var n int64
			if json.Unmarshal(raw, &n) != nil || !check(time.Unix(n, 0)) {
				return name + " is not satisfied"
			}
		}
	}
	if raw, ok := m["jti"]; ok {
		if json.Unmarshal(raw, &jti) != nil || jti == "" || !s.seen.first("request|"+c.ID+"|"+jti, expires) {
			return "jti was used before"
		}
	}
	return ""
}

func (s *Server) audienceOK(raw json.RawMessage) bool {
	var one string
	var many []string
	if json.Unmarshal(raw, &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(raw, &many) != nil {
		return false
	}
	return slices.Contains(many, s.cfg.Issuer) ||
		(s.switches().LegacyAudience && slices.Contains(many, s.cfg.Issuer+"/authorization"))
}

// decrypt opens a JWE that was made for us; its plaintext must be a JWS.
func (s *Server) decrypt(raw string) (string, error) {
	obj, err := jose.ParseEncryptedCompact(raw, []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.RSA_OAEP},
		[]jose.ContentEncryption{jose.A128CBC_HS256, jose.A256GCM})
	if err != nil {
		return "", fmt.Errorf("not an acceptable JWE")
	}
	for _, key := range s.state.decryptionKeys(obj.Header.KeyID) {
		if plain, err := obj.Decrypt(key.Key); err == nil && strings.Count(string(plain), ".") == 2 {
			return string(plain), nil
		}
	}
	return "", fmt.Errorf("not encrypted to us, or not a JWS inside")
}

// verifyPartner verifies an RS256 JWS under a key the partner publishes.
func (s *Server) verifyPartner(ctx context.Context, c *ClientRegistration, jws string) ([]byte, error) {
	obj, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(obj.Signatures) != 1 {
		return nil, fmt.Errorf("not an RS256 JWS")
	}
	key, err := s.partners.signingKey(ctx, c, obj.Signatures[0].Header.KeyID, s.switches().RealJWKSCache)
	if err != nil {
		return nil, err
	}
	payload, err := obj.Verify(key.Key)
	if err != nil {
		return nil, fmt.Errorf("wrong key or changed bytes")
	}
	return payload, nil
}
