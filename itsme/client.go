package itsme

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme/token"
)

// MaxRequestLife bounds exp - iat of a request object.
const MaxRequestLife = 10 * time.Minute

// ClientConfig is one registration at itsme: one client id with one service.
type ClientConfig struct {
	// ID is the client id (partner code), for example WXw9DMqkEv.
	ID string `yaml:"id"`
	// Service is the service code, for example ACME_CONFIRM; its type
	// (Identification, Confirmation) is known to itsme.
	Service string `yaml:"service"`
	// RedirectURI is registered at itsme and compared there byte by byte.
	RedirectURI string `yaml:"redirect_uri"`
	// SigKID is the kid of our signing key in our key set. Default s1.
	SigKID string `yaml:"sig_kid"`
	// ACR is the level asked for. Default acr_advanced.
	ACR string `yaml:"acr"`
}

// Client makes authorization requests and exchanges codes for one registration.
type Client struct {
	p   *Provider
	cfg ClientConfig
	sig *signer
}

// NewClient makes a Client. sig is an RSA key of at least 2048 bits with
// e = 65537 that signs PKCS #1 v1.5 with SHA-256; it may live in a token.
func NewClient(p *Provider, cfg ClientConfig, sig crypto.Signer) (*Client, error) {
	if cfg.SigKID == "" {
		cfg.SigKID = "s1"
	}
	if cfg.ACR == "" {
		cfg.ACR = token.ACRAdvanced
	}
	if cfg.ID == "" || cfg.Service == "" || cfg.RedirectURI == "" {
		return nil, errors.New("itsme client: id, service and redirect_uri are required")
	}
	if strings.ContainsAny(cfg.ID+cfg.Service, " \t\r\n") {
		return nil, errors.New("itsme client: id and service must have no spaces")
	}
	pub, ok := sig.Public().(*rsa.PublicKey)
	if !ok || pub.N.BitLen() < minModulus || pub.E != exponent {
		return nil, fmt.Errorf("itsme client: the signing key must be RSA, %d bits or more, e = 65537", minModulus)
	}
	return &Client{p: p, cfg: cfg, sig: &signer{kid: cfg.SigKID, key: sig}}, nil
}

// ID is the client id, the aud of every token for this client.
func (c *Client) ID() string { return c.cfg.ID }

// Config is the registration, with its defaults filled in.
func (c *Client) Config() ClientConfig { return c.cfg }

// AuthRequest is one request to a person. Every member but Subject, Text and
// IDTokenClaims is required.
type AuthRequest struct {
	State         string
	Nonce         string
	CodeChallenge string   // base64url SHA-256 of the verifier, 43 characters
	Language      string   // nl fr de en
	Subject       string   // sub of the person that must answer; "" = anybody
	Text          string   // free text to confirm; "" = no template (Identification)
	IDTokenClaims []string // claims asked inside the ID token
	Issued        time.Time
	Expires       time.Time // at most MaxRequestLife after Issued
	JTI           string
}

func (r AuthRequest) check() error {
	switch {
	case r.State == "" || r.Nonce == "" || r.JTI == "":
		return errors.New("itsme request: state, nonce and jti are required")
	case len(r.CodeChallenge) != 43:
		return errors.New("itsme request: the code challenge must be a base64url SHA-256")
	case r.Language != "nl" && r.Language != "fr" && r.Language != "de" && r.Language != "en":
		return errors.New("itsme request: language must be nl, fr, de or en")
	case !r.Expires.After(r.Issued) || r.Expires.Sub(r.Issued) > MaxRequestLife:
		return fmt.Errorf("itsme request: must live more than 0 and at most %v", MaxRequestLife)
	}
	return nil
}

type wanted struct {
	Essential bool   `json:"essential,omitempty"`
	Value     string `json:"value,omitempty"`
}

// requestObject holds the members of specs/itsme.md §1.9.
type requestObject struct {
	Iss             string                        `json:"iss"`
	Aud             string                        `json:"aud"`
	Iat             int64                         `json:"iat"`
	Nbf             int64                         `json:"nbf"`
	Exp             int64                         `json:"exp"`
	JTI             string                        `json:"jti"`
	ResponseType    string                        `json:"response_type"`
	ClientID        string                        `json:"client_id"`
	RedirectURI     string                        `json:"redirect_uri"`
	Scope           string                        `json:"scope"`
	State           string                        `json:"state"`
	Nonce           string                        `json:"nonce"`
	CodeChallenge   string                        `json:"code_challenge"`
	ChallengeMethod string                        `json:"code_challenge_method"`
	ACRValues       string                        `json:"acr_values"`
	UILocales       string                        `json:"ui_locales"`
	Claims          map[string]map[string]*wanted `json:"claims,omitempty"`
}

func (c *Client) scope() string { return "openid service:" + c.cfg.Service }

func (c *Client) object(r AuthRequest) requestObject {
	claims := map[string]map[string]*wanted{}
	userinfo, idToken := map[string]*wanted{}, map[string]*wanted{}
	if r.Subject != "" {
		userinfo["sub"] = &wanted{Value: r.Subject}
	}
	if r.Text != "" {
		userinfo[token.TemplateName] = &wanted{Essential: true, Value: token.TemplateFreeText}
		userinfo[token.TemplateText] = &wanted{Essential: true, Value: r.Text}
	}
	for _, name := range r.IDTokenClaims {
		idToken[name] = nil
	}
	if len(userinfo) > 0 {
		claims["userinfo"] = userinfo
	}
	if len(idToken) > 0 {
		claims["id_token"] = idToken
	}
	return requestObject{
		Iss: c.cfg.ID, Aud: c.p.Issuer(), Iat: r.Issued.Unix(), Nbf: r.Issued.Unix(), Exp: r.Expires.Unix(), JTI: r.JTI,
		ResponseType: "code", ClientID: c.cfg.ID, RedirectURI: c.cfg.RedirectURI, Scope: c.scope(),
		State: r.State, Nonce: r.Nonce, CodeChallenge: r.CodeChallenge, ChallengeMethod: "S256",
		ACRValues: c.cfg.ACR, UILocales: r.Language, Claims: claims,
	}
}

// AuthorizationURL makes the link to itsme: a request object that is signed
// and then encrypted to itsme, and beside it only the plain parameters that
// itsme demands (specs/itsme.md §1.9). It also returns the signed object, which
// is evidence of what was asked. Errors: ErrUnreachable when itsme's keys
// cannot be had; the signer's error as it is.
func (c *Client) AuthorizationURL(ctx context.Context, r AuthRequest) (u, requestJWS string, err error) {
	if err := r.check(); err != nil {
		return "", "", err
	}
	ends, err := c.p.Endpoints(ctx)
	if err != nil {
		return "", "", err
	}
	enc, err := c.p.encryptionKey(ctx)
	if err != nil {
		return "", "", err
	}
	requestJWS, err = c.sig.jws(c.object(r))
	if err != nil {
		return "", "", fmt.Errorf("sign request object: %w", err)
	}
	nested, err := encrypt(requestJWS, enc)
	if err != nil {
		return "", "", fmt.Errorf("encrypt request object: %w", err)
	}
	target, err := url.Parse(ends.Authorization)
	if err != nil {
		return "", "", fmt.Errorf("authorization endpoint: %w", err)
	}
	q := target.Query()
	q.Set("response_type", "code")
	q.Set("client_id", c.cfg.ID)
	q.Set("scope", c.scope())
	q.Set("redirect_uri", c.cfg.RedirectURI)
	q.Set("request", nested)
	target.RawQuery = q.Encode()
	return target.String(), requestJWS, nil
}

// encrypt makes the JWE around a JWS: RSA-OAEP-256, A128CBC-HS256, cty JWT and
// the kid of itsme's key (specs/itsme.md §1.5).
func encrypt(jws string, to *jose.JSONWebKey) (string, error) {
	e, err := jose.NewEncrypter(jose.A128CBC_HS256,
		jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to.Key, KeyID: to.KeyID},
		(&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		return "", err
	}
	obj, err := e.Encrypt([]byte(jws))
	if err != nil {
		return "", err
	}
	return obj.CompactSerialize()
}

// signer lets go-jose sign with a key that it cannot see.
type signer struct {
	kid string
	key crypto.Signer
}

// Public implements jose.OpaqueSigner.
func (s *signer) Public() *jose.JSONWebKey {
	return &jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Use: "sig", Algorithm: string(jose.RS256)}
}

// Algs implements jose.OpaqueSigner.
func (s *signer) Algs() []jose.SignatureAlgorithm { return []jose.SignatureAlgorithm{jose.RS256} }

// SignPayload implements jose.OpaqueSigner.
func (s *signer) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	digest := sha256.Sum256(payload)
	return s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// jws signs the JSON of v, with kid in the header.
func (s *signer) jws(v any) (string, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	js, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: s}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	obj, err := js.Sign(payload)
	if err != nil {
		return "", err
	}
	return obj.CompactSerialize()
}

// NewVerifier makes a PKCE verifier and its S256 challenge, 43 characters each
// (RFC 7636 §4.1-4.2).
func NewVerifier() (verifier, challenge string) {
	verifier = Random()
	digest := sha256.Sum256([]byte(verifier))
	return verifier, base64.RawURLEncoding.EncodeToString(digest[:])
}

// Random returns 256 random bits in base64url, for state and the like.
func Random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}
