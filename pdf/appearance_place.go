package pdf

import (
	"math"
	"strconv"
)

// tilted is a page with what it inherits (7.7.3.4).
type tilted struct {
	page   val
	box    [4]float64 // what is seen of it: left, bottom, right, top
	rotate int        // 0, 90, 180 or 270, clockwise
}

// appear decides where the appearance is drawn: in the field that is there, or in a new one.
func (u *signing) appear(cat val, f *form, locks []fieldLock) error {
	a := u.opts.Appearance
	if a.prepared() || u.opts.FieldName != "" {
		chosen, err := u.choose(f, locks)
		if err != nil {
			return err
		}
		if chosen != nil {
			return u.drawInField(f, chosen)
		}
		if a.prepared() {
			return errf(CodeBadAppearance, "the document has no empty signature field that shows: page and box are needed")
		}
	}
	certified, err := u.doc.certified(cat, f)
	if err != nil {
		return err
	}
	if certified {
		return errf(CodeBadAppearance, "the document is certified: a signature shows only in a field prepared for it")
	}
	p, err := u.doc.page(cat, a.Page)
	if err != nil {
		return err
	}
	x, y, width, height := a.Box[0], a.Box[1], a.Box[2], a.Box[3]
	const slack = 0.01 // for whoever computed with rounded sizes of the page
	if x < p.box[0]-slack || y < p.box[1]-slack || x+width > p.box[2]+slack || y+height > p.box[3]+slack {
		return errf(CodeBadAppearance, "the box is not inside the page, which goes from %s %s to %s %s", num(p.box[0]), num(p.box[1]), num(p.box[2]), num(p.box[3]))
	}
	if u.look, err = u.draw(a, width, height, p.rotate); err != nil {
		return err
	}
	u.rect = nums([]float64{x, y, x + width, y + height})
	return u.newFieldOn(cat, f, p.page)
}

// certified says whether a signature in the document certifies it: its DocMDP is named by the catalog or by itself.
func (d *doc) certified(cat val, f *form) (bool, error) {
	perms, err := d.get(cat, "Perms")
	if err != nil {
		return false, err
	}
	if cert, err := d.get(perms, "DocMDP"); err != nil || cert.kind() != kNull {
		return true, err
	}
	for _, s := range f.sigs {
		if p, err := d.docMDP(s.value); err != nil || p != 0 {
			return true, err
		}
	}
	return false, nil
}

// drawInField gives the widget of an empty field its appearance, and the field its value.
func (u *signing) drawInField(f *form, s *field) error {
	widget, r, err := u.doc.shows(s)
	if err != nil {
		return err
	}
	if widget.kind() == kNull {
		return errf(CodeBadAppearance, "the field does not show, or in several places")
	}
	p := tilted{}
	if p.page, err = u.doc.get(widget, "P"); err != nil {
		return err
	}
	if p.page.kind() == kDict { // else it is taken to stand upright
		if err = u.doc.inherit(&p); err != nil {
			return err
		}
	}
	if u.look, err = u.draw(u.opts.Appearance, r[2]-r[0], r[3]-r[1], p.rotate); err != nil {
		return err
	}
	if err := u.edits.set(widget, "AP", "<</N "+refText(u.look.form, 0)+">>"); err != nil {
		return err
	}
	return u.useField(f, *s)
}

// shows finds the one widget of a field and its rectangle; null: it has none that a reader would show.
func (d *doc) shows(s *field) (val, [4]float64, error) {
	none := [4]float64{}
	widget := s.dict
	kids, err := d.want(s.dict, "Kids", kArray)
	if err != nil {
		return val{}, none, err
	}
	if kids.kind() == kArray {
		if len(kids.n.kids) != 1 {
			return val{}, none, nil
		}
		if widget, err = d.deref(kids.kid(0)); err != nil {
			return val{}, none, err
		}
	}
	if widget.kind() != kDict || !widget.own {
		return val{}, none, nil
	}
	flags, err := d.intOf(widget, "F")
	if err != nil {
		return val{}, none, err
	}
	const unseen = 1 | 2 | 32 // Invisible, Hidden, NoView (12.5.3)
	r, ok, err := d.numbers(widget, "Rect")
	if err != nil || !ok || r[0] == r[2] || r[1] == r[3] || flags > 0 && flags&unseen != 0 {
		return val{}, none, err
	}
	return widget, r, nil
}

// numbers reads a rectangle (7.9.5), its corners in order; false: it is none.
func (d *doc) numbers(v val, key string) ([4]float64, bool, error) {
	var r [4]float64
	a, err := d.get(v, key)
	if err != nil || a.kind() != kArray || len(a.n.kids) != 4 {
		return r, false, err
	}
	for i := range r {
		k, err := d.deref(a.kid(i))
		if err != nil {
			return r, false, err
		}
		n, err := strconv.ParseFloat(string(k.raw()), 64)
		if err != nil || math.IsNaN(n) || math.Abs(n) > 1e6 {
			return r, false, nil
		}
		r[i] = n
	}
	return [4]float64{min(r[0], r[2]), min(r[1], r[3]), max(r[0], r[2]), max(r[1], r[3])}, true, nil
}

// inherit reads box and rotation of a page, from its ancestors too.
func (d *doc) inherit(p *tilted) error {
	media, crop, rotate := false, false, false
	var seen, cut [4]float64
	node := p.page
	for range d.s.max.Depth {
		var err error
		if !media {
			if seen, media, err = d.numbers(node, "MediaBox"); err != nil {
				return err
			}
		}
		if !crop {
			if cut, crop, err = d.numbers(node, "CropBox"); err != nil {
				return err
			}
		}
		turn, err := d.get(node, "Rotate")
		if err != nil {
			return err
		}
		if n, is := turn.int(); is && !rotate {
			p.rotate, rotate = int((n%360+360)%360), true
		}
		if node, err = d.get(node, "Parent"); err != nil {
			return err
		}
		if node.kind() != kDict {
			break
		}
	}
	if !media || p.rotate%90 != 0 {
		return errf(CodeBadAppearance, "the page says not how large it is, or stands askew")
	}
	p.box = seen
	if crop { // 14.11.2.1: the crop box counts as far as it is in the media box
		p.box = [4]float64{max(seen[0], cut[0]), max(seen[1], cut[1]), min(seen[2], cut[2]), min(seen[3], cut[3])}
	}
	return nil
}

// page finds the page with this number, from 1, or from the end when it is negative.
func (d *doc) page(cat val, number int) (tilted, error) {
	pages, err := cat.direct("Pages")
	if err != nil {
		return tilted{}, err
	}
	if number == 0 {
		return tilted{}, errf(CodeBadAppearance, "pages are numbered from 1")
	}
	s := &pageSearch{d: d, left: number, step: 1, seen: make(map[int]bool)}
	if number < 0 {
		s.left, s.step = -number, -1
	}
	found, err := s.visit(pages, 0)
	if err != nil {
		return tilted{}, err
	}
	if found.kind() == kNull {
		return tilted{}, errf(CodeBadAppearance, "there is no page %d", number)
	}
	p := tilted{page: found}
	return p, d.inherit(&p)
}

// pageSearch walks the page tree from one of its ends to the page that is left steps away.
type pageSearch struct {
	d    *doc
	left int
	step int // 1 forwards, -1 backwards
	seen map[int]bool
}

// visit gives the page, or null when it is not below ref. The counts in the file are not believed: a wrong one would have the
// signature on another page than the person was told.
func (s *pageSearch) visit(ref val, depth int) (val, error) {
	if ref.kind() != kRef || s.seen[int(ref.n.num)] {
		return val{}, errf(CodeBadStructure, "the page tree is not a tree")
	}
	if depth > s.d.s.max.Depth {
		return val{}, errf(CodeTooDeep, "the page tree is too deep")
	}
	s.seen[int(ref.n.num)] = true
	o, err := s.d.load(int(ref.n.num), int(ref.n.gen))
	if err != nil {
		return val{}, err
	}
	kids, err := s.d.get(o.val(), "Kids")
	if err != nil {
		return val{}, err
	}
	if kids.kind() != kArray {
		typ, err := s.d.get(o.val(), "Type")
		if err != nil {
			return val{}, err
		}
		if o.root.kind != kDict || typ.kind() != kNull && typ.name() != "Page" {
			return val{}, errf(CodeBadStructure, "object %d is not a page", o.num)
		}
		if s.left--; s.left > 0 {
			return val{}, nil
		}
		return o.val(), nil
	}
	for i := range kids.n.kids {
		if s.step < 0 {
			i = len(kids.n.kids) - 1 - i
		}
		page, err := s.visit(kids.kid(i), depth+1)
		if err != nil || page.kind() != kNull {
			return page, err
		}
	}
	return val{}, nil
}
