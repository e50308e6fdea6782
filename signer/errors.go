package signer

import (
	"errors"

	"tekend/ca"
	"tekend/pdf"
	"tekend/sam"
	"tekend/wire"
)

// Error is the only error that may be shown outside; everything else is "internal". Code is stable and
// part of the API, Detail says what happened, Hint what to do. None of them holds personal data.
type Error struct {
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Hint      string `json:"hint,omitempty"`
	Retryable bool   `json:"retryable,omitempty"` // the same call, or waiting, may succeed later
	After     int    `json:"after,omitempty"`     // seconds until that is worth while; 0: not known

	cause error // for our log only
}

func (e *Error) Error() string { return e.Code + ": " + e.Detail }

// Is makes errors.Is compare by code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// with returns a copy whose Detail is more precise.
func (e *Error) with(detail string) *Error {
	c := *e
	c.Detail = detail
	return &c
}

// because returns a copy that remembers what a partner said, for our log.
func (e *Error) because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// What the outside may be told. Codes of PDF errors come from pdfErrors, reasons of the SAM from samErrors.
var (
	// The order.
	ErrUnknown        = &Error{Code: "not_found", Detail: "there is no such signature request", Hint: "check the id, and that this API key made the request"}
	ErrEmpty          = &Error{Code: "document_empty", Detail: "the document has 0 bytes", Hint: "send the whole file"}
	ErrNoDocument     = &Error{Code: "no_documents", Detail: "the request has no document", Hint: "send at least one PDF"}
	ErrManyDocuments  = &Error{Code: "too_many_documents", Detail: "the request has too many documents", Hint: "make several requests"}
	ErrDocumentSize   = &Error{Code: "document_too_large", Detail: "a document is larger than this service takes", Hint: "send a smaller file, or divide it"}
	ErrRequestSize    = &Error{Code: "request_too_large", Detail: "the documents together are larger than this service takes", Hint: "make several requests"}
	ErrSignatures     = &Error{Code: "too_many_signatures", Detail: "the document has too many signatures", Hint: "sign beside it (format cades), or make a new document of it"}
	ErrTwice          = &Error{Code: "document_twice", Detail: "the same document was sent twice", Hint: "send each document once"}
	ErrDocumentName   = &Error{Code: "document_name_invalid", Detail: "a file name cannot be shown in the itsme app", Hint: "use a name with western European letters only"}
	ErrLevel          = &Error{Code: "level_not_supported", Detail: "this signature level is not supported", Hint: "use B-B, B-T, B-LT or B-LTA"}
	ErrLevelHash      = &Error{Code: "level_not_supported", Detail: "level B-LTA of a PDF takes a time-stamp over the whole file, and only its digest was ordered", Hint: "order B-LT and lift the file where it is (package client, tekend sign --local), or send the file"}
	ErrFormat         = &Error{Code: "format_not_supported", Detail: "this format or packaging is not supported", Hint: "use format pades for PDFs; cades, detached or attached, for any file; cades detached for digests"}
	ErrDigest         = &Error{Code: "digest_invalid", Detail: "a digest is not one of its algorithm", Hint: "send 1 to 250 different digests: 32 bytes for SHA-256, 48 for SHA-384, 64 for SHA-512, and no documents beside them"}
	ErrDigestAlg      = &Error{Code: "digest_algorithm_not_supported", Detail: "the digests must be of one algorithm that this service knows", Hint: "use SHA-256, SHA-384 or SHA-512, the same for all digests of a request"}
	ErrDigestEarly    = &Error{Code: "digests_too_early", Detail: "each request of this client makes a new certificate, and the time that a prepared PDF claims would be before it", Hint: "leave digest out of each entry of digests; prepare the PDFs when the request is identified, and PUT the digests then"}
	ErrNotIdentified  = &Error{Code: "not_identified", Detail: "the person has no certificate yet", Hint: "wait until the request is identified: GET the request with ?wait=30s; prepare the PDFs then", Retryable: true}
	ErrNotAwaited     = &Error{Code: "digests_not_awaited", Detail: "the request does not wait for these digests: it has others, or was ordered with its documents", Hint: "make a new request"}
	ErrHashesRefused  = &Error{Code: "hash_orders_refused", Detail: "bare digests are not signed here", Hint: "send the documents, or have the provider sign the order"}
	ErrContinues      = &Error{Code: "continues_unknown", Detail: "there is no such finished document to go on with", Hint: "name a PDF of a finished request of this API key, and send no documents beside it"}
	ErrHeld           = &Error{Code: "revision_held", Detail: "another open request makes the next revision of this document", Hint: "wait until that request has ended, then order over what it made", Retryable: true}
	ErrAppearance     = &Error{Code: "appearance_invalid", Detail: "a visible signature cannot look like this", Hint: "name a page of the document, a box inside it, and give one appearance for all documents or one for each"}
	ErrVisibleOrder   = &Error{Code: "visible_with_signed_order", Detail: "a visible signature changes what the page shows, and the signed order is of the document as it is", Hint: "order an invisible signature"}
	ErrLevelOnce      = &Error{Code: "level_not_supported", Detail: "a one-time certificate needs a time-stamp within its validity", Hint: "use B-T"}
	ErrLanguage       = &Error{Code: "language_not_supported", Detail: "this language is not supported", Hint: "use en or nl"}
	ErrReference      = &Error{Code: "reference_invalid", Detail: "the signer reference must be 1 to 128 visible ASCII characters"}
	ErrRedirect       = &Error{Code: "redirect_url_invalid", Detail: "the redirect URL must be an absolute https URL (http only for loopback) of at most 2048 characters"}
	ErrLifetime       = &Error{Code: "lifetime_invalid", Detail: "the life of a request is too short or too long"}
	ErrKey            = &Error{Code: "idempotency_key_invalid", Detail: "the idempotency key must be 1 to 255 visible ASCII characters", Hint: "send a UUID"}
	ErrKeyReused      = &Error{Code: "idempotency_key_reused", Detail: "this idempotency key was used for another order", Hint: "send a new key with a new order; send the same order, documents and file names with the same key"}
	ErrOrder          = &Error{Code: "signed_order_invalid", Detail: "the signed order is not one, is not in force, or is not of these documents", Hint: "make it with tekend order sign over the files that you send, in their order"}
	ErrStorage        = &Error{Code: "storage_full", Detail: "there is no room for the documents", Hint: "try again later", Retryable: true}
	ErrDocumentAbsent = &Error{Code: "document_not_found", Detail: "the request has no document with this number", Hint: "documents are numbered from 1"}
	ErrNotHere        = &Error{Code: "document_not_found", Detail: "only the digest of this document was ordered; the document is not here", Hint: "GET it with Accept: application/json for the parts of the signature"}
	ErrNotFinished    = &Error{Code: "not_finished", Detail: "the document is not signed yet", Hint: "wait until the request is finished: GET the request with ?wait=30s"}
	ErrEvidenceSoon   = &Error{Code: "evidence_not_ready", Detail: "the record of the signature is not sealed yet", Hint: "ask again in two seconds", Retryable: true}

	// The signer's page.
	ErrTerms    = &Error{Code: "terms_changed", Detail: "these are not the terms in force", Hint: "read the terms again"}
	ErrTooLate  = &Error{Code: "too_late", Detail: "the request was confirmed already"}
	ErrEnded    = &Error{Code: "ended", Detail: "the request has ended"}
	ErrBusy     = &Error{Code: "busy", Detail: "the request is being worked on", Hint: "try again", Retryable: true}
	ErrViewer   = &Error{Code: "signer_unproven", Detail: "only the browser that came back from itsme with the confirmation of this request may see this", Hint: "open it in the browser in which you confirmed, after confirming"}
	ErrNoUse    = &Error{Code: "use_unknown", Detail: "there is no such use of this key", Hint: "take the number from the list of uses"}
	ErrTooMany  = &Error{Code: "too_many_questions", Detail: "this person was asked to confirm too often", Hint: "wait; look whether somebody else asks you to sign", Retryable: true}
	ErrTooSoon  = &Error{Code: "too_soon", Detail: "a new question was made a moment ago", Hint: "look into the app first; wait 10 seconds before you ask again", Retryable: true}
	ErrBadReply = &Error{Code: "callback_malformed", Detail: "the answer holds neither a code nor an error, or both", Hint: "open the signing link again"}

	// Revocation.
	ErrNoRevocation = &Error{Code: "revocation_unknown", Detail: "there is no such revocation", Hint: "begin again at /revoke"}
	ErrNoCredential = &Error{Code: "credential_unknown", Detail: "this person has no such certificate, or none that could be revoked", Hint: "take the id from the list of his certificates"}
	ErrRevoked      = &Error{Code: "already_revoked", Detail: "the certificate is revoked already, and its key destroyed"}
	ErrReason       = &Error{Code: "reason_invalid", Detail: "this reason for a revocation is not known", Hint: "use unspecified, keyCompromise, superseded or cessationOfOperation"}
	ErrRush         = &Error{Code: "too_many_revocations", Detail: "too many people want to revoke at this moment", Hint: "try again in a minute, or use the code that came with the certificate at the emergency address", Retryable: true}

	// The callback.
	ErrStateUnknown = &Error{Code: "callback_unknown", Detail: "we did not ask this question", Hint: "open the signing link again"}
	ErrStateUsed    = &Error{Code: "callback_used", Detail: "this answer was already taken", Hint: "open the signing link again"}
	ErrStateExpired = &Error{Code: "callback_expired", Detail: "this answer came too late, or a new question was made meanwhile", Hint: "open the signing link again and confirm once more"}

	// Partners that are down. The request is kept and goes on by itself.
	ErrSAM = &Error{Code: "sam_unavailable", Detail: "the signature activation module cannot be reached", Hint: "try again in a minute", Retryable: true}
	ErrCA  = &Error{Code: "ca_unavailable", Detail: "the certification authority cannot be reached", Hint: "try again in a minute", Retryable: true}
	ErrTSA = &Error{Code: "tsa_unavailable", Detail: "no good time-stamp could be had", Hint: "the document will be finished when the time-stamping authority is back", Retryable: true}
	// ErrAwaited is a notice, and no answer to a call.
	ErrAwaited = &Error{Code: "digests_awaited", Detail: "the digests of the documents have not come yet", Hint: "prepare the documents and PUT their digests", Retryable: true}
	// What a finished document still lacks.
	ErrRevocation = &Error{Code: "revocation_unavailable", Detail: "it could not be had yet whether all certificates are good", Hint: "the document will be finished when the sources of revocation data are back", Retryable: true}
	ErrLevelWait  = &Error{Code: "level_not_reached", Detail: "the document does not have the ordered level yet", Hint: "we try again; nothing is released at a lower level", Retryable: true}

	ErrItsme  = &Error{Code: "itsme_unavailable", Detail: "itsme cannot be reached", Hint: "try again in a minute", Retryable: true}
	ErrHSM    = &Error{Code: "hsm_unavailable", Detail: "the signing device is busy or cannot be reached", Hint: "try again in a minute", Retryable: true}
	ErrOnCall = &Error{Code: "ongoing_call", Detail: "the person is on the phone; nobody should be talked into signing", Hint: "hang up and confirm again", Retryable: true}
	ErrAgain  = &Error{Code: "confirmation_expired", Detail: "the confirmation was not given in time", Hint: "confirm again", Retryable: true}

	// The certificate was ordered and never came. The person starts the enrolment again, with a new key.
	ErrInterrupted = &Error{Code: "issuing_interrupted", Detail: "issuing the certificate was interrupted", Hint: "accept the terms again", Retryable: true}

	// Ends.
	ErrDeclined    = &Error{Code: "declined", Detail: "the person declined", Hint: "ask the person why; a new request may be made at any time"}
	ErrExpired     = &Error{Code: "expired", Detail: "the request was not confirmed in time", Hint: "make a new request"}
	ErrWrongPerson = &Error{Code: "wrong_person", Detail: "somebody else than the owner of the certificate answered", Hint: "make a new request"}
	ErrMinor       = &Error{Code: "signer_minor", Detail: "the person is under 18 and cannot get a certificate", Hint: "somebody of age has to sign"}
	ErrMismatch    = &Error{Code: "identity_mismatch", Detail: "the two answers of itsme do not speak of the same person", Hint: "make a new request"}
	ErrCertificate = &Error{Code: "certificate_not_good", Detail: "the person's certificate cannot be used", Hint: "make a new request; the person gets a new certificate"}
	ErrSuspended   = &Error{Code: "certificate_not_good", Detail: "the person's key is suspended while something is looked into; the certificate is not revoked", Hint: "the person may ask the operators of this service"}
	ErrBadToken    = &Error{Code: "answer_refused", Detail: "itsme's answer did not pass our checks", Hint: "make a new request"}
	ErrOrderWanted = &Error{Code: "signed_order_required", Detail: "only orders that their provider has signed are taken here", Hint: "send signed_order with the request"}
	ErrOrderBad    = &Error{Code: "signed_order_refused", Detail: "the signed order was refused", Hint: "check that operators registered its key, and make a new request"}
	ErrRefused     = &Error{Code: "refused", Detail: "the signature activation module refused the request"}
	ErrSessionOver = &Error{Code: "session_expired", Detail: "the confirmation could not be used in time; nothing was signed", Hint: "make a new request"}
	ErrOutcome     = &Error{Code: "outcome_unknown", Detail: "it is not known whether the key was used; no signature was released and none will be made with this confirmation", Hint: "make a new request"}
	ErrRestarted   = &Error{Code: "confirmation_void", Detail: "the confirmation is from before a restart of the signature activation module; nothing was signed", Hint: "make a new request"}
	ErrIssuing     = &Error{Code: "issuing_refused", Detail: "the certification authority refused to issue a certificate"}
	ErrStampLate   = &Error{Code: "time_stamp_late", Detail: "no good time-stamp could be had before the deadline; the signature is not released at a lower level", Hint: "make a new request"}
	ErrRevocLate   = &Error{Code: "revocation_late", Detail: "it could not be had before the deadline whether all certificates are good; the signature is not released at a lower level", Hint: "make a new request"}
	ErrLevelLate   = &Error{Code: "level_late", Detail: "the ordered level could not be reached before the deadline; the signature is not released at a lower level", Hint: "make a new request"}
	ErrSpace       = &Error{Code: "cms_too_large", Detail: "the signature does not fit into its reserved space; it is not made a second time", Hint: "make a new request"}
	ErrOwnCheck    = &Error{Code: "own_check_failed", Detail: "the signed document did not pass our own check and is not released"}
	ErrDamaged     = &Error{Code: "document_damaged", Detail: "the stored document is not what was uploaded"}
)

// samErrors says what a refusal of the SAM means outside. Codes that are not here mean ErrRefused.
var samErrors = map[string]*Error{
	sam.CodeDeclined:           ErrDeclined,
	sam.CodeExpired:            ErrAgain,
	sam.CodeReplayed:           ErrBadToken.with("itsme's answer was used before"),
	sam.CodeWrongPerson:        ErrWrongPerson,
	sam.CodeWrongNonce:         ErrBadToken.with("itsme's answer belongs to another question"),
	sam.CodeBadToken:           ErrBadToken,
	sam.CodeCertificateNotGood: ErrCertificate,
	sam.CodeCredentialUnknown:  ErrCertificate,
	sam.CodeSuspended:          ErrSuspended,
	sam.CodeAttributesRefused:  ErrRefused,
	sam.CodeHashOrdersRefused:  ErrHashesRefused,
	sam.CodeKeyTypeEnded:       ErrIssuing.with("new keys of the configured kind are not certified any more; the operators must configure another kind"),
	sam.CodeTimeStampRequired:  ErrTSA,
	sam.CodeBurnt:              ErrOutcome,
	sam.CodeNotAuthorized:      ErrSessionOver,
	sam.CodeBeforeStart:        ErrRestarted,
	sam.CodeClock:              ErrSAM,
	sam.CodeElsewhere:          ErrSAM,
	sam.CodeOngoingCall:        ErrOnCall,
	sam.CodeSignerMinor:        ErrMinor,
	sam.CodeIdentityMismatch:   ErrMismatch,
	sam.CodeItsmeUnreachable:   ErrItsme,
	sam.CodeHSMBusy:            ErrHSM,
	sam.CodeHSMFailed:          ErrHSM,
	sam.CodeTooManyQuestions:   ErrTooMany,
	sam.CodeEnrolmentUnknown:   ErrAgain,
	sam.CodeNotSigned:          ErrNotFinished,
	sam.CodeNotYet:             ErrEvidenceSoon,
	sam.CodeOrderRequired:      ErrOrderWanted,
	sam.CodeOrderRefused:       ErrOrderBad,
	sam.CodeConflict:           ErrBadToken.with("another answer to the same question was taken before"),
}

// revocationErrors are refusals that mean something else when a certificate is revoked.
var revocationErrors = map[string]*Error{
	sam.CodeCredentialUnknown: ErrNoCredential,
	sam.CodeActRefused:        ErrRevoked,
}

// revocationError is samError for calls about revocations.
func revocationError(err error) *Error {
	if w, ok := errors.AsType[*wire.Error](err); ok {
		if e, known := revocationErrors[w.Code]; known {
			return e.because(err)
		}
	}
	return samError(err)
}

// samError turns what a call of the SAM returned into ours. An unreachable SAM is retryable; an internal
// fault of the SAM (5xx without a known code) too.
func samError(err error) *Error {
	return partnerError(err, samErrors, ErrSAM, ErrRefused)
}

// caErrors: refusals of the CA that mean more than "refused".
var caErrors = map[string]*Error{
	ca.CodeTerms:            ErrTerms,
	ca.CodeBadToken:         ErrBadToken,
	ca.CodeWrongNonce:       ErrBadToken.with("itsme's answer belongs to another question"),
	ca.CodeReplayed:         ErrBadToken.with("itsme's answer was used before"),
	ca.CodeIdentityMismatch: ErrMismatch,
	ca.CodeMinor:            ErrMinor,
	ca.CodeOngoingCall:      ErrOnCall,
	ca.CodeName:             ErrIssuing.with("the person's name cannot stand in a certificate"),
	ca.CodeRecord:           ErrIssuing.with("itsme does not say enough about how the person was identified"),
	ca.CodeScheme:           ErrCA.with("no certificates are issued at present"),
	ca.CodeItsme:            ErrItsme,
	ca.CodeClock:            ErrCA,
	ca.CodeOutcomeUnknown:   ErrInterrupted,
	ca.CodeKeyUsed:          ErrInterrupted,
}

func caError(err error) *Error {
	return partnerError(err, caErrors, ErrCA, ErrIssuing)
}

func partnerError(err error, known map[string]*Error, down, refused *Error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var w *wire.Error
	if !errors.As(err, &w) {
		return down.because(err) // unreachable, or no reply: the partner did not tell
	}
	e, ok := known[w.Code]
	switch {
	case w.Code == sam.CodeCertificateNotGood && w.Retryable:
		e = ErrCA // the status could not be had
	case !ok && (w.Retryable || w.Status >= 500):
		e = down
	case !ok:
		e = refused.with(refused.Detail + " (" + plainCode(w.Code) + ")")
	}
	e = e.because(err)
	e.Retryable, e.After = e.Retryable || w.Retryable, w.After
	return e
}

// plainCode lets only what looks like one of our codes into a text.
func plainCode(c string) string {
	if c == "" || len(c) > 64 {
		return "no reason given"
	}
	for i := 0; i < len(c); i++ {
		if c[i] != '_' && (c[i] < 'a' || c[i] > 'z') && (c[i] < '0' || c[i] > '9') {
			return "no reason given"
		}
	}
	return c
}

// pdfErrors says what is wrong with a document, by the codes of package pdf.
var pdfErrors = map[string]*Error{
	"not_a_pdf":            {Code: "not_a_pdf", Detail: "the document is not a PDF", Hint: "send a PDF file"},
	"empty":                {Code: "pdf_empty", Detail: "the document has 0 bytes", Hint: "send a PDF file"},
	"truncated":            {Code: "pdf_truncated", Detail: "the document is cut off", Hint: "send the whole file"},
	"encrypted":            {Code: "pdf_encrypted", Detail: "the document is encrypted; encrypted documents are not supported yet", Hint: "remove the encryption first"},
	"xref_loop":            {Code: "pdf_xref_loop", Detail: "the cross-reference sections of the document form a loop", Hint: "write the file anew with its own program"},
	"too_deep":             {Code: "pdf_too_deep", Detail: "the document is nested deeper than any program needs", Hint: "write the file anew with another program"},
	"too_many_objects":     {Code: "pdf_too_many_objects", Detail: "the document has more objects than this service reads", Hint: "divide the document"},
	"decompression_bomb":   {Code: "pdf_decompression_bomb", Detail: "a part of the document becomes far too large when it is decompressed", Hint: "write the file anew with another program"},
	"certified_no_changes": {Code: "pdf_certified", Detail: "the document is certified and forbids changes, so also signatures", Hint: "ask the author for a version that may be signed"},
	"broken_xref":          {Code: "pdf_broken", Detail: "the cross-reference table of the document is damaged", Hint: "write the file anew with its own program; a signed file is never repaired"},
	"bad_syntax":           {Code: "pdf_broken", Detail: "the document does not follow the syntax of PDF", Hint: "write the file anew with its own program"},
	"bad_structure":        {Code: "pdf_broken", Detail: "the structure of the document is damaged", Hint: "write the file anew with its own program"},
	"bad_stream":           {Code: "pdf_broken", Detail: "a part of the document cannot be decompressed", Hint: "write the file anew with its own program"},
	"unsupported_filter":   {Code: "pdf_unsupported_filter", Detail: "the structure of the document is compressed in a way this service does not read", Hint: "write the file anew with another program"},
	"too_many_sections":    {Code: "pdf_too_many_sections", Detail: "the document was changed more often than this service reads", Hint: "print it into a new file"},
	"too_much_work":        {Code: "pdf_too_much_work", Detail: "the structure of the document takes more work to read than this service spends", Hint: "write the file anew with another program"},
	"object_too_long":      {Code: "pdf_object_too_long", Detail: "a part of the document is longer than any program needs", Hint: "write the file anew with another program"},
	"duplicate_key":        {Code: "pdf_ambiguous", Detail: "the document says two things in one place: two programs could show two documents", Hint: "write the file anew with another program"},
	"field_locked":         {Code: "pdf_field_locked", Detail: "an earlier signature locks the signature field", Hint: "ask the author for a version that may be signed"},
	"seed_value":           {Code: "pdf_seed_value", Detail: "the signature field demands a kind of signature that this service does not make", Hint: "ask the author for a version without that demand"},
	"cms_too_large":        ErrSpace,
}

// pdfError turns an error of package pdf into ours; other errors (reading a blob) stay internal.
func pdfError(err error) error {
	if err == nil {
		return nil
	}
	var p *pdf.Error
	if !errors.As(err, &p) {
		return err
	}
	if p.Code == pdf.CodeBadAppearance {
		return ErrAppearance.with(p.Detail) // sizes and counts: what to mend is the client's order, not the document
	}
	if e, ok := pdfErrors[p.Code]; ok {
		return e
	}
	return &Error{Code: "pdf_" + plainCode(p.Code), Detail: "the document cannot be signed", Hint: "write the file anew with another program"}
}
