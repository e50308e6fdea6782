package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tekend/pdf"
)

// prepared is a document that waits for its signature.
func prepared(t *testing.T) []byte {
	t.Helper()
	doc, err := os.ReadFile("../../testdata/pdf/pdftex-1.4-classic.pdf")
	if err != nil {
		t.Fatal(err)
	}
	p, err := pdf.Prepare(bytes.NewReader(doc), int64(len(doc)), pdf.Options{SignatureTime: time.Unix(1<<30, 0), Reserve: 100})
	if err != nil {
		t.Fatal(err)
	}
	return append(doc, p.Update...)
}

func codeOf(t *testing.T, doc []byte) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "document-1.pdf")
	if err := os.WriteFile(path, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := checkcodeCmd{Files: []string{path}}
	err := c.Run(&program{stdout: &out, stderr: &bytes.Buffer{}})
	return out.String(), err
}

// TestCheckCodeOfMoreThanIsSigned: with an owned front, a person could be given
// the prepared document and a revision behind it that shows another text. It
// had the check code of the first.
func TestCheckCodeOfMoreThanIsSigned(t *testing.T) {
	doc := prepared(t)
	if code, err := codeOf(t, doc); err != nil || code == "" {
		t.Fatal(code, err)
	}
	end := bytes.LastIndex(doc, []byte("startxref\n"))
	var start int
	if _, err := fmt.Sscanf(string(doc[end:]), "startxref\n%d", &start); err != nil {
		t.Fatal(err)
	}
	trailer := string(doc[bytes.LastIndex(doc, []byte("trailer\n<<"))+len("trailer\n<<") : end])
	root := trailer[strings.Index(trailer, "/Root"):]
	size := trailer[strings.Index(trailer, "/Size"):strings.Index(trailer, "/Prev")]
	update := fmt.Sprintf("xref\n0 0\ntrailer\n<<%s/Prev %d%sstartxref\n%d\n%%%%EOF\n", size, start, root, len(doc))
	code, err := codeOf(t, append(bytes.Clone(doc), update...))
	if err == nil || !strings.Contains(err.Error(), "whole file") {
		t.Errorf("%q %v", code, err)
	}
	// Bytes in the space of the signature that are not its own.
	if code, err = codeOf(t, append(bytes.Clone(doc), '\n', '\n')); err == nil {
		t.Errorf("%q for a file with more behind the range", code)
	}
}

// TestCheckCodeByTheDigestOfTheKey: a document prepared for a P-384 key has another code, which its person sees.
func TestCheckCodeByTheDigestOfTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "document-1.pdf")
	if err := os.WriteFile(path, prepared(t), 0o600); err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, alg := range []string{"", "SHA-256", "SHA-384"} {
		var out bytes.Buffer
		if err := (&checkcodeCmd{Files: []string{path}, Digest: alg}).Run(&program{stdout: &out, stderr: &bytes.Buffer{}}); err != nil {
			t.Fatal(err)
		}
		codes[out.String()] = true
	}
	if len(codes) != 2 {
		t.Errorf("%d codes: %v", len(codes), codes)
	}
}

// TestAPipeIsNotWaitedFor: opening a named pipe would wait for ever.
func TestAPipeIsNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, t.TempDir(), "/dev/zero"} {
		err := (&checkcodeCmd{Files: []string{path}}).Run(&program{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}})
		if e, ok := errors.AsType[*exitError](err); !ok || e.code != exitUsage || !strings.Contains(err.Error(), "is not a file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
