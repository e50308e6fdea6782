package validate_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/csv"
	"fmt"
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
const corpora = "/work/shared/corpora"

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

func TestOthersFiles(t *testing.T) {
	rows := verdicts(t)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	reports := map[string]*validate.Report{}
	problems := map[string]string{}
	for _, row := range rows {
		if reports[row.file] != nil || problems[row.file] != "" || !strings.HasSuffix(row.file, ".pdf") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(corpora, "files", row.file))
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(b)
		start := time.Now()
		list, _ := pdf.Signatures(r, r.Size(), pdf.Budget{})
		rep, err := validate.PDF(context.Background(), r, r.Size(), validate.Options{Roots: tops(list), At: at})
		if err != nil {
			problems[row.file] = err.Error()
		} else {
			reports[row.file] = rep
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s took %v", row.file, d)
		}
	}
	for _, row := range rows {
		rep := reports[row.file]
		if rep == nil {
			fmt.Println("ERR", row.file, row.kind, row.rank(), problems[row.file])
			continue
		}
		for _, s := range rep.Signatures {
			if s.FieldName == row.field {
				fmt.Printf("%d %d %s %s %s/%s level=%q | %s | %v\n", rankOf(s.Indication), row.rank(), row.file, row.field, s.Indication, s.SubIndication, s.Level, row.dss+" "+row.pyhanko+" "+row.coverage+" "+row.pdfsig, s.Reasons)
			}
		}
	}
}
