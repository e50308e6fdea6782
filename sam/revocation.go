package sam

import (
	"context"
	"net/url"
	"time"
)

// RevokeRequest asks for the question with which a person revokes. PUT
// /v1/revocations/{hash of the body} → Prepared, without a check code: there
// are no documents.
type RevokeRequest struct {
	V   int    `json:"v"`
	Txn string `json:"txn"` // the front's id of the matter, opaque
	// Credential is the one that is revoked; only its owner can answer. Empty: all
	// credentials of whoever answers, and the text says so. Then itsme is asked
	// without naming a person.
	Credential string `json:"credential,omitempty"`
	Language   string `json:"language"` // of the text: en, nl
	// Reason is a name of RFC 5280 §5.3.1 that a person may give: unspecified,
	// keyCompromise, superseded, cessationOfOperation. Empty: unspecified. The
	// text and the manifest hold it.
	Reason string `json:"reason,omitempty"`
}

// States of a revocation. Declined, failed and expired are StateDeclined …;
// then nothing was revoked.
const (
	RevocationBlocked   = "blocked"   // no key of it can be used here any more; the ca has not been told yet
	RevocationPublished = "published" // the ca has it: OCSP says revoked
)

// Revocation is what became of the question. PUT
// /v1/revocations/{nonce}/authorization (Answer) → Revocation; GET
// /v1/revocations/{nonce} → the same, as it is now.
type Revocation struct {
	Nonce       string    `json:"nonce"`
	State       string    `json:"state"` // prepared blocked published declined failed expired
	Credentials []string  `json:"credentials"`
	At          time.Time `json:"at,omitzero"`      // when they were blocked
	Reason      string    `json:"reason,omitempty"` // a refusal code, when declined, failed or expired
}

// ActRequest is an act of operators (foureyes.Act): its text and the approvals
// of two of them. PUT /v1/acts/{hash of the body} → ActDone, on the operators'
// socket. An equal call gets the stored outcome.
type ActRequest struct {
	Text      string   `json:"text"`
	Approvals []string `json:"approvals"`
}

// ActDone says what an act brought about.
type ActDone struct {
	ID         string    `json:"id"` // the act's
	Act        string    `json:"act"`
	Credential string    `json:"credential"`
	State      string    `json:"state"` // of the credential after it
	At         time.Time `json:"at"`
}

// Revoke has the question for a revocation made.
func (c *Client) Revoke(ctx context.Context, r RevokeRequest) (Prepared, error) {
	return put[Prepared](ctx, c, "/v1/revocations/", r)
}

// RevocationAnswer hands over itsme's answer for a revocation.
func (c *Client) RevocationAnswer(ctx context.Context, nonce string, a Answer) (Revocation, error) {
	return putAt[Revocation](ctx, c, revocation(nonce)+"/authorization", a)
}

// RevocationStatus tells where a revocation is.
func (c *Client) RevocationStatus(ctx context.Context, nonce string) (Revocation, error) {
	return get[Revocation](ctx, c, revocation(nonce))
}

// Act has an act of operators done. The client must be one of the operators' socket.
func (c *Client) Act(ctx context.Context, r ActRequest) (ActDone, error) {
	return put[ActDone](ctx, c, "/v1/acts/", r)
}

func revocation(nonce string) string { return "/v1/revocations/" + url.PathEscape(nonce) }
