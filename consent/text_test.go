package consent_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"pgregory.net/rapid"

	"tekend/consent"
)

func TestTexts(t *testing.T) {
	one := vectorDocs()[:1]
	for lang, want := range map[string]string{
		"en": "<b>Sign 1 document</b><br>1. Contract.pdf<br>Check code: <b>c</b>",
		"nl": "<b>Onderteken 1 document</b><br>1. Contract.pdf<br>Controlecode: <b>c</b>",
	} {
		if got, err := consent.SignText(lang, one, "c", ""); err != nil || got != want {
			t.Errorf("%s: %q %v", lang, got, err)
		}
		got, err := consent.EnrolText(lang, application())
		if err != nil || !strings.Contains(got, "2026-1") || !strings.HasPrefix(got, "<b>") {
			t.Errorf("%s: %q %v", lang, got, err)
		}
	}
	for _, lang := range []string{"fr", "de", "", "EN"} {
		if _, err := consent.SignText(lang, one, "c", ""); err == nil {
			t.Errorf("%q: accepted", lang)
		}
	}
	if _, err := consent.SignText("en", nil, "c", ""); err == nil {
		t.Error("no document was accepted")
	}
	if _, err := consent.SignText("en", vectorDocs(), strings.Repeat("c", consent.MaxText), ""); err == nil {
		t.Error("a text that is too long was accepted")
	}
}

func docsWith(n int, label string) []consent.Doc {
	many := make([]consent.Doc, n)
	for i := range many {
		many[i] = consent.Doc{Alg: "SHA-256", Doc: digest(fmt.Sprint(i)), DTBS: digest(fmt.Sprint("dtbs", i)), Label: label}
	}
	return many
}

// TestListsThatDoNotFitSayHowManyMore: whatever the number and the length of
// the labels, the text is at most 7500 characters of both ISO sets, names the
// first documents, and says how many it does not name.
func TestListsThatDoNotFitSayHowManyMore(t *testing.T) {
	shortened := 0
	for _, lang := range []string{"en", "nl"} {
		for _, length := range []int{1, 20, 37, consent.MaxLabel} {
			for n := 1; n <= consent.MaxDocs; n++ {
				text, err := consent.SignText(lang, docsWith(n, strings.Repeat("é", length)), vectorCode, "")
				if err != nil || utf8.RuneCountInString(text) > consent.MaxText {
					t.Fatalf("%s, %d labels of %d: %d characters, %v", lang, n, length, utf8.RuneCountInString(text), err)
				}
				if _, err := charmap.ISO8859_15.NewEncoder().String(text); err != nil {
					t.Fatal(err)
				}
				shown := strings.Count(text, "<br>") - 1
				if i := strings.Index(text, "<i>"); i >= 0 {
					shortened++
					shown--
					var more int
					if _, err := fmt.Sscanf(regexp.MustCompile("[0-9]+").FindString(text[i:]), "%d", &more); err != nil || more+shown != n {
						t.Fatalf("%s: %d shown and %d more of %d", lang, shown, more, n)
					}
					// One more label would not have fitted.
					if utf8.RuneCountInString(text)+length+9 <= consent.MaxText {
						t.Fatalf("%d of %d labels of %d leave %d characters", shown, n, length, consent.MaxText-utf8.RuneCountInString(text))
					}
				} else if shown != n {
					t.Fatalf("%d shown of %d", shown, n)
				}
				if !strings.Contains(text, fmt.Sprintf("<br>%d. é", shown)) || !strings.HasSuffix(text, "<b>"+vectorCode+"</b>") {
					t.Fatalf("%q", text)
				}
			}
		}
	}
	if shortened == 0 {
		t.Error("no text was shortened")
	}
	if _, err := consent.SignText("en", docsWith(consent.MaxDocs+1, "x"), "c", ""); err == nil {
		t.Error("251 documents were accepted")
	}
}

// TestTheLargestManifestFits: 250 hashes by SHA-512, every character of two bytes.
func TestTheLargestManifestFits(t *testing.T) {
	for _, letter := range []string{"é", `"`, `\`} {
		m := vector()
		m.Docs = docsWith(consent.MaxDocs, strings.Repeat(letter, consent.MaxLabel))
		for i := range m.Docs {
			m.Docs[i].Alg, m.Docs[i].Doc, m.Docs[i].DTBS, m.Docs[i].Origin = consent.SHA512, long("doc"), long("dtbs"), consent.OriginHash
		}
		m.Root = got(t)(consent.Root(m.Docs))
		m.Template.Text = got(t)(consent.SignText("en", m.Docs, vectorCode, ""))
		b, err := m.Encode()
		if err != nil || len(b) < consent.MaxManifest*3/4 {
			t.Errorf("%s: %d bytes %v", letter, len(b), err)
		}
		if _, err := consent.DecodeManifest(b); err != nil {
			t.Error(err)
		}
	}
}

func got(t *testing.T) func(string, error) string {
	return func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestLabels(t *testing.T) {
	for in, want := range map[string]string{
		"Contract.pdf":                              "Contract.pdf",
		"cafe\u0301.pdf":                            "caf\u00e9.pdf",
		"“Lease” – it’s….pdf":                       `"Lease" - it's....pdf`,
		"a\u00a0b  c":                               "a b c",
		"100 €.pdf":                                 "100 EUR.pdf",
		"<br><b>Pay & run</b>":                      "brbPay run/b",
		"a\x00b\nc\u0085d\u00ad":                    "abcd",
		"  x  ":                                     "x",
		strings.Repeat("é", 60):                     strings.Repeat("é", 60),
		strings.Repeat("é", 61):                     strings.Repeat("é", 41) + "..." + strings.Repeat("é", 16),
		strings.Repeat("x", 90) + " 2026-final.pdf": strings.Repeat("x", 41) + "...x 2026-final.pdf",

		"Účtenka č. 5.pdf": "Úctenka c. 5.pdf", "Œuvre łódź.pdf": "OEuvre lódz.pdf", "Žena & děti.pdf": "Zena deti.pdf",
		"Σύμβαση.pdf": "Symvasi.pdf", "Договор № 7.pdf": "Dogovor No 7.pdf", "Straße.pdf": "Straße.pdf",
		"契約.pdf": "??.pdf", "😀.pdf": "?.pdf", "¤½.pdf": "?1/2.pdf", "ﬁle．pdf": "file.pdf", "gnp\u202ef.pdf": "gnpf.pdf",
		"\u200bx": "x", "a\ufffd": "a?", "Ωmega": "Omega", "＜b＞": "?b?",
	} {
		if got, err := consent.Label(in); err != nil || got != want {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	for _, in := range []string{"", "<>&", "\n", "\u200b", "\u0301", "\xff", " ", "\u202e"} {
		if got, err := consent.Label(in); err == nil {
			t.Errorf("%q became %q", in, got)
		}
	}
}

// TestNoLabelLooksLikeAnotherLine: see docs/decisions/0012-labels.md.
func TestNoLabelLooksLikeAnotherLine(t *testing.T) {
	for in, want := range map[string]string{
		"Check code: vgth-m427-t84p-pws4":          "Check code: vgthm427t84ppws4",
		"Controlecode: VGTH-M427-T84P-PWS4.pdf":    "Controlecode: VGTHM427T84PPWS4.pdf",
		"vgth m427 t84p pws4":                      "vgthm427t84ppws4",
		"vgth–m427—t84p‐pws4":                      "vgthm427t84ppws4",
		"vgth_m427.t84p·pws4":                      "vgthm427t84ppws4",
		"aaaa-bbbb-cccc-dddd-eeee":                 "aaaabbbbccccddddeeee",
		"x 2. Annex.pdf":                           "x 2.Annex.pdf",
		"Offer 12) more.pdf":                       "Offer 12)more.pdf",
		"3 . Annex":                                "3.Annex",
		"550e8400-e29b-41d4-a716-446655440000.pdf": "550e8400-e29b-41d4-a716-446655440000.pdf",
		"Deed with some more text.pdf":             "Deed with some more text.pdf",
		"Lease 2024-2025.pdf":                      "Lease 2024-2025.pdf",
		strings.Repeat("y", 21) + " vgth-m427-t84p-pws4zzzzzzzzzzzzzzzzzzzzz": strings.Repeat("y", 21) + " vgthm427t84ppws4...zzzzzzzzzzzzzzzz",
	} {
		if got, err := consent.Label(in); err != nil || got != want {
			t.Errorf("%q:\n%q\n%q %v", in, got, want, err)
		}
	}
	code := regexp.MustCompile(`(^|[^\pL\p{Nd}])[\pL\p{Nd}]{4}([^\pL\p{Nd} ][\pL\p{Nd}]{4}){3}($|[^\pL\p{Nd}])`)
	line := regexp.MustCompile(`[0-9]\. `)
	rapid.Check(t, func(t *rapid.T) {
		var in strings.Builder
		for range rapid.IntRange(1, 12).Draw(t, "parts") {
			in.WriteString(rapid.SampledFrom([]string{vectorCode, "vgth", "m427", "-", " ", ". ", "2. ", "–", "Check code: ", "xxxxx", "é", "_", "<br>", "9", ") "}).Draw(t, "part"))
		}
		l, err := consent.Label(in.String())
		if err != nil {
			return
		}
		if code.MatchString(l) || line.MatchString(l) || strings.ContainsAny(l, "<>&\n") {
			t.Fatalf("%q became %q", in.String(), l)
		}
		text, err := consent.SignText("en", docsWith(1, l), vectorCode, "")
		if err != nil || strings.Count(text, "<") != 6 || len(code.FindAllString(strings.ReplaceAll(text, ">", " "), -1)) != 1 {
			t.Fatalf("%q %v", text, err)
		}
	})
}

func TestLabelOfALabelIsTheLabel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(
			rapid.StringOf(rapid.RuneFrom([]rune("ab <>&.’…–\u00a0\té\u0301č12-)契Ж"))),
			rapid.String(),
		).Draw(t, "in")
		l, err := consent.Label(in)
		if err != nil {
			return
		}
		again, err := consent.Label(l)
		if err != nil || again != l || utf8.RuneCountInString(l) > consent.MaxLabel || strings.ContainsAny(l, "<>&\n") {
			t.Fatalf("%q -> %q -> %q %v", in, l, again, err)
		}
		for _, set := range []*charmap.Charmap{charmap.ISO8859_1, charmap.ISO8859_15} {
			if _, err := set.NewEncoder().String(l); err != nil {
				t.Fatalf("%q: %v", l, err)
			}
		}
	})
}
