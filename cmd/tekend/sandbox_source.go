package main

import (
	"context"
	"net/url"
	"slices"

	"tekend/revocation"
)

// sandboxSource is revocation data for who tries the sandbox out: its own addresses, which are on this machine, are asked,
// and other private ones stay refused.
type sandboxSource struct {
	others, own revocation.Source
	hosts       []string
}

func hostsOf(addresses ...string) (hosts []string) {
	for _, a := range addresses {
		if u, err := url.Parse(a); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts
}

func (s *sandboxSource) of(address string) revocation.Source {
	if u, err := url.Parse(address); err == nil && slices.Contains(s.hosts, u.Host) {
		return s.own
	}
	return s.others
}

// OCSP implements revocation.Source.
func (s *sandboxSource) OCSP(ctx context.Context, address string, query []byte) ([]byte, error) {
	return s.of(address).OCSP(ctx, address, query)
}

// CRL implements revocation.Source.
func (s *sandboxSource) CRL(ctx context.Context, address string) ([]byte, error) {
	return s.of(address).CRL(ctx, address)
}

// Certificate implements revocation.Source.
func (s *sandboxSource) Certificate(ctx context.Context, address string) ([]byte, error) {
	return s.of(address).Certificate(ctx, address)
}
