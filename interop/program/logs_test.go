//go:build interop

package program

import (
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// names are of the people who signed above, and what else tells who they are.
var names = []string{
	"Alice", "Peeters", "Simon", "Slots", "Renard", "Etienne", "Martens", "Nora", "Noël", "Čeněk", "Dvořák", "Suharti",
	"Bloks", "Claes", "Noncent", "Subers", "Ochtend", "Avond", "Ehrler", "Voorbeeldstraat",
}

// shapes are what a secret or a document looks like, whoever made it.
var shapes = map[string]*regexp.Regexp{
	"a JWT":             regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`),
	"an API key":        regexp.MustCompile(`tk_[A-Z2-7]{20,}`),
	"a document":        regexp.MustCompile(`%PDF-|startxref`),
	"a file name":       regexp.MustCompile(`(?i)\.pdf\b`),
	"an address":        regexp.MustCompile(`/sign/[A-Za-z0-9_-]{20,}|[?&](code|state)=[^&\s"]{8,}`),
	"an e-mail":         regexp.MustCompile(`[a-z.]+@example\.test`),
	"a telephone":       regexp.MustCompile(`\+3[12] ?[46][0-9]{8}`),
	"a birth date":      regexp.MustCompile(`\b19[5-9][0-9]-[01][0-9]-[0-3][0-9]\b`),
	"a national number": regexp.MustCompile(`\b[0-9]{6}997[0-9]{2}\b`), // of the sandbox's people: itsme/sandbox, nationalNumber
	"a private key":     regexp.MustCompile(`PRIVATE KEY`),
	"a query of SQL":    regexp.MustCompile(`(?i)\bINSERT INTO\b`),
	"a signing token":   regexp.MustCompile(`Bearer [A-Za-z0-9_]{8,}`),
}

// testLogs reads every log of every role after all of the above.
func (w *world) testLogs(t *testing.T) {
	w.collect(t)
	for _, fake := range []string{`x eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0. y`, "GET /sign/" + strings.Repeat("A", 43), "for Čeněk", "85010199723", w.flow.Key} {
		if len(w.leaks(fake)) == 0 {
			t.Fatalf("the scan does not see %q", fake)
		}
	}
	roles := []string{"front", "sam", "ca", "tsa", "itsme", "provider"}
	for _, role := range roles {
		b, err := os.ReadFile(filepath.Join(w.s.Dir, role, "log"))
		w.must(t, err)
		if role != "provider" && role != "itsme" && len(b) < 200 {
			t.Errorf("the log of %s has %d bytes: is this the log?", role, len(b))
		}
		seen := map[string]bool{}
		for line := range strings.Lines(string(b)) {
			for _, what := range w.leaks(line) {
				if !seen[what] {
					seen[what] = true
					t.Errorf("%s: %s in the log: %.400s", role, what, line)
				}
			}
		}
	}
	for _, what := range w.leaks(w.s.Output()) {
		t.Errorf("the launcher printed %s:\n%s", what, w.s.Output())
	}
	t.Logf("looked for %d secrets of this run, %d names and %d shapes", len(w.secret), len(names), len(shapes))
}

// leaks names what a text must not hold.
func (w *world) leaks(text string) []string {
	var all []string
	for secret, what := range w.secret {
		if strings.Contains(text, secret) {
			all = append(all, what)
		}
	}
	for _, n := range names {
		if strings.Contains(text, n) {
			all = append(all, "the name "+n)
		}
	}
	for what, shape := range shapes {
		if shape.MatchString(text) {
			all = append(all, what)
		}
	}
	return all
}

// collect finds the secrets that the tests have not met themselves: PINs, and
// what the databases hold of the flows of the command line.
func (w *world) collect(t *testing.T) {
	pins := 0
	w.must(t, filepath.WalkDir(w.s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.Name() == "pin" || d.Name() == "so-pin") {
			b, err := os.ReadFile(path)
			w.hide("a PIN", strings.TrimSpace(string(b)))
			pins++
			return err
		}
		return err
	}))
	if pins < 3 {
		t.Fatalf("%d PIN files", pins)
	}
	for _, q := range []struct{ file, what, query string }{
		{"front/front.db", "the address of a page", "SELECT token FROM requests"},
		{"sam/sam.db", "a code verifier", "SELECT verifier FROM questions"},
		{"sam/sam.db", "itsme's state", "SELECT state FROM questions"},
		{"sam/sam.db", "a session", "SELECT id FROM sessions"},
		{"sam/sam.db", "an ID token", "SELECT token FROM questions"},
		{"sam/sam.db", "a sub", "SELECT confirm_sub FROM links"},
		{"sam/sam.db", "a sub", "SELECT ident_sub FROM links"},
	} {
		if n := w.collectFrom(t, q.file, q.what, q.query); n < 5 {
			t.Errorf("%s: %d rows", q.query, n)
		}
	}
}

func (w *world) collectFrom(t *testing.T, file, what, query string) int {
	t.Helper()
	values := w.column(t, file, query)
	w.hide(what, values...)
	return len(values)
}

// column reads texts of a role's database.
func (w *world) column(t *testing.T, file, query string) (values []string) {
	t.Helper()
	d, err := sql.Open("sqlite", "file:"+filepath.Join(w.s.Dir, file)+"?mode=ro&_pragma=busy_timeout(5000)")
	w.must(t, err)
	defer func() { _ = d.Close() }()
	rows, err := d.Query(query)
	w.must(t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v string
		w.must(t, rows.Scan(&v))
		values = append(values, v)
	}
	w.must(t, rows.Err())
	return values
}
