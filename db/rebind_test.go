package db_test

import (
	"strings"
	"testing"

	"tekend/db"
)

func TestRebind(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT 1":                          "SELECT 1",
		"a = ? AND b = ?":                   "a = $1 AND b = $2",
		"'?' || ?":                          "'?' || $1",
		"'it''s ?' || ?":                    "'it''s ?' || $1",
		`"a?" = ?`:                          `"a?" = $1`,
		"? -- what?\n, ?":                   "$1 -- what?\n, $2",
		"? -- what?":                        "$1 -- what?",
		"? /* a? /* b? */ c? */ ?":          "$1 /* a? /* b? */ c? */ $2",
		`E'\'?' || ?`:                       `E'\'?' || $1`,
		"$$ ? $$ || ?":                      "$$ ? $$ || $1",
		"$f$ ? $$ ? $f$ || ?":               "$f$ ? $$ ? $f$ || $1",
		"$1 || ?":                           "$1 || $1",
		"'never ends ?":                     "'never ends ?",
		"/* never ends ?":                   "/* never ends ?",
		"(?,?,?,?,?,?,?,?,?,?)":             "($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)",
		"SELECT 'é?', ? FROM t WHERE é = ?": "SELECT 'é?', $1 FROM t WHERE é = $2",
	} {
		if got := db.Rebind(in); got != want {
			t.Errorf("%s\n became %s\n   want %s", in, got, want)
		}
	}
}

func FuzzRebind(f *testing.F) {
	for _, s := range []string{"a = ?", "'?'", "$$?$$", "$", "$x", "E'\\", "/*?*/", "--?", `"?"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := db.Rebind(query)
		if !strings.Contains(query, "?") && got != query {
			t.Errorf("%q became %q", query, got)
		}
		if strings.Count(got, "?") > strings.Count(query, "?") || len(got) < len(query) {
			t.Errorf("%q became %q", query, got)
		}
	})
}
