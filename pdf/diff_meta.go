package pdf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
)

// extensions: developer extensions (7.12) are names, versions and numbers.
func (p *pairing) extensions(a, b val) error {
	x, y, err := p.role(a, b, "Extensions")
	if err != nil {
		return err
	}
	same, err := p.s.equal(x, y)
	if err != nil || same {
		return err
	}
	e, err := p.s.keyed(y)
	if err != nil {
		return err
	}
	if y.kind() != kDict {
		p.other(reasonExtensions, b.o.num)
	}
	for _, v := range e {
		if !plain(v, 4) {
			p.other(reasonExtensions, b.o.num)
		}
	}
	p.change(ChangesLTA)
	return nil
}

// plain says whether nothing in v leads elsewhere.
func plain(v val, depth int) bool {
	if v.kind() == kRef || depth == 0 {
		return false
	}
	if v.n != nil {
		for i := range v.n.kids {
			if !plain(v.kid(i), depth-1) {
				return false
			}
		}
	}
	return true
}

// markInfo: three flags about the structure (14.7.1).
func (p *pairing) markInfo(a, b val) error {
	x, y, err := p.role(a, b, "MarkInfo")
	if err != nil {
		return err
	}
	same, err := p.s.equal(x, y)
	if err != nil || same {
		return err
	}
	p.change(ChangesLTA)
	return p.keys(x, y, func(_ string, _, w val) error {
		if k := w.kind(); k != kBool && k != kNull {
			p.other(reasonMarkInfo, b.o.num)
		}
		return nil
	})
}

// version: a later one may be named.
func (p *pairing) version(x, y val) error {
	same, err := p.s.equal(x, y)
	if err != nil || same {
		return err
	}
	v := y.name()
	if len(v) != 3 || v[0] < '1' || v[0] > '2' || v[1] != '.' || v[2] < '0' || v[2] > '9' || v < x.name() {
		p.other(reasonVersion, 0)
	}
	p.change(ChangesLTA)
	return nil
}

// metadata: the XMP packet of the document (14.3.2) may be written anew, in its place too when only the catalog has it.
func (p *pairing) metadata(a, b val) error {
	_, y, err := p.role(a, b, "Metadata")
	if err != nil {
		return err
	}
	v, err := a.direct("Metadata")
	if err != nil {
		return err
	}
	w, err := b.direct("Metadata")
	if err != nil {
		return err
	}
	same, err := p.s.equal(v, w)
	if err != nil || same && (w.kind() != kRef || !p.overridden[int(w.n.num)]) {
		return err
	}
	p.change(ChangesLTA)
	typ, err := y.direct("Type")
	if err != nil {
		return err
	}
	sub, err := y.direct("Subtype")
	if err != nil {
		return err
	}
	if w.kind() != kRef || !y.own || y.o.data == 0 || typ.name() != "Metadata" || sub.name() != "XML" {
		p.other(reasonMetadata, b.o.num)
		return nil
	}
	in, err := p.now.decoded(y.o)
	if err == nil {
		err = wellFormed(io.LimitReader(in, int64(p.s.max.ObjectBytes)+1), p.s.max)
	}
	if err != nil {
		if err = streamError(err, y.o.num); !soft(err) {
			return err
		}
		p.other(reasonMetadata, y.o.num)
	}
	return nil
}

// wellFormed reads XML to its end: one root, no document type, so no entities, and not deeper than allowed.
func wellFormed(r io.Reader, max Budget) error {
	d := xml.NewDecoder(r)
	depth, roots := 0, 0
	for {
		t, err := d.Token()
		var syntax *xml.SyntaxError
		switch {
		case errors.Is(err, io.EOF) && roots == 1 && d.InputOffset() <= int64(max.ObjectBytes):
			return nil
		case errors.Is(err, io.EOF):
			return errf(CodeBadStream, "no XML document")
		case errors.As(err, &syntax):
			return errf(CodeBadStream, "not well-formed")
		case err != nil:
			var ours *Error
			if errors.As(err, &ours) {
				return err
			}
			return errf(CodeBadStream, "not XML that can be read")
		}
		switch t.(type) {
		case xml.StartElement:
			if depth++; depth > max.Depth {
				return errf(CodeBadStream, "nested too deep")
			}
			if depth == 1 {
				roots++
			}
		case xml.EndElement:
			depth--
		case xml.Directive:
			return errf(CodeBadStream, "a document type")
		}
	}
}

// defaults: what fields of text look like when a reader draws them anew (12.7.3): resources, font and colour, alignment. It
// says nothing in a form for signatures alone. Beside other fields, only what programs add by default may come, which shows
// characters as what they are.
func (p *pairing) defaults(key string, v, w val, num int) error {
	same, err := p.s.equal(v, w)
	if err != nil || same {
		return err
	}
	form, err := p.oldForm()
	if err != nil {
		return err
	}
	p.change(ChangesFormFilling)
	switch {
	case !form.text:
		return nil
	case key == "DA" && v.kind() == kNull && string(bytes.TrimSpace(w.bytes())) == "/Helv 0 Tf 0 g":
		return nil
	case key != "DR":
		p.other(reasonFormKey, num)
		return nil
	}
	x, err := p.old.deref(v)
	if err != nil {
		return err
	}
	y, err := p.now.deref(w)
	if err != nil {
		return err
	}
	return p.keys(x, y, func(kind string, a, b val) error {
		if kind != "Font" {
			return p.unchanged(reasonFormKey, num, a, b)
		}
		if a, err = p.old.deref(a); err != nil {
			return err
		}
		if b, err = p.now.deref(b); err != nil {
			return err
		}
		return p.keys(a, b, func(_ string, f, g val) error {
			if f.kind() == kNull {
				plain, err := p.standardFont(g)
				if err != nil || plain {
					return err
				}
			}
			return p.unchanged(reasonFormKey, num, f, g)
		})
	})
}

// standardFont: one of the fonts that every reader has (9.6.2.2), with nothing of its own.
func (p *pairing) standardFont(v val) (bool, error) {
	if v.kind() == kRef && !p.fresh(int(v.n.num)) {
		return false, nil
	}
	f, err := p.now.deref(v)
	if err != nil {
		return false, err
	}
	e, err := p.s.keyed(f)
	if err != nil {
		return false, err
	}
	for key, w := range e {
		if w.kind() != kName || !slices.Contains([]string{"Type", "Subtype", "BaseFont", "Encoding", "Name"}, key) {
			return false, nil
		}
	}
	base := e["BaseFont"].name()
	return e["Subtype"].name() == "Type1" && (base == "Helvetica" || base == "ZapfDingbats"), nil
}
