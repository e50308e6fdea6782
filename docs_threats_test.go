package tekend_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThreatsNameWhatExists: docs/threats.md has a row for each threat and each fault of the reliability programme, in
// order; each test that it names exists in its package; and a row without a test says why it is open.
func TestThreatsNameWhatExists(t *testing.T) {
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		pkg := s.pkg
		if pkg == "." {
			pkg = "tekend"
		}
		for _, m := range declared.FindAllSubmatch(s.text, -1) {
			tests[pkg+"."+string(m[1])] = true
		}
	}
	var want []string
	for i := range 52 {
		want = append(want, fmt.Sprint(i+1))
	}
	for i := range 42 {
		want = append(want, fmt.Sprint("F", i+1))
	}
	list := rows(t, filepath.Join("docs", "threats.md"), "#", len(want))
	if len(list) != len(want) {
		t.Fatalf("%d rows instead of %d", len(list), len(want))
	}
	open := regexp.MustCompile(`^open: .`)
	for i, row := range list {
		if row[0] != want[i] || len(row) != 4 || len(row[1]) < 5 {
			t.Errorf("row %d is %v, and should be that of %s", i+1, row, want[i])
			continue
		}
		named := quoted(row[2])
		for _, name := range named {
			if !tests[name] {
				t.Errorf("%s: there is no %s", row[0], name)
			}
		}
		if len(named) == 0 && !open.MatchString(row[3]) {
			t.Errorf("%s has no test and does not say why it is open", row[0])
		}
		if strings.Contains(row[2], "Test") && len(named) == 0 {
			t.Errorf("%s names tests outside backticks", row[0])
		}
	}
}
