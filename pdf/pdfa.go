package pdf

import (
	"io"
	"regexp"
)

// maxMetadata is how much of a document's metadata is read; the claim stands in the first few kilobytes.
const maxMetadata = 64 << 10

// claimsPart1 finds pdfaid:part in XMP, as an element or an attribute (ISO 19005-1, 6.7.11).
var claimsPart1 = regexp.MustCompile(`pdfaid:part\s*(?:=\s*["']1["']|>\s*1\s*<)`)

// saysPDFA1 tells whether a document says that it is PDF/A-1. Metadata that cannot be read says nothing: a signature does
// not depend on it.
func (d *doc) saysPDFA1(cat val) bool {
	meta, err := d.want(cat, "Metadata", kDict)
	if err != nil || meta.kind() != kDict || !meta.own || meta.o.data == 0 {
		return false
	}
	r, err := d.decoded(meta.o)
	if err != nil {
		return false
	}
	text, err := io.ReadAll(io.LimitReader(r, maxMetadata))
	return err == nil && claimsPart1.Match(text)
}
