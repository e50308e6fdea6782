package pdf

import (
	"errors"
	"slices"
)

// history looks at the document as it was after earlier revisions: the same
// file, read from an older cross-reference section on.
type history struct {
	doc   *doc
	forms map[int]*form // by index of the newest section of the revision
	kept  int           // fields in forms
	// values are those of the newest form, by place: the same ones of earlier
	// revisions take no memory of their own. held is what others take, in bytes.
	values map[spot]val
	held   int
}

// spot is the place of a value in the file.
type spot struct {
	off   int64
	start int32
}

// share makes the signed fields of an earlier revision refer to what the newest
// one has in memory already.
func (h *history) share(f *form) error {
	if h.values == nil {
		h.values = make(map[spot]val)
		if newest := h.forms[0]; newest != nil {
			for _, s := range newest.sigs {
				if s.value.kind() != kNull && s.value.o.off >= 0 {
					h.values[spot{s.value.o.off, s.value.n.start}] = s.value
				}
			}
		}
	}
	for i := range f.sigs {
		s := &f.sigs[i]
		if same, ok := h.values[spot{s.value.o.off, s.value.n.start}]; ok {
			if s.dict.o == s.value.o {
				s.dict.o = same.o
			}
			s.value = same
		} else if h.held += len(s.value.o.buf); h.held > maxHeld {
			return errf(CodeTooMuchWork, "signatures of earlier revisions of more than %d bytes together", maxHeld)
		}
	}
	return nil
}

func (h *history) at(i int) *doc {
	return &doc{s: h.doc.s, secs: h.doc.secs[i:], mem: h.doc.mem}
}

// maxKept is how many signed fields of earlier revisions stay in memory; with
// more, forms are read again.
const maxKept = 16 << 10

// form is the form of an earlier revision, its signed fields alone; an empty one when that part of the
// file had no catalog yet, as the second part of a linearized file has not.
func (h *history) form(i int) (*form, error) {
	if f := h.forms[i]; f != nil {
		return f, nil
	}
	f := &form{}
	d := h.at(i)
	root, err := d.get(d.secs[0].trailer, "Root")
	if err == nil && root.kind() == kDict {
		f, err = d.form(root)
	}
	if err != nil {
		return nil, err
	}
	f.names = nil
	f.sigs = slices.DeleteFunc(f.sigs, func(s field) bool { return s.value.kind() == kNull })
	if err := h.share(f); err != nil {
		return nil, err
	}
	if h.kept += len(f.sigs); h.kept > maxKept {
		h.forms, h.kept = map[int]*form{0: h.forms[0]}, len(f.sigs)
	}
	h.forms[i] = f
	return f, nil
}

// revision finds the revision that ends at end: the bytes before it are
// startxref, an offset in the chain, %%EOF and white space; its sections are
// inside, and those of later revisions are not.
func (h *history) revision(end int64) (int, error) {
	if end < 1 || end > h.doc.s.size {
		return -1, errf(CodeNotARevision, "no revision ends at %d", end)
	}
	start, err := h.doc.s.tail(end, true)
	if err != nil {
		return -1, err
	}
	found := -1
	for i, sec := range h.doc.secs {
		if sec.off == start {
			found = i
		}
		inside := sec.end() <= end && (sec.hybrid == nil || sec.hybrid.end() <= end)
		if inside != (found >= 0) {
			return -1, nil
		}
	}
	return found, nil
}

// compare fills in what the signed revision says about the signature.
func (h *history) compare(s *Signature, f field) error {
	if !s.ContentsIsExactGap {
		return nil
	}
	end := s.ByteRange[2] + s.ByteRange[3]
	i, err := h.revision(end)
	if err != nil && !soft(err) {
		return err
	}
	if err != nil || i < 0 {
		s.problem(CodeNotARevision, "the range does not end with a complete revision")
		return nil
	}
	s.RevisionEnd = end
	old, err := h.form(i)
	if err != nil {
		if !soft(err) {
			return err
		}
		s.problem(CodeNotInSignedRevision, "the signed revision cannot be read")
		return nil
	}
	for _, o := range old.sigs {
		if o.dict.own == f.dict.own && o.dict.o.num == f.dict.o.num && o.name == f.name && samePlace(o.value, f.value) {
			s.SameInSignedRevision = true
			return nil
		}
	}
	s.problem(CodeNotInSignedRevision, "field and dictionary are not those of the signed revision")
	return nil
}

func samePlace(a, b val) bool {
	return a.kind() != kNull && b.kind() != kNull && a.o.off >= 0 && a.o.off == b.o.off && a.n.start == b.n.start
}

// soft errors are about the document; a budget that is spent, or a disk that
// fails, ends the work.
func soft(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case CodeTooMuchWork, CodeTooManyObjects, CodeTooManySections, CodeDecompressionBomb, CodeObjectTooLong:
		return false
	}
	return true
}

// certification adds the signature that /Perms /DocMDP names when no field has it.
func (h *history) certification(cat val, list []Signature) ([]Signature, error) {
	perms, err := h.doc.get(cat, "Perms")
	if err != nil {
		return nil, err
	}
	v, err := h.doc.get(perms, "DocMDP")
	if err != nil || v.kind() == kNull {
		return list, err
	}
	s := h.doc.signature(field{value: v})
	for _, o := range list {
		if s.ContentsStart > 0 && o.ContentsStart == s.ContentsStart {
			return list, nil
		}
	}
	s.problem(CodeNotInField, "no field has the certification signature")
	return append(list, s), nil
}

// identity tells signatures apart: by the place of their Contents, and by name
// when there is none.
type identity struct {
	at   int64
	name string
}

func identityOf(s Signature) identity {
	if s.ContentsStart > 0 {
		return identity{at: s.ContentsStart}
	}
	return identity{name: s.FieldName}
}

// removed looks through the earlier revisions for signatures that the newest
// has no more.
func (h *history) removed(list []Signature) ([]Signature, error) {
	known := make(map[identity]bool)
	for _, s := range list {
		known[identityOf(s)] = true
	}
	for i := 1; i < len(h.doc.secs); i++ {
		f, err := h.form(i)
		if err != nil {
			if !soft(err) {
				return nil, err
			}
			// Whether it had signatures is not known. That is said once, as a
			// signature that is not sound.
			s := Signature{Removed: true}
			s.problem(CodeEarlierRevisionBroken, "the revision with the section at %d", h.doc.secs[i].off)
			return append(list, s), nil
		}
		for _, o := range f.sigs {
			if o.value.kind() == kNull {
				continue
			}
			s := h.at(i).signature(o)
			if known[identityOf(s)] {
				continue
			}
			if len(list) == maxSignatures {
				return nil, errf(CodeTooManyObjects, "more than %d signatures", maxSignatures)
			}
			known[identityOf(s)] = true
			s.Removed = true
			s.problem(CodeRemoved, "an earlier revision has this signature")
			list = append(list, s)
		}
	}
	return list, nil
}
