package itsme

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme/token"
)

var rsaKeys = sync.OnceValue(func() (k [4]*rsa.PrivateKey) {
	for i := range k {
		var err error
		if k[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return k
})

// fake is a server that stands where itsme would, to misbehave in ways that
// the sandbox does not.
type fake struct {
	*httptest.Server
	mu        sync.Mutex
	now       time.Time
	keys      jose.JSONWebKeySet
	discovery func(doc map[string]string)
	handle    map[string]http.HandlerFunc
	hits      map[string]int
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{now: time.Unix(1780000000, 0), hits: map[string]int{}, handle: map[string]http.HandlerFunc{}}
	f.keys = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{PublicKey(&rsaKeys()[0].PublicKey, "s1", "sig"), PublicKey(&rsaKeys()[1].PublicKey, "e1", "enc")}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.hits[r.URL.Path]++
	h := f.handle[r.URL.Path]
	keys, change := f.keys, f.discovery
	f.mu.Unlock()
	switch {
	case h != nil:
		h(w, r)
	case r.URL.Path == "/v2/.well-known/openid-configuration":
		doc := map[string]string{"issuer": f.URL + "/v2", "authorization_endpoint": f.URL + "/v2/authorization", "token_endpoint": f.URL + "/v2/token", "jwks_uri": f.URL + "/v2/jwkSet"}
		if change != nil {
			change(doc)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(doc)
	case r.URL.Path == "/v2/jwkSet":
		_ = json.NewEncoder(w).Encode(keys)
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) set(path string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handle[path] = h
}

func (f *fake) setKeys(keys ...jose.JSONWebKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = jose.JSONWebKeySet{Keys: keys}
}

func (f *fake) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits[path]
}

func (f *fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fake) sleep(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fake) provider(change func(*Config)) *Provider {
	c := Config{Issuer: f.URL + "/v2", Now: f.Now, Timeout: 300 * time.Millisecond}
	if change != nil {
		change(&c)
	}
	return NewProvider(c, nil)
}

const jwkSet = "/v2/jwkSet"

func TestKeysAreFetchedOnceAndForTenMinutes(t *testing.T) {
	f := newFake(t)
	p := f.provider(nil)
	if f.count(jwkSet) != 0 {
		t.Error("asked before anything was needed")
	}
	for range 5 {
		k, err := p.Key(context.Background(), "s1")
		if err != nil || k.KeyID != "s1" {
			t.Fatal(err)
		}
	}
	f.sleep(MaxKeysAge - time.Second)
	if _, err := p.Key(context.Background(), "s1"); err != nil || f.count(jwkSet) != 1 {
		t.Error(err, f.count(jwkSet))
	}
	f.sleep(time.Second)
	if _, err := p.Key(context.Background(), "s1"); err != nil || f.count(jwkSet) != 2 {
		t.Error(err, f.count(jwkSet))
	}
	f.sleep(-time.Hour) // a clock that goes back makes keys old, not young
	if _, err := p.Key(context.Background(), "s1"); err != nil || f.count(jwkSet) != 3 {
		t.Error(err, f.count(jwkSet))
	}
}

func TestRotation(t *testing.T) {
	f := newFake(t)
	p := f.provider(nil)
	ctx := context.Background()
	old, enc := f.keys.Keys[0], f.keys.Keys[1]
	if _, err := p.Key(ctx, "s1"); err != nil {
		t.Fatal(err)
	}
	fresh := PublicKey(&rsaKeys()[2].PublicKey, "s2", "sig")
	f.setKeys(old, fresh, enc)
	// A new key is found at once, by one fetch.
	if k, err := p.Key(ctx, "s2"); err != nil || k.KeyID != "s2" || f.count(jwkSet) != 2 {
		t.Fatal(err, f.count(jwkSet))
	}
	// A removed key is dead as soon as a set without it was seen …
	f.setKeys(fresh, enc)
	if _, err := p.Key(ctx, "s3"); !errors.Is(err, token.ErrUnknownKey) {
		t.Error(err)
	}
	if _, err := p.Key(ctx, "s1"); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("a removed key lives on: %v", err)
	}
	// … and after ten minutes in any case.
	f.setKeys(old, enc)
	f.sleep(time.Minute)
	if _, err := p.Key(ctx, "s1"); err != nil {
		t.Fatal(err)
	}
	f.setKeys(fresh, enc)
	f.sleep(MaxKeysAge)
	if _, err := p.Key(ctx, "s1"); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("a removed key lives on: %v", err)
	}
}

func TestUnknownKIDsDoNotFloodItsme(t *testing.T) {
	f := newFake(t)
	p := f.provider(nil)
	for i := range 100 {
		if _, err := p.Key(context.Background(), fmt.Sprint("invented", i)); !errors.Is(err, token.ErrUnknownKey) {
			t.Fatal(err)
		}
	}
	if n := f.count(jwkSet); n != 1+refetchBurst {
		t.Errorf("%d fetches", n)
	}
	f.sleep(refetchEvery)
	for i := range 100 {
		_, _ = p.Key(context.Background(), fmt.Sprint("invented", i))
	}
	if n := f.count(jwkSet); n != 2+refetchBurst {
		t.Errorf("%d fetches", n)
	}
}

func TestOldKeysAreNotUsedWhenItsmeIsDown(t *testing.T) {
	f := newFake(t)
	p := f.provider(nil)
	if _, err := p.Key(context.Background(), "s1"); err != nil {
		t.Fatal(err)
	}
	f.set(jwkSet, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) })
	f.sleep(MaxKeysAge)
	if _, err := p.Key(context.Background(), "s1"); !errors.Is(err, ErrUnreachable) {
		t.Fatal(err)
	}
	before := f.count(jwkSet)
	for range 10 { // callers behind each other do not each wait for itsme
		if _, err := p.Key(context.Background(), "s1"); !errors.Is(err, ErrUnreachable) {
			t.Fatal(err)
		}
	}
	if f.count(jwkSet) != before {
		t.Error("asked again at once")
	}
	f.set(jwkSet, nil)
	f.sleep(failurePause)
	if _, err := p.Key(context.Background(), "s1"); err != nil {
		t.Errorf("still down: %v", err)
	}
}

func TestStartDoesNotNeedItsme(t *testing.T) {
	f := newFake(t)
	f.Close()
	p := f.provider(nil)
	c, err := NewClient(p, ClientConfig{ID: "c", Service: "S", RedirectURI: "https://rp.test/cb"}, rsaKeys()[3])
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.AuthorizationURL(context.Background(), request(f.Now())); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	if _, err := c.Exchange(context.Background(), "code", "verifier", nil); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	if err := p.Check(context.Background()); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
}

func request(now time.Time) AuthRequest {
	return AuthRequest{State: "s", Nonce: "n", CodeChallenge: strings.Repeat("c", 43), Language: "en", JTI: "j", Issued: now, Expires: now.Add(time.Minute)}
}

func TestBadDiscovery(t *testing.T) {
	outside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	t.Cleanup(outside.Close)
	const path = "/v2/.well-known/openid-configuration"
	for name, break_ := range map[string]func(f *fake){
		"other issuer":     func(f *fake) { f.discovery = func(d map[string]string) { d["issuer"] = outside.URL + "/v2" } },
		"slash at the end": func(f *fake) { f.discovery = func(d map[string]string) { d["issuer"] += "/" } },
		"jwks elsewhere":   func(f *fake) { f.discovery = func(d map[string]string) { d["jwks_uri"] = outside.URL + "/jwkSet" } },
		"token elsewhere":  func(f *fake) { f.discovery = func(d map[string]string) { d["token_endpoint"] = outside.URL } },
		"authorization": func(f *fake) {
			f.discovery = func(d map[string]string) { d["authorization_endpoint"] = "javascript:alert(1)" }
		},
		"user in the address": func(f *fake) {
			f.discovery = func(d map[string]string) { d["token_endpoint"] = strings.Replace(f.URL, "//", "//a@", 1) }
		},
		"endpoint missing": func(f *fake) { f.discovery = func(d map[string]string) { delete(d, "jwks_uri") } },
		"not JSON": func(f *fake) {
			f.set(path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
		},
		"duplicate member": func(f *fake) {
			f.set(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"jwks_uri":%q,"authorization_endpoint":%[1]q,"token_endpoint":%[1]q}`, f.URL+"/v2", outside.URL, f.URL+"/v2/jwkSet")
			})
		},
		"404": func(f *fake) { f.set(path, http.NotFound) },
		"redirect": func(f *fake) {
			f.set(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, outside.URL, http.StatusFound) })
		},
		"oversized": func(f *fake) { f.set(path, endless) },
		"announced size": func(f *fake) {
			f.set(path, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(1<<30))
				_, _ = w.Write([]byte("{"))
			})
		},
		"slow":         func(f *fake) { f.set(path, slow) },
		"jwks slow":    func(f *fake) { f.set(jwkSet, slow) },
		"jwks endless": func(f *fake) { f.set(jwkSet, endless) },
		"jwks redirect": func(f *fake) {
			f.set(jwkSet, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, outside.URL, http.StatusFound) })
		},
		"jwks empty":               func(f *fake) { f.setKeys() },
		"jwks without signing key": func(f *fake) { f.setKeys(f.keys.Keys[1]) },
		"one kid twice": func(f *fake) {
			f.setKeys(f.keys.Keys[0], PublicKey(&rsaKeys()[2].PublicKey, "s1", "sig"))
		},
		"too many keys": func(f *fake) {
			var many []jose.JSONWebKey
			for i := range 65 {
				many = append(many, PublicKey(&rsaKeys()[0].PublicKey, fmt.Sprint("s", i), "sig"))
			}
			f.setKeys(many...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			break_(f)
			start := time.Now()
			_, err := f.provider(nil).Key(context.Background(), "s1")
			if !errors.Is(err, ErrUnreachable) || errors.Is(err, token.ErrUnknownKey) {
				t.Errorf("%v", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("a foreign body is in the error: %.400s", err)
			}
		})
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"x":"`))
	for range 1 << 16 {
		if _, err := w.Write([]byte(strings.Repeat("a", 1024))); err != nil {
			return
		}
	}
}

// slow sends its head and then one byte at a time, for as long as it is let.
func slow(w http.ResponseWriter, r *http.Request) {
	for {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
			_, _ = w.Write([]byte(" "))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func TestKeySetTakesOnlyUsableKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	odd := rsaKeys()[2].PublicKey
	odd.E = 3
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		PublicKey(&rsaKeys()[0].PublicKey, "s1", "sig"), PublicKey(&small.PublicKey, "small", "sig"), PublicKey(&odd, "odd", "sig"),
		{Key: []byte("secret"), KeyID: "oct", Use: "sig"}, {Key: rsaKeys()[2], KeyID: "private", Use: "sig"},
		{Key: &rsaKeys()[2].PublicKey, KeyID: "rs512", Use: "sig", Algorithm: "RS512"}, {Key: &rsaKeys()[2].PublicKey, Use: "sig"},
		PublicKey(&rsaKeys()[1].PublicKey, "e1", "enc"), {Key: &rsaKeys()[2].PublicKey, KeyID: "oaep1", Use: "enc", Algorithm: "RSA-OAEP"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := readKeySet([]byte(strings.Replace(string(body), `{"keys":[`, `{"keys":[{"kty":"new kind","kid":"x"},`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := set.Signing["s1"]; !ok || len(set.Signing) != 1 || set.Encryption == nil || set.Encryption.KeyID != "e1" {
		t.Errorf("%v %v", set.Signing, set.Encryption)
	}
}

func TestConfigValidate(t *testing.T) {
	good := Config{Issuer: "https://idp.e2e.itsme.services/v2", Now: time.Now}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no issuer": func(c *Config) { c.Issuer = "" }, "http": func(c *Config) { c.Issuer = "http://idp.e2e.itsme.services/v2" },
		"slash": func(c *Config) { c.Issuer += "/" }, "query": func(c *Config) { c.Issuer += "?x" }, "fragment": func(c *Config) { c.Issuer += "#" },
		"user": func(c *Config) { c.Issuer = "https://u@idp.test/v2" }, "ftp": func(c *Config) { c.Issuer = "ftp://127.0.0.1/v2" },
		"localhost lookalike": func(c *Config) { c.Issuer = "http://localhost.evil.test/v2" },
		"no clock":            func(c *Config) { c.Now = nil }, "keys too old": func(c *Config) { c.KeysAge = MaxKeysAge + 1 }, "timeout": func(c *Config) { c.Timeout = -1 },
		"no CA file": func(c *Config) { c.CAFile = filepath.Join(dir, "none") }, "empty CA file": func(c *Config) { c.CAFile = empty },
		"production on loopback": func(c *Config) { c.Production, c.Issuer = true, "https://127.0.0.1/v2" },
		"production below .test": func(c *Config) { c.Production, c.Issuer = true, "https://idp.sandbox.test/v2" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: taken", name)
		}
		if _, err := NewProvider(c, nil).Key(context.Background(), "s1"); err == nil {
			t.Errorf("%s: used", name)
		}
	}
	for _, issuer := range []string{"http://127.0.0.1:1/v2", "http://[::1]:1/v2", "http://localhost:1/v2"} {
		if err := (Config{Issuer: issuer, Now: time.Now}).Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestTLSNeedsTheConfiguredCA(t *testing.T) {
	inner := newFake(t)
	outer := httptest.NewTLSServer(http.HandlerFunc(inner.serve))
	t.Cleanup(outer.Close)
	inner.discovery = func(d map[string]string) {
		for k, v := range d {
			d[k] = strings.Replace(v, inner.URL, outer.URL, 1)
		}
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: outer.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Issuer: outer.URL + "/v2", CAFile: ca, Now: inner.Now}
	if err := NewProvider(cfg, &http.Client{Transport: &http.Transport{}}).Check(context.Background()); err != nil {
		t.Error(err)
	}
	cfg.CAFile = ""
	if err := NewProvider(cfg, nil).Check(context.Background()); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
}

func TestConcurrentCallersShareOneFetch(t *testing.T) {
	f := newFake(t)
	p := f.provider(nil)
	var bad atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := p.Key(context.Background(), "s1"); err != nil {
				bad.Add(1)
			}
		})
	}
	wg.Wait()
	if bad.Load() != 0 || f.count(jwkSet) != 1 {
		t.Error(bad.Load(), f.count(jwkSet))
	}
}
