//go:build sweep

// Package sweep_test kills the processes of a whole sandbox while people sign in it and then compares what three
// witnesses say: pkcs11-spy in front of the sam's token, the sam's audit, and the front's database.
//
// TEKEND_KILLS (default 200) is how often; TEKEND_SEED repeats the random moments of a run, as far as scheduling does.
package sweep_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

const spy = "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestNoSignatureIsLostOrMadeTwiceWhenProcessesAreKilled(t *testing.T) {
	start := time.Now()
	kills, seed := int(number(t, "TEKEND_KILLS", 200)), number(t, "TEKEND_SEED", rand.Uint64())
	t.Logf("%d kills, TEKEND_SEED=%d", kills, seed)
	s := sandboxtest.Start(t, "--spy", spy)
	keep(t, s)
	flow := s.Flow(t)
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Minute)
	defer cancel()

	k := newKiller(t, s)
	c := &crowd{flow: flow}
	c.start(ctx, 4, seed)
	k.run(ctx, kills, seed)
	killed := time.Since(start)
	c.stop.Store(true)
	c.wg.Wait()
	for _, err := range k.errs {
		t.Error(err)
	}
	open, err := settle(s.Dir, 90*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range open {
		t.Errorf("it did not come to an end: request %s", o)
	}
	settled := time.Since(start)
	documents := checkProducts(t, s, flow)
	s.Stop(t)
	for _, role := range []string{"sam", "ca", "tsa"} {
		out, err := exec.Command(sandboxtest.Bin(t, "tekend-trusted"), "audit", "verify", "--config", filepath.Join(s.Dir, role, role+".yaml")).CombinedOutput()
		if err != nil {
			t.Errorf("audit of %s: %v: %s", role, err, out)
		}
		t.Logf("audit of %s: %s", role, out)
	}
	w, err := readWorld(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	f, wrong := w.check()
	for _, e := range wrong {
		t.Error(e)
	}
	if f.signed == 0 || f.macs == 0 || f.services == 0 || f.enrolSigns == 0 {
		t.Error("nothing was signed: the run proves nothing")
	}
	total := 0
	for _, n := range k.kills {
		total += n
	}
	if total < kills {
		t.Errorf("%d kills of %d", total, kills)
	}
	t.Logf(`
kills                       %d: %s
  of these while starting   %s
  sam, key just unwrapped   %d
tokens put back             %s
requests                    %d: %s
failed after confirmation   %s
finished documents          %d, all downloaded, all TOTAL_PASSED
confirmations consumed      %d, none twice
C_Sign for documents        %d = signed %d + unknown %d of %d; none twice
C_Sign for certificates     %d (keys made %d, meant %d)
other C_Sign                %d MACs, %d of service keys
seconds                     %.0f killing, %.0f settling, %.0f in all; seed %d`,
		total, list(k.kills), list(k.early), k.aimed, list(k.restores), len(w.requests), list(f.states), list(f.failures),
		documents, f.authorized, f.signs, f.signed, f.unknownUsed, f.unknown, f.enrolSigns, f.made, f.intent, f.macs, f.services,
		killed.Seconds(), (settled - killed).Seconds(), time.Since(start).Seconds(), seed)
}

// keep leaves the databases and logs of a failed run for whoever looks for the cause.
func keep(t *testing.T, s *sandboxtest.Sandbox) {
	t.Cleanup(func() { // before the folder is removed
		if !t.Failed() {
			return
		}
		to, err := os.MkdirTemp("", "tekend-sweep-failed-*")
		if err != nil {
			t.Log(err)
			return
		}
		out, err := exec.Command("cp", "-a", s.Dir, to).CombinedOutput()
		t.Logf("everything of this run is kept in %s %s %v", to, out, err)
	})
}

// checkProducts downloads every finished document and has it verified; a request that failed must give none.
func checkProducts(t *testing.T, s *sandboxtest.Sandbox, flow *sandboxtest.Flow) int {
	t.Helper()
	all, err := readFront(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := []string{"verify"}
	for _, r := range all {
		for n := range r.dtbs {
			b, status, err := download(flow, r.id, n+1)
			if err != nil || (status == http.StatusOK) != (r.state == "finished") {
				t.Errorf("request %s is %s and its document %d answers %d: %v", r.id, r.state, n+1, status, err)
			}
			if r.state != "finished" {
				continue
			}
			path := filepath.Join(dir, fmt.Sprintf("%s-%d.pdf", r.id, n+1))
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			files = append(files, path)
		}
	}
	if out, code := s.Tekend(t, files...); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
	return len(files) - 1
}

func download(f *sandboxtest.Flow, id string, n int) ([]byte, int, error) {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/v1/signature-requests/%s/documents/%d", f.Front, id, n), nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+f.Key)
	resp, err := f.HTTP.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return b, resp.StatusCode, err
}
