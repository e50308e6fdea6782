// Package itsme is the OpenID Connect relying party of itsme (profile v2,
// specs/itsme.md §1-3): discovery, the issuer's keys, request objects, the
// code exchange. itsme is an outside party with its own faults: everything it
// sends is bounded, strictly read and tied to the one configured host, and
// nothing here needs itsme to be reachable when the program starts.
//
// go-oidc reads the discovery document. Its RemoteKeySet is not used: it keeps
// a key that the issuer removed until it meets an unknown kid, and it does not
// hand out keys; here a removed key must be dead within 10 minutes.
package itsme

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// MaxKeysAge is the longest time that fetched keys are used: a key that itsme
// removed is dead after it (house §1.2).
const MaxKeysAge = 10 * time.Minute

// Config says where itsme is. It is a part of the files of sam and ca.
type Config struct {
	// Issuer is itsme's issuer URL without a slash at its end, for example
	// https://idp.e2e.itsme.services/v2. All endpoints must lie on its host.
	// http is only allowed for a loopback address (the sandbox).
	Issuer string `yaml:"issuer"`
	// CAFile is a PEM file with the only CAs that may vouch for that host.
	// Empty = the system's.
	CAFile string `yaml:"ca_file"`
	// Timeout of one request to itsme, for example 5s. Default 10s.
	Timeout time.Duration `yaml:"timeout"`
	// KeysAge is how long fetched keys are used, at most and by default 10m.
	KeysAge time.Duration `yaml:"keys_age"`
	// Production refuses issuers that can only be a simulation: loopback and
	// names below .test (specs/itsme.md SB-83).
	Production bool `yaml:"production"`
	// Now is the clock.
	Now func() time.Time `yaml:"-"`
}

// Validate says what is wrong with the configuration; NewProvider takes any,
// so call this at start. It reads CAFile and sends nothing.
func (c Config) Validate() error {
	_, err := c.issuer()
	if err != nil {
		return err
	}
	if c.Now == nil {
		return errors.New("itsme: Config.Now is missing")
	}
	if c.Timeout < 0 || c.KeysAge < 0 || c.KeysAge > MaxKeysAge {
		return fmt.Errorf("itsme: timeout must not be negative, keys_age within 0 and %v", MaxKeysAge)
	}
	_, err = c.roots()
	return err
}

func (c Config) issuer() (*url.URL, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" {
		return nil, errors.New("itsme: issuer is not a URL")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(c.Issuer, "/") || strings.HasSuffix(c.Issuer, "#") {
		return nil, errors.New("itsme: issuer must have no user, query, fragment or slash at its end")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, errors.New("itsme: issuer must be https (http only on a loopback address)")
	}
	if c.Production && (loopback(u.Hostname()) || strings.HasSuffix(u.Hostname(), ".test")) {
		return nil, errors.New("itsme: this issuer is a simulation and production is set")
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("itsme: read ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("itsme: ca_file holds no certificate")
	}
	return pool, nil
}

// httpClient makes the client for itsme's host out of the given one: same
// transport settings, our CAs, no redirects, no proxy from the environment, a
// timeout for the whole request and a limit for every answer.
func (c Config) httpClient(base *http.Client) (*http.Client, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	var rt http.RoundTripper
	if base != nil {
		rt = base.Transport
	}
	t, plain := rt.(*http.Transport)
	switch {
	case rt == nil:
		t = &http.Transport{TLSHandshakeTimeout: c.timeout(), MaxResponseHeaderBytes: 16 << 10, IdleConnTimeout: time.Minute}
	case plain:
		t = t.Clone()
	case roots != nil:
		return nil, errors.New("itsme: ca_file needs an HTTP client with a plain transport")
	}
	if roots != nil {
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.RootCAs = roots
	}
	if t != nil {
		rt = t
	}
	return &http.Client{
		Transport: limited{rt},
		Timeout:   c.timeout(),
		// A redirect could lead to another host and is never needed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func (c Config) timeout() time.Duration {
	if c.Timeout == 0 {
		return 10 * time.Second
	}
	return c.Timeout
}

func (c Config) keysAge() time.Duration {
	if c.KeysAge == 0 {
		return MaxKeysAge
	}
	return c.KeysAge
}
