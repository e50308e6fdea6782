package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func call(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(&program{ctx: ctx, stdout: &out, stderr: &errs, log: slog.New(slog.DiscardHandler), now: time.Now}, args)
	return code, out.String(), errs.String()
}

// logKey is the example of C2SP tlog-checkpoint's sumdb.
const logKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

func TestKeygenAndServe(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	code, vkey, stderr := call(t.Context(), "keygen", "--name", "witness.test", "--key", at("key"), "--state", at("state"))
	if code != 0 || !strings.HasPrefix(vkey, "witness.test+") {
		t.Fatal(code, vkey, stderr)
	}
	if code, _, _ := call(t.Context(), "keygen", "--name", "witness.test", "--key", at("key"), "--state", at("state")); code != exitUsage {
		t.Errorf("a second keygen: exit %d", code)
	}
	for name, mode := range map[string]os.FileMode{"key": 0o600, "state": 0o700} {
		if info, err := os.Stat(at(name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	text := "socket: " + at("w.sock") + "\nkey_file: " + at("key") + "\nstate_dir: " + at("state") + "\nlogs: [{origin: sum.golang.org, key: \"" + logKey + "\"}]\n"
	if err := os.WriteFile(at("w.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		code, _, stderr := call(ctx, "serve", "--config", at("w.yaml"))
		if code != 0 {
			t.Error(stderr)
		}
		done <- code
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", at("w.sock"))
	}}}
	var got string
	for range 200 {
		if resp, err := client.Get("http://w/key"); err == nil {
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			got = string(b)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got != vkey {
		t.Errorf("it shows the key %q, not %q", got, vkey)
	}
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestServeSaysWhyNot(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, says string }{
		"unknown key": {"lisen: 127.0.0.1:1\n", "lisen"},
		"no address":  {"key_file: x\n", "listen and socket are missing"},
		"no key":      {"listen: 127.0.0.1:0\nkey_file: /nowhere\n", "key_file"},
	} {
		path := filepath.Join(dir, "w.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := call(t.Context(), "serve", "--config", path); code != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
	}
	if code, out, _ := call(t.Context(), "version"); code != 0 || !strings.HasPrefix(out, "tekend-witness ") {
		t.Error(code, out)
	}
	if code, _, _ := call(t.Context()); code != exitUsage {
		t.Error(code)
	}
}
