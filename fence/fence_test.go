package fence_test

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"tekend/audit"
	"tekend/db"
	"tekend/fence"
	"tekend/foureyes"
	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

func TestMain(m *testing.M) { os.Exit(hsmtest.Main(m)) }

var ctx = context.Background()

var migrations = fstest.MapFS{"migrations/00001_x.sql": {Data: []byte("-- +goose Up\nCREATE TABLE x (n INTEGER);\n-- +goose Down\nDROP TABLE x;\n")}}

// world is a role as the gate sees it: database, token, fence; and what a witness was shown.
type world struct {
	t         *testing.T
	dir       string
	token     *hsm.Token
	now       time.Time
	witnessed map[string]fence.Seen
	silent    atomic.Bool
	keys      []ed25519.PrivateKey
	operators foureyes.Operators
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), token: hsmtest.Token(t), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), witnessed: map[string]fence.Seen{}}
	var list []foureyes.Operator
	for _, name := range []string{"an", "bo"} {
		public, private, err := ed25519.GenerateKey(nil)
		w.must(err)
		w.keys = append(w.keys, private)
		list = append(list, foureyes.Operator{Name: name, Key: base64.RawURLEncoding.EncodeToString(public)})
	}
	var err error
	w.operators, err = foureyes.Load(list)
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) setup() *fence.Setup {
	return &fence.Setup{
		Config: fence.Config{File: w.path("fence.json")}, Role: "sam", Token: w.token, Origin: "example.org/sam",
		Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Witnesses: []fence.Witness{func(_ context.Context, origin string) (fence.Seen, bool, error) {
			if w.silent.Load() {
				return fence.Seen{}, false, errors.New("no answer")
			}
			s, found := w.witnessed[origin]
			return s, found, nil
		}},
	}
}

func (w *world) openDB() *db.DB {
	w.t.Helper()
	d, err := db.Open(ctx, w.path("role.db"), migrations)
	w.must(err)
	w.must(audit.Ensure(ctx, d))
	return d
}

// run is one life of the role: n rows, then a checkpoint that fence and witness get. It gives the reasons of a closed gate.
func (w *world) run(rows int) []string {
	w.t.Helper()
	d := w.openDB()
	defer func() { w.must(d.Close()) }()
	g, err := fence.Open(ctx, w.setup(), d)
	w.must(err)
	defer func() { w.must(g.Close()) }()
	if g.Check() != nil {
		return g.Reasons()
	}
	for range rows {
		w.must(d.InTx(ctx, func(tx *sql.Tx) error {
			return audit.Append(ctx, tx, audit.Event{At: w.now, Kind: "test", Subject: "s"})
		}))
	}
	size, err := audit.Size(ctx, d)
	w.must(err)
	root, err := audit.RootAt(ctx, d, size)
	w.must(err)
	w.must(g.Checkpoint(size, root))
	w.witnessed[g.Origin("example.org/sam")] = fence.Seen{Size: size, Root: root}
	return nil
}

// keep copies files of the world; put puts the copies back.
func (w *world) keep(names ...string) (put func()) {
	w.t.Helper()
	kept := map[string][]byte{}
	for _, n := range names {
		b, err := os.ReadFile(w.path(n))
		w.must(err)
		kept[n] = b
	}
	return func() {
		for n, b := range kept {
			w.must(os.WriteFile(w.path(n), b, 0o600))
			_ = os.Remove(w.path(n + "-wal"))
			_ = os.Remove(w.path(n + "-shm"))
		}
	}
}

func (w *world) approve(who int, text string) string {
	w.t.Helper()
	a, err := foureyes.Approve(w.keys[who], text, w.now, 10*time.Minute)
	w.must(err)
	return a.String()
}

func (w *world) unlock(do bool, approvals ...string) error {
	w.t.Helper()
	d := w.openDB()
	defer func() { w.must(d.Close()) }()
	_, err := fence.Unlock(ctx, *w.setup(), d, fence.Decision{Operators: w.operators, Approvals: approvals, Do: do})
	return err
}

func (w *world) show() string {
	w.t.Helper()
	text, err := fence.Show(*w.setup())
	w.must(err)
	return text
}

func TestARoleThatGoesOnIsOpen(t *testing.T) {
	w := newWorld(t)
	for n := range int64(4) {
		if why := w.run(3); why != nil {
			t.Fatalf("start %d: %v", n, why)
		}
		if got, err := w.token.Generation(ctx); err != nil || got != n+1 {
			t.Fatalf("start %d: generation %d %v", n, got, err)
		}
	}
	if _, err := fence.Show(*w.setup()); !errors.Is(err, fence.ErrNotLocked) {
		t.Error(err)
	}
}

func TestWhatWasPutBackLocks(t *testing.T) {
	for name, c := range map[string]struct {
		back func(w *world)
		want string
	}{
		"old database": {func(w *world) { put := w.keep("role.db"); w.run(2); put() }, "the database is older than the fence"},
		"database and fence": {func(w *world) {
			put := w.keep("role.db", "fence.json")
			w.run(2)
			put()
		}, "the token is newer"},
		"no database": {func(w *world) { w.must(os.Remove(w.path("role.db"))) }, "the database is older than the fence"},
		"no fence":    {func(w *world) { w.must(os.Remove(w.path("fence.json"))) }, "there is no fence"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.run(3)
			w.run(3)
			c.back(w)
			why := w.run(1)
			if c.want == "the token is newer" { // only the witness can tell
				c.want = "the database is older than the witness"
			}
			if !slices.Contains(why, c.want) {
				t.Fatalf("found %q, want %q", why, c.want)
			}
			if again := w.run(1); !slices.Equal(again, why) {
				t.Errorf("then %q", again)
			}
			text := w.show()
			if w.show() != text {
				t.Error("the lock's text changed")
			}
			w.must(w.unlock(true, w.approve(0, text), w.approve(1, text)))
			if why := w.run(2); why != nil {
				t.Errorf("after unlocking: %v", why)
			}
			if why := w.run(2); why != nil {
				t.Errorf("the start after that: %v", why)
			}
			if _, renamed := w.witnessed["example.org/sam/1"]; !renamed {
				t.Errorf("the log did not go on under a new name: %v", w.witnessed)
			}
		})
	}
}

// TestAForkThatGrewIsAnotherRecord: the old database is put back, and grows until it is longer than what was seen.
func TestAForkThatGrewIsAnotherRecord(t *testing.T) {
	w := newWorld(t)
	w.run(3)
	put := w.keep("role.db")
	w.run(2)
	put()
	d := w.openDB()
	for range 9 {
		w.must(d.InTx(ctx, func(tx *sql.Tx) error {
			return audit.Append(ctx, tx, audit.Event{At: w.now, Kind: "test", Subject: "s"})
		}))
	}
	w.must(d.Close())
	if why := w.run(1); !slices.Equal(why, []string{"the database is not the one of the fence", "the database is not the one that the witness saw"}) {
		t.Errorf("%q", why)
	}
}

func TestAnOldTokenLocks(t *testing.T) {
	w := newWorld(t)
	w.run(2)
	old := w.token
	w.run(2)
	w.token = hsmtest.Token(t) // another directory: it never had a generation
	if why := w.run(1); !slices.Equal(why, []string{"the token is older than the fence"}) {
		t.Errorf("%q", why)
	}
	w.token = old
	if why := w.run(1); !slices.Contains(why, "an earlier lock was not opened") {
		t.Errorf("with the right one back: %q", why)
	}
}

func TestOnlyTwoOperatorsOpenALock(t *testing.T) {
	w := newWorld(t)
	w.run(3)
	put := w.keep("role.db")
	w.run(3)
	put()
	w.run(0)
	text := w.show()
	a, b := w.approve(0, text), w.approve(1, text)
	other := strings.Replace(text, "id: ", "id: X", 1)
	for name, c := range map[string]struct {
		approvals []string
		want      error
	}{
		"nobody":       {nil, foureyes.ErrTooFew},
		"one":          {[]string{a}, foureyes.ErrTooFew},
		"one twice":    {[]string{a, w.approve(0, text)}, foureyes.ErrTooFew},
		"another lock": {[]string{a, w.approve(1, other)}, foureyes.ErrSubject},
	} {
		if err := w.unlock(true, c.approvals...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.now = w.now.Add(11 * time.Minute)
	if err := w.unlock(true, a, b); !errors.Is(err, foureyes.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	a, b = w.approve(0, text), w.approve(1, text)
	w.must(w.unlock(false, a, b))
	if why := w.run(0); why == nil {
		t.Fatal("a trial opened the lock")
	}
	locked := w.keep("role.db", "fence.json")
	w.must(w.unlock(true, a, b))
	if err := w.unlock(true, a, b); !errors.Is(err, fence.ErrNotLocked) {
		t.Errorf("a second time: %v", err)
	}
	if why := w.run(3); why != nil {
		t.Fatalf("%q", why)
	}
	// The same approvals with the locked state put back: the witness has seen what came of them.
	locked()
	_ = w.unlock(true, a, b)
	if why := w.run(0); why == nil {
		t.Error("approvals were used a second time")
	}
}

func TestAKilledUnlockIsDoneAgain(t *testing.T) {
	w := newWorld(t)
	w.run(3)
	put := w.keep("role.db")
	w.run(3)
	put()
	w.run(0)
	text := w.show()
	before := w.keep("fence.json")
	w.must(w.unlock(true, w.approve(0, text), w.approve(1, text)))
	before() // as if killed between the row and the fence
	if why := w.run(0); why == nil {
		t.Fatal("open")
	}
	if w.show() != text {
		t.Error("another lock")
	}
	w.must(w.unlock(true, w.approve(0, text), w.approve(1, text)))
	if why := w.run(0); why != nil {
		t.Errorf("%q", why)
	}
}

func TestWithoutAWitnessNothingIsDone(t *testing.T) {
	w := newWorld(t)
	w.run(3)
	put := w.keep("role.db", "fence.json")
	w.run(3)
	put()
	w.silent.Store(true)
	d := w.openDB()
	defer func() { w.must(d.Close()) }()
	g, err := fence.Open(ctx, w.setup(), d)
	w.must(err)
	defer func() { w.must(g.Close()) }()
	var c *fence.Closed
	if err := g.Check(); !errors.As(err, &c) || c.Code != fence.CodeUnwitnessed || g.Locked() {
		t.Fatalf("%v", err)
	}
	w.silent.Store(false)
	for range 100 {
		if g.Locked() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("the witness answered, and the gate says %v", g.Check())
}

func TestAFenceOfAnotherRoleOrOpenToOthersIsNone(t *testing.T) {
	w := newWorld(t)
	w.run(1)
	for name, spoil := range map[string]func(b []byte) error{
		"another role": func(b []byte) error {
			return os.WriteFile(w.path("fence.json"), []byte(strings.Replace(string(b), `"sam"`, `"tsa"`, 1)), 0o600)
		},
		"cut":  func(b []byte) error { return os.WriteFile(w.path("fence.json"), b[:len(b)/2], 0o600) },
		"open": func([]byte) error { return os.Chmod(w.path("fence.json"), 0o644) },
		"a link": func([]byte) error {
			return errors.Join(os.Rename(w.path("fence.json"), w.path("x")), os.Symlink("x", w.path("fence.json")))
		},
	} {
		put := w.keep("fence.json")
		b, err := os.ReadFile(w.path("fence.json"))
		w.must(err)
		w.must(spoil(b))
		d := w.openDB()
		if g, err := fence.Open(ctx, w.setup(), d); err == nil {
			t.Errorf("%s: the gate says %v", name, g.Check())
		}
		w.must(d.Close())
		w.must(os.Remove(w.path("fence.json")))
		put()
	}
}
