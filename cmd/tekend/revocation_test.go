package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"tekend/ca"
	"tekend/revocation"
)

// TestOurOwnAddressesStayInside: what we publish is asked of the ca and nothing else is, whatever an address begins with.
func TestOurOwnAddressesStayInside(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg    frontConfig
		inside map[string]string
		out    []string
	}{
		"by default below public_url": {frontConfig{PublicURL: "https://sign.acme.be"}, map[string]string{
			"http://sign.acme.be/pki/ocsp": "ocsp", "https://sign.acme.be/pki/crl/issuing-ca.crl": "crl/issuing-ca.crl", "http://sign.acme.be/pki/ca/root.crt": "ca/root.crt",
		}, []string{"http://sign.acme.be.attacker.example/pki/ocsp", "http://sign.acme.be/pkix", "http://sign.acme.be/", "http://other.be/pki/ocsp", "http://sign.acme.be:8080/pki/ocsp"}},
		"where the pki is elsewhere": {frontConfig{PublicURL: "https://sign.acme.be", Revocation: revocationConfig{PKIURL: "http://pki.acme.be"}}, map[string]string{
			"http://pki.acme.be/ocsp": "ocsp",
		}, []string{"http://sign.acme.be/pki/ocsp", "http://pki.acme.be.example/ocsp"}},
	} {
		ours, err := ourAddresses(tc.cfg)
		if err != nil {
			t.Fatal(err)
		}
		s := &sources{ours: ours}
		for address, want := range tc.inside {
			if got, ok := s.published(address); !ok || got != want {
				t.Errorf("%s: %s is %q, %v", name, address, got, ok)
			}
		}
		for _, address := range tc.out {
			if got, ok := s.published(address); ok {
				t.Errorf("%s: %s is ours: %q", name, address, got)
			}
		}
	}
	if _, err := newCollector(frontConfig{}, nil, time.Now, slog.Default()); err == nil {
		t.Error("without an address of its own")
	}
	if _, err := newCollector(frontConfig{PublicURL: "https://sign.acme.be", Revocation: revocationConfig{CAFile: filepath.Join(t.TempDir(), "none.pem")}}, nil, time.Now, slog.Default()); err == nil {
		t.Error("without the roots that it names")
	}
}

// TestOurOwnCAIsAway: then a product waits, as for others; what it does not publish is refused at once.
func TestOurOwnCAIsAway(t *testing.T) {
	ours, err := ourAddresses(frontConfig{PublicURL: "https://sign.acme.be"})
	if err != nil {
		t.Fatal(err)
	}
	s := &sources{ours: ours, issuer: ca.NewClient(filepath.Join(t.TempDir(), "no.sock"), time.Second), Fetcher: revocation.NewFetcher(revocation.FetcherConfig{})}
	const base = "http://sign.acme.be/pki/"
	for name, tc := range map[string]struct {
		ask  func(ctx context.Context) ([]byte, error)
		want error
	}{
		"ocsp":              {func(ctx context.Context) ([]byte, error) { return s.OCSP(ctx, base+"ocsp", []byte("q")) }, revocation.ErrUnreachable},
		"crl":               {func(ctx context.Context) ([]byte, error) { return s.CRL(ctx, base+"crl/issuing-ca.crl") }, revocation.ErrUnreachable},
		"certificate":       {func(ctx context.Context) ([]byte, error) { return s.Certificate(ctx, base+"ca/root.crt") }, revocation.ErrUnreachable},
		"another responder": {func(ctx context.Context) ([]byte, error) { return s.OCSP(ctx, base+"ocsp2", []byte("q")) }, revocation.ErrRefused},
		"a path":            {func(ctx context.Context) ([]byte, error) { return s.CRL(ctx, base+"../v1/health") }, revocation.ErrRefused},
		"a private host":    {func(ctx context.Context) ([]byte, error) { return s.CRL(ctx, "http://127.0.0.1:1/x") }, revocation.ErrRefused},
	} {
		if got, err := tc.ask(t.Context()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}
