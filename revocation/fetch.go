package revocation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"tekend/certs"
)

// FetcherConfig says how the network is asked. The zero value is for the open Internet.
type FetcherConfig struct {
	// AllowPrivate lets addresses of this machine and of private networks be
	// asked, and every port: for sandboxes and closed networks. Default: they are refused.
	AllowPrivate bool
	// Timeout bounds one OCSP question or one certificate, redirects included. Default: 10 s.
	Timeout time.Duration
	// CRLTimeout bounds one list. Default: 60 s.
	CRLTimeout time.Duration
	// Stall bounds the time without a byte; above 1 MiB, the time for each
	// further MiB. Default: 5 s.
	Stall time.Duration
	// PerHost bounds what is fetched from one host at a time, All what is fetched
	// from all hosts. Default: 8 and 64.
	PerHost, All int
	// Roots are trusted for https. Default: those of the machine.
	Roots *x509.CertPool
	// Resolver finds addresses. Default: that of the machine.
	Resolver *net.Resolver

	allowed func(netip.Addr) bool // public; tests have hosts of their own
}

const (
	maxRedirects = 3
	// maxCertificate bounds a certificate that is fetched, in bytes.
	maxCertificate = 64 << 10
	maxHead        = 32 << 10 // of an answer's header, in bytes
	maxURL         = 2048     // of an address, in bytes
)

// Fetcher is the [Source] of the open network. Every connection that it makes
// is to an address that was looked at when it was dialled, so that a name which
// leads elsewhere the second time gains nothing; it follows few redirects and
// looks at each; it reads so much, for so long, and believes no content type.
// Errors wrap ErrUnreachable or ErrRefused and hold the host, never a path, a
// query or what came back.
type Fetcher struct {
	cfg   FetcherConfig
	http  *http.Transport // not a Client, which would follow redirects in its own way
	hosts hosts
	slots chan struct{}
	large chan struct{} // one list above maxSmall at a time
}

// NewFetcher makes a Fetcher.
func NewFetcher(cfg FetcherConfig) *Fetcher {
	orElse := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	orElse(&cfg.Timeout, 10*time.Second)
	orElse(&cfg.CRLTimeout, time.Minute)
	orElse(&cfg.Stall, 5*time.Second)
	if cfg.PerHost <= 0 {
		cfg.PerHost = 8
	}
	if cfg.All <= 0 {
		cfg.All = 64
	}
	if cfg.allowed == nil {
		cfg.allowed = public
	}
	dialer := &net.Dialer{Timeout: cfg.Stall, Resolver: cfg.Resolver}
	if !cfg.AllowPrivate {
		dialer.Control = only(cfg.allowed)
	}
	return &Fetcher{cfg: cfg, hosts: hosts{most: cfg.PerHost, by: map[string]*places{}}, slots: make(chan struct{}, cfg.All), large: make(chan struct{}, 1), http: &http.Transport{
		// No Proxy: it would dial for us, and addresses would not be looked at.
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: cfg.Stall, ResponseHeaderTimeout: cfg.Timeout, IdleConnTimeout: 30 * time.Second,
		MaxConnsPerHost: cfg.PerHost, MaxIdleConnsPerHost: 2, MaxIdleConns: cfg.All,
		DisableCompression: true, MaxResponseHeaderBytes: maxHead,
	}}
}

// OCSP implements [Source]: RFC 6960 appendix A.1, by POST.
func (f *Fetcher) OCSP(ctx context.Context, address string, query []byte) ([]byte, error) {
	return f.fetch(ctx, address, errand{"an OCSP answer", "application/ocsp-response", query, certs.MaxOCSPResponse, f.cfg.Timeout})
}

// CRL implements [Source].
func (f *Fetcher) CRL(ctx context.Context, address string) ([]byte, error) {
	return f.fetch(ctx, address, errand{"a CRL", "application/pkix-crl", nil, certs.MaxCRL, f.cfg.CRLTimeout})
}

// Certificate implements [Source].
func (f *Fetcher) Certificate(ctx context.Context, address string) ([]byte, error) {
	return f.fetch(ctx, address, errand{"a certificate", "application/pkix-cert", nil, maxCertificate, f.cfg.Timeout})
}

// errand is what is fetched. query not nil: it is posted.
type errand struct {
	what, accept string
	query        []byte
	limit        int
	timeout      time.Duration
}

// fetch follows an address to its bytes.
func (f *Fetcher) fetch(ctx context.Context, address string, e errand) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	u, err := f.parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrRefused, err)
	}
	leave, ok := f.hosts.enter(ctx, u.Host)
	if !ok {
		return nil, fmt.Errorf("%w: %s from %s: too many wait for this host", ErrUnreachable, e.what, host(u))
	}
	defer leave()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too much is being fetched", ErrUnreachable)
	}
	for hop := 0; ; hop++ {
		body, next, err := f.once(ctx, u, e)
		if err != nil || next == "" {
			return body, err
		}
		if hop == maxRedirects {
			return nil, fmt.Errorf("%w: %s from %s: more than %d redirects", ErrRefused, e.what, host(u), maxRedirects)
		}
		to, err := f.redirect(u, next)
		if err != nil {
			return nil, fmt.Errorf("%w: %s from %s: redirected: %s", ErrRefused, e.what, host(u), err)
		}
		u = to
	}
}

// redirect gives the address that a redirect leads to, looked at as the first one.
func (f *Fetcher) redirect(from *url.URL, location string) (*url.URL, error) {
	if len(location) > maxURL {
		return nil, errAddress
	}
	ref, err := url.Parse(location)
	if err != nil {
		return nil, errAddress
	}
	to, err := f.parse(from.ResolveReference(ref).String())
	if err == nil && from.Scheme == "https" && to.Scheme != "https" {
		return nil, errors.New("from https to http")
	}
	return to, err
}

// once makes one request: its body, or where it leads to.
func (f *Fetcher) once(ctx context.Context, u *url.URL, e errand) (body []byte, next string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	method, content := http.MethodGet, io.Reader(http.NoBody)
	if e.query != nil {
		method, content = http.MethodPost, bytes.NewReader(e.query)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %s", ErrRefused, errAddress)
	}
	req.Header.Set("Accept", e.accept)
	req.Header.Set("User-Agent", "tekend")
	if e.query != nil {
		req.Header.Set("Content-Type", "application/ocsp-request")
	}
	resp, err := f.http.RoundTrip(req)
	if err != nil {
		class, why := cause(ctx, err)
		return nil, "", fmt.Errorf("%w: %s from %s: %s", class, e.what, host(u), why)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		// A question is posted again wherever it leads: 301 and 302 would make it a GET without a question.
		if to := resp.Header.Get("Location"); to != "" {
			return nil, to, nil
		}
		return nil, "", fmt.Errorf("%w: %s from %s: a redirect to nowhere", ErrRefused, e.what, host(u))
	default:
		return nil, "", fmt.Errorf("%w: %s from %s: HTTP %d", ErrUnreachable, e.what, host(u), resp.StatusCode)
	}
	watched := &watch{Reader: resp.Body, timer: time.AfterFunc(f.cfg.Stall, cancel), stall: f.cfg.Stall}
	defer watched.timer.Stop()
	body, err = f.read(ctx, watched, resp.ContentLength, e.limit)
	if err != nil {
		class, why := cause(ctx, err)
		return nil, "", fmt.Errorf("%w: %s from %s: %s", class, e.what, host(u), why)
	}
	return body, "", nil
}

// watch ends the request when no byte came for a while; of a large body, no
// further maxSmall of them: another one may be waiting for it to end.
type watch struct {
	io.Reader
	timer *time.Timer
	stall time.Duration
	large bool
}

func (w *watch) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 && !w.large {
		w.timer.Reset(w.stall)
	}
	return n, err
}

// maxSmall is what may be read by many at once, in bytes.
const maxSmall = 1 << 20

var errTooLong = errors.New("longer than allowed")

// read reads a body of at most limit bytes. What it says of its length saves
// reading what is too long; memory is taken only for what has come. Large ones
// are read one after the other.
func (f *Fetcher) read(ctx context.Context, r *watch, said int64, limit int) ([]byte, error) {
	if said > int64(limit) {
		return nil, errTooLong
	}
	var full [][]byte
	part, total := make([]byte, 0, 16<<10), 0
	for {
		switch {
		case len(part) < cap(part):
		case cap(part) < maxSmall:
			part = append(make([]byte, 0, 2*cap(part)), part...)
		default:
			if full == nil {
				if err := f.waitLarge(ctx, r); err != nil {
					return nil, err
				}
				defer func() { <-f.large }()
			}
			r.timer.Reset(r.stall)
			full, part = append(full, part), make([]byte, 0, maxSmall)
		}
		n, err := r.Read(part[len(part):cap(part)])
		part, total = part[:len(part)+n], total+n
		switch {
		case total > limit:
			return nil, errTooLong
		case errors.Is(err, io.EOF):
			return join(append(full, part), total), nil
		case err != nil:
			return nil, err
		}
	}
}

// waitLarge waits until no other large body is read.
func (f *Fetcher) waitLarge(ctx context.Context, r *watch) error {
	r.timer.Stop() // it is we who are slow
	select {
	case f.large <- struct{}{}:
		r.large = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func join(parts [][]byte, total int) []byte {
	if len(parts) == 1 {
		return parts[0]
	}
	whole := make([]byte, 0, total)
	for i := range parts {
		whole, parts[i] = append(whole, parts[i]...), nil
	}
	return whole
}

// cause puts an error of net/http, which holds addresses, into words of ours.
func cause(ctx context.Context, err error) (class error, why string) {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, isTLS := errors.AsType[*tls.CertificateVerificationError](err)
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errPrivate):
		return ErrRefused, errPrivate.Error()
	case errors.Is(err, errTooLong):
		return ErrRefused, errTooLong.Error()
	case isTLS:
		return ErrRefused, "the host's certificate is not trusted"
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return ErrUnreachable, "it took too long"
	case isDNS && dns.IsNotFound:
		return ErrUnreachable, "the name is not known"
	}
	return ErrUnreachable, "the connection failed"
}

// host gives a host for errors: letters, digits and what addresses are made of.
func host(u *url.URL) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-:[]", r) {
			return r
		}
		return '?'
	}, u.Host)
}
