package authority

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/ca"
	"tekend/certs"
	"tekend/consent"
	"tekend/itsme/token"
	"tekend/wire"
)

// languages are those in which the consent text can have been shown.
var languages = []string{"en", "nl"}

// maxCSR bounds the PKCS #10 request, in bytes: RSA-4096 needs below 2 KiB.
const maxCSR = 8 << 10

// skew is the difference of clocks that is forgiven between us and itsme.
const skew = time.Minute

// verifier checks orders: when they come, and again later from what was kept
// of them, by the rules and the keys of then.
type verifier struct {
	cfg  Config
	keys token.Keys
	now  time.Time
}

// verified is an order that may be executed.
type verified struct {
	application consent.Application
	key         crypto.PublicKey
	signs       x509.SignatureAlgorithm // by which the key signed its request, and will sign documents
	person      certs.Person
	tokens      [2]*token.IDToken
	keys        []byte // JWK set: itsme's keys that verified the tokens
	at          time.Time
}

func refuse(code, detail string) *wire.Error {
	return wire.Refuse(http.StatusUnprocessableEntity, code, detail)
}

// verify checks everything about an order that does not need the database.
// Refusals are *wire.Error; none holds personal data.
func (c verifier) verify(ctx context.Context, req ca.IssueRequest) (*verified, error) {
	v := &verified{at: c.now}
	var err error
	if v.application, err = consent.DecodeApplication(req.Application); err != nil {
		return nil, refuse(ca.CodeBadOrder, "the application cannot be read")
	}
	if v.application.TermsVersion != c.cfg.TermsVersion || v.application.TermsSHA256 != c.cfg.TermsSHA256 {
		return nil, refuse(ca.CodeTerms, "the application accepts other terms than those in force")
	}
	csr, err := possession(req.CSR, v.application.SPKISHA256, c.now)
	if err != nil {
		return nil, err
	}
	v.key, v.signs = csr.PublicKey, csr.SignatureAlgorithm
	manifests, err := c.manifests(req, v.application)
	if err != nil {
		return nil, err
	}
	recorder := &keyRecorder{Keys: c.keys}
	for i, leg := range []struct{ name, inner, audience string }{
		{"identification", req.IdentificationToken, c.cfg.IdentClient},
		{"consent", req.ConsentToken, c.cfg.ConfirmClient},
	} {
		t, err := token.Verify(ctx, leg.inner, recorder, token.Expect{
			Issuer: c.cfg.Itsme.Issuer, Audience: leg.audience, Nonce: consent.Nonce(manifests[i].raw),
			Subject: manifests[i].Sub, ACR: c.cfg.ACR, Now: c.now, MaxAge: c.cfg.MaxAge, Skew: skew,
			AllowExpired: true, // the sam took it while it was fresh; MaxAge bounds it here
		})
		if err != nil {
			return nil, tokenRefusal(leg.name, err)
		}
		if t.IssuedAt.Before(time.Unix(manifests[i].Iat, 0).Add(-skew)) || t.IssuedAt.After(time.Unix(manifests[i].Exp, 0).Add(skew)) {
			return nil, refuse(ca.CodeBadToken, leg.name+": issued outside the life of its manifest")
		}
		v.tokens[i] = t
	}
	if v.keys, err = recorder.set(); err != nil {
		return nil, err
	}
	v.person, err = c.identity(v.tokens[0].Claims, v.tokens[1].Claims)
	return v, err
}

// possession reads the request and checks that its key signed it and is the
// key of the application (EN 319 411-1 REG-6.3.1-01).
func possession(csr []byte, spki string, now time.Time) (*x509.CertificateRequest, error) {
	if len(csr) > maxCSR {
		return nil, refuse(ca.CodeBadKey, "the certificate request is too long")
	}
	parsed, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, refuse(ca.CodeBadKey, "the certificate request cannot be read")
	}
	if err := certs.CheckNewKey(parsed.PublicKey); err != nil {
		return nil, refuse(ca.CodeBadKey, err.Error())
	}
	if err := certs.CheckAlgorithm(parsed.SignatureAlgorithm, parsed.PublicKey, now); err != nil {
		return nil, refuse(ca.CodeBadKey, err.Error())
	}
	if err := parsed.CheckSignature(); err != nil {
		return nil, refuse(ca.CodeBadKey, "the certificate request is not signed by its key")
	}
	if sum, err := certs.SPKISHA256(parsed.PublicKey); err != nil || sum != spki {
		return nil, refuse(ca.CodeBadKey, "the certificate request is for another key than the application")
	}
	return parsed, nil
}

// manifest is a decoded manifest with the exact bytes the nonce commits to.
type manifest struct {
	consent.Manifest
	raw []byte
}

// manifests checks what the two transactions were made for: enrolment, this
// application, our clients, and, in the consent, the very text that names it.
func (c verifier) manifests(req ca.IssueRequest, app consent.Application) ([2]manifest, error) {
	var both [2]manifest
	digest, err := app.Digest()
	if err != nil {
		return both, refuse(ca.CodeBadOrder, "the application cannot be read")
	}
	for i, leg := range []struct {
		name, client string
		raw          []byte
	}{
		{"identification", c.cfg.IdentClient, req.IdentificationManifest},
		{"consent", c.cfg.ConfirmClient, req.ConsentManifest},
	} {
		m, err := consent.DecodeManifest(leg.raw)
		switch {
		case err != nil:
			return both, refuse(ca.CodeBadOrder, leg.name+": the manifest cannot be read")
		case m.V != consent.Version || m.Op != "enrol":
			return both, refuse(ca.CodeBadOrder, leg.name+": the manifest is not for an enrolment")
		case m.Application != digest:
			return both, refuse(ca.CodeBadOrder, leg.name+": the manifest is for another application")
		case m.Iss != c.cfg.Itsme.Issuer || m.ClientID != leg.client:
			return both, refuse(ca.CodeBadOrder, leg.name+": the manifest is for another issuer or client")
		case len(m.Docs) > 0 || m.Cred != nil:
			return both, refuse(ca.CodeBadOrder, leg.name+": the manifest of an enrolment names documents or a credential")
		}
		both[i] = manifest{m, leg.raw}
	}
	if !consentText(both[1].Template, app) {
		return both, refuse(ca.CodeBadOrder, "consent: the text shown is not that of this application")
	}
	return both, nil
}

func consentText(t *consent.Template, app consent.Application) bool {
	if t == nil || t.Name != token.TemplateFreeText {
		return false
	}
	for _, lang := range languages {
		if text, err := consent.EnrolText(lang, app); err == nil && text == t.Text {
			return true
		}
	}
	return false
}

// tokenRefusal turns the verdict on a token into a refusal.
func tokenRefusal(leg string, err error) error {
	switch reason := token.ReasonOf(err); reason {
	case "":
		return &wire.Error{Status: http.StatusServiceUnavailable, Code: ca.CodeItsme, Detail: "itsme's keys could not be had", Retryable: true}
	case token.WrongNonce:
		return refuse(ca.CodeWrongNonce, leg+": the token does not commit to its manifest")
	default:
		return refuse(ca.CodeBadToken, leg+": "+reason)
	}
}

// identity checks that both legs show the same adult person, who was not in a
// call, and gives the person as the certificate will name him. Names come from
// the tokens alone.
func (c verifier) identity(ident, confirm token.Claims) (certs.Person, error) {
	type same struct{ name, given, family, birthdate, birthtext, document string }
	of := func(t token.Claims) same {
		return same{t.Name, t.GivenName, t.FamilyName, t.Birthdate, t.BirthdateText, t.DocumentSN}
	}
	switch {
	case ident.DocumentSN == "" || confirm.DocumentSN == "":
		return certs.Person{}, refuse(ca.CodeIdentityMismatch, "the number of the identity document is missing")
	case of(ident) != of(confirm):
		return certs.Person{}, refuse(ca.CodeIdentityMismatch, "the two confirmations are not by the same person")
	case !isTrue(ident.AgeGTE18) || !isTrue(confirm.AgeGTE18):
		return certs.Person{}, refuse(ca.CodeMinor, "not shown to be 18 or older")
	case isTrue(ident.OngoingCall) || isTrue(confirm.OngoingCall):
		return certs.Person{}, refuse(ca.CodeOngoingCall, "the person was in a call")
	}
	p, err := c.cfg.person(ident.Name, ident.GivenName, ident.FamilyName, or(ident.IssuingCountry, c.cfg.DefaultCountry))
	if err != nil {
		return certs.Person{}, refuse(ca.CodeName, err.Error())
	}
	if err := c.supports(ident); err != nil {
		return certs.Person{}, err
	}
	return c.numbered(p, ident)
}

func isTrue(b *bool) bool { return b != nil && *b }

// keyRecorder keeps the keys that a verification used: itsme changes its keys,
// and without them the tokens could not be verified again later.
type keyRecorder struct {
	token.Keys
	used jose.JSONWebKeySet
}

// Key asks the wrapped keys and remembers the answer.
func (k *keyRecorder) Key(ctx context.Context, kid string) (*jose.JSONWebKey, error) {
	key, err := k.Keys.Key(ctx, kid)
	if err == nil && key != nil && len(k.used.Key(kid)) == 0 {
		k.used.Keys = append(k.used.Keys, *key)
	}
	return key, err
}

func (k *keyRecorder) set() ([]byte, error) {
	b, err := json.Marshal(k.used)
	if err != nil {
		return nil, errors.New("encode itsme's keys")
	}
	return b, nil
}
