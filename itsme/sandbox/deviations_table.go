package sandbox

// deviation is one line of /sandbox/deviations (SB-82).
type deviation struct {
	What string `json:"what"`
	Real string `json:"real"`
}

// deviations are all known differences from what is documented of itsme; where
// itsme's behaviour is not public, the choice that was made stands here too.
var deviations = []deviation{
	{"Query parameters sandbox_person=NAME, sandbox_auto=1, sandbox_defect=NAME on the authorization URL: who answers, at once and without pages, with which faulty ID token. An unknown name is refused with an error page.", "Do not exist."},
	{"With sandbox_auto=1 (or the option auto_approve) the person named by sandbox_person, or else the owner of the targeted sub, or else \"approve\", answers at once; \"expire\" does not wait for the three minutes.", "Every request waits for a person."},
	{"When a request targets a known sub and sandbox_person names another person: a person with a special behaviour lends that behaviour to the owner of the sub; a person without one is answered with access_denied.", "Only the owner of the sub is asked."},
	{"other-person identifies (Identification, Authentication) as one identity; every Confirmation is answered under another identity with its own sub, whoever was targeted. So an enrolment sees two different people, and a signature of another person's credential sees a wrong sub.", "Cannot happen; a relying party must check it all the same."},
	{"wrong-nonce and wrong-sub behave normally until a Confirmation targets a known sub (a signature); then the ID token carries another nonce or sub. For other requests order the defect by name.", "Cannot happen."},
	{"minor is always 17 years old; all people, numbers and addresses are invented; their national numbers only have the right form.", "Real people, 16 or older."},
	{"call: ongoing_call is true in every token of this person.", "True when the phone was in a call."},
	{"error is answered with temporary_unavailable, blocked with access_denied.", "The codes are not documented."},
	{"/sandbox/next, /sandbox/keys, /sandbox/recreate, /sandbox/switches, /sandbox/warnings: API for test scripts.", "Does not exist."},
	{"http on loopback addresses is allowed for the issuer, redirect URIs and key sets; request_uri may be local unless refuse_local_request_uri is set.", "https everywhere; partners' hosts need OV or EV certificates, request_uri an explicit :443."},
	{"Partners' key sets are fetched every time unless real_jwks_cache is set.", "Kept between 30 minutes and 24 hours, at irregular times."},
	{"After a request was accepted the browser is sent on to /sandbox/actions/…, so that loading the page again does not repeat the request; the same address opened again (a link clicked twice) leads to the same action while that waits, and is refused for its used jti afterwards.", "Not documented."},
	{"Any five digits are a right code; the icon and QR pages are only played; the person is chosen from a list.", "Real app."},
	{"A code is used up by the first exchange of its own client, also a failing one.", "Only the second use is documented as an error."},
	{"No answer within three minutes: access_denied; with silent_expiry nothing is sent.", "Not documented."},
	{"Request objects: exp and nbf are honoured without tolerance, a used jti is refused; signed-only and encrypted-only ones are refused for every service type.", "Not documented for exp, nbf, jti and for services other than Confirmation."},
	{"Identification without any claim or claim scope is refused with invalid_request.", "At least one claim is required; the code is not documented."},
	{"Currencies: a list of common codes of ISO 4217; the amount is an integer of at most 12 digits.", "Not documented."},
	{"Entities in the text (&lt;) are shown as they stand; line breaks are not rendered.", "Not documented."},
	{"Claims picture, physical_person_photo, place_of_birth, claim_citizenship_as_iso, student_attestation_ag and the national numbers of other countries are never available.", "Available for some documents."},
	{"Not simulated: the old v1 profile, client_secret authentication, CIBA, Data Sharing, Sign (OASIS and CSC), revocation.", "Exist at itsme."},
	{"itsme's colours, logo and wording are not used.", "itsme's own design."},
}
