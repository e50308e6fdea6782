package authority_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/consent"
	"tekend/db"
	"tekend/itsme/token"
	"tekend/wire"
)

// events counts the audit rows of each kind and returns all text in them.
func (w *world) events() (kinds map[string]int, text string) {
	w.t.Helper()
	d := got(db.Open(w.t.Context(), w.cfg.DB, os.DirFS(".")))(w.t)
	defer func() { _ = d.Close() }()
	report, err := audit.Verify(w.t.Context(), d)
	if err != nil || report.FirstBad != 0 {
		w.t.Errorf("audit: %+v %v", report, err)
	}
	rows := got(d.QueryContext(w.t.Context(), "SELECT kind, subject, detail FROM audit"))(w.t)
	defer func() { _ = rows.Close() }()
	kinds = map[string]int{}
	for rows.Next() {
		var k, s, x string
		must(w.t, rows.Scan(&k, &s, &x))
		var detail map[string]string
		must(w.t, json.Unmarshal([]byte(x), &detail))
		n := 1
		if times := detail["times"]; times != "" { // a row about refusals that were counted
			n = got(strconv.Atoi(times))(w.t)
		}
		kinds[k] += n
		text += k + s + x + "\n"
	}
	must(w.t, rows.Err())
	counted := got(d.QueryContext(w.t.Context(), "SELECT kind, sum(times) FROM refusals GROUP BY kind"))(w.t)
	defer func() { _ = counted.Close() }()
	for counted.Next() {
		var k string
		var n int
		must(w.t, counted.Scan(&k, &n))
		kinds[k] += n
	}
	must(w.t, counted.Err())
	return kinds, text
}

func (w *world) signatures() int64 { return w.key.n.Load() }

func TestIssue(t *testing.T) {
	w := newWorld(t)
	e := w.enrolment()
	order := e.order()
	out, err := w.front.Issue(t.Context(), order)
	if err != nil || len(out.Chain) != 2 {
		t.Fatalf("%d %v", len(out.Chain), err)
	}
	leaf, issuing := parse(t, out.Chain[0]), parse(t, out.Chain[1])
	roots := x509.NewCertPool()
	roots.AddCert(w.root)
	if err := certs.CheckPath(leaf, []*x509.Certificate{issuing}, roots, w.now(), certs.Signing); err != nil {
		t.Error(err)
	}
	if err := certs.IsQualifiedNaturalPerson(leaf); err != nil {
		t.Error(err)
	}
	if found := certs.Lint(certs.NaturalPerson, leaf.Raw, issuing); len(found) > 0 {
		t.Error(found)
	}
	who := got(certs.PersonOf(leaf.RawSubject))(t)
	if who.CommonName != "Jan Jansen (SANDBOX)" || who.GivenName != "Jan" || who.Surname != "Jansen" || who.Country != "BE" {
		t.Errorf("%+v", who)
	}
	if !certs.SameKey(leaf.PublicKey, e.key.Public()) || leaf.NotAfter.Sub(leaf.NotBefore) != 2*365*24*time.Hour {
		t.Errorf("key or life: %v", leaf.NotAfter)
	}
	s, err := w.sam.Status(t.Context(), certs.SerialHex(leaf.SerialNumber))
	if err != nil || s.State != ca.Good || !s.At.Equal(w.now().UTC()) {
		t.Errorf("%+v %v", s, err)
	}
	kinds, text := w.events()
	if kinds["certificate.intent"] != 1 || kinds["certificate.issued"] != 1 || w.signatures() != 1 {
		t.Errorf("%v, %d signatures", kinds, w.signatures())
	}
	for _, secret := range []string{"Jan", "592123456789", "1985", "sub-at-", order.ConsentToken} {
		if strings.Contains(text, secret) {
			t.Errorf("the audit holds %q", secret)
		}
	}
}

func TestEqualOrderGetsTheSameCertificate(t *testing.T) {
	w := newWorld(t)
	order := w.enrolment().order()
	if _, err := w.front.Outcome(t.Context(), order); code(err) != ca.CodeNotFound {
		t.Errorf("before: %v", err)
	}
	first := got(w.front.Issue(t.Context(), order))(t)
	w.advance(time.Hour) // the tokens are too old by now, and that does not matter
	w.start()            // and the role was restarted
	for range 2 {
		again, err := w.front.Issue(t.Context(), order)
		if err != nil || !bytes.Equal(again.Chain[0], first.Chain[0]) {
			t.Errorf("%v", err)
		}
	}
	out, err := w.front.Outcome(t.Context(), order)
	if err != nil || !bytes.Equal(out.Chain[0], first.Chain[0]) || w.signatures() != 1 {
		t.Errorf("%v, %d signatures", err, w.signatures())
	}
}

func TestOtherHashIsAConflict(t *testing.T) {
	w := newWorld(t)
	body := got(json.Marshal(w.enrolment().order()))(t)
	err := w.raw.Do(t.Context(), http.MethodPut, "/v1/certificates/"+wire.BodyHash([]byte("other")), body, nil)
	if code(err) != "conflict" || w.signatures() != 0 {
		t.Errorf("%v", err)
	}
	err = w.raw.Do(t.Context(), http.MethodPut, "/v1/certificates/"+wire.BodyHash([]byte(`{"csr":"","CSR":""}`)), []byte(`{"csr":"","CSR":""}`), nil)
	if code(err) != "bad_request" {
		t.Errorf("%v", err)
	}
}

func TestParallelOrders(t *testing.T) {
	w := newWorld(t)
	e := w.enrolment()
	order := e.order()
	other := order // the same tokens and key in another order: other bytes of the request
	other.CSR = got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, e.key))(t)
	var mu sync.Mutex
	ders, refusals := map[string]int{}, map[string]int{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			r := order
			if i%2 == 1 {
				r = other
			}
			out, err := w.front.Issue(t.Context(), r)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				ders[string(out.Chain[0])]++
			} else {
				refusals[code(err)]++
			}
		})
	}
	wg.Wait()
	if len(ders) != 1 || refusals[ca.CodeReplayed] != 8 || len(refusals) != 1 || w.signatures() != 1 {
		t.Errorf("%d certificates, refusals %v, %d signatures", len(ders), refusals, w.signatures())
	}
}

// TestRefusals: everything an order can have wrong, by what the role answers.
// The CA key is never used and each refusal is in the audit.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	stranger := got(rsa.GenerateKey(rand.Reader, 2048))(t)
	weak := got(rsa.GenerateKey(rand.Reader, 2048))(t)
	p521 := got(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))(t)
	cases := []struct {
		name, code string
		change     func(e *enrolment)
	}{
		{"application is not JSON", ca.CodeBadOrder, func(e *enrolment) { e.applicationJSON = []byte("{") }},
		{"application not in canonical form", ca.CodeBadOrder, func(e *enrolment) {
			e.app.SPKISHA256 = got(certs.SPKISHA256(e.key.Public()))(t)
			e.applicationJSON = append([]byte(" "), got(e.app.Encode())(t)...)
		}},
		{"another version of the terms", ca.CodeTerms, func(e *enrolment) { e.app.TermsVersion = "2025-01" }},
		{"another text of the terms", ca.CodeTerms, func(e *enrolment) { e.app.TermsSHA256 = b64hash([]byte("other terms")) }},

		{"request is not DER", ca.CodeBadKey, func(e *enrolment) { e.csr = []byte{0x30, 0} }},
		{"request is too long", ca.CodeBadKey, func(e *enrolment) { e.csr = make([]byte, 9<<10) }},
		{"request signed by another key", ca.CodeBadKey, func(e *enrolment) { e.csr = otherSigner(t, e.key) }},
		{"request for another key", ca.CodeBadKey, func(e *enrolment) { e.csrKey = ecKey(t) }},
		{"RSA-2048", ca.CodeBadKey, func(e *enrolment) { e.key = weak }},
		{"P-521", ca.CodeBadKey, func(e *enrolment) { e.key = p521 }},

		{"identification for another application", ca.CodeBadOrder, func(e *enrolment) { e.ident.Application = b64hash([]byte("x")) }},
		{"consent to another application", ca.CodeBadOrder, func(e *enrolment) { e.confirm.Application = b64hash([]byte("x")) }},
		{"identification manifest of another client", ca.CodeBadOrder, func(e *enrolment) { e.ident.ClientID = confirmClient }},
		{"consent manifest of the identification client", ca.CodeBadOrder, func(e *enrolment) { e.confirm.ClientID = identClient }},
		{"manifest of another issuer", ca.CodeBadOrder, func(e *enrolment) { e.confirm.Iss = "https://other.test/v2" }},
		{"consent of a signing operation", ca.CodeBadOrder, func(e *enrolment) { e.confirm = signManifest(t, e.confirm) }},
		{"another text was shown", ca.CodeBadOrder, func(e *enrolment) { e.text = "Sign 2 documents" }},
		{"text of another version of the terms", ca.CodeBadOrder, func(e *enrolment) {
			a := e.app
			a.TermsVersion, a.SPKISHA256 = "2025-01", b64hash([]byte("k"))
			e.text = got(consent.EnrolText("en", a))(t)
		}},

		{"identification nonce of another manifest", ca.CodeWrongNonce, func(e *enrolment) { e.leg1["nonce"] = random(t) }},
		{"consent nonce of another manifest", ca.CodeWrongNonce, func(e *enrolment) { e.leg2["nonce"] = random(t) }},
		{"nonces swapped", ca.CodeWrongNonce, func(e *enrolment) {
			e.changeTokens = func(a, b claims) { a["nonce"], b["nonce"] = b["nonce"], a["nonce"] }
		}},
		{"one token for both legs", ca.CodeBadToken, func(e *enrolment) {
			e.changeTokens = func(a, b claims) {
				for k, v := range a {
					b[k] = v
				}
			}
		}},
		{"another issuer", ca.CodeBadToken, func(e *enrolment) { e.leg1["iss"] = "https://other.test/v2" }},
		{"another audience", ca.CodeBadToken, func(e *enrolment) { e.leg2["aud"] = "SOMEBODY" }},
		{"a lower level", ca.CodeBadToken, func(e *enrolment) { e.leg2["acr"] = token.ACRBasic }},
		{"no level", ca.CodeBadToken, func(e *enrolment) { e.leg1["acr"] = "" }},
		{"identification too old", ca.CodeBadToken, func(e *enrolment) { e.age(e.leg1, 16*time.Minute); e.ident.Iat -= 3600 }},
		{"consent too old", ca.CodeBadToken, func(e *enrolment) { e.age(e.leg2, 16*time.Minute); e.confirm.Iat -= 3600 }},
		{"issued in the future", ca.CodeBadToken, func(e *enrolment) { e.age(e.leg2, -10*time.Minute) }},
		{"issued before its manifest", ca.CodeBadToken, func(e *enrolment) { e.age(e.leg1, 5*time.Minute) }},
		{"issued after its manifest's end", ca.CodeBadToken, func(e *enrolment) { e.confirm.Iat, e.confirm.Exp = e.confirm.Iat-600, e.confirm.Iat-300 }},
		{"signed by a stranger", ca.CodeBadToken, func(e *enrolment) { e.signing = stranger }},
		{"unknown key", ca.CodeBadToken, func(e *enrolment) { e.kid = "s2" }},
		{"expected somebody else", ca.CodeBadToken, func(e *enrolment) { e.confirm.Sub = "sub-of-another" }},

		{"another name", ca.CodeIdentityMismatch, func(e *enrolment) { e.leg2[token.ClaimName] = "Piet Peeters" }},
		{"another given name", ca.CodeIdentityMismatch, func(e *enrolment) { e.leg2[token.ClaimGivenName] = "Piet" }},
		{"another surname", ca.CodeIdentityMismatch, func(e *enrolment) { e.leg2[token.ClaimFamilyName] = "Peeters" }},
		{"another birthdate", ca.CodeIdentityMismatch, func(e *enrolment) { e.leg2[token.ClaimBirthdate] = "1985-07-31" }},
		{"another birthdate as text", ca.CodeIdentityMismatch, func(e *enrolment) { e.leg2[token.ClaimBirthdateText] = "31 JUL 1985" }},
		{"birthdate in one leg only", ca.CodeIdentityMismatch, func(e *enrolment) { delete(e.leg2, token.ClaimBirthdate) }},
		{"another document", ca.CodeIdentityMismatch, func(e *enrolment) { e.leg2[token.ClaimDocumentSN] = "592000000000" }},
		{"no document number in the consent", ca.CodeIdentityMismatch, func(e *enrolment) { delete(e.leg2, token.ClaimDocumentSN) }},
		{"no document number at all", ca.CodeIdentityMismatch, func(e *enrolment) {
			delete(e.leg1, token.ClaimDocumentSN)
			delete(e.leg2, token.ClaimDocumentSN)
		}},
		{"a minor", ca.CodeMinor, func(e *enrolment) { e.leg1[token.ClaimAgeGTE18], e.leg2[token.ClaimAgeGTE18] = false, false }},
		{"age not told", ca.CodeMinor, func(e *enrolment) { delete(e.leg2, token.ClaimAgeGTE18) }},
		{"the way of identifying is not told", ca.CodeRecord, func(e *enrolment) { delete(e.leg1, token.ClaimIdentificationMode) }},
		{"the kind of document is not told", ca.CodeRecord, func(e *enrolment) { delete(e.leg1, token.ClaimDocumentType) }},
		{"how the account was activated is not told", ca.CodeRecord, func(e *enrolment) { delete(e.leg1, token.ClaimAccount) }},
		{"the account was activated in an unknown way", ca.CodeRecord, func(e *enrolment) {
			e.leg1[token.ClaimAccount] = claims{"activationMechanism": "SMS"}
		}},
		{"no terms", ca.CodeBadOrder, func(e *enrolment) {
			e.app.SPKISHA256 = got(certs.SPKISHA256(e.key.Public()))(t)
			e.applicationJSON = bytes.Replace(got(e.app.Encode())(t), []byte(`"terms_sha256":"`+termsSHA256+`",`), nil, 1)
		}},
		{"no version of the terms", ca.CodeBadOrder, func(e *enrolment) {
			e.app.SPKISHA256 = got(certs.SPKISHA256(e.key.Public()))(t)
			e.applicationJSON = bytes.Replace(got(e.app.Encode())(t), []byte(`"terms_version":"`+termsVersion+`"`), []byte(`"terms_version":""`), 1)
		}},
		{"in a call", ca.CodeOngoingCall, func(e *enrolment) { e.leg2[token.ClaimOngoingCall] = true }},
		{"no name", ca.CodeName, func(e *enrolment) { e.both(token.ClaimGivenName, ""); e.both(token.ClaimFamilyName, "") }},
		{"a name longer than any", ca.CodeName, func(e *enrolment) { e.both(token.ClaimFamilyName, strings.Repeat("Jansen", 70)) }},
		{"unknown country", ca.CodeName, func(e *enrolment) { e.both(token.ClaimIssuingCountry, "XXX") }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			e := w.enrolment()
			tc.change(e)
			_, err := w.front.Issue(t.Context(), e.order())
			if code(err) != tc.code {
				t.Errorf("%v, want %s", err, tc.code)
			}
			if err != nil && (strings.Contains(err.Error(), "Jan") || strings.Contains(err.Error(), "592")) {
				t.Errorf("the refusal tells who: %v", err)
			}
		})
	}
	kinds, text := w.events()
	if kinds["certificate.refused"] != len(cases) || kinds["certificate.intent"] != 0 || w.signatures() != 0 {
		t.Errorf("%v, %d signatures", kinds, w.signatures())
	}
	if strings.Contains(text, "Jansen") || strings.Contains(text, "592123456789") {
		t.Error("the audit tells who")
	}
}

func (e *enrolment) age(c claims, d time.Duration) {
	iat := e.w.now().Add(-d).Unix()
	c["iat"], c["exp"] = iat, iat+300
}

func (e *enrolment) both(claim string, v any) { e.leg1[claim], e.leg2[claim] = v, v }

// otherSigner makes a request for key that another key signed.
func otherSigner(t *testing.T, key crypto.Signer) []byte {
	der := got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(t)
	der[len(der)-1] ^= 1
	return der
}

func signManifest(t *testing.T, m consent.Manifest) consent.Manifest {
	docs := []consent.Doc{{Alg: "SHA-256", Doc: b64hash([]byte("d")), DTBS: b64hash([]byte("s")), Label: "Contract.pdf"}}
	m.Op, m.Application, m.Sub = consent.OpSign, "", "sub-at-"+confirmClient
	m.Docs, m.Root = docs, got(consent.Root(docs))(t)
	m.Cred = &consent.Cred{CertSHA256: b64hash([]byte("c")), ID: "cred_1"}
	m.Template = &consent.Template{Name: token.TemplateFreeText, Text: got(consent.SignText("en", docs, got(consent.CheckCode(m.Root))(t), ""))(t)}
	return m
}

func TestKindsThatAreAccepted(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(e *enrolment){
		"P-384": func(e *enrolment) { e.key = got(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t) },
		"RSA-3072, request by PSS": func(e *enrolment) {
			e.key = got(rsa.GenerateKey(rand.Reader, 3072))(t)
			e.csr = got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: x509.SHA256WithRSAPSS}, e.key))(t)
		},
		"RSA-3072":                        func(e *enrolment) { e.key = got(rsa.GenerateKey(rand.Reader, 3072))(t) },
		"Dutch text":                      func(e *enrolment) { e.language = "nl" },
		"identification old, consent new": func(e *enrolment) { e.age(e.leg1, 14*time.Minute); e.ident.Iat -= 840 },
		"one name":                        func(e *enrolment) { e.both(token.ClaimGivenName, ""); e.both(token.ClaimName, "Sukarno") },
		"diacritics": func(e *enrolment) {
			e.both(token.ClaimName, "Jiří Weiß Ωmega")
			e.both(token.ClaimFamilyName, "Weiß Ωmega")
		},
		"country not told": func(e *enrolment) {
			delete(e.leg1, token.ClaimIssuingCountry)
			delete(e.leg2, token.ClaimIssuingCountry)
		},
		"birthdate as text only": func(e *enrolment) { delete(e.leg1, token.ClaimBirthdate); delete(e.leg2, token.ClaimBirthdate) },
		"sub expected":           func(e *enrolment) { e.confirm.Sub = "sub-at-" + confirmClient },
	} {
		e := w.enrolment()
		change(e)
		if _, err := w.front.Issue(t.Context(), e.order()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokensAndKeysAreUsedOnceForEver(t *testing.T) {
	w := newWorld(t)
	e := w.enrolment()
	order := e.order()
	got(w.front.Issue(t.Context(), order))(t)
	for name, tc := range map[string]struct {
		want  string
		order func() ca.IssueRequest
	}{
		"same tokens, new request bytes": {ca.CodeReplayed, func() ca.IssueRequest {
			r := order
			r.CSR = got(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, e.key))(t)
			return r
		}},
		"same key, all else new": {ca.CodeKeyUsed, func() ca.IssueRequest {
			n := w.enrolment()
			n.key = e.key
			return n.order()
		}},
		"same application id, new key": {ca.CodeKeyUsed, func() ca.IssueRequest {
			n := w.enrolment()
			n.app.ID = e.app.ID
			return n.order()
		}},
	} {
		if _, err := w.front.Issue(t.Context(), tc.order()); code(err) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
		w.start()
		if _, err := w.front.Issue(t.Context(), tc.order()); code(err) != tc.want {
			t.Errorf("%s, after a restart: %v", name, err)
		}
	}
	if w.signatures() != 1 {
		t.Errorf("%d signatures", w.signatures())
	}
}

func TestItsmeAwayIsRetryable(t *testing.T) {
	w := newWorld(t)
	order := w.enrolment().order()
	w.keys.down = true
	_, err := w.front.Issue(t.Context(), order)
	e := asWire(err)
	if e == nil || e.Code != ca.CodeItsme || !e.Retryable || e.Status != http.StatusServiceUnavailable {
		t.Fatalf("%v", err)
	}
	w.keys.down = false
	if _, err := w.front.Issue(t.Context(), order); err != nil {
		t.Errorf("the same order later: %v", err)
	}
}

// TestLintStopsIssuance: a configuration that breaks the profile stops the
// start, and where only one person's data would, the order; the key is unused.
func TestLintStopsTheStart(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(c *authority.Config){
		"disclosure over http":  func(c *authority.Config) { c.PDS = []certs.PDS{{URL: "http://x.example", Language: "en"}} },
		"no disclosure":         func(c *authority.Config) { c.PDS = nil },
		"no English disclosure": func(c *authority.Config) { c.PDS[0].Language = "nl" },
		"CPS is no address":     func(c *authority.Config) { c.CPSURL = "our practice" },
		"CRL over https":        func(c *authority.Config) { c.PublicURL = "https://x.example/pki" },
	} {
		cfg := w.cfg
		cfg.PDS = slices.Clone(cfg.PDS)
		cfg.DB = w.path("other.db")
		change(&cfg)
		if r, err := authority.New(t.Context(), cfg, w.dependencies()); err == nil {
			t.Errorf("%s: starts", name)
			_ = r.Close()
		} else if !strings.Contains(err.Error(), "lint") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.signatures() != 0 {
		t.Errorf("%d signatures", w.signatures())
	}
}

func TestBadConfigurations(t *testing.T) {
	w := newWorld(t)
	other := ecKey(t)
	w.write("strange.crt", got(certs.Issue(certs.Issuer{Signer: other}, certs.Order{
		Profile: certs.Root, Subject: subject("Tekend SANDBOX Root of another"), PublicKey: other.Public(), NotBefore: w.now(), NotAfter: w.now().AddDate(9, 0, 0),
	}))(t))
	for name, change := range map[string]func(c *authority.Config, d *authority.Dependencies){
		"no clock":         func(c *authority.Config, _ *authority.Dependencies) { c.Now = nil },
		"no database":      func(c *authority.Config, _ *authority.Dependencies) { c.DB = "" },
		"one client":       func(c *authority.Config, _ *authority.Dependencies) { c.IdentClient = c.ConfirmClient },
		"life":             func(c *authority.Config, _ *authority.Dependencies) { c.Life = 4 * 365 * 24 * time.Hour },
		"CRL life":         func(c *authority.Config, _ *authority.Dependencies) { c.CRLLife = 48 * time.Hour },
		"token age":        func(c *authority.Config, _ *authority.Dependencies) { c.MaxAge = time.Hour },
		"terms":            func(c *authority.Config, _ *authority.Dependencies) { c.TermsSHA256 = "abc" },
		"country":          func(c *authority.Config, _ *authority.Dependencies) { c.DefaultCountry = "Belgium" },
		"root missing":     func(c *authority.Config, _ *authority.Dependencies) { c.RootFile = "/nowhere" },
		"not the root":     func(c *authority.Config, _ *authority.Dependencies) { c.RootFile = c.TSUFile },
		"a strange unit":   func(c *authority.Config, _ *authority.Dependencies) { c.TSUFiles = []string{w.path("strange.crt")} },
		"CRL is no CRL":    func(c *authority.Config, _ *authority.Dependencies) { c.RootCRLFile = c.RootFile },
		"another CA key":   func(_ *authority.Config, d *authority.Dependencies) { d.Signer = other },
		"no key":           func(_ *authority.Config, d *authority.Dependencies) { d.Signer = nil },
		"no OCSP key":      func(_ *authority.Config, d *authority.Dependencies) { d.OCSP = nil },
		"issuer's name":    func(c *authority.Config, _ *authority.Dependencies) { c.IssuerName = "../ca" },
		"responder's life": func(c *authority.Config, _ *authority.Dependencies) { c.ResponderLife = 91 * 24 * time.Hour },
		"OCSP life":        func(c *authority.Config, _ *authority.Dependencies) { c.OCSPLife = 25 * time.Hour },
		"no keys of itsme": func(_ *authority.Config, d *authority.Dependencies) { d.Keys = nil },
	} {
		cfg, dep := w.cfg, w.dependencies()
		cfg.DB = w.path("other.db")
		change(&cfg, &dep)
		if r, err := authority.New(t.Context(), cfg, dep); err == nil {
			t.Errorf("%s: starts", name)
			_ = r.Close()
		}
	}
}

func asWire(err error) *wire.Error {
	e, _ := err.(*wire.Error)
	return e
}
