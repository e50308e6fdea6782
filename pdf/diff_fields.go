package pdf

import "slices"

// oldFields holds changed objects to what they are in the form: fields, widgets, appearances.
func (p *pairing) oldFields(nums []int) error {
	if len(nums) == 0 {
		return nil
	}
	form, err := p.oldForm()
	if err != nil {
		return err
	}
	for _, num := range nums {
		if p.explained[num] {
			continue
		}
		a, err := p.old.load(num, p.changed[num].was.generation())
		if err != nil {
			return err
		}
		b, err := p.now.load(num, p.changed[num].is.generation())
		if err != nil {
			return err
		}
		if info, is := form.infos[num]; is {
			err = p.oldField(a, b, info)
		} else if l, is := form.looks[num]; is {
			err = p.oldLook(a, b, l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const pushButton = 1 << 16

// mayChange are the keys of a field that filling it changes, by its type.
func mayChange(info fieldInfo) []string {
	switch {
	case info.typ == "Sig" && !info.signed:
		return []string{"V", "AP", "AS", "F", "MK", "DA", "M", "Type", "NM", "BS", "Border", "H"}
	case info.typ == "Tx" || info.typ == "Ch":
		return []string{"V", "RV", "AP", "F", "I", "TI", "M", "DA", "Q", "Type"}
	case info.typ == "Btn" && info.flags&pushButton == 0:
		return []string{"V", "AS", "F", "M", "Type"}
	}
	return nil
}

// oldField: a field or widget of the signed revision.
func (p *pairing) oldField(a, b *object, info fieldInfo) error {
	num := a.num
	keys := mayChange(info)
	if a.root.kind != kDict || b.root.kind != kDict || a.data > 0 || b.data > 0 || keys == nil {
		return nil // it stays unexplained
	}
	p.explain(num, fieldUse)
	if err := p.filled(num, info); err != nil {
		return err
	}
	return p.keys(a.val(), b.val(), func(key string, x, y val) error {
		same, err := p.s.equal(x, y)
		if err != nil {
			return err
		}
		switch {
		case !slices.Contains(keys, key) || info.widget && key == "V":
			return p.unchanged(reasonFieldKey, num, x, y)
		case key == "AP":
			return p.look(a, b)
		case same:
			return nil
		case key == "F":
			return p.flags(num, x, y)
		case key == "V" && info.typ == "Sig":
			return p.fill(b, x, y)
		case key == "Type" && (x.kind() != kNull || y.name() != "Annot"):
			p.other(reasonFieldKey, num)
		}
		return p.newContent(num, y)
	})
}

// filled notes that a field was filled, which an earlier signature can forbid.
func (p *pairing) filled(num int, info fieldInfo) error {
	p.change(ChangesFormFilling)
	if p.rights.locked(info.name) {
		p.refuse(reasonFieldLocked, num)
	}
	return p.s.work(p.rights.names)
}

// fieldUse are the ways to a field or widget: form, pages, structure, and actions and annotations that name it.
func fieldUse(u use) bool {
	switch u.last() {
	case "Parent", "Obj", "T", "Popup", "IRT", "AN":
		return true
	}
	return u.elem
}

// flags: those that print or lock may change; those that hide or show may not (table 167).
func (p *pairing) flags(num int, x, y val) error {
	a, err := p.old.deref(x)
	if err != nil {
		return err
	}
	const print, readOnly, locked, lockedContents = 4, 64, 128, 512
	if y.kind() != kInt || (a.num()^y.num())&^(print|readOnly|locked|lockedContents) != 0 {
		p.other(reasonFieldFlags, num)
	}
	return nil
}

// fill: an empty signature field got a signature.
func (p *pairing) fill(b *object, x, y val) error {
	w, err := p.old.deref(x)
	if err != nil {
		return err
	}
	if w.kind() != kNull || y.kind() == kNull {
		p.other(reasonSignatureValue, b.num)
		return nil
	}
	_, err = p.signatureValue(b.num, y)
	return err
}

// newContent: a value may bring new objects, but not show old ones in a new place.
func (p *pairing) newContent(num int, v val) error {
	switch v.kind() {
	case kRef:
		if !p.fresh(int(v.n.num)) {
			p.other(reasonOldObjectReused, num)
		}
	case kArray, kDict:
		for i := range v.n.kids {
			if err := p.newContent(num, v.kid(i)); err != nil {
				return err
			}
		}
	}
	return p.s.work(1)
}

// look compares the appearances of a field (12.5.5): each may be replaced by a new stream.
func (p *pairing) look(a, b *object) error {
	x, y, err := p.role(a.val(), b.val(), "AP")
	if err != nil || y.kind() == kNull {
		return err
	}
	return p.looks(x, y, a.num)
}

// looks compares two appearance dictionaries.
func (p *pairing) looks(x, y val, num int) error {
	return p.keys(x, y, func(key string, v, w val) error {
		same, err := p.s.equal(v, w)
		if err != nil || same || w.kind() == kNull {
			return err
		}
		if key != "N" && key != "R" && key != "D" {
			p.other(reasonAppearance, num)
			return nil
		}
		return p.newContent(num, w)
	})
}

// oldLook: an appearance that is written anew in its place, which is allowed when nothing else has it.
func (p *pairing) oldLook(a, b *object, l look) error {
	switch {
	case l.field.typ != "Tx" && l.field.typ != "Ch" && l.field.typ != "Sig" || l.field.signed:
		return nil // it stays unexplained
	case l.dict:
		if a.root.kind != kDict || b.root.kind != kDict || a.data > 0 || b.data > 0 {
			return nil
		}
	case a.data == 0 || b.data == 0:
		return nil
	}
	if err := p.filled(a.num, l.field); err != nil {
		return err
	}
	p.explain(a.num, only(l.from, l.key))
	if l.dict {
		return p.looks(a.val(), b.val(), a.num)
	}
	for _, key := range []string{"Type", "Subtype", "OC"} {
		x, err := a.val().direct(key)
		if err != nil {
			return err
		}
		y, err := b.val().direct(key)
		if err != nil {
			return err
		}
		if err := p.unchanged(reasonAppearance, a.num, x, y); err != nil {
			return err
		}
	}
	return nil
}
