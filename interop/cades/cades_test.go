//go:build interop

package cades

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tekend/cms"
	"tekend/interop/sandboxtest"
)

var content = bytes.Repeat([]byte("a document that is no PDF, with \x00 and ř\r\n"), 500)

// folder collects files and the questions about them.
type folder struct {
	t         testing.TB
	dir       string
	questions strings.Builder
	asked     int
}

func (f *folder) write(name string, b []byte) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	check(f.t, os.WriteFile(path, b, 0o600))
	return path
}

// ask adds a question; crl and ocsp are paths, "" for none.
func (f *folder) ask(name string, file, content, crl, ocsp string) {
	f.asked++
	list := []string{name, filepath.Join(f.dir, "root.pem"), file, content, crl, ocsp}
	for i, s := range list {
		if s == "" {
			list[i] = "-"
		}
	}
	f.questions.WriteString(strings.Join(list, "\t") + "\n")
}

// answer is what EU DSS says of one file.
type answer struct{ verdict, format, indication, stamps, reasons string }

// answers has all questions judged by one DSS process.
func (f *folder) answers() map[string]answer {
	f.t.Helper()
	cmd := sandboxtest.Java(f.t, "Cades", f.write("questions", []byte(f.questions.String())))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		f.t.Fatalf("EU DSS is missing: %v; run scripts/install test, make judges", err)
	}
	all := map[string]answer{}
	for line := range strings.Lines(string(out)) {
		p := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(p) != 6 {
			f.t.Fatalf("EU DSS printed %q\n%s", line, stderr.String())
		}
		all[p[0]] = answer{p[1], p[2], p[3], p[4], p[5]}
	}
	if len(all) != f.asked {
		f.t.Fatalf("EU DSS judged %d of %d: %v\n%s", len(all), f.asked, err, stderr.String())
	}
	return all
}

func attached(t testing.TB, p cms.Parts) []byte {
	t.Helper()
	before, after, err := cms.Frame(p, int64(len(content)))
	check(t, err)
	return slices.Concat(before, content, after)
}

// TestEveryLevelByDSS: each family of keys with each level, and with each hash
// the lowest and the highest; attached and detached. B-B and B-T are shown with the revocation data beside them.
func TestEveryLevelByDSS(t *testing.T) {
	w := newWorld(t)
	key, err := rsa3072()
	check(t, err)
	f := &folder{t: t, dir: t.TempDir()}
	f.write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.root.Raw}))
	plain, crl := f.write("content", content), f.write("root.crl", w.crl)
	stamps := map[string]string{"B": "0", "T": "1", "LT": "1", "LTA": "2", "LTA again": "3"}
	level := map[string]string{} // by name of the question
	for _, k := range []struct {
		name string
		key  crypto.Signer
		alg  cms.Algorithm
	}{
		{"P-256", ecKey(t, elliptic.P256()), cms.ECDSAWithSHA256}, {"P-384", ecKey(t, elliptic.P384()), cms.ECDSAWithSHA384},
		{"RSA", key, cms.RSAWithSHA256}, {"PSS", key, cms.PSSWithSHA256},
	} {
		for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			alg, err := k.alg.WithHash(h)
			check(t, err)
			p := w.person(t, k.key, alg)
			for name, parts := range w.levels(t, p, content) {
				if h != crypto.SHA256 && name != "B" && name != "LTA again" {
					continue // what a level adds has nothing to do with the signer's hash
				}
				data, answer := "", ""
				if name == "B" || name == "T" {
					data, answer = crl, f.write(fmt.Sprintf("%s-%d-%s.ocsp", k.name, h, name), w.ocsp(t, p))
				}
				der, err := cms.Assemble(parts)
				check(t, err)
				q := fmt.Sprintf("%s %v %s", k.name, h, name)
				level[q+", detached"], level[q+", attached"] = name, name
				f.ask(q+", detached", f.write(q+".p7s", der), plain, data, answer)
				f.ask(q+", attached", f.write(q+".p7m", attached(t, parts)), "", data, answer)
			}
		}
	}
	formats := map[string]string{"LTA again": "CAdES-BASELINE-LTA"}
	for q, a := range f.answers() {
		l := level[q]
		format, ok := formats[l]
		if !ok {
			format = "CAdES-BASELINE-" + l
		}
		if a.verdict != "pass" || a.format != format || a.stamps != stamps[l] || a.indication != "TOTAL_PASSED" {
			t.Errorf("%s: %+v", q, a)
		}
	}
	t.Logf("%d files judged", f.asked)
}

// TestWhatWasChangedByDSS: our demands on DSS find what they are there for, and
// validate says the same (its own tests are in package validate).
func TestWhatWasChangedByDSS(t *testing.T) {
	w := newWorld(t)
	f := &folder{t: t, dir: t.TempDir()}
	f.write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.root.Raw}))
	plain, other := f.write("content", content), f.write("other", content[1:])
	p := w.person(t, ecKey(t, elliptic.P256()), cms.ECDSAWithSHA256)
	lta := w.levels(t, p, content)["LTA"]
	der, err := cms.Assemble(lta)
	check(t, err)
	flip := func(what []byte) []byte {
		at := bytes.LastIndex(der, what)
		if at < 0 {
			t.Fatal("not in the file")
		}
		bad := bytes.Clone(der)
		bad[at+len(what)-1] ^= 1
		return bad
	}
	sd, err := cms.Parse(lta.Archive[0], cms.Budget{})
	check(t, err)
	index := sd.SignerInfos[0].Unsigned[0].Values[0]
	f.ask("good", f.write("good", der), plain, "", "")
	f.ask("other content", f.write("other content.p7s", der), other, "", "")
	for name, what := range map[string][]byte{
		"value": lta.Value, "CRL": w.crl, "OCSP": lta.OCSPs[0], "root": w.root.Raw, "index": index, "archive token's value": sd.SignerInfos[0].Value,
	} {
		f.ask(name, f.write(name+".p7s", flip(what)), plain, "", "")
	}
	for name, a := range f.answers() {
		if (a.verdict == "pass") != (name == "good") {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
