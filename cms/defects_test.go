package cms_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/csv"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
)

func build(t testing.TB, f cryptobyte.BuilderContinuation) []byte {
	t.Helper()
	var b cryptobyte.Builder
	f(&b)
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func wrapped(t testing.TB, tag casn1.Tag, parts ...[]byte) []byte {
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(tag, func(b *cryptobyte.Builder) {
			for _, p := range parts {
				b.AddBytes(p)
			}
		})
	})
}

func sorted(t testing.TB, parts ...[]byte) []byte {
	s := slices.Clone(parts)
	slices.SortFunc(s, bytes.Compare)
	return wrapped(t, casn1.SET, s...)
}

func oid(t testing.TB, o asn1.ObjectIdentifier) []byte {
	return build(t, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(o) })
}

func octets(t testing.TB, v []byte) []byte {
	return build(t, func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}

func attr(t testing.TB, o asn1.ObjectIdentifier, values ...[]byte) []byte {
	return wrapped(t, casn1.SEQUENCE, oid(t, o), wrapped(t, casn1.SET, values...))
}

// apart gives the elements of a SET.
func apart(t testing.TB, der []byte) [][]byte {
	t.Helper()
	s := cryptobyte.String(der)
	var in cryptobyte.String
	if !s.ReadASN1(&in, casn1.SET) {
		t.Fatal("not a SET")
	}
	var out [][]byte
	for !in.Empty() {
		var one cryptobyte.String
		if !in.ReadASN1Element(&one, casn1.SEQUENCE) {
			t.Fatal("not a SET of SEQUENCEs")
		}
		out = append(out, one)
	}
	return out
}

// replace changes one text for another in der, which must hold it once.
func replace(t testing.TB, der []byte, from, to string) []byte {
	t.Helper()
	f, err1 := hex.DecodeString(from)
	to2, err2 := hex.DecodeString(to)
	if err1 != nil || err2 != nil || len(f) != len(to2) || bytes.Count(der, f) != 1 {
		t.Fatalf("%s is not once in the bytes (%d)", from, bytes.Count(der, f))
	}
	return bytes.Replace(bytes.Clone(der), f, to2, 1)
}

// TestSignedAttributesOfOthersAreRefused: the SAM rests on it.
func TestSignedAttributesOfOthersAreRefused(t *testing.T) {
	p := newPerson(t, "P-256")
	md := sha256.Sum256([]byte("content"))
	good, err := cms.SignedAttributes(md[:], p.cert)
	if err != nil {
		t.Fatal(err)
	}
	list := apart(t, good)
	drop := func(o asn1.ObjectIdentifier) [][]byte {
		return slices.DeleteFunc(slices.Clone(list), func(a []byte) bool { return bytes.Contains(a[:min(len(a), 20)], oid(t, o)) })
	}
	with := func(o asn1.ObjectIdentifier, values ...[]byte) []byte {
		return sorted(t, append(drop(o), attr(t, o, values...))...)
	}
	small := newPerson(t, "RSA-3072")
	rsaAttrs, err := cms.SignedAttributes(md[:], small.cert)
	if err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"empty":                  {},
		"an empty SET":           {0x31, 0},
		"tag A0":                 append([]byte{0xA0}, good[1:]...),
		"trailing byte":          append(bytes.Clone(good), 0),
		"cut":                    good[:len(good)-1],
		"no content-type":        sorted(t, drop(cms.OIDContentType)...),
		"no message-digest":      sorted(t, drop(cms.OIDMessageDigest)...),
		"no signing-certificate": sorted(t, drop(cms.OIDSigningCertificateV2)...),
		"no protection":          sorted(t, drop(cms.OIDAlgorithmProtection)...),
		"a time in long form":    sorted(t, append(slices.Clone(list), attr(t, cms.OIDSigningTime, build(t, func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(time.Now()) })))...),
		"an unknown one too":     sorted(t, append(slices.Clone(list), attr(t, asn1.ObjectIdentifier{1, 2, 3}, octets(t, nil)))...),
		"message-digest twice":   sorted(t, append(slices.Clone(list), attr(t, cms.OIDMessageDigest, octets(t, make([]byte, 32))))...),
		"two values":             with(cms.OIDMessageDigest, octets(t, md[:]), octets(t, make([]byte, 32))),
		"no value":               with(cms.OIDMessageDigest),
		"short digest":           with(cms.OIDMessageDigest, octets(t, md[:31])),
		"digest of another kind": with(cms.OIDMessageDigest, oid(t, cms.OIDData)),
		"content-type of a TST":  with(cms.OIDContentType, oid(t, cms.OIDTSTInfo)),
		"unsorted":               wrapped(t, casn1.SET, list[1], list[0], list[2], list[3]),
		"long length":            append([]byte{0x31, 0x83, 0}, good[2:]...),
		"12 MB of BER":           bytes.Repeat([]byte{0x30, 0x80}, 6<<20),
		"SHA-384 protected":      replace(t, good, "300b0609608648016503040201", "300b0609608648016503040202"),
		"ECDSA with SHA-384":     replace(t, good, "06082a8648ce3d040302", "06082a8648ce3d040303"),
		"RSA without NULL":       replace(t, rsaAttrs, "06092a864886f70d01010b0500", "06092a864886f70d01010b0400"),
	} {
		if a, err := cms.ParseSignedAttributes(der); err == nil {
			t.Errorf("%s: %+v", name, a)
		} else if code(err) == "" {
			t.Errorf("%s: not a *cms.Error: %v", name, err)
		}
	}
	// No changed byte is read as what it was.
	was, err := cms.ParseSignedAttributes(good)
	if err != nil {
		t.Fatal(err)
	}
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		a, err := cms.ParseSignedAttributes(bad)
		if err == nil && bytes.Equal(a.MessageDigest, was.MessageDigest) && a.Check(p.cert) == nil {
			t.Errorf("byte %d changed and nobody noticed", at)
		}
	}
}

func TestSignedAttributesNeedADigestOfTheirHash(t *testing.T) {
	for kind, alg := range kinds {
		p := newPerson(t, kind)
		for _, n := range []int{0, 20, 31, 32, 33, 48, 64} {
			_, err := alg.SignedAttributes(make([]byte, n), p.cert)
			if (err == nil) != (n == alg.Hash().Size()) || err != nil && code(err) != cms.CodeAttributes {
				t.Errorf("%s, %d bytes: %v", kind, n, err)
			}
		}
	}
}

// TestAnAlgorithmIsForItsKeys: attributes that name another algorithm than the
// certificate's key can have are neither made nor accepted, and a value by one
// algorithm is not one by another.
func TestAnAlgorithmIsForItsKeys(t *testing.T) {
	for kind := range kinds {
		p := newPerson(t, kind)
		parts := p.sign(t, []byte("content"))
		for other, alg := range kinds {
			q := newPerson(t, other)
			fits := strings.HasPrefix(kind, "RSA") == strings.HasPrefix(other, "RSA")
			if _, err := alg.SignedAttributes(make([]byte, alg.Hash().Size()), p.cert); (err == nil) != fits {
				t.Errorf("%s with a %s key: %v", alg, kind, err)
			}
			digest := q.digest(parts.SignedAttrs)
			if err := alg.Verify(p.cert.PublicKey, digest, parts.Value); (err == nil) != (p.alg == alg) {
				t.Errorf("a value by %s verified as %s: %v", p.alg, alg, err)
			}
		}
	}
	for _, name := range []cms.Algorithm{"", "RSASSA-PSS", "ecdsa-with-SHA1", "ecdsa-with-SHA224", "RSASSA-PSS-SHA1"} {
		if name.Hash() != 0 || name.X509() != x509.UnknownSignatureAlgorithm || name.Verify(newPerson(t, "P-256").cert.PublicKey, nil, nil) == nil {
			t.Errorf("%q is an algorithm of ours", name)
		}
	}
}

// TestPSSParametersOfOursAreTheUsualOnes: byte for byte what Go and OpenSSL
// write for SHA-256 (RFC 4055 §3.1 with NULL beside the hash).
func TestPSSParametersOfOursAreTheUsualOnes(t *testing.T) {
	p := newPerson(t, "RSA-3072-PSS")
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{SignatureAlgorithm: x509.SHA256WithRSAPSS}, p.key)
	if err != nil {
		t.Fatal(err)
	}
	var csr struct {
		Info      asn1.RawValue
		Algorithm asn1.RawValue
		Value     asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &csr); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(assemble(t, p.sign(t, []byte("content"))), csr.Algorithm.FullBytes) {
		t.Error("the signatureAlgorithm is another one")
	}
}

// TestParseRefuses within its budget, quickly, by name.
func TestParseRefuses(t *testing.T) {
	p := newPerson(t, "P-256")
	good := assemble(t, p.sign(t, []byte("content")))
	nested := func(n int) []byte {
		b := []byte{0x05, 0x00}
		for range n {
			b = wrapped(t, casn1.SEQUENCE, b)
		}
		return b
	}
	for name, tc := range map[string]struct {
		der    []byte
		budget cms.Budget
		code   string
	}{
		"nothing":               {nil, cms.Budget{}, cms.CodeMalformed},
		"one byte":              {[]byte{0x30}, cms.Budget{}, cms.CodeMalformed},
		"1F80":                  {[]byte{0x1F, 0x80}, cms.Budget{}, cms.CodeNotDER},
		"1F05":                  {[]byte{0x1F, 0x05}, cms.Budget{}, cms.CodeNotDER},
		"3081":                  {[]byte{0x30, 0x81}, cms.Budget{}, cms.CodeMalformed},
		"308401":                {[]byte{0x30, 0x84, 0x01}, cms.Budget{}, cms.CodeMalformed},
		"a length of 4 GB":      {[]byte{0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF}, cms.Budget{}, cms.CodeMalformed},
		"a length of 8 bytes":   {[]byte{0x30, 0x88, 1, 1, 1, 1, 1, 1, 1, 1}, cms.Budget{}, cms.CodeNotDER},
		"a length not minimal":  {[]byte{0x30, 0x81, 0x02, 0x05, 0x00}, cms.Budget{}, cms.CodeNotDER},
		"BER":                   {[]byte{0x30, 0x80, 0x00, 0x00}, cms.Budget{}, cms.CodeNotDER},
		"12 MB of BER":          {bytes.Repeat([]byte{0x30, 0x80}, 6<<20), cms.Budget{}, cms.CodeTooLarge},
		"12 MB of BER, allowed": {bytes.Repeat([]byte{0x30, 0x80}, 6<<20), cms.Budget{Bytes: 64 << 20}, cms.CodeNotDER},
		"65 levels":             {nested(65), cms.Budget{}, cms.CodeTooDeep},
		"10000 levels":          {nested(10000), cms.Budget{Bytes: 64 << 20, Depth: 1 << 20}, cms.CodeTooDeep},
		"many elements":         {wrapped(t, casn1.SEQUENCE, bytes.Repeat([]byte{5, 0}, 1<<20)), cms.Budget{}, cms.CodeTooManyElements},
		"trailing zero":         {append(bytes.Clone(good), 0), cms.Budget{}, cms.CodeTrailingData},
		"twice":                 {append(bytes.Clone(good), good...), cms.Budget{}, cms.CodeTrailingData},
		"cut":                   {good[:len(good)-1], cms.Budget{}, cms.CodeMalformed},
		"enveloped data":        {replace(t, good, "06092a864886f70d010702", "06092a864886f70d010703"), cms.Budget{}, cms.CodeNotSignedData},
		"SignedData version 3":  {replace(t, good, "020101310d300b", "020103310d300b"), cms.Budget{}, cms.CodeMalformed},
		"too small a budget":    {good, cms.Budget{Bytes: 100}, cms.CodeTooLarge},
		"too few elements":      {good, cms.Budget{Elements: 10}, cms.CodeTooManyElements},
		"too few levels":        {good, cms.Budget{Depth: 4}, cms.CodeTooDeep},
	} {
		start := time.Now()
		if _, err := cms.Parse(tc.der, tc.budget); code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

// TestNoChangedByteOfASignatureVerifies, nor leaves another certificate.
func TestNoChangedByteOfASignatureVerifies(t *testing.T) {
	p := newPerson(t, "P-256")
	parts := p.sign(t, []byte("content"))
	parts.Chain = nil // who else is in the bag is the path's matter
	good := assemble(t, parts)
	md := sha256.Sum256([]byte("content"))
	verify := func(der []byte) error {
		sd, err := cms.Parse(der, cms.Budget{})
		if err != nil {
			return err
		}
		c, err := sd.SignerCertificate(0)
		if err != nil {
			return err
		}
		return sd.SignerInfos[0].VerifyValue(c, md[:])
	}
	if err := verify(good); err != nil {
		t.Fatal(err)
	}
	for at := range good {
		for _, bit := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(good)
			bad[at] ^= bit
			if verify(bad) == nil {
				t.Errorf("byte %d of %d changed by %02x: still verified", at, len(good), bit)
			}
		}
	}
}

// TestPSSAndLargerHashesOfOthersVerify: what we do not write, but others do.
func TestPSSAndLargerHashesOfOthersVerify(t *testing.T) {
	p := newPerson(t, "RSA-3072")
	dir := t.TempDir()
	write(t, dir, "content", []byte("content"))
	write(t, dir, "cert.pem", pemCert(p))
	write(t, dir, "key.pem", pemKey(t, p))
	for name, tc := range map[string]struct {
		args []string
		hash crypto.Hash
		code string
	}{
		"PKCS1 SHA-256":       {[]string{"-md", "sha256"}, crypto.SHA256, ""},
		"PKCS1 SHA-384":       {[]string{"-md", "sha384"}, crypto.SHA384, ""},
		"PSS SHA-256":         {[]string{"-md", "sha256", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:32"}, crypto.SHA256, ""},
		"PSS SHA-512":         {[]string{"-md", "sha512", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:64"}, crypto.SHA512, ""},
		"PSS with other salt": {[]string{"-md", "sha256", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:20"}, crypto.SHA256, cms.CodeAlgorithm},
	} {
		run(t, dir, append([]string{"openssl", "cms", "-sign", "-cades", "-binary", "-in", "content", "-signer", "cert.pem", "-inkey", "key.pem", "-outform", "DER", "-out", "sig.der"}, tc.args...)...)
		der, err := os.ReadFile(filepath.Join(dir, "sig.der"))
		if err != nil {
			t.Fatal(err)
		}
		sd, err := cms.Parse(der, cms.Budget{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		w := tc.hash.New()
		w.Write([]byte("content"))
		if h, err := sd.SignerInfos[0].Hash(); err != nil || h != tc.hash {
			t.Errorf("%s: %v %v", name, h, err)
		}
		if err := sd.SignerInfos[0].VerifyValue(p.cert, w.Sum(nil)); code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOthersCMSFiles: every CMS of the corpora is read or refused without
// trouble, and what DSS calls cryptographically broken does not verify here.
func TestOthersCMSFiles(t *testing.T) {
	const corpora = "../../shared/corpora" // beside the repository
	f, err := os.Open(filepath.Join(corpora, "verdicts.tsv"))
	if os.IsNotExist(err) {
		t.Skipf("%s is absent: nothing was compared", corpora)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	col := map[string]int{}
	for i, name := range rows[0] {
		col[name] = i
	}
	best := map[string]bool{} // does DSS let any signature of the file pass
	for _, row := range rows[1:] {
		if name := row[col["file"]]; !strings.HasSuffix(name, ".pdf") {
			best[name] = best[name] || !strings.HasPrefix(row[col["dss_relaxed"]], "TOTAL_FAILED")
		}
	}
	read, verified := 0, 0
	for name, mayPass := range best {
		der, err := os.ReadFile(filepath.Join(corpora, "files", name))
		if err != nil {
			t.Fatal(err)
		}
		sd, err := cms.Parse(der, cms.Budget{})
		if err != nil {
			continue
		}
		read++
		for i := range sd.SignerInfos {
			si := &sd.SignerInfos[i]
			c, err := sd.SignerCertificate(i)
			h, err2 := si.Hash()
			if err != nil || err2 != nil || !sd.HasContent {
				continue
			}
			w := h.New()
			w.Write(sd.Content)
			if si.VerifyValue(c, w.Sum(nil)) == nil {
				verified++
				if !mayPass {
					t.Errorf("%s: verified, and DSS calls it broken", name)
				}
			}
		}
	}
	t.Logf("%d files that are not PDF, %d read as DER, %d signatures verified", len(best), read, verified)
	if read < 20 || verified < 10 {
		t.Error("too few to say anything")
	}
}

func FuzzParse(f *testing.F) {
	p := newPerson(f, "P-256")
	f.Add(assemble(f, p.sign(f, []byte("content"))))
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 100))
	f.Add([]byte{0x1F, 0x80})
	md := sha256.Sum256([]byte("content"))
	f.Fuzz(func(t *testing.T, der []byte) {
		sd, err := cms.Parse(der, cms.Budget{})
		if err != nil {
			if code(err) == "" {
				t.Errorf("not a *cms.Error: %v", err)
			}
			return
		}
		for i := range sd.SignerInfos {
			if c, err := sd.SignerCertificate(i); err == nil {
				_ = sd.SignerInfos[i].VerifyValue(c, md[:])
			}
			_ = sd.SignerInfos[i].TimeStampTokens()
			_, _ = sd.SignerInfos[i].SignatureAlgorithm()
		}
		if _, err := cms.Parse(append(bytes.Clone(der), 0), cms.Budget{}); err == nil {
			t.Error("a trailing byte is accepted")
		}
	})
}

func FuzzParseSignedAttributes(f *testing.F) {
	p := newPerson(f, "P-256")
	f.Add(p.sign(f, []byte("content")).SignedAttrs)
	f.Fuzz(func(t *testing.T, der []byte) {
		a, err := cms.ParseSignedAttributes(der)
		if err == nil && (len(a.CertHash) != 32 || a.Serial == nil || a.Algorithm == "") {
			t.Errorf("%+v", a)
		}
	})
}
