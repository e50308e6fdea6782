package pdf

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math"
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

// twice signs doc invisibly and then visibly, and says what the second one changed for the first.
func twice(t *testing.T, doc []byte, first, second Options) Changes {
	t.Helper()
	_, once := prepareBytes(t, doc, first)
	_, whole := prepareBytes(t, once, second)
	c, err := Differences(bytes.NewReader(whole), int64(len(whole)), int64(len(once)), DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAppearanceAfterSignature: a visible signature is one that earlier ones permit.
func TestAppearanceAfterSignature(t *testing.T) {
	box := [4]float64{30, 30, 200, 60}
	for _, name := range []string{"libreoffice-tagged-pdfa2b", "qpdf-object-streams", "pdftex-1.4-classic", "reportlab-acroform"} {
		doc := readFile(t, "../testdata/pdf/"+name+".pdf")
		if c := twice(t, doc, options(), visible(1, box, everyLetter)); c.Level != ChangesFormFilling || !c.Permitted {
			t.Errorf("%s: %+v", name, c)
		}
		if c := twice(t, doc, visible(1, box, everyLetter), visible(1, [4]float64{30, 100, 200, 60}, "Second\n2026")); c.Level != ChangesFormFilling || !c.Permitted {
			t.Errorf("%s, both visible: %+v", name, c)
		}
	}
	doc := withField(t)
	first := options()
	first.FieldName = "Other"
	second := visible(0, [4]float64{}, everyLetter)
	if c := twice(t, doc, first, second); c.Level != ChangesFormFilling || !c.Permitted {
		t.Errorf("prepared field: %+v", c)
	}
}

// withField is a document with an empty field that shows: that of pikepdf is given a place.
func withField(t *testing.T) []byte {
	t.Helper()
	plain := run(t, "qpdf", "--qdf", "--object-streams=disable", "../testdata/pdf/pikepdf-empty-signature-field.pdf", "-")
	lines := "/Rect [\n    %s\n    %s\n    %s\n    %s\n  ]"
	with := strings.Replace(plain, fmt.Sprintf(lines, "0", "0", "0", "0"), fmt.Sprintf(lines, "40", "50", "190.5", "110"), 1)
	if with == plain {
		t.Fatal("no field")
	}
	return []byte(run(t, "fix-qdf", tempFile(t, []byte(with))))
}

// TestAppearanceInField: the empty field that shows is taken, its rectangle counts, and nothing beside it changes.
func TestAppearanceInField(t *testing.T) {
	doc := withField(t)
	_, whole := prepareBytes(t, doc, visible(0, [4]float64{}, everyLetter))
	before, after := tempFile(t, doc), tempFile(t, whole)
	run(t, "qpdf", "--check", after)
	found, err := Signatures(bytes.NewReader(whole), int64(len(whole)), DefaultBudget())
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if text := run(t, "pdftotext", "-raw", after, "-"); !strings.Contains(text, "č ř ß Ω Ж") {
		t.Errorf("text: %s", text)
	}
	if r := changed(t, draw(t, before, 1), draw(t, after, 1)); r.Empty() || !r.In(pageOf(t, doc, 1).place([4]float64{40, 50, 150.5, 60})) {
		t.Errorf("drawn at %v", r)
	}
	named := visible(7, [4]float64{1, 1, 9, 9}, everyLetter)
	named.FieldName = found[0].FieldName
	if err := Check(bytes.NewReader(doc), int64(len(doc)), named); err != nil {
		t.Errorf("named field: %v", err)
	}
}

func TestAppearanceRefused(t *testing.T) {
	doc := readFile(t, "../testdata/pdf/pdftex-1.4-classic.pdf")
	box := [4]float64{30, 30, 200, 60}
	with := func(f func(a *Appearance)) Options {
		o := visible(1, box, everyLetter)
		f(o.Appearance)
		return o
	}
	for name, c := range map[string]struct {
		o    Options
		says string
	}{
		"page absent":     {visible(99, box, "x"), "no page 99"},
		"page 0":          {visible(0, box, "x"), "from 1"},
		"before page 1":   {visible(-99, box, "x"), "no page -99"},
		"outside":         {visible(1, [4]float64{500, 30, 200, 60}, "x"), "not inside"},
		"negative":        {visible(1, [4]float64{-5, 30, 200, 60}, "x"), "not inside"},
		"no width":        {visible(1, [4]float64{5, 30, 0, 60}, "x"), "no width"},
		"too small":       {visible(1, [4]float64{5, 30, 8, 8}, everyLetter), "too small"},
		"too large":       {with(func(a *Appearance) { a.FontSize = 90 }), "does not fit"},
		"letters":         {visible(1, box, "中文 and 中"), "2 different characters"},
		"control":         {visible(1, box, "a\tb\x00"), "2 different characters"},
		"nothing to see":  {visible(1, box, "\u200b"), "1 different characters"},
		"directions":      {visible(1, box, "Jan\u202enesnaJ\u202c \u00adand\u200f"), "4 different characters"},
		"no text":         {visible(1, box, " \n"), "empty"},
		"not UTF-8":       {visible(1, box, "\xff"), "UTF-8"},
		"long":            {visible(1, box, strings.Repeat("x", maxLetters+1)), "more than"},
		"many lines":      {visible(1, box, strings.Repeat("x\n", maxLines)+"x"), "more than"},
		"no number":       {with(func(a *Appearance) { a.Box[0] = math.NaN() }), "no number"},
		"no empty field":  {visible(0, [4]float64{}, "x"), "page and box"},
		"size below zero": {with(func(a *Appearance) { a.FontSize = -1 }), "font size"},
	} {
		err := Check(bytes.NewReader(doc), int64(len(doc)), c.o)
		if code(err) != CodeBadAppearance || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stamp := with(func(*Appearance) {})
	stamp.TimeStamp = true
	if err := Check(bytes.NewReader(doc), int64(len(doc)), stamp); code(err) != CodeBadOptions {
		t.Errorf("time-stamp: %v", err)
	}
}

// TestAppearanceOnCertified: only a field that was prepared may show, and then the certifier permits it.
func TestAppearanceOnCertified(t *testing.T) {
	for p := 2; p <= 3; p++ {
		doc, err := maker.Certified(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(bytes.NewReader(doc), int64(len(doc)), visible(1, [4]float64{20, 20, 100, 40}, "x")); code(err) != CodeBadAppearance {
			t.Errorf("P=%d: %v", p, err)
		}
	}
}

// TestPreview: the page looks as it would, nothing is signed, and the same order gives the same bytes.
func TestPreview(t *testing.T) {
	for _, name := range []string{"pdftex-1.4-classic", "qpdf-object-streams", "pikepdf-empty-signature-field"} {
		doc := readFile(t, "../testdata/pdf/"+name+".pdf")
		o := visible(-1, [4]float64{30, 30, 200, 60}, everyLetter)
		if strings.Contains(name, "field") {
			doc = withField(t)
			o = visible(0, [4]float64{}, everyLetter)
		}
		one, err := Preview(bytes.NewReader(doc), int64(len(doc)), o)
		if err != nil {
			t.Fatal(name, err)
		}
		two, err := Preview(bytes.NewReader(doc), int64(len(doc)), o)
		if err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s: another preview the second time: %v", name, err)
		}
		whole := append(bytes.Clone(doc), one...)
		found, err := Signatures(bytes.NewReader(whole), int64(len(whole)), DefaultBudget())
		if err != nil || len(found) != 0 || bytes.Contains(one, []byte("ByteRange")) {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		_, signed := prepareBytes(t, doc, o)
		file := tempFile(t, whole)
		run(t, "qpdf", "--check", file)
		if r := changed(t, draw(t, file, 1), draw(t, tempFile(t, signed), 1)); !r.Empty() {
			t.Errorf("%s: the signed page looks different: %v", name, r)
		}
	}
	if _, err := Preview(bytes.NewReader(nil), 0, options()); code(err) != CodeBadOptions {
		t.Error(err)
	}
}

// TestAppearanceSays: what is read aloud, and the marks of a subset.
func TestAppearanceSays(t *testing.T) {
	doc := readFile(t, "../testdata/pdf/pdftex-1.4-classic.pdf")
	p, _ := prepareBytes(t, doc, visible(1, [4]float64{30, 30, 200, 60}, "Signed by (A)\n2026"))
	for _, want := range []string{`/TU(Signed by \(A\) 2026)`, "/F 132", "+LiberationSans", "/CIDSet", "/ToUnicode", "/Identity-H", "/Rect[30 30 230 90]"} {
		if !bytes.Contains(p.Update, []byte(want)) {
			t.Errorf("no %s", want)
		}
	}
	if len(p.Update) > 20_000 {
		t.Errorf("an update of %d bytes", len(p.Update))
	}
}

// FuzzAppearance: any box and text gives a document that can be read, or an error of ours, and soon.
func FuzzAppearance(f *testing.F) {
	f.Add(1, 30.0, 30.0, 200.0, 60.0, 0.0, everyLetter)
	f.Add(-1, 0.0, 0.0, 1e-9, 1e9, 1e-300, "\u202e(\\)>>")
	f.Add(2, 1.0, 1.0, 5.0, 5.0, 0.0, "a\n\n\nb")
	doc := readFile(f, "../testdata/pdf/qpdf-object-streams.pdf")
	f.Fuzz(func(t *testing.T, page int, x, y, width, height, size float64, text string) {
		o := visible(page, [4]float64{x, y, width, height}, text)
		o.Appearance.FontSize = size
		p, err := Prepare(bytes.NewReader(doc), int64(len(doc)), o)
		if err != nil {
			if c := code(err); c != CodeBadAppearance {
				t.Fatal(err)
			}
			return
		}
		if p.FieldName == "" {
			t.Fatal("no field")
		}
	})
}
