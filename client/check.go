package client

import (
	"bytes"
	"crypto/subtle"
	"crypto/x509"
	"slices"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/tsa"
)

// A product comes over the network from a service that may be owned: nothing of it is embedded before it is proven to be a
// signature over exactly the digest that was sent, of the form that the format demands.

// proven is what of a product is used further.
type proven struct {
	signer *x509.Certificate
	chain  []*x509.Certificate // the signer's first
	time   time.Time           // genTime of the time-stamp; now at level B-B
}

func badProduct(detail string, cause error) error { return wrap(CodeBadProduct, detail, cause) }

// prove verifies a product against the preparation that it belongs to.
func (c *Client) prove(p *Preparation, got *Product) (*proven, error) {
	now := c.cfg.Now()
	switch {
	case got == nil || got.Format != p.Format:
		return nil, badProduct("it is of another format", nil)
	case !atLeast(got.Level, p.ordered()):
		return nil, badProduct("its level is below the one ordered", nil)
	}
	sd, err := cms.Parse(got.CMS, cms.Budget{Bytes: maxCMS})
	if err != nil {
		return nil, badProduct("CMS", err)
	}
	if !sd.ContentType.Equal(cms.OIDData) || sd.HasContent || len(sd.SignerInfos) != 1 {
		return nil, badProduct("the CMS is not one detached signature over data", nil)
	}
	si := &sd.SignerInfos[0]
	cert, err := sd.SignerCertificate(0)
	if err != nil {
		return nil, badProduct("certificate", err)
	}
	if p.Format == PAdES && cert.NotBefore.After(p.At) {
		// /M was fixed before the certificate was made, and validators refuse a claimed time at which it was not valid.
		return nil, errf(CodeCertificateNew, "the person got a certificate after the document was prepared; prepare it again and order anew: the next preparation will do")
	}
	if err := p.checkAttributes(si, cert, now); err != nil {
		return nil, err
	}
	if err := si.VerifyValue(cert, p.Digest); err != nil {
		return nil, badProduct("value", err)
	}
	if !bytes.Equal(si.SignedAttrs, got.SignedAttributes) || !bytes.Equal(si.Value, got.Value) || len(got.Certificates) == 0 || !bytes.Equal(cert.Raw, got.Certificates[0]) {
		return nil, badProduct("its parts are not those of its CMS", nil)
	}
	out := &proven{signer: cert, time: now}
	for _, der := range slices.Concat(got.Certificates, sd.Certificates, got.Extra) {
		one, err := cms.ReadCertificate(der)
		if err != nil {
			return nil, badProduct("a certificate cannot be read", err)
		}
		out.chain = append(out.chain, one)
	}
	if err := c.proveTime(p, got, si, out); err != nil {
		return nil, err
	}
	if err := certs.CheckPath(cert, out.chain, c.cfg.Roots, out.time, certs.Signing); err != nil {
		return nil, badProduct("path", err)
	}
	return out, nil
}

// maxCMS bounds a CMS, in bytes: with level B-LTA of CAdES it holds revocation lists.
const maxCMS = 32 << 20

// maxBack is how far the claimed time of a CAdES signature may be before the preparation: two clocks that NTP has lost.
const maxBack = 10 * time.Minute

// checkAttributes holds the signed attributes to the digest, the hash, the certificate and the format: PAdES has no
// signing-time (EN 319 142-1 §6.3), CAdES has one.
func (p *Preparation) checkAttributes(si *cms.SignerInfo, cert *x509.Certificate, now time.Time) error {
	a, err := cms.ParseSignedAttributes(si.SignedAttrs)
	if err != nil {
		return badProduct("signed attributes", err)
	}
	if err := a.Check(cert); err != nil {
		return badProduct("signed attributes", err)
	}
	switch h := hashes[p.Hash]; {
	case cms.Algorithm(a.Algorithm).Hash() != h || subtle.ConstantTimeCompare(a.MessageDigest, p.Digest) != 1:
		return badProduct("it is over another digest", nil)
	case (p.Format == PAdES) != a.SigningTime.IsZero():
		return badProduct("its signed attributes are not those of "+p.Format, nil)
	case p.Format == CAdES && (a.SigningTime.Before(p.At.Add(-maxBack)) || a.SigningTime.After(now.Add(maxBack))):
		return badProduct("its signing-time is not between the order and now", nil)
	}
	for _, u := range si.Unsigned {
		if p.Format == PAdES && !u.Type.Equal(cms.OIDSignatureTimeStamp) {
			return badProduct("it has an unsigned attribute that PAdES does not know", nil)
		}
	}
	return nil
}

// proveTime verifies the signature time-stamp, which levels from B-T on have exactly once.
func (c *Client) proveTime(p *Preparation, got *Product, si *cms.SignerInfo, out *proven) error {
	tokens := si.TimeStampTokens()
	if p.Level == "B-B" && len(tokens) == 0 {
		return nil
	}
	if len(tokens) != 1 || !bytes.Equal(tokens[0], got.TimeStamp) {
		return badProduct("it does not have exactly the one signature time-stamp", nil)
	}
	t, err := tsa.ParseToken(tokens[0])
	if err != nil {
		return badProduct("time-stamp", err)
	}
	imprint := t.Hash.New()
	imprint.Write(si.Value)
	at := c.cfg.Now().Add(maxSkew)
	if err := t.Verify(tsa.VerifyOptions{Imprint: imprint.Sum(nil), Hash: t.Hash, Roots: c.cfg.Roots, Intermediates: out.chain, At: at}); err != nil {
		return badProduct("time-stamp", err)
	}
	if t.GenTime.Before(p.At.Add(-maxBack)) {
		return badProduct("its time-stamp is older than the order", nil)
	}
	out.time = t.GenTime
	return nil
}

// maxSkew is how far the time-stamping unit's clock may be before ours.
const maxSkew = time.Minute
