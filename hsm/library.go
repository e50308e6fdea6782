package hsm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/miekg/pkcs11"
	"golang.org/x/sync/semaphore"
)

// library is one loaded PKCS#11 module. C_Initialize and C_Finalize act on the whole process, so all Tokens of a
// process that use one module share one library; in production there is one Token per process.
type library struct {
	path string
	args string // pReserved of C_Initialize
	ctx  *pkcs11.Ctx
	sign signFunction

	// gate is held with weight 1 by each operation and with all weight while the module starts again, because
	// C_Finalize must not run beside another call. It is first come, first served: a waiting restart holds new
	// operations back, so it cannot starve.
	gate *semaphore.Weighted
	turn turn // one restart at a time

	mu      sync.Mutex
	users   int
	gen     uint64           // counts successful C_Initialize calls; never 0
	stale   string           // why the module must start again; empty = it is well
	cooling <-chan time.Time // after a restart because of an error: not before this
	unwraps int              // since the last start
	pause   time.Duration    // coolDown; tests have it shorter
}

const (
	gateWeight = 1 << 20
	// drainTimeout bounds the wait for running operations before a restart. The slowest is an RSA key generation.
	drainTimeout = 15 * time.Second
	// coolDown is the least time between two restarts because of an error, so that a dead token costs little and a
	// token that is back is found within a second.
	coolDown = 500 * time.Millisecond
)

// libraries holds the modules that are loaded, by path. It mirrors what the dynamic linker holds for the process anyway.
var libraries = struct {
	sync.Mutex
	byPath map[string]*library
}{byPath: map[string]*library{}}

// openLibrary loads and initialises the module, or counts one more user of it.
func openLibrary(path, args string) (*library, error) {
	libraries.Lock()
	defer libraries.Unlock()
	if l := libraries.byPath[path]; l != nil {
		if l.args != args {
			return nil, fmt.Errorf("hsm: %s is loaded already with other init_args", path)
		}
		l.users++
		return l, nil
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("hsm: %s is not a PKCS#11 module that can be loaded; is the package installed (softhsm2)?", path)
	}
	sign, err := findSign(path)
	if err != nil {
		return nil, fmt.Errorf("hsm: %s: %w", path, err)
	}
	if err := initialize(ctx, args); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return nil, fmt.Errorf("%w (for SoftHSM: is SOFTHSM2_CONF set, and is its directories.tokendir readable?)", fail("C_Initialize", err))
	}
	l := &library{path: path, args: args, ctx: ctx, sign: sign, users: 1, gen: 1, gate: semaphore.NewWeighted(gateWeight), turn: newTurn(), pause: coolDown}
	libraries.byPath[path] = l
	return l, nil
}

// close gives the module back. The last user finalises it.
func (l *library) close() error {
	libraries.Lock()
	defer libraries.Unlock()
	l.users--
	if l.users > 0 {
		return nil
	}
	delete(libraries.byPath, l.path)
	return fail("C_Finalize", l.ctx.Finalize())
}

// name is the module as records name it: manufacturer, description and version, e.g. "SoftHSM, Implementation of PKCS11, 2.6".
func (l *library) name() (string, error) {
	info, err := l.ctx.GetInfo()
	if err != nil {
		return "", fail("C_GetInfo", err)
	}
	return fmt.Sprintf("%s, %s, %d.%d", strings.TrimRight(info.ManufacturerID, " \x00"),
		strings.TrimRight(info.LibraryDescription, " \x00"), info.LibraryVersion.Major, info.LibraryVersion.Minor), nil
}

// generation is the number of the current start of the module.
func (l *library) generation() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gen
}

// markStale asks for a restart before the next operation. gen is the start in which the fault was seen: a fault of an
// earlier start says nothing about this one.
func (l *library) markStale(gen uint64, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gen == gen && l.stale == "" {
		l.stale = reason
	}
}

// countUnwrap counts one more session object that SoftHSM will not give back, and asks for a restart at the limit.
func (l *library) countUnwrap(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwraps++
	if limit > 0 && l.unwraps >= limit && l.stale == "" {
		l.stale = renewal
	}
}

// renewal is the reason of a planned restart, which needs no cool-down.
const renewal = "planned, after the configured number of unwrapped keys"

func (l *library) staleReason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stale
}

// enter waits until the module is well and keeps it from being restarted until leave.
func (l *library) enter(ctx context.Context, told func(string)) error {
	for range 3 {
		if l.staleReason() != "" {
			if err := l.restart(ctx, told); err != nil {
				return err
			}
		}
		if err := l.gate.Acquire(ctx, 1); err != nil {
			return ErrBusy
		}
		if l.staleReason() == "" {
			return nil
		}
		l.gate.Release(1)
	}
	return ErrUnavailable
}

func (l *library) leave() { l.gate.Release(1) }

// restart finalises and initialises the module once for all who wait. Each Token then attaches anew at its next use.
func (l *library) restart(ctx context.Context, told func(string)) error {
	if !l.turn.take(ctx) {
		return ErrBusy
	}
	defer l.turn.give()
	reason := l.staleReason()
	if reason == "" {
		return nil // another caller has done it
	}
	if l.isCooling() {
		return ErrUnavailable
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := l.gate.Acquire(drain, gateWeight); err != nil {
		return ErrBusy
	}
	defer l.gate.Release(gateWeight)
	_ = l.ctx.Finalize() // a module that lost its token may refuse; what counts is the next call
	err := fail("C_Initialize", initialize(l.ctx, l.args))
	l.restarted(reason, err)
	if err != nil {
		told(fmt.Sprintf("module could not be started again (%s): %v", reason, err))
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	told("module started again: " + reason)
	return nil
}

// restarted records the outcome of a restart.
func (l *library) restarted(reason string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reason != renewal || err != nil {
		l.cooling = time.After(l.pause)
	}
	if err == nil {
		l.gen++
		l.stale = ""
		l.unwraps = 0
	}
}

// isCooling tells whether the last restart because of an error is too recent.
func (l *library) isCooling() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cooling == nil {
		return false
	}
	select {
	case <-l.cooling:
		l.cooling = nil
		return false
	default:
		return true
	}
}

// turn is a lock that can be waited for with a deadline.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) bool {
	select {
	case t <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t turn) give() { <-t }
