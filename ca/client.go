package ca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"tekend/wire"
)

// Client is the front's side. Refusals are *wire.Error with the codes above;
// other errors wrap wire.ErrUnreachable or wire.ErrNoReply, and after the
// latter Outcome tells what happened.
type Client struct {
	wire  *wire.Client
	reads *wire.Client // on kept connections
}

// NewClient calls the role behind socket; timeout bounds a whole call, of
// which issuing may need some seconds to fetch itsme's keys.
func NewClient(socket string, timeout time.Duration) *Client {
	return &Client{wire.NewClient(socket, timeout), wire.NewReader(socket, timeout)}
}

// Issue has one certificate made. An equal request gets the same certificate.
func (c *Client) Issue(ctx context.Context, r IssueRequest) (Issued, error) {
	body, path, err := r.address()
	if err != nil {
		return Issued{}, err
	}
	var out Issued
	err = c.wire.Do(ctx, http.MethodPut, path, body, &out)
	return out, err
}

// Outcome asks what became of a request whose reply was lost: the certificate,
// or a refusal order_unknown (it never arrived or was refused) or
// outcome_unknown (it is dead).
func (c *Client) Outcome(ctx context.Context, r IssueRequest) (Issued, error) {
	_, path, err := r.address()
	if err != nil {
		return Issued{}, err
	}
	var out Issued
	err = c.wire.Do(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

func (r IssueRequest) address() (body []byte, path string, err error) {
	if body, err = json.Marshal(r); err != nil {
		return nil, "", fmt.Errorf("encode order: %w", err)
	}
	return body, "/v1/certificates/" + wire.BodyHash(body), nil
}

// Health asks whether the role issues.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var h Health
	err := c.wire.Do(ctx, http.MethodGet, "/v1/health", nil, &h)
	return h, err
}

// publishedName is what may be asked for: it becomes part of a path.
var publishedName = regexp.MustCompile(`^(ca/[a-z0-9-]{1,32}\.crt|crl/[a-z0-9-]{1,32}\.crl)$`)

// MaxPublished bounds what Published reads and Open hands on, in bytes: a CRL
// with a million entries has about 36 MB.
const MaxPublished = 64 << 20

// Open gives what is published for everybody, e.g. "ca/root.crt" or
// "crl/issuing-ca.crl", as a stream: the caller closes it. What is not
// published is a *wire.Error with status 404. A CRL can be too large to be held
// by who relays it.
func (c *Client) Open(ctx context.Context, name string) (*wire.Download, error) {
	if !publishedName.MatchString(name) {
		return nil, wire.Refuse(http.StatusNotFound, "not_found", "nothing is published under this name")
	}
	return c.wire.Open(ctx, "/v1/published/"+name, MaxPublished)
}

// Published is Open for what is small or needed whole: DER and its content type.
func (c *Client) Published(ctx context.Context, name string) (der []byte, contentType string, err error) {
	d, err := c.Open(ctx, name)
	if err != nil {
		return nil, "", err
	}
	der, err = io.ReadAll(d)
	if err := errors.Join(err, d.Close()); err != nil {
		return nil, "", fmt.Errorf("%w: %w", wire.ErrNoReply, err)
	}
	return der, d.Type, nil
}
