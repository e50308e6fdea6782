package db_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tekend/db"
)

// The disk of this test is a limit to the size of files: behind it write fails with EFBIG, which is no "disk full".
// A process of its own has that limit.
func TestACommitThatTheDiskRefusedIsFatal(t *testing.T) {
	if path := os.Getenv("TEKEND_TEST_FATAL"); path != "" {
		failingDisk(t, path)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestACommitThatTheDiskRefusedIsFatal$", "-test.v")
	cmd.Env = append(os.Environ(), "TEKEND_TEST_FATAL="+filepath.Join(t.TempDir(), "x.db"))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "told: commit: ") != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}

func failingDisk(t *testing.T, path string) {
	d := open(t, path)
	d.OnFatal(func(err error) { fmt.Println("told:", err) })
	if err := d.InTx(t.Context(), add(1)); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	if err := d.InTx(t.Context(), func(*sql.Tx) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	size := uint64(info.Size())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: size}); err != nil {
		t.Fatal(err)
	}
	if err := d.InTx(t.Context(), add(1)); !errors.Is(err, db.ErrOutcomeUnknown) {
		t.Errorf("the commit ended with %v", err)
	}
}
