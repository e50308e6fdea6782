package sam

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Refusal codes of transparency and limits.
const (
	CodeTooManyQuestions = "too_many_questions" // the person was asked too often, or too many questions wait for him; retryable, with the time when
	CodeNotYet           = "not_yet"            // no checkpoint of the audit covers this row yet; retryable
)

// Use is one line of what concerns a person's key: a row of the sam's audit,
// with what its manifest says about it.
type Use struct {
	Seq       int64     `json:"seq"` // of the row
	At        time.Time `json:"at"`
	Kind      string    `json:"kind"` // of the row: credential.linked, confirmation.prepared, confirmation.authorized, key.used, key.unknown, key.not_used, refusal.CODE
	Nonce     string    `json:"nonce,omitempty"`
	Txn       string    `json:"txn,omitempty"`        // the front's id of the request
	Position  *int      `json:"position,omitempty"`   // of the document, from 0; absent: the whole confirmation
	Documents int       `json:"documents"`            // of the confirmation
	Labels    []string  `json:"labels,omitempty"`     // of the document or documents, as the itsme app showed them; absent when the manifest is not kept
	CheckCode string    `json:"check_code,omitempty"` // of the confirmation
}

// Uses is one page, newest first. Before is the number for the next page,
// absent on the last.
type Uses struct {
	Uses   []Use `json:"uses"`
	Before int64 `json:"before,omitempty"`
}

// Uses lists what concerns a credential: rows before the given one (0: from the
// newest), at most limit (1 to 100). GET /v1/credentials/{id}/uses.
func (c *Client) Uses(ctx context.Context, id string, before int64, limit int) (Uses, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if before > 0 {
		q.Set("before", strconv.FormatInt(before, 10))
	}
	return get[Uses](ctx, c, "/v1/credentials/"+url.PathEscape(id)+"/uses?"+q.Encode())
}

// UseProof gives the proof that the audit holds a listed row, as JSON (package
// audit, Proof). GET /v1/credentials/{id}/uses/{seq}/proof.
func (c *Client) UseProof(ctx context.Context, id string, seq int64) (json.RawMessage, error) {
	var proof json.RawMessage
	err := c.wire.Do(ctx, http.MethodGet, "/v1/credentials/"+url.PathEscape(id)+"/uses/"+strconv.FormatInt(seq, 10)+"/proof", nil, &proof)
	return proof, err
}
