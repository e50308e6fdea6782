package activation_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/hsm/hsmtest/shim"
	"tekend/sam"
	"tekend/sam/activation"
)

func resident(c *activation.Config) { c.Keys = activation.KeysResident }

// A key that lives in the token signs as a wrapped one does, is searched once, and is there after a restart.
func TestAResidentKeySigns(t *testing.T) {
	for _, kind := range hsm.UserKinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, resident, func(c *activation.Config) { c.KeyType = kind })
			before := len(residents(t, w))
			cred := w.enrol("approve")
			if n := len(residents(t, w)) - before; n != 1 || cred.KeyType != string(kind) {
				t.Fatalf("%d keys were made; %+v", n, cred)
			}
			sign := func(n int) {
				t.Helper()
				c := w.confirm(cred, n)
				at := spySize(t)
				var all []int
				for i := range n {
					all = append(all, i)
				}
				signed := got(w.front.Sign(t.Context(), c.Nonce, c.request(all...)))(t)
				checkValues(t, cred, c.docs, signed.Values)
				text := got(os.ReadFile(spyLog))(t)[at:]
				if finds := bytes.Count(text, []byte("C_FindObjectsInit")); finds > 0 {
					t.Errorf("%d searches in the token for %d signatures", finds, n)
				}
				if bytes.Contains(text, []byte("C_UnwrapKey")) {
					t.Error("a resident key was unwrapped")
				}
			}
			sign(3)
			w.start()
			if n := w.number("SELECT COUNT(*) FROM resident_keys WHERE state = 'made'"); n != 1 {
				t.Errorf("%d rows say that a key was made", n)
			}
		})
	}
}

func residents(t testing.TB, w *world) []hsm.ResidentKey {
	t.Helper()
	return got(w.token.ResidentKeys(t.Context()))(t)
}

// TestResidentKeysAfterFaultsOfGeneration: whatever the token answers, after the next start there is a row for each
// object and no row says that there is a key where there is none. It runs in a process of its own, behind the oracle.
func TestResidentKeysAfterFaultsOfGeneration(t *testing.T) {
	path, dir := shim.Build(t), t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^TestBehindTheOracle$")
	cmd.Env = append(os.Environ(), envShim+"="+path, shim.EnvModule+"="+hsmtest.Module, shim.EnvOracle+"="+dir+"/oracle", shim.EnvFaults+"="+dir+"/faults")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestBehindTheOracle") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if _, told, ok := strings.Cut(line, "told: "); ok {
			t.Log(told)
		}
	}
}

func TestBehindTheOracle(t *testing.T) {
	faults := os.Getenv(shim.EnvFaults)
	if os.Getenv(envShim) == "" {
		return // its process is that of TestResidentKeysAfterFaultsOfGeneration
	}
	w := newWorld(t, resident)
	kept := w.enrol("approve")
	for _, c := range []struct{ order, state string }{
		{"C_GenerateKeyPair every action=rv:0x30", "absent"}, // not sent
		{"C_GenerateKeyPair every action=lose", "orphan"},    // made, and the answer lost
		{"C_GenerateKeyPair every action=rv:0x5", "absent"},
		{"C_SignInit every action=rv:0x68", "absent"}, // made, not usable: undone
	} {
		before := w.number("SELECT COUNT(*) FROM resident_keys WHERE state = ?", c.state)
		must(t, os.WriteFile(faults, []byte(c.order+"\n"), 0o600))
		_, err := w.front.Enrol(t.Context(), sam.EnrolRequest{V: 1, Txn: txn(), Language: "nl", TermsVersion: terms, TermsSHA256: termsDigest()})
		if err == nil {
			t.Errorf("%s: an enrolment began", c.order)
		}
		must(t, os.WriteFile(faults, nil, 0o600))
		for deadline := time.Now().Add(10 * time.Second); w.token.Health(t.Context()) != nil && time.Now().Before(deadline); {
			time.Sleep(50 * time.Millisecond)
		}
		w.start()
		if n := w.number("SELECT COUNT(*) FROM resident_keys WHERE state = ?", c.state) - before; n != 1 {
			t.Errorf("%s: %d new rows are %s", c.order, n, c.state)
		}
		agree(t, w, c.order)
	}
	// A key that somebody made, and a key that somebody took away: told, and neither destroyed nor made good.
	id := got(hsm.NewResidentID())(t)
	must(t, w.token.DestroyResident(t.Context(), id)) // nothing there is not an error
	w.exec("UPDATE resident_keys SET state = 'orphan' WHERE state = 'absent' AND key_id = (SELECT MIN(key_id) FROM resident_keys WHERE state = 'absent')")
	w.start()
	agree(t, w, "a row without its object")
	w.exec("DELETE FROM resident_keys WHERE state = 'orphan'")
	w.start()
	agree(t, w, "an object without its row")
	c := w.confirm(kept, 1)
	signed := got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t)
	checkValues(t, kept, c.docs, signed.Values)
	for _, k := range residents(t, w) {
		must(t, w.token.DestroyResident(t.Context(), k.ID))
	}
	w.start()
	if n := w.number("SELECT COUNT(*) FROM resident_keys WHERE state = 'missing'"); n != 1 {
		t.Errorf("%d keys are missing", n)
	}
	again := w.confirm(kept, 1)
	if _, err := w.front.Sign(t.Context(), again.Nonce, again.request(0)); code(err) != sam.CodeCredentialUnknown {
		t.Errorf("with a missing key: %v", err)
	}
	agree(t, w, "all taken away")
	kinds := map[string]int{}
	for _, r := range w.rows() {
		if strings.HasPrefix(r.kind, "key.") {
			kinds[r.kind]++
		}
	}
	fmt.Println("told:", kinds)
	for _, k := range []string{"key.orphan", "key.absent", "key.missing"} {
		if kinds[k] == 0 {
			t.Errorf("no row of the audit is %s", k)
		}
	}
}

// number asks the role's database for a number.
func (w *world) number(query string, args ...any) (n int) {
	w.t.Helper()
	w.sql(func(d *sql.DB) error { return d.QueryRow(query, args...).Scan(&n) })
	return n
}

// agree: as many rows say that there is a key as there are keys.
func agree(t testing.TB, w *world, when string) {
	t.Helper()
	objects := len(residents(t, w))
	rows := w.number("SELECT COUNT(*) FROM resident_keys WHERE state IN ('made', 'orphan', 'unused')")
	if objects != rows {
		t.Errorf("%s: %d keys in the token, %d rows", when, objects, rows)
	}
}
