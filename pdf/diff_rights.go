package pdf

// rights are what the signatures of a signed revision, and of those before it, allow to change.
type rights struct {
	p     int // the strictest level of DocMDP or of a lock; 0 = none says
	locks []fieldLock
	names int // in locks, and their number
}

// certified: a signature says how far the document may change.
func (r rights) certified() bool { return r.p > 0 }

// allowed is the highest level of change. Without certification signatures and forms may come, and nothing else: a plain
// signature is over the document as it was.
func (r rights) allowed() ChangeLevel {
	switch r.p {
	case 1:
		return ChangesLTA
	case 3:
		return ChangesAnnotations
	}
	return ChangesFormFilling
}

func (r rights) locked(name string) bool {
	for _, l := range r.locks {
		if l.locks(name) {
			return true
		}
	}
	return false
}

// limit takes one more level of permission, 1 to 3.
func (r *rights) limit(p int64) {
	if p >= 1 && p <= 3 && (r.p == 0 || int(p) < r.p) {
		r.p = int(p)
	}
}

// readRights asks the signatures of the signed revision, and the one that the catalog names.
func (c *comparison) readRights() error {
	if _, err := c.oldForm(); err != nil {
		return err
	}
	cat, err := c.old.catalog()
	if err != nil {
		return err
	}
	perms, err := c.old.get(cat, "Perms")
	if err != nil {
		return err
	}
	certified, err := c.old.get(perms, "DocMDP")
	if err != nil {
		return err
	}
	return c.heed(val{}, certified)
}

// heed takes what one signature allows: its references, and the lock of its field, also when the signature did not take that
// over.
func (c *comparison) heed(dict, signature val) error {
	lock, err := c.old.get(dict, "Lock")
	if err != nil {
		return err
	}
	if err = c.lock(lock); err != nil {
		return err
	}
	p, err := c.old.docMDP(signature)
	if err != nil {
		return err
	}
	c.rights.limit(int64(p))
	return c.old.references(signature, func(method string, params val) error {
		if method != "FieldMDP" {
			return nil
		}
		return c.lock(params)
	})
}

// lock takes over /Action, /Fields and /P of a lock or of the parameters of FieldMDP.
func (c *comparison) lock(v val) error {
	if v.kind() != kDict {
		return nil
	}
	l, err := c.old.lockOf(v)
	if err != nil {
		return err
	}
	if c.rights.names += 1 + len(l.names); c.rights.names > c.f.d.s.max.Values {
		return errf(CodeTooManyObjects, "more than %d names of locked fields", c.f.d.s.max.Values)
	}
	p, err := c.old.intOf(v, "P")
	if err != nil {
		return err
	}
	if l.action != "Include" && l.action != "Exclude" {
		l.action = "All" // also what is not known
	}
	c.rights.limit(p)
	c.rights.locks = append(c.rights.locks, l)
	return nil
}
