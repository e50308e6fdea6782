package pdf

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	amountField = "<</Type/Annot/Subtype/Widget/FT/Tx/T(Amount)/V(100 EUR)/DA(/F1 12 Tf 0 g)/F 4/Rect[20 100 120 120]/P 3 0 R/AP<</N 11 0 R>>>>"
	soundPage   = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Resources<</Font<</F1 5 0 R>>/XObject<</X1 10 0 R>>>>/Contents 4 0 R/Annots[6 0 R 7 0 R 9 0 R]>>"
	soundForm   = "<</Fields[6 0 R 7 0 R 9 0 R]/SigFlags 3>>"
	newLook     = "<</Type/XObject/Subtype/Form/BBox[0 0 100 20]/Length 1>>\nstream\nx\nendstream"
	oneDER      = "<</Length 3>>\nstream\n0\x01\x00\nendstream"
)

func soundCatalog(more string) string {
	return "<</Type/Catalog/Pages 2 0 R/AcroForm 14 0 R" + more + ">>"
}

// TestWhatIsAllowed: each kind of change of the list, alone, has its level and is permitted where it should be.
func TestWhatIsAllowed(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	certified := make([][]byte, 4)
	for p := 1; p <= 3; p++ {
		if certified[p], err = maker.Certified(p); err != nil {
			t.Fatal(err)
		}
	}
	const perms = "/Perms<</DocMDP 8 0 R>>"
	xmp := func(s string) string {
		return "<</Type/Metadata/Subtype/XML/Length " + itoa(int64(len(s))) + ">>\nstream\n" + s + "\nendstream"
	}
	note := map[int]string{20: "<</Type/Annot/Subtype/Text/Contents(x)/Rect[1 1 9 9]>>", 3: strings.Replace(soundPage, "9 0 R]", "9 0 R 20 0 R]", 1)}
	value := map[int]string{6: strings.NewReplacer("(100 EUR)", "(999 EUR)", "/N 11", "/N 20").Replace(amountField), 20: newLook}
	const vri = "/VRI<</0123456789ABCDEF0123456789ABCDEF01234567<</Cert[21 0 R]/TU(D:20261124)>>>>"
	for name, c := range map[string]struct {
		base    []byte
		objects map[int]string
		level   ChangeLevel
		reasons string // "" = permitted
	}{
		"the same catalog, otherwise spelt":       {sound, map[int]string{1: "<< /AcroForm 14 0 R /P#61ges 2 0 R /Lang null /Type /Catalog >>"}, ChangesNone, ""},
		"objects that nobody has":                 {sound, map[int]string{20: "<</A 4 0 R>>", 21: "(x)"}, ChangesNone, ""},
		"information":                             {sound, map[int]string{13: "<</Title(Another)/ModDate(D:20261124)>>"}, ChangesLTA, ""},
		"metadata":                                {sound, map[int]string{1: soundCatalog("/Metadata 20 0 R"), 20: xmp("<?xpacket?><x:a xmlns:x='y'><b/>&amp;</x:a>")}, ChangesLTA, ""},
		"metadata, two roots":                     {sound, map[int]string{1: soundCatalog("/Metadata 20 0 R"), 20: xmp("<a/><b/>")}, ChangesOther, "metadata 20"},
		"metadata, too deep":                      {sound, map[int]string{1: soundCatalog("/Metadata 20 0 R"), 20: xmp(strings.Repeat("<a>", 200) + strings.Repeat("</a>", 200))}, ChangesOther, "metadata 20"},
		"version and extensions":                  {sound, map[int]string{1: soundCatalog("/Version/2.0/Extensions<</ESIC<</BaseVersion/1.7/ExtensionLevel 2>>>>/MarkInfo<</Marked false>>")}, ChangesLTA, ""},
		"validation data":                         {certified[1], map[int]string{1: soundCatalog(perms + "/DSS 20 0 R"), 20: "<</Type/DSS/Certs[21 0 R]/CRLs 22 0 R" + vri + ">>", 21: oneDER, 22: "[21 0 R]"}, ChangesLTA, ""},
		"a value":                                 {sound, value, ChangesFormFilling, ""},
		"a value, P = 2":                          {certified[2], value, ChangesFormFilling, ""},
		"a value, P = 1":                          {certified[1], value, ChangesFormFilling, "not_allowed_by_certification"},
		"a value and its appearance in its place": {sound, map[int]string{6: strings.Replace(amountField, "100", "999", 1), 11: newLook}, ChangesFormFilling, ""},
		"print and lock":                          {sound, map[int]string{6: strings.Replace(amountField, "/F 4", "/F 132", 1)}, ChangesFormFilling, ""},
		"a new field without signature":           {sound, map[int]string{14: strings.Replace(soundForm, "9 0 R]", "9 0 R 20 0 R]", 1), 20: "<</FT/Sig/T(Third)/Type/Annot/Subtype/Widget/Rect[0 0 0 0]>>"}, ChangesFormFilling, ""},
		"a new field of an old name":              {sound, map[int]string{14: strings.Replace(soundForm, "9 0 R]", "9 0 R 20 0 R]", 1), 20: "<</FT/Sig/T(Amount)/Type/Annot/Subtype/Widget/Rect[0 0 0 0]>>"}, ChangesOther, "field_name 20"},
		"a field by another generation":           {sound, map[int]string{14: strings.Replace(soundForm, "6 0 R", "6 1 R", 1)}, ChangesOther, "fields 14 field_removed 14"},
		"a note, P = 3":                           {certified[3], note, ChangesAnnotations, ""},
		"a note, P = 2":                           {certified[2], note, ChangesAnnotations, "not_allowed_by_certification"},
		"a note":                                  {sound, note, ChangesAnnotations, "not_allowed_by_certification"},
		"a default colour beside text":            {sound, map[int]string{14: strings.Replace(soundForm, "/SigFlags", "/DA(/Helv 0 Tf 0 g )/DR<</Font<</Helv<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>>>>>/SigFlags", 1)}, ChangesFormFilling, ""},
	} {
		doc := revise(t, c.base, c.objects)
		got, err := Differences(bytes.NewReader(doc), int64(len(doc)), int64(len(c.base)), Budget{})
		if err != nil || got.Level != c.level || got.Permitted != (c.reasons == "") || strings.Join(got.Reasons, " ") != c.reasons {
			t.Errorf("%s: %+v %v, want %v %q", name, got, err, c.level, c.reasons)
		}
	}
}

// TestValidationDataIsReadAgain: a stream in its place holds something else when its length, an object of its own, changes.
func TestValidationDataIsReadAgain(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	const data = "0\x01\x00\nendstream\nmore"
	one := revise(t, sound, map[int]string{1: soundCatalog("/DSS 20 0 R"), 20: "<</Certs[21 0 R]>>",
		21: "<</Length 22 0 R>>\nstream\n" + data + "\nendstream", 22: "3"})
	two := revise(t, one, map[int]string{22: itoa(int64(len(data)))})
	for doc, want := range map[string]ChangeLevel{string(one): ChangesLTA, string(two): ChangesOther} {
		got, err := Differences(strings.NewReader(doc), int64(len(doc)), int64(len(sound)), Budget{})
		if err != nil || got.Level != want {
			t.Errorf("%+v %v, want %v", got, err, want)
		}
	}
	all, bad, err := ValidationData(bytes.NewReader(two), int64(len(two)), []int64{int64(len(two)), int64(len(one))}, Budget{})
	if err != nil || bad != 0 || len(all) != 2 || string(all[0].Certificates[0]) != data || string(all[1].Certificates[0]) != data[:3] {
		t.Errorf("%q %d %v", all, bad, err)
	}
}

// TestObjectZero: no table should have it in use, and readers that look for it find it.
func TestObjectZero(t *testing.T) {
	page := item{3, "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Resources<<>>/Contents[4 0 R 0 0 R]>>"}
	const drawing = "0 0 obj\n<</Length 14>>\nstream\n0 0 99 99 re f\nendstream\nendobj\n"
	for name, base := range map[string][]byte{"referred to": classic(spec{more: []item{page}}), "for nobody": classic(spec{})} {
		for where, doc := range map[string][]byte{
			"a row":     revise(t, base, map[int]string{0: streamBody("", []byte("0 0 99 99 re f"))}),
			"in stream": revise(t, base, map[int]string{0: "null", 20: streamBody("", []byte(drawing))}),
		} {
			if where == "in stream" { // the row says so
				old := fmt.Appendf(nil, "xref\n0 1\n%010d", bytes.LastIndex(doc, []byte("\n0 0 obj\nnull"))+1)
				row := fmt.Appendf(nil, "xref\n0 1\n%010d", bytes.LastIndex(doc, []byte(drawing)))
				if doc = bytes.Replace(doc, old, row, 1); !bytes.Contains(doc, row) {
					t.Fatal("no such row")
				}
				doc = bytes.Replace(doc, []byte("\n0 0 obj\nnull"), []byte("\n0 0 OBJ\nnull"), 1)
			}
			got, err := Differences(bytes.NewReader(doc), int64(len(doc)), int64(len(base)), Budget{})
			want := ChangesOther
			if name == "for nobody" && where == "in stream" {
				want = ChangesNone
			}
			if err != nil || got.Level != want {
				t.Errorf("%s, %s: %+v %v, want %v", name, where, got, err, want)
			}
		}
	}
}

// TestPagesWithOneArray: two pages get one and the same new array of annotations, which is that of the first.
func TestPagesWithOneArray(t *testing.T) {
	const second = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Resources<<>>/Contents 4 0 R/Annots "
	first := strings.Replace(second, "/Annots", "/Rotate 0/Annots", 1)
	stamp := "<</Type/Annot/Subtype/Stamp/Rect[0 0 99 99]>>"
	for name, old := range map[string][2]string{
		"in the pages": {"[8 0 R]", "[9 0 R]"}, "objects": {"10 0 R", "11 0 R"}, "one without": {"[8 0 R]", "null"},
	} {
		base := classic(spec{more: []item{{2, "<</Type/Pages/Kids[6 0 R 7 0 R]/Count 2>>"}, {6, first + old[0] + ">>"}, {7, second + old[1] + ">>"},
			{8, stamp}, {9, stamp}, {10, "[8 0 R]"}, {11, "[9 0 R]"}}})
		for text, c := range map[string]struct {
			objects map[int]string
			level   ChangeLevel
		}{
			"its own":  {map[int]string{6: first + "12 0 R>>", 12: "[8 0 R]"}, ChangesNone},
			"for both": {map[int]string{6: first + "12 0 R>>", 7: second + "12 0 R>>", 12: "[8 0 R]"}, ChangesOther},
		} {
			doc := revise(t, base, c.objects)
			got, err := Differences(bytes.NewReader(doc), int64(len(doc)), int64(len(base)), Budget{})
			if err != nil || (got.Level == ChangesOther) != (c.level == ChangesOther) {
				t.Errorf("%s, %s: %+v %v, want %v", name, text, got, err, c.level)
			}
		}
	}
}

// packedPage is an object stream with the page, which has this content.
func packedPage(content string) string {
	body := strings.Replace(soundPage, "/Contents 4 0 R", "/Contents "+content, 1)
	return streamBody("/Type/ObjStm/N 1/First 4", []byte("3 0 "+body))
}

// packRevision appends a revision whose cross-reference stream, object 31, has rows for the objects in it and for the page, which
// is in object stream 30.
func packRevision(t *testing.T, doc []byte, objects map[int]string) []byte {
	t.Helper()
	d, err := open(bytes.NewReader(doc), int64(len(doc)), Budget{})
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(doc)
	index, rows := "3 1 ", []byte{2, 0, 0, 30, 0}
	for num, body := range objects {
		index += itoa(int64(num)) + " 1 "
		rows = append(rows, 1, byte(len(out)>>16), byte(len(out)>>8), byte(len(out)), 0)
		out = fmt.Appendf(out, "%d 0 obj\n%s\nendobj\n", num, body)
	}
	at := len(out)
	index += "31 1"
	rows = append(rows, 1, byte(at>>16), byte(at>>8), byte(at), 0)
	out = fmt.Appendf(out, "31 0 obj\n%s\nendobj\n", streamBody(fmt.Sprintf("/Type/XRef/W[1 3 1]/Index[%s]/Size 40/Root 1 0 R/Info 13 0 R/Prev %d", index, d.secs[0].off), rows))
	return fmt.Appendf(out, "startxref\n%d\n%%%%EOF\n", at)
}

// TestObjectStreamsOfLaterRevisions: an object stream that came after the signature and is written anew brings other objects, and
// no row says so.
func TestObjectStreamsOfLaterRevisions(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(doc []byte) Changes {
		t.Helper()
		c, err := Differences(bytes.NewReader(doc), int64(len(doc)), int64(len(sound)), Budget{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	evil := packedPage("12 0 R")
	same := packedPage("4 0 R")
	length := regexp.MustCompile("/Length [0-9]+")
	indirect := length.ReplaceAllString(same, "/Length 32 0 R")
	is := strings.TrimPrefix(length.FindString(same), "/Length ")
	// Two pages stand in it, and /First says which.
	two := streamBody("/Type/ObjStm/N 1/First 33 0 R", []byte(fmt.Sprintf("3 0 %-300s%s", soundPage, strings.Replace(soundPage, "/Contents 4", "/Contents 12", 1))))
	for name, c := range map[string]struct {
		first, second map[int]string
		level         [2]ChangeLevel // after each
	}{
		"another content":    {map[int]string{30: same}, map[int]string{30: evil}, [2]ChangeLevel{ChangesNone, ChangesOther}},
		"no object stream":   {map[int]string{30: same}, map[int]string{30: "null"}, [2]ChangeLevel{ChangesNone, ChangesOther}},
		"the same once more": {map[int]string{30: same}, map[int]string{30: same}, [2]ChangeLevel{ChangesNone, ChangesOther}},
		"another object":     {map[int]string{30: same}, map[int]string{34: "null"}, [2]ChangeLevel{ChangesNone, ChangesNone}},
		"a length elsewhere": {map[int]string{30: indirect, 32: is}, map[int]string{34: "null"}, [2]ChangeLevel{ChangesNone, ChangesNone}},
		"another length":     {map[int]string{30: indirect, 32: is}, map[int]string{32: "9"}, [2]ChangeLevel{ChangesNone, ChangesOther}},
		"another beginning":  {map[int]string{30: two, 33: "4"}, map[int]string{33: "304"}, [2]ChangeLevel{ChangesOther, ChangesOther}},
	} {
		first := packRevision(t, sound, c.first)
		for i, doc := range [][]byte{first, revise(t, first, c.second)} {
			if got := ask(doc); got.Level != c.level[i] || got.Permitted != (c.level[i] == ChangesNone) {
				t.Errorf("%s, revision %d: %+v", name, i+1, got)
			}
		}
	}
}

// keyed adds a key to the newest trailer of a document of revise.
func keyed(doc []byte, key string) []byte {
	at := bytes.LastIndex(doc, []byte(">>\nstartxref"))
	return slices.Concat(doc[:at], []byte(key), doc[at:])
}

// TestTrailerKeysComeBack: an update may leave a key behind, and a later one of another program take it over again. It may bring
// none of its own.
func TestTrailerKeysComeBack(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	first := keyed(revise(t, sound, map[int]string{20: "1"}), "/Own(x)/Encrypt null")
	signed := revise(t, first, map[int]string{21: "2"})
	for key, reason := range map[string]string{"/Own(x)": "", "/Own(y)": "trailer_key", "/Else(x)": "trailer_key", "/Encrypt 20 0 R": "trailer_key"} {
		doc := keyed(revise(t, signed, map[int]string{22: "3"}), key)
		got, err := Differences(bytes.NewReader(doc), int64(len(doc)), int64(len(signed)), Budget{})
		if reason == "" && (err != nil || !got.Permitted) {
			t.Errorf("%s: %+v %v", key, got, err)
		}
		// What is encrypted is not opened at all.
		if reason != "" && err == nil && (got.Permitted || strings.Join(got.Reasons, " ") != reason) {
			t.Errorf("%s: %+v, want %s", key, got, reason)
		}
	}
}

// TestTheChecksumStays: an update takes over what LibreOffice writes into its trailer (7.5.6).
func TestTheChecksumStays(t *testing.T) {
	doc, err := os.ReadFile("../testdata/pdf/libreoffice-writer.pdf")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p, whole := prepareBytes(t, doc, options())
		if !bytes.Contains(p.Update, []byte("/DocChecksum /580ED988F3DEFF642B782B8B593E5989>>\nstartxref")) {
			t.Errorf("the trailer has lost a key: %s", p.Update[bytes.LastIndex(p.Update, []byte("trailer")):])
		}
		doc = whole
	}
}

// TestAnArrayLeftBehind: EU DSS gives a page an array of its own when it had one that is an object. The widgets in the old one
// are not on a page twice by that.
func TestAnArrayLeftBehind(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	const annots = "[6 0 R 7 0 R 9 0 R]"
	// The array has a smaller number than the page, so that it is come to first.
	signed := revise(t, sound, map[int]string{2: "<</Type/Pages/Kids[40 0 R]/Count 1>>", 40: strings.Replace(soundPage, annots, " 30 0 R", 1), 30: annots})
	more := strings.Replace(annots, "]", " 20 0 R]", 1)
	second := revise(t, signed, map[int]string{30: more, 14: strings.Replace(soundForm, annots, more, 1),
		20: "<</FT/Sig/T(Third)/Type/Annot/Subtype/Widget/Rect[0 0 0 0]/P 40 0 R>>"})
	for list, want := range map[string]bool{more: true, strings.Replace(more, "]", " 20 0 R]", 1): false} {
		doc := revise(t, second, map[int]string{40: strings.Replace(soundPage, annots, list, 1)})
		got, err := Differences(bytes.NewReader(doc), int64(len(doc)), int64(len(signed)), Budget{})
		if err != nil || got.Permitted != want || !want && strings.Join(got.Reasons, " ") != "widget_on_two_pages 20" {
			t.Errorf("%s: %+v %v", list, got, err)
		}
	}
}

// TestEveryRevisionCounts: what one revision changed and the next one changed back is a change; a later revision may go on with
// what an earlier one added.
func TestEveryRevisionCounts(t *testing.T) {
	sound, err := maker.Sound()
	if err != nil {
		t.Fatal(err)
	}
	end := int64(len(sound))
	ask := func(doc []byte) Changes {
		t.Helper()
		c, err := Differences(bytes.NewReader(doc), int64(len(doc)), end, Budget{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	d, err := open(bytes.NewReader(sound), end, Budget{})
	if err != nil {
		t.Fatal(err)
	}
	content, _ := bodyOf(t, d, sound, 4)
	there := revise(t, sound, map[int]string{4: newLook})
	back := revise(t, there, map[int]string{4: content})
	if c := ask(back); c.Level != ChangesOther || !slices.Contains(c.Reasons, "object_overridden 4") {
		t.Errorf("there and back: %+v", c)
	}
	first := revise(t, sound, map[int]string{1: soundCatalog("/DSS 20 0 R"), 20: "<</Certs[21 0 R]>>", 21: oneDER})
	second := revise(t, first, map[int]string{20: "<</Certs[21 0 R 22 0 R]>>", 22: oneDER})
	third := revise(t, second, map[int]string{1: soundCatalog("/DSS 23 0 R"), 20: "(gone)", 23: "<</Certs[22 0 R]>>"})
	for _, doc := range [][]byte{first, second, third} {
		if c := ask(doc); c.Level != ChangesLTA || !c.Permitted {
			t.Errorf("validation data: %+v", c)
		}
	}
	// Against the revision with the store, its list became shorter, and moved.
	c, err := Differences(bytes.NewReader(third), int64(len(third)), int64(len(second)), Budget{})
	if err != nil || c.Level != ChangesLTA || !c.Permitted {
		t.Errorf("a shorter list: %+v %v", c, err)
	}
	gone := revise(t, second, map[int]string{1: soundCatalog("")})
	if c, err := Differences(bytes.NewReader(gone), int64(len(gone)), int64(len(second)), Budget{}); err != nil || c.Level != ChangesOther {
		t.Errorf("the store is gone: %+v %v", c, err)
	}
	stream := revise(t, second, map[int]string{21: "<</Length 3>>\nstream\n0\x01\x01\nendstream"})
	if c, err := Differences(bytes.NewReader(stream), int64(len(stream)), int64(len(second)), Budget{}); err != nil || c.Level != ChangesOther {
		t.Errorf("a stream of the store is another: %+v %v", c, err)
	}
}

// TestUnreadableObjects: what an object that cannot be read refers to is not known, so no change is permitted beside it; a row
// with offset 0 is no object.
func TestUnreadableObjects(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		row   string // in place of that of object 5
		level ChangeLevel
	}{
		"sound":       {"<<>>", "", ChangesFormFilling},
		"a key alone": {"<</A>>", "", ChangesUnknown},
		"no length":   {"<<>>\nstream\n\nendstream", "", ChangesUnknown},
		"elsewhere":   {"<<>>", "0000000015 00000 n", ChangesUnknown},
		"nowhere":     {"<<>>", "0000000000 00000 n", ChangesFormFilling},
	} {
		base := classic(spec{more: []item{{5, c.body}}})
		if c.row != "" {
			i := bytes.LastIndex(base, []byte("trailer")) - rowLen
			base = slices.Concat(base[:i], []byte(c.row), base[i+len(c.row):])
		}
		_, once := prepareBytes(t, base, options())
		_, twice := prepareBytes(t, once, options())
		_, all := differences(t, twice)
		if all[0].Level != c.level || all[0].Permitted != (c.level != ChangesUnknown) {
			t.Errorf("%s: %+v", name, all[0])
		}
	}
}

// TestReasonsAreDocumented: docs/names.md has each reason, with the meaning that the code gives it.
func TestReasonsAreDocumented(t *testing.T) {
	names := string(readFile(t, "../docs/names.md"))
	found := regexp.MustCompile(`(?m)= "([a-z_]+)"\s+// (.+)$`).FindAllStringSubmatch(string(readFile(t, "diff_reasons.go")), -1)
	if len(found) < 50 {
		t.Fatalf("%d reasons", len(found))
	}
	for _, f := range found {
		if !strings.Contains(names, "| `"+f[1]+"` | "+f[2]+" |") {
			t.Errorf("%s is not in docs/names.md, or with another meaning", f[1])
		}
	}
}

// TestFilling: what may change in a field depends on its kind.
func TestFilling(t *testing.T) {
	const place = "/Type/Annot/Subtype/Widget/Rect[0 0 9 9]/P 3 0 R"
	const look = "<</Subtype/Form/BBox[0 0 9 9]/Length 1>>\nstream\nx\nendstream"
	base := classic(formSpec("[5 0 R 6 0 R 7 0 R 8 0 R 9 0 R 10 0 R]", "/SigFlags 3", "/Annots[5 0 R 6 0 R 7 0 R 8 0 R 12 0 R 10 0 R]",
		item{5, "<</FT/Btn/T(Box)/V/Off/AS/Off/AP<</N<</On 20 0 R/Off 20 0 R>>>>" + place + ">>"},
		item{6, "<</FT/Btn/Ff 65536/T(Push)/MK<</CA(Go)>>" + place + ">>"},
		item{7, "<</FT/Ch/T(Choice)/Opt[(a)(b)]/V(a)" + place + ">>"},
		item{8, sigField("")},
		item{9, "<</FT/Tx/T(Group)/Kids[12 0 R]/V(a)>>"},
		item{10, "<</FT/Tx/T(Shared)/V(a)/AP 13 0 R" + place + ">>"},
		item{12, "<</Parent 9 0 R/AP<</N 20 0 R>>" + place + ">>"},
		item{13, "<</N 20 0 R>>"},
		item{20, look}))
	o := options()
	o.FieldName = "Signed"
	_, doc := prepareBytes(t, base, o)
	field := func(num int) string {
		d, err := open(bytes.NewReader(doc), int64(len(doc)), Budget{})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := bodyOf(t, d, doc, num)
		return body
	}
	with := func(num int, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(field(num)) }
	page, form := field(3), field(1)
	if !strings.Contains(form, "10 0 R") {
		t.Fatal(form)
	}
	kid := "<</Parent 30 0 R/Type/Annot/Subtype/Widget/Rect[0 0 0 0]>>"
	listed := func(objects map[int]string) map[int]string {
		objects[1] = strings.Replace(form, "10 0 R ", "10 0 R 30 0 R ", 1)
		objects[3] = strings.Replace(page, "10 0 R ", "10 0 R 31 0 R ", 1)
		return objects
	}
	for name, c := range map[string]struct {
		objects map[int]string
		level   ChangeLevel
		reason  string
	}{
		"a box":                       {map[int]string{5: with(5, "/Off/AS/Off", "/On/AS/On")}, ChangesFormFilling, ""},
		"a box's drawings":            {map[int]string{5: with(5, "/On 20", "/On 30"), 30: look}, ChangesOther, "field_key 5"},
		"a push button":               {map[int]string{6: with(6, "(Go)", "(Stop)")}, ChangesOther, "object_overridden 6"},
		"a choice":                    {map[int]string{7: with(7, "/V(a)", "/V(b)/I[1]")}, ChangesFormFilling, ""},
		"choices":                     {map[int]string{7: with(7, "[(a)(b)]", "[(a)(c)]")}, ChangesOther, "field_key 7"},
		"a value of a field with kid": {map[int]string{9: with(9, "/V(a)", "/V(b)"), 12: with(12, "/N 20", "/N 30"), 30: look}, ChangesFormFilling, ""},
		"a value of a widget":         {map[int]string{12: with(12, "/AP", "/V(b)/AP")}, ChangesOther, "field_key 12"},
		"a value that is an object":   {map[int]string{9: with(9, "/V(a)", "/V 30 0 R"), 30: "(b)"}, ChangesFormFilling, ""},
		"a value that is an old one":  {map[int]string{9: with(9, "/V(a)", "/V 4 0 R")}, ChangesOther, "old_object_reused 9"},
		"kids":                        {map[int]string{9: with(9, "[12 0 R]", "[12 0 R 30 0 R]"), 30: "<</Parent 9 0 R" + place + ">>"}, ChangesOther, "field_key 9"},
		"an appearance dictionary":    {map[int]string{10: with(10, "/V(a)", "/V(b)"), 13: "<</N 30 0 R>>", 30: look}, ChangesFormFilling, ""},
		"an appearance in its place":  {map[int]string{20: strings.Replace(look, "x", "y", 1)}, ChangesOther, "used_elsewhere 20"},
		"a field with two widgets":    {listed(map[int]string{30: "<</FT/Sig/T(New)/Kids[31 0 R 32 0 R]>>", 31: kid, 32: kid}), ChangesFormFilling, ""},
		"a widget of another field":   {listed(map[int]string{30: "<</FT/Sig/T(New)/Kids[31 0 R]>>", 31: strings.Replace(kid, "30 0 R", "9 0 R", 1)}), ChangesOther, "widget 31"},
		"a widget with a name":        {listed(map[int]string{30: "<</FT/Sig/T(New)/Kids[31 0 R]>>", 31: strings.Replace(kid, "/Type", "/T(x)/Type", 1)}), ChangesOther, "widget 31"},
		"an empty signature field":    {map[int]string{8: with(8, "/F 132", "/F 4")}, ChangesFormFilling, ""},
		"a signature that is none":    {map[int]string{8: with(8, "/F 132", "/F 132/V 30 0 R"), 30: "<</Type/Sig>>"}, ChangesOther, "signature_value 30"},
		"a signature that is old":     {map[int]string{8: with(8, "/F 132", "/F 132/V 4 0 R")}, ChangesOther, "signature_value 8"},
	} {
		whole := revise(t, doc, c.objects)
		got, err := Differences(bytes.NewReader(whole), int64(len(whole)), int64(len(doc)), Budget{})
		if err != nil || got.Level != c.level || got.Permitted != (c.reason == "") || c.reason != "" && !slices.Contains(got.Reasons, c.reason) {
			t.Errorf("%s: %+v %v, want %v %q", name, got, err, c.level, c.reason)
		}
	}
}
