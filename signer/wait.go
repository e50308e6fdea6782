package signer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
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

// Wait is Get that returns when the state is another one than known, d has passed (at most one minute) or the state
// is an end. known "" is the state as it is now; who acts upon a state names the last one that he saw, and never waits for
// a change that has happened.
func (s *Service) Wait(ctx context.Context, client, id string, known State, d time.Duration) (*Request, error) {
	limit := time.NewTimer(min(d, maxWait))
	defer limit.Stop()
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		changed := s.hub.next(id) // before the look, so that no change falls between
		rec, err := s.mine(ctx, client, Lookup{ID: id})
		if err != nil {
			return nil, err
		}
		if known == "" {
			known = rec.State
		}
		if rec.State != known || rec.State.End() {
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

// Document opens what was made of document n (from 1) of a finished request: the signed PDF, or the CAdES signature,
// which with packaging attached holds the file. ErrNotHere: only its digest was ordered; see Product.
func (s *Service) Document(ctx context.Context, client, id string, n int) (*Content, error) {
	rec, d, err := s.made(ctx, client, id, n)
	if err != nil {
		return nil, err
	}
	if rec.Progress.Hashes {
		return nil, ErrNotHere
	}
	return s.content(ctx, rec, d)
}

// made is document n of a finished request, with its Work.
func (s *Service) made(ctx context.Context, client, id string, n int) (*Record, *Document, error) {
	rec, err := s.mine(ctx, client, Lookup{ID: id, Work: n})
	if err != nil {
		return nil, nil, err
	}
	if n < 1 || n > len(rec.Documents) {
		return nil, nil, ErrDocumentAbsent
	}
	if rec.State != Finished {
		return nil, nil, ErrNotFinished.with("the request is in state " + string(rec.State))
	}
	return rec, &rec.Documents[n-1], nil
}

// PageDocument opens document n (from 1) as the person with the page's token may read it: a PDF as uploaded,
// then prepared (exactly what will be signed), then signed; a file of another kind as uploaded. ErrNotHere: only its
// digest was ordered.
func (s *Service) PageDocument(ctx context.Context, token string, n int) (*Content, error) {
	rec, err := s.load(ctx, Lookup{Token: token, Work: n})
	if err != nil {
		return nil, err
	}
	if n < 1 || n > len(rec.Documents) {
		return nil, ErrDocumentAbsent
	}
	d := &rec.Documents[n-1]
	switch {
	case rec.Progress.Hashes:
		return nil, ErrNotHere
	case rec.Progress.Format == CAdES:
		f, err := s.openBase(ctx, d)
		if err != nil {
			return nil, err
		}
		return f.content(d.Name, typeFile), nil
	}
	return s.content(ctx, rec, d)
}

// Media types of what is given out.
const (
	typePDF      = "application/pdf"
	typeFile     = "application/octet-stream"
	typeDetached = "application/pkcs7-signature" // RFC 8551 §3.2.1
	typeAttached = "application/pkcs7-mime"
)

// content joins base and update while it is read; nothing is copied.
func (s *Service) content(ctx context.Context, rec *Record, d *Document) (*Content, error) {
	if rec.Progress.Format == CAdES && rec.Progress.Packaging != Attached {
		return (&segments{Closer: io.NopCloser(nil)}).addBytes(d.Work.CMS).content(d.Name+".p7s", typeDetached), nil
	}
	f, err := s.openBase(ctx, d)
	switch {
	case err != nil:
		return nil, err
	case rec.Progress.Format == CAdES:
		return f.between(d.Work.Before, d.Work.After).content(d.Name+".p7m", typeAttached), nil
	case d.Work != nil:
		f.addBytes(d.Work.last())
	}
	return f.content(d.Name, typePDF), nil
}

// last is the update as far as the work has come: with the signature, or with its empty space.
func (w *Work) last() []byte {
	if w.Update != nil {
		return w.Update
	}
	return w.Prepared.Update
}

// Product gives what was made of digest n (from 1) of a finished order of digests. ErrDocumentAbsent for an order of
// documents: see Document.
func (s *Service) Product(ctx context.Context, client, id string, n int) (*Product, error) {
	rec, d, err := s.made(ctx, client, id, n)
	if err != nil {
		return nil, err
	}
	if !rec.Progress.Hashes {
		return nil, ErrDocumentAbsent.with("this request is of documents, not of digests")
	}
	w := d.Work
	p := &Product{
		Format: view(rec).Format, Level: d.Level, Algorithm: w.Algorithm, SignedAttrs: w.SignedAttrs, Value: w.Value, CMS: w.CMS,
		Certificates: rec.Progress.Chain, TimeStamp: w.TimeStamp,
	}
	if w.Material != nil {
		p.OCSPs, p.CRLs, p.Extra = w.Material.OCSPs, w.Material.CRLs, w.Material.Certificates
	}
	return p, nil
}
