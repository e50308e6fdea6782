package pdf

import (
	"bytes"
	"crypto"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Other people's files; they are not part of the product.
const corpora = "../../shared/corpora" // beside the repository

func corporaFiles(t *testing.T) []string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(corpora, "files", "*.pdf"))
	if len(files) == 0 {
		t.Skip(corpora + " is absent")
	}
	return files
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCorporaCanBeSignedOrAreRefused: a typed error, or an update that others
// read no worse than the file before, and that leaves earlier signatures alone.
func TestCorporaCanBeSignedOrAreRefused(t *testing.T) {
	prepared, refused := 0, map[string]int{}
	for _, name := range corporaFiles(t) {
		doc := readFile(t, name)
		r, size := bytes.NewReader(doc), int64(len(doc))
		p, err := Prepare(r, size, options())
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%s: not a typed error: %v", filepath.Base(name), err)
			}
			refused[code(err)]++
			continue
		}
		prepared++
		whole, err := io.ReadAll(Reader(r, size, p.Update))
		if err != nil {
			t.Fatal(err)
		}
		checkEarlier(t, doc, whole)
		if after := exec.Command(need(t, "qpdf"), "--check", tempFile(t, whole)).Run(); after != nil {
			// Some have a blemish of their own.
			if before := exec.Command("qpdf", "--check", name).Run(); before == nil || exitCode(after) > exitCode(before) {
				t.Errorf("%s: qpdf after %v, before %v", filepath.Base(name), after, before)
			}
		}
	}
	t.Logf("%d prepared, refused %v", prepared, refused)
	if prepared < 130 {
		t.Errorf("only %d files could be signed", prepared)
	}
}

func exitCode(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return 0
}

// checkEarlier: the signatures of the base are in the whole, with the same
// digests and no new problem; only "file" has become "revision".
func checkEarlier(t *testing.T, doc, whole []byte) {
	t.Helper()
	before, err := Signatures(bytes.NewReader(doc), int64(len(doc)), Budget{})
	if err != nil {
		t.Error(err)
		return
	}
	after, err := Signatures(bytes.NewReader(whole), int64(len(whole)), Budget{})
	if err != nil || len(after) != len(before)+1 {
		t.Errorf("%d signatures, before %d, %v", len(after), len(before), err)
		return
	}
	for i, b := range before {
		j := slices.IndexFunc(after, func(a Signature) bool { return a.ContentsStart == b.ContentsStart && a.FieldName == b.FieldName })
		if j < 0 {
			t.Errorf("signature %d is gone", i)
			continue
		}
		a := after[j]
		d1, err1 := ByteRangeDigest(bytes.NewReader(doc), int64(len(doc)), b, crypto.SHA256)
		d2, err2 := ByteRangeDigest(bytes.NewReader(whole), int64(len(whole)), a, crypto.SHA256)
		if !bytes.Equal(d1, d2) || (err1 == nil) != (err2 == nil) {
			t.Errorf("signature %d: another digest", i)
		}
		if a.Coverage != min(b.Coverage, CoverageRevision) || !slices.Equal(codes(a), codes(b)) {
			t.Errorf("signature %d: %v %v, before %v %v", i, a.Coverage, a.Problems, b.Coverage, b.Problems)
		}
	}
}

// reasons explains every file where our count or coverage is not the one in
// verdicts.tsv. "n" is the count of signatures and time-stamps, "coverage" what
// pyHanko says of them.
var reasons = map[string]string{
	"02e5ef09ab7622ee.pdf": "coverage: pyHanko stops at an object of the DSS dictionary that is missing; DSS and pdfsig agree with us",
	"09a8742c68cfd108.pdf": "n: Signature2 is a time-stamp with /Type /Sig in an ETSI.RFC3161 dictionary; the others do not count it, and pyHanko says so as an error",
	"0de43d49e7c3191c.pdf": "coverage: pyHanko stops at an object of the DSS dictionary that is missing; DSS and pdfsig agree with us",
	"0e167183094730ac.pdf": "startxref points nowhere; the others say error",
	"10baddaf7df97c0f.pdf": "startxref is off by four; pyHanko and DSS search for the table, we never repair",
	"14b7f31cda8b6966.pdf": "n: the dictionary was overridden to change the reason; we list what stands there now (unclear) and the signed one as removed",
	"26c820f1d578caac.pdf": "a row of the table has not 20 bytes; the others repair",
	"415020db3f79aeb2.pdf": "coverage: pyHanko cannot read an object that the signature does not need; DSS and pdfsig agree with us",
	"46518b87aaafc79e.pdf": "no %%EOF behind startxref; the others repair or refuse",
	"4e194bb166a178a6.pdf": "coverage: pyHanko does not know adbe.pkcs7.sha1; pdfsig agrees with us",
	"53fc83468d2db09d.pdf": "coverage: pyHanko does not take a time-stamp with /Type null; DSS agrees with us",
	"7496494a07bafe30.pdf": "startxref is off by two; pyHanko and DSS search for the table, we never repair",
	"7d7847f4c69f25b7.pdf": "the field tree bites its tail; pyHanko refuses it too",
	"8be8883955be1ff4.pdf": "coverage: the signed revision is a linearized file, whose startxref is that of its first section, at its front. pyHanko wants the last section at the end; the range is the complete file of that time, and DSS and pdfsig agree",
	"962dd61443f8c124.pdf": "/Prev 0 points at the header; pyHanko fails on it too, DSS repairs and then finds the signatures broken",
	"9901fb5ddbb6ee2d.pdf": "rows padded with spaces; the others repair",
	"9b5dadd12b9223ab.pdf": "n: /ByteRange has two numbers; DSS does not count it, we list it with bad_byte_range",
	"ac1f217874dc9973.pdf": "/Prev points outside the file; pyHanko fails too",
	"ad212304e620ad24.pdf": "coverage: pyHanko stops at the second SignerInfo, which is for the reader of CMS to judge",
	"bb4d906b46ecb685.pdf": "the attack broke the rows of the table; the others repair, and only pyHanko and DSS then see the attack",
	"d5527730c8d2b8ac.pdf": "the header is not one; DSS and pyHanko refuse it too",
	"e6ffaacc910616af.pdf": "/Prev points outside the file; pyHanko fails too, DSS says FORMAT_FAILURE",
	"f49c09ca82c095dc.pdf": "startxref points into an object; the others repair or refuse",
	"ff4bc55e7a4e5671.pdf": "n: the empty sixth dictionary has /Type twice; DSS does not count it, pyHanko takes the last",
}

func TestCorporaAgreeWithOtherJudges(t *testing.T) {
	corporaFiles(t)
	theirs := verdicts(t)
	for _, name := range corporaFiles(t) {
		base := filepath.Base(name)
		doc := readFile(t, name)
		sigs, err := Signatures(bytes.NewReader(doc), int64(len(doc)), Budget{})
		v, known := theirs[base]
		if !known {
			continue
		}
		var ours []string
		for _, s := range sigs {
			ours = append(ours, s.Coverage.String())
		}
		slices.Sort(ours)
		got := fmt.Sprintf("n %d coverage %v", len(sigs), ours)
		if err != nil {
			got = "refused: " + code(err)
		}
		if code(err) == CodeEncrypted {
			continue // not in this issue; each of them has /Encrypt in a trailer
		}
		why, explained := reasons[base]
		switch {
		case got == v && explained:
			t.Errorf("%s: agrees, but has a reason: %s", base, why)
		case got != v && !explained:
			t.Errorf("%s: we say %q, they say %q: no reason is written", base, got, v)
		}
	}
}

// verdicts gives for each file "n N coverage [..]" as the other judges see it.
func verdicts(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(corpora, "verdicts.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := csv.NewReader(f)
	c.Comma, c.LazyQuotes = '\t', true
	rows, err := c.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	col := map[string]int{}
	for i, h := range rows[0] {
		col[h] = i
	}
	count, cover := map[string]int{}, map[string]map[string]string{}
	for _, r := range rows[1:] {
		name := r[col["file"]]
		count[name] = atoi([]byte(r[col["n_signatures"]])) + atoi([]byte(r[col["n_doc_timestamps"]]))
		if cover[name] == nil {
			cover[name] = map[string]string{}
		}
		// The same file can be listed under several paths.
		cover[name][r[col["field"]]] = r[col["py_coverage"]]
	}
	words := strings.NewReplacer("ENTIRE_FILE", "file", "ENTIRE_REVISION", "revision", "CONTIGUOUS_BLOCK_FROM_START", "block", "UNCLEAR", "unclear")
	out := map[string]string{}
	for name, n := range count {
		var cs []string
		for _, c := range cover[name] {
			if c != "" {
				cs = append(cs, words.Replace(c))
			}
		}
		slices.Sort(cs)
		out[name] = fmt.Sprintf("n %d coverage %v", n, cs)
	}
	return out
}
