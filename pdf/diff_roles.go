package pdf

import (
	"maps"
	"slices"
	"strings"
)

// pairing is the signed revision beside one later one. It goes from the roots of both down the few ways on which something
// may change. An object that the later one defines otherwise, and that is met on such a way, is explained when its change is
// of the kind allowed there, and when no other way in the signed revision leads to it. What is left unexplained at the end is
// a change that is not allowed.
type pairing struct {
	*comparison
	s         *source
	now       *doc
	explained map[int]bool
	// widgets are new signature fields and their widgets, with the number of pages that list them.
	widgets map[int]int
	seen    map[int]bool    // new fields
	lists   map[[2]int]bool // arrays of annotations that were compared: the old one, or its page, and the new one
}

// judge compares with the revision that has section k, which defined the numbers in touched.
func (c *comparison) judge(k int, touched []int) error {
	p := &pairing{comparison: c, s: c.f.d.s, now: c.f.at(k), explained: make(map[int]bool),
		widgets: make(map[int]int), seen: make(map[int]bool), lists: make(map[[2]int]bool)}
	if sec := c.f.d.secs[k]; sec.hybrid != nil && !sec.copied {
		// Readers disagree which half of it counts.
		p.other(reasonHybridSection, 0)
	}
	if err := p.sort(touched); err != nil {
		return err
	}
	// The steps that follow go through all changes, also those of revisions before.
	if err := p.s.work(valueSteps * len(c.overridden)); err != nil {
		return err
	}
	for _, step := range []func() error{p.trailers, p.roots, p.objects, p.rest} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// sort finds among new definitions those of objects that were taken away, of new ones that an old one knew already, and of
// those that are what they were.
func (p *pairing) sort(touched []int) error {
	for _, num := range touched {
		r := p.changed[num]
		switch {
		case r.was.kind == entryNone:
			// A reference that meant nothing when it was signed means something now.
			u := p.f.used[num]
			if u.full || slices.ContainsFunc(u.uses, func(w use) bool { return w.sec >= p.i }) {
				p.other(reasonReferenceFilled, num)
			}
			continue
		case r.is.kind == entryNone:
			p.other(reasonObjectFreed, num)
			continue
		case r.was.generation() != r.is.generation():
			p.other(reasonObjectGeneration, num)
			continue
		}
		var err error
		if r.same, err = p.sameObject(num, r); err != nil {
			return err
		}
		if delete(p.overridden, num); r.same {
			continue
		}
		p.overridden[num] = true
		if err = p.container(num, r); err != nil {
			return err
		}
	}
	return nil
}

// container refuses another object stream in the place of one: the objects in it would change, and their rows would not. It is
// asked for apart from roles, because the same stream can have a role too.
func (p *pairing) container(num int, r *redefined) error {
	o, err := p.old.load(num, r.was.generation())
	if err != nil || o.data == 0 {
		return err
	}
	typ, err := o.val().direct("Type")
	if err == nil && (typ.kind() == kRef || typ.name() == "ObjStm" || typ.name() == "XRef") {
		p.other(reasonObjectStreamOverridden, num)
	}
	return err
}

// fresh says whether num is no object of the signed revision.
func (p *pairing) fresh(num int) bool {
	r := p.changed[num]
	return r != nil && r.was.kind == entryNone
}

// explain allows the change of an object that exists, when each way to it is one of those that ok knows.
func (p *pairing) explain(num int, ok func(use) bool) {
	if !p.overridden[num] {
		return
	}
	p.explained[num] = true
	u := p.f.used[num]
	if u.full {
		p.other(reasonUsedElsewhere, num)
	}
	for _, w := range u.uses {
		if w.sec >= p.i && !ok(w) {
			p.other(reasonUsedElsewhere, num)
		}
	}
}

// only allows one way: from the dictionary entry key in object from.
func only(from int, key string) func(use) bool {
	return func(u use) bool { return u.from == from && !u.elem && u.ends(key) }
}

// ends says whether key is the last one of the path.
func (u use) ends(key string) bool {
	return u.path == key || strings.HasSuffix(u.path, "."+key)
}

// last is the last key of the path.
func (u use) last() string { return u.path[strings.LastIndexByte(u.path, '.')+1:] }

// role reads the value of a key of which the change is allowed, in both revisions, references followed. The value may
// stand in the place where it stood, as a direct value, or as a new object; not as an old one that was something else.
func (p *pairing) role(a, b val, key string) (val, val, error) {
	x, err := a.direct(key)
	if err != nil {
		return x, x, err
	}
	y, err := b.direct(key)
	if err != nil {
		return x, y, err
	}
	from := 0
	if a.o != nil {
		from = a.o.num
	}
	return p.place(x, y, only(from, key))
}

// place is role for two values that stand in the same place.
func (p *pairing) place(x, y val, ok func(use) bool) (val, val, error) {
	w, err := p.old.deref(x)
	if err != nil {
		return w, w, err
	}
	if y.kind() != kRef {
		if x.kind() == kRef {
			p.explain(int(x.n.num), ok)
		}
		return w, y, nil
	}
	num := int(y.n.num)
	same, err := p.s.equal(x, y)
	if err != nil {
		return w, w, err
	}
	switch {
	case same:
		p.explain(num, ok)
	case !p.fresh(num):
		p.other(reasonOldObjectReused, num)
	}
	if !same && x.kind() == kRef {
		p.explain(int(x.n.num), ok) // the place where it stood is left
		p.change(ChangesLTA)
	}
	o, err := p.now.load(num, int(y.n.gen))
	if err != nil {
		return w, w, err
	}
	if o.root.kind == kRef {
		p.other(reasonReferenceToReference, num)
	}
	return w, o.val(), nil
}

// keys calls each for every key that one of two dictionaries has, in order, with the values as they stand.
func (p *pairing) keys(a, b val, each func(key string, x, y val) error) error {
	x, err := p.s.keyed(a)
	if err != nil {
		return err
	}
	y, err := p.s.keyed(b)
	if err != nil {
		return err
	}
	all := maps.Clone(x)
	if all == nil {
		all = make(map[string]val)
	}
	maps.Copy(all, y)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if err := each(key, x[key], y[key]); err != nil {
			return err
		}
	}
	return nil
}

// unchanged is for keys whose value must stay.
func (p *pairing) unchanged(code string, num int, x, y val) error {
	same, err := p.s.equal(x, y)
	if err == nil && !same {
		p.other(code, num)
	}
	return err
}

// sectionOnly are the keys of a trailer that say where its section is (tables 15, 17, 19).
var sectionOnly = map[string]bool{"Size": true, "Prev": true, "XRefStm": true, "Type": true, "W": true, "Index": true,
	"Length": true, "Filter": true, "DecodeParms": true}

// trailers: the same root; information and identifier may change, and keys of one's own may go.
func (p *pairing) trailers() error {
	a, b := p.old.secs[0].trailer, p.now.secs[0].trailer
	return p.keys(a, b, func(key string, x, y val) error {
		switch {
		case sectionOnly[key]:
			return nil
		case key == "Root":
			return p.unchanged(reasonRoot, 0, x, y)
		case key == "Info":
			return p.info(x, y)
		case key == "ID" || y.kind() == kNull:
			return nil
		}
		if x.kind() == kNull && key != "Encrypt" {
			// Programs that read all trailers as one take over what an update of ours or of others left behind.
			if had, err := p.hadKey(key, y); had || err != nil {
				return err
			}
		}
		return p.unchanged(reasonTrailerKey, 0, x, y)
	})
}

// hadKey says whether an older trailer of the signed revision has this value.
func (p *pairing) hadKey(key string, y val) (bool, error) {
	if err := p.s.work(len(p.old.secs)); err != nil {
		return false, err
	}
	for _, sec := range p.old.secs[1:] {
		x, err := sec.trailer.direct(key)
		if err != nil {
			return false, err
		}
		if same, err := p.s.equal(x, y); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// info: the document information dictionary (14.3.3) shows on no page.
func (p *pairing) info(x, y val) error {
	if y.kind() == kNull {
		return nil
	}
	w, now, err := p.place(x, y, func(u use) bool { return u.from == 0 && u.path == "Info" })
	if err != nil {
		return err
	}
	if now.kind() != kDict {
		p.other(reasonInfo, 0)
		return nil
	}
	same, err := p.s.equal(w, now)
	if err == nil && !same {
		p.change(ChangesLTA)
	}
	return err
}

// roots compares the catalogs (7.7.2).
func (p *pairing) roots() error {
	a, err := p.old.catalog()
	if err != nil {
		return err
	}
	b, err := p.now.catalog()
	if err != nil {
		return err
	}
	// Signature references name the document by its catalog (12.8.1).
	p.explain(b.o.num, func(u use) bool { return u.from == 0 && u.path == "Root" || u.ends("Data") })
	return p.keys(a, b, func(key string, x, y val) error {
		switch key {
		case "AcroForm":
			return p.acroForm(a, b)
		case "DSS":
			return p.dss(a, b)
		case "Extensions":
			return p.extensions(a, b)
		case "Metadata":
			return p.metadata(a, b)
		case "MarkInfo":
			return p.markInfo(a, b)
		case "Version":
			return p.version(x, y)
		}
		return p.unchanged(reasonCatalogKey, b.o.num, x, y)
	})
}

// acroForm: fields may be added, and the flags of signatures set; the rest of the form stays.
func (p *pairing) acroForm(a, b val) error {
	x, y, err := p.role(a, b, "AcroForm")
	if err != nil {
		return err
	}
	if y.kind() != kDict {
		p.other(reasonForm, b.o.num)
		return nil
	}
	made := x.kind() != kDict
	return p.keys(x, y, func(key string, v, w val) error {
		switch key {
		case "Fields":
			return p.fields(x, y)
		case "SigFlags":
			return p.sigFlags(v, w)
		case "DR", "DA", "Q":
			if !made {
				return p.defaults(key, v, w, y.o.num)
			}
			return nil // there is no old field that could look otherwise
		case "NeedAppearances":
			if v.kind() == kNull && string(w.raw()) == "false" {
				return nil
			}
		}
		return p.unchanged(reasonFormKey, y.o.num, v, w)
	})
}

// sigFlags: flags may be set (table 225).
func (p *pairing) sigFlags(v, w val) error {
	a, err := p.old.deref(v)
	if err != nil {
		return err
	}
	if w.kind() != kInt || w.num()&a.num() != a.num() || w.num() < 0 || w.num() > 3 {
		return p.unchanged(reasonSignatureFlags, 0, v, w)
	}
	return nil
}

// objects goes through the changed objects that are not reached from the roots by few steps: pages, arrays of annotations,
// fields and their appearances.
func (p *pairing) objects() error {
	var left []int
	for _, num := range slices.Sorted(maps.Keys(p.overridden)) {
		if p.explained[num] {
			continue
		}
		o, err := p.old.load(num, p.changed[num].was.generation())
		if err != nil {
			return err
		}
		n, err := p.now.load(num, p.changed[num].is.generation())
		if err != nil {
			return err
		}
		typ, err := o.val().direct("Type")
		if err != nil {
			return err
		}
		switch {
		case o.root.kind == kDict && o.data == 0 && n.data == 0 && typ.name() == "Page":
			err = p.page(o.val(), n.val())
		case o.root.kind == kArray && n.root.kind == kArray:
			err = p.annotsObject(o.val(), n.val())
		default:
			left = append(left, num)
		}
		if err != nil {
			return err
		}
	}
	return p.oldFields(left)
}

// rest is everything that was not explained.
func (p *pairing) rest() error {
	for _, num := range slices.Sorted(maps.Keys(p.overridden)) {
		if !p.explained[num] {
			p.other(reasonObjectOverridden, num)
		}
	}
	return nil
}
