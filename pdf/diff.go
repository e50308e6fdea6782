package pdf

import "io"

// ChangeLevel says how far a document went from a signed revision. The levels are in order of what they do to it, but for
// the zero: nothing is known, which is never "no change".
type ChangeLevel int

// The levels of change (after what DocMDP distinguishes, ISO 32000-2, table 257).
const (
	ChangesUnknown     ChangeLevel = iota // the comparison could not be made to its end
	ChangesNone                           // the same objects, whatever the bytes behind
	ChangesLTA                            // validation data, document time-stamps, metadata
	ChangesFormFilling                    // more signatures, values of fields
	ChangesAnnotations                    // more annotations
	ChangesOther                          // anything else
)

// String implements fmt.Stringer.
func (l ChangeLevel) String() string {
	return [...]string{"unknown", "none", "lta_updates", "form_filling", "annotations", "other"}[max(0, min(5, l))]
}

// Changes is what later revisions did to a signed one.
type Changes struct {
	Level ChangeLevel
	// Permitted: each change is on the list of what may change, and no signature of the signed revision or of an earlier
	// one (DocMDP, FieldMDP, the lock of its field) forbids it. Never true for ChangesUnknown and ChangesOther.
	Permitted bool
	// Reasons say why not: a code and the number of an object each, never content of the document.
	Reasons []string
}

// Differences compares every later revision, one by one, with the revision that ends at revisionEnd (Signature.RevisionEnd).
// What cannot be read gives an error and ChangesUnknown.
func Differences(r io.ReaderAt, size int64, revisionEnd int64, b Budget) (Changes, error) {
	all, err := AllDifferences(r, size, []int64{revisionEnd}, b)
	if err != nil {
		return Changes{}, err
	}
	return all[0], nil
}

// AllDifferences is Differences for several signed revisions with one reading of the document. The answers are in the
// order of ends, and as many; an end that is no revision of this document has ChangesUnknown.
func AllDifferences(r io.ReaderAt, size int64, ends []int64, b Budget) ([]Changes, error) {
	if _, err := open(r, size, b); err != nil {
		return nil, err
	}
	return nil, errf(CodeTooMuchWork, "%d revisions: the comparison is being written", len(ends))
}
