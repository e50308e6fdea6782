package authority_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/db/dbtest"
	"tekend/foureyes"
)

// many puts n revoked orders into the database, as if they had been issued and revoked here.
func (w *world) many(n int) {
	w.t.Helper()
	d := dbtest.Raw(w.t, w.cfg.DB)
	at := w.now().Unix()
	numbers, hex := "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < "+strconv.Itoa(n)+")", "printf('4%031x', n)"
	if dbtest.Source(w.t, w.path("ca.db")) != w.path("ca.db") {
		numbers, hex = "WITH c (n) AS (SELECT generate_series(1, "+strconv.Itoa(n)+"))", "'4' || lpad(to_hex(n), 31, '0')"
	}
	for _, q := range []string{
		"INSERT INTO orders (hash, state, application_id, serial, spki_sha256, tbs_sha256, terms_version, terms_sha256, at) " + numbers +
			" SELECT 'h' || n, 'failed', 'a' || n, " + hex + ", 'k' || n, 'x', 'x', 'x', " + strconv.FormatInt(at, 10) + " FROM c",
		"INSERT INTO revocations (seq, serial, issuer, reason, by_whom, at) " + numbers +
			" SELECT n, " + hex + ", 'issuing-ca', 1, 'sam', " + strconv.FormatInt(at, 10) + " FROM c",
	} {
		_, err := d.ExecContext(w.t.Context(), q)
		must(w.t, err)
	}
}

func (w *world) crlBytes() []byte {
	w.t.Helper()
	l := got(w.role.CRL(w.t.Context()))(w.t)
	b := got(io.ReadAll(l))(w.t)
	must(w.t, l.Close())
	if int64(len(b)) != l.Size {
		w.t.Errorf("%d bytes of %d", len(b), l.Size)
	}
	return b
}

// TestCRLInParts: a CRL that is longer than a part of the database, over a restart, as a stream to the front, whole.
func TestCRLInParts(t *testing.T) {
	w := newWorld(t)
	const n = 40_000
	w.many(n)
	w.start()
	first := w.crlBytes()
	list := got(x509.ParseRevocationList(first))(t)
	if len(list.RevokedCertificateEntries) != n || len(first) < 1<<20 {
		t.Errorf("%d entries in %d bytes", len(list.RevokedCertificateEntries), len(first))
	}
	must(t, list.CheckSignatureFrom(w.issuing()))
	must(t, w.role.Check(t.Context()))
	w.start()
	used := w.signatures()
	d := got(w.front.Open(t.Context(), "crl/issuing-ca.crl"))(t)
	again := got(io.ReadAll(d))(t)
	must(t, d.Close())
	if !bytes.Equal(again, first) || d.Size != int64(len(first)) || d.Type != "application/pkix-crl" || w.signatures() != used {
		t.Errorf("%d bytes after a restart, of %d; %s", len(again), len(first), d.Type)
	}
	// One of this length is not made for each certificate; for each revocation it is.
	number := func() *big.Int { return got(x509.ParseRevocationList(w.crlBytes()))(t).Number }
	w.advance(time.Minute)
	c := w.issued()
	if number().Cmp(list.Number) != 0 {
		t.Error("made anew at once for a certificate")
	}
	w.advance(10 * time.Minute)
	later := number()
	if later.Cmp(list.Number) <= 0 {
		t.Error("not made anew after ten minutes")
	}
	w.advance(time.Second)
	got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), 0)))(t)
	if number().Cmp(later) <= 0 {
		t.Error("not made anew for a revocation")
	}
	first = w.crlBytes()
	// A new one takes its place, also in the database.
	w.advance(7 * time.Hour)
	open := got(w.role.CRL(t.Context()))(t)
	second := w.crlBytes()
	if bytes.Equal(second, first) || !bytes.Equal(got(io.ReadAll(open))(t), second) {
		t.Error("no new one at half its life")
	}
	must(t, open.Close())
	var parts, numbers int
	must(t, dbtest.Raw(t, w.cfg.DB).QueryRowContext(t.Context(), "SELECT count(*), count(DISTINCT number) FROM crl_parts").Scan(&parts, &numbers))
	if parts < 2 || numbers != 1 {
		t.Errorf("%d parts of %d CRLs", parts, numbers)
	}
}

// TestDamagedCRLStopsTheStart: what is published is what was signed.
func TestDamagedCRLStopsTheStart(t *testing.T) {
	w := newWorld(t)
	w.crlBytes()
	_, err := dbtest.Raw(t, w.cfg.DB).ExecContext(t.Context(), "UPDATE crl_parts SET der = ?", []byte("no CRL"))
	must(t, err)
	if r, err := authority.New(t.Context(), w.cfg, w.dependencies()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v", err)
		_ = r.Close()
	}
}

// TestRevokedStaysOnTheCRLAfterItsEnd, with the extension that says so (EN 319 411-2 CSS-6.3.10-02).
func TestRevokedStaysOnTheCRLAfterItsEnd(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), ca.ReasonCessationOfOperation)))(t)
	w.advance(c.NotAfter.Sub(w.now()) + 24*time.Hour)
	list := w.crl()
	if len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].ReasonCode != ca.ReasonCessationOfOperation {
		t.Errorf("%+v", list.RevokedCertificateEntries)
	}
	for _, e := range list.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 60}) {
			var from time.Time
			if _, err := asn1.UnmarshalWithParams(e.Value, &from, "generalized"); err != nil || !from.Equal(w.issuing().NotBefore) {
				t.Errorf("%v %v", from, err)
			}
			return
		}
	}
	t.Error("expiredCertsOnCRL is missing")
}

// TestCheckFindsDifferences between CRL and OCSP, tells health, and writes them down.
func TestCheckFindsDifferences(t *testing.T) {
	for name, spoil := range map[string]string{
		"an answer that was not withdrawn": "UPDATE answers SET revoked = 0 WHERE revoked = 1",
		"an answer without revocation":     "UPDATE answers SET revoked = 1 WHERE revoked = 0",
	} {
		w := newWorld(t)
		c, other := w.issued(), w.issued()
		got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), 0)))(t)
		w.says(c)
		w.says(other)
		must(t, w.role.Check(t.Context()))
		_, err := dbtest.Raw(t, w.cfg.DB).ExecContext(t.Context(), spoil)
		must(t, err)
		if err := w.role.Check(t.Context()); err == nil {
			t.Errorf("%s: not found", name)
		}
		kinds, _ := w.events()
		if h := w.role.Health(t.Context()); h.Ready || kinds["status.differs"] != 1 {
			t.Errorf("%s: %+v %v", name, h, kinds)
		}
	}
	// A row that never went through the role: the CRL of now lacks it.
	w := newWorld(t)
	w.crlBytes()
	w.many(3)
	if err := w.role.Check(t.Context()); err != nil {
		t.Errorf("a CRL from before a revocation of another process: %v", err)
	}
	d := dbtest.Raw(t, w.cfg.DB)
	_, err := d.ExecContext(t.Context(), "UPDATE crls SET revoked = 3")
	must(t, err)
	w.start()
	if err := w.role.Check(t.Context()); err == nil {
		t.Error("a CRL that lacks entries is not found")
	}
}

// TestEverySerialIsTheSameOnBoth asks OCSP about every certificate and looks into the CRL for each.
func TestEverySerialIsTheSameOnBoth(t *testing.T) {
	w := newWorld(t)
	w.cfg.OCSPLive = 1000
	w.start()
	state := map[*x509.Certificate]certs.CertState{}
	for n := range 20 {
		c := w.issued()
		state[c] = certs.StatusGood
		if n%3 == 0 {
			got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), reasonsTaken[n%len(reasonsTaken)])))(t)
			state[c] = certs.StatusRevoked
		}
	}
	list := map[string]x509.RevocationListEntry{}
	for _, e := range w.crl().RevokedCertificateEntries {
		list[certs.SerialHex(e.SerialNumber)] = e
	}
	for c, want := range state {
		s := w.says(c)
		e, listed := list[serialOf(c)]
		if s.State != want || listed != (want == certs.StatusRevoked) || listed && (e.ReasonCode != s.Reason || !e.RevocationTime.Equal(s.RevokedAt)) {
			t.Errorf("OCSP %+v, CRL %v %+v", s, listed, e)
		}
	}
	must(t, w.role.Check(t.Context()))
}

// nextCA makes another issuing CA and turns the role over to it: the present one becomes the first of the previous.
func (w *world) nextCA(name string) {
	w.t.Helper()
	key := &caKey{Signer: ecKey(w.t)}
	now := w.now()
	der := got(certs.Issue(w.rootCA, certs.Order{
		Profile: certs.IssuingCA, Subject: subject("Tekend SANDBOX " + name), PublicKey: key.Public(), NotBefore: now, NotAfter: now.AddDate(6, 0, 0),
		Publication: certs.PublishedBy(w.cfg.PublicURL, "root", w.cfg.CPSURL),
	}))(w.t)
	w.write(name+".crt", der)
	w.cfg.Previous = append([]authority.Previous{{Name: w.issuerName(), CertFile: w.cfg.IssuingCAFile}}, w.cfg.Previous...)
	if w.previous == nil {
		w.previous = map[string]crypto.Signer{}
	}
	w.previous[w.issuerName()] = w.key
	w.cfg.IssuerName, w.cfg.IssuingCAFile, w.key = name, w.path(name+".crt"), key
}

// TestRollOver of the issuing CA, with orders in flight: each gets one certificate, of one CA or the other, and the old CA goes
// on answering for its own.
func TestRollOver(t *testing.T) {
	w := newWorld(t)
	before, revoked := w.issued(), w.issued()
	got(w.sam.Revoke(t.Context(), bySAM(serialOf(revoked), ca.ReasonSuperseded)))(t)
	old, oldFront := w.issuing(), w.front
	order := w.enrolment().order()
	first := got(oldFront.Issue(t.Context(), order))(t)
	// Orders are under way at the old process while the new one starts: the old one is closed in the middle.
	var orders []ca.IssueRequest
	for range 12 {
		orders = append(orders, w.enrolment().order())
	}
	done := make(chan error, len(orders))
	chains := make([]ca.Issued, len(orders))
	for n, o := range orders {
		go func() {
			out, err := oldFront.Issue(t.Context(), o)
			chains[n] = out
			done <- err
		}()
		if n == 5 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	w.advance(time.Second)
	w.nextCA("issuing-ca-2")
	w.start()
	for range orders {
		<-done // answered, refused or cut off
	}
	fresh, olds := 0, 0
	for n, o := range orders {
		out, err := w.front.Issue(t.Context(), o)
		if code(err) == ca.CodeOutcomeUnknown {
			continue // dead: it was cut off between intent and certificate
		}
		must(t, err)
		leaf, issuer := parse(t, out.Chain[0]), parse(t, out.Chain[1])
		must(t, leaf.CheckSignatureFrom(issuer))
		if chains[n].Chain != nil && !bytes.Equal(chains[n].Chain[0], out.Chain[0]) {
			t.Error("two certificates for one order")
		}
		name := "issuing-ca-2"
		if issuer.Equal(old) {
			name = "issuing-ca"
			olds++
		} else {
			fresh++
		}
		if want := "/crl/" + name + ".crl"; !strings.HasSuffix(leaf.CRLDistributionPoints[0], want) {
			t.Errorf("%v, want %s", leaf.CRLDistributionPoints, want)
		}
	}
	t.Logf("%d orders in flight ended at the old CA, %d at the new one", olds, fresh)
	if again := got(w.front.Issue(t.Context(), order))(t); !bytes.Equal(again.Chain[0], first.Chain[0]) || !bytes.Equal(again.Chain[1], old.Raw) {
		t.Error("an earlier order got another chain")
	}
	after := w.issued()
	must(t, after.CheckSignatureFrom(w.issuing()))
	// The old CA's certificates: OCSP and CRL by its own key.
	by := func(issuer *x509.Certificate, c *x509.Certificate) certs.CertState {
		r := got(certs.ParseOCSPResponse(got(w.front.OCSP(t.Context(), query(t, issuer, crypto.SHA1, nil, c)))(t)))(t)
		must(t, r.Verify(issuer, w.now()))
		return r.Singles[0].State
	}
	if by(old, before) != certs.StatusGood || by(old, revoked) != certs.StatusRevoked || by(w.issuing(), after) != certs.StatusGood || by(w.issuing(), before) != certs.StatusUnknown {
		t.Error("OCSP after the roll-over")
	}
	got(w.sam.Revoke(t.Context(), bySAM(serialOf(before), 0)))(t)
	got(w.sam.Revoke(t.Context(), bySAM(serialOf(after), 0)))(t)
	for name, want := range map[string]struct {
		issuer *x509.Certificate
		has    []*x509.Certificate
	}{"issuing-ca": {old, []*x509.Certificate{revoked, before}}, "issuing-ca-2": {w.issuing(), []*x509.Certificate{after}}} {
		der, _, err := w.front.Published(t.Context(), "crl/"+name+".crl")
		must(t, err)
		list := got(x509.ParseRevocationList(der))(t)
		must(t, list.CheckSignatureFrom(want.issuer))
		if len(list.RevokedCertificateEntries) != len(want.has) {
			t.Errorf("%s: %d entries", name, len(list.RevokedCertificateEntries))
		}
		for n, c := range want.has {
			if list.RevokedCertificateEntries[n].SerialNumber.Cmp(c.SerialNumber) != 0 {
				t.Errorf("%s: entry %d", name, n)
			}
		}
	}
	must(t, w.role.Check(t.Context()))
}

// TestRollOverConfigurations that do not fit stop the start.
func TestRollOverConfigurations(t *testing.T) {
	w := newWorld(t)
	w.nextCA("issuing-ca-2")
	for name, change := range map[string]func(c *authority.Config, d *authority.Dependencies){
		"no key": func(_ *authority.Config, d *authority.Dependencies) { d.Previous = nil },
		"another key": func(_ *authority.Config, d *authority.Dependencies) {
			d.Previous = map[string]crypto.Signer{"issuing-ca": ecKey(t)}
		},
		"one name twice": func(c *authority.Config, _ *authority.Dependencies) { c.IssuerName = "issuing-ca" },
		"name":           func(c *authority.Config, _ *authority.Dependencies) { c.Previous[0].Name = "root" },
		"no certificate": func(c *authority.Config, _ *authority.Dependencies) { c.Previous[0].CertFile = "" },
		"the same CA again": func(c *authority.Config, d *authority.Dependencies) {
			c.Previous[0].CertFile = c.IssuingCAFile
			d.Previous = map[string]crypto.Signer{"issuing-ca": w.key}
		},
	} {
		cfg, dep := w.cfg, w.dependencies()
		cfg.Previous = append([]authority.Previous{}, w.cfg.Previous...)
		cfg.DB = w.path("other.db")
		change(&cfg, &dep)
		if r, err := authority.New(t.Context(), cfg, dep); err == nil {
			t.Errorf("%s: starts", name)
			_ = r.Close()
		}
	}
}

// TestLastCRL: not while a certificate of its CA is valid; then with the end of time, and for ever.
func TestLastCRL(t *testing.T) {
	w := newWorld(t)
	c, revoked := w.issued(), w.issued()
	w.key.fail.Store(true)
	_, err := w.front.Issue(t.Context(), w.enrolment().order())
	if code(err) != ca.CodeOutcomeUnknown {
		t.Fatal(err)
	}
	w.key.fail.Store(false)
	got(w.sam.Revoke(t.Context(), bySAM(serialOf(revoked), 0)))(t)
	if err := w.role.Retire(t.Context(), "issuing-ca"); !errors.Is(err, authority.ErrNotYet) {
		t.Errorf("the CA in force: %v", err)
	}
	w.nextCA("issuing-ca-2")
	w.start()
	if err := w.role.Retire(t.Context(), "issuing-ca"); !errors.Is(err, authority.ErrNotYet) || !strings.Contains(err.Error(), "orders") {
		t.Errorf("with a dead order: %v", err)
	}
	var dead string
	must(t, dbtest.Raw(t, w.cfg.DB).QueryRowContext(t.Context(), "SELECT serial FROM orders WHERE state = 'failed'").Scan(&dead))
	got(w.sam.Revoke(t.Context(), bySAM(dead, 0)))(t)
	if err := w.role.Retire(t.Context(), "issuing-ca"); !errors.Is(err, authority.ErrNotYet) || !strings.Contains(err.Error(), "valid until") {
		t.Errorf("with a valid certificate: %v", err)
	}
	w.advance(c.NotAfter.Sub(w.now()) + time.Minute)
	retire := func(name string, who ...int) (ca.LastCRL, error) {
		der, _, err := w.front.Published(t.Context(), "ca/"+name+".crt")
		must(t, err)
		sum := sha256.Sum256(der)
		act := got(foureyes.NewAct(foureyes.ActRetire, hex.EncodeToString(sum[:]), "cessationOfOperation"))(t)
		var keys []ed25519.PrivateKey
		for _, n := range who {
			keys = append(keys, w.operators[n])
		}
		r := w.approve(act, keys...)
		return w.desk.Retire(t.Context(), ca.RetireRequest{Text: r.Text, Approvals: r.Approvals})
	}
	if _, err := retire("issuing-ca", 0); code(err) != ca.CodeNotApproved {
		t.Errorf("by one operator: %v", err)
	}
	if _, err := retire("issuing-ca-2", 0, 1); code(err) != ca.CodeNotYet {
		t.Errorf("the CA in force: %v", err)
	}
	revoking := w.approved(serialOf(c), 0, 1)
	if _, err := w.desk.Retire(t.Context(), ca.RetireRequest{Text: revoking.Text, Approvals: revoking.Approvals}); code(err) != ca.CodeBadOrder {
		t.Errorf("by an act that revokes: %v", err)
	}
	told := got(retire("issuing-ca", 1, 2))(t)
	der, _, err := w.front.Published(t.Context(), "crl/issuing-ca.crl")
	must(t, err)
	list := got(x509.ParseRevocationList(der))(t)
	if len(list.RevokedCertificateEntries) != 2 || !list.NextUpdate.Equal(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)) || !bytes.Contains(der, []byte("\x18\x0f99991231235959Z")) {
		t.Errorf("%d entries, next %v", len(list.RevokedCertificateEntries), list.NextUpdate)
	}
	sum := sha256.Sum256(der)
	if told.SHA256 != hex.EncodeToString(sum[:]) || big.NewInt(told.Number).Cmp(list.Number) != 0 || told.Issuer != "issuing-ca" {
		t.Errorf("%+v", told)
	}
	if kinds, _ := w.events(); kinds["issuer.retire"] != 2 || kinds["issuer.retire_refused"] != 3 {
		t.Errorf("%v", kinds)
	}
	w.advance(365 * 24 * time.Hour)
	w.start()
	if _, err := w.sam.Revoke(t.Context(), bySAM(serialOf(c), 0)); code(err) != ca.CodeNotRevocable {
		t.Errorf("after the last CRL: %v", err)
	}
	must(t, w.role.Retire(t.Context(), "issuing-ca")) // done already
	again, _, err := w.front.Published(t.Context(), "crl/issuing-ca.crl")
	must(t, err)
	if sha256.Sum256(again) != sum {
		t.Error("the last CRL changed")
	}
}

// TestAnOldDatabaseUnrevokesNothing: what was on a published CRL is revoked, also when the database does not know it any more,
// and when it does not know the certificate.
func TestAnOldDatabaseUnrevokesNothing(t *testing.T) {
	w := newWorld(t)
	w.cfg.PublishDir = t.TempDir()
	must(t, os.Mkdir(w.cfg.PublishDir+"/crl", 0o755))
	w.start()
	c, kept := w.issued(), w.issued()
	w.crl()
	w.snapshot("old.db")
	w.advance(time.Minute)
	later := w.issued()
	list := []*x509.Certificate{c, later}
	outs := map[*x509.Certificate]ca.Revocation{}
	for n, x := range list {
		outs[x] = got(w.sam.Revoke(t.Context(), bySAM(serialOf(x), reasonsTaken[n+1])))(t)
	}
	first := w.crl()
	w.advance(time.Minute)
	w.cfg.DB = dbtest.Source(t, w.path("old.db"))
	w.start()
	for _, x := range list {
		w.everywhere(x, outs[x])
	}
	if second := w.crl(); second.Number.Cmp(first.Number) <= 0 || len(second.RevokedCertificateEntries) != 2 {
		t.Errorf("%v after %v, %d entries", second.Number, first.Number, len(second.RevokedCertificateEntries))
	}
	if w.says(kept).State != certs.StatusGood {
		t.Error("the third is not good any more")
	}
	if kinds, text := w.events(); kinds["certificate.revoked"] != 2 || !strings.Contains(text, `"by":"crl"`) {
		t.Errorf("%v", kinds)
	}
	w.start() // and once is enough
	if kinds, _ := w.events(); kinds["certificate.revoked"] != 2 {
		t.Errorf("%v", kinds)
	}
	// A list that somebody else signed says nothing.
	other := newWorld(t)
	x := other.issued()
	got(other.sam.Revoke(t.Context(), bySAM(serialOf(x), 0)))(t)
	must(t, os.WriteFile(w.cfg.PublishDir+"/crl/issuing-ca.crl", other.crlBytes(), 0o600))
	w.start()
	if s, err := w.sam.Status(t.Context(), serialOf(x)); err != nil || s.State != ca.Unknown {
		t.Errorf("%+v %v", s, err)
	}
}

// TestCRLOfAnEarlierVersion: a database from before CRLs lay in parts still has one to give while the token is away.
func TestCRLOfAnEarlierVersion(t *testing.T) {
	w := newWorld(t)
	der := w.crlBytes()
	d := dbtest.Raw(t, w.cfg.DB)
	for _, q := range []string{"DELETE FROM crl_parts", "UPDATE crls SET sha256 = NULL"} {
		_, err := d.ExecContext(t.Context(), q)
		must(t, err)
	}
	_, err := d.ExecContext(t.Context(), "UPDATE crls SET crl = ?", der)
	must(t, err)
	w.key.fail.Store(true)
	w.start()
	if !bytes.Equal(w.crlBytes(), der) {
		t.Error("another CRL")
	}
}

// TestRevocationWhileTheCAKeyIsAway: it is recorded, OCSP says it with its own key, the sam hears it; the CRL follows when the
// key is back, and until then health is red.
func TestRevocationWhileTheCAKeyIsAway(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	w.says(c)
	first := w.crl()
	w.key.fail.Store(true)
	out := got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), ca.ReasonKeyCompromise)))(t)
	s, err := w.sam.Status(t.Context(), serialOf(c))
	if err != nil || s.State != ca.Revoked || w.says(c).State != certs.StatusRevoked {
		t.Errorf("%+v %v", s, err)
	}
	if w.crl().Number.Cmp(first.Number) != 0 {
		t.Error("a CRL without a key")
	}
	if h := w.role.Health(t.Context()); h.Ready || len(h.Reasons) != 1 || !strings.Contains(h.Reasons[0], "not on the CRL") {
		t.Errorf("%+v", h)
	}
	w.key.fail.Store(false)
	w.advance(time.Minute)
	w.everywhere(c, out)
	if h := w.role.Health(t.Context()); !h.Ready {
		t.Errorf("%+v", h)
	}
}

// TestCrashWhileACRLIsSigned: the number that was intended is not given to another list, and the next list has what it should.
func TestCrashWhileACRLIsSigned(t *testing.T) {
	w := newWorld(t)
	c := w.issued()
	w.says(c)
	out := got(w.sam.Revoke(t.Context(), bySAM(serialOf(c), 0)))(t)
	w.key.before = func() { w.snapshot("crashed.db") }
	lost := w.crl()
	w.key.before = nil
	w.cfg.DB = dbtest.Source(t, w.path("crashed.db"))
	w.start()
	w.everywhere(c, out)
	if next := w.crl(); next.Number.Cmp(lost.Number) <= 0 {
		t.Errorf("number %v after %v", next.Number, lost.Number)
	}
}
