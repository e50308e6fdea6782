package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tekend/certs"
	"tekend/foureyes"
	"tekend/hsm"
)

// ceremonyReport is pki/ceremony.json, and pki/ceremony-WHAT.json of a later one: what was made, by whose approval, and how
// the token says that it protects it. Beside it, in a file with ".sig" at the end, lies the root's signature over its
// bytes, DER as openssl reads it. A TBSCertificate begins with 0x30 and this with "{", so neither is ever taken for the other.
type ceremonyReport struct {
	Format     string            `json:"format"` // tekend-ceremony/1
	What       string            `json:"what"`   // init, root-crl, or the label of the key that was added
	ID         string            `json:"id"`     // of the plan: each counts once
	At         time.Time         `json:"at"`
	Program    string            `json:"program"`
	Module     string            `json:"module"` // C_GetInfo: manufacturer, description, version
	Production bool              `json:"production"`
	PublicURL  string            `json:"public_url"`
	Policies   map[string]string `json:"policies"`
	Root       string            `json:"root"` // SHA-256 of the root's certificate

	Plan      string           `json:"plan"` // the text that was approved, whole
	Operators []reportOperator `json:"operators"`
	Approvals []reportApproval `json:"approvals"`

	Keys         []reportKey       `json:"keys"`
	Certificates map[string]string `json:"certificates"` // SHA-256 of the DER, hexadecimal
	CRLs         map[string]string `json:"crls,omitempty"`
	AuditLogs    map[string]string `json:"audit_logs,omitempty"` // by role: verifier key of its audit log (C2SP vkey)
}

// reportOperator is one of the configured operators: the id of a key, and the key. Names are for people, not for records.
type reportOperator struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

type reportApproval struct {
	Operator string `json:"operator"`
	Digest   string `json:"digest"` // SHA-256 of the text, base64url
	Text     string `json:"text"`
}

// reportKey is a key as it was read back. Place is "token" or "file"; a file has no attributes.
type reportKey struct {
	Role       string          `json:"role"`
	Label      string          `json:"label"`
	Kind       string          `json:"kind"`
	Place      string          `json:"place"`
	Public     string          `json:"public,omitempty"` // SHA-256 of the SubjectPublicKeyInfo, hexadecimal
	Attributes map[string]bool `json:"attributes,omitempty"`
}

const (
	placeToken = "token"
	placeFile  = "file"
)

func newReport(c *ceremony) ceremonyReport {
	r := ceremonyReport{
		Format: planHead, What: c.w.what, ID: c.by.id, At: c.now, Program: "tekend-trusted " + version,
		Production: c.cfg.Production, PublicURL: c.cfg.PublicURL, Plan: c.by.plan,
		Policies: map[string]string{
			"person": c.cfg.policy("person"), "tsu": c.cfg.policy("tsu"), "time_stamp": c.cfg.policy("time_stamp"),
		},
		Keys: []reportKey{}, Certificates: map[string]string{}, CRLs: map[string]string{},
	}
	for _, o := range c.cfg.Operators {
		key, err := base64.RawURLEncoding.DecodeString(o.Key)
		if err == nil { // foureyes.Load has read it
			r.Operators = append(r.Operators, reportOperator{foureyes.KeyID(key), o.Key})
		}
	}
	for _, a := range c.by.approvals {
		r.Approvals = append(r.Approvals, reportApproval{a.Key, a.Hash(), a.String()})
	}
	return r
}

// policy is an own policy by its name, the test policy where none is configured.
func (c *ceremonyConfig) policy(name string) string {
	given, test := c.Policies.Person, certs.PolicyTestPerson
	switch name {
	case "tsu":
		given, test = c.Policies.TSU, certs.PolicyTestTSU
	case "time_stamp":
		given, test = c.Policies.TimeStamp, certs.PolicyTestTimeStamp
	}
	if given != "" {
		return given
	}
	return test.String()
}

// add records a key of a token, and refuses one that the token does not protect.
func (r *ceremonyReport) add(item keyItem, module string, info hsm.KeyInfo) error {
	k := reportKey{Role: item.role, Label: item.label, Kind: info.Kind, Place: placeToken, Attributes: info.Attributes}
	if info.Public != nil {
		var err error
		if k.Public, err = publicDigest(info.Public); err != nil {
			return err
		}
	}
	if info.Kind != item.kind {
		return fmt.Errorf("the token made a key of the kind %s, %s was ordered", info.Kind, item.kind)
	}
	r.Module = module
	r.Keys = append(r.Keys, k)
	return k.protected()
}

func (r *ceremonyReport) addFile(role, label, kind string, public crypto.PublicKey) error {
	sum, err := publicDigest(public)
	r.Keys = append(r.Keys, reportKey{Role: role, Label: label, Kind: kind, Place: placeFile, Public: sum})
	return err
}

func publicDigest(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return digestOf(der), nil
}

// protected wants a token's key to have been made there and never to have been able to leave (KEY-01).
func (k reportKey) protected() error {
	if k.Place == placeFile {
		return nil
	}
	for name, want := range map[string]bool{
		"TOKEN": true, "PRIVATE": true, "LOCAL": true, "SENSITIVE": true, "ALWAYS_SENSITIVE": true, "NEVER_EXTRACTABLE": true, "EXTRACTABLE": false,
	} {
		if got, told := k.Attributes[name]; !told || got != want {
			return fmt.Errorf("the key %s is not protected: its attribute %s is not %t", k.Label, name, want)
		}
	}
	return nil
}

// publishReport ends the ceremony: the root signs the report, and signature and report are published, the report last.
func (c *ceremony) publishReport(ctx context.Context) error {
	var text, signature []byte
	err := c.withRoot(ctx, func(t *hsm.Token, key crypto.Signer) (err error) {
		if err := c.loadRoot(); err != nil {
			return err
		}
		if t != nil && c.report.Module == "" {
			c.report.Module = t.Module()
		}
		c.report.Root = digestOf(c.root.Raw)
		if text, err = json.MarshalIndent(c.report, "", "  "); err != nil {
			return err
		}
		text = append(text, '\n')
		signature, err = signReport(c.root, key, text)
		return err
	})
	if err != nil {
		return err
	}
	name := reportName(c.w.what + c.w.suffix())
	if err := replaceSecret(c.cfg.Root.path(dirBegun+"/"+c.by.id+".json"), text); err != nil {
		return err
	}
	if err := writePublic(c.cfg.PKIDir, name+".sig", signature); err != nil {
		return err
	}
	return writePublic(c.cfg.PKIDir, name, text)
}

// reportAlgorithm is how a root of this kind signs reports.
func reportAlgorithm(root *x509.Certificate) (x509.SignatureAlgorithm, crypto.Hash) {
	switch key := root.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P384() {
			return x509.ECDSAWithSHA384, crypto.SHA384
		}
		return x509.ECDSAWithSHA256, crypto.SHA256
	}
	return x509.SHA256WithRSA, crypto.SHA256
}

func signReport(root *x509.Certificate, key crypto.Signer, text []byte) ([]byte, error) {
	if !certs.SameKey(key.Public(), root.PublicKey) {
		return nil, errors.New("the key is not that of the root's certificate")
	}
	alg, hash := reportAlgorithm(root)
	h := hash.New()
	h.Write(text)
	signature, err := key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		return nil, err
	}
	return signature, root.CheckSignature(alg, text, signature)
}

// readReport reads a report and its signature, and believes it only when the root has signed it and it holds together.
func readReport(path string, root *x509.Certificate) (*ceremonyReport, error) {
	text, err := readShort(path)
	if err != nil {
		return nil, err
	}
	signature, err := readShort(path + ".sig")
	if err != nil {
		return nil, err
	}
	alg, _ := reportAlgorithm(root)
	if err := root.CheckSignature(alg, text, signature); err != nil {
		return nil, fmt.Errorf("the signature is not that of this root: %w", err)
	}
	var r ceremonyReport
	if err := strictReport(text, &r); err != nil {
		return nil, err
	}
	return &r, r.check(root)
}

// check looks at what the signature cannot say: that two of the operators approved this plan, that the plan is of this
// ceremony and this root, that each key is protected.
func (r *ceremonyReport) check(root *x509.Certificate) error {
	if r.Format != planHead {
		return fmt.Errorf("the report has the format %q", r.Format)
	}
	if r.Root != digestOf(root.Raw) {
		return errors.New("the report is of another root certificate")
	}
	plan, err := parsePlan(r.Plan)
	if err != nil || plan.id != r.ID || plan.what != r.What {
		return fmt.Errorf("the plan in the report is not of this ceremony (%v)", err)
	}
	ops := foureyes.Operators{}
	for _, o := range r.Operators {
		key, err := base64.RawURLEncoding.Strict().DecodeString(o.Key)
		if err != nil || len(key) != ed25519.PublicKeySize || foureyes.KeyID(key) != o.ID {
			return fmt.Errorf("the operator %q has no good key", o.ID)
		}
		ops[o.ID] = key
	}
	var texts []string
	for _, a := range r.Approvals {
		texts = append(texts, a.Text)
	}
	good, err := ops.Decide(r.Plan, texts, r.At)
	if err != nil {
		return fmt.Errorf("the approvals in the report: %w", err)
	}
	for i, a := range good {
		if a.Hash() != r.Approvals[i].Digest || a.Key != r.Approvals[i].Operator {
			return fmt.Errorf("approval %d is not the one that is named", i+1)
		}
	}
	for _, k := range r.Keys {
		if err := k.protected(); err != nil {
			return err
		}
	}
	return nil
}

// certificate tells whether the report names the certificate.
func (r *ceremonyReport) certificate(cert *x509.Certificate) bool {
	return slices.Contains(slices.Collect(maps.Values(r.Certificates)), digestOf(cert.Raw))
}
