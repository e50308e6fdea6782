package pdf

import "strings"

// field is a terminal signature field of the interactive form (12.7).
type field struct {
	name  string // fully qualified
	dict  val    // own: it can be overridden
	value val    // /V; null when the field is not signed
}

// form is the interactive form of one revision.
type form struct {
	dict  val               // AcroForm; null when there is none
	array val               // Fields
	sigs  []field           // in the order of the form
	names map[string]string // every field's qualified name, and its type
}

func (d *doc) catalog() (val, error) {
	root, err := d.secs[0].trailer.direct("Root")
	if err != nil {
		return val{}, err
	}
	if root.kind() != kRef {
		return val{}, errf(CodeBrokenXref, "no /Root in the newest trailer")
	}
	o, err := d.load(int(root.n.num), int(root.n.gen))
	if err != nil {
		return val{}, err
	}
	typ, err := d.get(o.val(), "Type")
	if err != nil {
		return val{}, err
	}
	if o.root.kind != kDict || typ.kind() != kNull && typ.name() != "Catalog" {
		return val{}, errf(CodeBadStructure, "/Root is not a catalog")
	}
	return o.val(), nil
}

// form walks the fields that the catalog's AcroForm reaches.
func (d *doc) form(catalog val) (*form, error) {
	f := &form{names: make(map[string]string)}
	var err error
	if f.dict, err = d.want(catalog, "AcroForm", kDict); err != nil || f.dict.kind() == kNull {
		return f, err
	}
	if f.array, err = d.want(f.dict, "Fields", kArray); err != nil || f.array.kind() == kNull {
		return f, err
	}
	w := &formWalk{d: d, f: f, seen: make(map[int]bool), held: make(map[*object]bool)}
	for i := range f.array.n.kids {
		if err := w.node(f.array.kid(i), inherited{}, 0); err != nil {
			return f, err
		}
	}
	return f, nil
}

type inherited struct {
	name  string
	typ   string
	value val
}

type formWalk struct {
	d    *doc
	f    *form
	seen map[int]bool
	// held are the objects that the signed fields keep in memory, of weight bytes.
	held   map[*object]bool
	weight int
}

// maxHeld bounds the objects of the signed fields of one revision, in bytes:
// signatures may be long, and all of them stay in memory. Error: too_much_work.
const maxHeld = 48 << 20

// hold counts what a field keeps.
func (w *formWalk) hold(all ...val) error {
	for _, v := range all {
		if v.o == nil || w.held[v.o] {
			continue
		}
		w.held[v.o] = true
		if w.weight += len(v.o.buf); w.weight > maxHeld {
			return errf(CodeTooMuchWork, "signature fields of more than %d bytes together", maxHeld)
		}
	}
	return nil
}

// node visits a field or, below a terminal field, one of its widgets.
func (w *formWalk) node(v val, in inherited, depth int) error {
	if depth > w.d.s.max.Depth {
		return errf(CodeTooDeep, "the fields nest too deep")
	}
	if v.kind() == kRef {
		num := int(v.n.num)
		if w.seen[num] {
			return errf(CodeBadStructure, "object %d is twice in the field tree", num)
		}
		w.seen[num] = true
	}
	v, err := w.d.deref(v)
	if err != nil || v.kind() != kDict {
		return err // a field that is null is no field
	}
	if in, err = w.inherit(v, in); err != nil {
		return err
	}
	kids, err := w.d.want(v, "Kids", kArray)
	if err != nil {
		return err
	}
	fields := false
	if kids.kind() == kArray {
		if fields, err = w.kids(kids, in, depth); err != nil {
			return err
		}
	}
	if fields {
		return nil
	}
	w.f.names[in.name] = in.typ
	if in.typ == "Sig" {
		w.f.sigs = append(w.f.sigs, field{name: in.name, dict: v, value: in.value})
		return w.hold(v, in.value)
	}
	return nil
}

// kids visits the kids that are fields, and says whether there was one. A kid
// without /T is a widget (12.7.4.1).
func (w *formWalk) kids(kids val, in inherited, depth int) (bool, error) {
	fields := false
	for i := range kids.n.kids {
		k, err := w.d.deref(kids.kid(i))
		if err != nil {
			return false, err
		}
		t, err := k.direct("T")
		if err != nil {
			return false, err
		}
		if t.kind() == kNull {
			continue
		}
		fields = true
		if err := w.node(kids.kid(i), in, depth+1); err != nil {
			return false, err
		}
	}
	return fields, nil
}

func (w *formWalk) inherit(v val, in inherited) (inherited, error) {
	t, err := w.d.get(v, "T")
	if err != nil {
		return in, err
	}
	if t.kind() == kString || t.kind() == kHex {
		part := text(t.bytes())
		if in.name != "" {
			part = in.name + "." + part
		}
		in.name = part
		w.f.names[part] = ""
	}
	typ, err := w.d.get(v, "FT")
	if err != nil {
		return in, err
	}
	if typ.kind() == kName {
		in.typ = typ.name()
	}
	value, err := w.d.get(v, "V")
	if err != nil {
		return in, err
	}
	if value.kind() != kNull {
		in.value = value
	}
	return in, nil
}

// freeName gives the first of stem1, stem2 … that no field has.
func (f *form) freeName(stem string) string {
	for i := 1; ; i++ {
		name := stem + itoa(int64(i))
		if _, used := f.names[name]; !used {
			return name
		}
	}
}

// firstPage finds the first leaf of the page tree (7.7.3).
func (d *doc) firstPage(catalog val) (val, error) {
	pages, err := catalog.direct("Pages")
	if err != nil {
		return val{}, err
	}
	seen := make(map[int]bool)
	page, err := d.leaf(pages, seen, 0)
	if err == nil && page.kind() == kNull {
		err = errf(CodeBadStructure, "there is no page")
	}
	return page, err
}

// leaf goes down; of each node only the first kids are looked at, because the
// array can be as long as the document has pages.
func (d *doc) leaf(ref val, seen map[int]bool, depth int) (val, error) {
	if ref.kind() != kRef || seen[int(ref.n.num)] {
		return val{}, errf(CodeBadStructure, "the page tree is not a tree")
	}
	if depth > d.s.max.Depth {
		return val{}, errf(CodeTooDeep, "the page tree is too deep")
	}
	seen[int(ref.n.num)] = true
	o, err := d.loadKeep(int(ref.n.num), int(ref.n.gen), 64)
	if err != nil {
		return val{}, err
	}
	kids, err := d.get(o.val(), "Kids")
	if err != nil {
		return val{}, err
	}
	typ, err := d.get(o.val(), "Type")
	if err != nil {
		return val{}, err
	}
	if kids.kind() != kArray {
		if o.root.kind != kDict || typ.kind() != kNull && typ.name() != "Page" {
			return val{}, errf(CodeBadStructure, "object %d is not a page", o.num)
		}
		// Once more, whole: it is going to be changed.
		o, err = d.load(int(ref.n.num), int(ref.n.gen))
		if err != nil {
			return val{}, err
		}
		return o.val(), nil
	}
	for i := range kids.n.kids {
		page, err := d.leaf(kids.kid(i), seen, depth+1)
		if err != nil || page.kind() != kNull {
			return page, err
		}
	}
	return val{}, nil
}

// under says whether the field name is path or stands below it.
func under(name, path string) bool {
	rest, ok := strings.CutPrefix(name, path)
	return ok && (rest == "" || rest[0] == '.')
}
