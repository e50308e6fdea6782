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
	"io/fs"
	"math/big"
	"os"
	"time"

	"tekend/certs"
	"tekend/hsm"
)

// Labels of the keys in the tokens, and the names of their files. Roles' configurations name them. A roll-over appends a
// number: kek-2, issuing-ca-2.
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

// ceremony is one run.
type ceremony struct {
	p      *program
	cfg    *ceremonyConfig
	w      *work
	by     decided
	now    time.Time
	report ceremonyReport

	public  map[string]crypto.PublicKey // of the keys made, by label
	made    []*x509.Certificate         // as w.certs
	root    *x509.Certificate
	rootCRL []byte
	crls    map[string][]byte // first CRLs of issuing CAs
}

func newCeremony(p *program, w *work, by decided) *ceremony {
	c := &ceremony{
		p: p, cfg: w.cfg, w: w, by: by, now: by.at,
		public: map[string]crypto.PublicKey{}, crls: map[string][]byte{},
	}
	c.report = newReport(c)
	return c
}

// do makes one token after the other: a process can have only one SoftHSM token directory at a time. The report comes last,
// and says that all of it was done.
func (c *ceremony) do() error {
	ctx := c.p.ctx
	return within(ctx,
		c.begin,
		func() error { return c.keys(ctx, "sam") },
		func() error { return c.keys(ctx, "tsa") },
		func() error { return c.keys(ctx, "ca") },
		func() error { return c.keys(ctx, "root") },
		c.files,
		c.auditKeys,
		func() error { return c.certify(ctx) },
		func() error { return c.firstCRLs(ctx) },
		c.publish,
		func() error { return c.publishReport(ctx) },
	)
}

// within stops between two steps when the program was told to stop.
func within(ctx context.Context, steps ...func() error) error {
	for _, step := range steps {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// begin uses the approvals up: the plan's id is recorded in the root's place before anything is made, and never again.
func (c *ceremony) begin() error {
	place := c.cfg.Root.place()
	if err := os.MkdirAll(c.cfg.Root.path(dirBegun), 0o700); err != nil {
		return err
	}
	info, err := os.Stat(place)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("the root's place %s is open to others (mode %04o); make it 0700", place, info.Mode().Perm())
	}
	text := c.by.plan
	for _, a := range c.by.approvals {
		text += "\n" + a.String()
	}
	err = writeSecret(c.cfg.Root.path(dirBegun+"/"+c.by.id), []byte(text))
	if errors.Is(err, fs.ErrExist) {
		return no("this plan was begun before; an approval counts once. Make a new plan")
	}
	return err
}

// keys makes the keys of the table that belong into one token, and reads back what became of them.
func (c *ceremony) keys(ctx context.Context, role string) error {
	var items []keyItem
	for _, k := range c.w.keys {
		if k.role == role {
			items = append(items, k)
		}
	}
	if len(items) == 0 {
		return nil
	}
	if role == "root" && c.cfg.Root.File != "" {
		return c.rootFile()
	}
	use := c.open
	if c.w.what == whatInit {
		use = c.newToken
	}
	err := use(ctx, role, func(t *hsm.Token) error {
		for _, item := range items {
			if err := within(ctx, func() error { return c.key(ctx, t, item) }); err != nil {
				return fmt.Errorf("key %s: %w", item.label, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	return c.keep(role)
}

// key makes one key.
func (c *ceremony) key(ctx context.Context, t *hsm.Token, item keyItem) error {
	var err error
	switch item.kind {
	case kindKEK:
		err = within(ctx,
			func() error { return t.CreateKEK(ctx, item.label) },
			func() error { return t.ProbeKEK(ctx, item.label) })
	case kindMAC:
		err = t.CreateMACKey(ctx, item.label)
	default:
		_, err = t.CreateKeyPair(ctx, item.label, hsm.KeyKind(item.kind))
	}
	if err != nil {
		return err
	}
	info, err := t.Describe(ctx, item.label)
	if err != nil {
		return err
	}
	c.public[item.label] = info.Public
	return c.report.add(item, t.Module(), info)
}

// rootFile makes the root's key as a file, and reads it back.
func (c *ceremony) rootFile() error {
	if err := c.cfg.Root.makeRootFile(); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	key, err := c.cfg.Root.readKey()
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	c.public[labelRoot] = key.Public()
	return c.report.addFile("root", labelRoot, string(c.cfg.Root.KeyType), key.Public())
}

// newToken makes a role's token directory, PINs and token, and runs use with it open.
func (c *ceremony) newToken(ctx context.Context, role string, use func(*hsm.Token) error) error {
	r := c.cfg.role(role)
	if err := r.prepare(); err != nil {
		return err
	}
	if err := initToken(c.cfg.Module, role, r); err != nil {
		return err
	}
	return c.open(ctx, role, use)
}

// open runs use with a token that is there.
func (c *ceremony) open(ctx context.Context, role string, use func(*hsm.Token) error) error {
	r := c.cfg.role(role)
	if _, err := os.Stat(r.path("pin")); err != nil {
		if role == "root" {
			return fmt.Errorf("%w (%w): is its medium there? A folder from before the root had a place of its own cannot be rolled over: begin again in an empty one", errNoRoot, err)
		}
		return err
	}
	if c.w.what != whatInit {
		if err := r.quiet(role); err != nil {
			return err
		}
	}
	if err := useToken(r); err != nil {
		return err
	}
	token, err := hsm.Open(ctx, hsm.Config{Module: c.cfg.Module, TokenLabel: tokenLabel(role), PINFile: r.path("pin")})
	if err != nil {
		return err
	}
	return errors.Join(use(token), token.Close())
}

// keep copies the token's directory (SoftHSM can lose a token when it is killed inside a login: performance §5.3) and gives
// all to the role's user.
func (c *ceremony) keep(role string) error {
	r := c.cfg.role(role)
	if err := refreshCopy(r); err != nil {
		return err
	}
	return r.own("softhsm2.conf", "tokens", "tokens.copy", "pin")
}

// tokenLabel is the label of a role's token.
func tokenLabel(role string) string { return "tekend-" + role }

// files makes the decryption keys of itsme's clients.
func (c *ceremony) files() error {
	for _, f := range c.w.files {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := c.cfg.role(f.role).give(f.name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), keepOld); err != nil {
			return err
		}
		if err := c.report.addFile(f.role, f.name, string(hsm.RSA2048), key.Public()); err != nil {
			return err
		}
	}
	return nil
}

// certify has the root sign the certificates of the table, each linted before, and its CRL.
func (c *ceremony) certify(ctx context.Context) error {
	if len(c.w.certs) == 0 && c.w.crl == nil {
		return nil
	}
	return c.withRoot(ctx, func(_ *hsm.Token, key crypto.Signer) error {
		if err := c.loadRoot(); err != nil {
			return err
		}
		for _, item := range c.w.certs {
			cert, err := c.issue(item, key)
			if err != nil {
				return fmt.Errorf("certificate %s: %w", item.name, err)
			}
			if item.profile == certs.Root {
				c.root = cert
			}
			c.made = append(c.made, cert)
		}
		return c.signRootCRL(key)
	})
}

// loadRoot reads the root's certificate, which every ceremony but the first finds in the root's place.
func (c *ceremony) loadRoot() error {
	if c.w.what == whatInit || c.root != nil {
		return nil
	}
	chain, err := readChain([]string{c.cfg.Root.path(fileRootCert)})
	if err != nil {
		return err
	}
	c.root = chain[0]
	return nil
}

func (c *ceremony) issue(item certItem, key crypto.Signer) (*x509.Certificate, error) {
	o, err := c.order(item)
	if err != nil {
		return nil, err
	}
	issuer := certs.Issuer{Cert: c.root, Signer: key}
	if item.profile == certs.Root {
		issuer.Cert = nil
	}
	der, err := certs.Issue(issuer, o)
	if err != nil {
		return nil, err
	}
	c.report.Certificates[item.name] = digestOf(der)
	return x509.ParseCertificate(der)
}

// order is what the root is asked to certify.
func (c *ceremony) order(item certItem) (certs.Order, error) {
	o := certs.Order{
		Profile: item.profile, Subject: item.subject, PublicKey: c.public[item.label],
		NotBefore: c.now, NotAfter: c.now.Add(item.life), Real: c.cfg.Production,
	}
	if item.profile == certs.TSU && c.cfg.Policies.TSU != "" {
		policy, err := certs.ParseOID(c.cfg.Policies.TSU)
		if err != nil {
			return o, err
		}
		o.Policy = policy
	}
	if item.profile != certs.Root {
		o.Publication = certs.PublishedBy(c.cfg.PKIURL, "root", c.cfg.CPSURL)
		if end := c.root; o.NotAfter.After(end.NotAfter) {
			o.NotAfter = end.NotAfter
		}
	}
	if item.keyLife > 0 {
		o.PrivateKeyEnd = c.now.Add(item.keyLife)
	}
	return o, nil
}

// signRootCRL makes the root's CRL of the table.
func (c *ceremony) signRootCRL(key crypto.Signer) (err error) {
	if c.w.crl == nil {
		return nil
	}
	revoked := c.w.crl.before
	for _, r := range c.w.crl.revoked {
		revoked = append(revoked, certs.Revoked{Serial: r.serial, At: c.now, Reason: r.code})
	}
	c.rootCRL, err = certs.CRL(certs.Issuer{Cert: c.root, Signer: key}, c.w.crl.number, revoked, c.now, c.now.Add(rootCRLLife))
	if err == nil {
		c.report.CRLs["root"] = digestOf(c.rootCRL)
	}
	return err
}

// firstCRLs makes the first CRL of each new issuing CA. The role makes the next ones; its numbers are times in seconds, so
// this one is older.
func (c *ceremony) firstCRLs(ctx context.Context) error {
	for i, item := range c.w.certs {
		if item.profile != certs.IssuingCA {
			continue
		}
		err := c.open(ctx, "ca", func(t *hsm.Token) error {
			key, err := t.Signer(ctx, item.label)
			if err != nil {
				return err
			}
			c.crls[item.name], err = certs.CRL(certs.Issuer{Cert: c.made[i], Signer: key}, big.NewInt(c.now.Unix()-1), nil, c.now, c.now.Add(issuingCRLLife))
			return err
		})
		if err != nil {
			return fmt.Errorf("CRL of %s: %w", item.name, err)
		}
		c.report.CRLs[item.name] = digestOf(c.crls[item.name])
	}
	return nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
