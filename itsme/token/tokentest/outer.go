package tokentest

import (
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Wrapping is one way to encrypt a token, or not to.
type Wrapping struct {
	Name string
	// Wrap gives what itsme's answer carries, made of the compact JWS. to is our public key for encryption.
	Wrap func(f *Forger, inner string, to jose.JSONWebKey) string
}

// Encrypt wraps a token as itsme does.
func (f *Forger) Encrypt(inner string, to jose.JSONWebKey) string {
	return f.encrypt(inner, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to.Key, KeyID: to.KeyID}, jose.A128CBC_HS256, nil)
}

func (f *Forger) encrypt(inner string, to jose.Recipient, enc jose.ContentEncryption, change func(*jose.EncrypterOptions)) string {
	f.t.Helper()
	o := (&jose.EncrypterOptions{}).WithContentType("JWT").WithType("JWT")
	if change != nil {
		change(o)
	}
	e, err := jose.NewEncrypter(enc, to, o)
	f.must(err)
	obj, err := e.Encrypt([]byte(inner))
	f.must(err)
	out, err := obj.CompactSerialize()
	f.must(err)
	return out
}

// Good are ways that itsme has, or is known to have: they must be accepted, or the list shows nothing.
func Good() []Wrapping {
	return []Wrapping{
		{"as itsme does", func(f *Forger, inner string, to jose.JSONWebKey) string { return f.Encrypt(inner, to) }},
		{"A256GCM", func(f *Forger, inner string, to jose.JSONWebKey) string {
			return f.encrypt(inner, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to.Key, KeyID: to.KeyID}, jose.A256GCM, nil)
		}},
		{"no kid", func(f *Forger, inner string, to jose.JSONWebKey) string {
			return f.encrypt(inner, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to.Key}, jose.A128CBC_HS256, nil)
		}},
	}
}

// Wrappings are ways to wrap a token, itself genuine, that must be refused.
func Wrappings() []Wrapping {
	var all []Wrapping
	add := func(name string, wrap func(f *Forger, inner string, to jose.JSONWebKey) string) {
		all = append(all, Wrapping{"JWE: " + name, wrap})
	}
	add("none", func(_ *Forger, inner string, _ jose.JSONWebKey) string { return inner })
	add("twice", func(f *Forger, inner string, to jose.JSONWebKey) string { return f.Encrypt(f.Encrypt(inner, to), to) })
	add("of bare claims", func(f *Forger, inner string, to jose.JSONWebKey) string {
		return f.Encrypt(string(f.JSON(f.Read(inner))), to)
	})
	add("of nothing", func(f *Forger, _ string, to jose.JSONWebKey) string { return f.Encrypt("", to) })
	for name, r := range map[string]func(to jose.JSONWebKey) jose.Recipient{
		"RSA1_5": func(to jose.JSONWebKey) jose.Recipient {
			return jose.Recipient{Algorithm: jose.RSA1_5, Key: to.Key, KeyID: to.KeyID}
		},
		"RSA-OAEP, SHA-1": func(to jose.JSONWebKey) jose.Recipient {
			return jose.Recipient{Algorithm: jose.RSA_OAEP, Key: to.Key, KeyID: to.KeyID}
		},
		"A128KW": func(to jose.JSONWebKey) jose.Recipient {
			return jose.Recipient{Algorithm: jose.A128KW, Key: make([]byte, 16), KeyID: to.KeyID}
		},
		"dir": func(to jose.JSONWebKey) jose.Recipient {
			return jose.Recipient{Algorithm: jose.DIRECT, Key: make([]byte, 32), KeyID: to.KeyID}
		},
		"a password": func(to jose.JSONWebKey) jose.Recipient {
			return jose.Recipient{Algorithm: jose.PBES2_HS256_A128KW, Key: "x", PBES2Count: 1000, PBES2Salt: make([]byte, 16), KeyID: to.KeyID}
		},
		"to a key of the forger's": func(to jose.JSONWebKey) jose.Recipient {
			return jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: own().Public(), KeyID: to.KeyID}
		},
		"to a kid that is not ours": func(to jose.JSONWebKey) jose.Recipient {
			return jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to.Key, KeyID: "x"}
		},
	} {
		add(name, func(f *Forger, inner string, to jose.JSONWebKey) string {
			return f.encrypt(inner, r(to), jose.A128CBC_HS256, nil)
		})
	}
	for _, enc := range []jose.ContentEncryption{jose.A128GCM, jose.A192GCM, jose.A192CBC_HS384, jose.A256CBC_HS512} {
		add(string(enc), func(f *Forger, inner string, to jose.JSONWebKey) string {
			return f.encrypt(inner, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to.Key, KeyID: to.KeyID}, enc, nil)
		})
	}
	for name, change := range map[string]func(*jose.EncrypterOptions){
		"zip":             func(o *jose.EncrypterOptions) { o.Compression = jose.DEFLATE },
		"crit":            func(o *jose.EncrypterOptions) { o.WithHeader("crit", []string{"exp"}) },
		"jku":             func(o *jose.EncrypterOptions) { o.WithHeader("jku", "http://127.0.0.1:1/") },
		"x5u":             func(o *jose.EncrypterOptions) { o.WithHeader("x5u", "http://127.0.0.1:1/") },
		"another content": func(o *jose.EncrypterOptions) { o.WithContentType("json") },
		"another type":    func(o *jose.EncrypterOptions) { o.WithType("at+jwt") },
	} {
		add(name, func(f *Forger, inner string, to jose.JSONWebKey) string {
			return f.encrypt(inner, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: to.Key, KeyID: to.KeyID}, jose.A128CBC_HS256, change)
		})
	}
	return append(all, broken()...)
}

// broken: a good JWE of which something was changed.
func broken() []Wrapping {
	var all []Wrapping
	parts := func(name string, change func(p []string) string) {
		all = append(all, Wrapping{"JWE: " + name, func(f *Forger, inner string, to jose.JSONWebKey) string {
			return change(strings.Split(f.Encrypt(inner, to), "."))
		}})
	}
	for i, name := range []string{"header", "key", "vector", "text", "tag"} {
		parts(name+" changed", func(p []string) string {
			b := []byte(p[i])
			b[3] ^= 'A' ^ 'B'
			p[i] = string(b)
			return strings.Join(p, ".")
		})
		parts(name+" empty", func(p []string) string { p[i] = ""; return strings.Join(p, ".") })
	}
	parts("four parts", func(p []string) string { return strings.Join(p[:4], ".") })
	parts("six parts", func(p []string) string { return strings.Join(append(p, p[4]), ".") })
	parts("JSON", func(p []string) string {
		return `{"protected":"` + p[0] + `","encrypted_key":"` + p[1] + `","iv":"` + p[2] + `","ciphertext":"` + p[3] + `","tag":"` + p[4] + `"}`
	})
	return all
}
