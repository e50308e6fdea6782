package authority_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"log/slog"
	"path"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	collecting "tekend/revocation"
)

// ours asks the role over the front's socket, as cmd/tekend does for our own addresses.
type ours struct{ front *ca.Client }

func (o ours) OCSP(ctx context.Context, _ string, query []byte) ([]byte, error) {
	return o.front.OwnOCSP(ctx, query)
}

func (o ours) CRL(ctx context.Context, address string) ([]byte, error) {
	der, _, err := o.front.Published(ctx, "crl/"+path.Base(address))
	return der, err
}

func (o ours) Certificate(ctx context.Context, address string) ([]byte, error) {
	der, _, err := o.front.Published(ctx, "ca/"+path.Base(address))
	return der, err
}

// TestProductsGetTheirDataThoughStrangersAsk: while strangers use up their signatures with nonces, each document's data is of
// after its time-stamp; a revocation is seen by the next one; and with the responder gone the list serves.
func TestProductsGetTheirDataThoughStrangersAsk(t *testing.T) {
	w := newWorld(t)
	w.cfg.OCSPLive = 5
	w.start()
	leaf, issuing := w.issued(), w.issuing()
	root := parse(t, func() []byte { der, _, err := w.front.Published(t.Context(), "ca/root.crt"); must(t, err); return der }())
	c := collecting.New(collecting.Config{Source: ours{w.front}, Now: w.now, Log: slog.New(slog.DiscardHandler), Wait: func(_ context.Context, d time.Duration) error {
		w.advance(d)
		return nil
	}})
	w.says(leaf)
	for n := range 20 {
		w.advance(1700 * time.Millisecond)
		for range 20 {
			got(w.ask(query(t, issuing, crypto.SHA1, nonce(16), leaf)))(t)
		}
		since := w.now()
		s, err := c.Status(t.Context(), leaf, issuing, since)
		if err != nil || s.State != certs.StatusGood || s.ThisUpdate.Before(since) || s.Nonce == nil {
			t.Fatalf("document %d: %+v %v", n, s, err)
		}
		m, err := c.Material(t.Context(), []collecting.Need{{Path: []*x509.Certificate{leaf, issuing, root}, Since: since}})
		if err != nil || len(m.OCSPs) != 1 || len(m.CRLs) != 1 || len(m.Certificates) != 4 {
			t.Fatalf("document %d: %d answers, %d lists, %d certificates, %v", n, len(m.OCSPs), len(m.CRLs), len(m.Certificates), err)
		}
	}
	w.advance(5 * time.Second)
	out := got(w.sam.Revoke(t.Context(), bySAM(serialOf(leaf), ca.ReasonKeyCompromise)))(t)
	w.advance(5 * time.Second)
	if s, err := c.Status(t.Context(), leaf, issuing, w.now()); err != nil || s.State != certs.StatusRevoked || !s.RevokedAt.Equal(out.At) {
		t.Errorf("%+v %v", s, err)
	}
	// Signed with the CA's key and in no record: the list does not name it, and that proves nothing.
	pub := certs.PublishedBy(w.cfg.PublicURL, w.issuerName(), w.cfg.CPSURL)
	pub.PDS = w.cfg.PDS
	never := parse(t, got(certs.Issue(certs.Issuer{Cert: issuing, Signer: w.key.Signer}, certs.Order{
		Profile: certs.NaturalPerson, Subject: got(certs.NewPerson("", "Jan", "Jansen", "BE"))(t).Subject(), PublicKey: ecKey(t).Public(),
		NotBefore: w.now(), NotAfter: w.now().Add(time.Hour), Publication: pub, Identified: true,
	}))(t))
	if _, err := c.Status(t.Context(), never, issuing, time.Time{}); !errors.Is(err, collecting.ErrRefused) {
		t.Errorf("a certificate that was never issued: %v", err)
	}
}
