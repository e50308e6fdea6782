package cms

import "fmt"

// Error says why bytes are refused. Code is stable and made for programs;
// Detail is for people and holds no content.
type Error struct {
	Code   string
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Detail == "" {
		return "cms: " + e.Code
	}
	return "cms: " + e.Code + ": " + e.Detail
}

// Is makes errors.Is compare by code: errors.Is(err, &Error{Code: c}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Detail == ""
}

// The codes of Error.
const (
	CodeTooLarge          = "too_large"             // Budget.Bytes
	CodeTooDeep           = "too_deep"              // Budget.Depth
	CodeTooManyElements   = "too_many_elements"     // Budget.Elements
	CodeNotDER            = "not_der"               // a length or value in a form that DER does not have
	CodeTrailingData      = "trailing_data"         // bytes behind the end
	CodeMalformed         = "malformed"             // not the structure of RFC 5652
	CodeNotSignedData     = "not_signed_data"       // another content type
	CodeNoAttributes      = "no_signed_attributes"  // SignerInfo without signed attributes
	CodeAttributes        = "bad_signed_attributes" // an attribute is absent, there twice, unknown or wrong
	CodeDigestMismatch    = "digest_mismatch"       // message-digest is not the digest of the content
	CodeBadValue          = "bad_value"             // the signature value does not verify
	CodeAlgorithm         = "unsupported_algorithm" // we cannot compute with this algorithm
	CodeAlgorithmMismatch = "algorithm_mismatch"    // the algorithms named contradict each other or the key
	CodeNoCertificate     = "no_signer_certificate" // no readable certificate fits the SignerInfo
	CodeCertificate       = "certificate_mismatch"  // the certificate is not the one that was signed
	CodeArchive           = "archive_mismatch"      // an archive time-stamp that is not over this signature
	CodeArchiveIndex      = "archive_index"         // its hash index is not one, or names what is not there
	CodeArchiveForm       = "archive_form"          // an older archive form, which additions would break
)

func errf(code, format string, a ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, a...)}
}
