package certs

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"
)

// someRevoked gives n entries with serial numbers of 16 octets and every reason.
func someRevoked(n int, at time.Time) []Revoked {
	list := make([]Revoked, n)
	for i := range list {
		list[i] = Revoked{Serial: serialOf(i), At: at.Add(-time.Duration(i%1000) * time.Minute), Reason: reasons[i%len(reasons)]}
	}
	return list
}

func serialOf(i int) *big.Int {
	b := bytes.Repeat([]byte{0x5a}, 16)
	binary.BigEndian.PutUint64(b[8:], uint64(i)*0x9e3779b97f4a7c15)
	return new(big.Int).SetBytes(b)
}

// TestCRLIsWhatTheStandardLibraryWrites: the same bytes to be signed as
// x509.CreateRevocationList makes, for lists in memory and in a file.
func TestCRLIsWhatTheStandardLibraryWrites(t *testing.T) {
	for name, key := range map[string]crypto.Signer{"P-256": ecKey(t, p256), "P-384": ecKey(t, elliptic.P384()), "RSA-3072": rsaKey(t)} {
		p := newPKI(t, nil, key)
		this, next := p.now.UTC().Truncate(time.Second), p.now.Add(12*time.Hour).UTC().Truncate(time.Second)
		for _, n := range []int{0, 1, 10, 127, 40_000} {
			if n > 1000 && name != "P-256" {
				continue
			}
			list := someRevoked(n, this)
			template := &x509.RevocationList{Number: big.NewInt(77), ThisUpdate: this, NextUpdate: next}
			for _, r := range list {
				template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.Serial, RevocationTime: r.At.Truncate(time.Second), ReasonCode: r.Reason})
			}
			alg := must(signingAlgorithm(key.Public()))
			template.SignatureAlgorithm = alg.sig
			want := must(x509.ParseRevocationList(must(x509.CreateRevocationList(rand.Reader, template, p.issuing, key))))
			before := p.caKey.n.Load()
			der, err := CRL(Issuer{p.issuing, p.caKey}, big.NewInt(77), list, this, next)
			if err != nil {
				t.Fatalf("%s, %d: %v", name, n, err)
			}
			got := must(x509.ParseRevocationList(der))
			if !bytes.Equal(got.RawTBSRevocationList, want.RawTBSRevocationList) {
				t.Errorf("%s, %d entries: other bytes", name, n)
			}
			if err := got.CheckSignatureFrom(p.issuing); err != nil {
				t.Errorf("%s, %d: %v", name, n, err)
			}
			if n := p.caKey.n.Load() - before; n != 1 {
				t.Errorf("%s: %d signatures", name, n)
			}
		}
	}
}

// TestCRLJudgedByOpenSSL: the extensions of a shard and of a last list.
func TestCRLJudgedByOpenSSL(t *testing.T) {
	p := newPKI(t, nil, nil)
	dir := t.TempDir()
	issuing := writePEM(t, dir+"/ca.pem", "CERTIFICATE", p.issuing.Raw)
	for name, tc := range map[string]struct {
		change func(s *CRLSpec)
		want   []string
	}{
		"plain":        {func(*CRLSpec) {}, []string{"X509v3 CRL Number", "Key Compromise", "Cessation Of Operation"}},
		"shard":        {func(s *CRLSpec) { s.Shard = "http://127.0.0.1:8080/pki/crl/issuing-ca-7.crl" }, []string{"Issuing Distribution Point: critical", "URI:http://127.0.0.1:8080/pki/crl/issuing-ca-7.crl"}},
		"last":         {func(s *CRLSpec) { s.Last = true }, []string{"Next Update: Dec 31 23:59:59 9999 GMT"}},
		"expired stay": {func(s *CRLSpec) { s.ExpiredCerts = p.issuing.NotBefore }, []string{"2.5.29.60"}},
	} {
		spec := CRLSpec{Issuer: Issuer{p.issuing, p.caKey}, Number: big.NewInt(5), ThisUpdate: p.now, NextUpdate: p.now.Add(time.Hour), Entries: Listed(someRevoked(10, p.now))}
		tc.change(&spec)
		var out bytes.Buffer
		if err := WriteCRL(&out, spec); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file := writePEM(t, dir+"/crl.pem", "X509 CRL", out.Bytes())
		text, err := openssl(t, "crl", "-in", file, "-CAfile", issuing, "-noout", "-text")
		if err != nil || !strings.Contains(text, "verify OK") {
			t.Errorf("%s: %v %s", name, err, text)
		}
		for _, w := range tc.want {
			if !strings.Contains(text, w) && !(w == "2.5.29.60" && strings.Contains(text, "Expired Certificates On CRL")) {
				t.Errorf("%s: openssl does not show %q:\n%s", name, w, text)
			}
		}
	}
}

// TestExtensionsOfACRL holds the DER of what zlint and openssl only name.
func TestExtensionsOfACRL(t *testing.T) {
	p := newPKI(t, nil, nil)
	since := time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	err := WriteCRL(&out, CRLSpec{Issuer: Issuer{p.issuing, p.caKey}, Number: big.NewInt(0x1234), ThisUpdate: p.now, Last: true, ExpiredCerts: since, Shard: "http://x.exam/1", Entries: Listed(nil)})
	if err != nil {
		t.Fatal(err)
	}
	list := must(x509.ParseRevocationList(out.Bytes()))
	want := map[string]string{
		"2.5.29.20": "02021234",
		"2.5.29.28": "3015a013a011860f" + "687474703a2f2f782e6578616d2f31",
		"2.5.29.60": "180f32303236313132343232303030305a",
	}
	seen := 0
	for _, e := range list.Extensions {
		w, ok := want[e.Id.String()]
		if !ok {
			continue
		}
		seen++
		if !bytes.Equal(e.Value, mustHex(t, w)) || e.Critical != e.Id.Equal(oidExtIssuingPoint) {
			t.Errorf("%v: %x, critical %v", e.Id, e.Value, e.Critical)
		}
	}
	if seen != len(want) || !list.NextUpdate.Equal(lastUpdate) || !bytes.Contains(out.Bytes(), []byte("\x18\x0f99991231235959Z")) {
		t.Errorf("%d extensions, next update %v", seen, list.NextUpdate)
	}
}

func TestCRLsThatAreNotSigned(t *testing.T) {
	p := newPKI(t, nil, nil)
	before := p.caKey.n.Load()
	broken := errors.New("the database is gone")
	spec := func(change func(s *CRLSpec)) CRLSpec {
		s := CRLSpec{Issuer: Issuer{p.issuing, p.caKey}, Number: big.NewInt(5), ThisUpdate: p.now, NextUpdate: p.now.Add(time.Hour), Entries: Listed(nil)}
		change(&s)
		return s
	}
	entry := func(r Revoked) CRLSpec {
		// Behind the sample of the lint: the writer alone sees it.
		return spec(func(s *CRLSpec) { s.Entries = Listed(append(someRevoked(maxSample+5, p.now), r)) })
	}
	for name, s := range map[string]CRLSpec{
		"no number":             spec(func(s *CRLSpec) { s.Number = nil }),
		"number 0":              spec(func(s *CRLSpec) { s.Number = new(big.Int) }),
		"the entries break":     spec(func(s *CRLSpec) { s.Entries = func(func(Revoked) error) error { return broken } }),
		"another key":           spec(func(s *CRLSpec) { s.Issuer.Signer = ecKey(t, p256) }),
		"no issuer":             spec(func(s *CRLSpec) { s.Issuer.Cert = nil }),
		"serial 0":              entry(Revoked{new(big.Int), p.now, 1}),
		"negative serial":       entry(Revoked{big.NewInt(-5), p.now, 1}),
		"no serial":             entry(Revoked{nil, p.now, 1}),
		"serial of 21 octets":   entry(Revoked{new(big.Int).Lsh(big.NewInt(1), 161), p.now, 1}),
		"revoked in the future": entry(Revoked{big.NewInt(5), p.now.Add(time.Minute), 1}),
		"revoked at no time":    entry(Revoked{big.NewInt(5), time.Time{}, 1}),
		"on hold":               entry(Revoked{big.NewInt(5), p.now, 6}),
		"removed":               entry(Revoked{big.NewInt(5), p.now, 8}),
		"negative reason":       entry(Revoked{big.NewInt(5), p.now, -1}),
	} {
		var out bytes.Buffer
		if err := WriteCRL(&out, s); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
	}
	if n := p.caKey.n.Load(); n != before {
		t.Errorf("the key signed %d times", n-before)
	}
	if err := WriteCRL(&full{}, spec(func(s *CRLSpec) { s.Entries = Listed(someRevoked(40_000, p.now)) })); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
}

// full is a disk that is.
type full struct{}

var errFull = errors.New("no space")

func (*full) Write([]byte) (int, error) { return 0, errFull }

// million writes a list of n entries that nobody keeps, and gives the largest
// heap seen on the way.
func million(t testing.TB, p *pki, n int, w io.Writer) (peak uint64) {
	t.Helper()
	serial := serialOf(1)
	step := big.NewInt(0x9e3779b1)
	runtime.GC()
	err := WriteCRL(w, CRLSpec{Issuer: Issuer{p.issuing, p.caKey}, Number: big.NewInt(1), ThisUpdate: p.now, NextUpdate: p.now.Add(time.Hour),
		Entries: func(yield func(Revoked) error) error {
			var m runtime.MemStats
			for i := range n {
				serial.Add(serial, step)
				if err := yield(Revoked{serial, p.now.Add(-time.Hour), reasons[i%len(reasons)]}); err != nil {
					return err
				}
				if i%50_000 == 0 {
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapAlloc)
				}
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return peak
}

// TestAMillionRevoked: made in less than five seconds, and the heap is as
// large as for a tenth of it.
func TestAMillionRevoked(t *testing.T) {
	p := newPKI(t, nil, nil)
	small := million(t, p, 100_000, io.Discard)
	start := time.Now()
	large := million(t, p, 1_000_000, io.Discard)
	took := time.Since(start)
	t.Logf("1 000 000 entries in %v; heap %d KiB, with 100 000 entries %d KiB", took.Round(time.Millisecond), large>>10, small>>10)
	if took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if large > small+(8<<20) {
		t.Errorf("heap %d bytes, with a tenth of the entries %d", large, small)
	}
}

func BenchmarkCRLMillion(b *testing.B) {
	p := newPKI(b, nil, nil)
	for b.Loop() {
		million(b, p, 1_000_000, io.Discard)
	}
}

// FuzzCRL: whatever is read, nothing panics; and whatever entries are given,
// the list is refused or readable with exactly those.
func FuzzCRL(f *testing.F) {
	p := newPKI(f, nil, nil)
	f.Add(must(CRL(Issuer{p.issuing, p.caKey}, big.NewInt(1), someRevoked(3, p.now), p.now, p.now.Add(time.Hour))), 4, int64(3600))
	f.Add([]byte{1}, 0, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, reason int, ago int64) {
		_ = LintCRL(b)
		entry := Revoked{new(big.Int).SetBytes(b), p.now.Add(-time.Duration(ago) * time.Second), reason}
		der, err := CRL(Issuer{p.issuing, p.caKey}, big.NewInt(2), []Revoked{entry}, p.now, p.now.Add(time.Hour))
		if err != nil {
			return
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil || len(list.RevokedCertificateEntries) != 1 {
			t.Fatalf("%v", err)
		}
		got := list.RevokedCertificateEntries[0]
		if got.SerialNumber.Cmp(entry.Serial) != 0 || got.ReasonCode != reason || !got.RevocationTime.Equal(entry.At.UTC().Truncate(time.Second)) {
			t.Errorf("%+v", got)
		}
	})
}

// TestHeaderIsDER: the lengths as encoding/asn1 writes them.
func TestHeaderIsDER(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 24} {
		want := must(asn1.Marshal(make([]byte, n)))
		if got := header(4, int64(n)); !bytes.Equal(got, want[:len(want)-n]) {
			t.Errorf("%d: %x", n, got)
		}
	}
}

// TestForeignPartsOfACRL: what we never write, the lint finds.
func TestForeignPartsOfACRL(t *testing.T) {
	p := newPKI(t, nil, nil)
	for name, tc := range map[string]struct {
		change func(l *x509.RevocationList)
		rule   string
	}{
		"delta": {func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: []int{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
		}, "crl-extension"},
		"expired stay, critical": {func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier(oidExtExpiredCerts), Critical: true, Value: []byte("\x18\x0f20261124220000Z")}}
		}, "crl-extension"},
		"a hold": {func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: serialOf(1), RevocationTime: p.now.UTC().Add(-time.Hour), ReasonCode: 6}}
		}, "crl-reason"},
	} {
		l := &x509.RevocationList{Number: big.NewInt(3), ThisUpdate: p.now.UTC(), NextUpdate: p.now.UTC().Add(time.Hour)}
		tc.change(l)
		der := must(x509.CreateRevocationList(rand.Reader, l, p.issuing, p.caKey.Signer))
		if found := LintCRL(der); len(found) != 1 || found[0].Rule != tc.rule {
			t.Errorf("%s: %v", name, found)
		}
	}
}
