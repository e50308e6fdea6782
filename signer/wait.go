package signer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tekend/pdf"
)

const (
	maxWait = time.Minute     // longest long poll: proxies cut at 60 s
	recheck = 2 * time.Second // a change by another process is seen after this
)

// Get returns request id of client. Another client's request is ErrUnknown like one that does not exist.
func (s *Service) Get(ctx context.Context, client, id string) (*Request, error) {
	rec, err := s.mine(ctx, client, Lookup{ID: id})
	if err != nil {
		return nil, err
	}
	return view(rec), nil
}

func (s *Service) mine(ctx context.Context, client string, l Lookup) (*Record, error) {
	rec, err := s.load(ctx, l)
	if err != nil {
		return nil, err
	}
	if rec.Client != client {
		return nil, ErrUnknown
	}
	return rec, nil
}

func (s *Service) load(ctx context.Context, l Lookup) (*Record, error) {
	rec, err := s.dep.Requests.Load(ctx, l)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("load request: %w", err)
	}
	return rec, nil
}

// Wait is Get that returns when the state has changed, d has passed (at most one minute) or the state
// is an end.
func (s *Service) Wait(ctx context.Context, client, id string, d time.Duration) (*Request, error) {
	limit := time.NewTimer(min(d, maxWait))
	defer limit.Stop()
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	var first State
	for {
		changed := s.hub.next(id) // before the look, so that no change falls between
		rec, err := s.mine(ctx, client, Lookup{ID: id})
		if err != nil {
			return nil, err
		}
		if first == "" {
			first = rec.State
		}
		if rec.State != first || rec.State.End() {
			return view(rec), nil
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-limit.C:
			return view(rec), nil
		case <-ctx.Done():
			return view(rec), nil
		}
	}
}

// Document opens the signed document n (from 1) of a finished request.
func (s *Service) Document(ctx context.Context, client, id string, n int) (*Content, error) {
	rec, err := s.mine(ctx, client, Lookup{ID: id, Work: n})
	if err != nil {
		return nil, err
	}
	if n < 1 || n > len(rec.Documents) {
		return nil, ErrDocumentAbsent
	}
	if rec.State != Finished {
		return nil, ErrNotFinished.with("the request is in state " + string(rec.State))
	}
	return s.content(ctx, &rec.Documents[n-1])
}

// PageDocument opens document n (from 1) as the person with the page's token may read it: as uploaded,
// then prepared (exactly what will be signed), then signed.
func (s *Service) PageDocument(ctx context.Context, token string, n int) (*Content, error) {
	rec, err := s.load(ctx, Lookup{Token: token, Work: n})
	if err != nil {
		return nil, err
	}
	if n < 1 || n > len(rec.Documents) {
		return nil, ErrDocumentAbsent
	}
	return s.content(ctx, &rec.Documents[n-1])
}

// content joins base and update while it is read; nothing is copied.
func (s *Service) content(ctx context.Context, d *Document) (*Content, error) {
	f, err := s.dep.Blobs.Open(ctx, d.Blob)
	if err != nil {
		return nil, fmt.Errorf("open document: %w", err)
	}
	if d.Work == nil {
		return &Content{Name: d.Name, Size: d.Size, ReadSeeker: io.NewSectionReader(f, 0, d.Size), closer: f}, nil
	}
	r := pdf.Reader(f, d.Size, d.Work.last())
	return &Content{Name: d.Name, Size: r.Size(), ReadSeeker: r, closer: f}, nil
}

// last is the update as far as the work has come: with the signature, or with its empty space.
func (w *Work) last() []byte {
	if w.Update != nil {
		return w.Update
	}
	return w.Prepared.Update
}
