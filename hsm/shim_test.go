package hsm_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/hsm/hsmtest/shim"
)

// shimChild is set in the process of a test that runs behind the shim: SoftHSM can be in one process only once, directly
// or behind something, so such a test starts itself again in a process of its own.
const shimChild = "HSM_TEST_SHIM_CHILD"

var figures = regexp.MustCompile(`(?m)^figures: .*$`)

// behindShim is true in the process in which the test shall run. In the first process it runs that one, repeats its
// figures and is false.
func behindShim(t *testing.T) bool {
	t.Helper()
	if os.Getenv(shimChild) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=15m")
	cmd.Env = append(os.Environ(), shimChild+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("PASS")) {
		t.Fatalf("no test ran:\n%s", out)
	}
	for _, line := range figures.FindAllString(string(out), -1) {
		t.Log(strings.TrimPrefix(line, "figures: "))
	}
	return false
}

// tell prints a line that the first process repeats.
func tell(format string, a ...any) { fmt.Printf("figures: "+format+"\n", a...) }

// rig is a token of SoftHSM behind the shim.
type rig struct {
	t      *testing.T
	cfg    hsm.Config
	token  *hsm.Token
	oracle string
	faults shim.Faults
	read   int64 // where the oracle's lines were read to
}

// newRig opens a token behind the shim; change may alter how. With restart pauses of a millisecond when impatient.
func newRig(t *testing.T, change func(*hsm.Config)) *rig {
	t.Helper()
	cfg := hsmtest.Config(t)
	dir := t.TempDir()
	r := &rig{t: t, oracle: filepath.Join(dir, "oracle.log"), faults: shim.Faults(filepath.Join(dir, "faults"))}
	t.Setenv(shim.EnvModule, hsmtest.Module)
	t.Setenv(shim.EnvOracle, r.oracle)
	t.Setenv(shim.EnvFaults, string(r.faults))
	cfg.Module, cfg.TestOnly = shim.Build(t), true
	if change != nil {
		change(&cfg)
	}
	r.cfg = cfg
	r.token = hsmtest.Open(t, cfg)
	return r
}

func (r *rig) order(list ...shim.Fault) {
	r.t.Helper()
	if err := r.faults.Set(list...); err != nil {
		r.t.Fatal(err)
	}
}

// events are the oracle's lines since the last call, so that a long test does not read them again and again.
func (r *rig) events() []shim.Event {
	r.t.Helper()
	f, err := os.Open(r.oracle)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(r.read, io.SeekStart); err != nil {
		r.t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		r.t.Fatal(err)
	}
	r.read += int64(len(text))
	events, err := shim.ParseOracle(text)
	if err != nil {
		r.t.Fatal(err)
	}
	return events
}

// request is one value that was asked for.
type request struct {
	digest [sha256.Size]byte
	value  []byte
	err    error
}

// ask asks for one value of a fresh digest.
func (r *rig) ask(w hsm.Wrapped, pub crypto.PublicKey) request {
	q := request{digest: sha256.Sum256([]byte(rand.Text()))}
	q.err = r.token.UseWrapped(ctx, w, pub, func(s crypto.Signer) (err error) {
		q.value, err = s.Sign(rand.Reader, q.digest[:], crypto.SHA256)
		return err
	})
	if q.err == nil {
		verify(r.t, hsm.P256, pub, q.digest[:], q.value)
	} else if q.value != nil {
		r.t.Errorf("a value came with an error: %v", q.err)
	}
	return q
}

// account holds the requests against the oracle: a value was made once, nothing twice, nothing that was not asked for.
func (r *rig) account(all []request) {
	r.t.Helper()
	made := map[[sha256.Size]byte]int{}
	for _, s := range shim.Signatures(r.events()) {
		if !s.MAC() && !s.Canary() {
			made[[sha256.Size]byte(s.Digest())]++
		}
	}
	for _, q := range all {
		n := made[q.digest]
		if n > 1 || q.err == nil && n != 1 {
			r.t.Errorf("a request reached C_Sign %d times (%v)", n, q.err)
		}
		delete(made, q.digest)
	}
	if len(made) > 0 {
		r.t.Errorf("%d signatures that nobody asked for", len(made))
	}
}

// heal waits until the token signs again and says how long that took.
func (r *rig) heal(w hsm.Wrapped, pub crypto.PublicKey) (time.Duration, []request) {
	r.t.Helper()
	start := time.Now()
	var all []request
	for {
		q := r.ask(w, pub)
		all = append(all, q)
		if q.err == nil {
			return time.Since(start), all
		}
		if time.Since(start) > 30*time.Second {
			r.t.Fatalf("not well after 30 s: %v", q.err)
		}
		time.Sleep(time.Millisecond)
	}
}
