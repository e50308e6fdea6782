package activation_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs/authority"
	"tekend/sam"
	"tekend/sam/activation"
)

// TestNationalNumberIsAskedForByLawAlone: with a legal basis at the sam and at
// the ca a certificate has the number of itsme's token. Without one at the sam
// it is not asked for, and the ca that wants it refuses.
func TestNationalNumberIsAskedForByLawAlone(t *testing.T) {
	const law = "Act of 8 August 1983, Art. 5"
	for name, basis := range map[string]string{"by law": law, "not asked for": "", "a law of blanks": " "} {
		w := newWorld(t, func(c *activation.Config) { c.NationalNumber = activation.NationalNumber{LegalBasis: basis} })
		cfg := w.caConfig("numbered.db")
		cfg.SerialNumber = authority.SerialNumber{Scheme: "PNOBE", LegalBasis: law}
		role := w.openCA(cfg)
		w.listen("numbered.sock", role.Handler())
		w.status.Store(http.HandlerFunc(role.StatusHandler().ServeHTTP))
		w.ca = ca.NewClient(w.path("numbered.sock"), 20*time.Second)
		if basis != law {
			st := w.toIssue("approve")
			if _, err := w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)); err == nil || !strings.Contains(err.Error(), "national number") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		subject := leaf(t, w.enrol("approve")).Subject
		number, ok := strings.CutPrefix(subject.SerialNumber, "PNOBE-")
		if !ok || len(number) != 11 {
			t.Fatalf("%s: serial number of %d characters", name, len(subject.SerialNumber))
		}
	}
}

// TestProductionTakesNoSandboxCertificate: a sam for real people refuses a
// certificate with the mark of a sandbox, whatever CA made it.
func TestProductionTakesNoSandboxCertificate(t *testing.T) {
	w := newWorld(t, func(c *activation.Config) { c.Production = true })
	st := w.toIssue("approve")
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
	if _, err := w.front.Certificate(t.Context(), st.ID, issued.Chain); code(err) != sam.CodeCertificateNotGood {
		t.Errorf("%v", err)
	}
}
