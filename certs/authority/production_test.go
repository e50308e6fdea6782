package authority_test

import (
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"

	"tekend/certs"
	"tekend/certs/authority"
	"tekend/db/dbtest"
)

// TestInProductionCertificatesAreReal: with CAs of a production ceremony and a policy of our own, a person's certificate and
// the responder's say nothing of a sandbox; with a sandbox's CA, or without such a policy, the role does not start.
func TestInProductionCertificatesAreReal(t *testing.T) {
	w := newWorld(t)
	w.cfg.Production, w.cfg.PolicyOID = true, "1.3.6.1.4.1.55555.1.1"
	if role, err := authority.New(t.Context(), w.cfg, w.dependencies()); err == nil {
		must(t, role.Close())
		t.Error("a real service issues below a sandbox's CA")
	}
	now, rootKey := w.now(), ecKey(t)
	name := func(cn string) certs.Subject {
		return certs.Subject{Country: "BE", Organisation: "Acme NV", OrganisationID: "NTRBE-0123456789", CommonName: cn}
	}
	pub := certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps")
	root := parse(t, got(certs.Issue(certs.Issuer{Signer: rootKey}, certs.Order{
		Profile: certs.Root, Subject: name("Acme Root CA"), PublicKey: rootKey.Public(), NotBefore: now, NotAfter: now.AddDate(20, 0, 0), Real: true,
	}))(t))
	ca := certs.Issuer{Cert: root, Signer: rootKey}
	w.write("root.crt", root.Raw)
	w.write("issuing.crt", got(certs.Issue(ca, certs.Order{
		Profile: certs.IssuingCA, Subject: name("Acme Issuing CA"), PublicKey: w.key.Public(), NotBefore: now, NotAfter: now.AddDate(6, 0, 0), Publication: pub, Real: true,
	}))(t))
	w.write("tsu.crt", got(certs.Issue(ca, certs.Order{
		Profile: certs.TSU, Subject: name("Acme Unit 1"), PublicKey: ecKey(t).Public(), NotBefore: now, NotAfter: now.AddDate(6, 0, 0), Publication: pub, Real: true,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1, 2},
	}))(t))
	w.write("root.crl", got(certs.CRL(ca, big.NewInt(1), nil, now, now.AddDate(1, 0, 0)))(t))
	w.cfg.DB = dbtest.Source(t, w.path("real.db"))
	w.cfg.PolicyOID = ""
	if role, err := authority.New(t.Context(), w.cfg, w.dependencies()); err == nil {
		must(t, role.Close())
		t.Error("a real service issues under the test policy")
	}
	w.cfg.PolicyOID = "1.3.6.1.4.1.55555.1"
	w.cfg.DB = dbtest.Source(t, w.path("again.db"))
	w.start()
	cert := w.issued()
	if strings.Contains(cert.Subject.String(), certs.SandboxMark) || cert.Subject.CommonName != "Jan Jansen" {
		t.Errorf("the certificate is for %s", cert.Subject)
	}
	own := func(p asn1.ObjectIdentifier) bool { return p.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1}) }
	if !slices.ContainsFunc(cert.PolicyIdentifiers, own) || slices.ContainsFunc(cert.PolicyIdentifiers, certs.IsTestPolicy) {
		t.Errorf("its policies are %v", cert.PolicyIdentifiers)
	}
}
