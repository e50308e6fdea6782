package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"tekend/certs"
	"tekend/hsm"
)

// What a ceremony can be for, besides names of keys.
const (
	whatInit    = "init"
	whatRootCRL = "root-crl"
)

// work is what one ceremony makes, as a table: the plan prints it, and the ceremony goes through it. So the text that two
// operators approve cannot tell another story than what is done.
type work struct {
	cfg     *ceremonyConfig
	what    string
	keys    []keyItem
	files   []fileItem
	certs   []certItem
	crl     *rootCRLItem
	issuing []string // issuing CAs that get their first CRL
	logs    []string // roles that get a key for their audit log
}

// keyItem is a key in a role's token. kind is a hsm.KeyKind, kindKEK or kindMAC.
type keyItem struct{ role, label, kind string }

const (
	kindKEK = "AES-256"
	kindMAC = "HMAC-256"
)

// fileItem is an RSA-2048 decryption key of an itsme client, a file of the sam: SoftHSM has no RSA-OAEP with SHA-256.
type fileItem struct{ role, name string }

// certItem is a certificate that the root signs for a key of the same ceremony. keyLife, if any, ends its use.
type certItem struct {
	name          string
	profile       certs.Profile
	role, label   string // the key
	subject       certs.Subject
	life, keyLife time.Duration
}

// rootCRLItem is a CRL of the root: its number, and what it holds beside what the last one held.
type rootCRLItem struct {
	number  *big.Int
	before  []certs.Revoked
	revoked []rootRevocation
}

// rootRevocation is a certificate that the root takes back.
type rootRevocation struct {
	name, reason string
	code         int
	serial       *big.Int
}

// rootReasons are the reasons of RFC 5280 §5.3.1 that fit a CA or a unit.
var rootReasons = map[string]int{"unspecified": 0, "keyCompromise": 1, "cACompromise": 2, "superseded": 4, "cessationOfOperation": 5}

// work makes the table of a ceremony. revoke is for root-crl alone: NAME=REASON.
func (c *ceremonyConfig) work(what string, revoke []string) (*work, error) {
	w := &work{cfg: c, what: what}
	if len(revoke) > 0 && what != whatRootCRL {
		return nil, errors.New("only root-crl revokes")
	}
	switch what {
	case whatInit:
		w.first()
		return w, nil
	case whatRootCRL:
		return w, w.nextCRL(revoke)
	}
	return w, w.add(what)
}

// first is the table of the first ceremony.
func (w *work) first() {
	w.keys = []keyItem{
		{"sam", labelKEK, kindKEK}, {"sam", labelMAC, kindMAC},
		{"sam", labelIdent, string(hsm.RSA2048)}, {"sam", labelConfirm, string(hsm.RSA2048)},
		{"tsa", labelTSU, string(w.cfg.TSUKeyType)},
		{"ca", labelIssuing, string(w.cfg.IssuingKeyType)}, {"ca", labelOCSP, string(hsm.P256)},
		{"root", labelRoot, string(w.cfg.Root.KeyType)},
	}
	w.files = []fileItem{{"sam", fileIdentEnc}, {"sam", fileConfirmEnc}}
	w.certs = []certItem{
		{name: "root", profile: certs.Root, role: "root", label: labelRoot, subject: w.cfg.subject("Root CA", 1), life: rootLife},
		w.issuingCA(labelIssuing, 1), w.unit(labelTSU, 1),
	}
	w.crl = &rootCRLItem{number: big.NewInt(1)}
	w.issuing = []string{labelIssuing}
	w.logs = []string{"sam", "ca", "tsa"}
}

func (w *work) issuingCA(label string, n int) certItem {
	return certItem{name: label, profile: certs.IssuingCA, role: "ca", label: label, subject: w.cfg.subject("Issuing CA", n), life: issuingLife}
}

func (w *work) unit(label string, n int) certItem {
	return certItem{
		name: label, profile: certs.TSU, role: "tsa", label: label, subject: w.cfg.subject("Time-Stamping Unit", max(n, 1)),
		life: tsuLife, keyLife: tsuKeyLife,
	}
}

// subject is a CA's or a time-stamping unit's name. CAs have a number from their second on, units always.
func (c *ceremonyConfig) subject(kind string, n int) certs.Subject {
	name := c.Organisation.Name + " " + kind
	if n > 1 || kind == "Time-Stamping Unit" {
		name += " " + strconv.Itoa(n)
	}
	if !c.Production {
		name += " " + certs.SandboxMark
	}
	return certs.Subject{Country: c.Organisation.Country, Organisation: c.Organisation.Name, OrganisationID: c.Organisation.ID, CommonName: name}
}

// add is the table of a roll-over: one more key of a kind that the first ceremony made.
func (w *work) add(what string) error {
	base, n, err := splitName(what)
	if err != nil {
		return err
	}
	switch base {
	case labelKEK:
		w.keys = []keyItem{{"sam", what, kindKEK}}
	case labelOCSP:
		w.keys = []keyItem{{"ca", what, string(hsm.P256)}}
	case labelIdent, labelConfirm:
		w.keys = []keyItem{{"sam", what, string(hsm.RSA2048)}}
		w.files = []fileItem{{"sam", fmt.Sprintf("%s-enc-%d.pem", strings.TrimSuffix(base, "-sig"), n)}}
	case labelIssuing:
		w.keys = []keyItem{{"ca", what, string(w.cfg.IssuingKeyType)}}
		w.certs, w.issuing = []certItem{w.issuingCA(what, n)}, []string{what}
	case labelTSU:
		w.keys = []keyItem{{"tsa", what, string(w.cfg.TSUKeyType)}}
		w.certs = []certItem{w.unit(what, n)}
	default:
		return fmt.Errorf("%q is nothing that can be added; use kek-2, issuing-ca-2, tsu-2, ocsp-2, itsme-ident-sig-2, itsme-confirm-sig-2, and further numbers", what)
	}
	if n < 2 && base != labelOCSP {
		return fmt.Errorf("%s was made by the first ceremony; the next one is %s-2", what, base)
	}
	return nil
}

// splitName takes the number off a name: kek-2 is kek and 2, kek alone is the first.
func splitName(what string) (base string, n int, err error) {
	i := strings.LastIndexByte(what, '-')
	if i < 0 {
		return what, 1, nil
	}
	if n, err = strconv.Atoi(what[i+1:]); err != nil {
		return what, 1, nil // issuing-ca
	}
	if n < 2 || n > 99 || what[i+1:] != strconv.Itoa(n) {
		return "", 0, fmt.Errorf("%q: numbers go from 2 to 99", what)
	}
	return what[:i], n, nil
}

// nextCRL is the table of root-crl: what the last CRL of the root holds, and more.
func (w *work) nextCRL(revoke []string) error {
	b, err := os.ReadFile(w.cfg.Root.path(fileRootCRL))
	if err != nil {
		return fmt.Errorf("%w: the root's place has no CRL (%w); a folder from before the root had a place of its own cannot be renewed: begin again in an empty one", errNoRoot, err)
	}
	root, err := readChain([]string{w.cfg.Root.path(fileRootCert)})
	if err != nil {
		return err
	}
	last, err := x509.ParseRevocationList(b)
	if err != nil {
		return fmt.Errorf("the root's last CRL: %w", err)
	}
	if err := last.CheckSignatureFrom(root[0]); err != nil {
		return fmt.Errorf("the root's last CRL: %w", err)
	}
	w.crl = &rootCRLItem{number: new(big.Int).Add(last.Number, big.NewInt(1))}
	for _, e := range last.RevokedCertificateEntries {
		w.crl.before = append(w.crl.before, certs.Revoked{Serial: e.SerialNumber, At: e.RevocationTime, Reason: e.ReasonCode})
	}
	for _, r := range revoke {
		if err := w.revoke(r, root[0]); err != nil {
			return err
		}
	}
	return nil
}

// revoke adds one certificate to the next CRL. What is revoked stays so: twice is a mistake.
func (w *work) revoke(text string, root *x509.Certificate) error {
	name, reason, _ := strings.Cut(text, "=")
	code, known := rootReasons[reason]
	if !known || filepath.Base(name) != name || name == "" {
		return fmt.Errorf("%q: write NAME=REASON with a reason of keyCompromise, cACompromise, superseded, cessationOfOperation or unspecified", text)
	}
	der, err := os.ReadFile(w.cfg.Root.path(name + ".crt"))
	if err != nil {
		return fmt.Errorf("the root has issued no %q: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := cert.CheckSignatureFrom(root); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, r := range w.crl.before {
		if r.Serial.Cmp(cert.SerialNumber) == 0 {
			return fmt.Errorf("%s is revoked already", name)
		}
	}
	if slices.ContainsFunc(w.crl.revoked, func(r rootRevocation) bool { return r.name == name }) {
		return fmt.Errorf("%s is named twice", name)
	}
	w.crl.revoked = append(w.crl.revoked, rootRevocation{name, reason, code, cert.SerialNumber})
	return nil
}

// suffix makes the report's name unique where the work's is not.
func (w *work) suffix() string {
	if w.what == whatRootCRL {
		return "-" + w.crl.number.String()
	}
	return ""
}

const planHead = "tekend-ceremony/1"

// newPlanID is the random part of a plan.
func newPlanID() string { return rand.Text() }

// plan is the text that two operators approve. All of it follows from the configuration, the program, the module's file and
// the root's place; nothing of it is a time.
func (w *work) plan(id string) (string, error) {
	module, err := os.ReadFile(w.cfg.Module)
	if err != nil {
		return "", fmt.Errorf("module: %w", err)
	}
	sum := sha256.Sum256(module)
	var b strings.Builder
	line := func(key, format string, a ...any) { fmt.Fprintf(&b, "%s: %s\n", key, fmt.Sprintf(format, a...)) }
	b.WriteString(planHead + "\n")
	line("what", "%s", w.what)
	line("id", "%s", id)
	if w.crl != nil {
		for _, r := range w.crl.revoked {
			line("revoke", "%s=%s", r.name, r.reason)
		}
	}
	line("program", "tekend-trusted %s", version)
	line("module", "%s, SHA-256 %s", w.cfg.Module, hex.EncodeToString(sum[:]))
	line("configuration", "SHA-256 %s", w.cfg.digest)
	line("production", "%t", w.cfg.Production)
	line("root", "%s", w.cfg.Root.describe())
	for _, k := range w.keys {
		line("key", "%s, %s, in the token %s", k.label, k.kind, w.cfg.keyPlace(k.role))
	}
	for _, f := range w.files {
		line("file", "%s, RSA-2048, of the %s", f.name, f.role)
	}
	for _, c := range w.certs {
		line("certificate", "%s for %s, %s", c.name, subjectText(c.subject), days(c.life))
		if c.keyLife > 0 {
			line("use", "%s stamps for %s", c.name, days(c.keyLife))
		}
	}
	if len(w.certs) > 0 {
		line("published", "%s, practice statement %s", w.cfg.PKIURL, w.cfg.CPSURL)
		line("policies", "person %s, tsu %s, time-stamp %s", w.cfg.policy("person"), w.cfg.policy("tsu"), w.cfg.policy("time_stamp"))
	}
	for _, role := range w.logs {
		line("audit log", "%s", w.cfg.origin(role))
	}
	if w.crl != nil {
		line("root CRL", "number %v, %s", w.crl.number, days(rootCRLLife))
		for _, r := range w.crl.before {
			line("holds", "%s since %s", certs.SerialHex(r.Serial), r.At.UTC().Format(time.RFC3339))
		}
		for _, r := range w.crl.revoked {
			line("adds", "%s, serial %s, %s", r.name, certs.SerialHex(r.serial), r.reason)
		}
	}
	return b.String(), nil
}

func days(d time.Duration) string { return fmt.Sprintf("%d days", d/(24*time.Hour)) }

func subjectText(s certs.Subject) string {
	return fmt.Sprintf("C=%s, O=%s, organizationIdentifier=%s, CN=%s", s.Country, s.Organisation, s.OrganisationID, s.CommonName)
}

func (r rootSection) describe() string {
	if r.File != "" {
		return "encrypted file " + r.File + " (a software key)"
	}
	return "token " + tokenLabel("root") + " in " + r.Dir
}

func (c *ceremonyConfig) keyPlace(role string) string {
	if role == "root" && c.Root.File != "" {
		return "(none: " + c.Root.File + ")"
	}
	return tokenLabel(role) + " in " + c.role(role).Dir
}

// parsed is what a plan's reader needs of it; all else is compared as text.
type parsed struct {
	what, id string
	revoke   []string
}

// parsePlan reads a plan.
func parsePlan(text string) (parsed, error) {
	var p parsed
	lines := strings.Split(text, "\n")
	if lines[0] != planHead || !strings.HasSuffix(text, "\n") {
		return p, errors.New("it is no plan of a ceremony")
	}
	for _, l := range lines[1:] {
		switch key, value, _ := strings.Cut(l, ": "); key {
		case "what":
			p.what = value
		case "id":
			p.id = value
		case "revoke":
			p.revoke = append(p.revoke, value)
		}
	}
	if p.what == "" || len(p.id) < 20 || strings.Trim(p.id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return p, errors.New("the plan has no subject or no id")
	}
	return p, nil
}

// firstDifference names the first line in which two plans differ.
func firstDifference(planned, now string) string {
	a, b := strings.Split(planned, "\n"), strings.Split(now, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("planned is %q, now it is %q", a[i], b[i])
		}
	}
	return "one is longer"
}
