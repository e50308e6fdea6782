//go:build sweep

package sweep_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
	"tekend/wire"
)

// killer hits the processes of a sandbox and waits until the launcher has them back.
type killer struct {
	dir      string
	program  string // tekend-trusted
	info     sandboxtest.Info
	launcher int // process id
	pausing  sync.Mutex

	mu       sync.Mutex
	kills    map[string]int
	early    map[string]int // of these: while the role was starting
	aimed    int            // of the sam's: in the milliseconds after a user's key was unwrapped
	restores map[string]int
	errs     []error
}

func newKiller(t *testing.T, s *sandboxtest.Sandbox) *killer {
	t.Helper()
	k := &killer{dir: s.Dir, program: sandboxtest.Bin(t, "tekend-trusted"), info: s.Info(t), kills: map[string]int{}, early: map[string]int{}, restores: map[string]int{}}
	var err error
	if k.launcher, err = parent(k.info.PIDs["front"]); err != nil {
		t.Fatal(err)
	}
	return k
}

// share of each role in a hundred kills. The sam has the most to lose.
var share = map[string]int{"sam": 36, "front": 24, "tsa": 15, "ca": 13, "itsme": 12}

// run makes all kills, role by role at the same time, and returns when every role answers again.
func (k *killer) run(ctx context.Context, total int, seed uint64) {
	var wg sync.WaitGroup
	left := total
	for i, role := range []string{"front", "tsa", "ca", "itsme", "sam"} {
		n := total * share[role] / 100
		if role == "sam" {
			n = left // what rounding left over
		}
		left -= n
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			pid := 0
			for ctx.Err() == nil && k.count(role) < n {
				var err error
				if pid, err = k.kill(ctx, role, pid, r); err != nil {
					k.fail(fmt.Errorf("%s after %d kills: %w", role, k.count(role), err))
					return
				}
			}
			if err := k.wait(ctx, role, pid); err != nil {
				k.fail(fmt.Errorf("%s at the end: %w", role, err))
			}
		})
	}
	wg.Wait()
}

// pause is how long a role lives between two kills, at most. A whole signature takes 0.1 to 0.3 s.
const pause = 1600 * time.Millisecond

// kill waits for a random moment and kills the role's process; last is the process killed before. One kill in ten does
// not wait until the role is ready: it falls into the start.
func (k *killer) kill(ctx context.Context, role string, last int, r *rand.Rand) (int, error) {
	pid, err := k.pid(ctx, role, last)
	if err != nil {
		return 0, err
	}
	early := last != 0 && r.IntN(10) == 0
	switch {
	case early:
		time.Sleep(time.Duration(r.Int64N(int64(150 * time.Millisecond))))
	default:
		if err := k.wait(ctx, role, last); err != nil {
			return 0, err
		}
		if pid, err = k.pid(ctx, role, last); err != nil {
			return 0, err
		}
		time.Sleep(time.Duration(r.Int64N(int64(pause))))
		if role == "sam" && r.IntN(2) == 0 && k.keyInUse(2*time.Second) {
			time.Sleep(time.Duration(r.Int64N(int64(12 * time.Millisecond))))
			k.add(func() { k.aimed++ })
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("kill %d: %w", pid, err)
	}
	k.add(func() {
		k.kills[role]++
		if early {
			k.early[role]++
		}
	})
	return pid, nil
}

// keyInUse waits until the sam unwraps a key, as the spy sees it.
func (k *killer) keyInUse(d time.Duration) bool {
	path := filepath.Join(k.dir, "sam", "spy.log")
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(500 * time.Microsecond) {
		if n, err := countSpy(path, "C_UnwrapKey", info.Size()); err != nil || n > 0 {
			return err == nil
		}
	}
	return false
}

// pid reads the role's process id from sandbox.json once it is another one than not.
func (k *killer) pid(ctx context.Context, role string, not int) (int, error) {
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(3 * time.Millisecond) {
		var i sandboxtest.Info
		b, err := os.ReadFile(filepath.Join(k.dir, "sandbox.json"))
		if err != nil || json.Unmarshal(b, &i) != nil {
			continue
		}
		if pid := i.PIDs[role]; pid != 0 && pid != not {
			return pid, nil
		}
	}
	return 0, errors.New("the launcher did not start it again")
}

// wait returns when the role answers as another process than not. A token that SoftHSM lost is put back.
func (k *killer) wait(ctx context.Context, role string, not int) error {
	if _, err := k.pid(ctx, role, not); err != nil {
		return err
	}
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if k.answers(ctx, role) == nil {
			return nil
		}
		lost, err := tokenLost(filepath.Join(k.dir, role, "tokens"))
		if err != nil {
			return err
		}
		if lost {
			if err := k.restore(ctx, role); err != nil {
				return fmt.Errorf("put the token back: %w", err)
			}
		}
	}
	return errors.New("it did not answer again")
}

// answers asks the role.
func (k *killer) answers(ctx context.Context, role string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	address := map[string]string{"front": k.info.Front + "/health", "itsme": k.info.Itsme + "/.well-known/openid-configuration"}[role]
	if address == "" {
		socket := filepath.Join(k.dir, role, "run", role+".sock")
		return wire.NewClient(socket, 2*time.Second).Do(ctx, http.MethodGet, "/v1/health", nil, nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d", resp.StatusCode)
	}
	return nil
}

// tokenLost looks for the empty token file that a kill inside C_Login leaves behind (performance §5.3). An empty file
// may also be a login under way: it is looked at again.
func tokenLost(tokens string) (bool, error) {
	for range 10 { // a login on a busy machine
		empty := false
		err := filepath.WalkDir(tokens, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && d.Name() == "token.object" {
				info, err := d.Info()
				empty = empty || err == nil && info.Size() == 0
			}
			return err
		})
		if err != nil || !empty {
			return false, err
		}
		time.Sleep(30 * time.Millisecond)
	}
	return true, nil
}

// paused stops the launcher while fn runs: nothing is started again meanwhile.
func (k *killer) paused(fn func() error) error {
	k.pausing.Lock()
	defer k.pausing.Unlock()
	if err := syscall.Kill(k.launcher, syscall.SIGSTOP); err != nil {
		return err
	}
	return errors.Join(fn(), syscall.Kill(k.launcher, syscall.SIGCONT))
}

func parent(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "\nPPid:")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil || n < 2 {
		return 0, fmt.Errorf("the parent of %d is not known", pid)
	}
	return n, nil
}

func (k *killer) add(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func (k *killer) count(role string) (n int) {
	k.add(func() { n = k.kills[role] })
	return n
}

func (k *killer) fail(err error) { k.add(func() { k.errs = append(k.errs, err) }) }
