package witness_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	tlog "github.com/transparency-dev/formats/log"
	tnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"tekend/witness"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree is a log under test: its leaves are numbers, from fork on others.
type tree struct {
	origin string
	signer note.Signer
	vkey   string
	fork   uint64
}

func newTree(t testing.TB, origin string) *tree {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	check(t, err)
	s, err := note.NewSigner(skey)
	check(t, err)
	return &tree{origin, s, vkey, 1 << 60}
}

func (l *tree) leaf(i uint64) []byte {
	return rfc6962.DefaultHasher.HashLeaf(fmt.Appendf(nil, "%d %v", i, i >= l.fork))
}

func (l *tree) hash(t testing.TB, id compact.NodeID) []byte {
	begin, end := id.Coverage()
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for i := begin; i < end; i++ {
		check(t, r.Append(l.leaf(i), nil))
	}
	h, err := r.GetRootHash(nil)
	check(t, err)
	return h
}

func (l *tree) root(t testing.TB, size uint64) []byte {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for i := range size {
		check(t, r.Append(l.leaf(i), nil))
	}
	h, err := r.GetRootHash(nil)
	check(t, err)
	return h
}

func (l *tree) checkpoint(t testing.TB, size uint64) string {
	t.Helper()
	b, err := note.Sign(&note.Note{Text: string(tlog.Checkpoint{Origin: l.origin, Size: size, Hash: l.root(t, size)}.Marshal())}, l.signer)
	check(t, err)
	return string(b)
}

// ask is the body of add-checkpoint.
func (l *tree) ask(t testing.TB, old, size uint64) string {
	t.Helper()
	var lines strings.Builder
	fmt.Fprintf(&lines, "old %d\n", old)
	if old > 0 && old < size {
		n, err := proof.Consistency(old, size)
		check(t, err)
		hashes := make([][]byte, len(n.IDs))
		for i, id := range n.IDs {
			hashes[i] = l.hash(t, id)
		}
		hashes, err = n.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
		check(t, err)
		for _, h := range hashes {
			lines.WriteString(base64.StdEncoding.EncodeToString(h) + "\n")
		}
	}
	return lines.String() + "\n" + l.checkpoint(t, size)
}

type world struct {
	cfg  witness.Config
	vkey string
	w    *witness.Witness
	url  string
}

func newWorld(t testing.TB, logs ...*tree) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{cfg: witness.Config{KeyFile: filepath.Join(dir, "key"), StateDir: filepath.Join(dir, "state")}}
	var err error
	w.vkey, err = witness.Init("witness.test/w1", w.cfg.KeyFile, w.cfg.StateDir)
	check(t, err)
	for i, l := range logs {
		w.cfg.Logs = append(w.cfg.Logs, witness.Log{Origin: l.origin, Key: l.vkey, Epochs: i == 0})
	}
	w.start(t)
	return w
}

func (w *world) start(t testing.TB) {
	t.Helper()
	var err error
	w.w, err = witness.Open(w.cfg)
	check(t, err)
	srv := httptest.NewServer(w.w.Server().Handler)
	w.url = srv.URL
	t.Cleanup(func() { srv.Close(); _ = w.w.Close() })
}

func (w *world) post(t testing.TB, body string) (status int, kind, answer string) {
	t.Helper()
	resp, err := http.Post(w.url+"/add-checkpoint", "", strings.NewReader(body))
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

// TestProtocol walks through C2SP tlog-witness, answer by answer; the state
// stays that of the last 200.
func TestProtocol(t *testing.T) {
	l, other, unknown := newTree(t, "log.test/a"), newTree(t, "log.test/b"), newTree(t, "log.test/unknown")
	w := newWorld(t, l, other)
	v, err := tnote.NewVerifierForCosignatureV1(w.vkey)
	check(t, err)
	split := *l
	split.fork = 6
	forged := *l
	forged.signer = newTree(t, "log.test/a").signer
	elsewhere := *l
	elsewhere.origin = "log.test/b"
	epoch := *l
	epoch.origin = "log.test/a/1"
	noEpoch := *other
	noEpoch.origin = "log.test/b/1"
	good := func(old, size uint64) string { return l.ask(t, old, size) }
	extended := func() string {
		b, err := note.Sign(&note.Note{Text: string(tlog.Checkpoint{Origin: l.origin, Size: 9, Hash: l.root(t, 9)}.Marshal()) + "extension\n"}, l.signer)
		check(t, err)
		return "old 0\n\n" + string(b)
	}
	for _, c := range []struct {
		name, body string
		status     int
		size       string // in a 409
	}{
		{"unknown log", unknown.ask(t, 0, 5), 404, ""},
		{"signed by another key", forged.ask(t, 0, 5), 403, ""},
		{"one log's origin under another's key", elsewhere.ask(t, 0, 5), 403, ""},
		{"with an extension", extended(), 403, ""},
		{"old above new", strings.Replace(good(0, 5), "old 0", "old 6", 1), 400, ""},
		{"first, with a proof", "old 0\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n\n" + l.checkpoint(t, 5), 422, ""},
		{"first, from a size it does not know", good(3, 5), 409, "0"},
		{"first", good(0, 5), 200, ""},
		{"the same again", good(5, 5), 200, ""},
		{"from zero again", good(0, 7), 409, "5"},
		{"without proof", strings.Join([]string{"old 5", "", l.checkpoint(t, 8)}, "\n"), 422, ""},
		{"proof of another size", strings.Replace(good(4, 8), "old 4", "old 5", 1), 422, ""},
		{"next", good(5, 8), 200, ""},
		{"smaller", good(5, 5), 409, "8"},
		{"smaller, with the size it knows", strings.Replace(good(5, 5), "old 5", "old 8", 1), 400, ""},
		{"same size, another root", split.ask(t, 8, 8), 409, "8"},
		{"fork", split.ask(t, 8, 11), 422, ""},
		{"far", good(8, 300), 200, ""},
		{"other log", other.ask(t, 0, 2), 200, ""},
		{"epoch", epoch.ask(t, 0, 2), 200, ""},
		{"epoch of a log without", noEpoch.ask(t, 0, 2), 404, ""},
	} {
		status, kind, answer := w.post(t, c.body)
		if status != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, status, c.status, answer)
			continue
		}
		switch {
		case status == 200:
			_, signed, _ := strings.Cut(c.body, "\n\n")
			n, err := note.Open([]byte(signed+answer), note.VerifierList(v))
			if err != nil || len(n.Sigs) != 1 || strings.Count(answer, "\n") != 1 {
				t.Errorf("%s: cosignature %q: %v", c.name, answer, err)
			}
		case status == 409 && (kind != "text/x.tlog.size" || answer != c.size+"\n"):
			t.Errorf("%s: %s %q, want the size %s", c.name, kind, answer, c.size)
		}
	}
	w.shows(t, l, 300)
}

// shows asks for what the witness holds.
func (w *world) shows(t *testing.T, l *tree, size uint64) {
	t.Helper()
	resp, err := http.Get(w.url + "/checkpoint?origin=" + l.origin)
	check(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	v, err := tnote.NewVerifierForCosignatureV1(w.vkey)
	check(t, err)
	lv, err := note.NewVerifier(l.vkey)
	check(t, err)
	cp, _, n, err := tlog.ParseCheckpoint(b, l.origin, lv, v)
	if err != nil || cp.Size != size || len(n.Sigs) != 2 || !bytes.Equal(cp.Hash, l.root(t, size)) {
		t.Errorf("it shows %q: %v", b, err)
	}
}

func TestMalformedRequests(t *testing.T) {
	l := newTree(t, "log.test/a")
	w := newWorld(t, l)
	cp := l.checkpoint(t, 4)
	h := base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	for name, body := range map[string]string{
		"empty": "", "no checkpoint": "old 0\n\n", "no empty line": "old 0\n" + cp, "leading zero": "old 00\n\n" + cp, "plus": "old +0\n\n" + cp,
		"negative": "old -1\n\n" + cp, "no number": "old x\n\n" + cp, "no old": "new 0\n\n" + cp, "two spaces": "old  0\n\n" + cp,
		"too large a number": "old 99999999999999999999\n\n" + cp, "short hash": "old 1\nAAAA\n\n" + cp, "not base64": "old 1\n*\n\n" + cp,
		"64 hashes": "old 1\n" + strings.Repeat(h, 64) + "\n" + cp, "CR": "old 0\r\n\r\n" + cp,
	} {
		if status, _, _ := w.post(t, body); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _, _ := w.post(t, "old 0\n\n"+cp+strings.Repeat("x", 70<<10)); status != 413 {
		t.Errorf("too large: %d", status)
	}
	for path, want := range map[string]int{"/checkpoint?origin=log.test/a": 204, "/checkpoint?origin=log.test/none": 404, "/checkpoint": 404, "/other": 404, "/add-checkpoint": 405} {
		resp, err := http.Get(w.url + path)
		check(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// TestTwoHistoriesRace: honest and forked checkpoints of one size arrive
// together, many times. Whichever is first, the other is never cosigned, and
// what is held only grows.
func TestTwoHistoriesRace(t *testing.T) {
	const rounds = 200
	for round := range rounds {
		l := newTree(t, "log.test/a")
		split := *l
		split.fork = 2
		w := newWorld(t, l)
		status := make([]int, 8)
		var all sync.WaitGroup
		bodies := []string{l.ask(t, 0, 5), split.ask(t, 0, 5)}
		for i := range status {
			all.Go(func() {
				if _, err := w.w.Add(context.Background(), []byte(bodies[i%2])); err == nil {
					status[i] = 200
				}
			})
		}
		all.Wait()
		cosigned := 0
		for _, s := range status {
			cosigned += s / 200
		}
		if cosigned != 1 {
			t.Fatalf("round %d: %d of 8 cosigned", round, cosigned)
		}
	}
	t.Logf("figure: %d races of two histories at a witness, one cosigned in each", rounds)
}

func TestARestartForgetsNothing(t *testing.T) {
	l := newTree(t, "log.test/a")
	w := newWorld(t, l)
	if status, _, _ := w.post(t, l.ask(t, 0, 5)); status != 200 {
		t.Fatal(status)
	}
	if _, err := witness.Open(w.cfg); err == nil {
		t.Error("two witnesses share one memory")
	}
	check(t, w.w.Close())
	w.start(t)
	w.shows(t, l, 5)
	split := *l
	split.fork = 2
	if status, _, _ := w.post(t, split.ask(t, 5, 6)); status != 422 {
		t.Errorf("a fork after the restart: %d", status)
	}
	// What was being written when the power went is not what counts.
	files, err := filepath.Glob(filepath.Join(w.cfg.StateDir, strings.Repeat("[0-9a-f]", 64)))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	check(t, os.WriteFile(files[0]+".new", []byte("half"), 0o600))
	check(t, w.w.Close())
	w.start(t)
	w.shows(t, l, 5)
}

func TestOpenRefuses(t *testing.T) {
	l := newTree(t, "log.test/a")
	for name, c := range map[string]func(t *testing.T, w *world){
		"memory lost":     func(t *testing.T, w *world) { check(t, os.RemoveAll(w.cfg.StateDir)) },
		"memory emptied":  func(t *testing.T, w *world) { check(t, os.Remove(filepath.Join(w.cfg.StateDir, "witness-state"))) },
		"key open":        func(t *testing.T, w *world) { check(t, os.Chmod(w.cfg.KeyFile, 0o644)) },
		"no key":          func(t *testing.T, w *world) { check(t, os.Remove(w.cfg.KeyFile)) },
		"no log":          func(_ *testing.T, w *world) { w.cfg.Logs = nil },
		"log twice":       func(_ *testing.T, w *world) { w.cfg.Logs = append(w.cfg.Logs, w.cfg.Logs[0]) },
		"no origin":       func(_ *testing.T, w *world) { w.cfg.Logs[0].Origin = "" },
		"bad key":         func(_ *testing.T, w *world) { w.cfg.Logs[0].Key = "x" },
		"another's state": func(t *testing.T, w *world) { w.cfg.StateDir = newWorld(t, l).cfg.StateDir },
		"damaged": func(t *testing.T, w *world) {
			w.start(t)
			if status, _, _ := w.post(t, l.ask(t, 0, 5)); status != 200 {
				t.Fatal(status)
			}
			check(t, w.w.Close())
			files, err := filepath.Glob(filepath.Join(w.cfg.StateDir, strings.Repeat("[0-9a-f]", 64)))
			check(t, err)
			check(t, os.WriteFile(files[0], nil, 0o600))
		},
	} {
		w := newWorld(t, l)
		check(t, w.w.Close())
		c(t, w)
		if got, err := witness.Open(w.cfg); err == nil {
			t.Errorf("%s: it opens", name)
			_ = got.Close()
		}
	}
	w := newWorld(t, l)
	if _, err := witness.Init("again", w.cfg.KeyFile, w.cfg.StateDir); err == nil {
		t.Error("a key was replaced")
	}
}

func FuzzAdd(f *testing.F) {
	l := newTree(f, "log.test/a")
	w := newWorld(f, l)
	f.Add([]byte(l.ask(f, 0, 5)))
	f.Add([]byte(l.ask(f, 5, 9)))
	f.Add([]byte("old 0\n\nlog.test/a\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		line, err := w.w.Add(context.Background(), body)
		if err == nil && !strings.HasPrefix(line, "— witness.test/w1 ") {
			t.Errorf("%q", line)
		}
	})
}
