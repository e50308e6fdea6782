package signer

import (
	"time"

	"tekend/pdf"
)

// State is where a signing request stands (house §3). Only store.Advance changes it.
type State string

// The states of a request, in the words of names.md. The last four are ends.
const (
	Created    State = "created"    // documents are stored; the person is not known yet
	Identified State = "identified" // the person has a credential
	Prepared   State = "prepared"   // every byte that will be signed is fixed
	Confirmed  State = "confirmed"  // the SAM holds the person's proven will; the key was not used
	Activating State = "activating" // the SAM was asked to use the key: unknown whether it did
	Signed     State = "signed"     // the signature values are in our database
	Finished   State = "finished"   // the signed documents can be downloaded
	Declined   State = "declined"   // the person said no
	Expired    State = "expired"    // nobody confirmed in time
	Failed     State = "failed"     // see Failure
)

// End says that a request in this state never changes again.
func (s State) End() bool {
	return s == Finished || s == Declined || s == Expired || s == Failed
}

// open says that nothing was confirmed yet: the request may still be declined or expire.
func (s State) open() bool { return s == Created || s == Identified || s == Prepared }

// Record is a signing request as the store keeps it: plain data, so that every step can go on after
// a restart. It is not for the outside; see Request.
type Record struct {
	ID, Client  string
	State       State
	Version     int64  // counts the writes; the second half of the compare-and-swap
	Token       string // of the signing page; 256 bits, base64url
	Level       string // ordered: B-B, B-T, B-LT or B-LTA
	Language    string // en or nl
	Reference   string // the client's own opaque name of the person, or ""
	RedirectURL string
	CreatedAt   time.Time
	ExpiresAt   time.Time
	NextAt      time.Time // when the worker looks again; zero: only when something happens
	Progress    Progress
	Documents   []Document // without their Work unless the look-up asked for it
	Events      []Event
	Holds       [][]byte // SHA-256 of documents whose next revision is this request's alone until it ends; stored by Insert and with Change.Digests, not loaded
	Continues   bool     // Holds are of documents that the order names as the newest; for Insert alone
	Once        *Once    // the client's idempotency key; stored by Insert, loaded (its Digest) by Lookup.Key
}

// Progress is what the steps have learned so far.
type Progress struct {
	Format       string        `json:"format,omitempty"`       // cades; "" is pades
	Packaging    string        `json:"packaging,omitempty"`    // attached; "" is detached
	Hashes       bool          `json:"hashes,omitempty"`       // the documents are bare digests
	Later        *Later        `json:"later,omitempty"`        // which come after the order
	Visible      []Visible     `json:"visible,omitempty"`      // as ordered, with texts
	Terms        string        `json:"terms,omitempty"`        // version that the person accepted
	SignedOrder  string        `json:"signed_order,omitempty"` // of the provider, as it came
	OneTime      bool          `json:"one_time,omitempty"`     // the credential is for this request alone, and its key is destroyed after it
	SessionEnds  time.Time     `json:"session_ends,omitzero"`  // of a one-time credential, from state identified on
	Enrolment    *Enrolment    `json:"enrolment,omitempty"`
	Credential   string        `json:"credential,omitempty"` // id, from state identified on
	Chain        [][]byte      `json:"chain,omitempty"`      // DER, leaf first, from state identified on
	Algorithm    string        `json:"algorithm,omitempty"`  // how its key signs (sam.Credential), from state identified on
	Confirmation *Confirmation `json:"confirmation,omitempty"`
	Answer       *Answer       `json:"answer,omitempty"`     // came from itsme, not yet taken by the SAM
	Session      *Session      `json:"session,omitempty"`    // from state confirmed on
	Viewer       []byte        `json:"viewer,omitempty"`     // hash of what the browser holds whose answer confirmed (ViewerOf)
	SignedAt     time.Time     `json:"signed_at,omitzero"`   // start of state signed
	Attempts     int           `json:"attempts,omitempty"`   // of the step under way; 0 after each success
	Tries        int           `json:"tries,omitempty"`      // enrolments and preparations made so far; makes each txn new
	AskedAgain   time.Time     `json:"asked_again,omitzero"` // when the person last wished for a new question
	Notice       *Error        `json:"notice,omitempty"`     // why the step under way waits, or why the person is asked again
	Failure      *Error        `json:"failure,omitempty"`    // in the ends other than finished
}

// Enrolment is the way to a credential as the SAM last told it.
type Enrolment struct {
	ID        string    `json:"id"`
	Step      string    `json:"step"` // identify, consent or issue
	URL       string    `json:"url,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Confirmation is what the SAM prepared for the person to confirm.
type Confirmation struct {
	Nonce     string    `json:"nonce"`
	CheckCode string    `json:"check_code"`
	Text      string    `json:"text"`
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Answer is what itsme's redirect carried, kept until the SAM has taken it. Exactly one of Code and
// Error is set. The code is worthless without the SAM's code verifier and client key.
type Answer struct {
	Kind      string    `json:"kind"`    // a Kind… constant
	Subject   string    `json:"subject"` // enrolment id or nonce
	Code      string    `json:"code,omitempty"`
	Error     string    `json:"error,omitempty"`
	ExpiresAt time.Time `json:"expires_at"` // of the enrolment or confirmation it answers
}

// Session is the SAM's permission to sign once what was confirmed.
type Session struct {
	ID        string    `json:"id"`
	Nonce     string    `json:"nonce"`
	ExpiresAt time.Time `json:"expires_at"`
	Stamp     []byte    `json:"stamp,omitempty"` // what must be time-stamped before the SAM signs (sam.Session)
}

// Document is one document of a request.
type Document struct {
	ID     string
	Name   string // file name as given
	Label  string // as itsme shows it (itsme §3.3)
	Size   int64  // bytes, as ordered; 0 when only a digest was ordered
	SHA256 []byte // as ordered; nil when only a digest was ordered
	Blob   string // opaque name of the uploaded bytes in the blob store; "" when only a digest was ordered
	// DigestAlgorithm and Digest are what was ordered when it was a bare digest ([OrderedDigest]); nil until it has come.
	DigestAlgorithm string
	Digest          []byte
	// Behind are the updates of earlier requests that stand behind the blob: blob and Behind together have Size bytes.
	// Loaded with Work.
	Behind []byte
	// Prefix is the state of SHA-256 behind the whole blob (pdf.Prefix as JSON, opaque to the store), so that nobody reads
	// it all to go on from there; nil when it is not known. Loaded with Work.
	Prefix []byte
	Level  string // reached, from state finished on
	Work   *Work  // nil before state prepared
}

// Work is what the steps made of a document. Everything that came from a partner stands here before it is used, so that a
// crash asks nobody twice. Base and updates are joined only while somebody reads.
type Work struct {
	Prepared    pdf.Prepared  `json:"prepared,omitzero"` // of a PDF
	SignedAttrs []byte        `json:"signed_attrs"`      // DER SET OF
	Value       []byte        `json:"value,omitempty"`
	Algorithm   string        `json:"algorithm,omitempty"`  // of Value, as the SAM names it
	TimeStamp   []byte        `json:"time_stamp,omitempty"` // over Value, from B-T on
	Material    *pdf.Material `json:"material,omitempty"`   // what proves the certificates, made after TimeStamp; from B-LT on
	Archive     *Archive      `json:"archive,omitempty"`    // until state finished; of B-LTA
	// In state finished, what was made: for a PDF its final update; for cades and for bare digests the CMS, of an attached
	// one without the file: Before and After.
	Update []byte `json:"update,omitempty"`
	CMS    []byte `json:"cms,omitempty"`
	Before []byte `json:"before,omitempty"`
	After  []byte `json:"after,omitempty"`
}

// Archive is the time-stamp over everything, on its way.
type Archive struct {
	Updates   []byte       `json:"updates,omitempty"`    // of a PDF: signature and DSS dictionary, what the document time-stamp stands behind
	Prepared  pdf.Prepared `json:"prepared,omitzero"`    // of a PDF: the document time-stamp with its empty space
	HashIndex []byte       `json:"hash_index,omitempty"` // of cades: ATSHashIndexV3
	Imprint   []byte       `json:"imprint"`
	Token     []byte       `json:"token,omitempty"`
}

// Event is one entry of a request's history.
type Event struct {
	ID   string // evt_ and a UUIDv7
	At   time.Time
	Type string // signature_request.<state>
}

// Kinds of callback: which call of the SAM takes the answer.
const (
	KindIdentification = "identification"
	KindConsent        = "consent"
	KindConfirmation   = "confirmation"
)

// Callback says what an itsme state parameter, which the SAM made, belongs to.
type Callback struct {
	State     string // the parameter itself; the store keeps its hash
	Request   string
	Kind      string
	Subject   string // enrolment id or nonce
	ExpiresAt time.Time
	Used      bool
}

// Change is one write to a request. It happens only if the request is still in state Was and at
// Now.Version; all of it or nothing, durable when Advance returns nil.
type Change struct {
	Was     State
	Now     *Record
	Works   bool      // write Now.Documents[].Work too
	Expect  *Callback // a new state parameter to be known from now on
	Abandon bool      // state parameters that are known and not used lead to ErrStateExpired from now on
	Use     string    // state parameter that this change uses up; ErrConflict if it was used before
	Bind    bool      // from now on (client, reference) has credential Now.Progress.Credential; "" removes it
	Digests bool      // write Now.Documents[].Digest too, and take Now.Holds or return *HeldError as Insert does
	Event   *Event    // set by signer when the state changes
}

// Lookup says which request is meant: exactly one of ID, Token and Key is set.
type Lookup struct {
	ID, Token string
	Key       string // idempotency key of Client
	Client    string // with Key only
	Works     bool   // load Documents[].Work too
	Work      int    // load the Work of this document, from 1, and of no other: each is as large as the update of a PDF
}
