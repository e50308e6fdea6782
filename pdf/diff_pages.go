package pdf

import (
	"maps"
	"slices"
)

// page: the array of annotations may become longer; everything else of a page stays.
func (p *pairing) page(a, b val) error {
	p.explain(a.o.num, pageUse)
	if p.explained[a.o.num] {
		err := p.keys(a, b, func(key string, x, y val) error {
			if key == "Annots" {
				return nil
			}
			return p.unchanged(reasonPage, a.o.num, x, y)
		})
		if err != nil {
			return err
		}
	}
	x, y, err := p.role(a, b, "Annots")
	if err != nil {
		return err
	}
	return p.annots(x, y, a.o.num)
}

// pageUse are the ways to a page on which its annotations do not matter: page tree, destinations, annotations, structure.
func pageUse(u use) bool {
	switch u.last() {
	case "P", "Pg", "Page", "D", "Dest":
		return true
	}
	return u.elem && !u.ends("Annots") && !u.ends("Contents")
}

// annotsObject: an array that is an object of its own, and the annotations of one page.
func (p *pairing) annotsObject(a, b val) error {
	num := a.o.num
	from := -1
	p.explain(num, func(u use) bool {
		if u.path != "Annots" || u.elem || u.from <= 0 || from >= 0 && u.from != from {
			return false
		}
		from = u.from
		return true
	})
	if from < 0 {
		p.other(reasonObjectOverridden, num)
		return nil
	}
	in, err := p.stillIn(from, num)
	if err != nil {
		return err
	}
	if in {
		return p.annots(a, b, num)
	}
	// The page has another array now, and widgets are counted in that one.
	counted := p.widgets
	p.widgets = maps.Clone(counted)
	err = p.annots(a, b, num)
	p.widgets = counted
	return err
}

// stillIn says whether /Annots of a page is this object in the later revision.
func (p *pairing) stillIn(page, num int) (bool, error) {
	e, err := p.now.find(page)
	if err != nil {
		return false, err
	}
	o, err := p.now.load(page, e.generation())
	if err != nil {
		return false, err
	}
	v, err := o.val().direct("Annots")
	return v.kind() == kRef && int(v.n.num) == num, err
}

// annots: what was there stays, in its order; what comes in is a widget of a new signature field, or an annotation.
func (p *pairing) annots(a, b val, num int) error {
	if b.kind() != kArray || a.kind() != kArray && a.kind() != kNull {
		return p.unchanged(reasonAnnotations, num, a, b)
	}
	if b.own {
		pair := [2]int{num, b.o.num} // two pages can have one array now
		if a.own {
			pair[0] = a.o.num
		}
		if p.lists[pair] {
			return nil
		}
		p.lists[pair] = true
	}
	var kids []val
	if a.kind() == kArray {
		for i := range a.n.kids {
			kids = append(kids, a.kid(i))
		}
	}
	for i := range b.n.kids {
		v := b.kid(i)
		if len(kids) > 0 {
			same, err := p.s.equal(kids[0], v)
			if err != nil {
				return err
			}
			if same {
				kids = kids[1:]
				continue
			}
		}
		if err := p.newAnnotation(v, num); err != nil {
			return err
		}
	}
	if len(kids) > 0 {
		p.other(reasonAnnotationRemoved, num)
	}
	return nil
}

// newAnnotation is an annotation that a page lists now.
func (p *pairing) newAnnotation(v val, page int) error {
	if v.kind() != kRef || !p.fresh(int(v.n.num)) {
		p.other(reasonAnnotation, page)
		return nil
	}
	num := int(v.n.num)
	if n, field := p.widgets[num]; field {
		if p.widgets[num] = n + 1; n > 0 {
			p.other(reasonWidgetOnTwoPages, num)
		}
		return nil
	}
	o, err := p.now.load(num, int(v.n.gen))
	if err != nil {
		return err
	}
	e, err := p.s.keyed(o.val())
	if err != nil {
		return err
	}
	if !slices.Contains(comments, e["Subtype"].name()) {
		p.other(reasonAnnotation, num)
		return nil
	}
	p.change(ChangesAnnotations)
	// With a drawing of its own it can show anything, and an action can do anything; without, the reader draws a mark or an
	// icon (12.5.6.4, 12.5.6.10).
	for _, key := range []string{"AP", "A", "AA", "OC"} {
		if e[key].kind() != kNull {
			p.refuse(reasonAnnotationWithAppearance, num)
		}
	}
	return nil
}

// comments are the annotations that a reader draws itself, and that do not hide what is below.
var comments = []string{"Text", "Popup", "Highlight", "Underline", "Squiggly", "StrikeOut"}
