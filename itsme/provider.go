package itsme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/time/rate"

	"tekend/itsme/token"
	"tekend/strictjson"
)

// ErrUnreachable wraps every error that means "itsme did not give a usable
// answer": no connection, timeout, 5xx, too long, not understood. It may work
// later; what was asked may or may not have happened.
var ErrUnreachable = errors.New("itsme is unreachable")

// discoveryAge is how long a discovery document is used. Its endpoints are
// pinned to the issuer's host, so age is not a danger; an old one goes on
// being used while a new one cannot be had.
const discoveryAge = time.Hour

// failurePause is how long a failed fetch answers for the next ones, so that
// many waiting callers do not each wait for a timeout.
const failurePause = 2 * time.Second

// A new kid may cause a fetch before the keys are old, but a stranger who
// sends tokens with invented kids must not make us flood itsme: three at once,
// then one every 20 seconds.
const (
	refetchEvery = 20 * time.Second
	refetchBurst = 3
)

// Endpoints are the parts of itsme's discovery document that are used. All lie
// on the issuer's scheme, host and port.
type Endpoints struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	JWKS          string `json:"jwks_uri"`
}

// Provider knows itsme's endpoints and keys. It fetches them when they are
// first needed. It implements token.Keys and may be used concurrently.
type Provider struct {
	cfg    Config
	http   *http.Client
	issuer *url.URL
	broken error // why the configuration cannot be used

	mu           sync.Mutex // guards all below, held during a fetch
	endpoints    *Endpoints
	discoveredAt time.Time
	keys         *keySet
	failedAt     time.Time
	failure      error
	refetch      *rate.Limiter
}

// NewProvider makes a Provider; hc may be nil. It sends nothing. A
// configuration that Config.Validate refuses makes every call fail.
func NewProvider(cfg Config, hc *http.Client) *Provider {
	p := &Provider{cfg: cfg, refetch: rate.NewLimiter(rate.Every(refetchEvery), refetchBurst)}
	if p.broken = cfg.Validate(); p.broken != nil {
		return p
	}
	p.issuer, p.broken = cfg.issuer()
	if p.broken == nil {
		p.http, p.broken = cfg.httpClient(hc)
	}
	return p
}

// Issuer is the configured issuer, the iss of every token.
func (p *Provider) Issuer() string { return p.cfg.Issuer }

// Check fetches discovery and keys now and says what is wrong with them; for
// `config check`. Not called at start.
func (p *Provider) Check(ctx context.Context) error {
	if _, err := p.Endpoints(ctx); err != nil {
		return err
	}
	_, err := p.encryptionKey(ctx)
	return err
}

// Endpoints returns itsme's endpoints, at most an hour old if itsme answers.
func (p *Provider) Endpoints(ctx context.Context) (Endpoints, error) {
	if p.broken != nil {
		return Endpoints{}, p.broken
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.discover(ctx)
}

// Key implements token.Keys: the issuer's signing key with that kid out of a
// set that is at most 10 minutes old. A kid that a fresh set does not hold is
// token.ErrUnknownKey at once, after at most one fetch.
func (p *Provider) Key(ctx context.Context, kid string) (*jose.JSONWebKey, error) {
	key, _, err := p.key(ctx, kid)
	return key, err
}

// key is Key and gives the set that the key is of.
func (p *Provider) key(ctx context.Context, kid string) (*jose.JSONWebKey, *keySet, error) {
	if p.broken != nil {
		return nil, nil, p.broken
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	set, fetched, err := p.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	key, ok := set.Signing[kid]
	if !ok && !fetched && p.refetch.AllowN(p.cfg.Now(), 1) {
		if set, err = p.fetchKeys(ctx); err != nil {
			return nil, nil, err
		}
		key, ok = set.Signing[kid]
	}
	if !ok {
		return nil, nil, token.ErrUnknownKey
	}
	return &key, set, nil
}

// encryptionKey is the key of itsme to which request objects are encrypted.
func (p *Provider) encryptionKey(ctx context.Context) (*jose.JSONWebKey, error) {
	if p.broken != nil {
		return nil, p.broken
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	set, _, err := p.current(ctx)
	if err != nil {
		return nil, err
	}
	if set.Encryption == nil {
		return nil, fmt.Errorf("%w: its key set holds no usable encryption key", ErrUnreachable)
	}
	return set.Encryption, nil
}

// current returns a fresh key set and whether it was fetched just now. Old
// keys are never used, even when itsme is down.
func (p *Provider) current(ctx context.Context) (set *keySet, fetched bool, err error) {
	now := p.cfg.Now()
	if p.keys != nil {
		if age := now.Sub(p.keys.at); age >= 0 && age < p.cfg.keysAge() {
			return p.keys, false, nil
		}
	}
	set, err = p.fetchKeys(ctx)
	return set, true, err
}

func (p *Provider) fetchKeys(ctx context.Context) (*keySet, error) {
	at := p.cfg.Now() // before the request: age counts from what itsme then knew
	ends, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.recentFailure(); err != nil {
		return nil, err
	}
	body, err := p.get(ctx, ends.JWKS)
	if err != nil {
		return nil, p.failed(fmt.Errorf("fetch keys: %w", err))
	}
	set, err := readKeySet(body)
	if err != nil {
		return nil, p.failed(fmt.Errorf("%w: key set: %w", ErrUnreachable, err))
	}
	set.at, set.url, set.body = at, ends.JWKS, body
	p.keys = set
	return set, nil
}

// get fetches a small document of itsme.
func (p *Provider) get(ctx context.Context, target string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return readAnswer(resp)
}

func (p *Provider) recentFailure() error {
	since := p.cfg.Now().Sub(p.failedAt)
	if p.failure != nil && since >= 0 && since < failurePause {
		return p.failure
	}
	p.failure = nil
	return nil
}

func (p *Provider) failed(err error) error {
	// A caller who gave up says nothing about itsme.
	if !errors.Is(err, context.Canceled) {
		p.failedAt, p.failure = p.cfg.Now(), err
	}
	return err
}

func (p *Provider) discover(ctx context.Context) (Endpoints, error) {
	age := p.cfg.Now().Sub(p.discoveredAt)
	if p.endpoints != nil && age >= 0 && age < discoveryAge {
		return *p.endpoints, nil
	}
	err := p.recentFailure()
	if err == nil {
		var ends Endpoints
		if ends, err = p.fetchDiscovery(ctx); err == nil {
			p.endpoints, p.discoveredAt = &ends, p.cfg.Now()
		} else {
			err = p.failed(err)
		}
	}
	if p.endpoints != nil {
		return *p.endpoints, nil
	}
	return Endpoints{}, err
}

func (p *Provider) fetchDiscovery(ctx context.Context) (Endpoints, error) {
	var ends Endpoints
	doc, err := oidc.NewProvider(oidc.ClientContext(ctx, p.http), p.cfg.Issuer)
	if err != nil {
		return ends, discoveryError(err)
	}
	var raw json.RawMessage
	if err := doc.Claims(&raw); err != nil {
		return ends, fmt.Errorf("%w: discovery document: not readable", ErrUnreachable)
	}
	if err := strictjson.DecodeLoose(raw, maxAnswer, &ends); err != nil {
		return ends, fmt.Errorf("%w: discovery document: %w", ErrUnreachable, err)
	}
	if ends.Issuer != p.cfg.Issuer {
		return ends, fmt.Errorf("%w: discovery document: another issuer", ErrUnreachable)
	}
	for name, end := range map[string]string{"authorization_endpoint": ends.Authorization, "token_endpoint": ends.Token, "jwks_uri": ends.JWKS} {
		if err := p.onHost(end); err != nil {
			return ends, fmt.Errorf("%w: discovery document: %s %w", ErrUnreachable, name, err)
		}
	}
	return ends, nil
}

// discoveryError leaves out what itsme's server wrote: go-oidc puts whole
// bodies into its errors.
func discoveryError(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("fetch discovery: %w: %w", ErrUnreachable, ue)
	}
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("fetch discovery: %w: %w", ErrUnreachable, errTooLong)
	}
	if _, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return fmt.Errorf("%w: discovery document: another issuer", ErrUnreachable)
	}
	return fmt.Errorf("fetch discovery: %w: not a discovery document", ErrUnreachable)
}

// onHost refuses an endpoint that is not on the issuer's own scheme, host and
// port: that host is the trusted side's only outgoing connection.
func (p *Provider) onHost(end string) error {
	u, err := url.Parse(end)
	if err != nil || end == "" {
		return errors.New("is missing or not a URL")
	}
	if u.Scheme != p.issuer.Scheme || u.Host != p.issuer.Host || u.User != nil || u.Fragment != "" {
		return errors.New("lies outside the configured host")
	}
	return nil
}
