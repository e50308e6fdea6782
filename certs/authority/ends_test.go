package authority_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/db/dbtest"
)

// lastSecond is when a certificate that rests on PKCS #1 v1.5 ends at the latest.
var lastSecond = time.Date(2028, 12, 31, 23, 59, 59, 0, time.UTC)

// requestBy makes the enrolment's request with a signature algorithm.
func (e *enrolment) requestBy(key crypto.Signer, alg x509.SignatureAlgorithm) *enrolment {
	e.key = key
	e.csr = got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: alg}, key))(e.w.t)
	return e
}

// TestCertificatesEndWithTheirAlgorithm: the request tells how the key signs. By PKCS #1 v1.5 the certificate ends with 2028;
// when less than a month is left there is none, and the refusal says what to configure.
func TestCertificatesEndWithTheirAlgorithm(t *testing.T) {
	w := newWorld(t)
	rsaKey := func() crypto.Signer { return got(rsa.GenerateKey(rand.Reader, 3072))(t) }
	life := 2 * 365 * 24 * time.Hour
	for _, c := range []struct {
		name string
		days int // before the end
		once bool
		key  crypto.Signer
		alg  x509.SignatureAlgorithm
		last bool // it ends with the algorithm
		code string
	}{
		{"PKCS #1 v1.5, two years before", 740, false, rsaKey(), x509.SHA256WithRSA, false, ""},
		{"PKCS #1 v1.5, a year before", 365, false, rsaKey(), x509.SHA256WithRSA, true, ""},
		{"PKCS #1 v1.5 by SHA-512, a year before", 365, false, rsaKey(), x509.SHA512WithRSA, true, ""},
		{"PSS, a year before", 365, false, rsaKey(), x509.SHA256WithRSAPSS, false, ""},
		{"P-256, a year before", 365, false, ecKey(t), x509.ECDSAWithSHA256, false, ""},
		{"PKCS #1 v1.5, a month before", 31, false, rsaKey(), x509.SHA256WithRSA, true, ""},
		{"PKCS #1 v1.5, 29 days before", 29, false, rsaKey(), x509.SHA256WithRSA, true, ca.CodeBadKey},
		{"once, PKCS #1 v1.5, 29 days before", 29, true, rsaKey(), x509.SHA256WithRSA, false, ""},
		{"once, PKCS #1 v1.5, on the day", 0, true, rsaKey(), x509.SHA256WithRSA, true, ca.CodeBadKey},
		{"PKCS #1 v1.5, after", -1, false, rsaKey(), x509.SHA256WithRSA, true, ca.CodeBadKey},
		{"PSS, after", -1, false, rsaKey(), x509.SHA256WithRSAPSS, false, ""},
	} {
		w.clock.Store(lastSecond.Add(time.Second).AddDate(0, 0, -c.days).UnixNano())
		e := w.enrolment().requestBy(c.key, c.alg)
		want := life
		if e.app.OneTime = c.once; c.once {
			want = 24 * time.Hour
		}
		before := w.signatures()
		out, err := w.front.Issue(t.Context(), e.order())
		if code(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err != nil {
			if c.days > 0 && !strings.Contains(err.Error(), "sam.key_type") || w.signatures() != before {
				t.Errorf("%s: %v; the CA's key signed %d times", c.name, err, w.signatures()-before)
			}
			continue
		}
		cert := parse(t, out.Chain[0])
		if c.last != cert.NotAfter.Equal(lastSecond) || !c.last && cert.NotAfter.Sub(cert.NotBefore) != want {
			t.Errorf("%s: from %v to %v", c.name, cert.NotBefore, cert.NotAfter)
		}
	}
}

// TestAnIssuingCAWithPKCS1Ends: whatever the person's key is, below such a CA every certificate rests on PKCS #1 v1.5. The
// role then still starts and publishes, and says that it cannot issue.
func TestAnIssuingCAWithPKCS1Ends(t *testing.T) {
	w := newWorld(t)
	w.key = &caKey{Signer: got(rsa.GenerateKey(rand.Reader, 3072))(t)}
	o := certs.Order{
		Profile: certs.IssuingCA, Subject: subject("Tekend SANDBOX Issuing CA"), PublicKey: w.key.Public(), NotBefore: w.root.NotBefore, NotAfter: w.root.NotBefore.AddDate(6, 0, 0),
		Publication: certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps"),
	}
	w.write("issuing.crt", got(certs.Issue(w.rootCA, o))(t))
	w.cfg.DB = dbtest.Source(t, w.path("ca-rsa.db"))
	w.start()
	w.clock.Store(lastSecond.AddDate(-1, 0, 0).UnixNano())
	if cert := parse(t, got(w.front.Issue(t.Context(), w.enrolment().order()))(t).Chain[0]); !cert.NotAfter.Equal(lastSecond) {
		t.Errorf("it ends on %v", cert.NotAfter)
	}
	w.clock.Store(lastSecond.AddDate(0, 0, -7).UnixNano())
	w.start()
	if _, err := w.front.Issue(t.Context(), w.enrolment().order()); code(err) != ca.CodeBadKey {
		t.Error(err)
	}
	if reasons := strings.Join(w.role.Health(t.Context()).Reasons, "\n"); !strings.Contains(reasons, "ends too soon") {
		t.Error(reasons)
	}
}
