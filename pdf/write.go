package pdf

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
)

// maxTableOffset is the largest offset that the 10 digits of a table row hold.
const maxTableOffset = 9_999_999_999

// written is one row of the new cross-reference section.
type written struct {
	num, gen int
	off      int64
}

// writer appends to a base of known size.
type writer struct {
	bytes.Buffer
	base int64
	rows []written
}

func (w *writer) pos() int64 { return w.base + int64(w.Len()) }

func (w *writer) begin(num, gen int) {
	w.rows = append(w.rows, written{num, gen, w.pos()})
	fmt.Fprintf(w, "%d %d obj\n", num, gen)
}

func (w *writer) object(num, gen int, body []byte) {
	w.begin(num, gen)
	w.Write(body)
	w.WriteString("\nendobj\n")
}

// objects writes what changes and what is new.
func (u *update) objects(w *writer) error {
	switch u.lastByte {
	case '\n':
	case '\r':
		// LF would complete a CRLF, and the revision before would seem to be
		// one byte longer than it was when it was signed.
		w.WriteByte('\r')
	default:
		w.WriteByte('\n')
	}
	for _, o := range u.edits.objs {
		body, err := u.edits.body(o)
		if err != nil {
			return err
		}
		w.object(o.num, o.gen, body)
	}
	for _, a := range u.added {
		w.object(a.num, 0, a.body)
	}
	return nil
}

// write makes the update from the plan, and tells p where things are.
func (u *signing) write(p *Prepared) error {
	w := &writer{base: u.doc.s.size}
	w.Grow(2*u.opts.Reserve + 4096) // most updates have no more beside the space
	if err := u.objects(w); err != nil {
		return err
	}
	rangeAt := u.signatureDict(w, p)
	if err := u.section(w, p.BaseDigest); err != nil {
		return err
	}
	p.Update = w.Bytes()
	end := w.pos()
	p.ByteRange = [4]int64{0, p.ContentsStart, p.ContentsEnd, end - p.ContentsEnd}
	copy(p.Update[rangeAt:], fmt.Sprintf("[0 %d %d %d]", p.ByteRange[1], p.ByteRange[2], p.ByteRange[3]))
	return nil
}

// byteRangeWidth holds [0 and three numbers of 19 digits].
const byteRangeWidth = 3 + 3*20

// signatureDict writes the signature dictionary (12.8.1; EN 319 142-1, 6.3) or
// that of a document time-stamp (12.8.5), and returns the place of ByteRange in
// the update, which is filled with spaces.
func (u *signing) signatureDict(w *writer, p *Prepared) int {
	w.begin(u.sigNum, 0)
	if u.opts.TimeStamp {
		fmt.Fprintf(w, "<</Type/DocTimeStamp/Filter/%s/SubFilter/%s", filterName, stampSubFilterName)
	} else {
		fmt.Fprintf(w, "<</Type/Sig/Filter/%s/SubFilter/%s/M(D:%s)", filterName, subFilterName,
			u.opts.SignatureTime.UTC().Format("20060102150405Z"))
	}
	if u.reference != "" {
		w.WriteString("/Reference" + u.reference)
	}
	w.WriteString("/ByteRange ")
	at := w.Len()
	w.Write(bytes.Repeat([]byte{' '}, byteRangeWidth))
	w.WriteString("/Contents ")
	p.ContentsStart = w.pos()
	w.WriteByte('<')
	w.zeros(2 * u.opts.Reserve)
	w.WriteByte('>')
	p.ContentsEnd = w.pos()
	w.WriteString(">>\nendobj\n")
	return at
}

// zeros writes n digits 0.
func (w *writer) zeros(n int) {
	w.Grow(n)
	b := w.AvailableBuffer()[:n]
	for i := range b {
		b[i] = '0'
	}
	w.Write(b)
}

// section writes the cross-reference section, of the kind of the newest one: a
// table also for a hybrid file, which never goes on with a stream.
func (u *update) section(w *writer, digest []byte) error {
	newest := u.doc.secs[0]
	start := w.pos()
	stream := newest.stream != nil
	if start > maxTableOffset && !stream {
		if newest.hybrid != nil {
			return errf(CodeBadStructure, "a hybrid file of more than %d bytes", int64(maxTableOffset))
		}
		stream = true
	}
	// The identifier of this revision: any value that differs will do.
	mine := "<" + hex.EncodeToString(digest[:16]) + ">"
	first := u.id
	if first == "" {
		first = mine
	}
	dict := fmt.Sprintf("/Prev %d/Root %s/ID[%s%s]", newest.off, u.root, first, mine)
	if u.info != "" {
		dict += "/Info " + u.info
	}
	if u.checksum != "" {
		dict += "/" + checksumKey + " " + u.checksum
	}
	if stream {
		num := u.number()
		w.rows = append(w.rows, written{num, 0, start})
		w.sortRows()
		u.xrefStream(w, num, dict)
	} else {
		w.sortRows()
		u.xrefTable(w, dict)
	}
	fmt.Fprintf(w, "startxref\n%d\n%%%%EOF\n", start)
	return nil
}

func (w *writer) sortRows() {
	slices.SortFunc(w.rows, func(a, b written) int { return cmp.Compare(a.num, b.num) })
}

// runs cuts the rows into runs of consecutive numbers.
func (w *writer) runs() [][]written {
	var out [][]written
	for i, r := range w.rows {
		if i == 0 || r.num != w.rows[i-1].num+1 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], r)
	}
	return out
}

func (u *update) xrefTable(w *writer, dict string) {
	w.WriteString("xref\n")
	for _, run := range w.runs() {
		fmt.Fprintf(w, "%d %d\n", run[0].num, len(run))
		for _, r := range run {
			fmt.Fprintf(w, "%010d %05d n\r\n", r.off, r.gen)
		}
	}
	fmt.Fprintf(w, "trailer\n<</Size %d%s>>\n", u.next, dict)
}

// xrefStream writes rows of 1 + 8 + 2 bytes, not compressed: there are few.
func (u *update) xrefStream(w *writer, num int, dict string) {
	index, data := "", []byte(nil)
	for _, run := range w.runs() {
		index += fmt.Sprintf("%d %d ", run[0].num, len(run))
		for _, r := range run {
			data = append(data, 1)
			data = binary.BigEndian.AppendUint64(data, uint64(r.off))
			data = binary.BigEndian.AppendUint16(data, uint16(r.gen))
		}
	}
	fmt.Fprintf(w, "%d 0 obj\n<</Type/XRef/W[1 8 2]/Index[%s]/Size %d/Length %d%s>>\nstream\n", num,
		index[:len(index)-1], u.next, len(data), dict)
	w.Write(data)
	w.WriteString("\nendstream\nendobj\n")
}
