package audit_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tekend/audit"
	"tekend/db"
	"tekend/witness"
)

const origin = "test.tekend/audit/sam"

// keyFile makes a log's key as the ceremony does.
func keyFile(t testing.TB) (path, vkey string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	path = filepath.Join(t.TempDir(), "audit-log.pem")
	check(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return path, audit.VerifierKey(origin, pub)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// station is a running witness.
type station struct {
	*witness.Witness
	server *httptest.Server
	vkey   string
	dir    string
}

func (s station) section() audit.Witness { return audit.Witness{URL: s.server.URL, Key: s.vkey} }

func newStation(t testing.TB, name, logKey string) station {
	t.Helper()
	dir := t.TempDir()
	key, state := filepath.Join(dir, "key"), filepath.Join(dir, "state")
	vkey, err := witness.Init(name, key, state)
	check(t, err)
	w, err := witness.Open(witness.Config{KeyFile: key, StateDir: state, Logs: []witness.Log{{Origin: origin, Key: logKey, Epochs: true}}})
	check(t, err)
	srv := httptest.NewServer(w.Handler())
	t.Cleanup(func() { srv.Close(); _ = w.Close() })
	return station{w, srv, vkey, state}
}

type fixture struct {
	d         *db.DB
	cfg       audit.LogConfig
	log       *audit.Log
	verifier  note.Verifier
	stations  []station
	witnesses []note.Verifier
	now       time.Time
}

func newFixture(t testing.TB, d *db.DB, witnesses int) *fixture {
	t.Helper()
	key, vkey := keyFile(t)
	f := &fixture{d: d, now: start.Add(time.Hour), cfg: audit.LogConfig{Origin: origin, KeyFile: key}}
	f.cfg.Now = func() time.Time { return f.now }
	var err error
	f.verifier, err = audit.LogVerifier(vkey)
	check(t, err)
	for i := range witnesses {
		s := newStation(t, "w"+string(rune('1'+i))+".test", vkey)
		f.stations = append(f.stations, s)
		f.cfg.Witnesses = append(f.cfg.Witnesses, s.section())
		v, err := audit.WitnessVerifier(s.vkey)
		check(t, err)
		f.witnesses = append(f.witnesses, v)
	}
	f.open(t)
	return f
}

func (f *fixture) open(t testing.TB) {
	t.Helper()
	var err error
	f.log, err = audit.OpenLog(context.Background(), f.d, f.cfg)
	check(t, err)
}

func TestEveryRowIsProven(t *testing.T) {
	f := newFixture(t, filled(t, 5), 2)
	for seq := int64(1); seq <= 5; seq++ {
		if _, err := audit.Prove(t.Context(), f.d, seq); !errors.Is(err, audit.ErrNotYet) {
			t.Fatalf("before a checkpoint: %v", err)
		}
	}
	total := int64(5)
	for range 9 { // sizes that are and are not powers of two
		check(t, f.log.Flush(t.Context()))
		for seq := int64(1); seq <= total; seq++ {
			p, err := audit.Prove(t.Context(), f.d, seq)
			check(t, err)
			b, err := json.Marshal(p)
			check(t, err)
			again, err := audit.ParseProof(b)
			check(t, err)
			e, err := again.Verify(f.verifier, f.witnesses, 2)
			if err != nil || e.Kind != "act" || e.Subject != "cred_1" || p.Size != total || p.Origin != origin {
				t.Fatalf("row %d of %d: %+v %v", seq, total, e, err)
			}
		}
		n := total%4 + 1
		for range n {
			add(t, f.d, audit.Event{At: f.now, Kind: "act", Subject: "cred_1"})
		}
		total += n
	}
	if _, err := audit.Prove(t.Context(), f.d, total+1); !errors.Is(err, audit.ErrNoRow) {
		t.Error(err)
	}
}

// TestProofsAreExact: each byte of a proof's parts matters.
func TestProofsAreExact(t *testing.T) {
	f := newFixture(t, filled(t, 7), 1)
	check(t, f.log.Flush(t.Context()))
	good, err := audit.Prove(t.Context(), f.d, 3)
	check(t, err)
	other := newFixture(t, filled(t, 7), 1)
	check(t, other.log.Flush(t.Context()))
	tried := 0
	refused := func(what string, p audit.Proof, log note.Verifier, w []note.Verifier, need int) {
		t.Helper()
		tried++
		if e, err := p.Verify(log, w, need); err == nil || e.Kind != "" {
			t.Errorf("%s: accepted as %+v", what, e)
		}
	}
	refused("another log's key", *good, other.verifier, f.witnesses, 1)
	refused("another witness", *good, f.verifier, other.witnesses, 1)
	refused("one of two witnesses", *good, f.verifier, append(f.witnesses, other.witnesses...), 2)
	refused("the same witness twice", *good, f.verifier, append(f.witnesses, f.witnesses...), 2)
	for i := range good.Row {
		p := *good
		p.Row = []byte(string(good.Row))
		p.Row[i] ^= 1
		refused("row", p, f.verifier, f.witnesses, 1)
	}
	for i := range good.Hashes {
		p := *good
		p.Hashes = append([][]byte{}, good.Hashes...)
		p.Hashes[i] = append([]byte{good.Hashes[i][0] ^ 1}, good.Hashes[i][1:]...)
		refused("hash", p, f.verifier, f.witnesses, 1)
		p.Hashes = append(append([][]byte{}, good.Hashes[:i]...), good.Hashes[i+1:]...)
		refused("a hash less", p, f.verifier, f.witnesses, 1)
	}
	for i := range good.Checkpoint {
		p := *good
		p.Checkpoint = good.Checkpoint[:i] + string(good.Checkpoint[i]^1) + good.Checkpoint[i+1:]
		refused("checkpoint", p, f.verifier, f.witnesses, 1)
	}
	for _, change := range []func(*audit.Proof){
		func(p *audit.Proof) { p.Seq++ }, func(p *audit.Proof) { p.Seq = 0 }, func(p *audit.Proof) { p.Size-- },
		func(p *audit.Proof) { p.Size = -1 }, func(p *audit.Proof) { p.Origin += "x" },
		func(p *audit.Proof) { p.Row = append(p.Row, 0) }, func(p *audit.Proof) { p.Hashes = append(p.Hashes, p.Hashes[0]) },
	} {
		p := *good
		change(&p)
		refused("numbers", p, f.verifier, f.witnesses, 1)
	}
	if tried < 400 {
		t.Errorf("only %d changes were tried", tried)
	}
}

func TestAWitnessThatIsAwayStopsActsAfterALimit(t *testing.T) {
	f := newFixture(t, filled(t, 3), 2)
	f.cfg.Need = 1
	f.open(t)
	check(t, f.log.Flush(t.Context()))
	check(t, f.log.Ready(f.now))
	f.stations[0].server.Close() // one of two: enough is left
	add(t, f.d, audit.Event{At: f.now, Kind: "act"})
	check(t, f.log.Flush(t.Context()))
	f.stations[1].server.Close()
	begin := f.now
	add(t, f.d, audit.Event{At: f.now, Kind: "act"})
	for f.now.Before(begin.Add(15 * time.Minute)) {
		if err := f.log.Flush(t.Context()); !errors.Is(err, audit.ErrUnwitnessed) {
			t.Fatalf("without witnesses: %v", err)
		}
		check(t, f.log.Ready(f.now)) // the local record goes on
		f.now = f.now.Add(5 * time.Minute)
	}
	check(t, f.log.Ready(f.now))
	f.now = f.now.Add(time.Microsecond)
	if err := f.log.Ready(f.now); !errors.Is(err, audit.ErrUnwitnessed) {
		t.Fatalf("after the limit: %v", err)
	}
	f.open(t) // a restart forgets nothing
	if err := f.log.Ready(f.now); !errors.Is(err, audit.ErrUnwitnessed) {
		t.Fatalf("after a restart: %v", err)
	}
	// Another process at the same address has the same witness back.
	f.stations[1].server = httptest.NewServer(f.stations[1].Handler())
	defer f.stations[1].server.Close()
	f.cfg.Witnesses[1].URL = f.stations[1].server.URL
	f.open(t)
	check(t, f.log.Flush(t.Context()))
	check(t, f.log.Ready(f.now))
	p, err := audit.Prove(t.Context(), f.d, 5)
	check(t, err)
	_, err = p.Verify(f.verifier, f.witnesses, 1)
	check(t, err)
}

// TestLogIsInspected: what a running log leaves is whole, also when it was
// opened again and when rows are not covered yet.
func TestLogIsInspected(t *testing.T) {
	f := newFixture(t, filled(t, 3), 2)
	for range 4 {
		check(t, f.log.Flush(t.Context()))
		add(t, f.d, audit.Event{At: f.now, Kind: "act"})
		f.open(t)
	}
	held, err := f.cfg.Witnesses[0].Held(t.Context(), origin, f.verifier)
	check(t, err)
	got, err := audit.Inspect(t.Context(), f.d, audit.Against{Log: f.verifier, Witnesses: f.witnesses, Need: 2, Held: []audit.Held{*held}})
	if err != nil || len(got.Problems) > 0 || got.Rows != 7 || got.Checkpoints != 4 || got.Cosignatures != 8 || got.Size != 6 || got.Witnessed != 6 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestEpochs: after a lock was opened the log goes on under another origin with
// the same key, and both parts are proven.
func TestEpochs(t *testing.T) {
	f := newFixture(t, filled(t, 3), 1)
	check(t, f.log.Flush(t.Context()))
	f.cfg.Under = origin + "/2"
	f.open(t)
	add(t, f.d, audit.Event{At: f.now, Kind: "act"})
	check(t, f.log.Flush(t.Context()))
	p, err := audit.Prove(t.Context(), f.d, 1)
	check(t, err)
	if _, err := p.Verify(f.verifier, f.witnesses, 1); err != nil || p.Origin != origin+"/2" {
		t.Errorf("%s: %v", p.Origin, err)
	}
	got, err := audit.Inspect(t.Context(), f.d, audit.Against{Log: f.verifier, Witnesses: f.witnesses, Need: 1})
	if err != nil || len(got.Problems) > 0 {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{origin + "/0", origin + "/01", origin + "/x", "other", origin + "/"} {
		f.cfg.Under = bad
		if _, err := audit.OpenLog(t.Context(), f.d, f.cfg); err == nil {
			t.Errorf("%s is taken for an epoch", bad)
		}
	}
}

// TestAnOldCopyIsNoticed: the database is put back; the witness has seen more.
func TestAnOldCopyIsNoticed(t *testing.T) {
	for name, more := range map[string]bool{"and nothing happened since": false, "and rows were written since": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "role.db")
			d := openAt(t, path)
			f := newFixture(t, d, 1)
			for range 5 {
				add(t, d, audit.Event{At: start, Kind: "act"})
			}
			check(t, f.log.Flush(t.Context()))
			copied := filepath.Join(dir, "copy.db")
			_, err := d.Exec("VACUUM INTO ?", copied)
			check(t, err)
			for range 3 {
				add(t, d, audit.Event{At: start, Kind: "act"})
			}
			check(t, f.log.Flush(t.Context()))
			check(t, d.Close())

			f.d = openAt(t, copied)
			f.open(t)
			if more { // as many and more than were lost: other rows
				for range 4 {
					add(t, f.d, audit.Event{At: start, Kind: "act"})
				}
			}
			if err := f.log.CheckWitnesses(t.Context()); !errors.Is(err, audit.ErrInconsistent) {
				t.Errorf("the gate: %v", err)
			}
			add(t, f.d, audit.Event{At: start, Kind: "act"})
			if err := f.log.Flush(t.Context()); !errors.Is(err, audit.ErrInconsistent) {
				t.Errorf("flush: %v", err)
			}
			if err := f.log.Ready(f.now); !errors.Is(err, audit.ErrInconsistent) {
				t.Errorf("ready: %v", err)
			}
		})
	}
}

// TestALieAboutAWitnessStopsNothing: answers of HTTP are not signed. Somebody on
// the way, or a witness that is not needed, who says that more or other rows were
// cosigned, and cannot show it, makes no fault, which would last until a restart.
func TestALieAboutAWitnessStopsNothing(t *testing.T) {
	for name, lie := range map[string]http.HandlerFunc{
		"more rows": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/x.tlog.size")
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, "1000000\n")
		},
		"other rows": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, filled(t, 5), 2)
			f.cfg.Need = 1
			f.open(t)
			check(t, f.log.Flush(t.Context()))
			honest := f.stations[1].server.Config.Handler
			f.stations[1].server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					lie(w, r)
					return
				}
				honest.ServeHTTP(w, r)
			})
			add(t, f.d, audit.Event{At: f.now, Kind: "act"})
			check(t, f.log.Flush(t.Context())) // the other one has cosigned
			check(t, f.log.Ready(f.now))
			f.cfg.Need = 2
			f.open(t)
			add(t, f.d, audit.Event{At: f.now, Kind: "act"})
			if err := f.log.Flush(t.Context()); !errors.Is(err, audit.ErrUnwitnessed) || errors.Is(err, audit.ErrInconsistent) {
				t.Errorf("both are needed: %v", err)
			}
			f.stations[1].server.Config.Handler = honest
			check(t, f.log.Flush(t.Context()))
		})
	}
}

// TestTheLogSignsNothingOverAnEdit: what was covered cannot be changed and the
// log go on; each edit is one that keeps the chain from the edit on whole.
func TestTheLogSignsNothingOverAnEdit(t *testing.T) {
	for name, edit := range map[string]string{
		"last row removed":      "DELETE FROM audit WHERE seq=5",
		"last row edited":       "UPDATE audit SET kind='x' WHERE seq=5",
		"newest root changed":   "UPDATE audit_head SET root=zeroblob(32)",
		"newest size changed":   "UPDATE audit_head SET size=4",
		"checkpoint removed":    "DELETE FROM audit_cosignatures; DELETE FROM audit_checkpoints",
		"checkpoint forged":     "UPDATE audit_checkpoints SET note=replace(note, '5', '6')",
		"a node changed":        "UPDATE audit_nodes SET hash=zeroblob(32) WHERE pos=6",
		"a node removed":        "DELETE FROM audit_nodes WHERE pos=6",
		"new row edited":        "UPDATE audit SET kind='x' WHERE seq=6",
		"new row of other time": "UPDATE audit SET high=high+1 WHERE seq=6",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, filled(t, 5), 0)
			check(t, f.log.Flush(t.Context()))
			add(t, f.d, audit.Event{At: f.now, Kind: "act"})
			unlock(t, f.d)
			_, err := f.d.Exec(edit)
			check(t, err)
			if err := f.log.Flush(t.Context()); !errors.Is(err, audit.ErrInconsistent) {
				t.Errorf("flush: %v", err)
			}
			if err := f.log.Ready(f.now); !errors.Is(err, audit.ErrInconsistent) {
				t.Errorf("ready: %v", err)
			}
		})
	}
}

// unlock drops the triggers, as an intruder with the file would.
func unlock(t testing.TB, d *db.DB) {
	t.Helper()
	rows, err := d.Query("SELECT name FROM sqlite_master WHERE type='trigger'")
	check(t, err)
	var drop strings.Builder
	for rows.Next() {
		var name string
		check(t, rows.Scan(&name))
		drop.WriteString("DROP TRIGGER " + name + ";")
	}
	check(t, rows.Err())
	_, err = d.Exec(drop.String() + "PRAGMA foreign_keys=0;")
	check(t, err)
}

func TestOldFormatIsRefusedInWords(t *testing.T) {
	d := bare(t, filepath.Join(t.TempDir(), "role.db"))
	_, err := d.Exec("CREATE TABLE audit (seq INTEGER PRIMARY KEY, at INTEGER, high INTEGER, kind TEXT, subject TEXT, detail TEXT, prev BLOB, hash BLOB)")
	check(t, err)
	if err := audit.Ensure(t.Context(), d); !errors.Is(err, audit.ErrOldFormat) || !strings.Contains(err.Error(), "new database") {
		t.Error(err)
	}
}

func TestLogConfigIsChecked(t *testing.T) {
	d := filled(t, 1)
	key, _ := keyFile(t)
	open := filepath.Join(t.TempDir(), "open.pem")
	b, err := os.ReadFile(key)
	check(t, err)
	check(t, os.WriteFile(open, b, 0o640))
	check(t, os.Chmod(open, 0o640))
	good := audit.LogConfig{Origin: origin, KeyFile: key, Now: time.Now}
	s := newStation(t, "w.test", mustVKey(t))
	for name, change := range map[string]func(*audit.LogConfig){
		"no origin":               func(c *audit.LogConfig) { c.Origin = "" },
		"origin with a space":     func(c *audit.LogConfig) { c.Origin = "a b" },
		"no clock":                func(c *audit.LogConfig) { c.Now = nil },
		"no key":                  func(c *audit.LogConfig) { c.KeyFile = "" },
		"key open to others":      func(c *audit.LogConfig) { c.KeyFile = open },
		"more needed than there":  func(c *audit.LogConfig) { c.Need = 1 },
		"later than 15m":          func(c *audit.LogConfig) { c.MaxUnwitnessed = time.Hour },
		"slower than 1s":          func(c *audit.LogConfig) { c.Interval = time.Minute },
		"witness without key":     func(c *audit.LogConfig) { c.Witnesses = []audit.Witness{{URL: "http://127.0.0.1:1"}} },
		"witness without address": func(c *audit.LogConfig) { c.Witnesses = []audit.Witness{{Key: s.vkey}} },
		"witness twice":           func(c *audit.LogConfig) { c.Witnesses = []audit.Witness{s.section(), s.section()} },
		"anchor without root":     func(c *audit.LogConfig) { c.Anchor.URL = "http://127.0.0.1:1" },
	} {
		c := good
		change(&c)
		if _, err := audit.OpenLog(t.Context(), d, c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := audit.OpenLog(t.Context(), d, good); err != nil {
		t.Error(err)
	}
}

func mustVKey(t testing.TB) string {
	t.Helper()
	_, vkey := keyFile(t)
	return vkey
}

// TestNoLogIsAlwaysReady: a role used as a library has none.
func TestNoLogIsAlwaysReady(t *testing.T) {
	var l *audit.Log
	if err := errors.Join(l.Ready(start), l.Flush(t.Context()), l.CheckWitnesses(t.Context())); err != nil || l.Origin() != "" || l.Notes(start) != nil {
		t.Error(err)
	}
}

// BenchmarkAppend is the cost of one row within a transaction of many.
func BenchmarkAppend(b *testing.B) {
	d := openAt(b, filepath.Join(b.TempDir(), "role.db"))
	err := d.InTx(b.Context(), func(tx *sql.Tx) error {
		for i := range b.N {
			e := audit.Event{At: start.Add(time.Duration(i)), Kind: "key.used", Subject: "cred_1", Detail: map[string]string{"digest": "0123456789012345678901234567890123456789012"}}
			if _, err := audit.AppendRow(b.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	check(b, err)
}
