package sam

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tekend/wire"
)

// Client calls the role. It sends every call once. Errors are *wire.Error for
// a refusal, else they wrap wire.ErrUnreachable (the call was not made) or
// wire.ErrNoReply (its outcome is not known; the GETs tell).
type Client struct{ wire *wire.Client }

// NewClient calls the role behind the Unix socket. timeout bounds a whole
// call; Authorize talks to itsme meanwhile, so at least 20 s are sensible.
func NewClient(socket string, timeout time.Duration) *Client {
	return &Client{wire.NewClient(socket, timeout)}
}

// Prepare has the question for the person made.
func (c *Client) Prepare(ctx context.Context, r PrepareRequest) (Prepared, error) {
	return put[Prepared](ctx, c, "/v1/preparations/", r)
}

// Authorize hands over itsme's answer for a confirmation.
func (c *Client) Authorize(ctx context.Context, nonce string, a Answer) (Session, error) {
	return putAt[Session](ctx, c, confirmation(nonce)+"/authorization", a)
}

// Sign has positions of an authorized confirmation signed.
func (c *Client) Sign(ctx context.Context, nonce string, r SignRequest) (Signed, error) {
	return put[Signed](ctx, c, confirmation(nonce)+"/signatures/", r)
}

// Confirmation tells where a confirmation is.
func (c *Client) Confirmation(ctx context.Context, nonce string) (Status, error) {
	return get[Status](ctx, c, confirmation(nonce))
}

// Evidence gives the evidence bundle of a confirmation whose positions are all
// signed, without time-stamps. It is only read: it may be asked again.
func (c *Client) Evidence(ctx context.Context, nonce string) (Evidence, error) {
	var out Evidence
	err := c.wire.Long(ctx, confirmation(nonce)+"/evidence", MaxEvidence, &out)
	return out, err
}

// Enrol has a key made and the first question put.
func (c *Client) Enrol(ctx context.Context, r EnrolRequest) (EnrolStep, error) {
	return put[EnrolStep](ctx, c, "/v1/enrolments/", r)
}

// Identification hands over itsme's answer of the first leg.
func (c *Client) Identification(ctx context.Context, id string, a Answer) (EnrolStep, error) {
	return putAt[EnrolStep](ctx, c, enrolment(id)+"/identification", a)
}

// Consent hands over itsme's answer of the second leg.
func (c *Client) Consent(ctx context.Context, id string, a Answer) (EnrolStep, error) {
	return putAt[EnrolStep](ctx, c, enrolment(id)+"/consent", a)
}

// Certificate hands over what the ca issued: DER, leaf first.
func (c *Client) Certificate(ctx context.Context, id string, chain [][]byte) (EnrolStep, error) {
	return putAt[EnrolStep](ctx, c, enrolment(id)+"/certificate", CertificateChain{chain})
}

// Enrolment tells where an enrolment is.
func (c *Client) Enrolment(ctx context.Context, id string) (EnrolStep, error) {
	return get[EnrolStep](ctx, c, enrolment(id))
}

// Credential describes a credential.
func (c *Client) Credential(ctx context.Context, id string) (Credential, error) {
	return get[Credential](ctx, c, "/v1/credentials/"+url.PathEscape(id))
}

// Health asks whether the role works.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return get[Health](ctx, c, "/v1/health")
}

func confirmation(nonce string) string { return "/v1/confirmations/" + url.PathEscape(nonce) }
func enrolment(id string) string       { return "/v1/enrolments/" + url.PathEscape(id) }

// put sends in to the path that ends in the hash of its bytes.
func put[T any](ctx context.Context, c *Client, before string, in any) (T, error) {
	var out T
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("encode message: %w", err)
	}
	err = c.wire.Do(ctx, http.MethodPut, before+wire.BodyHash(body), body, &out)
	return out, err
}

func putAt[T any](ctx context.Context, c *Client, path string, in any) (T, error) {
	var out T
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("encode message: %w", err)
	}
	err = c.wire.Do(ctx, http.MethodPut, path, body, &out)
	return out, err
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	err := c.wire.Do(ctx, http.MethodGet, path, nil, &out)
	return out, err
}
