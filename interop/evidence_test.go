//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tekend/evidence"
	"tekend/interop/sandboxtest"
)

// TestEvidenceOfASignature: through the whole program. Two documents are signed,
// their evidence is fetched and verified offline, by us and by the verifier in
// Python, together with the signed files; no other file is taken for them.
func TestEvidenceOfASignature(t *testing.T) {
	s := sandboxtest.Start(t)
	w := world{root: sandboxtest.Root(t), trust: s.Info(t).RootPEM, pki: filepath.Join(s.Dir, "pki"), tmp: t.TempDir()}
	files := []string{filepath.Join(w.root, "testdata/pdf/fpdf2.pdf"), filepath.Join(w.root, "testdata/pdf/cairo-librsvg.pdf")}
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			t.Fatal(err)
		}
	}
	out, code := s.Tekend(t, append([]string{"sign", "--person", "approve", "-o", w.tmp}, files...)...)
	id := regexp.MustCompile(`request (sr_\S+)`).FindStringSubmatch(out)
	if code != 0 || id == nil {
		t.Fatalf("exit %d\n%s", code, out)
	}
	bundle := filepath.Join(w.tmp, "evidence.json")
	if out, code := s.Tekend(t, "evidence", "get", id[1], "-o", bundle); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	signed := signedFiles(t, w.tmp)

	rep := verified(t, w, append([]string{bundle}, signed...)...)
	if rep.Positions != 2 || len(rep.Compared) != 2 || rep.Witnesses == 0 || !rep.Qualified {
		t.Errorf("%+v", rep)
	}
	words := mustVerify(t, w, 0, bundle, signed[0])
	for _, part := range []string{"PROVEN", "RESTS ON TRUST", "1 of 2 documents were not compared", "exactly as it was signed"} {
		if !strings.Contains(words, part) {
			t.Errorf("it does not say %q:\n%s", part, words)
		}
	}
	if reason := inPython(t, w, bundle, signed...); reason != "" {
		t.Errorf("Python refuses: %s", reason)
	}
	for name, bad := range wrongFiles(t, w, files, signed) {
		mustVerify(t, w, 1, bundle, bad)
		if reason := inPython(t, w, bundle, bad); reason == "" {
			t.Errorf("Python takes %s for a signed document", name)
		}
	}
	mustVerify(t, w, 1, bundle, signed[0], signed[0])
	// The identity behind the certificate is verified again from what the ca kept.
	records := exec.Command(sandboxtest.Bin(t, "tekend-trusted"), "records", "verify", "--config", filepath.Join(s.Dir, "ca", "ca.yaml"))
	if out, err := records.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "1 orders were verified again") {
		t.Errorf("%v %s", err, out)
	}
	if out, code := s.Tekend(t, "evidence", "verify", bundle, signed[1]); code != 0 { // with the sandbox's roots
		t.Errorf("exit %d\n%s", code, out)
	}
	if out, code := s.Tekend(t, "evidence", "verify", "--trust", w.trust, bundle); code != 1 || !strings.Contains(out, "time_stamps") {
		t.Errorf("without the root of the foreign time-stamp: exit %d\n%s", code, out)
	}
	mustVerify(t, w, 2, signed[0])
	mustVerify(t, w, 2, filepath.Join(w.tmp, "absent.json"))
	early(t, s, files[0])
}

func signedFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.pdf"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v %v", files, err)
	}
	return files
}

// foreignRoot is that of the authority of another house, which stamps evidence beside ours.
func foreignRoot(w world) string { return filepath.Join(filepath.Dir(w.pki), "anchor-root.pem") }

func tekendVerify(t *testing.T, w world, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(sandboxtest.Bin(t, "tekend"), append([]string{"evidence", "verify", "--trust", w.trust, "--trust", foreignRoot(w)}, args...)...)
	// Offline: in a network namespace of its own there is not even loopback.
	if path, err := exec.LookPath("unshare"); err == nil && os.Getuid() == 0 {
		cmd = exec.Command(path, append([]string{"--net"}, cmd.Args...)...)
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func mustVerify(t *testing.T, w world, code int, args ...string) string {
	t.Helper()
	out, is := tekendVerify(t, w, args...)
	if is != code {
		t.Errorf("verify %v: exit %d, want %d\n%s", args, is, code, out)
	}
	return out
}

func verified(t *testing.T, w world, args ...string) evidence.Report {
	t.Helper()
	var rep evidence.Report
	out := mustVerify(t, w, 0, append([]string{"--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return rep
}

// inPython gives the second verifier's reason, "" for ok.
func inPython(t *testing.T, w world, bundle string, signed ...string) string {
	t.Helper()
	args := []string{"--trust", w.trust, "--trust", foreignRoot(w)}
	for _, f := range signed {
		args = append(args, "--signed", f)
	}
	out, err := sandboxtest.Python(t, "evidence_verify.py", append(args, bundle)...).CombinedOutput()
	f := strings.Split(strings.TrimSpace(string(out)), "\t")
	if len(f) < 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	if f[1] == "ok" {
		return ""
	}
	return strings.Join(f[2:], " ")
}

// wrongFiles are files that must not pass for the signed ones.
func wrongFiles(t *testing.T, w world, unsigned, signed []string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(signed[0])
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"the unsigned document": unsigned[0]}
	for name, b := range map[string][]byte{
		"changed byte": func() []byte { c := bytes.Clone(data); c[bytes.LastIndex(c, []byte("/ByteRange"))/2] ^= 1; return c }(),
		"bytes behind": append(bytes.Clone(data), "\n% more\n"...),
		"cut off":      data[:len(data)-10],
	} {
		path := filepath.Join(w.tmp, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		all[name] = path
	}
	return all
}

// early: before the request is signed there is no evidence, and never of another's.
func early(t *testing.T, s *sandboxtest.Sandbox, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Flow(t).Create(t.Context(), "", b)
	if err != nil {
		t.Fatal(err)
	}
	out, code := s.Tekend(t, "evidence", "get", r.ID, "-o", filepath.Join(t.TempDir(), "e.json"))
	if code != 1 || !strings.Contains(out, "not_finished") {
		t.Errorf("exit %d\n%s", code, out)
	}
	out, code = s.Tekend(t, "evidence", "get", "sr_01900000-0000-7000-8000-000000000000", "-o", filepath.Join(t.TempDir(), "e.json"))
	if code != 2 || !strings.Contains(out, "not_found") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
