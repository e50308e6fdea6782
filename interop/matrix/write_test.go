//go:build interop

package matrix

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// object of a PDF; stream is nil when it is none.
type object struct {
	num    int
	dict   string
	stream []byte
}

// file writes a PDF in one of the forms that producers have.
type file struct {
	version string
	eol     string // "\n", "\r\n" or "\r"
	xref    string // table, stream, or objects: a stream, and object streams
	id      bool   // the trailer has an /ID
	remarks bool   // comments between objects
	root    int
	info    int // 0: none
	next    int // number of the next object
	objects []object
	out     bytes.Buffer
	before  int // offset of the section before, of a later revision
}

// skip leaves numbers out, which stay free.
func (f *file) skip(n int) { f.next += n }

// reserve gives a number whose object comes later.
func (f *file) reserve() int {
	f.next++
	return f.next
}

func (f *file) set(num int, dict string, stream []byte) {
	f.objects = append(f.objects, object{num, dict, stream})
}

func (f *file) add(dict string, stream []byte) int {
	num := f.reserve()
	f.set(num, dict, stream)
	return num
}

// spot is where an object stands: at an offset, or in an object stream.
type spot struct{ offset, within, index int }

// revision writes the objects that came since the last call.
func (f *file) revision() {
	if f.out.Len() == 0 {
		fmt.Fprintf(&f.out, "%%PDF-%s%s%%\xE2\xE3\xCF\xD3%s", f.version, f.eol, f.eol)
	}
	spots := map[int]spot{}
	if f.xref == "objects" {
		f.pack(spots)
	}
	for _, o := range f.objects {
		if f.remarks && o.num%3 == 0 {
			fmt.Fprintf(&f.out, "%% object %d follows%s", o.num, f.eol)
		}
		spots[o.num] = f.body(o)
	}
	f.objects = nil
	if f.xref == "table" {
		f.table(spots)
	} else {
		f.crossStream(spots)
	}
}

// body writes one object.
func (f *file) body(o object) spot {
	at := spot{offset: f.out.Len()}
	fmt.Fprintf(&f.out, "%d 0 obj%s", o.num, f.eol)
	if o.stream == nil {
		f.out.WriteString(o.dict + f.eol)
	} else {
		eol := f.eol
		if eol == "\r" {
			eol = "\r\n" // a lone CR must not follow the word stream
		}
		fmt.Fprintf(&f.out, "<</Length %d%s>>%sstream%s", len(o.stream), o.dict, f.eol, eol)
		f.out.Write(o.stream)
		f.out.WriteString(f.eol + "endstream" + f.eol)
	}
	f.out.WriteString("endobj" + f.eol)
	return at
}

// pack moves what is no stream into an object stream.
func (f *file) pack(spots map[int]spot) {
	var heads, bodies strings.Builder
	num, n := f.reserve(), 0
	var streams []object
	for _, o := range f.objects {
		if o.stream != nil {
			streams = append(streams, o)
			continue
		}
		fmt.Fprintf(&heads, "%d %d ", o.num, bodies.Len())
		bodies.WriteString(o.dict + "\n")
		spots[o.num] = spot{within: num, index: n}
		n++
	}
	f.objects = append(streams, object{num, fmt.Sprintf("/Type/ObjStm/N %d/First %d/Filter/FlateDecode", n, heads.Len()), deflate([]byte(heads.String() + bodies.String()))})
}

func (f *file) trailer() string {
	t := fmt.Sprintf("/Size %d/Root %d 0 R", f.next+1, f.root)
	if f.info > 0 {
		t += fmt.Sprintf("/Info %d 0 R", f.info)
	}
	if f.id {
		t += "/ID[<00112233445566778899AABBCCDDEEFF><00112233445566778899AABBCCDDEEFF>]"
	}
	if f.before > 0 {
		t += fmt.Sprintf("/Prev %d", f.before)
	}
	return t
}

// free lists the numbers below /Size that no object has, 0 first; of a later
// revision there are none: it says only what changed.
func (f *file) free(spots map[int]spot) []int {
	if f.before > 0 {
		return nil
	}
	var list []int
	for n := range f.next + 1 {
		if _, used := spots[n]; !used {
			list = append(list, n)
		}
	}
	return list
}

func (f *file) table(spots map[int]spot) {
	at := f.out.Len()
	pad := map[string]string{"\n": " \n", "\r\n": "\r\n", "\r": " \r"}[f.eol]
	free := f.free(spots)
	nums := slices.Clone(free)
	for n := range spots {
		nums = append(nums, n)
	}
	slices.Sort(nums)
	f.out.WriteString("xref" + f.eol)
	for len(nums) > 0 {
		n := 1
		for n < len(nums) && nums[n] == nums[0]+n {
			n++
		}
		fmt.Fprintf(&f.out, "%d %d%s", nums[0], n, f.eol)
		for _, num := range nums[:n] {
			if i := slices.Index(free, num); i >= 0 {
				generation := 1
				if num == 0 {
					generation = 65535
				}
				fmt.Fprintf(&f.out, "%010d %05d f%s", append(free, 0)[i+1], generation, pad)
			} else {
				fmt.Fprintf(&f.out, "%010d 00000 n%s", spots[num].offset, pad)
			}
		}
		nums = nums[n:]
	}
	fmt.Fprintf(&f.out, "trailer%s<<%s>>%sstartxref%s%d%s%%%%EOF%s", f.eol, f.trailer(), f.eol, f.eol, at, f.eol, f.eol)
	f.before = at
}

func (f *file) crossStream(spots map[int]spot) {
	self := f.reserve()
	at := f.out.Len()
	spots[self] = spot{offset: at}
	free := f.free(spots)
	nums := slices.Clone(free)
	for n := range spots {
		nums = append(nums, n)
	}
	slices.Sort(nums)
	var rows bytes.Buffer
	var index strings.Builder
	for i, num := range nums {
		s := spots[num]
		switch {
		case slices.Contains(free, num):
			rows.Write([]byte{0, 0, 0, 0, 0, 255})
		case s.within > 0:
			rows.Write(row(2, s.within, s.index))
		default:
			rows.Write(row(1, s.offset, 0))
		}
		if i == 0 || nums[i-1]+1 != num {
			n := 1
			for i+n < len(nums) && nums[i+n] == num+n {
				n++
			}
			fmt.Fprintf(&index, "%d %d ", num, n)
		}
	}
	f.body(object{self, fmt.Sprintf("/Type/XRef/W[1 4 1]/Index[%s]/Filter/FlateDecode%s", index.String(), f.trailer()), deflate(rows.Bytes())})
	fmt.Fprintf(&f.out, "startxref%s%d%s%%%%EOF%s", f.eol, at, f.eol, f.eol)
	f.before = at
}

func row(kind byte, b, c int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(b)), byte(c))
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, _ = w.Write(b) // a Buffer does not fail
	_ = w.Close()
	return out.Bytes()
}
