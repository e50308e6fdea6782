package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"tekend/certs"
	"tekend/client"
	"tekend/tsa"
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

// TestNoDocumentTimeStamp: an authority that is away costs nothing but another call; one that lies is told from it.
func TestNoDocumentTimeStamp(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	doc := sample(t, "libreoffice-writer.pdf")
	for name, one := range map[string]struct {
		tsa  string
		away bool
	}{"away": {"http://127.0.0.1:1/tsa", true}, "under a root that is not trusted": {stranger.tsaURL, false}} {
		c, err := client.New(client.Config{BaseURL: "http://127.0.0.1:1", Key: apiKey, TSA: one.tsa, Roots: w.roots, Now: time.Now})
		check(t, err)
		p := prepare(t, c, doc, client.Options{Level: "B-LTA"})
		got := w.sign(t, p, lies{})
		if s, err := c.Finish(t.Context(), doc, doc.Size(), p, got); s != nil || codeOf(err) != client.CodeTimeStamp || errors.Is(err, tsa.ErrUnreachable) != one.away {
			t.Errorf("%s: %v %v", name, s, err)
		}
		if s, err := w.client(t, "").Finish(t.Context(), doc, doc.Size(), p, got); err != nil || s.Level != "B-LTA" {
			t.Errorf("%s: the same again: %v", name, err)
		}
	}
}
