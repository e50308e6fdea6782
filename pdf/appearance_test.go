package pdf

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const everyLetter = "Signed by Zoë Novák-Dvořák č ř ß Ω Ж\n2026-11-25T04:30:00Z"

func visible(page int, box [4]float64, text string) Options {
	o := options()
	o.Appearance = &Appearance{Page: page, Box: box, Text: text}
	return o
}

// run gives what a tool prints; it must end well.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	need(t, name)
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// draw renders a page at 72 dots an inch, so that a dot is a unit of the page.
func draw(t *testing.T, file string, page int) image.Image {
	t.Helper()
	out := filepath.Join(t.TempDir(), "page")
	n := fmt.Sprint(page)
	run(t, "pdftoppm", "-r", "72", "-cropbox", "-png", "-singlefile", "-f", n, "-l", n, file, out)
	f, err := os.Open(out + ".png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// changed is the smallest rectangle around all dots that differ.
func changed(t *testing.T, a, b image.Image) image.Rectangle {
	t.Helper()
	if a.Bounds() != b.Bounds() {
		t.Fatalf("the page has another size: %v, %v", a.Bounds(), b.Bounds())
	}
	var r image.Rectangle
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if a.At(x, y) != b.At(x, y) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

// pageOf opens a file and finds a page of it.
func pageOf(t *testing.T, doc []byte, number int) tilted {
	t.Helper()
	d, err := open(bytes.NewReader(doc), int64(len(doc)), DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	cat, err := d.catalog()
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.page(cat, number)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// place is where a box is on the rendered page, in dots from its upper left corner.
func (p tilted) place(box [4]float64) image.Rectangle {
	corner := func(x, y float64) image.Point {
		x, y = x-p.box[0], y-p.box[1]
		width, height := p.box[2]-p.box[0], p.box[3]-p.box[1]
		switch p.rotate {
		case 90:
			return image.Pt(int(y), int(x))
		case 180:
			return image.Pt(int(width-x), int(y))
		case 270:
			return image.Pt(int(height-y), int(width-x))
		}
		return image.Pt(int(x), int(height-y))
	}
	a, b := corner(box[0], box[1]), corner(box[0]+box[2], box[1]+box[3])
	return image.Rectangle{a, b}.Canon().Inset(-2)
}

// TestAppearanceOnEveryFile: text is read back, the pixels of the page change in the box and nowhere else, qpdf finds
// nothing wrong; on each file at each rotation.
func TestAppearanceOnEveryFile(t *testing.T) {
	files, err := filepath.Glob("../testdata/pdf/*.pdf")
	if err != nil || len(files) < 20 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		for _, turn := range []string{"0", "90", "180", "270"} {
			t.Run(filepath.Base(file)+"/"+turn, func(t *testing.T) {
				doc := readFile(t, file)
				signed := strings.Contains(file, "signed")
				if turn != "0" {
					if signed || strings.Contains(file, "linearized") { // qpdf would break the signature; the others are linearized twins
						return
					}
					to := filepath.Join(t.TempDir(), "turned.pdf")
					run(t, "qpdf", "--rotate=+"+turn+":1-z", "--warning-exit-0", file, to)
					doc = readFile(t, to)
				}
				showsIn(t, doc, -1)
			})
		}
	}
}

func showsIn(t *testing.T, doc []byte, number int) {
	t.Helper()
	p := pageOf(t, doc, number)
	box := [4]float64{p.box[0] + 20, p.box[1] + 30, 150, 60}
	if p.rotate%180 != 0 {
		box[2], box[3] = box[3], box[2]
	}
	box[2], box[3] = min(box[2], p.box[2]-box[0]), min(box[3], p.box[3]-box[1])
	_, whole := prepareBytes(t, doc, visible(number, box, everyLetter))
	before, after := tempFile(t, doc), tempFile(t, whole)
	run(t, "qpdf", "--check", "--warning-exit-0", after)
	pages := 1
	for line := range strings.Lines(run(t, "pdfinfo", before)) {
		_, _ = fmt.Sscanf(line, "Pages: %d", &pages)
	}
	text := run(t, "pdftotext", "-raw", "-f", fmt.Sprint(pages), after, "-")
	for _, want := range []string{"Signed", "Zoë", "č", "ř", "ß", "Ω", "Ж", "2026-11-25T04:30:00Z"} {
		if !strings.Contains(text, want) {
			t.Errorf("pdftotext does not see %q:\n%s", want, text)
		}
	}
	r := changed(t, draw(t, before, pages), draw(t, after, pages))
	if want := p.place(box); r.Empty() || !r.In(want) {
		t.Errorf("changed pixels %v, box %v", r, want)
	}
}
