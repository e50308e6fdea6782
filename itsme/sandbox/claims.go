package sandbox

import (
	"net"
	"strings"
	"time"

	"tekend/itsme/token"
)

const prefix = token.Prefix

// scopeClaims is which claims a scope puts into UserInfo (specs/itsme.md §2.2).
var scopeClaims = map[string][]string{
	"profile":    {"family_name", "given_name", "name", "gender", "locale", "birthdate"},
	"email":      {"email", "email_verified"},
	"address":    {"address"},
	"phone":      {"phone_number", "phone_number_verified"},
	"eid":        {prefix + "BENationalNumber", prefix + "BEeidSn"},
	"idDocument": {prefix + "IDDocumentSN", prefix + "IDDocumentType", prefix + "IDIssuingCountry", prefix + "validityFrom", prefix + "validityTo"},
}

// documentClaims are the attributes read from an identity document, which
// metadata claims can be about.
var documentClaims = []string{
	"name", "given_name", "family_name", "birthdate", prefix + "birthdate_as_string", "gender", prefix + "claim_citizenship",
	prefix + "BEeidSn", prefix + "BENationalNumber", prefix + "IDDocumentSN", prefix + "IDDocumentType",
}

// metadata says about which attributes a metadata claim speaks
// (specs/itsme.md §2.4).
var metadata = map[string][]string{
	prefix + "IDIssuingCountry":  documentClaims,
	prefix + "issuance_locality": documentClaims,
	prefix + "verificationDate":  documentClaims,
	prefix + "validityFrom":      {prefix + "BEeidSn", prefix + "IDDocumentSN"},
	prefix + "validityTo":        {prefix + "BEeidSn", prefix + "IDDocumentSN"},
}

// circumstances are those of one approval.
type circumstances struct {
	now  time.Time
	mode string // identification_mode
	ip   string // of the approving device
	call bool
}

// all returns every claim that exists for a person; the absent ones are not in
// the map (SB-49: never null).
func (q *person) all(c circumstances) map[string]any {
	born := q.birthdate(c.now)
	age := q.ageAt(c.now)
	m := map[string]any{
		"name": q.fullName(), "family_name": q.family, "birthdate": born.Format(time.DateOnly), "gender": q.gender, "locale": q.locale,
		"age_gte_16": age >= 16, "age_gte_18": age >= 18, "age_gte_21": age >= 21, "age_gte_30": age >= 30,
		"phone_number": q.phone, "phone_number_verified": true,
		prefix + "claim_citizenship": q.nationality, prefix + "IDDocumentSN": q.documentSN(), prefix + "IDDocumentType": q.docType,
		prefix + "official_gender":     strings.ToUpper(q.gender[:1]),
		prefix + "identification_mode": c.mode, prefix + "transaction_ip": c.ip, prefix + "ongoing_call": c.call,
		prefix + "account": map[string]any{"activationDate": "2024-01-15T10:00:00Z", "activationMechanism": "CARD_READER"},
		prefix + "app":     map[string]any{"appInstalledDate": "2024-01-15T09:00:00Z", "appName": "SIMULATION", "appRelease": "0"},
		prefix + "claim_device": map[string]any{
			"os": "SIMULATION", "appName": "SIMULATION", "appRelease": "0", "deviceLabel": "simulated phone", "rooted": "false",
		},
	}
	if q.given != "" {
		m["given_name"] = q.given
	}
	if q.email != "" {
		m["email"], m["email_verified"] = q.email, false
	}
	if q.belgian() {
		m[prefix+"birthdate_as_string"] = born.Format("02.01.2006")
		m[prefix+"BEeidSn"] = q.documentSN()
		m[prefix+"BENationalNumber"] = q.nationalNumber(c.now)
		code, place, _ := strings.Cut(q.place, " ")
		m["address"] = map[string]any{
			"formatted": q.street + "\n" + q.place, "street_address": q.street, "postal_code": code, "locality": place,
		}
	}
	return m
}

// metaValue is the value of a metadata claim for one attribute.
func (q *person) metaValue(claim string) (string, bool) {
	switch claim {
	case prefix + "IDIssuingCountry":
		return q.country, true
	case prefix + "issuance_locality":
		_, place, ok := strings.Cut(q.place, " ")
		return place, ok && q.belgian()
	case prefix + "verificationDate":
		return "2024-01-15T10:00:00Z", true
	case prefix + "validityFrom":
		return "2022-03-01T00:00:00Z", q.belgian()
	case prefix + "validityTo":
		return "2032-03-01T00:00:00Z", true
	}
	return "", false
}

// chosen returns the claims asked by name; metadata claims become objects
// keyed by the attributes asked in the same call, alone they are left out.
func (q *person) chosen(names []string, c circumstances) map[string]any {
	have := q.all(c)
	out := map[string]any{}
	for _, name := range names {
		if v, ok := have[name]; ok {
			out[name] = v
		}
	}
	for _, name := range names {
		about, ok := metadata[name]
		if !ok {
			continue
		}
		value, ok := q.metaValue(name)
		object := map[string]any{}
		for _, attribute := range about {
			if _, asked := out[attribute]; asked && ok {
				object[attribute] = value
			}
		}
		if len(object) > 0 {
			out[name] = object
		}
	}
	return out
}

// host cuts the port off a remote address.
func host(remote string) string {
	h, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return h
}
