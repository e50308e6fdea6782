package itsme

import (
	"context"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Snapshot is the issuer's key set as it was fetched: evidence of which key
// was believed.
type Snapshot struct {
	URL  string
	At   time.Time // taken before the set was asked for
	Body []byte    // the answer, byte for byte; not to be changed
}

// Recorder gives the provider's keys and remembers the set that the last one
// came out of: between the verification of a token and a later question the
// Provider may have fetched another set. Use a new one for each token. It
// implements token.Keys.
type Recorder struct {
	p    *Provider
	mu   sync.Mutex
	last Snapshot
}

// Record makes a Recorder.
func (p *Provider) Record() *Recorder { return &Recorder{p: p} }

// Key is Provider.Key.
func (r *Recorder) Key(ctx context.Context, kid string) (*jose.JSONWebKey, error) {
	key, set, err := r.p.key(ctx, kid)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = Snapshot{URL: set.url, At: set.at, Body: set.body}
	return key, nil
}

// Snapshot is the set of the last key that was found; zero before the first.
func (r *Recorder) Snapshot() Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}
