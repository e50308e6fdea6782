package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tekend/audit"
	"tekend/certs"
	"tekend/tsa"
)

// fileAuditKey is the name of a role's log key in its folder, as the ceremony makes it.
const fileAuditKey = "audit-log.pem"

// auditLog completes the section `audit:` of a role's file. own is the trust anchor of our own certificates.
func auditLog(p *program, c audit.LogConfig, own *x509.Certificate) (audit.LogConfig, error) {
	if c.Origin == "" || c.KeyFile == "" {
		return c, errors.New("audit: origin or key_file is missing: without a log of the record there are no acts")
	}
	if c.Anchor.URL == "" {
		return c, nil // health says it
	}
	stamper, err := anchorClient(p, c.Anchor, own)
	if err != nil {
		return c, err
	}
	c.Stamper = stamper
	return c, nil
}

// foreignTSA anchors checkpoints.
type foreignTSA struct{ client *tsa.Client }

// Stamp asks for a token over a SHA-256 digest.
func (f foreignTSA) Stamp(ctx context.Context, digest []byte) ([]byte, time.Time, error) {
	t, err := f.client.Stamp(ctx, digest, crypto.SHA256)
	if err != nil {
		return nil, time.Time{}, err
	}
	return t.Raw, t.GenTime, nil
}

// anchorClient refuses our own authority: it would only repeat what we say.
func anchorClient(p *program, c audit.AnchorConfig, own *x509.Certificate) (audit.Stamper, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("audit.anchor.url must be an http or https address")
	}
	roots, err := foreignRoots(c.RootFile, own)
	if err != nil {
		return nil, err
	}
	hc := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return foreignTSA{tsa.NewClient(tsa.ClientConfig{URL: c.URL, Roots: roots, Now: p.now}, hc)}, nil
}

// foreignRoots reads the anchor's trust anchor, which must not have the key of ours.
func foreignRoots(file string, own *x509.Certificate) (*x509.CertPool, error) {
	chain, err := readChain([]string{file})
	if err != nil {
		return nil, fmt.Errorf("audit.anchor.root_file: %w", err)
	}
	if own != nil && certs.SameKey(chain[0].PublicKey, own.PublicKey) {
		return nil, errors.New("audit.anchor.root_file is our own root: an anchor must be a foreign authority's")
	}
	roots := x509.NewCertPool()
	roots.AddCert(chain[0])
	return roots, nil
}

// background runs until it is closed.
type background struct {
	stop context.CancelFunc
	done chan struct{}
}

// inBackground starts run, which ends with its context. The signal that stops the program does not stop it: what a role
// still does after the signal is to be covered too.
func inBackground(ctx context.Context, run func(context.Context)) background {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	b := background{stop, make(chan struct{})}
	go func() {
		defer close(b.done)
		run(ctx)
	}()
	return b
}

// Close ends it and waits.
func (b background) Close() error {
	b.stop()
	<-b.done
	return nil
}

// origin names a role's log: the host of the front is what others know us by.
func (c *ceremonyConfig) origin(role string) string {
	u, err := url.Parse(c.PublicURL) // complete has parsed it
	if err != nil {
		return ""
	}
	return u.Host + "/audit/" + role
}

// auditKeys makes each role's log key and publishes the verifier keys, for witnesses and for whoever verifies a proof.
func (c *ceremony) auditKeys() error {
	for _, role := range c.w.logs {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := c.cfg.role(role).give(fileAuditKey, text, keepOld); err != nil {
			return err
		}
		vkey := audit.VerifierKey(c.cfg.origin(role), pub)
		if c.report.AuditLogs == nil {
			c.report.AuditLogs = map[string]string{}
		}
		c.report.AuditLogs[role] = vkey
		if err := writePublic(c.cfg.PKIDir, "audit/"+role+".vkey", []byte(vkey+"\n")); err != nil {
			return err
		}
	}
	return nil
}
