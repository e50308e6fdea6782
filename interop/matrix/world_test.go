//go:build interop

// Package matrix has what the running service signed judged by others: each document
// of testdata/pdf at each level with each algorithm, documents that are made by
// the thousand, and CAdES signatures of each form. What is of B-LT and B-LTA is
// judged without network.
package matrix

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tekend/interop/sandboxtest"
)

var (
	levels     = []string{"B-B", "B-T", "B-LT", "B-LTA"}
	algorithms = []string{"P-256", "P-384", "RSA-3072-PSS", "RSA-3072"}
)

// place is a sandbox with one kind of keys.
type place struct {
	algorithm string
	s         *sandboxtest.Sandbox
	root      string // path of root.pem
	pki       string // folder with certificates and CRLs
	address   string // where the same are published
	list      string // path of the trusted list without its ending
	bundle    string // path of every published certificate in one file
}

// places starts a sandbox for each kind of keys and has a trusted list made of each.
func places(t *testing.T) []*place {
	t.Helper()
	var list []*place
	args := []string{"sandbox"}
	for _, a := range algorithms {
		s := sandboxtest.Start(t, "--key-type", a)
		i := s.Info(t)
		p := &place{algorithm: a, s: s, root: i.RootPEM, pki: filepath.Join(s.Dir, "pki"), address: i.PKI}
		p.list = filepath.Join(p.pki, "trusted-list")
		p.bundle = filepath.Join(t.TempDir(), "certs.pem")
		var all []byte
		names, err := filepath.Glob(filepath.Join(p.pki, "*.pem"))
		if err != nil || len(names) < 3 {
			t.Fatalf("%d published certificates in %s: %v", len(names), p.pki, err)
		}
		for _, n := range names {
			all = append(all, read(t, n)...)
		}
		write(t, p.bundle, all)
		list, args = append(list, p), append(args, s.Dir)
	}
	if out, err := sandboxtest.Java(t, "TrustedList", args...).CombinedOutput(); err != nil {
		t.Fatalf("no trusted list: %v\n%s", err, out)
	}
	return list
}

// forms of a signature: in a PDF; CAdES beside a file, around it, and of a file
// of which the service gets the digest only.
const pades, detached, attached, digest = "pades", "detached", "attached", "digest"

// product is one signed PDF, or one CAdES signature.
type product struct {
	name   string // algorithm/level/file, of CAdES algorithm/level/form/file
	form   string
	base   string // path of what was signed
	file   string // path
	level  string
	algo   string
	at     *place
	broken bool // a control: every judge that looks must refuse it
}

// l is the level without "B-", as the other programs have it.
func (p product) l() string { return strings.TrimPrefix(p.level, "B-") }

// alone says whether the file must do without network.
func (p product) alone() bool { return strings.HasPrefix(p.level, "B-LT") }

// sign has the service sign documents, all of one level and algorithm with one
// confirmation.
func sign(t *testing.T, list []*place, documents []string, cells []cell) []product {
	t.Helper()
	var products []product
	dir := t.TempDir()
	for a, p := range list {
		for l, level := range levels {
			out := filepath.Join(dir, p.algorithm, level)
			if err := os.MkdirAll(out, 0o700); err != nil {
				t.Fatal(err)
			}
			var bases []string
			for _, c := range cells {
				if c[1] == l && c[2] == a {
					base := documents[c[0]]
					bases = append(bases, base)
					products = append(products, product{
						name: strings.Join([]string{p.algorithm, level, filepath.Base(base)}, "/"),
						form: pades, base: base, file: filepath.Join(out, filepath.Base(base)), level: level, algo: p.algorithm, at: p,
					})
				}
			}
			if len(bases) == 0 {
				continue
			}
			args := append([]string{"sign", "--person", "approve", "--level", level, "-o", out}, bases...)
			text, code := p.s.Tekend(t, args...)
			if code != 0 || strings.Count(text, "level "+level+"\n") != len(bases) {
				t.Fatalf("%d documents, %s, %s: exit %d\n%s", len(bases), level, p.algorithm, code, text)
			}
		}
	}
	return products
}

// controls are files that must be refused: without them nobody would notice a
// judge that accepts everything, or that has a network after all.
func controls(t *testing.T, products []product) []product {
	t.Helper()
	dir := t.TempDir()
	var made []product
	for _, form := range []string{pades, detached, attached, digest} {
		first := func(level string) (product, bool) {
			i := slices.IndexFunc(products, func(p product) bool { return p.form == form && p.level == level })
			return products[max(i, 0)], i >= 0
		}
		before := len(made)
		for _, level := range levels {
			if p, found := first(level); found {
				made = append(made, change(t, p, filepath.Join(dir, form+level)))
			}
		}
		if p, found := first("B-T"); found {
			p.name, p.level, p.broken = "not enough for "+p.name, "B-LT", true
			made = append(made, p)
		}
		if n := len(made) - before; n != 0 && n != len(levels)+1 {
			t.Fatalf("%d controls of form %s", n, form)
		}
	}
	return made
}

// change makes a product of which one byte is not what was signed; path is a
// place for it.
func change(t *testing.T, p product, path string) product {
	t.Helper()
	base := read(t, p.base)
	p.name, p.broken = "changed/"+p.name, true
	at, data := len(base)/2, base
	if p.form == pades || p.form == attached {
		data = read(t, p.file)
		at += max(bytes.Index(data, base), 0) // a PDF begins with what was signed
		p.file = path
	} else {
		p.base = path
	}
	data[at] ^= 1
	write(t, path, data)
	return p
}

// cut runs a command in a network of its own, in which there is nothing.
func cut(cmd *exec.Cmd) *exec.Cmd {
	args := []string{"-n"}
	if os.Getuid() != 0 {
		args = []string{"-rn"}
	}
	return exec.Command("unshare", append(append(args, "--"), cmd.Args...)...)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// table writes lines of columns to a file and gives its path.
func table(t *testing.T, rows [][]string) string {
	t.Helper()
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&b, strings.Join(r, "\t"))
	}
	path := filepath.Join(t.TempDir(), "cases")
	write(t, path, []byte(b.String()))
	return path
}
