// Package revocation asks whether certificates are still good: OCSP first, then
// the CRL, by the rules that validators hold products to (certs.OCSPStatus,
// certs.ReadCRL), and gathers what a product at level B-LT holds.
//
// Addresses stand in certificates, and certificates may be anybody's. So the
// network is behind one door ([Fetcher]), which refuses private networks, other
// protocols than http, and answers without end; and who asks has a path to a
// trust anchor first.
package revocation

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"tekend/certs"
)

// Why there is no status. All three may be over when the same is asked again:
// hosts come back, newer answers are made, a responder learns of a certificate.
var (
	// ErrUnreachable: nobody who could say it answered, or answered in time.
	ErrUnreachable = errors.New("no source of revocation data answers")
	// ErrStale: the answer is from before the time asked for, or its own time is over.
	ErrStale = errors.New("the revocation data is too old")
	// ErrRefused: there is an answer and it does not count; it wraps a *certs.StatusError where one says why.
	ErrRefused = errors.New("the revocation data does not count")
)

// ErrNotNeeded: the certificate has no revocation (certs.NeedsStatus), so there
// is nothing to ask.
var ErrNotNeeded = errors.New("the certificate needs no status")

// Source is where bytes come from: a [Fetcher], or a role of our own beside it.
// What they say is not believed. Errors wrap ErrUnreachable or ErrRefused.
type Source interface {
	// OCSP posts a query (DER) and gives the answer (DER).
	OCSP(ctx context.Context, url string, query []byte) ([]byte, error)
	// CRL gets a list (DER), of at most certs.MaxCRL bytes.
	CRL(ctx context.Context, url string) ([]byte, error)
	// Certificate gets a certificate (DER), of at most 64 KiB.
	Certificate(ctx context.Context, url string) ([]byte, error)
}

// Config says whom a Collector asks and what it keeps.
type Config struct {
	// Source is asked. Required.
	Source Source
	// Now is the clock. Required.
	Now func() time.Time
	// Wait waits; the default is a timer. Only for what is missing of a second:
	// times in answers are in whole ones.
	Wait func(ctx context.Context, d time.Duration) error
	// Timeout bounds the search for one status, over all its addresses. Default: 2 min.
	Timeout time.Duration
	// Skew is how far in our future an answer may be from. Default: 1 min.
	Skew time.Duration
	// Cache bounds what is kept in memory, in bytes: half for answers, half for
	// lists. Default: 32 MiB.
	Cache int
	// MaxEmbedded is the longest CRL that Material takes for a certificate that
	// also names a responder, in bytes: each product would carry it. Default: 1 MiB.
	MaxEmbedded int
	// Log gets contradictions between sources. Default: slog.Default().
	Log *slog.Logger
}

// maxSilence is how old an answer without nextUpdate may be: the age that
// Regulation (EU) 2025/1945 allows for the signer's certificate.
const maxSilence = 24 * time.Hour

// Collector asks for statuses and keeps them while they are in force. It may be
// used by many at once; the same question is asked once.
type Collector struct {
	cfg     Config
	answers *cache[*answer]
	lists   *cache[*certs.RevocationList]
	flights singleflight.Group
}

// New makes a Collector.
func New(cfg Config) *Collector {
	if cfg.Wait == nil {
		cfg.Wait = sleep
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 2 * time.Minute
	}
	if cfg.Skew <= 0 {
		cfg.Skew = time.Minute
	}
	if cfg.Cache <= 0 {
		cfg.Cache = 32 << 20
	}
	if cfg.MaxEmbedded <= 0 {
		cfg.MaxEmbedded = 1 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Collector{cfg: cfg, answers: newCache[*answer](cfg.Cache / 2), lists: newCache[*certs.RevocationList](cfg.Cache / 2)}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer is a status with what it rests on.
type answer struct {
	certs.Status
	// under is the status of the delegated responder's certificate, when it needs one.
	under *answer
}

// question is what is asked. depth 1 is about a responder's certificate.
type question struct {
	cert, issuer *x509.Certificate
	since        time.Time
	embed        bool
	depth        int
}

func (q question) key() string {
	a, b := sha256.Sum256(q.cert.Raw), sha256.Sum256(q.issuer.Raw)
	return string(a[:]) + string(b[:])
}

// name tells certificates apart in logs without saying whose they are.
func (q question) name() string {
	sum := sha256.Sum256(q.cert.Raw)
	return hex.EncodeToString(sum[:8])
}

// Status gives the status of cert, issued by issuer: with since zero one that is
// in force, else one issued (thisUpdate) at or after it, as the signer's
// certificate needs it behind its time-stamp. The caller has a path to a trust
// anchor. A revoked certificate is a Status and no error; so look at its State. A
// revocation may be from before since, and a newer "good" does not revert it,
// unless it is a hold.
// "unknown" is an error. The Status is shared: it must not be changed. Errors
// wrap ErrUnreachable, ErrStale, ErrRefused (several: of several sources) or
// ErrNotNeeded.
func (c *Collector) Status(ctx context.Context, cert, issuer *x509.Certificate, since time.Time) (*certs.Status, error) {
	if !certs.NeedsStatus(cert) {
		return nil, ErrNotNeeded
	}
	a, err := c.ask(ctx, question{cert: cert, issuer: issuer, since: since})
	if err != nil {
		return nil, err
	}
	return &a.Status, nil
}

// outcome is what a search gave to all who waited for it.
type outcome struct {
	since  time.Time
	answer *answer
	err    error
}

// ask answers from memory, or by a search that is shared with all who ask about
// the same certificate: it goes on when the one who began it leaves.
func (c *Collector) ask(ctx context.Context, q question) (*answer, error) {
	if !certs.IssuedBy(q.cert, q.issuer) {
		return nil, fmt.Errorf("%w: the certificate is not of this issuer", ErrRefused)
	}
	flight := q.key()
	if q.embed {
		flight += "embed"
	}
	for {
		if a := c.known(q); a != nil {
			return a, nil
		}
		done := c.flights.DoChan(flight, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Timeout)
			defer cancel()
			a, err := c.search(ctx, q)
			return outcome{q.since, a, err}, nil
		})
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, context.Cause(ctx))
		case r := <-done:
			o, ok := r.Val.(outcome)
			switch {
			case !ok:
				return nil, fmt.Errorf("%w: the search ended without an outcome", ErrUnreachable)
			case o.err == nil && (forEver(&o.answer.Status) || !o.answer.ThisUpdate.Before(q.since)):
				return o.answer, nil
			case o.err != nil && !o.since.After(q.since):
				return nil, o.err
			}
			// It was the search of somebody who needs less, or more, than we do.
		}
	}
}

// known gives what is kept about a certificate, is in force and is from since or
// later. The newest counts, whichever source it is of, but for what is for ever.
func (c *Collector) known(q question) *answer {
	now := c.cfg.Now()
	var all []certs.Status
	var have []*answer
	for _, kind := range []string{certs.FromOCSP, certs.FromCRL} {
		if a, ok := c.answers.get(q.key() + kind); ok && c.inForce(a, now) && !c.tooLarge(q, &a.Status) {
			all, have = append(all, a.Status), append(have, a)
		}
	}
	newest, _ := certs.Newest(all)
	for _, a := range have {
		if forEver(&a.Status) {
			return a
		}
	}
	for _, a := range have {
		if a.Kind == newest.Kind && !a.ThisUpdate.Before(q.since) {
			return a
		}
	}
	return nil
}

// forEver tells of a revocation that no newer answer reverts (Regulation 910/2014
// Art 28(4)): any but a hold. It says enough of every later time.
func forEver(s *certs.Status) bool {
	return s.State == certs.StatusRevoked && s.Reason != certs.ReasonOnHold
}

// inForce tells whether what is kept still counts, and all that it rests on: an
// answer may outlive the list that vouches for its responder.
func (c *Collector) inForce(a *answer, now time.Time) bool {
	for ; a != nil; a = a.under {
		if c.fresh(&a.Status, time.Time{}, now) != nil {
			return false
		}
	}
	return true
}

// fresh tells whether a status is in force and issued at or after since, or for ever.
func (c *Collector) fresh(s *certs.Status, since, now time.Time) error {
	switch ahead := now.Add(c.cfg.Skew); {
	case s.ThisUpdate.After(ahead) || s.ProducedAt.After(ahead):
		return fmt.Errorf("%w: %s: it is from the future", ErrRefused, s.Kind)
	case !s.NextUpdate.IsZero() && now.After(s.NextUpdate):
		return fmt.Errorf("%w: %s: its nextUpdate is over", ErrStale, s.Kind)
	case s.NextUpdate.IsZero() && now.Sub(s.ThisUpdate) > maxSilence:
		return fmt.Errorf("%w: %s: it is more than a day old and names no end", ErrStale, s.Kind)
	case s.ThisUpdate.Before(since) && !forEver(s):
		return fmt.Errorf("%w: %s: it is from before the time it is needed for", ErrStale, s.Kind)
	}
	return nil
}

// tooLarge tells whether a list is not to be carried by every product. One that
// speaks of a revocation is: an older answer would say that there is none.
func (c *Collector) tooLarge(q question, s *certs.Status) bool {
	return q.embed && s.Kind == certs.FromCRL && s.State != certs.StatusRevoked && len(q.cert.OCSPServer) > 0 && len(s.DER) > c.cfg.MaxEmbedded
}
