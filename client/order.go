package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// MaxDocuments is how many documents one confirmation can be for.
const MaxDocuments = 250

// Order is what is asked of the service beside the digests.
type Order struct {
	// Reference is your own opaque name of the person; "" makes a certificate for this request alone.
	Reference string
	// Language of the signer's page and app: en (default) or nl.
	Language string
	// RedirectURL is where the person goes afterwards; optional.
	RedirectURL string
	// Lifetime is how long the person has; 0: the service decides.
	Lifetime time.Duration
	// SignedOrder is your signature over the digests (docs/orders.md); "" for none.
	SignedOrder string
	// IdempotencyKey names this order. Keep it with the preparations before [Client.Send]: after a crash the same call with
	// the same key gives the request that was made, and the person is not asked twice. "" makes a new one; see [NewKey].
	IdempotencyKey string
}

// NewKey makes an idempotency key.
func NewKey() string { return rand.Text() }

// Request is a signature request at the service.
type Request struct {
	ID         string   `json:"id"`
	State      string   `json:"state"`
	Level      string   `json:"level"`
	SigningURL string   `json:"signing_url"` // for the signer only: it holds a secret
	CheckCode  string   `json:"check_code"`  // once prepared; what page and app show
	Problem    *Problem `json:"problem"`     // why it ended
	Notice     *Problem `json:"notice"`      // why it waits
	// SignerCertificate is there when the person is identified, of what was ordered by [Client.Announce].
	SignerCertificate *SignerCertificate `json:"signer_certificate"`
}

// SignerCertificate is what a document is prepared with.
type SignerCertificate struct {
	NotBefore time.Time `json:"not_before"`
	CMSSize   int       `json:"cms_size"` // to reserve, bytes of DER
}

// digest is one of the order's, in the words of the API.
type digest struct {
	Name      string `json:"name,omitempty"`
	Algorithm string `json:"algorithm"`
	Digest    []byte `json:"digest,omitempty"` // nil: it comes later
}

type person struct {
	Reference string `json:"reference"`
}

// orderBody is the body of POST /v1/signature-requests.
type orderBody struct {
	Level       string   `json:"level"`
	Format      string   `json:"format"`
	Language    string   `json:"language,omitempty"`
	Signer      *person  `json:"signer,omitempty"`
	RedirectURL string   `json:"redirect_url,omitempty"`
	ExpiresIn   string   `json:"expires_in,omitempty"`
	SignedOrder string   `json:"signed_order,omitempty"`
	Digests     []digest `json:"digests"`
}

// Send orders signatures over the digests of all, under one confirmation: all are signed or none. They must be of one
// format, level and hash. While the service cannot be reached, or says that the same call may succeed later, it is
// repeated until ctx ends. Errors: bad_options, bad_preparation, refused, unreachable.
func (c *Client) Send(ctx context.Context, o Order, all ...*Preparation) (*Request, error) {
	if len(all) == 0 || len(all) > MaxDocuments {
		return nil, errf(CodeBadOptions, fmt.Sprintf("%d documents; an order is for 1 to %d", len(all), MaxDocuments))
	}
	for _, p := range all {
		if err := p.check(); err != nil {
			return nil, err
		}
	}
	return c.order(ctx, o, all)
}

// order sends an order over preparations, of which the digests may not be there yet.
func (c *Client) order(ctx context.Context, o Order, all []*Preparation) (*Request, error) {
	first := all[0]
	body := orderBody{
		Level: first.ordered(), Format: first.Format, Language: o.Language, RedirectURL: o.RedirectURL, SignedOrder: o.SignedOrder,
	}
	for _, p := range all {
		if p.Format != first.Format || p.Level != first.Level || p.Hash != first.Hash {
			return nil, errf(CodeBadOptions, "the documents of one order have one format, level and hash")
		}
		body.Digests = append(body.Digests, digest{p.Label, p.Hash, p.Digest})
	}
	if o.Reference != "" {
		body.Signer = &person{o.Reference}
	}
	if o.Lifetime > 0 {
		body.ExpiresIn = "PT" + strconv.FormatInt(int64(o.Lifetime/time.Second), 10) + "S"
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, wrap(CodeBadOptions, "", err)
	}
	key := o.IdempotencyKey
	if key == "" {
		key = NewKey()
	}
	var r Request
	err = c.again(ctx, func() error {
		return c.call(ctx, ask{http.MethodPost, "", b, key}, &r)
	})
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// Get reads a request as it is now. Errors: refused, unreachable.
func (c *Client) Get(ctx context.Context, id string) (*Request, error) {
	var r Request
	if err := c.call(ctx, get(id, ""), &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// Wait returns when the request is finished, however long that takes: until ctx ends. see, if it is not nil, hears of each
// answer on the way. Errors: ended, refused, unreachable.
func (c *Client) Wait(ctx context.Context, id string, see func(*Request)) (*Request, error) {
	return c.wait(ctx, id, see, func(state string) bool { return state == "finished" })
}

// wait returns when enough says so of the state, or with ended.
func (c *Client) wait(ctx context.Context, id string, see func(*Request), enough func(state string) bool) (*Request, error) {
	for known := "created"; ; {
		var r Request
		err := c.again(ctx, func() error {
			return c.call(ctx, get(id, "?wait=30s&state="+url.QueryEscape(known)), &r)
		})
		if err != nil {
			return nil, err
		}
		if see != nil {
			see(&r)
		}
		switch r.State {
		case "declined", "expired", "failed":
			e := errf(CodeEnded, r.State)
			if r.Problem != nil {
				e.cause = r.Problem
			}
			return &r, e
		}
		if enough(r.State) {
			return &r, nil
		}
		if r.State == known { // of a service that answers such a question at once
			if err := sleep(ctx, firstPause); err != nil {
				return nil, err
			}
		}
		known = r.State
	}
}

// sleep waits, and tells when ctx has ended meanwhile.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return wrap(CodeUnreachable, "the request has not ended", ctx.Err())
	}
}

// Product is a signature over one digest with all that it was made of, as the service tells it. Nothing of it is proven;
// [Client.Finish] does that.
type Product struct {
	Format           string   `json:"format"`
	Level            string   `json:"level"`
	Algorithm        string   `json:"algorithm"`
	Digest           []byte   `json:"digest"`
	DigestAlgorithm  string   `json:"digest_algorithm"`
	SignedAttributes []byte   `json:"signed_attributes"`
	Value            []byte   `json:"value"`
	CMS              []byte   `json:"cms"`
	Certificates     [][]byte `json:"certificates"` // DER, the signer's first
	TimeStamp        []byte   `json:"time_stamp"`
	OCSPs            [][]byte `json:"ocsps"`
	CRLs             [][]byte `json:"crls"`
	// Extra are certificates that a validation needs beside those in the CMS: of responders and their issuers.
	Extra [][]byte `json:"extra_certificates"`
}

// Product reads the signature over document n (from 1, in the order of [Client.Send]) of a finished request. Errors:
// refused, unreachable.
func (c *Client) Product(ctx context.Context, id string, n int) (*Product, error) {
	var p Product
	err := c.again(ctx, func() error {
		return c.call(ctx, get(id, "/documents/"+strconv.Itoa(n)), &p)
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// Pauses between repetitions.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// again repeats a call that is harmless to repeat while it may succeed later, until ctx ends.
func (c *Client) again(ctx context.Context, call func() error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := call()
		if err == nil || !retryable(err) {
			return err
		}
		wait := pause
		if p := asProblem(err); p != nil && p.after > 0 {
			wait = min(p.after, time.Minute)
		}
		if sleep(ctx, wait) != nil {
			return err
		}
	}
}

func retryable(err error) bool {
	if p := asProblem(err); p != nil {
		return p.Retryable
	}
	return errors.Is(err, &Error{Code: CodeUnreachable})
}

// maxAnswer bounds an answer, in bytes: a product may hold a revocation list of 20 MB, in base64, and with CAdES a second time in its CMS.
const maxAnswer = 64 << 20

// ask is one request to the service.
type ask struct {
	method string
	path   string // below /v1/signature-requests
	body   []byte // JSON; nil for none
	key    string // Idempotency-Key, of an order
}

func get(id, rest string) ask {
	return ask{method: http.MethodGet, path: "/" + url.PathEscape(id) + rest}
}

// call sends one request and reads its answer into out. It is the only place from which something goes to the service
// (time-stamps go through package tsa, which sends a digest and a nonce).
func (c *Client) call(ctx context.Context, a ask, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.longest)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, a.method, c.cfg.BaseURL+"/v1/signature-requests"+a.path, bytes.NewReader(a.body))
	if err != nil {
		return wrap(CodeBadOptions, "", plain(err))
	}
	req.Header.Set("Authorization", "Bearer "+c.cfg.Key)
	req.Header.Set("Accept", "application/json")
	if a.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.key != "" {
		req.Header.Set("Idempotency-Key", a.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return wrap(CodeUnreachable, "", plain(err))
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return wrap(CodeUnreachable, "the answer broke off", plain(err))
	case len(b) > maxAnswer:
		return errf(CodeBadProduct, fmt.Sprintf("an answer of more than %d bytes", maxAnswer))
	case resp.StatusCode >= http.StatusMultipleChoices:
		return refusal(resp, b)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return errf(CodeUnreachable, "the answer is not JSON of this service")
	}
	return nil
}

// refusal is an answer that is not a success.
func refusal(resp *http.Response, b []byte) error {
	var p Problem
	if json.Unmarshal(b, &p) != nil || p.Code == "" {
		return errf(CodeUnreachable, fmt.Sprintf("HTTP %d without a problem of this service", resp.StatusCode))
	}
	p.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		p.after = time.Duration(s) * time.Second
	}
	return &Error{Code: CodeRefused, cause: &p}
}

// plain takes the address out of an error of net/http.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
