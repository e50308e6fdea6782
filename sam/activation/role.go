// Package activation is the role sam: the part of the program that an assessor
// reads alone. Only here is a user's key used, and only for what the owner of
// the key confirmed at itsme.
//
// The way of a signature (house §3):
//
//	Prepare    checks what shall be signed and fixes it in a manifest; itsme is
//	           asked with nonce = hash of the manifest (prepare.go, question.go)
//	Authorize  exchanges itsme's code, verifies the token against the manifest,
//	           and consumes it, once for ever (answer.go, authorize.go)
//	Sign       burns each position durably, then uses the key, verifies the
//	           value, stores it (sign.go, use.go)
//
// Whoever calls is not trusted. An enrolment (enrol*.go) ends in a link record
// under a MAC of the token (link.go): this person, this key, this certificate.
// Every act and every refusal has its row in the audit; with no audit there is
// no act. What was prepared or confirmed before the process started is void.
package activation

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/db"
	"tekend/fence"
	"tekend/hsm"
	"tekend/itsme"
)

//go:embed migrations/*.sql migrations/postgres/*.sql
var migrations embed.FS

// Dependencies are what the role does not open itself.
type Dependencies struct {
	Token *hsm.Token   // stays the caller's to close, after the Role
	HTTP  *http.Client // for itsme; nil for a default one
	// Fence notices that the role was put back in time. nil, for tests alone: nothing is noticed.
	Fence *fence.Setup
}

// Role is the signature activation module. It may be called concurrently.
type Role struct {
	cfg       Config
	token     *hsm.Token
	db        *db.DB
	provider  *itsme.Provider
	ident     *party
	confirm   *party
	roots     *x509.CertPool
	providers providers
	issuers   []*x509.Certificate // which may issue users' certificates
	status    *ca.StatusClient
	revoker   *ca.StatusClient // with more patience

	boot    string // names this process in rows; new with every start
	bootKey []byte // seals rows of this process; never stored
	locks   locks
	spent   spent
	out     *outbox // nil: nobody is told
	idle    func()  // stops the housekeeping and waits for its end
	gate    *fence.Gate
	log     *audit.Log // checkpoints over the record; nil: none
	sets    sets
	chains  chains
	work    work
	tries   tries
	unnamed perMinute // questions that name nobody

	sweeper  sync.Mutex // one sweep at a time
	searched time.Time  // when the token was last searched for resident keys; under sweeper

	// making keeps the search of the token and the making of keys in it apart: SoftHSM, asked for all objects while
	// it writes one, takes that for a fault of the token.
	making sync.RWMutex

	running sync.WaitGroup
	mu      sync.Mutex
	closed  bool
}

// New opens the role: it probes the KEK, opens the database, and settles what
// a stop left open. It fails when the clock is before the role's record. itsme
// and the ca need not be reachable.
func New(ctx context.Context, cfg Config, dep Dependencies) (*Role, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Role{
		cfg: cfg, token: dep.Token, boot: itsme.Random(), bootKey: make([]byte, sha256.Size),
		work: newWork(cfg.Now()), tries: tries{slots: make(chan struct{}, maxAtOnce)},
	}
	if _, err := rand.Read(r.bootKey); err != nil {
		return nil, fmt.Errorf("make the process key: %w", err)
	}
	if r.out, err = cfg.Notices.open(); err != nil {
		return nil, err
	}
	if err := r.openKeys(ctx, dep.HTTP); err != nil {
		return nil, err
	}
	if r.db, err = db.Open(ctx, cfg.DB, migrations); err != nil {
		return nil, err
	}
	r.db.OnFatal(cfg.DiskFailed)
	if err := r.openGate(ctx, dep.Fence); err != nil {
		return nil, errors.Join(err, r.db.Close())
	}
	if r.gate.Locked() {
		return r, nil
	}
	if err := r.begin(ctx); err != nil {
		return nil, errors.Join(err, r.gate.Close(), r.db.Close())
	}
	return r, nil
}

func (r *Role) openKeys(ctx context.Context, hc *http.Client) (err error) {
	if err := r.probeKEKs(ctx); err != nil {
		return err
	}
	if err := r.token.UseCanary(ctx, r.cfg.KEK); err != nil {
		return err
	}
	if _, err := r.token.MAC(ctx, r.cfg.MAC, []byte("tekend: is the MAC key there?")); err != nil {
		return fmt.Errorf("MAC key: %w", err)
	}
	r.provider = itsme.NewProvider(r.cfg.Itsme, hc)
	if r.ident, err = r.newParty(ctx, r.cfg.Ident); err != nil {
		return fmt.Errorf("client ident: %w", err)
	}
	if r.confirm, err = r.newParty(ctx, r.cfg.Confirm); err != nil {
		return fmt.Errorf("client confirm: %w", err)
	}
	root, err := readCertificate(r.cfg.RootFile)
	if err != nil {
		return fmt.Errorf("root_file: %w", err)
	}
	if r.providers, err = openProviders(r.cfg.Providers); err != nil {
		return err
	}
	r.roots = x509.NewCertPool()
	r.roots.AddCert(root)
	if err := r.readIssuers(root); err != nil {
		return err
	}
	r.status = ca.NewStatusClient(r.cfg.StatusSocket, r.cfg.StatusTimeout)
	r.revoker = ca.NewStatusClient(r.cfg.StatusSocket, revokeTime)
	return nil
}

// begin settles what the last process of this instance left, and instances that
// are gone: positions that it burnt are unknown, exchanges that it began are
// lost. The row of the start makes the
// audit refuse a clock that was put back.
func (r *Role) begin(ctx context.Context) (err error) {
	if r.log, err = fence.OpenLog(ctx, r.gate, r.db, r.cfg.Audit); err != nil {
		return err
	}
	found, err := r.listResidents(ctx)
	if err != nil {
		return err
	}
	if err := r.nameSerials(ctx); err != nil {
		return err
	}
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := r.audit(ctx, tx, "sam.start", r.boot, nil); err != nil {
			return err
		}
		if err := r.takeOver(ctx, tx); err != nil {
			return err
		}
		if err := r.settlePositions(ctx, tx); err != nil {
			return err
		}
		if err := r.settleExchanges(ctx, tx); err != nil {
			return err
		}
		if err := r.settleResidents(ctx, tx, found); err != nil {
			return err
		}
		if err := audit.SettleTally(ctx, tx, r.cfg.Now(), r.cfg.Now()); err != nil {
			return err
		}
		return r.forget(ctx, tx)
	})
	if errors.Is(err, audit.ErrClockBack) {
		return fmt.Errorf("the clock says %s: %w; set it right before starting", r.cfg.Now().UTC().Format(time.RFC3339), err)
	}
	if err == nil {
		r.startHousekeeping()
	}
	return err
}

// RunAudit signs checkpoints over the record and has them witnessed until ctx
// ends. It must have returned before [Role.Close].
func (r *Role) RunAudit(ctx context.Context) { fence.RunLog(ctx, r.gate, r.log) }

// Close waits for running calls and closes the database.
func (r *Role) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.running.Wait()
	r.stopHousekeeping()
	return errors.Join(r.gate.Close(), r.db.Close())
}

// enter counts a running call; false when the role is closing.
func (r *Role) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.running.Add(1)
	return true
}

func (r *Role) audit(ctx context.Context, tx *sql.Tx, kind, subject string, detail map[string]string) error {
	return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: kind, Subject: subject, Detail: detail})
}

// seal authenticates what this process wrote into its database.
func (r *Role) seal(fields ...[]byte) []byte {
	m := hmac.New(sha256.New, r.bootKey)
	m.Write(joined(fields))
	return m.Sum(nil)
}

// joined writes each field with its length before it: no two lists give the
// same bytes.
func joined(fields [][]byte) []byte {
	var b []byte
	for _, f := range fields {
		b = binary.BigEndian.AppendUint64(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// b64 is the alphabet of ids, nonces and digests.
var b64 = base64.RawURLEncoding

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return b64.EncodeToString(sum[:])
}

func spki(pub crypto.PublicKey) ([]byte, error) { return x509.MarshalPKIXPublicKey(pub) }

func readCertificate(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, fmt.Errorf("%s holds more than one certificate", path)
	}
	return x509.ParseCertificate(block.Bytes)
}
