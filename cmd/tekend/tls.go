package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"tekend/wire"
)

// tlsConfig is a second listener of the front, for clients that want https without a proxy before it. What is published for
// relying parties stays on the plain one too: it is signed, and its addresses stand in certificates as http.
type tlsConfig struct {
	// Listen is an address, 0.0.0.0:8443, or fd:4. Empty: there is none.
	Listen string `yaml:"listen"`
	// CertFile is a PEM file: the certificate and what leads to its root. KeyFile is its private key, in PEM, readable by the front
	// alone. Both are read again when they change; files that do not fit each other are passed over, with a line in the log.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// tlsLook is how often the files are looked at, at most: at a handshake.
const tlsLook = 5 * time.Second

// pair is the certificate in force.
type pair struct {
	cfg  tlsConfig
	now  func() time.Time
	fail func(error) // hears why new files are passed over

	mu     sync.Mutex
	cert   *tls.Certificate
	at     time.Time // of the last look
	seen   [2]stamp
	failed bool // this state of the files was complained about
}

// stamp tells two states of a file apart.
type stamp struct {
	at   time.Time
	size int64
}

func (p *pair) stamps() (s [2]stamp, err error) {
	for i, path := range []string{p.cfg.CertFile, p.cfg.KeyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i] = stamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

// get is tls.Config.GetCertificate.
func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if age := now.Sub(p.at); p.cert != nil && age >= 0 && age < tlsLook {
		return p.cert, nil
	}
	p.at = now
	seen, err := p.stamps()
	if err == nil && p.cert != nil && seen == p.seen {
		return p.cert, nil
	}
	var cert tls.Certificate
	if err == nil {
		cert, err = tls.LoadX509KeyPair(p.cfg.CertFile, p.cfg.KeyFile)
	}
	switch {
	case err == nil:
		p.cert, p.seen, p.failed = &cert, seen, false
	case p.cert == nil:
		return nil, err
	case !p.failed: // half replaced, perhaps: the next look finds the rest
		p.failed = true
		p.fail(err)
	}
	return p.cert, nil
}

// endpoints are the front's listeners.
func (f *front) endpoints(now func() time.Time, fail func(error)) ([]wire.Endpoint, error) {
	plain, err := listenTCP(f.cfg.Listen)
	if err != nil {
		return nil, err
	}
	all := []wire.Endpoint{{Listener: plain, Server: newHTTPServer(f.handler)}}
	c := f.cfg.TLS
	if c.Listen == "" {
		if c.CertFile != "" || c.KeyFile != "" {
			return nil, errors.Join(usage("tls: files without listen"), plain.Close())
		}
		return all, nil
	}
	p := &pair{cfg: c, now: now, fail: fail}
	if _, err := p.get(nil); err != nil {
		return nil, errors.Join(usage("tls: %w", err), plain.Close())
	}
	l, err := listenTCP(c.Listen)
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return append(all, wire.Endpoint{Listener: p.listener(l), Server: newHTTPServer(f.handler)}), nil
}

// listener speaks TLS 1.2 or 1.3 on l, with the suites and curves that Go takes for good.
func (p *pair) listener(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.get, NextProtos: []string{"http/1.1"}})
}

// serveAll serves until ctx ends, then lets running requests come to an end.
func serveAll(ctx context.Context, all ...wire.Endpoint) error {
	if err := wire.Serve(ctx, 10*time.Second, all...); err != nil {
		return unreachable("serve: %w", err)
	}
	return nil
}
