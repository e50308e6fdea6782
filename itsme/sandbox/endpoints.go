package sandbox

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"tekend/strictjson"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

var verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// token is the token endpoint (SB-41 to SB-44). The description of an error is
// in "detail" (SB-43). A code is used up by the first exchange of its client,
// whether it succeeds or not.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Pragma", "no-cache")
	deny := func(code, detail string) {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": code, "detail": detail})
	}
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/x-www-form-urlencoded" || r.URL.RawQuery != "" {
		deny("invalid_request", "Parameters go into a form body")
		return
	}
	if err := r.ParseForm(); err != nil {
		deny("invalid_request", "The body is not readable")
		return
	}
	for name, v := range r.PostForm {
		if len(v) > 1 {
			deny("invalid_request", fmt.Sprintf("Duplicate %q parameter", name))
			return
		}
	}
	f := r.PostForm
	if f.Get("grant_type") != "authorization_code" || f.Get("code") == "" || f.Get("redirect_uri") == "" {
		deny("invalid_request", "grant_type must be authorization_code, with code and redirect_uri")
		return
	}
	client, detail := s.authenticate(r.Context(), f.Get("client_assertion_type"), f.Get("client_assertion"))
	if client == nil || (f.Get("client_id") != "" && f.Get("client_id") != client.ID) {
		deny("invalid_client", detail)
		return
	}
	g, ok := s.codes.get(f.Get("code"))
	if ok && g.client.ID == client.ID {
		g, ok = s.codes.take(f.Get("code")) // of two at the same time, one
	}
	switch {
	case !ok || g.client.ID != client.ID:
		deny("invalid_grant", "The code is unknown, used or expired")
	case g.redirectURI != f.Get("redirect_uri"):
		deny("invalid_grant", "The redirect URI differs from the one of the request")
	case !verifierOK(g.challenge, f.Get("code_verifier")):
		deny("invalid_grant", "The code verifier does not fit")
	default:
		s.issue(w, r, g)
	}
}

func (s *Server) issue(w http.ResponseWriter, r *http.Request, g *grant) {
	idToken, err := g.idToken(r.Context())
	if err != nil {
		s.warn("no ID token could be made for %s: %v", g.client.ID, err)
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_client", "detail": "The client's keys are not usable"})
		return
	}
	access := random(32)
	s.tokens.put(access, g, s.cfg.Now().Add(tokenLife))
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()), "id_token": idToken,
	})
}

func verifierOK(challenge, verifier string) bool {
	if challenge == "" {
		return verifier == ""
	}
	digest := sha256.Sum256([]byte(verifier))
	got := base64.RawURLEncoding.EncodeToString(digest[:])
	return verifierForm.MatchString(verifier) && subtle.ConstantTimeCompare([]byte(got), []byte(challenge)) == 1
}

// authenticate checks a client assertion (SB-42), signed or nested. It answers
// nil and why when it is not good.
func (s *Server) authenticate(ctx context.Context, kind, raw string) (*ClientRegistration, string) {
	if kind != assertionType || raw == "" {
		return nil, "A client assertion is required"
	}
	if strings.Count(raw, ".") == 4 {
		var err error
		if raw, err = s.decrypt(raw); err != nil {
			return nil, "The client assertion cannot be decrypted"
		}
	}
	// Who claims to speak is read before the signature, to know whose key to use.
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, "The client assertion is not a compact JWS"
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, "The client assertion is not readable"
	}
	var c struct {
		Iss string          `json:"iss"`
		Sub string          `json:"sub"`
		Aud json.RawMessage `json:"aud"`
		JTI string          `json:"jti"`
		Exp int64           `json:"exp"`
	}
	if err := strictjson.DecodeLoose(body, maxForeign, &c); err != nil {
		return nil, "The client assertion is not readable"
	}
	client := s.client(c.Iss)
	if client == nil || c.Sub != c.Iss {
		return nil, "iss and sub must be the client id"
	}
	if _, err := s.verifyPartner(ctx, client, raw); err != nil {
		return nil, "The signature of the client assertion is not good"
	}
	now := s.cfg.Now()
	switch {
	case !oneAudience(c.Aud, s.cfg.Issuer+"/token"):
		return nil, "aud must be the token endpoint"
	case c.Exp == 0 || !now.Before(time.Unix(c.Exp, 0)):
		return nil, "exp must be in the future"
	case c.JTI == "" || len(c.JTI) > 255:
		return nil, "jti must have 1 to 255 characters"
	case !s.seen.first("assertion|"+client.ID+"|"+c.JTI, time.Unix(c.Exp, 0)):
		return nil, "jti was used before"
	}
	return client, ""
}

func oneAudience(raw json.RawMessage, want string) bool {
	var one string
	var many []string
	if json.Unmarshal(raw, &one) == nil {
		return one == want
	}
	return json.Unmarshal(raw, &many) == nil && len(many) == 1 && many[0] == want
}

// userinfo is the UserInfo endpoint (SB-51): a nested JWT served as JSON.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	access, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var g *grant
	if ok {
		g, ok = s.tokens.get(access)
	}
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sandbox"`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	jwt, err := g.userInfo(r.Context())
	if err != nil {
		s.warn("no UserInfo could be made for %s: %v", g.client.ID, err)
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request"})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(jwt))
}
