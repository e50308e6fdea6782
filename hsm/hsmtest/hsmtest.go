// Package hsmtest gives tests a real token: SoftHSM, in one directory per test process (a second directory in one
// process is impossible with it, and processes that share one disturb each other: performance §5.5), on a memory file
// system where there is one.
package hsmtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/hsm"
)

// Module is where Debian's softhsm2 puts the library.
const Module = "/usr/lib/softhsm/libsofthsm2.so"

// EnvNSS is set to 1 for a test process whose tokens are those of NSS softokn3 (Debian's libnss3) instead of SoftHSM's.
// One process has one module: each token has a directory of its own, and one is open at a time.
const EnvNSS = "HSMTEST_NSS"

// NSS tells whether this test process has NSS tokens.
func NSS() bool { return os.Getenv(EnvNSS) == "1" }

// NSSModule is where the library is, for any machine of Debian's.
func NSSModule() (string, error) {
	found, err := filepath.Glob("/usr/lib/*/libsoftokn3.so")
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("NSS is missing (apt-get install libnss3): %v %v", found, err)
	}
	return found[0], nil
}

// Labels of the keys that every test token has.
const (
	KEK = "kek"
	MAC = "mac"
)

var (
	setUp   sync.Once
	baseDir string
	count   atomic.Int64
)

// Main makes the token directory of this test process, runs the tests and removes it. Use it in TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(hsmtest.Main(m)) }
//
// A missing module is a failure, never a skip.
func Main(m *testing.M) int {
	if _, err := os.Stat(Module); err != nil {
		fmt.Fprintf(os.Stderr, "hsmtest: SoftHSM is missing (apt-get install softhsm2): %v\n", err)
		return 1
	}
	if _, err := NSSModule(); NSS() && err != nil {
		fmt.Fprintf(os.Stderr, "hsmtest: %v\n", err)
		return 1
	}
	remove, err := setUpDir()
	if err != nil {
		fmt.Fprintf(os.Stderr, "hsmtest: %v\n", err)
		return 1
	}
	defer remove()
	return m.Run()
}

// setUpDir makes the directory and names it to SoftHSM by SOFTHSM2_CONF.
func setUpDir() (remove func(), err error) {
	setUp.Do(func() {
		parent := ""
		if info, statErr := os.Stat("/dev/shm"); statErr == nil && info.IsDir() {
			parent = "/dev/shm" // a token pair costs 2 ms there and 15 ms on ext4
		}
		baseDir, err = os.MkdirTemp(parent, "hsmtest-")
		if err != nil {
			return
		}
		err = WriteConf(filepath.Join(baseDir, "softhsm2.conf"), filepath.Join(baseDir, "tokens"))
	})
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("SOFTHSM2_CONF", filepath.Join(baseDir, "softhsm2.conf")); err != nil {
		return nil, err
	}
	return func() { _ = os.RemoveAll(baseDir) }, nil
}

// WriteConf writes a SoftHSM configuration and makes its token directory.
func WriteConf(conf, tokens string) error {
	if err := os.MkdirAll(tokens, 0o700); err != nil {
		return err
	}
	text := "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
	return os.WriteFile(conf, []byte(text), 0o600)
}

// Directory is the token directory of this test process, for tests that take it away and bring it back.
func Directory(t testing.TB) string {
	t.Helper()
	if baseDir == "" {
		t.Fatal("hsmtest: TestMain must call hsmtest.Main")
	}
	return filepath.Join(baseDir, "tokens")
}

// Config makes a token of the test's own, labelled like the test, with the keys KEK and MAC, and returns what opens it.
func Config(t testing.TB) hsm.Config {
	t.Helper()
	Directory(t)
	dir := t.TempDir()
	cfg := hsm.Config{
		Module:       Module,
		TokenLabel:   fmt.Sprintf("test-%d", count.Add(1)),
		PINFile:      filepath.Join(dir, "pin"),
		Sessions:     2,
		QueueTimeout: 20 * time.Second, // tests run beside others on few cores
	}
	write(t, cfg.PINFile, "pin-of-a-test\n")
	if NSS() {
		cfg = nss(t, cfg)
	} else {
		so := filepath.Join(dir, "so-pin")
		write(t, so, "so-pin-of-a-test\n")
		if err := hsm.InitToken(cfg.Module, cfg.TokenLabel, so, cfg.PINFile); err != nil {
			t.Fatalf("hsmtest: make the token: %v", err)
		}
	}
	token, err := hsm.Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("hsmtest: open the token: %v", err)
	}
	if err := token.CreateKEK(context.Background(), KEK); err != nil {
		t.Fatalf("hsmtest: make the KEK: %v", err)
	}
	if err := token.CreateMACKey(context.Background(), MAC); err != nil {
		t.Fatalf("hsmtest: make the MAC key: %v", err)
	}
	if err := token.Close(); err != nil {
		t.Fatalf("hsmtest: close the token: %v", err)
	}
	return cfg
}

// nss makes an NSS database, which is the token, and sets its PIN.
func nss(t testing.TB, cfg hsm.Config) hsm.Config {
	t.Helper()
	module, err := NSSModule()
	if err != nil {
		t.Fatalf("hsmtest: %v", err)
	}
	cfg.Module, cfg.TestOnly = module, true
	cfg.InitArgs = fmt.Sprintf("configdir='sql:%s' certPrefix='' keyPrefix='' secmod='secmod.db' dbTokenDescription='%s' flags=", t.TempDir(), cfg.TokenLabel)
	if err := hsm.InitFirstPIN(cfg); err != nil {
		t.Fatalf("hsmtest: make the token: %v", err)
	}
	return cfg
}

// Token is an open token of the test's own; it is closed when the test ends.
func Token(t testing.TB) *hsm.Token {
	t.Helper()
	return Open(t, Config(t))
}

// Open opens a token for the length of the test.
func Open(t testing.TB, cfg hsm.Config) *hsm.Token {
	t.Helper()
	token, err := hsm.Open(context.Background(), cfg)
	if err != nil {
		t.Fatalf("hsmtest: open the token: %v", err)
	}
	t.Cleanup(func() {
		if err := token.Close(); err != nil {
			t.Errorf("hsmtest: close the token: %v", err)
		}
	})
	return token
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
