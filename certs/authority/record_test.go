package authority_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/consent"
	"tekend/db"
	"tekend/itsme/token"
)

// database opens the role's database beside it.
func (w *world) database() *db.DB {
	w.t.Helper()
	d := got(db.Open(w.t.Context(), w.cfg.DB, os.DirFS(".")))(w.t)
	w.t.Cleanup(func() { _ = d.Close() })
	return d
}

// recordOf gives the kept record of an order, and its bytes.
func (w *world) recordOf(d *db.DB, serial string) (authority.Record, []byte) {
	w.t.Helper()
	var raw []byte
	must(w.t, d.QueryRowContext(w.t.Context(), "SELECT record FROM identity_records WHERE serial = ?", serial).Scan(&raw))
	var rec authority.Record
	must(w.t, json.Unmarshal(raw, &rec))
	return rec, raw
}

// reverify verifies kept orders, with the database read from outside the role.
func (w *world) reverify(serial string) authority.RecordReport {
	w.t.Helper()
	d := got(db.OpenReader(w.t.Context(), w.cfg.DB))(w.t)
	defer func() { _ = d.Close() }()
	return got(authority.VerifyRecords(w.t.Context(), d, w.cfg, serial))(w.t)
}

// TestIdentityRecord: who was proofed how, by whom, from what, when, at which
// level, by which rules; the audit names the record, and the record nobody.
func TestIdentityRecord(t *testing.T) {
	w := newWorld(t)
	e := w.enrolment()
	out := got(w.front.Issue(t.Context(), e.order()))(t)
	serial := certs.SerialHex(parse(t, out.Chain[0]).SerialNumber)
	d := w.database()
	rec, raw := w.recordOf(d, serial)
	spki := got(certs.SPKISHA256(e.key.Public()))(t)
	iat := w.now().Unix()
	if rec.V != authority.RecordVersion || rec.Serial != serial || rec.Application != e.app.ID || rec.SPKISHA256 != spki || rec.Profile != "natural person" {
		t.Errorf("what it is about: %+v", rec)
	}
	if rec.Registrar != issuer || rec.Means != token.ActivatedCardReader || rec.Document != "ID_CARD" || rec.DocumentCountry != "BEL" {
		t.Errorf("how the person was proofed: %+v", rec)
	}
	for name, leg := range map[string]authority.Leg{"identification": rec.Identification, "consent": rec.Consent} {
		if leg.Level != token.ACRAdvanced || leg.Mode != "QR" || leg.Key != "s1" || leg.At != iat || leg.Nonce == "" {
			t.Errorf("%s: %+v", name, leg)
		}
	}
	if rec.TermsVersion != termsVersion || rec.TermsSHA256 != termsSHA256 || rec.CompletedAt != iat || rec.Rules.CPSURL != w.cfg.CPSURL ||
		rec.Rules.PDSURL != w.cfg.PDS[0].URL || rec.Rules.ACR != token.ACRAdvanced || rec.Rules.MaxAge != 900 {
		t.Errorf("terms and rules: %+v", rec)
	}
	if !slices.Contains(rec.Attributes, token.ClaimDocumentSN) || rec.Holder == rec.Identified || rec.Holder == "" {
		t.Errorf("attributes and holder: %+v", rec)
	}
	for _, secret := range []string{"Jan", "1985", "592123456789", "sub-at-"} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("the record holds %q", secret)
		}
	}
	sum := sha256.Sum256(raw)
	found := got(audit.Find(t.Context(), d, serial, "certificate.intent", 5))(t)
	if len(found) != 1 || found[0].Detail["record"] != hex.EncodeToString(sum[:]) {
		t.Errorf("audit: %+v", found)
	}
	if _, err := d.ExecContext(t.Context(), "UPDATE identity_records SET registrar = 'x'"); err == nil {
		t.Error("a record can be changed")
	}
	if _, err := d.ExecContext(t.Context(), "DELETE FROM identity_records"); err == nil {
		t.Error("a record can be deleted")
	}
}

// TestRecordsVerifyAgainAfterYears: itsme has other keys, the terms, the level
// and our client ids are others, and every kept order still verifies: long-term,
// one-time, one whose key failed, one with a number by law.
func TestRecordsVerifyAgainAfterYears(t *testing.T) {
	w := newWorld(t)
	got(w.front.Issue(t.Context(), w.enrolment().order()))(t)
	old := w.enrolment() // the identification is nearly too old, and verifies at its time
	old.age(old.leg1, 14*time.Minute+59*time.Second)
	old.ident.Iat -= 899
	got(w.front.Issue(t.Context(), old.order()))(t)
	once := w.enrolment()
	once.app.OneTime = true
	out := got(w.front.Issue(t.Context(), once.order()))(t)
	w.key.fail.Store(true)
	if _, err := w.front.Issue(t.Context(), w.enrolment().order()); code(err) != ca.CodeOutcomeUnknown {
		t.Fatal(err)
	}
	w.key.fail.Store(false)
	w.cfg.SerialNumber = authority.SerialNumber{Scheme: "PNOBE", LegalBasis: "a law"}
	w.start()
	numbered := w.enrolment()
	numbered.leg1[token.ClaimNationalNumber] = "85073003328"
	got(w.front.Issue(t.Context(), numbered.order()))(t)

	w.keys.mu.Lock()
	w.keys.keys = map[string]*rsa.PublicKey{"s9": &got(rsa.GenerateKey(rand.Reader, 2048))(t).PublicKey}
	w.keys.down = true
	w.keys.mu.Unlock()
	w.advance(2 * 365 * 24 * time.Hour)
	w.cfg.TermsVersion, w.cfg.TermsSHA256, w.cfg.IdentClient, w.cfg.ACR = "2031-01", b64hash([]byte("later")), "OTHER", token.AnyACR
	w.cfg.SerialNumber, w.cfg.Activation = authority.SerialNumber{}, []string{"FACE"}
	if rep := w.reverify(""); rep.Orders != 5 || len(rep.Problems) > 0 || rep.Before != 0 {
		t.Errorf("%+v", rep)
	}
	if rep := w.reverify(certs.SerialHex(parse(t, out.Chain[0]).SerialNumber)); rep.Orders != 1 || len(rep.Problems) > 0 {
		t.Errorf("one: %+v", rep)
	}
	if rep := w.reverify("00"); rep.Orders != 0 {
		t.Errorf("none: %+v", rep)
	}
}

// TestRecordsThatDoNotHold: whoever changes what was kept is found out, each
// change by its own name and without telling the person.
func TestRecordsThatDoNotHold(t *testing.T) {
	w := newWorld(t)
	e := w.enrolment()
	out := got(w.front.Issue(t.Context(), e.order()))(t)
	other := got(w.front.Issue(t.Context(), w.enrolment().order()))(t)
	serial := certs.SerialHex(parse(t, out.Chain[0]).SerialNumber)
	d := w.database()
	for _, trigger := range []string{"orders_final", "identity_records_final", "identity_records_keep"} {
		if d.Engine() != db.SQLite {
			t.Fatal("this test changes an SQLite database")
		}
		got(d.ExecContext(t.Context(), "DROP TRIGGER "+trigger))(t)
	}
	_, raw := w.recordOf(d, serial)
	var body, keys []byte
	must(t, d.QueryRowContext(t.Context(), "SELECT body, keys FROM evidence e JOIN orders o ON o.hash = e.order_hash WHERE serial = ?", serial).Scan(&body, &keys))
	evidence := "UPDATE evidence SET %s = ? WHERE order_hash = (SELECT hash FROM orders WHERE serial = '" + serial + "')"
	set := func(query string, args ...any) func(*db.DB) {
		return func(d *db.DB) { got(d.ExecContext(t.Context(), query, args...))(t) }
	}
	order := func(column string, v any) func(*db.DB) {
		return set("UPDATE orders SET "+column+" = ? WHERE serial = '"+serial+"'", v)
	}
	otherKeys := got(json.Marshal(map[string]any{"keys": []any{}}))(t)
	for name, tc := range map[string]struct {
		change, back func(*db.DB)
		want         string
	}{
		"a token":         {set(strings.Replace(evidence, "%s", "body", 1), bytes.Replace(body, []byte(`"consent_token":"e`), []byte(`"consent_token":"f`), 1)), set(strings.Replace(evidence, "%s", "body", 1), body), "the kept order is not that of the record"},
		"the keys":        {set(strings.Replace(evidence, "%s", "keys", 1), otherKeys), set(strings.Replace(evidence, "%s", "keys", 1), keys), "the kept keys are not those"},
		"the level":       {set("UPDATE identity_records SET record = ? WHERE serial = ?", bytes.ReplaceAll(raw, []byte("acr_advanced"), []byte("acr_basic")), serial), set("UPDATE identity_records SET record = ? WHERE serial = ?", raw, serial), "not the one that the audit names"},
		"the holder":      {order("holder", "somebody"), order("holder", recordHolder(t, raw)), "the holder is not that of the record"},
		"the application": {order("application_id", "app-x"), order("application_id", e.app.ID), "the application is not that of the record"},
		"the terms":       {order("terms_version", "2025-01"), order("terms_version", termsVersion), "the version of the terms"},
		"the certificate": {order("certificate", other.Chain[0]), order("certificate", out.Chain[0]), "the certificate is not the one that the audit names"},
		"no record":       {set("DELETE FROM identity_records WHERE serial = ?", serial), restoreRecord(t, d, serial), "the identity record is missing"},
	} {
		tc.change(d)
		rep := w.reverify("")
		if len(rep.Problems) != 1 || rep.Problems[0].Serial != serial || !strings.Contains(rep.Problems[0].What, tc.want) || rep.Orders != 2 {
			t.Errorf("%s: %+v", name, rep)
		}
		tc.back(d)
		if rep := w.reverify(""); len(rep.Problems) > 0 {
			t.Fatalf("%s: not put back: %+v", name, rep)
		}
	}
}

func recordHolder(t *testing.T, raw []byte) string {
	var rec authority.Record
	must(t, json.Unmarshal(raw, &rec))
	return rec.Holder
}

// restoreRecord gives what puts the row back as it is now.
func restoreRecord(t *testing.T, d *db.DB, serial string) func(*db.DB) {
	var hash, who, registrar string
	var at int64
	var raw []byte
	must(t, d.QueryRowContext(t.Context(), "SELECT order_hash, holder, registrar, identified_at, record FROM identity_records WHERE serial = ?", serial).Scan(&hash, &who, &registrar, &at, &raw))
	return func(d *db.DB) {
		got(d.ExecContext(t.Context(), "INSERT INTO identity_records (order_hash, serial, holder, registrar, identified_at, record) VALUES (?, ?, ?, ?, ?, ?)", hash, serial, who, registrar, at, raw))(t)
	}
}

// TestOrdersFromBeforeTheRecords are told apart, and not taken for verified.
func TestOrdersFromBeforeTheRecords(t *testing.T) {
	w := newWorld(t)
	c := w.foreign(certs.NaturalPerson, time.Hour)
	d := w.database()
	serial := certs.SerialHex(c.SerialNumber)
	must(t, d.InTx(t.Context(), func(tx *sql.Tx) error {
		return audit.Append(t.Context(), tx, audit.Event{At: w.now(), Kind: "certificate.intent", Subject: serial, Detail: map[string]string{"order": "x"}})
	}))
	if rep := w.reverify(""); rep.Before != 1 || rep.Orders != 0 || len(rep.Problems) > 0 {
		t.Errorf("%+v", rep)
	}
}

// TestAnotherSubIsAnotherHolder: who made a new account at itsme has the same
// name and papers and another sub. He is proofed anew and gets a certificate of
// his own; nothing links it to the old one, and he cannot revoke that.
func TestAnotherSubIsAnotherHolder(t *testing.T) {
	w := newWorld(t)
	first := got(w.front.Issue(t.Context(), w.enrolment().order()))(t)
	e := w.enrolment()
	e.leg1["sub"], e.leg2["sub"] = "new-sub-at-ident", "new-sub-at-confirm"
	second := got(w.front.Issue(t.Context(), e.order()))(t)
	d := w.database()
	var records []authority.Record
	for _, chain := range [][][]byte{first.Chain, second.Chain} {
		rec, _ := w.recordOf(d, certs.SerialHex(parse(t, chain[0]).SerialNumber))
		records = append(records, rec)
	}
	if records[0].Holder == records[1].Holder || records[0].Identified == records[1].Identified {
		t.Error("two accounts are one holder")
	}
	r := w.revocation(parse(t, first.Chain[0]), false)
	r.manifest.Sub, r.claims["sub"] = "new-sub-at-confirm", "new-sub-at-confirm"
	if _, err := w.sam.Revoke(t.Context(), r.request()); code(err) != ca.CodeNotHolder {
		t.Errorf("the new account revokes the old certificate: %v", err)
	}
	// An order whose legs are of two accounts that show the same papers: the
	// consent was asked of the account that was identified before, and it alone
	// may answer.
	mixed := w.enrolment()
	mixed.confirm.Sub, mixed.leg2["sub"] = holderSub, "new-sub-at-confirm"
	if _, err := w.front.Issue(t.Context(), mixed.order()); code(err) != ca.CodeBadToken {
		t.Errorf("another account consents: %v", err)
	}
}

// TestOneTimeAtTheCA: the person confirmed that the certificate is for one time.
func TestOneTimeAtTheCA(t *testing.T) {
	w := newWorld(t)
	w.cfg.OneTimeLife = 2 * time.Hour
	w.start()
	e := w.enrolment()
	e.app.OneTime = true
	order := e.order()
	before := w.crl()
	w.advance(time.Second)
	out := got(w.front.Issue(t.Context(), order))(t)
	got(w.front.Issue(t.Context(), order))(t)
	if w.crl().Number.Cmp(before.Number) != 0 {
		t.Error("a CRL was signed for a certificate that names none")
	}
	c := parse(t, out.Chain[0])
	if life := c.NotAfter.Sub(c.NotBefore); life != 2*time.Hour || len(c.CRLDistributionPoints)+len(c.OCSPServer) > 0 {
		t.Errorf("life %v, %v %v", life, c.CRLDistributionPoints, c.OCSPServer)
	}
	if found := certs.Lint(certs.OneTime, c.Raw, parse(t, out.Chain[1])); len(found) > 0 {
		t.Errorf("%v", found)
	}
	if rec, _ := w.recordOf(w.database(), certs.SerialHex(c.SerialNumber)); rec.Profile != certs.OneTime.String() {
		t.Errorf("%+v", rec)
	}
	if s, err := w.sam.Status(t.Context(), certs.SerialHex(c.SerialNumber)); err != nil || s.State != ca.Good {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := w.sam.Revoke(t.Context(), bySAM(certs.SerialHex(c.SerialNumber), ca.ReasonKeyCompromise)); code(err) != ca.CodeNotRevocable {
		t.Errorf("%v", err)
	}
	for name, change := range map[string]func(e *enrolment){
		"the text of a lasting certificate": func(e *enrolment) {
			lasting := e.app
			lasting.OneTime, lasting.SPKISHA256 = false, got(certs.SPKISHA256(e.key.Public()))(t)
			e.app.SPKISHA256 = lasting.SPKISHA256
			e.text = got(consent.EnrolText("en", lasting))(t)
		},
		"a lasting certificate by the text of a one-time one": func(e *enrolment) {
			once := e.app
			once.SPKISHA256 = got(certs.SPKISHA256(e.key.Public()))(t)
			e.app, e.text = once, got(consent.EnrolText("en", once))(t)
			e.app.OneTime = false
		},
	} {
		e := w.enrolment()
		e.app.OneTime = true
		change(e)
		if _, err := w.front.Issue(t.Context(), e.order()); code(err) != ca.CodeBadOrder {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, life := range []time.Duration{59 * time.Minute, 24*time.Hour + time.Second} {
		cfg := w.cfg
		cfg.OneTimeLife = life
		if _, err := authority.New(t.Context(), cfg, w.dependencies()); err == nil || !strings.Contains(err.Error(), "one_time_life") {
			t.Errorf("%v: %v", life, err)
		}
	}
}

// TestNationalNumberByLaw: with a legal basis the certificate has the number of
// the identification token, and without one the role does not start.
func TestNationalNumberByLaw(t *testing.T) {
	w := newWorld(t)
	for name, bad := range map[string]authority.SerialNumber{
		"no legal basis":          {Scheme: "PNOBE"},
		"a legal basis of blanks": {Scheme: "PNOBE", LegalBasis: "  "},
		"another scheme":          {Scheme: "PASBE", LegalBasis: "a law"},
		"a law for nothing":       {LegalBasis: "a law"},
	} {
		cfg := w.cfg
		cfg.SerialNumber = bad
		if _, err := authority.New(t.Context(), cfg, w.dependencies()); err == nil || !strings.Contains(err.Error(), "serial_number") {
			t.Errorf("%s: %v", name, err)
		}
	}
	const number = "85073003328"
	e := w.enrolment() // without the setting a number that comes is not used
	e.leg1[token.ClaimNationalNumber] = number
	if c := parse(t, got(w.front.Issue(t.Context(), e.order()))(t).Chain[0]); strings.Contains(c.Subject.String(), number) {
		t.Error("the number stands in a certificate without a law")
	}
	w.cfg.SerialNumber = authority.SerialNumber{Scheme: "PNOBE", LegalBasis: "Act of 8 August 1983, Art. 5"}
	w.start()
	e = w.enrolment()
	e.leg1[token.ClaimNationalNumber] = number
	out := got(w.front.Issue(t.Context(), e.order()))(t)
	c := parse(t, out.Chain[0])
	if c.Subject.SerialNumber != "PNOBE-"+number || len(certs.Lint(certs.NaturalPerson, c.Raw, parse(t, out.Chain[1]))) > 0 {
		t.Errorf("serial number %q", c.Subject.SerialNumber)
	}
	rec, raw := w.recordOf(w.database(), certs.SerialHex(c.SerialNumber))
	if rec.Rules.LegalBasis == "" || rec.Rules.SerialScheme != "PNOBE" || bytes.Contains(raw, []byte(number)) {
		t.Errorf("record: %s", raw)
	}
	for name, tc := range map[string]struct {
		number any
		want   string
	}{
		"no number":          {nil, ca.CodeRecord},
		"wrong check digits": {"85073003329", ca.CodeName},
		"not a number":       {"850730ABCDE", ca.CodeName},
	} {
		e := w.enrolment()
		if tc.number != nil {
			e.leg1[token.ClaimNationalNumber] = tc.number
		}
		if _, err := w.front.Issue(t.Context(), e.order()); code(err) != tc.want || strings.Contains(err.Error(), "8507") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, text := w.events(); strings.Contains(text, number) {
		t.Error("the audit holds the number")
	}
}

// TestRefusalsAreTallied: a front that is owned calls with nonsense a thousand
// times; the audit has some sixty rows about it and the number of all.
func TestRefusalsAreTallied(t *testing.T) {
	w := newWorld(t)
	const equal, different = 200, 300
	e := w.enrolment()
	e.app.TermsVersion = "2025-01"
	order := e.order()
	for range equal {
		if _, err := w.front.Issue(t.Context(), order); code(err) != ca.CodeTerms {
			t.Fatal(err)
		}
	}
	for range different {
		order.IdentificationToken = random(t)
		if _, err := w.front.Issue(t.Context(), order); code(err) != ca.CodeTerms {
			t.Fatal(err)
		}
	}
	d := w.database()
	count := func() (n int) {
		t.Helper()
		must(t, d.QueryRowContext(t.Context(), "SELECT count(*) FROM audit WHERE kind = 'certificate.refused'").Scan(&n))
		return n
	}
	if n := count(); n > 62 {
		t.Errorf("%d rows", n)
	}
	if kinds, _ := w.events(); kinds["certificate.refused"] != equal+different {
		t.Errorf("%d refusals are told", kinds["certificate.refused"])
	}
	// A minute later Run tells how many there were, without another call.
	before := count()
	w.advance(61 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.role.Run(ctx) }()
	for end := time.Now().Add(20 * time.Second); count() < before+2 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	cancel()
	must(t, <-done)
	if n := count(); n != before+2 {
		t.Errorf("%d rows, before %d", n, before)
	}
	if kinds, _ := w.events(); kinds["certificate.refused"] != equal+different {
		t.Errorf("%d refusals are told after a minute", kinds["certificate.refused"])
	}
}

// TestSuspendedScheme: while the registrar's notification does not stand nothing
// is issued; what was issued stays good, and the same order works later.
func TestSuspendedScheme(t *testing.T) {
	w := newWorld(t)
	before := parse(t, got(w.front.Issue(t.Context(), w.enrolment().order()))(t).Chain[0])
	order := w.enrolment().order()
	w.cfg.Scheme = authority.Scheme{Suspended: true}
	w.start()
	_, err := w.front.Issue(t.Context(), order)
	if e := asWire(err); code(err) != ca.CodeScheme || !e.Retryable {
		t.Errorf("%v", err)
	}
	if s, err := w.sam.Status(t.Context(), certs.SerialHex(before.SerialNumber)); err != nil || s.State != ca.Good {
		t.Errorf("%+v %v", s, err)
	}
	w.cfg.Scheme = authority.Scheme{Notification: "OJ C 309, 13.9.2019"}
	w.start()
	c := parse(t, got(w.front.Issue(t.Context(), order))(t).Chain[0])
	if rec, _ := w.recordOf(w.database(), certs.SerialHex(c.SerialNumber)); rec.Rules.Notification != "OJ C 309, 13.9.2019" {
		t.Errorf("%+v", rec.Rules)
	}
	if rep := w.reverify(""); rep.Orders != 2 || len(rep.Problems) > 0 {
		t.Errorf("%+v", rep)
	}
	cfg := w.cfg
	cfg.Scheme.Notification = strings.Repeat("x", 501)
	if _, err := authority.New(t.Context(), cfg, w.dependencies()); err == nil || !strings.Contains(err.Error(), "scheme.notification") {
		t.Errorf("%v", err)
	}
}
