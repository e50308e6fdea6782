package sandbox_test

import (
	"context"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/itsme/token"
)

func TestSB01Discovery(t *testing.T) {
	w := newWorld(t, nil)
	resp, body := w.get("/v2/.well-known/openid-configuration")
	var doc map[string]any
	if err := json.Unmarshal([]byte(body), &doc); err != nil || resp.StatusCode != 200 {
		t.Fatal(err, resp.StatusCode)
	}
	if doc["issuer"] != w.web.URL+"/v2" {
		t.Error(doc["issuer"])
	}
	// It promises only what is there.
	for name, v := range doc {
		if u, ok := v.(string); ok && strings.HasPrefix(u, "http") && name != "issuer" {
			if resp, _ := w.get(u); resp.StatusCode == http.StatusNotFound {
				t.Errorf("%s is not there", name)
			}
		}
	}
}

func TestSB02KeySet(t *testing.T) {
	w := newWorld(t, nil)
	_, body := w.get("/v2/jwkSet")
	if strings.Contains(body, `"d"`) || strings.Contains(body, `"p"`) {
		t.Error("private members")
	}
	if _, err := sandbox.CheckClientJWKS([]byte(body)); err != nil {
		t.Error(err) // the same rules hold for both sides
	}
	if !strings.Contains(body, `"e":"AQAB"`) {
		t.Error("exponent")
	}
}

func TestSB03RegistrationChecksTheKeySet(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.op.CheckRegistration(context.Background(), confirmID); err != nil {
		t.Fatal(err)
	}
	k := rpKeys()
	sig, enc := itsme.PublicKey(&k[0].PublicKey, "s1", "sig"), itsme.PublicKey(&k[1].PublicKey, "e1", "enc")
	small := k[0].PublicKey
	small.N = new(big.Int).Rsh(small.N, 1)
	odd := k[1].PublicKey
	odd.E = 3
	sets := map[string]any{
		"no enc": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{sig}},
		"no sig": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{enc}},
		"small":  jose.JSONWebKeySet{Keys: []jose.JSONWebKey{itsme.PublicKey(&small, "s1", "sig"), enc}},
		"e=3":    jose.JSONWebKeySet{Keys: []jose.JSONWebKey{sig, itsme.PublicKey(&odd, "e1", "enc")}},
		"d":      jose.JSONWebKeySet{Keys: []jose.JSONWebKey{sig, enc, {Key: k[2], KeyID: "s2", Use: "sig"}}},
		"empty":  "", "html": "<html>",
	}
	for name, set := range sets {
		w.serve("/jwks", set)
		if err := w.op.CheckRegistration(context.Background(), confirmID); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestSB04PartnerKeysAreCachedOnlyWithTheSwitch(t *testing.T) {
	for _, test := range []struct {
		header string
		fresh  time.Duration // still cached
		stale  time.Duration // fetched anew
	}{
		{"max-age=60", 29 * time.Minute, 31 * time.Minute},
		{"max-age=3600", 59 * time.Minute, 61 * time.Minute},
		{"max-age=999999", 23 * time.Hour, 25 * time.Hour},
	} {
		w := newWorld(t, func(c *sandbox.Config) { c.Switches.RealJWKSCache = true })
		w.header.Set("Cache-Control", test.header)
		sign := func() { w.must(w.ask(w.confirm, nil).auto("approve")) }
		sign()
		if n := w.hitsOf("/jwks"); n != 1 {
			t.Errorf("%s: %d fetches", test.header, n)
		}
		w.clock.Add(test.fresh)
		sign()
		if n := w.hitsOf("/jwks"); n != 1 {
			t.Errorf("%s: fetched after %v", test.header, test.fresh)
		}
		w.clock.Add(test.stale - test.fresh)
		sign()
		if n := w.hitsOf("/jwks"); n != 2 {
			t.Errorf("%s: %d fetches after %v", test.header, n, test.stale)
		}
	}
	w := newWorld(t, nil)
	w.must(w.ask(w.confirm, nil).auto("approve"))
	if n := w.hitsOf("/jwks"); n != 3 { // request object, assertion, encryption
		t.Errorf("%d fetches", n)
	}
}

func TestSB05RandomEncryptionKey(t *testing.T) {
	w := newWorld(t, nil)
	k := rpKeys()
	set := itsme.PublicJWKS(&k[0].PublicKey, &k[1].PublicKey, "s1", "e1")
	set.Keys = append(set.Keys, itsme.PublicKey(&k[3].PublicKey, "e2", "enc"))
	w.serve("/jwks", set)
	used := map[string]int{}
	for range 64 {
		raw, err := w.exchange(w.ask(w.ident, nil).auto("approve"))
		if err != nil {
			t.Fatal(err)
		}
		obj, err := jose.ParseEncryptedCompact(raw, []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A128CBC_HS256})
		if err != nil {
			t.Fatal(err)
		}
		used[obj.Header.KeyID]++
		if _, err := token.Decrypt(raw, decryptionKeys()); err != nil {
			t.Fatal(err)
		}
	}
	if used["e1"] == 0 || used["e2"] == 0 || len(used) != 2 {
		t.Error(used)
	}
}

func TestSB06WithoutKIDAllKeysAreTried(t *testing.T) {
	w := newWorld(t, func(c *sandbox.Config) { c.Switches.OmitJWEKID = true })
	a := w.ask(w.confirm, nil).auto("approve")
	raw, err := w.exchange(a)
	if err != nil {
		t.Fatal(err)
	}
	obj, err := jose.ParseEncryptedCompact(raw, []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A128CBC_HS256})
	if err != nil || obj.Header.KeyID != "" {
		t.Fatal(err, obj.Header.KeyID)
	}
	keys := decryptionKeys()
	slices.Reverse(keys) // the right one is not the first
	if _, err := token.Decrypt(raw, keys); err != nil {
		t.Error(err)
	}
}

func TestSB07Algorithms(t *testing.T) {
	for _, alg := range []string{"", "RSA-OAEP-256", "RSA-OAEP"} {
		for _, enc := range []string{"", "A128CBC-HS256", "A256GCM"} {
			w := newWorld(t, func(c *sandbox.Config) { c.Switches.JWEAlg, c.Switches.JWEEnc = alg, enc })
			raw, err := w.exchange(w.ask(w.ident, nil).auto("approve"))
			if err != nil {
				t.Fatal(err)
			}
			wantAlg, wantEnc := jose.RSA_OAEP_256, jose.A128CBC_HS256
			if alg != "" {
				wantAlg = jose.KeyAlgorithm(alg)
			}
			if enc != "" {
				wantEnc = jose.ContentEncryption(enc)
			}
			if _, err := jose.ParseEncryptedCompact(raw, []jose.KeyAlgorithm{wantAlg}, []jose.ContentEncryption{wantEnc}); err != nil {
				t.Errorf("%s %s: %v", alg, enc, err)
			}
			_, strict := token.Decrypt(raw, decryptionKeys())
			_, older := token.DecryptOlder(raw, decryptionKeys())
			if older != nil || (strict != nil) != (alg == "RSA-OAEP") {
				t.Errorf("%s %s: %v %v", alg, enc, strict, older)
			}
		}
	}
	if _, err := sandbox.New(sandbox.Config{Now: time.Now, Issuer: "http://127.0.0.1:1/v2", Switches: sandbox.Switches{JWEAlg: "dir"}}); err == nil {
		t.Error("dir was taken")
	}
}

func TestSB08WarningsAboutThePartnersHost(t *testing.T) {
	w := newWorld(t, nil)
	w.must(w.ask(w.ident, nil).auto("approve"))
	if all := strings.Join(w.op.Warnings(), "\n"); !strings.Contains(all, "is not https") || strings.Contains(all, "answered after") {
		t.Error(all)
	}
	w.delay = 1500 * time.Millisecond
	w.must(w.ask(w.ident, nil).auto("approve"))
	if all := strings.Join(w.op.Warnings(), "\n"); !strings.Contains(all, "answered after 1.5s") {
		t.Error(all)
	}
	stranger := httptest.NewTLSServer(http.HandlerFunc(w.serveRP))
	t.Cleanup(stranger.Close)
	w2 := newWorld(t, func(c *sandbox.Config) { c.Clients[1].JWKSURL = stranger.URL + "/jwks" })
	if _, err := w2.exchange(w2.plain("IDENT", "sandbox_person", "approve")); err == nil {
		t.Error("a key set from an unknown certificate was used")
	}
	_, body := w2.get("/sandbox/warnings")
	if !strings.Contains(body, "outside the configured trust") {
		t.Error(body)
	}
}

func TestSB80AdminAPIOrdersTheNextOutcome(t *testing.T) {
	w := newWorld(t, nil)
	next := func(outcome, client string) {
		t.Helper()
		if resp, body := w.postJSON("/sandbox/next", map[string]string{"outcome": outcome, "client": client}); resp.StatusCode != http.StatusNoContent {
			t.Fatalf("%s: %d %s", outcome, resp.StatusCode, body)
		}
	}
	for outcome, code := range map[string]string{"refuse": "access_denied", "expire": "access_denied", "blocked": "access_denied", "error": "temporary_unavailable"} {
		next(outcome, "")
		w.wantError(w.ask(w.confirm, nil).with("sandbox_auto", "1"), code)
	}
	next("call", confirmID)
	if id := w.must(w.ask(w.ident, nil).auto("approve")); *id.Claims.OngoingCall {
		t.Error("the order for one client reached another")
	}
	if id := w.must(w.ask(w.confirm, nil).auto("approve")); !*id.Claims.OngoingCall {
		t.Error("no ongoing call")
	}
	next("approve", "")
	w.must(w.ask(w.confirm, nil).auto("refuse"))
	next("slow", "")
	w.must(w.ask(w.confirm, nil).auto("approve"))
	for _, defect := range sandbox.Defects() {
		next(defect, "")
		a := w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = w.op.Sub("approve", confirmID) })
		if _, err := w.finish(a.with("sandbox_auto", "1")); err == nil {
			t.Errorf("%s: accepted", defect)
		}
	}
	w.must(w.ask(w.confirm, nil).auto("approve")) // orders are used up
	for _, bad := range []map[string]string{{"outcome": "explode"}, {"outcome": "refuse", "client": "nobody"}, {"outcome": "refuse", "Outcome": "approve"}, {"unknown": "x"}} {
		if resp, _ := w.postJSON("/sandbox/next", bad); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%v: %d", bad, resp.StatusCode)
		}
	}
	// A page of another site cannot order anything.
	resp, _ := w.do(http.MethodPost, "/sandbox/next", strings.NewReader(`{"outcome":"refuse"}`), "Content-Type", "text/plain")
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Error(resp.StatusCode)
	}
	resp, _ = w.do(http.MethodPost, "/sandbox/next", strings.NewReader(`{"outcome":"refuse"}`), "Content-Type", "application/json", "Origin", "https://evil.test")
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Error(resp.StatusCode)
	}
}

func TestSB82Deviations(t *testing.T) {
	w := newWorld(t, nil)
	resp, body := w.get("/sandbox/deviations")
	if resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode)
	}
	for _, must := range append(append(sandbox.People(), sandbox.Defects()...), "sandbox_person", "sandbox_auto", "sandbox_defect", "other-person identifies", "CIBA") {
		if !strings.Contains(body, must) {
			t.Errorf("%s is not on the page", must)
		}
	}
	_, body = w.get("/sandbox/deviations", "Accept", "application/json")
	var list []map[string]string
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) < 15 {
		t.Error(err, len(list))
	}
}

func TestSB83OnlyThisMachine(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:0": true, "127.9.9.9:80": true, "[::1]:443": true, "localhost:1": true,
		":0": false, "0.0.0.0:80": false, "[::]:80": false, "192.168.1.2:80": false, "example.com:80": false, "127.0.0.1": false, "127.0.0.1.example.com:1": false,
	} {
		if err := sandbox.CheckListen(addr); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
	good := func() sandbox.Config {
		return sandbox.Config{Now: time.Now, Listen: "127.0.0.1:1", Issuer: "http://127.0.0.1:1/v2", StateFile: stateFile(t), Clients: []sandbox.ClientRegistration{
			{ID: "c", RedirectURIs: []string{"https://rp.test/cb"}, Services: map[string]sandbox.ServiceType{"S": sandbox.Confirmation}}}}
	}
	if _, err := sandbox.New(good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*sandbox.Config){
		"listen":          func(c *sandbox.Config) { c.Listen = "0.0.0.0:1" },
		"issuer":          func(c *sandbox.Config) { c.Issuer = "https://idp.prd.itsme.services/v2" },
		"issuer path":     func(c *sandbox.Config) { c.Issuer = "http://127.0.0.1:1/v2/" },
		"redirect":        func(c *sandbox.Config) { c.Clients[0].RedirectURIs = []string{"https://shop.example.com/cb"} },
		"plain redirect":  func(c *sandbox.Config) { c.Clients[0].RedirectURIs = []string{"http://rp.test/cb"} },
		"custom scheme":   func(c *sandbox.Config) { c.Clients[0].RedirectURIs = []string{"app://rp.test/cb"} },
		"fragment":        func(c *sandbox.Config) { c.Clients[0].RedirectURIs = []string{"https://rp.test/cb#x"} },
		"no service":      func(c *sandbox.Config) { c.Clients[0].Services = nil },
		"unknown service": func(c *sandbox.Config) { c.Clients[0].Services["S"] = "Sign" },
		"no clock":        func(c *sandbox.Config) { c.Now = nil },
		"twice":           func(c *sandbox.Config) { c.Clients = append(c.Clients, c.Clients[0]) },
	} {
		c := good()
		change(&c)
		if _, err := sandbox.New(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	w := newWorld(t, nil)
	req := httptest.NewRequest(http.MethodGet, "http://evil.test/sandbox/deviations", nil)
	rec := httptest.NewRecorder()
	w.op.Handler().ServeHTTP(rec, req)
	if rec.Code != http.StatusMisdirectedRequest {
		t.Errorf("foreign Host: %d", rec.Code)
	}
}

func TestStateFileSurvivesAndIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	cfg := sandbox.Config{Now: time.Now, Issuer: "http://127.0.0.1:1/v2", StateFile: path}
	one, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(err, info.Mode())
	}
	two, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if one.Sub("approve", "c") != two.Sub("approve", "c") {
		t.Error("another sub after a restart")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.New(cfg); err == nil {
		t.Error("a state file that others can read was used")
	}
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(path, 0o600)
	if _, err := sandbox.New(cfg); err == nil {
		t.Error("an empty state file was used")
	}
}
