package hsm

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"
)

// Whether the token can be trusted now: readiness by a canary key, and what follows from a wrong value.
//
// The canary is no key of the token's own and needs no ceremony. Where users' keys are wrapped it is a wrapped key made
// at start and kept in memory only, so that a check goes the whole way of a user's key (C_UnwrapKey, C_SignInit, C_Sign,
// C_DestroyObject) under the same KEK. Where there are only resident keys, each check makes a pair of session objects,
// signs and destroys it: the keys of a CA or a time-stamping unit sign nothing but certificates and time-stamps.

const (
	// canaryAge is how long a check that went well is good, so that whoever asks for readiness cannot load the token.
	canaryAge = 5 * time.Second
	// canaryPause is the least time between two checks of which the first failed.
	canaryPause = time.Second
	// canaryProof is how many canary values in a row must verify after a wrong value.
	canaryProof = 10
)

// CanaryDigest is the digest that canaries sign, so that whoever counts signatures beside the token can tell them apart.
func CanaryDigest() [sha256.Size]byte { return sha256.Sum256([]byte("tekend: canary")) }

// watch is the Token's judgement of its device.
type watch struct {
	turn    turn         // one check at a time
	suspect atomic.Int64 // values that were wrong since the last proof; if any, nothing but canaries is signed
	waiting atomic.Int64 // calls that wait for a session

	mu      sync.Mutex
	pause   time.Duration    // canaryPause; tests have it shorter
	gen     uint64           // the module's start of the last check that went well
	fresh   <-chan struct{}  // it is good until then
	paused  <-chan struct{}  // no check before
	last    error            // why the last one failed
	canary  *Wrapped         // nil: session pairs
	public  crypto.PublicKey // of canary
	checked int              // canary values that verified, for tests
}

// UseCanary makes a wrapped P-256 key under the KEK for the checks of Ready; it lives in memory only.
func (t *Token) UseCanary(ctx context.Context, kek string) error {
	var pub crypto.PublicKey
	w, err := t.GenerateWrapped(ctx, kek, P256, func(s crypto.Signer) error {
		pub = s.Public()
		return nil
	})
	if err != nil {
		return fmt.Errorf("make the canary key: %w", err)
	}
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	t.watch.canary, t.watch.public = &w, pub
	return nil
}

// Ready tells whether the token signs: the canary makes a value and its public key verifies it. A good answer is kept
// for five seconds, a bad one for one, and there is one check at a time, so that asking cannot load the token. It is an
// error while a key of the token's own is suspended, because the role cannot do its work without it.
func (t *Token) Ready(ctx context.Context) error {
	if !t.watch.turn.take(ctx) {
		return busy(ctx)
	}
	defer t.watch.turn.give()
	t.mu.Lock()
	for name, resident := range t.suspended {
		if resident {
			t.mu.Unlock()
			return suspendedError(name)
		}
	}
	t.mu.Unlock()
	if t.watch.suspect.Load() > 0 {
		return t.clear(ctx)
	}
	gen := t.lib.generation()
	t.watch.mu.Lock()
	good := t.watch.gen == gen && !passed(t.watch.fresh) && t.lib.staleReason() == ""
	resting, last := !passed(t.watch.paused), t.watch.last
	t.watch.mu.Unlock()
	switch {
	case good:
		return nil
	case resting:
		return last
	}
	err := t.canary(ctx)
	t.judged(err)
	return err
}

// after closes a channel when the time has passed.
func after(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

// passed tells whether the time of after has passed; nil means long ago.
func passed(at <-chan struct{}) bool {
	if at == nil {
		return true
	}
	select {
	case <-at:
		return true
	default:
		return false
	}
}

// judged keeps the outcome of a check.
func (t *Token) judged(err error) {
	t.watch.mu.Lock()
	defer t.watch.mu.Unlock()
	t.watch.last, t.watch.fresh, t.watch.paused = err, nil, nil
	if err != nil {
		t.watch.paused = after(t.watch.pause)
		return
	}
	t.watch.gen, t.watch.fresh = t.lib.generation(), after(canaryAge)
}

// trusted refuses the use of a token that gave a wrong value, until the canary has proven it.
func (t *Token) trusted(ctx context.Context) error {
	if t.watch.suspect.Load() == 0 {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, t.cfg.QueueTimeout)
	defer cancel()
	if !t.watch.turn.take(wait) {
		return busy(ctx)
	}
	defer t.watch.turn.give()
	return t.clear(ctx)
}

// clear lifts the suspicion when enough canary values in a row verify. The caller has the turn.
func (t *Token) clear(ctx context.Context) error {
	if t.watch.suspect.Load() == 0 {
		return nil
	}
	doubts := t.watch.suspect.Load()
	t.watch.mu.Lock()
	resting := !passed(t.watch.paused)
	t.watch.mu.Unlock()
	if resting {
		return errSuspect
	}
	for range canaryProof {
		if err := t.canary(ctx); err != nil {
			t.judged(err)
			return fmt.Errorf("%w: %w", errSuspect, err)
		}
	}
	if !t.watch.suspect.CompareAndSwap(doubts, 0) { // another wrong value meanwhile
		return errSuspect
	}
	t.judged(nil)
	t.cfg.OnReinit(fmt.Sprintf("the token is trusted again: %d canary values verified", canaryProof))
	return nil
}

// errSuspect is ErrUnavailable with its reason.
var errSuspect = fmt.Errorf("%w: it gave a wrong value and has not proven itself since", ErrUnavailable)

// wrongValue suspends a key, until the program is started again, and doubts the device, until the canary has proven it: a
// faulty RSA value can give the private key away, and what went wrong once may go wrong again. name is the key's label,
// the blob of a wrapped key, or empty for the canary.
func (t *Token) wrongValue(name string, resident bool) {
	t.mu.Lock()
	if name != "" {
		t.suspended[name] = resident
	}
	t.mu.Unlock()
	t.watch.mu.Lock()
	t.watch.fresh = nil
	t.watch.mu.Unlock()
	t.watch.suspect.Add(1)
	t.cfg.OnReinit("WRONG VALUE: a signature did not verify and was destroyed; the key is suspended until the program starts again, the token until the canary verifies: look at the device")
}

// suspendedKey refuses a key that gave a wrong value.
func (t *Token) suspendedKey(name string) error {
	t.mu.Lock()
	resident, suspended := t.suspended[name]
	t.mu.Unlock()
	switch {
	case !suspended:
		return nil
	case resident:
		return suspendedError(name)
	}
	return suspendedError("a user's key") // its name is the blob, or the CKA_ID
}

func suspendedError(name string) error {
	return fmt.Errorf("%w: %q: %w; check the device and start the program again", ErrSuspended, name, ErrWrongValue)
}

// canary makes one value with the canary key and verifies it.
func (t *Token) canary(ctx context.Context) error {
	t.watch.mu.Lock()
	w, pub := t.watch.canary, t.watch.public
	t.watch.mu.Unlock()
	err := t.retrying(ctx, func(s *session) error {
		if err := t.alive(s); err != nil {
			return err
		}
		if w == nil {
			return t.sessionCanary(s)
		}
		kek, err := t.handle(s, object{class: pkcs11.CKO_SECRET_KEY, label: w.KEK})
		if err != nil {
			return err
		}
		k, err := w.Kind.forUser()
		if err != nil {
			return err
		}
		key, err := t.unwrap(s, kek, w.Blob, t.userKey(k))
		if err != nil {
			return err
		}
		defer t.destroy(s, key)
		return t.canaryValue(s, keyHandle{key, k, pub})
	})
	if errors.Is(err, ErrWrongValue) {
		t.wrongValue("", false)
	}
	return err
}

// sessionCanary signs with a pair that lives for this one value.
func (t *Token) sessionCanary(s *session) error {
	k, err := P256.of()
	if err != nil {
		return err
	}
	mechanism, public := k.generation()
	ph, sh, err := t.lib.ctx.GenerateKeyPair(s.handle, mechanism, append(verifyOnly(false), public...), signOnly(false, false))
	if err != nil {
		return fail("C_GenerateKeyPair", err)
	}
	defer t.destroy(s, ph, sh)
	pub, err := t.lib.publicKey(s.handle, ph)
	if err != nil {
		return err
	}
	return t.canaryValue(s, keyHandle{sh, k, pub})
}

func (t *Token) canaryValue(s *session, key keyHandle) error {
	sum := CanaryDigest()
	if _, err := t.value(s, key, digest{crypto.SHA256, sum[:]}); err != nil {
		return err
	}
	t.watch.mu.Lock()
	t.watch.checked++
	t.watch.mu.Unlock()
	return nil
}

// alarm tells OnStuck when an operation does not come back. A call that hangs in the module cannot be ended from here:
// it keeps its session, so as many can hang as there are sessions, and the others get ErrBusy.
func (t *Token) alarm() *time.Timer {
	return time.AfterFunc(t.cfg.StuckAfter, func() {
		t.cfg.OnStuck(fmt.Sprintf("a call of the PKCS#11 module has not come back for %v", t.cfg.StuckAfter))
	})
}
