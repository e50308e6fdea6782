package pdf

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tekend/pdf/pdftest"
)

// maker signs with what looks like DER; package validate runs the same attacks with signatures.
var maker = pdftest.Maker{Reserve: 24, Time: signingTime, Sign: func([]byte) ([]byte, error) { return hex.DecodeString(fakeCMS) }}

func structureAttacks() []pdftest.Attack {
	all, err := maker.Attacks()
	if err != nil {
		return nil
	}
	return all
}

// TestAttacksAreRefused: each attack of ades §10.4 that concerns the structure is refused, and by what should refuse it.
func TestAttacksAreRefused(t *testing.T) {
	all := structureAttacks()
	if len(all) < 100 {
		t.Fatalf("%d attacks", len(all))
	}
	for _, a := range all {
		t.Run(a.Name, func(t *testing.T) {
			r, size := bytes.NewReader(a.PDF), int64(len(a.PDF))
			sigs, err := Signatures(r, size, Budget{})
			if a.Refused != "" || err != nil {
				if code(err) != a.Refused {
					t.Errorf("%v, want %q", err, a.Refused)
				}
				return
			}
			if len(sigs) == 0 {
				t.Fatal("no signature")
			}
			if a.Problem != "" {
				if !slices.ContainsFunc(sigs, func(s Signature) bool { return s.Has(a.Problem) }) {
					for _, s := range sigs {
						t.Errorf("%s: problems %v, want %s", s.FieldName, s.Problems, a.Problem)
					}
				}
				return
			}
			i := slices.IndexFunc(sigs, func(s Signature) bool { return s.FieldName == a.Field })
			for _, p := range sigs[i].Problems {
				t.Errorf("a problem already: %v", p)
			}
			c, err := Differences(r, size, sigs[i].RevisionEnd, Budget{})
			if err != nil || c.Permitted || !slices.Contains(c.Reasons, a.Reason) {
				t.Errorf("%+v %v, want %q", c, err, a.Reason)
			}
		})
	}
}

// TestSoundDocumentIsNotRefused: what the attacks are made of is sound, and the same with what is allowed later.
func TestSoundDocumentIsNotRefused(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	check := func(doc []byte, want ...ChangeLevel) {
		t.Helper()
		sigs, all := differences(t, doc)
		if len(sigs) != len(want) {
			t.Fatalf("%d signatures", len(sigs))
		}
		for i, c := range all {
			if len(sigs[i].Problems) > 0 || c.Level != want[i] || !c.Permitted || len(c.Reasons) > 0 {
				t.Errorf("%s: %v %+v, want %v", sigs[i].FieldName, sigs[i].Problems, c, want[i])
			}
		}
	}
	check(sound, ChangesNone)
	for _, more := range []string{"\n", " ", "\x00\x00", " \r\n\n"} {
		if _, all := differences(t, append(bytes.Clone(sound), more...)); all[0].Permitted || !slices.Contains(all[0].Reasons, reasonBytesBehindEOF) {
			t.Errorf("%q behind the end: %+v", more, all[0])
		}
	}
	_, whole := prepareBytes(t, sound, options())
	check(whole, ChangesFormFilling, ChangesNone)
	for p, want := range []ChangeLevel{1: ChangesLTA, 2: ChangesFormFilling, 3: ChangesFormFilling} {
		if p == 0 {
			continue
		}
		doc, err := maker.Certified(p)
		if err != nil {
			t.Fatal(err)
		}
		check(doc, ChangesNone)
		up, err := AddDSS(bytes.NewReader(doc), int64(len(doc)), someMaterial(1), Budget{})
		if err != nil {
			t.Fatal(err)
		}
		check(slices.Concat(doc, up), ChangesLTA)
		if want > ChangesLTA {
			_, whole := prepareBytes(t, doc, options())
			check(whole, want, ChangesNone)
		}
	}
}

// attacksReadme tells how each file was made.
func attacksReadme() string {
	var s strings.Builder
	s.WriteString("# Attacks on signed PDFs\n\nMade by `pdf/pdftest` (`go test ./pdf -run Testdata -update`) of one small document: a page with text, a drawing, a text field and two " +
		"signature fields, of which one is signed. Here the\nCMS is only the shortest DER; `validate.TestAttacks` makes the same files with real signatures. " +
		"`refused by`: the code with which the document is not opened, a problem of a\nsignature, or a reason of the comparison (docs/decisions/0029-differences.md).\n")
	row := ""
	for _, a := range structureAttacks() {
		if a.Row != row {
			row = a.Row
			fmt.Fprintf(&s, "\n## %s\n\n| file | how | refused by |\n|---|---|---|\n", row)
		}
		fmt.Fprintf(&s, "| `%s.pdf` | %s | `%s` |\n", a.Name, a.How, a.Refused+a.Problem+a.Reason)
	}
	return s.String()
}

func TestAttacksReadmeIsCurrent(t *testing.T) {
	const name = "testdata/attacks/README.md"
	text := attacksReadme()
	if *updateTestdata {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != text {
		t.Errorf("%s: %v; go test ./pdf -run 'Testdata|Readme' -update", name, err)
	}
}
