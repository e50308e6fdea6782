package tsa_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"os/exec"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
	"tekend/tsa"
)

func code(err error) string {
	if e, ok := errors.AsType[*tsa.Error](err); ok {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func (u unit) good(digest []byte) tsa.VerifyOptions {
	return tsa.VerifyOptions{
		Imprint: digest, Hash: crypto.SHA256, Nonce: big.NewInt(4711), Policies: []string{"1.2.3.4"},
		Roots: u.roots, At: time.Now(), MaxSkew: time.Minute,
	}
}

func TestTokenIsReadAndVerified(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	i := info(digest[:])
	tok, err := tsa.ParseToken(u.token(t, encode(t, i)))
	check(t, err)
	if !tok.GenTime.Equal(i.GenTime) || tok.Policy != "1.2.3.4" || tok.Serial.Cmp(i.Serial) != 0 || tok.Accuracy != i.Accuracy ||
		!bytes.Equal(tok.Imprint, digest[:]) || tok.Hash != crypto.SHA256 || !tok.Certificate.Equal(u.cert) {
		t.Errorf("%+v", tok)
	}
	if err := tok.Verify(u.good(digest[:])); err != nil {
		t.Error(err)
	}
}

// TestEveryCheckOfTheClient: one defect each.
func TestEveryCheckOfTheClient(t *testing.T) {
	digest := sha256.Sum256([]byte("document"))
	other := sha256.Sum256([]byte("another document"))
	for name, tc := range map[string]struct {
		unit []profile
		info func(*tsa.Info)
		ask  func(*tsa.VerifyOptions)
		code string
	}{
		"other imprint":           {info: func(i *tsa.Info) { i.Imprint.Digest = other[:] }, code: tsa.CodeImprint},
		"other imprint algorithm": {info: func(i *tsa.Info) { i.Imprint = tsa.Imprint{Hash: crypto.SHA512, Digest: make([]byte, 64)} }, code: tsa.CodeImprint},
		"nothing asked for":       {ask: func(o *tsa.VerifyOptions) { o.Imprint = nil }, code: tsa.CodeImprint},
		"other nonce":             {info: func(i *tsa.Info) { i.Nonce = big.NewInt(4712) }, code: tsa.CodeNonce},
		"no nonce":                {info: func(i *tsa.Info) { i.Nonce = nil }, code: tsa.CodeNonce},
		"other policy":            {info: func(i *tsa.Info) { i.Policy = asn1.ObjectIdentifier{1, 2, 3, 5} }, code: tsa.CodePolicy},
		"in the future":           {info: func(i *tsa.Info) { i.GenTime = i.GenTime.Add(2 * time.Minute) }, code: tsa.CodeTime},
		"in the past":             {info: func(i *tsa.Info) { i.GenTime = i.GenTime.Add(-2 * time.Minute) }, code: tsa.CodeTime},
		"no present":              {ask: func(o *tsa.VerifyOptions) { o.At = time.Time{} }, code: tsa.CodeTime},
		"no usage":                {unit: []profile{func(c *x509.Certificate) { c.ExtraExtensions = nil }}, code: tsa.CodeUsage},
		"usage not critical":      {unit: []profile{eku(false, timeStamping)}, code: tsa.CodeUsage},
		"usage not alone":         {unit: []profile{eku(true, timeStamping, codeSigning)}, code: tsa.CodeUsage},
		"other usage":             {unit: []profile{eku(true, codeSigning)}, code: tsa.CodeUsage},
		"key for certificates":    {unit: []profile{func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }}, code: tsa.CodePath},
		"no roots":                {ask: func(o *tsa.VerifyOptions) { o.Roots = nil }, code: tsa.CodePath},
		"other roots":             {ask: func(o *tsa.VerifyOptions) { o.Roots = newUnit(t).roots }, code: tsa.CodePath},
		"unit expired":            {unit: []profile{func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }}, code: tsa.CodePath},
		"unit expired since": {
			unit: []profile{func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Minute) }},
			ask:  func(o *tsa.VerifyOptions) { o.At, o.MaxSkew = time.Now().Add(time.Hour), 0 }, code: tsa.CodePathNow,
		},
		"unit not yet valid": {
			unit: []profile{func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }},
			code: tsa.CodePath,
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnit(t, tc.unit...)
			i := info(digest[:])
			if tc.info != nil {
				tc.info(&i)
			}
			tok, err := tsa.ParseToken(u.token(t, encode(t, i)))
			check(t, err)
			o := u.good(digest[:])
			if tc.ask != nil {
				tc.ask(&o)
			}
			if err := tok.Verify(o); code(err) != tc.code {
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
}

// tstInfo writes a TSTInfo with something more at its end.
func tstInfo(t testing.TB, base []byte, more func(*cryptobyte.Builder)) []byte {
	t.Helper()
	s := cryptobyte.String(base)
	var body cryptobyte.String
	if !s.ReadASN1(&body, casn1.SEQUENCE) {
		t.Fatal("not a SEQUENCE")
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(body)
		more(b)
	})
	der, err := b.Bytes()
	check(t, err)
	return der
}

func extension(critical bool) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.Tag(1).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 3})
				if critical {
					b.AddASN1Boolean(true)
				}
				b.AddASN1OctetString([]byte{5, 0})
			})
		})
	}
}

func directoryName(der []byte) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.Tag(4).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(der) })
		})
	}
}

func TestWhatElseATSTInfoMayHold(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	base := encode(t, info(digest[:]))
	for name, tc := range map[string]struct {
		more func(*cryptobyte.Builder)
		code string
	}{
		"extension":          {extension(false), ""},
		"critical extension": {extension(true), tsa.CodeExtension},
		"its own name":       {directoryName(u.cert.RawSubject), ""},
		"another's name":     {directoryName(u.root.RawSubject), tsa.CodeName},
	} {
		tok, err := tsa.ParseToken(u.token(t, tstInfo(t, base, tc.more)))
		check(t, err)
		if err := tok.Verify(u.good(digest[:])); code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tsa.ParseToken(u.token(t, tstInfo(t, base, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nil) }))); code(err) != tsa.CodeMalformed {
		t.Errorf("unknown member: %v", err)
	}
	if _, err := tsa.ParseToken(u.token(t, append(bytes.Clone(base), 0))); code(err) != tsa.CodeMalformed {
		t.Errorf("trailing byte: %v", err)
	}
}

func TestTokensOfOtherKinds(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	good := u.token(t, encode(t, info(digest[:])))
	for name, tc := range map[string]struct {
		der  []byte
		code string
	}{
		"empty":         {nil, tsa.CodeMalformed},
		"trailing byte": {append(bytes.Clone(good), 0), tsa.CodeMalformed},
		"cut":           {good[:len(good)-1], tsa.CodeMalformed},
		"a signature":   {detached(t, u), tsa.CodeContentType},
		"two signers":   {twice(t, good), tsa.CodeSigners},
		"12 MB of BER":  {bytes.Repeat([]byte{0x30, 0x80}, 6<<20), tsa.CodeMalformed},
	} {
		start := time.Now()
		if _, err := tsa.ParseToken(tc.der); code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
}

func detached(t testing.TB, u unit) []byte {
	t.Helper()
	md := sha256.Sum256([]byte("content"))
	attrs, err := cms.SignedAttributes(md[:], u.cert)
	check(t, err)
	digest := sha256.Sum256(attrs)
	v, err := u.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	check(t, err)
	der, err := cms.Assemble(cms.Parts{SignedAttrs: attrs, Value: v, Certificate: u.cert})
	check(t, err)
	return der
}

// twice repeats the SignerInfo of a token.
func twice(t testing.TB, der []byte) []byte {
	t.Helper()
	s := cryptobyte.String(der)
	var info, explicit, body, signers cryptobyte.String
	var oid asn1.ObjectIdentifier
	ctx := casn1.Tag(0).Constructed().ContextSpecific()
	if !s.ReadASN1(&info, casn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&oid) || !info.ReadASN1(&explicit, ctx) || !explicit.ReadASN1(&body, casn1.SEQUENCE) {
		t.Fatal("not SignedData")
	}
	var parts []cryptobyte.String
	for !body.Empty() {
		var one cryptobyte.String
		var tag casn1.Tag
		if !body.ReadAnyASN1Element(&one, &tag) {
			t.Fatal("not SignedData")
		}
		parts = append(parts, one)
	}
	last := parts[len(parts)-1]
	if !last.ReadASN1(&signers, casn1.SET) {
		t.Fatal("no signerInfos")
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(ctx, func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, p := range parts[:len(parts)-1] {
					b.AddBytes(p)
				}
				b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
					b.AddBytes(signers)
					b.AddBytes(signers)
				})
			})
		})
	})
	out, err := b.Bytes()
	check(t, err)
	return out
}

// TestNoChangedByteOfATokenPasses changes each byte in turn.
func TestNoChangedByteOfATokenPasses(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	good := u.token(t, encode(t, info(digest[:])))
	o := u.good(digest[:])
	for at := range good {
		for _, bit := range []byte{0x01, 0x10, 0x80} {
			bad := bytes.Clone(good)
			bad[at] ^= bit
			if tok, err := tsa.ParseToken(bad); err == nil && tok.Verify(o) == nil {
				t.Errorf("byte %d of %d changed by %02x: still verified", at, len(good), bit)
			}
		}
	}
}

func TestGenTime(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	i := info(digest[:])
	i.GenTime = time.Date(2026, 11, 24, 12, 0, 0, 120e6, time.UTC)
	body := encode(t, i)
	if !bytes.Contains(body, []byte("20261124120000.12Z")) {
		t.Errorf("%q", body)
	}
	for from, to := range map[string]string{
		"20261124120000.12Z": "20261124120000.10Z", // trailing zero
		"20261124120000.1Z+": "",
		"2026112412000012Z ": "",
		"20261124120000+010": "",
		"20261324120000.12Z": "",
	} {
		if to == "" {
			to, from = from, "20261124120000.12Z"
		}
		bad := bytes.Replace(body, []byte(from), []byte(to), 1)
		if _, err := tsa.ParseToken(u.token(t, bad)); code(err) != tsa.CodeMalformed {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// TestOpenSSLVerifiesOurs: openssl ts -verify, and that it would say no.
func TestOpenSSLVerifiesOurs(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	dir := t.TempDir()
	write(t, dir, "token", u.token(t, encode(t, info(digest[:]))))
	write(t, dir, "root.pem", pemOf(u.root))
	for content, want := range map[string]bool{"document": true, "other": false} {
		write(t, dir, "data", []byte(content))
		cmd := exec.Command("openssl", "ts", "-verify", "-token_in", "-in", "token", "-data", "data", "-CAfile", "root.pem")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); (err == nil) != want {
			t.Errorf("%s: %v\n%s", content, err, out)
		}
	}
}

// TestDigitorusReadsOurs: a second reader.
func TestDigitorusReadsOurs(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	i := info(digest[:])
	ts, err := timestamp.Parse(u.token(t, encode(t, i)))
	check(t, err)
	if !ts.Time.Equal(i.GenTime) || ts.SerialNumber.Cmp(i.Serial) != 0 || ts.Nonce.Cmp(i.Nonce) != 0 || ts.Accuracy != i.Accuracy || !ts.Policy.Equal(i.Policy) {
		t.Errorf("%+v", ts)
	}
}
