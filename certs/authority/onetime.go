package authority

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"time"

	"tekend/certs"
	"tekend/consent"
)

// maxOneTimeLife bounds a one-time certificate: the 24 hours within which a
// revocation would have to be published (Regulation 910/2014 Art 24(3),
// EN 319 411-1 REV-6.2.4-03A).
const maxOneTimeLife = 24 * time.Hour

// minOneTimeLife leaves room for the session of 30 minutes and the time-stamp.
const minOneTimeLife = time.Hour

func (c *Config) checkOneTime() error {
	if c.OneTimeLife = or(c.OneTimeLife, maxOneTimeLife); c.OneTimeLife < minOneTimeLife || c.OneTimeLife > maxOneTimeLife {
		return fmt.Errorf("ca: one_time_life must be within %v and %v", minOneTimeLife, maxOneTimeLife)
	}
	return nil
}

// profileOf is the profile that an application asks for. The person saw it: the
// text that he confirmed says that the certificate is for one time.
func profileOf(a consent.Application) certs.Profile {
	if a.OneTime {
		return certs.OneTime
	}
	return certs.NaturalPerson
}

// outdated tells that a certificate was issued: the CRL is from before it. One
// that names no CRL makes none old, so that a house with many one-time
// certificates does not sign its CRL for each.
func (i *issuer) outdated(der []byte, at time.Time) {
	if cert, err := x509.ParseCertificate(der); err == nil && len(cert.CRLDistributionPoints) == 0 {
		return
	}
	i.issued(at)
}

// order is what a certificate of this role contains.
func (r *Role) order(p certs.Person, key crypto.PublicKey, profile certs.Profile) certs.Order {
	from := r.cfg.Now().UTC().Truncate(time.Second)
	to := from.Add(r.cfg.Life)
	if profile == certs.OneTime {
		to = from.Add(r.cfg.OneTimeLife)
	}
	if to.After(r.issuing.NotAfter) {
		to = r.issuing.NotAfter
	}
	published := certs.PublishedBy(r.cfg.PublicURL, r.cfg.IssuerName, r.cfg.CPSURL)
	published.PDS = r.cfg.PDS
	return certs.Order{
		Profile: profile, Subject: p.Subject(), PublicKey: key, NotBefore: from, NotAfter: to, Publication: published, Identified: true,
		Policy: r.cfg.policy(), Real: r.cfg.Production, LegalBasis: r.cfg.SerialNumber.LegalBasis,
	}
}
