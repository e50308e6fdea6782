package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/ca"
	"tekend/tsa"
	"tekend/wire"
)

// process is a role that runs.
type process struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan error
}

// start runs a role as a process of its own, with inherited files from descriptor 3 on.
func start(t *testing.T, role, config string, files ...*os.File) *process {
	t.Helper()
	p := &process{cmd: command(role, "--config", config), done: make(chan error, 1)}
	p.cmd.Stderr = &p.log
	p.cmd.ExtraFiles = files
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// health waits until the role answers and returns the answer.
func (p *process) health(t *testing.T, socket string) map[string]any {
	t.Helper()
	client := wire.NewClient(socket, 5*time.Second)
	for range 400 {
		var h map[string]any
		if err := client.Do(context.Background(), http.MethodGet, "/v1/health", nil, &h); err == nil {
			return h
		}
		select {
		case err := <-p.done:
			t.Fatalf("the role ended: %v\n%s", err, p.log.String())
		case <-time.After(25 * time.Millisecond):
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	t.Fatalf("the role does not answer\n%s", p.log.String())
	return nil
}

// stop ends the role as an operator does and wants exit code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			t.Errorf("the role ended with %v\n%s", err, p.log.String())
		}
	case <-time.After(20 * time.Second):
		t.Error("the role does not stop")
	}
}

// world is a ceremony's result with a configuration for each role.
type world struct{ dir string }

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{memoryDir(t)}
	doCeremony(t, w.dir, "")
	terms := sha256.Sum256([]byte("terms"))
	for _, dir := range []string{"sam/run", "ca/run", "ca/status", "tsa/run"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, "sam", `
token: {TOKEN}
listen: {socket: D/sam/run/sam.sock}
jwks_listen: fd:3
sam:
  db: D/sam/sam.db
  root_file: D/sam/root.pem
  issuer_file: D/sam/issuing-ca.pem
  status_socket: D/ca/status/status.sock
  itsme: {issuer: "http://127.0.0.1:9/v2"}
  ident: {id: IDENT, service: IDENT_SERVICE, redirect_uri: "http://127.0.0.1:8080/itsme/callback", enc_key_file: D/sam/itsme-ident-enc.pem}
  confirm: {id: CONFIRM, service: CONFIRM_SERVICE, redirect_uri: "http://127.0.0.1:8080/itsme/callback", enc_key_file: D/sam/itsme-confirm-enc.pem}
`)
	w.write(t, "tsa", `
token: {TOKEN}
chain_files: [D/tsa/tsu.pem, D/tsa/root.pem]
listen: {socket: D/tsa/run/tsa.sock}
tsa: {db: D/tsa/tsa.db}
`)
	w.write(t, "ca", `
token: {TOKEN}
listen: {socket: D/ca/run/ca.sock}
status_listen: {socket: D/ca/status/status.sock}
ca:
  db: D/ca/ca.db
  root_file: D/ca/root.pem
  issuing_ca_file: D/ca/issuing-ca.pem
  tsu_file: D/ca/tsu.pem
  root_crl_file: D/ca/root.crl
  public_url: http://127.0.0.1:8080/pki
  cps_url: http://127.0.0.1:8080/docs
  pds: [{url: "https://127.0.0.1:8080/pds", language: en}]
  itsme: {issuer: "http://127.0.0.1:9/v2"}
  ident_client: IDENT
  confirm_client: CONFIRM
  terms_version: "1"
  terms_sha256: `+base64.RawURLEncoding.EncodeToString(terms[:])+"\n")
	return w
}

func (w world) path(name string) string { return filepath.Join(w.dir, name) }

// write writes a role's file; D and TOKEN stand for the directory and the role's token.
func (w world) write(t *testing.T, role, text string) string {
	t.Helper()
	token := fmt.Sprintf("module: /usr/lib/softhsm/libsofthsm2.so, softhsm_conf: D/%[1]s/softhsm2.conf, token_label: tekend-%[1]s, pin_file: D/%[1]s/pin, test_only: true", role)
	text = fmt.Sprintf("audit: {origin: 127.0.0.1:8080/audit/%[1]s, key_file: D/%[1]s/audit-log.pem}\nfence: {file: D/%[1]s-fence.json}\n", role) + text
	return write(t, w.path(role+".yaml"), strings.NewReplacer("TOKEN", strings.ReplaceAll(token, "D/", w.dir+"/"), "D/", w.dir+"/").Replace(text))
}

func TestTheTSAStampsAndStops(t *testing.T) {
	w := newWorld(t)
	role := start(t, "tsa", w.path("tsa.yaml"))
	socket := w.path("tsa/run/tsa.sock")
	if h := role.health(t, socket); h["ready"] != true {
		t.Fatalf("health: %v", h)
	}
	stamp(t, w)
	role.stop(t)
	if out := must(t, "audit", "verify", "--config", w.path("tsa.yaml")); !strings.HasPrefix(out, "whole: ") {
		t.Error(out)
	}
	again := start(t, "tsa", w.path("tsa.yaml"))
	again.health(t, socket)
	stamp(t, w)
	again.stop(t)
}

// stamp has something stamped and checks the token as a client does.
func stamp(t *testing.T, w world) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(readCert(t, w.path("pki/root.pem")))
	client := tsa.NewClient(tsa.ClientConfig{Socket: w.path("tsa/run/tsa.sock"), Roots: roots, Now: time.Now}, nil)
	digest := sha256.Sum256([]byte("document"))
	if _, err := client.Stamp(context.Background(), digest[:], crypto.SHA256); err != nil {
		t.Error(err)
	}
}

func TestTheTSASurvivesItsTokenGoingAway(t *testing.T) {
	w := newWorld(t)
	role := start(t, "tsa", w.path("tsa.yaml"))
	socket := w.path("tsa/run/tsa.sock")
	role.health(t, socket)
	if err := os.Rename(w.path("tsa/tokens"), w.path("tsa/away")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); role.health(t, socket)["ready"] == true; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) { // a canary that signed is believed for five seconds
			t.Fatal("ready without a token")
		}
	}
	if err := os.Rename(w.path("tsa/away"), w.path("tsa/tokens")); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if role.health(t, socket)["ready"] == true {
			stamp(t, w)
			role.stop(t)
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Errorf("not ready again\n%s", role.log.String())
}

func TestTheCopyOfATokenReplacesALostOne(t *testing.T) {
	w := newWorld(t)
	if err := os.RemoveAll(w.path("tsa/tokens")); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call(t, "tsa", "--config", w.path("tsa.yaml"))
	if code != exitUnreachable || !strings.Contains(stderr, "token") {
		t.Errorf("without a token: exit %d, %s", code, stderr)
	}
	if err := os.CopyFS(w.path("tsa/tokens"), os.DirFS(w.path("tsa/tokens.copy"))); err != nil {
		t.Fatal(err)
	}
	role := start(t, "tsa", w.path("tsa.yaml"))
	role.health(t, w.path("tsa/run/tsa.sock"))
	stamp(t, w)
	role.stop(t)
}

func TestTheCAPublishesAndTellsStatus(t *testing.T) {
	w := newWorld(t)
	role := start(t, "ca", w.path("ca.yaml"))
	if h := role.health(t, w.path("ca/run/ca.sock")); h["ready"] != true {
		t.Fatalf("health: %v", h)
	}
	client := ca.NewClient(w.path("ca/run/ca.sock"), 5*time.Second)
	ctx := context.Background()
	for _, name := range []string{"ca/root.crt", "ca/issuing-ca.crt", "ca/tsu.crt", "crl/root.crl"} {
		der, _, err := client.Published(ctx, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		public, err := os.ReadFile(w.path("pki/" + name))
		if err != nil || !bytes.Equal(der, public) {
			t.Errorf("%s differs from the file of the ceremony (%v)", name, err)
		}
	}
	der, _, err := client.Published(ctx, "crl/issuing-ca.crl")
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(readCert(t, w.path("pki/issuing-ca.pem"))); err != nil {
		t.Error(err)
	}
	first, err := os.ReadFile(w.path("pki/crl/issuing-ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	if old, err := x509.ParseRevocationList(first); err != nil || old.Number.Cmp(list.Number) >= 0 {
		t.Errorf("the ceremony's CRL is not older than the role's (%v)", err)
	}
	status, err := ca.NewStatusClient(w.path("ca/status/status.sock"), 5*time.Second).Status(ctx, "0102")
	if err != nil || status.State != ca.Unknown {
		t.Errorf("a serial nobody issued: %v %v", status, err)
	}
	role.stop(t)
}

func TestTheSAMServesItsKeySetsOnAnInheritedListener(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(l.Close(), f.Close()) })
	socket := w.path("sam/run/sam.sock")
	for range 2 { // started again, it has the same address and the same keys
		role := start(t, "sam", w.path("sam.yaml"), f)
		if h := role.health(t, socket); h["ready"] != true || h["certified"] != false {
			t.Errorf("health: %v", h)
		}
		kids := map[string]bool{}
		for _, client := range []string{"ident", "confirm"} {
			resp, err := http.Get("http://" + l.Addr().String() + "/jwks/" + client)
			if err != nil {
				t.Fatal(err)
			}
			var set jose.JSONWebKeySet
			err = errors.Join(json.NewDecoder(resp.Body).Decode(&set), resp.Body.Close())
			if err != nil || resp.StatusCode != http.StatusOK || len(set.Keys) != 2 {
				t.Fatalf("%s: %d, %d keys, %v", client, resp.StatusCode, len(set.Keys), err)
			}
			for _, k := range set.Keys {
				if !k.IsPublic() || !k.Valid() {
					t.Errorf("%s publishes a key that is not public or not valid", client)
				}
				sum, err := k.Thumbprint(crypto.SHA256)
				if err != nil {
					t.Fatal(err)
				}
				kids[string(sum)] = true
			}
		}
		if len(kids) != 4 {
			t.Errorf("%d different keys, want 4", len(kids))
		}
		role.stop(t)
	}
	if out := must(t, "audit", "verify", "--config", w.path("sam.yaml")); !strings.HasPrefix(out, "whole: ") {
		t.Error(out)
	}
}

func TestTheSAMDoesNotStartOnAnUnsafeKEK(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile(w.path("sam.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// A MAC key in the KEK's place is the defect at hand; each defect has its test in package hsm.
	bad := write(t, w.path("bad.yaml"), string(text)+"  kek: mac\n")
	code, _, stderr := call(t, "sam", "--config", bad)
	if code == 0 || !strings.Contains(stderr, "the KEK is not safe") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestARoleSaysWhyItDoesNotStart(t *testing.T) {
	w := newWorld(t)
	good, err := os.ReadFile(w.path("tsa.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	wrongPIN := write(t, w.path("wrong-pin"), "not-the-PIN-of-this-token\n")
	for name, c := range map[string]struct{ old, new, says string }{
		"unknown key":    {"chain_files", "chain_file", "chain_file"},
		"other label":    {"tekend-tsa", "tekend-tsb", "no token is labelled"},
		"wrong PIN":      {w.path("tsa/pin"), wrongPIN, "refuses the PIN"},
		"no PIN file":    {w.path("tsa/pin"), "/nowhere", "PIN file"},
		"no module":      {"libsofthsm2.so", "libnowhere.so", "softhsm2"},
		"no softhsm":     {"softhsm2.conf", "nowhere.conf", "softhsm_conf"},
		"other key":      {"chain_files:", "key: nobody\nchain_files:", "no such key"},
		"wrong chain":    {"[D/tsa/tsu.pem", "[D/tsa/root.pem", "certificate of the unit"},
		"no certificate": {"[D/tsa/tsu.pem", "[D/tsa/pin", "no PEM certificate"},
		"no socket path": {"socket: D/tsa/run/tsa.sock", "mode: 0600", "socket"},
		"no audit log":   {"key_file: D/tsa/audit-log.pem", "need: 1", "key_file is missing"},
		"other log key":  {"D/tsa/audit-log.pem", "D/tsa/tsu.pem", "no PEM private key"},
		"own anchor":     {"key_file: D/tsa/audit-log.pem", "key_file: D/tsa/audit-log.pem, anchor: {url: \"http://127.0.0.1:9/tsa\", root_file: D/tsa/root.pem}", "our own root"},
		"no database":    {"db: D/tsa/tsa.db", "accuracy: 1s", "db is missing"},
	} {
		old := strings.ReplaceAll(c.old, "D/", w.dir+"/")
		text := strings.Replace(string(good), old, strings.ReplaceAll(c.new, "D/", w.dir+"/"), 1)
		code, _, stderr := call(t, "tsa", "--config", write(t, w.path("bad.yaml"), text))
		if code == 0 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, it should say %q: %s", name, code, c.says, stderr)
		}
		if strings.Contains(stderr, "not-the-PIN-of-this-token") {
			t.Errorf("%s: the PIN is shown: %s", name, stderr)
		}
	}
}

func TestTwoProcessesNeverShareARole(t *testing.T) {
	w := newWorld(t)
	role := start(t, "tsa", w.path("tsa.yaml"))
	role.health(t, w.path("tsa/run/tsa.sock"))
	code, _, stderr := call(t, "tsa", "--config", w.path("tsa.yaml"))
	if code == 0 || !strings.Contains(stderr, "another process answers there") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	stamp(t, w)
	role.stop(t)
}

func TestAnInheritedListenerIsUsed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(f.Fd())) // the one that the program inherits and closes
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := errors.Join(l.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	e, err := openPublic(fmt.Sprintf("fd:%d", fd), http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Listener.Addr().String(); got != address {
		t.Errorf("listens on %s, inherited %s", got, address)
	}
	if err := e.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"fd:2", "fd:x", "fd:", "fd:999", "nowhere"} {
		if l, err := wire.ListenTCP(address); err == nil {
			_ = l.Close()
			t.Errorf("%q was listened on", address)
		}
	}
}
