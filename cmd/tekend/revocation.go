package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tekend/ca"
	"tekend/revocation"
	"tekend/wire"
)

// revocationConfig says how the front learns whether certificates are good, for the levels B-LT and B-LTA. Of our own it asks
// the ca over its socket; those of others (time-stamps, earlier signatures) name addresses on the network.
type revocationConfig struct {
	// PKIURL is where our certificates say that OCSP and CRLs are (ca.yaml: public_url), without a slash at its end. Default:
	// /pki below public_url, by http and by https.
	PKIURL string `yaml:"pki_url"`
	// AllowPrivate lets addresses of this machine and of private networks be asked, on every port: in sandboxes only, because
	// the addresses stand in certificates of anybody. Default false.
	AllowPrivate bool `yaml:"allow_private"`
	// Timeout bounds one OCSP question. Default 10s.
	Timeout time.Duration `yaml:"timeout"`
	// CRLTimeout bounds fetching one CRL. Default 60s.
	CRLTimeout time.Duration `yaml:"crl_timeout"`
	// CAFile is a PEM file with the roots that are trusted for https, in place of the machine's.
	CAFile string `yaml:"ca_file"`
}

// newCollector wires the sources of revocation data.
func newCollector(cfg frontConfig, issuer *ca.Client, now func() time.Time, log *slog.Logger) (*revocation.Collector, error) {
	c := cfg.Revocation
	fetcher := revocation.FetcherConfig{AllowPrivate: c.AllowPrivate, Timeout: c.Timeout, CRLTimeout: c.CRLTimeout}
	if c.CAFile != "" {
		roots, err := loadRoots(c.CAFile)
		if err != nil {
			return nil, err
		}
		fetcher.Roots = roots
	}
	ours, err := ourAddresses(cfg)
	if err != nil {
		return nil, err
	}
	return revocation.New(revocation.Config{
		Source: &sources{ours: ours, issuer: issuer, Fetcher: revocation.NewFetcher(fetcher)}, Now: now, Log: log,
	}), nil
}

// ourAddresses gives below what our certificates name their sources, without a slash at the end.
func ourAddresses(cfg frontConfig) ([]string, error) {
	if cfg.Revocation.PKIURL != "" {
		return []string{cfg.Revocation.PKIURL}, nil
	}
	u, err := url.Parse(cfg.PublicURL)
	if err != nil || u.Host == "" {
		return nil, usage("public_url is no address")
	}
	var all []string
	for _, scheme := range []string{"http", "https"} {
		u.Scheme = scheme
		all = append(all, strings.TrimSuffix(u.String(), "/")+"/pki")
	}
	return all, nil
}

// sources are our own ca for the addresses that we publish, and the network for all others. Going over the network to
// ourselves would need a proxy before the front to be up, and its name to be resolved, for what is one process away.
type sources struct {
	ours   []string // without a slash at the end
	issuer *ca.Client
	*revocation.Fetcher
}

// published gives what an address of ours names: ocsp, crl/NAME.crl, ca/NAME.crt.
func (s *sources) published(address string) (string, bool) {
	for _, prefix := range s.ours {
		if rest, ok := strings.CutPrefix(address, prefix+"/"); ok {
			return rest, true
		}
	}
	return "", false
}

// OCSP implements revocation.Source.
func (s *sources) OCSP(ctx context.Context, address string, query []byte) ([]byte, error) {
	name, ours := s.published(address)
	if !ours {
		return s.Fetcher.OCSP(ctx, address, query)
	}
	if name != "ocsp" {
		return nil, fmt.Errorf("%w: we publish no responder at this address", revocation.ErrRefused)
	}
	der, err := s.issuer.OwnOCSP(ctx, query)
	return der, ofOurs(err)
}

// CRL implements revocation.Source.
func (s *sources) CRL(ctx context.Context, address string) ([]byte, error) {
	name, ours := s.published(address)
	if !ours {
		return s.Fetcher.CRL(ctx, address)
	}
	return s.get(ctx, name)
}

// Certificate implements revocation.Source.
func (s *sources) Certificate(ctx context.Context, address string) ([]byte, error) {
	name, ours := s.published(address)
	if !ours {
		return s.Fetcher.Certificate(ctx, address)
	}
	return s.get(ctx, name)
}

// get reads what the ca publishes, at once into as much memory as it has.
func (s *sources) get(ctx context.Context, name string) ([]byte, error) {
	d, err := s.issuer.Open(ctx, name)
	if err != nil {
		return nil, ofOurs(err)
	}
	defer func() { _ = d.Close() }()
	if d.Size < 0 {
		der, err := io.ReadAll(d)
		return der, ofOurs(err)
	}
	der := make([]byte, d.Size) // at most ca.MaxPublished
	_, err = io.ReadFull(d, der)
	return der, ofOurs(err)
}

// ofOurs classes an error of the ca's client: what it does not publish does not come by asking again.
func ofOurs(err error) error {
	if err == nil {
		return nil
	}
	if refusal, ok := errors.AsType[*wire.Error](err); ok && refusal.Status == http.StatusNotFound {
		return fmt.Errorf("%w: %w", revocation.ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", revocation.ErrUnreachable, err)
}
