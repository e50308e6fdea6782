package activation

import (
	"context"

	"tekend/audit"
)

// openLog opens the tree and the checkpoints over the record, under the name
// that the gate gives. Without the section `audit:` (a role used as a library)
// there are none.
func (r *Role) openLog(ctx context.Context) (err error) {
	if r.cfg.Audit.KeyFile == "" {
		return nil
	}
	c := r.cfg.Audit
	c.Now, c.Log, c.Under, c.Signed = r.cfg.Now, r.cfg.Log, r.gate.Origin(c.Origin), r.gate.Checkpoint
	r.log, err = audit.OpenLog(ctx, r.db, c)
	return err
}

// RunAudit signs checkpoints and has them witnessed until ctx ends, and a last
// one then. It must have returned before [Role.Close]. While the gate is closed
// nothing is signed.
func (r *Role) RunAudit(ctx context.Context) {
	if r.gate.Wait(ctx) == nil {
		r.log.Run(ctx)
	}
}
