package audit_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"tekend/audit"
	"tekend/db"
)

// refusals makes the table that a role has in its migrations.
const refusals = "CREATE TABLE refusals (kind TEXT NOT NULL, call TEXT NOT NULL, subject TEXT NOT NULL, why TEXT NOT NULL, " +
	"since BIGINT NOT NULL, last BIGINT NOT NULL, times BIGINT NOT NULL, PRIMARY KEY (kind, call, subject, why))"

// tallied is a record with a tally and a clock.
type tallied struct {
	t  *testing.T
	d  *db.DB
	at time.Time
}

func newTallied(t *testing.T) *tallied {
	d := filled(t, 0)
	if _, err := d.ExecContext(t.Context(), refusals); err != nil {
		t.Fatal(err)
	}
	return &tallied{t, d, start}
}

func (w *tallied) refuse(subject, why string) {
	w.t.Helper()
	e := audit.Event{At: w.at, Kind: "order.refused", Subject: subject, Detail: map[string]string{"code": why}}
	if err := w.d.InTx(w.t.Context(), func(tx *sql.Tx) error { return audit.Tally(w.t.Context(), tx, e, "issue", why) }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *tallied) settle(before time.Time) {
	w.t.Helper()
	if err := w.d.InTx(w.t.Context(), func(tx *sql.Tx) error { return audit.SettleTally(w.t.Context(), tx, before, w.at) }); err != nil {
		w.t.Fatal(err)
	}
}

// told gives how many rows there are, and how many refusals they tell of.
func (w *tallied) told(subject string) (rows, refusals int) {
	w.t.Helper()
	found, err := audit.Find(w.t.Context(), w.d, subject, "order.refused", 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range found {
		n := 1
		if times := e.Detail["times"]; times != "" {
			if n, err = strconv.Atoi(times); err != nil {
				w.t.Fatal(err)
			}
		}
		refusals += n
	}
	return len(found), refusals
}

func TestEqualRefusalsAreCounted(t *testing.T) {
	w := newTallied(t)
	for range 1000 {
		w.refuse("a", "terms")
	}
	w.refuse("a", "token") // another reason has its own row
	if rows, n := w.told("a"); rows != 2 || n != 2 {
		t.Errorf("at once: %d rows about %d", rows, n)
	}
	if due, err := audit.TallyDue(t.Context(), w.d, w.at.Add(-audit.TallyTime)); err != nil || due {
		t.Errorf("due at once: %v %v", due, err)
	}
	w.at = w.at.Add(audit.TallyTime)
	if due, err := audit.TallyDue(t.Context(), w.d, w.at.Add(-audit.TallyTime)); err != nil || !due {
		t.Errorf("due after a minute: %v %v", due, err)
	}
	w.settle(w.at.Add(-audit.TallyTime))
	if rows, n := w.told("a"); rows != 3 || n != 1001 {
		t.Errorf("a minute later: %d rows about %d", rows, n)
	}
	w.refuse("a", "terms") // a new minute: a row at once
	if rows, n := w.told("a"); rows != 4 || n != 1002 {
		t.Errorf("in the next minute: %d rows about %d", rows, n)
	}
	if rep, err := audit.Verify(t.Context(), w.d); err != nil || rep.FirstBad != 0 {
		t.Errorf("%+v %v", rep, err)
	}
}

func TestManyThingsRefusedShareACount(t *testing.T) {
	w := newTallied(t)
	const things = 500
	for i := range things {
		w.refuse(fmt.Sprint("order-", i), "terms")
	}
	if rep, err := audit.Verify(t.Context(), w.d); err != nil || rep.Rows != 61 {
		t.Errorf("%d rows %v", rep.Rows, err)
	}
	// The next refusal, minutes later, settles what was before it.
	w.at = w.at.Add(2 * audit.TallyTime)
	w.refuse("later", "terms")
	own := 0
	for i := range things {
		_, n := w.told(fmt.Sprint("order-", i))
		own += n
	}
	if rows, n := w.told(""); rows != 2 || own+n != things {
		t.Errorf("%d rows about %d, and %d of their own", rows, n, own)
	}
	if _, n := w.told("later"); n != 1 {
		t.Error("the later one is not told")
	}
}

// TestARefusalDatedBackIsNotLost: the clock was put back; the caller hears it.
func TestARefusalDatedBackIsNotLost(t *testing.T) {
	w := newTallied(t)
	w.refuse("a", "terms")
	e := audit.Event{At: w.at.Add(-time.Hour), Kind: "order.refused", Subject: "b", Detail: nil}
	err := w.d.InTx(t.Context(), func(tx *sql.Tx) error { return audit.Tally(t.Context(), tx, e, "issue", "terms") })
	if !errors.Is(err, audit.ErrClockBack) {
		t.Errorf("%v", err)
	}
	if rows, _ := w.told("b"); rows != 0 {
		t.Error("a row dated back")
	}
}
