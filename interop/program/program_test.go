//go:build interop

// Package program drives the built program from outside, as users, providers
// and attackers do: the command line, bad input over HTTP, answers of itsme
// with every known defect, roles that are down, and what the logs hold after
// all that.
package program

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"tekend/interop/sandboxtest"
)

// maxDocument is the size limit of this sandbox, in bytes: small, so that a
// test can pass it.
const maxDocument = 6 << 20

// world is the one sandbox of these tests and what must never be in its logs.
type world struct {
	s      *sandboxtest.Sandbox
	flow   *sandboxtest.Flow // the demo provider
	other  *sandboxtest.Flow // another client of the same service
	root   string
	front  string
	mu     sync.Mutex
	secret map[string]string // value to what it is
}

// TestProgram is one test because it has one sandbox. The parts stand in an
// order: the logs are read at the end.
func TestProgram(t *testing.T) {
	w := start(t)
	short := w.shortOrder(t)
	t.Run("command-line", w.testCommandLine)
	t.Run("walkthrough", w.testWalkthrough)
	t.Run("documents", w.testDocuments)
	t.Run("orders", w.testOrders)
	t.Run("one-time", w.testOneTime)
	t.Run("callbacks", w.testCallbacks)
	t.Run("answers", w.testAnswers)
	t.Run("down", w.testDown)
	t.Run("expired", func(t *testing.T) { w.testExpired(t, short) })
	t.Run("places", w.testPlaces)
	t.Run("logs", w.testLogs)
}

// start starts the sandbox, gives it a second client and a small size limit.
// The launcher writes front.yaml at its start only, so the front gets it when
// it is started again.
func start(t *testing.T) *world {
	w := &world{s: sandboxtest.Start(t), root: sandboxtest.Root(t), secret: map[string]string{}}
	keyFile := filepath.Join(w.s.Dir, "front", "other.key")
	key := "tk_" + rand.Text()
	w.must(t, os.WriteFile(keyFile, []byte(key+"\n"), 0o600))
	path := filepath.Join(w.s.Dir, "front", "front.yaml")
	info, err := os.Stat(path)
	w.must(t, err)
	w.must(t, chownLike(keyFile, info))
	var cfg map[string]any
	b, err := os.ReadFile(path)
	w.must(t, err)
	w.must(t, yaml.Unmarshal(b, &cfg))
	cfg["clients"] = append(cfg["clients"].([]any), map[string]any{"id": "other", "name": "Another provider", "key_file": keyFile})
	cfg["signer"] = map[string]any{"max_document_bytes": maxDocument}
	b, err = yaml.Marshal(cfg)
	w.must(t, err)
	w.must(t, os.WriteFile(path, b, 0o600))
	w.kill(t, "front")
	w.front = w.s.Info(t).Front
	w.eventually(t, "the front is back", func() bool {
		resp, err := http.Get(w.front + "/health")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	w.flow = w.s.Flow(t)
	w.other = &sandboxtest.Flow{Front: w.front, Key: key, HTTP: w.flow.HTTP}
	w.hide("an API key", w.flow.Key, key)
	return w
}

func (w *world) must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hide remembers what must not be in any log.
func (w *world) hide(what string, values ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range values {
		if v != "" {
			w.secret[v] = what
		}
	}
}

func (w *world) eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(30 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func (w *world) sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.root, "testdata/pdf", name))
	w.must(t, err)
	return b
}

func (w *world) bad(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.root, "pdf/testdata/bad", name))
	w.must(t, err)
	return b
}

// uses counts the positions whose key was used or may have been, and the
// certificates that were issued, in the roles' own databases.
type uses struct{ signed, certificates int }

func (w *world) uses(t testing.TB) (u uses) {
	t.Helper()
	count := func(file, query string) (n int) {
		d, err := sql.Open("sqlite", "file:"+filepath.Join(w.s.Dir, file)+"?mode=ro&_pragma=busy_timeout(5000)")
		w.must(t, err)
		defer func() { _ = d.Close() }()
		w.must(t, d.QueryRow(query).Scan(&n))
		return n
	}
	u.signed = count("sam/sam.db", "SELECT count(*) FROM positions WHERE state <> 'free'")
	u.certificates = count("ca/ca.db", "SELECT count(*) FROM orders")
	return u
}

// nothingSigned runs f and holds that no key was used meanwhile.
func (w *world) nothingSigned(t *testing.T, f func()) {
	t.Helper()
	before := w.uses(t)
	f()
	if now := w.uses(t); now.signed != before.signed {
		t.Errorf("%d signatures were made", now.signed-before.signed)
	}
}

// order makes a request and keeps its secrets in mind.
func (w *world) order(t testing.TB, reference string, document []byte) sandboxtest.Request {
	t.Helper()
	r, err := w.flow.Create(t.Context(), reference, document)
	w.must(t, err)
	w.keep(r)
	return r
}

func (w *world) decode(t testing.TB, body []byte) (r sandboxtest.Request) {
	t.Helper()
	w.must(t, json.Unmarshal(body, &r))
	w.keep(r)
	return r
}

func (w *world) keep(r sandboxtest.Request) {
	w.hide("the address of a page", r.SigningURL[strings.LastIndex(r.SigningURL, "/")+1:])
}

// known makes reference stand for a person with a certificate.
func (w *world) known(t testing.TB, reference, person string) {
	t.Helper()
	r := w.order(t, reference, w.sample(t, "fpdf2.pdf"))
	if end, err := w.flow.Walk(t.Context(), r.SigningURL, person); end != "done" {
		t.Fatalf("enrol %s: %s %v", person, end, err)
	}
}

// until walks as person until the page is at step.
func (w *world) until(t testing.TB, r sandboxtest.Request, person, step string) sandboxtest.Page {
	t.Helper()
	for range 300 {
		p, err := w.flow.Page(t.Context(), r.SigningURL)
		w.must(t, err)
		switch p.Step {
		case step:
			return p
		case "wait":
			time.Sleep(20 * time.Millisecond)
		case "done", "refused", "expired", "failed":
			t.Fatalf("the page is at %s, not at %s", p.Step, step)
		default:
			_, err := w.flow.Step(t.Context(), r.SigningURL, person)
			w.must(t, err)
		}
	}
	t.Fatalf("the page never came to %s", step)
	return sandboxtest.Page{}
}

// atItsme lets person answer and gives the callback's address, whose parts are secrets.
func (w *world) atItsme(t testing.TB, link, person string) string {
	t.Helper()
	back, err := w.flow.AtItsme(t.Context(), link, person)
	w.must(t, err)
	for _, name := range []string{"code", "state"} {
		w.hide("itsme's "+name, query(t, back, name))
	}
	return back
}

// ends waits until a request is at an end and gives it.
func (w *world) ends(t testing.TB, r sandboxtest.Request, state string) request {
	t.Helper()
	var now request
	w.eventually(t, r.ID+" is "+state, func() bool {
		now = w.get(t, r.ID)
		if now.State == state {
			return true
		}
		switch now.State {
		case "finished", "declined", "expired", "failed":
			t.Fatalf("the request is %s, not %s: %+v", now.State, state, now.Problem)
		}
		return false
	})
	return now
}

// signed downloads the product and has the program verify it.
func (w *world) signed(t testing.TB, r sandboxtest.Request, original []byte) {
	t.Helper()
	w.ends(t, r, "finished")
	resp, body := w.do(t, w.flow, http.MethodGet, "/v1/signature-requests/"+r.ID+"/documents/1", nil, nil)
	if resp.StatusCode != http.StatusOK || !bytes.HasPrefix(body, original) {
		t.Fatalf("%d, %d bytes that do not begin with the original", resp.StatusCode, len(body))
	}
	path := filepath.Join(t.TempDir(), "signed.pdf")
	w.must(t, os.WriteFile(path, body, 0o600))
	if out, code := w.s.Tekend(t, "verify", path); code != 0 {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
}

// notSigned holds that a request has no document to download.
func (w *world) notSigned(t testing.TB, r sandboxtest.Request) {
	t.Helper()
	resp, body := w.do(t, w.flow, http.MethodGet, "/v1/signature-requests/"+r.ID+"/documents/1", nil, nil)
	if p := asProblem(t, resp, body); resp.StatusCode != http.StatusConflict || p.Code != "not_finished" {
		t.Errorf("a document of a request that was not signed: %d %s", resp.StatusCode, fmt.Sprint(p))
	}
}
