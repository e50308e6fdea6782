package tekend_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestAssuranceNamesWhatExists: docs/assurance.md has its 25 items in order, each with a state, and each test and make
// target that it names exists.
func TestAssuranceNamesWhatExists(t *testing.T) {
	tests := map[string]bool{}
	named := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	for _, s := range sources(t) {
		if s.test {
			for _, m := range named.FindAllSubmatch(s.text, -1) {
				tests[string(m[1])] = true
			}
		}
	}
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	list := rows(t, filepath.Join("docs", "assurance.md"), "#", 25)
	if len(list) != 25 {
		t.Fatalf("%d items", len(list))
	}
	test, target := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`"), regexp.MustCompile("`make ([a-z-]+)")
	for i, row := range list {
		if row[0] != strconv.Itoa(i+1) {
			t.Errorf("item %d stands at %s", i+1, row[0])
		}
		if s := row[2]; s != "shown" && s != "in part" && s != "open" {
			t.Errorf("item %s: %q is no state", row[0], s)
		}
		text := strings.Join(row, " ")
		found := 0
		for _, m := range test.FindAllStringSubmatch(text, -1) {
			found++
			if !tests[m[1]] {
				t.Errorf("item %s: there is no %s", row[0], m[1])
			}
		}
		for _, m := range target.FindAllStringSubmatch(text, -1) {
			found++
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
				t.Errorf("item %s: there is no make %s", row[0], m[1])
			}
		}
		if found == 0 {
			t.Errorf("item %s names nothing that shows it", row[0])
		}
		if strings.Contains(text, "FIGURE") {
			t.Errorf("item %s has no figure", row[0])
		}
	}
}
