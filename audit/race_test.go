package audit

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/sumdb/note"

	"tekend/db"
	"tekend/db/dbtest"
)

// pen remembers what was signed, by size.
type pen struct {
	note.Signer
	mu     *sync.Mutex
	signed map[string]string // size: whole text
	twice  *int
}

func (p pen) Sign(msg []byte) ([]byte, error) {
	p.mu.Lock()
	size := strings.SplitN(string(msg), "\n", 3)[1]
	if old, ok := p.signed[size]; ok && old != string(msg) {
		*p.twice++
	}
	p.signed[size] = string(msg)
	p.mu.Unlock()
	return p.Signer.Sign(msg)
}

// TestSequencersRace: two sequencers, each with a database handle of its own as
// two processes have, and a writer beside them. However they meet, no size gets
// two roots, and the record is whole.
func TestSequencersRace(t *testing.T) {
	rounds := 10 * tries
	for name, source := range map[string]string{"sqlite": filepath.Join(memoryDir(t), "role.db"), "postgres": dbtest.Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			none := &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\n")}
			fsys := fstest.MapFS{"migrations/00001_none.sql": none, "migrations/postgres/00001_none.sql": none}
			signed, twice, mu := map[string]string{}, 0, sync.Mutex{}
			base := newRecord(t, 1)
			var logs []*Log
			for range 2 {
				d, err := db.Open(ctx, source, fsys)
				must(t, err)
				t.Cleanup(func() { _ = d.Close() })
				must(t, Ensure(ctx, d))
				logs = append(logs, &Log{cfg: base.log.cfg, db: d, verifier: base.log.verifier, signer: pen{base.log.signer, &mu, signed, &twice}})
			}
			for i := range rounds {
				must(t, logs[i%2].db.InTx(ctx, func(tx *sql.Tx) error { return Append(ctx, tx, Event{At: begin, Kind: "act"}) }))
				var both sync.WaitGroup
				errs := make([]error, 2)
				for n, l := range logs {
					both.Go(func() { errs[n] = l.sequence(ctx) })
				}
				both.Wait()
				for _, err := range errs {
					must(t, err)
				}
			}
			f, err := Inspect(ctx, logs[0].db, Against{Log: base.log.verifier})
			must(t, err)
			if twice != 0 || len(f.Problems) > 0 || f.Rows != int64(rounds) || f.Size != f.Rows || f.Checkpoints != len(signed) {
				t.Errorf("%d sizes with two roots; %+v; %d signed", twice, f, len(signed))
			}
			t.Logf("figure: %s: %d races of two sequencers: %d checkpoints, %d sizes with two roots", name, rounds, f.Checkpoints, twice)
		})
	}
}

// memoryDir is a folder on a memory file system where there is one.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "tekend-audit-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}
