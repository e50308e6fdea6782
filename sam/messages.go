// Package sam is the contract of signature activation: the messages between
// the front and whoever holds the users' keys, and a client. A certified
// module could take the role's place behind it; that is why no certification
// authority is part of it.
//
//	PUT /v1/enrolments/{hash}                        EnrolRequest → EnrolStep; the hash is the enrolment's id
//	PUT /v1/enrolments/{id}/identification           Answer → EnrolStep
//	PUT /v1/enrolments/{id}/consent                  Answer → EnrolStep
//	PUT /v1/enrolments/{id}/certificate              CertificateChain → EnrolStep
//	GET /v1/enrolments/{id}                          EnrolStep
//	GET /v1/credentials/{id}                         Credential
//	GET /v1/credentials/{id}/siblings                Credentials: all of its person's
//	GET /v1/credentials/{id}/uses                    Uses; ?before=SEQ&limit=N
//	GET /v1/credentials/{id}/uses/{seq}/proof        the audit's proof of one of them
//	PUT /v1/preparations/{hash}                      PrepareRequest → Prepared
//	PUT /v1/confirmations/{nonce}/authorization      Answer → Session
//	PUT /v1/confirmations/{nonce}/signatures/{hash}  SignRequest → Signed
//	GET /v1/confirmations/{nonce}                    Status
//	GET /v1/confirmations/{nonce}/evidence           Evidence
//	PUT /v1/revocations/{hash}                       RevokeRequest → Prepared
//	PUT /v1/revocations/{nonce}/authorization        Answer → Revocation
//	GET /v1/revocations/{nonce}                      Revocation
//	PUT /v1/acts/{hash}                              ActRequest → ActDone; on the operators' socket alone
//	GET /v1/fronts/{name}/mark                       Mark
//	PUT /v1/fronts/{name}/mark                       MarkRequest → Mark
//	GET /v1/health                                   Health
//
// Every call that acts is a PUT on the hash of what it acts on: the first one
// acts, an equal one returns the stored outcome, also after a restart (of an
// enrolment: the step where it is now), another body is a conflict. GET serves
// recovery. Positions count from 0 in the order of the documents. All []byte members are base64 (RFC 4648 §4) in JSON,
// times are RFC 3339 in UTC. Refusals are *wire.Error.
package sam

import (
	"time"

	"tekend/pdf"
)

// Version is the member v of requests.
const Version = 1

// MaxDocuments is how many documents one confirmation covers. The text that
// itsme shows names the first ones and counts the others (consent.SignText);
// the messages of so many stay below wire.MaxBody.
const MaxDocuments = 250

// Refusal codes (wire.Error.Code). A refusal of an answer is final for its
// confirmation or enrolment unless it is retryable; "again" means that the
// person may be asked again with a new one.
const (
	CodeDeclined           = "declined"             // the person refused
	CodeExpired            = "expired"              // too late, or what became of the code exchange is not known: again
	CodeReplayed           = "replayed"             // this answer was used before
	CodeWrongPerson        = "wrong_person"         // another person answered
	CodeWrongNonce         = "wrong_nonce"          // the token commits to something else
	CodeBadToken           = "bad_token"            // itsme's token, or its redirect, is refused
	CodeCertificateNotGood = "certificate_not_good" // not valid, not qualified, not what was ordered, not good at the ca; retryable when the ca does not answer
	CodeCredentialUnknown  = "credential_unknown"   // no such credential, or its record was changed
	CodeAttributesRefused  = "attributes_refused"   // label, digest, signed attributes or certificate do not fit together
	CodeTimeStampRequired  = "time_stamp_required"  // a one-time key signs only with a time-stamp of the last minute over the manifest; nothing was used up: again with a fresh one
	CodeBurnt              = "burnt"                // a position was used and its value is not known; it never is again
	CodeNotAuthorized      = "not_authorized"       // no such confirmation or session, or the session is over
	CodeElsewhere          = "elsewhere"            // another instance of the role asked this question, or is at the same act; nothing was done here; retryable
	CodeBeforeStart        = "before_start"         // made before this process started: again
	CodeClock              = "clock"                // the role's clock is before its record; retryable
	CodeOngoingCall        = "ongoing_call"         // the person was on the phone: again, after hanging up
	CodeSignerMinor        = "signer_minor"         // not shown to be 18 or older
	CodeIdentityMismatch   = "identity_mismatch"    // the two legs show two persons, or a claim is absent
	CodeItsmeUnreachable   = "itsme_unreachable"    // itsme did not answer, nothing was used up; retryable
	CodeHSMBusy            = "hsm_busy"             // nothing was signed; retryable
	CodeHSMFailed          = "hsm_failed"           // nothing was signed; retryable
	CodeEnrolmentUnknown   = "enrolment_unknown"    // no such enrolment
	CodeNotSigned          = "not_signed"           // there is evidence only of a confirmation whose every position is signed
	CodeLocked             = "locked"               // the role was put back in time; two operators must decide
	CodeUnwitnessed        = "unwitnessed"          // no witness has said yet that it was not; retryable
	CodeOrderRequired      = "order_required"       // only orders that their provider has signed are taken
	CodeOrderRefused       = "order_refused"        // the provider's order does not verify, or is of other documents
	CodeHashOrdersRefused  = "hash_orders_refused"  // orders of bare digests are not taken here, or only when their provider has signed them
	CodeConflict           = "conflict"             // another body for the same path, or not at this step
	CodeKeyTypeEnded       = "key_type_ended"       // the algorithm of new keys ends too soon for a certificate; operators must configure another kind
	CodeSuspended          = "suspended"            // operators look into a credential of this person, who gets no other one meanwhile
	CodeWrongCode          = "wrong_code"           // of the emergency channel, in the audit alone
	CodeNotApproved        = "not_approved"         // two operators have not approved this act, or did for another one
	CodeActRefused         = "act_refused"          // the act does not fit the credential's state, or its id was used
	CodeBadRequest         = "bad_request"          // the message is not of the contract
)

// Algorithms of values: the family of the credential's key with the hash of the
// confirmation's documents (Document.Alg).
const (
	ECDSAWithSHA256 = "ecdsa-with-SHA256"       // P-256, P-384: DER Ecdsa-Sig-Value (RFC 3279 §2.2.3)
	ECDSAWithSHA384 = "ecdsa-with-SHA384"       // the same, over SHA-384
	ECDSAWithSHA512 = "ecdsa-with-SHA512"       // the same, over SHA-512
	RSAWithSHA256   = "sha256WithRSAEncryption" // PKCS #1 v1.5 (RFC 8017 §8.2)
	RSAWithSHA384   = "sha384WithRSAEncryption"
	RSAWithSHA512   = "sha512WithRSAEncryption"
	PSSWithSHA256   = "RSASSA-PSS-SHA256" // MGF1 with the same hash, a salt of its length (RFC 8017 §8.1)
	PSSWithSHA384   = "RSASSA-PSS-SHA384"
	PSSWithSHA512   = "RSASSA-PSS-SHA512"
)

// Document is one document to be signed. Alg is "SHA-256", "SHA-384" or
// "SHA-512", one for all documents of a confirmation; it need not be the one
// that the credential usually signs by. Digest is by Alg: for a PDF, of the
// ByteRange of the prepared document. SignedAttrs is the DER SET OF (tag 0x31)
// whose digest by Alg is signed, of the PAdES or the CAdES form (package cms):
// its messageDigest equals Digest, its algorithm has the hash Alg, a signing-time
// is within 10 minutes of the role's clock. Base is there when Order is and the
// document is a PDF that was prepared here: it ties Digest to the file that the
// provider ordered. Hash says that only the digest was ordered and the document
// was not seen; it holds for all documents of a confirmation or for none. Every
// document with Order and without Base must say so.
type Document struct {
	Label       string    `json:"label"`
	Alg         string    `json:"alg"`
	Digest      []byte    `json:"digest"`
	SignedAttrs []byte    `json:"signed_attrs"`
	Base        *pdf.Base `json:"base,omitempty"`
	Hash        bool      `json:"hash,omitempty"`
}

// PrepareRequest asks for a confirmation of 1 to MaxDocuments documents, in
// this order. PUT /v1/preparations/{hash of the body} → Prepared.
type PrepareRequest struct {
	V          int        `json:"v"`
	Txn        string     `json:"txn"` // the front's id of the request, opaque
	Credential string     `json:"credential"`
	Language   string     `json:"language"` // of the text: en, nl
	Documents  []Document `json:"documents"`
	// Order is the order that the provider signed (package order), Provider the
	// name under which operators registered its keys. Both or none.
	Provider string `json:"provider,omitempty"`
	Order    string `json:"order,omitempty"`
}

// Prepared is what the person will be asked. Nonce names the confirmation in
// all later calls. State is the parameter that itsme's redirect brings back.
type Prepared struct {
	Nonce            string    `json:"nonce"`
	Manifest         []byte    `json:"manifest"` // exact bytes
	CheckCode        string    `json:"check_code"`
	Text             string    `json:"text"`
	AuthorizationURL string    `json:"authorization_url"`
	State            string    `json:"state"`
	ExpiresAt        time.Time `json:"expires_at"`
}

// Answer is what itsme's redirect carried: a code or an error, exactly one.
type Answer struct {
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
}

// Session is a consumed confirmation. PUT
// /v1/confirmations/{nonce}/authorization (Answer) → Session.
type Session struct {
	ID        string    `json:"id"`
	Positions int       `json:"positions"` // 0 to Positions-1
	ExpiresAt time.Time `json:"expires_at"`
	// Stamp is the SHA-256 (of the manifest) over which SignRequest.TimeStamp must
	// be; empty when the credential needs none.
	Stamp []byte `json:"stamp,omitempty"`
}

// SignRequest asks for the values of positions. PUT
// /v1/confirmations/{nonce}/signatures/{hash of the body} → Signed.
type SignRequest struct {
	Session   string `json:"session"`
	Positions []int  `json:"positions"`
	// TimeStamp is an RFC 3161 token over Session.Stamp, genTime within a minute
	// of the role's clock and before the certificate's end. Required for one-time
	// credentials, and for others there must be none.
	TimeStamp []byte `json:"time_stamp,omitempty"`
}

// Value is a signature value over the digest, by its algorithm's hash, of a
// document's signed attributes.
type Value struct {
	Position  int    `json:"position"`
	Algorithm string `json:"algorithm"` // of the credential's family, with the hash of the confirmation's documents
	Value     []byte `json:"value"`
}

// Signed holds every value of the confirmation once all positions are signed;
// before that it is empty.
type Signed struct {
	Values []Value `json:"values"`
}

// States of a confirmation.
const (
	StatePrepared   = "prepared"
	StateAuthorized = "authorized"
	StateDeclined   = "declined"
	StateFailed     = "failed"
	StateExpired    = "expired"
)

// States of a position.
const (
	PositionFree    = "free"
	PositionBurnt   = "burnt" // in use now
	PositionSigned  = "signed"
	PositionUnknown = "unknown" // whether the key was used is not known: it never is again
)

// States of a credential. Only an active one signs. From revoked there is no
// way back.
const (
	CredentialActive    = "active"
	CredentialBlocked   = "blocked"
	CredentialSuspended = "suspended" // operators look into something; the certificate's status is not touched
	CredentialRevoked   = "revoked"   // its key is destroyed soon
	CredentialDestroyed = "destroyed" // revoked, and there is no key any more
)

// Status is what is known of a confirmation. GET /v1/confirmations/{nonce}.
type Status struct {
	State     string           `json:"state"` // prepared authorized declined failed expired
	Session   *Session         `json:"session,omitempty"`
	Positions []PositionStatus `json:"positions"`
	Reason    string           `json:"reason,omitempty"` // a refusal code, when failed
}

// PositionStatus is free, burnt (in use now), signed or unknown (burnt, and
// whether the key was used is not known: it never is again). Value is there
// only when every position is signed.
type PositionStatus struct {
	Position int    `json:"position"`
	State    string `json:"state"`
	Value    *Value `json:"value,omitempty"`
}

// MaxEvidence bounds an Evidence, in bytes of JSON: a bundle (consent.MaxBundle)
// in base64. It is the one message that may be longer than wire.MaxBody.
const MaxEvidence = 6 << 20

// Evidence is the evidence bundle of a confirmation, without time-stamps: the
// exact bytes of consent.Bundle in its canonical form (docs/evidence.md). GET
// /v1/confirmations/{nonce}/evidence. The role keeps what it is made of; a
// later answer may hold another checkpoint.
type Evidence struct {
	Bundle []byte `json:"bundle"`
}

// EnrolRequest starts an enrolment. PUT /v1/enrolments/{hash of the body} →
// EnrolStep; the hash is the enrolment's id.
type EnrolRequest struct {
	V            int    `json:"v"`
	Txn          string `json:"txn"`
	Language     string `json:"language"`
	TermsVersion string `json:"terms_version"`
	TermsSHA256  []byte `json:"terms_sha256"`
	// OneTime asks for a credential for one confirmation (TS 119 431-1
	// LNK-6.2.2-03B): its key is always new, its session ends 30 minutes after the
	// identification, and then the key is destroyed.
	OneTime bool `json:"one_time,omitempty"`
}

// Steps of an enrolment.
const (
	StepIdentify = "identify" // the person must identify: AuthorizationURL, State
	StepConsent  = "consent"  // the person must confirm: AuthorizationURL, State
	StepIssue    = "issue"    // the order must be carried to the CA
	StepDone     = "done"     // Credential is active
	StepExisting = "existing" // the person had a credential already
	StepFailed   = "failed"   // Reason says why
)

// EnrolStep is where an enrolment stands. GET /v1/enrolments/{id}; PUT
// …/identification and …/consent (Answer); PUT …/certificate (CertificateChain).
type EnrolStep struct {
	ID               string      `json:"id"`
	Step             string      `json:"step"`
	AuthorizationURL string      `json:"authorization_url,omitempty"`
	State            string      `json:"state,omitempty"`
	ExpiresAt        time.Time   `json:"expires_at,omitzero"`
	Order            *IssueOrder `json:"order,omitempty"`
	Credential       *Credential `json:"credential,omitempty"`
	Reason           string      `json:"reason,omitempty"`
}

// IssueOrder is what the CA needs to issue the certificate; it checks all of
// it itself. The tokens are the inner, signed ID tokens (compact JWS).
type IssueOrder struct {
	Application            []byte `json:"application"`
	CSR                    []byte `json:"csr"` // DER PKCS#10
	IdentificationManifest []byte `json:"identification_manifest"`
	ConsentManifest        []byte `json:"consent_manifest"`
	IdentificationToken    string `json:"identification_token"`
	ConsentToken           string `json:"consent_token"`
}

// CertificateChain is DER, the person's certificate first.
type CertificateChain struct {
	Chain [][]byte `json:"chain"`
}

// Credential is a person's key with its certificate. GET /v1/credentials/{id}.
type Credential struct {
	ID        string   `json:"id"`
	State     string   `json:"state"` // active blocked suspended revoked destroyed
	Chain     [][]byte `json:"chain"`
	KeyType   string   `json:"key_type"`  // P-256 P-384 RSA-3072 RSA-3072-PSS
	Algorithm string   `json:"algorithm"` // the usual one: ecdsa-with-SHA256 ecdsa-with-SHA384 sha256WithRSAEncryption RSASSA-PSS-SHA256
	// SessionEnds is when a one-time credential ends; zero for others.
	SessionEnds time.Time `json:"session_ends,omitzero"`
	// Renew: it may still be used, but a new order should enrol anew, because its
	// certificate ends soon or its key is under a key-encryption key that is
	// going away. An enrolment then makes a new one.
	Renew bool `json:"renew,omitempty"`
}

// MaxSiblings is how many credentials of one person are told, the newest first.
const MaxSiblings = 50

// Credentials are the credentials of one person: of the same (iss, aud, sub) at
// itsme, never of the same name. GET /v1/credentials/{id}/siblings, with {id}
// among them.
type Credentials struct {
	Credentials []Sibling `json:"credentials"`
}

// Sibling is one of them.
type Sibling struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`       // as Credential.State
	Certificate []byte    `json:"certificate"` // DER
	Created     time.Time `json:"created"`
	OneTime     bool      `json:"one_time,omitempty"`
	Renew       bool      `json:"renew,omitempty"`
}

// Health says whether the role can sign now. GET /v1/health.
type Health struct {
	Ready     bool     `json:"ready"`
	Certified bool     `json:"certified"` // by EN 419 241-2; ours is not
	Reasons   []string `json:"reasons,omitempty"`
	Notes     []string `json:"notes,omitempty"` // what operators should know though the role works
}
