package validate_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/cms"
	"tekend/validate"
)

// whyCMS are the reasons for being stricter with CAdES files than the best of
// the judges, as why has them for PDFs.
var whyCMS = []struct{ piece, reason string }{
	{"attributes are not sorted", "signed attributes must be DER"},
	{"bytes behind the end", "nothing may stand behind the CMS; the judges do not look"},
	{"version 3 where RFC 5652 has 1", "the version numbers are wrong (RFC 5652 §5.1)"},
	{"is not of CAdES baseline", "an attribute of an older form (CAdES-C, -X, -A, ERS), which nothing here judges: the judges pass over it"},
	{"content: it is not at hand", "detached, and the content is not in the corpora; pyHanko is given none either"},
	{"the content type is not id-data", "EN 319 122-1 §6.3"},
	{"signing-time is not there once", "EN 319 122-1 §6.3 demands signing-time; DSS says CAdES-BES and passes"},
	{"signing-certificate is there", "exactly one signing-certificate (EN 319 122-1 §5.2.2)"},
	{"names another certificate", "signing-certificate does not name the certificate beside it: the judges pass over that"},
	{"expired", "expired before the time of validation and without a usable time-stamp; that column of DSS leaves out revocation, pyHanko's the path"},
	{"no path to a trust anchor", "no path inside the file's own certificates"},
	{"not accepted (TS 119 312)", "an algorithm that no longer counts; DSS judged without these constraints"},
	{"digest algorithm", "SHA-3, which nothing here signs or reads"},
	{"RSASSA-PSS parameters", "RSASSA-PSS with two hashes"},
	{"archive_time_stamp: cms: archive_index", "an archive time-stamp whose hash index names what is not there: DSS warns and passes"},
	{"archive_time_stamp: cms: archive_mismatch", "an archive time-stamp over something else: DSS overlooks it"},
	{"the same token stands elsewhere", "a token at two places: one was put there"},
}

// undecidedCMS are the reasons for saying INDETERMINATE where the best of the
// judges says that a signature is broken.
var undecidedCMS = []struct{ piece, reason string }{
	{"digest algorithm 2.16.840.1.101.3.4.2", "SHA-3, by which nothing is computed here: EN 319 102-1 has CRYPTO_CONSTRAINTS_FAILURE for that"},
	{"signature algorithm 2.16.840.1.101.3.4.3", "the same, in the value"},
	{"signing-certificate is there 0 times", "without the signer's certificate nothing can be computed; with its default policy DSS says so too"},
}

// topsOf makes the trust of verdicts.tsv: the top of a file's own chains.
func topsOf(der []byte) (*x509.CertPool, time.Time) {
	at := validation
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
			si := &sd.SignerInfos[i]
			for _, tokens := range [][][]byte{si.TimeStampTokens(), si.ArchiveTimeStamps(), si.ContentTimeStamps()} {
				for _, t := range tokens {
					add(t, depth+1)
				}
			}
			for _, c := range si.Named(nil) {
				if end := c.NotAfter.Add(-time.Hour); depth == 0 && end.Before(at) {
					at = end
				}
			}
		}
	}
	add(der, 0)
	return trusting(bag), at
}

// TestOthersCAdESFiles: never more lenient than all judges; where we are
// stricter, for a reason that is written down. At the time of the judges, and
// while the signer's certificate was valid.
func TestOthersCAdESFiles(t *testing.T) {
	rows := verdicts(t)
	used := map[string]int{}
	compared, passed := 0, map[string]bool{}
	for _, row := range rows {
		if strings.HasSuffix(row.file, ".pdf") {
			continue
		}
		der, err := os.ReadFile(filepath.Join(corpora, "files", row.file))
		check(t, err)
		roots, then := topsOf(der)
		for _, at := range []time.Time{validation, then} {
			rep, err := validate.CMS(context.Background(), bytes.NewReader(der), int64(len(der)), validate.Data{}, validate.Options{Roots: roots, At: at, NoRevocation: true})
			rank, reasons := 1, []string{}
			switch {
			case err != nil:
				reasons = append(reasons, err.Error())
			case row.kind != validate.KindSignature:
				t.Errorf("%s: read, and the judges found no signature", row.file)
			default:
				for _, s := range rep.Signatures {
					if s.FieldName == row.field {
						rank, reasons = rankOf(s.Indication), s.Reasons
					}
				}
			}
			compared++
			best := row.rank()
			switch {
			case rank == 2 && best == 1 && len(reasons) > 0 && slices.ContainsFunc(undecidedCMS, func(u struct{ piece, reason string }) bool {
				return strings.Contains(strings.Join(reasons, "\n"), u.piece)
			}):
			case rank > best:
				t.Errorf("%s %s: MORE LENIENT than all: we say %d, they at best %d %+v; %q", row.file, row.field, rank, best, row, reasons)
			case rank == 3:
				passed[row.file] = true
			case rank < best && row.kind == validate.KindSignature:
				ok := len(reasons) == 0 && err == nil && slices.ContainsFunc(rep.Signatures, func(s validate.SignatureReport) bool {
					return slices.Contains(s.Notes, "there is a countersignature, which is not judged here") // the judges count it as a signature
				})
				for _, w := range whyCMS {
					if strings.Contains(strings.Join(reasons, "\n"), w.piece) {
						used[w.piece]++
						ok = true
					}
				}
				if !ok {
					t.Errorf("%s %s: stricter without a written reason: %q", row.file, row.field, reasons)
				}
			}
		}
	}
	for _, w := range whyCMS {
		t.Logf("stricter %3d times: %q: %s", used[w.piece], w.piece, w.reason)
		if used[w.piece] == 0 {
			t.Errorf("%q explains nothing any more", w.piece)
		}
	}
	t.Logf("%d compared, %d files passed: %v", compared, len(passed), passed)
	if compared < 100 || len(passed) < 5 {
		t.Error("too few to say anything")
	}
}
