package certs

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// foreign makes certificates as other CAs do, by crypto/x509, so that paths
// can have every defect.
type foreign struct {
	t   *testing.T
	now time.Time
	n   int64
}

func (f *foreign) issue(parent *x509.Certificate, parentKey crypto.Signer, key crypto.PublicKey, c *x509.Certificate) *x509.Certificate {
	f.t.Helper()
	f.n++
	c.SerialNumber = big.NewInt(1000 + f.n)
	if c.NotBefore.IsZero() {
		c.NotBefore, c.NotAfter = f.now.Add(-time.Hour), f.now.Add(24*time.Hour)
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key, parentKey)
	if err != nil {
		f.t.Fatal(err)
	}
	return parse(f.t, der)
}

func caTemplate(cn string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: cn}, IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign}
}

func leafTemplate() *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}, KeyUsage: x509.KeyUsageContentCommitment}
}

func tsuTemplate() *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: "tsu"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: oidExtEKU, Critical: true, Value: ekuValue(oidEKUTimeStamping)}}}
}

func ekuValue(oids ...asn1.ObjectIdentifier) []byte {
	b, err := asn1.Marshal(oids)
	if err != nil {
		return nil
	}
	return b
}

func poolOf(c ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range c {
		p.AddCert(c)
	}
	return p
}

func TestOwnPathsAreAccepted(t *testing.T) {
	p := newPKI(t, nil, nil)
	leaf := p.person(t, ecKey(t, p256).Public())
	chain := []*x509.Certificate{leaf, p.root, p.issuing} // any order, more than needed
	path, err := BuildPath(leaf, chain, p.roots(), p.now, Signing)
	if err != nil || len(path) != 3 || !path[2].Equal(p.root) {
		t.Errorf("%d %v", len(path), err)
	}
	der, err := Issue(Issuer{p.root, p.rootKey}, p.tsuOrder(ecKey(t, p256).Public()))
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckPath(parse(t, der), nil, p.roots(), p.now, TimeStamping); err != nil {
		t.Error(err)
	}
	if err := CheckPath(leaf, chain, p.roots(), p.now, TimeStamping); reasonOf(err) != BadExtKeyUsage {
		t.Errorf("a person's certificate stamps time: %v", err)
	}
	if err := CheckPath(parse(t, der), nil, p.roots(), p.now, Signing); reasonOf(err) != BadExtKeyUsage {
		t.Errorf("a time-stamping unit signs documents: %v", err)
	}
	// The issuing CA alone can be the anchor, the leaf never.
	if err := CheckPath(leaf, nil, poolOf(p.issuing), p.now, Signing); err != nil {
		t.Error(err)
	}
	if err := CheckPath(leaf, chain, poolOf(leaf), p.now, Signing); reasonOf(err) != NoPath {
		t.Errorf("the leaf vouches for itself: %v", err)
	}
	if err := CheckPath(leaf, chain, nil, p.now, Signing); reasonOf(err) != NoPath {
		t.Errorf("no anchors: %v", err)
	}
	if err := CheckPath(leaf, chain, p.roots(), p.now, 0); err == nil {
		t.Error("no use was asked for and it is accepted")
	}
}

func reasonOf(err error) PathReason {
	if e, ok := errors.AsType[*PathError](err); ok {
		return e.Reason
	}
	return ""
}

// TestPathDefects: one defect, one reason, and where it is.
func TestPathDefects(t *testing.T) {
	now := time.Now()
	rk, ik, lk := ecKey(t, p256), ecKey(t, p256), ecKey(t, p256)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	type parts struct {
		root, ca, leaf *x509.Certificate // templates
		caKey, leafKey crypto.Signer
		at             time.Time
		use            Use
	}
	for name, tc := range map[string]struct {
		change func(p *parts)
		reason PathReason
		depth  int
	}{
		"nothing":             {func(*parts) {}, "", 0},
		"leaf not yet valid":  {func(p *parts) { p.leaf.NotBefore, p.leaf.NotAfter = now.Add(time.Hour), now.Add(2*time.Hour) }, NotYetValid, 0},
		"leaf expired":        {func(p *parts) { p.leaf.NotBefore, p.leaf.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) }, Expired, 0},
		"CA expired":          {func(p *parts) { p.ca.NotBefore, p.ca.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) }, Expired, 1},
		"asked for long ago":  {func(p *parts) { p.at = now.AddDate(-1, 0, 0) }, NotYetValid, 0},
		"CA is no CA":         {func(p *parts) { p.ca.IsCA = false; p.ca.MaxPathLen = 0 }, NotCA, 1},
		"CA without key use":  {func(p *parts) { p.ca.KeyUsage = x509.KeyUsageCRLSign }, BadKeyUsage, 1},
		"path length":         {func(p *parts) { p.root.MaxPathLen, p.root.MaxPathLenZero = 0, true }, PathTooLong, 2},
		"key not for signing": {func(p *parts) { p.leaf.KeyUsage = x509.KeyUsageKeyEncipherment }, BadKeyUsage, 0},
		"server only":         {func(p *parts) { p.leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, BadExtKeyUsage, 0},
		"e-mail and client": {func(p *parts) {
			p.leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageEmailProtection}
		}, "", 0},
		"weak CA key": {func(p *parts) { p.caKey = weak }, BadAlgorithm, 0},
		"Ed25519 CA":  {func(p *parts) { p.caKey = ed }, BadAlgorithm, 0},
		"SHA-1":       {func(p *parts) { p.leaf.SignatureAlgorithm = x509.SHA1WithRSA; p.caKey = rsaKey(t) }, BadAlgorithm, 0},
		"unknown critical": {func(p *parts) {
			p.leaf.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}, CriticalExtension, 0},
		"unknown critical CA": {func(p *parts) {
			p.ca.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}, CriticalExtension, 1},
		"name constraints": {func(p *parts) {
			p.ca.PermittedDNSDomains, p.ca.PermittedDNSDomainsCritical = []string{"x.example"}, true
		}, CriticalExtension, 1},
		"critical statements": {func(p *parts) {
			p.leaf.ExtraExtensions = []pkix.Extension{{Id: oidExtQcStatements, Critical: true, Value: []byte{0x30, 0}}}
		}, "", 0},
		"strange alternative name": {func(p *parts) {
			p.leaf.ExtraExtensions = []pkix.Extension{{Id: oidExtSAN, Critical: true, Value: []byte{0x30, 4, 0xa4, 2, 0x30, 0}}}
		}, "", 0},
		"stamp": {func(p *parts) { p.use, p.leaf = TimeStamping, tsuTemplate() }, "", 0},
		"stamp, not critical": {func(p *parts) {
			p.use, p.leaf = TimeStamping, tsuTemplate()
			p.leaf.ExtraExtensions[0].Critical = false
		}, BadExtKeyUsage, 0},
		"stamp and more": {func(p *parts) {
			p.use, p.leaf = TimeStamping, tsuTemplate()
			p.leaf.ExtraExtensions[0].Value = ekuValue(oidEKUTimeStamping, oidEKUEmail)
		}, BadExtKeyUsage, 0},
		"stamp and certificate": {func(p *parts) { p.use, p.leaf = TimeStamping, tsuTemplate(); p.leaf.KeyUsage |= x509.KeyUsageCertSign }, BadKeyUsage, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := &foreign{t: t, now: now}
			p := &parts{root: caTemplate("root"), ca: caTemplate("ca"), leaf: leafTemplate(), caKey: ik, leafKey: lk, at: now, use: Signing}
			tc.change(p)
			root := f.issue(nil, rk, rk.Public(), p.root)
			ca := f.issue(root, rk, p.caKey.Public(), p.ca)
			leaf := f.signLeaf(ca, p.caKey, p.leafKey.Public(), p.leaf)
			err := CheckPath(leaf, []*x509.Certificate{ca}, poolOf(root), p.at, p.use)
			if got := reasonOf(err); got != tc.reason {
				t.Fatalf("%v, want %q", err, tc.reason)
			}
			if e, ok := errors.AsType[*PathError](err); ok && e.Depth != tc.depth {
				t.Errorf("depth %d, want %d", e.Depth, tc.depth)
			}
		})
	}
}

// signLeaf also signs what crypto/x509 refuses to: SHA-1, and under a
// certificate that is no CA.
func (f *foreign) signLeaf(ca *x509.Certificate, key crypto.Signer, pub crypto.PublicKey, c *x509.Certificate) *x509.Certificate {
	f.t.Helper()
	if c.SignatureAlgorithm != x509.SHA1WithRSA {
		return f.issue(ca, key, pub, c)
	}
	c.SignatureAlgorithm = x509.SHA256WithRSA
	good := f.issue(ca, key, pub, c)
	var outer struct {
		TBS asn1.RawValue
		Alg pkix.AlgorithmIdentifier
		Sig asn1.BitString
	}
	if _, err := asn1.Unmarshal(good.Raw, &outer); err != nil {
		f.t.Fatal(err)
	}
	// The last arc of the algorithm, twice: 11 (SHA-256) becomes 5 (SHA-1).
	tbs := []byte(string(outer.TBS.FullBytes))
	sha256Arc := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11}
	for i := 0; i+len(sha256Arc) <= len(tbs); i++ {
		if string(tbs[i:i+len(sha256Arc)]) == string(sha256Arc) {
			tbs[i+len(sha256Arc)-1] = 5
			break
		}
	}
	h := crypto.SHA1.New()
	h.Write(tbs)
	sig, err := key.Sign(rand.Reader, h.Sum(nil), crypto.SHA1)
	if err != nil {
		f.t.Fatal(err)
	}
	sha1 := algorithm{sig: x509.SHA1WithRSA, oid: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}}
	der, err := assemble(tbs, sha1, sig)
	if err != nil {
		f.t.Fatal(err)
	}
	return parse(f.t, der)
}

// TestForgedPaths: names that fit and signatures that do not.
func TestForgedPaths(t *testing.T) {
	now := time.Now()
	f := &foreign{t: t, now: now}
	rk, ik, lk, evil := ecKey(t, p256), ecKey(t, p256), ecKey(t, p256), ecKey(t, p256)
	root := f.issue(nil, rk, rk.Public(), caTemplate("root"))
	ca := f.issue(root, rk, ik.Public(), caTemplate("ca"))
	fakeRoot := f.issue(nil, evil, evil.Public(), caTemplate("root"))
	fakeCA := f.issue(fakeRoot, evil, evil.Public(), caTemplate("ca"))
	fakeLeaf := f.issue(fakeCA, evil, lk.Public(), leafTemplate())
	roots := poolOf(root)
	bag := []*x509.Certificate{fakeCA, fakeRoot, ca, root}
	if err := CheckPath(fakeLeaf, bag, roots, now, Signing); reasonOf(err) != NoPath {
		t.Errorf("forged CA: %v", err)
	}
	// A trusted bystander in the bag proves nothing for a self-signed leaf.
	self := f.issue(nil, evil, evil.Public(), leafTemplate())
	if err := CheckPath(self, bag, roots, now, Signing); reasonOf(err) != NoPath {
		t.Errorf("self-signed with a bystander: %v", err)
	}
	// A person's certificate cannot issue.
	leaf := f.issue(ca, ik, lk.Public(), leafTemplate())
	below := f.issue(leaf, lk, evil.Public(), &x509.Certificate{Subject: pkix.Name{CommonName: "below"}, KeyUsage: x509.KeyUsageContentCommitment})
	if err := CheckPath(below, []*x509.Certificate{leaf, ca}, roots, now, Signing); reasonOf(err) != NotCA {
		t.Errorf("a person issues: %v", err)
	}
	// One byte of the signature.
	broken := []byte(string(leaf.Raw))
	broken[len(broken)-1] ^= 1
	if c, err := x509.ParseCertificate(broken); err == nil {
		if err := CheckPath(c, []*x509.Certificate{ca}, roots, now, Signing); reasonOf(err) != NoPath {
			t.Errorf("broken signature: %v", err)
		}
	}
	// The good one, with everything forged around it.
	if err := CheckPath(leaf, bag, roots, now, Signing); err != nil {
		t.Error(err)
	}
}

// TestPathLoopsEnd: cross-certificates in a circle and a very full bag.
func TestPathLoopsEnd(t *testing.T) {
	now := time.Now()
	f := &foreign{t: t, now: now}
	ak, bk, lk := ecKey(t, p256), ecKey(t, p256), ecKey(t, p256)
	a := f.issue(nil, ak, ak.Public(), caTemplate("a"))
	b := f.issue(a, ak, bk.Public(), caTemplate("b"))
	var bag []*x509.Certificate
	for range 16 {
		bag = append(bag, f.issue(b, bk, ak.Public(), caTemplate("a")), f.issue(a, ak, bk.Public(), caTemplate("b")))
	}
	leaf := f.issue(b, bk, lk.Public(), leafTemplate())
	start := time.Now()
	if err := CheckPath(leaf, bag, poolOf(f.issue(nil, lk, lk.Public(), caTemplate("elsewhere"))), now, Signing); reasonOf(err) != NoPath {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	for range 50 {
		bag = append(bag, bag[0])
	}
	if err := CheckPath(leaf, bag, poolOf(a), now, Signing); reasonOf(err) != NoPath {
		t.Errorf("a bag of %d: %v", len(bag), err)
	}
}

func TestAlgorithmsAndTheirEnds(t *testing.T) {
	before, after := time.Date(2028, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2029, 1, 2, 0, 0, 0, 0, time.UTC)
	r3072 := rsaKey(t).Public()
	r2048 := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), 2047, 1), E: 65537}
	r1024 := &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), 1023, 1), E: 65537}
	ec := ecKey(t, p256).Public()
	for name, tc := range map[string]struct {
		alg           x509.SignatureAlgorithm
		pub           crypto.PublicKey
		now, then2029 bool
	}{
		"ECDSA P-256":         {x509.ECDSAWithSHA256, ec, true, true},
		"ECDSA P-521":         {x509.ECDSAWithSHA512, ecKey(t, elliptic.P521()).Public(), true, true},
		"ECDSA P-224":         {x509.ECDSAWithSHA256, ecKey(t, elliptic.P224()).Public(), false, false},
		"RSA-3072 PKCS #1":    {x509.SHA256WithRSA, r3072, true, false},
		"RSA-2048 PKCS #1":    {x509.SHA256WithRSA, r2048, true, false},
		"RSA-1024 PKCS #1":    {x509.SHA256WithRSA, r1024, false, false},
		"RSA-3072 PSS":        {x509.SHA256WithRSAPSS, r3072, true, true},
		"RSA-2048 PSS":        {x509.SHA256WithRSAPSS, r2048, true, false},
		"SHA-1":               {x509.SHA1WithRSA, r3072, false, false},
		"ECDSA SHA-1":         {x509.ECDSAWithSHA1, ec, false, false},
		"Ed25519":             {x509.PureEd25519, ed25519.PublicKey(make([]byte, 32)), false, false},
		"ECDSA with RSA key":  {x509.ECDSAWithSHA256, r3072, false, false},
		"RSA with an EC key":  {x509.SHA256WithRSA, ec, false, false},
		"nothing":             {x509.UnknownSignatureAlgorithm, nil, false, false},
		"MD5":                 {x509.MD5WithRSA, r3072, false, false},
		"RSA-4096 SHA-512":    {x509.SHA512WithRSAPSS, &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int), 4095, 1), E: 65537}, true, true},
		"RSA-2048 SHA-512":    {x509.SHA512WithRSA, r2048, true, false},
		"RSA-1024 PSS":        {x509.SHA256WithRSAPSS, r1024, false, false},
		"ECDSA P-256 SHA-384": {x509.ECDSAWithSHA384, ec, true, true},
	} {
		if got := CheckAlgorithm(tc.alg, tc.pub, before) == nil; got != tc.now {
			t.Errorf("%s now: %v", name, got)
		}
		if got := CheckAlgorithm(tc.alg, tc.pub, after) == nil; got != tc.then2029 {
			t.Errorf("%s in 2029: %v", name, got)
		}
	}
	if CheckHash(crypto.SHA1, before) == nil || CheckHash(crypto.SHA224, before) == nil || CheckHash(crypto.SHA256, after) != nil {
		t.Error("hashes")
	}
}

// TestIsQualified: each property whose absence must be noticed.
func TestIsQualified(t *testing.T) {
	p := newPKI(t, nil, nil)
	key := ecKey(t, p256)
	if err := IsQualifiedNaturalPerson(p.person(t, key.Public())); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*x509.Certificate{nil, p.issuing, p.root} {
		if IsQualifiedNaturalPerson(c) == nil {
			t.Error("not a person's certificate and accepted")
		}
	}
	for name, change := range map[string]func(*layout){
		"no statements":     drop(oidExtQcStatements),
		"no compliance":     statements(sscdOK, typeOK, pdsOK),
		"no device":         statements(qcOK, typeOK, pdsOK),
		"seal":              statements(qcOK, sscdOK, statement(oidQcType, oidSequence(typeSeal)), pdsOK),
		"two types":         statements(qcOK, sscdOK, typeOK, typeOK, pdsOK),
		"legislation":       statements(qcOK, sscdOK, typeOK, pdsOK, statement(oidQcCClegislation, func(b *cryptobyte.Builder) { b.AddBytes([]byte{0x30, 4, 0x13, 2, 'B', 'E'}) })),
		"no policy":         drop(oidExtPolicies),
		"digitalSignature":  withUsage(0, 1),
		"no name":           dropAttr(oidGivenName, oidSurname),
		"pseudonym":         addAttr(attribute{oidPseudonym, asn1.TagUTF8String, "x"}),
		"garbage statement": raw2(oidExtQcStatements, []byte{0x30, 2, 0x30, 0}),
	} {
		l, err := newLayout(p.issuing, p.personOrder(t, key.Public()))
		if err != nil {
			t.Fatal(err)
		}
		change(l)
		tbs, err := l.encode()
		if err != nil {
			t.Fatal(err)
		}
		der, err := l.twin(tbs)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := errors.AsType[*NotQualifiedError](IsQualifiedNaturalPerson(parse(t, der))); !ok {
			t.Errorf("%s is accepted", name)
		}
	}
}

func raw2(oid asn1.ObjectIdentifier, value []byte) func(*layout) {
	return replace(oid, false, func(b *cryptobyte.Builder) { b.AddBytes(value) })
}

func TestPrivateKeyEnd(t *testing.T) {
	p := newPKI(t, nil, nil)
	o := p.tsuOrder(ecKey(t, p256).Public())
	der, err := Issue(Issuer{p.root, p.rootKey}, o)
	if err != nil {
		t.Fatal(err)
	}
	if end, ok := PrivateKeyEnd(parse(t, der)); !ok || !end.Equal(o.PrivateKeyEnd.UTC().Truncate(time.Second)) {
		t.Errorf("%v %v", end, ok)
	}
	if _, ok := PrivateKeyEnd(p.root); ok {
		t.Error("the root has a private key period")
	}
}

func FuzzStatements(f *testing.F) {
	f.Add([]byte{0x30, 0})
	f.Add([]byte("\x30\x0a\x30\x08\x06\x06\x04\x00\x8e\x46\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseQcStatements(b)
		if err == nil && len(list) > maxStatements {
			t.Errorf("%d statements", len(list))
		}
		_, _ = parsePolicies(b)
		_, _ = parseName(b)
		_, _ = readPDS(b)
	})
}
