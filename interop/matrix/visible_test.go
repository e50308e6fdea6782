//go:build interop

package matrix

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVisible: signatures that show leave PDF/A-1b, 2b and 3b what they are, and EU DSS, pdfsig, qpdf and we accept them.
func TestVisible(t *testing.T) {
	dir := t.TempDir()
	documents := []string{
		abs(t, "../../testdata/pdf/libreoffice-tagged-pdfa2b.pdf"), abs(t, "../../testdata/pdf/weasyprint.pdf"), abs(t, "../../testdata/pdf/mupdf-object-streams.pdf"),
	}
	libs, err := filepath.Glob("/usr/share/ghostscript/*/lib/PDFA_def.ps")
	if err != nil || len(libs) == 0 {
		t.Fatalf("ghostscript must be installed for this test: %v", err)
	}
	profile := strings.ReplaceAll(string(read(t, libs[0])), "(srgb.icc)", "(/usr/share/color/icc/ghostscript/srgb.icc)")
	def := filepath.Join(dir, "def.ps")
	write(t, def, []byte(profile))
	for _, part := range []string{"1", "3"} {
		file := filepath.Join(dir, "pdfa"+part+"b.pdf")
		if out, err := run(t, exec.Command("gs", "-q", "-dPDFA="+part, "-dBATCH", "-dNOPAUSE", "-dNOSAFER", "-sColorConversionStrategy=RGB", "-sDEVICE=pdfwrite",
			"-dPDFACompatibilityPolicy=1", "-sOutputFile="+file, def, abs(t, "../../testdata/pdf/pdftex-1.4-classic.pdf"))); err != nil {
			t.Fatalf("ghostscript: %v\n%s", err, out)
		}
		documents = append(documents, file)
	}
	p := places(t)[0]
	out := filepath.Join(dir, "out")
	if said, err := run(t, exec.Command("mkdir", out)); err != nil {
		t.Fatal(said)
	}
	args := []string{"sign", "--person", "diacritics", "--level", "B-LT", "--visible", "1,30,30,200,60", "--visible-text", `č ř ß Ω Ж {name}\n{date}`, "-o", out}
	if said, code := p.s.Tekend(t, append(args, documents...)...); code != 0 {
		t.Fatal(said)
	}
	var products []product
	for _, base := range documents {
		file := filepath.Join(out, filepath.Base(base))
		products = append(products, product{name: "visible/" + filepath.Base(base), form: pades, base: base, file: file, level: "B-LT", algo: p.algorithm, at: p})
		if text, err := run(t, exec.Command("pdftotext", "-raw", file, "-")); err != nil || !strings.Contains(text, "č ř ß Ω Ж") || !strings.Contains(text, "Dvořák") {
			t.Errorf("%s: %v\n%s", file, err, text)
		}
	}
	stayPDFA(t, products, 3)
	for name, verdicts := range map[string]map[string]verdict{"DSS": dss(t, products, false), "pdfsig": pdfsig(t, products), "qpdf": qpdf(t, products), "we": ours(t, products, false)} {
		for _, p := range products {
			if v := verdicts[p.name]; !v.yes {
				t.Errorf("%s, %s: %+v", name, p.name, v)
			}
		}
	}
}

func abs(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
