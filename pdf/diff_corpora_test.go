package pdf

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// diffReasons says why we and pyHanko see another level of change, by file and field. DSS has the same opinion as we, or a
// milder one, wherever we are milder than pyHanko.
var diffReasons = map[string]string{
	"09a8742c68cfd108.pdf Signature1":                                  "stricter: keys of a VRI dictionary have 40 digits, these have 64",
	"14b7f31cda8b6966.pdf Signature1":                                  "unknown: its ByteRange is not the gap of its dictionary any more, so there is no signed revision; OTHER for pyHanko",
	"6f63a31451c7c16d.pdf ENVELOPEID_924ED0CBBAD34947B69968B44C02BE17": "milder: a document time-stamp in an invisible field, which pyHanko takes for form filling; DSS sees no change",
	"8be8883955be1ff4.pdf Signature2":                                  "milder: pyHanko stops at the coverage of a linearized file, see reasons; DSS sees the form alone",
	"92d6daf686715954.pdf Signature1":                                  "milder: a document time-stamp in an invisible field, which pyHanko takes for form filling; DSS sees no change",
	"9b5dadd12b9223ab.pdf Sig1":                                        "unknown: ByteRange has two numbers, so there is no signed revision; OTHER for pyHanko",
	"d0bc13d63d2e2a3e.pdf Sig1":                                        "stricter: the stream is overridden in its place, in an appearance dictionary that is an object of its own; whether something else has that one is not looked for",
	"ff4bc55e7a4e5671.pdf Signature1":                                  "unknown: objects with a key twice; pyHanko takes the last",
	"ff4bc55e7a4e5671.pdf Signature2":                                  "unknown: objects with a key twice; pyHanko takes the last",
	"ff4bc55e7a4e5671.pdf Signature3":                                  "unknown: objects with a key twice; pyHanko takes the last",
	"ff4bc55e7a4e5671.pdf Signature4":                                  "unknown: objects with a key twice; pyHanko takes the last",
	"ff4bc55e7a4e5671.pdf Signature5":                                  "unknown: objects with a key twice; pyHanko takes the last",
	"ff4bc55e7a4e5671.pdf Signature6":                                  "unknown: ByteRange is not sound, so there is no signed revision",
}

// judged is what others say of one signature.
type judged struct {
	py, docMDP, flags string
	byPy, byDSS       bool
}

func TestDifferencesAgreeWithOtherJudges(t *testing.T) {
	files := corporaFiles(t)
	theirs := judgedDifferences(t)
	used := make(map[string]bool)
	levels := make(map[ChangeLevel]int)
	for _, name := range files {
		base := filepath.Base(name)
		doc := readFile(t, name)
		sigs, err := Signatures(bytes.NewReader(doc), int64(len(doc)), Budget{})
		if err != nil || len(sigs) == 0 {
			continue
		}
		var ends []int64
		for _, s := range sigs {
			ends = append(ends, s.RevisionEnd)
		}
		all, err := AllDifferences(bytes.NewReader(doc), int64(len(doc)), ends, Budget{})
		if err != nil {
			t.Errorf("%s: %v", base, err)
			continue
		}
		for i, s := range sigs {
			c, key := all[i], base+" "+s.FieldName
			levels[c.Level]++
			j, known := theirs[key]
			if !known || !j.byPy && !j.byDSS {
				continue
			}
			checkNotMilder(t, key, c, j)
			why, explained := diffReasons[key]
			used[key] = true
			if j.byPy && (c.Level.String() == strings.ToLower(j.py)) == explained {
				t.Errorf("%s: we say %v %v, pyHanko %s, DSS %q; reason: %q", key, c.Level, c.Reasons, j.py, j.flags, why)
			}
		}
	}
	for key := range diffReasons {
		if !used[key] {
			t.Errorf("%s has a reason, and is not there", key)
		}
	}
	t.Log(levels)
	if levels[ChangesNone] < 70 || levels[ChangesFormFilling] < 15 || levels[ChangesLTA] < 4 || levels[ChangesOther] < 12 {
		t.Error("the files are not those of the table")
	}
}

// checkNotMilder: our level is at least that of the mildest judge, and what both forbid we do not permit.
func checkNotMilder(t *testing.T, key string, c Changes, j judged) {
	t.Helper()
	level := func(s string) ChangeLevel {
		for l := ChangesNone; l <= ChangesOther; l++ {
			if l.String() == strings.ToLower(s) {
				return l
			}
		}
		t.Errorf("%s: a level %q", key, s)
		return ChangesUnknown
	}
	mildest := ChangesOther
	if j.byPy {
		mildest = min(mildest, level(j.py))
	}
	if j.byDSS {
		mildest = min(mildest, dssLevel(j.flags))
	}
	if c.Level != ChangesUnknown && c.Level < mildest {
		t.Errorf("%s: we say %v, the mildest judge %v", key, c.Level, mildest)
	}
	if c.Permitted && (c.Level == ChangesUnknown || c.Level == ChangesOther || mildest == ChangesOther || len(c.Reasons) > 0) {
		t.Errorf("%s: permitted, %v %v", key, c.Level, c.Reasons)
	}
}

// dssLevel reads the kinds of modification of DSS, which has no word for validation data.
func dssLevel(flags string) ChangeLevel {
	switch {
	case strings.Contains(flags, "undefinedChanges"), strings.Contains(flags, "pageDifference"), strings.Contains(flags, "dictionaryInconsistent"):
		return ChangesOther
	case strings.Contains(flags, "annotationChanges"):
		return ChangesAnnotations
	case strings.Contains(flags, "formChanges"):
		return ChangesFormFilling
	}
	return ChangesNone
}

func judgedDifferences(t *testing.T) map[string]judged {
	t.Helper()
	f, err := os.Open(filepath.Join(corpora, "verdicts.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := csv.NewReader(f)
	c.Comma, c.LazyQuotes = '\t', true
	rows, err := c.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	col := map[string]int{}
	for i, h := range rows[0] {
		col[h] = i
	}
	out := make(map[string]judged)
	for _, r := range rows[1:] {
		out[r[col["file"]]+" "+r[col["field"]]] = judged{
			py: r[col["py_modification"]], docMDP: r[col["py_docmdp_ok"]], flags: r[col["dss_flags"]],
			byPy: r[col["py_modification"]] != "", byDSS: r[col["dss_format"]] != "",
		}
	}
	return out
}
