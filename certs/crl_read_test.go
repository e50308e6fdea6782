package certs

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// foreign is a CRL as crypto/x509 writes it, which is not our writer.
func (p *pki) foreign(t testing.TB, change func(l *x509.RevocationList)) []byte {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: p.now, NextUpdate: p.now.Add(time.Hour)}
	change(l)
	return must(x509.CreateRevocationList(rand.Reader, l, p.issuing, p.caKey))
}

func point(t testing.TB, p any) pkix.Extension {
	t.Helper()
	return pkix.Extension{Id: oidExtIssuingPoint, Critical: true, Value: must(asn1.Marshal(p))}
}

// idp is IssuingDistributionPoint, as encoding/asn1 writes it.
type idp struct {
	Point      asn1.RawValue  `asn1:"optional,tag:0"`
	Users      bool           `asn1:"optional,tag:1"`
	CAs        bool           `asn1:"optional,tag:2"`
	Reasons    asn1.BitString `asn1:"optional,tag:3"`
	Indirect   bool           `asn1:"optional,tag:4"`
	Attributes bool           `asn1:"optional,tag:5"`
}

// at is the distributionPoint of an address: [0] { fullName [0] { [6] URI } }.
func at(uris ...string) asn1.RawValue {
	var names []byte
	for _, u := range uris {
		names = append(names, append([]byte{0x86, byte(len(u))}, u...)...)
	}
	full := append([]byte{0xa0, byte(len(names))}, names...)
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: full}
}

// TestCRLStatus: what a list says of a certificate, and what of it is refused, each for its own reason.
func TestCRLStatus(t *testing.T) {
	p := newPKI(t, nil, nil)
	leaf := p.person(t, ecKey(t, p256).Public())
	mine := leaf.CRLDistributionPoints[0]
	entry := func(c *x509.Certificate, reason int, extra ...pkix.Extension) []x509.RevocationListEntry {
		return []x509.RevocationListEntry{
			{SerialNumber: big.NewInt(1), RevocationTime: p.now},
			{SerialNumber: c.SerialNumber, RevocationTime: p.now.Add(-time.Minute), ReasonCode: reason, ExtraExtensions: extra},
			{SerialNumber: big.NewInt(2), RevocationTime: p.now, ReasonCode: 4},
		}
	}
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{2, 25, 1}, Critical: true, Value: []byte{5, 0}}
	scope := func(p any) func(l *x509.RevocationList) {
		return func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{point(t, p)} }
	}
	for name, tc := range map[string]struct {
		change func(l *x509.RevocationList)
		want   StatusReason
		see    func(s Status) bool
	}{
		"good": {func(*x509.RevocationList) {}, "", func(s Status) bool {
			return s.State == StatusGood && s.Kind == FromCRL && s.ThisUpdate.Equal(p.now.UTC().Truncate(time.Second)) && s.Responder == nil
		}},
		"others are revoked": {func(l *x509.RevocationList) { l.RevokedCertificateEntries = entry(p.issuing, 1) }, "", func(s Status) bool { return s.State == StatusGood }},
		"revoked": {func(l *x509.RevocationList) { l.RevokedCertificateEntries = entry(leaf, 1) }, "", func(s Status) bool {
			return s.State == StatusRevoked && s.Reason == 1 && s.RevokedAt.Equal(p.now.Add(-time.Minute).UTC().Truncate(time.Second))
		}},
		"revoked for no reason": {func(l *x509.RevocationList) { l.RevokedCertificateEntries = entry(leaf, 0) }, "", func(s Status) bool { return s.State == StatusRevoked && s.Reason == 0 }},
		"on hold":               {func(l *x509.RevocationList) { l.RevokedCertificateEntries = entry(leaf, ReasonOnHold) }, "", func(s Status) bool { return s.State == StatusRevoked && s.Reason == ReasonOnHold }},
		"with invalidityDate": {func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = entry(leaf, 1, pkix.Extension{Id: oidExtInvalidity, Critical: true, Value: []byte("\x18\x0f20260101000000Z")})
		}, "", func(s Status) bool { return s.State == StatusRevoked && s.Reason == 1 }},
		"for users":      {scope(idp{Users: true}), "", nil},
		"at its address": {scope(idp{Point: at("http://elsewhere/x", mine)}), "", nil},
		"removed":        {func(l *x509.RevocationList) { l.RevokedCertificateEntries = entry(p.issuing, 8) }, StatusPartial, nil},
		"of several issuers": {func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = entry(p.issuing, 1, pkix.Extension{Id: oidExtCertIssuer, Critical: true, Value: []byte{0x30, 0}})
		}, StatusPartial, nil},
		"critical in any entry":    {func(l *x509.RevocationList) { l.RevokedCertificateEntries = entry(p.issuing, 1, unknown) }, StatusCritical, nil},
		"critical in a bare entry": {func(l *x509.RevocationList) { l.RevokedCertificateEntries = entry(p.issuing, 0, unknown) }, StatusCritical, nil},
		"critical":                 {func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{unknown} }, StatusCritical, nil},
		"delta": {func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: oidExtDeltaCRL, Critical: true, Value: []byte{2, 1, 1}}}
		}, StatusPartial, nil},
		"delta, not critical": {func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: oidExtDeltaCRL, Value: []byte{2, 1, 1}}}
		}, StatusPartial, nil},
		"indirect":                    {scope(idp{Indirect: true}), StatusPartial, nil},
		"for some reasons":            {scope(idp{Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}}), StatusPartial, nil},
		"for CAs":                     {scope(idp{CAs: true}), StatusScope, nil},
		"for attributes":              {scope(idp{Attributes: true}), StatusScope, nil},
		"at another address":          {scope(idp{Point: at(mine + "x")}), StatusScope, nil},
		"at a relative name":          {scope(idp{Point: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: []byte{0xa1, 0}}}), StatusScope, nil},
		"from before the certificate": {func(l *x509.RevocationList) { l.ThisUpdate = leaf.NotBefore.Add(-time.Minute) }, StatusNotCovered, nil},
		"after the certificate's end": {func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = leaf.NotAfter.Add(time.Hour), leaf.NotAfter.Add(2*time.Hour)
		}, StatusNotCovered, nil},
		"keeps the expired": {func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = leaf.NotAfter.Add(time.Hour), leaf.NotAfter.Add(2*time.Hour)
			l.ExtraExtensions = []pkix.Extension{{Id: oidExtExpiredCerts, Value: []byte("\x18\x0f20260101000000Z")}}
		}, "", func(s Status) bool { return s.Covers.Year() == 2026 }},
		"before its issuer": {func(l *x509.RevocationList) { l.ThisUpdate = p.issuing.NotBefore.Add(-time.Minute) }, StatusTime, nil},
		"after its issuer": {func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = p.issuing.NotAfter.Add(time.Minute), p.issuing.NotAfter.Add(time.Hour)
		}, StatusTime, nil},
		"signed with SHA-512": {func(l *x509.RevocationList) { l.SignatureAlgorithm = x509.ECDSAWithSHA512 }, "", nil},
	} {
		list, err := ReadCRL(p.foreign(t, tc.change))
		var s Status
		if err == nil {
			s, err = list.Status(leaf, p.issuing)
		}
		if got := whyNot(err); got != tc.want || err != nil && got == "" {
			t.Errorf("%s: %v", name, err)
		} else if tc.see != nil && !tc.see(s) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// TestCRLOfLaxBytes: what is not DER may not make a list say less than it says: a serial number in a longer form, a flag of its
// scope without a value.
func TestCRLOfLaxBytes(t *testing.T) {
	p := newPKI(t, nil, nil)
	leaf := parse(t, must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(5), NotBefore: p.now.Add(-time.Minute), NotAfter: p.now.Add(time.Hour),
	}, p.issuing, ecKey(t, p256).Public(), p.caKey)))
	var parts struct {
		TBS, Algorithm asn1.RawValue
		Value          asn1.BitString
	}
	resigned := func(der, was, is []byte) []byte {
		if rest, err := asn1.Unmarshal(der, &parts); err != nil || len(rest) > 0 || !bytes.Contains(parts.TBS.FullBytes, was) {
			t.Fatalf("%v", err)
		}
		parts.TBS.FullBytes = bytes.Replace(parts.TBS.FullBytes, was, is, 1)
		parts.Value.Bytes = must(signDigest(p.caKey, must(signingAlgorithm(p.caKey.Public())), parts.TBS.FullBytes))
		parts.Value.BitLength = 8 * len(parts.Value.Bytes)
		return must(asn1.Marshal(parts))
	}
	entry := p.foreign(t, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(0x7fab), RevocationTime: p.now.Add(-time.Minute)}}
	})
	scope := func(value ...byte) []byte {
		return p.foreign(t, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: oidExtIssuingPoint, Critical: true, Value: value}}
		})
	}
	for name, tc := range map[string]struct {
		der  []byte
		want StatusReason
	}{
		"another serial number": {resigned(entry, []byte{2, 2, 0x7f, 0xab}, []byte{2, 2, 0x7f, 0xac}), ""},
		"a longer form":         {resigned(entry, []byte{2, 2, 0x7f, 0xab}, []byte{2, 2, 0, 5}), StatusMalformed},
		"a flag of no value":    {scope(0x30, 2, 0x84, 0), StatusMalformed},
		"a flag of two octets":  {scope(0x30, 4, 0x84, 2, 0xff, 0xff), StatusMalformed},
		"indirect":              {scope(0x30, 3, 0x84, 1, 0xff), StatusPartial},
		"not indirect":          {scope(0x30, 3, 0x84, 1, 0), ""},
	} {
		list, err := ReadCRL(tc.der)
		var s Status
		if err == nil {
			s, err = list.Status(leaf, p.issuing)
		}
		if whyNot(err) != tc.want || tc.want == "" && s.State != StatusGood {
			t.Errorf("%s: %v %v", name, s.State, err)
		}
	}
}

// TestCRLValue: whose list it is, and that not a byte of it was changed.
func TestCRLValue(t *testing.T) {
	p, other := newPKI(t, nil, nil), newPKI(t, nil, nil)
	leaf := p.person(t, ecKey(t, p256).Public())
	der := p.foreign(t, func(*x509.RevocationList) {})
	read := func(der []byte, cert, issuer *x509.Certificate) StatusReason {
		list, err := ReadCRL(der)
		if err != nil {
			return whyNot(err)
		}
		_, err = list.Status(cert, issuer)
		return whyNot(err)
	}
	noCRLs := parse(t, must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(5), RawSubject: p.issuing.RawSubject, NotBefore: p.now.Add(-time.Hour), NotAfter: p.now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: p.issuing.SubjectKeyId,
	}, p.root, p.caKey.Public(), p.rootKey)))
	for name, tc := range map[string]struct {
		got, want StatusReason
	}{
		"the list of a namesake":         {read(other.foreign(t, func(*x509.RevocationList) {}), leaf, p.issuing), StatusIssuer},
		"of the root":                    {read(der, leaf, p.root), StatusIssuer},
		"a certificate of a namesake":    {read(der, other.person(t, ecKey(t, p256).Public()), p.issuing), StatusIssuer},
		"a key that is not for lists":    {read(der, leaf, noCRLs), StatusResponder},
		"an algorithm that is not known": {read(bytes.ReplaceAll(der, must(asn1.Marshal(oidECDSAWithSHA256)), must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 1}))), leaf, p.issuing), StatusAlgorithm},
		"two algorithms":                 {read(bytes.Replace(der, must(asn1.Marshal(oidECDSAWithSHA256)), must(asn1.Marshal(oidECDSAWithSHA384)), 1), leaf, p.issuing), StatusMalformed},
		"bytes behind it":                {read(append(bytes.Clone(der), 0), leaf, p.issuing), StatusMalformed},
		"cut off":                        {read(der[:len(der)-1], leaf, p.issuing), StatusMalformed},
		"nothing":                        {read(nil, leaf, p.issuing), StatusMalformed},
		"more than is read":              {read(make([]byte, MaxCRL+1), leaf, p.issuing), StatusMalformed},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %q, not %q", name, tc.got, tc.want)
		}
	}
	for i := range der {
		bad := bytes.Clone(der)
		bad[i] ^= 1
		if why := read(bad, leaf, p.issuing); why == "" {
			t.Fatalf("changed at %d it counts", i)
		}
	}
	// One list read, asked with two issuers: the first one's word does not help the second.
	list := must(ReadCRL(der))
	if _, err := list.Status(leaf, p.issuing); err != nil {
		t.Fatal(err)
	}
	if _, err := list.Status(leaf, other.issuing); whyNot(err) != StatusIssuer {
		t.Errorf("%v", err)
	}
}

// TestCRLOfOurs: full, sharded and last lists of our own writer, in memory and large.
func TestCRLOfOurs(t *testing.T) {
	p := newPKI(t, nil, ecKey(t, elliptic.P384()))
	leaf, held := p.person(t, ecKey(t, p256).Public()), p.person(t, ecKey(t, p256).Public())
	spec := CRLSpec{Issuer: Issuer{p.issuing, p.caKey}, Number: big.NewInt(3), ThisUpdate: p.now, NextUpdate: p.now.Add(time.Hour), ExpiredCerts: p.issuing.NotBefore,
		Entries: Listed([]Revoked{{Serial: held.SerialNumber, At: p.now.Add(-time.Minute), Reason: 4}})}
	for name, change := range map[string]func(*CRLSpec){
		"full":  func(*CRLSpec) {},
		"shard": func(s *CRLSpec) { s.Shard = leaf.CRLDistributionPoints[0] },
		"last":  func(s *CRLSpec) { s.Last = true },
	} {
		s := spec
		change(&s)
		var out bytes.Buffer
		if err := WriteCRL(&out, s); err != nil {
			t.Fatal(err)
		}
		list := must(ReadCRL(out.Bytes()))
		a, err1 := list.Status(leaf, p.issuing)
		b, err2 := list.Status(held, p.issuing)
		if err1 != nil || err2 != nil || a.State != StatusGood || b.State != StatusRevoked || b.Reason != 4 || list.Entries != 1 || list.Number.Int64() != 3 || !a.Covers.Equal(p.issuing.NotBefore) {
			t.Errorf("%s: %+v %v, %+v %v", name, a, err1, b, err2)
		}
	}
	spec.Shard = "http://127.0.0.1:8080/pki/crl/other.crl"
	var out bytes.Buffer
	if err := WriteCRL(&out, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := must(ReadCRL(out.Bytes())).Status(leaf, p.issuing); whyNot(err) != StatusScope {
		t.Errorf("the shard of others: %v", err)
	}
}

// TestCRLOfAMillion: beside its bytes a list takes no memory that grows with it, and is read fast enough to be asked.
func TestCRLOfAMillion(t *testing.T) {
	const n = 1_000_000
	p := newPKI(t, nil, nil)
	leaf, held := p.person(t, ecKey(t, p256).Public()), p.person(t, ecKey(t, p256).Public())
	var out bytes.Buffer
	out.Grow(60 << 20)
	err := WriteCRL(&out, CRLSpec{Issuer: Issuer{p.issuing, p.caKey}, Number: big.NewInt(3), ThisUpdate: p.now, NextUpdate: p.now.Add(time.Hour),
		Entries: func(yield func(Revoked) error) error {
			for i := range n - 1 {
				if err := yield(Revoked{Serial: serialOf(i), At: p.now, Reason: reasons[i%len(reasons)]}); err != nil {
					return err
				}
			}
			return yield(Revoked{Serial: held.SerialNumber, At: p.now, Reason: 1})
		}})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	list := must(ReadCRL(out.Bytes()))
	a, err1 := list.Status(leaf, p.issuing)
	first := time.Since(began)
	b, err2 := list.Status(held, p.issuing)
	took := time.Since(began) - first
	runtime.ReadMemStats(&after)
	if err1 != nil || err2 != nil || a.State != StatusGood || b.State != StatusRevoked || list.Entries != n {
		t.Errorf("%v %v, %v %v, %d entries", a.State, err1, b.State, err2, list.Entries)
	}
	grew := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d bytes: read and verified in %v, asked again in %v, %d bytes allocated in all", out.Len(), first, took, grew)
	if grew > 1<<20 || first > 5*time.Second {
		t.Errorf("reading took %d bytes and %v", grew, first)
	}
}

func FuzzReadCRL(f *testing.F) {
	p := newPKI(f, nil, nil)
	leaf := p.person(f, ecKey(f, p256).Public())
	f.Add(p.foreign(f, func(*x509.RevocationList) {}))
	f.Add(p.foreign(f, func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: leaf.SerialNumber, RevocationTime: p.now, ReasonCode: 1}}
		l.ExtraExtensions = []pkix.Extension{{Id: oidExtIssuingPoint, Critical: true, Value: must(asn1.Marshal(idp{Point: at(leaf.CRLDistributionPoints[0]), Users: true}))}}
	}))
	seeds, err := filepath.Glob("testdata/*.crl")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range seeds {
		f.Add(must(os.ReadFile(path)))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		list, err := ReadCRL(der)
		if err != nil {
			if whyNot(err) == "" {
				t.Errorf("an error without a reason: %v", err)
			}
			return
		}
		s, err := list.Status(leaf, p.issuing)
		if err == nil && s.State == StatusUnknown {
			t.Error("it counts and says nothing")
		}
		// What is read is what crypto/x509 reads, where that reads it.
		other, err := x509.ParseRevocationList(der)
		if err == nil && (len(other.RevokedCertificateEntries) != list.Entries || !other.ThisUpdate.Equal(list.ThisUpdate)) {
			t.Errorf("%d entries from %v, crypto/x509 %d from %v", list.Entries, list.ThisUpdate, len(other.RevokedCertificateEntries), other.ThisUpdate)
		}
	})
}

func FuzzOCSPStatus(f *testing.F) {
	w := newOCSPWorld(f)
	f.Add(w.forge(f).der(f))
	named := w.forge(f)
	named.byName, named.singles[0].State, named.singles[0].RevokedAt = true, StatusRevoked, w.now
	f.Add(named.der(f))
	f.Add(OCSPErrorResponse(OCSPTryLater))
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := OCSPStatus(der, w.leaf, w.issuing)
		switch {
		case err != nil && whyNot(err) == "":
			t.Errorf("an error without a reason: %v", err)
		case err == nil && s.Algorithm == x509.UnknownSignatureAlgorithm:
			t.Error("it counts without an algorithm")
		}
	})
}

// TestScopeOfAList: a list for users says nothing of a CA; and a distribution point for some reasons, or of another issuer,
// leads to no list that is complete.
func TestScopeOfAList(t *testing.T) {
	p := newPKI(t, nil, nil)
	users := must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: p.now, NextUpdate: p.now.Add(time.Hour), ExtraExtensions: []pkix.Extension{point(t, idp{Users: true})},
	}, p.root, p.rootKey))
	if _, err := must(ReadCRL(users)).Status(p.issuing, p.root); whyNot(err) != StatusScope {
		t.Errorf("%v", err)
	}
	const address = "http://crl.example/a.crl"
	list := must(ReadCRL(p.foreign(t, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{point(t, idp{Point: at(address)})} })))
	type distribution struct {
		Point   asn1.RawValue  `asn1:"optional,tag:0"`
		Reasons asn1.BitString `asn1:"optional,tag:1"`
		Issuer  asn1.RawValue  `asn1:"optional,tag:2"`
	}
	for name, tc := range map[string]struct {
		points []distribution
		want   StatusReason
	}{
		"complete":          {[]distribution{{Point: at(address)}}, ""},
		"the second one":    {[]distribution{{Point: at("http://crl.example/b.crl")}, {Point: at(address)}}, ""},
		"for some reasons":  {[]distribution{{Point: at(address), Reasons: asn1.BitString{Bytes: []byte{0x40}, BitLength: 2}}}, StatusScope},
		"of another issuer": {[]distribution{{Point: at(address), Issuer: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, IsCompound: true, Bytes: []byte{0x82, 1, 'x'}}}}, StatusScope},
		"none":              {nil, StatusScope},
	} {
		c := &x509.Certificate{SerialNumber: big.NewInt(5), NotBefore: p.now.Add(-time.Minute), NotAfter: p.now.Add(time.Hour)}
		if tc.points != nil {
			c.ExtraExtensions = []pkix.Extension{{Id: oidExtCRLDP, Value: must(asn1.Marshal(tc.points))}}
		}
		cert := parse(t, must(x509.CreateCertificate(rand.Reader, c, p.issuing, ecKey(t, p256).Public(), p.caKey)))
		if _, err := list.Status(cert, p.issuing); whyNot(err) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
