package pdf

import (
	"bytes"
	"cmp"
	"crypto"
	"errors"
	"io"
	"slices"
)

// Coverage says which part of the file a signature's ByteRange covers. The
// zero is "unclear".
type Coverage int

// The levels of coverage; only the last two can belong to a valid signature.
const (
	CoverageUnclear  Coverage = iota // anything else
	CoverageBlock                    // one block from the first byte, around exactly this Contents
	CoverageRevision                 // that block is a complete revision of the file
	CoverageFile                     // and nothing follows
)

// String implements fmt.Stringer.
func (c Coverage) String() string {
	return [...]string{"unclear", "block", "revision", "file"}[max(0, min(3, c))]
}

// Signature is a signature or document time-stamp of the form, as the reader of
// bytes sees it. What it says is not verified; what is wrong stands in Problems.
type Signature struct {
	FieldName string // qualified; not signed by itself
	Type      string // /Type: Sig, DocTimeStamp or ""
	Filter    string
	SubFilter string
	// ByteRange as it stands: offset, length, offset, length.
	ByteRange [4]int64
	// ContentsStart and ContentsEnd are the places of '<' and behind '>' of
	// this dictionary's /Contents in the file.
	ContentsStart int64
	ContentsEnd   int64
	// CMS is the decoded Contents without its padding; with it when the outer
	// length is indefinite (BER).
	CMS         []byte
	SigningTime string // /M as it stands, text; claimed only
	// ContentsIsExactGap: the range starts at 0, lies in the file, and the
	// only bytes it leaves out are the <hex> token of this very Contents.
	ContentsIsExactGap bool
	// RevisionEnd is where the signed revision ends, when the range ends with
	// a complete revision of this file (startxref to a section of the chain,
	// %%EOF, every section of it inside); 0 otherwise.
	RevisionEnd     int64
	CoversWholeFile bool // ContentsIsExactGap and RevisionEnd is the size
	Coverage        Coverage
	// SameInSignedRevision: in the revision that was signed, this field has
	// this very dictionary at the same place.
	SameInSignedRevision bool
	HasCert              bool // /Cert, which PAdES forbids
	HasReference         bool // /Reference
	HasReason            bool
	Permissions          int // P of DocMDP, 0 = approval signature
	// Removed: an earlier revision has it, the newest does not.
	Removed bool
	// Problems are the reasons why this is not a sound PDF signature, with the
	// codes of [Error]. Empty means that the bytes are as they must be.
	Problems []*Error
}

func (s *Signature) problem(code, format string, a ...any) {
	s.Problems = append(s.Problems, errf(code, format, a...))
}

// Has says whether code is among the problems.
func (s *Signature) Has(code string) bool {
	return slices.ContainsFunc(s.Problems, func(e *Error) bool { return e.Code == code })
}

// maxByteRange keeps sums of offsets far from overflow.
const maxByteRange = 1 << 60

// maxSignatures is the largest number of signatures, removed ones among them,
// that are listed. Error: too_many_objects.
const maxSignatures = 4096

// Signatures lists the signatures and document time-stamps of the fields of
// the newest revision that have a value, those that an earlier revision had and
// the newest has not, and one that only /Perms /DocMDP names. They are in order
// of signing: of the end of their ranges. An error means that the document
// cannot be read; it is never "no signature".
func Signatures(r io.ReaderAt, size int64, b Budget) ([]Signature, error) {
	d, err := open(r, size, b)
	if err != nil {
		return nil, err
	}
	cat, err := d.catalog()
	if err != nil {
		return nil, err
	}
	f, err := d.form(cat)
	if err != nil {
		return nil, err
	}
	h := &history{doc: d, forms: map[int]*form{0: f}}
	var out []Signature
	for _, s := range f.sigs {
		if s.value.kind() == kNull {
			continue
		}
		if len(out) == maxSignatures {
			return nil, errf(CodeTooManyObjects, "more than %d signatures", maxSignatures)
		}
		sig := d.signature(s)
		if err := h.compare(&sig, s); err != nil {
			return nil, err
		}
		out = append(out, sig)
	}
	if out, err = h.certification(cat, out); err != nil {
		return nil, err
	}
	if out, err = h.removed(out); err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b Signature) int { return cmp.Compare(a.end(), b.end()) })
	overlaps(out)
	for i := range out {
		out[i].cover(size)
	}
	return out, nil
}

// end orders signatures.
func (s *Signature) end() int64 {
	if e := s.ByteRange[2] + s.ByteRange[3]; e > 0 {
		return e
	}
	return s.ContentsEnd
}

func (s *Signature) cover(size int64) {
	s.Coverage = CoverageUnclear
	if !s.ContentsIsExactGap {
		return
	}
	s.Coverage = CoverageBlock
	if s.RevisionEnd > 0 {
		s.Coverage = CoverageRevision
		if s.CoversWholeFile = s.RevisionEnd == size; s.CoversWholeFile {
			s.Coverage = CoverageFile
		}
	}
}

// overlaps marks signatures of which the later one does not begin its Contents
// behind the whole range of the earlier one, or that are one and the same.
func overlaps(list []Signature) {
	for i := 1; i < len(list); i++ {
		a, b := &list[i-1], &list[i]
		if a.ContentsStart == b.ContentsStart && a.ContentsStart > 0 {
			a.problem(CodeSharedSignature, "one dictionary for two fields")
			b.problem(CodeSharedSignature, "one dictionary for two fields")
			continue
		}
		if a.ContentsIsExactGap && b.ContentsIsExactGap && b.ContentsStart < a.end() {
			a.problem(CodeRangesOverlap, "the range reaches into another signature's")
			b.problem(CodeRangesOverlap, "the range reaches into another signature's")
		}
	}
}

// signature reads the signature dictionary of a field.
func (d *doc) signature(f field) Signature {
	s := Signature{FieldName: f.name}
	v := f.value
	if v.kind() != kDict {
		s.problem(CodeBadSignature, "the value is not a dictionary")
		return s
	}
	err := d.s.work(valueSteps * len(v.n.kids))
	if err == nil {
		err = v.uniqueKeys()
	}
	if err != nil {
		s.fault(err)
		return s
	}
	s.Type = d.nameIn(&s, v, "Type")
	s.Filter = d.nameIn(&s, v, "Filter")
	s.SubFilter = d.nameIn(&s, v, "SubFilter")
	if m, err := d.get(v, "M"); err != nil {
		s.fault(err)
	} else {
		s.SigningTime = text(m.bytes())
	}
	for key, to := range map[string]*bool{"Cert": &s.HasCert, "Reference": &s.HasReference, "Reason": &s.HasReason} {
		w, err := v.direct(key)
		if err != nil {
			s.fault(err)
		}
		*to = w.kind() != kNull
	}
	p, err := d.docMDP(v)
	if err != nil {
		s.fault(err)
	}
	s.Permissions = p
	d.contents(&s, v)
	d.byteRange(&s, v)
	return s
}

// fault records an error that belongs to this signature alone.
func (s *Signature) fault(err error) {
	var e *Error
	if errors.As(err, &e) {
		s.Problems = append(s.Problems, e)
		return
	}
	s.problem(CodeBadSignature, "the document cannot be read")
}

func (d *doc) nameIn(s *Signature, v val, key string) string {
	w, err := d.get(v, key)
	if err != nil {
		s.fault(err)
	}
	return w.name()
}

// contents finds the <hex> token and cuts the CMS out of it.
func (d *doc) contents(s *Signature, v val) {
	c, err := v.direct("Contents")
	switch {
	case err != nil:
		s.fault(err)
		return
	case v.o.off < 0:
		s.problem(CodeContentsInStream, "the signature dictionary is in an object stream")
		return
	case c.kind() != kHex:
		// A literal string can have any length for the same bytes, so that a
		// sum of lengths would prove nothing.
		s.problem(CodeBadContents, "/Contents is not a direct hexadecimal string")
		return
	}
	s.ContentsStart = v.o.off + int64(c.n.start)
	s.ContentsEnd = v.o.off + int64(c.n.end)
	raw := c.raw()
	// Any number of fields can have one dictionary.
	have, known := d.mem.contents[s.ContentsStart]
	if !known {
		if have.cms, have.pairs = decodePairs(raw); !have.pairs {
			have.cms = decodeHex(raw)
		}
		if d.mem.contents == nil {
			d.mem.contents = make(map[int64]contents)
		}
		d.mem.contents[s.ContentsStart] = have
	}
	if !have.pairs {
		s.problem(CodeBadContents, "/Contents is not pairs of hexadecimal digits")
	}
	s.CMS = have.cms
	if len(s.CMS) > 1 && s.CMS[0] == 0x30 && s.CMS[1] == 0x80 {
		return // BER; its end is known to the parser of CMS only
	}
	n, ok := derSize(s.CMS)
	if !ok {
		s.problem(CodeBadCMS, "/Contents does not begin with a DER SEQUENCE")
		return
	}
	if len(bytes.Trim(s.CMS[n:], "\x00")) > 0 {
		s.problem(CodeTrailingContents, "something but zeros behind the CMS")
	}
	s.CMS = s.CMS[:n]
}

// contents is what a /Contents holds.
type contents struct {
	cms   []byte
	pairs bool // of digits, and nothing between them
}

// byteRange reads ByteRange and compares its gap with the token.
func (d *doc) byteRange(s *Signature, v val) {
	a, err := v.direct("ByteRange")
	if err != nil {
		s.fault(err)
		return
	}
	if a.kind() != kArray || len(a.n.kids) != 4 {
		s.problem(CodeBadByteRange, "/ByteRange is not a direct array of four")
		return
	}
	for i := range s.ByteRange {
		n, ok := a.kid(i).int()
		if !ok || n < 0 || n > maxByteRange {
			s.ByteRange = [4]int64{}
			s.problem(CodeBadByteRange, "/ByteRange holds something else than offsets")
			return
		}
		s.ByteRange[i] = n
	}
	r := s.ByteRange
	switch {
	case r[0] != 0 || r[1] == 0 || r[2] < r[1] || r[2]+r[3] > d.s.size:
		s.problem(CodeBadByteRange, "/ByteRange does not begin at 0, is not in order, or leaves the file")
	case s.ContentsEnd == 0 || r[1] != s.ContentsStart || r[2] != s.ContentsEnd:
		s.problem(CodeNotExactGap, "the gap of /ByteRange is not the /Contents of this dictionary")
	case !s.Has(CodeBadContents):
		s.ContentsIsExactGap = true
	}
}

// ByteRangeDigest hashes the bytes that s covers, with a buffer of fixed size.
// A range that is not sound is refused, so that a digest is never of something
// else than two blocks around a gap. For more than one, see [ByteRangeDigests].
func ByteRangeDigest(r io.ReaderAt, size int64, s Signature, h crypto.Hash) ([]byte, error) {
	d, err := ByteRangeDigests(r, size, []RangeWant{{s, h}})
	if err != nil {
		return nil, err
	}
	return d[0], nil
}
