package policy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"tekend/policy"
)

func templates(t *testing.T) *policy.Library {
	t.Helper()
	l, err := policy.Templates()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A published text never changes: whoever edits one must make a new version instead. A new file gets its line here.
func TestPublishedTextsNeverChange(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, d := range templates(t).All() {
		have = append(have, hex.EncodeToString(d.SHA256)+"  "+d.Version+"/"+d.Kind+"-"+d.Lang+".txt\n")
	}
	slices.SortFunc(have, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	if got := strings.Join(have, ""); got != string(want) {
		t.Errorf("the texts are not those of testdata/SHA256SUMS; they are:\n%s", got)
	}
}

func TestAddressHoldsTheDigestOfTheText(t *testing.T) {
	l := templates(t)
	for _, d := range l.All() {
		sum := sha256.Sum256(d.Text)
		if !bytes.Equal(sum[:], d.SHA256) || d.Path != policy.Base+hex.EncodeToString(sum[:])+"/"+d.Kind+"-"+d.Lang+".txt" {
			t.Errorf("%s %s %s: digest or path is not of the text", d.Kind, d.Version, d.Lang)
		}
		digest, file := filepath.Split(strings.TrimPrefix(d.Path, policy.Base))
		digest = strings.TrimSuffix(digest, "/")
		if got, err := l.At(digest, file); err != nil || !bytes.Equal(got.Text, d.Text) {
			t.Errorf("At(%s, %s): %v", digest, file, err)
		}
		if _, err := l.At(digest, "cps-xx.txt"); !errors.Is(err, policy.ErrUnknown) {
			t.Errorf("a digest under another name: %v", err)
		}
		if _, err := l.At(strings.ToUpper(digest), file); !errors.Is(err, policy.ErrUnknown) {
			t.Errorf("a digest in capitals has an address of its own: %v", err)
		}
	}
}

// number is anything with a digit in it: sections, clauses, periods, object identifiers, RFCs.
var number = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)*`)

// section is the number before a heading or a paragraph.
var section = regexp.MustCompile(`(?m)^([0-9]+\.(?:[0-9]+)?) `)

// The languages say the same: each section is there in each, with the same numbers in it.
func TestLanguagesSayTheSame(t *testing.T) {
	for _, kind := range []string{policy.CPS, policy.PDS, policy.TSADisclosure} {
		want := numbers(t, kind, "en")
		if len(want) < 10 {
			t.Errorf("%s has %d sections only", kind, len(want))
		}
		for _, lang := range policy.Languages() {
			have := numbers(t, kind, lang)
			if len(have) != len(want) {
				t.Errorf("%s %s has %d sections, en has %d", kind, lang, len(have), len(want))
			}
			for name, list := range want {
				if !slices.Equal(have[name], list) {
					t.Errorf("%s %s section %q has the numbers %v, en has %v", kind, lang, name, have[name], list)
				}
			}
		}
	}
}

func numbers(t *testing.T, kind, lang string) map[string][]string {
	t.Helper()
	d, err := policy.InForce(kind, lang)
	if err != nil {
		t.Fatal(err)
	}
	text := string(d.Text)
	all := map[string][]string{}
	starts := section.FindAllStringSubmatchIndex(text, -1)
	for i, at := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		list := number.FindAllString(text[at[0]:end], -1)
		slices.Sort(list)
		all[text[at[2]:at[3]]] = list
	}
	return all
}

// No text of the sandbox may be taken for one of a qualified service.
func TestEachTextSaysFirstThatItIsASandbox(t *testing.T) {
	words := map[string]string{"en": "THIS IS A SANDBOX", "nl": "DIT IS EEN SANDBOX", "fr": "CECI EST UN BAC À SABLE", "de": "DIES IST EINE SANDBOX"}
	for _, kind := range []string{policy.CPS, policy.PDS, policy.TSADisclosure} {
		for _, lang := range policy.Languages() {
			d, err := policy.InForce(kind, lang)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitN(string(d.Text), "\n", 4)
			if !strings.Contains(lines[0], d.Version) || !strings.HasPrefix(lines[2], words[lang]) {
				t.Errorf("%s %s begins with %q", kind, lang, lines[:3])
			}
		}
	}
}

// The sections that the standards list, in English: EN 319 411-1 annex A, EN 319 421 annex B.
func TestDisclosureStatementsHaveTheirSections(t *testing.T) {
	for kind, list := range map[string][]string{
		policy.PDS: {"1. Contact", "2. Certificates, how they are verified and used", "3. Limits of reliance", "4. Duties of subscribers",
			"5. Duties of relying parties: check the status", "6. Warranty and liability", "7. Agreements and statements that apply",
			"8. Privacy", "9. Refunds", "10. Law, complaints, disputes", "11. Licences, trust marks, audit"},
		policy.TSADisclosure: {"1. Agreement", "2. Contact", "3. Time-stamps and their use", "4. Limits of reliance", "5. Duties of subscribers",
			"6. Duties of relying parties: check the status of the unit's certificate", "7. Warranty and liability",
			"8. Agreements and practice statement that apply", "9. Privacy", "10. Refunds", "11. Law, complaints, disputes", "12. Licences, trust marks, audit"},
	} {
		d, err := policy.InForce(kind, "en")
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for line := range strings.Lines(string(d.Text)) {
			if section.MatchString(line) {
				have = append(have, strings.TrimSpace(line))
			}
		}
		if !slices.Equal(have, list) {
			t.Errorf("%s has the sections %q", kind, have)
		}
	}
}

func TestTermsHaveEachLanguage(t *testing.T) {
	d, err := policy.InForce(policy.Terms, "fr")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[int]bool{}
	for _, lang := range policy.Languages() {
		_, rest, ok := strings.Cut(string(d.Text), "== "+lang+" ==\n")
		if !ok {
			t.Errorf("the terms lack %s", lang)
		}
		part, _, _ := strings.Cut(rest, "\n== ")
		counts[strings.Count(strings.TrimSpace(part), "\n\n")] = true
	}
	if len(counts) != 1 {
		t.Errorf("the terms have different numbers of paragraphs: %v", counts)
	}
	if old, err := templates(t).TermsOf("2026-11"); err != nil || !bytes.Contains(old.Text, []byte("version 2026-11\n")) {
		t.Errorf("the first terms are gone: %v", err)
	}
}

// library is a whole one, of one version; edit changes it.
func library(edit func(fstest.MapFS)) fstest.MapFS {
	m := fstest.MapFS{"2027-01/terms-mul.txt": {Data: []byte("terms")}}
	for _, kind := range []string{policy.CPS, policy.PDS, policy.TSADisclosure} {
		for _, lang := range policy.Languages() {
			m["2027-01/"+kind+"-"+lang+".txt"] = &fstest.MapFile{Data: []byte(kind + lang)}
		}
	}
	edit(m)
	return m
}

func TestLoadRefuses(t *testing.T) {
	for name, edit := range map[string]func(fstest.MapFS){
		"a language missing":            func(m fstest.MapFS) { delete(m, "2027-01/pds-de.txt") },
		"a kind missing":                func(m fstest.MapFS) { delete(m, "2027-01/terms-mul.txt") },
		"a new version in one language": func(m fstest.MapFS) { m["2027-02/cps-en.txt"] = &fstest.MapFile{Data: []byte("x")} },
		"a stray file":                  func(m fstest.MapFS) { m["2027-01/notes.txt"] = &fstest.MapFile{Data: []byte("x")} },
		"a file outside a version":      func(m fstest.MapFS) { m["cps-en.txt"] = &fstest.MapFile{Data: []byte("x")} },
		"a version that is no date":     func(m fstest.MapFS) { m["new/cps-en.txt"] = &fstest.MapFile{Data: []byte("x")} },
		"terms in one language":         func(m fstest.MapFS) { m["2027-01/terms-en.txt"] = &fstest.MapFile{Data: []byte("x")} },
		"a practice statement in all":   func(m fstest.MapFS) { m["2027-01/cps-mul.txt"] = &fstest.MapFile{Data: []byte("x")} },
		"an empty text":                 func(m fstest.MapFS) { m["2027-01/cps-en.txt"] = &fstest.MapFile{} },
		"bytes that are no text":        func(m fstest.MapFS) { m["2027-01/cps-en.txt"] = &fstest.MapFile{Data: []byte{0xff}} },
		"a book":                        func(m fstest.MapFS) { m["2027-01/cps-en.txt"] = &fstest.MapFile{Data: make([]byte, 256<<10+1)} },
	} {
		if _, err := policy.Load(library(edit)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
	l, err := policy.Load(library(func(m fstest.MapFS) {
		for _, lang := range policy.Languages() {
			m["2026-12-31/cps-"+lang+".txt"] = &fstest.MapFile{Data: []byte("before " + lang)}
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := l.InForce(policy.CPS, "nl"); err != nil || d.Version != "2027-01" {
		t.Errorf("in force is %q %v", d.Version, err)
	}
	if all := l.All(); len(all) != 17 || all[0].Version != "2027-01" || all[4].Version != "2026-12-31" {
		t.Errorf("the list has %d documents, %v", len(all), all)
	}
}
