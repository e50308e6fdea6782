package pdftest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

const head = "<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/M(D:{time})"

func dict(name, how, problem, rest string) plan {
	return plan{name: "usf-" + name, how: how, problem: problem, o: options{sig: head + rest + ">>"}}
}

// universal are signatures without something to verify.
func universal() []plan {
	const br, c = "/ByteRange[{r0} {r1} {r2} {r3}]", "/Contents {contents}"
	indirect := dict("byterange-indirect", "ByteRange is a reference", "bad_byte_range", "/ByteRange 20 0 R"+c+"/X[{r0} {r1}]")
	indirect.o.more = func(f *file) { f.put(freeNum, "[0 1 2 3]") }
	return []plan{
		indirect,
		dict("no-byterange", "no ByteRange", "bad_byte_range", c),
		dict("byterange-null", "ByteRange is null", "bad_byte_range", "/ByteRange null"+c),
		dict("byterange-empty", "ByteRange is empty", "bad_byte_range", "/ByteRange[]"+c),
		dict("byterange-zeros", "four zeros", "bad_byte_range", "/ByteRange[0 0 0 0]"+c),
		dict("byterange-two", "two numbers", "bad_byte_range", "/ByteRange[{r0} {r1}]"+c),
		dict("byterange-six", "six numbers", "bad_byte_range", "/ByteRange[{r0} {r1} {r2} {r3} 0 0]"+c),
		dict("byterange-negative", "a negative length", "bad_byte_range", "/ByteRange[{r0} -{r1} {r2} {r3}]"+c),
		dict("byterange-negative-gap", "the gap ends before it begins", "bad_byte_range", "/ByteRange[{r0} {r2} {r1} {r3}]"+c),
		dict("byterange-starts-late", "the range leaves out the first byte", "bad_byte_range", "/ByteRange[1 {r1} {r2} {r3}]"+c),
		dict("byterange-real", "a number with a point", "bad_byte_range", "/ByteRange[0.0 {r1} {r2} {r3}]"+c),
		dict("byterange-huge", "a length far behind the file", "bad_byte_range", "/ByteRange[{r0} {r1} {r2} 999999999999999999]"+c),
		dict("byterange-names", "ByteRange is a dictionary", "bad_byte_range", "/ByteRange<</A {r0}>>"+c),
		dict("byterange-twice", "two ByteRanges, the second one is right", "duplicate_key", "/ByteRange[0 1 2 3]"+br+c),
		dict("no-contents", "no Contents", "bad_contents", br+"/Kontents {contents}"),
		dict("contents-null", "Contents is null", "bad_contents", br+"/Contents null/X {contents}"),
		dict("contents-empty", "Contents is empty", "bad_cms", br+"/Contents <>/X {contents}"),
		dict("contents-literal", "Contents is a literal string, and the gap another key", "bad_contents", br+"/Contents(0)/X {contents}"),
		dict("contents-indirect", "Contents is a reference", "bad_contents", br+"/Contents 7 0 R/X {contents}"),
		dict("contents-other", "the gap is another key's string", "not_exact_gap", br+"/Contents <3000>/X {contents}"),
		dict("contents-twice", "two Contents, one of them escaped", "duplicate_key", br+"/C#6fntents <3000>"+c),
		{name: "usf-contents-zeros", how: "Contents is all zeros", problem: "bad_cms", then: func(f *file) {
			for i := f.start + 1; i < f.start+1+2*f.Reserve; i++ {
				f.buf[i] = '0'
			}
		}},
		{name: "usf-value-null", how: "the field has no value any more, and the signature stands in the file", problem: "removed", then: func(f *file) {
			f.put(fieldNum, strings.Replace(filled, "/V 8 0 R", "/V null", 1))
			f.xref("")
		}},
	}
}

// wrapped move the second range, or put something into the gap.
func wrapped() []plan {
	return []plan{
		{name: "swa-second-range-moved", problem: "not_exact_gap",
			how:  "ByteRange stood behind Contents: a new one, an object and a table are put into the gap, and the signed second range behind them",
			then: moveRange},
		{name: "siwa-content-in-gap", problem: "not_exact_gap", how: "an object stands in the gap, behind Contents; the signer left it out",
			o: options{sig: head + "/ByteRange[{r0} {r1} {r2} {r3}]/Contents {contents}>>"}, then: widenGap},
		{name: "siwa-literal-contents", problem: "bad_contents",
			how: "a revision replaces the page's content and writes the dictionary again, with the same range and a literal Contents so long that ranges " +
				"and contents add up to the file's length (pyHanko 0.38: entire file, valid)",
			then: literalContents},
		{name: "siwa-comment-in-contents", problem: "bad_contents", how: "white space within the digits of Contents", then: func(f *file) {
			f.buf[f.start+2*f.Reserve-1] = ' '
			f.buf[f.start+2*f.Reserve] = ' '
		}},
	}
}

// moveRange puts a new table at the place where the signed startxref, which moves with the second range, says it is.
func moveRange(f *file) {
	g := unsigned(f.Maker, options{})
	g.sig(sigNum, head+"/Contents {contents}/ByteRange[{r0} {r1} {r2} {r3}]>>")
	g.put(fieldNum, filled)
	g.put(freeNum, stream("", strings.Repeat(" ", 400)))
	first := g.prev
	g.xref("")
	g.finish()
	gap := g.start + 2 + 2*g.Reserve
	tail := bytes.Clone(g.buf[gap:])
	g.buf = g.buf[:gap]
	g.add(fmt.Sprintf("/ByteRange[0 %010d {second} %010d]>>\nendobj\n", g.start, len(tail)))
	g.offs = map[int]int{sigNum: g.at(sigNum)}
	g.put(contentNum, stream("", evilText))
	g.put(fieldNum, filled)
	g.add(strings.Repeat(" ", g.prev-len(g.buf)))
	g.add(g.rows(nil) + fmt.Sprintf("trailer\n<</Size %d/Root 1 0 R/Info 13 0 R/Prev %d>>\n", g.size, first))
	g.buf = bytes.Replace(g.buf, []byte("{second}"), fmt.Appendf(nil, "%08d", len(g.buf)), 1)
	g.buf = append(g.buf, tail...)
	*f = *g
}

// at is the place of the newest object num.
func (f *file) at(num int) int {
	return bytes.LastIndex(f.buf, fmt.Appendf(nil, "\n%d 0 obj\n", num)) + 1
}

// widenGap lets the gap end behind the dictionary, and signs that.
func widenGap(f *file) {
	f.rewriteSig(func(end int) int { return bytes.IndexByte(f.buf[end:], '\n') + 1 })
}

// rewriteSig signs again with a second range that begins so much later.
func (f *file) rewriteSig(later func(end int) int) {
	end := f.start + 2 + 2*f.Reserve
	from := end + later(end)
	for i, n := range []int{0, f.start, from, len(f.buf) - from} {
		for _, at := range f.marks[tokens[i]] {
			copy(f.buf[at:], fmt.Sprintf("%010d", n))
		}
	}
	f.fill(append(bytes.Clone(f.buf[:f.start]), f.buf[from:]...))
}

func literalContents(f *file) {
	body := f.body(sigNum)
	i := strings.Index(body, "/Contents ") + len("/Contents ")
	rest := body[i+strings.IndexByte(body[i:], '>')+1:]
	var octal strings.Builder
	for j := f.start + 1; j < f.start+1+2*f.Reserve; j += 2 {
		v, err := strconv.ParseUint(string(f.buf[j:j+2]), 16, 8)
		if err != nil {
			f.err = err
		}
		fmt.Fprintf(&octal, "\\%03o", v)
	}
	build := func(zeros int) *file {
		g := &file{buf: bytes.Clone(f.buf), offs: make(map[int]int), prev: f.prev, size: f.size, err: f.err}
		g.put(contentNum, stream("", evilText))
		g.put(sigNum, body[:i]+"("+octal.String()+strings.Repeat("\x00", zeros)+")"+rest)
		g.xref("")
		return g
	}
	// A zero is one byte of the file, and counts for two digits.
	*f = *build(len(build(0).buf) - len(f.buf))
}

// tails are ranges that do not end where a revision ends.
func tails() []plan {
	return []plan{
		{name: "tail-range-ends-before-eof", how: "the range leaves out %%EOF", problem: "not_a_revision", o: options{shift: -6}},
		{name: "tail-range-ends-before-startxref", how: "the range leaves out startxref, as a preparer of hashes could arrange", problem: "not_a_revision",
			o: options{shift: -22}},
		{name: "tail-range-ends-late", how: "the range ends in the revision that follows", problem: "not_a_revision", o: options{shift: 8},
			then: func(f *file) {
				f.add("%comment\n")
				f.shift = 0
				f.finish()
			}},
		{name: "tail-trailer-goes-on", problem: "not_a_revision",
			how:  "startxref and %%EOF of the signed revision stand in a string of its trailer, which goes on behind the signed bytes",
			then: trailerGoesOn},
		{name: "tail-stream-goes-on", reason: "object_not_signed",
			how:  "the signed revision's end stands in the data of a stream, which goes on behind the signed bytes",
			then: streamGoesOn},
		{name: "tail-row-behind", reason: "object_not_signed", how: "a row of the signed table points behind the signed bytes, where the object comes later",
			then: rowBehind},
		{name: "tail-bytes-behind-eof", reason: "bytes_behind_eof", how: "a line behind the last %%EOF", then: func(f *file) { f.add("999 EUR\n") }},
	}
}

// open writes a signed revision up to its trailer's last key.
func open(f *file, more map[int]int) (section int) {
	f.put(fieldNum, filled)
	f.sig(sigNum, usual)
	section = len(f.buf)
	for num := range more {
		f.size = max(f.size, num+1)
	}
	f.add(f.rows(more) + fmt.Sprintf("trailer\n<</Size %d/Prev %d/Info 13 0 R/ID[<01><02>]", f.size, f.prev))
	f.offs = make(map[int]int)
	f.prev = section
	return section
}

func trailerGoesOn(f *file) {
	g := unsigned(f.Maker, options{})
	end := fmt.Sprintf("startxref\n%d\n%%%%EOF\n", open(g, nil))
	g.add("/X(\n" + end)
	g.finish()
	g.add(")/Root 1 0 R>>\n" + end)
	*f = *g
}

func streamGoesOn(f *file) {
	g := unsigned(f.Maker, options{})
	section := open(g, map[int]int{contentNum: 0})
	g.add("/Root 1 0 R>>\n")
	g.patch(section, len(g.buf))
	end := fmt.Sprintf("startxref\n%d\n%%%%EOF\n", section)
	g.add(fmt.Sprintf("4 0 obj\n<</Length %d>>\nstream\n%%\n%s", 2+len(end)+len(evilText), end))
	g.finish()
	g.add(evilText + "\nendstream\nendobj\n")
	g.put(infoNum, "<</Title(Order)>>")
	g.xref("")
	*f = *g
}

func rowBehind(f *file) {
	g := unsigned(f.Maker, options{})
	section := open(g, map[int]int{contentNum: 0})
	g.add("/Root 1 0 R>>\n")
	g.end()
	g.patch(section, len(g.buf))
	g.finish()
	g.put(contentNum, stream("", evilText))
	g.offs = make(map[int]int)
	g.put(infoNum, "<</Title(Order)>>")
	g.xref("")
	*f = *g
}

// patch gives the row that is zero its offset.
func (f *file) patch(section, off int) {
	i := bytes.Index(f.buf[section:], []byte("\n0000000000 00000 n"))
	copy(f.buf[section+i+1:], fmt.Sprintf("%010d", off))
}
