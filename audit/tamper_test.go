package audit

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	tlog "github.com/transparency-dev/formats/log"
	tnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"tekend/db"
)

// The record of these tests: rows, checkpoints at odd sizes, each cosigned by
// two witnesses, anchors now and then. The intruder has the database file, and
// where it says so the log's key; never a witness's or the anchor's.

// tries per kind: `make test` prints the figures of 1000 (TEKEND_TRIES).
var tries = number("TEKEND_TRIES", 100)

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

var begin = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

type record struct {
	d      *db.DB
	log    *Log
	w      []*tnote.Signer
	anchor *ecdsa.PrivateKey
	sizes  []int64 // of checkpoints
	a      Against
	held   []Held // by size, as a witness had them
}

// stamp is a stand-in for an RFC 3161 token here (package tsa stands on this
// floor): time and signature over time and digest. The real one is tried in
// cmd/tekend-trusted.
func (r *record) stamp(t testing.TB, digest []byte, at time.Time) []byte {
	sum := sha256.Sum256(append(fmt.Appendf(nil, "%d ", at.UnixMicro()), digest...))
	sig, err := ecdsa.SignASN1(rand.Reader, r.anchor, sum[:])
	must(t, err)
	return append(fmt.Appendf(nil, "%d ", at.UnixMicro()), sig...)
}

func (r *record) verifyStamp(token, digest []byte) (time.Time, error) {
	number, sig, _ := bytes.Cut(token, []byte(" "))
	sum := sha256.Sum256(append(append(bytes.Clone(number), ' '), digest...))
	n, ok := new(big.Int).SetString(string(number), 10)
	if !ok || !ecdsa.VerifyASN1(&r.anchor.PublicKey, sum[:], sig) {
		return time.Time{}, errors.New("the token is not over this checkpoint")
	}
	return time.UnixMicro(n.Int64()), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// copied is a record in a file of its own, which may be changed.
func (r *record) copied(t testing.TB) *record {
	path := filepath.Join(t.TempDir(), "copy.db")
	_, err := r.d.Exec("VACUUM INTO ?", path)
	must(t, err)
	d, err := db.Open(context.Background(), path, noMigrations)
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	unlockForTest(t, d)
	c := *r
	c.d = d
	return &c
}

var noMigrations = fstest.MapFS{"migrations/00001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}

// newRecord builds one whole record. seed makes its shape.
func newRecord(t testing.TB, seed uint64) *record {
	ctx := context.Background()
	rng := mathrand.New(mathrand.NewPCG(seed, 1))
	d, err := db.Open(ctx, filepath.Join(t.TempDir(), "role.db"), noMigrations)
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	must(t, Ensure(ctx, d))
	r := &record{d: d}
	pub, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	v, err := note.NewVerifier(VerifierKey("test/audit/sam", pub))
	must(t, err)
	cfg := LogConfig{Origin: "test/audit/sam", Under: "test/audit/sam", Now: time.Now, Need: 2}
	r.log = &Log{cfg: cfg, db: d, signer: &signer{v, key}, verifier: v, peers: make([]*peer, 2)}
	r.a = Against{Log: v, Need: 2, Anchor: r.verifyStamp}
	for i := range 2 {
		skey, vkey, err := note.GenerateKey(rand.Reader, fmt.Sprintf("w%d.test", i))
		must(t, err)
		s, err := tnote.NewSignerForCosignatureV1(skey)
		must(t, err)
		w, err := WitnessVerifier(vkey)
		must(t, err)
		r.w, r.a.Witnesses = append(r.w, s), append(r.a.Witnesses, w)
		r.log.peers[i] = &peer{name: s.Name(), verifier: w}
	}
	r.anchor, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for n := range 5 {
		must(t, d.InTx(ctx, func(tx *sql.Tx) error {
			for range 2 + rng.IntN(5) {
				if err := Append(ctx, tx, Event{At: begin.Add(time.Duration(n) * time.Minute), Kind: "key.used", Subject: fmt.Sprint("s", rng.IntN(5)), Detail: map[string]string{"n": fmt.Sprint(rng.Uint32())}}); err != nil {
					return err
				}
			}
			return nil
		}))
		r.cover(t, n%3 == 1, begin.Add(time.Duration(n)*time.Minute))
	}
	must(t, d.InTx(ctx, func(tx *sql.Tx) error { // rows that no checkpoint covers yet
		return Append(ctx, tx, Event{At: begin.Add(5 * time.Minute), Kind: "key.used", Subject: "s1"})
	}))
	return r
}

// cover signs a checkpoint and has it cosigned and perhaps anchored.
func (r *record) cover(t testing.TB, anchor bool, at time.Time) {
	ctx := context.Background()
	must(t, r.log.sequence(ctx))
	h, err := readHead(ctx, r.d)
	must(t, err)
	text, err := readNote(ctx, r.d, h.size)
	must(t, err)
	lines := make([]string, len(r.w))
	for i, w := range r.w {
		signed, err := note.Sign(&note.Note{Text: strings.SplitAfter(text, "\n\n")[0][:strings.Index(text, "\n\n")+1]}, w)
		must(t, err)
		lines[i] = string(signed[bytes.LastIndex(bytes.TrimSuffix(signed, []byte("\n")), []byte("\n"))+1:])
	}
	must(t, r.log.keep(ctx, h.size, lines))
	r.sizes = append(r.sizes, h.size)
	r.held = append(r.held, Held{Size: h.size, Root: h.root})
	if anchor {
		token := r.stamp(t, anchorDigest(text), at)
		_, err := r.d.Exec("INSERT INTO audit_anchors (size, at, token) VALUES (?,?,?)", h.size, at.UnixMicro(), token)
		must(t, err)
	}
	r.a.Held = []Held{r.held[len(r.held)-1], r.held[len(r.held)-1-len(r.held)/2]}
}

// attack changes the record within a transaction.
type attack struct {
	*record
	t   testing.TB
	tx  *sql.Tx
	rng *mathrand.Rand
}

func (a *attack) exec(query string, args ...any) {
	a.t.Helper()
	res, err := a.tx.Exec(query, args...)
	must(a.t, err)
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		a.t.Fatalf("%s %v changed nothing", query, args)
	}
}

func (a *attack) last() int64       { return a.sizes[len(a.sizes)-1] }
func (a *attack) row() int64        { return 1 + a.rng.Int64N(a.last()+1) } // also the one that is not covered
func (a *attack) covered() int64    { return 1 + a.rng.Int64N(a.last()) }
func (a *attack) size() int64       { return a.sizes[a.rng.IntN(len(a.sizes))] }
func (a *attack) pos() int64        { return a.rng.Int64N(nodesOf(uint64(a.last()))) }
func (a *attack) text() string      { return fmt.Sprint("forged", a.rng.Uint64()) }
func (a *attack) pick(n int) int    { return a.rng.IntN(n) }
func (a *attack) renumber(q string) { a.exec("UPDATE audit SET seq = -seq WHERE " + q) }

// rebuild computes chain, tree and head anew over what the table audit now
// holds, as an intruder with the database does; sizes of checkpoints that are
// still covered stay. With the log's key it also signs them all anew.
func (a *attack) rebuild(withKey bool) {
	ctx := context.Background()
	rows, err := readRows(ctx, a.tx, 0, 0)
	must(a.t, err)
	must(a.t, dropped(a.tx, "DELETE FROM audit; DELETE FROM audit_nodes"))
	tree, prev, high := ranges.NewEmptyRange(0), make([]byte, sha256.Size), int64(0)
	roots := map[int64][]byte{}
	newHead := int64(0)
	for i, r := range rows {
		r.seq, r.prev = int64(i+1), prev
		r.high = max(high, r.at)
		r.hash = r.sum()
		prev, high = r.hash, r.high
		_, err := a.tx.Exec("INSERT INTO audit (seq, at, high, kind, subject, detail, salt, prev, hash) VALUES (?,?,?,?,?,?,?,?,?)", r.seq, r.at, r.high, r.kind, r.subject, r.detail, r.salt, r.prev, r.hash)
		must(a.t, err)
		if r.seq > a.last() {
			continue
		}
		nodes, err := extend(tree, []row{r})
		must(a.t, err)
		must(a.t, insertNodes(ctx, a.tx, nodes))
		root, err := rootOf(tree)
		must(a.t, err)
		roots[r.seq] = root
		for _, s := range a.sizes {
			if s == r.seq {
				newHead = s
			}
		}
	}
	must(a.t, dropped(a.tx, fmt.Sprintf("DELETE FROM audit_nodes WHERE pos >= %d; DELETE FROM audit_checkpoints WHERE size > %d; DELETE FROM audit_cosignatures WHERE size > %d; DELETE FROM audit_anchors WHERE size > %d",
		nodesOf(uint64(newHead)), newHead, newHead, newHead)))
	a.exec("UPDATE audit_head SET size = ?, root = ?, witnessed = ?", newHead, roots[newHead], newHead)
	if withKey {
		for _, s := range a.sizes {
			if s > newHead {
				break
			}
			text, err := note.Sign(&note.Note{Text: string(tlog.Checkpoint{Origin: a.log.cfg.Origin, Size: uint64(s), Hash: roots[s]}.Marshal())}, a.log.signer)
			must(a.t, err)
			a.exec("UPDATE audit_checkpoints SET note = ? WHERE size = ?", string(text), s)
		}
	}
}

func dropped(tx *sql.Tx, query string) error {
	_, err := tx.Exec(query)
	return err
}

// swap exchanges a column of two rows with different values.
func (a *attack) swap(table, key, column string, keys func() int64) {
	for {
		x, y := keys(), keys()
		var vx, vy []byte
		get := "SELECT " + column + " FROM " + table + " WHERE " + key + " = ?"
		must(a.t, a.tx.QueryRow(get, x).Scan(&vx))
		must(a.t, a.tx.QueryRow(get, y).Scan(&vy))
		if bytes.Equal(vx, vy) {
			continue
		}
		put := "UPDATE " + table + " SET " + column + " = ? WHERE " + key + " = ?"
		// Back to the column's own type: text stays text.
		if column == "token" || column == "hash" || column == "salt" {
			a.exec(put, vy, x)
			a.exec(put, vx, y)
		} else {
			a.exec(put, string(vy), x)
			a.exec(put, string(vx), y)
		}
		return
	}
}

// flip changes one bit of a byte string.
func (a *attack) flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[a.pick(len(b))] ^= 1 << a.pick(8)
	return b
}

// anchoredSizes are those with an anchor.
func (a *attack) anchoredSize() int64 { return a.sizes[1+3*a.pick(2)] } // as newRecord anchors

func (a *attack) edit() {
	column := []string{"kind", "subject", "detail", "at", "high"}[a.pick(5)]
	var value any = a.text()
	if column == "at" || column == "high" {
		value = begin.UnixMicro() + a.rng.Int64N(1e9) + 1e10
	}
	a.exec("UPDATE audit SET "+column+" = ? WHERE seq = ?", value, a.row())
}

var attacks = map[string]func(*attack){
	"row edited": (*attack).edit,
	"row edited, chain made anew": func(a *attack) {
		a.exec("UPDATE audit SET subject = ? WHERE seq = ?", a.text(), a.covered())
		a.rebuild(false)
	},
	"row edited, all made anew with the log's key": func(a *attack) {
		a.exec("UPDATE audit SET subject = ? WHERE seq = ?", a.text(), a.covered())
		a.rebuild(true)
	},
	"salt changed": func(a *attack) {
		salt := make([]byte, saltSize)
		_, _ = rand.Read(salt)
		a.exec("UPDATE audit SET salt = ? WHERE seq = ?", salt, a.row())
	},
	"row put in": func(a *attack) { // before the last covered one; behind it nothing is promised yet
		seq := 1 + a.rng.Int64N(a.last()-1)
		a.renumber(fmt.Sprintf("seq >= %d", seq))
		a.exec("UPDATE audit SET seq = 1 - seq WHERE seq < 0")
		a.exec("INSERT INTO audit SELECT ?, at, high, kind, subject, detail, salt, prev, hash FROM audit WHERE seq = ?", seq, seq+1)
		if a.pick(2) == 0 {
			a.rebuild(false)
		}
	},
	"row removed": func(a *attack) {
		seq := a.covered()
		a.exec("DELETE FROM audit WHERE seq = ?", seq)
		switch a.pick(3) {
		case 0:
			a.rebuild(false)
		case 1:
			a.renumber(fmt.Sprintf("seq > %d", seq))
			a.exec("UPDATE audit SET seq = -seq - 1 WHERE seq < 0")
		}
	},
	"rows exchanged": func(a *attack) {
		x, y := a.covered(), a.covered()
		for x == y {
			y = a.covered()
		}
		a.exec("UPDATE audit SET seq = -1 WHERE seq = ?", x)
		a.exec("UPDATE audit SET seq = ? WHERE seq = ?", x, y)
		a.exec("UPDATE audit SET seq = ? WHERE seq = -1", y)
		if a.pick(2) == 0 {
			a.rebuild(false)
		}
	},
	"end cut off": func(a *attack) {
		a.exec("DELETE FROM audit WHERE seq > ?", a.rng.Int64N(a.last()))
	},
	"end cut off everywhere": func(a *attack) { // what an old copy is, too; the witness has seen more
		a.exec("DELETE FROM audit WHERE seq > ?", a.sizes[a.pick(len(a.sizes)-1)]+a.rng.Int64N(2))
		a.rebuild(false)
	},
	"old copy put back, and gone on": func(a *attack) {
		a.exec("DELETE FROM audit WHERE seq > ?", a.sizes[a.pick(len(a.sizes)-1)])
		a.rebuild(false)
		for range 60 { // more rows than were lost
			must(a.t, Append(context.Background(), a.tx, Event{At: begin.Add(20 * time.Minute), Kind: "key.used", Subject: a.text()}))
		}
		must(a.t, a.log.checkpoint(context.Background(), a.tx))
		a.exec("UPDATE audit_head SET witnessed = ?", a.sizes[0])
	},
	"split view": func(a *attack) { // another record, whole in itself, signed with the log's key, that the witness did not see
		a.exec("UPDATE audit SET subject = ? WHERE seq = ?", a.text(), a.covered())
		a.rebuild(true)
		a.exec("UPDATE audit_head SET witnessed = 0")
		must(a.t, dropped(a.tx, "DELETE FROM audit_cosignatures; DELETE FROM audit_anchors"))
	},
	"checkpoint forged": func(a *attack) {
		_, key, err := ed25519.GenerateKey(nil)
		must(a.t, err)
		s := a.size()
		root := sha256.Sum256([]byte(a.text()))
		text, err := note.Sign(&note.Note{Text: string(tlog.Checkpoint{Origin: a.log.cfg.Origin, Size: uint64(s), Hash: root[:]}.Marshal())}, &signer{a.log.verifier, key})
		must(a.t, err)
		a.exec("UPDATE audit_checkpoints SET note = ? WHERE size = ?", string(text), s)
	},
	"byte of a checkpoint changed": func(a *attack) {
		s := a.size()
		text, err := readNote(context.Background(), a.tx, s)
		must(a.t, err)
		b := []byte(text)
		b[a.pick(len(b))] ^= 1
		a.exec("UPDATE audit_checkpoints SET note = ? WHERE size = ?", string(b), s)
	},
	"checkpoint of another size": func(a *attack) { a.swap("audit_checkpoints", "size", "note", a.size) },
	"newest checkpoint removed":  func(a *attack) { a.exec("DELETE FROM audit_checkpoints WHERE size = ?", a.last()) },
	"nodes exchanged":            func(a *attack) { a.swap("audit_nodes", "pos", "hash", a.pos) },
	"node changed": func(a *attack) {
		var hash []byte
		pos := a.pos()
		must(a.t, a.tx.QueryRow("SELECT hash FROM audit_nodes WHERE pos = ?", pos).Scan(&hash))
		a.exec("UPDATE audit_nodes SET hash = ? WHERE pos = ?", a.flip(hash), pos)
	},
	"node removed": func(a *attack) { a.exec("DELETE FROM audit_nodes WHERE pos = ?", a.pos()) },
	"node added": func(a *attack) {
		a.exec("INSERT INTO audit_nodes (pos, hash) VALUES (?, ?)", nodesOf(uint64(a.last()))+a.rng.Int64N(100), make([]byte, 32))
	},
	"cosignature of another checkpoint": func(a *attack) {
		name := a.w[a.pick(2)].Name()
		a.swap("audit_cosignatures", "witness = '"+name+"' AND size", "line", a.size)
	},
	"cosignature forged": func(a *attack) {
		var line string
		s := a.size()
		must(a.t, a.tx.QueryRow("SELECT line FROM audit_cosignatures WHERE size = ? AND witness = ?", s, a.w[0].Name()).Scan(&line))
		b := []byte(line)
		at := len(b) - 20 - a.pick(50) // inside the signature's base64
		b[at] = "AB"[btoi(b[at] == 'A')]
		a.exec("UPDATE audit_cosignatures SET line = ? WHERE size = ? AND witness = ?", string(b), s, a.w[0].Name())
	},
	"cosignature of the newest removed": func(a *attack) {
		a.exec("DELETE FROM audit_cosignatures WHERE size = ? AND witness = ?", a.last(), a.w[a.pick(2)].Name())
	},
	"anchor exchanged": func(a *attack) { a.swap("audit_anchors", "size", "token", a.anchoredSize) },
	"anchor at another time": func(a *attack) {
		a.exec("UPDATE audit_anchors SET at = at - ? WHERE size = ?", 1+a.rng.Int64N(1e9), a.anchoredSize())
	},
	"back-dated behind an anchor": func(a *attack) { // with the log's and all witnesses' keys: the anchor alone shows it
		a.exec("UPDATE audit SET at = at + ?, kind = ? WHERE seq = ?", int64(time.Hour/time.Microsecond), a.text(), a.sizes[1])
		a.exec("UPDATE audit SET at = at + ? WHERE seq > ?", int64(time.Hour/time.Microsecond), a.sizes[1])
		a.rebuild(true)
		a.cosignAll()
	},
	"head of another root": func(a *attack) {
		root := sha256.Sum256([]byte(a.text()))
		a.exec("UPDATE audit_head SET root = ?", root[:])
	},
	"head of another size": func(a *attack) { a.exec("UPDATE audit_head SET size = size + ?", 1-2*a.rng.Int64N(2)) },
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// cosignAll gives every checkpoint good cosignatures; witnesses that collude.
func (a *attack) cosignAll() {
	for _, s := range a.sizes {
		text, err := readNote(context.Background(), a.tx, s)
		must(a.t, err)
		for _, w := range a.w {
			signed, err := note.Sign(&note.Note{Text: text[:strings.Index(text, "\n\n")+1]}, w)
			must(a.t, err)
			line := string(signed[bytes.LastIndex(bytes.TrimSuffix(signed, []byte("\n")), []byte("\n"))+1:])
			a.exec("UPDATE audit_cosignatures SET line = ? WHERE size = ? AND witness = ?", line, s, w.Name())
		}
		// The witnesses show what they have now, too.
		for i := range a.a.Held {
			if a.a.Held[i].Size == s {
				var cp tlog.Checkpoint
				_, err := cp.Unmarshal([]byte(text))
				must(a.t, err)
				a.a.Held[i].Root = cp.Hash
			}
		}
	}
}

// TestTamperingAtRandom tries each kind of tampering many times at random places, each
// on one of ten records, and inspects the untouched ones as often.
func TestTamperingAtRandom(t *testing.T) {
	const shapes = 10
	var shape [shapes]*record
	for i := range shape {
		shape[i] = newRecord(t, uint64(i))
	}
	var found, false_ atomic.Int64
	t.Run("kinds", func(t *testing.T) {
		run := func(name string, do func(*attack)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				n := 0
				for s := range shape {
					r := shape[s].copied(t)
					for i := range tries / shapes {
						if len(r.try(t, do, mathrand.New(mathrand.NewPCG(uint64(s), uint64(i))))) > 0 {
							n++
						}
					}
				}
				if do == nil {
					false_.Add(int64(n))
					t.Logf("figure: false alarms on untouched records: %d/%d", n, tries)
				} else {
					found.Add(int64(n))
					t.Logf("figure: %s: found %d/%d", name, n, tries)
				}
				if want := tries * btoi(do != nil); n != want {
					t.Errorf("%d, want %d", n, want)
				}
			})
		}
		for name, do := range attacks {
			run(name, do)
		}
		run("untouched", nil)
	})
	t.Logf("figure: %d kinds of tampering, %d of %d found, %d false alarms", len(attacks), found.Load(), len(attacks)*tries, false_.Load())
}

// try tampers within a transaction, inspects, and takes all back.
func (r *record) try(t testing.TB, do func(*attack), rng *mathrand.Rand) []string {
	ctx := context.Background()
	tx, err := r.d.BeginTx(ctx, nil)
	must(t, err)
	defer func() { must(t, tx.Rollback()) }()
	mine := *r
	mine.a.Held = append([]Held{}, r.a.Held...)
	if do != nil {
		do(&attack{record: &mine, t: t, tx: tx, rng: rng})
	}
	f, err := Inspect(ctx, tx, mine.a)
	must(t, err)
	return f.Problems
}

func unlockForTest(t testing.TB, d *db.DB) {
	for _, table := range final {
		for _, act := range []string{"update", "delete"} {
			_, err := d.Exec("DROP TRIGGER " + table + "_no_" + act)
			must(t, err)
		}
	}
	d.SetMaxOpenConns(1)
	_, err := d.Exec("PRAGMA foreign_keys = 0")
	must(t, err)
}
