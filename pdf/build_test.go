package pdf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The test documents are made here, each as small as its point allows.

// item is an indirect object of generation 0.
type item struct {
	num  int
	body string
}

func streamBody(dict string, data []byte) string {
	return fmt.Sprintf("<<%s/Length %d>>\nstream\n%s\nendstream", dict, len(data), data)
}

// spec is a document of one page: 1 catalog, 2 page tree, 3 page, 4 content.
type spec struct {
	version string // "1.7" when empty
	catalog string // more entries of the catalog
	page    string // more entries of the page
	more    []item
	trailer string // more entries of the trailer
}

func (s spec) items() []item {
	return append([]item{
		{1, "<</Type/Catalog/Pages 2 0 R" + s.catalog + ">>"},
		{2, "<</Type/Pages/Kids[3 0 R]/Count 1>>"},
		{3, "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Resources<<>>/Contents 4 0 R" + s.page + ">>"},
		{4, streamBody("", []byte("0 0 m 9 9 l S"))},
	}, s.more...)
}

func (s spec) header() string {
	v := s.version
	if v == "" {
		v = "1.7"
	}
	return "%PDF-" + v + "\n%\xE2\xE3\xCF\xD3\n"
}

// file is a document under construction.
type file struct {
	bytes.Buffer
	offs map[int]int64    // objects at offsets
	inst map[int][2]int64 // objects in object streams: stream, index
	prev int64            // newest section, -1 = none
	size int
}

func newFile(s spec) *file {
	f := &file{prev: -1}
	f.begin()
	f.WriteString(s.header())
	return f
}

// begin starts a revision.
func (f *file) begin() {
	f.offs, f.inst = make(map[int]int64), make(map[int][2]int64)
}

func (f *file) put(items ...item) {
	for _, it := range items {
		f.offs[it.num] = int64(f.Len())
		f.size = max(f.size, it.num+1)
		fmt.Fprintf(f, "%d 0 obj\n%s\nendobj\n", it.num, it.body)
	}
}

// putStream puts items into object stream num.
func (f *file) putStream(num int, items ...item) {
	var head, body strings.Builder
	for i, it := range items {
		fmt.Fprintf(&head, "%d %d ", it.num, body.Len())
		body.WriteString(it.body + "\n")
		f.inst[it.num] = [2]int64{int64(num), int64(i)}
		f.size = max(f.size, it.num+1)
	}
	index, data := head.String(), body.String()
	f.put(item{num, streamBody(fmt.Sprintf("/Type/ObjStm/N %d/First %d/Filter/FlateDecode", len(items), len(index)),
		deflate(index+data))})
}

func deflate(s string) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.Bytes()
}

// runsOf cuts sorted numbers into runs.
func runsOf(nums []int) [][]int {
	var out [][]int
	for i, n := range nums {
		if i == 0 || n != nums[i-1]+1 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], n)
	}
	return out
}

func (f *file) trailer(extra string) string {
	t := fmt.Sprintf("/Size %d/Root 1 0 R%s", f.size, extra)
	if f.prev >= 0 {
		t += fmt.Sprintf("/Prev %d", f.prev)
	}
	return t
}

// table ends a revision with a classic section.
func (f *file) table(extra string) *file {
	t := f.trailer(extra)
	first := f.prev < 0
	f.prev = int64(f.Len())
	f.WriteString("xref\n")
	if first {
		f.WriteString("0 1\n0000000000 65535 f\r\n")
	}
	for _, run := range runsOf(slices.Sorted(maps.Keys(f.offs))) {
		fmt.Fprintf(f, "%d %d\n", run[0], len(run))
		for _, n := range run {
			fmt.Fprintf(f, "%010d 00000 n\r\n", f.offs[n])
		}
	}
	fmt.Fprintf(f, "trailer\n<<%s>>\n", t)
	f.end()
	return f
}

func (f *file) end() {
	fmt.Fprintf(f, "startxref\n%d\n%%%%EOF\n", f.prev)
	f.begin()
}

// rowsFor are the rows of a cross-reference stream, /W [1 4 2].
func (f *file) rowsFor() (index string, data []byte) {
	all := make(map[int]bool)
	for n := range f.offs {
		all[n] = true
	}
	for n := range f.inst {
		all[n] = true
	}
	if f.prev < 0 {
		all[0] = true
	}
	for _, run := range runsOf(slices.Sorted(maps.Keys(all))) {
		index += fmt.Sprintf("%d %d ", run[0], len(run))
		for _, n := range run {
			row := make([]byte, 7)
			if at, ok := f.inst[n]; ok {
				row[0] = 2
				binary.BigEndian.PutUint32(row[1:], uint32(at[0]))
				binary.BigEndian.PutUint16(row[5:], uint16(at[1]))
			} else if n > 0 {
				row[0] = 1
				binary.BigEndian.PutUint32(row[1:], uint32(f.offs[n]))
			}
			data = append(data, row...)
		}
	}
	return strings.TrimSpace(index), data
}

// stream ends a revision with a cross-reference stream; png adds predictor 12
// with a mix of row filters.
func (f *file) stream(extra string, png bool) *file {
	t := f.trailer(extra)
	num := f.size
	f.size++
	start := int64(f.Len())
	f.offs[num] = start
	index, data := f.rowsFor()
	parms := ""
	if png {
		parms = "/DecodeParms<</Predictor 12/Columns 7>>"
		data = pngRows(data, 7)
	}
	t = strings.Replace(t, fmt.Sprintf("/Size %d", num), fmt.Sprintf("/Size %d", f.size), 1)
	fmt.Fprintf(f, "%d 0 obj\n%s\nendobj\n", num, streamBody("/Type/XRef/W[1 4 2]/Index["+index+"]/Filter/FlateDecode"+
		parms+t, deflate(string(data))))
	f.prev = start
	f.end()
	return f
}

// pngRows encodes rows with the filters none, sub, up, average and Paeth in turn.
func pngRows(data []byte, cols int) []byte {
	var out []byte
	prev := make([]byte, cols)
	for i := 0; i < len(data); i += cols {
		row := data[i : i+cols]
		typ := byte(i / cols % 5)
		out = append(out, typ)
		for x := range row {
			var left, corner byte
			if x > 0 {
				left, corner = row[x-1], prev[x-1]
			}
			pred := [...]byte{0, left, prev[x], byte((int(left) + int(prev[x])) / 2), paeth(left, prev[x], corner)}[typ]
			out = append(out, row[x]-pred)
		}
		prev = row
	}
	return out
}

// hybrid ends the first revision with a table that hides the objects of object
// stream stm, and the stream that shows them.
func (f *file) hybrid(stm int, hidden ...item) *file {
	f.putStream(stm, hidden...)
	x := f.size
	f.size++
	plain := maps.Clone(f.offs)
	f.offs = map[int]int64{stm: f.offs[stm], x: int64(f.Len())}
	delete(plain, stm)
	f.prev = 0 // no row 0 in the stream
	index, data := f.rowsFor()
	at := int64(f.Len())
	fmt.Fprintf(f, "%d 0 obj\n%s\nendobj\n", x, streamBody(fmt.Sprintf("/Type/XRef/Size %d/W[1 4 2]/Index[%s]", f.size, index), data))
	f.offs, f.inst, f.prev = plain, map[int][2]int64{}, -1
	plain[x] = at
	return f.table(fmt.Sprintf("/XRefStm %d", at))
}

// classic is the whole document with one table.
func classic(s spec) []byte {
	f := newFile(s)
	f.put(s.items()...)
	return f.table(s.trailer).Bytes()
}

// packed has everything that may be there in an object stream.
func packed(s spec, png bool) []byte {
	f := newFile(s)
	var in []item
	for _, it := range s.items() {
		if strings.Contains(it.body, "stream\n") {
			f.put(it)
		} else {
			in = append(in, it)
		}
	}
	f.putStream(f.size+len(in)+20, in...)
	return f.stream(s.trailer, png).Bytes()
}

// fakeCMS is the shortest thing that looks like DER; nothing here verifies it.
const fakeCMS = "3003020100"

// signed appends a revision that fills field num with a signature over
// everything; change rewrites the dictionary before the offsets are known.
func (f *file) signed(sigNum int, fieldBody string, fieldNum int, more ...item) *file {
	return f.signedAs(sigNum, item{fieldNum, fieldBody}, func(r [4]int, contents string) string {
		return fmt.Sprintf("<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/ByteRange[%010d %010d %010d %010d]/Contents <%s>>>",
			r[0], r[1], r[2], r[3], contents)
	}, more...)
}

// signedAs is signed with a dictionary of one's own; its length must not depend
// on the numbers.
func (f *file) signedAs(sigNum int, field item, dict func(r [4]int, contents string) string, more ...item) *file {
	contents := fakeCMS + strings.Repeat("0", 20)
	base := bytes.Clone(f.Bytes())
	write := func(r [4]int) {
		f.Truncate(len(base))

		f.begin()
		f.put(field)
		f.put(more...)
		f.put(item{sigNum, dict(r, contents)})
		f.table("")

	}
	prev := f.prev
	write([4]int{})
	at := bytes.LastIndex(f.Bytes(), []byte("<"+contents+">"))
	r := [4]int{0, at, at + len(contents) + 2, f.Len() - at - len(contents) - 2}
	f.prev = prev
	write(r)
	return f
}
