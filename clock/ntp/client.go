// Package ntp asks NTP servers for the time (RFC 5905) on behalf of package clock, and plays one in the sandbox and in tests.
//
// With NTS (RFC 8915) answers are authenticated. Plain NTP is not: the answer must repeat 64 random bits of the question, so
// that only somebody on the way can forge one, and then a majority of ways must be his (docs/decisions/0019-clock.md).
package ntp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/beevik/ntp"

	"tekend/clock"
)

// calm is how long a server that asks to be left alone is left alone (RFC 5905 §7.4, RATE and DENY).
const calm = 64 * time.Second

// patience bounds a question whose context has no end of its own; an answer that took longer says nothing.
const patience = 2 * time.Second

// Client is one server as a clock.Source.
type Client struct {
	address string
	now     func() time.Time // the clock that is measured
	secure  *secure          // nil: plain NTP

	mu   sync.Mutex
	rest time.Time // until then it is not asked
}

// Open makes the sources of a configuration, which measure the clock now.
func Open(list []clock.SourceConfig, now func() time.Time) ([]clock.Named, error) {
	var all []clock.Named
	for _, s := range list {
		if s.Kind != "ntp" {
			return nil, fmt.Errorf("clock: a source of kind %q; ntp is known", s.Kind)
		}
		c := NewClient(s.Address, now)
		if s.NTS {
			roots, err := readRoots(s.CAFile)
			if err != nil {
				return nil, fmt.Errorf("clock: ca_file: %w", err)
			}
			c.secure = newSecure(s.Address, roots, now)
		} else if s.CAFile != "" {
			return nil, errors.New("clock: ca_file is for a source with nts")
		}
		all = append(all, clock.Named{Name: s.Address, Source: c})
	}
	return all, nil
}

// readRoots reads PEM certificates; nil, the system's roots, without a file.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	return roots, nil
}

// NewClient asks the server at host or host:port by plain NTP, to measure the clock now.
func NewClient(address string, now func() time.Time) *Client {
	return &Client{address: address, now: now}
}

// Measure asks once. The uncertainty is the root distance (RFC 5905 §11.1): half the way there and back and half the
// server's own to its reference, and its dispersion. A server that says it has no time, or a stratum beyond 15, is an error.
func (c *Client) Measure(ctx context.Context) (clock.Measurement, error) {
	c.mu.Lock()
	rest := c.rest.Sub(c.now())
	c.mu.Unlock()
	if rest > 0 {
		return clock.Measurement{}, errors.New("it asked not to be asked so often")
	}
	address, extensions, x := c.address, []ntp.Extension(nil), (*exchange)(nil)
	if c.secure != nil {
		var err error
		if x, err = c.secure.begin(ctx); err != nil {
			return clock.Measurement{}, fmt.Errorf("it cannot be asked securely: %w", err)
		}
		address, extensions = x.k.address, []ntp.Extension{x}
	}
	r, err := c.query(ctx, address, extensions)
	switch {
	case err != nil && x != nil && x.err != nil:
		return clock.Measurement{}, fmt.Errorf("its answer does not count: %w", x.err)
	case err != nil:
		return clock.Measurement{}, errors.New("it does not answer") // the text of err holds addresses of our own
	case r.IsKissOfDeath():
		c.mu.Lock()
		c.rest = c.now().Add(calm)
		c.mu.Unlock()
	}
	if err := r.Validate(); err != nil {
		return clock.Measurement{}, fmt.Errorf("its answer does not count: %w", err)
	}
	m := clock.Measurement{Offset: r.ClockOffset, Uncertainty: r.RootDistance + r.Precision}
	switch r.Leap {
	case ntp.LeapAddSecond:
		m.Leap = clock.Insert
	case ntp.LeapDelSecond:
		m.Leap = clock.Delete
	}
	return m, nil
}

// query sends one packet and waits for one.
func (c *Client) query(ctx context.Context, address string, extensions []ntp.Extension) (*ntp.Response, error) {
	stop := func() bool { return true }
	defer func() { stop() }()
	return ntp.QueryWithOptions(address, ntp.QueryOptions{
		Timeout: patience, GetSystemTime: c.now, Extensions: extensions,
		Dialer: func(_, remote string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "udp", remote)
			if err == nil {
				stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err
		},
	})
}
