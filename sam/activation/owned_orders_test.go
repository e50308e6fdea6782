package activation_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/cms"
	"tekend/consent"
	orders "tekend/order"
	"tekend/pdf"
	"tekend/sam"
	"tekend/sam/activation"
)

// ordering is a world in which two providers have registered a key each, and orders must be signed.
type ordering struct {
	*world
	acme, beta, foreign *ecdsa.PrivateKey
	cred                sam.Credential
}

func newOrdering(t *testing.T) *ordering {
	t.Helper()
	o := &ordering{acme: ecKey(t), beta: ecKey(t), foreign: ecKey(t)}
	dir := t.TempDir()
	register := func(name string, k *ecdsa.PrivateKey) activation.ProviderConfig {
		path := filepath.Join(dir, name+".pem")
		der := got(x509.MarshalPKIXPublicKey(k.Public()))(t)
		must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
		return activation.ProviderConfig{Name: name, KeyFiles: []string{path}}
	}
	o.world = newOwnedWorld(t, func(c *activation.Config) {
		c.ProviderSigned = "required"
		c.Providers = []activation.ProviderConfig{register("acme", o.acme), register("beta", o.beta)}
	})
	o.cred = o.enrol("approve")
	return o
}

// file is a document of a provider's, as the front prepares it.
type file struct {
	bytes []byte
	doc   sam.Document
}

// prepared makes of one of the sample files what the front sends; more makes another file of it.
func (o *ordering) prepared(label, more string) file {
	t := o.t
	t.Helper()
	b := got(os.ReadFile("../../testdata/pdf/fpdf2.pdf"))(t)
	b = append(b, "\n%"+more+"\n"...)
	a := cms.Algorithm(o.cred.Algorithm)
	p := got(pdf.Prepare(bytes.NewReader(b), int64(len(b)), pdf.Options{SignatureTime: o.now(), Reserve: 9000, Hash: a.Hash()}))(t)
	base := p.Base()
	return file{b, sam.Document{
		Label: label, Alg: "SHA-256", Digest: p.Digest, SignedAttrs: got(a.SignedAttributes(p.Digest, leaf(t, o.cred)))(t), Base: &base,
	}}
}

// signed is an order by a provider about whole files.
func (o *ordering) signed(provider string, key *ecdsa.PrivateKey, change func(*orders.Order), files ...file) string {
	var docs []orders.Document
	for _, f := range files {
		a, b := sha256.Sum256(f.bytes), sha512.Sum384(f.bytes)
		docs = append(docs, orders.NewDocument(a[:], b[:]))
	}
	ord := orders.New(provider, docs, o.now(), time.Hour)
	if change != nil {
		change(&ord)
	}
	return got(orders.Sign(ord, key))(o.t)
}

func (o *ordering) request(provider, jws string, files ...file) sam.PrepareRequest {
	r := order(o.cred, nil)
	r.Provider, r.Order = provider, jws
	for _, f := range files {
		r.Documents = append(r.Documents, f.doc)
	}
	return r
}

// swapped is what an owned front would like to have confirmed under an order about other files.
func (o *ordering) swapped() map[string]sam.PrepareRequest {
	a, b := o.prepared("Lease.pdf", "a"), o.prepared("Sale.pdf", "b")
	jws := o.signed("acme", o.acme, nil, a)
	both := o.signed("acme", o.acme, nil, a, b)
	all := map[string]sam.PrepareRequest{
		"no order":                      o.request("", "", a),
		"a name and no order":           o.request("acme", "", a),
		"an order and no name":          o.request("", jws, a),
		"another document":              o.request("acme", jws, b),
		"one document more":             o.request("acme", jws, a, b),
		"one document less":             o.request("acme", both, a),
		"documents exchanged":           o.request("acme", both, b, a),
		"a foreign key":                 o.request("acme", o.signed("acme", o.foreign, nil, a), a),
		"the key of another provider":   o.request("acme", o.signed("acme", o.beta, nil, a), a),
		"the order of another provider": o.request("acme", o.signed("beta", o.beta, nil, a), a),
		"under another name":            o.request("beta", jws, a),
		"of an unknown provider":        o.request("gamma", o.signed("gamma", o.foreign, nil, a), a),
		"expired": o.request("acme", o.signed("acme", o.acme, func(x *orders.Order) {
			x.Iat, x.Exp = x.Iat-7200, x.Iat-1
		}, a), a),
		"of tomorrow": o.request("acme", o.signed("acme", o.acme, func(x *orders.Order) {
			x.Iat, x.Exp = x.Iat+86400, x.Exp+86400
		}, a), a),
		"cut": o.request("acme", jws[:len(jws)-6], a),
		"its payload changed": o.request("acme", strings.Join([]string{
			strings.Split(jws, ".")[0], strings.Split(o.signed("acme", o.foreign, nil, b), ".")[1], strings.Split(jws, ".")[2],
		}, "."), b),
	}
	// The update behind the ordered file.
	base := func(name string, change func(*pdf.Base)) {
		x := a
		c := *a.doc.Base
		c.State, c.Before, c.After = bytes.Clone(c.State), bytes.Clone(c.Before), bytes.Clone(c.After)
		change(&c)
		x.doc.Base = &c
		all["base: "+name] = o.request("acme", jws, x)
	}
	base("the state of another file", func(c *pdf.Base) { c.State = b.doc.Base.State })
	base("one bit of the state", func(c *pdf.Base) { c.State[0] ^= 1 })
	base("another size", func(c *pdf.Base) { c.Size += 64 })
	base("a changed update", func(c *pdf.Base) { c.Before[len(c.Before)/2] ^= 1 })
	base("no update", func(c *pdf.Base) { c.Before, c.After = nil, nil })
	none := a
	none.doc.Base = nil
	all["the prepared document as if it had been ordered"] = o.request("acme", jws, none)
	for name, insert := range map[string]string{
		"draws":        "900 0 obj\n<</Type/Annot/Subtype/FreeText/Contents(I owe you)/Rect[0 0 99 99]>>\nendobj\n",
		"runs":         "900 0 obj\n<</S/JavaScript/JS(app.alert)>>\nendobj\n",
		"has a stream": "900 0 obj\n<</Length 3>>\nstream\nq Q\nendstream\nendobj\n",
	} {
		all["an update that "+name] = o.request("acme", jws, o.drawn(a, insert))
	}
	return all
}

// drawn is the ordered file with an update that does more, digests and attributes made right.
func (o *ordering) drawn(f file, insert string) file {
	t := o.t
	t.Helper()
	c := *f.doc.Base
	at := bytes.Index(c.Before, []byte(" 0 obj"))
	at = bytes.LastIndexByte(c.Before[:at], '\n') + 1
	c.Before = append(append(bytes.Clone(c.Before[:at]), insert...), c.Before[at:]...)
	a := cms.Algorithm(o.cred.Algorithm)
	_, digest, err := c.Digests(a.Hash())
	must(t, err)
	f.doc.Digest, f.doc.SignedAttrs, f.doc.Base = digest, got(a.SignedAttributes(digest, leaf(t, o.cred)))(t), &c
	return f
}

// TestOwnedFrontOrders: with provider_signed required, an owned front has nothing confirmed but what a provider signed.
func TestOwnedFrontOrders(t *testing.T) {
	o := newOrdering(t)
	used, audited, accepted := o.uses(), o.refusals(), 0
	cases := o.swapped()
	for name, r := range cases {
		p, err := o.front.Prepare(t.Context(), r)
		if err == nil {
			accepted++
			t.Errorf("%s was accepted: %s", name, p.Text)
		}
		if c := code(err); c != sam.CodeOrderRefused && c != sam.CodeOrderRequired && c != sam.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.figure("orders with other documents than the provider signed", len(cases), accepted, o.refusals()-audited, o.uses()-used)

	// And what the provider signed goes its way, with its order in the evidence.
	x, y := o.prepared("Lease.pdf", "a"), o.prepared("Sale.pdf", "b")
	jws := o.signed("acme", o.acme, nil, x, y)
	p := got(o.front.Prepare(t.Context(), o.request("acme", jws, x, y)))(t)
	s := got(o.front.Authorize(t.Context(), p.Nonce, o.at(p.AuthorizationURL, "")))(t)
	signed := got(o.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0, 1}}))(t)
	checkValues(t, o.cred, []sam.Document{x.doc, y.doc}, signed.Values)
	q := "SELECT COUNT(*) FROM orders WHERE nonce = '" + p.Nonce + "' AND provider = 'acme' AND jws = '" + jws + "'"
	if n := o.number(q); n != 1 {
		t.Errorf("the order of the signature is kept %d times", n)
	}
	m := got(consent.DecodeManifest(p.Manifest))(t)
	if len(m.Docs) != 2 || m.Docs[0].Doc != b64(x.doc.Digest) {
		t.Errorf("%+v", m.Docs)
	}
}
