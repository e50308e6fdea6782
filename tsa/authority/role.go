package authority

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/audit"
	"tekend/certs"
	"tekend/cms"
	"tekend/db"
	"tekend/fence"
)

//go:embed migrations/*.sql migrations/postgres/*.sql
var migrations embed.FS

// Dependencies are the unit's key and certificates.
type Dependencies struct {
	// Signer is the TSU key; it signs SHA-256 digests.
	Signer crypto.Signer
	// Chain is the TSU certificate, then its issuers up to the trust anchor,
	// which is not put into tokens.
	Chain []*x509.Certificate
	// Fence notices that the role was put back in time. nil, for tests alone: nothing is noticed.
	Fence *fence.Setup
}

// Role is a running time-stamping unit.
type Role struct {
	cfg      Config
	policy   asn1.ObjectIdentifier
	signer   crypto.Signer
	cert     *x509.Certificate
	chain    []*x509.Certificate // embedded beside cert
	roots    *x509.CertPool
	keyUntil time.Time // end of the certificate or of the private key, whichever is first
	db       *db.DB
	gate     *fence.Gate
	log      *audit.Log // checkpoints over the record; nil: none
}

// New opens the database and proves, before the first request, that
// certificate and key are those of a time-stamping unit and belong together.
func New(ctx context.Context, cfg Config, dep Dependencies) (*Role, error) {
	policy, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if dep.Signer == nil || len(dep.Chain) < 2 {
		return nil, errors.New("tsa: the key, or the chain from the unit to its trust anchor, is missing")
	}
	r := &Role{cfg: cfg, policy: policy, signer: dep.Signer, cert: dep.Chain[0], roots: x509.NewCertPool()}
	last := len(dep.Chain) - 1
	r.roots.AddCert(dep.Chain[last])
	r.chain = slices.Clone(dep.Chain[1:last])
	if err := r.checkUnit(cfg.Now()); err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	if err := r.checkKey(); err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	if r.db, err = db.Open(ctx, cfg.DB, migrations); err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	r.db.OnFatal(cfg.DiskFailed)
	if err := audit.Ensure(ctx, r.db); err != nil {
		return nil, errors.Join(fmt.Errorf("tsa: %w", err), r.db.Close())
	}
	if r.gate, err = fence.Open(ctx, dep.Fence, r.db); err != nil {
		return nil, errors.Join(fmt.Errorf("tsa: %w", err), r.db.Close())
	}
	if !r.gate.Locked() {
		if r.log, err = fence.OpenLog(ctx, r.gate, r.db, r.cfg.Audit); err != nil {
			return nil, errors.Join(fmt.Errorf("tsa: %w", err), r.gate.Close(), r.db.Close())
		}
	}
	return r, nil
}

// RunAudit signs checkpoints over the record and has them witnessed until ctx
// ends. It must have returned before [Role.Close].
func (r *Role) RunAudit(ctx context.Context) { fence.RunLog(ctx, r.gate, r.log) }

// Close closes the database.
func (r *Role) Close() error { return errors.Join(r.gate.Close(), r.db.Close()) }

// checkUnit: path to the anchor; critical and sole timeStamping, and no other
// key usage (certs.TimeStamping); a key that we would certify.
func (r *Role) checkUnit(now time.Time) error {
	if err := certs.CheckPath(r.cert, r.chain, r.roots, now, certs.TimeStamping); err != nil {
		return fmt.Errorf("certificate of the unit: %w", err)
	}
	if err := certs.CheckNewKey(r.cert.PublicKey); err != nil {
		return fmt.Errorf("certificate of the unit: %w", err)
	}
	r.keyUntil = r.cert.NotAfter
	end, err := privateKeyEnd(r.cert)
	if err != nil {
		return err
	}
	if !end.IsZero() && end.Before(r.keyUntil) {
		r.keyUntil = end
	}
	if now.After(r.keyUntil) {
		return fmt.Errorf("the unit's key was for use until %s", r.keyUntil.UTC().Format(time.RFC3339))
	}
	return nil
}

// privateKeyEnd reads
//
//	PrivateKeyUsagePeriod ::= SEQUENCE { notBefore [0] GeneralizedTime OPTIONAL, notAfter [1] GeneralizedTime OPTIONAL }
func privateKeyEnd(c *x509.Certificate) (time.Time, error) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(cms.OIDExtPrivateKeyPeriod) {
			continue
		}
		bad := errors.New("the extension privateKeyUsagePeriod is malformed")
		in := cryptobyte.String(e.Value)
		var seq, from, until cryptobyte.String
		var hasFrom, hasUntil bool
		if !in.ReadASN1(&seq, casn1.SEQUENCE) || !in.Empty() ||
			!seq.ReadOptionalASN1(&from, &hasFrom, casn1.Tag(0).ContextSpecific()) ||
			!seq.ReadOptionalASN1(&until, &hasUntil, casn1.Tag(1).ContextSpecific()) || !seq.Empty() {
			return time.Time{}, bad
		}
		if !hasUntil {
			return time.Time{}, nil
		}
		t, err := time.Parse("20060102150405Z", string(until))
		if err != nil {
			return time.Time{}, bad
		}
		return t, nil
	}
	return time.Time{}, nil
}

// checkKey has the key sign a text that is no token and verifies the value
// with the certificate.
func (r *Role) checkKey() error {
	digest := sha256.Sum256([]byte("tekend tsa: is this the key of the certificate?"))
	v, err := r.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return fmt.Errorf("try the key: %w", err)
	}
	ok := false
	switch k := r.cert.PublicKey.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest[:], v)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], v) == nil
	}
	if !ok {
		return errors.New("the key is not that of the certificate")
	}
	return nil
}

// Health says whether tokens can be made now.
type Health struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`         // why not
	Notes   []string `json:"notes,omitempty"` // what operators should know though the role works
}

// Health looks at the clock, the key's life and the database.
func (r *Role) Health(ctx context.Context) Health {
	h := Health{Reasons: append([]string{}, r.gate.Reasons()...)}
	now := r.cfg.Now()
	high, err := audit.HighWater(ctx, r.db)
	switch {
	case err != nil:
		h.Reasons = append(h.Reasons, "the database cannot be read")
	case now.Before(high.Add(-audit.Backstep)):
		h.Reasons = append(h.Reasons, "the clock is before the newest audit row")
	}
	if now.After(r.keyUntil) {
		h.Reasons = append(h.Reasons, "the unit's key is past its end")
	}
	if err := r.log.Ready(now); err != nil {
		h.Reasons = append(h.Reasons, err.Error())
	}
	h.Notes = r.log.Notes(now)
	h.Ready = len(h.Reasons) == 0
	return h
}

// Unlock opens the role's lock when two operators have approved it. The role
// must not run. It gives the lock's text.
func Unlock(ctx context.Context, source string, set fence.Setup, ask fence.Decision) (string, error) {
	return fence.UnlockIn(ctx, source, migrations, set, ask)
}
