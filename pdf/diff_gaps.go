package pdf

import (
	"bytes"
	"cmp"
	"slices"
)

// extent is a part of the file that a later revision accounts for: an object in its table, or a section.
type extent struct{ from, to int64 }

// gaps looks between the pieces behind the oldest signed revision for objects that are in no table: readers that repair find
// them. It notes the last one.
func (f *differ) gaps(from int64) error {
	for _, sec := range f.d.secs[:f.last] {
		f.pieces = append(f.pieces, extent{sec.off, sec.end()})
		if sec.hybrid != nil {
			f.pieces = append(f.pieces, extent{sec.hybrid.off, sec.hybrid.end()})
		}
	}
	slices.SortFunc(f.pieces, func(a, b extent) int { return cmp.Compare(a.from, b.from) })
	for _, p := range append(f.pieces, extent{f.d.s.size, f.d.s.size}) {
		if p.from > from {
			if err := f.gap(from, p.from); err != nil {
				return err
			}
		}
		from = max(from, p.to)
	}
	f.pieces = nil
	return nil
}

// gap reads the bytes from from to to, each with the few before it.
func (f *differ) gap(from, to int64) error {
	const overlap = 16
	for at := from; at < to; at += cursorChunk - overlap {
		b, err := f.d.s.at(at, int(min(to-at, cursorChunk)))
		if err != nil {
			return err
		}
		for i := 0; ; i++ {
			n := bytes.Index(b[i:], []byte("obj"))
			if n < 0 {
				break
			}
			if i += n; i > 1 && isSpace(b[i-1]) && (b[i-2] >= '0' && b[i-2] <= '9' || isSpace(b[i-2])) {
				f.hidden = max(f.hidden, at+int64(i))
			}
		}
	}
	return nil
}
