package authority

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
	"tekend/consent"
	"tekend/db"
	"tekend/fence"
	"tekend/foureyes"
	"tekend/itsme/token"
)

//go:embed migrations/*.sql migrations/postgres/*.sql
var migrations embed.FS

// Dependencies are what the role is given: the issuing CA's key and the OCSP
// responder's, which may be in a token, and itsme's keys as fetched by this
// process (*itsme.Provider).
type Dependencies struct {
	Signer crypto.Signer
	OCSP   crypto.Signer
	Keys   token.Keys
	// Previous are the keys of Config.Previous, by name.
	Previous map[string]crypto.Signer
	// Operators may revoke, two together. Empty: operators cannot.
	Operators foureyes.Operators
	// Fence notices that the role was put back in time. nil, for tests alone: nothing is noticed.
	Fence *fence.Setup
}

// Role is the running role.
type Role struct {
	cfg       Config
	signer    crypto.Signer
	ocspKey   crypto.Signer
	keys      token.Keys
	operators foureyes.Operators
	db        *db.DB
	gate      *fence.Gate
	log       *audit.Log // checkpoints over the record; nil: none

	root, issuing *x509.Certificate
	tsus          []*x509.Certificate // of the time-stamping units, in the order of their names
	roots         *x509.CertPool
	issuers       []*issuer // the one in force first: issuing and signer are its

	issuance sync.Mutex // one order at a time between its look-up and its outcome

	answers answers
	quota   quotas
	loud    *bucket // of log lines about them
	checked checks
	wake    chan struct{} // something is due for Run
}

// maxFile bounds a certificate or CRL file, in bytes.
const maxFile = 1 << 20

// New opens the role: it reads what it publishes, checks that the key, the
// certificates and the configuration fit together (a trial certificate is
// built and linted, not signed), opens its database, and refuses to start with
// a clock that is before its recorded history.
func New(ctx context.Context, cfg Config, dep Dependencies) (*Role, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if dep.Signer == nil || dep.OCSP == nil || dep.Keys == nil {
		return nil, errors.New("ca: the issuing key, the OCSP key or itsme's keys are missing")
	}
	now := cfg.Now()
	r := &Role{
		cfg: cfg, ocspKey: dep.OCSP, keys: dep.Keys, operators: dep.Operators, wake: make(chan struct{}, 1),
		answers: answers{by: map[string]kept{}, most: cfg.OCSPCache}, quota: newQuotas(cfg.OCSPLive, now), loud: newBucket(1, now),
	}
	if err := r.readCertificates(dep); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if err := r.trial(); err != nil {
		return nil, fmt.Errorf("ca: trial certificate: %w", err)
	}
	var err error
	if r.db, err = db.Open(ctx, cfg.DB, migrations); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	r.db.OnFatal(cfg.DiskFailed)
	if err := r.begin(ctx, dep.Fence); err != nil {
		return nil, errors.Join(fmt.Errorf("ca: %w", err), r.gate.Close(), r.db.Close())
	}
	return r, nil
}

// begin records the start, which also holds the clock to the recorded history.
func (r *Role) begin(ctx context.Context, set *fence.Setup) (err error) {
	if err := audit.Ensure(ctx, r.db); err != nil {
		return err
	}
	if r.gate, err = fence.Open(ctx, set, r.db); err != nil {
		return err
	}
	if r.gate.Locked() {
		return r.loadStatus(ctx)
	}
	if r.log, err = fence.OpenLog(ctx, r.gate, r.db, r.cfg.Audit); err != nil {
		return err
	}
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := audit.SettleTally(ctx, tx, r.cfg.Now(), r.cfg.Now()); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{
			At: r.cfg.Now(), Kind: "role.started", Subject: "ca",
			Detail: map[string]string{"acr": r.cfg.ACR, "terms": r.cfg.TermsVersion, "issuing_ca": certs.SerialHex(r.issuing.SerialNumber)},
		})
	})
	if err != nil {
		return fmt.Errorf("record the start: %w", err)
	}
	return r.loadStatus(ctx)
}

// loadStatus reads what was published last.
func (r *Role) loadStatus(ctx context.Context) error {
	for _, i := range r.issuers {
		if err := r.recoverRevocations(ctx, i); err != nil {
			return err
		}
		if err := errors.Join(r.loadCRL(ctx, i), r.loadResponder(ctx, i)); err != nil {
			return err
		}
	}
	return nil
}

// RunAudit signs checkpoints over the record and has them witnessed until ctx
// ends. It must have returned before [Role.Close].
func (r *Role) RunAudit(ctx context.Context) { fence.RunLog(ctx, r.gate, r.log) }

// Close closes the database.
func (r *Role) Close() error { return errors.Join(r.gate.Close(), r.db.Close()) }

func (r *Role) readCertificates(dep Dependencies) error {
	var err error
	if r.root, err = readCertificate(r.cfg.RootFile); err != nil {
		return err
	}
	for _, path := range append([]string{r.cfg.TSUFile}, r.cfg.TSUFiles...) {
		tsu, err := readCertificate(path)
		if err != nil {
			return err
		}
		if err := tsu.CheckSignatureFrom(r.root); err != nil {
			return fmt.Errorf("the root did not issue the TSU's certificate %s: %w", path, err)
		}
		r.tsus = append(r.tsus, tsu)
	}
	if err := r.readIssuers(dep); err != nil {
		return err
	}
	r.roots = x509.NewCertPool()
	r.roots.AddCert(r.root)
	_, err = r.rootCRL()
	return err
}

func readCertificate(path string) (*x509.Certificate, error) {
	raw, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(raw); block != nil {
		raw = block.Bytes
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return os.ReadFile(path)
}

// trial builds and lints a certificate by the configuration, so that a broken
// one stops the start and not the first person. Outside the CA's life nothing
// could pass; then health says so and CRLs are still published.
func (r *Role) trial() error {
	now := r.cfg.Now()
	if now.Before(r.issuing.NotBefore) || now.After(r.issuing.NotAfter.Add(-time.Hour)) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	person, err := r.cfg.person("", "Trial", "Certificate", or(r.cfg.DefaultCountry, "BE"))
	if err != nil {
		return err
	}
	if person, err = r.cfg.trialNumbered(person); err != nil {
		return err
	}
	for _, oneTime := range []bool{false, true} {
		order, err := r.order(&verified{application: consent.Application{OneTime: oneTime}, key: key.Public(), signs: x509.ECDSAWithSHA256, person: person})
		if err != nil {
			return nil // the issuing CA's own algorithm ends, as its life does
		}
		if _, err := certs.Prepare(r.issuing, order); err != nil {
			return err
		}
	}
	return nil
}

// ended tells that the algorithm by which the issuing CA signs ends too soon for
// the certificate of anybody.
func (r *Role) ended(now time.Time) bool {
	end, err := certs.IssuerEnd(r.issuing)
	return err != nil || !end.IsZero() && now.Add(min(minLife, r.cfg.Life)).After(end)
}

// Health says whether the role can issue now.
func (r *Role) Health(ctx context.Context) ca.Health {
	var h ca.Health
	now := r.cfg.Now()
	because := func(bad bool, reason string) {
		if bad {
			h.Reasons = append(h.Reasons, reason)
		}
	}
	h.Reasons = append(h.Reasons, r.gate.Reasons()...)
	high, err := audit.HighWater(ctx, r.db)
	because(err != nil, "the database cannot be read")
	because(err == nil && now.Before(high.Add(-audit.Backstep)), "the clock is before recorded history")
	because(now.Before(r.issuing.NotBefore) || now.After(r.issuing.NotAfter), "the issuing CA's certificate is not valid now")
	because(r.ended(now), "what the issuing CA signs with ends too soon for a certificate (docs/algorithms.md)")
	because(now.Before(r.root.NotBefore) || now.After(r.root.NotAfter), "the root's certificate is not valid now")
	list, err := r.rootCRL()
	because(err != nil, "the root's CRL cannot be read")
	because(err == nil && now.After(list.NextUpdate), "the root's CRL is out of date")
	for _, reason := range r.statusReasons(ctx, now) {
		because(true, reason)
	}
	if err := r.log.Ready(now); err != nil {
		because(true, err.Error())
	}
	h.Notes = r.log.Notes(now)
	h.Ready = len(h.Reasons) == 0
	return h
}

// statusReasons says what is wrong with what the role publishes. A responder's
// certificate that was not renewed in time is told long before it ends.
func (r *Role) statusReasons(ctx context.Context, now time.Time) (all []string) {
	for _, i := range r.issuers {
		l, err := r.crlOf(ctx, i)
		switch {
		case err != nil:
			all = append(all, "there is no current CRL of "+i.name)
		case l.revoked < i.revoked.Load():
			all = append(all, "a revocation is not on the CRL of "+i.name+" yet: a new one cannot be made")
		}
		if err == nil {
			_ = l.Close()
		}
		who, err := r.responder(ctx, i)
		switch {
		case err != nil:
			all = append(all, "there is no valid OCSP responder certificate of "+i.name)
		case now.After(renewal(who.Cert).Add(who.Cert.NotAfter.Sub(renewal(who.Cert)) / 2)):
			all = append(all, "the OCSP responder certificate of "+i.name+" ends soon and was not renewed")
		}
	}
	r.checked.Lock()
	defer r.checked.Unlock()
	if r.checked.err != nil {
		all = append(all, r.checked.err.Error())
	}
	return all
}

// rootCRL reads the root's CRL from its file; it must be the root's.
func (r *Role) rootCRL() (*x509.RevocationList, error) {
	der, err := readFile(r.cfg.RootCRLFile)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("read the root's CRL: %w", err)
	}
	if err := list.CheckSignatureFrom(r.root); err != nil {
		return nil, fmt.Errorf("the root did not sign its CRL: %w", err)
	}
	return list, nil
}
