package signer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A PDF that its provider prepares claims the time of its signature in bytes that are signed. Whoever gets his certificate
// after that (each new person, each one-time credential) would claim a time at which it was not valid, and validators
// refuse that. So an order may leave its digests out: it waits in state identified, when the certificate is there, until
// they come.

// Later is what an order knows whose digests come when the person is identified.
type Later struct {
	Exclusive bool `json:"exclusive,omitempty"` // as ordered
	// From state identified on: what the client prepares with.
	NotBefore time.Time `json:"not_before,omitzero"` // of the certificate
	CMSSize   int       `json:"cms_size,omitempty"`  // bytes of DER to reserve
}

// awaits says that the digests are still to come.
func (r *Record) awaits() bool {
	return r.Progress.Later != nil && len(r.Documents[0].Digest) == 0
}

// awaitDigests adds what the client needs for the digests of rec, of which the signer is known now.
func (s *Service) awaitDigests(rec *Record) error {
	who, err := rec.party()
	if err != nil {
		return err
	}
	if who.alg, err = who.algorithm(&rec.Documents[0]); err != nil {
		return ErrDigestAlg.because(err)
	}
	later := *rec.Progress.Later
	later.NotBefore = who.leaf.NotBefore.UTC()
	if later.CMSSize, err = s.reserve(who, rec.Level); err != nil {
		return err
	}
	rec.Progress.Later, rec.Progress.Notice = &later, ErrAwaited
	return nil
}

// SendDigests gives request id of client the digests that its order left out, in the order and of the algorithm that it
// named; signedOrder is what the provider signed over them, "" for none. The names stay. Equal digests may be sent again at
// any time: the first call counts. ErrNotIdentified before the person has his certificate, ErrNotAwaited for other digests
// than those that have come and for a request that waits for none, ErrHeld as in Create.
func (s *Service) SendDigests(ctx context.Context, client, id string, all []OrderedDigest, signedOrder string) (*Request, error) {
	rec, err := s.change(ctx, Lookup{ID: id}, func(rec *Record) (*Change, error) {
		if rec.Client != client {
			return nil, ErrUnknown
		}
		if !rec.awaits() {
			return nil, rec.cameWith(all)
		}
		next, err := s.withDigests(rec, all, signedOrder)
		if err != nil {
			return nil, err
		}
		return &Change{Now: next, Digests: true}, nil
	})
	if held, ok := errors.AsType[*HeldError](err); ok {
		return nil, heldBy(held)
	}
	if err != nil {
		return nil, err
	}
	s.kick(rec.ID, false)
	return view(rec), nil
}

// cameWith says whether these are the digests that have come already.
func (r *Record) cameWith(all []OrderedDigest) error {
	same := r.Progress.Later != nil && slices.EqualFunc(r.Documents, all, func(d Document, g OrderedDigest) bool {
		return d.DigestAlgorithm == g.Algorithm && bytes.Equal(d.Digest, g.Digest)
	})
	if !same {
		return ErrNotAwaited
	}
	return nil
}

// withDigests is rec with its digests.
func (s *Service) withDigests(rec *Record, all []OrderedDigest, signedOrder string) (*Record, error) {
	switch {
	case rec.State.End():
		return nil, ErrEnded.with("the request is " + string(rec.State))
	case !s.now().Before(rec.ExpiresAt):
		return nil, ErrExpired
	case s.onceOver(rec):
		return nil, ErrSessionOver
	case rec.State != Identified:
		return nil, ErrNotIdentified
	case len(all) != len(rec.Documents):
		return nil, ErrDigest.with(fmt.Sprintf("%d digests for an order of %d", len(all), len(rec.Documents)))
	}
	next := *rec
	next.Progress.Notice, next.Progress.SignedOrder = nil, signedOrder
	next.Documents = slices.Clone(rec.Documents)
	for i, g := range all {
		d := &next.Documents[i]
		if g.Algorithm != d.DigestAlgorithm {
			return nil, ErrDigestAlg.with(fmt.Sprintf("digest %d is not of the algorithm that was ordered", i+1))
		}
		if why := g.wrong(digestAlgorithms[g.Algorithm]); why != "" {
			return nil, ErrDigest.with(fmt.Sprintf("digest %d %s", i+1, why))
		}
		d.Digest = g.Digest
		if twice(next.Documents[:i+1]) {
			return nil, ErrTwice.with(fmt.Sprintf("digest %d was sent before", i+1))
		}
		if next.Progress.Later.Exclusive {
			next.hold(d.Digest)
		}
	}
	return &next, s.ordered(&next)
}
