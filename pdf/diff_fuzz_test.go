package pdf

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// revise appends a revision of objects with a table; bodies are what stands between obj and endobj.
func revise(t testing.TB, doc []byte, objects map[int]string) []byte {
	t.Helper()
	d, err := open(bytes.NewReader(doc), int64(len(doc)), Budget{})
	if err != nil {
		t.Fatal(err)
	}
	size, _ := d.secs[0].trailer.direct("Size")
	top := int(size.num())
	out := bytes.Clone(doc)
	if !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, '\n')
	}
	var rows strings.Builder
	var nums []int
	for num := range objects {
		nums, top = append(nums, num), max(top, num+1)
	}
	slices.Sort(nums)
	for _, num := range nums {
		fmt.Fprintf(&rows, "%d 1\n%010d 00000 n\r\n", num, len(out))
		out = fmt.Appendf(out, "%d 0 obj\n%s\nendobj\n", num, objects[num])
	}
	at := len(out)
	out = fmt.Appendf(out, "xref\n%strailer\n<</Size %d/Prev %d", rows.String(), top, d.secs[0].off)
	for _, key := range []string{"Root", "Info", "ID"} {
		if v, err := d.secs[0].trailer.direct(key); err == nil && v.kind() != kNull {
			out = fmt.Appendf(out, "/%s %s", key, v.raw())
		}
	}
	return fmt.Appendf(out, ">>\nstartxref\n%d\n%%%%EOF\n", at)
}

// protected are the objects of the document of the attacks that nothing may change.
var protected = []int{2, 4, 5, 8, 10, 12}

// stillThere is a second opinion on a permitted change: what shows is the same, by number, in the newest revision.
func stillThere(t *testing.T, base, whole []byte) {
	t.Helper()
	a, err1 := open(bytes.NewReader(base), int64(len(base)), Budget{})
	b, err2 := open(bytes.NewReader(whole), int64(len(whole)), Budget{})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, num := range append(slices.Clone(protected), 3) {
		x, err1 := a.load(num, 0)
		y, err2 := b.load(num, 0)
		if err1 != nil || err2 != nil {
			t.Fatalf("object %d: %v %v", num, err1, err2)
		}
		same, err := a.s.equalDicts(x.val(), y.val(), map[string]bool{"Annots": num == 3})
		if x.data > 0 && y.data > 0 && same && err == nil {
			n, _ := a.intOf(x.val(), "Length")
			same = bytes.Equal(base[x.data:x.data+n], whole[y.data:y.data+n])
		}
		if err != nil || !same || (x.data > 0) != (y.data > 0) {
			t.Errorf("permitted, and object %d is another one: %v", num, err)
		}
	}
}

// FuzzDifferences: whatever comes behind a signed revision, as bytes or as objects, the answer is typed and within the
// budget, and what is permitted leaves alone what shows.
func FuzzDifferences(f *testing.F) {
	sound, err := maker.Sound()
	if err != nil {
		f.Fatal(err)
	}
	seeds := 0
	for _, a := range structureAttacks() {
		if rest, is := bytes.CutPrefix(a.PDF, sound); is {
			f.Add(rest, byte(0), byte(0), []byte(nil), []byte(nil))
			seeds++
		}
	}
	_, twice := prepareBytes(f, sound, options())
	f.Add(twice[len(sound):], byte(0), byte(0), []byte(nil), []byte(nil))
	if seeds < 50 {
		f.Fatalf("%d seeds", seeds)
	}
	const field = "<</FT/Sig/T(New)/Subtype/Widget/Rect[0 0 0 0]>>"
	f.Add([]byte(nil), byte(14), byte(20), []byte("<</Fields[6 0 R 7 0 R 9 0 R 20 0 R]/SigFlags 3>>"), []byte(field))
	f.Add([]byte(nil), byte(6), byte(11), []byte("<</Type/Annot/Subtype/Widget/FT/Tx/T(Amount)/V(9)/DA(/F1 12 Tf 0 g)/F 4/Rect[20 100 120 120]/P 3 0 R/AP<</N 11 0 R>>>>"),
		[]byte("<</Subtype/Form/Length 1>>\nstream\nx\nendstream"))
	f.Add([]byte(nil), byte(1), byte(20), []byte("<</Type/Catalog/Pages 2 0 R/AcroForm 14 0 R/DSS 20 0 R/Extensions<<>>/Version/2.0>>"), []byte("<</Type/DSS/Certs[]/VRI<<>>>>"))
	f.Add([]byte(nil), byte(1), byte(20), []byte("<</Type/Catalog/Pages 2 0 R/AcroForm 14 0 R/Metadata 20 0 R>>"),
		[]byte("<</Type/Metadata/Subtype/XML/Length 4>>\nstream\n<x/>\nendstream"))
	f.Add([]byte(nil), byte(3), byte(20), []byte("<</Type/Page/Parent 2 0 R/Annots[6 0 R 7 0 R 9 0 R 20 0 R]>>"), []byte("<</Subtype/Text>>"))
	end := int64(len(sound))
	f.Fuzz(func(t *testing.T, raw []byte, a, b byte, x, y []byte) {
		if len(raw)+len(x)+len(y) > 64<<10 {
			return
		}
		whole := slices.Concat(sound, raw)
		if len(x)+len(y) > 0 {
			whole = revise(t, sound, map[int]string{int(a): string(x), int(b): string(y)})
		}
		c := &countingReader{b: whole}
		change, err := Differences(c, int64(len(whole)), end, fuzzBudget)
		typed(t, err)
		if c.n > fuzzBudget.Bytes {
			t.Errorf("%d bytes read", c.n)
		}
		if err != nil && (change.Level != ChangesUnknown || change.Permitted) {
			t.Errorf("%+v with an error", change)
		}
		if change.Permitted && (change.Level == ChangesUnknown || change.Level == ChangesOther || len(change.Reasons) > 0) ||
			!change.Permitted && err == nil && len(change.Reasons) == 0 {
			t.Errorf("%+v", change)
		}
		if change.Permitted {
			stillThere(t, sound, whole)
		}
	})
}

// mutate changes one byte of a body, so that it is still an object, and another one; ok is false when that did not succeed.
func mutate(r *rand.Rand, body string) (string, bool) {
	read := func(s string) (val, error) {
		p := &parser{buf: []byte(s), depth: 50, values: 1 << 16}
		n, err := p.value()
		return (&object{buf: []byte(s), root: n}).val(), err
	}
	head := body
	if i := strings.Index(body, "\nstream\n"); i >= 0 {
		head = body[:i]
		if data := len(body) - i - len("\nstream\n\nendstream"); data > 0 && r.IntN(2) == 0 {
			b := []byte(body)
			b[i+len("\nstream\n")+r.IntN(data)] ^= byte(1 + r.IntN(255))
			return string(b), true
		}
	}
	old, err := read(head)
	if err != nil {
		return "", false
	}
	for range 50 {
		b := []byte(head)
		at := r.IntN(len(b))
		switch r.IntN(3) {
		case 0:
			b[at] = "0123456789/()<>[]aRnull "[r.IntN(24)]
		case 1:
			b = slices.Delete(b, at, at+1)
		default:
			b = slices.Insert(b, at, "0123456789/ "[r.IntN(12)])
		}
		now, err := read(string(b))
		if err != nil || int(now.n.end) != len(b) {
			continue
		}
		s := newSource(bytes.NewReader(nil), 0, Budget{})
		if same, err := s.equal(old, now); err == nil && !same {
			return string(b) + body[len(head):], true
		}
	}
	return "", false
}

// bodyOf is object num as it stands.
func bodyOf(t testing.TB, d *doc, doc []byte, num int) (string, bool) {
	t.Helper()
	e, err := d.find(num)
	if err != nil || e.kind < entryOffset || e.generation() != 0 {
		return "", false
	}
	o, err := d.load(num, 0)
	if err != nil {
		t.Fatal(err)
	}
	body := string(o.val().raw())
	if o.data > 0 {
		n, err := d.intOf(o.val(), "Length")
		if err != nil || n < 0 {
			t.Fatal(num, err)
		}
		body += "\nstream\n" + string(doc[o.data:o.data+n]) + "\nendstream"
	}
	return body, true
}

// TestNoMutationIsPermitted: any object of a signed document that is not of the form, of the metadata or the information, with
// any change of its bytes, beside updates that are allowed, makes the whole not permitted.
func TestNoMutationIsPermitted(t *testing.T) {
	docs := make(map[string][]byte)
	files, _ := filepath.Glob("../testdata/pdf/*.pdf")
	for _, name := range files {
		_, docs[filepath.Base(name)] = prepareBytes(t, readFile(t, name), options())
	}
	var err error
	if docs["sound"], err = maker.Sound(); err != nil || len(files) < 20 {
		t.Fatal(err, len(files))
	}
	r := rand.New(rand.NewPCG(6, 1029))
	tried := 0
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		doc := docs[name]
		sigs, _ := differences(t, doc)
		end := sigs[len(sigs)-1].RevisionEnd
		d, err := open(bytes.NewReader(doc), int64(len(doc)), Budget{})
		if err != nil {
			t.Fatal(err)
		}
		size, _ := d.secs[0].trailer.direct("Size")
		looks := fieldLooks(t, d, int(size.num()))
		for n := range 40 {
			num := 1 + r.IntN(int(size.num())-1)
			if n < 20 && name == "sound" {
				num = protected[r.IntN(len(protected))]
			}
			body, there := bodyOf(t, d, doc, num)
			if !there || looks[num] || mayBeChanged(t, d, num) {
				continue
			}
			evil, ok := mutate(r, body)
			if !ok {
				continue
			}
			whole := revise(t, doc, map[int]string{num: evil})
			if n%2 == 0 {
				up, err := AddDSS(bytes.NewReader(whole), int64(len(whole)), someMaterial(1), Budget{})
				if err == nil {
					whole = slices.Concat(whole, up)
				}
			}
			tried++
			c, err := Differences(bytes.NewReader(whole), int64(len(whole)), end, Budget{})
			if err == nil && c.Permitted {
				t.Errorf("%s: object %d: %+v\n%.300q\n%.300q", name, num, c, body, evil)
			}
			// The same bytes once more are no change.
			again := revise(t, doc, map[int]string{num: body})
			c, err = Differences(bytes.NewReader(again), int64(len(again)), end, Budget{})
			if err != nil || c.Level != ChangesNone || !c.Permitted {
				t.Errorf("%s: object %d as it was: %+v %v", name, num, c, err)
			}
		}
	}
	t.Logf("%d changes", tried)
	if tried < 500 {
		t.Errorf("only %d changes were tried", tried)
	}
}

// fieldLooks are the streams that text fields show, which filling them changes.
func fieldLooks(t testing.TB, d *doc, size int) map[int]bool {
	t.Helper()
	out := make(map[int]bool)
	for num := 1; num < size; num++ {
		o, err := d.load(num, 0)
		if err != nil {
			t.Fatal(err)
		}
		ft, _ := o.val().direct("FT")
		ap, _ := o.val().direct("AP")
		if n, _ := ap.direct("N"); n.kind() == kRef && (ft.name() == "Tx" || ft.name() == "Ch" || ft.name() == "Sig") {
			out[int(n.n.num)] = true
		}
	}
	return out
}

// mayBeChanged: objects of which some change is allowed.
func mayBeChanged(t testing.TB, d *doc, num int) bool {
	t.Helper()
	o, err := d.load(num, 0)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := d.catalog()
	if err != nil {
		t.Fatal(err)
	}
	info, _ := d.secs[0].trailer.direct("Info")
	meta, _ := cat.direct("Metadata")
	ext, _ := cat.direct("Extensions")
	form, _ := d.get(cat, "AcroForm")
	for _, ref := range []val{info, meta} {
		if ref.kind() == kRef && int(ref.n.num) == num {
			return true
		}
	}
	ft, _ := o.val().direct("FT")
	sub, _ := o.val().direct("Subtype")
	parent, _ := o.val().direct("Parent")
	return form.kind() == kDict && form.o.num == num || ext.kind() == kDict && cat.o.num == num || ft.kind() != kNull || sub.name() == "Widget" ||
		parent.kind() == kRef && sub.name() == "" && o.data == 0 && !isPageOrNode(o.val())
}

func isPageOrNode(v val) bool {
	typ, _ := v.direct("Type")
	return typ.name() == "Page" || typ.name() == "Pages"
}
