//go:build interop

package matrix

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tekend/interop/sandboxtest"
)

// beside is the path of what a CAdES signature is about when the signature does
// not hold it; otherwise, and of a PDF, none.
func (p product) beside(none string) string {
	if p.form == detached || p.form == digest {
		return p.base
	}
	return none
}

// signCAdES has the service make CAdES signatures of each form: two files at each
// cell, one of them no PDF.
func signCAdES(t *testing.T, list []*place, full bool) []product {
	t.Helper()
	forms := []string{detached, attached, digest}
	endings := map[string]string{detached: ".p7s", attached: ".p7m", digest: ".p7s"}
	flags := map[string][]string{attached: {"--attached"}, digest: {"--local"}}
	dir := t.TempDir()
	bases := []string{filepath.Join(dir, "no PDF, ř.bin"), filepath.Join(dir, "form.pdf")}
	write(t, bases[0], bytes.Repeat([]byte("a document that is no PDF, with \x00 and ř\r\n"), 500))
	documents, err := filepath.Glob(filepath.Join(sandboxtest.Root(t), "testdata/pdf/*.pdf"))
	if err != nil || len(documents) == 0 {
		t.Fatalf("no PDFs of other producers: %v", err)
	}
	write(t, bases[1], read(t, documents[0]))
	sizes := [3]int{len(forms), len(levels), len(algorithms)}
	cells := pairwise(sizes)
	if full {
		cells = all(sizes)
	}
	var products []product
	for n, c := range cells {
		form, level, at := forms[c[0]], levels[c[1]], list[c[2]]
		out := filepath.Join(dir, fmt.Sprint(n))
		if err := os.Mkdir(out, 0o700); err != nil {
			t.Fatal(err)
		}
		args := append([]string{"sign", "--person", "approve", "--format", "cades", "--level", level, "-o", out}, flags[form]...)
		text, code := at.s.Tekend(t, append(args, bases...)...)
		if code != 0 || strings.Count(text, "level "+level+"\n") != len(bases) {
			t.Fatalf("CAdES, %s, %s, %s: exit %d\n%s", form, level, at.algorithm, code, text)
		}
		for _, base := range bases {
			products = append(products, product{
				name: strings.Join([]string{at.algorithm, level, form, filepath.Base(base)}, "/"), form: form,
				base: base, file: filepath.Join(out, filepath.Base(base)+endings[form]), level: level, algo: at.algorithm, at: at,
			})
		}
	}
	return products
}
