package client_test

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"tekend/certs"
	"tekend/client"
)

// vouches knows every certificate to be good, now.
type vouches struct{}

func (vouches) Status(context.Context, *x509.Certificate, *x509.Certificate, time.Time) (*certs.Status, error) {
	now := time.Now().Add(time.Minute)
	return &certs.Status{State: certs.StatusGood, ThisUpdate: now, NextUpdate: now.Add(time.Hour), ProducedAt: now, Kind: "ocsp"}, nil
}

// TestALevelIsInTheFile: who can ask about certificates does not for that get a file of B-LT that lacks their status.
func TestALevelIsInTheFile(t *testing.T) {
	w := newWorld(t)
	cfg := client.Config{BaseURL: "http://127.0.0.1:1", Key: apiKey, TSA: w.tsaURL, Roots: w.roots, Now: time.Now, Revocation: vouches{}}
	c, err := client.New(cfg)
	check(t, err)
	doc := sample(t, "libreoffice-writer.pdf")
	for _, level := range []string{"B-LT", "B-LTA"} {
		p := prepare(t, c, doc, client.Options{Level: level})
		for name, change := range map[string]func(*client.Product){
			"no OCSP": func(p *client.Product) { p.OCSPs = nil },
			"no CRL":  func(p *client.Product) { p.CRLs = nil },
			"neither": func(p *client.Product) { p.OCSPs, p.CRLs = nil, nil },
		} {
			s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{product: change}))
			if s != nil || codeOf(err) != client.CodeNotPassed {
				t.Errorf("%s, %s: %+v %v", level, name, s, err)
			}
		}
		s, err := c.Finish(t.Context(), doc, doc.Size(), p, w.sign(t, p, lies{}))
		check(t, err)
		if s.Level != level {
			t.Error(s.Level)
		}
	}
}
