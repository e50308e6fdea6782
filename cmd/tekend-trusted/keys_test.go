package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/foureyes"
	"tekend/hsm"
)

// replaced gives arguments with one in the place of another.
func replaced(args []string, old, with string) []string {
	args = slices.Clone(args)
	for i, a := range args {
		if a == old {
			args[i] = with
		}
	}
	return args
}

// TestACeremonyWantsTwoOperatorsForExactlyThis: each line is one thing that is wrong with plan or approvals. Nothing is
// made; then the very same plan with both approvals is done, and never a second time.
func TestACeremonyWantsTwoOperatorsForExactlyThis(t *testing.T) {
	dir := memoryDir(t)
	cfg := ceremonyFile(t, dir, "", "")
	good := approve(t, dir, cfg) // --config C --plan P --approval A --approval B
	plan, first, second := good[3], good[5], good[7]
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	must(t, "operator", "keygen", "--name", "stranger", "--out", filepath.Join(dir, "operators", "stranger"))
	file := func(name, text string) string { return write(t, filepath.Join(t.TempDir(), name), text) }
	stranger := file("stranger", must(t, "approve", "--key", filepath.Join(dir, "operators", "stranger"), plan))
	again := file("again", must(t, "approve", "--key", filepath.Join(dir, "operators", "an"), plan))
	other := approve(t, dir, cfg)
	edited := file("edited", strings.Replace(string(text), "3650 days", "36500 days", 1))
	longer := file("longer", string(text)+"key: mine\n")
	changed := file("changed.yaml", readText(t, cfg)+"cps_url: http://127.0.0.1:8080/other\n")
	old, err := foureyes.Approve(operatorKey(t, filepath.Join(dir, "operators", "bo")), string(text), time.Now().Add(-20*time.Minute), foureyes.MaxValid)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":           {[]string{"--config", cfg}, exitUsage, "two operators must approve"},
		"no approval":       {good[:4], exitUsage, "two operators must approve"},
		"one":               {good[:6], exitNo, "two different operators"},
		"one twice":         {replaced(good, second, first), exitNo, "two different operators"},
		"one, two texts":    {replaced(good, second, again), exitNo, "two different operators"},
		"a stranger":        {replaced(good, second, stranger), exitNo, "not of a configured operator"},
		"another plan's":    {replaced(good, second, other[7]), exitNo, "something else"},
		"an old one":        {replaced(good, second, file("old", old.String())), exitNo, "not valid now"},
		"the plan edited":   {replaced(good, plan, edited), exitNo, "36500 days"},
		"a line more":       {replaced(good, plan, longer), exitNo, "planned is"},
		"another config":    {replaced(good, cfg, changed), exitNo, "configuration: SHA-256"},
		"a plan of kek-2":   {replaced(good, plan, file("kek", must(t, "keys", "plan", "--config", cfg, "kek-2"))), exitNo, "for kek-2"},
		"no plan":           {replaced(good, plan, cfg), exitUsage, "no plan"},
		"no approval at it": {replaced(good, second, cfg), exitNo, "not an approval"},
	} {
		code, _, stderr := call(t, append([]string{"keys", "init"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, it should say %q: %s", name, code, c.says, stderr)
		}
	}
	for _, made := range []string{"sam", "ca", "tsa", "root", "pki"} {
		if _, err := os.Stat(filepath.Join(dir, made)); err == nil {
			t.Errorf("%s was made without two operators", made)
		}
	}
	must(t, append([]string{"keys", "init"}, good...)...)
	// All but the root's place is put away: the approvals are used up.
	for _, made := range []string{"sam", "ca", "tsa", "pki", "root/tokens"} {
		if err := os.RemoveAll(filepath.Join(dir, made)); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, stderr := call(t, append([]string{"keys", "init"}, good...)...); code != exitNo || !strings.Contains(stderr, "not replaced") {
		t.Errorf("the approvals count twice: exit %d, %s", code, stderr)
	}
}

// TestTheReportProvesTheCeremony: by our own command and by openssl, with what is published; and each change is found.
func TestTheReportProvesTheCeremony(t *testing.T) {
	dir := memoryDir(t)
	cfg := doCeremony(t, dir, "")
	path := func(name string) string { return filepath.Join(dir, name) }
	report, root := path("pki/ceremony.json"), path("pki/root.pem")
	verify := func(report string) []string {
		return []string{"keys", "verify-report", "--report", report, "--root", root, "--pki", path("pki"), "--config", cfg}
	}
	out := must(t, verify(report)...)
	for _, says := range []string{"proven: init", "SoftHSM", "production false", "key kek of the sam, AES-256", "key root of the root, P-256", "certificate tsu "} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q: %s", says, out)
		}
	}
	if strings.Count(out, "approved by operator ") != 2 {
		t.Error(out)
	}
	var r ceremonyReport
	if err := json.Unmarshal([]byte(readText(t, report)), &r); err != nil {
		t.Fatal(err)
	}
	for _, k := range r.Keys {
		if (k.Place == placeToken) != (len(k.Attributes) >= 10) {
			t.Errorf("%s: %d attributes were read back", k.Label, len(k.Attributes))
		}
	}
	der, err := x509.MarshalPKIXPublicKey(readCert(t, root).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key := write(t, filepath.Join(t.TempDir(), "root.pub"), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	if out, err := exec.Command("openssl", "dgst", "-sha256", "-verify", key, "-signature", report+".sig", report).CombinedOutput(); err != nil {
		t.Errorf("openssl: %v %s", err, out)
	}
	text, sig := readText(t, report), readText(t, report+".sig")
	for name, bad := range map[string][2]string{
		"another time":    {strings.Replace(text, `"at": "20`, `"at": "21`, 1), sig},
		"one byte less":   {text[:len(text)-1], sig},
		"production":      {strings.Replace(text, `"production": false`, `"production": true`, 1), sig},
		"half the sign":   {text, sig[:len(sig)/2]},
		"another's sign":  {text, readText(t, path("pki/ca/root.crt"))},
		"the first byte ": {"[" + text[1:], sig},
	} {
		file := write(t, filepath.Join(t.TempDir(), "r.json"), bad[0])
		write(t, file+".sig", bad[1])
		if code, _, stderr := call(t, verify(file)...); code != exitNo || !strings.Contains(stderr, "not proven") {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
	}
	if code, _, _ := call(t, replaced(verify(report), root, path("pki/issuing-ca.pem"))...); code != exitNo {
		t.Errorf("under another root: exit %d", code)
	}
	pki := filepath.Join(t.TempDir(), "pki")
	if err := os.CopyFS(pki, os.DirFS(path("pki"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(pki, "ca", "tsu.crt"), readText(t, path("pki/ca/issuing-ca.crt")))
	if code, _, stderr := call(t, replaced(verify(report), path("pki"), pki)...); code != exitNo || !strings.Contains(stderr, "certificate tsu") {
		t.Errorf("another certificate: exit %d, %s", code, stderr)
	}
}

// TestAReportThatDoesNotHoldTogetherIsRefused: what the root would have to sign wrongly. Each line breaks one thing.
func TestAReportThatDoesNotHoldTogetherIsRefused(t *testing.T) {
	dir := memoryDir(t)
	doCeremony(t, dir, "")
	root := readCert(t, filepath.Join(dir, "pki/root.pem"))
	load := func() *ceremonyReport {
		r, err := readReport(filepath.Join(dir, "pki/ceremony.json"), root)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	key := func(r *ceremonyReport, label string) reportKey {
		i := slices.IndexFunc(r.Keys, func(k reportKey) bool { return k.Label == label })
		return r.Keys[i]
	}
	for name, c := range map[string]struct {
		change func(*ceremonyReport)
		says   string
	}{
		"format":            {func(r *ceremonyReport) { r.Format = "tekend-ceremony/2" }, "format"},
		"another root":      {func(r *ceremonyReport) { r.Root = strings.Repeat("0", 64) }, "another root"},
		"another id":        {func(r *ceremonyReport) { r.ID = "X" + r.ID[1:] + "A" }, "not of this ceremony"},
		"another subject":   {func(r *ceremonyReport) { r.What = "kek-2" }, "not of this ceremony"},
		"no plan":           {func(r *ceremonyReport) { r.Plan = "" }, "not of this ceremony"},
		"another plan":      {func(r *ceremonyReport) { r.Plan += "key: mine\n" }, "approvals in the report"},
		"one approval":      {func(r *ceremonyReport) { r.Approvals = r.Approvals[:1] }, "two different operators"},
		"approval twice":    {func(r *ceremonyReport) { r.Approvals[1] = r.Approvals[0] }, "two different operators"},
		"digest":            {func(r *ceremonyReport) { r.Approvals[0].Digest = r.Approvals[1].Digest }, "approval 1"},
		"operator's name":   {func(r *ceremonyReport) { r.Approvals[0].Operator = r.Approvals[1].Operator }, "approval 1"},
		"operator unknown":  {func(r *ceremonyReport) { r.Operators = r.Operators[:1] }, "not of a configured operator"},
		"operator's key":    {func(r *ceremonyReport) { r.Operators[0].Key = r.Operators[1].Key }, "no good key"},
		"a day later":       {func(r *ceremonyReport) { r.At = r.At.Add(24 * time.Hour) }, "not valid now"},
		"extractable":       {func(r *ceremonyReport) { key(r, "kek").Attributes["EXTRACTABLE"] = true }, "kek"},
		"not local":         {func(r *ceremonyReport) { key(r, "root").Attributes["LOCAL"] = false }, "root"},
		"not sensitive":     {func(r *ceremonyReport) { key(r, "mac").Attributes["SENSITIVE"] = false }, "mac"},
		"nothing read back": {func(r *ceremonyReport) { clear(key(r, "tsu").Attributes) }, "tsu"},
	} {
		r := load()
		c.change(r)
		if err := r.check(root); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheRootIsNoRolesKey: the ca's token has no key of the root, and no role's folder has the PIN of the root's token.
func TestTheRootIsNoRolesKey(t *testing.T) {
	dir := memoryDir(t)
	doCeremony(t, dir, "")
	pin := strings.TrimSpace(readText(t, filepath.Join(dir, "root/pin")))
	for _, role := range []string{"sam", "ca", "tsa", "pki"} {
		err := filepath.WalkDir(filepath.Join(dir, role), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if strings.Contains(readText(t, path), pin) {
				t.Errorf("%s holds the PIN of the root", path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SOFTHSM2_CONF", filepath.Join(dir, "ca/softhsm2.conf"))
	token, err := hsm.Open(t.Context(), hsm.Config{Module: "/usr/lib/softhsm/libsofthsm2.so", TokenLabel: "tekend-ca", PINFile: filepath.Join(dir, "ca/pin")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = token.Close() })
	if _, err := token.Signer(t.Context(), labelRoot); err == nil {
		t.Error("the ca's token has the root's key")
	}
	for _, label := range []string{labelIssuing, labelOCSP} {
		if _, err := token.Signer(t.Context(), label); err != nil {
			t.Error(err)
		}
	}
}

// TestRollOverMakesOneMoreOfEachKey.
func TestRollOverMakesOneMoreOfEachKey(t *testing.T) {
	dir := memoryDir(t)
	cfg := doCeremony(t, dir, "")
	path := func(name string) string { return filepath.Join(dir, name) }
	for what, files := range map[string][]string{
		"kek-2":               nil,
		"ocsp-2":              nil,
		"itsme-ident-sig-2":   {"sam/itsme-ident-enc-2.pem"},
		"itsme-confirm-sig-2": {"sam/itsme-confirm-enc-2.pem"},
		"issuing-ca-2":        {"ca/issuing-ca-2.pem", "sam/issuing-ca-2.pem", "pki/ca/issuing-ca-2.crt", "pki/crl/issuing-ca-2.crl", "pki/issuing-ca-2.pem"},
		"tsu-2":               {"ca/tsu-2.pem", "tsa/tsu-2.pem", "pki/ca/tsu-2.crt", "pki/tsu-2.pem"},
	} {
		args := approve(t, dir, cfg, what)
		must(t, append([]string{"keys", "add", what}, args...)...)
		for _, f := range files {
			if _, err := os.Stat(path(f)); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		must(t, "keys", "verify-report", "--report", path("pki/ceremony-"+what+".json"), "--root", path("pki/root.pem"), "--pki", path("pki"), "--config", cfg)
		if code, _, stderr := call(t, append([]string{"keys", "add", what}, args...)...); code == 0 || !strings.Contains(stderr, "counts once") {
			t.Errorf("%s with the same approvals: exit %d, %s", what, code, stderr)
		}
		if code, _, stderr := call(t, append([]string{"keys", "add", what}, approve(t, dir, cfg, what)...)...); code != exitNo || !strings.Contains(stderr, "Plan the next number") {
			t.Errorf("%s once more: exit %d, %s", what, code, stderr)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(readCert(t, path("pki/root.pem")))
	for _, name := range []string{"pki/issuing-ca-2.pem", "tsa/tsu-2.pem"} {
		c := readCert(t, path(name))
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(c.Subject.CommonName, " 2 ") {
			t.Errorf("%s is for %q: two CAs of one name cannot be told apart", name, c.Subject.CommonName)
		}
	}
	for _, what := range []string{"kek", "kek-1", "kek-02", "root-2", "mac-2", "issuing-ca", "kek-100", "-2", "init"} {
		if code, _, _ := call(t, "keys", "add", what, "--config", cfg, "--plan", cfg, "--approval", cfg); code == 0 {
			t.Errorf("%s was added", what)
		}
	}
	// The copy beside the token has the new key too.
	t.Setenv("SOFTHSM2_CONF", write(t, path("copy.conf"), "directories.tokendir = "+path("sam/tokens.copy")+"\nobjectstore.backend = file\n"))
	token, err := hsm.Open(t.Context(), hsm.Config{Module: "/usr/lib/softhsm/libsofthsm2.so", TokenLabel: "tekend-sam", PINFile: path("sam/pin")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = token.Close() })
	for _, label := range []string{"kek", "kek-2"} {
		if err := token.ProbeKEK(t.Context(), label); err != nil {
			t.Error(err)
		}
	}
}

// TestTheRootsNextCRL: it holds what the last one held and what is revoked besides, openssl believes it, and it cannot be
// made twice from one plan.
func TestTheRootsNextCRL(t *testing.T) {
	dir := memoryDir(t)
	cfg := doCeremony(t, dir, "")
	path := func(name string) string { return filepath.Join(dir, name) }
	root := readCert(t, path("pki/root.pem"))
	want := map[string]int{}
	for i, revoke := range []string{"", "tsu=superseded", "issuing-ca=cACompromise"} {
		what := []string{"root-crl"}
		if name, reason, ok := strings.Cut(revoke, "="); ok {
			what = append(what, "--revoke", revoke)
			want[readCert(t, path("pki/"+name+".pem")).SerialNumber.String()] = rootReasons[reason]
		}
		args := approve(t, dir, cfg, what...)
		stale := approve(t, dir, cfg, "root-crl")
		must(t, append([]string{"keys", "root-crl"}, args...)...)
		if code, _, stderr := call(t, append([]string{"keys", "root-crl"}, stale...)...); code != exitNo || !strings.Contains(stderr, "root CRL: number") {
			t.Errorf("a second CRL with the number %d: exit %d, %s", i+2, code, stderr)
		}
		must(t, "keys", "verify-report", "--report", path(fmt.Sprintf("pki/ceremony-root-crl-%d.json", i+2)), "--root", path("pki/root.pem"))
		for _, file := range []string{"pki/crl/root.crl", "ca/root.crl", "root/root.crl"} {
			list, err := x509.ParseRevocationList([]byte(readText(t, path(file))))
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, e := range list.RevokedCertificateEntries {
				got[e.SerialNumber.String()] = e.ReasonCode
			}
			if err := list.CheckSignatureFrom(root); err != nil || list.Number.Cmp(big.NewInt(int64(i+2))) != 0 || !maps.Equal(got, want) {
				t.Errorf("%s: %v, number %v, %v, want %v", file, err, list.Number, got, want)
			}
			if life := list.NextUpdate.Sub(list.ThisUpdate); life > 366*24*time.Hour {
				t.Errorf("%s lives %v", file, life)
			}
		}
	}
	out, err := exec.Command("openssl", "crl", "-inform", "DER", "-in", path("pki/crl/root.crl"), "-CAfile", path("pki/root.pem"), "-noout", "-text").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "verify OK") || !strings.Contains(string(out), "CA Compromise") {
		t.Errorf("openssl: %v %s", err, out)
	}
	for _, bad := range []string{"tsu=superseded", "root=keyCompromise", "nobody=superseded", "issuing-ca=because", "tsu", "../ca=superseded", "=superseded"} {
		if code, _, _ := call(t, "keys", "plan", "--config", cfg, "root-crl", "--revoke", bad); code != exitUsage {
			t.Errorf("%s: exit %d", bad, code)
		}
	}
	if code, _, _ := call(t, "keys", "plan", "--config", cfg, "kek-2", "--revoke", "issuing-ca=superseded"); code != exitUsage {
		t.Errorf("revoked beside a key: exit %d", code)
	}
}

// TestARootOfAFile: openssl reads it; without its passphrase nobody does; the report says that it is a file.
func TestARootOfAFile(t *testing.T) {
	dir := memoryDir(t)
	passphrase := write(t, filepath.Join(dir, "passphrase"), "correct horse battery staple\n")
	cfg := ceremonyFile(t, dir, "", "tsu_key_type: P-384\nissuing_key_type: RSA-3072\n")
	key := filepath.Join(dir, "root/root.key")
	write(t, cfg, strings.Replace(readText(t, cfg), "root: {dir: "+dir+"/root}",
		"root: {file: "+key+", passphrase_file: "+passphrase+", key_type: P-384}", 1))
	must(t, append([]string{"keys", "init"}, approve(t, dir, cfg)...)...)
	if out, err := exec.Command("openssl", "pkey", "-in", key, "-passin", "file:"+passphrase, "-noout", "-text").CombinedOutput(); err != nil || !strings.Contains(string(out), "P-384") {
		t.Errorf("openssl: %v %s", err, out)
	}
	out := must(t, "keys", "verify-report", "--report", filepath.Join(dir, "pki/ceremony.json"), "--root", filepath.Join(dir, "pki/root.pem"))
	for _, says := range []string{"key root of the root, P-384, in a file", "key tsu of the tsa, P-384", "key issuing-ca of the ca, RSA-3072"} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not say %q: %s", says, out)
		}
	}
	must(t, append([]string{"keys", "add", "tsu-2"}, approve(t, dir, cfg, "tsu-2")...)...)
	write(t, passphrase, "another horse battery staple\n")
	code, _, stderr := call(t, append([]string{"keys", "add", "tsu-3"}, approve(t, dir, cfg, "tsu-3")...)...)
	if code == 0 || !strings.Contains(stderr, "wrong passphrase") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// TestAFolderOfEarlierSaysSo: a ceremony of the time when the root lay in the ca's token.
func TestAFolderOfEarlierSaysSo(t *testing.T) {
	dir := memoryDir(t)
	cfg := doCeremony(t, dir, "")
	args := approve(t, dir, cfg, "kek-2")
	if err := os.RemoveAll(filepath.Join(dir, "root")); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "keys", "init", "--config", cfg); !strings.Contains(out, "nothing was changed") {
		t.Error(out)
	}
	if code, _, stderr := call(t, "keys", "plan", "--config", cfg, "root-crl"); code != exitUsage || !strings.Contains(stderr, "begin again in an empty one") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := call(t, append([]string{"keys", "add", "kek-2"}, args...)...); code == 0 || !strings.Contains(stderr, "begin again in an empty one") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func operatorKey(t *testing.T, path string) (key []byte) {
	t.Helper()
	k, err := readOperatorKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
