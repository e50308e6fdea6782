package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tekend/certs"
)

type keysCmd struct {
	Init keysInitCmd `cmd:"" help:"Make tokens, keys and certificates of a sandbox, once."`
}

type keysInitCmd struct {
	Config string `required:"" help:"The ceremony's configuration file (YAML)." type:"existingfile"`
}

// ceremonyConfig is the file of `keys init`. Example:
//
//	public_url: http://127.0.0.1:8080
//	organisation: {name: Example NV, id: NTRBE-0123456789, country: BE}
//	pki_dir: /srv/tekend/pki
//	sam: {dir: /srv/tekend/sam, uid: 47101, gid: 47101}
//	ca:  {dir: /srv/tekend/ca,  uid: 47102, gid: 47102}
//	tsa: {dir: /srv/tekend/tsa, uid: 47103, gid: 47103}
type ceremonyConfig struct {
	// Module is the PKCS#11 library. Default /usr/lib/softhsm/libsofthsm2.so.
	Module string `yaml:"module"`
	// PublicURL is where the front is reached; certificates name PublicURL/pki/… as their place of publication. Required.
	PublicURL string `yaml:"public_url"`
	// CPSURL is the address of the practice statement. Default PublicURL/docs.
	CPSURL string `yaml:"cps_url"`
	// Organisation is the subject of the CAs and of the time-stamping unit. "SANDBOX" is added to every common name.
	Organisation organisationSection `yaml:"organisation"`
	// PKIDir gets what is public: certificates, the root's CRL, the ceremony's report. Required.
	PKIDir string `yaml:"pki_dir"`
	// SAM, CA and TSA are the roles' directories. Required.
	SAM roleSection `yaml:"sam"`
	CA  roleSection `yaml:"ca"`
	TSA roleSection `yaml:"tsa"`
}

type organisationSection struct {
	Name    string `yaml:"name"`    // default "Tekend"
	ID      string `yaml:"id"`      // organizationIdentifier (EN 319 412-1 §5.1.4); default NTRBE-0000000000
	Country string `yaml:"country"` // ISO 3166-1 alpha-2; default BE
}

// roleSection is one role's directory. With uid and gid the role's files are given to that user; that takes root.
type roleSection struct {
	Dir string `yaml:"dir"`
	UID *int   `yaml:"uid"`
	GID *int   `yaml:"gid"`
}

// Run does the ceremony. Done once already, it changes nothing; begun and not ended, it refuses.
func (c keysInitCmd) Run(p *program) error {
	if err := refuseWatchers(os.Environ()); err != nil {
		return err
	}
	var cfg ceremonyConfig
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	if err := cfg.complete(); err != nil {
		return usage("%s: %w", c.Config, err)
	}
	if _, err := os.Stat(cfg.reportPath()); err == nil {
		_, err := fmt.Fprintf(p.stdout, "the ceremony was done before (%s); nothing was changed\n", cfg.reportPath())
		return err
	}
	if err := cfg.refuseLeftovers(); err != nil {
		return err
	}
	report, err := (&ceremony{p: p, cfg: cfg, now: p.now().UTC().Truncate(time.Second)}).do()
	if err != nil {
		return fmt.Errorf("ceremony: %w; remove %s, %s, %s and %s to begin again",
			err, cfg.SAM.tokens(), cfg.CA.tokens(), cfg.TSA.tokens(), cfg.PKIDir)
	}
	_, err = fmt.Fprintf(p.stdout, "made the tokens of sam, ca and tsa; root certificate %s\n", report.Certificates["root"])
	return err
}

func (c *ceremonyConfig) complete() error {
	setDefault(&c.Module, "/usr/lib/softhsm/libsofthsm2.so")
	setDefault(&c.Organisation.Name, "Tekend")
	setDefault(&c.Organisation.ID, "NTRBE-0000000000")
	setDefault(&c.Organisation.Country, "BE")
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("public_url must be the http or https address of the front")
	}
	setDefault(&c.CPSURL, c.PublicURL+"/docs")
	for name, dir := range map[string]*string{"pki_dir": &c.PKIDir, "sam.dir": &c.SAM.Dir, "ca.dir": &c.CA.Dir, "tsa.dir": &c.TSA.Dir} {
		if *dir == "" {
			return fmt.Errorf("%s is missing", name)
		}
		if *dir, err = filepath.Abs(*dir); err != nil { // softhsm2.conf needs absolute paths
			return err
		}
	}
	for name, r := range map[string]roleSection{"sam": c.SAM, "ca": c.CA, "tsa": c.TSA} {
		if (r.UID == nil) != (r.GID == nil) {
			return fmt.Errorf("%s: uid and gid stand together or not at all", name)
		}
	}
	return nil
}

func setDefault(v *string, d string) {
	if *v == "" {
		*v = d
	}
}

func (c *ceremonyConfig) reportPath() string { return filepath.Join(c.PKIDir, "ceremony.json") }

// refuseLeftovers: keys that exist are never replaced.
func (c *ceremonyConfig) refuseLeftovers() error {
	for _, dir := range []string{c.SAM.tokens(), c.CA.tokens(), c.TSA.tokens()} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look for earlier keys: %w", err)
		}
		if len(entries) > 0 {
			return no("%s holds keys, but %s, which ends a ceremony, is not there; existing keys are not replaced. "+
				"If they are worth nothing, remove the role's directory and begin again", dir, c.reportPath())
		}
	}
	return nil
}

func (r roleSection) path(name string) string { return filepath.Join(r.Dir, name) }
func (r roleSection) tokens() string          { return r.path("tokens") }

// ceremonyReport is D/pki/ceremony.json: what was made, for the record.
type ceremonyReport struct {
	At           time.Time           `json:"at"`
	Program      string              `json:"program"`
	PublicURL    string              `json:"public_url"`
	Keys         map[string][]string `json:"keys"`         // by role: labels in its token
	Certificates map[string]string   `json:"certificates"` // SHA-256 of the DER, hexadecimal
	AuditLogs    map[string]string   `json:"audit_logs"`   // by role: verifier key of its audit log (C2SP vkey)
}

// ceremony is one run.
type ceremony struct {
	p      *program
	cfg    ceremonyConfig
	now    time.Time
	report ceremonyReport
}

// The lives of what the ceremony makes. The time-stamping key is used for a year; its certificate outlives it, so that
// the last stamp can still be checked (TIS-8.1, eidas §2.7).
const (
	year        = 365 * 24 * time.Hour
	rootLife    = 10 * year
	issuingLife = 6 * year
	tsuLife     = 3 * year
	tsuKeyLife  = year
	rootCRLLife = year

	issuingCRLLife = 24 * time.Hour // EN 319 411-1 CSS-6.3.9-05
)

// do makes one token after the other: a process can have only one SoftHSM token directory at a time.
func (c *ceremony) do() (*ceremonyReport, error) {
	c.report = ceremonyReport{
		At: c.now, Program: "tekend-trusted " + version, PublicURL: c.cfg.PublicURL,
		Keys: map[string][]string{}, Certificates: map[string]string{},
	}
	ctx := c.p.ctx
	if err := c.sam(ctx); err != nil {
		return nil, fmt.Errorf("sam: %w", err)
	}
	tsu, err := c.tsaToken(ctx)
	if err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	made, err := c.caToken(ctx, tsu)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if err := errors.Join(c.publish(made), c.auditKeys()); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(c.report, "", "  ")
	if err != nil {
		return nil, err
	}
	return &c.report, writePublic(c.cfg.reportPath(), append(b, '\n'))
}

// subject is a CA's or the time-stamping unit's name.
func (c *ceremony) subject(commonName string) certs.Subject {
	o := c.cfg.Organisation
	return certs.Subject{
		Country: o.Country, Organisation: o.Name, OrganisationID: o.ID,
		CommonName: commonName + " " + certs.SandboxMark,
	}
}

// publication says where what the named issuer signs is published.
func (c *ceremony) publication(issuer string) certs.Publication {
	return certs.PublishedBy(c.cfg.PublicURL+"/pki", issuer, c.cfg.CPSURL)
}

// issued is what the ceremony's CA part leaves.
type issued struct {
	root, issuing, tsu *x509.Certificate
	rootCRL            []byte
	issuingCRL         []byte // the first one: the role ca makes the others
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
