package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/hsm/hsmtest"
	"tekend/hsm/hsmtest/shim"
	"tekend/wire"
)

// behindTheShim changes a role's file so that its token is behind the shim.
func behindTheShim(t *testing.T, w world, role string) shim.Faults {
	t.Helper()
	faults := filepath.Join(t.TempDir(), "faults")
	t.Setenv(shim.EnvModule, hsmtest.Module)
	t.Setenv(shim.EnvOracle, filepath.Join(t.TempDir(), "oracle"))
	t.Setenv(shim.EnvFaults, faults)
	path := w.path(role + ".yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "module: "+hsmtest.Module, "module: "+shim.Build(t)+", stuck_after: 2s", 1)
	if changed == string(text) {
		t.Fatalf("no module in\n%s", text)
	}
	write(t, path, changed)
	return shim.Faults(faults)
}

type live struct {
	Live bool `json:"live"`
}

// ask asks a role's socket within a time.
func ask(w world, role, path string, within time.Duration, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return wire.NewClient(w.path(role+"/run/"+role+".sock"), within).Do(ctx, http.MethodGet, path, nil, out)
}

func TestATokenThatIsAwayIsNotReadyButLive(t *testing.T) {
	w := newWorld(t)
	faults := behindTheShim(t, w, "tsa")
	role := start(t, "tsa", w.path("tsa.yaml"))
	role.health(t, w.path("tsa/run/tsa.sock"))
	if err := faults.Set(shim.Always("C_SignInit", shim.RV(0x30)), shim.Always("C_Initialize", shim.RV(0x30))); err != nil {
		t.Fatal(err)
	}
	ready := func() bool {
		h := map[string]any{}
		if err := ask(w, "tsa", "/v1/health", 10*time.Second, &h); err != nil {
			t.Fatal(err)
		}
		var l live
		if err := ask(w, "tsa", "/v1/live", 10*time.Second, &l); err != nil || !l.Live {
			t.Errorf("not live: %v", err)
		}
		return h["ready"] == true
	}
	until := func(want bool) time.Duration {
		start := time.Now()
		for ready() != want {
			if time.Since(start) > 30*time.Second {
				t.Fatalf("ready is not %t after 30 s", want)
			}
			time.Sleep(50 * time.Millisecond)
		}
		return time.Since(start)
	}
	red := until(false)
	if err := faults.Set(); err != nil {
		t.Fatal(err)
	}
	t.Logf("not ready after %v (at most 5 s), ready again after %v", red.Round(time.Millisecond), until(true).Round(time.Millisecond))
	if red > 7*time.Second {
		t.Error("readiness is believed too long")
	}
	role.stop(t)
}

func TestATokenThatIsStuckEndsTheProcess(t *testing.T) {
	w := newWorld(t)
	faults := behindTheShim(t, w, "tsa")
	role := start(t, "tsa", w.path("tsa.yaml"))
	role.health(t, w.path("tsa/run/tsa.sock"))
	if err := faults.Set(shim.Always("C_Sign", "delay:600000")); err != nil {
		t.Fatal(err)
	}
	var alive live
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_ = ask(w, "tsa", "/v1/health", 300*time.Millisecond, nil) // after the cached answer the canary hangs
		select {
		case <-role.done:
			if code := role.cmd.ProcessState.ExitCode(); code != exitUnreachable || !strings.Contains(role.log.String(), "the token is stuck") {
				t.Errorf("exit %d\n%s", code, role.log.String())
			}
			if !alive.Live {
				t.Error("it was not live while the token hung")
			}
			return
		default:
		}
		_ = ask(w, "tsa", "/v1/live", time.Second, &alive)
		if time.Now().After(end) {
			t.Fatal("the process goes on with a token that hangs")
		}
	}
}
