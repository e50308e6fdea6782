package authority

import (
	"context"
	"fmt"

	"tekend/ca"
	"tekend/certs"
)

// status answers for the sam: good only for a certificate that was issued and
// recorded, and not revoked.
func (r *Role) status(ctx context.Context, serial string) (ca.CertificateStatus, error) {
	now := r.cfg.Now()
	if err := r.clock(ctx, now); err != nil {
		return ca.CertificateStatus{}, err
	}
	out := ca.CertificateStatus{Serial: serial, State: ca.Unknown, At: now.UTC()}
	for _, i := range r.issuers {
		s, err := r.stateOf(ctx, i.name, serial)
		if err != nil {
			return ca.CertificateStatus{}, fmt.Errorf("look up status: %w", err)
		}
		switch s.state {
		case certs.StatusGood:
			out.State = ca.Good
		case certs.StatusRevoked:
			out.State, out.RevokedAt = ca.Revoked, s.at
			return out, nil
		}
	}
	return out, nil
}
