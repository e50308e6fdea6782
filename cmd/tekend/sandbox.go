package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	itsme "tekend/itsme/sandbox"
	"tekend/wire"
)

type sandboxCmd struct {
	Dir            string `help:"Where everything lies; start again on the same folder to go on." default:".sandbox" type:"path"`
	Listen         string `help:"Loopback address of the front; port 0 takes a free one the first time." default:"127.0.0.1:0"`
	KeyType        string `help:"Kind of the signers' keys." enum:"P-256,P-384,RSA-3072,RSA-3072-PSS" default:"P-256"`
	ProviderSigned string `help:"Whether orders must be signed by their provider." enum:"optional,required" default:"optional"`
	Module         string `help:"PKCS#11 module." default:"/usr/lib/softhsm/libsofthsm2.so" type:"path"`
	Trusted        string `help:"The tekend-trusted program. Default: beside this one." type:"path"`
	Samples        string `help:"Folder with PDFs for the demo provider." default:"testdata/pdf" type:"path"`
	UIDBase        uint32 `help:"As root: the first of eight user ids, one for each role." default:"47100"`
	Spy            string `hidden:"" help:"Load the module through this spy and append its log to each role's spy.log." type:"path"`
	Shim           string `hidden:"" help:"Load the module through this shim (hsm/hsmtest/shim), which appends to each role's oracle.log and takes orders from its faults." type:"path"`
}

// roles in the order of their user ids.
var roleNames = []string{"front", "sam", "ca", "tsa", "itsme", "provider", "witness", "anchor"}

// sandbox is one run.
type sandbox struct {
	cmd      *sandboxCmd
	p        *program
	bin      string // folder of programs that every role's user can reach
	isolated bool
	state    sandboxState
	sockets  map[string]*os.File // TCP listeners by name, handed to the children
	children []*child
	sup      *supervisor
	promises promises
	mu       sync.Mutex // sandbox.json
}

// sandboxState is D/state.json: what must be the same after a restart, because
// certificates and links name it.
type sandboxState struct {
	Ports   map[string]int `json:"ports"`
	KeyType string         `json:"key_type"`

	Witness    string            `json:"witness,omitempty"`     // verifier key of the witness
	AuditLogs  map[string]string `json:"audit_logs,omitempty"`  // by role: verifier key of its log
	AnchorRoot string            `json:"anchor_root,omitempty"` // PEM: root of the foreign time-stamping authority
}

// Run starts all and stops all.
func (c *sandboxCmd) Run(p *program) error {
	s := &sandbox{cmd: c, p: p, sockets: map[string]*os.File{}}
	if err := s.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	s.sup = newSupervisor(ctx, func(f string, a ...any) { fmt.Fprintf(p.stderr, f+"\n", a...) })
	s.sup.changed = func() {
		if err := s.writeInfo(); err != nil {
			fmt.Fprintln(p.stderr, "tekend:", err)
		}
	}
	if err := s.startAll(ctx); err != nil {
		cancel()
		s.sup.wait()
		return err
	}
	if err := s.writeInfo(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "ready: %s (try it: %s)\n", s.url("front"), s.url("provider"))
	s.waitForEnd(p.ctx)
	_ = os.Remove(filepath.Join(c.Dir, "sandbox.json"))
	s.sup.wait()
	return nil
}

// prepare makes folders, listeners, keys and configuration.
func (s *sandbox) prepare() error {
	// Simulations of itsme and of certificates stay on this machine.
	if err := itsme.CheckListen(s.cmd.Listen); err != nil {
		return usage("--listen: %w", err)
	}
	if s.cmd.Spy != "" && s.cmd.Shim != "" {
		return usage("--spy and --shim exclude each other")
	}
	if err := os.MkdirAll(s.cmd.Dir, 0o755); err != nil {
		return usage("%w", err)
	}
	if err := s.isolate(); err != nil {
		return err
	}
	if err := s.loadState(); err != nil {
		return err
	}
	for _, name := range []string{"front", "itsme", "jwks", "emergency", "https", "provider", "witness", "anchor"} {
		if err := s.listen(name); err != nil {
			return err
		}
	}
	if err := errors.Join(s.listenTime(), s.saveState()); err != nil {
		return err
	}
	if err := s.folders(); err != nil {
		return err
	}
	if err := s.promise(); err != nil {
		return err
	}
	if err := s.ceremony(); err != nil {
		return err
	}
	if err := s.outsiders(); err != nil {
		return err
	}
	return s.configure()
}

// isolate decides whether each role gets a user of its own and says so on the
// first line.
func (s *sandbox) isolate() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.bin = filepath.Dir(self)
	if s.cmd.Trusted != "" {
		s.bin = filepath.Dir(s.cmd.Trusted)
	}
	if os.Getuid() != 0 {
		fmt.Fprintf(s.p.stdout, "isolation is OFF: every role runs as user %d; started as root, each role gets its own user\n", os.Getuid())
		return nil
	}
	if closed := closedFolder(s.cmd.Dir); closed != "" {
		fmt.Fprintf(s.p.stdout, "isolation is OFF: other users cannot reach %s; give --dir a folder that they can\n", closed)
		return nil
	}
	s.isolated = true
	base := s.cmd.UIDBase
	fmt.Fprintf(s.p.stdout, "isolation is on: each role runs as its own user (%s = %d to %d)\n", strings.Join(roleNames, " "), base, base+uint32(len(roleNames))-1)
	if closedFolder(s.bin) == "" {
		return nil
	}
	from := s.bin
	s.bin = filepath.Join(s.cmd.Dir, "bin")
	if err := os.MkdirAll(s.bin, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"tekend", "tekend-trusted", "tekend-witness"} {
		if err := copyFile(filepath.Join(s.bin, name), filepath.Join(from, name), 0o755); err != nil {
			return usage("copy the programs where the roles can run them: %w", err)
		}
	}
	return nil
}

// closedFolder names the first folder on the way to path that other users
// cannot pass, "" if there is none.
func closedFolder(path string) string {
	for dir := path; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return dir
		}
		if dir == "/" {
			return ""
		}
	}
}

// owner gives the user of a role, nil without isolation.
func (s *sandbox) owner(role string) *owner {
	if !s.isolated {
		return nil
	}
	for i, name := range roleNames {
		if name == role {
			id := s.cmd.UIDBase + uint32(i)
			return &owner{id, id}
		}
	}
	return nil
}

// uid is the user id that a role's process will have.
func (s *sandbox) uid(role string) int {
	if o := s.owner(role); o != nil {
		return int(o.uid)
	}
	return os.Getuid()
}

func (s *sandbox) path(elem ...string) string {
	return filepath.Join(append([]string{s.cmd.Dir}, elem...)...)
}

// folders makes each role's folder. Others may pass through it (to the
// sockets) but not list it; all files in it are the role's alone. A folder with
// sockets is set-group-id to the one caller it is meant for.
func (s *sandbox) folders() error {
	type folder struct {
		path, owner, group string
		mode               fs.FileMode
	}
	all := []folder{{s.path("pki"), "ca", "ca", 0o755}}
	for _, r := range roleNames {
		all = append(all, folder{s.path(r), r, r, 0o711})
	}
	all = append(all,
		folder{s.path("sam", "run"), "sam", "front", 0o750 | fs.ModeSetgid},
		folder{s.path("ca", "run"), "ca", "front", 0o750 | fs.ModeSetgid},
		folder{s.path("ca", "status"), "ca", "sam", 0o750 | fs.ModeSetgid},
		folder{s.path("ca", "operators"), "ca", "ca", 0o750 | fs.ModeSetgid},
		folder{s.path("sam", "operators"), "sam", "sam", 0o750 | fs.ModeSetgid},
		folder{s.path("tsa", "run"), "tsa", "front", 0o750 | fs.ModeSetgid},
		folder{s.path("front", "blobs"), "front", "front", 0o700},
		folder{s.path("sam", "notices"), "sam", "sam", 0o700},
	)
	for _, f := range all {
		if err := s.folder(f.path, f.owner, f.group, f.mode); err != nil {
			return err
		}
	}
	return s.fenceFolders()
}

func (s *sandbox) loadState() error {
	s.state = sandboxState{Ports: map[string]int{}, KeyType: s.cmd.KeyType}
	b, err := os.ReadFile(s.path("state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s.state)
	}
	if err != nil {
		return usage("%s is damaged: %w", s.path("state.json"), err)
	}
	return nil
}

func (s *sandbox) saveState() error {
	b, err := json.MarshalIndent(s.state, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("state.json"), b, 0o600)
}

// listen opens a TCP listener here, so that no role has to find a port, and
// keeps the port for the next start.
func (s *sandbox) listen(name string) error {
	host, port, err := net.SplitHostPort(s.cmd.Listen)
	if err != nil {
		return usage("--listen: %w", err)
	}
	if name != "front" {
		port = "0"
	}
	if kept := s.state.Ports[name]; kept != 0 && port == "0" {
		port = fmt.Sprint(kept)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return unreachable("the %s cannot listen: %w; is this sandbox running already?", name, err)
	}
	s.state.Ports[name] = l.Addr().(*net.TCPAddr).Port
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	s.sockets[name] = f
	return l.Close()
}

func (s *sandbox) url(name string) string {
	host, _, _ := net.SplitHostPort(s.cmd.Listen)
	return fmt.Sprintf("http://%s", net.JoinHostPort(host, fmt.Sprint(s.state.Ports[name])))
}

// writeInfo writes D/sandbox.json atomically, with the process ids of now.
func (s *sandbox) writeInfo() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := sandboxFile{
		Front: s.url("front"), HTTPS: s.httpsURL(), HTTPSRootPEM: "https-root.pem", Itsme: s.url("itsme") + "/v2", TSA: s.url("front") + "/tsa", PKI: s.url("front") + "/pki",
		JWKS: s.url("jwks"), Emergency: s.url("emergency"), Provider: s.url("provider"), RootPEM: "pki/root.pem", AnchorPEM: "anchor-root.pem", APIKeyFile: "provider/api-key",
		TrustedList: s.trustedList(), PIDs: map[string]int{}, Version: version,
	}
	for _, c := range s.children {
		info.PIDs[c.name] = c.pid()
	}
	b, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	tmp := s.path("sandbox.json.new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.path("sandbox.json"))
}

// apiKey is the demo provider's key.
func (s *sandbox) apiKey() (string, error) {
	return s.newKey("provider", s.path("provider", "api-key"))
}

// newKey makes an API key at the first start, in a file of a role.
func (s *sandbox) newKey(role, path string) (string, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return s.readKey(role, path)
	}
	key := "tk_" + rand.Text()
	return key, s.own(role, path, []byte(key+"\n"))
}

// healthy asks a role behind a Unix socket whether it is ready.
func healthy(socket string) func(context.Context) error {
	c := wire.NewClient(socket, 2*time.Second)
	return func(ctx context.Context) error {
		return c.Do(ctx, http.MethodGet, "/v1/health", nil, nil)
	}
}

// answers asks a web server whether it answers 200.
func answers(address string) func(context.Context) error {
	return asked(address, func(status int) error {
		if status != http.StatusOK {
			return fmt.Errorf("it answers %d", status)
		}
		return nil
	})
}

// replies asks whether it answers at all: a front that is locked is DOWN, and started.
func replies(address string) func(context.Context) error {
	return asked(address, func(int) error { return nil })
}

func asked(address string, judge func(status int) error) func(context.Context) error {
	client := &http.Client{Timeout: 5 * time.Second}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		return errors.Join(judge(resp.StatusCode), resp.Body.Close())
	}
}
