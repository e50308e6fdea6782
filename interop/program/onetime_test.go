//go:build interop

package program

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tekend/db"
	"tekend/interop/sandboxtest"
)

// oneTime is the sandbox's client whose people get one-time credentials.
func (w *world) oneTime(t testing.TB) *sandboxtest.Flow {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(w.s.Dir, "front", "one-time.key"))
	w.must(t, err)
	w.hide("an API key", strings.TrimSpace(string(key)))
	return &sandboxtest.Flow{Front: w.front, Key: strings.TrimSpace(string(key)), HTTP: w.flow.HTTP}
}

// testOneTime: a provider with the policy one-time. Its person goes through everything on one page, twice, under one
// reference; the documents validate, and of the keys nothing is left.
func (w *world) testOneTime(t *testing.T) {
	once := w.oneTime(t)
	for range 2 {
		r, err := once.Create(t.Context(), "their-1", w.sample(t, "fpdf2.pdf"))
		w.must(t, err)
		p, err := once.Page(t.Context(), r.SigningURL)
		w.must(t, err)
		if p.Step != "accept_terms" {
			t.Errorf("it begins at %s", p.Step)
		}
		if end, err := once.Walk(t.Context(), r.SigningURL, "approve"); end != "done" {
			t.Fatalf("%s %v", end, err)
		}
		resp, signed := w.do(t, once, http.MethodGet, "/v1/signature-requests/"+r.ID+"/documents/1", nil, nil)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
		path := filepath.Join(t.TempDir(), "signed.pdf")
		w.must(t, os.WriteFile(path, signed, 0o600))
		if out, code := w.s.Tekend(t, "verify", path); code != 0 {
			t.Errorf("verify: exit %d\n%s", code, out)
		}
		// The evidence is whole though the key is gone.
		bundle := path + ".json"
		if out, code := w.s.Tekend(t, "evidence", "get", "--key-file", filepath.Join(w.s.Dir, "front", "one-time.key"), r.ID, "-o", bundle); code != 0 {
			t.Fatalf("evidence get: exit %d\n%s", code, out)
		}
		if out, code := w.s.Tekend(t, "evidence", "verify", bundle, path); code != 0 {
			t.Errorf("evidence verify: exit %d\n%s", code, out)
		}
	}
	d, err := db.OpenReader(t.Context(), filepath.Join(w.s.Dir, "sam", "sam.db"))
	w.must(t, err)
	defer func() { _ = d.Close() }()
	var all, left int
	w.must(t, d.QueryRowContext(t.Context(), "SELECT COUNT(*), COUNT(*) FILTER (WHERE state <> 'destroyed' OR ltrim(hex(blob), '0') <> '') FROM links WHERE once_ends > 0").Scan(&all, &left))
	if all != 2 || left != 0 {
		t.Errorf("%d one-time credentials, %d keys are left", all, left)
	}
}
