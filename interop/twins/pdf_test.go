//go:build interop

package twins

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/pdf"
)

// places of a PDF in which a byte is changed: what is found there, and which
// byte of it.
var places = []struct {
	class, find string
	at          int
}{
	{"header", "%PDF-", 1}, {"header", "%PDF-", 5}, {"header", "%PDF-", 7}, {"header", "%PDF-", 8},
	{"body", "1 0 obj", 0}, {"body", "/Count 1", 7}, {"body", "/Kids [3", 7}, {"body", "/MediaBox", 1}, {"body", "595.28", 0}, {"body", "/Type /Pages", 8},
	{"body", "/OpenAction", 1}, {"body", "/FitH", 2}, {"body", "/PageLayout", 1}, {"body", "/Pages 1", 7}, {"body", "/Catalog", 1},
	{"body", "/Contents 4", 10}, {"body", "/Parent 1", 8}, {"body", "/Resources 6", 11}, {"body", "/Helvetica", 1}, {"body", "/F1 5", 4}, {"body", "D:2026", 3}, {"body", "endobj", 0},
	{"page content", "stream\n", 8}, {"page content", "stream\n", 30}, {"page content", "/Length 75", 8}, {"page content", "/FlateDecode", 2}, {"page content", "endstream", 0},
	{"field", "/FT", 1}, {"field", "/FT", 2}, {"field", "/T ", 4}, {"field", "/T(", 3}, {"field", "/V ", 3}, {"field", "/Fields", 1}, {"field", "/SigFlags", 1}, {"field", "/AcroForm", 1},
	{"field", "/Subtype /Widget", 10}, {"field", "/Subtype/Widget", 10}, {"field", "/Rect", 1}, {"field", "/Annots", 1},
	{"signature dictionary", "/Type /Sig", 7}, {"signature dictionary", "/Type/Sig", 6}, {"signature dictionary", "Adobe.PPKLite", 2}, {"signature dictionary", "ETSI.CAdES", 5}, {"signature dictionary", "/Filter /Adobe", 2}, {"signature dictionary", "/Filter/Adobe", 2},
	{"signature dictionary", "/SubFilter", 2}, {"signature dictionary", "/ByteRange", 3}, {"signature dictionary", "/Contents <", 3}, {"signature dictionary", "/Contents<", 3},
	{"signature dictionary", "/M ", 1}, {"signature dictionary", "/M(", 1}, {"signature dictionary", "(D:", 5}, {"signature dictionary", "(D:", 12},
	{"cross-references", "xref\n", 1}, {"cross-references", "xref\n", 5}, {"cross-references", " 65535 f", 8}, {"cross-references", " 00000 n", 7}, {"cross-references", "0000000015", 9},
	{"trailer", "/Size", 6}, {"trailer", "/Root", 6}, {"trailer", "/Prev", 6}, {"trailer", "/ID", 1}, {"trailer", "/Info", 6}, {"trailer", "trailer", 0},
	{"startxref", "startxref\n", 10}, {"startxref", "startxref\n", 0}, {"end of file", "%%EOF", 0}, {"end of file", "%%EOF", 3},
}

// changedBytes changes a byte at each place, the first and the last that there is.
func changedBytes(doc []byte, yield func(class, name string, bad []byte)) {
	seen := map[int]bool{}
	for _, p := range places {
		for which, at := range map[string]int{"first": bytes.Index(doc, []byte(p.find)), "last": bytes.LastIndex(doc, []byte(p.find))} {
			if at < 0 || seen[at+p.at] {
				continue
			}
			seen[at+p.at] = true
			bad := bytes.Clone(doc)
			bad[at+p.at] ^= 1
			yield(p.class, fmt.Sprintf("%s %q+%d", which, p.find, p.at), bad)
		}
	}
}

// signedPlaces are what is changed around one signature or time-stamp.
func signedPlaces(doc []byte, s pdf.Signature, who string, yield func(class, name string, bad []byte)) {
	change := func(class, name string, at int64, to string) {
		bad := bytes.Clone(doc)
		copy(bad[at:], to)
		if !bytes.Equal(bad, doc) {
			yield(class, who+" "+name, bad)
		}
	}
	end := s.ContentsStart + 1 + 2*int64(len(s.CMS))
	change("gap", "( for <", s.ContentsStart, "(")
	change("gap", "space for <", s.ContentsStart, " ")
	change("gap", ") for >", s.ContentsEnd-1, ")")
	change("gap", "no hex", s.ContentsStart+40, "x")
	change("gap", "a name in it", s.ContentsEnd-20, ">/Reason(evil)/X<00")
	change("padding", "first digit", end, "1")
	change("padding", "in the middle", (end+s.ContentsEnd)/2, "DEADBEEF")
	change("padding", "last digit", s.ContentsEnd-2, "1")
	change("padding", "spaces", end+10, "    ")
	for i, n := range s.ByteRange {
		// The numbers of the dictionary before Contents: one more, one less.
		at := bytes.LastIndex(doc[:s.ContentsStart], []byte("/ByteRange"))
		if at < 0 {
			continue
		}
		loc := regexp.MustCompile(`\d+`).FindAllIndex(doc[at:s.ContentsStart], 4)
		if len(loc) < 4 {
			continue
		}
		width := loc[i][1] - loc[i][0]
		for _, other := range []int64{n + 1, max(n-1, 0), 0} {
			if text := fmt.Sprintf("%0*d", width, other); len(text) == width && other != n {
				change("ByteRange", fmt.Sprintf("number %d is %d", i, other), int64(at+loc[i][0]), text)
			}
		}
	}
}

// tails are what stands behind the end, or is missing there.
func tails(doc []byte, yield func(class, name string, bad []byte)) {
	for name, tail := range map[string]string{
		"a letter": "x", "a line": "\n", "blanks": "   \r\n", "a comment": "% and so on\n", "end of file": "%%EOF\n", "zeros": strings.Repeat("\x00", 100),
		"an object": "\n99 0 obj\n<</Type/Catalog>>\nendobj\n", "another startxref": "startxref\n0\n%%EOF\n",
	} {
		yield("bytes after EOF", name, slices.Concat(doc, []byte(tail)))
	}
	for _, n := range []int{1, 2, 3, 6, 7, 12, 20, 60, 200} {
		yield("cut tail", fmt.Sprintf("%d bytes", n), doc[:len(doc)-n])
	}
	yield("cut tail", "half", doc[:len(doc)/2])
	yield("bytes in front", "a line", slices.Concat([]byte("%\n"), doc))
}

// update writes a revision by hand: objects replaced or new.
func update(doc []byte, objects map[int]string) []byte {
	out := bytes.Clone(doc)
	last := regexp.MustCompile(`startxref\s+(\d+)`).FindAllSubmatch(doc, -1)
	prev := string(last[len(last)-1][1])
	size, root := 0, ""
	for _, m := range regexp.MustCompile(`/Size\s+(\d+)`).FindAllSubmatch(doc, -1) {
		var n int
		fmt.Sscan(string(m[1]), &n)
		size = max(size, n)
	}
	root = string(regexp.MustCompile(`/Root\s+(\d+ \d+ R)`).FindSubmatch(doc)[1])
	var rows strings.Builder
	numbers := []int{}
	for n := range objects {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		fmt.Fprintf(&rows, "%d 1\n%010d 00000 n \n", n, len(out))
		out = fmt.Appendf(out, "%d 0 obj\n%s\nendobj\n", n, objects[n])
		size = max(size, n+1)
	}
	at := len(out)
	out = fmt.Appendf(out, "xref\n%strailer\n<</Size %d/Root %s/Prev %s>>\nstartxref\n%d\n%%%%EOF\n", rows.String(), size, root, prev, at)
	return out
}

// revisions are later increments of people who want the page to say something else.
func revisions(doc []byte, yield func(class, name string, bad []byte)) {
	stream := "<</Length 22>>\nstream\n0 0 m 100 100 l S     \nendstream"
	page := "<</Type/Page/Parent 1 0 R/Resources 6 0 R/Contents 4 0 R%s>>"
	for name, objects := range map[string]map[int]string{
		"page content replaced":     {4: stream},
		"page turned":               {3: fmt.Sprintf(page, "/Rotate 90")},
		"page box cut":              {3: fmt.Sprintf(page, "/MediaBox[0 0 10 10]")},
		"page added":                {1: "<</Type/Pages/Kids[3 0 R 90 0 R]/Count 2/MediaBox[0 0 595.28 841.89]>>", 90: fmt.Sprintf(page, "")},
		"font replaced":             {5: "<</Type/Font/Subtype/Type1/BaseFont/Symbol>>"},
		"another catalog with open": {2: "<</Type/Catalog/Pages 1 0 R/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>"},
	} {
		yield("page content replaced", name, update(doc, objects))
	}
	for name, annotation := range map[string]string{
		"text":      "<</Type/Annot/Subtype/FreeText/Rect[0 0 500 500]/Contents(I owe you)/DA(/Helv 12 Tf)>>",
		"stamp":     "<</Type/Annot/Subtype/Stamp/Rect[0 0 500 500]/Contents(x)>>",
		"link":      "<</Type/Annot/Subtype/Link/Rect[0 0 500 500]/A<</S/URI/URI(http://evil.example)>>>>",
		"highlight": "<</Type/Annot/Subtype/Highlight/Rect[0 0 5 5]/QuadPoints[0 0 5 0 0 5 5 5]>>",
	} {
		yield("annotation added", name, update(doc, map[int]string{3: fmt.Sprintf(page, "/Annots[90 0 R]"), 90: annotation}))
		// The widget of the signature stays in the list.
		if m := regexp.MustCompile(`/Annots\s*\[([^\]]*)\]`).FindSubmatch(doc); m != nil {
			yield("annotation added", name+" beside the widget", update(doc, map[int]string{3: fmt.Sprintf(page, "/Annots["+string(m[1])+" 90 0 R]"), 90: annotation}))
		}
	}
	yield("empty update", "no object", update(doc, nil))
	yield("dictionary spoofed", "an object that is not used", update(doc, map[int]string{91: "<</Type/Sig/Name(Somebody else)/M(D:19990101000000Z)>>"}))
}

// spoofed replaces the signature dictionary of the last revision by one with another /M.
func spoofed(t testing.TB, doc []byte, yield func(class, name string, bad []byte)) {
	t.Helper()
	all := signatures(t, doc)
	s := all[0]
	head := doc[:s.ContentsStart]
	objects := regexp.MustCompile(`(\d+) 0 obj\s`).FindAllSubmatchIndex(head, -1)
	last := objects[len(objects)-1]
	var number int
	fmt.Sscan(string(doc[last[2]:last[3]]), &number)
	end := bytes.Index(doc[s.ContentsEnd:], []byte("endobj")) + int(s.ContentsEnd)
	body := string(doc[last[1]:end])
	now := regexp.MustCompile(`\(D:\d{14}`).FindString(body)
	for name, changed := range map[string]string{
		"time":        strings.Replace(body, now, "(D:19990101000000", 1),
		"same":        body,
		"with reason": strings.Replace(body, "/SubFilter", "/Reason(I agree to all)/SubFilter", 1),
	} {
		if name != "same" && changed == body {
			t.Fatalf("nothing was changed: %s", name)
		}
		yield("dictionary spoofed", name, update(doc, map[int]string{number: changed}))
	}
}

// pdfTwins are all of these, of each level.
func (w *world) pdfTwins(t testing.TB, p *products) []twin {
	t.Helper()
	var out []twin
	started := time.Now()
	for _, in := range []struct {
		name string
		doc  []byte
		of   person
	}{{"B-T P-256", p.bt["P-256"], w.p256}, {"B-LTA PSS", p.lta["PSS"], w.pss}, {"B-B PSS", p.bb["PSS"], w.pss}, {"B-LT P-256", p.lt["P-256"], w.p256}} {
		yield := func(class, name string, bad []byte) {
			if !bytes.Equal(bad, in.doc) {
				out = append(out, twin{class: class, name: in.name + ", " + name, file: bad, aside: !bytes.Contains(in.doc, []byte("/DSS")), of: in.of})
			}
		}
		short := in.name == "B-B PSS" || in.name == "B-LT P-256" // what does not depend on level and key is made of two only
		if !short {
			changedBytes(in.doc, yield)
			revisions(in.doc, yield)
			spoofed(t, in.doc, yield)
			tails(in.doc, yield)
		}
		for i, s := range signatures(t, in.doc) {
			if in.name == "B-LT P-256" {
				continue
			}
			signedPlaces(in.doc, s, fmt.Sprintf("signature %d", i), yield)
		}
		storePlaces(in.doc, yield)
	}
	t.Logf("%d twins of PDFs made in %v", len(out), time.Since(started))
	return out
}

// storePlaces changes the DSS dictionary and each of its streams.
func storePlaces(doc []byte, yield func(class, name string, bad []byte)) {
	for _, key := range []string{"/DSS", "/Certs", "/OCSPs", "/CRLs", "/Extensions"} {
		if at := bytes.LastIndex(doc, []byte(key)); at >= 0 {
			bad := bytes.Clone(doc)
			bad[at+2] ^= 1
			yield("data dictionary", key, bad)
		}
	}
	at := bytes.Index(doc, []byte("/DSS"))
	if at < 0 {
		return
	}
	begin := bytes.LastIndex(doc[:at], []byte("%%EOF"))
	for i, loc := range regexp.MustCompile(`(?s)stream\r?\n(.*?)\r?\nendstream`).FindAllSubmatchIndex(doc[begin:], -1) {
		for name, at := range map[string]int{"first": loc[2], "tenth": loc[2] + 10, "middle": (loc[2] + loc[3]) / 2, "last": loc[3] - 1} {
			bad := bytes.Clone(doc)
			bad[begin+at] ^= 1
			yield("data stream", fmt.Sprintf("stream %d, %s byte", i, name), bad)
		}
	}
}
