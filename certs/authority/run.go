package authority

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"tekend/audit"
)

const (
	// gather is how long Run waits after an issuance or a revocation, so that many together cost one CRL.
	gather = 300 * time.Millisecond
	// look is how often Run looks for what is due, and for revocations of another process on the same database.
	look = time.Second
)

// stir tells Run that something is due.
func (r *Role) stir() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake already
	}
}

// raise sets n to v if that is more.
func raise(n *atomic.Int64, v int64) {
	for old := n.Load(); old < v && !n.CompareAndSwap(old, v); old = n.Load() {
	}
}

// Run keeps CRLs, OCSP answers and the responder's certificates fresh until ctx
// ends, and is what makes a revocation visible within seconds. Who asks for a CRL
// or an answer has it made too, so a role that is not run only signs later.
func (r *Role) Run(ctx context.Context) error {
	if err := r.warm(ctx); err != nil {
		r.cfg.Log.Error("OCSP answers are not in memory", "role", "ca", "cause", err.Error())
	}
	// The files may be older than the database: they are written anew at start.
	for _, i := range r.issuers {
		if err := r.republish(ctx, i); err != nil {
			return err
		}
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		more := r.round(ctx)
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(gather):
			}
		}
	}
}

// republish writes an issuer's present CRL to its file.
func (r *Role) republish(ctx context.Context, i *issuer) error {
	l, err := r.crlOf(ctx, i)
	if err != nil {
		return nil // there is none; Health says so
	}
	defer func() { _ = l.Close() }()
	return publish(l, r.cfg.PublishDir, i.name)
}

// round does once what is due. more: there is more of it. A failure shows in
// Health, and is tried again.
func (r *Role) round(ctx context.Context) (more bool) {
	if r.shut() != nil {
		return false
	}
	if err := r.follow(ctx); err != nil {
		r.trouble(err)
		return false
	}
	for _, i := range r.issuers {
		if l, err := r.crlOf(ctx, i); err == nil {
			_ = l.Close()
		}
		if _, err := r.responder(ctx, i); err != nil {
			r.trouble(err)
		}
	}
	if err := r.settleRefusals(ctx, audit.TallyTime); err != nil {
		r.trouble(err)
	}
	more, err := r.renewAnswers(ctx)
	if err != nil {
		r.trouble(err)
	}
	if err == nil && r.checkDue() {
		if err := r.Check(ctx); err != nil {
			r.trouble(err)
		}
	}
	return more
}

// trouble writes a failure of Run to the log, not every second.
func (r *Role) trouble(err error) {
	if r.loud.take(r.cfg.Now()) {
		r.cfg.Log.Error("status", "role", "ca", "cause", err.Error())
	}
}

// follow learns of revocations that another process has recorded: kept answers
// go, and CRLs become due.
func (r *Role) follow(ctx context.Context) error {
	for _, i := range r.issuers {
		var seq int64
		if err := r.db.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM revocations WHERE issuer = ?", i.name).Scan(&seq); err != nil {
			return fmt.Errorf("look for revocations: %w", err)
		}
		if seq > i.revoked.Load() {
			r.answers.drop(nil)
			raise(&i.revoked, seq)
		}
	}
	return nil
}
