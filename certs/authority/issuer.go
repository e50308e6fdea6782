package authority

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"tekend/certs"
)

// Previous is an issuing CA from before a roll-over. It issues no certificates
// any more, and goes on signing the CRL and the OCSP answers about those that it
// issued, until its last CRL (EN 319 411-2 CSS-6.3.10-07).
type Previous struct {
	// Name is under which it is published: ca/<name>.crt and crl/<name>.crl, as its certificates say. Example: issuing-ca
	Name string `yaml:"name"`
	// CertFile is its certificate, PEM or DER.
	CertFile string `yaml:"cert_file"`
	// Key is the label of its key pair in the token.
	Key string `yaml:"key"`
}

// defaultIssuer is the name of the first issuing CA.
const defaultIssuer = "issuing-ca"

// issuerName is what stands in addresses; it is a file's name too.
var issuerName = regexp.MustCompile(`^issuing-ca(-[1-9][0-9]{0,3})?$`)

// issuer is one issuing CA of the role, with what it publishes.
type issuer struct {
	name   string
	cert   *x509.Certificate
	signer crypto.Signer

	// revoked is the newest revocation (seq) of its certificates that is known here.
	revoked atomic.Int64
	// newest is when its last certificate was issued, in seconds since 1970.
	newest atomic.Int64
	crl    crlState
	ocsp   responder
}

// readIssuers reads the certificates of the issuing CAs, the current one first.
func (r *Role) readIssuers(dep Dependencies) error {
	list := []Previous{{Name: r.cfg.IssuerName, CertFile: r.cfg.IssuingCAFile}}
	list = append(list, r.cfg.Previous...)
	for i, p := range list {
		cert, err := readCertificate(p.CertFile)
		if err != nil {
			return err
		}
		signer := dep.Signer
		if i > 0 {
			signer = dep.Previous[p.Name]
		}
		if signer == nil {
			return fmt.Errorf("the key of %s is missing", p.Name)
		}
		if err := cert.CheckSignatureFrom(r.root); err != nil {
			return fmt.Errorf("the root did not issue the certificate of %s: %w", p.Name, err)
		}
		if !certs.SameKey(signer.Public(), cert.PublicKey) {
			return fmt.Errorf("the key is not that of the certificate of %s", p.Name)
		}
		if r.issuer(p.Name) != nil {
			return fmt.Errorf("%s is named twice", p.Name)
		}
		for _, other := range r.issuers {
			if certs.SameKey(other.cert.PublicKey, cert.PublicKey) {
				return fmt.Errorf("%s and %s have one key: CRLs of one would count for the other", other.name, p.Name)
			}
		}
		r.issuers = append(r.issuers, &issuer{name: p.Name, cert: cert, signer: signer})
	}
	r.issuing, r.signer = r.issuers[0].cert, r.issuers[0].signer
	return nil
}

// issuer finds an issuing CA by its name, nil if it is none of this role.
func (r *Role) issuer(name string) *issuer {
	for _, i := range r.issuers {
		if i.name == name {
			return i
		}
	}
	return nil
}

// checkIssuers says what is wrong with the names of issuing CAs.
func (c *Config) checkIssuers() error {
	if !issuerName.MatchString(c.IssuerName) {
		return errors.New("ca: issuer_name must be issuing-ca or issuing-ca- and a number")
	}
	for _, p := range c.Previous {
		if !issuerName.MatchString(p.Name) || p.CertFile == "" {
			return errors.New("ca: previous: each needs a name (issuing-ca, issuing-ca-2, …) and a cert_file")
		}
	}
	return nil
}

// issued tells that a certificate of this CA was issued: its CRL is from before it.
func (i *issuer) issued(t time.Time) { raise(&i.newest, t.Unix()) }
