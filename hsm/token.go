package hsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"
)

// Token is a logged-in token with its pool of sessions. It is safe for use by many goroutines.
type Token struct {
	cfg    Config
	lib    *library
	module string
	quirks quirks
	pool   chan *session // as many as configured; whoever holds one may use the token
	closed atomic.Bool

	attaching turn // one login at a time
	mu        sync.Mutex
	gen       uint64                 // the module's start in which slot, login and handles are good
	slot      uint                   // changes with each start of the module
	login     pkcs11.SessionHandle   // stays open: closing the last session logs out
	handles   map[object]foundHandle // the token's own keys; refilled after each start
	residents map[string]keyHandle   // users' resident keys by CKA_ID; forgotten at each start
	locked    error                  // the PIN was refused: no further login
	suspended map[string]bool        // keys that gave a wrong value: labels (true) and blobs of wrapped keys (false)

	watch watch
}

// object names a key of the token.
type object struct {
	class uint // CKO_…
	label string
	id    string // CKA_ID; empty: the label is enough
}

type foundHandle = pkcs11.ObjectHandle

// session is one PKCS#11 session, used by one goroutine at a time.
type session struct {
	handle pkcs11.SessionHandle
	gen    uint64
	// sent is set before the first call that may use a key for a value: from then on nothing is repeated.
	sent   bool
	fault  error // a signing error, kept because a caller's function may not pass it on
	doomed bool  // must be closed: something may be left in it
	alarm  *time.Timer
}

// Open loads the module, finds the token by its label, logs in once and opens the pool. The error says what to mend.
func Open(ctx context.Context, cfg Config) (*Token, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	lib, err := openLibrary(cfg.Module, cfg.InitArgs)
	if err != nil {
		return nil, err
	}
	t := &Token{
		cfg: cfg, lib: lib, attaching: newTurn(),
		pool:    make(chan *session, cfg.Sessions),
		handles: map[object]foundHandle{}, suspended: map[string]bool{}, watch: watch{turn: newTurn(), pause: canaryPause},
	}
	for range cfg.Sessions {
		t.pool <- &session{}
	}
	err = t.with(ctx, func(*session) error {
		if t.module, err = lib.name(); err == nil {
			t.quirks, err = quirksOf(t.module, cfg.TestOnly)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, lib.close())
	}
	return t, nil
}

// Module names the library behind the token, as it stands in the records of wrapped keys.
func (t *Token) Module() string { return t.module }

// Close waits for running operations, at most the queue's deadline, and logs out.
func (t *Token) Close() error {
	if t.closed.Swap(true) {
		return nil
	}
	deadline := time.After(t.cfg.QueueTimeout)
	for range t.cfg.Sessions {
		select {
		case <-t.pool:
		case <-deadline:
			return ErrBusy // the module stays loaded: C_Finalize beside a running call is undefined
		}
	}
	// With another Token of this process in the module, only our slot is closed.
	t.mu.Lock()
	slot, attached := t.slot, t.gen == t.lib.generation()
	t.mu.Unlock()
	if attached {
		_ = t.lib.ctx.CloseAllSessions(slot) // a lost token cannot be closed better
	}
	return t.lib.close()
}

// Health tells whether the token can be used now: it reads the token's state and one of its keys. (Opening a session
// proves nothing: SoftHSM opens one on a token that is gone.) A token that is back is healed by this call.
func (t *Token) Health(ctx context.Context) error { return t.with(ctx, t.alive) }

// alive reads the token's state and one kept handle.
func (t *Token) alive(s *session) error {
	t.mu.Lock()
	slot := t.slot
	var one foundHandle
	for _, h := range t.handles {
		one = max(one, h) // 0 stands for a key that was lost
	}
	t.mu.Unlock()
	if _, err := t.lib.ctx.GetTokenInfo(slot); err != nil {
		return fail("C_GetTokenInfo", err)
	}
	if one == 0 {
		return nil
	}
	_, err := t.lib.ctx.GetAttributeValue(s.handle, one, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil)})
	return fail("C_GetAttributeValue", err)
}

// with runs fn with a session. When fn fails because the session, a handle or the token is lost, and nothing was sent
// to a key yet, the module is started again and fn runs a second time.
func (t *Token) with(ctx context.Context, fn func(*session) error) error {
	if err := t.trusted(ctx); err != nil {
		return err
	}
	return t.retrying(ctx, fn)
}

// retrying is with for a token that is under suspicion.
func (t *Token) retrying(ctx context.Context, fn func(*session) error) error {
	for attempt := 1; ; attempt++ {
		s, err := t.acquire(ctx)
		if err != nil {
			return err
		}
		err = t.run(s, fn)
		if err == nil || s.sent || attempt == 2 {
			return outward(err)
		}
		if c := classOf(err); c != ClassSession && c != ClassDevice {
			return err
		}
	}
}

// outward adds ErrUnavailable to errors of a lost token, for callers who only ask "again later or never".
func outward(err error) error {
	if needsReinit(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// run calls fn and gives the session back, also when fn panics.
func (t *Token) run(s *session, fn func(*session) error) (err error) {
	done := false
	defer func() {
		if !done {
			err = errors.New("hsm: the function panicked")
		}
		t.release(s, err)
	}()
	err = fn(s)
	done = true
	return err
}

// acquire waits for a session, for the module and for the login, all within the queue's deadline.
func (t *Token) acquire(ctx context.Context) (*session, error) {
	if t.closed.Load() {
		return nil, ErrClosed
	}
	wait, cancel := context.WithTimeout(ctx, t.cfg.QueueTimeout)
	defer cancel()
	s, err := t.fromPool(wait)
	if err != nil {
		return nil, busy(ctx)
	}
	s.alarm = t.alarm()
	if err := t.lib.enter(wait, t.cfg.OnReinit); err != nil {
		t.toPool(s)
		if errors.Is(err, ErrBusy) {
			return nil, busy(ctx)
		}
		return nil, err
	}
	if err := t.prepare(wait, s); err != nil {
		t.lib.leave()
		t.toPool(s)
		return nil, err
	}
	s.sent, s.fault, s.doomed = false, nil, false
	return s, nil
}

// fromPool waits for a session, in a queue that is not longer than configured.
func (t *Token) fromPool(wait context.Context) (*session, error) {
	select {
	case s := <-t.pool:
		return s, nil
	default:
	}
	defer t.watch.waiting.Add(-1)
	if t.watch.waiting.Add(1) > int64(t.cfg.Queue) {
		return nil, ErrBusy
	}
	select {
	case s := <-t.pool:
		return s, nil
	case <-wait.Done():
		return nil, ErrBusy
	}
}

func (t *Token) toPool(s *session) {
	s.alarm.Stop()
	t.pool <- s
}

// busy is ErrBusy, or the caller's own reason when it gave up before our deadline.
func busy(ctx context.Context) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
	return ErrBusy
}

// prepare attaches the Token to the current start of the module and opens the session in it.
func (t *Token) prepare(ctx context.Context, s *session) error {
	gen := t.lib.generation()
	if err := t.attach(ctx, gen); err != nil {
		return err
	}
	if s.gen == gen && s.handle != 0 {
		return nil
	}
	t.mu.Lock()
	slot := t.slot
	t.mu.Unlock()
	h, err := t.lib.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION) // read-only: it can unwrap nothing into the token
	if err != nil {
		err = fail("C_OpenSession", err)
		t.lib.markStale(gen, err.Error())
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.handle, s.gen = h, gen
	return nil
}

// release gives the session back. After anything but success or a refused request it is closed first, and after a lost
// handle or token the module will start again before the next use.
func (t *Token) release(s *session, err error) {
	if s.fault != nil {
		err = s.fault
	}
	if s.doomed || err != nil && classOf(err) != ClassRequest {
		closed := fail("C_CloseSession", t.lib.ctx.CloseSession(s.handle))
		if closed != nil && classOf(closed) != ClassSession { // not gone already: what is in it ends with the module
			t.lib.markStale(s.gen, closed.Error())
		}
		s.handle = 0
	}
	if needsReinit(err) {
		t.lib.markStale(s.gen, err.Error())
	}
	t.lib.leave()
	t.toPool(s)
}
