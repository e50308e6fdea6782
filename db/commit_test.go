package db_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"tekend/db"
	"tekend/db/dbtest"
)

// rounds is how often a test of chances repeats: TEKEND_ROUNDS, which `make test` sets to some hundreds and
// `make race` to thousands.
func rounds(t *testing.T, sample int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("TEKEND_ROUNDS"))
	if err != nil {
		return sample
	}
	return n
}

// A COMMIT whose reply is lost is asked for: nothing is assumed (reliability F25). What InTx says is
// what is there, in every round.
func TestLostReplyOfCommitIsAskedFor(t *testing.T) {
	proxy := dbtest.NewProxy(t, dbtest.Postgres(t))
	d := open(t, proxy.URL)
	n := rounds(t, 40)
	said := map[dbtest.Fate]map[bool]int{}
	want, wrong := 0, 0
	for i := range n {
		fate := []dbtest.Fate{dbtest.LosesReply, dbtest.LosesRequest, dbtest.Cut, dbtest.LosesReply}[i%4]
		proxy.Decide(func(statements []string) dbtest.Fate {
			if strings.Contains(strings.Join(statements, "\n"), "UPDATE counter") {
				return fate
			}
			return dbtest.Arrives
		})
		err := d.InTx(t.Context(), add(1))
		if errors.Is(err, db.ErrOutcomeUnknown) {
			t.Fatalf("round %d: %v", i, err)
		}
		if err == nil {
			want++
		}
		if said[fate] == nil {
			said[fate] = map[bool]int{}
		}
		said[fate][err == nil]++
		if got := read(t, d); got != want {
			t.Errorf("round %d, fate %d: InTx says %v, the counter is %d instead of %d", i, fate, err, got, want)
			wrong, want = wrong+1, got
		}
	}
	t.Logf("%d lost replies of COMMIT: wrong answers %d; stored %v", n, wrong, said)
	if said[dbtest.LosesReply][false] != 0 || said[dbtest.LosesRequest][true] != 0 {
		t.Error("a stored transaction was called lost, or a lost one stored")
	}
}

// The server has not noticed that the client is gone: its transaction is open. InTx waits for its end.
func TestCommitThatNeverArrivedIsWaitedFor(t *testing.T) {
	proxy := dbtest.NewProxy(t, dbtest.Postgres(t))
	d := open(t, proxy.URL)
	once := true
	proxy.Decide(func(statements []string) dbtest.Fate {
		if once && strings.Contains(strings.Join(statements, "\n"), "UPDATE counter") {
			once = false
			return dbtest.Stalls
		}
		return dbtest.Arrives
	})
	before := time.Now()
	err := d.InTx(t.Context(), add(1))
	if err == nil || errors.Is(err, db.ErrOutcomeUnknown) || read(t, d) != 0 {
		t.Errorf("%v, counter %d", err, read(t, d))
	}
	if waited := time.Since(before); waited > 8*time.Second {
		t.Errorf("that took %v", waited)
	}
	if err := d.InTx(t.Context(), add(1)); err != nil || read(t, d) != 1 {
		t.Errorf("afterwards: %v, counter %d", err, read(t, d))
	}
}

// Nobody can be asked: that is said, and not decided.
func TestOutcomeThatCannotBeHadIsUnknown(t *testing.T) {
	source := dbtest.Postgres(t)
	proxy := dbtest.NewProxy(t, source)
	d := open(t, proxy.URL)
	other := open(t, source)
	db.AskFor(d, 300*time.Millisecond)
	held, free := make(chan struct{}), make(chan struct{})
	proxy.Decide(func([]string) dbtest.Fate {
		go func() { // takes the turn as soon as the transaction has ended, and keeps it
			_ = other.InTx(context.Background(), func(*sql.Tx) error { close(held); <-free; return nil })
		}()
		return dbtest.LosesRequest
	})
	err := d.InTx(t.Context(), add(1))
	<-held
	close(free)
	if !errors.Is(err, db.ErrOutcomeUnknown) {
		t.Errorf("%v", err)
	}
}

// A caller who leaves while COMMIT is under way gets what became of it, not that he left.
func TestCallerWhoLeavesDuringCommit(t *testing.T) {
	proxy := dbtest.NewProxy(t, dbtest.Postgres(t))
	d := open(t, proxy.URL)
	ctx, cancel := context.WithCancel(t.Context())
	proxy.Decide(func([]string) dbtest.Fate { cancel(); return dbtest.LosesReply })
	err := d.InTx(ctx, add(1))
	if stored := read(t, d) == 1; stored != (err == nil) {
		t.Errorf("stored %v, InTx says %v", stored, err)
	}
}
