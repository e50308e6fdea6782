package validate_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

// slowKey is an RSA key as long as is read, with the exponent that costs most to
// verify with. It has many small primes, so that it is quick to find and to sign with.
type slowKey struct {
	pub    *rsa.PublicKey
	primes []*big.Int
}

func newSlowKey(t testing.TB, bits int) *slowKey {
	t.Helper()
	k := &slowKey{pub: &rsa.PublicKey{N: big.NewInt(1), E: 1<<31 - 1}}
	for len(k.primes) < bits/256 {
		p, err := rand.Prime(rand.Reader, 256)
		check(t, err)
		if k.exponent(p) != nil {
			k.primes = append(k.primes, p)
			k.pub.N.Mul(k.pub.N, p)
		}
	}
	return k
}

// exponent is the private one modulo a prime less one.
func (k *slowKey) exponent(p *big.Int) *big.Int {
	return new(big.Int).ModInverse(big.NewInt(int64(k.pub.E)), new(big.Int).Sub(p, big.NewInt(1)))
}

func (k *slowKey) Public() crypto.PublicKey { return k.pub }

// Sign is PKCS #1 v1.5 with SHA-256, prime by prime.
func (k *slowKey) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	info := append([]byte{0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20}, digest...)
	em := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, k.pub.Size()-3-len(info))...)
	m := new(big.Int).SetBytes(append(append(em, 0), info...))
	value, product := new(big.Int), big.NewInt(1)
	for _, p := range k.primes { // Garner
		part := new(big.Int).Exp(m, k.exponent(p), p)
		part.Sub(part, value).Mul(part, new(big.Int).ModInverse(product, p)).Mod(part, p)
		value.Add(value, part.Mul(part, product))
		product.Mul(product, p)
	}
	return value.FillBytes(make([]byte, k.pub.Size())), nil
}

// TestCrossCertificatesCostLittle: CAs that certified each other without end, by
// keys that are slow to verify with, and no anchor behind them.
func TestCrossCertificatesCostLittle(t *testing.T) {
	w := newWorld(t, "P-256")
	key := newSlowKey(t, 16384)
	name := pkix.Name{CommonName: "SANDBOX Maze"}
	maze := pdf.Material{}
	ca := func(serial int64) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: name, NotBefore: w.from, NotAfter: w.from.AddDate(9, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	for i := range 32 {
		der, err := x509.CreateCertificate(rand.Reader, ca(int64(i+1)), ca(1), key.Public(), key)
		check(t, err)
		maze.Certificates = append(maze.Certificates, der)
	}
	person := &x509.Certificate{SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: "Jo Doe"}, NotBefore: w.from, NotAfter: w.from.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}
	doc := base(t)
	for i := range 8 {
		person.SerialNumber = big.NewInt(int64(100 + i))
		der, err := x509.CreateCertificate(rand.Reader, person, ca(1), w.key.Public(), key)
		w.leaf = parse(t, der, err)
		doc = w.sign(t, doc, recipe{at: w.at(i)})
	}
	doc = store(t, doc, maze)
	cost(t, "cross-certificates", func() {
		rep := w.ask(t, doc, w.at(10), func(o *validate.Options) { o.NoRevocation = true })
		for _, s := range rep.Signatures {
			want(t, s, undecided, validate.NoCertificateChain, "B-T")
		}
	})
}

// strangersUnit is a certificate for time-stamps that nobody issued but its owner.
func strangersUnit(t testing.TB, w *world, key crypto.Signer) *x509.Certificate {
	t.Helper()
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	check(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "SANDBOX stranger"}, NotBefore: w.from, NotAfter: w.from.AddDate(3, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	return parse(t, der, err)
}

// TestSlowTokensCostLittle: the key of a token is its maker's choice, and the
// value is verified before anything shows whose it is.
func TestSlowTokensCostLittle(t *testing.T) {
	w := newWorld(t, "P-256")
	key := newSlowKey(t, 16384)
	unit := strangersUnit(t, w, key)
	doc := base(t)
	const signatures = 12
	for range signatures {
		doc = w.sign(t, doc, recipe{noStamp: true, reserve: 100 << 10, rebuild: func(p cms.Parts) []byte {
			token := forgedToken{at: w.now, imprint: sha(p.Value), cert: unit, key: key}.der(t, w)
			f := frame{attrs: p.SignedAttrs, algorithm: ecdsaSHA256, value: p.Value, signers: 1,
				unsigned: [][]byte{attribute(t, cms.OIDSignatureTimeStamp, slices.Repeat([][]byte{token}, 8)...)}}
			return f.der(t, p.Certificate, w.issuing)
		}})
	}
	cost(t, "slow tokens", func() {
		rep := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.NoRevocation = true })
		refused := 0
		for _, s := range rep.Signatures {
			if s.Indication != undecided {
				t.Errorf("%v %q", s.Indication, s.Reasons)
			}
			refused += strings.Count(strings.Join(s.Reasons, "\n"), "the limits of the work are reached")
		}
		if refused == 0 || refused > 8*signatures/2 {
			t.Errorf("%d of %d slow tokens were not looked at", refused, 8*signatures)
		}
	})
}

// TestSlowNamesakesCostLittle: without signing-certificate a value is held
// against each certificate that sid names, of which anybody can make many.
func TestSlowNamesakesCostLittle(t *testing.T) {
	w := newWorld(t, "P-256")
	key := newSlowKey(t, 16384)
	namesakes := []*x509.Certificate{w.leaf}
	for i := range 600 {
		template := &x509.Certificate{SerialNumber: w.leaf.SerialNumber, Subject: pkix.Name{CommonName: "x"}, NotBefore: w.at(i), NotAfter: w.from.AddDate(3, 0, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{RawSubject: w.issuing.RawSubject}, key.Public(), w.caKey)
		namesakes = append(namesakes, parse(t, der, err))
	}
	attrs := elements(t, w.cades(t, nil).SignedAttrs)
	for _, oid := range []asn1.ObjectIdentifier{cms.OIDAlgorithmProtection, cms.OIDSigningCertificateV2} {
		attrs = without(t, oid)(attrs)
	}
	sha256WithRSA := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	f := frame{content: text, attrs: set(t, attrs), algorithm: sha256WithRSA, value: bytes.Repeat([]byte{1}, 2048), signers: 128}
	der := f.der(t, namesakes...)
	cost(t, "slow namesakes", func() {
		rep := w.askCMS(t, file{der: der}, w.at(5), nil)
		if rep.Indication == passed || len(rep.Signatures) != 128 {
			t.Errorf("%v, %d signatures", rep.Indication, len(rep.Signatures))
		}
	})
}

// TestStrangersDoNotSpendOurShare: whoever asks about one field gets its verdict,
// whatever work the other signatures of the document make.
func TestStrangersDoNotSpendOurShare(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := base(t)
	for range 51 { // 408 units, each of which would need a path of its own
		doc = w.sign(t, doc, recipe{noStamp: true, reserve: 32 << 10, rebuild: func(p cms.Parts) []byte {
			var tokens [][]byte
			for range 8 {
				key := newKey(t, "")
				tokens = append(tokens, forgedToken{at: w.now, imprint: sha(p.Value), cert: strangersUnit(t, w, key), key: key}.der(t, w))
			}
			f := frame{attrs: p.SignedAttrs, algorithm: ecdsaSHA256, value: p.Value, signers: 1, unsigned: [][]byte{attribute(t, cms.OIDSignatureTimeStamp, tokens...)}}
			return f.der(t, p.Certificate, w.issuing)
		}})
	}
	doc = store(t, w.sign(t, doc, recipe{at: w.at(1)}), w.data(t))
	whole := w.ask(t, doc, w.at(5), nil)
	ours := whole.Signatures[len(whole.Signatures)-1].FieldName
	rep := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Only = []string{ours} })
	want(t, rep.Signatures[0], passed, "", "B-LT")
}

// TestStrangersDoNotHideOurIssuer: certificates of the CA's name, more than are
// tried, in a signature before the one that is asked about.
func TestStrangersDoNotHideOurIssuer(t *testing.T) {
	w := newWorld(t, "P-256")
	var namesakes []*x509.Certificate
	for i := range 40 {
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotBefore: w.from, NotAfter: w.from.AddDate(3, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		c.RawSubject = w.issuing.RawSubject
		der, err := x509.CreateCertificate(rand.Reader, c, c, w.key.Public(), w.key)
		namesakes = append(namesakes, parse(t, der, err))
	}
	doc := w.sign(t, base(t), recipe{noStamp: true, reserve: 64 << 10, rebuild: func(p cms.Parts) []byte {
		p.Chain = namesakes
		der, err := cms.Assemble(p)
		check(t, err)
		return der
	}})
	doc = store(t, w.sign(t, doc, recipe{at: w.at(1)}), w.data(t))
	whole := w.ask(t, doc, w.at(5), nil)
	ours := whole.Signatures[1].FieldName
	rep := w.ask(t, doc, w.at(5), func(o *validate.Options) { o.Only = []string{ours} })
	want(t, rep.Signatures[0], passed, "", "B-LT")
}
