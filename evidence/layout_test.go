package evidence

import (
	"fmt"
	"strings"
	"testing"

	"tekend/consent"
)

// TestLayout: what consent.SignText writes is read, in every language, and
// nothing that could deceive is.
func TestLayout(t *testing.T) {
	docs := func(n int) (all []consent.Doc) {
		for i := range n {
			all = append(all, consent.Doc{Alg: consent.SHA256, Label: fmt.Sprintf("Contract %d, a long name so that few fit.pdf", i),
				Doc: "-Rp06_Fue80qHDfXfPDJ8eaczUsCPxGYA_1t7JLGaGQ"})
		}
		return all
	}
	const code = "vgth-m427-t84p-pws4"
	for _, lang := range []string{"en", "nl"} {
		for _, n := range []int{1, 2, 9, 70, 250} {
			text, err := consent.SignText(lang, docs(n), code, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := layout(text, docs(n), code, ""); err != nil {
				t.Errorf("%s, %d documents: %v", lang, n, err)
			}
			if shortened := strings.Contains(text, "<i>"); shortened != (n == 250) {
				t.Errorf("%d documents: shortened %v", n, shortened)
			}
		}
	}
	text, err := consent.SignText("en", docs(250), code, "")
	if err != nil {
		t.Fatal(err)
	}
	two, err := consent.SignText("en", docs(2), code, "")
	if err != nil {
		t.Fatal(err)
	}
	more := text[strings.Index(text, "<i>"):strings.Index(text, "</i>")]
	for name, c := range map[string]struct {
		text string
		n    int
	}{
		"one document less":    {two, 1},
		"one document more":    {two, 3},
		"heading says another": {strings.Replace(two, "Sign 2", "Sign 3", 1), 2},
		"two numbers":          {strings.Replace(two, "Sign 2", "Sign 2 of 2", 1), 2},
		"another code":         {strings.Replace(two, code, "vgth-m427-t84p-pws5", 1), 2},
		"text behind the code": {two + "<br>And more", 2},
		"label left out":       {strings.Replace(two, "<br>2. "+docs(2)[1].Label, "", 1), 2},
		"labels exchanged":     {strings.NewReplacer("Contract 0", "Contract 1", "Contract 1", "Contract 0").Replace(two), 2},
		"more in the label":    {strings.Replace(two, ".pdf<br>", ".pdf and more<br>", 1), 2},
		"no heading":           {two[strings.Index(two, "</b>")+4:], 2},
		"empty heading":        {"<b></b>" + two[strings.Index(two, "</b>")+4:], 2},
		"markup in the words":  {strings.Replace(two, "Sign 2", "<i>Sign</i> 2", 1), 2},
		"wrong rest":           {strings.Replace(text, more, more+"1", 1), 250},
		"rest without a label": {strings.Replace(two, "<br>1. "+docs(2)[0].Label+"<br>2. "+docs(2)[1].Label, "<br><i>and 2 more</i>", 1), 2},
		"":                     {"", 1},
	} {
		if c.text == two && c.n == 2 || c.text == text {
			t.Errorf("%s: nothing was changed", name)
		}
		if err := layout(c.text, docs(c.n), code, ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestLayoutOfHashes: the line stands there for hashes and only for them, and names the provider who signed the order or
// nobody.
func TestLayoutOfHashes(t *testing.T) {
	docs := func(n int, origin string) (all []consent.Doc) {
		for range n {
			all = append(all, consent.Doc{Alg: consent.SHA256, Label: "Contract.pdf", Doc: "-Rp06_Fue80qHDfXfPDJ8eaczUsCPxGYA_1t7JLGaGQ", Origin: origin})
		}
		return all
	}
	const code = "vgth-m427-t84p-pws4"
	for _, lang := range []string{"en", "nl"} {
		for _, n := range []int{1, 2, 250} {
			for _, provider := range []string{"", "acme", "a.b:c", "x2"} {
				text, err := consent.SignText(lang, docs(n, consent.OriginHash), code, provider)
				if err != nil {
					t.Fatal(err)
				}
				if err := layout(text, docs(n, consent.OriginHash), code, provider); err != nil {
					t.Errorf("%s, %d hashes of %q: %v", lang, n, provider, err)
				}
				for name, other := range map[string]struct {
					docs     []consent.Doc
					provider string
				}{
					"of documents": {docs(n, ""), provider}, "of another provider": {docs(n, consent.OriginHash), "other"},
					"of a longer name": {docs(n, consent.OriginHash), "x" + provider + "y"}, "of part of the name": {docs(n, consent.OriginHash), provider[min(1, len(provider)):] + "z"},
				} {
					if err := layout(text, other.docs, code, other.provider); err == nil {
						t.Errorf("%s, %d hashes of %q were read as %s", lang, n, provider, name)
					}
				}
				plain, err := consent.SignText(lang, docs(n, ""), code, provider)
				if err != nil {
					t.Fatal(err)
				}
				if err := layout(plain, docs(n, consent.OriginHash), code, provider); err == nil {
					t.Errorf("%s, %d: hashes without their line", lang, n)
				}
			}
		}
	}
	text, err := consent.SignText("en", docs(2, consent.OriginHash), code, "acme")
	if err != nil {
		t.Fatal(err)
	}
	line := text[strings.Index(text, "<br><i>"):strings.Index(text, "<br>1.")]
	for name, bad := range map[string]string{
		"line twice": strings.Replace(text, line, line+line, 1), "line at the end": strings.Replace(text, line, "", 1) + line,
		"line behind a label": strings.Replace(strings.Replace(text, line, "", 1), "<br>2.", line+"<br>2.", 1),
		"bold":                strings.NewReplacer("<i>", "<b>", "</i>", "</b>").Replace(text), "plain": strings.NewReplacer("<i>", "", "</i>", "").Replace(text),
		"empty": strings.Replace(text, line, "<br><i></i>", 1), "two providers": strings.Replace(text, "; the", "; other; the", 1),
		"markup in it": strings.Replace(text, "acme", "<b>acme</b>", 1),
	} {
		if err := layout(bad, docs(2, consent.OriginHash), code, "acme"); err == nil || bad == text {
			t.Errorf("%s: accepted", name)
		}
	}
}
