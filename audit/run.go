package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Flush covers all rows by a signed checkpoint and asks the witnesses now. A
// nil error means that both are done; one that wraps [ErrUnwitnessed] that the
// checkpoint is signed and stored but too few witnesses have cosigned yet.
func (l *Log) Flush(ctx context.Context) error { return l.flush(ctx, true) }

// flush: eager also asks witnesses that failed a moment ago.
func (l *Log) flush(ctx context.Context, eager bool) error {
	if l == nil {
		return nil
	}
	l.turn.Lock()
	defer l.turn.Unlock()
	if err := l.broken(); err != nil {
		return err
	}
	start := l.cfg.Now()
	err := l.sequence(ctx)
	if err == nil {
		err = l.cosign(ctx, eager)
	}
	if errors.Is(err, ErrInconsistent) {
		l.mu.Lock()
		l.fault = err
		l.mu.Unlock()
		return err
	}
	return errors.Join(err, l.measure(ctx, start))
}

// measure notes from when on rows are not witnessed; at is a time before which
// every row was there to be covered.
func (l *Log) measure(ctx context.Context, at time.Time) error {
	h, err := readHead(ctx, l.db)
	if err != nil {
		return err
	}
	var first int64
	err = l.db.QueryRowContext(ctx, "SELECT at FROM audit WHERE seq = ?", h.witnessed+1).Scan(&first)
	switch {
	case err == nil:
		at = time.UnixMicro(first)
	case !errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("audit: %w", err)
	}
	l.mu.Lock()
	l.covered = at
	l.mu.Unlock()
	return nil
}

func (l *Log) broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// Ready says whether the role may act at now: nil, or an error that wraps
// [ErrInconsistent] (for ever, until people have looked) or [ErrUnwitnessed]
// (the oldest row without enough cosignatures is older than max_unwitnessed,
// or the sequencer has not run for as long). It asks memory only.
func (l *Log) Ready(now time.Time) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	if age := now.Sub(l.covered); age > l.cfg.MaxUnwitnessed {
		return fmt.Errorf("%w for %s, allowed are %s", ErrUnwitnessed, age.Round(time.Second), l.cfg.MaxUnwitnessed)
	}
	return nil
}

// Origin names the log; empty for a nil Log.
func (l *Log) Origin() string {
	if l == nil {
		return ""
	}
	return l.cfg.Origin
}

// last is what a stopping role waits for its last checkpoint.
const last = 2 * time.Second

// Run sequences, asks the witnesses and the anchor until ctx ends, then once
// more, so that the stop is covered too. It returns when the database is not
// used any more. Errors go to the logger and, by their age, to [Log.Ready].
func (l *Log) Run(ctx context.Context) {
	if l == nil {
		return
	}
	anchored := make(chan struct{})
	go func() {
		defer close(anchored)
		l.keepAnchored(ctx)
	}()
	tick := time.NewTicker(l.cfg.Interval)
	defer tick.Stop()
	var said string
	for {
		if err := l.flush(ctx, false); err != nil && ctx.Err() == nil {
			if text := err.Error(); text != said { // once, not every second
				l.cfg.Log.Error("audit log", "err", text)
				said = text
			}
		} else {
			said = ""
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			<-anchored
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
			defer cancel()
			if err := l.Flush(end); err != nil {
				l.cfg.Log.Warn("audit log: the last rows are not covered yet", "err", err.Error())
			}
			return
		}
	}
}
