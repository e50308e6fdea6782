// Package witnesstest gives tests of the roles a real witness that can be away.
package witnesstest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"tekend/audit"
	"tekend/witness"
)

// Station is a witness.
type Station struct {
	Key  note.Verifier // of the witness
	Log  note.Verifier // of the log that it follows
	Away atomic.Bool   // it answers 503
}

// Start makes the key of a log of that origin and a witness that follows it.
// The section goes into the role's configuration.
func Start(t testing.TB, origin string) (audit.LogConfig, *Station) {
	t.Helper()
	dir := t.TempDir()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	section := audit.LogConfig{Origin: origin, KeyFile: filepath.Join(dir, "audit-log.pem")}
	must(t, os.WriteFile(section.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	vkey := audit.VerifierKey(origin, pub)

	cfg := witness.Config{KeyFile: filepath.Join(dir, "key"), StateDir: filepath.Join(dir, "state"), Logs: []witness.Log{{Origin: origin, Key: vkey, Epochs: true}}}
	wkey, err := witness.Init("witness.test/w1", cfg.KeyFile, cfg.StateDir)
	must(t, err)
	w, err := witness.Open(cfg)
	must(t, err)
	s := &Station{}
	s.Log, err = audit.LogVerifier(vkey)
	must(t, err)
	s.Key, err = audit.WitnessVerifier(wkey)
	must(t, err)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if s.Away.Load() {
			http.Error(rw, "away", http.StatusServiceUnavailable)
			return
		}
		w.Handler().ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { srv.Close(); _ = w.Close() })
	section.Witnesses = []audit.Witness{{URL: srv.URL, Key: wkey}}
	return section, s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
