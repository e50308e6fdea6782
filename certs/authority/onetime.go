package authority

import (
	"crypto/x509"
	"fmt"
	"time"

	"tekend/ca"
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

// minLife is the shortest life of a certificate that an algorithm's end cuts off:
// less is not what a person expects who identifies for it.
const minLife = 30 * 24 * time.Hour

// order is what a certificate of this role contains. It ends with the issuing CA
// and before an algorithm that it rests on: its key's, its issuer's.
func (r *Role) order(v *verified) (certs.Order, error) {
	profile := profileOf(v.application)
	from := r.cfg.Now().UTC().Truncate(time.Second)
	to, least := from.Add(r.cfg.Life), min(minLife, r.cfg.Life)
	if profile == certs.OneTime {
		to, least = from.Add(r.cfg.OneTimeLife), minOneTimeLife
	}
	if to.After(r.issuing.NotAfter) {
		to = r.issuing.NotAfter
	}
	last, err := certs.LastNotAfter(v.signs, v.key, r.issuing, to)
	if err != nil {
		return certs.Order{}, refuse(ca.CodeBadKey, err.Error())
	}
	if last.Before(to) && last.Sub(from) < least {
		return certs.Order{}, refuse(ca.CodeBadKey, fmt.Sprintf(
			"%v, or what the issuing CA signs with, ends too soon for a certificate: set sam.key_type to P-256, P-384 or RSA-3072-PSS, and certify an issuing CA with an EC key", v.signs))
	}
	published := certs.PublishedBy(r.cfg.PublicURL, r.cfg.IssuerName, r.cfg.CPSURL)
	published.PDS = r.cfg.PDS
	return certs.Order{
		Profile: profile, Subject: v.person.Subject(), PublicKey: v.key, Signs: v.signs, NotBefore: from, NotAfter: last, Publication: published, Identified: true,
		Policy: r.cfg.policy(), Real: r.cfg.Production, LegalBasis: r.cfg.SerialNumber.LegalBasis,
	}, nil
}
