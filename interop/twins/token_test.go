//go:build interop

package twins

import (
	"bytes"
	"crypto"
	"math/big"
	"slices"
	"testing"
	"time"

	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
)

// forgery makes another token of a good one. The unit signs it again where
// the name does not say otherwise, so that the defect alone is at fault.
type forgery struct {
	class, name string
	forge       func(token []byte) []byte
}

// field is the place in a TSTInfo of a field after genTime, by its tag.
func field(info *node, tag casn1.Tag) int {
	i := slices.IndexFunc(info.inner[5:], func(n *node) bool { return n.tag == tag })
	if i < 0 {
		return -1
	}
	return i + 5
}

// forgeries are one for each field of a token.
func (w *world) forgeries(t testing.TB) []forgery {
	// info changes the TSTInfo; the unit, or nobody, signs.
	var out []forgery
	token := func(class, name string, by *unitOf, change func(c *signed)) {
		out = append(out, forgery{class, name, func(good []byte) []byte {
			c := openCMS(t, good)
			change(c)
			if by != nil {
				c.resign(by.key, crypto.SHA256, nil)
			}
			return c.root.der()
		}})
	}
	unit := &unitOf{w.unitKey, w.unit}
	info := func(class, name string, change func(n *node)) {
		edit := func(c *signed) { n := c.info(); change(n); c.put(n) }
		token(class, name, unit, edit)
		token(class, name+", value broken", nil, edit)
	}
	at := func(d time.Duration) []byte { return []byte(time.Now().Add(d).UTC().Format("20060102150405Z")) }
	info("imprint", "of another digest", func(n *node) { n.inner[2].flip() })
	info("imprint", "shorter", func(n *node) { h := n.inner[2].inner[1]; h.value = h.value[:20] })
	info("imprint", "of another hash", func(n *node) { n.inner[2].inner[0].inner[0] = sha384(t) })
	info("imprint", "by SHA-1", func(n *node) { n.inner[2].inner[0].inner[0] = oid(t, 0x2B, 0x0E, 3, 2, 0x1A) })
	info("genTime", "tomorrow", func(n *node) { n.inner[4].value = at(24 * time.Hour) })
	info("genTime", "in five years", func(n *node) { n.inner[4].value = at(5 * 365 * 24 * time.Hour) })
	info("genTime", "before the unit's certificate", func(n *node) { n.inner[4].value = at(-60 * 24 * time.Hour) })
	info("genTime", "no time", func(n *node) { n.inner[4].value = []byte("20261301000000Z") })
	info("genTime", "without zone", func(n *node) { n.inner[4].value = at(0)[:14] })
	info("policy", "changed", func(n *node) { n.inner[1].flip() })
	info("serial", "changed", func(n *node) { n.inner[3].flip() })
	info("serial", "negative", func(n *node) { n.inner[3].value = []byte{0x80} })
	info("serial", "longer than 160 bits", func(n *node) { n.inner[3].value = bytes.Repeat([]byte{1}, 40) })
	info("nonce", "changed", func(n *node) {
		if i := field(n, casn1.INTEGER); i >= 0 {
			n.inner[i].flip()
		} else {
			n.inner = append(n.inner, leaf(casn1.INTEGER, 1))
		}
	})
	info("version", "2", func(n *node) { n.inner[0].value = []byte{2} })
	info("extension", "unknown critical", func(n *node) {
		e := composed(casn1.SEQUENCE, oid(t, 0x2A, 3, 4), leaf(casn1.BOOLEAN, 0xFF), leaf(casn1.OCTET_STRING, 5, 0))
		if i := field(n, tagged(1)); i >= 0 {
			n.inner[i].inner = append(n.inner[i].inner, e)
		} else {
			n.inner = append(n.inner, composed(tagged(1), e))
		}
	})
	info("tsa", "another name", func(n *node) {
		name := composed(tagged(0), composed(tagged(4), tree(t, w.issuing.RawSubject)))
		if i := field(n, tagged(0)); i >= 0 {
			n.inner[i] = name
		} else {
			n.inner = append(n.inner, name)
		}
	})
	for name, by := range map[string]unitOf{"a stranger's": w.stranger, "expired": w.expired, "without its purpose": w.noEKU, "the signer's": {w.p256.key, w.p256.leaf}} {
		token("unit", name, &by, func(c *signed) {
			c.certs.inner = []*node{tree(t, by.cert.Raw), tree(t, w.root.Raw)}
			c.names(by.cert)
		})
		token("unit", name+", beside the good one", &by, func(c *signed) { c.certs.inner = append(c.certs.inner, tree(t, by.cert.Raw)); c.names(by.cert) })
	}
	token("unit", "another key", &w.stranger, func(*signed) {})
	token("unit", "its certificate changed", nil, func(c *signed) { c.certs.inner[0].flip() })
	token("value", "last byte", nil, func(c *signed) { c.value().flip() })
	token("value", "empty", nil, func(c *signed) { c.value().value = nil })
	token("attributes", "signing-certificate removed", unit, func(c *signed) { c.attrs.drop(c.attr(signingCert(t))) })
	token("attributes", "signing-certificate of another", unit, func(c *signed) { c.attrs.inner[c.attr(signingCert(t))].flip() })
	token("attributes", "message-digest of another", unit, func(c *signed) { c.attrs.inner[c.attr(messageDigest(t))].flip() })
	token("attributes", "message-digest removed", unit, func(c *signed) { c.attrs.drop(c.attr(messageDigest(t))) })
	token("attributes", "content-type removed", unit, func(c *signed) { c.attrs.drop(c.attr(contentType(t))) })
	token("attributes", "content-type is data", unit, func(c *signed) {
		c.attrs.inner[c.attr(contentType(t))].inner[1].inner[0] = oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1)
	})
	token("frame", "eContentType is data", nil, func(c *signed) { c.sd.inner[2].inner[0] = oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1) })
	token("frame", "no eContent", nil, func(c *signed) { c.sd.inner[2].drop(1) })
	token("frame", "two signers", nil, func(c *signed) { c.sd.inner[len(c.sd.inner)-1].double(0) })
	token("frame", "version 1", nil, func(c *signed) { c.sd.inner[0] = leaf(casn1.INTEGER, 1) })
	return out
}

// tokenTwins puts each forged token into the place of a signature time-stamp
// (B-T), of a document time-stamp and of an archive time-stamp.
func (w *world) tokenTwins(t testing.TB, p *products) []twin {
	t.Helper()
	var out []twin
	bt := p.bt["P-256"]
	sig := signatures(t, bt)[0]
	lta := p.lta["PSS"]
	doc := signatures(t, lta)[1]
	lt := w.cadesLT(t, w.p256, w.genuine(t))
	for _, f := range w.forgeries(t) {
		c := openCMS(t, sig.CMS)
		i := slices.IndexFunc(c.others.inner, func(a *node) bool { return bytes.Equal(a.inner[0].value, timeStamp(t).value) })
		values := c.others.inner[i].inner[1]
		values.inner[0] = tree(t, f.forge(values.inner[0].der()))
		out = append(out, twin{class: "signature time-stamp: " + f.class, name: f.name, file: embed(t, bt, sig, c.root.der()), aside: true, of: w.p256},
			twin{class: "document time-stamp: " + f.class, name: f.name, file: embed(t, lta, doc, f.forge(doc.CMS)), of: w.pss})
		der := w.cadesForged(t, lt, f)
		out = append(out, twin{class: "archive time-stamp: " + f.class, name: f.name, file: der, content: w.content, of: w.p256})
	}
	c := openCMS(t, sig.CMS)
	c.others.double(0)
	out = append(out, twin{class: "signature time-stamp: copied", name: "attribute twice", file: embed(t, bt, sig, c.root.der()), aside: true, of: w.p256})
	c = openCMS(t, sig.CMS)
	c.others.inner[0].inner[1].double(0)
	out = append(out, twin{class: "signature time-stamp: copied", name: "value twice", file: embed(t, bt, sig, c.root.der()), aside: true, of: w.p256})
	again := archive(t, lta, func([]byte) []byte { return doc.CMS })
	out = append(out, twin{class: "document time-stamp: copied", name: "into another field", file: again, of: w.pss})
	out = append(out, twin{class: "document time-stamp: copied", name: "a signature in its place", file: embed(t, lta, doc, sig.CMS), of: w.pss})
	return out
}

// cadesForged is lt archived by a forged token; what the package cms would not
// write is put there by hand.
func (w *world) cadesForged(t testing.TB, lt cms.Parts, f forgery) []byte {
	t.Helper()
	good := w.cadesLTA(t, lt, nil)
	c := openCMS(t, assembled(t, good))
	last := c.others.inner[len(c.others.inner)-1].inner[1]
	for _, a := range c.others.inner {
		if v := a.inner[1].inner[0].der(); bytes.Equal(v, good.Archive[0]) {
			last = a.inner[1]
		}
	}
	// The hash index is an unsigned attribute of the token, which a forgery keeps.
	last.inner[0] = tree(t, f.forge(good.Archive[0]))
	return c.root.der()
}

// serial is one that nobody has.
func serial() *big.Int { return big.NewInt(time.Now().UnixNano()) }
