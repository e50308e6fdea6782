package main

import (
	"crypto/x509"
	"encoding/asn1"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/foureyes"
	"tekend/production"
)

// TestARoleInProductionSaysAllThatIsUnsafe: the configurations of a sandbox's roles with production: true. Each role names
// everything at once and opens neither token nor socket; config check says the same; without production it is for information.
func TestARoleInProductionSaysAllThatIsUnsafe(t *testing.T) {
	w := newWorld(t)
	for role, least := range map[string]int{"sam": 15, "ca": 14, "tsa": 11} {
		sandbox := readText(t, w.path(role+".yaml"))
		out := must(t, "config", "check", "--config", w.path(role+".yaml"))
		if !strings.Contains(out, "a sandbox; production would refuse") || !strings.Contains(out, "token.module: ") {
			t.Errorf("%s: %s", role, out)
		}
		file := write(t, w.path(role+"-real.yaml"), sandbox+"\nproduction: true\n")
		code, _, stderr := call(t, role, "--config", file)
		if lines := strings.Count(stderr, "\n  "); code != exitUsage || lines < least {
			t.Errorf("%s: exit %d with %d findings: %s", role, code, lines, stderr)
		}
		for _, says := range []string{"token.module: ", "token.test_only: ", "operators: there are none", "audit.witnesses: ", "ceremony_reports: "} {
			if strings.Count(stderr, says) != 1 {
				t.Errorf("%s: %q is said %d times: %s", role, says, strings.Count(stderr, says), stderr)
			}
		}
		if _, err := os.Stat(w.path(role + "/run/" + role + ".sock")); err == nil {
			t.Errorf("%s: the socket was opened", role)
		}
		code, _, checked := call(t, "config", "check", "--config", file)
		if code != exitNo || strings.TrimPrefix(checked, "tekend-trusted: ") != strings.TrimPrefix(stderr, "tekend-trusted: ") {
			t.Errorf("%s: config check: exit %d, %s\nand the role: %s", role, code, checked, stderr)
		}
	}
	if code, _, _ := call(t, "config", "check", "--config", w.path("pki/root.pem")); code != exitUsage {
		t.Errorf("a certificate: exit %d", code)
	}
	if code, _, _ := call(t, "config", "check", "--config", write(t, w.path("witness.yaml"), "listen: x\n")); code != exitUsage {
		t.Errorf("another file: exit %d", code)
	}
}

// TestAProductionCeremonyIsNotPlannedWithASandboxsSettings.
func TestAProductionCeremonyIsNotPlannedWithASandboxsSettings(t *testing.T) {
	dir := memoryDir(t)
	cfg := ceremonyFile(t, dir, "", "production: true\n")
	for _, args := range [][]string{{"keys", "plan"}, {"keys", "init"}, {"keys", "add", "kek-2"}, {"keys", "root-crl"}} {
		code, _, stderr := call(t, append(args, "--config", cfg)...)
		if code != exitUsage || strings.Count(stderr, "\n  ") < 14 || !strings.Contains(stderr, "module: ") || !strings.Contains(stderr, "policies.person: ") {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
	}
	if code, _, stderr := call(t, "config", "check", "--config", cfg); code != exitNo || !strings.Contains(stderr, "organisation.id") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "root")); err == nil {
		t.Error("something was made")
	}
}

// TestAProductionCeremonyMakesRealCertificates: what the refusals stand before, held here with SoftHSM, for there is no
// other device. Nothing says SANDBOX, and the unit's certificate states the policy of the configuration.
func TestAProductionCeremonyMakesRealCertificates(t *testing.T) {
	dir := memoryDir(t)
	file := ceremonyFile(t, dir, "", `production: true
organisation: {name: Acme NV, id: NTRBE-0123456789}
policies: {person: 1.3.6.1.4.1.55555.1.1, tsu: 1.3.6.1.4.1.55555.1.2, time_stamp: 1.3.6.1.4.1.55555.2.1}
tsu_key_type: RSA-3072
issuing_key_type: P-384
`)
	cfg, err := readCeremony(file)
	if err != nil {
		t.Fatal(err)
	}
	w, err := cfg.work(whatInit, nil)
	if err != nil {
		t.Fatal(err)
	}
	by := decided{at: time.Now().UTC().Truncate(time.Second), id: newPlanID()}
	if by.plan, err = w.plan(by.id); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"an", "bo"} {
		a, err := foureyes.Approve(operatorKey(t, filepath.Join(dir, "operators", name)), by.plan, time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		by.approvals = append(by.approvals, a)
	}
	t.Setenv("SOFTHSM2_CONF", os.Getenv("SOFTHSM2_CONF")) // the ceremony changes it
	if err := newCeremony(&program{ctx: t.Context(), now: time.Now}, w, by).do(); err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]x509.PublicKeyAlgorithm{"root": x509.ECDSA, "issuing-ca": x509.ECDSA, "tsu": x509.RSA} {
		c := readCert(t, filepath.Join(dir, "pki", name+".pem"))
		if strings.Contains(c.Subject.String(), "SANDBOX") || !strings.HasPrefix(c.Subject.CommonName, "Acme NV ") || c.PublicKeyAlgorithm != kind {
			t.Errorf("%s: %s, %v", name, c.Subject, c.PublicKeyAlgorithm)
		}
	}
	tsu := readCert(t, filepath.Join(dir, "pki/tsu.pem"))
	if !slices.ContainsFunc(tsu.PolicyIdentifiers, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1, 2}.Equal) {
		t.Errorf("the unit's policies are %v", tsu.PolicyIdentifiers)
	}
	r, err := readReport(filepath.Join(dir, "pki/ceremony.json"), readCert(t, filepath.Join(dir, "pki/root.pem")))
	if err != nil || !r.Production || r.Policies["person"] != "1.3.6.1.4.1.55555.1.1" {
		t.Errorf("%+v %v", r, err)
	}
}

// TestTheExamplesWordsAreKnown: whoever copies a file of deploy/ and leaves a word in capitals in it is told.
func TestTheExamplesWordsAreKnown(t *testing.T) {
	words, seen := regexp.MustCompile(`\b[A-Z]{2,}(?:-[A-Z0-9]+)+\b`), 0
	for _, dir := range []string{"../../deploy/config", "../../deploy/compose"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil || len(files) < 5 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			for _, word := range words.FindAllString(readText(t, file), -1) {
				if seen++; !slices.Contains(production.Words, word) && !strings.HasPrefix(word, "NTRBE-") {
					t.Errorf("%s: %s is not among the words that are looked for", file, word)
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d words were found", seen)
	}
}

// TestTheExamplesArePassedOnceFilledIn: with the words in capitals replaced, nothing in the files of deploy/config is unsafe.
func TestTheExamplesArePassedOnceFilledIn(t *testing.T) {
	p := aRealPKI(t)
	keys := regexp.MustCompile(`key: ([\w-]{43})`).FindAllStringSubmatch(p.operators, -1)
	fill := strings.NewReplacer(
		"HSM-MODULE", "/usr/lib/acme/pkcs11.so", "OPERATOR-KEY-1", keys[0][1], "OPERATOR-KEY-2", keys[1][1], "WITNESS-KEY", "some",
		"IDENT-CLIENT", "A", "IDENT-SERVICE", "B", "CONFIRM-CLIENT", "C", "CONFIRM-SERVICE", "D", "TERMS-VERSION", "1", "TERMS-SHA256", "x",
		"PERSON-POLICY", "1.3.6.1.4.1.55555.1.1", "TSU-POLICY", "1.3.6.1.4.1.55555.1.2", "STAMP-POLICY", "1.3.6.1.4.1.55555.2.1",
		"POLICY-SHA256", "x", "POLICY-HEX", "abc", "PDS-HEX", "def",
	)
	for role, uid := range map[string]int{"sam": 47101, "ca": 47102, "tsa": 47103, "ceremony": os.Getuid()} {
		text := readText(t, filepath.Join("../../deploy/config", role+".yaml"))
		if !strings.Contains(text, "production: true\n") {
			t.Errorf("%s is not for production", role)
		}
		path := write(t, filepath.Join(t.TempDir(), role+".yaml"), fill.Replace(text))
		if os.Getuid() != 0 {
			uid = os.Getuid()
		}
		if found := unsafeIn(t, role, path, uid); len(found) != 0 {
			t.Errorf("%s: %v", role, found)
		}
	}
}
