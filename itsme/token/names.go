package token

// Prefix stands before itsme's own claim names (specs/itsme.md §2.5).
const Prefix = "http://itsme.services/v2/claim/"

// Levels of authentication (specs/itsme.md §2.3).
const (
	ACRBasic    = Prefix + "acr_basic"    // biometrics or itsme code
	ACRAdvanced = Prefix + "acr_advanced" // itsme code
)

// Claims that we may ask for inside the ID token (specs/itsme.md §2.5). A
// national number is asked for only where a configuration states the law that
// allows it.
const (
	ClaimName               = "name"
	ClaimGivenName          = "given_name"
	ClaimFamilyName         = "family_name"
	ClaimBirthdate          = "birthdate"
	ClaimAgeGTE18           = "age_gte_18"
	ClaimBirthdateText      = Prefix + "birthdate_as_string"
	ClaimDocumentSN         = Prefix + "IDDocumentSN"
	ClaimDocumentType       = Prefix + "IDDocumentType"
	ClaimIssuingCountry     = Prefix + "IDIssuingCountry"
	ClaimIdentificationMode = Prefix + "identification_mode"
	ClaimOngoingCall        = Prefix + "ongoing_call"
	ClaimTransactionIP      = Prefix + "transaction_ip"
	ClaimAccount            = Prefix + "account" // object; of it activationMechanism
	ClaimNationalNumber     = Prefix + "BENationalNumber"
	ClaimEmail              = "email"
	ClaimLocale             = "locale"
)

// Members of the free-text template (specs/itsme.md §3.2).
const (
	TemplateName     = Prefix + "claim_approval_template_name"
	TemplateText     = Prefix + "claim_approval_text_key"
	TemplateFreeText = "free_text"
)

// How an account at itsme was activated: with the identity card, or by an
// identity registrar, which is a bank (specs/itsme.md §2.5).
const (
	ActivatedCardReader  = "CARD_READER"
	ActivatedContactless = "CONTACT_LESS"
	ActivatedByRegistrar = "ID_PROVIDER"
)

// IdentityClaims are asked in both legs of an enrolment: who the person is,
// from which document, how his account was activated, and how safely he was
// asked.
func IdentityClaims() []string {
	return append([]string{
		ClaimName, ClaimGivenName, ClaimFamilyName, ClaimBirthdate, ClaimBirthdateText, ClaimAgeGTE18,
		ClaimDocumentSN, ClaimDocumentType, ClaimIssuingCountry, ClaimAccount,
	}, RiskClaims()...)
}

// ContactClaims are asked in the identification of an enrolment: where and in
// which language the person is told of uses of his key. Nobody is identified
// by them: itsme does not verify the address (specs/itsme.md §2.5).
func ContactClaims() []string { return []string{ClaimEmail, ClaimLocale} }

// RiskClaims are asked with every signature (specs/itsme.md §9.2 B-5).
func RiskClaims() []string {
	return []string{ClaimIdentificationMode, ClaimOngoingCall, ClaimTransactionIP}
}

// Claims are the claims of a person that we use, as itsme says them; "" and
// nil mean that itsme did not say it (unavailable claims are omitted, §2.4).
type Claims struct {
	Name, GivenName, FamilyName string
	Birthdate                   string // YYYY-MM-DD
	BirthdateText               string // as printed on the document
	DocumentSN, DocumentType    string
	IssuingCountry              string // ISO 3166-1 alpha-3, of the identity document
	IdentificationMode          string // QR, MSISDN, a2a, …
	TransactionIP               string // of the approving phone
	Email                       string // never verified
	Locale                      string // NL, FR, DE, EN: language of the app
	Activation                  string // CARD_READER, CONTACT_LESS, ID_PROVIDER, …
	NationalNumber              string `json:"-"` // never kept with the others
	AgeGTE18, OngoingCall       *bool
}
