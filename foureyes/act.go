package foureyes

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// What operators decide. The sam knows the four about a certificate or its key,
// the ca revoke and retire.
const (
	ActRevoke  = "revoke"  // the certificate, for ever
	ActSuspend = "suspend" // the sam refuses to use the key; the certificate's status stays what it is
	ActResume  = "resume"  // the end of a suspension
	ActDestroy = "destroy" // the key of a revoked credential, in every copy
	ActRetire  = "retire"  // an earlier issuing CA: it signs its last CRL
)

// Reasons of acts: the names of RFC 5280 §5.3.1 that operators may give, with
// their codes, and those that are not about a certificate.
var actReasons = map[string]map[string]int{
	ActRevoke:  {"unspecified": 0, "keyCompromise": 1, "superseded": 4, "cessationOfOperation": 5, "privilegeWithdrawn": 9},
	ActSuspend: {"investigation": 0},
	ActResume:  {"investigationOver": 0, "clockChecked": 0}, // the second: of the tsa's clock
	ActDestroy: {"unspecified": 0},
	ActRetire:  {"cessationOfOperation": 5},
}

// MaxActSubject bounds an act's subject, in bytes: a credential's id has 41, a
// serial number of 20 octets 40 in hex, a SHA-256 64.
const MaxActSubject = 64

// ErrAct says that a text is no act, or of something nobody may decide.
var ErrAct = errors.New("not an act of operators")

// Act is what two operators decide about one certificate or its key. Its text
// is what they sign (Approve). ID is random: the role that acts stores it, so
// that the approvals count once.
type Act struct {
	Act     string // ActRevoke …
	Subject string // id of a credential, serial number of a certificate in lower-case hex, or SHA-256 of the certificate of an issuing CA or of a time-stamping unit
	Reason  string // a name that belongs to Act
	ID      string // random, 26 characters of base 32
}

// NewAct makes an act with an id of its own.
func NewAct(act, subject, reason string) (Act, error) {
	a := Act{Act: act, Subject: subject, Reason: reason, ID: rand.Text()}
	return a, a.check()
}

const actHead = "tekend-act/1"

// String is the text that operators read and sign: five lines.
func (a Act) String() string {
	return fmt.Sprintf("%s\nact: %s\nsubject: %s\nreason: %s\nid: %s\n", actHead, a.Act, a.Subject, a.Reason, a.ID)
}

// Code is the reason as RFC 5280 §5.3.1 numbers it; 0 for acts that revoke nothing.
func (a Act) Code() int { return actReasons[a.Act][a.Reason] }

// ParseAct reads an act. Only the exact text that String writes is one.
func ParseAct(text string) (Act, error) {
	var a Act
	lines := strings.Split(text, "\n")
	if len(text) > MaxText || len(lines) != 6 {
		return a, ErrAct
	}
	for i, field := range []*string{&a.Act, &a.Subject, &a.Reason, &a.ID} {
		_, *field, _ = strings.Cut(lines[i+1], ": ")
	}
	if a.String() != text {
		return Act{}, ErrAct
	}
	return a, a.check()
}

func (a Act) check() error {
	reasons, known := actReasons[a.Act]
	if !known {
		return fmt.Errorf("%w: act must be revoke, suspend, resume, destroy or retire", ErrAct)
	}
	if _, known := reasons[a.Reason]; !known {
		return fmt.Errorf("%w: %q is no reason to %s", ErrAct, a.Reason, a.Act)
	}
	if a.Subject == "" || len(a.Subject) > MaxActSubject || !plain(a.Subject, "-_") {
		return fmt.Errorf("%w: the subject must be a credential's id, a serial number or the SHA-256 of a certificate, in hexadecimal", ErrAct)
	}
	if len(a.ID) != len(rand.Text()) || !plain(a.ID, "") {
		return fmt.Errorf("%w: id must be 26 letters and digits", ErrAct)
	}
	return nil
}

// plain: ASCII letters and digits and what more holds, so that a text looks
// like what it is on every terminal.
func plain(s, more string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte(more, c) >= 0) {
			return false
		}
	}
	return true
}
