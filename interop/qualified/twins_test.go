//go:build interop

package qualified

import (
	"encoding/asn1"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

// verdict is what DSS shall say. A list of keys is what it has to object
// (its errors) or to remark (its warnings) about the qualification.
type verdict struct {
	qualification, indication, stamp string
	errors, warnings                 string
	accepted                         bool // with what we demand besides
}

// twin is a signature and a list of which one thing is not as it should be.
type twin struct {
	name string
	list list
	file string
	want verdict
}

// twinWorld has a product of ours, and signatures of people whose
// certificates our ca would never issue, all with time-stamps of our unit.
type twinWorld struct {
	s       *sandboxtest.Sandbox
	product string
	ca      *testCA
	signed  map[string]string // by person: file
	before  time.Time         // before every time-stamp
	after   time.Time         // after every one
}

// people are the certificates of the test CA.
var people = map[string]wish{
	"good":          {goodStatements(), "/ca.crl"},
	"no-sscd":       {[]statement{{qcCompliance, nil}, {qcType, []asn1.ObjectIdentifier{qcTypeESign}}}, "/ca.crl"},
	"no-compliance": {goodStatements()[1:], "/ca.crl"},
	"legislation":   {append(goodStatements(), statement{qcLegislation, []string{"BE"}}), "/ca.crl"},
	"eseal":         {[]statement{{qcCompliance, nil}, {qcSSCD, nil}, {qcType, []asn1.ObjectIdentifier{qcTypeESeal}}}, "/ca.crl"},
	"both":          {[]statement{{qcCompliance, nil}, {qcSSCD, nil}, {qcType, []asn1.ObjectIdentifier{qcTypeESign, qcTypeESeal}}}, "/ca.crl"},
	"no-type":       {goodStatements()[:2], "/ca.crl"},
	"short-term":    {goodStatements(), ""},
	"day-old-crl":   {goodStatements(), "/day.crl"},
	"old-crl":       {goodStatements(), "/old.crl"},
	"revoked":       {goodStatements(), "/ca.crl"},
	"later":         {goodStatements(), "/ca.crl"},
}

func newTwinWorld(t *testing.T) *twinWorld {
	t.Helper()
	w := &twinWorld{s: sandboxtest.Start(t), ca: newCA(t), signed: map[string]string{}, before: time.Now()}
	dir := t.TempDir()
	in := filepath.Join(sandboxtest.Root(t), "testdata/pdf/fpdf2.pdf")
	w.product = filepath.Join(dir, "product.pdf")
	w.s.Sign(t, "approve", w.product, in)
	var orders strings.Builder
	signers := map[string]signer{}
	for name, wish := range people {
		p := w.ca.person(t, name, wish)
		signers[name], w.signed[name] = p, filepath.Join(dir, name+".pdf")
		fmt.Fprintf(&orders, "%s\t%s\t%s\t%s\t%s\t%s\n", p.key, p.pem, w.ca.pem, w.s.Info(t).TSA, in, w.signed[name])
	}
	w.ca.revoke(signers["revoked"], w.before.Add(-time.Hour))
	file := filepath.Join(dir, "orders")
	write(t, file, []byte(orders.String()))
	if _, err := java(t, "Sign", file); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // lists and CRLs know whole seconds only
	w.after = time.Now()
	w.ca.revoke(signers["later"], w.after)
	return w
}

// listed is the list in which the sandbox is as it should be, and its CA is
// the test CA's.
func (w *twinWorld) listed(info string, ca ...status) list {
	return list{services: []service{
		{"CA/QC", w.ca.pem, info, ca},
		{"TSA/QTST", filepath.Join(w.s.Dir, "pki/tsu.pem"), "", []status{{"granted", w.before.AddDate(-1, 0, 0)}}},
	}}
}

// ours is the list of the sandbox's own CA.
func (w *twinWorld) ours(info string, ca ...status) list {
	l := w.listed(info, ca...)
	l.services[0].certificate = filepath.Join(w.s.Dir, "pki/issuing-ca.pem")
	return l
}

func (w *twinWorld) twins() []twin {
	long := status{"granted", w.before.AddDate(-1, 0, 0)}
	withdrawn := func(at time.Time) []status { return []status{{"withdrawn", at}, long} }
	good, ours := w.listed("ForeSignatures", long), w.ours("ForeSignatures", long)
	but := func(change func(*list)) list { l := w.ours("ForeSignatures", long); change(&l); return l }
	qesig := verdict{"QESIG", "TOTAL_PASSED", "QTSA", "", "", true}
	const (
		noQC   = "QUAL_QC_AT_CC_ANS,QUAL_QC_AT_ST_ANS,QUAL_QSCD_AT_CC_ANS,QUAL_QSCD_AT_ST_ANS"
		noCAQC = "QUAL_HAS_VALID_CAQC_ANS"
	)
	return []twin{
		{"product of ours", ours, w.product, qesig},
		{"twin with nothing wrong", good, w.signed["good"], qesig},

		// the certificate
		{"no QcSSCD", good, w.signed["no-sscd"], verdict{"ADESIG_QC", "TOTAL_PASSED", "QTSA", "", "QUAL_QSCD_AT_CC_ANS,QUAL_QSCD_AT_ST_ANS", false}},
		{"no QcCompliance", good, w.signed["no-compliance"], verdict{"ADESIG", "TOTAL_PASSED", "QTSA", "", noQC, false}},
		{"QcCClegislation", good, w.signed["legislation"], verdict{"ADESIG", "TOTAL_PASSED", "QTSA", "", noQC, false}},
		{"QcType eseal", good, w.signed["eseal"], verdict{"QESEAL", "TOTAL_PASSED", "QTSA", "", "", false}},
		{"QcType esign and eseal", good, w.signed["both"], verdict{"UNKNOWN_QC_QSCD", "TOTAL_PASSED", "QTSA", "", "QUAL_CERT_TYPE_AT_CC_ANS,QUAL_CERT_TYPE_AT_ST_ANS", false}},
		{"no QcType counts as esign", good, w.signed["no-type"], qesig},
		{"short-term", good, w.signed["short-term"], qesig},

		// its revocation
		{"CRL of 23 hours", good, w.signed["day-old-crl"], qesig},
		{"CRL of 25 hours", good, w.signed["old-crl"], verdict{"INDETERMINATE_QESIG", "INDETERMINATE/TRY_LATER", "QTSA", "", "QUAL_IS_ADES_IND", false}},
		{"revoked before the time-stamp", good, w.signed["revoked"], verdict{"INDETERMINATE_QESIG", "INDETERMINATE/REVOKED_NO_POE", "QTSA", "", "QUAL_IS_ADES_IND", false}},
		{"revoked after the time-stamp", good, w.signed["later"], qesig},

		// the services
		{"for seals only", w.ours("ForeSeals", long), w.product, verdict{"ADESIG", "TOTAL_PASSED", "QTSA", "QUAL_HAS_TS_CERT_TYPE_ANS", "", false}},
		{"withdrawn before issue", w.listed("ForeSignatures", withdrawn(w.before.AddDate(0, 0, -3))...), w.signed["good"], verdict{"ADESIG", "TOTAL_PASSED", "QTSA", noCAQC, "QUAL_HAS_GRANTED_ANS", false}},
		{"withdrawn before signing", w.listed("ForeSignatures", withdrawn(w.before.Add(-time.Hour))...), w.signed["good"], verdict{"ADESIG", "TOTAL_PASSED", "QTSA", noCAQC, "QUAL_HAS_GRANTED_ANS,QUAL_QC_AT_ST_ANS,QUAL_QSCD_AT_ST_ANS", false}},
		{"withdrawn after signing", w.listed("ForeSignatures", withdrawn(w.after)...), w.signed["good"], qesig},
		{"granted after issue", w.listed("ForeSignatures", status{"granted", w.before.Add(-time.Hour)}), w.signed["good"], verdict{"ADESIG", "TOTAL_PASSED", "QTSA", "QUAL_HAS_ATTIME_ANS", "QUAL_QC_AT_CC_ANS", false}},
		{"two services that disagree", but(func(l *list) {
			l.services = append(l.services, service{"CA/QC", l.services[0].certificate, "ForeSignatures", []status{{"withdrawn", w.before.Add(-time.Hour)}}})
		}), w.product, verdict{"NA", "TOTAL_PASSED", "QTSA", "QUAL_HAS_CONF_ANS", "QUAL_CERT_TYPE_AT_ST_ANS,QUAL_QC_AT_CC_ANS,QUAL_QC_AT_ST_ANS,QUAL_QSCD_AT_ST_ANS", false}},
		{"issuer not listed", good, w.product, verdict{"NA", "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND", "QTSA", "QUAL_CERT_TRUSTED_LIST_REACHED_ANS", "QUAL_IS_ADES_IND", false}},
		// DSS itself is content with a signature whose time nobody trusts; we are not.
		{"unit not listed", but(func(l *list) { l.services = l.services[:1] }), w.product, verdict{"QESIG", "TOTAL_PASSED", "NA", "", "", false}},
		{"unit withdrawn", but(func(l *list) { l.services[1].statuses = withdrawn(w.before.Add(-time.Hour)) }), w.product, verdict{"QESIG", "TOTAL_PASSED", "TSA", "", "", false}},

		// the list: of the last two DSS's policy only warns; we refuse them
		{"unknown version", but(func(l *list) { l.version = 7 }), w.product, verdict{"NA", "TOTAL_PASSED", "NA", "QUAL_TL_VERSION_ANS,QUAL_VALID_TRUSTED_LIST_PRESENT_ANS", "QUAL_TRUSTED_LIST_ACCEPT_ANS", false}},
		{"expired", but(func(l *list) { l.issued = w.before.AddDate(0, 0, -200) }), w.product, verdict{"QESIG", "TOTAL_PASSED", "QTSA", "", "QUAL_TL_EXP_ANS", false}},
		{"wrongly signed", but(func(l *list) { l.stranger = true }), w.product, verdict{"QESIG", "TOTAL_PASSED", "QTSA", "", "QUAL_TL_WS_ANS", false}},
	}
}

// differs are the twins of which pyHanko 0.38, as a second opinion on whether
// there is a qualified signature, says something else than DSS, and why.
var differs = map[string]string{
	"QcCClegislation":            "it does not read the statement",
	"CRL of 25 hours":            "the 24 hours are a rule of our policy",
	"withdrawn after signing":    "it takes an issuer for trusted by its newest status alone",
	"granted after issue":        "it asks for the status at the moment of signing alone",
	"two services that disagree": "it takes the one that is granted",
	"unknown version":            "it does not look",
	"expired":                    "it does not look",
}

// TestTwinsGetTheVerdictOfTheirDefect: EU DSS says QESIG of our product, and
// of each twin of it what its one defect deserves (TS 119 615, TS 119 172-4).
// The verdicts were measured with 6.4 and agree with specs/eidas.md §7.6.
func TestTwinsGetTheVerdictOfTheirDefect(t *testing.T) {
	w := newTwinWorld(t)
	twins := w.twins()
	lists := map[string]list{}
	for _, tw := range twins {
		lists[tw.name] = tw.list
	}
	made := makeLists(t, lists)
	var questions []question
	for _, tw := range twins {
		questions = append(questions, question{tw.name, made[tw.name], tw.file})
	}
	var table strings.Builder
	answers, others := ask(t, questions), askPyHanko(t, questions)
	for _, tw := range twins {
		a := answers[tw.name]
		if got := (verdict{a.qualification, a.indication, a.stamp, a.errors, a.warnings, a.pass}); got != tw.want {
			t.Errorf("%s:\n got %+v\nwant %+v\n%s", tw.name, got, tw.want, a.reasons)
		}
		o, why := others[tw.name], differs[tw.name]
		if agree := o.pass == a.pass; agree != (why == "") {
			t.Errorf("%s: pyHanko %+v; we said of it: %q", tw.name, o, why)
		}
		fmt.Fprintf(&table, "%-30s %-20s %-42s %-5s %-12s %-38s %s\n", tw.name, a.qualification, a.indication, a.stamp, a.revocation, o.result, o.quality)
	}
	t.Logf("%d verdicts of EU DSS 6.4 and pyHanko 0.38:\n%s", len(twins), table.String())
}
