package pdf

import (
	"slices"
	"strconv"
)

// formMap is the form of the signed revision: every qualified name, and what the objects are that change later.
type formMap struct {
	names map[string]bool
	infos map[int]fieldInfo
	text  bool         // there are fields that are not for signatures
	looks map[int]look // appearances that change later, see formReader.look
}

// fieldInfo is the role of an object in the form.
type fieldInfo struct {
	name   string
	typ    string // FT, inherited too
	flags  int64  // Ff, inherited too
	signed bool   // a signature field with a value
	widget bool   // a widget that is no field of its own
	parent bool   // it has kids that are fields
}

// look is an appearance that is an object of its own.
type look struct {
	field fieldInfo
	from  int    // the object that refers to it
	key   string // the path in from
	dict  bool   // the appearance dictionary, else a stream
}

// oldForm reads the form of the signed revision once, and what its signatures allow. It keeps no signature: they can be long.
func (c *comparison) oldForm() (*formMap, error) {
	if c.form != nil {
		return c.form, nil
	}
	f := &formMap{names: make(map[string]bool), infos: make(map[int]fieldInfo), looks: make(map[int]look)}
	cat, err := c.old.catalog()
	if err != nil {
		return nil, err
	}
	form, err := c.old.want(cat, "AcroForm", kDict)
	if err != nil {
		return nil, err
	}
	array, err := c.old.want(form, "Fields", kArray)
	if err != nil {
		return nil, err
	}
	w := &formReader{c: c, f: f, seen: make(map[int]bool)}
	for i := 0; array.kind() == kArray && i < len(array.n.kids); i++ {
		if err := w.field(array.kid(i), formNode{}, 0); err != nil {
			return nil, err
		}
	}
	c.form = f
	return f, nil
}

// formNode is what a field hands down to its kids.
type formNode struct {
	fieldInfo
	value val
}

type formReader struct {
	c    *comparison
	f    *formMap
	seen map[int]bool
}

// field visits a field, its kids, and their widgets.
func (w *formReader) field(v val, in formNode, depth int) error {
	d := w.c.old
	if depth > d.s.max.Depth {
		return errf(CodeTooDeep, "the fields nest too deep")
	}
	num := 0
	if v.kind() == kRef {
		if num = int(v.n.num); w.seen[num] {
			return errf(CodeBadStructure, "object %d is twice in the field tree", num)
		}
		w.seen[num] = true
	}
	v, err := d.deref(v)
	if err != nil || v.kind() != kDict {
		return err
	}
	if in, err = w.inherit(v, in, depth); err != nil {
		return err
	}
	kids, err := d.want(v, "Kids", kArray)
	if err != nil {
		return err
	}
	in.parent = false
	for i := 0; kids.kind() == kArray && i < len(kids.n.kids); i++ {
		k, err := d.deref(kids.kid(i))
		if err != nil {
			return err
		}
		t, err := k.direct("T")
		if err != nil {
			return err
		}
		below := in
		if below.widget = t.kind() == kNull; !below.widget {
			in.parent = true
		}
		if err := w.field(kids.kid(i), below, depth+1); err != nil {
			return err
		}
	}
	w.note(num, in)
	if in.typ != "Sig" && !in.parent {
		w.f.text = true
	}
	if in.typ == "Sig" && in.signed && !in.widget && !in.parent {
		if err := w.c.heed(v, in.value); err != nil {
			return err
		}
	}
	return w.looks(v, num, in.fieldInfo)
}

func (w *formReader) note(num int, in formNode) {
	if num > 0 && w.c.f.used[num] != nil {
		w.f.infos[num] = in.fieldInfo
	}
}

func (w *formReader) inherit(v val, in formNode, depth int) (formNode, error) {
	d := w.c.old
	if t, err := d.get(v, "T"); err != nil {
		return in, err
	} else if textual(t.kind()) {
		part := text(t.bytes())
		if depth > 0 {
			part = in.name + "." + part
		}
		in.name = part
		w.f.names[part] = true
	}
	if t, err := d.get(v, "FT"); err != nil {
		return in, err
	} else if t.kind() == kName {
		in.typ = t.name()
	}
	if n, err := d.intOf(v, "Ff"); err != nil {
		return in, err
	} else if n >= 0 {
		in.flags = n
	}
	if x, err := d.get(v, "V"); err != nil {
		return in, err
	} else if x.kind() != kNull {
		in.value, in.signed = x, in.typ == "Sig"
	}
	return in, nil
}

// looks notes the appearance dictionary of a widget and the streams in it that change later. When the dictionary is an object
// of its own, its streams are not noted: something else could have the same dictionary, which nobody looked for.
func (w *formReader) looks(v val, num int, info fieldInfo) error {
	ap, err := v.direct("AP")
	if err != nil || num == 0 {
		return err
	}
	if ap.kind() == kRef {
		w.look(ap, look{field: info, from: num, key: "AP", dict: true})
		return nil
	}
	for _, key := range []string{"N", "R", "D"} {
		s, err := ap.direct(key)
		if err != nil {
			return err
		}
		w.look(s, look{field: info, from: num, key: "AP." + key})
	}
	return nil
}

func (w *formReader) look(ref val, l look) {
	if ref.kind() == kRef && w.c.f.used[int(ref.n.num)] != nil {
		w.f.looks[int(ref.n.num)] = l
	}
}

// fields: the fields that were there stay; new ones are for signatures.
func (p *pairing) fields(x, y val) error {
	a, b, err := p.role(x, y, "Fields")
	if err != nil {
		return err
	}
	if b.kind() != kArray || a.kind() != kArray && a.kind() != kNull {
		return p.unchanged(reasonFields, y.o.num, a, b)
	}
	old := make(map[[2]int64]bool) // number and generation: by another one there is no field
	id := func(k val) [2]int64 { return [2]int64{k.n.num, int64(k.n.gen)} }
	for i := 0; a.kind() == kArray && i < len(a.n.kids); i++ {
		if k := a.kid(i); k.kind() == kRef {
			old[id(k)] = true
		} else if k.kind() != kNull {
			p.other(reasonFields, y.o.num) // a field that is no object of its own cannot be told from another
		}
	}
	if err := p.s.work(len(old) + len(b.n.kids)); err != nil {
		return err
	}
	for i := range b.n.kids {
		k := b.kid(i)
		switch {
		case k.kind() == kRef && old[id(k)]:
			delete(old, id(k))
		case k.kind() == kRef && p.fresh(int(k.n.num)):
			if err := p.newField(k); err != nil {
				return err
			}
		default:
			p.other(reasonFields, y.o.num)
		}
	}
	if len(old) > 0 {
		p.other(reasonFieldRemoved, y.o.num)
	}
	return nil
}

// fieldKeys are what a new signature field or its widget may have: nothing that acts, and no other kind of content than its
// appearance.
var fieldKeys = []string{"Type", "Subtype", "FT", "T", "TU", "TM", "V", "F", "Ff", "Rect", "P", "AP", "AS", "MK", "DA", "Q", "DR", "BS",
	"Border", "Lock", "SV", "NM", "M", "C", "H", "Kids", "Parent", "CreationDate", "StructParent"}

// newField is a field that the form has now.
func (p *pairing) newField(ref val) error {
	num := int(ref.n.num)
	if p.seen[num] {
		p.other(reasonFields, num)
		return nil
	}
	p.seen[num] = true
	if p.recall(ref) {
		return nil
	}
	o, err := p.now.load(num, int(ref.n.gen))
	if err != nil {
		return err
	}
	e, err := p.s.keyed(o.val())
	if err != nil {
		return err
	}
	name := ""
	if textual(e["T"].kind()) {
		name = text(e["T"].bytes())
	}
	form, err := p.oldForm()
	if err != nil {
		return err
	}
	switch {
	case e["FT"].name() != "Sig" || e["Parent"].kind() != kNull:
		p.other(reasonField, num)
		return nil
	case name == "" || form.names[name]:
		// Two fields of one name are one field, with one value.
		p.other(reasonFieldName, num)
		return nil
	}
	visible, err := p.newWidget(num, e)
	if err != nil {
		return err
	}
	if kids, err := p.now.deref(e["Kids"]); err != nil {
		return err
	} else if kids.kind() == kArray {
		for i := range kids.n.kids {
			more, err := p.newKid(kids.kid(i), ref)
			if err != nil {
				return err
			}
			visible = visible || more
		}
	}
	p.remember(ref, e)
	return p.newValue(num, e["V"], visible)
}

// knownField is a new field that was held against the signed revision already. It is the same in a later revision when it and
// its signature stand in the same places, and nothing that was read of them stands elsewhere. Without that, the work would
// grow with the cube of the signers.
type knownField struct {
	ref, value val   // the references to it and to its signature
	is, signed entry // where both stand
	widget     bool
}

// remember notes a field, unless what was read of it is in more places than two.
func (p *pairing) remember(ref val, e map[string]val) {
	k := knownField{ref: ref, value: e["V"], widget: e["Subtype"].kind() != kNull}
	if e["Kids"].kind() != kNull || e["F"].kind() == kRef || e["Rect"].kind() == kRef {
		return
	}
	if rect := e["Rect"]; rect.kind() == kArray {
		for i := range rect.n.kids {
			if rect.kid(i).kind() == kRef {
				return
			}
		}
	}
	var own, has bool
	k.is, own = p.stands(ref)
	if k.signed, has = p.stands(k.value); own && (has || k.value.kind() == kNull) {
		p.known[int(ref.n.num)] = k
	}
}

// stands is where a new object is, if that is no object stream: one can be written anew with no word of what is in it.
func (p *pairing) stands(ref val) (entry, bool) {
	if ref.kind() != kRef || !p.fresh(int(ref.n.num)) {
		return entry{}, false
	}
	is := p.changed[int(ref.n.num)].is
	return is, is.kind == entryOffset
}

// recall says whether the field is known. What it changes is in the comparison then; what is of each pair it notes anew.
func (p *pairing) recall(ref val) bool {
	num := int(ref.n.num)
	k, ok := p.known[num]
	if !ok || k.ref.n.gen != ref.n.gen {
		return false
	}
	if is, _ := p.stands(ref); is != k.is {
		return false
	}
	if is, _ := p.stands(k.value); is != k.signed {
		return false
	}
	if k.widget {
		p.widgets[num] = 0
	}
	return true
}

// newKid is a widget of a new field.
func (p *pairing) newKid(k, parent val) (bool, error) {
	if k.kind() != kRef || !p.fresh(int(k.n.num)) {
		p.other(reasonWidget, 0)
		return false, nil
	}
	num := int(k.n.num)
	o, err := p.now.load(num, int(k.n.gen))
	if err != nil {
		return false, err
	}
	e, err := p.s.keyed(o.val())
	if err != nil {
		return false, err
	}
	for _, key := range []string{"T", "FT", "V", "Kids"} {
		if e[key].kind() != kNull {
			p.other(reasonWidget, num)
		}
	}
	if up := e["Parent"]; up.kind() != kNull {
		if err := p.unchanged(reasonWidget, num, parent, up); err != nil {
			return false, err
		}
	}
	return p.newWidget(num, e)
}

// newWidget holds a new field or widget to its keys, and says whether it shows.
func (p *pairing) newWidget(num int, e map[string]val) (bool, error) {
	for key := range e {
		if !slices.Contains(fieldKeys, key) {
			p.other(reasonFieldKey, num)
		}
	}
	if e["Subtype"].kind() == kNull {
		return false, nil
	}
	if e["Subtype"].name() != "Widget" {
		p.other(reasonWidget, num)
	}
	p.widgets[num] = 0
	flags, err := p.now.deref(e["F"])
	if err != nil {
		return false, err
	}
	const hidden = 2
	rect, err := p.now.rectangle(e["Rect"])
	if err != nil {
		return false, err
	}
	return flags.num()&hidden == 0 && rect[0] != rect[2] && rect[1] != rect[3], nil
}

// newValue is what a field got as its signature. A signature that shows says that it was made; so it must be there.
func (p *pairing) newValue(num int, v val, visible bool) error {
	level := ChangesFormFilling
	if v.kind() == kNull {
		if visible {
			p.other(reasonVisibleFieldNotSigned, num)
		}
		p.change(level)
		return nil
	}
	typ, err := p.signatureValue(num, v)
	if err != nil {
		return err
	}
	if typ == "DocTimeStamp" && !visible {
		level = ChangesLTA
	}
	p.change(level)
	if visible && p.rights.certified() {
		// It could hide what was certified, and what is below cannot be told without drawing the page.
		p.refuse(reasonVisibleFieldOnCertified, num)
	}
	return nil
}

// signatureValue wants a signature dictionary that is a new object, and gives its type.
func (p *pairing) signatureValue(num int, v val) (string, error) {
	if v.kind() != kRef || !p.fresh(int(v.n.num)) {
		p.other(reasonSignatureValue, num)
		return "", nil
	}
	o, err := p.now.load(int(v.n.num), int(v.n.gen))
	if err != nil {
		return "", err
	}
	e, err := p.s.keyed(o.val())
	if err != nil {
		return "", err
	}
	typ := e["Type"].name()
	if o.data > 0 || typ != "" && typ != "Sig" && typ != "DocTimeStamp" || e["ByteRange"].kind() != kArray || e["Contents"].kind() != kHex {
		p.other(reasonSignatureValue, o.num)
	}
	return typ, nil
}

// rectangle reads four numbers (7.9.5); anything else is one that shows.
func (d *doc) rectangle(v val) ([4]float64, error) {
	all := [4]float64{0, 0, 1, 1}
	w, err := d.deref(v)
	if err != nil || w.kind() != kArray || len(w.n.kids) != 4 {
		return all, err
	}
	var r [4]float64
	for i := range r {
		k, err := d.deref(w.kid(i))
		if err != nil {
			return all, err
		}
		n, err := strconv.ParseFloat(string(k.raw()), 64)
		if err != nil {
			return all, nil
		}
		r[i] = n
	}
	return r, nil
}
