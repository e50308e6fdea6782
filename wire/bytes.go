package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Question is a body that is not JSON, and asks for bytes that are not JSON: an
// OCSP query. It changes nothing, so a client that only reads may send it.
type Question struct {
	Type  string // media type of Body
	Body  []byte
	Limit int // of the answer, in bytes
}

// Ask posts a question and gives the bytes of the answer. A refusal is an
// *Error; otherwise errors wrap ErrUnreachable or ErrNoReply. It is sent once:
// on a kept connection that the role has closed meanwhile it fails.
func (c *Client) Ask(ctx context.Context, path string, q Question) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://role"+path, bytes.NewReader(q.Body))
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	req.Header.Set("Content-Type", q.Type)
	req.GetBody = nil // nothing may be sent twice
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, classify(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(q.Limit)+1))
	switch {
	case err != nil:
		return nil, classify(err)
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(resp.StatusCode, body)
	case len(body) > q.Limit:
		return nil, fmt.Errorf("%w: the answer is longer than %d bytes", ErrNoReply, q.Limit)
	}
	return body, nil
}

// Download is the body of an answer that is not read into memory. Reading more
// than its limit fails. The client's timeout counts until the last byte.
type Download struct {
	Type string // media type
	Size int64  // in bytes; -1: the role did not say
	io.Reader
	body io.Closer
}

// Close ends the call; bytes that were not read are not fetched.
func (d *Download) Close() error { return d.body.Close() }

// Open is a GET for bytes of at most limit. A refusal is an *Error; otherwise
// errors wrap ErrUnreachable or ErrNoReply.
func (c *Client) Open(ctx context.Context, path string, limit int64) (*Download, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://role"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, classify(err)
	}
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
		_ = resp.Body.Close()
		if err != nil {
			return nil, classify(err)
		}
		return nil, refusal(resp.StatusCode, body)
	}
	if resp.ContentLength > limit {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%w: the answer is longer than %d bytes", ErrNoReply, limit)
	}
	return &Download{
		Type: resp.Header.Get("Content-Type"), Size: resp.ContentLength, body: resp.Body,
		Reader: http.MaxBytesReader(nil, resp.Body, limit),
	}, nil
}
