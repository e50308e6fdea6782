// Package tokentest makes ID tokens that must be refused: what an owned front, or whoever stands between itsme and us,
// could offer in place of a genuine token. The roles sam and ca, which each verify tokens, are tested with one list.
package tokentest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Forger has more than an owned front ever has: besides keys of its own and our public keys it may use itsme's signing
// key, as if itsme had been made to sign something else than what the person did.
type Forger struct {
	Itsme *rsa.PrivateKey // itsme's, for claims that are wrong under a right signature
	KID   string          // its name in itsme's key set
	Now   time.Time
	t     testing.TB
}

// New makes a forger for a test. kid names itsme's key.
func New(t testing.TB, itsme *rsa.PrivateKey, kid string, now time.Time) *Forger {
	return &Forger{Itsme: itsme, KID: kid, Now: now, t: t}
}

// Claims are the members of an ID token's payload.
type Claims = map[string]any

// Forgery is one way to make a wrong token of a genuine one.
type Forgery struct {
	Name string
	// Make gives the compact JWS, or what stands in its place, made of the genuine one and its claims.
	Make func(f *Forger, inner string, c Claims) string
}

// own are the forger's keys, made once: RSA keys are slow to make.
var own = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func (f *Forger) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// Read gives the claims of a compact JWS.
func (f *Forger) Read(inner string) Claims {
	f.t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(inner, ".")[1])
	f.must(err)
	c := Claims{}
	f.must(json.Unmarshal(b, &c))
	for _, name := range []string{"iat", "exp"} { // numbers as itsme writes them
		if n, ok := c[name].(float64); ok {
			c[name] = int64(n)
		}
	}
	return c
}

func part(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// JSON encodes what a test made itself.
func (f *Forger) JSON(v any) []byte {
	b, err := json.Marshal(v)
	f.must(err)
	return b
}

// Raw puts a header and a payload, as they are, under an RS256 signature.
func (f *Forger) Raw(header, payload []byte, key *rsa.PrivateKey) string {
	text := part(header) + "." + part(payload)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	f.must(err)
	return text + "." + part(sig)
}

// Sign signs claims as itsme does.
func (f *Forger) Sign(c Claims) string { return f.Raw(f.header(nil), f.JSON(c), f.Itsme) }

// header is itsme's with some members changed; nil takes one away.
func (f *Forger) header(change Claims) []byte {
	h := Claims{"alg": "RS256", "kid": f.KID, "typ": "JWT"}
	maps.Copy(h, change)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	return f.JSON(h)
}

// jose signs by an algorithm of the library's.
func (f *Forger) jose(alg jose.SignatureAlgorithm, key any, payload []byte) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", f.KID))
	f.must(err)
	obj, err := s.Sign(payload)
	f.must(err)
	out, err := obj.CompactSerialize()
	f.must(err)
	return out
}

// Forgeries are all ways: of headers and keys, of the form, and of the claims.
func Forgeries() []Forgery {
	all := append(headers(), keys()...)
	return append(append(all, forms()...), claims()...)
}

// headers: the forger brings his key along, or points at it; or itsme's good signature stands under a header that says
// something else.
func headers() []Forgery {
	var all []Forgery
	foreign := func(name string, change Claims) {
		all = append(all, Forgery{"header, own key: " + name, func(f *Forger, _ string, c Claims) string {
			return f.Raw(f.header(change), f.JSON(c), own())
		}})
	}
	jwk := json.RawMessage(func() []byte {
		b, _ := json.Marshal(jose.JSONWebKey{Key: own().Public(), KeyID: "x", Use: "sig"})
		return b
	}())
	foreign("itsme's kid", nil)
	foreign("jwk", Claims{"jwk": jwk})
	foreign("jwk without kid", Claims{"jwk": jwk, "kid": nil})
	foreign("jku", Claims{"jku": "http://127.0.0.1:1/jwks"})
	foreign("x5u", Claims{"x5u": "http://127.0.0.1:1/chain.pem"})
	foreign("x5c", Claims{"x5c": []string{"MAA="}})
	foreign("no kid", Claims{"kid": nil})
	foreign("an unknown kid", Claims{"kid": "attacker"})
	foreign("kid is a path", Claims{"kid": "../../../../dev/null"})
	foreign("kid is SQL", Claims{"kid": "x' OR '1'='1"})
	foreign("kid is a number", Claims{"kid": 1})
	foreign("kid is a list", Claims{"kid": []string{"s1"}})
	foreign("kid is long", Claims{"kid": strings.Repeat("k", 3000)})
	foreign("alg none", Claims{"alg": "none"})
	genuine := func(name string, change Claims) {
		all = append(all, Forgery{"header, itsme's key: " + name, func(f *Forger, _ string, c Claims) string {
			return f.Raw(f.header(change), f.JSON(c), f.Itsme)
		}})
	}
	genuine("alg none", Claims{"alg": "none"})
	genuine("alg HS256", Claims{"alg": "HS256"})
	genuine("no alg", Claims{"alg": nil})
	genuine("alg in small letters", Claims{"alg": "rs256"})
	genuine("alg is a list", Claims{"alg": []string{"RS256"}})
	genuine("crit", Claims{"crit": []string{"exp"}, "exp": 1})
	genuine("crit is empty", Claims{"crit": []string{}})
	genuine("b64", Claims{"b64": false, "crit": []string{"b64"}})
	genuine("zip", Claims{"zip": "DEF"})
	genuine("kid is empty", Claims{"kid": ""})
	genuine("kid in another case", Claims{"kid": nil, "KID": "s1"})
	genuine("jku beside", Claims{"jku": "http://127.0.0.1:1/jwks"})
	genuine("jwk beside", Claims{"jwk": jwk})
	genuine("an access token", Claims{"typ": "at+jwt"})
	genuine("a logout token", Claims{"typ": "logout+jwt"})
	genuine("typ is a list", Claims{"typ": []string{"JWT"}})
	for name, text := range map[string]string{
		"alg twice":       `{"alg":"none","alg":"RS256","kid":"%"}`,
		"kid twice":       `{"alg":"RS256","kid":"x","kid":"%"}`,
		"Alg beside alg":  `{"alg":"RS256","Alg":"none","kid":"%"}`,
		"not JSON":        `alg=RS256`,
		"a list":          `["RS256","%"]`,
		"null":            `null`,
		"two objects":     `{"alg":"RS256","kid":"%"}{}`,
		"of 20 kB":        `{"alg":"RS256","kid":"%","x":"` + strings.Repeat("x", 20<<10) + `"}`,
		"kid has a quote": `{"alg":"RS256","kid":"%\u0000"}`,
	} {
		all = append(all, Forgery{"header, itsme's key: " + name, func(f *Forger, _ string, c Claims) string {
			return f.Raw([]byte(strings.ReplaceAll(text, "%", f.KID)), f.JSON(c), f.Itsme)
		}})
	}
	return all
}

// keys: another algorithm or another secret.
func keys() []Forgery {
	var all []Forgery
	add := func(name string, sign func(f *Forger, payload []byte) string) {
		all = append(all, Forgery{"key: " + name, func(f *Forger, _ string, c Claims) string { return sign(f, f.JSON(c)) }})
	}
	for _, alg := range []string{"none", "nOnE", "None", "NONE", ""} {
		add("alg "+alg+" and no signature", func(f *Forger, p []byte) string { return part(f.header(Claims{"alg": alg})) + "." + part(p) + "." })
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512} {
		for what, secret := range map[string]func(*Forger) []byte{
			"modulus": func(f *Forger) []byte { return f.Itsme.N.Bytes() },
			"JWK":     func(f *Forger) []byte { return f.JSON(jose.JSONWebKey{Key: f.Itsme.Public(), KeyID: f.KID}) },
			"zeros":   func(*Forger) []byte { return make([]byte, 64) },
		} {
			add(string(alg)+" under the "+what, func(f *Forger, p []byte) string { return f.jose(alg, secret(f), p) })
		}
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.RS384, jose.RS512, jose.PS256, jose.PS384} {
		add(string(alg)+" by itsme's key", func(f *Forger, p []byte) string { return f.jose(alg, f.Itsme, p) })
	}
	add("ES256", func(f *Forger, p []byte) string {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		f.must(err)
		return f.jose(jose.ES256, k, p)
	})
	add("EdDSA", func(f *Forger, p []byte) string {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		f.must(err)
		return f.jose(jose.EdDSA, k, p)
	})
	return all
}
