package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tekend/certs"
	"tekend/foureyes"
	"tekend/production"
)

// realPKI is what a production ceremony with a certified device would leave: this machine has none, so its keys are made here.
type realPKI struct {
	dir       string
	root      *x509.Certificate
	key       crypto.Signer
	operators string // section of a configuration
	report    ceremonyReport
}

// aRealPKI makes root, issuing CA and unit without a sandbox's marks, and the ceremony's report.
func aRealPKI(t *testing.T) *realPKI {
	t.Helper()
	p := &realPKI{dir: t.TempDir()}
	now := time.Now().UTC().Truncate(time.Second)
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	subject := func(kind string) certs.Subject {
		return certs.Subject{Country: "BE", Organisation: "Acme NV", OrganisationID: "NTRBE-0123456789", CommonName: "Acme NV " + kind}
	}
	issue := func(name string, o certs.Order) *x509.Certificate {
		o.Real, o.NotBefore = true, now
		issuer := certs.Issuer{Cert: p.root, Signer: p.key}
		o.Publication = certs.PublishedBy("http://pki.acme.be", "root", "https://sign.acme.be/cps")
		if o.Profile == certs.Root {
			o.Publication = certs.Publication{}
		}
		der, err := certs.Issue(issuer, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		p.report.Certificates[name] = digestOf(der)
		write(t, filepath.Join(p.dir, name+".pem"), string(certPEM(cert)))
		return cert
	}
	p.report.Certificates = map[string]string{}
	p.key = key()
	p.root = issue("root", certs.Order{Profile: certs.Root, Subject: subject("Root CA"), PublicKey: p.key.Public(), NotAfter: now.Add(rootLife)})
	issue("issuing-ca", certs.Order{Profile: certs.IssuingCA, Subject: subject("Issuing CA"), PublicKey: key().Public(), NotAfter: now.Add(issuingLife)})
	issue("tsu", certs.Order{
		Profile: certs.TSU, Subject: subject("Time-Stamping Unit 1"), PublicKey: key().Public(), NotAfter: now.Add(tsuLife),
		PrivateKeyEnd: now.Add(tsuKeyLife), Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1, 2},
	})
	p.approved(t, now)
	return p
}

// approved fills in the report as two operators' ceremony would.
func (p *realPKI) approved(t *testing.T, now time.Time) {
	t.Helper()
	r := &p.report
	r.Format, r.What, r.ID, r.At, r.Production = planHead, whatInit, newPlanID(), now, true
	r.Module, r.Root = "Acme, Cryptographic Module, 7.2", digestOf(p.root.Raw)
	r.Policies = map[string]string{"person": "1.3.6.1.4.1.55555.1.1", "tsu": "1.3.6.1.4.1.55555.1.2", "time_stamp": "1.3.6.1.4.1.55555.2.1"}
	r.Plan = planHead + "\nwhat: init\nid: " + r.ID + "\n"
	r.Keys = []reportKey{{Role: "root", Label: labelRoot, Kind: "P-256", Place: placeToken, Attributes: map[string]bool{
		"TOKEN": true, "PRIVATE": true, "LOCAL": true, "SENSITIVE": true, "ALWAYS_SENSITIVE": true, "NEVER_EXTRACTABLE": true, "EXTRACTABLE": false,
	}}}
	var lines []string
	for _, name := range []string{"an", "bo"} {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		line := base64.RawURLEncoding.EncodeToString(public)
		lines = append(lines, "{name: "+name+", key: "+line+"}")
		a, err := foureyes.Approve(private, r.Plan, now, foureyes.MaxValid)
		if err != nil {
			t.Fatal(err)
		}
		r.Operators = append(r.Operators, reportOperator{foureyes.KeyID(public), line})
		r.Approvals = append(r.Approvals, reportApproval{a.Key, a.Hash(), a.String()})
	}
	p.operators = "operators: [" + strings.Join(lines, ", ") + "]\n"
}

// sign writes the report, changed, under the root's signature.
func (p *realPKI) sign(t *testing.T, name string, change func(*ceremonyReport)) string {
	t.Helper()
	b, err := json.Marshal(p.report)
	if err != nil {
		t.Fatal(err)
	}
	var r ceremonyReport
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&r)
	}
	if b, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	signature, err := signReport(p.root, p.key, b)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, filepath.Join(p.dir, name), string(b))
	write(t, path+".sig", string(signature))
	return path
}

const realCommon = `
production: true
ceremony_reports: [P/ceremony.json]
token: {module: P/libacme-hsm.so, token_label: tekend, pin_file: P/pin}
listen: {socket: /run/tekend/R/run/R.sock, peers: [47100]}
fence: {file: /var/lib/tekend-fence/R/fence.json}
audit:
  origin: sign.acme.be/audit/R
  key_file: P/audit-log.pem
  witnesses: [{url: "https://witness.notary.be/w1", key: some}]
  anchor: {url: "http://tsa.notary.be/tsa", root_file: P/anchor.pem}
`

const realSAM = `
operator_listen: {socket: /run/tekend/sam/operators/sam.sock, peers: [0]}
emergency_listen: 127.0.0.1:8084
jwks_listen: 127.0.0.1:8081
sam:
  db: /var/lib/tekend/sam/sam.db
  root_file: P/root.pem
  issuer_file: P/issuing-ca.pem
  status_socket: /run/tekend/ca/status/status.sock
  itsme: {issuer: "https://idp.prd.itsme.services/v2"}
  ident: {id: A, service: B, redirect_uri: "https://sign.acme.be/itsme/callback", enc_key_file: P/ident.pem}
  confirm: {id: C, service: D, redirect_uri: "https://sign.acme.be/itsme/callback", enc_key_file: P/confirm.pem}
  notices: {kind: smtp, address: "mail.acme.be:587", from: "Acme <keys@acme.be>", help: "+32 2 000 00 00"}
  provider_signed: required
  hash_orders: signed
  emergency_url: https://revoke.acme.be/
  policy_sha256: AAAA
`

const realCA = `
status_listen: {socket: /run/tekend/ca/status/status.sock, peers: [47101]}
operator_listen: {socket: /run/tekend/ca/operators/ca.sock, peers: [0]}
ca:
  db: "postgres://tekend_ca@/tekend_ca?host=/run/postgresql"
  root_file: P/root.pem
  issuing_ca_file: P/issuing-ca.pem
  tsu_file: P/tsu.pem
  public_url: http://pki.acme.be
  cps_url: https://sign.acme.be/cps
  pds: [{url: "https://sign.acme.be/pds-en", language: en}]
  itsme: {issuer: "https://idp.prd.itsme.services/v2"}
  policy_oid: 1.3.6.1.4.1.55555.1.1
`

const realTSA = `
chain_files: [P/tsu.pem, P/root.pem]
tsa:
  db: /var/lib/tekend/tsa/tsa.db
  policy: 1.3.6.1.4.1.55555.2.1
  clock: {sources: [{kind: ntp, address: ntp1.acme.be}, {kind: ntp, address: ntp2.acme.be}, {kind: ntp, address: ntp.notary.be}]}
`

const realCeremony = `
production: true
module: P/libacme-hsm.so
public_url: https://sign.acme.be
pki_url: http://pki.acme.be
cps_url: https://sign.acme.be/cps
organisation: {name: Acme NV, id: NTRBE-0123456789, country: BE}
policies: {person: 1.3.6.1.4.1.55555.1.1, tsu: 1.3.6.1.4.1.55555.1.2, time_stamp: 1.3.6.1.4.1.55555.2.1}
pki_dir: /var/lib/tekend/pki
root: {dir: /run/media/tekend-root}
sam: {dir: /var/lib/tekend/sam, uid: 47101, gid: 47101}
ca: {dir: /var/lib/tekend/ca, uid: 47102, gid: 47102}
tsa: {dir: /var/lib/tekend/tsa, uid: 47103, gid: 47103}
`

// defect is one unsafe setting: what is written in the place of what, and what the one finding says.
type defect struct{ role, old, new, says string }

// defects: each alone must be found, as one finding with its own words.
var defects = map[string]defect{
	"SoftHSM":                  {"sam", "P/libacme-hsm.so", "P/libsofthsm2.so", "token.module: P/libsofthsm2.so keeps keys in software"},
	"NSS":                      {"ca", "P/libacme-hsm.so", "P/libsoftokn3.so", "is for tests (softokn)"},
	"spy":                      {"tsa", "P/libacme-hsm.so", "P/pkcs11-spy.so", "is for tests (spy)"},
	"shim":                     {"sam", "P/libacme-hsm.so", "P/shim.so", "is for tests (shim)"},
	"module by search":         {"sam", "P/libacme-hsm.so", "libacme-hsm.so", "no whole path"},
	"module writable":          {"sam", "P/libacme-hsm.so", "P/open.so", "token.module: P/open.so is open to others"},
	"test_only":                {"tsa", "token_label: tekend", "token_label: tekend, test_only: true", "token.test_only"},
	"SoftHSM's configuration":  {"tsa", "token_label: tekend", "token_label: tekend, softhsm_conf: /x", "token.softhsm_conf"},
	"open PIN file":            {"sam", "P/pin", "P/open", "token.pin_file: P/open is open to others"},
	"no operators":             {"ca", "operators:", "#", "operators: there are none"},
	"one operator":             {"tsa", ", {name: bo", "] # ", "operators: there is one"},
	"database in /tmp":         {"sam", "/var/lib/tekend/sam/sam.db", "/tmp/sam/sam.db", "sam.db: /tmp/sam/sam.db lies in /tmp"},
	"database in the clear":    {"ca", "@/tekend_ca?host=/run/postgresql", "@db.acme.be/tekend_ca", "sslmode=verify-full"},
	"fence beside database":    {"tsa", "/var/lib/tekend-fence/tsa/fence.json", "/var/lib/tekend/tsa/fence.json", "fence.file: it lies in the folder of tsa.db"},
	"fence below database":     {"tsa", "/var/lib/tekend-fence/tsa/fence.json", "/var/lib/tekend/tsa/fence/fence.json", "fence.file: it lies in the folder of tsa.db"},
	"database below fence":     {"sam", "/var/lib/tekend-fence/sam/fence.json", "/var/lib/fence.json", "fence.file: it lies in the folder of sam.db"},
	"front as an operator":     {"ca", "ca.sock, peers: [0]", "ca.sock, peers: [0, 47100]", "operator_listen.peers: user 47100 may call both"},
	"no fence":                 {"tsa", "fence:", "#", "fence.file: it is missing"},
	"fence in /dev/shm":        {"tsa", "/var/lib/tekend-fence/tsa/", "/dev/shm/", "fence.file: /dev/shm/fence.json lies in /dev/shm"},
	"no witness":               {"sam", "witnesses: [{url: \"https://witness.notary.be/w1\", key: some}]", "interval: 1s", "audit.witnesses: there is none"},
	"witness on loopback":      {"sam", "https://witness.notary.be", "https://127.0.0.1:90", "audit.witnesses[0].url: it is this machine"},
	"witness in the clear":     {"sam", "https://witness.notary.be", "http://witness.notary.be", "audit.witnesses[0].url: it must be https"},
	"witness on a socket":      {"ca", "w1\"", "w1\", socket: /run/w.sock", "audit.witnesses[0].socket"},
	"no anchor":                {"sam", "anchor:", "#", "audit.anchor: there is none"},
	"simulated anchor":         {"sam", "http://tsa.notary.be", "http://tsa.test", "audit.anchor.url"},
	"origin of a test":         {"tsa", "origin: sign.acme.be", "origin: sign.example", "audit.origin"},
	"open log key":             {"tsa", "P/audit-log.pem", "P/open", "audit.key_file"},
	"anyone's peers":           {"tsa", ", peers: [47100]", "", "listen.peers: there are none"},
	"root calls":               {"tsa", "peers: [47100]", "peers: [47100, 0]", "listen.peers: root is among them"},
	"the role calls itself":    {"tsa", "peers: [47100]", "peers: [47100, SELF]", "listen.peers: the role's own user"},
	"socket for everyone":      {"tsa", "peers: [47100]", "peers: [47100], mode: 0666", "listen.mode"},
	"front sees status socket": {"ca", "/run/tekend/ca/status/", "/run/tekend/ca/run/", "status_listen: it lies in the folder of listen"},
	"front at status socket":   {"ca", "peers: [47101]", "peers: [47101, 47100]", "status_listen.peers: user 47100 may call both"},
	"no report":                {"ca", "ceremony_reports:", "#", "ceremony_reports: there is none"},
	"absent report":            {"ca", "P/ceremony.json", "P/nowhere.json", "P/nowhere.json does not hold"},
	"report changed":           {"ca", "P/ceremony.json", "P/changed.json", "not that of this root"},
	"sandbox's report":         {"ca", "P/ceremony.json", "P/sandbox.json", "is of a sandbox's ceremony"},
	"SoftHSM's report":         {"ca", "P/ceremony.json", "P/software.json", "its keys are in software"},
	"software root":            {"ca", "P/ceremony.json", "P/file.json", "the root's key is a file"},
	"one operator's report":    {"ca", "P/ceremony.json", "P/alone.json", "two different operators"},
	"a certificate besides":    {"ca", "P/ceremony.json", "P/without-tsu.json", "no report in ceremony_reports knows this certificate (tsu.pem)"},
	"sandbox's old CA":         {"ca", "policy_oid:", "previous: [{name: issuing-ca, cert_file: P/sandbox.pem, key: issuing-ca}]\n  policy_oid:", "P/sandbox.pem: its name says SANDBOX"},
	"sandbox's old unit":       {"ca", "policy_oid:", "tsu_files: [P/nobody.pem]\n  policy_oid:", "P/nobody.pem: its organisation"},
	"sandbox's certificate":    {"sam", "P/issuing-ca.pem", "P/sandbox.pem", "P/sandbox.pem: its name says SANDBOX"},
	"nobody's organisation":    {"tsa", "P/tsu.pem", "P/nobody.pem", "P/nobody.pem: its organisation is NTRBE-0000000000"},
	"itsme of a test":          {"sam", "https://idp.prd.itsme.services", "https://itsme.test", "sam.itsme.issuer"},
	"itsme in the clear":       {"ca", "https://idp.prd.itsme.services", "http://idp.prd.itsme.services", "ca.itsme.issuer: it must be https"},
	"itsme simulated here":     {"ca", "https://idp.prd.itsme.services", "https://127.0.0.1:9", "ca.itsme.issuer: it is this machine"},
	"itsme's test environment": {"ca", "idp.prd.itsme", "idp.e2e.itsme", "ca.itsme.issuer: https://idp.e2e.itsme.services/v2 is itsme's test environment"},
	"callback in the clear":    {"sam", "B, redirect_uri: \"https:", "B, redirect_uri: \"http:", "sam.ident.redirect_uri"},
	"callback on loopback":     {"sam", "D, redirect_uri: \"https://sign.acme.be", "D, redirect_uri: \"https://localhost", "sam.confirm.redirect_uri"},
	"open decryption key":      {"sam", "P/confirm.pem", "P/open", "sam.confirm.enc_key_file"},
	"open next key":            {"sam", "enc_key_file: P/ident.pem", "enc_key_file: P/ident.pem, other_keys: [{enc_key_file: P/open, enc_kid: e2}]", "sam.ident.other_keys"},
	"nobody is told":           {"sam", "notices:", "#", "sam.notices: there are none"},
	"notices of a test":        {"sam", "keys@acme.be", "keys@acme.test", "sam.notices.from"},
	"notices in the clear":     {"sam", "kind: smtp", "kind: smtp, tls: none", "sam.notices.tls"},
	"notices in /tmp":          {"sam", "kind: smtp", "kind: file, dir: /tmp/notices", "sam.notices.dir"},
	"open relay password":      {"sam", "kind: smtp", "kind: smtp, password_file: P/open", "sam.notices.password_file"},
	"many open questions":      {"sam", "provider_signed:", "limits: {open: 1000}\n  provider_signed:", "sam.limits.open"},
	"many strangers":           {"sam", "provider_signed:", "limits: {per_minute: 100000}\n  provider_signed:", "sam.limits.per_minute"},
	"many questions":           {"sam", "provider_signed:", "limits: {per_hour: 100000}\n  provider_signed:", "sam.limits.per_hour"},
	"hash orders undecided":    {"sam", "hash_orders: signed", "", "sam.hash_orders"},
	"signed orders undecided":  {"sam", "provider_signed: required", "", "sam.provider_signed"},
	"no policy in manifests":   {"sam", "policy_sha256: AAAA", "", "sam.policy_sha256"},
	"no operators' socket":     {"sam", "operator_listen:", "#", "operator_listen: it is not set"},
	"no operators' socket (2)": {"ca", "operator_listen:", "#", "operator_listen: it is not set: operators could not revoke when"},
	"no emergency channel":     {"sam", "emergency_listen:", "#", "emergency_listen"},
	"no emergency address":     {"sam", "emergency_url: https://revoke.acme.be/", "", "sam.emergency_url: it is not set"},
	"emergency in the clear":   {"sam", "https://revoke.acme.be", "http://revoke.acme.be", "sam.emergency_url: it must be https"},
	"sam at the ca's folder":   {"sam", "/run/tekend/ca/status/", "/run/tekend/sam/run/", "sam.status_socket"},
	"no policy":                {"ca", "policy_oid: 1.3.6.1.4.1.55555.1.1", "", "ca.policy_oid: it is not set"},
	"test policy":              {"ca", "1.3.6.1.4.1.55555.1.1", "TEST", "is a test policy"},
	"no identifier":            {"tsa", "policy: 1.3.6.1.4.1.55555.2.1", "policy: acme", "not a dotted object identifier"},
	"policy of examples":       {"tsa", "1.3.6.1.4.1.55555.2.1", "2.999.1", "arc for examples"},
	"another's policy":         {"tsa", "1.3.6.1.4.1.55555.2.1", "1.3.6.1.4.1.55555.2.2", "the ceremony was held for 1.3.6.1.4.1.55555.2.1"},
	"publication by https":     {"ca", "http://pki.acme.be", "https://pki.acme.be", "ca.public_url: it must be http"},
	"publication on loopback":  {"ca", "http://pki.acme.be", "http://127.0.0.1:8080/pki", "ca.public_url: it is this machine"},
	"statement of a test":      {"ca", "https://sign.acme.be/cps", "https://sign.test/cps", "ca.cps_url"},
	"disclosure of a test":     {"ca", "https://sign.acme.be/pds-en", "https://pki.tekend-sandbox.test/pds", "ca.pds[0].url"},
	"disclosure not English":   {"ca", "language: en", "language: nl", "ca.pds: no disclosure statement is in English"},
	"publication in /tmp":      {"ca", "policy_oid:", "publish_dir: /tmp/pki\n  policy_oid:", "ca.publish_dir"},
	"any level":                {"ca", "policy_oid:", "acr: \"*\"\n  policy_oid:", "ca.acr"},
	"any way of activation":    {"ca", "policy_oid:", "activation: [\"*\"]\n  policy_oid:", "ca.activation"},
	"country invented":         {"ca", "policy_oid:", "default_country: BE\n  policy_oid:", "ca.default_country"},
	"no clock":                 {"tsa", "clock:", "#", "tsa.clock: there are no sources"},
	"clock is this machine":    {"tsa", "ntp2.acme.be", "127.0.0.1:123", "tsa.clock.sources[1]"},
	"not filled in":            {"sam", "id: A,", "id: IDENT-CLIENT,", "sam.ident.id: IDENT-CLIENT is a word of the example"},
	"ceremony: SoftHSM":        {"ceremony", "P/libacme-hsm.so", "P/libsofthsm2.so", "module: P/libsofthsm2.so keeps keys in software"},
	"ceremony: software root":  {"ceremony", "dir: /run/media/tekend-root", "file: /run/media/tekend-root/k, passphrase_file: P/pin", "root.file"},
	"ceremony: open secret":    {"ceremony", "dir: /run/media/tekend-root", "dir: /run/media/tekend-root, passphrase_file: P/open", "root.passphrase_file"},
	"ceremony: root in /tmp":   {"ceremony", "/run/media/tekend-root", "/tmp/root", "root.dir"},
	"ceremony: pki in /tmp":    {"ceremony", "/var/lib/tekend/pki", "/tmp/pki", "pki_dir"},
	"ceremony: front by http":  {"ceremony", "https://sign.acme.be\n", "http://sign.acme.be\n", "public_url: it must be https"},
	"ceremony: pki by https":   {"ceremony", "http://pki.acme.be", "https://pki.acme.be", "pki_url: it must be http"},
	"ceremony: pki of a test":  {"ceremony", "http://pki.acme.be", "http://pki.example.org", "pki_url: the name pki.example.org"},
	"ceremony: no statement":   {"ceremony", "cps_url: https://sign.acme.be/cps", "", "cps_url: it is not set"},
	"ceremony: SANDBOX":        {"ceremony", "name: Acme NV", "name: Acme Sandbox", "organisation.name"},
	"ceremony: no name":        {"ceremony", "name: Acme NV, ", "", "organisation.name: \"Tekend\""},
	"ceremony: no number":      {"ceremony", ", id: NTRBE-0123456789", "", "organisation.id"},
	"ceremony: no policy":      {"ceremony", "person: 1.3.6.1.4.1.55555.1.1, ", "", "policies.person: it is not set"},
	"ceremony: unit's policy":  {"ceremony", "1.3.6.1.4.1.55555.1.2", "TEST", "policies.tsu"},
	"ceremony: stamp's policy": {"ceremony", "1.3.6.1.4.1.55555.2.1", "2.999.4", "policies.time_stamp"},
	"ceremony: no users":       {"ceremony", "/tekend/ca, uid: 47102, gid: 47102", "/tekend/ca", "ca.uid: it is not set"},
	"ceremony: root's role":    {"ceremony", "uid: 47103, gid: 47103", "uid: 0, gid: 0", "tsa.uid: it is root"},
	"ceremony: one user":       {"ceremony", "uid: 47102", "uid: 47101", "ca.uid: it is also the user of the sam"},
	"ceremony: role in /tmp":   {"ceremony", "/var/lib/tekend/tsa", "/tmp/tsa", "tsa.dir"},
	"ceremony: role in a role": {"ceremony", "/var/lib/tekend/tsa", "/var/lib/tekend/ca/tsa", "tsa.dir: it lies in /var/lib/tekend/ca"},
	"ceremony: not filled in":  {"ceremony", "name: Acme NV", "name: HSM-MODULE", "organisation.name: HSM-MODULE is a word"},
}

// realText is a role's file in which nothing is unsafe.
func realText(role, operators string) string {
	switch role {
	case "sam":
		return strings.ReplaceAll(realCommon, "R", "sam") + realSAM + operators
	case "ca":
		return strings.ReplaceAll(realCommon, "R", "ca") + realCA + operators
	case "tsa":
		return strings.ReplaceAll(realCommon, "R", "tsa") + realTSA + operators
	}
	return realCeremony + operators
}

// unsafeIn judges a file as the role's user would.
func unsafeIn(t *testing.T, role, path string, uid int) []production.Finding {
	t.Helper()
	if role == "ceremony" {
		cfg, err := readCeremony(path)
		if err != nil {
			t.Fatal(err)
		}
		return cfg.unsafe(path, uid).Found
	}
	c, err := roleSettings(role, path)
	if err != nil {
		t.Fatal(err)
	}
	c.uid = uid
	return c.unsafe().Found
}

// badReports are reports that the root signed and that show a ceremony which must not count.
func (p *realPKI) badReports(t *testing.T) {
	t.Helper()
	p.sign(t, "sandbox.json", func(r *ceremonyReport) { r.Production = false })
	p.sign(t, "software.json", func(r *ceremonyReport) { r.Module = "SoftHSM, Implementation of PKCS11, 2.6" })
	p.sign(t, "file.json", func(r *ceremonyReport) { r.Keys[0].Place = placeFile })
	p.sign(t, "alone.json", func(r *ceremonyReport) { r.Approvals = r.Approvals[:1] })
	p.sign(t, "without-tsu.json", func(r *ceremonyReport) { delete(r.Certificates, "tsu") })
	changed := write(t, filepath.Join(p.dir, "changed.json"), readText(t, filepath.Join(p.dir, "ceremony.json"))+" ")
	write(t, changed+".sig", readText(t, filepath.Join(p.dir, "ceremony.json.sig")))
}

// badCertificates are a sandbox's root, and a unit of nobody's organisation.
func (p *realPKI) badCertificates(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]certs.Subject{
		"sandbox": {Country: "BE", Organisation: "Acme NV", OrganisationID: "NTRBE-0123456789", CommonName: "Acme NV Root CA SANDBOX"},
		"nobody":  {Country: "BE", Organisation: "Acme NV", OrganisationID: production.NobodysID, CommonName: "Acme NV Time-Stamping Unit"},
	} {
		der, err := certs.Issue(certs.Issuer{Signer: key}, certs.Order{
			Profile: certs.Root, Subject: s, PublicKey: key.Public(), NotBefore: time.Now(), NotAfter: time.Now().Add(year), Real: name == "nobody",
		})
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(p.dir, name+".pem"), string(certPEM(cert)))
		p.report.Certificates[name] = digestOf(der) // so that this is all that is wrong with it
	}
}

// TestProductionRefusesEachUnsafeSetting: a good file of each role has no finding, and each defect has exactly one, with its
// own words.
func TestProductionRefusesEachUnsafeSetting(t *testing.T) {
	p := aRealPKI(t)
	p.badCertificates(t)
	p.sign(t, "ceremony.json", nil)
	p.badReports(t)
	for _, name := range []string{"pin", "audit-log.pem", "ident.pem", "confirm.pem", "libacme-hsm.so"} {
		write(t, filepath.Join(p.dir, name), "x")
	}
	for _, name := range []string{"open", "open.so"} {
		write(t, filepath.Join(p.dir, name), "x")
		if err := os.Chmod(filepath.Join(p.dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	uid := os.Getuid()
	if uid == 0 {
		uid = 47150
	}
	fill := strings.NewReplacer("P/", p.dir+"/", "SELF", strconv.Itoa(uid), "TEST", certs.PolicyTestPerson.String())
	for _, role := range []string{"sam", "ca", "tsa", "ceremony"} {
		path := write(t, filepath.Join(t.TempDir(), role+".yaml"), fill.Replace(realText(role, p.operators)))
		if found := unsafeIn(t, role, path, uid); len(found) != 0 {
			t.Fatalf("%s: a good file is refused: %v", role, found)
		}
	}
	words := map[string]bool{}
	for name, d := range defects {
		t.Run(name, func(t *testing.T) {
			good := realText(d.role, p.operators)
			if !strings.Contains(good, d.old) {
				t.Fatalf("the file of the %s has no %q", d.role, d.old)
			}
			path := write(t, filepath.Join(t.TempDir(), "x.yaml"), fill.Replace(strings.Replace(good, d.old, d.new, 1)))
			found := unsafeIn(t, d.role, path, uid)
			if len(found) != 1 || !strings.Contains(found[0].String(), fill.Replace(d.says)) {
				t.Errorf("it should say %q and nothing else: %v", fill.Replace(d.says), found)
			}
			for _, f := range found {
				words[f.Says] = true
			}
		})
	}
	if len(words) < 60 {
		t.Errorf("%d different messages for %d defects", len(words), len(defects))
	}
	t.Logf("%d defects, %d different messages", len(defects), len(words))
}

// TestADatabasesPasswordIsNotForEveryone: the file may be read by all, but not with that in it.
func TestADatabasesPasswordIsNotForEveryone(t *testing.T) {
	for source, bad := range map[string]bool{
		"postgres://ca:secret@/ca?host=/run/postgresql": true, "postgres://ca@/ca?host=/run/postgresql&password=secret": true,
		"postgres://ca@/ca?host=/run/postgresql": false, "/var/lib/tekend/ca/ca.db": false,
	} {
		path := write(t, filepath.Join(t.TempDir(), "ca.yaml"), "x")
		for _, mode := range []os.FileMode{0o644, 0o640} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			var l production.List
			common{file: path, dbName: "ca.db", db: source}.ofFence(&l)
			if (len(l.Found) == 1) != (bad && mode == 0o644) || len(l.Found) == 1 && strings.Contains(l.Found[0].String(), "secret") {
				t.Errorf("%s, mode %o: %v", source, mode, l.Found)
			}
		}
	}
}
