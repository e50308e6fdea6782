package pdf

import "slices"

// What the objects of an update may be, for OnlySigns. Those that are written again carry over what the base has in them,
// which is not known here; so for them it is a list of what must not stand in them, because it would show or do something
// without a stream: annotations, pages, actions, captions, and fonts that give the characters other shapes.

// allowed holds one object to what a signature needs. The type that an object gives itself binds it: one that says it is a
// page is not shown as an annotation, because it has no /Subtype.
func (r *updateReader) allowed(v val) error {
	switch v.kind() {
	case kArray: // the form's /Fields or a page's /Annots
		return references(v)
	case kDict:
		if err := v.uniqueKeys(); err != nil {
			return err
		}
	default:
		return refusedUpdate("object %d is neither dictionary nor array", v.o.num)
	}
	typ, err := v.direct("Type")
	if err != nil {
		return err
	}
	switch typ.name() {
	case "Sig":
		r.counts.sigs++
		r.sig = refText(v.o.num, v.o.gen)
		return r.signature(v)
	case "Page":
		r.counts.pages++
		return without(v, "Subtype", "FT", "Kids", "Fields")
	case "Catalog":
		r.counts.catalogs++
		r.catalog = refText(v.o.num, v.o.gen)
		return without(v, "Subtype", "FT", "Kids", "Fields", "Annots")
	case "":
		fields, err := v.direct("Fields")
		if err != nil {
			return err
		}
		if fields.kind() != kNull {
			r.counts.forms++
			return without(v, "Subtype", "FT", "Kids", "Annots")
		}
		return r.field(v)
	case "Annot":
		return r.field(v)
	}
	return refusedUpdate("object %d is of another type", v.o.num)
}

// field allows the signature's field, with or without its widget. Its kind may be inherited; its value is the signature.
func (r *updateReader) field(v val) error {
	r.counts.fields++
	for key, want := range map[string]string{"FT": "Sig", "Subtype": "Widget"} {
		e, err := v.direct(key)
		if err != nil {
			return err
		}
		if e.kind() != kNull && e.name() != want {
			return refusedUpdate("object %d is a field or annotation of another kind", v.o.num)
		}
	}
	value, err := v.direct("V")
	if err != nil {
		return err
	}
	if value.kind() != kRef {
		return refusedUpdate("object %d is no signature field", v.o.num)
	}
	r.value = refText(int(value.n.num), int(value.n.gen))
	return without(v, "Annots", "Fields")
}

// without is quiet for an object that has none of the keys.
func without(v val, keys ...string) error {
	for _, key := range keys {
		e, err := v.direct(key)
		if err != nil {
			return err
		}
		if e.kind() != kNull {
			return refusedUpdate("object %d has a /%s", v.o.num, key)
		}
	}
	return quiet(v, false)
}

// quiet refuses what would show or do something by itself, in v and in all that stands in it.
func quiet(v val, inside bool) error {
	step := 1
	if v.kind() == kDict {
		step = 2
		if err := v.uniqueKeys(); err != nil {
			return err
		}
	}
	for i := step - 1; v.n != nil && i < len(v.n.kids); i += step {
		e := v.kid(i)
		if step == 2 && loud(decodeName(v.kid(i-1).raw()), e, inside) {
			return refusedUpdate("object %d: what stands under %s could show or do something", v.o.num, v.kid(i-1).raw())
		}
		if err := quiet(e, true); err != nil {
			return err
		}
	}
	return nil
}

var (
	// actions (ISO 32000-2 table 201) are all but GoTo, which only turns pages.
	actions = []string{
		"GoToR", "GoToE", "GoToDp", "Launch", "Thread", "URI", "Sound", "Movie", "Hide", "Named", "SubmitForm", "ResetForm",
		"ImportData", "SetOCGState", "Rendition", "GoTo3DView", "JavaScript", "RichMediaExecute",
	}
	// fonts that show what they are asked for. Type3 draws as it likes.
	fonts = []string{"Type0", "Type1", "MMType1", "TrueType"}
)

// loud says whether the value of a key could show or do something. References lead to objects of the base, or to those of
// the update, which are held to the same.
func loud(key string, e val, inside bool) bool {
	text := e.kind() == kString || e.kind() == kHex
	switch key {
	case "Pages":
		return e.kind() != kRef
	case "Kids", "Annots", "Fields", "Contents":
		return e.kind() != kRef && (e.kind() != kArray || references(e) != nil)
	case "JS", "AA", "Differences":
		return e.kind() != kRef
	case "CA", "RC", "AC", "DV", "RV": // captions and values of fields
		return text
	case "Opt":
		return e.kind() != kRef
	case "S":
		return e.kind() != kName || slices.Contains(actions, e.name())
	case "Subtype":
		return inside && !slices.Contains(fonts, e.name())
	}
	return false
}

// references wants an array of nothing but references: what stands in the array itself could be an annotation that shows.
func references(v val) error {
	for i := range v.n.kids {
		if v.kid(i).kind() != kRef {
			return refusedUpdate("an array of object %d holds more than references", v.o.num)
		}
	}
	return nil
}
