package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"tekend/sam"
	"tekend/store"
	"tekend/wire"
)

// history keeps the front from going on with a database that was put back. The
// database has a mark that grows; the sam keeps the newest one it was told. A
// database that has never been at that mark is older, or another one: then the
// front answers nothing but its health and does no work until two operators
// have decided (tekend-trusted lock). The sam's own rules do not rest on this.
type history struct {
	name string // of the front, as the sam keeps it
	sam  *sam.Client
	log  *slog.Logger

	locked atomic.Bool
	lock   chan struct{} // closed when the front locks
	told   int64         // store.Changes at the last mark; the loop's own
}

// reasonBehind is what the health of a locked front says.
const reasonBehind = "the front's database is older than what it told the sam"

const (
	tellEvery  = 2 * time.Second
	tellWithin = 3 * time.Second
	// At a start the sam is waited for so long, and asked so often.
	startWithin = 4 * time.Second
	startPause  = 100 * time.Millisecond
)

func newHistory(name string, client *sam.Client, log *slog.Logger) *history {
	return &history{name: name, sam: client, log: log, lock: make(chan struct{})}
}

// reason is why the front is locked, "" when it is not.
func (h *history) reason() string {
	if h.locked.Load() {
		return reasonBehind
	}
	return ""
}

// past looks before the front does anything, and says whether the database is
// known to be the newest: only then may documents go that it does not name. A
// sam that is starting too is waited for. One that does not answer says
// nothing: without it nothing can be signed, and it is asked again.
func (h *history) past(ctx context.Context, s *store.Store) (newest bool) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	err := h.tell(ctx, s)
	for err != nil && !h.locked.Load() && ctx.Err() == nil {
		select {
		case <-time.After(startPause):
			err = h.tell(ctx, s)
		case <-ctx.Done():
		}
	}
	if err != nil && !h.locked.Load() {
		h.log.Warn("the sam could not be told how far the database has come", "err", err)
		h.told = -1
	}
	return err == nil
}

// run tells new marks when there was work, until ctx ends or the front locks.
func (h *history) run(ctx context.Context, s *store.Store) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.lock:
			return
		case <-tick.C:
		}
		if s.Changes() == h.told {
			continue
		}
		if err := h.tell(ctx, s); err != nil && ctx.Err() == nil && !h.locked.Load() {
			h.log.Warn("the sam could not be told how far the database has come", "err", err)
		}
	}
}

// tell compares with what the sam keeps, and has it keep a new mark.
func (h *history) tell(ctx context.Context, s *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	for {
		err := h.tellOnce(ctx, s)
		var e *wire.Error
		switch {
		case !errors.As(err, &e):
			return err
		case e.Code == sam.CodeFrontBehind:
			if !h.locked.Swap(true) {
				h.log.Error("locked", "reason", reasonBehind)
				close(h.lock)
			}
			return err
		case e.Code != sam.CodeMarkMoved:
			return err
		}
	}
}

func (h *history) tellOnce(ctx context.Context, s *store.Store) error {
	known, err := h.sam.Mark(ctx, h.name)
	if err != nil {
		return err
	}
	var after []byte
	if known.Number > 0 {
		ours, err := s.HasMark(ctx, known)
		if err != nil {
			return err
		}
		if !ours {
			// The sam decides, and keeps the lock: it is told of the newest mark here, without the link that it wants.
			newest, err := s.NewestMark(ctx)
			if err == nil && newest.Number == 0 {
				newest, err = s.RaiseMark(ctx)
			}
			if err == nil {
				_, err = h.sam.TellMark(ctx, h.name, sam.MarkRequest{Mark: newest})
			}
			return err
		}
		after = known.Link
	}
	changes := s.Changes()
	m, err := s.RaiseMark(ctx)
	if err != nil {
		return err
	}
	if _, err = h.sam.TellMark(ctx, h.name, sam.MarkRequest{Mark: m, After: after}); err == nil {
		h.told = changes
	}
	return err
}
