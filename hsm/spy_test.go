package hsm_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

// spyChild names the token in the process that runs behind the spy: a module can be in one process only once, so the
// counted signatures are made in a process of their own.
const (
	spyChild  = "HSM_TEST_SPY_CHILD"
	spyModule = "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"
)

// runSpyChild makes three values with a user's key and two MACs.
func runSpyChild() int {
	token, err := hsm.Open(ctx, hsm.Config{Module: spyModule, TokenLabel: os.Getenv(spyChild), PINFile: os.Getenv("HSM_TEST_PIN")})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	digest := sha256.Sum256([]byte("x"))
	var pub crypto.PublicKey
	w, err := token.GenerateWrapped(ctx, hsmtest.KEK, hsm.P256, func(s crypto.Signer) error {
		pub = s.Public()
		_, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
		return err
	})
	for range 2 {
		if err == nil {
			err = token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error {
				_, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
				return err
			})
		}
		if err == nil {
			_, err = token.MAC(ctx, hsmtest.MAC, digest[:])
		}
	}
	if err == nil {
		err = token.Close()
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestOneSignatureIsOneCallAndOneProcessIsOneLogin(t *testing.T) {
	cfg := hsmtest.Config(t)
	log := filepath.Join(t.TempDir(), "spy.log")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), spyChild+"="+cfg.TokenLabel, "HSM_TEST_PIN="+cfg.PINFile,
		"PKCS11SPY="+hsmtest.Module, "PKCS11SPY_OUTPUT="+log)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for call, want := range map[string]int{
		"C_Sign":            5, // three values and two MACs
		"C_Login":           1,
		"C_GenerateKeyPair": 1,
		"C_CreateObject":    0,
		"C_DestroyObject":   5, // the generated pair and three unwrapped keys
		"C_FindObjects":     2, // KEK and MAC key, once each
	} {
		if got := strings.Count(string(text), ": "+call+"\n"); got != want {
			t.Errorf("%s was called %d times, want %d", call, got, want)
		}
	}
}
