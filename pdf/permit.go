package pdf

import "strings"

// docMDP reads the modification level P (1 to 3) of a certification signature
// (12.8.2.2), 0 when the dictionary is none. P is 2 when it is absent.
func (d *doc) docMDP(sig val) (int, error) {
	p := 0
	err := d.references(sig, func(method string, params val) error {
		if method != "DocMDP" {
			return nil
		}
		n, err := d.intOf(params, "P")
		if err != nil {
			return err
		}
		if n < 1 || n > 3 {
			n = 2
		}
		if p == 0 || int(n) < p {
			p = int(n) // the strictest, should there be several
		}
		return nil
	})
	return p, err
}

// references calls f for each signature reference dictionary (12.8.1, table 256).
func (d *doc) references(sig val, f func(method string, params val) error) error {
	refs, err := d.get(sig, "Reference")
	if err != nil || refs.kind() != kArray {
		return err
	}
	for i := range refs.n.kids {
		r, err := d.deref(refs.kid(i))
		if err != nil {
			return err
		}
		m, err := d.get(r, "TransformMethod")
		if err != nil {
			return err
		}
		p, err := d.get(r, "TransformParams")
		if err != nil {
			return err
		}
		if err = f(m.name(), p); err != nil {
			return err
		}
	}
	return nil
}

// fieldLock is a set of fields: /Action and /Fields of a lock or of FieldMDP.
type fieldLock struct {
	action string
	names  []string
}

func (l fieldLock) locks(name string) bool {
	in := false
	for _, n := range l.names {
		in = in || under(name, n)
	}
	switch l.action {
	case "All":
		return true
	case "Include":
		return in
	case "Exclude":
		return !in
	}
	return false
}

func (d *doc) lockOf(v val) (fieldLock, error) {
	a, err := d.get(v, "Action")
	if err != nil {
		return fieldLock{}, err
	}
	l := fieldLock{action: a.name()}
	fs, err := d.get(v, "Fields")
	if err != nil || fs.kind() != kArray {
		return l, err
	}
	for i := range fs.n.kids {
		s, err := d.deref(fs.kid(i))
		if err != nil {
			return l, err
		}
		l.names = append(l.names, text(s.bytes()))
	}
	return l, nil
}

// permits asks the signatures that are there whether the document may still
// change, and collects the fields that they lock.
func (d *doc) permits(catalog val, f *form) ([]fieldLock, error) {
	perms, err := d.get(catalog, "Perms")
	if err != nil {
		return nil, err
	}
	cert, err := d.get(perms, "DocMDP")
	if err != nil {
		return nil, err
	}
	signed := []val{cert}
	for _, s := range f.sigs {
		if s.value.kind() == kNull {
			continue
		}
		signed = append(signed, s.value)
		lock, err := d.get(s.dict, "Lock")
		if err != nil {
			return nil, err
		}
		if p, err := d.intOf(lock, "P"); err != nil || p == 1 {
			return nil, cmpErr(err, errf(CodeCertifiedNoChanges, "an earlier signature locks the whole document"))
		}
	}
	var locks []fieldLock
	for _, s := range signed {
		p, err := d.docMDP(s)
		if err != nil {
			return nil, err
		}
		if p == 1 {
			return nil, errf(CodeCertifiedNoChanges, "the document is certified, and allows no change")
		}
		err = d.references(s, func(method string, params val) error {
			if method != "FieldMDP" {
				return nil
			}
			if p, err := d.intOf(params, "P"); err != nil || p == 1 {
				return cmpErr(err, errf(CodeCertifiedNoChanges, "an earlier signature locks the whole document"))
			}
			l, err := d.lockOf(params)
			locks = append(locks, l)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return locks, nil
}

// lockReference is the /Reference entry for a field with a /Lock (12.7.5.5):
// the lock is copied, so that it is signed. "" when the field has none.
func (d *doc) lockReference(f field, root string) (string, error) {
	lock, err := d.want(f.dict, "Lock", kDict)
	if err != nil || lock.kind() == kNull {
		return "", err
	}
	l, err := d.lockOf(lock)
	if err != nil {
		return "", err
	}
	p, err := d.intOf(lock, "P")
	if err != nil {
		return "", err
	}
	var s strings.Builder
	s.WriteString("[<</Type/SigRef/TransformMethod/FieldMDP/Data " + root)
	s.WriteString("/TransformParams<</Type/TransformParams/V/1.2/Action/" + l.action)
	switch l.action {
	case "All":
	case "Include", "Exclude":
		s.WriteString("/Fields[")
		for _, n := range l.names {
			s.WriteString(textString(n))
		}
		s.WriteString("]")
	default:
		return "", errf(CodeBadSignatureField, "unknown action in the field's lock")
	}
	if p >= 1 && p <= 3 {
		// The standard has no such key here; Acrobat writes it and looks for it.
		s.WriteString("/P " + itoa(p))
	}
	s.WriteString(">>>>]")
	return s.String(), nil
}
