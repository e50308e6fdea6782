package activation_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/cms"
	"tekend/consent"
	"tekend/hsm"
	orders "tekend/order"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

var hashNames = map[crypto.Hash]string{crypto.SHA256: consent.SHA256, crypto.SHA384: consent.SHA384, crypto.SHA512: consent.SHA512}

// form is how the test makes the signed attributes of a document.
type form struct {
	hash crypto.Hash
	at   time.Time // zero: the PAdES form
	mime string
}

// documentBy is a document whose digest is of its text, by a hash of the test's choice.
func documentBy(t testing.TB, c sam.Credential, f form, text string) sam.Document {
	t.Helper()
	a := got(cms.Algorithm(c.Algorithm).WithHash(f.hash))(t)
	h := f.hash.New()
	h.Write([]byte(text))
	d := sam.Document{Label: text + ".pdf", Alg: hashNames[f.hash], Digest: h.Sum(nil)}
	if f.at.IsZero() {
		d.SignedAttrs = got(a.SignedAttributes(d.Digest, leaf(t, c)))(t)
	} else {
		d.SignedAttrs = got(a.CAdESAttributes(d.Digest, leaf(t, c), f.at, f.mime))(t)
	}
	return d
}

// verifies checks a value with the standard library, by the family of the key and the hash.
func verifies(pub crypto.PublicKey, pss bool, h crypto.Hash, attributes, value []byte) bool {
	w := h.New()
	w.Write(attributes)
	sum := w.Sum(nil)
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, sum, value)
	case *rsa.PublicKey:
		if pss {
			return rsa.VerifyPSS(k, h, sum, value, &rsa.PSSOptions{SaltLength: h.Size(), Hash: h}) == nil
		}
		return rsa.VerifyPKCS1v15(k, h, sum, value) == nil
	}
	return false
}

// TestEveryFamilySignsByEveryHash: whatever the key's usual hash is, the documents' one is taken, in the PAdES and the CAdES
// form; each position is one C_Sign, and the value says which algorithm it is by.
func TestEveryFamilySignsByEveryHash(t *testing.T) {
	names := map[hsm.KeyKind]string{hsm.P256: "ecdsa-with-SHA%d", hsm.P384: "ecdsa-with-SHA%d", hsm.RSA3072: "sha%dWithRSAEncryption", hsm.RSA3072PSS: "RSASSA-PSS-SHA%d"}
	for _, kind := range hsm.UserKinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, func(c *activation.Config) { c.KeyType = kind })
			cred := w.enrol("approve")
			for h, alg := range hashNames {
				docs := []sam.Document{
					documentBy(t, cred, form{hash: h}, "pades "+alg),
					documentBy(t, cred, form{hash: h, at: w.now()}, "cades "+alg),
					documentBy(t, cred, form{hash: h, at: w.now(), mime: "application/pdf"}, "cades with its type "+alg),
				}
				used := w.signatures()
				p := w.prepare(cred, docs)
				m := got(consent.DecodeManifest(p.Manifest))(t)
				s := got(w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(t)
				signed := got(w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0, 1, 2}}))(t)
				if n := w.signatures() - used; n != len(docs) || len(signed.Values) != len(docs) {
					t.Errorf("%s: %d uses of the key and %d values for %d documents", alg, n, len(signed.Values), len(docs))
				}
				for i, v := range signed.Values {
					if want := fmt.Sprintf(names[kind], 8*h.Size()); v.Algorithm != want || m.Docs[i].Alg != alg || m.Docs[i].Origin != "" {
						t.Errorf("%s: a value by %s, want %s; %+v", alg, v.Algorithm, want, m.Docs[i])
					}
					if !verifies(leaf(t, cred).PublicKey, kind == hsm.RSA3072PSS, h, docs[i].SignedAttrs, v.Value) {
						t.Errorf("%s: value %d does not verify", alg, i)
					}
				}
				st := got(w.front.Confirmation(t.Context(), p.Nonce))(t)
				if v := st.Positions[0].Value; v == nil || v.Algorithm != signed.Values[0].Algorithm {
					t.Errorf("%s: the status says %+v", alg, st.Positions[0])
				}
			}
		})
	}
}

// TestHashOrders: the person reads that nobody saw the documents, the record counts the hashes, and the policy decides.
func TestHashOrders(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	docs := documents(t, cred, 2)
	for i := range docs {
		docs[i].Hash = true
	}
	p := w.prepare(cred, docs)
	m := got(consent.DecodeManifest(p.Manifest))(t)
	if !strings.Contains(p.Text, "</b><br><i>Only hashes were supplied: the documents were not seen here</i><br>1. ") || m.Docs[0].Origin != consent.OriginHash || m.Docs[1].Origin != consent.OriginHash {
		t.Errorf("%s %+v", p.Text, m.Docs)
	}
	// itsme was asked to show this very text, and the check code is the documents' own.
	asked := got(url.Parse(p.AuthorizationURL))(t)
	if asked.Query().Get("request") == "" && asked.Query().Get("request_uri") == "" {
		t.Error(p.AuthorizationURL)
	}
	s := got(w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(t)
	checkValues(t, cred, docs, got(w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0, 1}}))(t).Values)
	plain := w.prepare(cred, documents(t, cred, 2))
	if plain.CheckCode != p.CheckCode || strings.Contains(plain.Text, "seen") {
		t.Errorf("%s\n%s", p.Text, plain.Text)
	}
	counted := map[string]string{}
	for _, r := range w.rows() {
		if r.kind == "confirmation.prepared" {
			counted[r.subject] = r.detail["hashes"]
		}
	}
	if counted[p.Nonce] != "2" || counted[plain.Nonce] != "" {
		t.Errorf("the record says %q and %q", counted[p.Nonce], counted[plain.Nonce])
	}
	dutch := order(cred, docs[:1])
	dutch.Language = "nl"
	if p := got(w.front.Prepare(t.Context(), dutch))(t); !strings.Contains(p.Text, "<i>Alleen een hash is aangeleverd: het document is hier niet gezien</i>") {
		t.Error(p.Text)
	}
	for _, policy := range []string{"signed", "forbidden"} {
		w.cfg.HashOrders = policy
		w.start()
		w.zero([]string{sam.CodeHashOrdersRefused}, func() {
			_, err := w.front.Prepare(t.Context(), order(cred, docs))
			w.refused(err, sam.CodeHashOrdersRefused)
		})
		w.prepare(cred, documents(t, cred, 2)) // documents are as welcome as ever
	}
	w.cfg.HashOrders = "sometimes"
	w.halt()
	if err := w.tryStart(); err == nil || !strings.Contains(err.Error(), "hash_orders") {
		t.Error(err)
	}
}

// TestTheLargestHashOrderFits: 250 hashes by SHA-512 with CAdES attributes, the longest labels and media types, and the
// provider's order of them, in one message; and its manifest in the answer.
func TestTheLargestHashOrderFits(t *testing.T) {
	o := newOrdering(t)
	r := o.ordered("", nil...)
	var digests [][]byte
	for i := range sam.MaxDocuments {
		d := documentBy(t, o.cred, form{crypto.SHA512, o.now(), "application/vnd.openxmlformats-officedocument.presentationml.slideshow"}, fmt.Sprint(i))
		d.Hash, d.Label = true, strings.Repeat("é", 53)+fmt.Sprintf("%03d.pdf", i)
		r.Documents, digests = append(r.Documents, d), append(digests, d.Digest)
	}
	r.Order = o.signedDigests(crypto.SHA512, digests...)
	p := got(o.front.Prepare(t.Context(), r))(t)
	size := len(got(json.Marshal(r))(t))
	t.Logf("the order of %d hashes has %d bytes of at most %d, its manifest %d of at most %d", len(r.Documents), size, wire.MaxBody, len(p.Manifest), consent.MaxManifest)
}

// hostile are orders that an owned front could send of hashes, algorithms and claims; each is refused with its code.
func (w *world) hostile(cred sam.Credential) (codes map[string]string, all map[string]sam.PrepareRequest) {
	t := w.t
	all, codes = map[string]sam.PrepareRequest{}, map[string]string{}
	add := func(name, code string, docs ...sam.Document) { all[name], codes[name] = order(cred, docs), code }
	by := func(h crypto.Hash) sam.Document { return documentBy(t, cred, form{hash: h}, name(h)) }
	with := func(d sam.Document, change func(*sam.Document)) sam.Document { change(&d); return d }
	cades := func(at time.Time, mime string) sam.Document {
		return documentBy(t, cred, form{crypto.SHA256, at, mime}, "cades")
	}
	add("hash and document mixed", sam.CodeBadRequest, with(by(crypto.SHA256), func(d *sam.Document) { d.Hash = true }), cades(w.now(), ""))
	add("two algorithms mixed", sam.CodeBadRequest, by(crypto.SHA256), by(crypto.SHA384))
	add("the algorithm of the attributes is another", sam.CodeAttributesRefused, with(by(crypto.SHA256), func(d *sam.Document) { d.SignedAttrs = by(crypto.SHA512).SignedAttrs }))
	add("alg says more than the digest is", sam.CodeBadRequest, with(by(crypto.SHA256), func(d *sam.Document) { d.Alg = consent.SHA512 }))
	add("alg says less than the digest is", sam.CodeBadRequest, with(by(crypto.SHA512), func(d *sam.Document) { d.Alg = consent.SHA256 }))
	add("a digest of zeroes", sam.CodeBadRequest, with(by(crypto.SHA512), func(d *sam.Document) { d.Digest = make([]byte, 64) }))
	for _, alg := range []string{"SHA-1", "SHA-224", "SHA3-256", "sha-256", "SHA256", ""} {
		add("alg "+alg, sam.CodeBadRequest, with(by(crypto.SHA256), func(d *sam.Document) { d.Alg = alg }))
	}
	for name, at := range map[string]time.Time{
		"an hour ago": w.now().Add(-time.Hour), "11 minutes ahead": w.now().Add(11 * time.Minute), "yesterday": w.now().AddDate(0, 0, -1), "of 2099": w.now().AddDate(73, 0, 0),
		"before the certificate": leaf(t, cred).NotBefore.Add(-time.Second),
	} {
		add("signing-time "+name, sam.CodeAttributesRefused, cades(at, ""))
	}
	add("a media type as long as can be", sam.CodeAttributesRefused, cades(w.now(), "application/"+strings.Repeat("x", 100)))
	good := cades(w.now(), "text/plain")
	for name, swap := range map[string][2]string{
		"a media type with a parameter": {"text/plain", "text/p;a=b"}, "a media type of two lines": {"text/plain", "text/pla\nn"},
		"a media type beyond ASCII": {"text/plain", "text/pl\xc3\xa9n"[:10]}, "no subtype": {"text/plain", "text-plain"},
	} {
		add(name, sam.CodeAttributesRefused, with(good, func(d *sam.Document) {
			d.SignedAttrs = []byte(strings.Replace(string(d.SignedAttrs), swap[0], swap[1], 1))
		}))
	}
	for i := range good.SignedAttrs { // anything unknown: bytes of the CAdES attributes, all over them
		if i%3 == 0 {
			changed := with(good, func(d *sam.Document) {
				d.SignedAttrs = append([]byte{}, d.SignedAttrs...)
				d.SignedAttrs[i] ^= 0x80
			})
			add(fmt.Sprintf("attributes with byte %d changed", i), sam.CodeAttributesRefused, changed)
		}
	}
	add("an attribute too many", sam.CodeAttributesRefused, with(good, func(d *sam.Document) { d.SignedAttrs = extended(d.SignedAttrs) }))
	named := order(cred, []sam.Document{with(by(crypto.SHA256), func(d *sam.Document) { d.Hash = true })})
	named.Provider = "bank"
	all["a provider's name without an order"], codes["a provider's name without an order"] = named, sam.CodeBadRequest
	return codes, all
}

func name(h crypto.Hash) string { return hashNames[h] }

// extended is a SET OF attributes with one more that is well formed: content-hints, say, of another OID.
func extended(der []byte) []byte {
	more := []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x63, 0x31, 0x00}
	inner := append(append([]byte{}, der[4:]...), more...) // 31 82 LL LL: ours are longer than 255 bytes
	return append([]byte{0x31, 0x82, byte(len(inner) >> 8), byte(len(inner))}, inner...)
}

// TestOwnedFrontHashes: wrong and mixed algorithms, claims of another time, attributes that are not known, hashes that are
// passed off as documents.
func TestOwnedFrontHashes(t *testing.T) {
	o := newOrdering(t)
	o.cfg.ProviderSigned = "optional"
	o.start()
	codes, cases := o.hostile(o.cred)
	// What a provider ordered is a hash unless it is tied to a file.
	hash := documentBy(t, o.cred, form{hash: crypto.SHA512}, "provided")
	hash.Hash = true
	jws := o.signedDigests(crypto.SHA512, hash.Digest)
	passed := hash
	passed.Hash = false
	tied := o.prepared("Lease.pdf", "a")
	tied.doc.Hash = true
	other := documentBy(t, o.cred, form{hash: crypto.SHA512}, "another")
	other.Hash = true
	weaker := documentBy(t, o.cred, form{hash: crypto.SHA256}, "provided")
	weaker.Hash = true
	dated := o.prepared("Lease.pdf", "a")
	a := cms.Algorithm(o.cred.Algorithm)
	dated.doc.SignedAttrs = got(a.CAdESAttributes(dated.doc.Digest, leaf(t, o.cred), o.now(), ""))(t)
	add := func(name, code string, r sam.PrepareRequest) { cases[name], codes[name] = r, code }
	add("a provider's hash without saying so", sam.CodeOrderRefused, o.ordered(jws, passed))
	add("a hash with a base", sam.CodeBadRequest, o.request("acme", o.signed("acme", o.acme, nil, tied), tied))
	add("a PDF whose attributes state a time", sam.CodeAttributesRefused, o.request("acme", o.signed("acme", o.acme, nil, dated), dated))
	add("another hash than the provider ordered", sam.CodeOrderRefused, o.ordered(jws, other))
	add("the ordered document by another hash", sam.CodeOrderRefused, o.ordered(jws, weaker))
	add("one hash more", sam.CodeOrderRefused, o.ordered(jws, hash, other))
	used, audited, accepted := o.uses(), o.refusals(), 0
	for name, r := range cases {
		p, err := o.front.Prepare(t.Context(), r)
		if err == nil {
			accepted++
			t.Errorf("%s was accepted: %s", name, p.Text)
		}
		if c := code(err); c != codes[name] {
			t.Errorf("%s: %v, want %s", name, err, codes[name])
		}
	}
	o.figure("hashes, algorithms and claims", len(cases), accepted, o.refusals()-audited, o.uses()-used)

	// What is right goes its way, under the policy that takes signed orders alone, and the text names the provider.
	o.cfg.HashOrders, o.cfg.ProviderSigned = "signed", "required"
	o.start()
	p := got(o.front.Prepare(t.Context(), o.ordered(jws, hash)))(t)
	if !strings.Contains(p.Text, "<i>Hash supplied by acme; the document was not seen here</i>") {
		t.Error(p.Text)
	}
	s := got(o.front.Authorize(t.Context(), p.Nonce, o.at(p.AuthorizationURL, "")))(t)
	signed := got(o.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}}))(t)
	if !verifies(leaf(t, o.cred).PublicKey, false, crypto.SHA512, hash.SignedAttrs, signed.Values[0].Value) {
		t.Error("the value does not verify")
	}
}

// signedDigests is an order of hashes by acme.
func (o *ordering) signedDigests(h crypto.Hash, digests ...[]byte) string {
	var docs []orders.Document
	for _, d := range digests {
		docs = append(docs, got(orders.NewDigest(h, d))(o.t))
	}
	return got(orders.Sign(orders.New("acme", docs, o.now(), time.Hour), o.acme))(o.t)
}

func (o *ordering) ordered(jws string, docs ...sam.Document) sam.PrepareRequest {
	r := order(o.cred, docs)
	r.Provider, r.Order = "acme", jws
	return r
}

// TestProvidersAreNamedAsPeopleReadThem: a name that the text could not show, or that could pass for something else in it,
// stops the start.
func TestProvidersAreNamedAsPeopleReadThem(t *testing.T) {
	o := newOrdering(t)
	file := o.cfg.Providers[0].KeyFiles
	o.halt()
	for _, bad := range []string{"<b>acme</b>", "a&b", "acme;", strings.Repeat("a", 61), "acme bank", "abcd-efgh-jkmn-pqrs"} {
		o.cfg.Providers = []activation.ProviderConfig{{Name: bad, KeyFiles: file}}
		if err := o.tryStart(); err == nil {
			t.Errorf("%q was taken", bad)
			o.halt()
		}
	}
}

// TestKeysEndWithTheirAlgorithm: PKCS #1 v1.5 until the end of 2028. Before it certificates end with it; near it no key is
// made any more.
func TestKeysEndWithTheirAlgorithm(t *testing.T) {
	end := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	w := newWorld(t, func(c *activation.Config) { c.KeyType = hsm.RSA3072 })
	notes := func() string { return strings.Join(got(w.front.Health(t.Context()))(t).Notes, "\n") }
	cred := w.enrol("approve")
	if got := leaf(t, cred).NotAfter; !got.Before(end) || got.Before(w.now().AddDate(0, 11, 0)) {
		t.Errorf("the certificate ends on %v", got)
	}
	for _, days := range []int{29, 2} {
		w.shift.Store(int64(time.Until(end.AddDate(0, 0, -days))))
		_, err := w.front.Enrol(t.Context(), sam.EnrolRequest{V: 1, Txn: txn(), Language: "nl", TermsVersion: terms, TermsSHA256: termsDigest()})
		if code(err) != sam.CodeKeyTypeEnded || !strings.Contains(err.Error(), "sam.key_type") {
			t.Errorf("%d days before the end: %v", days, err)
		}
		if !strings.Contains(notes(), "2029-01-01") {
			t.Errorf("operators are not told: %s", notes())
		}
	}
	if n := w.count("key.generated"); n != 1 {
		t.Errorf("%d keys were made", n)
	}
}

// TestACertificateThatOutlivesItsAlgorithm, whoever made it, ends no enrolment; and the key of one from before this rule
// signs nothing after the end.
func TestACertificateThatOutlivesItsAlgorithm(t *testing.T) {
	w := newWorld(t, func(c *activation.Config) { c.KeyType = hsm.RSA3072 })
	st := w.toIssue("approve")
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
	good := got(x509.ParseCertificate(issued.Chain[0]))(t)
	person := got(certs.PersonOf(good.RawSubject))(t)
	at := certs.PublishedBy("http://127.0.0.1:8080/pki", "issuing-ca", "https://sandbox.tekend.example/cps")
	at.PDS = []certs.PDS{{URL: "https://sandbox.tekend.example/pds", Language: "en"}}
	o := certs.Order{
		Profile: certs.NaturalPerson, Subject: person.Subject(), PublicKey: good.PublicKey, Publication: at, Identified: true,
		NotBefore: w.now().Add(-time.Minute), NotAfter: w.now().AddDate(2, 6, 0),
	}
	long := got(certs.Issue(w.issuer, o))(t)
	_, err := w.front.Certificate(t.Context(), st.ID, [][]byte{long, issued.Chain[1]})
	if code(err) != sam.CodeCertificateNotGood || !strings.Contains(err.Error(), "outlives") {
		t.Error(err)
	}
	cred := *got(w.front.Certificate(t.Context(), st.ID, issued.Chain))(t).Credential
	w.exec("UPDATE links SET chain = ? WHERE id = ?", append(append([]byte{}, long...), issued.Chain[1]...), cred.ID)
	must(t, w.role.Reseal(t.Context(), cred.ID))
	w.shift.Store(int64(time.Until(time.Date(2029, 1, 1, 0, 1, 0, 0, time.UTC))))
	cred.Chain[0] = long
	w.zero([]string{sam.CodeCertificateNotGood}, func() {
		_, err := w.front.Prepare(t.Context(), order(cred, documents(t, cred, 1)))
		if code(err) != sam.CodeCertificateNotGood || !strings.Contains(err.Error(), "algorithm") {
			t.Error(err)
		}
	})
}
