package cms

// Budget limits what foreign bytes may cost. A field that is zero takes the
// value of [DefaultBudget].
type Budget struct {
	Bytes    int // length of the whole
	Elements int // tags, at every depth
	Depth    int // nesting of constructed elements
}

// DefaultBudget is enough for every signature with its chain, time-stamps and
// embedded revocation data that we met: see specs/ades.md §7.
func DefaultBudget() Budget {
	return Budget{Bytes: 4 << 20, Elements: 100_000, Depth: 64}
}

// WholeFile is the budget for a CAdES file with all its validation data: lists
// of others may have some megabytes each.
func WholeFile() Budget {
	b := DefaultBudget()
	b.Bytes = 32 << 20
	return b
}

func (b Budget) orDefault() Budget {
	d := DefaultBudget()
	if b.Bytes <= 0 {
		b.Bytes = d.Bytes
	}
	if b.Elements <= 0 {
		b.Elements = d.Elements
	}
	if b.Depth <= 0 || b.Depth > d.Depth {
		b.Depth = d.Depth
	}
	return b
}

// scan walks over one element and all inside it, without recursion, before
// anything else looks at it: within the budget, every length definite, minimal
// and inside its parent, no bytes behind. PDF (ISO 32000-2, 12.8.3.3) and RFC
// 3161 ask for DER, so an indefinite length is refused at its first byte and
// nothing here can be made to nest without limit.
func scan(der []byte, b Budget) error { return walk(der, b, false) }

// scanSignedData is scan for a ContentInfo with SignedData. It does not go into
// the elements of the field crls: a revocation list is many small elements, and
// its readers, which do not nest either, look at them.
func scanSignedData(der []byte, b Budget) error { return walk(der, b, true) }

// crlsDepth is how deep the elements of crls stand: in ContentInfo, content,
// SignedData, crls.
const crlsDepth = 4

func walk(der []byte, b Budget, lists bool) error {
	if len(der) > b.Bytes {
		return errf(CodeTooLarge, "%d bytes, at most %d", len(der), b.Bytes)
	}
	if len(der) == 0 {
		return errf(CodeMalformed, "no bytes")
	}
	inLists := false
	ends := make([]int, 0, 16) // of the constructed elements that we are inside of
	for at, n := 0, 0; ; n++ {
		for len(ends) > 0 && ends[len(ends)-1] == at {
			ends = ends[:len(ends)-1]
			inLists = inLists && len(ends) >= crlsDepth
		}
		if len(ends) == 0 && n > 0 {
			if at != len(der) {
				return errf(CodeTrailingData, "%d bytes behind the end", len(der)-at)
			}
			return nil
		}
		if n >= b.Elements {
			return errf(CodeTooManyElements, "more than %d elements", b.Elements)
		}
		limit := len(der)
		if len(ends) > 0 {
			limit = ends[len(ends)-1]
		}
		head, length, err := header(der[at:limit])
		if err != nil {
			return err
		}
		if der[at]&0x20 == 0 || inLists {
			at += head + length
			continue
		}
		if len(ends) >= b.Depth {
			return errf(CodeTooDeep, "more than %d levels", b.Depth)
		}
		ends = append(ends, at+head+length)
		inLists = lists && len(ends) == crlsDepth && der[at] == byte(context(1))
		at += head
	}
}

// header reads tag and length at the start of b.
func header(b []byte) (head, length int, err error) {
	if len(b) < 2 {
		return 0, 0, errf(CodeMalformed, "an element is cut short")
	}
	if b[0] == 0 || b[0]&0x1F == 0x1F {
		return 0, 0, errf(CodeNotDER, "a tag that CMS does not have")
	}
	head, length = 2, int(b[1])
	if length >= 0x80 {
		k := length & 0x7F
		if k == 0 || k > 4 {
			return 0, 0, errf(CodeNotDER, "an indefinite or huge length")
		}
		if len(b) < 2+k {
			return 0, 0, errf(CodeMalformed, "a length is cut short")
		}
		length = 0
		for _, c := range b[2 : 2+k] {
			length = length<<8 | int(c)
		}
		head += k
		if length < 0x80 || b[2] == 0 {
			return 0, 0, errf(CodeNotDER, "a length that is not minimal")
		}
	}
	if length > len(b)-head {
		return 0, 0, errf(CodeMalformed, "an element is longer than its parent")
	}
	return head, length, nil
}

// strict adds to a scanned element what DER asks of values: INTEGER minimal,
// BOOLEAN 00 or FF, strings in one piece (X.690 §10, §11).
func strict(der []byte) error {
	for at := 0; at < len(der); {
		head, length, err := header(der[at:])
		if err != nil {
			return err
		}
		tag, v := der[at], der[at+head:at+head+length]
		switch {
		case tag == 0x02 && (length == 0 || length > 1 && (v[0] == 0 && v[1] < 0x80 || v[0] == 0xFF && v[1] >= 0x80)):
			return errf(CodeNotDER, "an INTEGER that is not minimal")
		case tag == 0x01 && (length != 1 || v[0] != 0 && v[0] != 0xFF):
			return errf(CodeNotDER, "a BOOLEAN that is neither 00 nor FF")
		case tag&0xE0 == 0x20 && tag != 0x30 && tag != 0x31:
			return errf(CodeNotDER, "a string in pieces")
		}
		at += head
		if tag&0x20 == 0 {
			at += length
		}
	}
	return nil
}
