package pdf

import (
	"cmp"
	"crypto"
	"hash"
	"io"
	"slices"
)

// RangeWant asks [ByteRangeDigests] for the digest of what a signature covers.
type RangeWant struct {
	Signature Signature // only its ByteRange counts
	Hash      crypto.Hash
}

// maxWants is more than every signature in each of three hash functions.
const maxWants = 3 * maxSignatures

// ByteRangeDigests hashes what each of wants covers, in their order, in one
// pass over the file with a buffer of fixed size: what lies before the gaps is
// hashed once for each hash function, and the hash forks at each gap. Behind
// their gaps sound signatures have only what their own revision brought, so
// that all of it is twice the file at most; files that ask for more than four
// times their size are refused (too_much_work), as is a range that is not two
// blocks of the file around a gap (bad_byte_range).
func ByteRangeDigests(r io.ReaderAt, size int64, wants []RangeWant) ([][]byte, error) {
	h, err := NewRangeHasher(r, size, wants)
	if err != nil {
		return nil, err
	}
	return h.Digests()
}

// RangeHasher is [ByteRangeDigests] beside something else that reads the same file from front to back, as
// [AllDifferences] does: what is read through it in this order is hashed on its way, and not read again. It is for one
// goroutine.
type RangeHasher struct {
	r     io.ReaderAt
	wants []RangeWant
	pass  *rangePass
	pos   int64 // up to here all is hashed
	err   error // of hashing on the way
}

// NewRangeHasher plans the digests of wants. Errors as of [ByteRangeDigests].
func NewRangeHasher(r io.ReaderAt, size int64, wants []RangeWant) (*RangeHasher, error) {
	p, err := planRanges(size, wants)
	if err != nil {
		return nil, err
	}
	return &RangeHasher{r: r, wants: wants, pass: p}, nil
}

// maxAhead is how far a reader may pass over bytes and still be followed: what it passes over is read for the hash. Who
// goes farther comes back, and would find that read already.
const maxAhead = 16 << 10

// ReadAt implements io.ReaderAt.
func (h *RangeHasher) ReadAt(b []byte, off int64) (int, error) {
	if off > h.pos && off-h.pos <= maxAhead {
		h.err = cmp.Or(h.err, h.upTo(off))
	}
	n, err := h.r.ReadAt(b, off)
	if off <= h.pos && off+int64(n) > h.pos {
		h.feed(b[h.pos-off : n])
	}
	return n, err
}

// feed hashes what stands behind all that is hashed.
func (h *RangeHasher) feed(b []byte) {
	b = b[:min(int64(len(b)), max(0, h.pass.end-h.pos))]
	if h.err == nil && len(b) > 0 {
		h.err = h.pass.feed(b, h.pos)
	}
	h.pos += int64(len(b))
}

// upTo reads and hashes what is missing up to end.
func (h *RangeHasher) upTo(end int64) error {
	whole := hashBuffers.Get().(*[hashBuffer]byte)
	defer hashBuffers.Put(whole)
	for end = min(end, h.pass.end); h.pos < end && h.err == nil; {
		b := whole[:min(end-h.pos, int64(len(whole)))]
		if err := readFull(h.r, b, h.pos); err != nil {
			return err
		}
		h.feed(b)
	}
	return h.err
}

// Digests hashes the rest, and gives the digests in the order of wants.
func (h *RangeHasher) Digests() ([][]byte, error) {
	if err := cmp.Or(h.err, h.upTo(h.pass.end)); err != nil {
		return nil, err
	}
	out := make([][]byte, len(h.wants))
	for i, w := range h.wants {
		out[i] = h.pass.digests[rangeKey{w.Signature.ByteRange, w.Hash}]
	}
	return out, nil
}

// rangeKey tells digests apart; two fields may have one signature.
type rangeKey struct {
	r [4]int64
	h crypto.Hash
}

// end is where the range ends in the file.
func (k rangeKey) end() int64 { return k.r[2] + k.r[3] }

// fork is the hash of one range, from its gap on.
type fork struct {
	rangeKey
	hash hash.Hash
}

// trunk is the hash from the first byte on, in one function, and the ranges
// whose gap is still to come, in order.
type trunk struct {
	hash hash.Hash
	todo []rangeKey
}

type rangePass struct {
	trunks  map[crypto.Hash]*trunk
	forks   []fork
	end     int64 // nothing behind it is wanted
	digests map[rangeKey][]byte
}

func planRanges(size int64, wants []RangeWant) (*rangePass, error) {
	if len(wants) > maxWants {
		return nil, errf(CodeTooManyObjects, "more than %d digests", maxWants)
	}
	p := &rangePass{trunks: make(map[crypto.Hash]*trunk), digests: make(map[rangeKey][]byte, len(wants))}
	behind := int64(0)
	for _, w := range wants {
		k := rangeKey{w.Signature.ByteRange, w.Hash}
		if !twoBlocks(k.r, size) {
			return nil, errf(CodeBadByteRange, "not two blocks of this file")
		}
		if !w.Hash.Available() {
			return nil, errf(CodeBadOptions, "hash function is not there")
		}
		if _, again := p.digests[k]; again {
			continue
		}
		p.digests[k] = nil
		if behind += k.r[3]; behind > 4*size {
			return nil, errf(CodeTooMuchWork, "signatures that cover the same bytes again and again")
		}
		p.end = max(p.end, k.end())
		t := p.trunks[k.h]
		if t == nil {
			t = &trunk{hash: k.h.New()}
			p.trunks[k.h] = t
		}
		t.todo = append(t.todo, k)
	}
	for _, t := range p.trunks {
		slices.SortFunc(t.todo, func(a, b rangeKey) int { return cmp.Compare(a.r[1], b.r[1]) })
	}
	return p, nil
}

// twoBlocks: the first begins the file, the second is behind it and inside.
func twoBlocks(b [4]int64, size int64) bool {
	return b[0] == 0 && b[1] > 0 && b[2] >= b[1] && b[3] >= 0 && b[2] <= size && b[3] <= size-b[2]
}

// feed gives the bytes at pos to all that want them.
func (p *rangePass) feed(b []byte, pos int64) error {
	for _, t := range p.trunks {
		if err := p.grow(t, b, pos); err != nil {
			return err
		}
	}
	end := pos + int64(len(b))
	p.forks = slices.DeleteFunc(p.forks, func(f fork) bool {
		if from, to := max(pos, f.r[2]), min(end, f.end()); from < to {
			f.hash.Write(b[from-pos : to-pos])
		}
		if f.end() > end {
			return false
		}
		p.digests[f.rangeKey] = f.hash.Sum(nil)
		return true
	})
	return nil
}

// grow hashes b up to each gap that begins in it, and forks there.
func (p *rangePass) grow(t *trunk, b []byte, pos int64) error {
	at, end := pos, pos+int64(len(b))
	for len(t.todo) > 0 && t.todo[0].r[1] <= end {
		k := t.todo[0]
		t.todo = t.todo[1:]
		t.hash.Write(b[at-pos : k.r[1]-pos])
		at = k.r[1]
		c, ok := t.hash.(hash.Cloner)
		if !ok {
			return errf(CodeBadOptions, "the state of this hash cannot be copied")
		}
		h, err := c.Clone()
		if err != nil {
			return errf(CodeBadOptions, "the state of this hash cannot be copied")
		}
		p.forks = append(p.forks, fork{k, h})
	}
	if len(t.todo) > 0 {
		t.hash.Write(b[at-pos:])
	}
	return nil
}
