package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/strictjson"
)

// maxForeign bounds what is fetched from a partner, in bytes: a key set or a
// request object.
const maxForeign = 64 << 10

// slowHost is the answering time of a partner's host beyond which itsme
// complains (JOSE appendix; SB-08).
const slowHost = time.Second

// CheckClientJWKS applies itsme's rules for a partner's key set (SB-03): JSON,
// at least one "sig" and one "enc" RSA key, each with kid, e = AQAB, 2048 bits
// or more, and no private member anywhere.
func CheckClientJWKS(body []byte) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	var raw struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := strictjson.DecodeLoose(body, maxForeign, &raw); err != nil {
		return set, fmt.Errorf("key set: %w", err)
	}
	uses := map[string]int{}
	for _, k := range raw.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, ok := k[private]; ok {
				return set, errors.New("key set: holds a private member")
			}
		}
		if string(k["kty"]) != `"RSA"` || string(k["e"]) != `"AQAB"` {
			return set, errors.New(`key set: only RSA keys with the exponent "AQAB"`)
		}
		b, err := json.Marshal(k)
		if err != nil {
			return set, errors.New("key set: not readable")
		}
		var key jose.JSONWebKey
		if json.Unmarshal(b, &key) != nil {
			return set, errors.New("key set: a key is not readable")
		}
		pub, ok := key.Key.(*rsa.PublicKey)
		if !ok || pub.N.BitLen() < 2048 || key.KeyID == "" {
			return set, errors.New("key set: a key needs a kid and 2048 bits or more")
		}
		uses[key.Use]++
		set.Keys = append(set.Keys, key)
	}
	if uses["sig"] == 0 || uses["enc"] == 0 {
		return set, errors.New(`key set: needs one key with use "sig" and one with use "enc"`)
	}
	return set, nil
}

// partnerKeys fetches and keeps the key sets of partners.
type partnerKeys struct {
	http  *http.Client
	now   func() time.Time
	warn  func(format string, args ...any)
	mu    sync.Mutex
	cache map[string]cachedSet
}

type cachedSet struct {
	set   jose.JSONWebKeySet
	until time.Time
}

func partnerHTTP(caFile string) (*http.Client, error) {
	t := &http.Transport{TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 16 << 10, IdleConnTimeout: 30 * time.Second}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("sandbox: rp_ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("sandbox: rp_ca_file holds no certificate")
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport: t, Timeout: 5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// get fetches a document of a partner, and warns of what real itsme would mind
// (SB-08).
func (k *partnerKeys) get(ctx context.Context, target string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, nil, err
	}
	start := k.now()
	resp, err := k.http.Do(req)
	if err != nil {
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			k.warn("%s: the certificate is outside the configured trust; real itsme needs an OV or EV certificate", hostOf(target))
		}
		return nil, nil, fmt.Errorf("fetch from %s failed", hostOf(target))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxForeign+1))
	if err != nil || len(body) > maxForeign || resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("fetch from %s: status %d, or longer than %d bytes, or broken off", hostOf(target), resp.StatusCode, maxForeign)
	}
	if took := k.now().Sub(start); took > slowHost {
		k.warn("%s answered after %v; itsme asks for less than %v", hostOf(target), took.Round(time.Millisecond), slowHost)
	}
	if req.URL.Scheme != "https" {
		k.warn("%s is not https; real itsme needs https with an OV or EV certificate", hostOf(target))
	} else {
		k.warn("%s: real itsme needs an OV or EV certificate here", hostOf(target))
	}
	return body, resp.Header, nil
}

func hostOf(target string) string {
	if u, err := url.Parse(target); err == nil {
		return u.Host
	}
	return "partner"
}

// set returns a partner's keys; with real set they are kept for max-age within
// 30 minutes and 24 hours, else fetched every time (SB-04).
func (k *partnerKeys) set(ctx context.Context, c *ClientRegistration, real bool) (jose.JSONWebKeySet, error) {
	k.mu.Lock()
	cached, ok := k.cache[c.ID]
	k.mu.Unlock()
	if ok && real && k.now().Before(cached.until) {
		return cached.set, nil
	}
	body, header, err := k.get(ctx, c.JWKSURL)
	if err != nil {
		return jose.JSONWebKeySet{}, err
	}
	set, err := CheckClientJWKS(body)
	if err != nil {
		return set, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cache[c.ID] = cachedSet{set, k.now().Add(clampAge(header.Get("Cache-Control")))}
	return set, nil
}

func clampAge(cacheControl string) time.Duration {
	age := 24 * time.Hour
	for directive := range strings.SplitSeq(cacheControl, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(strings.ToLower(directive)), "max-age="); ok {
			if n, err := strconv.Atoi(v); err == nil && n < 1<<30 {
				age = time.Duration(n) * time.Second
			}
		}
	}
	return min(max(age, 30*time.Minute), 24*time.Hour)
}

// encryptionKey picks one of the partner's keys at random, as itsme does
// (SB-05).
func (k *partnerKeys) encryptionKey(ctx context.Context, c *ClientRegistration, real bool) (jose.JSONWebKey, error) {
	set, err := k.set(ctx, c, real)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	var usable []jose.JSONWebKey
	for _, key := range set.Keys {
		if key.Use == "enc" {
			usable = append(usable, key)
		}
	}
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(usable))))
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	return usable[n.Int64()], nil
}

// signingKey is the partner's key with that kid.
func (k *partnerKeys) signingKey(ctx context.Context, c *ClientRegistration, kid string, real bool) (jose.JSONWebKey, error) {
	set, err := k.set(ctx, c, real)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	for _, key := range set.Keys {
		if key.Use == "sig" && key.KeyID == kid && kid != "" {
			return key, nil
		}
	}
	return jose.JSONWebKey{}, errors.New("no signing key with that kid")
}
