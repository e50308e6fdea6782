// Package pdftest makes small signed documents, and the attacks on them that are known (docs/decisions/0029-differences.md), for
// tests. It shares no code with package pdf, which has to read what it makes.
package pdftest

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Maker makes the documents.
type Maker struct {
	Reserve int                                  // bytes for the CMS
	Sign    func(content []byte) ([]byte, error) // gives the CMS over the bytes that a ByteRange covers
	Time    time.Time                            // /M
}

// file is a document under construction.
type file struct {
	buf  []byte
	offs map[int]int // objects of the revision that is written
	prev int         // the newest section; -1 = none
	size int
	Maker
	marks map[string][]int // where tokens of a signature dictionary stand, see sig
	start int              // of the newest signature's Contents
	shift int              // added to the last number of ByteRange
	err   error
}

func (f *file) add(s string) { f.buf = append(f.buf, s...) }

// put writes an object of generation 0.
func (f *file) put(num int, body string) {
	f.offs[num] = len(f.buf)
	f.size = max(f.size, num+1)
	f.add(fmt.Sprintf("%d 0 obj\n%s\nendobj\n", num, body))
}

// stream is the body of a stream object.
func stream(dict, data string) string {
	return fmt.Sprintf("<<%s/Length %d>>\nstream\n%s\nendstream", dict, len(data), data)
}

// rows is a table of the objects that were put, and of those in more.
func (f *file) rows(more map[int]int) string {
	all := maps.Clone(f.offs)
	maps.Copy(all, more)
	var s strings.Builder
	s.WriteString("xref\n")
	if f.prev < 0 {
		s.WriteString("0 1\n0000000000 65535 f\r\n")
	}
	for _, num := range slices.Sorted(maps.Keys(all)) {
		if all[num] < 0 {
			fmt.Fprintf(&s, "%d 1\n0000000000 00001 f\r\n", num)
			continue
		}
		fmt.Fprintf(&s, "%d 1\n%010d 00000 n\r\n", num, all[num])
	}
	return s.String()
}

// xref ends a revision with a table and a trailer.
func (f *file) xref(extra string) { f.xrefAt(nil, extra) }

// xrefAt is xref with rows for places of one's own; a negative one is a free row.
func (f *file) xrefAt(more map[int]int, extra string) {
	at := len(f.buf)
	for num := range more {
		f.size = max(f.size, num+1)
	}
	trailer := "/Root 1 0 R/Info 13 0 R/ID[<01><02>]" + extra
	if !strings.Contains(extra, "/Size") {
		trailer = fmt.Sprintf("/Size %d", f.size) + trailer
	}
	if f.prev >= 0 {
		trailer += fmt.Sprintf("/Prev %d", f.prev)
	}
	f.add(f.rows(more) + "trailer\n<<" + trailer + ">>\n")
	f.prev = at
	f.end()
}

// xrefStream ends a revision with a cross-reference stream, object num, that has object in as the first one of object stream stm.
func (f *file) xrefStream(num, in, stm int) {
	at := len(f.buf)
	f.offs[num] = at
	f.size = max(f.size, num+1)
	rows, index := []byte(nil), ""
	f.offs[in] = -1
	for _, n := range slices.Sorted(maps.Keys(f.offs)) {
		index += fmt.Sprintf("%d 1 ", n)
		kind, v := byte(1), f.offs[n]
		if n == in {
			kind, v = 2, stm
		}
		rows = append(rows, kind, byte(v>>16), byte(v>>8), byte(v), 0)
	}
	f.add(fmt.Sprintf("%d 0 obj\n%s\nendobj\n", num, stream(fmt.Sprintf("/Type/XRef/Size %d/W[1 3 1]/Index[%s]/Root 1 0 R/Info 13 0 R/Prev %d",
		f.size, strings.TrimSpace(index), f.prev), string(rows))))
	f.prev = at
	f.end()
}

func (f *file) end() {
	f.add(fmt.Sprintf("startxref\n%d\n%%%%EOF\n", f.prev))
	f.offs = make(map[int]int)
}

// The tokens of a signature dictionary: the numbers of its ByteRange and its Contents.
var tokens = []string{"{r0}", "{r1}", "{r2}", "{r3}", "{contents}"}

const usual = "<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/M(D:{time})" +
	"/ByteRange[{r0} {r1} {r2} {r3}]/Contents {contents}>>"

// sig puts a signature dictionary; finish fills in its tokens.
func (f *file) sig(num int, template string) {
	f.offs[num] = len(f.buf)
	f.size = max(f.size, num+1)
	f.add(fmt.Sprintf("%d 0 obj\n", num))
	template = strings.ReplaceAll(template, "{time}", f.Time.UTC().Format("20060102150405Z"))
	f.marks = make(map[string][]int)
	for template != "" {
		i := strings.IndexByte(template, '{')
		if i < 0 {
			break
		}
		f.add(template[:i])
		template = template[i:]
		for _, t := range tokens {
			if rest, is := strings.CutPrefix(template, t); is {
				f.marks[t] = append(f.marks[t], len(f.buf))
				template = rest
				if t == "{contents}" {
					f.start = len(f.buf)
					f.add("<" + strings.Repeat("00", f.Reserve) + ">")
				} else {
					f.add("0000000000")
				}
				break
			}
		}
	}
	f.add(template + "\nendobj\n")
}

// finish signs everything but the Contents of the newest signature dictionary.
func (f *file) finish() {
	end := f.start + 2 + 2*f.Reserve
	last := len(f.buf) - end + f.shift
	for i, n := range []int{0, f.start, end, last} {
		for _, at := range f.marks[tokens[i]] {
			copy(f.buf[at:], fmt.Sprintf("%010d", n))
		}
	}
	f.fill(slices.Concat(f.buf[:f.start], f.buf[end:min(len(f.buf), end+last)]))
}

// fill puts the CMS over content into the newest Contents.
func (f *file) fill(content []byte) {
	cms, err := f.Sign(content)
	if err == nil && len(cms) > f.Reserve {
		err = fmt.Errorf("a CMS of %d bytes, reserved are %d", len(cms), f.Reserve)
	}
	if err != nil {
		f.err = err
		return
	}
	copy(f.buf[f.start+1:], hex.EncodeToString(cms))
}

// body is the newest text of object num, as put wrote it.
func (f *file) body(num int) string {
	s := string(f.buf)
	i := strings.LastIndex(s, "\n"+strconv.Itoa(num)+" 0 obj\n") + 1
	s = s[i+len(strconv.Itoa(num))+len(" 0 obj\n"):]
	return s[:strings.Index(s, "\nendobj")]
}
