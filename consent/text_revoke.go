package consent

import (
	"errors"
	"fmt"
	"time"
)

// reasonCodes are the reasons that a person may give for a revocation, as RFC
// 5280 §5.3.1 names and numbers them. Others are for operators.
var reasonCodes = map[string]int{"unspecified": 0, "keyCompromise": 1, "superseded": 4, "cessationOfOperation": 5}

// DefaultReason is the reason of somebody who gives none.
const DefaultReason = "unspecified"

// ReasonCode is the number (RFC 5280 §5.3.1) of a reason that a person may give
// for a revocation: unspecified, keyCompromise, superseded, cessationOfOperation.
func ReasonCode(name string) (int, error) {
	code, ok := reasonCodes[name]
	if !ok {
		return 0, errors.New("reason must be unspecified, keyCompromise, superseded or cessationOfOperation")
	}
	return code, nil
}

// Revocation is what a person revokes. Serial is the serial number of the
// certificate in lower-case hex and NotAfter its end; without them it is every
// certificate of whoever answers.
type Revocation struct {
	Serial   string
	NotAfter time.Time
	Reason   string
}

// revokeWords are the texts of one language.
type revokeWords struct {
	one, all, which, effect string
	reasons                 map[string]string
}

var revokeLanguages = map[string]revokeWords{
	"en": {
		one: "<b>Revoke my certificate for electronic signatures</b>", all: "<b>Revoke all my certificates for electronic signatures</b>",
		which:  "<br>Certificate %s, valid until %s.",
		effect: "<br>This cannot be undone. My key is destroyed. What I signed before stays valid.",
		reasons: map[string]string{
			"unspecified": "", "keyCompromise": "<br>Reason: somebody else may have used it.",
			"superseded": "<br>Reason: I have another one.", "cessationOfOperation": "<br>Reason: I do not need it any more.",
		},
	},
	"nl": {
		one: "<b>Herroep mijn certificaat voor elektronische handtekeningen</b>", all: "<b>Herroep al mijn certificaten voor elektronische handtekeningen</b>",
		which:  "<br>Certificaat %s, geldig tot %s.",
		effect: "<br>Dit kan niet ongedaan worden gemaakt. Mijn sleutel wordt vernietigd. Wat ik eerder ondertekende, blijft geldig.",
		reasons: map[string]string{
			"unspecified": "", "keyCompromise": "<br>Reden: iemand anders heeft het misschien gebruikt.",
			"superseded": "<br>Reden: ik heb een ander.", "cessationOfOperation": "<br>Reden: ik heb het niet meer nodig.",
		},
	},
}

// RevokeText is the text with which a person revokes. It says what is revoked,
// that there is no way back, and why. lang is en or nl.
func RevokeText(lang string, r Revocation) (string, error) {
	w, ok := revokeLanguages[lang]
	if !ok {
		return "", errors.New("text: language must be en or nl")
	}
	reason, ok := w.reasons[r.Reason]
	if !ok {
		return "", fmt.Errorf("text: there is no reason %q", r.Reason)
	}
	if r.Serial == "" {
		return finish(w.all + w.effect + reason)
	}
	if l, err := Label(r.Serial); err != nil || l != r.Serial || r.NotAfter.IsZero() {
		return "", errors.New("text: serial number and end are needed, the number in hex")
	}
	return finish(w.one + fmt.Sprintf(w.which, r.Serial, r.NotAfter.UTC().Format(time.DateOnly)) + w.effect + reason)
}
