// Package pdf reads the structure of PDF files that nobody vouches for, and
// adds to them the incremental update that holds a PAdES signature
// (ISO 32000-2, 7.5.6 and 12.8; EN 319 142-1).
//
// It works on an [io.ReaderAt] of known size, reads only what it must, and
// never repairs: a file whose cross-reference data is wrong is refused, since
// two readers could see two documents in it. Every walk has a [Budget].
// Nothing here grows with the document: the cross-reference tables stay in the
// file, and the one pass over the whole document has a fixed buffer.
//
// Signing has two steps, with any time and any number of restarts between:
// [Prepare] fixes every byte but the CMS and gives the digest; [Prepared.Embed]
// puts the CMS in. [Signatures] lists what a validator has to judge.
package pdf

import "fmt"

// Error says why a document is refused. Code is stable and made for programs;
// Detail is for people and holds positions and object numbers, never content
// of the document.
type Error struct {
	Code   string
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Detail == "" {
		return "pdf: " + e.Code
	}
	return "pdf: " + e.Code + ": " + e.Detail
}

// Is makes errors.Is compare by code, so that errors.Is(err, &Error{Code: c})
// asks "is it refused because of c".
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Detail == ""
}

// The codes of Error.
const (
	CodeEmpty              = "empty"                // zero bytes
	CodeNotAPDF            = "not_a_pdf"            // no %PDF- header at the start
	CodeTruncated          = "truncated"            // no startxref and %%EOF at the end, or bytes missing
	CodeEncrypted          = "encrypted"            // not supported yet
	CodeXrefLoop           = "xref_loop"            // the chain of sections bites its tail
	CodeBrokenXref         = "broken_xref"          // a section or an offset is wrong
	CodeBadSyntax          = "bad_syntax"           // an object does not follow ISO 32000-2, 7.3
	CodeBadStructure       = "bad_structure"        // catalog, page tree or form is not what it must be
	CodeBadStream          = "bad_stream"           // a stream does not decode
	CodeUnsupportedFilter  = "unsupported_filter"   // cross-reference or object stream with another filter than Flate
	CodeTooDeep            = "too_deep"             // Budget.Depth
	CodeTooManyObjects     = "too_many_objects"     // Budget.Objects or Budget.Values
	CodeTooManySections    = "too_many_sections"    // Budget.Sections
	CodeTooMuchWork        = "too_much_work"        // Budget.Bytes or Budget.Steps
	CodeObjectTooLong      = "object_too_long"      // Budget.ObjectBytes
	CodeDecompressionBomb  = "decompression_bomb"   // Budget.Inflate or Budget.ObjectBytes
	CodeDuplicateKey       = "duplicate_key"        // a key that matters stands twice in one dictionary
	CodeCertifiedNoChanges = "certified_no_changes" // DocMDP with P = 1, or a lock with P = 1
	CodeBadSignatureField  = "bad_signature_field"  // the field asked for cannot be signed
	CodeFieldLocked        = "field_locked"         // an earlier signature locks the field
	CodeSeedValue          = "seed_value"           // the field's seed value demands what we do not do
	CodeBadOptions         = "bad_options"          // the caller's options make no sense
	CodeCMSTooLarge        = "cms_too_large"        // the CMS does not fit in its space
	CodeBadCMS             = "bad_cms"              // not one DER SEQUENCE
	CodeBadPrepared        = "bad_prepared"         // the stored preparation contradicts itself

	// Problems of single signatures, see Signature.Problems.
	CodeBadSignature          = "bad_signature"           // the field's value is not a signature dictionary
	CodeBadByteRange          = "bad_byte_range"          // absent, not four direct integers, negative, outside the file
	CodeBadContents           = "bad_contents"            // absent, indirect, or not a hexadecimal string
	CodeContentsInStream      = "contents_in_stream"      // the dictionary is in an object stream, so nothing can sign around it
	CodeNotExactGap           = "not_exact_gap"           // the gap is not the <hex> token of this very Contents
	CodeTrailingContents      = "trailing_contents"       // something but zeros after the CMS
	CodeNotARevision          = "not_a_revision"          // the signed bytes are not a complete revision of this file
	CodeRangesOverlap         = "ranges_overlap"          // interleaved with the range of another signature
	CodeSharedSignature       = "shared_signature"        // two fields have one signature dictionary
	CodeNotInSignedRevision   = "not_in_signed_revision"  // field or value is another one in the revision that was signed
	CodeRemoved               = "removed"                 // an earlier revision has this signature, the newest has not
	CodeNotInField            = "not_in_field"            // named by Perms only
	CodeEarlierRevisionBroken = "earlier_revision_broken" // an earlier revision cannot be read
)

func errf(code, format string, a ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, a...)}
}

// Budget limits what one call may spend on a document. A field that is zero
// takes the value of [DefaultBudget].
type Budget struct {
	// Bytes is how many bytes of structure may be read, all reads counted
	// (the pass that hashes the document is not). Error: too_much_work.
	Bytes int64
	// Objects is the largest number of indirect objects, as in /Size.
	// Error: too_many_objects.
	Objects int
	// Depth is the nesting of arrays and dictionaries, of the page tree and of
	// the field tree. Error: too_deep.
	Depth int
	// Sections is the number of cross-reference sections, XRefStm included.
	// Error: too_many_sections.
	Sections int
	// Values is the number of values in one indirect object, and of
	// cross-reference subsections in the file. Error: too_many_objects.
	Values int
	// ObjectBytes is the length of one indirect object without its stream
	// data, and of one decoded object stream. Errors: object_too_long,
	// decompression_bomb.
	ObjectBytes int
	// Inflate is how many bytes may come out of decompression, all streams
	// together. Error: decompression_bomb.
	Inflate int64
	// Steps is how many values may be read (each counts 8), cross-reference
	// sections asked and names compared, all together: what a small file can
	// have done again and again without a byte being read. Error: too_much_work.
	Steps int64
}

// DefaultBudget is enough for every sound document we know of up to some
// million objects; the worst that a hostile one can cost with it is some
// seconds and some tens of megabytes.
func DefaultBudget() Budget {
	return Budget{
		Bytes:       512 << 20, // a table of 8 388 607 rows has 168 MB
		Objects:     8_388_607, // ISO 32000-1, annex C
		Depth:       100,
		Sections:    1024,
		Values:      1 << 20,
		ObjectBytes: 16 << 20,
		Inflate:     256 << 20, // 8 388 607 rows of 11 bytes have 92 MB
		Steps:       128 << 20, // 100 000 fields cost 10 million; a step some 35 ns
	}
}

func (b Budget) orDefault() Budget {
	d := DefaultBudget()
	if b.Bytes <= 0 {
		b.Bytes = d.Bytes
	}
	if b.Objects <= 0 || b.Objects > d.Objects {
		b.Objects = d.Objects
	}
	if b.Depth <= 0 {
		b.Depth = d.Depth
	}
	if b.Sections <= 0 {
		b.Sections = d.Sections
	}
	if b.Values <= 0 {
		b.Values = d.Values
	}
	if b.ObjectBytes <= 0 {
		b.ObjectBytes = d.ObjectBytes
	}
	if b.Inflate <= 0 {
		b.Inflate = d.Inflate
	}
	if b.Steps <= 0 {
		b.Steps = d.Steps
	}
	return b
}
