//go:build interop

package twins

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// edit is one change of a SignedData. Those of which the name says "signed" have a value that
// is good again, so that only the defect can be at fault.
type edit struct {
	class, name string
	change      func(c *signed)
}

// sha384 is the identifier of the digest algorithm.
func sha384(t testing.TB) *node { return oid(t, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2) }

// frameEdits change the fields of the SignedData and of the SignerInfo.
func (w *world) frameEdits(t testing.TB) []edit {
	number := func(n byte) *node { return leaf(casn1.INTEGER, n) }
	return []edit{
		{"CMS frame", "content type is data", func(c *signed) { c.root.inner[0].value[8] = 1 }},
		{"CMS frame", "content type is EnvelopedData", func(c *signed) { c.root.inner[0].value[8] = 3 }},
		{"CMS version", "0", func(c *signed) { c.sd.inner[0] = number(0) }},
		{"CMS version", "3", func(c *signed) { c.sd.inner[0] = number(3) }},
		{"CMS version", "6", func(c *signed) { c.sd.inner[0] = number(6) }},
		{"CMS version", "negative", func(c *signed) { c.sd.inner[0] = number(0x81) }},
		{"CMS version", "of the signer, 3", func(c *signed) { c.si.inner[0] = number(3) }},
		{"CMS version", "of the signer, 0", func(c *signed) { c.si.inner[0] = number(0) }},
		{"CMS digestAlgorithms", "none", func(c *signed) { c.sd.inner[1].inner = nil }},
		{"CMS digestAlgorithms", "another", func(c *signed) { c.sd.inner[1].inner = []*node{composed(casn1.SEQUENCE, sha384(t))} }},
		{"CMS digestAlgorithms", "twice", func(c *signed) { c.sd.inner[1].double(0) }},
		{"CMS digestAlgorithms", "SHA-1 beside", func(c *signed) {
			c.sd.inner[1].inner = append(c.sd.inner[1].inner, composed(casn1.SEQUENCE, oid(t, 0x2B, 0x0E, 3, 2, 0x1A)))
		}},
		{"CMS eContentType", "TSTInfo", func(c *signed) {
			c.sd.inner[2].inner[0] = oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 4)
		}},
		{"CMS eContentType", "signedData", func(c *signed) { c.sd.inner[2].inner[0].flip() }},
		{"CMS certificates", "none", func(c *signed) { c.certs.inner = nil }},
		{"CMS certificates", "no signer's", func(c *signed) { c.certs.drop(0) }},
		{"CMS certificates", "no issuer's", func(c *signed) { c.certs.inner = c.certs.inner[:1] }},
		{"CMS certificates", "signer's twice", func(c *signed) { c.certs.double(0) }},
		{"CMS certificates", "other order", func(c *signed) { slices.Reverse(c.certs.inner) }},
		{"CMS certificates", "signer's changed value", func(c *signed) { c.certs.inner[0].flip() }},
		{"CMS certificates", "issuer's changed value", func(c *signed) { c.certs.inner[1].flip() }},
		{"CMS certificates", "signer's changed serial", func(c *signed) { c.certs.inner[0].inner[0].inner[1].flip() }},
		{"CMS certificates", "signer's changed key", func(c *signed) { c.certs.inner[0].inner[0].inner[6].flip() }},
		{"CMS certificates", "signer's changed name", func(c *signed) { c.certs.inner[0].inner[0].inner[5].flip() }},
		{"CMS certificates", "signer's changed validity", func(c *signed) { c.certs.inner[0].inner[0].inner[4].flip() }},
		{"CMS certificates", "a stranger's beside", func(c *signed) { c.certs.inner = append(c.certs.inner, tree(t, w.stranger.cert.Raw)) }},
		{"CMS certificates", "another person's for the signer's", func(c *signed) { c.certs.inner[0] = tree(t, w.pss.leaf.Raw) }},
		{"CMS signer identifier", "changed serial", func(c *signed) { c.si.inner[1].inner[1].flip() }},
		{"CMS signer identifier", "changed issuer", func(c *signed) { c.si.inner[1].inner[0].flip() }},
		{"CMS signer identifier", "another person's", func(c *signed) { c.si.inner[1].inner[1].value = tree(t, w.pss.leaf.Raw).inner[0].inner[1].value }},
		{"CMS digestAlgorithm", "another", func(c *signed) { c.si.inner[2].inner[0] = sha384(t) }},
		{"CMS digestAlgorithm", "SHA-1", func(c *signed) { c.si.inner[2].inner[0] = oid(t, 0x2B, 0x0E, 3, 2, 0x1A) }},
		{"CMS signatureAlgorithm", "with SHA-384", func(c *signed) { c.si.inner[4].inner[0] = oid(t, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 3) }},
		{"CMS signatureAlgorithm", "RSA", func(c *signed) {
			c.si.inner[4].inner[0] = oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 0x0B)
		}},
		{"CMS signatureAlgorithm", "with parameters", func(c *signed) { c.si.inner[4].inner = append(c.si.inner[4].inner, leaf(casn1.NULL)) }},
		{"CMS signatureAlgorithm", "Ed25519", func(c *signed) { c.si.inner[4].inner = []*node{oid(t, 0x2B, 0x65, 0x70)} }},
		{"CMS value", "last byte", func(c *signed) { c.value().flip() }},
		{"CMS value", "empty", func(c *signed) { c.value().value = nil }},
		{"CMS value", "zeros", func(c *signed) { c.value().value = make([]byte, 64) }},
		{"CMS value", "a byte more", func(c *signed) { c.value().value = append(c.value().value, 0) }},
		{"CMS value", "a byte less", func(c *signed) { c.value().value = c.value().value[:len(c.value().value)-1] }},
		{"CMS SignerInfos", "twice the same", func(c *signed) { c.sd.inner[len(c.sd.inner)-1].double(0) }},
		{"CMS SignerInfos", "none", func(c *signed) { c.sd.inner[len(c.sd.inner)-1].inner = nil }},
		{"CMS SignerInfos", "a second, broken", func(c *signed) {
			b := tree(t, c.si.der())
			b.inner[1].inner[1].flip()
			set := c.sd.inner[len(c.sd.inner)-1]
			set.inner = append(set.inner, b)
		}},
		{"CMS eContent", "empty", func(c *signed) { c.eContent(nil) }},
		{"CMS eContent", "something", func(c *signed) { c.eContent([]byte("mail")) }},
		{"CMS unsigned attributes", "unknown one", func(c *signed) { c.unsigned(attribute(t, oid(t, 0x2A, 3, 4), leaf(casn1.NULL))) }},
		{"CMS unsigned attributes", "empty set", func(c *signed) {
			if c.others == nil {
				c.si.inner = append(c.si.inner, composed(tagged(1)))
			} else {
				c.others.inner = nil
			}
		}},
		{"CMS unsigned attributes", "countersignature that is none", func(c *signed) {
			c.unsigned(attribute(t, oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 6), leaf(casn1.NULL)))
		}},
		{"CMS unsigned attributes", "a time-stamp that is none", func(c *signed) { c.unsigned(attribute(t, timeStamp(t), composed(casn1.SEQUENCE))) }},
	}
}

func timeStamp(t testing.TB) *node {
	return oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 2, 14)
}

// eContent puts a content of its own into a detached signature.
func (c *signed) eContent(b []byte) {
	c.sd.inner[2].inner = append(c.sd.inner[2].inner[:1], composed(tagged(0), leaf(casn1.OCTET_STRING, b...)))
}

// unsigned adds an unsigned attribute.
func (c *signed) unsigned(a *node) {
	if c.others == nil {
		c.others = composed(tagged(1))
		c.si.inner = append(c.si.inner, c.others)
	}
	c.others.inner = append(c.others.inner, a)
}

// attributeEdits remove, double and change each signed attribute of who's, and sign what that gives.
func (w *world) attributeEdits(t testing.TB, who person) []edit {
	var out []edit
	add := func(name string, change func(c *signed)) {
		out = append(out, edit{"signed attribute, value broken", name, change}, edit{"signed attribute, signed", name, func(c *signed) {
			change(c)
			c.resign(who.key, who.alg.Options(), nil)
		}})
	}
	for name, o := range map[string]*node{"content-type": contentType(t), "message-digest": messageDigest(t), "signing-certificate": signingCert(t), "protection": protection(t)} {
		add(name+" removed", func(c *signed) { c.attrs.drop(c.attr(o)) })
		add(name+" twice", func(c *signed) { c.attrs.double(c.attr(o)) })
		add(name+" changed", func(c *signed) { c.attrs.inner[c.attr(o)].flip() })
		add(name+" without value", func(c *signed) { c.attrs.inner[c.attr(o)].inner[1].inner = nil })
		add(name+" with two values", func(c *signed) { v := c.attrs.inner[c.attr(o)].inner[1]; v.double(0) })
		add(name+" under another type", func(c *signed) { c.attrs.inner[c.attr(o)].inner[0].flip() })
	}
	digest0 := func(c *signed) *node { return c.attrs.inner[c.attr(messageDigest(t))].inner[1].inner[0] }
	add("message-digest is empty", func(c *signed) { digest0(c).value = nil })
	add("message-digest is longer", func(c *signed) { digest0(c).value = append(digest0(c).value, 0) })
	add("content-type is TSTInfo", func(c *signed) {
		c.attrs.inner[c.attr(contentType(t))].inner[1].inner[0] = oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 1, 4)
	})
	add("signing-time added", func(c *signed) {
		c.attrs.inner = append(c.attrs.inner, attribute(t, signingTime(t), leaf(casn1.UTCTime, []byte("261125000000Z")...)))
	})
	add("unknown one added", func(c *signed) {
		c.attrs.inner = append(c.attrs.inner, attribute(t, oid(t, 0x2A, 3, 4), leaf(casn1.NULL)))
	})
	out = append(out,
		edit{"signed attribute, signed", "other order", func(c *signed) {
			slices.Reverse(c.attrs.inner)
			over := c.attrs.der()
			over[0] = 0x31
			v, err := who.key.Sign(rand.Reader, digest(crypto.SHA256, over), who.alg.Options())
			check(t, err)
			c.value().value = v
		}},
		edit{"signed attribute, signed", "none of them", func(c *signed) {
			c.si.inner = slices.DeleteFunc(c.si.inner, func(n *node) bool { return n == c.attrs })
			c.attrs = nil
			c.resign(who.key, who.alg.Options(), []byte("something else"))
		}},
		edit{"certificate substituted", "another key, names the good certificate", func(c *signed) { c.resign(ecKey(t), crypto.SHA256, nil) }},
		edit{"certificate substituted", "same key, another certificate of the ca's", func(c *signed) {
			c.certs.inner[0] = tree(t, w.person(t, who.key, who.alg).leaf.Raw)
		}},
		edit{"certificate substituted", "same key, self-signed beside the trusted one", func(c *signed) {
			s := w.selfSigned(t, who.key)
			c.certs.inner = append([]*node{tree(t, s.Raw)}, c.certs.inner...)
			c.names(s)
			c.resign(who.key, who.alg.Options(), nil)
		}},
		edit{"certificate substituted", "a stranger signs, the trusted one is a bystander", func(c *signed) {
			key := ecKey(t)
			s := w.selfSigned(t, key)
			c.certs.inner = append(c.certs.inner, tree(t, s.Raw))
			c.names(s)
			c.resign(key, crypto.SHA256, nil)
		}},
		edit{"certificate substituted", "the unit signs", func(c *signed) {
			c.certs.inner = append(c.certs.inner, tree(t, w.unit.Raw), tree(t, w.root.Raw))
			c.names(w.unit)
			c.resign(w.unitKey, crypto.SHA256, nil)
		}},
		edit{"certificate substituted", "the issuing ca signs", func(c *signed) {
			c.names(w.issuing)
			c.resign(w.caKey, crypto.SHA256, nil)
		}})
	return out
}

func (w *world) selfSigned(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "CEO of Everything"}, NotBefore: w.from, NotAfter: w.from.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageContentCommitment, Policies: []x509.OID{}, UnknownExtKeyUsage: []asn1.ObjectIdentifier{}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	return parsed(t, der, err)
}

// cmsTwins puts each edit into a PDF of level B-T (frame) or B-B (attributes:
// there is no time-stamp to be broken by the way), and into CAdES B-LTA.
func (w *world) cmsTwins(t testing.TB, p *products) []twin {
	t.Helper()
	var out []twin
	who := w.p256
	bb, bt := p.bb["P-256"], p.bt["P-256"]
	one, two := signatures(t, bb)[0], signatures(t, bt)[0]
	changed := func(e edit, der []byte) []byte {
		c := openCMS(t, der)
		e.change(c)
		return c.root.der()
	}
	for _, e := range w.attributeEdits(t, who) {
		out = append(out, twin{class: e.class, name: "B-B, " + e.name, file: embed(t, bb, one, changed(e, one.CMS)), aside: true, of: who})
	}
	for _, e := range w.frameEdits(t) {
		out = append(out, twin{class: e.class, name: "B-T, " + e.name, file: embed(t, bt, two, changed(e, two.CMS)), aside: true, of: who})
		for name, der := range map[string][]byte{"CAdES detached": p.cadesP256, "CAdES attached": p.attachedP256} {
			if name == "CAdES attached" && e.class != "CMS eContent" && e.class != "CMS SignerInfos" && e.class != "CMS eContentType" {
				continue
			}
			tw := twin{class: e.class, name: name + ", " + e.name, file: changed(e, der), of: who}
			if name == "CAdES detached" {
				tw.content = w.content
			}
			if !bytes.Equal(tw.file, der) {
				out = append(out, tw)
			}
		}
	}
	return out
}
