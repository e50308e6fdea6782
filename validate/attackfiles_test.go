package validate_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
	"tekend/validate"
)

// writeAttacks makes all files anew, with fresh keys.
var writeAttacks = flag.Bool("write-attacks", false, "write testdata/attacks anew")

const attackFiles = "testdata/attacks"

// attack is a file of specs/ades.md §10.4 and what stops it. Each value in it is
// good over what it is over, so that only the attack can be at fault.
type attack struct {
	file string // a PDF or an attached CAdES
	make func(t testing.TB, w *world) []byte
	want validate.Indication
	sub  string
	say  string // a piece of the reason: the check of §10.4
}

func attacks() []attack {
	return slices.Concat(attacksOnTheCMS(), attacksOnTime(), attacksOnStatus())
}

// attacksOnTheCMS: good.pdf and good.p7m show that the frames pass.
func attacksOnTheCMS() []attack {
	signed := func(change func(t testing.TB, w *world) recipe) func(t testing.TB, w *world) []byte {
		return func(t testing.TB, w *world) []byte {
			doc, err := os.ReadFile("../testdata/pdf/fpdf2.pdf")
			check(t, err)
			return store(t, w.sign(t, doc, change(t, w)), w.data(t))
		}
	}
	forged := func(change func(*frame)) func(t testing.TB, w *world) []byte {
		return signed(func(t testing.TB, w *world) recipe { return w.forge(t, nil, change) })
	}
	return []attack{
		{"good.pdf", signed(func(testing.TB, *world) recipe { return recipe{} }), passed, "", ""},
		{"attached-cms.pdf", forged(func(f *frame) { f.content = []byte("the content that was signed") }), failed, validate.FormatFailure, "content of its own"},
		{"double-signer-info.pdf", forged(func(f *frame) { f.signers = 2 }), failed, validate.FormatFailure, "exactly one"},
		{"no-signer-info.pdf", forged(func(f *frame) { f.signers = 0 }), failed, validate.FormatFailure, "exactly one"},
		{"no-message-digest.pdf", signed(func(t testing.TB, w *world) recipe { return w.forge(t, without(t, cms.OIDMessageDigest), nil) }), failed, validate.FormatFailure, "message-digest"},
		{"no-signed-attributes.pdf", forged(func(f *frame) { f.attrs = nil }), failed, validate.FormatFailure, "no_signed_attributes"},
		{"attributes-as-content.p7m", func(t testing.TB, w *world) []byte {
			return w.forgeCMS(t, nil, func(f *frame) { f.content, f.attrs = f.attrs, nil })
		}, failed, validate.FormatFailure, "no_signed_attributes"},
		{"no-signing-certificate.pdf", signed(func(t testing.TB, w *world) recipe { return w.forge(t, without(t, cms.OIDSigningCertificateV2), nil) }), undecided, validate.NoSigningCertificate, "signing-certificate"},
		{"bystander.pdf", func(t testing.TB, w *world) []byte { return labD(t, w) }, undecided, validate.NoCertificateChain, "no path"},
		{"same-key-other-certificate.p7m", func(t testing.TB, w *world) []byte {
			p := w.cades(t, nil)
			p.Certificate = w.person(t, w.from, w.from.AddDate(1, 0, 0))
			return frame{content: text, attrs: p.SignedAttrs, algorithm: ecdsaSHA256, value: p.Value, signers: 1}.der(t, p.Certificate, w.issuing)
		}, undecided, validate.NoSigningCertificate, "certificate_mismatch"},
		{"other-signature-algorithm.pdf", forged(func(f *frame) { f.algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4} }), failed, validate.SigCryptoFailure, "algorithm_mismatch"},
		{"ed25519-for-ecdsa.pdf", forged(func(f *frame) { f.algorithm = asn1.ObjectIdentifier{1, 3, 101, 112} }), undecided, validate.CryptoConstraintsFailure, "unsupported_algorithm"},
		{"ecdsa-of-zeros.pdf", forged(func(f *frame) { f.value = []byte{0x30, 6, 2, 1, 0, 2, 1, 0} }), failed, validate.SigCryptoFailure, "bad_value"},
	}
}

// labD is a signature of a self-signed key beside the trusted certificate of a bystander.
func labD(t testing.TB, w *world) []byte {
	t.Helper()
	bystander, key := w.leaf, w.key
	defer func() { w.leaf, w.key = bystander, key }()
	own := newKey(t, "")
	der, err := x509.CreateCertificate(rand.Reader, selfSigned(w), selfSigned(w), own.Public(), own)
	w.leaf, w.key = parse(t, der, err), own
	doc, err := os.ReadFile("../testdata/pdf/fpdf2.pdf")
	check(t, err)
	return w.sign(t, doc, recipe{noStamp: true, rebuild: func(p cms.Parts) []byte {
		p.Chain = []*x509.Certificate{bystander, w.issuing}
		out, err := cms.Assemble(p)
		check(t, err)
		return out
	}})
}

// forgedToken is a token by hand.
type forgedToken struct {
	at       time.Time
	imprint  []byte
	critical bool              // an extension that nobody knows
	cert     *x509.Certificate // whose key is key
	key      crypto.Signer
	named    *x509.Certificate // in the signed attributes; nil: cert
}

func (f forgedToken) der(t testing.TB, w *world) []byte {
	t.Helper()
	info := build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{0, 4, 0, 2023, 1, 1})
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(sha256OID) })
				b.AddASN1OctetString(f.imprint)
			})
			b.AddASN1Int64(f.at.UnixNano())
			b.AddASN1GeneralizedTime(f.at.UTC())
			if f.critical {
				b.AddASN1(tagged(1), func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 3})
						b.AddASN1Boolean(true)
						b.AddASN1OctetString([]byte{5, 0})
					})
				})
			}
		})
	})
	named := f.named
	if named == nil {
		named = f.cert
	}
	sum := sha256.Sum256(info)
	attrs, err := cms.ContentAttributes(cms.OIDTSTInfo, sum[:], named)
	check(t, err)
	digest := sha256.Sum256(attrs)
	value, err := f.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	check(t, err)
	der, err := cms.EncodeToken(info, cms.Parts{SignedAttrs: attrs, Value: value, Certificate: f.cert, Chain: []*x509.Certificate{w.root}}, true)
	check(t, err)
	return der
}

// unitFor is a key and a certificate of the root's for time-stamps, changed.
func unitFor(t testing.TB, w *world, change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key := newKey(t, "")
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	check(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(w.now.UnixNano()), Subject: pkix.Name{CommonName: "SANDBOX another unit"}, NotBefore: w.from, NotAfter: w.from.AddDate(3, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, w.root, key.Public(), w.rootKey)
	return parse(t, der, err), key
}

// attacksOnTime are about time-stamps.
func attacksOnTime() []attack {
	// stamped has, in the place of the unit's token, what make gives.
	stamped := func(make func(t testing.TB, w *world, value []byte) []byte) func(t testing.TB, w *world) []byte {
		return func(t testing.TB, w *world) []byte {
			p := w.cades(t, nil)
			p.TimeStampToken = make(t, w, p.Value)
			return attached(t, withData(p, w.data(t))).der
		}
	}
	by := func(unit func(*x509.Certificate), change func(w *world, f *forgedToken)) func(t testing.TB, w *world) []byte {
		return stamped(func(t testing.TB, w *world, value []byte) []byte {
			cert, key := unitFor(t, w, unit)
			f := forgedToken{at: w.now, imprint: sha(value), cert: cert, key: key}
			if change != nil {
				change(w, &f)
			}
			return f.der(t, w)
		})
	}
	return []attack{
		{"good.p7m", stamped(func(t testing.TB, w *world, value []byte) []byte { return w.token(t, sha(value), w.now) }), passed, "", ""},
		{"good-token-by-hand.p7m", by(nil, nil), passed, "", ""},
		{"foreign-token.p7m", by(nil, func(_ *world, f *forgedToken) { f.imprint = sha([]byte("another value")) }), undecided, validate.SigConstraintsFailure, "imprint"},
		{"duplicated-token.p7m", func(t testing.TB, w *world) []byte {
			return w.forgeCMS(t, nil, func(f *frame) { f.unsigned = append(f.unsigned, f.unsigned[0]) })
		}, undecided, "", "elsewhere"},
		{"token-of-another-certificate.p7m", by(nil, func(w *world, f *forgedToken) { f.named = w.unit }), undecided, validate.NoSigningCertificate, "certificate_mismatch"},
		{"token-without-purpose.p7m", by(func(c *x509.Certificate) { c.ExtraExtensions = nil }, nil), undecided, validate.ChainConstraintsFailure, "usage: timeStamping"},
		{"token-with-two-purposes.p7m", by(func(c *x509.Certificate) {
			both, _ := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}, {1, 3, 6, 1, 5, 5, 7, 3, 4}})
			c.ExtraExtensions[0].Value = both
		}, nil), undecided, validate.ChainConstraintsFailure, "usage: timeStamping"},
		{"token-by-the-signer.p7m", stamped(func(t testing.TB, w *world, value []byte) []byte {
			return forgedToken{at: w.now, imprint: sha(value), cert: w.leaf, key: w.key}.der(t, w)
		}), undecided, validate.ChainConstraintsFailure, "usage: timeStamping"},
		{"token-unknown-critical.p7m", by(nil, func(_ *world, f *forgedToken) { f.critical = true }), undecided, validate.SigConstraintsFailure, "critical"},
		{"token-after-its-unit.p7m", by(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Minute) }, nil), undecided, validate.OutOfBoundsNoPOE, "expired"},
		{"token-before-its-unit.p7m", by(func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(59*time.Minute + 58*time.Second) }, func(w *world, f *forgedToken) { f.at = w.at(-600) }), undecided, validate.OutOfBoundsNoPOE, "not yet valid"},
		{"token-years-ahead.p7m", by(nil, func(w *world, f *forgedToken) { f.at = w.now.AddDate(2, 0, 0) }), undecided, validate.SigConstraintsFailure, "future"},
		{"token-after-the-signer.p7m", func(t testing.TB, w *world) []byte {
			good := w.leaf
			defer func() { w.leaf = good }()
			w.leaf = w.person(t, w.from, w.at(-600))
			return attached(t, withData(w.cades(t, nil), w.data(t))).der
		}, undecided, validate.OutOfBoundsNoPOE, "expired"},
	}
}

// attacksOnStatus are about OCSP answers and CRLs, each in a CAdES of which the rest
// is as good.p7m has it.
func attacksOnStatus() []attack {
	with := func(change func(t testing.TB, w *world, m *pdf.Material)) func(t testing.TB, w *world) []byte {
		return func(t testing.TB, w *world) []byte {
			m := w.data(t)
			change(t, w, &m)
			return attached(t, withData(w.cades(t, nil), m)).der
		}
	}
	answer := func(t testing.TB, w *world, r ocsp.Response, key crypto.Signer) []byte {
		r.SerialNumber, r.ThisUpdate, r.NextUpdate = w.leaf.SerialNumber, w.at(1), w.at(3600)
		by := w.issuing
		if r.Certificate != nil {
			by = r.Certificate
		}
		der, err := ocsp.CreateResponse(w.issuing, by, r, key)
		check(t, err)
		return der
	}
	critical := []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
	list := func(t testing.TB, w *world, l x509.RevocationList) []byte {
		l.Number, l.ThisUpdate, l.NextUpdate = big.NewInt(7), w.at(1), w.at(86400)
		der, err := x509.CreateRevocationList(rand.Reader, &l, w.issuing, w.caKey)
		check(t, err)
		return der
	}
	revoked := func(w *world) certs.Revoked {
		return certs.Revoked{Serial: w.leaf.SerialNumber, At: w.at(-600), Reason: 1}
	}
	try := func(file, say string, change func(t testing.TB, w *world, m *pdf.Material)) attack {
		return attack{file, with(change), undecided, validate.TryLater, say}
	}
	// What has an extension that nobody knows is not read at all; the same without
	// it passes.
	entry := x509.RevocationListEntry{SerialNumber: big.NewInt(4711), RevocationTime: time.Unix(0, 0)}
	return []attack{
		{"good-ocsp-by-the-issuer.p7m", with(func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs = [][]byte{answer(t, w, ocsp.Response{}, w.caKey)}
		}), passed, "", ""},
		{"good-crl.p7m", with(func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs, m.CRLs = nil, append(m.CRLs, list(t, w, x509.RevocationList{RevokedCertificateEntries: []x509.RevocationListEntry{entry}}))
		}), passed, "", ""},
		try("ocsp-none.p7m", "there is none", func(_ testing.TB, _ *world, m *pdf.Material) { m.OCSPs = nil }),
		try("ocsp-of-another-certificate.p7m", "there is none", func(t testing.TB, w *world, m *pdf.Material) {
			own := *w
			own.leaf = w.person(t, w.from, w.from.AddDate(1, 0, 0))
			m.OCSPs = [][]byte{own.ocsp(t, says{at: w.at(1)})}
		}),
		try("ocsp-self-issued.p7m", "(responder)", func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs = [][]byte{answer(t, w, ocsp.Response{Certificate: w.leaf}, w.key)}
		}),
		try("ocsp-by-the-unit.p7m", "(responder)", func(t testing.TB, w *world, m *pdf.Material) {
			cert, key := unitFor(t, w, nil)
			m.OCSPs = [][]byte{answer(t, w, ocsp.Response{Certificate: cert}, key)}
		}),
		try("ocsp-unknown-critical.p7m", "there is none", func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs = [][]byte{answer(t, w, ocsp.Response{ExtraExtensions: critical}, w.caKey)}
		}),
		try("ocsp-before-the-signature.p7m", "too old", func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs = [][]byte{w.ocsp(t, says{at: w.at(-60)})}
		}),
		try("ocsp-of-tomorrow.p7m", "newer than", func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs = [][]byte{w.ocsp(t, says{at: w.at(86400)})}
		}),
		try("crl-stale.p7m", "too old", func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs, m.CRLs = nil, append(m.CRLs, w.crl(t, w.issuing, w.at(-3000), w.at(-2000)))
		}),
		try("crl-unknown-critical.p7m", "there is none", func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs, m.CRLs = nil, append(m.CRLs, list(t, w, x509.RevocationList{ExtraExtensions: critical}))
		}),
		try("crl-entry-unknown-critical.p7m", "there is none", func(t testing.TB, w *world, m *pdf.Material) {
			m.OCSPs, m.CRLs = nil, append(m.CRLs, list(t, w, x509.RevocationList{RevokedCertificateEntries: []x509.RevocationListEntry{
				{SerialNumber: entry.SerialNumber, RevocationTime: entry.RevocationTime, ExtraExtensions: critical},
			}}))
		}),
		{"good-ocsp-older-than-revoking-crl.p7m", with(func(t testing.TB, w *world, m *pdf.Material) {
			m.CRLs = append(m.CRLs, w.crl(t, w.issuing, w.at(2), w.at(86400), revoked(w)))
		}), undecided, validate.RevokedNoPOE, "revoked"},
		{"good-ocsp-newer-than-revoking-crl.p7m", with(func(t testing.TB, w *world, m *pdf.Material) {
			m.CRLs = append(m.CRLs, w.crl(t, w.issuing, w.at(-60), w.at(86400), revoked(w)))
		}), undecided, validate.RevokedNoPOE, "revoked"},
		{"ocsp-archive-cut-off.p7m", expiredWithCutOff, undecided, "", ""},
	}
}

// expiredWithCutOff: the responder says that it keeps nothing from before a time
// at which the certificate had expired already, so that its "good" says nothing.
func expiredWithCutOff(t testing.TB, w *world) []byte {
	good := w.leaf
	defer func() { w.leaf = good }()
	w.leaf = w.person(t, w.from, w.at(1))
	m := w.data(t)
	id, err := certs.IDOf(w.leaf, w.issuing, crypto.SHA1)
	check(t, err)
	der, err := w.responder(t, w.from).Answer([]certs.SingleStatus{{ID: id, State: certs.StatusGood, ThisUpdate: w.at(3), NextUpdate: w.at(3600), ArchiveCutoff: w.at(2)}}, w.at(3), nil)
	check(t, err)
	m.OCSPs = [][]byte{der}
	return attached(t, withData(w.cades(t, nil), m)).der
}

// TestAttackFiles: each file is refused, by the check that §10.4 names; the good
// ones pass. With -write-attacks the files are made first.
func TestAttackFiles(t *testing.T) {
	all := attacks()
	if *writeAttacks {
		makeAttacks(t, all)
	}
	root, err := os.ReadFile(filepath.Join(attackFiles, "root.der"))
	anchor := parse(t, root, err)
	w := &world{now: anchor.NotBefore.Add(time.Hour), roots: x509.NewCertPool()} // as newWorld has it
	w.roots.AddCert(anchor)
	for _, a := range all {
		b, err := os.ReadFile(filepath.Join(attackFiles, a.file))
		check(t, err)
		var rep *validate.Report
		cost(t, a.file, func() { rep = judgeAttack(t, w, b) })
		var reasons []string
		for _, s := range rep.Signatures {
			reasons = append(reasons, s.Reasons...)
		}
		said := strings.Join(reasons, "|")
		if rep.Indication != a.want || a.sub != "" && rep.SubIndication != a.sub || !strings.Contains(said, a.say) {
			t.Errorf("%s: %v/%s %q, want %v/%s %q", a.file, rep.Indication, rep.SubIndication, said, a.want, a.sub, a.say)
		}
	}
	files, err := os.ReadDir(attackFiles)
	if err != nil || len(files) != len(all)+2 { // the root, README.md
		t.Errorf("%d files, %d attacks: %v", len(files), len(all), err)
	}
}

// judgeAttack looks five seconds after the signature.
func judgeAttack(t testing.TB, w *world, b []byte) *validate.Report {
	t.Helper()
	if bytes.HasPrefix(b, []byte("%PDF")) {
		return w.ask(t, b, w.at(5), nil)
	}
	return w.askCMS(t, file{der: b}, w.at(5), nil)
}

func makeAttacks(t *testing.T, all []attack) {
	t.Helper()
	w := newWorld(t, "P-256")
	w.now = w.root.NotBefore.Add(time.Hour) // whole seconds, as the certificate has
	check(t, os.MkdirAll(attackFiles, 0o755))
	write := func(name string, b []byte) { check(t, os.WriteFile(filepath.Join(attackFiles, name), b, 0o644)) }
	write("root.der", w.root.Raw)
	short := text
	text = []byte("a document that is no PDF\n")
	defer func() { text = short }()
	for i, a := range all {
		if i > 0 {
			w.newUnit(t, w.from) // its clock does not go back
		}
		write(a.file, a.make(t, w))
	}
}
