package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Announce orders signatures on as many documents as there are options, under one confirmation, and sends no digests yet:
// they can be prepared when the person's certificate is there ([Client.Identified]). Of the options only Format, Level, Hash
// and Label matter, and all but Label must be the same. It is repeated as [Client.Send] is. Errors: bad_options, refused,
// unreachable.
func (c *Client) Announce(ctx context.Context, o Order, documents ...Options) (*Request, error) {
	switch {
	case len(documents) == 0 || len(documents) > MaxDocuments:
		return nil, errf(CodeBadOptions, fmt.Sprintf("%d documents; an order is for 1 to %d", len(documents), MaxDocuments))
	case o.SignedOrder != "":
		return nil, errf(CodeBadOptions, "an order is signed over digests: give it to SendDigests")
	}
	var all []*Preparation
	for _, one := range documents {
		p, err := plan(&one)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return c.order(ctx, o, all)
}

// Identified returns when the person of a request has a certificate, however long that takes: until ctx ends. see is as in
// [Client.Wait]. Errors: ended, refused, unreachable.
func (c *Client) Identified(ctx context.Context, id string, see func(*Request)) (*Request, error) {
	return c.wait(ctx, id, see, func(state string) bool { return state != "created" })
}

const (
	// maxReserve bounds what a service may ask to be reserved, in bytes; twice that is in each file.
	maxReserve = 256 << 10
	// maxAhead is how far the service's clock may be ahead of ours.
	maxAhead = 5 * time.Minute
)

// PrepareFor is [Client.Prepare] for the person of a request that [Client.Identified] gave: the claimed time is now, or the
// begin of his certificate if our clock is behind, and the space for the CMS is as large as it must be, unless
// Options.Reserve says otherwise. Errors: bad_options, document.
func (c *Client) PrepareFor(ctx context.Context, r *Request, document io.ReaderAt, size int64, o Options) (*Preparation, error) {
	at, cert := c.cfg.Now(), r.SignerCertificate
	if cert == nil {
		return nil, errf(CodeBadOptions, "the request does not tell of a certificate: give the one that Identified returned")
	}
	if cert.NotBefore.Sub(at) > maxAhead {
		return nil, errf(CodeBadOptions, "the person's certificate is not valid yet; a clock is wrong")
	}
	if o.Reserve == 0 && cert.CMSSize > 0 {
		if cert.CMSSize > maxReserve { // a smaller space would be found too small after the person has confirmed
			return nil, errf(CodeBadOptions, fmt.Sprintf("the service wants a space of %d bytes for the signature, and %d are the most; Reserve decides instead of it", cert.CMSSize, maxReserve))
		}
		o.Reserve = cert.CMSSize
	}
	return c.prepare(ctx, document, size, o, latest(at, cert.NotBefore))
}

// SendDigests sends the digests of all documents of a request, in the order of [Client.Announce]. Keep the preparations
// before: after a crash the same call is harmless, and other preparations are refused. signedOrder is your signature over
// the digests (docs/orders.md); "" for none. It is repeated as [Client.Send] is. Errors: bad_preparation, refused,
// unreachable.
func (c *Client) SendDigests(ctx context.Context, id, signedOrder string, all ...*Preparation) (*Request, error) {
	body := struct {
		Digests     []digest `json:"digests"`
		SignedOrder string   `json:"signed_order,omitempty"`
	}{[]digest{}, signedOrder}
	for _, p := range all {
		if err := p.check(); err != nil {
			return nil, err
		}
		body.Digests = append(body.Digests, digest{Algorithm: p.Hash, Digest: p.Digest})
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, wrap(CodeBadPreparation, "", err)
	}
	var r Request
	err = c.again(ctx, func() error {
		return c.call(ctx, ask{method: http.MethodPut, path: "/" + url.PathEscape(id) + "/digests", body: b}, &r)
	})
	if err != nil {
		return nil, err
	}
	return &r, nil
}
