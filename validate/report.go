package validate

import (
	"fmt"
	"time"
)

// Indication is the main verdict (EN 319 102-1 §5.1.3). The zero value means
// that nothing was proven.
type Indication int

// The indications, from nothing known to refuted.
const (
	Unknown Indication = iota
	TotalPassed
	Indeterminate
	TotalFailed
)

var indications = [...]string{"UNKNOWN", "TOTAL_PASSED", "INDETERMINATE", "TOTAL_FAILED"}

// String gives the words of the standard, with underscores.
func (i Indication) String() string {
	if i < 0 || int(i) >= len(indications) {
		return indications[Unknown]
	}
	return indications[i]
}

// MarshalText writes [Indication.String].
func (i Indication) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (i *Indication) UnmarshalText(b []byte) error {
	for n, s := range indications {
		if s == string(b) {
			*i = Indication(n)
			return nil
		}
	}
	return fmt.Errorf("validate: no indication %q", b)
}

// Sub-indications (EN 319 102-1 §5.1.3, tables 5 and 6).
const (
	FormatFailure              = "FORMAT_FAILURE"
	HashFailure                = "HASH_FAILURE"
	SigCryptoFailure           = "SIG_CRYPTO_FAILURE"
	NotYetValid                = "NOT_YET_VALID"
	Expired                    = "EXPIRED" // and proven to be signed after that
	Revoked                    = "REVOKED" // and proven to be signed after that
	SigConstraintsFailure      = "SIG_CONSTRAINTS_FAILURE"
	ChainConstraintsFailure    = "CHAIN_CONSTRAINTS_FAILURE"
	CryptoConstraintsFailure   = "CRYPTO_CONSTRAINTS_FAILURE"
	CryptoConstraintsNoPOE     = "CRYPTO_CONSTRAINTS_FAILURE_NO_POE"
	NoSigningCertificate       = "NO_SIGNING_CERTIFICATE_FOUND"
	NoCertificateChain         = "NO_CERTIFICATE_CHAIN_FOUND"
	RevokedNoPOE               = "REVOKED_NO_POE"
	RevokedCANoPOE             = "REVOKED_CA_NO_POE"
	OutOfBoundsNoPOE           = "OUT_OF_BOUNDS_NO_POE"
	OutOfBoundsNotRevoked      = "OUT_OF_BOUNDS_NOT_REVOKED"
	RevocationOutOfBoundsNoPOE = "REVOCATION_OUT_OF_BOUNDS_NO_POE"
	TimeStampOrderFailure      = "TIMESTAMP_ORDER_FAILURE"
	TryLater                   = "TRY_LATER"
	Generic                    = "GENERIC"
)

// The kinds of what is in a signature field.
const (
	KindSignature = "signature"
	KindTimeStamp = "document_time_stamp"
)

// Levels that are recognised (EN 319 142-1 §6).
const (
	LevelBB  = "B-B"
	LevelBT  = "B-T"
	LevelBLT = "B-LT"
	LevelLTA = "B-LTA"
)

// Report is the verdict on a document: the worst of its signatures'. A
// document without one is INDETERMINATE.
type Report struct {
	Indication    Indication        `json:"indication"`
	SubIndication string            `json:"sub_indication,omitempty"`
	Reasons       []string          `json:"reasons,omitempty"`
	Signatures    []SignatureReport `json:"signatures"` // in order of signing
	// NoRevocation: the status of certificates is not part of the verdict,
	// because the caller said that he proves it elsewhere.
	NoRevocation bool `json:"no_revocation,omitempty"`
	// Notes are facts about the document's data that change no verdict.
	Notes []string `json:"notes,omitempty"`
	// ValidatedAt is the time of validation.
	ValidatedAt time.Time `json:"validated_at,omitzero"`
}

// SignatureReport is the verdict on one signature or document time-stamp.
type SignatureReport struct {
	FieldName string `json:"field"`
	Kind      string `json:"kind"`
	SubFilter string `json:"sub_filter,omitempty"`
	// Signer is the common name in the certificate that signing-certificate
	// names; "" when none was found. It means something only with TOTAL_PASSED.
	Signer string `json:"signer,omitempty"`
	// Level is the baseline level that is proven; "" when it has none. B-LT and
	// B-LTA are judged by what the document itself holds.
	Level string `json:"level,omitempty"`
	// SignedAt is the claimed time (/M); zero when absent or malformed.
	SignedAt time.Time `json:"signed_at,omitzero"`
	// BestTime is the earliest time at which the signature is proven to have
	// existed: genTime of a verified time-stamp, else the time of validation.
	BestTime time.Time `json:"best_time,omitzero"`
	// NotBefore is the latest time-stamp that is proven to be older than the
	// signature, because the signature covers it. Zero: none.
	NotBefore time.Time `json:"not_before,omitzero"`
	// TimeStamps are the signature time-stamps, in the order found.
	TimeStamps []TimeStampReport `json:"time_stamps,omitempty"`
	// ArchiveTimeStamps are the verified document time-stamps that cover the
	// signature, oldest first.
	ArchiveTimeStamps []TimeStampReport `json:"archive_time_stamps,omitempty"`
	// Coverage is file, revision, block or unclear; only the first two can pass. ""
	// when only a digest of what a PDF's ByteRange covers is at hand (Data.PDF).
	Coverage string `json:"coverage,omitempty"`
	// CoversWholeFile: nothing but the signature itself is outside.
	CoversWholeFile bool `json:"covers_whole_file"`
	// LaterChanges: the signed revision is complete, and bytes follow it.
	LaterChanges bool `json:"later_changes"`
	// Changes says what later revisions did to the document, in the words of
	// pdf.ChangeLevel; "" when nothing follows.
	Changes string `json:"changes,omitempty"`
	// Path is the accepted path, the signer first, the trust anchor last.
	Path []PathCertificate `json:"path,omitempty"`
	// Revocation are the facts about the certificates of the path and of the
	// time-stamps' paths that the verdict rests on.
	Revocation []RevocationReport `json:"revocation,omitempty"`

	Indication    Indication `json:"indication"`
	SubIndication string     `json:"sub_indication,omitempty"`
	Reasons       []string   `json:"reasons,omitempty"` // all that was found, not only the gravest
	// Notes are facts that change no verdict.
	Notes []string `json:"notes,omitempty"`
}

// PathCertificate is a certificate of an accepted path.
type PathCertificate struct {
	Subject   string    `json:"subject"` // common name, or organisation
	Serial    string    `json:"serial"`  // hexadecimal
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// RevocationReport is what is known of the status of one certificate.
type RevocationReport struct {
	Subject string `json:"subject"` // whose certificate
	// Of says for what the certificate stands: signature or time_stamp.
	Of string `json:"of"`
	// State is good, revoked, not_needed or missing.
	State string `json:"state"`
	Kind  string `json:"kind,omitempty"` // ocsp or crl
	// Source is embedded (in the document), given (with the question) or fetched.
	Source     string    `json:"source,omitempty"`
	ThisUpdate time.Time `json:"this_update,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"`
	ProducedAt time.Time `json:"produced_at,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	Reason     int       `json:"reason,omitempty"`    // RFC 5280 §5.3.1
	Responder  string    `json:"responder,omitempty"` // of a delegated responder
	// ExistedAt is since when the answer or list is proven to exist.
	ExistedAt time.Time `json:"existed_at,omitzero"`
}

// TimeStampReport is what a time-stamp states, and whether it is proven.
type TimeStampReport struct {
	Verified  bool      `json:"verified"`
	GenTime   time.Time `json:"gen_time,omitzero"`
	Policy    string    `json:"policy,omitempty"`
	Unit      string    `json:"unit,omitempty"`      // common name in the unit's certificate
	Field     string    `json:"field,omitempty"`     // of a document time-stamp
	Qualified bool      `json:"qualified,omitempty"` // it says so of itself
	// ExistedAt is since when the token is proven to exist: genTime of a later
	// time-stamp that covers it, else the time of validation.
	ExistedAt time.Time `json:"existed_at,omitzero"`
	Reason    string    `json:"reason,omitempty"`
}

// finding is one objection.
type finding struct {
	indication Indication
	sub        string
	reason     string
}

func found(i Indication, sub, reason string, a ...any) finding {
	return finding{i, sub, fmt.Sprintf(reason, a...)}
}

// add takes findings; the gravest one becomes the verdict, of equally grave
// ones the first.
func (s *SignatureReport) add(list ...finding) {
	for _, f := range list {
		s.Reasons = append(s.Reasons, f.reason)
		if f.indication > s.Indication {
			s.Indication, s.SubIndication = f.indication, f.sub
		}
	}
}

func (s *SignatureReport) fail(i Indication, sub, reason string, a ...any) {
	s.add(found(i, sub, reason, a...))
}

// conclude turns "nothing found" into a pass.
func (s *SignatureReport) conclude() {
	if len(s.Reasons) == 0 && s.Indication == Unknown {
		s.Indication = TotalPassed
	}
}

// conclude makes the verdict on the document.
func (r *Report) conclude() {
	if len(r.Signatures) == 0 {
		r.worse(Indeterminate, Generic)
		if len(r.Reasons) == 0 {
			r.Reasons = append(r.Reasons, "the document has no signature")
		}
		return
	}
	people := false
	for i := range r.Signatures {
		s := &r.Signatures[i]
		people = people || s.Kind == KindSignature
		verdict := s.Indication
		if verdict == Unknown {
			verdict = Indeterminate
		}
		r.worse(verdict, s.SubIndication)
	}
	if !people && r.Indication == TotalPassed {
		r.Indication, r.SubIndication = Indeterminate, Generic
		r.Reasons = append(r.Reasons, "the document has a time-stamp, but no signature")
	}
}

func (r *Report) worse(i Indication, sub string) {
	if i > r.Indication {
		r.Indication, r.SubIndication = i, sub
	}
}
