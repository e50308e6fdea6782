package authority

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"tekend/audit"
	"tekend/tsa"
)

// reservation is a request that waits for its time and serial number.
type reservation struct {
	ctx  context.Context
	req  tsa.Request
	info tsa.Info
	unit *unit // whose turn it is at info.GenTime
	err  error
	done chan struct{}
}

// queue gathers the requests that come while a transaction is on its way to the disk; the next one takes them all. So the
// price of durability is shared, and nobody waits for company.
type queue struct {
	mu      sync.Mutex
	waiting []*reservation
	busy    bool // somebody is taking them
}

// maxGroup bounds one transaction.
const maxGroup = 64

// maxWaiting bounds the queue: more than the disk takes in some seconds. Whoever comes when it is full asks again, and a disk
// that stands still costs no memory.
const maxWaiting = 1024

// reserve takes the time and a new serial number and records both, durably, before the key is used. The serial number is random
// with 159 bits, so that even a database put back makes no second one (TSA-03); time never goes back from token to token (TSA-15).
func (r *Role) reserve(ctx context.Context, req tsa.Request) (tsa.Info, *unit, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return tsa.Info{}, nil, fmt.Errorf("make serial number: %w", err)
	}
	e := &reservation{ctx: ctx, req: req, done: make(chan struct{}), info: tsa.Info{
		Policy: r.policy, Imprint: req.Imprint, Serial: serial, Accuracy: r.cfg.Accuracy, Nonce: req.Nonce, Qualified: r.cfg.Qualified,
	}}
	r.queue.mu.Lock()
	if len(r.queue.waiting) >= maxWaiting {
		r.queue.mu.Unlock()
		return tsa.Info{}, nil, &tsa.Failure{Info: tsa.SystemFailure, Text: "too many requests wait; ask again"}
	}
	r.queue.waiting = append(r.queue.waiting, e)
	if !r.queue.busy {
		r.queue.busy = true
		go r.recordAll(context.WithoutCancel(ctx))
	}
	r.queue.mu.Unlock()
	<-e.done // a transaction that has begun is not left: what it says of this request must be known
	return e.info, e.unit, e.err
}

// recordAll takes groups until nobody waits.
func (r *Role) recordAll(ctx context.Context) {
	for {
		r.queue.mu.Lock()
		group := r.queue.waiting
		if len(group) == 0 {
			r.queue.busy = false
			r.queue.mu.Unlock()
			return
		}
		group = group[:min(len(group), maxGroup)]
		r.queue.waiting = r.queue.waiting[len(group):]
		r.queue.mu.Unlock()
		r.record(ctx, group)
		for _, e := range group {
			close(e.done)
		}
	}
}

// recordTime bounds one transaction: a disk that takes longer is as good as none.
const recordTime = 15 * time.Second

// record stores a group in one transaction. Whoever cannot have a time gets an error of its own and is not in it.
func (r *Role) record(ctx context.Context, group []*reservation) {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		var newest sql.NullInt64
		if err := tx.QueryRowContext(ctx, "SELECT MAX(gen_time) FROM tokens").Scan(&newest); err != nil {
			return fmt.Errorf("read the newest token: %w", err)
		}
		for _, e := range group {
			if e.err = e.ctx.Err(); e.err == nil { // else nobody waits for it any more
				e.err = r.recordOne(ctx, tx, e, newest.Int64)
			}
			if e.err == nil {
				newest.Int64 = e.info.GenTime.UnixMicro()
			} else if _, refused := errors.AsType[*tsa.Failure](e.err); !refused && e.ctx.Err() == nil {
				return e.err
			}
		}
		return nil
	})
	if err == nil {
		return
	}
	for _, e := range group {
		if e.err == nil {
			e.err = err
		}
	}
}

// recordOne gives a request its time and stores both. A *tsa.Failure means that nothing was written for it.
func (r *Role) recordOne(ctx context.Context, tx *sql.Tx, e *reservation, newest int64) error {
	now, err := r.time()
	if err != nil {
		return err
	}
	now = now.Truncate(resolution)
	if now.UnixMicro() < newest {
		return &tsa.Failure{Info: tsa.TimeNotAvailable, Text: "the clock is behind the newest token"}
	}
	if e.unit, err = r.unitAt(now); err != nil {
		return err
	}
	e.info.GenTime = now
	serial, imprint := e.info.Serial.Text(16), e.req.Imprint
	err = audit.Append(ctx, tx, audit.Event{
		At: now, Kind: "tsa.token", Subject: serial,
		Detail: map[string]string{"gen_time": now.UTC().Format(time.RFC3339Nano), "hash": imprint.Hash.String(), "imprint": fmt.Sprintf("%x", imprint.Digest)},
	})
	if errors.Is(err, audit.ErrClockBack) { // before anything was written
		return &tsa.Failure{Info: tsa.TimeNotAvailable, Text: "the clock is behind the record"}
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO tokens (serial, gen_time, policy, hash, imprint) VALUES (?,?,?,?,?)",
		serial, now.UnixMicro(), r.policy.String(), imprint.Hash.String(), imprint.Digest)
	if err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	return nil
}

// recordFailure: a serial number was used up and no token left.
func (r *Role) recordFailure(ctx context.Context, info tsa.Info) error {
	return r.event(context.WithoutCancel(ctx), audit.Event{At: info.GenTime, Kind: "tsa.failed", Subject: info.Serial.Text(16)})
}

// event records what happened at a time that is known better than now's; before the newest row it is dated by that. What
// belongs to it is done in its transaction.
func (r *Role) event(ctx context.Context, e audit.Event, more ...func(*sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		high, err := audit.HighWater(ctx, r.db)
		if err != nil {
			return err
		}
		if e.At.Before(high) {
			e.At = high
		}
		for _, f := range more {
			if err := f(tx); err != nil {
				return err
			}
		}
		return audit.Append(ctx, tx, e)
	})
}
