//go:build interop

package matrix

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tekend/interop/sandboxtest"
)

// stayPDFA: what veraPDF finds to be PDF/A is PDF/A of the same part when it is
// signed. least is how many of the documents must be, or nothing was shown.
func stayPDFA(t *testing.T, products []product, least int) {
	t.Helper()
	bases := map[string]bool{}
	var files []string
	for _, p := range products {
		if !bases[p.base] {
			bases[p.base] = true
			files = append(files, p.base)
		}
	}
	before := veraPDF(t, files)
	files = nil
	conforming := 0
	for base := range bases {
		if before[base].yes {
			conforming++
		}
	}
	for _, p := range products {
		if before[p.base].yes {
			files = append(files, p.file)
		}
	}
	if conforming < least || conforming == len(bases) {
		t.Fatalf("%d of %d documents are PDF/A: at least %d, and not all", conforming, len(bases), least)
	}
	after := veraPDF(t, files)
	parts := map[string]int{}
	for _, p := range products {
		if v := after[p.file]; before[p.base].yes {
			parts[strings.TrimSpace(v.reason)]++
			if v != before[p.base] {
				t.Errorf("%s is PDF/A %s before and %+v after", p.name, before[p.base].reason, v)
			}
		}
	}
	t.Logf("veraPDF: %d documents are PDF/A, and %d of their products: %v", conforming, len(files), parts)
}

// veraPDF is one JVM; by path.
func veraPDF(t *testing.T, files []string) map[string]verdict {
	t.Helper()
	return batch(t, sandboxtest.Java(t, "VeraPdf", files...), 4, len(files))
}

// The first page of each product goes onto a sheet, this wide.
const (
	thumb   = 150
	columns = 20
)

// lookTheSame renders the first page of each product as that of its document: a
// signature that nobody ordered to be visible changes no pixel. What was rendered
// is left on a sheet of pictures for people, in build/.
func lookTheSame(t *testing.T, name string, products []product) {
	t.Helper()
	dir := t.TempDir()
	before := map[string]image.Image{}
	sheet := image.NewGray(image.Rect(0, 0, columns*thumb, (len(products)+columns-1)/columns*thumb))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.Gray{128}), image.Point{}, draw.Src)
	for i, p := range products {
		if before[p.base] == nil {
			before[p.base] = render(t, p.base, filepath.Join(dir, "b"+strconv.Itoa(i)))
		}
		after := render(t, p.file, filepath.Join(dir, "p"+strconv.Itoa(i)))
		if !same(before[p.base], after) {
			t.Errorf("%s does not look like %s", p.name, p.base)
		}
		at := image.Pt(i%columns*thumb, i/columns*thumb)
		draw.Draw(sheet, after.Bounds().Sub(after.Bounds().Min).Add(at.Add(image.Pt(1, 1))), after, after.Bounds().Min, draw.Src)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, sheet); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(sandboxtest.Root(t), "build", name+".png")
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, out, b.Bytes())
	t.Logf("%d signed PDFs rendered: %s, SHA-256 %x", len(products), out, sha256.Sum256(b.Bytes()))
}

// render gives the first page, at most thumb-2 wide and high, in grey.
func render(t *testing.T, file, to string) image.Image {
	t.Helper()
	if out, err := run(t, exec.Command("pdftoppm", "-singlefile", "-gray", "-png", "-scale-to", fmt.Sprint(thumb-2), file, to)); err != nil {
		t.Fatalf("pdftoppm: %v\n%s", err, out)
	}
	picture, err := png.Decode(bytes.NewReader(read(t, to+".png")))
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

func same(a, b image.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if a.At(x, y) != b.At(x, y) {
				return false
			}
		}
	}
	return true
}
