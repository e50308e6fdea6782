package ntp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// Extension fields of NTS (RFC 8915 §5).
const (
	extUnique        = 0x0104
	extCookie        = 0x0204
	extPlaceholder   = 0x0304
	extAuthenticator = 0x0404

	uniqueSize = 32
	nonceSize  = 16
	// shortest extension field (RFC 7822 §3)
	minExt = 16
)

const (
	// keTime bounds a key establishment, which may take longer than a round of the guard.
	keTime = 5 * time.Second
	// kePause is between two that failed (RFC 8915 §4.2 wants at least 10 s at first).
	kePause = 16 * time.Second
)

// secure keeps the keys and cookies for one server.
type secure struct {
	address string // of key establishment
	tls     *tls.Config
	now     func() time.Time

	mu    sync.Mutex
	keys  *keys
	rest  time.Time
	under chan struct{} // closed when the establishment under way ends
	err   error         // of the last
}

func newSecure(address string, roots *x509.CertPool, now func() time.Time) *secure {
	return &secure{address: address, now: now, tls: &tls.Config{RootCAs: roots, Time: now}}
}

// session gives keys with at least one cookie. An establishment goes on when ctx ends, for the next question.
func (s *secure) session(ctx context.Context) (*keys, error) {
	s.mu.Lock()
	if s.keys != nil && len(s.keys.cookies) > 0 {
		defer s.mu.Unlock()
		return s.keys, nil
	}
	if s.under == nil {
		if wait := s.rest.Sub(s.now()); wait > 0 && wait <= kePause {
			defer s.mu.Unlock()
			return nil, s.err
		}
		s.under = make(chan struct{})
		go s.renew(context.WithoutCancel(ctx), s.under)
	}
	under := s.under
	s.mu.Unlock()
	select {
	case <-under:
	case <-ctx.Done():
		return nil, errors.New("keys are being established")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.keys == nil {
		return nil, s.err
	}
	return s.keys, nil
}

func (s *secure) renew(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, keTime)
	defer cancel()
	k, err := establish(ctx, s.tls, s.address)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.err, s.under = k, err, nil
	if err != nil {
		s.keys, s.rest = nil, s.now().Add(kePause)
	}
	close(done)
}

// exchange is one question with its answer: an ntp.Extension.
type exchange struct {
	s      *secure
	k      *keys
	cookie []byte
	unique [uniqueSize]byte
	err    error // why the answer does not count
}

// begin takes a cookie; it is never used again, so that questions cannot be linked (RFC 8915 §5.7).
func (s *secure) begin(ctx context.Context) (*exchange, error) {
	k, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(k.cookies) == 0 {
		return nil, errors.New("no cookie is left")
	}
	x := &exchange{s: s, k: k, cookie: k.cookies[0]}
	k.cookies = k.cookies[1:]
	_, err = rand.Read(x.unique[:])
	return x, err
}

// ProcessQuery appends the fields of a question.
func (x *exchange) ProcessQuery(buf *bytes.Buffer) error {
	var nonce [nonceSize]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	buf.Write(field(extUnique, x.unique[:]))
	buf.Write(field(extCookie, x.cookie))
	x.s.mu.Lock()
	missing := maxCookies - 1 - len(x.k.cookies) // the answer brings one anyway
	x.s.mu.Unlock()
	for range max(missing, 0) { // lost answers are made up for
		buf.Write(field(extPlaceholder, make([]byte, len(x.cookie))))
	}
	sealed := x.k.there.seal(nil, buf.Bytes(), nonce[:])
	buf.Write(field(extAuthenticator, authenticator(nonce[:], sealed)))
	return nil
}

// ProcessResponse takes an answer that is authentic and to this question, and its new cookies. All else is an error, also a
// server's wish to be left alone, which anybody could forge.
func (x *exchange) ProcessResponse(buf []byte) error {
	x.err = x.read(buf)
	return x.err
}

func (x *exchange) read(buf []byte) error {
	if len(buf) < packet {
		return errors.New("too short")
	}
	named := false
	for at := packet; at < len(buf); {
		kind, body, size, err := readField(buf[at:])
		if err != nil {
			return err
		}
		switch kind {
		case extUnique:
			named = bytes.Equal(body, x.unique[:])
		case extAuthenticator:
			if !named {
				return errors.New("the answer to another question")
			}
			return x.authentic(buf[:at], body) // what stands behind it is nobody's
		}
		at += size
	}
	if named && buf[1] == 0 && string(buf[12:16]) == "NTSN" { // the server does not know its cookie any more (RFC 8915 §5.7)
		x.s.forget(x.k)
	}
	return errors.New("not authenticated")
}

// authentic opens the authenticator over what stands before it.
func (x *exchange) authentic(before, body []byte) error {
	if len(body) < 4 {
		return errors.New("a malformed authenticator")
	}
	n, c := int(binary.BigEndian.Uint16(body)), int(binary.BigEndian.Uint16(body[2:]))
	body = body[4:]
	if padded(n)+padded(c) > len(body) {
		return errors.New("a malformed authenticator")
	}
	plain, err := x.k.back.open(body[padded(n):padded(n)+c], before, body[:n])
	if err != nil {
		return err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	for len(plain) > 0 {
		kind, cookie, size, err := readField(plain)
		if err != nil {
			return err
		}
		if kind == extCookie && len(cookie) <= maxCookie && len(x.k.cookies) < maxCookies {
			x.k.cookies = append(x.k.cookies, bytes.Clone(cookie))
		}
		plain = plain[size:]
	}
	return nil
}

// forget has new keys established, at most once in a while.
func (s *secure) forget(k *keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == k {
		s.keys, s.err, s.rest = nil, errors.New("the server has forgotten its keys"), s.now().Add(kePause)
	}
}

func padded(n int) int { return (n + 3) &^ 3 }

// field writes an extension field (RFC 7822 §3): type, whole length, body, padding to four octets.
func field(kind uint16, body []byte) []byte {
	size := max(4+padded(len(body)), minExt)
	b := make([]byte, size)
	binary.BigEndian.PutUint16(b, kind)
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	copy(b[4:], body)
	return b
}

func readField(b []byte) (kind uint16, body []byte, size int, err error) {
	if len(b) < 4 {
		return 0, nil, 0, errors.New("a malformed extension field")
	}
	size = int(binary.BigEndian.Uint16(b[2:]))
	if size < 4 || size%4 != 0 || size > len(b) {
		return 0, nil, 0, errors.New("a malformed extension field")
	}
	return binary.BigEndian.Uint16(b), b[4:size], size, nil
}

// authenticator is the body of that field: two lengths, nonce and ciphertext, each padded (RFC 8915 §5.6).
func authenticator(nonce, sealed []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(nonce)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(sealed)))
	b = append(b, nonce...)
	b = append(b, make([]byte, padded(len(nonce))-len(nonce))...)
	b = append(b, sealed...)
	return append(b, make([]byte, padded(len(sealed))-len(sealed))...)
}
