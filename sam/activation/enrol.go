package activation

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tekend/consent"
	"tekend/hsm"
	"tekend/itsme/token"
	"tekend/sam"
)

// enrolment is an application for a certificate on its way. Its row is under a
// MAC of the token as link records are: it becomes one, also after a restart.
type enrolment struct {
	ID, Step, Reason         string
	Application, CSR, SPKI   []byte
	Key                      hsm.Wrapped
	Language                 string
	IdentNonce, ConsentNonce string
	IdentSub, ConfirmSub     string
	Person                   []byte // claims of the identification; cleared at the end
	Credential, ChainHash    string
	Created                  int64
	MAC                      []byte
	Identified               int64 // iat of the identification's token, microseconds since 1970; 0 before
}

func (e *enrolment) fields() [][]byte {
	all := [][]byte{
		[]byte("tekend-enrolment/1"), []byte(e.ID), []byte(e.Step), []byte(e.Reason), e.Application, e.CSR, e.SPKI,
		[]byte(e.Key.Kind), []byte(e.Key.KEK), []byte(e.Key.Mechanism), []byte(e.Key.Module), e.Key.Blob,
		[]byte(e.Language), []byte(e.IdentNonce), []byte(e.ConsentNonce), []byte(e.IdentSub), []byte(e.ConfirmSub),
		e.Person, []byte(e.Credential), []byte(e.ChainHash), number(e.Created),
	}
	if e.Identified != 0 { // rows of an earlier version have none
		all = append(all, number(e.Identified))
	}
	return all
}

const enrolmentColumns = `id, step, reason, application, csr, spki, kind, kek, mechanism, module, blob, language,
	ident_nonce, consent_nonce, ident_sub, confirm_sub, person, credential, chain_hash, created, mac, identified`

func (e *enrolment) columns() []any {
	return []any{
		&e.ID, &e.Step, &e.Reason, &e.Application, &e.CSR, &e.SPKI, &e.Key.Kind, &e.Key.KEK, &e.Key.Mechanism, &e.Key.Module, &e.Key.Blob,
		&e.Language, &e.IdentNonce, &e.ConsentNonce, &e.IdentSub, &e.ConfirmSub, &e.Person, &e.Credential, &e.ChainHash, &e.Created, &e.MAC, &e.Identified,
	}
}

// loadEnrolment is nil when there is none; a changed row is refused.
func (r *Role) loadEnrolment(ctx context.Context, id string) (*enrolment, error) {
	e := &enrolment{}
	err := r.db.QueryRowContext(ctx, "SELECT "+enrolmentColumns+" FROM enrolments WHERE id = ?", id).Scan(e.columns()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read enrolment: %w", err)
	}
	mac, err := r.mac(ctx, e.fields())
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, e.MAC) {
		return nil, refuse(sam.CodeEnrolmentUnknown, "the record of the enrolment was changed")
	}
	return e, nil
}

// storeEnrolment writes the row; its MAC was made before, outside the
// transaction. was is the MAC of the row that e follows, nil for none: two
// instances never take the same step.
func storeEnrolment(ctx context.Context, tx *sql.Tx, e *enrolment, was []byte) error {
	for _, b := range []*[]byte{&e.CSR, &e.Key.Blob, &e.Person} {
		if *b == nil { // empty ones are read back as nil, which SQL takes for NULL
			*b = []byte{}
		}
	}
	query, args := "INSERT INTO enrolments ("+enrolmentColumns+") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING", e.columns()
	if was != nil {
		query = "UPDATE enrolments SET (" + enrolmentColumns + ") = (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) WHERE id = ? AND mac = ?"
		args = append(args, e.ID, was)
	}
	err := changed(ctx, tx, query, args...)
	if errors.Is(err, errNotOne) {
		return busyElsewhere()
	}
	if err != nil {
		return fmt.Errorf("store enrolment: %w", err)
	}
	return nil
}

// enrol makes a key and asks who the person is.
func (r *Role) enrol(ctx context.Context, req sam.EnrolRequest, id string) (*sam.EnrolStep, error) {
	e, err := r.loadEnrolment(ctx, id)
	if err != nil {
		return nil, err
	}
	if e != nil {
		return r.step(ctx, e)
	}
	terms, err := consent.Label(req.TermsVersion)
	if err != nil || terms != req.TermsVersion || req.V != sam.Version || !plainID(req.Txn) || !language(req.Language) || len(req.TermsSHA256) != sha256.Size {
		return nil, refuse(sam.CodeBadRequest, "v, txn, language or terms are not of the contract")
	}
	if err := r.mayMakeKeys(req.OneTime); err != nil {
		return nil, err
	}
	if err := r.anybody(); err != nil {
		return nil, err
	}
	if err := r.provider.Check(ctx); err != nil { // before a key is made for nothing
		return nil, itsmeTrouble(err)
	}
	e = &enrolment{ID: id, Step: sam.StepIdentify, Language: req.Language, Created: r.cfg.Now().UnixMicro()}
	if err := r.newKey(ctx, e); err != nil {
		return nil, err
	}
	app := consent.Application{
		V: consent.ApplicationVersion, ID: id, SPKISHA256: digest(e.SPKI), TermsVersion: req.TermsVersion,
		TermsSHA256: b64.EncodeToString(req.TermsSHA256), Created: r.cfg.Now().Unix(),
		OneTime: req.OneTime,
	}
	if e.Application, err = app.Encode(); err != nil {
		return nil, err
	}
	m := consent.Manifest{Op: consent.OpEnrol, Txn: req.Txn, Application: digest(e.Application)}
	q, err := r.ask(ctx, form{
		kind: kindIdentification, subject: id, party: r.ident, manifest: m, language: e.Language, claims: r.cfg.NationalNumber.claims(append(token.IdentityClaims(), token.ContactClaims()...)),
	})
	if err != nil {
		return nil, err
	}
	e.IdentNonce = q.Nonce
	if e.MAC, err = r.mac(ctx, e.fields()); err != nil {
		return nil, err
	}
	err = r.inTx(ctx, func(tx *sql.Tx) error {
		if err := r.forget(ctx, tx); err != nil {
			return err
		}
		if err := errors.Join(storeEnrolment(ctx, tx, e, nil), insertQuestion(ctx, tx, q), r.keyIsMade(ctx, tx, e)); err != nil {
			return err
		}
		return r.audit(ctx, tx, "key.generated", id, map[string]string{"spki": digest(e.SPKI), "kind": string(e.Key.Kind), "signatures": "1"})
	})
	if err != nil {
		return nil, err
	}
	return r.step(ctx, e)
}

// newKey makes the person's key and the certificate request that
// proves that it is there: the one signature of a user's key that is not a
// person's (KEY-05). Its intent is in the audit before.
func (r *Role) newKey(ctx context.Context, e *enrolment) error {
	name, err := r.intendKey(ctx, e)
	if err != nil {
		return err
	}
	e.Key, err = r.generate(ctx, name, func(key crypto.Signer) (err error) {
		if err := counts(r.cfg.KeyType, key.Public(), r.cfg.Now()); err != nil {
			return err
		}
		if e.SPKI, err = spki(key.Public()); err != nil {
			return err
		}
		e.CSR, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
			Subject: pkix.Name{CommonName: e.ID}, SignatureAlgorithm: algorithms[r.cfg.KeyType].X509(),
		}, key)
		return err
	})
	if err != nil {
		return tokenTrouble(fmt.Errorf("make key: %w", err))
	}
	return nil
}

// keepOpen is how long an enrolment that did not end is kept, which holds
// personal data and a key nobody can use, and a question that nobody confirmed:
// of that the audit tells. Whoever asks and asks must not fill the database for
// ever.
const keepOpen = 24 * time.Hour

// forget removes old enrolments that did not end, the tokens of both legs, and
// old questions without a confirmation. Each statement has its index.
func (r *Role) forget(ctx context.Context, tx *sql.Tx) error {
	old := r.cfg.Now().Add(-keepOpen).UnixMicro()
	for what, query := range map[string]string{
		"enrolments": "DELETE FROM enrolments WHERE step NOT IN ('done', 'existing') AND created < ?",
		"tokens":     "UPDATE questions SET token = '' WHERE token <> '' AND kind <> 'sign' AND kind <> 'revoke' AND expires < ?",
		"questions":  "DELETE FROM questions WHERE status IN ('prepared', 'declined', 'failed', 'expired') AND expires < ?",
	} {
		if _, err := tx.ExecContext(ctx, query, old); err != nil {
			return fmt.Errorf("forget %s: %w", what, err)
		}
	}
	return nil
}

// step is where the enrolment is now, as the front may see it.
func (r *Role) step(ctx context.Context, e *enrolment) (*sam.EnrolStep, error) {
	st := &sam.EnrolStep{ID: e.ID, Step: e.Step, Reason: e.Reason}
	switch e.Step {
	case sam.StepIdentify:
		return st, r.addQuestion(ctx, st, kindIdentification, e.IdentNonce)
	case sam.StepConsent:
		return st, r.addQuestion(ctx, st, kindConsent, e.ConsentNonce)
	case sam.StepIssue:
		return st, r.addOrder(ctx, st, e)
	case sam.StepDone, sam.StepExisting:
		l, err := r.credential(ctx, e.Credential)
		if err != nil {
			return nil, err
		}
		st.Credential = l.message()
	}
	return st, nil
}

func (r *Role) addQuestion(ctx context.Context, st *sam.EnrolStep, kind, nonce string) error {
	q, err := r.loadQuestion(ctx, kind, "nonce", nonce)
	if err != nil {
		return err
	}
	if q == nil {
		return refuse(sam.CodeEnrolmentUnknown, "the enrolment has no question")
	}
	there, err := r.atWork(ctx, q)
	if err != nil {
		return err
	}
	switch {
	case q.Reason != "":
		st.Step, st.Reason = sam.StepFailed, q.Reason
	case q.Boot != r.boot && !there:
		st.Step, st.Reason = sam.StepFailed, sam.CodeBeforeStart
	case q.Status == sam.StatePrepared && !r.cfg.Now().Before(q.Expires):
		st.Step, st.Reason = sam.StepFailed, sam.CodeExpired
	default:
		st.AuthorizationURL, st.State, st.ExpiresAt = q.URL, q.State, q.Expires
	}
	return nil
}

func (r *Role) addOrder(ctx context.Context, st *sam.EnrolStep, e *enrolment) error {
	ident, err := r.loadQuestion(ctx, kindIdentification, "nonce", e.IdentNonce)
	if err != nil {
		return err
	}
	agreed, err := r.loadQuestion(ctx, kindConsent, "nonce", e.ConsentNonce)
	if err != nil {
		return err
	}
	if ident == nil || agreed == nil || ident.Token == "" || agreed.Token == "" {
		return refuse(sam.CodeEnrolmentUnknown, "the enrolment is too old")
	}
	st.Order = &sam.IssueOrder{
		Application: e.Application, CSR: e.CSR, IdentificationManifest: ident.Manifest, ConsentManifest: agreed.Manifest,
		IdentificationToken: ident.Token, ConsentToken: agreed.Token,
	}
	return nil
}
