package authority

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"tekend/audit"
	"tekend/certs"
	"tekend/clock"
	"tekend/db"
	"tekend/fence"
	"tekend/foureyes"
	"tekend/tsa"
)

//go:embed migrations/*.sql migrations/postgres/*.sql
var migrations embed.FS

// Dependencies are the units, what the role is fenced by, and the sources of time.
type Dependencies struct {
	// Unit is the unit in force.
	Unit
	// Next takes over at its time, without a restart; nil: nobody. Requests whose time was taken before are still signed by
	// the one before.
	Next *Unit
	// Sources are those of Config.Clock, in its order.
	Sources []clock.Named
	// Reading reads the machine's clocks. Default: Config.Now, whose times carry the monotonic clock.
	Reading func() clock.Reading
	// Operators end doubts about the clock, with Clock.OperatorResume.
	Operators foureyes.Operators
	// Fence notices that the role was put back in time. nil, for tests alone: nothing is noticed.
	Fence *fence.Setup
}

// Role is a running time-stamping unit.
type Role struct {
	cfg    Config
	policy asn1.ObjectIdentifier
	units  []*unit // in the order in which they take over
	guard  *clock.Guard
	events chan clock.Event
	limit  *rate.Limiter
	queue  queue

	operators foureyes.Operators
	db        *db.DB
	gate      *fence.Gate
	log       *audit.Log // checkpoints over the record; nil: none
}

// New opens the database and proves, before the first request, that
// certificate and key are those of a time-stamping unit and belong together.
func New(ctx context.Context, cfg Config, dep Dependencies) (*Role, error) {
	policy, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	r := &Role{cfg: cfg, policy: policy, operators: dep.Operators, limit: rate.NewLimiter(rate.Limit(cfg.Rate), 2*cfg.Rate)}
	if err := errors.Join(r.addUnits(dep), r.watchClock(dep)); err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	if r.db, err = db.Open(ctx, cfg.DB, migrations); err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	r.db.OnFatal(cfg.DiskFailed)
	if err := audit.Ensure(ctx, r.db); err != nil {
		return nil, errors.Join(fmt.Errorf("tsa: %w", err), r.db.Close())
	}
	if r.gate, err = fence.Open(ctx, dep.Fence, r.db); err != nil {
		return nil, errors.Join(fmt.Errorf("tsa: %w", err), r.db.Close())
	}
	if !r.gate.Locked() {
		if err := errors.Join(r.oneKind(ctx), r.restoreHold(ctx)); err != nil {
			return nil, errors.Join(fmt.Errorf("tsa: %w", err), r.gate.Close(), r.db.Close())
		}
		if r.log, err = fence.OpenLog(ctx, r.gate, r.db, r.cfg.Audit); err != nil {
			return nil, errors.Join(fmt.Errorf("tsa: %w", err), r.gate.Close(), r.db.Close())
		}
	}
	if r.guard != nil {
		r.guard.Round(ctx) // so that the first request need not wait for the first tick
	}
	return r, nil
}

// addUnits proves the units: the first must be good now, unless the next has taken over; the next when it takes over.
func (r *Role) addUnits(dep Dependencies) error {
	now := r.cfg.Now()
	first, second := now, time.Time{}
	if dep.Next != nil {
		if dep.Next.From.IsZero() {
			return errors.New("the next unit has no time from which on it is used")
		}
		second = dep.Next.From
		if !now.Before(second) {
			first, second = second.Add(-time.Second), now
		}
	}
	u, err := newUnit(dep.Unit, first)
	if err != nil {
		return err
	}
	if first.After(u.keyUntil) {
		return fmt.Errorf("the unit's key was for use until %s", u.keyUntil.UTC().Format(time.RFC3339))
	}
	r.units = []*unit{u}
	if dep.Next == nil {
		return nil
	}
	next, err := newUnit(*dep.Next, second)
	if err != nil {
		return fmt.Errorf("the next unit: %w", err)
	}
	if certs.SameKey(u.cert.PublicKey, next.cert.PublicKey) {
		return errors.New("the next unit has the key of the one before")
	}
	r.units = append(r.units, next)
	return nil
}

// unitAt is the unit whose turn it is; a *tsa.Failure when its key is past its end.
func (r *Role) unitAt(t time.Time) (*unit, error) {
	u := r.units[0]
	for _, next := range r.units[1:] {
		if !t.Before(next.From) {
			u = next
		}
	}
	if t.After(u.keyUntil) {
		return nil, &tsa.Failure{Info: tsa.SystemFailure, Text: "the unit's key is past its end"}
	}
	return u, nil
}

// oneKind: a key that has made tokens of one kind makes none of the other (EN 319 421 TIS-8.2-01).
func (r *Role) oneKind(ctx context.Context) error {
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		for _, u := range r.units {
			key := fmt.Sprintf("%x", sha256.Sum256(u.cert.RawSubjectPublicKeyInfo))
			var qualified int
			err := tx.QueryRowContext(ctx, "SELECT qualified FROM units WHERE key_sha256 = ?", key).Scan(&qualified)
			want := 0
			if r.cfg.Qualified {
				want = 1
			}
			switch {
			case errors.Is(err, sql.ErrNoRows):
				if _, err := tx.ExecContext(ctx, "INSERT INTO units (key_sha256, qualified) VALUES (?,?)", key, want); err != nil {
					return fmt.Errorf("remember the unit's kind: %w", err)
				}
			case err != nil:
				return fmt.Errorf("read the unit's kind: %w", err)
			case qualified != want:
				return errors.New("this key was set up for tokens of the other kind (qualified or not); a unit makes tokens of one kind only")
			}
		}
		return nil
	})
}

// RunAudit signs checkpoints over the record and has them witnessed until ctx
// ends. It must have returned before [Role.Close].
func (r *Role) RunAudit(ctx context.Context) { fence.RunLog(ctx, r.gate, r.log) }

// Close closes the database.
func (r *Role) Close() error { return errors.Join(r.gate.Close(), r.db.Close()) }

// Health says whether tokens can be made now.
type Health struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`         // why not
	Notes   []string `json:"notes,omitempty"` // what operators should know though the role works
}

// Health looks at the clock, the key's life and the database.
func (r *Role) Health(ctx context.Context) Health {
	h := Health{Reasons: append([]string{}, r.gate.Reasons()...)}
	now := r.cfg.Now()
	high, err := audit.HighWater(ctx, r.db)
	switch {
	case err != nil:
		h.Reasons = append(h.Reasons, "the database cannot be read")
	case now.Before(high.Add(-audit.Backstep)):
		h.Reasons = append(h.Reasons, "the clock is before the newest audit row")
	}
	reasons, notes := r.clockHealth()
	h.Reasons = append(h.Reasons, reasons...)
	if _, err := r.unitAt(now); err != nil {
		h.Reasons = append(h.Reasons, "the unit's key is past its end")
	}
	if err := r.log.Ready(now); err != nil {
		h.Reasons = append(h.Reasons, err.Error())
	}
	h.Notes = append(append(r.log.Notes(now), notes...), r.endNotes(now)...)
	h.Ready = len(h.Reasons) == 0
	return h
}

// endWarning is how long before the end of a unit's key, with nobody to take over, health warns (TSA-08).
const endWarning = 30 * 24 * time.Hour

// endNotes warns of an end that nobody follows, and of a gap before the next unit.
func (r *Role) endNotes(now time.Time) []string {
	for i, u := range r.units {
		last := i == len(r.units)-1
		switch {
		case now.After(u.keyUntil):
		case last && now.After(u.keyUntil.Add(-endWarning)):
			return []string{"the unit's key ends on " + u.keyUntil.UTC().Format(time.DateOnly) + " and no other unit follows"}
		case !last && r.units[i+1].From.After(u.keyUntil):
			return []string{"the unit's key ends on " + u.keyUntil.UTC().Format(time.DateOnly) + ", before the next unit takes over"}
		}
	}
	return nil
}

// Unlock opens the role's lock when two operators have approved it. The role
// must not run. It gives the lock's text.
func Unlock(ctx context.Context, source string, set fence.Setup, ask fence.Decision) (string, error) {
	return fence.UnlockIn(ctx, source, migrations, set, ask)
}
