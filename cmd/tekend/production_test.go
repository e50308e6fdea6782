package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tekend/certs"
)

const realFront = `
production: true
listen: 127.0.0.1:8080
public_url: https://sign.acme.be
roots: P/root.pem
policies: /etc/tekend/policies
tsa_policies: [1.3.6.1.4.1.55555.2.1]
evidence_tsas: [{url: "http://tsa.notary.be/tsa", root_file: P/notary.pem}]
sockets: {sam: [/run/tekend/sam-a/run/sam.sock, /run/tekend/sam-b/run/sam.sock], ca: /run/tekend/ca/run/ca.sock, tsa: /run/tekend/tsa/run/tsa.sock}
store: {db: "postgres://tekend_front@/tekend_front?host=/run/postgresql", blobs: "s3://docs?endpoint=https://s3.acme.be&region=be", blobs_key_file: P/s3}
clients: [{id: acme, name: ACME, key_file: P/acme.key}, {id: other, name: Other, key_file: P/other.key}]
api: {security_txt: {contacts: ["mailto:security@acme.be"], expires: 2027-01-01T00:00:00Z}}
`

// realRoot writes a root without a sandbox's mark, and one with it.
func realRoot(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, cn := range map[string]string{"root.pem": "Acme Root CA", "sandbox.pem": "Acme Root CA SANDBOX"} {
		der, err := certs.Issue(certs.Issuer{Signer: key}, certs.Order{
			Profile: certs.Root, PublicKey: key.Public(), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), Real: name == "root.pem",
			Subject: certs.Subject{Country: "BE", Organisation: "Acme NV", OrganisationID: "NTRBE-0123456789", CommonName: cn},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAFrontInProductionRefusesEachUnsafeSetting: a good file has no finding, and each defect exactly one.
func TestAFrontInProductionRefusesEachUnsafeSetting(t *testing.T) {
	dir := t.TempDir()
	realRoot(t, dir)
	for _, name := range []string{"acme.key", "other.key", "s3", "open"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	uid := os.Getuid()
	if uid == 0 {
		uid = 47150
	}
	for name, c := range map[string]struct{ old, new, says string }{
		"nothing":               {"", "", ""},
		"a sandbox":             {"production: true", "production: true\nsandbox: true", "sandbox: every page"},
		"redirects in clear":    {"api: {", "api: {sandbox: true, ", "api.sandbox"},
		"by http":               {"https://sign.acme.be", "http://sign.acme.be", "public_url: it must be https"},
		"on loopback":           {"https://sign.acme.be", "https://127.0.0.1:8080", "public_url: it is this machine"},
		"of a test":             {"https://sign.acme.be", "https://sign.example", "public_url: the name sign.example"},
		"another address":       {"api: {", "api: {public_url: \"https://localhost\", ", "api.public_url"},
		"asks private hosts":    {"clients: [", "revocation: {allow_private: true}\nclients: [", "revocation.allow_private: whoever"},
		"a test's pki":          {"clients: [", "revocation: {pki_url: \"http://sign.example/pki\"}\nclients: [", "revocation.pki_url: the name sign.example"},
		"sandbox's root":        {"P/root.pem", "P/sandbox.pem", "its name says SANDBOX"},
		"no sam":                {"sam: [/run/tekend/sam-a/run/sam.sock, /run/tekend/sam-b/run/sam.sock], ", "", "sockets.sam: it is missing"},
		"no ca":                 {"ca: /run/tekend/ca/run/ca.sock, ", "", "sockets.ca: it is missing"},
		"roles of one user":     {"/run/tekend/tsa/run/tsa.sock", "/run/tekend/ca/run/tsa.sock", "sockets.tsa: it lies in the folder of sockets.ca"},
		"any stamp":             {"tsa_policies: [1.3.6.1.4.1.55555.2.1]", "", "tsa_policies: there are none"},
		"stamps of a test":      {"1.3.6.1.4.1.55555.2.1", certs.PolicyTestTimeStamp.String(), "tsa_policies[0]: " + certs.PolicyTestTimeStamp.String() + " is a test policy"},
		"only our stamps":       {"evidence_tsas:", "#", "evidence_tsas: there are none"},
		"simulated stamps":      {"http://tsa.notary.be", "http://127.0.0.1:9", "evidence_tsas[0].url: it is this machine"},
		"simulated spare":       {"evidence_tsas:", "tsas: [{url: \"http://tsa.test\"}]\nevidence_tsas:", "tsas[0].url"},
		"sandbox's texts":       {"policies: /etc/tekend/policies", "", "policies: practice statement"},
		"no contact":            {"api:", "#", "api.security_txt"},
		"no provider":           {"clients:", "#", "clients: there are none"},
		"open API key":          {"P/acme.key", "P/open", "clients[0].key_file: "},
		"one key for two":       {"P/other.key", "P/acme.key", "clients[1].key_file: it is also the key of acme"},
		"the sandbox's client":  {"name: ACME", "name: Demo provider (simulation)", "clients[0].name"},
		"database in /tmp":      {"postgres://tekend_front@/tekend_front?host=/run/postgresql", "/tmp/front.db", "store.db"},
		"database in the clear": {"tekend_front?host=/run/postgresql", "tekend_front?host=db.acme.be", "store.db: it goes to db.acme.be"},
		"documents in /tmp":     {"s3://docs?endpoint=https://s3.acme.be&region=be", "/var/tmp/blobs", "store.blobs"},
		"documents in clear":    {"endpoint=https:", "endpoint=http:", "store.blobs: it must be https"},
		"open S3 key":           {"P/s3", "P/open", "store.blobs_key_file"},
		"not filled in":         {"name: ACME", "name: TERMS-VERSION", "is a word of the example"},
	} {
		text := strings.ReplaceAll(strings.Replace(realFront, c.old, c.new, 1), "P/", dir+"/")
		path := filepath.Join(t.TempDir(), "front.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var cfg frontConfig
		if err := readYAML(path, &cfg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found := cfg.unsafe(path, uid).Found
		if c.says == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || c.says == "" || !strings.Contains(found[0].String(), c.says) {
			t.Errorf("%s: it should say %q and nothing else: %v", name, c.says, found)
		}
	}
}

// TestAFrontInProductionSaysAllThatIsUnsafe: serve and config check name everything at once, and open nothing.
func TestAFrontInProductionSaysAllThatIsUnsafe(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "front.yaml")
	text := "production: true\nsandbox: true\nlisten: 127.0.0.1:0\npublic_url: http://127.0.0.1:1\nstore: {db: " + dir + "/f.db, blobs: " + dir + "/b}\n"
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"serve", "--config", path}, {"config", "check", "--config", path}} {
		var out, errs bytes.Buffer
		code := run(&program{ctx: context.Background(), stdout: &out, stderr: &errs, now: time.Now}, args)
		if lines := strings.Count(errs.String(), "\n  "); code == 0 || lines < 12 {
			t.Errorf("%v: exit %d with %s findings: %s", args, code, strconv.Itoa(lines), errs.String())
		}
		for _, says := range []string{"(file): ", "sandbox: ", "public_url: it must be https", "public_url: it is this machine", "store.db: ", "clients: "} {
			if !strings.Contains(errs.String(), says) {
				t.Errorf("%v: it does not say %q: %s", args, says, errs.String())
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "f.db")); err == nil {
		t.Error("the database was opened")
	}
}

// TestTheExampleIsPassedOnceFilledIn: deploy/config/front.yaml with its words in capitals replaced.
func TestTheExampleIsPassedOnceFilledIn(t *testing.T) {
	b, err := os.ReadFile("../../deploy/config/front.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "front.yaml")
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("STAMP-POLICY"), []byte("1.3.6.1.4.1.55555.2.1")), 0o600); err != nil {
		t.Fatal(err)
	}
	var cfg frontConfig
	if err := readYAML(path, &cfg); err != nil {
		t.Fatal(err)
	}
	if found := cfg.unsafe(path, max(os.Getuid(), 1)).Found; !cfg.Production || len(found) != 0 {
		t.Errorf("production %t: %v", cfg.Production, found)
	}
}
