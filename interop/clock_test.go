//go:build interop

package interop

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
	"tekend/tsa"
	"tekend/wire"
)

// TestTheUnitAsksItsSourcesOfTime: the sandbox's tsa measures its clock by NTP. When the servers fall silent health names them and tokens
// are still made, by the last agreement; when they are back health is silent.
func TestTheUnitAsksItsSourcesOfTime(t *testing.T) {
	s := sandboxtest.Start(t)
	info := s.Info(t)
	socket := filepath.Join(s.Dir, "tsa", "run", "tsa.sock")
	notes := func() (all []string) {
		t.Helper()
		var h struct {
			Ready   bool     `json:"ready"`
			Reasons []string `json:"reasons"`
			Notes   []string `json:"notes"`
		}
		if err := wire.NewClient(socket, 5*time.Second).Do(t.Context(), "GET", "/v1/health", nil, &h); err != nil || !h.Ready {
			t.Fatalf("health: %+v %v", h, err)
		}
		for _, n := range h.Notes {
			if strings.Contains(n, "source") {
				all = append(all, n)
			}
		}
		return all
	}
	until := func(count int) {
		t.Helper()
		var last []string
		for at := time.Now(); time.Since(at) < 20*time.Second; time.Sleep(100 * time.Millisecond) {
			if last = notes(); len(last) == count {
				return
			}
		}
		t.Fatalf("health says of the sources: %q, want %d notes", last, count)
	}
	root, err := os.ReadFile(info.RootPEM)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(root) {
		t.Fatal("no root")
	}
	client := tsa.NewClient(tsa.ClientConfig{Socket: socket, Roots: roots, Now: time.Now}, nil)
	stamp := func() {
		t.Helper()
		digest := sha256.Sum256([]byte("document"))
		tok, err := client.Stamp(context.Background(), digest[:], crypto.SHA256)
		if err != nil || !tok.Qualified || tok.Accuracy != 500*time.Millisecond {
			t.Fatalf("%+v %v", tok, err)
		}
	}
	until(0)
	stamp()
	anchor := info.PIDs["anchor"]
	if err := syscall.Kill(anchor, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(anchor, syscall.SIGCONT) }()
	until(3)
	stamp()
	if err := syscall.Kill(anchor, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(0)
	stamp()
}
