package authority_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/db"
	"tekend/db/dbtest"
)

// snapshot copies the database as a killed process would leave it.
func (w *world) snapshot(to string) {
	if target := dbtest.Source(w.t, w.path(to)); target != w.path(to) {
		dbtest.Restore(w.t, target, dbtest.Dump(w.t, w.cfg.DB))
		return
	}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(w.cfg.DB + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		must(w.t, err)
		must(w.t, os.WriteFile(w.path(to)+suffix, b, 0o600))
	}
}

// TestCrashBetweenIntentAndCertificate: the process dies while the key is in
// use. Afterwards the order is dead: the role says it does not know, signs
// nothing for it again, and neither its tokens nor its key can be used.
func TestCrashBetweenIntentAndCertificate(t *testing.T) {
	w := newWorld(t)
	e := w.enrolment()
	order := e.order()
	w.key.before = func() { w.snapshot("crashed.db") }
	lost := got(w.front.Issue(t.Context(), order))(t) // what the dead process may have signed
	w.key.before = nil
	w.cfg.DB = dbtest.Source(t, w.path("crashed.db"))
	w.start()
	before := w.signatures()
	for range 2 {
		if _, err := w.front.Outcome(t.Context(), order); code(err) != ca.CodeOutcomeUnknown {
			t.Errorf("GET: %v", err)
		}
		_, err := w.front.Issue(t.Context(), order)
		if code(err) != ca.CodeOutcomeUnknown || asWire(err).Retryable {
			t.Errorf("PUT: %v", err)
		}
	}
	s, err := w.sam.Status(t.Context(), certs.SerialHex(parse(t, lost.Chain[0]).SerialNumber))
	if err != nil || s.State != ca.Unknown {
		t.Errorf("status: %+v %v", s, err)
	}
	n := w.enrolment()
	n.key = e.key
	if _, err := w.front.Issue(t.Context(), n.order()); code(err) != ca.CodeKeyUsed {
		t.Errorf("the same key again: %v", err)
	}
	if w.signatures() != before {
		t.Errorf("%d signatures after the crash", w.signatures()-before)
	}
	if _, err := w.front.Issue(t.Context(), w.enrolment().order()); err != nil {
		t.Errorf("a new application: %v", err)
	}
}

func TestFailingKeyKillsTheOrder(t *testing.T) {
	w := newWorld(t)
	order := w.enrolment().order()
	w.key.fail.Store(true)
	if _, err := w.front.Issue(t.Context(), order); code(err) != ca.CodeOutcomeUnknown {
		t.Errorf("%v", err)
	}
	w.key.fail.Store(false)
	if _, err := w.front.Issue(t.Context(), order); code(err) != ca.CodeOutcomeUnknown {
		t.Errorf("%v", err)
	}
	kinds, _ := w.events()
	if w.signatures() != 1 || kinds["certificate.failed"] != 1 || kinds["certificate.issued"] != 0 {
		t.Errorf("%v, %d signatures", kinds, w.signatures())
	}
}

func TestClockPutBack(t *testing.T) {
	w := newWorld(t)
	leaf := parse(t, got(w.front.Issue(t.Context(), w.enrolment().order()))(t).Chain[0])
	w.advance(-30 * time.Second)
	before := w.signatures()
	if _, err := w.front.Issue(t.Context(), w.enrolment().order()); code(err) != ca.CodeClock || !asWire(err).Retryable {
		t.Errorf("issue: %v", err)
	}
	if _, err := w.sam.Status(t.Context(), certs.SerialHex(leaf.SerialNumber)); code(err) != ca.CodeClock {
		t.Errorf("status: %v", err)
	}
	h, err := w.front.Health(t.Context())
	if err != nil || h.Ready || !strings.Contains(strings.Join(h.Reasons, " "), "clock") {
		t.Errorf("health: %+v %v", h, err)
	}
	if w.signatures() != before {
		t.Errorf("%d signatures", w.signatures()-before)
	}
	if r, err := authority.New(t.Context(), w.cfg, w.dependencies()); err == nil {
		t.Error("starts with a clock before its history")
		_ = r.Close()
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	for serial, want := range map[string]string{"00ff": "", "40000000000000000000000000000000": ""} {
		if s, err := w.sam.Status(t.Context(), serial); code(err) != want || s.State != ca.Unknown {
			t.Errorf("%s: %+v %v", serial, s, err)
		}
	}
	for _, serial := range []string{"F0", "f", strings.Repeat("00", 21), "zz"} {
		if _, err := w.sam.Status(t.Context(), serial); code(err) != "bad_request" {
			t.Errorf("%s: %v", serial, err)
		}
	}
	// The front's socket has no status, the sam's no issuing.
	err := w.raw.Do(t.Context(), "GET", "/v1/status/00ff", nil, nil)
	if e := asWire(err); e == nil || e.Status != 404 {
		t.Errorf("%v", err)
	}
}

func TestPublished(t *testing.T) {
	w := newWorld(t)
	issuing := parse(t, got(os.ReadFile(w.cfg.IssuingCAFile))(t))
	for name, file := range map[string]string{"ca/root.crt": w.cfg.RootFile, "ca/issuing-ca.crt": w.cfg.IssuingCAFile, "ca/tsu.crt": w.cfg.TSUFile, "crl/root.crl": w.cfg.RootCRLFile} {
		der, mediaType, err := w.front.Published(t.Context(), name)
		if err != nil || !bytes.Equal(der, got(os.ReadFile(file))(t)) || !strings.HasPrefix(mediaType, "application/pkix-c") {
			t.Errorf("%s: %s %v", name, mediaType, err)
		}
	}
	for _, name := range []string{"ca/other.crt", "crl/tsu.crl", "../ca.db", "ca/..%2fca.db", ""} {
		_, _, err := w.front.Published(t.Context(), name)
		if e := asWire(err); e == nil || e.Status != 404 {
			t.Errorf("%q: %v", name, err)
		}
	}
	der, mediaType, err := w.front.Published(t.Context(), "crl/issuing-ca.crl")
	if err != nil || mediaType != "application/pkix-crl" {
		t.Fatalf("%s %v", mediaType, err)
	}
	list := got(x509.ParseRevocationList(der))(t)
	if err := list.CheckSignatureFrom(issuing); err != nil || list.NextUpdate.Sub(list.ThisUpdate) != 12*time.Hour || len(certs.LintCRL(der)) > 0 {
		t.Errorf("%v %v", list.NextUpdate, err)
	}
	must(t, os.WriteFile(w.path("list.crl"), der, 0o600))
	out, err := exec.CommandContext(t.Context(), "openssl", "crl", "-inform", "DER", "-in", w.path("list.crl"), "-CAfile", pemFile(t, w), "-noout").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "verify OK") {
		t.Errorf("openssl: %v %s", err, out)
	}
}

func pemFile(t *testing.T, w *world) string {
	out, err := exec.CommandContext(t.Context(), "openssl", "x509", "-inform", "DER", "-in", w.cfg.IssuingCAFile, "-out", w.path("issuing.pem")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	return w.path("issuing.pem")
}

func (w *world) crl() *x509.RevocationList {
	w.t.Helper()
	der, _, err := w.front.Published(w.t.Context(), "crl/issuing-ca.crl")
	must(w.t, err)
	return got(x509.ParseRevocationList(der))(w.t)
}

// TestCRLIsMadeAnewAtHalfItsLife, also over restarts, and numbers only grow.
func TestCRLIsMadeAnewAtHalfItsLife(t *testing.T) {
	w := newWorld(t)
	first := w.crl()
	w.advance(5 * time.Hour)
	w.start()
	if again := w.crl(); again.Number.Cmp(first.Number) != 0 || w.signatures() != 1 {
		t.Errorf("made again too early: %v, %d signatures", again.Number, w.signatures())
	}
	w.advance(2 * time.Hour)
	second := w.crl()
	if second.Number.Cmp(first.Number) <= 0 || !second.ThisUpdate.After(first.ThisUpdate) {
		t.Errorf("number %v after %v", second.Number, first.Number)
	}
	// The token is away: the present CRL is given until its end, and the token
	// is not asked with every reader.
	w.key.fail.Store(true)
	w.advance(7 * time.Hour)
	before := w.signatures()
	for range 5 {
		if third := w.crl(); third.Number.Cmp(second.Number) != 0 {
			t.Errorf("number %v", third.Number)
		}
	}
	if n := w.signatures() - before; n != 1 {
		t.Errorf("%d attempts", n)
	}
	w.advance(6 * time.Hour)
	if _, _, err := w.front.Published(t.Context(), "crl/issuing-ca.crl"); code(err) != "no_crl" || !asWire(err).Retryable {
		t.Errorf("an old CRL is given: %v", err)
	}
	if h, err := w.front.Health(t.Context()); err != nil || h.Ready {
		t.Errorf("health: %+v %v", h, err)
	}
	w.key.fail.Store(false)
	w.advance(time.Minute)
	if last := w.crl(); last.Number.Cmp(new(big.Int).Add(second.Number, big.NewInt(1))) <= 0 {
		t.Errorf("number %v", last.Number)
	}
	if h, err := w.front.Health(t.Context()); err != nil || !h.Ready || len(h.Reasons) > 0 {
		t.Errorf("health: %+v %v", h, err)
	}
}

// TestCRLIsNeverOlderThanTheNewestCertificate, or EU DSS would not take it.
func TestCRLIsNeverOlderThanTheNewestCertificate(t *testing.T) {
	w := newWorld(t)
	before := w.crl()
	w.advance(10 * time.Second)
	leaf := parse(t, got(w.front.Issue(t.Context(), w.enrolment().order()))(t).Chain[0])
	for range 2 {
		list := w.crl()
		if list.ThisUpdate.Before(leaf.NotBefore) || list.Number.Cmp(before.Number) <= 0 {
			t.Errorf("CRL of %v, certificate of %v", list.ThisUpdate, leaf.NotBefore)
		}
	}
	if n := w.signatures(); n != 3 { // two CRLs and a certificate
		t.Errorf("%d signatures", n)
	}
	w.advance(time.Second)
	w.start()
	if n := w.crl(); n.ThisUpdate.Before(leaf.NotBefore) || w.signatures() != 3 {
		t.Errorf("after a restart: %v, %d signatures", n.ThisUpdate, w.signatures())
	}
}

// TestCRLNumberGrowsOverAnOldDatabase: an old copy put back does not make the
// role give two CRLs one number.
func TestCRLNumberGrowsOverAnOldDatabase(t *testing.T) {
	w := newWorld(t)
	w.snapshot("old.db")
	w.advance(time.Hour)
	first := w.crl()
	w.cfg.DB = dbtest.Source(t, w.path("old.db"))
	w.advance(time.Second)
	w.start()
	if second := w.crl(); second.Number.Cmp(first.Number) <= 0 {
		t.Errorf("%v after %v", second.Number, first.Number)
	}
}

func TestRunEndsAndHasMadeACRL(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.role.Run(ctx) }()
	for w.signatures() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCertificateNeverOutlivesTheCA(t *testing.T) {
	w := newWorld(t)
	w.advance(5 * 365 * 24 * time.Hour)
	w.write("root.crl", got(certs.CRL(w.rootCA, big.NewInt(2), nil, w.now(), w.now().AddDate(1, 0, 0)))(t))
	leaf := parse(t, got(w.front.Issue(t.Context(), w.enrolment().order()))(t).Chain[0])
	issuing := parse(t, got(os.ReadFile(w.cfg.IssuingCAFile))(t))
	if !leaf.NotAfter.Equal(issuing.NotAfter) {
		t.Errorf("%v, the CA ends %v", leaf.NotAfter, issuing.NotAfter)
	}
	w.advance(2 * 365 * 24 * time.Hour)
	before := w.signatures()
	if _, err := w.front.Issue(t.Context(), w.enrolment().order()); code(err) != ca.CodeLint || w.signatures() != before {
		t.Errorf("an ended CA issues: %v", err)
	}
	if h, err := w.front.Health(t.Context()); err != nil || h.Ready {
		t.Errorf("health %+v %v", h, err)
	}
}

// TestEvidenceVerifiesLater: what is kept is enough to verify the tokens again
// when itsme has changed its keys.
func TestEvidenceVerifiesLater(t *testing.T) {
	w := newWorld(t)
	order := w.enrolment().order()
	got(w.front.Issue(t.Context(), order))(t)
	d := got(db.Open(t.Context(), w.cfg.DB, os.DirFS(".")))(t)
	defer func() { _ = d.Close() }()
	var body, keys []byte
	must(t, d.QueryRowContext(t.Context(), "SELECT body, keys FROM evidence").Scan(&body, &keys))
	var set jose.JSONWebKeySet
	must(t, json.Unmarshal(keys, &set))
	var kept ca.IssueRequest
	must(t, json.Unmarshal(body, &kept))
	for _, inner := range []string{kept.IdentificationToken, kept.ConsentToken} {
		jws := got(jose.ParseSigned(inner, []jose.SignatureAlgorithm{jose.RS256}))(t)
		if _, err := jws.Verify(set.Key(jws.Signatures[0].Header.KeyID)[0]); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(kept.ConsentManifest, order.ConsentManifest) || len(set.Keys) != 1 {
		t.Errorf("%d keys", len(set.Keys))
	}
}

// TestRunPublishesTheCRLAfterEachIssuance: who reads files must find a CRL
// that is not older than the certificate it judges.
func TestRunPublishesTheCRLAfterEachIssuance(t *testing.T) {
	w := newWorld(t)
	w.cfg.PublishDir = t.TempDir()
	must(t, os.Mkdir(filepath.Join(w.cfg.PublishDir, "crl"), 0o755))
	w.start()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.role.Run(ctx) }()
	published := func(since time.Time) bool {
		b, err := os.ReadFile(filepath.Join(w.cfg.PublishDir, "crl", "issuing-ca.crl"))
		if err != nil {
			return false
		}
		list, err := x509.ParseRevocationList(b)
		return err == nil && !list.ThisUpdate.Before(since)
	}
	for !published(time.Time{}) {
		time.Sleep(time.Millisecond)
	}
	w.advance(10 * time.Second)
	leaf := parse(t, got(w.front.Issue(t.Context(), w.enrolment().order()))(t).Chain[0])
	for !published(leaf.NotBefore) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	must(t, <-done)
}
