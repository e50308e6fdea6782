package token

import (
	"context"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/strictjson"
)

// maxLife is the longest exp - iat that is believed; itsme's is 300 s
// (specs/itsme.md §1.10).
const maxLife = time.Hour

// maxText is the longest single claim that is read, in bytes.
const maxText = 4 << 10

// Verify checks the compact JWS inside an ID token: RS256 under a key that the
// issuer publishes now, and then everything of specs/itsme.md §9.4 steps 4 to
// 7 that e tells. The claims are read only after the signature was found good.
//
// Errors: *Error with a stable reason; the error of keys when the keys could
// not be had (try again later); another error when e is incomplete.
func Verify(ctx context.Context, inner string, keys Keys, e Expect) (*IDToken, error) {
	if err := e.complete(); err != nil {
		return nil, err
	}
	payload, kid, err := open(ctx, inner, keys)
	if err != nil {
		return nil, err
	}
	t, err := read(payload)
	if err != nil {
		return nil, err
	}
	t.KeyID = kid
	if err := t.matches(e); err != nil {
		return nil, err
	}
	return &t.IDToken, nil
}

func (e *Expect) complete() error {
	if e.Issuer == "" || e.Audience == "" || e.Nonce == "" || e.ACR == "" || e.Now.IsZero() {
		return errors.New("itsme token: Expect needs issuer, audience, nonce, acr and now")
	}
	if e.Skew < 0 || e.Skew > MaxSkew || e.MaxAge < 0 {
		return fmt.Errorf("itsme token: Expect.Skew must be within 0 and %v, MaxAge not negative", MaxSkew)
	}
	if e.AllowExpired && e.MaxAge == 0 {
		return errors.New("itsme token: Expect.AllowExpired needs MaxAge")
	}
	if e.Skew == 0 {
		e.Skew = MaxSkew
	}
	if e.MaxAge == 0 {
		e.MaxAge = DefaultMaxAge
	}
	return nil
}

// open verifies the signature and returns the payload.
func open(ctx context.Context, inner string, keys Keys) (payload []byte, kid string, err error) {
	if len(inner) > MaxToken {
		return nil, "", refuse(TooLong)
	}
	if strings.HasPrefix(strings.TrimLeft(inner, " \t\r\n"), "{") {
		return nil, "", refuse(Serialization)
	}
	parts := split(inner)
	switch {
	case len(parts) == 5:
		return nil, "", refuse(NotSigned)
	case len(parts) != 3 || parts[0] == "" || parts[1] == "":
		return nil, "", refuse(Malformed)
	}
	h, err := readHeader(parts[0])
	if err != nil {
		return nil, "", err
	}
	if !slices.Contains(signingAlgorithms, jose.SignatureAlgorithm(h.alg)) {
		return nil, "", refuse(BadAlgorithm)
	}
	for _, p := range parts[1:] {
		if _, err := part.DecodeString(p); err != nil {
			return nil, "", refuse(Malformed)
		}
	}
	pub, err := issuerKey(ctx, h, keys)
	if err != nil {
		return nil, "", err
	}
	obj, err := jose.ParseSignedCompact(inner, signingAlgorithms)
	if err != nil {
		return nil, "", refuse(Malformed)
	}
	payload, err = obj.Verify(pub)
	if err != nil {
		return nil, "", refuse(BadSignature)
	}
	return payload, h.kid, nil
}

func issuerKey(ctx context.Context, h header, keys Keys) (*rsa.PublicKey, error) {
	if h.kid == "" {
		return nil, refuse(BadKeyID)
	}
	key, err := keys.Key(ctx, h.kid)
	if errors.Is(err, ErrUnknownKey) {
		return nil, refuse(BadKeyID)
	}
	if err != nil {
		return nil, fmt.Errorf("keys of the issuer: %w", err)
	}
	pub, ok := key.Key.(*rsa.PublicKey)
	if !ok || pub.N.BitLen() < minModulus || key.KeyID != h.kid ||
		(key.Use != "" && key.Use != "sig") || (key.Algorithm != "" && key.Algorithm != string(jose.RS256)) {
		return nil, refuse(BadKeyID)
	}
	return pub, nil
}

// claims is an ID token whose signature is good and whose content is not
// compared with anything yet.
type claims struct {
	IDToken
	azp       string
	hasAZP    bool
	notBefore time.Time
}

func (t *claims) matches(e Expect) error {
	switch {
	case t.Issuer != e.Issuer:
		return refuse(WrongIssuer)
	case t.Audience != e.Audience, t.hasAZP && t.azp != e.Audience:
		return refuse(WrongAudience)
	case t.Expires.Sub(t.IssuedAt) > maxLife:
		return refuse(ImpossibleToKeep)
	case t.IssuedAt.After(e.Now.Add(e.Skew)):
		return refuse(IssuedInFuture)
	case t.notBefore.After(e.Now.Add(e.Skew)):
		return refuse(NotYetValid)
	case !e.AllowExpired && !e.Now.Before(t.Expires.Add(e.Skew)):
		return refuse(Expired)
	case !t.Expires.After(t.IssuedAt): // it never was valid, also for whom AllowExpired is
		return refuse(Malformed)
	case t.IssuedAt.Before(e.Now.Add(-e.MaxAge)):
		return refuse(TooOld)
	case !equal(t.Nonce, e.Nonce):
		return refuse(WrongNonce)
	case t.Subject == "", e.Subject != "" && !equal(t.Subject, e.Subject):
		return refuse(WrongSubject)
	case e.ACR != AnyACR && t.ACR != e.ACR:
		return refuse(WrongACR)
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// read takes the claims out of a payload. Names are compared exactly:
// encoding/json would take "SUB" or "ſub" for "sub", so no struct is used.
func read(payload []byte) (*claims, error) {
	members := map[string]json.RawMessage{}
	if err := strictjson.DecodeLoose(payload, MaxToken, &members); err != nil || members == nil {
		return nil, refuse(BadClaims)
	}
	if caseVariant(members) {
		return nil, refuse(BadClaims)
	}
	r := reader{members: members}
	t := &claims{IDToken: IDToken{
		Issuer: r.str("iss"), Audience: r.audience(), Subject: r.str("sub"), Nonce: r.str("nonce"),
		ACR: acr(r.str("acr")), IssuedAt: r.time("iat", true), Expires: r.time("exp", true),
		Claims: r.person(),
	}, notBefore: r.time("nbf", false)}
	t.azp, t.hasAZP = r.str("azp"), r.has("azp")
	if r.wrongAudience {
		return nil, refuse(WrongAudience)
	}
	if r.bad {
		return nil, refuse(Malformed)
	}
	return t, nil
}

// acr folds the spelling "/V2/" of older samples and nothing else
// (specs/itsme.md §2.3).
func acr(s string) string {
	return strings.Replace(s, "http://itsme.services/V2/", "http://itsme.services/v2/", 1)
}
