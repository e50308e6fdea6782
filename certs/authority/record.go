package authority

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/itsme/token"
	"tekend/wire"
)

// RecordVersion stands in every identity record.
const RecordVersion = "tekend-identity/1"

// Record is the identity record of one order (TS 119 461 ISS-8.5.2, EN 319 411-1
// REG-6.3.4): who was proofed, by whom, how, from what, when and at which level,
// by which rules, and what he agreed to. It names nobody: the person's data are
// in the kept tokens alone, and the record holds the digests of all that is kept.
// The SHA-256 of its JSON stands in the audit row of the intent.
type Record struct {
	V           string `json:"v"`
	Order       string `json:"order"`       // wire.BodyHash of the order, which holds the tokens
	KeysSHA256  string `json:"keys_sha256"` // hex; of the kept JWK set, itsme's keys of then
	Application string `json:"application"`
	Serial      string `json:"serial"`
	SPKISHA256  string `json:"spki_sha256"`
	Profile     string `json:"profile"`

	// Registrar is who proofed the person, and says so with its signature: the
	// issuer of the tokens. Means is how the account there came to be: with the
	// identity card (CARD_READER, CONTACT_LESS) or by a bank (ID_PROVIDER).
	Registrar string `json:"registrar"`
	Means     string `json:"means,omitempty"`
	// Document is the identity document that the registrar read: its kind (ICAO
	// 9303: I… card, P… passport) and the country that issued it.
	Document        string `json:"document"`
	DocumentCountry string `json:"document_country,omitempty"`
	// Attributes are the claims that the registrar stated, by name.
	Attributes []string `json:"attributes"`
	// Holder and Identified are the person, as the registrar names him to our two
	// clients, by a hash (holder). Another account has others.
	Holder         string `json:"holder"`
	Identified     string `json:"identified"`
	Identification Leg    `json:"identification"`
	Consent        Leg    `json:"consent"`

	TermsVersion string `json:"terms_version"`
	TermsSHA256  string `json:"terms_sha256"`
	Rules        Rules  `json:"rules"`
	// CompletedAt is when the role had verified all of it, seconds since 1970.
	CompletedAt int64 `json:"completed_at"`
}

// Leg is one answer of the person.
type Leg struct {
	Nonce string `json:"nonce"`           // commits to the manifest, which is kept with the order
	Key   string `json:"key"`             // kid of the registrar's key
	Level string `json:"level,omitempty"` // acr, as stated
	Mode  string `json:"mode,omitempty"`  // identification_mode: QR, MSISDN, a2a, …
	At    int64  `json:"at"`              // iat, seconds since 1970
}

// Rules are the settings under which the order was accepted: whoever verifies
// it again verifies by them.
type Rules struct {
	IdentClient    string   `json:"ident_client"`
	ConfirmClient  string   `json:"confirm_client"`
	ACR            string   `json:"acr"`
	MaxAge         int64    `json:"max_age"` // seconds
	DefaultCountry string   `json:"default_country,omitempty"`
	Activation     []string `json:"activation"`
	Notification   string   `json:"notification,omitempty"` // Scheme.Notification
	SerialScheme   string   `json:"serial_scheme,omitempty"`
	LegalBasis     string   `json:"legal_basis,omitempty"`
	Production     bool     `json:"production,omitempty"`
	Policy         string   `json:"policy,omitempty"` // our own, dotted; "": the test policy
	CPSURL         string   `json:"cps_url"`          // holds the digest of the practice statement in force
	PDSURL         string   `json:"pds_url"`          // of the disclosure statement in English
}

// Scheme is the standing of the registrar as an eID scheme of level "high" that a
// Member State notified (Regulation 910/2014 Art 24(1a)(a), TS 119 461 C.3.2):
// only on that a qualified certificate can stand. The operator looks it up in the
// Commission's list.
type Scheme struct {
	// Suspended stops issuing, with a refusal that says so, until the notification
	// stands again. Certificates that were issued are not touched.
	Suspended bool `yaml:"suspended"`
	// Notification says where and when it was looked up; it stands in each identity
	// record. Example: "OJ C 309, 13.9.2019, looked up 2026-11-02"
	Notification string `yaml:"notification"`
}

// maxNotification bounds it, in bytes: it is kept with each order.
const maxNotification = 500

func (s Scheme) complete() error {
	if len(s.Notification) > maxNotification {
		return fmt.Errorf("ca: scheme.notification is longer than %d bytes", maxNotification)
	}
	return nil
}

// activations are the ways of activating an account at itsme that we know.
var activations = []string{token.ActivatedCardReader, token.ActivatedContactless, token.ActivatedByRegistrar}

// anyActivation in Config.Activation accepts every way, and none stated.
const anyActivation = "*"

// supports refuses an identification on which no certificate can stand, because
// its record would not say how the person was proofed. That the level is
// stated, and that it is recent, the token's verification has seen to.
func (c verifier) supports(ident token.Claims) error {
	switch {
	case c.cfg.Scheme.Suspended:
		return &wire.Error{Status: http.StatusServiceUnavailable, Code: ca.CodeScheme, Detail: "the registrar's scheme is suspended", Retryable: true}
	case ident.IdentificationMode == "":
		return refuse(ca.CodeRecord, "the token does not say how the person was identified")
	case ident.DocumentType == "":
		return refuse(ca.CodeRecord, "the token does not say from which kind of document")
	case !slices.Contains(c.cfg.Activation, anyActivation) && !slices.Contains(c.cfg.Activation, ident.Activation):
		return refuse(ca.CodeRecord, "the account was activated in a way that is not accepted, or the token does not say how")
	}
	return nil
}

// rules are those of a configuration.
func (c Config) rules() Rules {
	r := Rules{
		IdentClient: c.IdentClient, ConfirmClient: c.ConfirmClient, ACR: c.ACR, MaxAge: int64(c.MaxAge / time.Second),
		DefaultCountry: c.DefaultCountry, Activation: c.Activation, Notification: c.Scheme.Notification, SerialScheme: c.SerialNumber.Scheme,
		LegalBasis: c.SerialNumber.LegalBasis, Production: c.Production, Policy: c.PolicyOID, CPSURL: c.CPSURL,
	}
	for _, p := range c.PDS {
		if p.Language == "en" {
			r.PDSURL = p.URL
		}
	}
	return r
}

// record makes the record of a verified order.
func (v *verified) record(order, serial string, rules Rules) (Record, error) {
	spki, err := certs.SPKISHA256(v.key)
	if err != nil {
		return Record{}, err
	}
	ident, confirm := v.tokens[0], v.tokens[1]
	keys := sha256.Sum256(v.keys)
	leg := func(t *token.IDToken) Leg {
		return Leg{Nonce: t.Nonce, Key: t.KeyID, Level: t.ACR, Mode: t.Claims.IdentificationMode, At: t.IssuedAt.Unix()}
	}
	return Record{
		V: RecordVersion, Order: order, KeysSHA256: hex.EncodeToString(keys[:]), Application: v.application.ID, Serial: serial,
		SPKISHA256: spki, Profile: profileOf(v.application).String(),
		Registrar: ident.Issuer, Means: ident.Claims.Activation, Document: ident.Claims.DocumentType,
		DocumentCountry: ident.Claims.IssuingCountry, Attributes: stated(ident.Claims),
		Holder:         holder(confirm.Issuer, confirm.Audience, confirm.Subject),
		Identified:     holder(ident.Issuer, ident.Audience, ident.Subject),
		Identification: leg(ident), Consent: leg(confirm),
		TermsVersion: v.application.TermsVersion, TermsSHA256: v.application.TermsSHA256,
		Rules: rules, CompletedAt: v.at.Unix(),
	}, nil
}

// stated lists the identity claims that have a value.
func stated(c token.Claims) []string {
	var names []string
	for _, a := range []struct{ name, value string }{
		{token.ClaimName, c.Name}, {token.ClaimGivenName, c.GivenName}, {token.ClaimFamilyName, c.FamilyName},
		{token.ClaimBirthdate, c.Birthdate}, {token.ClaimBirthdateText, c.BirthdateText}, {token.ClaimDocumentSN, c.DocumentSN},
		{token.ClaimDocumentType, c.DocumentType}, {token.ClaimIssuingCountry, c.IssuingCountry}, {token.ClaimNationalNumber, c.NationalNumber},
	} {
		if a.value != "" {
			names = append(names, a.name)
		}
	}
	if c.AgeGTE18 != nil {
		names = append(names, token.ClaimAgeGTE18)
	}
	return names
}

// encode gives the record's JSON and its SHA-256 in hexadecimal.
func (r Record) encode() (b []byte, digest string, err error) {
	if b, err = json.Marshal(r); err != nil {
		return nil, "", fmt.Errorf("encode identity record: %w", err)
	}
	sum := sha256.Sum256(b)
	return b, hex.EncodeToString(sum[:]), nil
}

// keepRecord stores a record with the intent, and gives its digest for the audit.
func (r *Role) keepRecord(ctx context.Context, tx *sql.Tx, v *verified, hash, serial string) (string, error) {
	rec, err := v.record(hash, serial, r.cfg.rules())
	if err != nil {
		return "", err
	}
	b, digest, err := rec.encode()
	if err != nil {
		return "", err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO identity_records (order_hash, serial, holder, registrar, identified_at, record) VALUES (?, ?, ?, ?, ?, ?)",
		hash, serial, rec.Holder, rec.Registrar, rec.Identification.At, b)
	if err != nil {
		return "", fmt.Errorf("store identity record: %w", err)
	}
	return digest, nil
}
