package pdf

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Options is what the caller of [Prepare] decides.
type Options struct {
	// TimeStamp makes a document time-stamp (/DocTimeStamp, ETSI.RFC3161; ISO
	// 32000-2, 12.8.5) in place of a signature: Contents takes the token, Digest
	// is its imprint. It always gets a new invisible field, since an empty field
	// is there for somebody's signature, and it may follow a signature that
	// allows no change (12.8.2.2 does not count time-stamps as changes).
	TimeStamp bool
	// SignatureTime becomes /M, the claimed time, in UTC and whole seconds. A
	// time-stamp has none but its own: then it is not used.
	SignatureTime time.Time
	// Reserve is the space for the CMS or the token, in bytes of DER.
	Reserve int
	// FieldName is the qualified name of an empty signature field, or a new
	// name without a dot. "" takes the first empty field that no earlier
	// signature locks, or makes a new one.
	FieldName string
	// Hash is SHA-256 (also when zero), SHA-384 or SHA-512.
	Hash crypto.Hash
	// Known is the hash state behind the first bytes of the base, from our own
	// keeping: then only what comes behind them is hashed, and of the rest only
	// the structure is read. nil, or one of another Hash: the whole base is read.
	Known *Prefix
	// Appearance makes the signature visible; nil: nothing shows, and an empty field that would is left empty on the page.
	Appearance *Appearance
	// Budget limits the work; zero fields mean [DefaultBudget].
	Budget Budget

	preview bool // see Preview
}

// maxReserve keeps a reservation from being a way to fill the disk. A CMS with
// a long chain and a time-stamp has some 20 kB.
const maxReserve = 4 << 20

// Prepared is a document with space for its signature: every byte that will be
// signed is fixed. It is plain data, to be stored as JSON until the value comes.
type Prepared struct {
	BaseSize   int64  `json:"base_size"`   // bytes
	BaseDigest []byte `json:"base_digest"` // of the base alone, SHA-256
	BaseState  []byte `json:"base_state"`  // see Base.State
	// BaseSHA256 is the state of SHA-256 when Hash is another one, see Prefix.
	BaseSHA256 []byte `json:"base_sha256,omitempty"`
	Update     []byte `json:"update"` // to be appended; its Contents is zeros
	// ContentsStart and ContentsEnd are the places of '<' and behind '>' in
	// the whole file.
	ContentsStart int64    `json:"contents_start"`
	ContentsEnd   int64    `json:"contents_end"`
	ByteRange     [4]int64 `json:"byte_range"`
	Digest        []byte   `json:"digest"` // of the bytes in ByteRange
	FieldName     string   `json:"field_name"`
}

// Check does everything of [Prepare] but read the whole document: it says by
// the same errors whether the document can be signed.
func Check(base io.ReaderAt, size int64, o Options) error {
	_, err := plan(base, size, &o)
	return err
}

// Prepare builds the update that adds a signature with an empty Contents to
// the size bytes of base, and the digest of what will be signed. It reads the
// whole document exactly once, or, with Known, only what is new. Errors:
// *[Error], or what base returned.
func Prepare(base io.ReaderAt, size int64, o Options) (*Prepared, error) {
	u, err := plan(base, size, &o)
	if err != nil {
		return nil, err
	}
	h, err := o.hashBase(base, size)
	if err != nil {
		return nil, err
	}
	p := &Prepared{BaseSize: size, BaseDigest: h.sha256.Sum(nil), FieldName: u.fieldName}
	known, err := h.Prefix()
	if err != nil {
		return nil, err
	}
	p.BaseState, p.BaseSHA256 = known.State, known.SHA256
	if err = u.write(p); err != nil {
		return nil, err
	}
	h.main.Write(p.Update[:p.ContentsStart-size])
	h.main.Write(p.Update[p.ContentsEnd-size:])
	p.Digest = h.main.Sum(nil)
	return p, p.proveReadable(base, o.Budget)
}

// hashBase hashes what of the base is not known yet.
func (o *Options) hashBase(base io.ReaderAt, size int64) (*PrefixHasher, error) {
	h := NewPrefixHasher(o.Hash)
	if o.Known != nil && o.Known.Hash == o.Hash {
		var err error
		if h, err = o.Known.hasher(base, size); err != nil {
			return nil, err
		}
	}
	return h, hashRange(h, base, h.n, size-h.n)
}

// Base is what ties the digest of p to that of its base.
func (p *Prepared) Base() Base {
	return Base{
		Size: p.BaseSize, State: p.BaseState,
		Before: p.Update[:p.ContentsStart-p.BaseSize], After: p.Update[p.ContentsEnd-p.BaseSize:],
	}
}

// proveReadable reads base and update again, as a stranger would.
func (p *Prepared) proveReadable(base io.ReaderAt, b Budget) error {
	r := Reader(base, p.BaseSize, p.Update)
	d, err := open(r, r.Size(), b)
	if err != nil {
		return fmt.Errorf("read our own update: %w", err)
	}
	cat, err := d.catalog()
	if err != nil {
		return fmt.Errorf("read our own update: %w", err)
	}
	f, err := d.form(cat)
	if err != nil {
		return fmt.Errorf("read our own update: %w", err)
	}
	for _, s := range f.sigs {
		if s.name != p.FieldName {
			continue
		}
		sig := d.signature(s)
		if sig.ContentsIsExactGap && sig.ByteRange == p.ByteRange && sig.ContentsStart == p.ContentsStart {
			return nil
		}
	}
	return errf(CodeBadStructure, "the update is not read back as written")
}

// hashBuffer is large enough for the disk and small enough not to be noticed.
const hashBuffer = 256 << 10

// hashBuffers keeps buffers from one document to the next: to clear one costs
// more than to hash a small document.
var hashBuffers = sync.Pool{New: func() any { return new([hashBuffer]byte) }}

func hashRange(w io.Writer, r io.ReaderAt, off, n int64) error {
	whole := hashBuffers.Get().(*[hashBuffer]byte)
	defer hashBuffers.Put(whole)
	buf := whole[:]
	for n > 0 {
		b := buf[:min(n, int64(len(buf)))]
		if err := readFull(r, b, off); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		off += int64(len(b))
		n -= int64(len(b))
	}
	return nil
}

// Embed puts the CMS into its space and returns the update to append to the
// base. The error cms_too_large must not lead to a second signature.
func (p *Prepared) Embed(cmsDER []byte) ([]byte, error) {
	start, end := p.ContentsStart-p.BaseSize, p.ContentsEnd-p.BaseSize
	n := int64(len(p.Update))
	if start < 0 || end > n || end-start < 4 || p.Update[start] != '<' || p.Update[end-1] != '>' ||
		p.ByteRange != [4]int64{0, p.ContentsStart, p.ContentsEnd, p.BaseSize + n - p.ContentsEnd} ||
		bytes.Count(p.Update[start+1:end-1], []byte("0")) != int(end-start-2) {
		return nil, &Error{Code: CodeBadPrepared}
	}
	if size, ok := derSize(cmsDER); !ok || size != len(cmsDER) {
		return nil, errf(CodeBadCMS, "%d bytes that are not one DER SEQUENCE", len(cmsDER))
	}
	if space := int(end-start-2) / 2; len(cmsDER) > space {
		return nil, errf(CodeCMSTooLarge, "%d bytes for a space of %d", len(cmsDER), space)
	}
	out := bytes.Clone(p.Update)
	hex.Encode(out[start+1:], cmsDER)
	return out, nil
}

// derSize is the length of the DER element at the start of b, with its head.
func derSize(b []byte) (int, bool) {
	if len(b) < 2 || b[0] != 0x30 {
		return 0, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		k := n & 0x7F
		if k == 0 || k > 4 || len(b) < 2+k {
			return 0, false
		}
		n = 0
		for _, c := range b[2 : 2+k] {
			n = n<<8 | int(c)
		}
		head += k
	}
	return head + n, head+n <= len(b)
}

// Reader gives the whole document: base, and the update behind it.
func Reader(base io.ReaderAt, baseSize int64, update []byte) *io.SectionReader {
	return io.NewSectionReader(&joined{base: base, size: baseSize, update: update}, 0, baseSize+int64(len(update)))
}

type joined struct {
	base   io.ReaderAt
	size   int64
	update []byte
}

// ReadAt implements io.ReaderAt.
func (j *joined) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("pdf: negative offset")
	}
	n := 0
	if off < j.size {
		want := min(int64(len(p)), j.size-off)
		m, err := j.base.ReadAt(p[:want], off)
		if int64(m) < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return m, err
		}
		n = m
	}
	if at := off + int64(n) - j.size; n < len(p) && at < int64(len(j.update)) {
		n += copy(p[n:], j.update[at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
