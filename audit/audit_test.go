package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"tekend/audit"
	"tekend/db"
	"tekend/db/dbtest"
)

// TestOnPostgres runs on PostgreSQL what does not look into an SQLite file.
func TestOnPostgres(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"RecordIsWhole": TestRecordIsWhole, "RowsAreFinalForHonestCode": TestRowsAreFinalForHonestCode,
		"ClockBackIsRefusedAndTheActWithIt": TestClockBackIsRefusedAndTheActWithIt, "EveryRowIsProven": TestEveryRowIsProven,
		"AWitnessThatIsAwayStopsActsAfterALimit": TestAWitnessThatIsAwayStopsActsAfterALimit, "LogIsInspected": TestLogIsInspected,
		"EqualRefusalsAreCounted": TestEqualRefusalsAreCounted, "ManyThingsRefusedShareACount": TestManyThingsRefusedShareACount,
	} {
		t.Run(name, test)
	}
}

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestRecordIsWhole(t *testing.T) {
	d := filled(t, 5)
	rep, err := audit.Verify(t.Context(), d)
	if err != nil || rep.FirstBad != 0 || rep.Rows != 5 || len(rep.Head) != 32 {
		t.Fatalf("%+v %v", rep, err)
	}
	if hw, err := audit.HighWater(t.Context(), d); err != nil || !hw.Equal(start.Add(4*time.Second)) {
		t.Errorf("high water %v %v", hw, err)
	}
}

// TestTampering edits the table behind the triggers' back, as an intruder
// with the file would.
func TestTampering(t *testing.T) {
	for name, c := range map[string]struct {
		edit string
		bad  int64
	}{
		"kind changed":              {"UPDATE audit SET kind='x' WHERE seq=3", 3},
		"subject changed":           {"UPDATE audit SET subject='x' WHERE seq=3", 3},
		"detail changed":            {"UPDATE audit SET detail='{}' WHERE seq=3", 3},
		"time changed":              {"UPDATE audit SET at=at+1 WHERE seq=3", 3},
		"high-water mark changed":   {"UPDATE audit SET high=high+1 WHERE seq=3", 3},
		"salt changed":              {"UPDATE audit SET salt=zeroblob(16) WHERE seq=3", 3},
		"salt removed":              {"UPDATE audit SET salt=zeroblob(0) WHERE seq=3", 3},
		"salts exchanged":           {"UPDATE audit SET salt=(SELECT salt FROM audit WHERE seq=4) WHERE seq=3", 3},
		"hash changed":              {"UPDATE audit SET hash=zeroblob(32) WHERE seq=3", 3},
		"link changed":              {"UPDATE audit SET prev=zeroblob(32) WHERE seq=3", 3},
		"row removed":               {"DELETE FROM audit WHERE seq=3", 3},
		"first row removed":         {"DELETE FROM audit WHERE seq=1", 1},
		"removed and renumbered":    {"DELETE FROM audit WHERE seq=3; UPDATE audit SET seq=seq-1 WHERE seq>3", 3},
		"two rows exchanged":        {"UPDATE audit SET seq=-2 WHERE seq=2; UPDATE audit SET seq=2 WHERE seq=3; UPDATE audit SET seq=3 WHERE seq=-2", 2},
		"row put in":                {"INSERT INTO audit SELECT 6, at, high, kind, subject, detail, salt, hash, zeroblob(32) FROM audit WHERE seq=5", 6},
		"row put in before all":     {"INSERT INTO audit SELECT 0, at, high, kind, subject, detail, salt, prev, hash FROM audit WHERE seq=1", 1},
		"number skipped at the end": {"UPDATE audit SET seq=9 WHERE seq=5", 5},
	} {
		t.Run(name, func(t *testing.T) {
			d := filled(t, 5)
			if _, err := d.Exec("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;" + c.edit); err != nil {
				t.Fatal(err)
			}
			rep, err := audit.Verify(t.Context(), d)
			if err != nil || rep.FirstBad != c.bad || rep.Reason == "" {
				t.Errorf("%+v %v, want first bad row %d", rep, err, c.bad)
			}
		})
	}
}

func TestRowsAreFinalForHonestCode(t *testing.T) {
	d := filled(t, 2)
	for _, q := range []string{"UPDATE audit SET kind='x'", "DELETE FROM audit"} {
		if _, err := d.Exec(q); err == nil {
			t.Errorf("%s succeeded", q)
		}
	}
}

func TestClockBackIsRefusedAndTheActWithIt(t *testing.T) {
	d := filled(t, 3)
	late := start.Add(2*time.Second - audit.Backstep - time.Microsecond)
	err := d.InTx(t.Context(), func(tx *sql.Tx) error {
		return audit.Append(t.Context(), tx, audit.Event{At: late, Kind: "act"})
	})
	if !errors.Is(err, audit.ErrClockBack) {
		t.Fatalf("got %v", err)
	}
	// inside the tolerance it passes and does not lower the mark
	add(t, d, audit.Event{At: late.Add(time.Microsecond), Kind: "act"})
	if hw, _ := audit.HighWater(t.Context(), d); !hw.Equal(start.Add(2 * time.Second)) {
		t.Errorf("high water %v", hw)
	}
	if rep, err := audit.Verify(t.Context(), d); err != nil || rep.FirstBad != 0 || rep.Rows != 4 {
		t.Errorf("%+v %v", rep, err)
	}
}

func TestRefusesEventsThatSayNothing(t *testing.T) {
	d := filled(t, 0)
	big := map[string]string{"x": string(make([]byte, audit.MaxDetail))}
	for name, e := range map[string]audit.Event{
		"no kind": {At: start}, "no time": {Kind: "x"}, "too big": {At: start, Kind: "x", Detail: big},
	} {
		if err := d.InTx(t.Context(), func(tx *sql.Tx) error { return audit.Append(t.Context(), tx, e) }); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if hw, err := audit.HighWater(t.Context(), d); err != nil || !hw.IsZero() {
		t.Errorf("empty record has high water %v %v", hw, err)
	}
}

func filled(t testing.TB, n int) *db.DB {
	t.Helper()
	d := openAt(t, filepath.Join(t.TempDir(), "role.db"))
	for i := range n {
		add(t, d, audit.Event{
			At: start.Add(time.Duration(i) * time.Second), Kind: "act", Subject: "cred_1",
			Detail: map[string]string{"n": string(rune('a' + i)), "b": "2"},
		})
	}
	return d
}

// bare opens a database without tables.
func bare(t testing.TB, path string) *db.DB {
	t.Helper()
	none := &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\n")}
	d, err := db.Open(context.Background(), dbtest.Source(t, path), fstest.MapFS{"migrations/00001_none.sql": none, "migrations/postgres/00001_none.sql": none})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func openAt(t testing.TB, path string) *db.DB {
	t.Helper()
	d := bare(t, path)
	if err := audit.Ensure(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func add(t testing.TB, d *db.DB, e audit.Event) {
	t.Helper()
	ctx := context.Background()
	if err := d.InTx(ctx, func(tx *sql.Tx) error { return audit.Append(ctx, tx, e) }); err != nil {
		t.Fatal(err)
	}
}
