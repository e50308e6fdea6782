package tsa

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/digitorus/timestamp"
)

// ErrUnreachable: the authority did not answer, or not as HTTP should. Asking
// again is harmless: a time-stamp can always be made anew.
var ErrUnreachable = errors.New("the time-stamping authority does not answer")

// ClientConfig says whom the client asks and what it believes.
type ClientConfig struct {
	// URL is where requests are posted. Example: https://tsa.example/tsa.
	// With Socket only its path counts.
	URL string
	// Socket is the Unix socket of our own authority; empty: URL is dialled.
	Socket string
	// Policies are the accepted policies, dotted; empty: any.
	Policies []string
	// Roots are the trust anchors for time-stamping. Required.
	Roots *x509.CertPool
	// Intermediates are certificates that the authority may leave out.
	Intermediates []*x509.Certificate
	// Timeout bounds one request. Default: 10 s.
	Timeout time.Duration
	// MaxSkew is how far genTime may be from our clock. Default: 60 s, which
	// covers a slow answer and two clocks that NTP has lost.
	MaxSkew time.Duration
	// Now is the clock. Required.
	Now func() time.Time
}

// firstSize is the size reserved for a token of an authority that has not
// answered yet, in bytes (specs/ades.md §6.5).
const firstSize = 10 << 10

// maxResponse bounds an answer, in bytes: a token and its wrapping.
const maxResponse = MaxToken + 4<<10

// Client asks one authority and proves its answers.
type Client struct {
	cfg     ClientConfig
	http    *http.Client
	largest atomic.Int64
}

// NewClient makes a client; hc sends the requests unless cfg.Socket is set.
// With a socket each request has its own connection.
func NewClient(cfg ClientConfig, hc *http.Client) *Client {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.MaxSkew <= 0 {
		cfg.MaxSkew = time.Minute
	}
	if cfg.Socket != "" {
		if cfg.URL == "" {
			cfg.URL = "http://role/tsa"
		}
		dialer := &net.Dialer{Timeout: 2 * time.Second}
		hc = &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", cfg.Socket)
			},
		}}
	}
	c := &Client{cfg: cfg, http: hc}
	c.largest.Store(firstSize)
	return c
}

// LearnedSize is the size in bytes of the largest token seen, at least 10 kB.
func (c *Client) LearnedSize() int { return int(c.largest.Load()) }

// Stamp asks for a token over a digest, with a nonce and with certificates,
// and verifies it ([Token.Verify]). Errors wrap [ErrUnreachable] or are
// *[Error]; rejected wraps a *[Failure] when the authority gave its reason.
func (c *Client) Stamp(ctx context.Context, digest []byte, h crypto.Hash) (*Token, error) {
	if len(digest) != h.Size() {
		return nil, errf(CodeImprint, "a digest of %d bytes", len(digest))
	}
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63)) // 63 bits: fits in what every authority reads
	if err != nil {
		return nil, fmt.Errorf("make nonce: %w", err)
	}
	req := timestamp.Request{HashAlgorithm: h, HashedMessage: digest, Certificates: true, Nonce: nonce}
	query, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("write time-stamp request: %w", err)
	}
	reply, err := c.post(ctx, query)
	if err != nil {
		return nil, err
	}
	t, err := openReply(reply)
	if err != nil {
		return nil, err
	}
	err = t.Verify(VerifyOptions{
		Imprint: digest, Hash: h, Nonce: nonce, Policies: c.cfg.Policies, Roots: c.cfg.Roots,
		Intermediates: c.cfg.Intermediates, At: c.cfg.Now(), MaxSkew: c.cfg.MaxSkew,
	})
	if err != nil {
		return nil, err
	}
	for {
		seen := c.largest.Load()
		if int64(len(t.Raw)) <= seen || c.largest.CompareAndSwap(seen, int64(len(t.Raw))) {
			return t, nil
		}
	}
}

func openReply(reply []byte) (*Token, error) {
	r, err := ParseResponse(reply)
	if err != nil {
		return nil, err
	}
	if r.Status != 0 && r.Status != 1 {
		e := errf(CodeRejected, "status %d", r.Status)
		if r.Info >= 0 {
			e.cause = &Failure{r.Info, r.Text}
		}
		return nil, e
	}
	if r.Token == nil {
		return nil, errf(CodeMalformed, "granted without a token")
	}
	return ParseToken(r.Token)
}

func (c *Client) post(ctx context.Context, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	return Post(ctx, c.http, c.cfg.URL, query)
}

// Post sends a request as it is and gives the answer as it is, at most
// [MaxToken] and 4 kB: the transport of RFC 3161 §3.4 alone. ctx or hc must
// bound the time. Errors wrap [ErrUnreachable] or are *[Error].
func Post(ctx context.Context, hc *http.Client, url string, query []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(query))
	if err != nil {
		return nil, fmt.Errorf("time-stamp request: %w", err)
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	req.Header.Set("Accept", "application/timestamp-reply")
	resp, err := hc.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: HTTP %d", ErrUnreachable, resp.StatusCode)
	}
	if mt, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || mt != "application/timestamp-reply" {
		return nil, fmt.Errorf("%w: the answer is not a time-stamp reply", ErrUnreachable)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if len(body) > maxResponse {
		return nil, errf(CodeMalformed, "an answer of more than %d bytes", maxResponse)
	}
	return body, nil
}
