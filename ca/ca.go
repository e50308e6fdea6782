// Package ca is the contract of issuing and of status: the messages and the
// clients that the front, the sam and the operators speak with the role ca. It
// is what an outside CA would speak too. The role itself is certs/authority.
//
// On the front's socket:
//
//	PUT /v1/certificates/{hash}        IssueRequest → Issued; hash = wire.BodyHash of the body.
//	                                   The first executes, an equal one returns the stored outcome.
//	GET /v1/certificates/{hash}        the stored outcome
//	GET /v1/published/{ca|crl}/{file}  DER: ca/root.crt, ca/tsu.crt, crl/root.crl and for each issuing CA
//	                                   ca/<name>.crt, crl/<name>.crl; names: issuing-ca, issuing-ca-2, …
//	POST /v1/ocsp                      DER OCSPRequest → DER OCSPResponse, status 200; the protocol's own errors are in it
//	POST /v1/ocsp/own                  the same for the front's own products, whose signatures strangers cannot use up
//	GET /v1/health                     Health
//
// On the sam's socket:
//
//	GET /v1/status/{serial}            CertificateStatus
//	PUT /v1/revocations/{hash}         RevokeRequest → Revocation; hash = wire.BodyHash of the body
//	GET /v1/revocations?after=SEQ      Revocations
//
// On the operators' socket, which needs neither front nor sam nor itsme:
//
//	PUT /v1/revocations/{hash}         RevokeRequest with By "operators" → Revocation
//	PUT /v1/last-crls/{hash}           RetireRequest → LastCRL
package ca

import (
	"time"
)

// IssueRequest is the order for one certificate, as the sam made it and the
// front carries it: the application (JCS), the PKCS #10 request with the new
// key's own signature (DER), the manifests that the nonces of the two itsme
// transactions commit to (JCS, exact bytes), and the two inner ID tokens
// (compact JWS): identification first, then the consent to this application.
type IssueRequest struct {
	Application            []byte `json:"application"`
	CSR                    []byte `json:"csr"`
	IdentificationManifest []byte `json:"identification_manifest"`
	ConsentManifest        []byte `json:"consent_manifest"`
	IdentificationToken    string `json:"identification_token"`
	ConsentToken           string `json:"consent_token"`
}

// Issued is the new certificate and its issuing CA, DER, leaf first. The root
// is not in it: whoever trusts it has it.
type Issued struct {
	Chain [][]byte `json:"chain"`
}

// The states of a certificate.
const (
	Good    = "good"
	Revoked = "revoked"
	Unknown = "unknown" // never issued by this CA, or not known to have been
)

// CertificateStatus is what the CA knows of a serial number now. Serial is
// lower-case hexadecimal, two digits for each octet. Expiry is not a matter of
// status: whoever uses a certificate looks at its validity.
type CertificateStatus struct {
	Serial    string    `json:"serial"`
	State     string    `json:"state"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	At        time.Time `json:"at"` // of this answer
}

// Health says whether the role issues now, and if not, why not.
type Health struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons,omitempty"`
	Notes   []string `json:"notes,omitempty"` // what operators should know though the role works
}

// Refusal codes of Issue, in wire.Error.Code. Where nothing else is said a
// refusal is final for this order.
const (
	CodeBadOrder         = "bad_order"         // a part cannot be read, or the parts do not belong together
	CodeBadKey           = "bad_key"           // proof of possession fails, or the key is not of an accepted kind
	CodeTerms            = "terms_outdated"    // other terms than those now in force were accepted
	CodeBadToken         = "bad_token"         // an ID token is refused; detail names which and why
	CodeWrongNonce       = "wrong_nonce"       // a token does not commit to its manifest
	CodeIdentityMismatch = "identity_mismatch" // the two legs are not the same person, or no document number
	CodeMinor            = "signer_minor"      // not shown to be 18 or older
	CodeOngoingCall      = "ongoing_call"      // the person was in a call; start again after hanging up
	CodeName             = "name_refused"      // the name cannot stand in a certificate
	CodeRecord           = "record_refused"    // the tokens do not say what an identity record must; detail names it
	CodeScheme           = "scheme_suspended"  // the registrar's scheme is suspended, so says the configuration; retryable
	CodeReplayed         = "replayed"          // a token was used for another order
	CodeKeyUsed          = "key_used"          // this public key has a certificate or an order
	CodeLint             = "lint_refused"      // the certificate would break its profile; nothing was signed
	CodeItsme            = "itsme_unreachable" // itsme's keys could not be had; retryable
	CodeClock            = "clock"             // the clock is before recorded history; retryable
	CodeOutcomeUnknown   = "outcome_unknown"   // the intent was recorded, no certificate was: the order is dead, start a new one
	CodeNotFound         = "order_unknown"     // GET only: no such order was executed
)

// Refusal codes of Revoke. CodeBadOrder, CodeBadToken, CodeWrongNonce,
// CodeItsme and CodeClock are used as above.
const (
	CodeSerialUnknown = "serial_unknown" // this CA was never about to issue a certificate with this serial number
	CodeNotRevocable  = "not_revocable"  // the certificate is valid for hours and says that it has no revocation (noRevAvail); the report is kept
	CodeNotHolder     = "not_holder"     // the confirmation is not of the certificate's holder, or names another certificate
	CodeNotApproved   = "not_approved"   // two operators have not approved this act, or did for another one
	CodeActUsed       = "act_used"       // the operators' act was done before, for another certificate
	CodeNotYet        = "not_yet"        // Retire only: a certificate of this CA could be valid
)
