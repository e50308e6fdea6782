package token

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tekend/strictjson"
)

// known are the claims that are read here; none of them may come in another
// spelling beside or instead of its own.
var known = []string{
	"iss", "aud", "sub", "nonce", "acr", "iat", "exp", "nbf", "azp",
	ClaimName, ClaimGivenName, ClaimFamilyName, ClaimBirthdate, ClaimAgeGTE18, ClaimBirthdateText, ClaimDocumentSN,
	ClaimDocumentType, ClaimIssuingCountry, ClaimIdentificationMode, ClaimOngoingCall, ClaimTransactionIP,
	ClaimEmail, ClaimLocale, ClaimAccount, ClaimNationalNumber,
}

func caseVariant(members map[string]json.RawMessage) bool {
	for name := range members {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return true
			}
		}
	}
	return false
}

// reader reads members by their exact names and remembers whether one had a
// wrong type. A JSON null counts as absent.
type reader struct {
	members       map[string]json.RawMessage
	bad           bool
	wrongAudience bool
}

func (r *reader) get(name string) json.RawMessage {
	if v := r.members[name]; string(v) != "null" {
		return v
	}
	return nil
}

func (r *reader) has(name string) bool { return r.get(name) != nil }

func (r *reader) str(name string) string {
	v := r.get(name)
	if v == nil {
		return ""
	}
	s, ok := text(v)
	r.bad = r.bad || !ok
	return s
}

// audience is a single string; itsme never sends a list (specs/itsme.md §1.10),
// and a list would make a token good for more than one client.
func (r *reader) audience() string {
	v := r.get("aud")
	if s, ok := text(v); ok {
		return s
	}
	r.wrongAudience = true
	return ""
}

func (r *reader) boolean(name string) *bool {
	switch string(r.get(name)) {
	case "true":
		return new(true)
	case "false":
		return new(false)
	case "":
	default:
		r.bad = true
	}
	return nil
}

// time is NumericDate in whole seconds (RFC 7519 §2).
func (r *reader) time(name string, must bool) time.Time {
	v := r.get(name)
	if v == nil {
		r.bad = r.bad || must
		return time.Time{}
	}
	// 12 digits reach the year 33658; more can only be a mistake.
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || len(v) > 12 || n < 0 {
		r.bad = true
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func (r *reader) person() Claims {
	return Claims{
		Name: r.str(ClaimName), GivenName: r.str(ClaimGivenName), FamilyName: r.str(ClaimFamilyName),
		Birthdate: r.str(ClaimBirthdate), BirthdateText: r.str(ClaimBirthdateText),
		DocumentSN: r.str(ClaimDocumentSN), DocumentType: r.str(ClaimDocumentType),
		IssuingCountry: r.country(), IdentificationMode: r.str(ClaimIdentificationMode),
		TransactionIP: r.str(ClaimTransactionIP),
		Email:         r.str(ClaimEmail), Locale: r.str(ClaimLocale),
		Activation: r.activation(), NationalNumber: r.str(ClaimNationalNumber),
		AgeGTE18: r.boolean(ClaimAgeGTE18), OngoingCall: r.boolean(ClaimOngoingCall),
	}
}

// country reads the metadata claim IDIssuingCountry: an object keyed by the
// attributes asked in the same call (specs/itsme.md §2.4). The entry of the
// document number counts; without it all entries must agree.
func (r *reader) country() string {
	v := r.get(ClaimIssuingCountry)
	if v == nil {
		return ""
	}
	if s, ok := text(v); ok {
		return s
	}
	byAttribute := map[string]string{}
	if err := strictjson.Decode(v, maxText, &byAttribute); err != nil {
		r.bad = true
		return ""
	}
	if s, ok := byAttribute[ClaimDocumentSN]; ok && clean(s) {
		return s
	}
	country := ""
	for _, s := range byAttribute {
		if (country != "" && s != country) || !clean(s) {
			r.bad = true
			return ""
		}
		country = s
	}
	return country
}

// activation reads activationMechanism of the claim account. Another member
// may come any day; what is not an object says nothing.
func (r *reader) activation() string {
	var account struct {
		Mechanism string `json:"activationMechanism"`
	}
	v := r.get(ClaimAccount)
	if v == nil || strictjson.DecodeLoose(v, maxText, &account) != nil || !clean(account.Mechanism) {
		return ""
	}
	return account.Mechanism
}

// clean refuses control and formatting characters: no name has them, and they
// can make a text show something else than it holds.
func clean(s string) bool {
	for _, c := range s {
		if unicode.Is(unicode.C, c) {
			return false
		}
	}
	return true
}
