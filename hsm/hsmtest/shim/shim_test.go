package shim_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/hsm/hsmtest/shim"
)

func TestMain(m *testing.M) { os.Exit(hsmtest.Main(m)) }

var ctx = context.Background()

// behind opens a token of SoftHSM behind the shim.
func behind(t *testing.T) (*hsm.Token, string, shim.Faults) {
	t.Helper()
	cfg := hsmtest.Config(t)
	oracle, faults := filepath.Join(t.TempDir(), "oracle.log"), filepath.Join(t.TempDir(), "faults")
	t.Setenv(shim.EnvModule, hsmtest.Module)
	t.Setenv(shim.EnvOracle, oracle)
	t.Setenv(shim.EnvFaults, faults)
	cfg.Module, cfg.TestOnly, cfg.Sessions = shim.Build(t), true, 4
	return hsmtest.Open(t, cfg), oracle, shim.Faults(faults)
}

func read(t *testing.T, oracle string) []shim.Event {
	t.Helper()
	events, err := shim.ReadOracle(oracle)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func sign(token *hsm.Token, w hsm.Wrapped, pub crypto.PublicKey, digest []byte) (value []byte, err error) {
	err = token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error {
		value, err = s.Sign(rand.Reader, digest, crypto.SHA256)
		return err
	})
	return value, err
}

func TestTheOracleNamesKeyAndDigestOfEachValue(t *testing.T) {
	token, oracle, _ := behind(t)
	for _, kind := range []hsm.KeyKind{hsm.P256, hsm.RSA3072} {
		w, pub := userKey(t, token, kind)
		digest := sha256.Sum256([]byte(rand.Text()))
		before := len(shim.Signatures(read(t, oracle)))
		if _, err := sign(token, w, pub, digest[:]); err != nil {
			t.Fatal(err)
		}
		all := shim.Signatures(read(t, oracle))
		if len(all) != before+1 {
			t.Fatalf("%s: %d signatures for one value", kind, len(all)-before)
		}
		s := all[before]
		sum := sha256.Sum256(w.Blob)
		if s.Key != "blob:"+hex.EncodeToString(sum[:]) || hex.EncodeToString(s.Digest()) != hex.EncodeToString(digest[:]) || !s.Made() || s.MAC() {
			t.Errorf("%s: the oracle saw %+v", kind, s)
		}
	}
	if _, err := token.MAC(ctx, hsmtest.MAC, []byte("x")); err != nil {
		t.Fatal(err)
	}
	events := read(t, oracle)
	all := shim.Signatures(events)
	if s := all[len(all)-1]; !s.MAC() || s.Label != hsmtest.MAC || string(s.Data) != "x" {
		t.Errorf("the MAC: %+v", s)
	}
	if shim.Count(events, "C_Login") != 1 || shim.Count(events, "C_Initialize") != 1 {
		t.Error("not one login and one start")
	}
}

func TestEachActionDoesWhatItSays(t *testing.T) {
	token, oracle, faults := behind(t)
	digest := sha256.Sum256([]byte("x"))
	for _, tc := range []struct {
		action string
		rv     uint // CKR_… that the program sees, 0 for none
		sent   int  // signatures that reach the token
		slow   time.Duration
		wrong  bool
	}{
		{action: "", sent: 1},
		{action: shim.RV(pkcs11.CKR_FUNCTION_FAILED), rv: pkcs11.CKR_FUNCTION_FAILED},
		{action: "drop", rv: pkcs11.CKR_DEVICE_ERROR},
		{action: "lose", rv: pkcs11.CKR_DEVICE_ERROR, sent: 1},
		{action: "flip", sent: 1, wrong: true},
		{action: "delay:300", sent: 1, slow: 300 * time.Millisecond},
		{action: "late:300", sent: 1, slow: 300 * time.Millisecond},
	} {
		t.Run(tc.action, func(t *testing.T) {
			settle(t, token)
			w, pub := userKey(t, token, hsm.P256) // one that gave a wrong value is suspended
			before := len(shim.Signatures(read(t, oracle)))
			var list []shim.Fault
			if tc.action != "" {
				list = append(list, shim.Once("C_Sign", tc.action))
			}
			if err := faults.Set(list...); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			value, err := sign(token, w, pub, digest[:])
			var refused *hsm.Error
			switch {
			case tc.rv != 0:
				if !errors.As(err, &refused) || refused.RV != tc.rv || value != nil {
					t.Errorf("got %v", err)
				}
			case tc.wrong:
				if !errors.Is(err, hsm.ErrWrongValue) || value != nil {
					t.Errorf("got %v", err)
				}
			case err != nil:
				t.Error(err)
			}
			if took := time.Since(start); took < tc.slow {
				t.Errorf("it took %v", took)
			}
			if err := faults.Set(); err != nil {
				t.Fatal(err)
			}
			if sent := len(shim.Signatures(read(t, oracle))) - before; sent != tc.sent {
				t.Errorf("%d signatures reached the token, want %d", sent, tc.sent)
			}
		})
	}
}

func TestAHangingCallEndsWhenTheOrdersChange(t *testing.T) {
	token, _, faults := behind(t)
	w, pub := userKey(t, token, hsm.P256)
	digest := sha256.Sum256([]byte("x"))
	if err := faults.Set(shim.Once("C_Sign", "delay:600000")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { _, err := sign(token, w, pub, digest[:]); done <- err }()
	select {
	case err := <-done:
		t.Fatalf("it did not hang: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if err := faults.Set(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSignaturesOfManyThreadsAreCountedOneByOne(t *testing.T) {
	token, oracle, _ := behind(t)
	w, pub := userKey(t, token, hsm.P256)
	const workers, each = 4, 50
	want := map[string]int{}
	done := make(chan error, workers)
	for i := range workers {
		for j := range each {
			d := sha256.Sum256(fmt.Appendf(nil, "%d %d", i, j))
			want[string(d[:])]++
		}
		go func() {
			var err error
			for j := 0; j < each && err == nil; j++ {
				d := sha256.Sum256(fmt.Appendf(nil, "%d %d", i, j))
				_, err = sign(token, w, pub, d[:])
			}
			done <- err
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range shim.Signatures(read(t, oracle)) {
		want[string(s.Digest())]--
		if !s.Made() {
			t.Errorf("not made: %+v", s)
		}
	}
	for _, n := range want {
		if n != 0 {
			t.Fatalf("a digest was counted %d times less than it was signed", n)
		}
	}
}

// settle waits until the token works again after a fault.
func settle(t *testing.T, token *hsm.Token) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); token.Health(ctx) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the token does not come back")
		}
	}
}

func userKey(t *testing.T, token *hsm.Token, kind hsm.KeyKind) (w hsm.Wrapped, pub crypto.PublicKey) {
	t.Helper()
	w, err := token.GenerateWrapped(ctx, hsmtest.KEK, kind, func(s crypto.Signer) error {
		pub = s.Public()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, pub
}
