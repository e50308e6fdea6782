// Package validate judges signed PDF documents in the words of EN 319 102-1:
// ours before they are released, and others' when we are asked.
//
// A verdict is one [Indication] with reasons; its zero is "unknown". What is
// looked at, for each signature: that ByteRange leaves out exactly the <hex>
// token of this signature and ends with a complete revision; the digest of the
// signed bytes; the signature value; that signing-certificate names the
// certificate used; the rules of PAdES baseline (EN 319 142-1 §6.3); the path
// to a given root; the accepted algorithms; the time-stamp with all that
// belongs to it. The best signature time is that of the verified time-stamp,
// and the certificate must have been valid then.
//
// Not looked at yet: revocation, and what later revisions changed. A signature
// that later bytes follow is reported and does not pass. Only levels B-B and
// B-T are recognised.
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
	FormatFailure            = "FORMAT_FAILURE"
	HashFailure              = "HASH_FAILURE"
	SigCryptoFailure         = "SIG_CRYPTO_FAILURE"
	NotYetValid              = "NOT_YET_VALID"
	SigConstraintsFailure    = "SIG_CONSTRAINTS_FAILURE"
	ChainConstraintsFailure  = "CHAIN_CONSTRAINTS_FAILURE"
	CryptoConstraintsFailure = "CRYPTO_CONSTRAINTS_FAILURE"
	NoSigningCertificate     = "NO_SIGNING_CERTIFICATE_FOUND"
	NoCertificateChain       = "NO_CERTIFICATE_CHAIN_FOUND"
	OutOfBoundsNoPOE         = "OUT_OF_BOUNDS_NO_POE"
	Generic                  = "GENERIC"
)

// The kinds of what is in a signature field.
const (
	KindSignature = "signature"
	KindTimeStamp = "document_time_stamp"
)

// Levels that are recognised.
const (
	LevelBB = "B-B"
	LevelBT = "B-T"
)

// Report is the verdict on a document: the worst of its signatures'. A
// document without one is INDETERMINATE.
type Report struct {
	Indication    Indication        `json:"indication"`
	SubIndication string            `json:"sub_indication,omitempty"`
	Reasons       []string          `json:"reasons,omitempty"`
	Signatures    []SignatureReport `json:"signatures"` // in order of signing
}

// SignatureReport is the verdict on one signature or document time-stamp.
type SignatureReport struct {
	FieldName string `json:"field"`
	Kind      string `json:"kind"`
	SubFilter string `json:"sub_filter,omitempty"`
	// Signer is the common name in the certificate that signing-certificate
	// names; "" when none was found. It means something only with TOTAL_PASSED.
	Signer string `json:"signer,omitempty"`
	// Level is the baseline level that the form has; "" when it has none.
	Level string `json:"level,omitempty"`
	// SignedAt is the claimed time (/M); zero when absent or malformed.
	SignedAt time.Time `json:"signed_at,omitzero"`
	// BestTime is the earliest time at which the signature is proven to have
	// existed: genTime of a verified time-stamp, else the time of validation.
	BestTime time.Time `json:"best_time,omitzero"`
	// TimeStamps are the signature time-stamps, in the order found.
	TimeStamps []TimeStampReport `json:"time_stamps,omitempty"`
	// CoversWholeFile: nothing but the signature itself is outside.
	CoversWholeFile bool `json:"covers_whole_file"`
	// LaterChanges: the signed revision is complete, and bytes follow it.
	LaterChanges bool `json:"later_changes"`

	Indication    Indication `json:"indication"`
	SubIndication string     `json:"sub_indication,omitempty"`
	Reasons       []string   `json:"reasons,omitempty"` // all that was found, not only the gravest
}

// TimeStampReport is what a time-stamp states, and whether it is proven.
type TimeStampReport struct {
	Verified bool      `json:"verified"`
	GenTime  time.Time `json:"gen_time,omitzero"`
	Policy   string    `json:"policy,omitempty"`
	Unit     string    `json:"unit,omitempty"` // common name in the unit's certificate
	Reason   string    `json:"reason,omitempty"`
}

// fail adds a finding; the gravest one becomes the verdict, of equally grave
// ones the first.
func (s *SignatureReport) fail(i Indication, sub, reason string, a ...any) {
	s.Reasons = append(s.Reasons, fmt.Sprintf(reason, a...))
	if i > s.Indication {
		s.Indication, s.SubIndication = i, sub
	}
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
		r.Indication, r.SubIndication = Indeterminate, Generic
		r.Reasons = append(r.Reasons, "the document has no signature")
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
		if verdict > r.Indication {
			r.Indication, r.SubIndication = verdict, s.SubIndication
		}
	}
	if !people && r.Indication == TotalPassed {
		r.Indication, r.SubIndication = Indeterminate, Generic
		r.Reasons = append(r.Reasons, "the document has a time-stamp, but no signature")
	}
}
