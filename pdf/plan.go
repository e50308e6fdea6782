package pdf

import (
	"crypto"
	"io"
	"strings"
)

// update is an incremental update (ISO 32000-2, 7.5.6) in the making.
type update struct {
	doc      *doc
	lastByte byte // of the base
	root     string
	info     string // "" = absent
	checksum string // "" = absent
	id       string // first element of /ID; "" = absent
	edits    edits
	added    []addition
	next     int // first object number that is free
}

// addition is a new object.
type addition struct {
	num  int
	body []byte
}

// signing is the update that adds a signature or a time-stamp, known but for
// what depends on the digest of the base.
type signing struct {
	*update
	opts      Options
	fieldName string
	sigNum    int
	reference string // /Reference of the signature dictionary, or ""
	look      *drawing
	empty     int    // number of the appearance of a field that does not show; 0: it has none
	rect      string // of a new field
}

func (o *Options) check() error {
	if o.Hash == 0 {
		o.Hash = crypto.SHA256
	}
	switch {
	case o.Hash != crypto.SHA256 && o.Hash != crypto.SHA384 && o.Hash != crypto.SHA512:
		return errf(CodeBadOptions, "hash is not SHA-256, SHA-384 or SHA-512")
	case !o.TimeStamp && !o.preview && (o.SignatureTime.IsZero() || o.SignatureTime.UTC().Year() < 1970 || o.SignatureTime.UTC().Year() > 9999):
		return errf(CodeBadOptions, "no signature time")
	case o.Reserve < 1 || o.Reserve > maxReserve:
		return errf(CodeBadOptions, "reserve is not between 1 and %d", maxReserve)
	case !validText(o.FieldName):
		return errf(CodeBadOptions, "field name is not UTF-8")
	case o.Appearance != nil && o.TimeStamp:
		return errf(CodeBadOptions, "a time-stamp does not show")
	}
	if o.Appearance == nil {
		return nil
	}
	look := *o.Appearance // the caller's stays as it is
	o.Appearance = &look
	return look.check()
}

// begin reads what every update needs, and the catalog.
func begin(base io.ReaderAt, size int64, b Budget) (*update, val, error) {
	d, err := open(base, size, b)
	if err != nil {
		return nil, val{}, err
	}
	u := &update{doc: d}
	if err = u.trailer(); err != nil {
		return nil, val{}, err
	}
	cat, err := d.catalog()
	return u, cat, err
}

// plan reads the structure and decides every change.
func plan(base io.ReaderAt, size int64, o *Options) (*signing, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	u, cat, err := begin(base, size, o.Budget)
	if err != nil {
		return nil, err
	}
	need := 6 // signature, field, its appearance, form, section; one to spare
	if o.Appearance != nil {
		need += drawingObjects
	}
	if err = u.room(need); err != nil {
		return nil, err
	}
	f, err := u.doc.form(cat)
	if err != nil {
		return nil, err
	}
	s := &signing{update: u, opts: *o}
	if !o.preview {
		s.sigNum = s.number()
	}
	if o.TimeStamp {
		return s, s.stampField(cat, f)
	}
	locks, err := u.doc.permits(cat, f)
	if err != nil {
		return nil, err
	}
	if o.Appearance != nil {
		return s, s.appear(cat, f, locks)
	}
	chosen, err := s.choose(f, locks)
	if err != nil {
		return nil, err
	}
	if chosen != nil {
		err = s.useField(f, *chosen)
	} else {
		err = s.newField(cat, f)
	}
	return s, err
}

// stampField makes the new field of a document time-stamp. What earlier
// signatures forbid is not asked: by ISO 32000-2, 12.8.2.2, validation data and
// time-stamps are no changes, also where P = 1 allows none. Otherwise a
// signature in a field whose lock says P = 1 could never be kept valid.
func (u *signing) stampField(cat val, f *form) error {
	if u.opts.FieldName == "" {
		u.opts.FieldName = f.freeName("Timestamp")
	}
	if _, used := f.names[u.opts.FieldName]; used || strings.Contains(u.opts.FieldName, ".") {
		return errf(CodeBadSignatureField, "a time-stamp takes a new field, with no dot in its name")
	}
	if err := u.newField(cat, f); err != nil {
		return err
	}
	return u.extension(cat)
}

// room refuses a document that has no n object numbers left.
func (u *update) room(n int) error {
	if u.next+n-1 > u.doc.s.max.Objects {
		return errf(CodeTooManyObjects, "no object numbers left")
	}
	return nil
}

// number takes the next free object number.
func (u *update) number() int {
	u.next++
	return u.next - 1
}

// checksumKey is LibreOffice's. An update takes over what the trailer before had (7.5.6); of the keys that are not in the standard
// only this one, which says nothing to readers: others can name objects, and who sees no more than an update cannot tell
// whether they were there before (OnlySigns).
const checksumKey = "DocChecksum"

// trailer reads what the new trailer takes over.
func (u *update) trailer() error {
	t := u.doc.secs[0].trailer
	size, err := t.direct("Size")
	if err != nil {
		return err
	}
	u.next = int(size.n.num)
	last, err := u.doc.s.at(u.doc.s.size-1, 1)
	if err != nil {
		return err
	}
	u.lastByte = last[0]
	root, err := t.direct("Root")
	if err != nil {
		return err
	}
	if root.kind() != kRef {
		return errf(CodeBrokenXref, "no /Root in the newest trailer")
	}
	u.root = refText(int(root.n.num), int(root.n.gen))
	info, err := t.direct("Info")
	if err != nil {
		return err
	}
	if info.kind() == kRef {
		u.info = refText(int(info.n.num), int(info.n.gen))
	}
	sum, err := t.direct(checksumKey)
	if err != nil {
		return err
	}
	if k := sum.kind(); k == kName || k == kString || k == kHex {
		u.checksum = string(sum.raw())
	}
	id, err := u.doc.get(t, "ID")
	if err != nil {
		return err
	}
	if id.kind() == kArray && len(id.n.kids) > 0 {
		first, err := u.doc.deref(id.kid(0))
		if err != nil {
			return err
		}
		if first.kind() == kHex || first.kind() == kString {
			u.id = string(first.raw())
		}
	}
	return nil
}

// choose picks the field to sign; nil means that a new one is made.
func (u *signing) choose(f *form, locks []fieldLock) (*field, error) {
	names := 1
	for _, l := range locks {
		names += len(l.names)
	}
	locked := func(name string) bool {
		for _, l := range locks {
			if l.locks(name) {
				return true
			}
		}
		return false
	}
	want := u.opts.FieldName
	for i := range f.sigs {
		s := &f.sigs[i]
		if err := u.doc.s.work(names); err != nil {
			return nil, err
		}
		switch {
		case want == "" && (s.value.kind() != kNull || locked(s.name) || !s.dict.own || s.name == ""):
			continue
		case want != "" && s.name != want:
			continue
		case want == "" && u.opts.Appearance != nil:
			if widget, _, err := u.doc.shows(s); err != nil {
				return nil, err
			} else if widget.kind() == kNull {
				continue
			}
		case s.value.kind() != kNull:
			return nil, errf(CodeBadSignatureField, "the field is signed already")
		case locked(s.name):
			return nil, errf(CodeFieldLocked, "an earlier signature locks the field")
		case !s.dict.own:
			return nil, errf(CodeBadSignatureField, "the field is not an indirect object")
		}
		return s, u.doc.checkSeed(*s, u.opts.Hash)
	}
	if typ, used := f.names[want]; used && want != "" {
		return nil, errf(CodeBadSignatureField, "a field of that name exists, and is of type %q", typ)
	}
	if strings.Contains(want, ".") {
		return nil, errf(CodeBadSignatureField, "no such field, and a new one has no dot in its name")
	}
	return nil, nil
}

// useField puts the signature into an empty field.
func (u *signing) useField(f *form, s field) error {
	u.fieldName = s.name
	var err error
	if u.reference, err = u.doc.lockReference(s, u.root); err != nil {
		return err
	}
	if u.opts.preview {
		return nil
	}
	if err = u.edits.set(s.dict, "V", refText(u.sigNum, 0)); err != nil {
		return err
	}
	return u.sigFlags(f)
}

// sigFlags sets SignaturesExist and AppendOnly (12.7.3, table 225).
func (u *update) sigFlags(f *form) error {
	flags, err := u.doc.intOf(f.dict, "SigFlags")
	if err != nil {
		return err
	}
	if flags = max(0, flags); flags&3 == 3 {
		return nil
	}
	return u.edits.set(f.dict, "SigFlags", itoa(flags|3))
}

// emptyLook is the appearance of a field that does not show: nothing, in a box of no size.
const emptyLook = "<</Type/XObject/Subtype/Form/BBox[0 0 0 0]/Length 0>>\nstream\n\nendstream"

// newField makes an invisible field, merged with its widget, on the first page.
func (u *signing) newField(cat val, f *form) error {
	page, err := u.doc.firstPage(cat)
	if err != nil {
		return err
	}
	u.rect = "0 0 0 0"
	// Only PDF/A-1 wants an appearance of what is not shown (ISO 19005-1, 6.9). Elsewhere it would only raise questions: pyHanko
	// counts the one of a document time-stamp as form filling.
	if u.doc.saysPDFA1(cat) {
		u.empty = u.object([]byte(emptyLook))
	}
	return u.newFieldOn(cat, f, page)
}

// newFieldOn makes a field, merged with its widget, on a page.
func (u *signing) newFieldOn(cat val, f *form, page val) error {
	u.fieldName = u.opts.FieldName
	if u.fieldName == "" {
		u.fieldName = f.freeName("Signature")
	}
	num := u.number()
	ref := refText(num, 0)
	more := ""
	if u.empty > 0 {
		more = "/AP<</N " + refText(u.empty, 0) + ">>"
	}
	if u.look != nil {
		// TU is what is read aloud. A structure element would have to go into the tree, which no document that was signed
		// before may change.
		more = "/TU" + textString(u.look.text) + "/AP<</N " + refText(u.look.form, 0) + ">>"
	}
	if !u.opts.preview {
		more += "/V " + refText(u.sigNum, 0)
	}
	// F = Print | Locked, as PDF/A wants Print on every annotation.
	u.added = append(u.added, addition{num, []byte("<</Type/Annot/Subtype/Widget/FT/Sig/T" + textString(u.fieldName) +
		"/F 132/Rect[" + u.rect + "]/P " + refText(page.o.num, page.o.gen) + more + ">>")})
	if err := u.annots(page, ref); err != nil {
		return err
	}
	return u.acroForm(cat, f, ref)
}

// annots adds the widget to the page.
func (u *update) annots(page val, ref string) error {
	a, err := u.doc.get(page, "Annots")
	if err != nil {
		return err
	}
	switch a.kind() {
	case kArray:
		return u.edits.push(a, ref)
	case kNull:
		return u.edits.set(page, "Annots", "["+ref+"]")
	}
	return errf(CodeBadStructure, "/Annots of object %d is not an array", page.o.num)
}

// acroForm adds the field to the form, which is made if there is none.
func (u *update) acroForm(cat val, f *form, ref string) error {
	switch {
	case f.dict.kind() == kNull:
		num := u.number()
		u.added = append(u.added, addition{num, []byte("<</Fields[" + ref + "]/SigFlags 3>>")})
		return u.edits.set(cat, "AcroForm", refText(num, 0))
	case f.array.kind() == kNull:
		if err := u.edits.set(f.dict, "Fields", "["+ref+"]"); err != nil {
			return err
		}
	default:
		if err := u.edits.push(f.array, ref); err != nil {
			return err
		}
	}
	return u.sigFlags(f)
}
