package hsm_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"errors"
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

// shimChild is set in the process of a test that runs behind the shim, to the path of the compiled shim. A module can be in
// one process only once, directly or behind something, so such a test starts itself again in a process of its own.
const shimChild = "HSM_TEST_SHIM_CHILD"

// moduleNames are the modules that stand behind the shim, as the names of subtests.
var moduleNames = []string{"SoftHSM", "NSS"}

var figures = regexp.MustCompile(`(?m)^figures: .*$`)

// eachModule runs a test once behind each module, in processes of their own and beside other tests. A test that is named
// parts has them as subtests, each of which gets a process.
func eachModule(t *testing.T, test func(t *testing.T), parts ...string) {
	t.Helper()
	for _, module := range moduleNames {
		switch {
		case inChild():
			t.Run(module, test)
			continue
		case module == moduleNames[0]:
			t.Parallel()
		}
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			if len(parts) == 0 {
				repeat(t, module)
			}
			for _, part := range parts {
				t.Run(part, func(t *testing.T) { t.Parallel(); repeat(t, module) })
			}
		})
	}
}

func inChild() bool { return os.Getenv(shimChild) != "" }

// repeat runs the test that t is again, in a process of its own, and repeats the figures that it tells.
func repeat(t *testing.T, module string) {
	t.Helper()
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command(os.Args[0], "-test.run="+pattern, "-test.timeout=15m")
	cmd.Env = append(os.Environ(), shimChild+"="+shim.Build(t))
	if module == "NSS" {
		cmd.Env = append(cmd.Env, hsmtest.EnvNSS+"=1")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("PASS")) || bytes.Contains(out, []byte("no tests to run")) {
		t.Fatalf("no test ran:\n%s", out)
	}
	for _, line := range figures.FindAllString(string(out), -1) {
		t.Log(module + ": " + strings.TrimPrefix(line, "figures: "))
	}
}

// tell prints a line that the first process repeats.
func tell(format string, a ...any) { fmt.Printf("figures: "+format+"\n", a...) }

// rig is a token behind the shim: NSS's in a process of NSS's, else SoftHSM's.
type rig struct {
	t      *testing.T
	cfg    hsm.Config
	token  *hsm.Token
	oracle string
	faults shim.Faults
	read   int64 // where the oracle's lines were read to
}

// newRig opens a token behind the shim; change may alter how.
func newRig(t *testing.T, change func(*hsm.Config)) *rig {
	t.Helper()
	cfg := hsmtest.Config(t)
	dir := t.TempDir()
	r := &rig{t: t, oracle: filepath.Join(dir, "oracle.log"), faults: shim.Faults(filepath.Join(dir, "faults"))}
	t.Setenv(shim.EnvModule, cfg.Module)
	t.Setenv(shim.EnvOracle, r.oracle)
	t.Setenv(shim.EnvFaults, string(r.faults))
	cfg.Module, cfg.TestOnly = os.Getenv(shimChild), true
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

// faultDifferences are the places in which a module may answer a fault in its own way. All others must be the same.
var faultDifferences = []struct{ what, softHSM, nss, mean string }{
	{"a token whose files were moved away while it is in use", "unavailable", "works",
		"NSS has its database open and needs the name again at its next start only"},
}

// differs holds an outcome against the table.
func differs(t *testing.T, what string, err error) {
	t.Helper()
	does := "works"
	switch {
	case errors.Is(err, hsm.ErrUnavailable):
		does = "unavailable"
	case err != nil:
		does = err.Error()
	}
	for _, d := range faultDifferences {
		known := d.softHSM
		if hsmtest.NSS() {
			known = d.nss
		}
		switch {
		case d.what != what:
			continue
		case does != known:
			t.Errorf("%s: %s, known is %s", what, does, known)
		}
		tell("%s: %s (SoftHSM %s, NSS %s: %s)", what, does, d.softHSM, d.nss, d.mean)
		return
	}
	t.Errorf("%s is not in the table", what)
}

// files is the directory that holds the token.
func (r *rig) files() string {
	if !hsmtest.NSS() {
		return hsmtest.Directory(r.t)
	}
	_, after, _ := strings.Cut(r.cfg.InitArgs, "sql:")
	dir, _, _ := strings.Cut(after, "'")
	return dir
}
