package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"tekend/pdf"
	"tekend/validate"
)

type verifyCmd struct {
	Files   []string `arg:"" name:"file" help:"Signed PDF files." type:"path"`
	Sandbox string   `help:"Folder of a sandbox, for its root." default:".sandbox" type:"path" placeholder:"DIR"`
	Trust   string   `help:"PEM file with the roots to trust. Default: the sandbox's." type:"path" placeholder:"root.pem"`
	JSON    bool     `name:"json" help:"Print the whole report as JSON."`
}

// verdict is one file's report as it is printed with --json.
type verdict struct {
	File   string           `json:"file"`
	Report *validate.Report `json:"report"`
}

// Run prints a verdict for each file; exit code 0 only when all passed.
func (c *verifyCmd) Run(p *program) error {
	roots, err := c.roots()
	if err != nil {
		return err
	}
	var all []verdict
	passed := true
	for _, path := range c.Files {
		rep, err := verifyFile(p, path, roots)
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

func (c *verifyCmd) roots() (*x509.CertPool, error) {
	path := c.Trust
	if path == "" {
		s, err := findSandbox(c.Sandbox)
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

func verifyFile(p *program, path string, roots *x509.CertPool) (*validate.Report, error) {
	f, info, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info.Size() > 64<<20 {
		fmt.Fprintf(p.stderr, "checking %s (%d MB)\n", path, info.Size()>>20)
	}
	rep, err := validate.PDF(p.ctx, f, info.Size(), validate.Options{Roots: roots, At: p.now(), NoRevocation: true})
	if err != nil {
		if pe, ok := errors.AsType[*pdf.Error](err); ok {
			return nil, unreadable(path, pe)
		}
		return nil, usage("%s: %w", path, err)
	}
	return rep, nil
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

func printReport(w io.Writer, path string, rep *validate.Report) {
	fmt.Fprintf(w, "%s: %s", oneLine(path), rep.Indication)
	if rep.SubIndication != "" {
		fmt.Fprintf(w, " (%s)", rep.SubIndication)
	}
	fmt.Fprintln(w)
	for _, r := range rep.Reasons {
		fmt.Fprintln(w, "  ", oneLine(r))
	}
	for _, s := range rep.Signatures {
		fmt.Fprintf(w, "  %s: %s", oneLine(s.FieldName), s.Indication)
		if s.SubIndication != "" {
			fmt.Fprintf(w, " (%s)", s.SubIndication)
		}
		fmt.Fprintf(w, "\n    signed by  %s\n    level      %s\n", oneLine(s.Signer), s.Level)
		if !s.BestTime.IsZero() {
			fmt.Fprintf(w, "    best time  %s\n", s.BestTime.UTC().Format(time.RFC3339))
		}
		fmt.Fprintf(w, "    coverage   %s\n", coverage(s))
		for _, r := range s.Reasons {
			fmt.Fprintln(w, "    -", oneLine(r))
		}
	}
}

// oneLine shows text of the document or of a certificate as text: nothing in
// it may end the line, move the cursor or change the direction, and so write a
// verdict of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Z, r) && r != ' ' {
			return '\uFFFD'
		}
		return r
	}, s)
}

func coverage(s validate.SignatureReport) string {
	switch {
	case s.LaterChanges:
		return "the document was changed after this signature"
	case s.CoversWholeFile:
		return "the whole file"
	}
	return strings.ToUpper("not the whole file")
}
