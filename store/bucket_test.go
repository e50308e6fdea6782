//go:build interop

package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	"tekend/signer"
	"tekend/store"
)

// gateway is a real S3 server (versitygw) over a folder, with one bucket.
type gateway struct {
	data, address string
	cmd           *exec.Cmd
}

const accessKey, secretKey = "test-access", "test-secret-0123456789"

func startGateway(t *testing.T) *gateway {
	t.Helper()
	bin, err := filepath.Abs("../interop/.bin/versitygw")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatal("the S3 server is not built: make judges")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{data: t.TempDir(), address: l.Addr().String()}
	if err := errors.Join(l.Close(), os.Mkdir(filepath.Join(g.data, "docs"), 0o755)); err != nil {
		t.Fatal(err)
	}
	g.cmd = exec.Command(bin, "--port", g.address, "--access", accessKey, "--secret", secretKey, "--quiet",
		"posix", "--sidecar", t.TempDir(), g.data)
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.cmd.Process.Kill(); _ = g.cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", g.address)
		if err == nil {
			_ = c.Close()
			return g
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func (g *gateway) config(t *testing.T, secret string) store.Config {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "s3.yaml")
	if err := os.WriteFile(key, []byte("access_key_id: "+accessKey+"\nsecret_access_key: "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	q := url.Values{"endpoint": {"http://" + g.address}, "region": {"us-east-1"}, "path_style": {"true"}}
	return store.Config{
		DBPath: filepath.Join(dir, "front.db"), Blobs: "s3://docs?" + q.Encode(), BlobsKeyFile: key, Now: time.Now,
	}
}

func (g *gateway) open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), g.config(t, secretKey))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// bytesKept counts what lies in the gateway's folder, parts of uploads too.
func (g *gateway) bytesKept(t *testing.T) (n int64) {
	t.Helper()
	err := filepath.WalkDir(g.data, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBucketKeepsDocumentsUnchanged(t *testing.T) {
	s := startGateway(t).open(t)
	for _, size := range []int{0, 1, 1<<20 - 1, 1 << 20, 8<<20 + 1, 21 << 20} {
		data := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(size), 1}).Read(data)
		b, err := s.Put(t.Context(), bytes.NewReader(data), int64(size))
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if b.Size != int64(size) {
			t.Errorf("%d bytes: told of %d bytes", size, b.Size)
		}
		f, err := s.Open(t.Context(), b.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(io.NewSectionReader(f, 0, b.Size), data); size <= 1<<20 && err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, b.Size+100))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read back other bytes (%v)", size, err)
		}
		if err := errors.Join(f.Close(), s.Drop(t.Context(), b.Name)); err != nil {
			t.Error(err)
		}
		if _, err := s.Open(t.Context(), b.Name); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("after dropping: %v", err)
		}
	}
}

func TestBucketKeepsNothingOfAFailedUpload(t *testing.T) {
	g := startGateway(t)
	s := g.open(t)
	broken := errors.New("the caller went away")
	for name, c := range map[string]struct {
		r     io.Reader
		limit int64
		want  error
	}{
		"one part, too large":    {bytes.NewReader(make([]byte, 1000)), 999, signer.ErrTooLarge},
		"three parts, too large": {bytes.NewReader(make([]byte, 20<<20)), 20<<20 - 1, signer.ErrTooLarge},
		"broken off":             {io.MultiReader(bytes.NewReader(make([]byte, 9<<20)), iotest.ErrReader(broken)), 20 << 20, broken},
	} {
		if _, err := s.Put(t.Context(), c.r, c.limit); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if n := g.bytesKept(t); n != 0 {
			t.Errorf("%s: %d bytes are left", name, n)
		}
	}
}

// TestBucketIsSweptOfWhatIsOld: another front may be taking in what is young.
func TestBucketIsSweptOfWhatIsOld(t *testing.T) {
	g := startGateway(t)
	s := g.open(t)
	b, err := s.Put(t.Context(), bytes.NewReader([]byte("orphan")), 10)
	if err != nil {
		t.Fatal(err)
	}
	cfg := g.config(t, secretKey)
	for _, c := range []struct {
		later time.Duration
		want  error
	}{{time.Hour, nil}, {25 * time.Hour, signer.ErrNotFound}} {
		cfg.Now = func() time.Time { return time.Now().Add(c.later) }
		again, err := store.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Open(t.Context(), b.Name); !errors.Is(err, c.want) {
			t.Errorf("after %v: %v", c.later, err)
		}
		_ = again.Close()
	}
}

func TestBucketRefusesWrongConfiguration(t *testing.T) {
	g := startGateway(t)
	good := g.config(t, secretKey)
	open := filepath.Join(t.TempDir(), "s3.yaml")
	if err := os.WriteFile(open, []byte("access_key_id: a\nsecret_access_key: b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]store.Config{
		"wrong key":      g.config(t, "another-secret"),
		"no such bucket": {Blobs: "s3://other" + good.Blobs[len("s3://docs"):], BlobsKeyFile: good.BlobsKeyFile},
		"no region":      {Blobs: "s3://docs?endpoint=http://" + g.address, BlobsKeyFile: good.BlobsKeyFile},
		"unknown part":   {Blobs: good.Blobs + "&acl=public", BlobsKeyFile: good.BlobsKeyFile},
		"key in address": {Blobs: "s3://key:secret@docs?region=x", BlobsKeyFile: good.BlobsKeyFile},
		"no key file":    {Blobs: good.Blobs},
		"open key file":  {Blobs: good.Blobs, BlobsKeyFile: open},
	} {
		cfg.DBPath, cfg.Now = filepath.Join(t.TempDir(), "front.db"), time.Now
		s, err := store.Open(t.Context(), cfg)
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
			continue
		}
		if bytes.Contains([]byte(err.Error()), []byte(secretKey)) {
			t.Errorf("%s: the error holds the secret", name)
		}
	}
}

// TestBucketGoneIsAnErrorAndNotAnEmptyDocument: the server dies, then comes back.
func TestBucketGoneIsAnErrorAndNotAnEmptyDocument(t *testing.T) {
	g := startGateway(t)
	s := g.open(t)
	b, err := s.Put(t.Context(), bytes.NewReader(make([]byte, 3<<20)), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), b.Name)
	if err != nil {
		t.Fatal(err)
	}
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := f.ReadAt(make([]byte, 10), 2<<20); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading from a dead server: %v", err)
	}
	if _, err := s.Open(ctx, b.Name); err == nil || errors.Is(err, signer.ErrNotFound) {
		t.Errorf("opening at a dead server: %v", err)
	}
	if _, err := s.Put(ctx, bytes.NewReader([]byte("x")), 1); err == nil {
		t.Error("put to a dead server")
	}
}
