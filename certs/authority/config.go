// Package authority is the role ca: it issues qualified certificates of
// natural persons, knows their status, and publishes certificates and CRLs.
// Its contract is package ca.
//
// It believes nobody: whoever carries an order, the role itself verifies both
// itsme tokens with keys it fetched itself, that both legs are the same adult
// person, that this person consented to exactly this public key and these
// terms, and that the new key signed the request. Then, in this order: lint;
// intent, tokens and audit in one durable transaction; the CA key, once;
// certificate and audit in another. An order whose intent has no certificate
// (a crash between the two, a token that failed) is dead: nothing is signed for
// it again, its certificate's status is unknown, and the person applies anew
// with a new key.
package authority

import (
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tekend/audit"
	"tekend/certs"
	"tekend/itsme"
	"tekend/itsme/token"
)

// Config is the role's part of its YAML file.
type Config struct {
	// Audit is the section `audit:` of the role's file. Without a key file the
	// record has no checkpoints; tekend-trusted refuses to start so.
	Audit audit.LogConfig `yaml:"-"`
	// Now is the clock.
	Now func() time.Time `yaml:"-"`
	// DiskFailed is called when the disk failed under a COMMIT, and does not return: see db.OnFatal. Nil: nothing is done.
	DiskFailed func(error) `yaml:"-"`
	// Log gets the causes of answers "internal"; nil: nowhere.
	Log *slog.Logger `yaml:"-"`

	// DB is the role's database: an SQLite file, created with mode 0600, or a
	// PostgreSQL URL (package db, Open) of a database that is this role's alone.
	DB string `yaml:"db"`

	// RootFile, IssuingCAFile, TSUFile and RootCRLFile are what the ceremony
	// made and this role publishes: certificates in PEM or DER, the root's CRL
	// in DER. The root's key is not here, so its CRL is replaced as a file and
	// read again at each request.
	RootFile      string `yaml:"root_file"`
	IssuingCAFile string `yaml:"issuing_ca_file"`
	TSUFile       string `yaml:"tsu_file"`
	RootCRLFile   string `yaml:"root_crl_file"`
	// TSUFiles are the certificates of the units after the first, published as
	// tsu-2, tsu-3, … Default none.
	TSUFiles []string `yaml:"tsu_files"`

	// PublicURL is where the front publishes, as it stands in certificates;
	// below it lie /ca and /crl. Example: http://127.0.0.1:8080/pki
	PublicURL string `yaml:"public_url"`
	// CPSURL is the address of the practice statement (http or https).
	CPSURL string `yaml:"cps_url"`
	// PDS are the disclosure statements, https, one of them in English ("en").
	PDS []certs.PDS `yaml:"pds"`

	// PublishDir gets the issuing CA's CRL as crl/issuing-ca.crl whenever a new
	// one is made, for who reads files rather than /pki. Empty: nowhere.
	PublishDir string `yaml:"publish_dir"`

	// IssuerName is the name of the issuing CA in force, in addresses: issuing-ca
	// (the default), issuing-ca-2 after a roll-over, …
	IssuerName string `yaml:"issuer_name"`
	// Previous are the issuing CAs before it, whose status this role goes on publishing.
	Previous []Previous `yaml:"previous"`

	// ResponderLife is the life of the OCSP responder's certificates, which the
	// role makes itself and renews when two thirds of it are over. Default 1440h
	// (60 days), 24h to 2160h (90 days).
	ResponderLife time.Duration `yaml:"responder_life"`
	// OCSPLife is the time from thisUpdate to nextUpdate of an OCSP answer. Those
	// that are made in advance are made anew when half of it is over. Default 12h,
	// 1m to 24h (validators want data that is not older than a day).
	OCSPLife time.Duration `yaml:"ocsp_life"`
	// OCSPLive is how many answers a second are signed because somebody asks, of
	// each kind: with a nonce, with a nonce for the front's own products, about
	// numbers that were never issued, and answers that were not made in advance.
	// Default 50.
	OCSPLive int `yaml:"ocsp_live"`
	// OCSPCache is how many answers are kept in memory, of 1.5 KiB each; the
	// others are in the database. Default 50000.
	OCSPCache int `yaml:"ocsp_cache"`

	// Life of a certificate; it never goes beyond the issuing CA's end.
	// Default 17520h (2 years), at most 3 years.
	Life time.Duration `yaml:"life"`
	// OneTimeLife is the life of a certificate for one confirmation, which has no
	// revocation information. Default and maximum 24h, at least 1h.
	OneTimeLife time.Duration `yaml:"one_time_life"`
	// CRLLife is the time from thisUpdate to nextUpdate of the issuing CA's
	// CRL. A new one is made when half of it is over. Default 12h, at most 24h
	// (EN 319 411-1 CSS-6.3.9-05).
	CRLLife time.Duration `yaml:"crl_life"`

	// Itsme is the identity provider whose tokens count.
	Itsme itsme.Config `yaml:"itsme"`
	// IdentClient and ConfirmClient are our client ids at itsme: of the
	// Identification service and of the Confirmation service.
	IdentClient   string `yaml:"ident_client"`
	ConfirmClient string `yaml:"confirm_client"`
	// ACR is the level both tokens must state. Default: itsme's acr_advanced;
	// "*" does not look at it (specs/itsme.md §9.2 B-4) and is audited.
	ACR string `yaml:"acr"`
	// MaxAge is the largest age of both tokens. Default and maximum 15m.
	MaxAge time.Duration `yaml:"max_age"`

	// DefaultCountry (ISO 3166-1 alpha-2) stands in the subject when itsme does
	// not say which country issued the identity document. Empty: such an order
	// is refused. The sandbox uses BE.
	DefaultCountry string `yaml:"default_country"`

	// Activation lists the ways in which the person's account at itsme may have
	// been activated. Default: CARD_READER, CONTACT_LESS (with the identity card)
	// and ID_PROVIDER (by a bank). "*" takes every way, and none stated.
	Activation []string `yaml:"activation"`
	// Scheme is the standing of itsme as a notified eID scheme.
	Scheme Scheme `yaml:"scheme"`
	// SerialNumber is the serial number in subjects. Default: a random one.
	SerialNumber SerialNumber `yaml:"serial_number"`

	// PolicyOID is our own certificate policy, dotted; every person's certificate
	// states it. Default: our test policy, which only a sandbox may state.
	PolicyOID string `yaml:"policy_oid"`
	// Production makes certificates without the mark of a sandbox. It takes a
	// policy of our own and CAs that a production ceremony made.
	Production bool `yaml:"-"`

	// TermsVersion and TermsSHA256 (base64url of the SHA-256 of the text) are
	// the terms now in force; an application that accepted others is refused.
	TermsVersion string `yaml:"terms_version"`
	TermsSHA256  string `yaml:"terms_sha256"`
}

const (
	defaultLife    = 2 * 365 * 24 * time.Hour
	maxLife        = 3 * 365 * 24 * time.Hour
	defaultCRLLife = 12 * time.Hour
	maxCRLLife     = 24 * time.Hour
	maxTokenAge    = 15 * time.Minute

	defaultResponderLife = 60 * 24 * time.Hour
	maxResponderLife     = 90 * 24 * time.Hour
	defaultOCSPLife      = 12 * time.Hour
	defaultOCSPLive      = 50
	defaultOCSPCache     = 50_000
)

// complete fills in defaults and says what is wrong.
func (c *Config) complete() error {
	if c.Now == nil {
		return errors.New("ca: Config.Now is missing")
	}
	for key, v := range map[string]string{
		"db": c.DB, "root_file": c.RootFile, "issuing_ca_file": c.IssuingCAFile, "tsu_file": c.TSUFile,
		"root_crl_file": c.RootCRLFile, "public_url": c.PublicURL, "cps_url": c.CPSURL, "itsme.issuer": c.Itsme.Issuer,
		"ident_client": c.IdentClient, "confirm_client": c.ConfirmClient, "terms_version": c.TermsVersion,
	} {
		if v == "" {
			return fmt.Errorf("ca: %s is missing", key)
		}
	}
	if c.IdentClient == c.ConfirmClient {
		return errors.New("ca: ident_client and confirm_client must differ: the audience tells a login from a consent")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Audit.Now, c.Audit.Log = c.Now, c.Log
	c.Life, c.CRLLife, c.MaxAge = or(c.Life, defaultLife), or(c.CRLLife, defaultCRLLife), or(c.MaxAge, maxTokenAge)
	c.ACR, c.IssuerName = or(c.ACR, token.ACRAdvanced), or(c.IssuerName, defaultIssuer)
	c.ResponderLife, c.OCSPLife = or(c.ResponderLife, defaultResponderLife), or(c.OCSPLife, defaultOCSPLife)
	c.OCSPLive, c.OCSPCache = or(c.OCSPLive, defaultOCSPLive), or(c.OCSPCache, defaultOCSPCache)
	if len(c.Activation) == 0 {
		c.Activation = activations
	}
	if err := errors.Join(c.checkIssuers(), c.checkOneTime(), c.SerialNumber.complete(), c.Scheme.complete()); err != nil {
		return err
	}
	switch {
	case c.Life < time.Hour || c.Life > maxLife:
		return fmt.Errorf("ca: life must be within 1h and %v", maxLife)
	case c.CRLLife < time.Minute || c.CRLLife > maxCRLLife:
		return fmt.Errorf("ca: crl_life must be within 1m and %v", maxCRLLife)
	case c.ResponderLife < 24*time.Hour || c.ResponderLife > maxResponderLife:
		return fmt.Errorf("ca: responder_life must be within 24h and %v", maxResponderLife)
	case c.OCSPLife < time.Minute || c.OCSPLife > maxCRLLife:
		return fmt.Errorf("ca: ocsp_life must be within 1m and %v", maxCRLLife)
	case c.OCSPLive < 1 || c.OCSPLive > 10_000 || c.OCSPCache < 1:
		return errors.New("ca: ocsp_live must be within 1 and 10000, ocsp_cache positive")
	case c.MaxAge < time.Second || c.MaxAge > maxTokenAge:
		return fmt.Errorf("ca: max_age must be within 1s and %v", maxTokenAge)
	case c.DefaultCountry != "" && !certs.IsCountry(c.DefaultCountry):
		return errors.New("ca: default_country is not an ISO 3166-1 alpha-2 code")
	}
	if c.PolicyOID != "" {
		if _, err := certs.ParseOID(c.PolicyOID); err != nil {
			return fmt.Errorf("ca: policy_oid: %w", err)
		}
	}
	if sum, err := base64.RawURLEncoding.DecodeString(c.TermsSHA256); err != nil || len(sum) != 32 {
		return errors.New("ca: terms_sha256 must be the base64url SHA-256 (43 characters) of the terms")
	}
	return nil
}

// policy is our own policy; nil stands for the test policy. complete has read it.
func (c Config) policy() asn1.ObjectIdentifier {
	oid, err := certs.ParseOID(c.PolicyOID)
	if err != nil {
		return nil
	}
	return oid
}

// person is the subject of a certificate, with the mark of a sandbox in one.
func (c Config) person(name, given, surname, country string) (certs.Person, error) {
	if c.Production {
		return certs.NewRealPerson(name, given, surname, country)
	}
	return certs.NewPerson(name, given, surname, country)
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
