package cms

import (
	"io"
	"slices"

	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ParseAt is [Parse] for a file whose attached content, of any size, stays in r:
// [SignedData.ContentOffset] and ContentSize say where. b bounds the rest, which
// is in memory. A file whose frame is BER, with lengths that are not said, is read
// too: as a whole within b, its content in SignedData.Content; what is signed or
// hashed in it must still be DER. Errors are *[Error], or those of r.
func ParseAt(r io.ReaderAt, size int64, b Budget) (*SignedData, error) {
	b = b.orDefault()
	var first [2]byte
	if n, err := r.ReadAt(first[:], 0); n == 2 && first == [2]byte{byte(casn1.SEQUENCE), 0x80} {
		return parseBER(r, size, b)
	} else if err != nil && err != io.EOF {
		return nil, err
	}
	c := &cursor{r: r, end: size}
	info := c.into(casn1.SEQUENCE)
	kind := c.past(casn1.OBJECT_IDENTIFIER)
	explicit := c.into(context(0))
	data := c.into(casn1.SEQUENCE)
	c.past(casn1.INTEGER)
	algs := c.past(casn1.SET)
	encap := c.into(casn1.SEQUENCE)
	contentKind := c.past(casn1.OBJECT_IDENTIFIER)
	if c.err == nil && c.at == c.end { // detached: all of it is the rest
		der, err := read(r, span{0, size}, b)
		if err != nil {
			return nil, err
		}
		return Parse(der, b)
	}
	eContent := c.into(context(0))
	octets := c.into(casn1.OCTET_STRING)
	switch {
	case c.err != nil:
		return nil, c.err
	case octets.end != eContent.end || eContent.end != encap.end || data.end != explicit.end || explicit.end != info.end:
		return nil, errf(CodeMalformed, "something beside the content of an element that has one")
	case info.end != size:
		return nil, errf(CodeTrailingData, "%d bytes behind the end", size-info.end)
	}
	head, err := read(r, span{0, octets.from}, b)
	if err != nil {
		return nil, err
	}
	// The same with an empty content: every other element is as it stands.
	body := slices.Concat(head[data.from:algs.end],
		element(casn1.SEQUENCE, head[contentKind.from:contentKind.end], element(context(0), element(casn1.OCTET_STRING))))
	oid, rest := head[kind.from:kind.end], span{octets.end, size}
	n := int64(len(body)) + rest.end - rest.from
	inner := appendHeader(nil, casn1.SEQUENCE, n)
	outer := appendHeader(nil, context(0), int64(len(inner))+n)
	start := appendHeader(nil, casn1.SEQUENCE, int64(len(oid)+len(outer)+len(inner))+n)
	der, err := read(r, rest, b, start, oid, outer, inner, body) // the largest part is in memory once
	if err != nil {
		return nil, err
	}
	sd, err := Parse(der, b)
	if err != nil {
		return nil, err
	}
	sd.Content, sd.ContentOffset, sd.ContentSize = nil, octets.from, octets.end-octets.from
	return sd, nil
}

// span is a stretch of a file.
type span struct{ from, end int64 }

// read reads a stretch within the budget, behind what is given.
func read(r io.ReaderAt, s span, b Budget, before ...[]byte) ([]byte, error) {
	n := s.end - s.from
	if n > int64(b.Bytes) {
		return nil, errf(CodeTooLarge, "%d bytes beside the content, at most %d", n, b.Bytes)
	}
	front := slices.Concat(before...)
	buf := make([]byte, int64(len(front))+n)
	copy(buf, front)
	if m, err := r.ReadAt(buf[len(front):], s.from); err != nil && (err != io.EOF || int64(m) < n) {
		return nil, err
	}
	return buf, nil
}

// cursor goes through the headers in a file; after an error it stays.
type cursor struct {
	r       io.ReaderAt
	at, end int64 // of the element that it is in
	err     error
}

// into goes into the element at the cursor, and gives the span of what is in it.
func (c *cursor) into(tag casn1.Tag) span {
	s, head := c.element(tag)
	s.from += head
	c.at, c.end = s.from, s.end
	return s
}

// past goes past the element at the cursor, and gives its span.
func (c *cursor) past(tag casn1.Tag) span {
	s, _ := c.element(tag)
	c.at = s.end
	return s
}

// element reads the header at the cursor.
func (c *cursor) element(tag casn1.Tag) (s span, head int64) {
	if c.err != nil {
		return span{}, 0
	}
	var buf [10]byte
	n := min(int64(len(buf)), c.end-c.at)
	if n < 2 {
		c.err = errf(CodeMalformed, "an element is cut short")
		return span{}, 0
	}
	if m, err := c.r.ReadAt(buf[:n], c.at); err != nil && (err != io.EOF || int64(m) < n) {
		c.err = err
		return span{}, 0
	}
	head, length, err := longHeader(buf[:n])
	switch {
	case err != nil:
		c.err = err
	case buf[0] != byte(tag):
		c.err = errf(CodeMalformed, "not a ContentInfo with SignedData")
	case length > c.end-c.at-head:
		c.err = errf(CodeMalformed, "an element is longer than its parent")
	default:
		return span{c.at, c.at + head + length}, head
	}
	return span{}, 0
}

// longHeader is header for lengths of up to 56 bits.
func longHeader(b []byte) (head, length int64, err error) {
	length = int64(b[1])
	if length < 0x80 {
		return 2, length, nil
	}
	k := int(length & 0x7F)
	if k == 0 || k > 7 {
		return 0, 0, errf(CodeNotDER, "an indefinite or huge length")
	}
	if len(b) < 2+k {
		return 0, 0, errf(CodeMalformed, "a length is cut short")
	}
	length = 0
	for _, c := range b[2 : 2+k] {
		length = length<<8 | int64(c)
	}
	if length < 0x80 || b[2] == 0 {
		return 0, 0, errf(CodeNotDER, "a length that is not minimal")
	}
	return int64(2 + k), length, nil
}
