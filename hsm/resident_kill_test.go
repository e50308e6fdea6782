package hsm_test

import (
	"bufio"
	"crypto"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

// killChild holds the label and the PIN file for a process that makes keys until it is killed.
const killChild = "HSM_KILL_CHILD"

// runKillChild tells each name on standard output before it makes the key, as a role stores it before.
func runKillChild() int {
	var cfg hsm.Config
	if _, err := fmt.Sscanf(os.Getenv(killChild), "%s %s", &cfg.TokenLabel, &cfg.PINFile); err != nil {
		return 1
	}
	cfg.Module = hsmtest.Module
	token, err := hsm.Open(ctx, cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		id, err := hsm.NewResidentID()
		if err != nil {
			return 1
		}
		fmt.Println("intend", hex.EncodeToString(id))
		if _, err := token.GenerateResident(ctx, id, hsm.P256, func(crypto.Signer) error { return nil }); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println("made", hex.EncodeToString(id))
	}
}

// A process is killed while it makes keys. Every object that is then in the token has a name that was told before, every
// key that was told as made is there, and at most one name of a process is neither: the one it was at. The lost halves
// show as such.
func TestNoKeyIsLostWhenItsMakerIsKilled(t *testing.T) {
	cfg := hsmtest.Config(t)
	intended, made := map[string]bool{}, map[string]bool{}
	const kills = 25
	for range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killChild+"="+cfg.TokenLabel+" "+cfg.PINFile)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		var kill *time.Timer
		for in.Scan() {
			if kill == nil { // from the first key on: the login before has its own tests
				kill = time.AfterFunc(time.Duration(rand.IntN(15_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
			var word, id string
			if n, _ := fmt.Sscanf(in.Text(), "%s %s", &word, &id); n == 2 && len(id) == 32 {
				map[string]map[string]bool{"intend": intended, "made": made}[word][id] = true
			}
		}
		_ = cmd.Wait() // it was killed
	}
	token := hsmtest.Open(t, cfg)
	whole, half := 0, 0
	for _, k := range residents(t, token) {
		id := hex.EncodeToString(k.ID)
		if !intended[id] {
			t.Errorf("a key %q of which nothing was told before: %+v", id, k)
		}
		if k.Whole() {
			whole++
			delete(made, id)
			continue
		}
		half++
	}
	if len(made) > 0 {
		t.Errorf("%d keys were told as made and are not whole in the token", len(made))
	}
	if whole == 0 || len(intended) < kills {
		t.Errorf("%d names, %d keys: the test says nothing", len(intended), whole)
	}
	t.Logf("%d kills: %d names told, %d whole pairs, %d halves, %d never made", kills, len(intended), whole, half, len(intended)-whole-half)
}
