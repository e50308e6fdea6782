//go:build sweep && linux && amd64

package sweep_test

import (
	"strings"
	"testing"
	"time"

	"tekend/interop/sweep/ptrace"
)

// No second fsync is trusted (reliability F29): a process whose COMMIT failed on the disk ends, is started again, reads
// its database anew, and the request ends as after a kill. A disk that is full ends nothing: there may be room again.
func TestAFailedFsyncEndsTheProcess(t *testing.T) {
	s := newSweeper(t)
	for _, tc := range []struct {
		role, call string
		fault      ptrace.Fault
		ends       bool
	}{
		{"sam", "fsync", ptrace.EIO, true},
		{"front", "fsync", ptrace.EIO, true},
		{"tsa", "fsync", ptrace.EIO, true},
		{"sam", "fsync", ptrace.ENOSPC, true}, // a file system that allocates late has dropped the pages too
		{"sam", "pwrite64", ptrace.ENOSPC, false},
		{"front", "pwrite64", ptrace.ENOSPC, false},
	} {
		reached := 0
		for n := 1; n <= 8; n++ {
			r, back := s.atCallback(t)
			before := s.pid(t, tc.role)
			tr := s.attach(t, tc.role)
			tr.Open(ptrace.Plan{Fault: tc.fault, Only: tc.call, N: n, Record: true})
			step := s.approve(t.Context(), r, back)
			report := s.detach(t, tr)
			if report.Hit == nil {
				break
			}
			ends := tc.ends && ofCommit(report)
			if ends == tc.ends {
				reached++
			}
			if step != "done" && step != "failed" {
				t.Errorf("%s, %v at %v: the request came only to %q", tc.role, tc.fault, report.Hit, step)
			}
			if err := s.k.wait(t.Context(), tc.role, 0); err != nil {
				t.Fatal(err)
			}
			ended := func() bool { return s.pid(t, tc.role) != before }
			for end := time.Now().Add(time.Second); ends && !ended() && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			}
			if ended() != ends {
				t.Errorf("%s, %v at %v: the process ended: %v, want %v", tc.role, tc.fault, report.Hit, ended(), ends)
			}
			s.wholeOrder(t)
		}
		if reached == 0 {
			t.Errorf("%s: no %s of the database was reached", tc.role, tc.call)
		}
		t.Logf("%s, %v at %s: %d points, the process ends: %v", tc.role, tc.fault, tc.call, reached, tc.ends)
	}
	s.compare(t)
}

// ofCommit tells whether a fsync that failed was a COMMIT's: of a WAL that was written before. SQLite also syncs when it
// copies the WAL into the database. When that fails it says nothing, and needs not: the WAL stays as it is and is
// copied again.
func ofCommit(r ptrace.Report) bool {
	if !strings.HasSuffix(r.Hit.On, ".db-wal") {
		return false
	}
	for n := r.Hit.N - 2; n >= 0; n-- {
		if c := r.Record[n]; c.On == r.Hit.On && (c.Name == "pwrite64" || c.Name == "fsync") {
			return c.Name == "pwrite64"
		}
	}
	return false
}
