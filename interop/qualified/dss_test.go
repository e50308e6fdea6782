//go:build interop

// Package qualified is the stranger: he has a trusted list, what certificates
// point to, and tools of others (EU DSS, pyHanko, OpenSSL, pkilint), and says
// whether our signatures are qualified ones, today and after a revocation.
package qualified

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

// answer is what EU DSS says of one file with one list.
type answer struct {
	pass          bool   // QESIG, QTSA, and all that tekend.Demands asks for
	qualification string // of the signature
	indication    string // with its sub-indication
	stamp         string // qualification of the time-stamp
	revocation    string // what was known of the signing certificate, newest first
	errors        string // keys of the messages about the qualification
	warnings      string
	reasons       string
}

// question is a file that is judged with a list.
type question struct {
	name string
	list listFile
	file string
}

// listFile is a trusted list on disk and its signer's certificate.
type listFile struct{ xml, signer string }

// java runs one of our classes.
func java(t testing.TB, class string, args ...string) (string, error) {
	t.Helper()
	cmd := sandboxtest.Java(t, class, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatalf("EU DSS is missing: %v; run scripts/install test", err)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", class, err, stderr.String())
	}
	return string(out), err
}

// cases writes questions as both judges read them.
func cases(t testing.TB, questions []question, scheme string) string {
	t.Helper()
	var all strings.Builder
	for _, q := range questions {
		fmt.Fprintf(&all, "%s\t%s%s\t%s\t%s\n", q.name, scheme, q.list.xml, q.list.signer, q.file)
	}
	file := filepath.Join(t.TempDir(), "cases")
	write(t, file, []byte(all.String()))
	return file
}

// ask has all questions judged by one DSS process.
func ask(t testing.TB, questions []question) map[string]answer {
	t.Helper()
	out, err := java(t, "Qualified", "--cases", cases(t, questions, "file://"))
	all := map[string]answer{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 8 {
			t.Fatalf("EU DSS printed %q: %v", line, err)
		}
		errs, warnings, _ := strings.Cut(f[6], "|")
		all[f[0]] = answer{f[1] == "pass", f[2], f[3], f[4], f[5], errs, warnings, f[7]}
	}
	if len(all) != len(questions) {
		t.Fatalf("EU DSS judged %d of %d: %v", len(all), len(questions), err)
	}
	return all
}

// second is what pyHanko says of one file with one list.
type second struct {
	pass    bool   // a qualified signature with a qualified time-stamp
	result  string // of EN 319 102-1's process with time
	quality string // of certificate and time-stamp
	now     string // the signer's certificate at this moment: good, or what is wrong
	reasons string
}

// askPyHanko has all questions judged by one pyHanko process.
func askPyHanko(t testing.TB, questions []question) map[string]second {
	t.Helper()
	cmd := sandboxtest.Python(t, "stranger.py", "--cases", cases(t, questions, ""))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, _ := cmd.Output()
	all := map[string]second{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimRight(line, "\n"), "\t"); len(f) == 7 {
			all[f[0]] = second{f[1] == "pass", f[2], f[3], f[5], f[6]}
		}
	}
	if len(all) != len(questions) {
		t.Fatalf("pyHanko judged %d of %d; run scripts/install test, make judges\n%s\n%s", len(all), len(questions), out, stderr.String())
	}
	return all
}

// sandboxList makes a sandbox's own list, as `make trusted-list` does.
func sandboxList(t testing.TB, s *sandboxtest.Sandbox) listFile {
	t.Helper()
	if _, err := java(t, "TrustedList", "sandbox", s.Dir); err != nil {
		t.Fatal(err)
	}
	return listFile{filepath.Join(s.Dir, "pki/trusted-list.xml"), filepath.Join(s.Dir, "pki/trusted-list-signer.pem")}
}

// status is what a list says of a service since a moment.
type status struct {
	name  string // granted or withdrawn
	since time.Time
}

// service is an entry of a list; statuses newest first.
type service struct {
	kind, certificate, information string
	statuses                       []status
}

// list is a trusted list of a test.
type list struct {
	services []service
	version  int       // 6 when zero
	issued   time.Time // now when zero; it expires after 180 days
	stranger bool      // signed by somebody else than the published signer
}

// makeLists writes lists by name, all by one process.
func makeLists(t testing.TB, lists map[string]list) map[string]listFile {
	t.Helper()
	dir := t.TempDir()
	made := map[string]listFile{}
	var files []string
	for name, l := range lists {
		base := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		made[name] = listFile{base + ".xml", base + ".pem"}
		var p strings.Builder
		fmt.Fprintf(&p, "out=%s.xml\nsigner=%s.pem\n", base, base)
		if l.version != 0 {
			fmt.Fprintf(&p, "version=%d\n", l.version)
		}
		if !l.issued.IsZero() {
			fmt.Fprintf(&p, "issued=%s\n", stamp(l.issued))
		}
		if l.stranger {
			p.WriteString("signed_by=stranger\n")
		}
		for i, s := range l.services {
			fmt.Fprintf(&p, "service.%02d=%s %s %s", i, s.kind, s.certificate, orDash(s.information))
			for _, st := range s.statuses {
				fmt.Fprintf(&p, " %s@%s", st.name, stamp(st.since))
			}
			p.WriteByte('\n')
		}
		write(t, base+".properties", []byte(p.String()))
		files = append(files, base+".properties")
	}
	if _, err := java(t, "TrustedList", files...); err != nil {
		t.Fatal(err)
	}
	return made
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
