package authority

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
	"tekend/db"
	"tekend/itsme/token"
	"tekend/strictjson"
	"tekend/wire"
)

// RecordReport is what VerifyRecords found.
type RecordReport struct {
	Orders   int // verified, with and without a problem
	Before   int // from before there were identity records: not looked at
	Problems []RecordProblem
}

// RecordProblem is an order whose record does not hold. What names no person.
type RecordProblem struct{ Serial, What string }

// recordPage is how many orders are read at once; each is some 20 KiB.
const recordPage = 50

// maxRecord bounds an identity record, in bytes.
const maxRecord = 64 << 10

// VerifyRecords verifies kept orders again (TS 119 461 ISS-8.5.2-06), all or that
// of one serial number, with nothing but what was kept: both of the registrar's
// tokens with its keys of then and by the rules of then; that the record says
// what they say; and that order, certificate and the audit's rows are those of
// the record. d may be read beside a running role. Whether the audit's end was
// cut off is for `audit verify`; here its chain is recomputed.
func VerifyRecords(ctx context.Context, d *db.DB, cfg Config, serial string) (RecordReport, error) {
	var rep RecordReport
	chain, err := audit.Verify(ctx, d)
	if err != nil {
		return rep, err
	}
	if chain.FirstBad > 0 {
		rep.Problems = append(rep.Problems, RecordProblem{"", fmt.Sprintf("the audit is not whole: row %d: %s", chain.FirstBad, chain.Reason)})
	}
	issuers, err := cfg.issuerCertificates()
	if err != nil {
		return rep, err
	}
	for after := ""; ; {
		page, err := keptOrders(ctx, d, after, serial)
		if err != nil || len(page) == 0 {
			return rep, err
		}
		for _, k := range page {
			after = k.serial
			before, err := k.verify(ctx, d, issuers)
			switch {
			case before:
				rep.Before++
				continue
			case err != nil:
				rep.Problems = append(rep.Problems, RecordProblem{k.serial, err.Error()})
			}
			rep.Orders++
		}
	}
}

// issuerCertificates are those whose certificates the orders got.
func (c Config) issuerCertificates() ([]*x509.Certificate, error) {
	files := []string{c.IssuingCAFile}
	for _, p := range c.Previous {
		files = append(files, p.CertFile)
	}
	var all []*x509.Certificate
	for _, f := range files {
		cert, err := readCertificate(f)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
	return all, nil
}

// keptOrder is an order with all that was kept of it.
type keptOrder struct {
	hash, state, application, serial, spki, terms, termsSHA256, holder string
	at                                                                 int64
	certificate, body, keys, record                                    []byte
}

func keptOrders(ctx context.Context, d *db.DB, after, serial string) ([]keptOrder, error) {
	rows, err := d.QueryContext(ctx, `SELECT o.hash, o.state, o.application_id, o.serial, o.spki_sha256, o.terms_version, o.terms_sha256, coalesce(o.holder, ''),
		o.at, o.certificate, e.body, e.keys, i.record
		FROM orders o LEFT JOIN evidence e ON e.order_hash = o.hash LEFT JOIN identity_records i ON i.order_hash = o.hash
		WHERE o.serial > ? AND (? = '' OR o.serial = ?) ORDER BY o.serial LIMIT ?`, after, serial, serial, recordPage)
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var page []keptOrder
	for rows.Next() {
		var k keptOrder
		if err := rows.Scan(&k.hash, &k.state, &k.application, &k.serial, &k.spki, &k.terms, &k.termsSHA256, &k.holder,
			&k.at, &k.certificate, &k.body, &k.keys, &k.record); err != nil {
			return nil, fmt.Errorf("read orders: %w", err)
		}
		page = append(page, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	return page, nil
}

// verify holds one order together. before: it was made without a record.
func (k keptOrder) verify(ctx context.Context, d *db.DB, issuers []*x509.Certificate) (before bool, err error) {
	intents, err := audit.Find(ctx, d, k.serial, "certificate.intent", 2)
	switch {
	case err != nil:
		return false, err
	case len(intents) != 1:
		return false, fmt.Errorf("the audit has %d intents of this certificate", len(intents))
	}
	said := intents[0].Detail
	if said["record"] == "" && k.record == nil {
		return true, nil
	}
	rec, err := k.readRecord(said["record"])
	if err != nil {
		return false, err
	}
	v, err := k.again(ctx, rec)
	if err != nil {
		return false, err
	}
	if err := k.compare(rec, v, said); err != nil {
		return false, err
	}
	if k.state != "issued" {
		return false, nil
	}
	return false, k.issuedRightly(ctx, d, v, issuers)
}

// readRecord reads the record, which must be the one that the audit names, and
// the bytes that it names in its turn.
func (k keptOrder) readRecord(said string) (Record, error) {
	var rec Record
	sum := sha256.Sum256(k.record)
	switch {
	case k.record == nil:
		return rec, errors.New("the identity record is missing")
	case hex.EncodeToString(sum[:]) != said:
		return rec, errors.New("the identity record is not the one that the audit names")
	case strictjson.Decode(k.record, maxRecord, &rec) != nil || rec.V != RecordVersion:
		return rec, errors.New("the identity record cannot be read")
	case k.body == nil:
		return rec, errors.New("the tokens are missing")
	}
	keys := sha256.Sum256(k.keys)
	switch {
	case hex.EncodeToString(keys[:]) != rec.KeysSHA256:
		return rec, errors.New("the kept keys are not those of the record")
	case wire.BodyHash(k.body) != rec.Order || rec.Order != k.hash:
		return rec, errors.New("the kept order is not that of the record")
	}
	return rec, nil
}

// again verifies the order as if it came now, then.
func (k keptOrder) again(ctx context.Context, rec Record) (*verified, error) {
	var req ca.IssueRequest
	if err := strictjson.Decode(k.body, wire.MaxBody, &req); err != nil {
		return nil, errors.New("the kept order cannot be read")
	}
	keys, err := token.ReadKeySet(k.keys)
	if err != nil {
		return nil, errors.New("the kept keys cannot be read")
	}
	v, err := verifier{rec.config(), keys, time.Unix(rec.CompletedAt, 0)}.verify(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("the kept order does not verify: %w", err)
	}
	v.keys = k.keys
	return v, nil
}

// config is the part of the configuration of then that verification needs.
func (rec Record) config() Config {
	c := Config{
		IdentClient: rec.Rules.IdentClient, ConfirmClient: rec.Rules.ConfirmClient, ACR: rec.Rules.ACR, MaxAge: time.Duration(rec.Rules.MaxAge) * time.Second,
		DefaultCountry: rec.Rules.DefaultCountry, Activation: rec.Rules.Activation, Production: rec.Rules.Production,
		SerialNumber: SerialNumber{rec.Rules.SerialScheme, rec.Rules.LegalBasis},
		TermsVersion: rec.TermsVersion, TermsSHA256: rec.TermsSHA256,
	}
	c.Itsme.Issuer = rec.Registrar
	return c
}

// compare holds the record to what was verified, and the order's row and the
// audit's to the record.
func (k keptOrder) compare(rec Record, v *verified, said map[string]string) error {
	want, err := v.record(k.hash, k.serial, rec.Rules)
	if err != nil {
		return err
	}
	b, _, err := want.encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(b, k.record) {
		return errors.New("the identity record does not say what the tokens say")
	}
	for what, pair := range map[string][2]string{
		"application": {k.application, rec.Application}, "public key": {k.spki, rec.SPKISHA256}, "holder": {k.holder, rec.Holder},
		"version of the terms": {k.terms, rec.TermsVersion}, "text of the terms": {k.termsSHA256, rec.TermsSHA256},
		"order in the audit": {said["order"], rec.Order}, "application in the audit": {said["application"], rec.Application},
		"public key in the audit": {said["spki_sha256"], rec.SPKISHA256}, "terms in the audit": {said["terms"], rec.TermsVersion},
	} {
		if pair[0] != pair[1] {
			return fmt.Errorf("the %s is not that of the record", what)
		}
	}
	return nil
}

// issuedRightly: the certificate is for this key and this person, by our CA, and
// the one that the audit names.
func (k keptOrder) issuedRightly(ctx context.Context, d *db.DB, v *verified, issuers []*x509.Certificate) error {
	cert, err := x509.ParseCertificate(k.certificate)
	if err != nil {
		return errors.New("the certificate cannot be read")
	}
	issued, err := audit.Find(ctx, d, k.serial, "certificate.issued", 2)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(k.certificate)
	if len(issued) != 1 || issued[0].Detail["certificate_sha256"] != hex.EncodeToString(sum[:]) {
		return errors.New("the certificate is not the one that the audit names")
	}
	by := false
	for _, i := range issuers {
		by = by || bytes.Equal(cert.RawIssuer, i.RawSubject) && cert.CheckSignatureFrom(i) == nil
	}
	got, err := certs.PersonOf(cert.RawSubject)
	switch {
	case !by:
		return errors.New("no issuing CA of the configuration signed the certificate")
	case err != nil || !got.SamePerson(v.person):
		return errors.New("the certificate names another person than the tokens")
	case certs.SerialHex(cert.SerialNumber) != k.serial || !certs.SameKey(cert.PublicKey, v.key):
		return errors.New("the certificate has another serial number or key")
	}
	return nil
}
