package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tekend/certs"
)

// In the sandbox the outside parties of the audit records are processes of their own users too: a witness, and a
// time-stamping authority of another house. In earnest others run them.

const witnessName = "witness.tekend-sandbox.test/w1"

// outsiders makes the keys of witness and foreign authority, once, and notes what the roles must know of them and they of
// the roles. It runs after the ceremony.
func (s *sandbox) outsiders() error {
	if s.state.Witness == "" {
		if err := errors.Join(s.noteLogs(), s.newWitness(), s.newAnchor()); err != nil {
			return err
		}
		if err := s.saveState(); err != nil {
			return err
		}
	}
	root, err := s.anchorRoot()
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("anchor-root.pem"), root, 0o644); err != nil { // for whoever verifies evidence
		return usage("%w", err)
	}
	for _, role := range []string{"front", "sam", "ca", "tsa"} {
		if err := s.own(role, s.path(role, "anchor-root.pem"), root); err != nil {
			return err
		}
	}
	return nil
}

// noteLogs keeps the verifier keys of the roles' logs as the ceremony made them: later the folder they lie in is a role's.
func (s *sandbox) noteLogs() error {
	b, err := os.ReadFile(s.path("pki", "ceremony.json"))
	if err != nil {
		return usage("%w", err)
	}
	var report struct {
		AuditLogs map[string]string `json:"audit_logs"`
	}
	if err := json.Unmarshal(b, &report); err != nil {
		return usage("%s: %w", s.path("pki", "ceremony.json"), err)
	}
	if len(report.AuditLogs) != 3 {
		return usage("the keys in %s are of an earlier version, without audit logs; begin again in an empty folder", s.cmd.Dir)
	}
	s.state.AuditLogs = report.AuditLogs
	return nil
}

// newWitness has the witness make its key as its own user. What a start that was cut off has left, nobody trusts yet.
func (s *sandbox) newWitness() error {
	key, state := s.path("witness", "witness.key"), s.path("witness", "state")
	if err := errors.Join(os.RemoveAll(key), os.RemoveAll(state)); err != nil {
		return usage("%w", err)
	}
	cmd := exec.CommandContext(s.p.ctx, filepath.Join(s.bin, "tekend-witness"), "keygen", "--name", witnessName, "--key", key, "--state", state)
	if o := s.owner("witness"); o != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: o.uid, Gid: o.gid}}
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return usage("the witness cannot make its key: %w\n%s", err, strings.TrimSpace(errs.String()))
	}
	s.state.Witness = strings.TrimSpace(out.String())
	return nil
}

func (s *sandbox) witnessConfig() doc {
	var logs []doc
	for _, role := range []string{"sam", "ca", "tsa"} {
		logs = append(logs, doc{"origin": origin(s.state.AuditLogs[role]), "key": s.state.AuditLogs[role], "epochs": true})
	}
	return doc{"listen": "fd:3", "key_file": s.path("witness", "witness.key"), "state_dir": s.path("witness", "state"), "logs": logs}
}

// origin is the name in a log's verifier key.
func origin(vkey string) string {
	name, _, _ := strings.Cut(vkey, "+")
	return name
}

// auditConfig is the section `audit:` of a role's file.
func (s *sandbox) auditConfig(role string) doc {
	return doc{
		"origin": origin(s.state.AuditLogs[role]), "key_file": s.path(role, "audit-log.pem"),
		"witnesses": []doc{{"url": s.url("witness"), "key": s.state.Witness}}, "need": 1,
		"anchor": doc{"url": s.url("anchor") + "/tsa", "root_file": s.path(role, "anchor-root.pem")},
	}
}

// newAnchor makes root and unit of the foreign authority. The root's key is not kept.
func (s *sandbox) newAnchor() error {
	now := s.p.now().UTC().Truncate(time.Second)
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	unit, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	subject := func(name string) certs.Subject {
		return certs.Subject{Country: "BE", Organisation: "Another House", OrganisationID: "NTRBE-0000000001", CommonName: name + " " + certs.SandboxMark}
	}
	const life = 3 * 365 * 24 * time.Hour
	issue := func(issuer certs.Issuer, o certs.Order) (*x509.Certificate, error) {
		o.NotBefore, o.NotAfter = now, now.Add(life)
		der, err := certs.Issue(issuer, o)
		if err != nil {
			return nil, fmt.Errorf("certificates of the foreign time-stamping authority: %w", err)
		}
		return x509.ParseCertificate(der)
	}
	rootCert, err := issue(certs.Issuer{Signer: root}, certs.Order{Profile: certs.Root, Subject: subject("Another House Root"), PublicKey: root.Public()})
	if err != nil {
		return err
	}
	unitCert, err := issue(certs.Issuer{Cert: rootCert, Signer: root}, certs.Order{
		Profile: certs.TSU, Subject: subject("Another House Time-Stamps"), PublicKey: unit.Public(), PrivateKeyEnd: now.Add(life / 3),
		Publication: certs.PublishedBy(s.url("anchor"), "root", s.url("anchor")),
	})
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(unit)
	if err != nil {
		return err
	}
	s.state.AnchorRoot = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootCert.Raw}))
	return errors.Join(
		s.own("anchor", s.path("anchor", "unit.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		s.own("anchor", s.path("anchor", "unit.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: unitCert.Raw})),
	)
}

// anchorRoot is the foreign root as the launcher noted it.
func (s *sandbox) anchorRoot() ([]byte, error) {
	if s.state.AnchorRoot == "" {
		return nil, usage("%s does not name the foreign time-stamping authority", s.path("state.json"))
	}
	return []byte(s.state.AnchorRoot), nil
}
