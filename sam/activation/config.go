package activation

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"tekend/audit"
	"tekend/foureyes"
	"tekend/hsm"
	"tekend/itsme"
	"tekend/wire"
)

// MaxLife bounds the life of a question, of an ID token and of a session
// (house §1.6: 10 minutes).
const MaxLife = 10 * time.Minute

// Config is the manual of the role's section `sam:` in its file. Example:
//
//	db: /srv/tekend/sam/sam.db
//	root_file: /srv/tekend/sam/root.pem
//	issuer_file: /srv/tekend/sam/issuing-ca.pem
//	status_socket: /srv/tekend/ca/status/status.sock
//	itsme: {issuer: "https://idp.e2e.itsme.services/v2"}
//	ident: {id: IDENT, service: ACME_IDENT, redirect_uri: "https://sign.acme.example/itsme/callback", enc_key_file: /srv/tekend/sam/itsme-ident-enc.pem}
//	confirm: {id: CONFIRM, service: ACME_CONFIRM, redirect_uri: "https://sign.acme.example/itsme/callback", enc_key_file: /srv/tekend/sam/itsme-confirm-enc.pem}
type Config struct {
	// DB is the role's database: an SQLite file, made when it is not there, or a
	// PostgreSQL URL (package db, Open) when several instances serve it. Required.
	// Example: postgres://tekend_sam@/tekend_sam?host=/run/postgresql.
	DB string `yaml:"db"`
	// Instance names this process among those that serve one database; one
	// process for each name. 1 to 16 of a-z, 0-9 and -. Default a.
	Instance string `yaml:"instance"`
	// Itsme says where itsme is. issuer is required.
	Itsme itsme.Config `yaml:"itsme"`
	// Ident is the client of the Identification service, used only in the
	// first leg of an enrolment. Required.
	Ident ClientConfig `yaml:"ident"`
	// Confirm is the client that has Confirmation services only. Its tokens
	// alone authorise. Required, with another id and other keys than Ident.
	Confirm ClientConfig `yaml:"confirm"`
	// RootFile and IssuerFile are PEM files with one certificate each: the
	// root, and the issuing CA that alone may issue users' certificates.
	// Required.
	RootFile   string `yaml:"root_file"`
	IssuerFile string `yaml:"issuer_file"`
	// OtherIssuerFiles are those of other issuing CAs of ours whose certificates
	// are taken as well: the next one, before the ca changes over to it, and the
	// previous ones, until their last certificate has ended. Default none.
	OtherIssuerFiles []string `yaml:"other_issuer_files"`
	// StatusSocket is the ca's socket for certificate status. Required.
	StatusSocket string `yaml:"status_socket"`
	// StatusTimeout of one question to it. Default 3s.
	StatusTimeout time.Duration `yaml:"status_timeout"`
	// KEK and MAC are the labels of the key-encryption key and of the MAC key
	// in the token. Default kek and mac.
	KEK string `yaml:"kek"`
	MAC string `yaml:"mac"`
	// PreviousKEKs are the labels of key-encryption keys that are going away: keys
	// under them still sign, no new one is made under them, and whoever has one
	// enrols anew at the next order. A label leaves the list, and the key the
	// token, when tekend-trusted keks says that no key is under it. Default none.
	PreviousKEKs []string `yaml:"previous_keks"`
	// RenewBefore is how long before its certificate's end a credential is to be
	// renewed; never more than a quarter of the certificate's validity. Default
	// 1440h (60 days).
	RenewBefore time.Duration `yaml:"renew_before"`
	// Providers are those whose signed orders are verified. Default none.
	Providers []ProviderConfig `yaml:"providers"`
	// ProviderSigned is optional (orders without a provider's signature are taken too) or required. Only required keeps
	// an owned front from leaving the signature out. Default optional.
	ProviderSigned string `yaml:"provider_signed"`
	// HashOrders says whether orders of bare digests are taken, of which nobody here saw the documents: allowed, signed
	// (only in orders that their provider has signed) or forbidden. The text that the person confirms says so. Default allowed.
	HashOrders string `yaml:"hash_orders"`
	// KeyType of new users' keys: P-256, P-384, RSA-3072 (PKCS #1 v1.5, until
	// the end of 2028) or RSA-3072-PSS. Default P-256.
	KeyType hsm.KeyKind `yaml:"key_type"`
	// Keys says where new users' keys live: wrapped (in the database, under the
	// KEK) or resident (in the token). Keys made before stay where they are.
	// Default wrapped.
	Keys string `yaml:"keys"`
	// QuestionLife is how long a person may take to answer. Default and
	// highest 10m.
	QuestionLife time.Duration `yaml:"question_life"`
	// SessionLife is how long a confirmed session may sign. Default 5m,
	// highest 10m, and never longer than 10m after itsme made the ID token.
	SessionLife time.Duration `yaml:"session_life"`
	// CallTimeout bounds one call, also when its caller is gone. Default 45s,
	// highest 1m: then the caller's connection is given up (wire.MaxCall).
	CallTimeout time.Duration `yaml:"call_timeout"`

	// EmergencyURL is the address at which people reach the role's emergency
	// channel, where they revoke with a code; notices name it. Default none: then
	// people get no code. Example: https://revoke.acme.example/.
	EmergencyURL string `yaml:"emergency_url"`
	// PolicySHA256 is the digest of the practice statement in force (its text in
	// English), base64url; manifests name it. Default none.
	PolicySHA256 string `yaml:"policy_sha256"`

	// NationalNumber, with a legal basis, has itsme asked for the Belgian national
	// number in identifications, for a ca whose serial_number wants it. The sam
	// itself does not use it: what it keeps of the claims is without it.
	NationalNumber NationalNumber `yaml:"national_number"`

	// Limits bound what one person is asked.
	Limits Limits `yaml:"limits"`
	// Notices say how people are told that their key was used.
	Notices Notices `yaml:"notices"`

	// Operators of whom two decide on acts: the section `operators:` of the role's file.
	Operators foureyes.Operators `yaml:"-"`
	// Production: the emergency channel does not call itself a simulation.
	Production bool `yaml:"-"`
	// Audit is the section `audit:` of the role's file. Without a key file the
	// record has no checkpoints; tekend-trusted refuses to start so.
	Audit audit.LogConfig `yaml:"-"`
	// Now is the clock. Required.
	Now func() time.Time `yaml:"-"`
	// DiskFailed is called when the disk failed under a COMMIT, and does not return: see db.OnFatal. Nil: nothing is done.
	DiskFailed func(error) `yaml:"-"`
	// Log gets internal faults, which the caller is not told. Default none.
	Log *slog.Logger `yaml:"-"`
}

// ClientConfig is one registration at itsme with its keys.
type ClientConfig struct {
	itsme.ClientConfig `yaml:",inline"`
	// SigLabel is the label of the RSA-2048 signing key in the token. Default
	// itsme-ident-sig and itsme-confirm-sig.
	SigLabel string `yaml:"sig_label"`
	// EncKeyFile is a PEM file (mode 0600) with the RSA key, PKCS #8, for
	// which itsme encrypts tokens: SoftHSM has no OAEP with SHA-256. Required.
	EncKeyFile string `yaml:"enc_key_file"`
	// EncKID is its kid in our key set. Default e1.
	EncKID string `yaml:"enc_kid"`
	// OtherKeys stand in our key set beside these: the next ones, so that itsme
	// knows them before they are used, and then the previous ones, until nothing
	// comes any more that was made for them. Default none.
	OtherKeys []ClientKeys `yaml:"other_keys"`
}

// ClientKeys are keys of a client that are published and not signed with. A
// token that itsme encrypted for EncKeyFile is read. Each of the two may be left out.
type ClientKeys struct {
	SigLabel   string `yaml:"sig_label"` // of a key in the token
	SigKID     string `yaml:"sig_kid"`
	EncKeyFile string `yaml:"enc_key_file"`
	EncKID     string `yaml:"enc_kid"`
}

func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		v *string
		d string
	}{
		{&c.Instance, "a"}, {&c.KEK, "kek"}, {&c.MAC, "mac"},
		{&c.Ident.SigLabel, "itsme-ident-sig"}, {&c.Confirm.SigLabel, "itsme-confirm-sig"},
		{&c.Ident.EncKID, "e1"}, {&c.Confirm.EncKID, "e1"},
		{&c.Ident.SigKID, "s1"}, {&c.Confirm.SigKID, "s1"},
	} {
		if *d.v == "" {
			*d.v = d.d
		}
	}
	for _, d := range []struct{ v, d *time.Duration }{
		{&c.StatusTimeout, new(3 * time.Second)}, {&c.QuestionLife, new(MaxLife)},
		{&c.SessionLife, new(5 * time.Minute)}, {&c.CallTimeout, new(45 * time.Second)},
		{&c.RenewBefore, new(60 * 24 * time.Hour)},
	} {
		if *d.v == 0 {
			*d.v = *d.d
		}
	}
	if c.ProviderSigned == "" {
		c.ProviderSigned = orderOptional
	}
	if c.HashOrders == "" {
		c.HashOrders = hashesAllowed
	}
	if c.Keys == "" {
		c.Keys = KeysWrapped
	}
	if c.KeyType == "" {
		c.KeyType = hsm.P256
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Itsme.Now, c.Audit.Now, c.Audit.Log = c.Now, c.Now, c.Log
	var err error
	if c.Limits, err = c.Limits.withDefaults(); err != nil {
		return c, err
	}
	return c, c.check()
}

func (c Config) check() error {
	if c.Now == nil {
		return errors.New("sam: Config.Now is missing")
	}
	for name, v := range map[string]string{
		"db": c.DB, "root_file": c.RootFile, "issuer_file": c.IssuerFile, "status_socket": c.StatusSocket,
		"ident.enc_key_file": c.Ident.EncKeyFile, "confirm.enc_key_file": c.Confirm.EncKeyFile,
	} {
		if v == "" {
			return fmt.Errorf("sam: %s is missing", name)
		}
	}
	if c.ProviderSigned != orderOptional && c.ProviderSigned != orderRequired {
		return fmt.Errorf("sam: provider_signed must be %s or %s", orderOptional, orderRequired)
	}
	if !slices.Contains([]string{hashesAllowed, hashesSigned, hashesForbidden}, c.HashOrders) {
		return fmt.Errorf("sam: hash_orders must be %s, %s or %s", hashesAllowed, hashesSigned, hashesForbidden)
	}
	if c.Keys != KeysWrapped && c.Keys != KeysResident {
		return errors.New("sam: keys must be wrapped or resident")
	}
	if !slices.Contains(hsm.UserKinds, c.KeyType) {
		return errors.New("sam: key_type must be P-256, P-384, RSA-3072 or RSA-3072-PSS")
	}
	if len(c.Instance) > 16 || strings.Trim(c.Instance, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return errors.New("sam: instance must be 1 to 16 of a-z, 0-9 and -")
	}
	for name, d := range map[string]time.Duration{"question_life": c.QuestionLife, "session_life": c.SessionLife} {
		if d <= 0 || d > MaxLife {
			return fmt.Errorf("sam: %s must be more than 0 and at most %v", name, MaxLife)
		}
	}
	if c.StatusTimeout <= 0 || c.CallTimeout <= 0 || c.CallTimeout > wire.MaxCall {
		return fmt.Errorf("sam: status_timeout and call_timeout must be more than 0, call_timeout at most %v", wire.MaxCall)
	}
	// A login or identification must never be good for a signature: aud tells
	// the services apart (house §1.1).
	if c.Ident.ID == c.Confirm.ID || c.Ident.SigLabel == c.Confirm.SigLabel || c.Ident.EncKeyFile == c.Confirm.EncKeyFile {
		return errors.New("sam: ident and confirm must be two clients with keys of their own")
	}
	if err := c.checkRollover(); err != nil {
		return err
	}
	if p, err := b64.Strict().DecodeString(c.PolicySHA256); c.PolicySHA256 != "" && (err != nil || len(p) != sha256.Size) {
		return errors.New("sam: policy_sha256 must be the base64url of 32 bytes")
	}
	if u, err := url.Parse(c.EmergencyURL); c.EmergencyURL != "" && (err != nil || u.Host == "" || strings.ContainsFunc(c.EmergencyURL, unicode.IsControl)) {
		return errors.New("sam: emergency_url must be an absolute address")
	}
	return c.Itsme.Validate()
}
