package revocation

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"tekend/certs"
)

const (
	// maxAddresses bounds the addresses of each kind that are tried.
	maxAddresses = 3
	nonceSize    = 32 // octets: what every responder must take (RFC 9654 §2.1)
	// maxWait is what may be missing of the second that an answer must be from.
	maxWait = 2 * time.Second
)

// errUnknown: who may answer for the issuer says that it issued no such
// certificate. A list, which names only what was revoked, would call it good.
var errUnknown = fmt.Errorf("%w: ocsp: the responder does not know the certificate", ErrRefused)

// search asks the responders of the certificate, then its lists, until one
// gives a status that counts and is fresh.
func (c *Collector) search(ctx context.Context, q question) (*answer, error) {
	if err := c.untilSecond(ctx, q.since); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	var failed []error
	for _, url := range addresses(q.cert.OCSPServer) {
		a, err := c.fromOCSP(ctx, q, url)
		if err == nil {
			return c.settle(q, a), nil
		}
		if errors.Is(err, errUnknown) {
			return nil, err
		}
		failed = append(failed, err)
	}
	for _, url := range addresses(q.cert.CRLDistributionPoints) {
		a, err := c.fromCRL(ctx, q, url)
		if err == nil {
			return c.settle(q, a), nil
		}
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		return nil, fmt.Errorf("%w: the certificate names nobody who could be asked", ErrRefused)
	}
	return nil, errors.Join(failed...)
}

// addresses are those of http, at most maxAddresses, each once. LDAP is not spoken.
func addresses(all []string) (list []string) {
	seen := map[string]bool{}
	for _, u := range all {
		scheme, _, _ := strings.Cut(strings.ToLower(u), ":")
		if (scheme == "http" || scheme == "https") && !seen[u] && len(list) < maxAddresses {
			list, seen[u] = append(list, u), true
		}
	}
	return list
}

// untilSecond waits for what is missing of the second after since: an answer
// made now bears the second that has begun, which would be before since.
func (c *Collector) untilSecond(ctx context.Context, since time.Time) error {
	first := since.Truncate(time.Second)
	if first.Before(since) {
		first = first.Add(time.Second)
	}
	d := first.Sub(c.cfg.Now())
	if since.IsZero() || d <= 0 || d > maxWait {
		return nil
	}
	return c.cfg.Wait(ctx, d)
}

// settle keeps an answer and gives what counts of what is known: a revocation
// that is for ever, else the newest. A contradiction is told to operators.
func (c *Collector) settle(q question, a *answer) *answer {
	c.answers.put(q.key()+a.Kind, a, len(a.DER))
	other, taken := c.other(q, a), a
	if other != nil {
		newest, differ := certs.Newest([]certs.Status{a.Status, other.Status})
		newer := newest.Kind == other.Kind && !other.ThisUpdate.Before(q.since) && !c.tooLarge(q, &other.Status)
		if !forEver(&a.Status) && (newer || forEver(&other.Status)) {
			taken = other
			c.answers.put(q.key()+other.Kind, other, len(other.DER)) // it may be of a list that is not kept as long
		}
		if differ {
			c.cfg.Log.Warn("OCSP and CRL contradict each other", "certificate", q.name(),
				a.Kind, a.State.String(), other.Kind, other.State.String(), "taken", taken.Kind)
		}
	}
	if forEver(&taken.Status) {
		for _, kind := range []string{certs.FromOCSP, certs.FromCRL} {
			if kind != taken.Kind {
				c.answers.drop(q.key() + kind) // so that no "good" is left when this one's place is taken
			}
		}
	}
	return taken
}

// other gives what the other kind of source is known to say: a kept answer, or
// what a kept list says of the certificate.
func (c *Collector) other(q question, a *answer) *answer {
	now := c.cfg.Now()
	kind := certs.FromOCSP
	if a.Kind == certs.FromOCSP {
		kind = certs.FromCRL
		for _, url := range addresses(q.cert.CRLDistributionPoints) {
			if list, ok := c.lists.get(url); ok {
				if s, err := list.Status(q.cert, q.issuer); err == nil && c.fresh(&s, time.Time{}, now) == nil {
					return &answer{Status: s}
				}
			}
		}
	}
	if k, ok := c.answers.get(q.key() + kind); ok && c.inForce(k, now) {
		return k
	}
	return nil
}

// fromOCSP asks one responder, with a nonce: a responder that repeats it made
// its answer now; one that leaves it out made it before, and its times count
// alone (RFC 9654 §2.1); another nonce is an answer to another question.
func (c *Collector) fromOCSP(ctx context.Context, q question, url string) (*answer, error) {
	id, err := certs.IDOf(q.cert, q.issuer, crypto.SHA1) // the only one that every responder knows (RFC 5019 §2.1.1)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	nonce := make([]byte, nonceSize)
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("%w: make nonce: %w", ErrUnreachable, err)
	}
	query, err := certs.EncodeOCSPRequest([]certs.CertID{id}, nonce)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	der, err := c.cfg.Source.OCSP(ctx, url, query)
	if err != nil {
		return nil, classed(err)
	}
	s, err := certs.OCSPStatus(der, q.cert, q.issuer)
	if err != nil {
		return nil, judged(err)
	}
	switch {
	case s.Nonce != nil && !bytes.Equal(s.Nonce, nonce):
		return nil, fmt.Errorf("%w: ocsp: the answer has another nonce", ErrRefused)
	case s.State == certs.StatusUnknown:
		return nil, errUnknown
	}
	if err := c.fresh(&s, q.since, c.cfg.Now()); err != nil {
		return nil, err
	}
	a := &answer{Status: s}
	return a, c.trustResponder(ctx, q, a)
}

// trustResponder asks for the status of a delegated responder that its issuer
// does not vouch for (RFC 6960 §4.2.2.2.1), which must not be by its own word.
func (c *Collector) trustResponder(ctx context.Context, q question, a *answer) error {
	if a.Responder == nil || !certs.NeedsStatus(a.Responder) {
		return nil
	}
	if q.depth > 0 {
		return fmt.Errorf("%w: ocsp: the responder's status would be told by another one that needs a status", ErrRefused)
	}
	under, err := c.search(ctx, question{cert: a.Responder, issuer: q.issuer, embed: q.embed, depth: q.depth + 1})
	switch {
	case errors.Is(err, errUnknown): // said of the responder, not of the certificate that was asked about
		return fmt.Errorf("%w: ocsp: the responder's own certificate is not known to its responder", ErrRefused)
	case err != nil:
		return fmt.Errorf("the responder's own certificate: %w", err)
	case under.State != certs.StatusGood:
		return fmt.Errorf("%w: ocsp: the responder's certificate is revoked", ErrRefused)
	}
	a.under = under
	return nil
}

// fromCRL looks into the list of one address: the kept one if it is fresh enough.
func (c *Collector) fromCRL(ctx context.Context, q question, url string) (*answer, error) {
	now := c.cfg.Now()
	if list, ok := c.lists.get(url); ok {
		if s, err := list.Status(q.cert, q.issuer); err == nil && c.fresh(&s, q.since, now) == nil && !c.tooLarge(q, &s) {
			return &answer{Status: s}, nil
		}
	}
	list, err := c.list(ctx, url)
	if err != nil {
		return nil, err
	}
	s, err := list.Status(q.cert, q.issuer)
	if err != nil {
		return nil, judged(err)
	}
	if err := c.fresh(&s, q.since, c.cfg.Now()); err != nil {
		return nil, err
	}
	if c.tooLarge(q, &s) {
		return nil, fmt.Errorf("%w: crl: the list is too large for a product; the responder is waited for", ErrUnreachable)
	}
	c.lists.put(url, list, len(s.DER)) // now that it is known to be the issuer's
	return &answer{Status: s}, nil
}

// list fetches a list; who asks for the same one at the same time shares it.
func (c *Collector) list(ctx context.Context, url string) (*certs.RevocationList, error) {
	v, err, _ := c.flights.Do("list "+url, func() (any, error) {
		der, err := c.cfg.Source.CRL(ctx, url)
		if err != nil {
			return nil, classed(err)
		}
		list, err := certs.ReadCRL(der)
		if err != nil {
			return nil, judged(err)
		}
		return list, nil
	})
	if err != nil {
		return nil, err
	}
	list, ok := v.(*certs.RevocationList)
	if !ok {
		return nil, fmt.Errorf("%w: the list is none", ErrRefused)
	}
	return list, nil
}

// classed holds a source to its contract: what it does not class is unreachable.
func classed(err error) error {
	if errors.Is(err, ErrUnreachable) || errors.Is(err, ErrRefused) || errors.Is(err, ErrStale) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// judged classes why an answer does not count. A responder in trouble says so
// (tryLater, internalError); data from before the certificate will be replaced.
func judged(err error) error {
	e, ok := errors.AsType[*certs.StatusError](err)
	switch {
	case ok && e.Reason == certs.StatusNotCovered:
		return fmt.Errorf("%w: %w", ErrStale, err)
	case ok && e.Reason == certs.StatusNoAnswer:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}
