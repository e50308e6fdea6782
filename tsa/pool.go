package tsa

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Member is one authority of a pool.
type Member struct {
	Name   string // for errors and health; stands in logs
	Client *Client
}

// PoolConfig says how long a pool tries, and when it leaves an authority alone.
type PoolConfig struct {
	// Budget bounds one call over all authorities; each gets its share of what is left, and at most its client's own
	// timeout. Default 20 s.
	Budget time.Duration
	// Trip is how many failures in a row make the pool leave an authority alone. Default 3. A token that does not verify
	// does so at once.
	Trip int
	// Rest is for how long, at first; each failure after it doubles it, up to a minute. Default 1 s.
	Rest time.Duration
	// Now is the clock. Required.
	Now func() time.Time
}

const longestRest = time.Minute

// Pool asks one authority after the other, in the order given, until one has
// stamped. It has the methods of a [Client], and may be used concurrently.
type Pool struct {
	cfg     PoolConfig
	members []*member
}

// member is an authority and its circuit breaker.
type member struct {
	Member

	mu     sync.Mutex
	failed int           // failures in a row
	rest   time.Duration // the last pause, 0: none since it worked
	until  time.Time     // it is left alone until then
	probe  bool          // after a pause, one request tries whether it works again
	last   error
}

// NewPool makes a pool of at least one member.
func NewPool(cfg PoolConfig, members ...Member) (*Pool, error) {
	if len(members) == 0 || cfg.Now == nil {
		return nil, errors.New("tsa: a pool needs a member and a clock")
	}
	if cfg.Budget <= 0 {
		cfg.Budget = 20 * time.Second
	}
	if cfg.Trip <= 0 {
		cfg.Trip = 3
	}
	if cfg.Rest <= 0 {
		cfg.Rest = time.Second
	}
	p := &Pool{cfg: cfg}
	for _, m := range members {
		p.members = append(p.members, &member{Member: m})
	}
	return p, nil
}

// LearnedSize is the largest of the members': any of them may be the one.
func (p *Pool) LearnedSize() int {
	most := 0
	for _, m := range p.members {
		most = max(most, m.Client.LearnedSize())
	}
	return most
}

// Stamp gives the first good token ([Client.Stamp]). Who is left alone is not
// asked while there is another one; when all are, all are asked: there is
// nothing better to do. The error wraps those of all that were asked.
func (p *Pool) Stamp(ctx context.Context, digest []byte, h crypto.Hash) (*Token, error) {
	if len(digest) != h.Size() {
		return nil, errf(CodeImprint, "a digest of %d bytes", len(digest))
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Budget)
	defer cancel()
	begin := p.cfg.Now()
	var errs []error
	for _, anybody := range []bool{false, true} {
		for i, m := range p.members {
			if ctx.Err() != nil {
				return nil, errors.Join(append(errs, fmt.Errorf("%w: no time is left to ask %s", ErrUnreachable, m.Name))...)
			}
			if !m.admit(p.cfg.Now()) && !anybody {
				continue
			}
			left := max(p.cfg.Budget-p.cfg.Now().Sub(begin), 0)
			t, err := m.stamp(ctx, left/time.Duration(len(p.members)-i), digest, h)
			m.judge(ctx, err, p.cfg)
			if err == nil {
				return t, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
		}
		if len(errs) > 0 {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// stamp asks, within this authority's share of the time that is left.
func (m *member) stamp(ctx context.Context, share time.Duration, digest []byte, h crypto.Hash) (*Token, error) {
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	return m.Client.Stamp(ctx, digest, h)
}

// admit says whether the authority may be asked now, and takes the one place there is after a pause.
func (m *member) admit(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.rest == 0:
		return true
	case m.probe || now.Before(m.until) && m.until.Sub(now) <= m.rest: // not when the clock was set back
		return false
	}
	m.probe = true
	return true
}

// judge moves the breaker by what came of a request.
func (m *member) judge(ctx context.Context, err error, cfg PoolConfig) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probe = false
	switch {
	case err == nil || ours(err):
		m.failed, m.rest, m.last = 0, 0, nil
		return
	case errors.Is(ctx.Err(), context.Canceled): // the caller has gone; that says nothing of the authority
		return
	}
	m.failed, m.last = m.failed+1, err
	if e, ok := errors.AsType[*Error](err); ok && e.Code != CodeRejected {
		m.failed = max(m.failed, cfg.Trip) // it answered, and wrongly
	}
	if m.failed >= cfg.Trip {
		m.rest = min(max(2*m.rest, cfg.Rest), longestRest)
		m.until = cfg.Now().Add(m.rest)
	}
}

// ours tells a refusal that says more of the request than of the authority.
func ours(err error) bool {
	f, ok := errors.AsType[*Failure](err)
	return ok && slices.Contains([]FailureInfo{BadAlg, BadRequest, BadDataFormat, UnacceptedPolicy, UnacceptedExtension, AddInfoNotAvailable}, f.Info)
}

// MemberState is what health says of an authority.
type MemberState struct {
	Name  string
	Open  bool  // it is left alone at present
	Fault error // of the last request, nil when it worked
}

// States tells how the authorities do, in their order.
func (p *Pool) States() (all []MemberState) {
	now := p.cfg.Now()
	for _, m := range p.members {
		m.mu.Lock()
		all = append(all, MemberState{m.Name, m.rest > 0 && now.Before(m.until), m.last})
		m.mu.Unlock()
	}
	return all
}
