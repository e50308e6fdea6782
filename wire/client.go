package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"tekend/strictjson"
)

// ErrUnreachable: the role could not be reached and did not get the call.
// ErrNoReply: the call was sent and its outcome is not known; a GET tells.
var (
	ErrUnreachable = errors.New("the role is not reachable")
	ErrNoReply     = errors.New("the role did not answer")
)

// Client calls one role. It never sends a request twice: each call has a
// connection of its own, because net/http sends again on a kept connection
// that the server has closed.
type Client struct {
	http  *http.Client
	reads bool // only GETs, on kept connections
}

// NewReader is NewClient for calls that only read. It keeps connections, which
// spares both sides half of a small call's work; net/http may send a GET again
// on a new connection when the kept one has gone, and that changes nothing. It
// keeps no answers.
func NewReader(socket string, timeout time.Duration) *Client {
	c := NewClient(socket, timeout)
	c.reads = true
	if t, ok := c.http.Transport.(*http.Transport); ok {
		t.DisableKeepAlives = false
		t.MaxIdleConnsPerHost = 4
		t.IdleConnTimeout = 20 * time.Second // less than the server's, so that it is we who close
	}
	return c
}

// NewClient calls the role behind the Unix socket; timeout bounds a whole call.
func NewClient(socket string, timeout time.Duration) *Client {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	return &Client{http: &http.Client{
		Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			DisableKeepAlives:  true,
			DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				c, err := dialer.DialContext(ctx, "unix", socket)
				if err != nil {
					return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
				}
				return c, nil
			},
		},
	}}
}

// Do sends in (JSON, may be nil) and reads the answer into out (may be nil).
// A refusal is an *Error; otherwise errors wrap ErrUnreachable or ErrNoReply.
func (c *Client) Do(ctx context.Context, method, path string, in []byte, out any) error {
	return c.do(ctx, call{method, path, in, MaxBody}, out)
}

// Long is Do for a GET whose answer may have up to limit bytes instead of
// MaxBody (at most MaxPublished).
func (c *Client) Long(ctx context.Context, path string, limit int, out any) error {
	return c.do(ctx, call{http.MethodGet, path, nil, limit}, out)
}

type call struct {
	method, path string
	in           []byte
	limit        int // of the answer, in bytes
}

func (c *Client) do(ctx context.Context, k call, out any) error {
	status, _, body, err := c.Raw(ctx, k.method, k.path, k.in)
	if err != nil {
		return err
	}
	if status >= 300 {
		return refusal(status, body)
	}
	if out == nil {
		return nil
	}
	if err := strictjson.DecodeLoose(body, k.limit, out); err != nil {
		return fmt.Errorf("%w: answer of %s: %w", ErrNoReply, k.path, err)
	}
	return nil
}

// refusal reads the body of an answer that is a refusal.
func refusal(status int, body []byte) error {
	e := &Error{}
	if strictjson.DecodeLoose(body, MaxBody, e) != nil || e.Code == "" {
		e = &Error{Code: "internal", Detail: "the role answered outside its contract"}
	}
	e.Status = status
	return e
}

// Raw is Do for answers that are not JSON: it gives the status, the content
// type and at most MaxPublished bytes.
func (c *Client) Raw(ctx context.Context, method, path string, in []byte) (int, string, []byte, error) {
	if c.reads && method != http.MethodGet {
		return 0, "", nil, fmt.Errorf("call %s: this client only reads", path)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://role"+path, bytes.NewReader(in))
	if err != nil {
		return 0, "", nil, fmt.Errorf("call %s: %w", path, err)
	}
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.GetBody = nil // nothing may be sent twice
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", nil, classify(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxPublished+1))
	if err != nil {
		return 0, "", nil, classify(err)
	}
	if len(body) > MaxPublished {
		return 0, "", nil, fmt.Errorf("%w: the answer is longer than %d bytes", ErrNoReply, MaxPublished)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), body, nil
}

// MaxPublished bounds an answer, in bytes: a CRL with 100 000 entries is 4 MB.
const MaxPublished = 16 << 20

func classify(err error) error {
	if errors.Is(err, ErrUnreachable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoReply, err)
}
