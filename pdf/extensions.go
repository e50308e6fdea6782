package pdf

// version is the greater of header and catalog's /Version, as "1.7" (7.5.2).
func (d *doc) version(cat val) (string, error) {
	b, err := d.s.at(0, 8)
	if err != nil {
		return "", err
	}
	v, err := d.get(cat, "Version")
	if err != nil {
		return "", err
	}
	header, name := string(b[5:8]), v.name()
	if len(name) != len(header) || name[0] < '1' || name[0] > '2' || name[1] != '.' {
		return header, nil // no version that readers know
	}
	return max(header, name), nil
}

// extension declares in the catalog that the document uses what PDF 1.7 has not
// and EN 319 142-1 defines, the DSS dictionary and document time-stamps (its
// clause 5.6; ISO 32000-2, 7.12). The extension is one of PDF 1.7, so that an
// older document becomes one; PDF 2.0 has both of itself.
func (u *update) extension(cat val) error {
	v, err := u.doc.version(cat)
	if err != nil || v > "1.7" {
		return err
	}
	if v < "1.7" {
		if err = u.edits.set(cat, "Version", "/1.7"); err != nil {
			return err
		}
	}
	const esic = "<</BaseVersion/1.7/ExtensionLevel 1>>"
	ext, err := u.doc.want(cat, "Extensions", kDict)
	if err != nil {
		return err
	}
	if ext.kind() == kNull {
		return u.edits.set(cat, "Extensions", "<</ESIC"+esic+">>")
	}
	// Level 2 has all of level 1. What a developer's own entry says beyond that is his.
	there, err := u.doc.get(ext, "ESIC")
	if err != nil || there.kind() != kNull {
		return err
	}
	return u.edits.set(ext, "ESIC", esic)
}
