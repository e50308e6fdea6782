//go:build interop

package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tekend/interop/sandboxtest"
	"tekend/validate"
)

// judge is an outside program that says yes or no to products.
type judge struct {
	name  string
	about func(product) bool // which products it is asked about
	sees  func(product) bool // which of the controls it must refuse; what others it says of them is not asked
	ask   func(*testing.T, []product) map[string]verdict
}

type verdict struct {
	yes    bool
	reason string
}

func anything(product) bool { return true }
func none(product) bool     { return false }
func alone(p product) bool  { return p.alone() }
func online(p product) bool { return !p.alone() }
func inPDF(p product) bool  { return p.form == pades }

func changed(p product) bool { return strings.HasPrefix(p.name, "changed/") }

// judges in the order of how long they take.
func judges() []judge {
	both := func(a, b func(product) bool) func(product) bool {
		return func(p product) bool { return a(p) && b(p) }
	}
	// pyHanko knows no archive-time-stamp-v3.
	known := func(p product) bool { return !inPDF(p) && p.level != "B-LTA" }
	return []judge{
		{"EU DSS 6.4 with trusted list", online, anything, func(t *testing.T, p []product) map[string]verdict { return dss(t, p, false) }},
		{"EU DSS 6.4 with trusted list, no network", alone, anything, func(t *testing.T, p []product) map[string]verdict { return dss(t, p, true) }},
		{"pyHanko 0.38 AdES", both(inPDF, online), anything, func(t *testing.T, p []product) map[string]verdict { return pyHanko(t, p, false) }},
		{"pyHanko 0.38 AdES, no network", both(inPDF, alone), anything, func(t *testing.T, p []product) map[string]verdict { return pyHanko(t, p, true) }},
		{"pyHanko 0.38 CAdES", both(known, online), anything, func(t *testing.T, p []product) map[string]verdict { return pyHanko(t, p, false) }},
		{"pyHanko 0.38 CAdES, no network", both(known, alone), anything, func(t *testing.T, p []product) map[string]verdict { return pyHanko(t, p, true) }},
		{"pdfsig", inPDF, changed, pdfsig},
		{"openssl cms -cades", anything, changed, opensslCMS},
		{"openssl ts", func(p product) bool { return inPDF(p) && p.level != "B-B" }, func(p product) bool { return changed(p) && p.level == "B-LTA" }, opensslTS},
		{"qpdf --check", inPDF, none, qpdf},
		{"tekend verify", online, anything, func(t *testing.T, p []product) map[string]verdict { return ours(t, p, false) }},
		{"tekend verify, no network", alone, anything, func(t *testing.T, p []product) map[string]verdict { return ours(t, p, true) }},
	}
}

// ofPDFs are the judges who judge PDFs.
func ofPDFs() []judge {
	return slices.DeleteFunc(judges(), func(j judge) bool { return strings.Contains(j.name, "CAdES") })
}

// run tells a judge that says no from one that is not there.
func run(t *testing.T, cmd *exec.Cmd) (string, error) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("a judge is missing: %v; run scripts/install test, make judges", err)
	}
	return string(out), err
}

// batch reads the table that our judge programs print: name, verdict, and what
// it rests on; columns is how many there are.
func batch(t *testing.T, cmd *exec.Cmd, columns, asked int) map[string]verdict {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatalf("a judge is missing: %v; run scripts/install test, make judges", err)
	}
	verdicts := map[string]verdict{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimRight(line, "\n"), "\t"); len(f) == columns {
			verdicts[f[0]] = verdict{f[1] == "pass", strings.Join(f[2:], " ")}
		}
	}
	if len(verdicts) != asked {
		t.Fatalf("%d of %d were judged: %v\n%s", len(verdicts), asked, err, stderr.String())
	}
	return verdicts
}

// dss is one JVM with the trusted list of each sandbox. Yes is QESIG, exactly
// the level that was ordered, and all that tekend.Demands asks for.
func dss(t *testing.T, products []product, offline bool) map[string]verdict {
	var rows [][]string
	for _, p := range products {
		row := []string{p.name, "file://" + p.at.list + ".xml", p.at.list + "-signer.pem", p.file, p.l()}
		if !inPDF(p) {
			row = append(row, p.beside("-"))
		}
		rows = append(rows, row)
	}
	if offline {
		return batch(t, cut(sandboxtest.Java(t, "Qualified", "--offline", products[0].at.address, "--cases", table(t, rows))), 8, len(rows))
	}
	return batch(t, sandboxtest.Java(t, "Qualified", "--cases", table(t, rows)), 8, len(rows))
}

func pyHanko(t *testing.T, products []product, offline bool) map[string]verdict {
	script := "matrix.py"
	var rows [][]string
	for _, p := range products {
		row := []string{p.name, p.at.root, p.at.pki, p.file, p.l()}
		if !inPDF(p) {
			script, row = "cades.py", append(row, p.beside("-"))
		}
		rows = append(rows, row)
	}
	if offline {
		return batch(t, cut(sandboxtest.Python(t, script, "--offline", products[0].at.address, table(t, rows))), 5, len(rows))
	}
	return batch(t, sandboxtest.Python(t, script, table(t, rows)), 5, len(rows))
}

// pdfsig prints the signatures in their order. The newest one must be valid and
// go to the file's end; above B-T something follows, which at B-LTA is a
// document time-stamp of which the same is asked.
func pdfsig(t *testing.T, products []product) map[string]verdict {
	verdicts := map[string]verdict{}
	for _, p := range products {
		out, err := run(t, exec.Command("pdfsig", "-nocert", p.file))
		parts := strings.Split(out, "Signature #")[1:]
		var stamp string
		if n := len(parts); p.level == "B-LTA" && n > 1 {
			parts, stamp = parts[:n-1], parts[n-1]
		}
		last := out
		if len(parts) > 0 {
			last = parts[len(parts)-1]
		}
		whole := "- Total document signed"
		if p.alone() {
			whole = "- Not total document signed"
		}
		v := verdict{yes: true}
		if err != nil || !strings.Contains(last, whole) || !strings.Contains(last, "Signature is Valid.") || !strings.Contains(last, "ETSI.CAdES.detached") {
			v = verdict{false, "signature: " + strings.Join(strings.Fields(last), " ")}
		} else if p.level == "B-LTA" && (!strings.Contains(stamp, "- Total document signed") || !strings.Contains(stamp, "Signature is Valid.")) {
			v = verdict{false, "document time-stamp: " + strings.Join(strings.Fields(stamp), " ")}
		}
		verdicts[p.name] = v
	}
	return verdicts
}

func qpdf(t *testing.T, products []product) map[string]verdict {
	verdicts := map[string]verdict{}
	for _, p := range products {
		out, err := run(t, exec.Command("qpdf", "--check", p.file))
		verdicts[p.name] = verdict{err == nil, tail(out)}
	}
	return verdicts
}

func tail(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// extracted takes products apart with our small Python reader; by name: a folder
// with what OpenSSL reads.
func extracted(t *testing.T, products []product) map[string]string {
	t.Helper()
	dirs, args := map[string]string{}, []string{"--any"}
	parent := t.TempDir()
	for i, p := range products {
		dir := filepath.Join(parent, strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		dirs[p.name], args = dir, append(args, p.file, dir)
	}
	if out, err := run(t, sandboxtest.Python(t, "extract.py", args...)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dirs
}

func opensslCMS(t *testing.T, products []product) map[string]verdict {
	verdicts := map[string]verdict{}
	dirs := extracted(t, slices.DeleteFunc(slices.Clone(products), func(p product) bool { return !inPDF(p) }))
	for _, p := range products {
		file, content := p.file, p.beside("")
		if inPDF(p) {
			file, content = dirs[p.name]+"/cms.der", dirs[p.name]+"/content"
		}
		args := []string{"cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", file,
			"-CAfile", p.at.root, "-certfile", p.at.bundle, "-purpose", "any", "-out", os.DevNull}
		if content != "" {
			args = append(args, "-content", content)
		}
		out, err := run(t, exec.Command("openssl", args...))
		verdicts[p.name] = verdict{err == nil, tail(out)}
	}
	return verdicts
}

// opensslTS looks at the time-stamp over the signature, and at B-LTA at the one
// over the document.
func opensslTS(t *testing.T, products []product) map[string]verdict {
	verdicts, dirs := map[string]verdict{}, extracted(t, products)
	for _, p := range products {
		dir := dirs[p.name]
		tokens := [][2]string{{"/tst.der", "/value"}}
		if p.level == "B-LTA" {
			tokens = append(tokens, [2]string{"/doc-tst.der", "/doc-content"})
		}
		v := verdict{yes: true}
		for _, f := range tokens {
			out, err := run(t, exec.Command("openssl", "ts", "-verify", "-token_in", "-in", dir+f[0], "-data", dir+f[1], "-CAfile", p.at.root, "-untrusted", p.at.bundle))
			if err != nil {
				v = verdict{false, f[0] + ": " + tail(out)}
			}
		}
		verdicts[p.name] = v
	}
	return verdicts
}

// ours is what a user of tekend is told. The newest signature is looked at: an
// earlier one of another tool is by a signer that nobody here trusts. The
// controls are asked about one by one: one that cannot be read ends the program.
func ours(t *testing.T, products []product, offline bool) map[string]verdict {
	t.Helper()
	verdicts := map[string]verdict{}
	groups := map[string][]product{}
	for _, p := range products {
		key := p.algo
		if p.broken || !inPDF(p) { // --detached goes with one signature
			key = p.name
		}
		groups[key] = append(groups[key], p)
	}
	for _, group := range groups {
		args := []string{"verify", "--json", "--trust", group[0].at.root}
		if offline {
			args = append(args, "--offline")
		} else {
			args = append(args, "--allow-private")
		}
		if content := group[0].beside(""); content != "" {
			args = append(args, "--detached", content)
		}
		byFile := map[string]product{}
		for _, p := range group {
			byFile[p.file], args = p, append(args, p.file)
		}
		cmd := exec.Command(sandboxtest.Bin(t, "tekend"), args...)
		if offline {
			cmd = cut(cmd)
		}
		out, err := cmd.Output()
		var docs []struct {
			File   string          `json:"file"`
			Report validate.Report `json:"report"`
		}
		switch {
		case cmd.ProcessState == nil:
			t.Fatal(err)
		case group[0].broken && len(out) == 0:
			verdicts[group[0].name] = verdict{false, "not read"}
			continue
		case json.Unmarshal(out, &docs) != nil || len(docs) != len(group):
			t.Fatalf("tekend verify: %v\n%s", err, out)
		}
		for _, d := range docs {
			verdicts[byFile[d.File].name] = newest(d.Report, byFile[d.File].level)
		}
	}
	return verdicts
}

func newest(r validate.Report, level string) verdict {
	for i := len(r.Signatures) - 1; i >= 0; i-- {
		s := r.Signatures[i]
		if s.Kind == validate.KindTimeStamp {
			continue
		}
		yes := s.Indication == validate.TotalPassed && s.Level == level
		return verdict{yes, fmt.Sprint(s.Indication, " ", s.SubIndication, " ", s.Level, " ", strings.Join(s.Reasons, "; "))}
	}
	return verdict{false, "no signature"}
}
