package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"tekend/audit"
	"tekend/db"
	"tekend/db/dbtest"
)

// asProgram makes the test binary the program itself, so that the tests see real processes.
const asProgram = "TEKEND_TRUSTED_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command is the program with arguments, as a process of its own.
func command(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// call runs the program to its end.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := command(args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// must runs the program and wants exit code 0.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := call(t, args...)
	if code != 0 {
		t.Fatalf("%v: exit %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// memoryDir is a directory on a memory file system where there is one: SoftHSM writes much.
func memoryDir(t *testing.T) string {
	t.Helper()
	parent := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "tekend-trusted-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// operatorKeys makes the keys of the operators an and bo below dir and returns their lines for a configuration.
func operatorKeys(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, "operators"), 0o700); err != nil {
		t.Fatal(err)
	}
	lines := "operators:\n"
	for _, name := range []string{"an", "bo"} {
		lines += must(t, "operator", "keygen", "--name", name, "--out", filepath.Join(dir, "operators", name))
	}
	return lines
}

// approve has both operators approve a new plan, and gives what a command needs to know of it.
func approve(t *testing.T, dir, cfg string, what ...string) []string {
	t.Helper()
	text := must(t, append([]string{"keys", "plan", "--config", cfg}, what...)...)
	plan := write(t, filepath.Join(t.TempDir(), "plan"), text)
	args := []string{"--config", cfg, "--plan", plan}
	for _, name := range []string{"an", "bo"} {
		approval := must(t, "approve", "--key", filepath.Join(dir, "operators", name), plan)
		args = append(args, "--approval", write(t, plan+"."+name, approval))
	}
	return args
}

// ceremonyFile writes a ceremony's configuration below dir, with two operators. more is added at its end.
func ceremonyFile(t *testing.T, dir, users, more string) string {
	t.Helper()
	return write(t, filepath.Join(dir, "ceremony.yaml"), strings.NewReplacer("D/", dir+"/", "USERS", users).Replace(`
public_url: http://127.0.0.1:8080
pki_dir: D/pki
root: {dir: D/root}
sam: {dir: D/sam USERS}
ca: {dir: D/ca USERS}
tsa: {dir: D/tsa USERS}
`)+more+operatorKeys(t, dir))
}

// doCeremony makes the keys of all roles below dir and returns the configuration file's path.
func doCeremony(t *testing.T, dir, users string) string {
	t.Helper()
	cfg := ceremonyFile(t, dir, users, "")
	must(t, append([]string{"keys", "init"}, approve(t, dir, cfg)...)...)
	return cfg
}

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	c, err := x509.ParseCertificate(b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheCeremonyMakesAChainAndDoesItOnce(t *testing.T) {
	dir := memoryDir(t)
	cfg := doCeremony(t, dir, "")
	root := readCert(t, filepath.Join(dir, "pki", "root.pem"))
	roots := x509.NewCertPool()
	roots.AddCert(root)
	for _, name := range []string{"pki/issuing-ca.pem", "pki/tsu.pem", "pki/ca/tsu.crt", "ca/issuing-ca.pem", "sam/issuing-ca.pem", "tsa/tsu.pem"} {
		c := readCert(t, filepath.Join(dir, name))
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(c.Subject.CommonName, "SANDBOX") {
			t.Errorf("%s is for %q", name, c.Subject.CommonName)
		}
	}
	crl, err := os.ReadFile(filepath.Join(dir, "pki", "crl", "root.crl"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(crl)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(root); err != nil {
		t.Error(err)
	}
	before := fingerprint(t, dir)
	if out := must(t, "keys", "init", "--config", cfg); !strings.Contains(out, "nothing was changed") {
		t.Errorf("the second run says %q", out)
	}
	if after := fingerprint(t, dir); after != before {
		t.Error("the second run changed files")
	}
	if err := os.Remove(filepath.Join(dir, "pki", "ceremony.json")); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call(t, "keys", "init", "--config", cfg)
	if code != exitNo || !strings.Contains(stderr, "existing keys are not replaced") {
		t.Errorf("with keys of an unfinished ceremony: exit %d, %s", code, stderr)
	}
}

// fingerprint is the list of all files with size and time.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !d.IsDir() {
			b.WriteString(path + info.ModTime().String() + info.Mode().String() + "\n")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestNobodyElseReadsWhatTheCeremonyMakes(t *testing.T) {
	dir := memoryDir(t)
	doCeremony(t, dir, "")
	seen := 0
	for _, role := range []string{"sam", "ca", "tsa"} {
		err := filepath.WalkDir(filepath.Join(dir, role), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			closed := fs.FileMode(0o077)
			if filepath.Base(path) == role {
				closed = 0o066 // to be passed through, on the way to the sockets
			}
			if info.Mode().Perm()&closed != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			seen++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, role, "tokens.copy")); err != nil {
			t.Error(err)
		}
	}
	if seen < 40 {
		t.Errorf("only %d files were looked at", seen)
	}
}

func TestAsRootEachRoleOwnsItsFiles(t *testing.T) {
	if os.Getuid() != 0 {
		dir := memoryDir(t)
		cfg := ceremonyFile(t, dir, ", uid: 1, gid: 1", "")
		code, _, stderr := call(t, append([]string{"keys", "init"}, approve(t, dir, cfg)...)...)
		if code == 0 || !strings.Contains(stderr, "only root can") {
			t.Errorf("exit %d: %s", code, stderr)
		}
		return
	}
	dir := memoryDir(t)
	doCeremony(t, dir, ", uid: 47155, gid: 47156")
	for name, want := range map[string]uint32{
		"sam": 47155, "sam/pin": 47155, "sam/tokens": 47155, "sam/itsme-ident-enc.pem": 47155, "ca/root.pem": 47155,
		"tsa/tokens.copy": 47155, "sam/so-pin": 0, "ca/so-pin": 0, "pki/root.pem": 0,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, want %d", name, got, want)
		}
	}
}

func TestABadCeremonyFileIsExplained(t *testing.T) {
	good := "public_url: http://127.0.0.1\npki_dir: /tmp/x/pki\nroot: {dir: /tmp/x/root}\nsam: {dir: /tmp/x/sam}\nca: {dir: /tmp/x/ca}\ntsa: {dir: /tmp/x/tsa}\n" +
		operatorKeys(t, t.TempDir())
	for name, c := range map[string]struct{ text, says string }{
		"unknown key":     {good + "pki-dir: x\n", "pki-dir"},
		"key twice":       {good + "pki_dir: y\n", "already defined"},
		"two documents":   {good + "---\n" + good, "more than one"},
		"no public URL":   {strings.Replace(good, "public_url", "cps_url", 1), "public_url"},
		"odd public URL":  {strings.Replace(good, "http:", "ftp:", 1), "public_url"},
		"uid without gid": {strings.Replace(good, "/tmp/x/ca", "/tmp/x/ca, uid: 3", 1), "uid and gid"},
		"no directory":    {strings.Replace(good, "dir: /tmp/x/tsa", "", 1), "tsa.dir"},
		"no root":         {strings.Replace(good, "dir: /tmp/x/root", "", 1), "a place of its own"},
		"two roots":       {strings.Replace(good, "dir: /tmp/x/root", "dir: /tmp/x/root, file: /tmp/y/root.key", 1), "a place of its own"},
		"root of the ca":  {strings.Replace(good, "/tmp/x/root", "/tmp/x/ca/root", 1), "not its own place"},
		"open root file":  {strings.Replace(good, "dir: /tmp/x/root", "file: /tmp/x/root/root.key", 1), "passphrase_file"},
		"odd key type":    {good + "tsu_key_type: RSA-2048\n", "tsu_key_type"},
		"odd policy":      {good + "policies: {person: 1.x.3}\n", "policies.person"},
		"one operator":    {good[:strings.LastIndex(good, "- {")], "two or more"},
		"one key twice":   {good + good[strings.LastIndex(good, "- {"):], "a key of his own"},
		"empty":           {"", "public_url"},
		"not YAML":        {"\tx", "found character"},
	} {
		path := write(t, filepath.Join(t.TempDir(), "c.yaml"), c.text)
		code, _, stderr := call(t, "keys", "plan", "--config", path)
		if code != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
	}
	if code, _, _ := call(t, "keys", "plan", "--config", "/nowhere"); code != exitUsage {
		t.Errorf("absent file: exit %d", code)
	}
	if code, _, _ := call(t); code != exitUsage {
		t.Errorf("no command: exit %d", code)
	}
	if out := must(t, "version"); !strings.HasPrefix(out, "tekend-trusted ") {
		t.Error(out)
	}
}

func TestAuditVerifySaysWhetherTheRecordIsWhole(t *testing.T) {
	nothing := &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\n")}
	for source, untie := range map[string]string{
		filepath.Join(t.TempDir(), "role.db"): "DROP TRIGGER audit_no_update",
		dbtest.Postgres(t):                    "DROP TRIGGER audit_final ON audit",
	} {
		ctx := context.Background()
		d, err := db.Open(ctx, source, fstest.MapFS{"migrations/00001_x.sql": nothing, "migrations/postgres/00001_x.sql": nothing})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		if err := audit.Ensure(ctx, d); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			at := time.Date(2026, 11, 24, 12, 0, i, 0, time.UTC)
			if err := d.InTx(ctx, func(tx *sql.Tx) error {
				return audit.Append(ctx, tx, audit.Event{At: at, Kind: "test", Subject: "s"})
			}); err != nil {
				t.Fatal(err)
			}
		}
		if out := must(t, "audit", "verify", "--db", source); !strings.HasPrefix(out, "whole: 3 rows, head ") {
			t.Error(out)
		}
		for _, q := range []string{untie, "UPDATE audit SET subject = 't' WHERE seq = 2"} {
			if _, err := d.ExecContext(ctx, q); err != nil {
				t.Fatal(err)
			}
		}
		code, _, stderr := call(t, "audit", "verify", "--db", source)
		if code != exitNo || !strings.Contains(stderr, "row 2") {
			t.Errorf("%v: exit %d, %s", d.Engine(), code, stderr)
		}
	}
	for _, absent := range []string{filepath.Join(t.TempDir(), "none.db"), "postgres://x@/x?host=/nonexistent"} {
		if code, _, _ := call(t, "audit", "verify", "--db", absent); code != exitUsage {
			t.Errorf("%s: exit %d", absent, code)
		}
	}
	other := write(t, filepath.Join(t.TempDir(), "x.db"), "not a database")
	if code, _, _ := call(t, "audit", "verify", "--db", other); code != exitUsage {
		t.Errorf("no database: exit %d", code)
	}
	if code, _, _ := call(t, "audit", "verify"); code != exitUsage {
		t.Errorf("nothing named: exit %d", code)
	}
}
