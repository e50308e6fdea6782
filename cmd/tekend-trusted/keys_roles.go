package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"tekend/certs"
	"tekend/hsm"
)

// Labels of the keys in the roles' tokens, and the names of their files. Roles' configurations name them.
const (
	labelKEK     = "kek"
	labelMAC     = "mac"
	labelIdent   = "itsme-ident-sig"
	labelConfirm = "itsme-confirm-sig"
	labelRoot    = "root"
	labelIssuing = "issuing-ca"
	labelTSU     = "tsu"
	labelOCSP    = "ocsp" // the delegated responder's; the role ca certifies it itself, for a short time

	fileIdentEnc   = "itsme-ident-enc.pem"
	fileConfirmEnc = "itsme-confirm-enc.pem"
)

// token makes a role's token directory, PINs and token, and runs make with it open. Afterwards it copies the directory
// (SoftHSM can lose a token when it is killed inside a login: performance §5.3) and gives all to the role's user.
func (c *ceremony) token(ctx context.Context, role string, r roleSection, make func(*hsm.Token) error) error {
	if err := r.prepare(); err != nil {
		return err
	}
	if err := initToken(c.cfg.Module, role, r); err != nil {
		return err
	}
	token, err := hsm.Open(ctx, hsm.Config{Module: c.cfg.Module, TokenLabel: tokenLabel(role), PINFile: r.path("pin")})
	if err != nil {
		return err
	}
	if err := errors.Join(make(token), token.Close()); err != nil {
		return err
	}
	if err := copyDir(r.tokens(), r.path("tokens.copy")); err != nil {
		return err
	}
	return r.own("softhsm2.conf", "tokens", "tokens.copy", "pin")
}

// tokenLabel is the label of a role's token.
func tokenLabel(role string) string { return "tekend-" + role }

// sam makes the KEK, the MAC key, the signing keys of the two itsme clients, and their decryption keys as files:
// SoftHSM has no RSA-OAEP with SHA-256.
func (c *ceremony) sam(ctx context.Context) error {
	r := c.cfg.SAM
	err := c.token(ctx, "sam", r, func(t *hsm.Token) error {
		return within(ctx,
			func() error { return t.CreateKEK(ctx, labelKEK) },
			func() error { return t.ProbeKEK(ctx, labelKEK) },
			func() error { return t.CreateMACKey(ctx, labelMAC) },
			func() error { return keyPair(ctx, t, labelIdent, hsm.RSA2048) },
			func() error { return keyPair(ctx, t, labelConfirm, hsm.RSA2048) },
		)
	})
	if err != nil {
		return err
	}
	c.report.Keys["sam"] = []string{labelKEK, labelMAC, labelIdent, labelConfirm}
	for _, name := range []string{fileIdentEnc, fileConfirmEnc} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := writeSecret(r.path(name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
			return err
		}
	}
	return r.own(fileIdentEnc, fileConfirmEnc)
}

func keyPair(ctx context.Context, t *hsm.Token, label string, kind hsm.KeyKind) error {
	if _, err := t.CreateKeyPair(ctx, label, kind); err != nil {
		return fmt.Errorf("key %s: %w", label, err)
	}
	return nil
}

// tsaToken makes the time-stamping key and returns its public half, which the root certifies.
func (c *ceremony) tsaToken(ctx context.Context) (pub crypto.PublicKey, err error) {
	err = c.token(ctx, "tsa", c.cfg.TSA, func(t *hsm.Token) error {
		pub, err = t.CreateKeyPair(ctx, labelTSU, hsm.P256)
		return err
	})
	c.report.Keys["tsa"] = []string{labelTSU}
	return pub, err
}

// caToken makes the root and the issuing CA, and signs: both CA certificates, the time-stamping unit's, the root's CRL.
func (c *ceremony) caToken(ctx context.Context, tsu crypto.PublicKey) (made issued, err error) {
	err = c.token(ctx, "ca", c.cfg.CA, func(t *hsm.Token) error {
		if err := within(ctx,
			func() error { return keyPair(ctx, t, labelRoot, hsm.P256) },
			func() error { return keyPair(ctx, t, labelIssuing, hsm.P256) },
			func() error { return keyPair(ctx, t, labelOCSP, hsm.P256) },
		); err != nil {
			return err
		}
		root, err := t.Signer(ctx, labelRoot)
		if err != nil {
			return err
		}
		issuing, err := t.Signer(ctx, labelIssuing)
		if err != nil {
			return err
		}
		if made, err = c.certify(root, issuing.Public(), tsu); err != nil {
			return err
		}
		// The role makes the next ones; its numbers are times in seconds, so this one is older.
		made.issuingCRL, err = certs.CRL(certs.Issuer{Cert: made.issuing, Signer: issuing}, big.NewInt(c.now.Unix()-1), nil, c.now, c.now.Add(issuingCRLLife))
		return err
	})
	c.report.Keys["ca"] = []string{labelRoot, labelIssuing, labelOCSP}
	return made, err
}

// certify issues the ceremony's certificates, each linted before it is signed.
func (c *ceremony) certify(root crypto.Signer, issuing, tsu crypto.PublicKey) (made issued, err error) {
	org := c.cfg.Organisation.Name
	made.root, err = c.issue("root", certs.Issuer{Signer: root}, certs.Order{
		Profile: certs.Root, Subject: c.subject(org + " Root CA"), PublicKey: root.Public(),
		NotBefore: c.now, NotAfter: c.now.Add(rootLife),
	})
	if err != nil {
		return made, err
	}
	issuer := certs.Issuer{Cert: made.root, Signer: root}
	made.issuing, err = c.issue("issuing-ca", issuer, certs.Order{
		Profile: certs.IssuingCA, Subject: c.subject(org + " Issuing CA"), PublicKey: issuing,
		NotBefore: c.now, NotAfter: c.now.Add(issuingLife), Publication: c.publication("root"),
	})
	if err != nil {
		return made, err
	}
	made.tsu, err = c.issue("tsu", issuer, certs.Order{
		Profile: certs.TSU, Subject: c.subject(org + " Time-Stamping Unit 1"), PublicKey: tsu,
		NotBefore: c.now, NotAfter: c.now.Add(tsuLife), PrivateKeyEnd: c.now.Add(tsuKeyLife), Publication: c.publication("root"),
	})
	if err != nil {
		return made, err
	}
	made.rootCRL, err = certs.CRL(issuer, big.NewInt(1), nil, c.now, c.now.Add(rootCRLLife))
	return made, err
}

func (c *ceremony) issue(name string, issuer certs.Issuer, o certs.Order) (*x509.Certificate, error) {
	der, err := certs.Issue(issuer, o)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name, err)
	}
	sum := sha256.Sum256(der)
	c.report.Certificates[name] = hex.EncodeToString(sum[:])
	return x509.ParseCertificate(der)
}
