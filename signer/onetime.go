package signer

import (
	"context"
	"crypto"
)

// By the policy of a client, its people get a one-time credential for each request (specs/eidas.md §1.3 LNK-06):
// enrolment and confirmation follow one another on one page, the key signs with a time-stamp of the last minute
// in hand and is destroyed then, and the certificate ends within a day. Nobody publishes whether it was good, so the
// signature's own time-stamp must be of its validity (§2.4 STC-05).

// oneTime is the client's policy.
func (s *Service) oneTime(client string) bool { return s.cfg.OneTime != nil && s.cfg.OneTime(client) }

// onceOver says that the session of a one-time credential ended before anybody confirmed. An answer that has
// come is brought to the SAM all the same: it says what became of it.
func (s *Service) onceOver(rec *Record) bool {
	p := &rec.Progress
	return rec.State.open() && p.Answer == nil && !p.SessionEnds.IsZero() && !s.now().Before(p.SessionEnds)
}

// stampSession gets the time-stamp with which a one-time key signs; nil for others. Each try needs a fresh one.
func (s *Service) stampSession(ctx context.Context, rec *Record) ([]byte, error) {
	sess := rec.Progress.Session
	if len(sess.Stamp) == 0 {
		return nil, nil
	}
	t, err := s.dep.Stamper.Stamp(ctx, sess.Stamp, crypto.SHA256)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.cfg.Log.Warn("time-stamp before signing", "request", rec.ID, "err", err)
		return nil, ErrTSA
	}
	return t.Raw, nil
}

// errStampedLate: a time-stamp after the certificate's end proves nothing. There will be no earlier one.
var errStampedLate = ErrStampLate.with("no time-stamp was had before the certificate ended; the signature proves nothing without one and is not released")
