package ca

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"tekend/strictjson"
	"tekend/wire"
)

// Client is the front's side. Refusals are *wire.Error with the codes above;
// other errors wrap wire.ErrUnreachable or wire.ErrNoReply, and after the
// latter Outcome tells what happened.
type Client struct{ wire *wire.Client }

// NewClient calls the role behind socket; timeout bounds a whole call, of
// which issuing may need some seconds to fetch itsme's keys.
func NewClient(socket string, timeout time.Duration) *Client {
	return &Client{wire.NewClient(socket, timeout)}
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

// Published fetches a certificate or CRL for everybody, e.g. "ca/root.crt" or
// "crl/issuing-ca.crl": DER and its content type. What is not published is a
// *wire.Error with status 404.
func (c *Client) Published(ctx context.Context, name string) (der []byte, contentType string, err error) {
	if !publishedName.MatchString(name) {
		return nil, "", wire.Refuse(http.StatusNotFound, "not_found", "nothing is published under this name")
	}
	status, contentType, body, err := c.wire.Raw(ctx, http.MethodGet, "/v1/published/"+name, nil)
	if err != nil {
		return nil, "", err
	}
	if status != http.StatusOK {
		e := &wire.Error{}
		if strictjson.DecodeLoose(body, wire.MaxBody, e) != nil || e.Code == "" {
			e = &wire.Error{Code: "internal", Detail: "the role answered outside its contract"}
		}
		e.Status = status
		return nil, "", e
	}
	return body, contentType, nil
}

// StatusClient is the sam's side.
type StatusClient struct{ wire *wire.Client }

// NewStatusClient calls the status socket of the role.
func NewStatusClient(socket string, timeout time.Duration) *StatusClient {
	return &StatusClient{wire.NewReader(socket, timeout)}
}

// Status asks for a serial number, lower-case hexadecimal. Only an answer with
// State Good permits the use of a key; the answer is for the serial asked for.
func (c *StatusClient) Status(ctx context.Context, serialHex string) (CertificateStatus, error) {
	var s CertificateStatus
	if err := c.wire.Do(ctx, http.MethodGet, "/v1/status/"+url.PathEscape(serialHex), nil, &s); err != nil {
		return CertificateStatus{}, err
	}
	if s.Serial != serialHex {
		return CertificateStatus{}, fmt.Errorf("%w: status of another certificate", wire.ErrNoReply)
	}
	return s, nil
}
