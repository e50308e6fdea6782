//go:build browser

package viewer_test

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tekend/interop/sandboxtest"
)

// drawn are the letters of the visible signature, one by one; others is what could stand there by mistake: the letter
// without its mark, one that looks like it, and the box for a letter that a font lacks.
const (
	drawn  = "čřßΩЖ"
	others = "crBOKX□"
)

// The box of the visible signature, in 1/72 inch from the lower left corner, on the empty first page.
var box = [4]float64{72, 500, 400, 140}

// visible has a signature drawn and looks at it twice: on the screen of the viewer, and as poppler renders the page.
func visible(t *testing.T, s *sandboxtest.Sandbox, dir string) {
	t.Helper()
	source := filepath.Join(sandboxtest.Root(t), "testdata/pdf/libreoffice-writer.pdf")
	product := filepath.Join(dir, "visible.pdf")
	place := "1"
	for _, n := range box {
		place += "," + strconv.Itoa(int(n))
	}
	text := strings.Join(strings.Split(drawn, ""), " ") + `\n{name}\n{date}`
	order(t, s, "--level", "B-T", "--visible", place, "--visible-text", text, "-o", product, source)
	trust := s.Info(t).RootPEM
	t.Run("visible", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, trust)
		failed := out(t, "visible-failed.png")
		d.show(product, failed)
		words := d.settled(signer, failed)
		says(t, join(words), whole)
		leave(t, d, "visible")
		sameLetters(t, picture(t, out(t, "visible.png")), lineAbove(t, words))
		render(t, product, "visible")
		onlyInTheBox(t, source, product)
	})
}

// lineAbove is where the line over the signer's name stands on the page.
func lineAbove(t *testing.T, words []word) image.Rectangle {
	t.Helper()
	var name word
	for _, w := range words {
		if w.text == "Alice" && w.height > name.height {
			name = w
		}
	}
	if name.text == "" {
		t.Fatalf("the signer's name is not on the page:\n%s", join(words))
	}
	// Capitals are 0.72 of the size, lines 1.2 apart, and marks reach over the capitals.
	size := float64(name.height) / 0.72
	up := func(f float64) int { return name.top - int(f*size) }
	return image.Rect(name.left-int(size/2), up(0.70), name.left+int(8*size), up(0.05)).
		Union(image.Rect(name.left-int(size/2), up(1.45), name.left+int(8*size), up(0.70)))
}

// sameLetters finds the letters in a part of a picture and compares each with a font of another maker.
func sameLetters(t *testing.T, p image.Image, in image.Rectangle) {
	t.Helper()
	found := glyphs(p, in)
	if len(found) != len([]rune(drawn)) {
		t.Fatalf("%d letters in %v of the picture, not %d", len(found), in, len([]rune(drawn)))
	}
	known := map[rune]shape{}
	for _, r := range drawn + others {
		known[r] = reference(t, r)
	}
	for i, want := range []rune(drawn) {
		best, least := rune(0), math.Inf(1)
		for r, k := range known {
			if far := found[i].distance(k); far < least {
				best, least = r, far
			}
		}
		if best != want {
			t.Errorf("letter %d looks like %q, not like %q", i+1, best, want)
		}
	}
}

// shape is a letter as darkness from 0 to 1, stretched to a square, and how wide it was for its height.
type shape struct {
	ink    [24][24]float64
	aspect float64
}

func (s shape) distance(o shape) (sum float64) {
	for y := range s.ink {
		for x := range s.ink[y] {
			sum += math.Abs(s.ink[y][x] - o.ink[y][x])
		}
	}
	return sum/float64(len(s.ink)*len(s.ink)) + math.Abs(math.Log(s.aspect/o.aspect))/2
}

func dark(p image.Image, x, y int) float64 {
	r, g, b, _ := p.At(x, y).RGBA()
	return 1 - float64(r+g+b)/3/0xffff
}

// glyphs are the shapes between columns without ink, from left to right.
func glyphs(p image.Image, in image.Rectangle) (found []shape) {
	in = in.Intersect(p.Bounds())
	from := -1
	for x := in.Min.X; x <= in.Max.X; x++ {
		inked := false
		for y := in.Min.Y; x < in.Max.X && y < in.Max.Y; y++ {
			inked = inked || dark(p, x, y) > 0.5
		}
		switch {
		case inked && from < 0:
			from = x
		case !inked && from >= 0:
			found = append(found, fit(p, image.Rect(from, in.Min.Y, x, in.Max.Y)))
			from = -1
		}
	}
	return found
}

// fit cuts off rows without ink and stretches the rest to a square.
func fit(p image.Image, r image.Rectangle) (s shape) {
	empty := func(y int) bool {
		for x := r.Min.X; x < r.Max.X; x++ {
			if dark(p, x, y) > 0.5 {
				return false
			}
		}
		return true
	}
	for r.Dy() > 1 && empty(r.Min.Y) {
		r.Min.Y++
	}
	for r.Dy() > 1 && empty(r.Max.Y-1) {
		r.Max.Y--
	}
	s.aspect = float64(r.Dx()) / float64(r.Dy())
	n := len(s.ink)
	for y := range n {
		for x := range n {
			s.ink[y][x] = dark(p, r.Min.X+(2*x+1)*r.Dx()/(2*n), r.Min.Y+(2*y+1)*r.Dy()/(2*n))
		}
	}
	return s
}

// reference is the letter in DejaVu Sans, drawn by ImageMagick.
func reference(t *testing.T, r rune) shape {
	t.Helper()
	path := filepath.Join(t.TempDir(), "letter.png")
	cmd := exec.Command("convert", "-font", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "-pointsize", "120",
		"-bordercolor", "white", "-border", "10", "label:"+string(r), path)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("convert: %v %s (scripts/install test)", err, b)
	}
	p := picture(t, path)
	found := glyphs(p, p.Bounds())
	if len(found) != 1 {
		t.Fatalf("%d shapes in the picture of %q", len(found), r)
	}
	return found[0]
}

// onlyInTheBox: signing changes the first page inside of the box and no pixel elsewhere.
func onlyInTheBox(t *testing.T, source, product string) {
	t.Helper()
	const dpi = 100
	before, after := pages(t, source, dpi), pages(t, product, dpi)
	if len(before) != 2 || len(after) != 2 {
		t.Fatalf("%d and %d pages, not 2", len(before), len(after))
	}
	px := func(pt float64) int { return int(math.Round(pt * dpi / 72)) }
	high := before[0].Bounds().Dy()
	in := image.Rect(px(box[0]), high-px(box[1]+box[3]), px(box[0]+box[2]), high-px(box[1])).Inset(-1)
	inside := 0
	for n, b := range before {
		a := after[n]
		if a.Bounds() != b.Bounds() {
			t.Fatalf("page %d is %v, and was %v", n+1, a.Bounds(), b.Bounds())
		}
		for y := range b.Bounds().Dy() {
			for x := range b.Bounds().Dx() {
				switch differs := a.At(x, y) != b.At(x, y); {
				case differs && (n > 0 || !image.Pt(x, y).In(in)):
					t.Fatalf("page %d is changed at %d,%d, outside of the box %v", n+1, x, y, in)
				case differs:
					inside++
				}
			}
		}
	}
	if inside < 500 { // three lines of text
		t.Errorf("%d pixels of the box are drawn", inside)
	}
}

// pages renders all of a document.
func pages(t *testing.T, file string, dpi int) (list []image.Image) {
	t.Helper()
	base := filepath.Join(t.TempDir(), "page")
	if b, err := exec.Command("pdftoppm", "-png", "-r", strconv.Itoa(dpi), file, base).CombinedOutput(); err != nil {
		t.Fatalf("pdftoppm: %v %s", err, b)
	}
	names, err := filepath.Glob(base + "-*.png")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		list = append(list, picture(t, n))
	}
	return list
}

func picture(t *testing.T, path string) image.Image {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
