package cms_test

import (
	"bytes"
	"crypto"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
)

// TestBEROfOpenSSL: what it streams, with lengths that are not said and the
// content in pieces, is read as the same signature; Parse refuses it.
func TestBEROfOpenSSL(t *testing.T) {
	p := newPerson(t, "P-256")
	dir := t.TempDir()
	content := bytes.Repeat([]byte("content "), 2000)
	write(t, dir, "content", content)
	write(t, dir, "cert.pem", pemCert(p))
	write(t, dir, "key.pem", pemKey(t, p))
	run(t, dir, "openssl", "cms", "-sign", "-cades", "-binary", "-nodetach", "-stream", "-in", "content", "-signer", "cert.pem", "-inkey", "key.pem", "-outform", "DER", "-out", "sig")
	ber, err := os.ReadFile(filepath.Join(dir, "sig"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Parse(ber, cms.Budget{}); code(err) != cms.CodeNotDER {
		t.Errorf("Parse: %v", err)
	}
	at := func(b []byte) (*cms.SignedData, error) {
		return cms.ParseAt(bytes.NewReader(b), int64(len(b)), cms.Budget{})
	}
	sd, err := at(ber)
	if err != nil {
		t.Fatal(err)
	}
	if !sd.HasContent || !bytes.Equal(sd.Content, content) {
		t.Errorf("%d bytes of content", len(sd.Content))
	}
	if err := sd.SignerInfos[0].VerifyValue(p.cert, p.digest(content)); err != nil {
		t.Error(err)
	}
	for name, b := range map[string][]byte{
		"cut": ber[:len(ber)-1], "a tail": append(bytes.Clone(ber), 0), "nested": bytes.Repeat([]byte{0x30, 0x80}, 1<<20),
		"only a head": {0x30, 0x80}, "empty": {0x30, 0x80, 0, 0}, "many": append([]byte{0x30, 0x80}, bytes.Repeat([]byte{5, 0}, 1<<20)...),
	} {
		begin := time.Now()
		if _, err := at(b); code(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(begin); d > time.Second {
			t.Errorf("%s took %v", name, d)
		}
	}
	for i := range ber {
		if i > 200 && i < len(ber)-2000 {
			continue // in the content
		}
		bad := bytes.Clone(ber)
		bad[i] ^= 1
		sd, err := at(bad)
		if err != nil {
			continue
		}
		same := len(sd.SignerInfos) == 1 && bytes.Equal(sd.Content, content)
		if c, err := sd.SignerCertificate(0); err == nil && !same && sd.SignerInfos[0].VerifyValue(c, p.digest(sd.Content)) == nil {
			t.Errorf("byte %d changed: still verified", i)
		}
	}
}

// indefinite is an element without its length.
func indefinite(tag byte, parts ...[]byte) []byte {
	return append(append([]byte{tag, 0x80}, bytes.Join(parts, nil)...), 0, 0)
}

// fields gives the elements inside of one.
func fields(t testing.TB, der []byte) (out [][]byte) {
	t.Helper()
	s := cryptobyte.String(der)
	var in cryptobyte.String
	var tag casn1.Tag
	if !s.ReadAnyASN1(&in, &tag) {
		t.Fatal("not DER")
	}
	for !in.Empty() {
		var one cryptobyte.String
		if !in.ReadAnyASN1Element(&one, &tag) {
			t.Fatal("not DER")
		}
		out = append(out, one)
	}
	return out
}

// TestOnlyTheFrameMayBeBER: every element of the frame without its length, and
// the content in pieces; then one of what is signed or hashed too.
func TestOnlyTheFrameMayBeBER(t *testing.T) {
	content := []byte("content")
	p := newPerson(t, "P-256")
	before, after, err := cms.Frame(archived(t, p.longTerm(t, content), content, crypto.SHA256), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	info := fields(t, slices.Concat(before, content, after))
	sd := fields(t, fields(t, info[1])[0])
	signer := fields(t, fields(t, sd[5])[0])
	frame := func(certs, crls, attrs, unsigned []byte) []byte {
		pieces := indefinite(0x24, octets(t, content[:3]), octets(t, content[3:]))
		one := indefinite(0x30, signer[0], signer[1], signer[2], attrs, signer[4], signer[5], unsigned)
		return indefinite(0x30, info[0], indefinite(0xA0, indefinite(0x30, sd[0], sd[1],
			indefinite(0x30, oid(t, cms.OIDData), indefinite(0xA0, pieces)), certs, crls, indefinite(0x31, one))))
	}
	again := func(der []byte) []byte { return indefinite(der[0], fields(t, der)...) }
	one := func(der []byte) []byte { // its first element without a length
		list := fields(t, der)
		list[0] = again(list[0])
		return indefinite(der[0], list...)
	}
	at := func(b []byte) (*cms.SignedData, error) {
		return cms.ParseAt(bytes.NewReader(b), int64(len(b)), cms.Budget{})
	}
	got, err := at(frame(again(sd[3]), again(sd[4]), signer[3], again(signer[6])))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Content, content) {
		t.Errorf("content %q", got.Content)
	}
	checkLevel(t, p, got, content, 1)
	for name, b := range map[string][]byte{
		"signed attributes": frame(sd[3], sd[4], again(signer[3]), signer[6]),
		"a certificate":     frame(one(sd[3]), sd[4], signer[3], signer[6]),
		"a time-stamp":      frame(sd[3], sd[4], signer[3], one(signer[6])),
	} {
		if _, err := at(b); code(err) != cms.CodeNotDER {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Revocation data are not looked into here; the index is over them as they stand.
	got, err = at(frame(sd[3], one(sd[4]), signer[3], signer[6]))
	if err == nil {
		_, err = cms.VerifyArchive(got, &got.SignerInfos[0], got.SignerInfos[0].ArchiveTimeStamps()[0], contentOf(content))
	}
	if err == nil {
		t.Error("revocation data in BER: still what was stamped")
	}
}

// FuzzBER: never a panic, every error one of ours, and what was read can be asked for its signers.
func FuzzBER(f *testing.F) {
	p := newPerson(f, "P-256")
	der := assemble(f, p.cadesParts(f, []byte("content")))
	f.Add(append(append([]byte{0x30, 0x80}, der[4:]...), 0, 0))
	f.Add([]byte("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80\x24\x80\x04\x01\x41\x04\x01\x42\x00\x00\x00\x00\x00\x00\x31\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sd, err := cms.ParseAt(bytes.NewReader(b), int64(len(b)), cms.Budget{})
		if err != nil {
			if code(err) == "" {
				t.Errorf("not a *cms.Error: %v", err)
			}
			return
		}
		for i := range sd.SignerInfos {
			_, _ = sd.SignerCertificate(i)
		}
	})
}
