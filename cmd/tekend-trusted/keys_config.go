package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"tekend/certs"
	"tekend/foureyes"
	"tekend/hsm"
	"tekend/production"
)

// ceremonyConfig is the file of the ceremonies. Example:
//
//	production: true
//	public_url: https://sign.example.be
//	pki_url: http://pki.example.be
//	cps_url: https://sign.example.be/pki/policies/…/cps-en.txt
//	organisation: {name: Example NV, id: NTRBE-0123456789, country: BE}
//	policies: {person: 1.3.6.1.4.1.99999.1.1, tsu: 1.3.6.1.4.1.99999.1.2, time_stamp: 1.3.6.1.4.1.99999.2.1}
//	pki_dir: /srv/tekend/pki
//	root: {dir: /media/root}
//	sam: {dir: /srv/tekend/sam, uid: 47101, gid: 47101}
//	ca:  {dir: /srv/tekend/ca,  uid: 47102, gid: 47102}
//	tsa: {dir: /srv/tekend/tsa, uid: 47103, gid: 47103}
//	operators:
//	  - {name: "An Peeters", key: 5v…}
//	  - {name: "Bo Claes", key: 9Q…}
type ceremonyConfig struct {
	// Production makes keys for real use: no SANDBOX in names, and every unsafe setting refused (docs/operations.md).
	// Default false: a sandbox.
	Production bool `yaml:"production"`
	// Module is the PKCS#11 library. Default /usr/lib/softhsm/libsofthsm2.so.
	Module string `yaml:"module"`
	// PublicURL is where the front is reached. Required.
	PublicURL string `yaml:"public_url"`
	// PKIURL is the address below which certificates and CRLs are published, as certificates name it: http, because who
	// reads it must not need a certificate for it first. Default PublicURL/pki.
	PKIURL string `yaml:"pki_url"`
	// CPSURL is the address of the practice statement. Default PublicURL/docs.
	CPSURL string `yaml:"cps_url"`
	// Organisation is the subject of the CAs and of the time-stamping unit. A sandbox adds "SANDBOX" to every common name.
	Organisation organisationSection `yaml:"organisation"`
	// Policies are our own policy identifiers. Default: the test policies, which only a sandbox may have.
	Policies policiesSection `yaml:"policies"`
	// IssuingKeyType and TSUKeyType are P-256, P-384 or RSA-3072. Default P-256.
	IssuingKeyType hsm.KeyKind `yaml:"issuing_key_type"`
	TSUKeyType     hsm.KeyKind `yaml:"tsu_key_type"`
	// PKIDir gets what is public: certificates, the root's CRL, the ceremonies' reports. Required.
	PKIDir string `yaml:"pki_dir"`
	// Root is where the root's key lies between ceremonies. Required.
	Root rootSection `yaml:"root"`
	// SAM, CA and TSA are the roles' directories. Required.
	SAM roleSection `yaml:"sam"`
	CA  roleSection `yaml:"ca"`
	TSA roleSection `yaml:"tsa"`
	// Operators are those of whom two must approve each ceremony. Required: two or more.
	Operators []foureyes.Operator `yaml:"operators"`

	digest string // SHA-256 of the file, hexadecimal
}

type organisationSection struct {
	Name    string `yaml:"name"`    // default "Tekend"
	ID      string `yaml:"id"`      // organizationIdentifier (EN 319 412-1 §5.1.4); default NTRBE-0000000000
	Country string `yaml:"country"` // ISO 3166-1 alpha-2; default BE
}

// defaultOrganisation is a sandbox's.
const defaultOrganisation = "Tekend"

// policiesSection holds dotted object identifiers, for certificates of persons, of time-stamping units, and for time-stamps.
type policiesSection struct {
	Person    string `yaml:"person"`
	TSU       string `yaml:"tsu"`
	TimeStamp string `yaml:"time_stamp"`
}

// roleSection is one role's directory. With uid and gid the role's files are given to that user; that takes root.
type roleSection struct {
	Dir string `yaml:"dir"`
	UID *int   `yaml:"uid"`
	GID *int   `yaml:"gid"`
}

// rootSection is the root's place: no role and no program that serves can read it. It also keeps the record of the
// ceremonies that were begun, and the root's last CRL. Exactly one of Dir and File is given.
type rootSection struct {
	// Dir holds a token of the root's own, with its PINs; a medium that lies in a safe between ceremonies.
	Dir string `yaml:"dir"`
	// File is the root's key as encrypted PKCS #8 (PBES2), which openssl reads too. A software key: a sandbox's only. Its
	// directory is the root's place.
	File string `yaml:"file"`
	// PassphraseFile holds the passphrase of File, mode 0600.
	PassphraseFile string `yaml:"passphrase_file"`
	// KeyType is P-256, P-384 or RSA-3072. Default P-256.
	KeyType hsm.KeyKind `yaml:"key_type"`
}

func (r rootSection) place() string {
	if r.File != "" {
		return filepath.Dir(r.File)
	}
	return r.Dir
}

func (r rootSection) path(name string) string { return filepath.Join(r.place(), name) }

// role is the root's token as the ceremony makes tokens: nobody's but the ceremony's.
func (r rootSection) role() roleSection { return roleSection{Dir: r.Dir} }

// readCeremony reads the ceremony's file; what is wrong with it is wrong use.
func readCeremony(path string) (*ceremonyConfig, error) {
	var cfg ceremonyConfig
	if err := readYAML(path, &cfg); err != nil {
		return nil, err
	}
	b, err := readShort(path)
	if err != nil {
		return nil, usage("%w", err)
	}
	sum := sha256.Sum256(b)
	cfg.digest = hex.EncodeToString(sum[:])
	if err := cfg.complete(); err != nil {
		return nil, usage("%s: %w", path, err)
	}
	return &cfg, nil
}

func (c *ceremonyConfig) complete() error {
	c.defaults()
	if err := webAddress("public_url", c.PublicURL); err != nil {
		return err
	}
	if err := webAddress("pki_url", c.PKIURL); err != nil {
		return err
	}
	if err := c.directories(); err != nil {
		return err
	}
	for name, kind := range map[string]hsm.KeyKind{"root.key_type": c.Root.KeyType, "issuing_key_type": c.IssuingKeyType, "tsu_key_type": c.TSUKeyType} {
		if kind != hsm.P256 && kind != hsm.P384 && kind != hsm.RSA3072 {
			return fmt.Errorf("%s must be P-256, P-384 or RSA-3072", name)
		}
	}
	for name, oid := range map[string]string{"person": c.Policies.Person, "tsu": c.Policies.TSU, "time_stamp": c.Policies.TimeStamp} {
		if _, err := certs.ParseOID(oid); oid != "" && err != nil {
			return fmt.Errorf("policies.%s: %w", name, err)
		}
	}
	if _, err := foureyes.Load(c.Operators); err != nil {
		return err
	}
	if len(c.Operators) < foureyes.Needed {
		return errors.New("operators: two or more are needed, of whom two approve each ceremony; tekend-trusted operator keygen makes a key")
	}
	return nil
}

func (c *ceremonyConfig) defaults() {
	setDefault(&c.Module, "/usr/lib/softhsm/libsofthsm2.so")
	setDefault(&c.Organisation.Name, defaultOrganisation)
	setDefault(&c.Organisation.ID, production.NobodysID)
	setDefault(&c.Organisation.Country, "BE")
	for _, k := range []*hsm.KeyKind{&c.Root.KeyType, &c.IssuingKeyType, &c.TSUKeyType} {
		if *k == "" {
			*k = hsm.P256
		}
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	setDefault(&c.PKIURL, c.PublicURL+"/pki")
	c.PKIURL = strings.TrimSuffix(c.PKIURL, "/")
	setDefault(&c.CPSURL, c.PublicURL+"/docs")
}

func webAddress(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s must be an http or https address", name)
	}
	return nil
}

// directories makes them absolute (softhsm2.conf needs that) and refuses a root that lies where a role reads.
func (c *ceremonyConfig) directories() (err error) {
	for name, dir := range map[string]*string{"pki_dir": &c.PKIDir, "sam.dir": &c.SAM.Dir, "ca.dir": &c.CA.Dir, "tsa.dir": &c.TSA.Dir} {
		if *dir == "" {
			return fmt.Errorf("%s is missing", name)
		}
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	if (c.Root.Dir == "") == (c.Root.File == "") {
		return errors.New("root: give it a place of its own, either dir (with a token) or file (an encrypted key)")
	}
	if c.Root.File != "" && c.Root.PassphraseFile == "" {
		return errors.New("root.passphrase_file is missing: the file with the key is encrypted")
	}
	for _, path := range []*string{&c.Root.Dir, &c.Root.File} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	for name, dir := range map[string]string{"pki_dir": c.PKIDir, "sam.dir": c.SAM.Dir, "ca.dir": c.CA.Dir, "tsa.dir": c.TSA.Dir} {
		if within, err := filepath.Rel(dir, c.Root.place()); err == nil && within != ".." && !strings.HasPrefix(within, "../") {
			return fmt.Errorf("root: it lies in %s, which is not its own place", name)
		}
	}
	for name, r := range map[string]roleSection{"sam": c.SAM, "ca": c.CA, "tsa": c.TSA} {
		if (r.UID == nil) != (r.GID == nil) {
			return fmt.Errorf("%s: uid and gid stand together or not at all", name)
		}
	}
	return nil
}

// role is a role's directory by its name.
func (c *ceremonyConfig) role(name string) roleSection {
	switch name {
	case "sam":
		return c.SAM
	case "ca":
		return c.CA
	case "tsa":
		return c.TSA
	}
	return c.Root.role()
}

func setDefault(v *string, d string) {
	if *v == "" {
		*v = d
	}
}

// reportPath is where the report of a ceremony is published.
func (c *ceremonyConfig) reportPath(what string) string {
	return filepath.Join(c.PKIDir, reportName(what))
}

// reportName is ceremony.json for the first, ceremony-kek-2.json, … for later ones.
func reportName(what string) string {
	if what == whatInit {
		return "ceremony.json"
	}
	return "ceremony-" + what + ".json"
}

// refuseLeftovers: keys that exist are never replaced.
func (c *ceremonyConfig) refuseLeftovers() error {
	for _, dir := range []string{c.SAM.tokens(), c.CA.tokens(), c.TSA.tokens(), c.Root.path("tokens"), c.Root.path(dirBegun)} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look for earlier keys: %w", err)
		}
		if len(entries) > 0 {
			return no("%s holds keys, but %s, which ends a ceremony, is not there; existing keys are not replaced. "+
				"If they are worth nothing, remove the role's directory and begin again", dir, c.reportPath(whatInit))
		}
	}
	if _, err := os.Lstat(c.Root.File); c.Root.File != "" && err == nil {
		return no("%s is there, but no ceremony has ended; existing keys are not replaced", c.Root.File)
	}
	return nil
}

func (r roleSection) path(name string) string { return filepath.Join(r.Dir, name) }
func (r roleSection) tokens() string          { return r.path("tokens") }
