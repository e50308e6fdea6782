//go:build interop

package twins

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// node is an element of a DER file.
type node struct {
	tag   casn1.Tag
	value []byte  // of a primitive one
	inner []*node // of a constructed one
}

// tree takes one element apart.
func tree(t testing.TB, der []byte) *node {
	t.Helper()
	s := cryptobyte.String(der)
	n := read(t, &s)
	if !s.Empty() {
		t.Fatal("more than one element")
	}
	return n
}

func read(t testing.TB, s *cryptobyte.String) *node {
	t.Helper()
	var v cryptobyte.String
	n := &node{}
	if !s.ReadAnyASN1(&v, &n.tag) {
		t.Fatal("not DER")
	}
	if n.tag&0x20 == 0 {
		n.value = bytes.Clone(v)
		return n
	}
	for !v.Empty() {
		n.inner = append(n.inner, read(t, &v))
	}
	return n
}

func (n *node) add(b *cryptobyte.Builder) {
	b.AddASN1(n.tag, func(b *cryptobyte.Builder) {
		b.AddBytes(n.value)
		for _, c := range n.inner {
			c.add(b)
		}
	})
}

// der writes it, with every length as it must be.
func (n *node) der() []byte {
	var b cryptobyte.Builder
	n.add(&b)
	return b.BytesOrPanic()
}

// flip changes the last byte of the last primitive element in n.
func (n *node) flip() {
	for n.tag&0x20 != 0 {
		n = n.inner[len(n.inner)-1]
	}
	if len(n.value) == 0 {
		n.value = []byte{1}
		return
	}
	n.value[len(n.value)-1] ^= 1
}

// drop takes the i-th element out.
func (n *node) drop(i int) { n.inner = slices.Delete(n.inner, i, i+1) }

// double puts the i-th element there twice.
func (n *node) double(i int) { n.inner = slices.Insert(n.inner, i, n.inner[i]) }

func leaf(tag casn1.Tag, value ...byte) *node      { return &node{tag: tag, value: value} }
func composed(tag casn1.Tag, inner ...*node) *node { return &node{tag: tag, inner: inner} }
func tagged(n uint8) casn1.Tag                     { return casn1.Tag(n).ContextSpecific().Constructed() }
func oid(t testing.TB, der ...byte) *node          { return tree(t, append([]byte{6, byte(len(der))}, der...)) }
func attribute(t testing.TB, o *node, v ...*node) *node {
	return composed(casn1.SEQUENCE, o, composed(casn1.SET, v...))
}

// signed is a CMS SignedData that is changed in place.
type signed struct {
	t                    testing.TB
	root, sd, si         *node
	certs, attrs, others *node // others: unsigned attributes; nil: there are none
}

func openCMS(t testing.TB, der []byte) *signed {
	t.Helper()
	c := &signed{t: t, root: tree(t, der)}
	c.sd = c.root.inner[1].inner[0]
	c.si = c.sd.inner[len(c.sd.inner)-1].inner[0]
	for _, n := range c.sd.inner[3:] {
		if n.tag == tagged(0) {
			c.certs = n
		}
	}
	for _, n := range c.si.inner {
		switch n.tag {
		case tagged(0):
			c.attrs = n
		case tagged(1):
			c.others = n
		}
	}
	return c
}

// attr is the place of a signed attribute, by the last bytes of its type.
func (c *signed) attr(o *node) int {
	return slices.IndexFunc(c.attrs.inner, func(a *node) bool { return bytes.Equal(a.inner[0].value, o.value) })
}

// value is where the SignerInfo has the signature value.
func (c *signed) value() *node {
	i := slices.IndexFunc(c.si.inner, func(n *node) bool { return n.tag == casn1.OCTET_STRING })
	return c.si.inner[i]
}

// resign makes the value good again: over the attributes, sorted as DER has
// them, or over content when there are none.
func (c *signed) resign(key crypto.Signer, o crypto.SignerOpts, content []byte) {
	c.t.Helper()
	over := content
	if c.attrs != nil {
		slices.SortFunc(c.attrs.inner, func(a, b *node) int { return bytes.Compare(a.der(), b.der()) })
		over = c.attrs.der()
		over[0] = 0x31
	}
	v, err := key.Sign(rand.Reader, digest(o.HashFunc(), over), o)
	check(c.t, err)
	c.value().value = v
}

// info is the TSTInfo of a token, which put writes back.
func (c *signed) info() *node { return tree(c.t, c.sd.inner[2].inner[1].inner[0].value) }

func (c *signed) put(info *node) {
	der := info.der()
	c.sd.inner[2].inner[1].inner[0].value = der
	c.attrs.inner[c.attr(messageDigest(c.t))].inner[1].inner[0].value = digest(crypto.SHA256, der)
}

func contentType(t testing.TB) *node   { return oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 3) }
func messageDigest(t testing.TB) *node { return oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 4) }
func signingCert(t testing.TB) *node {
	return oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 16, 2, 47)
}
func protection(t testing.TB) *node { return oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 52) }
func signingTime(t testing.TB) *node {
	return oid(t, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 5)
}

// names puts another certificate into signer identifier and signing-certificate.
func (c *signed) names(cert *x509.Certificate) {
	sid := c.si.inner[1]
	sid.inner[0], sid.inner[1] = tree(c.t, cert.RawIssuer), leaf(casn1.INTEGER, cert.SerialNumber.Bytes()...)
	if b := sid.inner[1].value; b[0]&0x80 != 0 {
		sid.inner[1].value = append([]byte{0}, b...)
	}
	id := composed(casn1.SEQUENCE, leaf(casn1.OCTET_STRING, digest(crypto.SHA256, cert.Raw)...))
	c.attrs.inner[c.attr(signingCert(c.t))] = attribute(c.t, signingCert(c.t), composed(casn1.SEQUENCE, composed(casn1.SEQUENCE, id)))
}
