package signer

import (
	"context"
	"crypto"
	"fmt"

	"tekend/consent"
	"tekend/sam"
)

// Evidencing is the SAM's part of evidence. It only reads.
type Evidencing interface {
	Evidence(ctx context.Context, nonce string) (sam.Evidence, error)
}

// Evidence gives the evidence bundle of a request of which every document is
// signed (docs/evidence.md): what the SAM put together, with a time-stamp over
// it from each authority. ErrNotFinished before that; ErrEvidenceSoon when the
// SAM's record has no checkpoint over it yet, about a second after signing.
func (s *Service) Evidence(ctx context.Context, client, id string) ([]byte, error) {
	rec, err := s.mine(ctx, client, Lookup{ID: id})
	if err != nil {
		return nil, err
	}
	if rec.State != Signed && rec.State != Finished || rec.Progress.Session == nil {
		return nil, ErrNotFinished.with("the request is in state " + string(rec.State))
	}
	got, err := s.dep.Evidence.Evidence(ctx, rec.Progress.Session.Nonce)
	if err != nil {
		why := samError(err)
		s.logCause(rec, why)
		return nil, why
	}
	// The SAM's bytes are read as strictly as any verifier reads them.
	b, err := consent.DecodeBundle(got.Bundle)
	if err != nil {
		return nil, fmt.Errorf("evidence of the SAM: %w", err)
	}
	imprint, err := b.Imprint()
	if err != nil {
		return nil, err
	}
	for _, stamper := range append([]Stamper{s.dep.Stamper}, s.dep.EvidenceStampers...) {
		t, err := stamper.Stamp(ctx, imprint, crypto.SHA256)
		if err != nil {
			s.cfg.Log.Warn("time-stamp of evidence", "request", rec.ID, "err", err)
			return nil, ErrTSA
		}
		b.TimeStamps = append(b.TimeStamps, t.Raw)
	}
	return b.Encode()
}
