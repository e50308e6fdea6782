package activation

import (
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	"tekend/certs"
	"tekend/itsme/token"
	"tekend/sam"
)

// maxCertificate bounds one certificate, in bytes: ours have about 1.5 kB.
const maxCertificate = 16 << 10

// certificate ends an enrolment: the ca's certificate must be what was applied
// for. From here on the link record holds key, person and certificate together.
func (r *Role) certificate(ctx context.Context, id string, in sam.CertificateChain, hash string) (*sam.EnrolStep, error) {
	e, err := r.loadEnrolment(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case e == nil:
		return nil, refuse(sam.CodeEnrolmentUnknown, "there is no such enrolment")
	case e.Step == sam.StepDone && e.ChainHash == hash:
		return r.step(ctx, e)
	case e.Step != sam.StepIssue:
		return nil, refuse(sam.CodeConflict, "the enrolment is not at this step")
	}
	if err := r.onceOver(e); err != nil {
		return nil, err
	}
	l, err := r.newLink(ctx, e, in.Chain)
	if err != nil {
		return nil, err
	}
	next := *e
	next.Step, next.Credential, next.ChainHash, next.Person = sam.StepDone, l.ID, hash, nil
	next.Key.Blob, next.CSR = nil, nil // the link has the key now
	if next.MAC, err = r.mac(ctx, next.fields()); err != nil {
		return nil, err
	}
	sealed, err := r.newContact(ctx, l.ID, e)
	if err != nil {
		return nil, err
	}
	code, err := r.newCode(ctx, l.ID, sealed)
	if err != nil {
		return nil, err
	}
	err = r.inTx(ctx, func(tx *sql.Tx) error {
		if err := notSuspended(ctx, tx, l.Iss, l.IdentAud, l.IdentSub); err != nil {
			return err
		}
		if err := errors.Join(insertLink(ctx, tx, l), storeEnrolment(ctx, tx, &next, e.MAC)); err != nil {
			return err
		}
		// The ca keeps the evidence of the enrolment; personal data goes from here.
		if _, err := tx.ExecContext(ctx, "UPDATE questions SET token = '' WHERE nonce IN (?, ?)", e.IdentNonce, e.ConsentNonce); err != nil {
			return err
		}
		if err := errors.Join(r.storeContact(ctx, tx, l.ID, sealed), r.storeCode(ctx, tx, l.ID, code)); err != nil {
			return err
		}
		return r.auditCredential(ctx, tx, l.ID, map[string]string{
			"enrolment": id, "spki": digest(l.SPKI), "certificate": digest(l.leaf.Raw),
		})
	})
	if err != nil {
		return nil, err
	}
	r.out.signal()
	return r.step(ctx, &next)
}

// newLink checks the chain and makes the record.
func (r *Role) newLink(ctx context.Context, e *enrolment, in [][]byte) (*link, error) {
	l := &link{
		ID: credentialID(), State: sam.CredentialActive, Generation: 1, Iss: r.provider.Issuer(),
		IdentAud: r.ident.ID(), IdentSub: e.IdentSub, ConfirmAud: r.confirm.ID(), ConfirmSub: e.ConfirmSub,
		SPKI: e.SPKI, Key: e.Key, Created: r.cfg.Now().UnixMicro(),
	}
	if len(in) == 0 || len(in) > 4 {
		return nil, refuse(sam.CodeBadRequest, "a chain has 1 to 4 certificates")
	}
	for _, der := range in {
		c, err := parseOne(der)
		if err != nil {
			return nil, err
		}
		l.chain = append(l.chain, c)
		l.Chain = append(l.Chain, der...)
	}
	l.leaf = l.chain[0]
	if _, err := r.checkCertificate(l.chain, l.SPKI, r.cfg.Now()); err != nil {
		return nil, err
	}
	if counts(l.Key.Kind, l.leaf.PublicKey, l.leaf.NotAfter) != nil {
		return nil, refuse(sam.CodeCertificateNotGood, "the certificate outlives its key's algorithm")
	}
	if err := isPerson(l.leaf, e.Person, r.cfg.Production); err != nil {
		return nil, err
	}
	err := l.fitOnce(e)
	if err != nil {
		return nil, err
	}
	l.MAC, err = r.mac(ctx, l.fields())
	return l, err
}

func parseOne(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, refuse(sam.CodeBadRequest, "a certificate is too long")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, refuse(sam.CodeCertificateNotGood, "a certificate of the chain cannot be read")
	}
	return c, nil
}

// isPerson compares the subject with what itsme said (LNK-6.2.2-05), and in
// production refuses a sandbox's certificate, elsewhere a real one.
func isPerson(leaf *x509.Certificate, claims []byte, production bool) error {
	var c token.Claims
	if err := json.Unmarshal(claims, &c); err != nil {
		return refuse(sam.CodeEnrolmentUnknown, "the enrolment has lost the person")
	}
	got, err := certs.PersonOf(leaf.RawSubject)
	if err != nil {
		return refuse(sam.CodeCertificateNotGood, "the subject cannot be read")
	}
	country := c.IssuingCountry
	if country == "" {
		country = got.Country // itsme did not say it: the ca decides
	}
	subject := certs.NewPerson
	if production {
		subject = certs.NewRealPerson
	}
	want, err := subject(c.Name, c.GivenName, c.FamilyName, country)
	if err != nil || !want.SamePerson(got) {
		return refuse(sam.CodeCertificateNotGood, "the certificate names another person than itsme did")
	}
	return nil
}

func credentialID() string { return "cred_" + uuid.Must(uuid.NewV7()).String() }
