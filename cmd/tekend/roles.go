package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"tekend/foureyes"
)

// ceremony has tekend-trusted make tokens, keys and certificates, once. In earnest two people approve its plan; here both
// operators' keys lie in D/operators and the sandbox approves by itself, and says so.
func (s *sandbox) ceremony() error {
	path, err := s.ceremonyFile()
	if err != nil {
		return err
	}
	args := []string{"keys", "init", "--config", path}
	_, err = os.Stat(s.path("pki", "ceremony.json"))
	if err == nil && !s.rootApart() {
		return usage("the keys in %s are of an earlier version: the root's lies with the ca, and there is none for OCSP; begin again in an empty folder", s.cmd.Dir)
	}
	if err != nil {
		fmt.Fprintln(s.p.stdout, "the key ceremony: this sandbox approves it by itself, with the keys of both operators")
		approved, err := s.approve(path)
		if err != nil {
			return err
		}
		args = append(args, approved...)
	}
	if _, err := s.trusted(args...); err != nil {
		return err
	}
	if s.isolated {
		return s.giveTree(s.path("pki"), "ca")
	}
	return nil
}

// rootApart tells whether the root has a place of its own. In folders of earlier versions it has not, and nothing can be added to their keys.
func (s *sandbox) rootApart() bool {
	_, err := os.Stat(s.path("root", "root.pem"))
	return err == nil
}

// ceremonyFile writes the ceremony's configuration. The root's place is the starter's, and no role's.
func (s *sandbox) ceremonyFile() (string, error) {
	role := func(name string) doc {
		m := doc{"dir": s.path(name)}
		if o := s.owner(name); o != nil {
			m["uid"], m["gid"] = o.uid, o.gid
		}
		return m
	}
	list, err := s.operators()
	if err != nil {
		return "", err
	}
	path := s.path("ceremony.yaml")
	err = writeYAML(path, doc{
		"module": s.cmd.Module, "public_url": s.url("front"), "cps_url": s.promises.cpsURL, "pki_dir": s.path("pki"),
		"organisation": doc{"name": "Tekend Sandbox", "country": "BE"},
		"root":         doc{"dir": s.path("root")},
		"sam":          role("sam"), "ca": role("ca"), "tsa": role("tsa"), "operators": list,
	})
	if err != nil {
		return "", usage("%w", err)
	}
	return path, nil
}

// approve makes the ceremony's plan and both operators' approvals of it.
func (s *sandbox) approve(config string) ([]string, error) {
	text, err := s.trusted("keys", "plan", "--config", config)
	if err != nil {
		return nil, err
	}
	plan := s.path("operators", "ceremony.plan")
	if err := os.WriteFile(plan, text, 0o600); err != nil {
		return nil, usage("%w", err)
	}
	args := []string{"--plan", plan}
	for _, name := range operatorNames {
		key, err := s.operator(name)
		if err != nil {
			return nil, err
		}
		a, err := foureyes.Approve(key, string(text), s.p.now(), foureyes.MaxValid)
		if err != nil {
			return nil, err
		}
		path := s.path("operators", name+".approval")
		if err := os.WriteFile(path, []byte(a.String()), 0o600); err != nil {
			return nil, usage("%w", err)
		}
		args = append(args, "--approval", path)
	}
	return args, nil
}

// trusted runs a command of tekend-trusted to its end and gives what it printed.
func (s *sandbox) trusted(args ...string) ([]byte, error) {
	var errs strings.Builder
	cmd := exec.CommandContext(s.p.ctx, filepath.Join(s.bin, "tekend-trusted"), args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, usage("the key ceremony failed: %w\n%s", err, strings.TrimSpace(errs.String()))
	}
	return out, nil
}

// giveTree makes a role the owner of a folder and all below it. The folder may be the role's already: no link in it leads out of it.
func (s *sandbox) giveTree(dir, role string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return usage("%w", err)
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, s.uid(role), s.uid(role))
	})
	return errors.Join(err, root.Close())
}

// startAll starts every process, those that are asked before those that ask.
func (s *sandbox) startAll(ctx context.Context) error {
	plan := []struct {
		name    string
		program string
		args    []string
		socket  string // TCP listener handed over as descriptor 3
		ready   func(context.Context) error
	}{
		{"itsme", "tekend", []string{"simulated", "itsme"}, "itsme", answers(s.url("itsme") + "/v2/.well-known/openid-configuration")},
		{"witness", "tekend-witness", []string{"serve"}, "witness", answers(s.url("witness") + "/key")},
		{"anchor", "tekend", []string{"simulated", "tsa"}, "anchor", answers(s.url("anchor") + "/")},
		{"ca", "tekend-trusted", []string{"ca"}, "", healthy(s.path("ca", "run", "ca.sock"))},
		{"tsa", "tekend-trusted", []string{"tsa"}, "", healthy(s.path("tsa", "run", "tsa.sock"))},
		{"sam", "tekend-trusted", []string{"sam"}, "jwks", healthy(s.path("sam", "run", "sam.sock"))},
		{"front", "tekend", []string{"serve"}, "front", replies(s.url("front") + "/health")},
		{"provider", "tekend", []string{"simulated", "provider"}, "provider", answers(s.url("provider") + "/")},
	}
	for _, e := range plan {
		c, err := s.child(e.name, e.program, append(e.args, "--config", s.path(e.name, e.name+".yaml")))
		if err != nil {
			return err
		}
		if e.socket != "" {
			c.files = []*os.File{s.sockets[e.socket]}
		}
		switch e.name {
		case "anchor":
			c.files = append(c.files, s.timeSockets()...)
		case "sam":
			c.files = append(c.files, s.sockets["emergency"])
		case "front":
			c.files = append(c.files, s.sockets["https"])
		}
		c.ready = e.ready
		c.last = e.name == "witness" // so that a stop is witnessed too
		s.children = append(s.children, c)
	}
	// They wait for one another by themselves (no role needs another to start),
	// so all start at once.
	failed := make(chan error, len(s.children))
	for _, c := range s.children {
		go func() { failed <- s.sup.keep(ctx, c) }()
	}
	var first error
	for range s.children {
		if err := <-failed; err != nil && first == nil {
			first = unreachable("%w (%s)", err, s.path("…", "log"))
		}
	}
	return first
}

// child describes one process: a bare environment, its own log.
func (s *sandbox) child(name, program string, args []string) (*child, error) {
	log, err := s.appendTo(name, s.path(name, "log"))
	if err != nil {
		return nil, err
	}
	c := &child{
		name: name, path: filepath.Join(s.bin, program), args: args, log: log, stderr: log, user: s.owner(name),
		env: []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "TMPDIR=/tmp", "LC_ALL=C.UTF-8"},
	}
	switch {
	case program != "tekend-trusted":
	case s.cmd.Spy != "":
		return c, s.watch(c)
	case s.cmd.Shim != "":
		return c, s.oracle(c)
	}
	return c, nil
}

// oracle puts the shim before the role's token. Both files are the role's own: D/<role>/oracle.log, which must be there
// before the role starts, and D/<role>/faults, which need not.
func (s *sandbox) oracle(c *child) error {
	log, err := s.appendTo(c.name, s.path(c.name, "oracle.log"))
	if err != nil {
		return err
	}
	c.env = append(c.env, "TEKEND_SHIM_MODULE="+s.cmd.Module,
		"TEKEND_SHIM_ORACLE="+s.path(c.name, "oracle.log"), "TEKEND_SHIM_FAULTS="+s.path(c.name, "faults"))
	return log.Close()
}

// watch lets the spy write to D/<role>/spy.log, beside the role's own lines. A
// file that the spy opens itself is buffered until a call returns, and a kill
// inside C_Sign would hide that call; stderr is not buffered, so what goes into
// a call is in the file before the call is made.
func (s *sandbox) watch(c *child) error {
	log, err := s.appendTo(c.name, s.path(c.name, "spy.log"))
	if err != nil {
		return err
	}
	c.stderr = log
	c.env = append(c.env, "PKCS11SPY="+s.cmd.Module)
	return nil
}

// module is what a role loads: the token's module, or the spy or shim in front of it.
func (s *sandbox) module() string {
	switch {
	case s.cmd.Spy != "":
		return s.cmd.Spy
	case s.cmd.Shim != "":
		return s.cmd.Shim
	}
	return s.cmd.Module
}

// role writes a role's configuration file.
func (s *sandbox) role(name string, cfg any) error {
	b, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	return s.own(name, s.path(name, name+".yaml"), b)
}

func copyFile(to, from string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	tmp := to + ".new"
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return fmt.Errorf("copy: %w", err)
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(tmp, to)
}
