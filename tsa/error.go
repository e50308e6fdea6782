package tsa

import "fmt"

// Error says why a token, a request or an answer is refused. Code is stable;
// Detail is for people.
type Error struct {
	Code   string
	Detail string
	cause  error
}

// Error implements error.
func (e *Error) Error() string {
	s := "tsa: " + e.Code
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap gives the error of cms or certs behind this one, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is compare by code: errors.Is(err, &Error{Code: c}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Detail == ""
}

// The codes of Error, one for each check of specs/ades.md §8.
const (
	CodeRejected    = "rejected"     // the authority answered another status than granted
	CodeMalformed   = "malformed"    // not the structure of RFC 3161
	CodeContentType = "content_type" // a CMS object that is not a time-stamp token
	CodeSigners     = "signers"      // not exactly one SignerInfo
	CodeCertificate = "certificate"  // no certificate of the unit, or another one than signing-certificate names
	CodeValue       = "value"        // the signature does not verify
	CodeAlgorithm   = "algorithm"    // an algorithm that does not count (TS 119 312)
	CodeUsage       = "usage"        // timeStamping is not the sole and critical extended key usage
	CodePath        = "path"         // no path to a trusted root at genTime
	CodePathNow     = "path_now"     // the path was good at genTime and is not any more
	CodeImprint     = "imprint"      // another digest or digest algorithm than asked for
	CodeNonce       = "nonce"        // not the nonce that was sent
	CodePolicy      = "policy"       // a policy that is not allowed
	CodeExtension   = "extension"    // an unknown critical extension in TSTInfo
	CodeName        = "name"         // the tsa field names another one than the certificate
	CodeTime        = "time"         // genTime is not near the present, or after it
)

func errf(code, format string, a ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, a...)}
}

func wrap(code string, cause error) *Error { return &Error{Code: code, cause: cause} }
