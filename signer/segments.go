package signer

import (
	"bytes"
	"errors"
	"io"
)

// segments are pieces that are read as one, at any place, without being copied together.
type segments struct {
	io.Closer
	pieces []*io.SectionReader
	size   int64
}

// joined reads size bytes of f and the pieces behind them; closing it closes f.
func joined(f BlobFile, size int64, behind ...[]byte) *segments {
	return (&segments{Closer: f}).add(f, size).addBytes(behind...)
}

func (s *segments) add(r io.ReaderAt, size int64) *segments {
	if size > 0 {
		s.pieces = append(s.pieces, io.NewSectionReader(r, 0, size))
		s.size += size
	}
	return s
}

func (s *segments) addBytes(pieces ...[]byte) *segments {
	for _, p := range pieces {
		s.add(bytes.NewReader(p), int64(len(p)))
	}
	return s
}

// ReadAt implements io.ReaderAt.
func (s *segments) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read document: negative place")
	}
	for _, piece := range s.pieces {
		if size := piece.Size(); off >= size {
			off -= size
			continue
		}
		if n == len(p) {
			return n, nil
		}
		want := min(int64(len(p)-n), piece.Size()-off)
		m, err := piece.ReadAt(p[n:n+int(want)], off)
		n, off = n+m, 0
		if int64(m) < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // shorter than it was when it was stored
			}
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// reader reads all of it from the start.
func (s *segments) reader() *io.SectionReader { return io.NewSectionReader(s, 0, s.size) }

// between puts pieces before and behind what there is.
func (s *segments) between(before, after []byte) *segments {
	whole := &segments{Closer: s.Closer}
	whole.addBytes(before)
	whole.pieces, whole.size = append(whole.pieces, s.pieces...), whole.size+s.size
	return whole.addBytes(after)
}

// content gives it out.
func (s *segments) content(name, kind string) *Content {
	return &Content{Name: name, Type: kind, Size: s.size, ReadSeeker: s.reader(), closer: s}
}
