package sam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tekend/wire"
)

// Client calls the role. It sends every call once to each instance that it has
// to ask. Errors are *wire.Error for a refusal, else they wrap
// wire.ErrUnreachable (the call was not made) or wire.ErrNoReply (its outcome is
// not known; the GETs tell).
type Client struct{ wire instances }

// NewClient calls the role behind the Unix socket. timeout bounds a whole
// call; Authorize talks to itsme meanwhile, so at least 20 s are sensible. more
// are sockets of other instances that serve the same database: they are asked,
// in this order, when the one before does not answer the connection or says
// CodeElsewhere, so only when it has done nothing.
func NewClient(socket string, timeout time.Duration, more ...string) *Client {
	c := &Client{}
	for _, s := range append([]string{socket}, more...) {
		c.wire = append(c.wire, wire.NewClient(s, timeout))
	}
	return c
}

// instances are the processes that serve the role.
type instances []*wire.Client

// Do is wire.Client.Do at the first instance that is responsible.
func (all instances) Do(ctx context.Context, method, path string, in []byte, out any) error {
	return all.ask(func(c *wire.Client) error { return c.Do(ctx, method, path, in, out) })
}

// Long is wire.Client.Long at the first instance that answers.
func (all instances) Long(ctx context.Context, path string, limit int, out any) error {
	return all.ask(func(c *wire.Client) error { return c.Long(ctx, path, limit, out) })
}

// ask goes on to the next instance only when the one asked has done nothing.
// When none is responsible, one that said so counts more than one that is not
// there: the latter may be the one, so the call may be repeated later.
func (all instances) ask(call func(*wire.Client) error) (err error) {
	for _, c := range all {
		next := call(c)
		e, refused := errors.AsType[*wire.Error](next)
		elsewhere := refused && e.Code == CodeElsewhere
		if !elsewhere && !errors.Is(next, wire.ErrUnreachable) {
			return next
		}
		if err == nil || elsewhere {
			err = next
		}
	}
	return err
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

// Siblings lists the credentials of the person who has this one, with it, the newest first.
func (c *Client) Siblings(ctx context.Context, id string) (Credentials, error) {
	return get[Credentials](ctx, c, "/v1/credentials/"+url.PathEscape(id)+"/siblings")
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
