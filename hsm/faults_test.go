package hsm_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/hsm/hsmtest/shim"
)

// matrix is reliability F11: calls × return values × how often.
type matrix struct {
	*rig
	w        hsm.Wrapped
	pub      crypto.PublicKey
	cases    int
	refused  int
	slowest  time.Duration
	requests []request
}

// spans are once, three times, and for ever: as long as the case tries.
var spans = []struct {
	name  string
	until int
	tries int // operations under the fault
}{{"once", 1, 1}, {"three times", 3, 3}, {"for ever", 0, 4}}

// afterwards is how many operations must work when the fault is over: 100 after a code that cost a session or the module
// on the way of a signature and lasted, 30 after one of key generation and search; fewer where nothing is left behind.
func afterwards(call string, code uint, until int) int {
	class := hsm.Rows()[code]
	switch {
	case until > 0:
		return 2
	case hsmtest.NSS():
		return 5
	case class != hsm.ClassDevice && class != hsm.ClassSession:
		return 5
	case slices.Contains([]string{"C_OpenSession", "C_UnwrapKey", "C_SignInit", "C_Sign"}, call):
		return 100
	}
	return 30
}

// faultCalls are the calls on the way of a key.
var faultCalls = []string{"C_OpenSession", "C_UnwrapKey", "C_SignInit", "C_Sign", "C_FindObjectsInit", "C_GenerateKeyPair", "C_WrapKey"}

// Each call has a process of its own.
func TestEveryReturnValueOfEveryCallIsSurvived(t *testing.T) {
	eachModule(t, func(t *testing.T) {
		for _, call := range faultCalls {
			t.Run(call, func(t *testing.T) { everyReturnValue(t, call) })
		}
	}, faultCalls...)
}

func everyReturnValue(t *testing.T, call string) {
	m := &matrix{rig: newRig(t, nil)}
	m.token.Impatient()
	m.w, m.pub = userKey(t, m.token, hsm.P256)
	if err := m.token.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	goroutines, start := runtime.NumGoroutine(), time.Now()
	codes := append(slices.Sorted(maps.Keys(hsm.Rows())), 0x80000001) // and one of the vendor's
	every := sample(2)
	for i, code := range codes {
		for j, span := range spans {
			if (i*len(spans)+j)%every != 0 {
				continue
			}
			m.run(call, code, span.until, span.tries)
			for range afterwards(call, code, span.until) {
				if q := m.ask(m.w, m.pub); q.err != nil {
					t.Errorf("%s 0x%x %s: afterwards: %v", call, code, span.name, q.err)
				} else {
					m.requests = append(m.requests, q)
				}
			}
			m.cases++
		}
		m.account(m.requests)
		m.requests = m.requests[:0]
		if t.Failed() {
			t.Fatalf("%s 0x%x", call, code)
		}
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if n, err := m.token.SessionObjects(ctx); err != nil || n != 0 {
		t.Errorf("%d session objects are left (%v)", n, err)
	}
	tell("HSM faults: %s × %d return values × 3, every %d. of them = %d cases in %v: %d operations refused, wrong 0, double 0, slowest recovery %v (limit 30 s)",
		call, len(codes), every, m.cases, time.Since(start).Round(time.Second), m.refused, m.slowest.Round(time.Millisecond))
}

// sample is how many cases stand for one: n on NSS, whose starts cost much more (its PIN goes through PBKDF2); all are tried
// on SoftHSM.
func sample(n int) int {
	if hsmtest.NSS() {
		return n
	}
	return 1
}

// run lets a call fail while operations that need it are tried, then waits until the token is well.
func (m *matrix) run(call string, code uint, until, tries int) {
	m.t.Helper()
	fault := shim.Fault{Function: call, Until: until, Action: shim.RV(code)}
	m.order(fault)
	hit := 0
	for range tries {
		err := m.operation(call)
		if err == nil {
			hit++
			continue
		}
		m.refused++
		if errors.Is(err, hsm.ErrPIN) {
			m.t.Errorf("%s 0x%x is taken for a refused PIN", call, code)
		}
	}
	if until == 0 && hit > 0 && code != 0 {
		m.t.Errorf("%s 0x%x for ever: %d operations worked without it", call, code, hit)
	}
	m.order()
	took, more := m.heal(m.w, m.pub)
	m.requests = append(m.requests, more...)
	m.slowest = max(m.slowest, took)
}

// operation is one that cannot be done without the call.
func (m *matrix) operation(call string) error {
	switch call {
	case "C_GenerateKeyPair", "C_WrapKey":
		w, err := m.token.GenerateWrapped(ctx, hsmtest.KEK, hsm.P256, func(crypto.Signer) error { return nil })
		if err != nil && w.Blob != nil {
			m.t.Error("a key came with an error")
		}
		return err
	case "C_OpenSession":
		m.token.CloseSessions()
	case "C_FindObjectsInit": // a key that was never named
		_, err := m.token.Signer(ctx, "absent")
		if errors.Is(err, hsm.ErrNoKey) {
			return nil
		}
		return err
	}
	q := m.ask(m.w, m.pub)
	m.requests = append(m.requests, q)
	return q.err
}

func TestAPINErrorEndsAllLogins(t *testing.T) { eachModule(t, testAPINErrorEndsAllLogins) }

func testAPINErrorEndsAllLogins(t *testing.T) {
	for code, class := range hsm.Rows() {
		if class != hsm.ClassPIN {
			continue
		}
		t.Run(fmt.Sprintf("0x%x", code), func(t *testing.T) {
			r := newRig(t, nil)
			r.token.Impatient()
			w, pub := userKey(t, r.token, hsm.P256)
			r.events()
			r.order(shim.Always("C_Login", shim.RV(code)), shim.Once("C_SignInit", shim.RV(pkcs11.CKR_DEVICE_ERROR)))
			for range 50 {
				if q := r.ask(w, pub); q.err == nil {
					t.Fatal("signed without a login")
				}
			}
			r.order() // even now: only a new start of the program may offer the PIN again
			if q := r.ask(w, pub); !errors.Is(q.err, hsm.ErrPIN) {
				t.Errorf("got %v", q.err)
			}
			logins := 0
			for _, e := range r.events() {
				if e.Function == "C_Login" {
					logins++
				}
			}
			if logins != 1 {
				t.Errorf("%d logins after the PIN was refused, want the one that was", logins)
			}
		})
	}
}

func TestALoginOrStartThatFailsIsTriedUntilItWorks(t *testing.T) {
	eachModule(t, testALoginOrStartThatFailsIsTriedUntilItWorks)
}

func testALoginOrStartThatFailsIsTriedUntilItWorks(t *testing.T) {
	r := newRig(t, nil)
	r.token.Impatient()
	w, pub := userKey(t, r.token, hsm.P256)
	cases, tried, slowest := 0, 0, time.Duration(0)
	for _, call := range []string{"C_Initialize", "C_Finalize", "C_Login", "C_GetSlotList", "C_GetTokenInfo", "C_FindObjects", "C_FindObjectsFinal", "C_CloseSession", "C_DestroyObject"} {
		for _, code := range slices.Sorted(maps.Keys(hsm.Rows())) {
			if call == "C_Login" && hsm.Rows()[code] == hsm.ClassPIN {
				continue // the test above
			}
			for _, n := range []int{1, 1000000} {
				cases++
				if cases%sample(7) != 0 {
					continue
				}
				tried++
				r.order(shim.Times(n, call, shim.RV(code)), shim.Once("C_SignInit", shim.RV(pkcs11.CKR_DEVICE_ERROR)))
				for range 2 {
					r.ask(w, pub)
				}
				r.order()
				took, _ := r.heal(w, pub)
				slowest = max(slowest, took)
			}
		}
	}
	if n, err := r.token.SessionObjects(ctx); err != nil || n != 0 {
		t.Errorf("%d session objects are left (%v)", n, err)
	}
	tell("HSM faults around a restart: %d cases of %d, slowest recovery %v", tried, cases, slowest.Round(time.Millisecond))
}

func TestAWrongValueIsNeverReleased(t *testing.T) { eachModule(t, testAWrongValueIsNeverReleased) }

func testAWrongValueIsNeverReleased(t *testing.T) {
	r := newRig(t, nil)
	if err := r.token.UseCanary(ctx, hsmtest.KEK); err != nil {
		t.Fatal(err)
	}
	flips, proven := 1000/sample(5), 20
	released, suspended := 0, 0
	w, pub := userKey(t, r.token, hsm.P256)
	r.order(shim.Always("C_Sign", "flip"))
	for i := range flips {
		if i >= flips-proven { // the last ones without forgiveness, each with a key of its own
			r.order()
			w, pub = userKey(t, r.token, hsm.P256)
			r.order(shim.Once("C_Sign", "flip"))
		}
		digest := sha256.Sum256([]byte(rand.Text()))
		err := r.token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error {
			value, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
			if value != nil {
				released++
			}
			return err
		})
		if !errors.Is(err, hsm.ErrWrongValue) || !r.token.Suspect() {
			t.Fatalf("got %v; suspect: %t", err, r.token.Suspect())
		}
		if i < flips-proven {
			r.token.Forgive()
			continue
		}
		r.order()
		if q := r.ask(w, pub); errors.Is(q.err, hsm.ErrSuspended) {
			suspended++
		}
	}
	if released != 0 || suspended != proven {
		t.Errorf("of %d wrong values %d were released and %d keys suspended", flips, released, suspended)
	}
	tell("wrong values: %d, released %d, keys suspended %d", flips, released, suspended)
}

func TestADeviceThatGoesOnLyingIsNotTrusted(t *testing.T) {
	eachModule(t, testADeviceThatGoesOnLyingIsNotTrusted)
}

func testADeviceThatGoesOnLyingIsNotTrusted(t *testing.T) {
	r := newRig(t, nil)
	r.token.Impatient()
	w, pub := userKey(t, r.token, hsm.P256)
	other, otherPub := userKey(t, r.token, hsm.P256)
	for _, kek := range []string{"", hsmtest.KEK} {
		if kek != "" {
			if err := r.token.UseCanary(ctx, kek); err != nil {
				t.Fatal(err)
			}
		}
		r.order(shim.Always("C_Sign", "flip"))
		if err := r.token.Ready(ctx); err == nil && kek == "" {
			t.Error("ready although every value is wrong")
		}
		r.ask(w, pub)
		r.events()
		for range 20 {
			if q := r.ask(other, otherPub); !errors.Is(q.err, hsm.ErrUnavailable) {
				t.Fatalf("got %v", q.err)
			}
			time.Sleep(time.Millisecond)
		}
		for _, s := range shim.Signatures(r.events()) {
			if !s.Canary() {
				t.Error("another key was used on a token that lies")
			}
		}
		r.order()
		before := r.token.Canaries()
		r.heal(other, otherPub)
		if n := r.token.Canaries() - before; n < 10 {
			t.Errorf("trusted again after %d canary values", n)
		}
		if err := r.token.Ready(ctx); err != nil {
			t.Error(err)
		}
	}
}

func TestReadinessSignsForRealAndSeldom(t *testing.T) {
	eachModule(t, testReadinessSignsForRealAndSeldom)
}

func testReadinessSignsForRealAndSeldom(t *testing.T) {
	r := newRig(t, nil)
	if err := r.token.UseCanary(ctx, hsmtest.KEK); err != nil {
		t.Fatal(err)
	}
	r.events()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 50 {
				if err := r.token.Ready(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	start := time.Now()
	wg.Wait()
	signs := 0
	for _, s := range shim.Signatures(r.events()) {
		if s.Canary() && s.Made() {
			signs++
		}
	}
	if limit := 1 + int(time.Since(start)/(5*time.Second)); signs < 1 || signs > limit {
		t.Errorf("1000 questions made %d signatures, want 1 to %d", signs, limit)
	}
	// The token's files go away: the first operation that fails makes readiness look anew, also within the five seconds.
	w, pub := userKey(t, r.token, hsm.P256)
	dir := r.files()
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	differs(t, "a token whose files were moved away while it is in use", r.ask(w, pub).err)
	r.order(shim.Once("C_SignInit", shim.RV(pkcs11.CKR_DEVICE_ERROR)))
	r.ask(w, pub)
	if err := r.token.Ready(ctx); err == nil {
		t.Error("ready without a token")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for r.token.Ready(ctx) != nil {
		if time.Since(back) > 30*time.Second {
			t.Fatal("not ready 30 s after the token came back")
		}
		time.Sleep(10 * time.Millisecond)
	}
	tell("readiness: 1000 questions, %d signature; ready %v after the token came back", signs, time.Since(back).Round(time.Millisecond))
}

func TestACallThatHangsFillsThePoolAndIsTold(t *testing.T) {
	eachModule(t, testACallThatHangsFillsThePoolAndIsTold)
}

func testACallThatHangsFillsThePoolAndIsTold(t *testing.T) {
	stuck := make(chan string, 10)
	r := newRig(t, func(c *hsm.Config) {
		c.Sessions, c.Queue, c.QueueTimeout, c.StuckAfter = 2, 4, 300*time.Millisecond, time.Second
		c.OnStuck = func(detail string) { stuck <- detail }
	})
	w, pub := userKey(t, r.token, hsm.P256)
	goroutines := runtime.NumGoroutine()
	r.order(shim.Always("C_Sign", "delay:600000"))
	hanging := make(chan request, 2)
	for range 2 {
		go func() { hanging <- r.ask(w, pub) }()
	}
	for shim.Count(r.events(), "C_UnwrapKey") > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	var wg sync.WaitGroup
	for range 50 { // more than the queue takes
		wg.Go(func() {
			start := time.Now()
			if q := r.ask(w, pub); !errors.Is(q.err, hsm.ErrBusy) || time.Since(start) > 5*time.Second {
				t.Errorf("got %v after %v", q.err, time.Since(start))
			}
		})
	}
	wg.Wait()
	if n := runtime.NumGoroutine(); n > goroutines+2+8 { // the two that hang, and timers
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	for range 2 {
		select {
		case detail := <-stuck:
			t.Log(detail)
		case <-time.After(20 * time.Second):
			t.Fatal("nobody is told that a call hangs")
		}
	}
	r.order()
	for range 2 {
		if q := <-hanging; q.err != nil {
			t.Error(q.err)
		}
	}
	r.heal(w, pub)
}

func TestPlannedRestartsUnderLoadLoseNothing(t *testing.T) {
	eachModule(t, testPlannedRestartsUnderLoadLoseNothing)
}

func testPlannedRestartsUnderLoadLoseNothing(t *testing.T) {
	r := newRig(t, func(c *hsm.Config) { c.ReinitEvery, c.Sessions = 50, 4 })
	w, pub := userKey(t, r.token, hsm.P256)
	r.events()
	workers, each := 4, 500/sample(3)
	got := make([][]request, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for range each {
				got[i] = append(got[i], r.ask(w, pub))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(got...)
	for _, q := range all {
		if q.err != nil {
			t.Fatal(q.err)
		}
	}
	mark := r.read
	events := r.events()
	made, starts := 0, shim.Count(events, "C_Initialize")
	for _, s := range shim.Signatures(events) {
		if s.Made() {
			made++
		}
	}
	if made != len(all) || starts < 10 {
		t.Errorf("%d values, %d C_Sign, %d starts of the module", len(all), made, starts)
	}
	r.read = mark
	r.account(all)
	tell("planned restarts: %d under load, values %d = C_Sign %d", starts, len(all), made)
}
