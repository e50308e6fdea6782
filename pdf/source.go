package pdf

import (
	"errors"
	"fmt"
	"io"
)

// source is the file: bounded reads, each paid from the budget.
type source struct {
	r    io.ReaderAt
	size int64
	max  Budget
	// What is left.
	bytes    int64
	inflate  int64
	steps    int64
	sections int
	spans    int
	entries  int
	rowsLeft int
}

// maxScratch is the largest window that is kept for the next object.
const maxScratch = 64 << 10

func newSource(r io.ReaderAt, size int64, b Budget) *source {
	b = b.orDefault()
	return &source{r: r, size: size, max: b, bytes: b.Bytes, inflate: b.Inflate, steps: b.Steps, sections: b.Sections, spans: b.Values,
		entries: 2 * b.Objects, rowsLeft: maxRowsKept}
}

// pay says how many of n bytes at off there are, and takes them from the budget.
func (s *source) pay(off int64, n int) (int, error) {
	if off < 0 || off > s.size {
		return 0, errf(CodeBrokenXref, "offset %d is outside the file", off)
	}
	if int64(n) > s.size-off {
		n = int(s.size - off)
	}
	if s.bytes -= int64(n); s.bytes < 0 {
		return 0, errf(CodeTooMuchWork, "more than %d bytes of structure", s.max.Bytes)
	}
	return n, nil
}

// work takes n steps from the budget.
func (s *source) work(n int) error {
	if s.steps -= int64(n); s.steps < 0 {
		return errf(CodeTooMuchWork, "more than %d steps", s.max.Steps)
	}
	return nil
}

// at reads up to n bytes at off; fewer only at the end of the file.
func (s *source) at(off int64, n int) ([]byte, error) {
	n, err := s.pay(off, n)
	if err != nil {
		return nil, err
	}
	return s.into(make([]byte, n), off)
}

// into fills buf, which is paid.
func (s *source) into(buf []byte, off int64) ([]byte, error) {
	if err := readFull(s.r, buf, off); err != nil {
		return nil, err
	}
	return buf, nil
}

func readFull(r io.ReaderAt, buf []byte, off int64) error {
	n, err := r.ReadAt(buf, off)
	switch {
	case n == len(buf):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return errf(CodeTruncated, "the file ends at %d, before its size", off+int64(n))
	}
	return fmt.Errorf("read document at %d: %w", off, err)
}

// reader gives the n bytes at off as a stream, each read paid.
func (s *source) reader(off, n int64) io.Reader {
	return &paidReader{s: s, off: off, end: off + n}
}

type paidReader struct {
	s        *source
	off, end int64
}

func (p *paidReader) Read(b []byte) (int, error) {
	if p.off >= p.end {
		return 0, io.EOF
	}
	if int64(len(b)) > p.end-p.off {
		b = b[:p.end-p.off]
	}
	if p.s.bytes -= int64(len(b)); p.s.bytes < 0 {
		return 0, errf(CodeTooMuchWork, "more than %d bytes of structure", p.s.max.Bytes)
	}
	if err := readFull(p.s.r, b, p.off); err != nil {
		return 0, err
	}
	p.off += int64(len(b))
	return len(b), nil
}

// cursor reads a piece of the file forward, in chunks. It is for
// cross-reference tables, which can be long and are not kept.
type cursor struct {
	s   *source
	off int64 // of buf[0]
	buf []byte
	i   int
}

const cursorChunk = 64 << 10

// fill makes n bytes available at the position, or as many as there are.
func (c *cursor) fill(n int) ([]byte, error) {
	if len(c.buf)-c.i < n {
		pos := c.pos()
		want := cursorChunk
		if c.buf == nil {
			want = 4 << 10 // most tables are short
		}
		want, err := c.s.pay(pos, max(n, want))
		if err != nil {
			return nil, err
		}
		if cap(c.buf) < want {
			c.buf = make([]byte, want)
		}
		c.off, c.i = pos, 0
		if c.buf, err = c.s.into(c.buf[:want], pos); err != nil {
			return nil, err
		}
	}
	return c.buf[c.i:min(len(c.buf), c.i+n)], nil
}

func (c *cursor) pos() int64 { return c.off + int64(c.i) }

// skipSpace moves over white space and says which byte follows (0 = the end).
func (c *cursor) skipSpace() (byte, error) {
	for {
		b, err := c.fill(1)
		if err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return 0, nil
		}
		if !isSpace(b[0]) {
			return b[0], nil
		}
		c.i++
	}
}

// number reads digits, at most 10 of them.
func (c *cursor) number() (int64, error) {
	b, err := c.fill(11)
	if err != nil {
		return 0, err
	}
	n, v := 0, int64(0)
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		v = v*10 + int64(b[n]-'0')
		n++
	}
	if n == 0 || n > 10 {
		return 0, errf(CodeBrokenXref, "no number at %d", c.pos())
	}
	c.i += n
	return v, nil
}
