package itsme

import (
	"errors"
	"io"
	"net/http"
)

// maxAnswer bounds every answer of itsme, in bytes: discovery is about 4 kB, a
// key set 2 kB, a token answer 5 kB.
const maxAnswer = 256 << 10

var errTooLong = errors.New("answer is longer than 256 KiB")

// limited cuts every answer off at maxAnswer with an error, so that readers
// that know no limit (go-oidc's) are held to it as well.
type limited struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > maxAnswer {
		_ = resp.Body.Close()
		return nil, errTooLong
	}
	resp.Body = &limitedBody{body: resp.Body, left: maxAnswer}
	return resp, nil
}

type limitedBody struct {
	body io.ReadCloser
	left int64
}

// Read fails once more than maxAnswer bytes came.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// Close closes the connection's body.
func (b *limitedBody) Close() error { return b.body.Close() }
