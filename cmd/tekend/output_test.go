package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

func exitOf(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return 0
}

// errDisk is how a disk fails.
var errDisk = errors.New("input/output error")

// TestResultsAreWholeOrNotThere: whatever ends the writing, the file that was there stays and nothing lies beside it.
func TestResultsAreWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "signed.pdf")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	half := io.MultiReader(strings.NewReader("new"), iotest.ErrReader(errDisk))
	err := writeWhole(path, half)
	if exitOf(err) != exitUsage || strings.Contains(err.Error(), "download") {
		t.Errorf("a disk that fails: %d %v", exitOf(err), err)
	}
	err = writeWhole(path, received{iotest.ErrReader(errDisk)})
	if exitOf(err) != exitUnreachable || !strings.Contains(err.Error(), "download") {
		t.Errorf("a download that breaks off: %d %v", exitOf(err), err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "old" {
		t.Errorf("%q %v", b, err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("%v %v", all, err)
	}
	if err := writeWhole(path, received{strings.NewReader("new")}); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "new" {
		t.Errorf("%q %v", b, err)
	}
}

// TestResultsAreForWhomTheUmaskSays: what must not leave its owner must not be left for all users of the machine.
func TestResultsAreForWhomTheUmaskSays(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "signed.pdf")
	if err := writeWhole(path, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestADeviceIsNotReplaced: for root a rename would. A named pipe stands for /dev/null here.
func TestADeviceIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeWhole(path, strings.NewReader("x")); exitOf(err) != exitUsage {
		t.Error(err)
	}
	if _, err := (&signCmd{Out: path}).targets(); exitOf(err) != exitUsage || !strings.Contains(err.Error(), "-o") {
		t.Errorf("before signing: %v", err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestWhatWasThereIsNotLostToAResult: by whichever name the same file is reached.
func TestWhatWasThereIsNotLostToAResult(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	if err := errors.Join(os.Symlink(dir, link), os.Link(file, hard)); err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(dir, "job.json") // not there yet
	for name, c := range map[string]*signCmd{
		"the file itself":           {Files: []string{file}, Out: file, Format: "cades"},
		"through a link":            {Files: []string{file}, Out: filepath.Join(link, "notes.txt")},
		"by another name":           {Files: []string{file}, Out: hard},
		"in its folder":             {Files: []string{file}, Out: dir, Format: "pades"},
		"the job":                   {Files: []string{file}, Out: job, Job: job},
		"the job through a link":    {Files: []string{file}, Out: filepath.Join(link, "job.json"), Job: job},
		"the signer":                {Files: []string{file}, Out: job, Keep: job},
		"a file lost to the signer": {Files: []string{file}, Out: filepath.Join(dir, "new"), Keep: file},
	} {
		if _, err := c.targets(); exitOf(err) != exitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := &signCmd{Files: []string{file}, Out: dir, Format: "cades", Job: job}
	if all, err := c.targets(); err != nil || len(all) != 1 || all[0] != file+".p7s" {
		t.Errorf("%v %v", all, err)
	}
}

// TestNamesThatTheServiceChose: none of them is a file of ours, hides, or leads out of the folder.
func TestNamesThatTheServiceChose(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.pdf"), []byte("ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	var r signatureRequest
	for _, name := range []string{"a.pdf", "a.pdf", "../../b.pdf", ".bashrc", "Makefile", ".pdf", "x\x1b[2K.pdf", "a.pdf/.."} {
		r.Documents = append(r.Documents, struct {
			Name  string `json:"name"`
			Level string `json:"level"`
		}{Name: name})
	}
	var got []string
	for _, path := range (&signCmd{Out: dir}).named(&r) {
		if filepath.Dir(path) != dir {
			t.Errorf("%s", path)
		}
		got = append(got, filepath.Base(path))
	}
	const want = "a-2.pdf a-3.pdf b.pdf document-4.pdf document-5.pdf document-6.pdf document-7.pdf document-8.pdf"
	if strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
}

// TestASecretIsForItsOwnerAlone: also in the place of a file that others could read.
func TestASecretIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signer.json")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeBytes(path, []byte("x"), modeSecret, os.Link); exitOf(err) != exitUsage {
		t.Errorf("what is there is kept when it must be: %v", err)
	}
	if err := writeBytes(path, []byte("x"), modeSecret, os.Rename); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestTheServiceWritesNoLinesOfItsOwn: its texts are anybody's.
func TestTheServiceWritesNoLinesOfItsOwn(t *testing.T) {
	text := problem{Detail: "no\x1b[2K\r\nsigned: contract.pdf", Code: "x\n"}.String()
	if strings.ContainsAny(text, "\x1b\r\n") {
		t.Errorf("%q", text)
	}
	var out bytes.Buffer
	if err := (&signCmd{}).answer(&program{stdout: &out}, nil, "http://x/\x1b[2K\nsigned: contract.pdf"); err != nil || strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%q %v", out.String(), err)
	}
}
