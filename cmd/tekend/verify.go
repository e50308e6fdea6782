package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"tekend/pdf"
	"tekend/revocation"
	"tekend/validate"
)

type verifyCmd struct {
	Files        []string `arg:"" name:"file" help:"Signed PDF files, or CMS signatures (.p7s, .p7m)." type:"path"`
	Detached     string   `help:"The file that a detached signature is about." type:"path" placeholder:"DATA"`
	Sandbox      string   `help:"Folder of a sandbox, for its root." default:".sandbox" type:"path" placeholder:"DIR"`
	Trust        string   `help:"PEM file with the roots to trust. Default: the sandbox's." type:"path" placeholder:"root.pem"`
	Offline      bool     `help:"Ask nobody: what a file does not prove by itself is not proven."`
	AllowPrivate bool     `help:"Ask addresses of this machine and of private networks too, when a certificate names them."`
	JSON         bool     `name:"json" help:"Print the whole report as JSON."`
}

// verdict is one file's report as it is printed with --json.
type verdict struct {
	File   string           `json:"file"`
	Report *validate.Report `json:"report"`
}

// Run prints a verdict for each file; exit code 0 only when all passed.
func (c *verifyCmd) Run(p *program) error {
	if c.Detached != "" && len(c.Files) != 1 {
		return usage("--detached goes with one signature")
	}
	roots, err := trustedRoots(c.Trust, c.Sandbox)
	if err != nil {
		return err
	}
	o := validate.Options{Roots: roots, At: p.now()}
	if !c.Offline {
		if o.Revocation, err = c.revocation(p); err != nil {
			return err
		}
	}
	var all []verdict
	passed := true
	for _, path := range c.Files {
		rep, err := c.file(p, path, o)
		if err != nil {
			return err
		}
		passed = passed && rep.Indication == validate.TotalPassed
		all = append(all, verdict{path, rep})
		if !c.JSON {
			printReport(p.stdout, path, rep)
		}
	}
	if c.JSON {
		enc := json.NewEncoder(p.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(all); err != nil {
			return err
		}
	}
	if !passed {
		return no("not every file is TOTAL_PASSED")
	}
	return nil
}

// revocation asks the addresses that certificates name. Those of a sandbox are on this machine.
func (c *verifyCmd) revocation(p *program) (*revocation.Collector, error) {
	var from revocation.Source = revocation.NewFetcher(revocation.FetcherConfig{AllowPrivate: c.AllowPrivate})
	if !c.AllowPrivate {
		s, err := findSandbox(c.Sandbox)
		if err != nil {
			return nil, err
		}
		if s != nil {
			from = &sandboxSource{others: from, own: revocation.NewFetcher(revocation.FetcherConfig{AllowPrivate: true}), hosts: hostsOf(s.Front, s.PKI)}
		}
	}
	return revocation.New(revocation.Config{Source: from, Now: p.now, Log: slog.New(slog.DiscardHandler)}), nil
}

// trustedRoots reads the roots in a file; without one, those of the sandbox in a folder.
func trustedRoots(path, sandbox string) (*x509.CertPool, error) {
	if path == "" {
		s, err := findSandbox(sandbox)
		if err != nil {
			return nil, err
		}
		if s == nil {
			return nil, usage("which roots are trusted? Give --trust root.pem")
		}
		path = s.RootPEM
	}
	return loadRoots(path)
}

// loadRoots reads PEM files of trust anchors.
func loadRoots(paths ...string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, path := range paths {
		if err := addRoots(pool, path); err != nil {
			return nil, err
		}
	}
	return pool, nil
}

func addRoots(pool *x509.CertPool, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return usage("read the trusted roots: %w", err)
	}
	n := 0
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return usage("%s: certificate %d cannot be read: %w", path, n+1, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return usage("%s holds no PEM certificate", path)
	}
	return nil
}

// file judges one file: a PDF, or a CMS signature when --detached is given or it begins like one.
func (c *verifyCmd) file(p *program, path string, o validate.Options) (*validate.Report, error) {
	f, info, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info.Size() > 64<<20 {
		fmt.Fprintf(p.stderr, "checking %s (%d MB)\n", path, info.Size()>>20)
	}
	var rep *validate.Report
	if c.Detached != "" || isDER(f) {
		rep, err = c.cms(p, f, info.Size(), o)
	} else {
		rep, err = validate.PDF(p.ctx, f, info.Size(), o)
	}
	if err != nil {
		if pe, ok := errors.AsType[*pdf.Error](err); ok {
			return nil, unreadable(path, pe)
		}
		return nil, usage("%s: %w", path, err)
	}
	return rep, nil
}

// isDER tells a CMS from a PDF: it begins with a SEQUENCE, which no PDF does.
func isDER(f io.ReaderAt) bool {
	var b [1]byte
	_, err := f.ReadAt(b[:], 0)
	return err == nil && b[0] == 0x30
}

func (c *verifyCmd) cms(p *program, sig io.ReaderAt, size int64, o validate.Options) (*validate.Report, error) {
	var data validate.Data
	if c.Detached != "" {
		f, info, err := openFile(c.Detached)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		data = validate.Data{Reader: f, Size: info.Size()}
	}
	return validate.CMS(p.ctx, sig, size, data, o)
}

// openFile opens a regular file. O_NONBLOCK: opening a named pipe would wait
// for a writer, and no signal ends that.
func openFile(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, usage("%w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		return f, info, nil
	}
	_ = f.Close()
	return nil, nil, usage("%s is not a file", path)
}

// unreadable says why a file cannot be read as a PDF.
func unreadable(path string, e *pdf.Error) error {
	why := e.Detail
	if why == "" {
		why = strings.ReplaceAll(e.Code, "_", " ")
	}
	return usage("%s: %s (%s)", path, why, e.Code)
}
