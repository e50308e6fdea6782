//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tekend/interop/sandboxtest"
	"tekend/validate"
)

// judge is an outside program that says yes or no to files. accepts gives its
// answer for each path; reasons are kept for the log.
type judge struct {
	name    string
	accepts func(t *testing.T, w world, paths []string) map[string]answer
	// looks lists the parts of a product that this judge reads; a mutation
	// elsewhere it cannot see.
	looks []part
}

type answer struct {
	yes    bool
	reason string
}

// world is where the judges find what they trust.
type world struct {
	root  string // repository
	trust string // root.pem
	pki   string // folder with certificates and CRLs
	tmp   string
}

func judges() []judge {
	return []judge{
		{"tekend verify", ours, allParts},
		{"pdfsig", pdfsig, []part{partBase, partUpdate, partValue}},
		{"qpdf --check", qpdfCheck, nil},
		{"openssl cms -cades", opensslCMS, []part{partBase, partUpdate, partCertificate, partValue}},
		{"openssl ts", opensslTS, []part{partValue, partTimeStamp}},
		{"pyHanko 0.38", pyHanko, allParts},
		{"EU DSS 6.4", dss, allParts},
		// of what it shares with the row above, two parts are enough
		{"EU DSS 6.4 with list", dssWithList, []part{partCertificate, partTimeStamp}},
	}
}

// each runs one command per file; exit code 0 and want (if any) in its output
// is a yes.
func each(t *testing.T, paths []string, want string, cmd func(path string) *exec.Cmd) map[string]answer {
	t.Helper()
	all := map[string]answer{}
	for _, p := range paths {
		out, err := run(t, cmd(p))
		yes := err == nil && strings.Contains(out, want)
		all[p] = answer{yes, tail(out)}
	}
	return all
}

// run tells a judge that says no from one that is not there.
func run(t *testing.T, cmd *exec.Cmd) (string, error) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("a judge is missing: %v; run scripts/install test", err)
	}
	return string(out), err
}

func tail(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return s
}

// ours looks at the newest signature, as the others do: an earlier one by a
// signer that nobody here trusts keeps the document as a whole from passing.
func ours(t *testing.T, w world, paths []string) map[string]answer {
	t.Helper()
	all := map[string]answer{}
	for _, p := range paths {
		cmd := exec.Command(sandboxtest.Bin(t, "tekend"), "verify", "--json", "--allow-private", "--trust", w.trust, p)
		out, err := cmd.Output()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		var docs []struct {
			Report validate.Report `json:"report"`
		}
		// A file that cannot be read is refused with words, not with a report.
		if json.Unmarshal(out, &docs) != nil || len(docs) != 1 || len(docs[0].Report.Signatures) == 0 {
			all[p] = answer{false, fmt.Sprintf("exit %d", cmd.ProcessState.ExitCode())}
			continue
		}
		sigs := docs[0].Report.Signatures
		last := sigs[len(sigs)-1]
		yes := last.Indication == validate.TotalPassed && last.CoversWholeFile && last.Level == validate.LevelBT
		if yes && len(sigs) == 1 && cmd.ProcessState.ExitCode() != 0 {
			t.Errorf("%s passes, but the exit code is %d", p, cmd.ProcessState.ExitCode())
		}
		all[p] = answer{yes, strings.Join(last.Reasons, "; ")}
	}
	return all
}

func pdfsig(t *testing.T, _ world, paths []string) map[string]answer {
	all := map[string]answer{}
	for _, p := range paths {
		out, err := run(t, exec.Command("pdfsig", "-nocert", p))
		// The newest signature is printed last.
		last := out[max(0, strings.LastIndex(out, "Signature #")):]
		yes := err == nil && strings.Contains(last, "Total document signed") && strings.Contains(last, "Signature is Valid") &&
			strings.Contains(last, "ETSI.CAdES.detached")
		all[p] = answer{yes, tail(last)}
	}
	return all
}

func qpdfCheck(t *testing.T, _ world, paths []string) map[string]answer {
	return each(t, paths, "", func(p string) *exec.Cmd { return exec.Command("qpdf", "--check", p) })
}

// extracted takes the product apart with our small Python reader.
func extracted(t *testing.T, w world, p string) (string, error) {
	t.Helper()
	dir, err := os.MkdirTemp(w.tmp, "parts-*")
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, exec.Command("python3", filepath.Join(w.root, "interop/python/extract.py"), p, dir))
	if err != nil {
		return out, err
	}
	return dir, nil
}

func opensslCMS(t *testing.T, w world, paths []string) map[string]answer {
	return opensslOn(t, w, paths, func(dir string) *exec.Cmd {
		return exec.Command("openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", dir+"/cms.der",
			"-content", dir+"/content", "-CAfile", w.trust, "-certfile", bundle(t, w), "-purpose", "any", "-out", os.DevNull)
	})
}

func opensslTS(t *testing.T, w world, paths []string) map[string]answer {
	return opensslOn(t, w, paths, func(dir string) *exec.Cmd {
		return exec.Command("openssl", "ts", "-verify", "-token_in", "-in", dir+"/tst.der", "-data", dir+"/value",
			"-CAfile", w.trust, "-untrusted", bundle(t, w))
	})
}

func opensslOn(t *testing.T, w world, paths []string, cmd func(dir string) *exec.Cmd) map[string]answer {
	t.Helper()
	all := map[string]answer{}
	for _, p := range paths {
		dir, err := extracted(t, w, p)
		if err != nil {
			all[p] = answer{false, tail(dir)}
			continue
		}
		out, err := run(t, cmd(dir))
		all[p] = answer{err == nil, tail(out)}
		_ = os.RemoveAll(dir)
	}
	return all
}

// bundle is every published certificate in one file.
func bundle(t *testing.T, w world) string {
	t.Helper()
	path := filepath.Join(w.tmp, "certs.pem")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	var all bytes.Buffer
	names, err := filepath.Glob(filepath.Join(w.pki, "*.pem"))
	if err != nil || len(names) < 3 {
		t.Fatalf("%d published certificates in %s: %v", len(names), w.pki, err)
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	if err := os.WriteFile(path, all.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pyHanko(t *testing.T, w world, paths []string) map[string]answer {
	return batch(t, sandboxtest.Python(t, "judge.py", append([]string{w.trust, w.pki}, paths...)...), paths)
}

func dss(t *testing.T, w world, paths []string) map[string]answer {
	return batch(t, sandboxtest.Java(t, "Judge", append([]string{w.trust, w.pki}, paths...)...), paths)
}

// dssWithList is the stranger: a trusted list and the addresses in certificates
// are all he has. Yes is QESIG, TOTAL_PASSED, with a QTSA time-stamp.
func dssWithList(t *testing.T, w world, paths []string) map[string]answer {
	t.Helper()
	if out, err := run(t, sandboxtest.Java(t, "TrustedList", "sandbox", filepath.Dir(w.pki))); err != nil {
		t.Fatalf("no trusted list: %v\n%s", err, out)
	}
	list := w.pki + "/trusted-list"
	return batch(t, sandboxtest.Java(t, "Qualified", append([]string{"file://" + list + ".xml", list + "-signer.pem"}, paths...)...), paths)
}

// batch reads the table that our judge programs print, a line a file.
func batch(t *testing.T, cmd *exec.Cmd, paths []string) map[string]answer {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, _ := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatalf("a judge is missing: %s; run make judges", cmd.Path)
	}
	all := map[string]answer{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) >= 5 {
			all[f[0]] = answer{f[1] == "pass", strings.Join(f[2:], " ")}
		}
	}
	if len(all) != len(paths) {
		t.Fatalf("%s judged %d of %d files:\n%s", cmd.Path, len(all), len(paths), stderr.String())
	}
	return all
}
