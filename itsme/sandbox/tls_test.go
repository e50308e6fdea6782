package sandbox_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"tekend/itsme"
	"tekend/itsme/sandbox"
)

// newTLSWorld is newWorld with the provider behind TLS and its CA in a file.
func newTLSWorld(t *testing.T) *world {
	t.Helper()
	var handler http.Handler
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	w := newWorld(t, func(c *sandbox.Config) { c.Issuer = front.URL + "/v2" })
	handler = w.op.Handler()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w.p = itsme.NewProvider(itsme.Config{Issuer: front.URL + "/v2", CAFile: ca, Now: w.clock.Now}, nil)
	w.transport = front.Client().Transport
	cfg := w.confirm.Config()
	w.confirm = w.client(cfg)
	return w
}
