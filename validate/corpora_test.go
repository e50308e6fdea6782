package validate_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

// corpora are other people's signed files with other people's verdicts; they
// are not part of this repository.
const corpora = "../../shared/corpora" // beside the repository

// judged is a line of verdicts.tsv.
type judged struct{ file, field, kind, dss, pyhanko, coverage, modification, pdfsig string }

func verdicts(t *testing.T) []judged {
	t.Helper()
	f, err := os.Open(filepath.Join(corpora, "verdicts.tsv"))
	if os.IsNotExist(err) {
		t.Skipf("%s is absent: nothing was compared with the judges' verdicts", corpora)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	var out []judged
	for _, row := range rows[1:] {
		get := func(name string) string { return row[at[name]] }
		out = append(out, judged{get("file"), get("field"), get("kind"), get("dss_relaxed"), get("pyhanko"), get("py_coverage"), get("py_modification"), get("pdfsig")})
	}
	return out
}

// rank puts every judge's words on one scale: 3 good, 2 undecided, 1 bad.
func (j judged) rank() int {
	dss, py, sig := 1, 1, 1
	switch {
	case strings.HasPrefix(j.dss, "TOTAL_PASSED"), strings.HasPrefix(j.dss, "PASSED"):
		dss = 3
	case strings.HasPrefix(j.dss, "INDETERMINATE"):
		dss = 2
	}
	if strings.HasPrefix(j.pyhanko, "intact=True,valid=True") {
		py = 3
	}
	switch {
	case strings.HasPrefix(j.pdfsig, "Signature is Valid"):
		sig = 3
	case strings.Contains(j.pdfsig, "not yet been verified"):
		sig = 2
	}
	return max(dss, py, sig)
}

func rankOf(i validate.Indication) int {
	switch i {
	case validate.TotalPassed:
		return 3
	case validate.Indeterminate:
		return 2
	}
	return 1
}

// tops makes the trust of verdicts.tsv: the top of each file's own chains.
func tops(list []pdf.Signature) *x509.CertPool {
	var bag []*x509.Certificate
	var add func(der []byte, depth int)
	add = func(der []byte, depth int) {
		sd, err := cms.Parse(der, cms.Budget{})
		if err != nil || depth > 2 {
			return
		}
		for _, raw := range sd.Certificates {
			if c, err := x509.ParseCertificate(raw); err == nil {
				bag = append(bag, c)
			}
		}
		for i := range sd.SignerInfos {
			for _, t := range sd.SignerInfos[i].TimeStampTokens() {
				add(t, depth+1)
			}
		}
	}
	for _, s := range list {
		add(s.CMS, 0)
	}
	return trusting(bag)
}

// trusting makes anchors of those in the bag that no other has issued.
func trusting(bag []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range bag {
		if bytes.Equal(c.RawIssuer, c.RawSubject) || !hasIssuer(c, bag) {
			pool.AddCert(c)
		}
	}
	return pool
}

func hasIssuer(c *x509.Certificate, bag []*x509.Certificate) bool {
	for _, o := range bag {
		if bytes.Equal(c.RawIssuer, o.RawSubject) {
			return true
		}
	}
	return false
}

// why are the reasons for being stricter than the best of the judges: a piece
// of our reason, and why we stand by it. A disagreement that none of them
// explains fails the test.
var why = []struct{ piece, reason string }{
	{"later_changes: vri_", "VRI entries of earlier signatures were changed or have a key that is none; pyHanko: OTHER, DSS does not look"},
	{"later_changes: page", "a page was changed; pyHanko: OTHER, DSS warns"},
	{"later_changes: object_overridden", "an object that is neither form nor data was replaced; pyHanko: OTHER or not compared (its own sneaky-edit files)"},
	{"later_changes: used_elsewhere", "the appearance that was replaced is shared with other content; pyHanko: OTHER"},
	{"later_changes: reference_filled", "a reference to nothing was turned into something; pyHanko: OTHER or an error"},
	{"later_changes: catalog_key", "the catalog got a key that is not on the list; pyHanko: OTHER"},
	{"later_changes: broken_xref", "a later revision cannot be read without repair"},
	{"not ETSI.CAdES.detached", "only PAdES baseline passes; the judges also take plain PKCS#7 signatures"},
	{"profile: the signed attribute", "EN 319 142-1 §6.3 forbids the attribute; the judges report a lower level and pass"},
	{"profile: signing-certificate is version 1", "SHA-1 names no certificate any more"},
	{"profile: /Reason", "EN 319 142-1 §6.3: not beside commitment or policy"},
	{"profile: DocTimeStamp", "a time-stamp's Type and SubFilter stand together (EN 319 142-1 §5.4.3)"},
	{"expired", "expired before the time of validation and without a usable time-stamp; that column of DSS leaves out revocation, pyHanko and pdfsig leave out the path"},
	{"not yet valid", "the same, before its beginning"},
	{"no path to a trust anchor", "no path inside the file's own certificates; pyHanko's and pdfsig's columns leave the path out"},
	{"not accepted (TS 119 312)", "an algorithm that no longer counts; DSS judged without these constraints"},
	{"signature algorithm 1.3.101.112", "EdDSA is not in TS 119 312"},
	{"digest algorithm", "a digest algorithm that is not in TS 119 312, or not in its form here"},
	{"indefinite or huge length", "PDF asks for DER; BER is refused (specs/ades.md §7 allows both)"},
	{"attributes are not sorted", "signed attributes must be DER; DSS refuses it too"},
	{"no_signed_attributes", "a signature without signed attributes can be passed off as one over other content"},
	{"signing-certificate is there 0 times", "without signing-certificate nobody knows which certificate was meant"},
	{"no readable certificate", "crypto/x509 does not read the signer's certificate (curve, negative number)"},
	{"exactly one", "PAdES has exactly one signer per CMS; DSS takes the first"},
	{"content of its own", "PAdES is detached; pdfsig does not look"},
	{"coverage:", "the bytes are not a revision around exactly this signature; pdfsig does not look, pyHanko sums lengths"},
	{"version 1 where RFC 5652 has", "the version numbers are wrong (RFC 5652 §5.1)"},
	{"key is not for signatures", "key usage; the judges' columns leave it out or warn"},
	{"encrypted", "not supported yet, and said so"},
	{"broken_xref", "no repair of cross-references: two readers could see two documents"},
	{"critical extension", "a critical extension that we do not process"},
	{"genTime is in the future", "only at the time chosen here: the time-stamp came after the signer's certificate had expired"},
	{"claimed time is outside", "DSS calls it a failure in its default policy"},
}

func explained(reasons []string) bool {
	for _, r := range reasons {
		for _, w := range why {
			if strings.Contains(r, w.piece) {
				return true
			}
		}
	}
	return false
}

// ours is what we say about one file.
type ours struct {
	report  *validate.Report
	problem string
}

// validation is the time at which the judges of verdicts.tsv validated.
var validation = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// whenValid is a time at which the first signer's certificate was valid, so
// that expiry does not hide what we say about the rest.
func whenValid(list []pdf.Signature) time.Time {
	for _, s := range list {
		sd, err := cms.Parse(s.CMS, cms.Budget{})
		if err != nil || len(sd.SignerInfos) == 0 {
			continue
		}
		for _, c := range sd.SignerInfos[0].Named(nil) {
			if end := c.NotAfter.Add(-time.Hour); end.Before(validation) {
				return end
			}
		}
	}
	return validation
}

func judgeFile(t *testing.T, name string, at func([]pdf.Signature) time.Time) ours {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpora, "files", name))
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(b)
	start := time.Now()
	list, _ := pdf.Signatures(r, r.Size(), pdf.Budget{})
	rep, err := validate.PDF(context.Background(), r, r.Size(), validate.Options{
		Roots: tops(list), At: at(list), NoRevocation: true,
	})
	// Generous: a hang is what is looked for, on a machine that does other things too.
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("%s took %v", name, d)
	}
	if err != nil {
		return ours{problem: err.Error()}
	}
	// With the status of certificates, by what the file holds: never better.
	full, err := validate.PDF(context.Background(), r, r.Size(), validate.Options{Roots: tops(list), At: at(list)})
	if err != nil || rankOf(full.Indication) > rankOf(rep.Indication) {
		t.Errorf("%s: %v with status, %v without", name, full, rep)
	}
	return ours{report: rep}
}

// verdict gives the best that we say about a field, with all reasons.
func (o ours) verdict(field string) (rank int, reasons []string) {
	if o.report == nil {
		return 1, []string{o.problem}
	}
	for _, s := range o.report.Signatures {
		if s.FieldName == field {
			rank = max(rank, rankOf(s.Indication))
			reasons = append(reasons, s.Reasons...)
		}
	}
	return rank, reasons
}

// TestOthersFiles: never more lenient than all three judges; where we are
// stricter, for a reason that is written down.
func TestOthersFiles(t *testing.T) {
	rows := verdicts(t)
	used := map[string]bool{}
	passed := compareAll(t, rows, func([]pdf.Signature) time.Time { return validation }, used)
	then := compareAll(t, rows, whenValid, used)
	for _, w := range why {
		if !used[w.piece] {
			t.Errorf("nothing is explained by %q any more", w.piece)
		}
	}
	t.Logf("passed: %d at the time of the judges, %d while the certificates were valid", passed, then)
	if then < 10 {
		t.Error("too few pass for the comparison to say anything")
	}
}

func compareAll(t *testing.T, rows []judged, at func([]pdf.Signature) time.Time, used map[string]bool) (passed int) {
	said := map[string]ours{}
	compared, stricter := 0, map[string]int{}
	for _, row := range rows {
		if !strings.HasSuffix(row.file, ".pdf") {
			continue
		}
		o, ok := said[row.file]
		if !ok {
			o = judgeFile(t, row.file, at)
			said[row.file] = o
		}
		if row.kind != validate.KindSignature && row.kind != "timestamp" {
			if o.report != nil && o.report.Indication == validate.TotalPassed && row.kind != "" {
				t.Errorf("%s: passed, and the judges found no signature", row.file)
			}
			continue
		}
		rank, reasons := o.verdict(row.field)
		best := row.rank()
		compared++
		switch {
		case rank == 0:
			t.Errorf("%s %q: not found by us", row.file, row.field)
		case rank > best:
			t.Errorf("%s %q: MORE LENIENT than all three: we say %d, they at best %d %+v", row.file, row.field, rank, best, row)
		case rank == 3:
			passed++
		case rank < best && !explained(reasons):
			t.Errorf("%s %q: stricter without a written reason: %q", row.file, row.field, reasons)
		case rank < best:
			for _, w := range why {
				if strings.Contains(strings.Join(reasons, "\n"), w.piece) {
					stricter[w.piece]++
					used[w.piece] = true
				}
			}
		}
	}
	t.Logf("%d files, %d signatures and time-stamps compared", len(said), compared)
	for _, w := range why {
		if n := stricter[w.piece]; n > 0 {
			t.Logf("stricter %3d times: %q: %s", n, w.piece, w.reason)
		}
	}
	if compared < 100 {
		t.Errorf("only %d were compared", compared)
	}
	return passed
}
