package hsm_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

func fromHex(s string) *big.Int { n, _ := new(big.Int).SetString(s, 16); return n }

// reasons collects what OnReinit is told.
type reasons struct {
	mu   sync.Mutex
	list []string
}

func (r *reasons) add(s string) { r.mu.Lock(); defer r.mu.Unlock(); r.list = append(r.list, s) }
func (r *reasons) get() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.list...)
}

func TestTheTokenDirectoryGoesAwayAndComesBack(t *testing.T) {
	var told reasons
	cfg := hsmtest.Config(t)
	cfg.OnReinit = told.add
	token := hsmtest.Open(t, cfg)
	w, pub := userKey(t, token, hsm.P256)
	if _, err := token.CreateKeyPair(ctx, "service", hsm.P256); err != nil {
		t.Fatal(err)
	}
	service, err := token.Signer(ctx, "service")
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	dir := hsmtest.Directory(t)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, value, err := sign(token, w, pub); !errors.Is(err, hsm.ErrUnavailable) || value != nil {
			t.Errorf("user key without a token: %v", err)
		}
		if _, err := service.Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("service key without a token: %v", err)
		}
		if _, err := token.MAC(ctx, hsmtest.MAC, digest[:]); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("MAC without a token: %v", err)
		}
		if err := token.Health(ctx); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("health without a token: %v", err)
		}
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	for {
		_, _, err := sign(token, w, pub)
		if err == nil {
			break
		}
		if time.Since(back) > 30*time.Second {
			t.Fatalf("still %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("signs again after %v; told: %q", time.Since(back).Round(time.Millisecond), told.get())
	if _, err := service.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
		t.Error(err)
	}
	if err := token.Health(ctx); err != nil {
		t.Error(err)
	}
	if n := len(told.get()); n == 0 || n > 5 {
		t.Errorf("the module was started again %d times", n)
	}
}

func TestADirectoryThatWasAwayBetweenTwoUsesIsNotEvenNoticed(t *testing.T) {
	token := hsmtest.Token(t)
	w, pub := userKey(t, token, hsm.P256)
	dir := hsmtest.Directory(t)
	if err := errors.Join(os.Rename(dir, dir+".away"), os.Rename(dir+".away", dir)); err != nil {
		t.Fatal(err)
	}
	digest, value, err := sign(token, w, pub)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, hsm.P256, pub, digest, value)
}

func TestALostLoginIsRepairedBeforeSigning(t *testing.T) {
	token := hsmtest.Token(t)
	w, pub := userKey(t, token, hsm.P256)
	if err := token.LogOutBehindItsBack(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for { // another test's restart may be too recent
		digest, value, err := sign(token, w, pub)
		if err == nil {
			verify(t, hsm.P256, pub, digest, value)
			return
		}
		if !errors.Is(err, hsm.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestTheModuleStartsAgainAfterTheConfiguredNumberOfKeys(t *testing.T) {
	var told reasons
	cfg := hsmtest.Config(t)
	cfg.ReinitEvery, cfg.OnReinit = 5, told.add
	token := hsmtest.Open(t, cfg)
	w, pub := userKey(t, token, hsm.P256) // counts two: the generated and the unwrapped key
	for range 14 {
		digest, value, err := sign(token, w, pub)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, hsm.P256, pub, digest, value)
	}
	list := told.get()
	if len(list) != 3 {
		t.Errorf("16 keys, 5 at a time: told %q", list)
	}
	for _, s := range list {
		if !strings.Contains(s, "planned") {
			t.Errorf("told %q", s)
		}
	}
}

func TestWhatReachedAKeyIsNeverRepeated(t *testing.T) {
	token := hsmtest.Token(t)
	token.Impatient()
	w, pub := userKey(t, token, hsm.P256)
	for _, rv := range []uint{pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_SESSION_CLOSED} {
		calls := 0
		err := retryCooling(t, func() error {
			return token.UseWrapped(ctx, w, pub, func(crypto.Signer) error {
				calls++
				return hsm.Fail("C_Sign", rv)
			})
		})
		var e *hsm.Error
		if !errors.As(err, &e) || e.RV != rv {
			t.Errorf("0x%X: %v", rv, err)
		}
		if calls != 1 {
			t.Errorf("0x%X: used %d times", rv, calls)
		}
	}
}

func TestWhatDidNotReachAKeyIsRepeatedOnce(t *testing.T) {
	token := hsmtest.Token(t)
	token.Impatient() // else the restart after each case keeps the next one waiting
	for rv, want := range map[uint]int{
		pkcs11.CKR_OBJECT_HANDLE_INVALID: 2,
		pkcs11.CKR_GENERAL_ERROR:         2,
		pkcs11.CKR_OPERATION_ACTIVE:      2,
		pkcs11.CKR_DATA_LEN_RANGE:        1,
		pkcs11.CKR_PIN_LOCKED:            1,
		pkcs11.CKR_RANDOM_NO_RNG:         1,
	} {
		if err := retryCooling(t, func() error { return token.Health(ctx) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
		calls := 0
		err := token.Fault(ctx, func() error { calls++; return hsm.Fail("C_SignInit", rv) })
		if err == nil || calls != want {
			t.Errorf("0x%X: %d calls, want %d (%v)", rv, calls, want, err)
		}
	}
}

// retryCooling repeats an operation that was refused before it began, because a restart was too recent.
func retryCooling(t *testing.T, op func() error) error {
	t.Helper()
	for range 100 {
		err := op()
		var e *hsm.Error
		if !errors.Is(err, hsm.ErrUnavailable) || errors.As(err, &e) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the module stays unavailable")
	return nil
}

func TestTwoTokensOfOneProcessSurviveEachOther(t *testing.T) {
	var told reasons
	cfg := hsmtest.Config(t)
	cfg.ReinitEvery, cfg.OnReinit = 2, told.add
	restless, calm := hsmtest.Open(t, cfg), hsmtest.Token(t)
	a, aPub := userKey(t, restless, hsm.P256)
	b, bPub := userKey(t, calm, hsm.P256)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 20 {
				if _, _, err := sign(restless, a, aPub); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if _, _, err := sign(calm, b, bPub); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(told.get()) == 0 {
		t.Error("the module was never started again")
	}
}

func TestAWrongPINIsOfferedOnceAndNeverShown(t *testing.T) {
	cfg := hsmtest.Config(t)
	const wrong = "a-secret-that-is-wrong"
	good, err := os.ReadFile(cfg.PINFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.PINFile, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = hsm.Open(ctx, cfg)
	if !errors.Is(err, hsm.ErrPIN) || strings.Contains(err.Error(), wrong) {
		t.Errorf("open: %v", err)
	}
	if err := os.WriteFile(cfg.PINFile, good, 0o600); err != nil {
		t.Fatal(err)
	}
	var told reasons
	cfg.OnReinit, cfg.ReinitEvery = told.add, 1
	token := hsmtest.Open(t, cfg)
	w, pub := userKey(t, token, hsm.P256)
	if err := os.WriteFile(cfg.PINFile, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the next start of the module logs in again, with the wrong PIN
		_, _, err := sign(token, w, pub)
		if !errors.Is(err, hsm.ErrPIN) || strings.Contains(err.Error(), wrong) {
			t.Errorf("got %v", err)
		}
		if err := os.WriteFile(cfg.PINFile, good, 0o600); err != nil { // even a corrected file is not read again
			t.Fatal(err)
		}
	}
	for _, s := range told.get() {
		if strings.Contains(s, wrong) {
			t.Errorf("told %q", s)
		}
	}
}
