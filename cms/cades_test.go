package cms_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"encoding/pem"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/cms"
)

func TestAttributesOfCAdESAreReadBack(t *testing.T) {
	at := time.Date(2026, 11, 25, 3, 4, 5, 678, time.FixedZone("", 3600))
	for kind := range kinds {
		p := newPerson(t, kind)
		md := p.digest([]byte("content"))
		for _, mime := range []string{"", "text/plain", "application/vnd.oasis.opendocument.text"} {
			der, err := p.alg.CAdESAttributes(md, p.cert, at, mime)
			if err != nil {
				t.Fatal(err)
			}
			a, err := cms.ParseSignedAttributes(der)
			if err != nil {
				t.Fatal(err)
			}
			if !a.SigningTime.Equal(at.Truncate(time.Second)) || a.SigningTime.Location() != time.UTC || a.MimeType != mime || !bytes.Equal(a.MessageDigest, md) || a.Algorithm != string(p.alg) {
				t.Errorf("%s: %+v", kind, a)
			}
		}
	}
	p := newPerson(t, "P-256")
	pades, err := p.alg.SignedAttributes(p.digest(nil), p.cert)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := cms.ParseSignedAttributes(pades); err != nil || !a.SigningTime.IsZero() || a.MimeType != "" {
		t.Errorf("the PAdES form has a time: %+v, %v", a, err)
	}
}

func TestClaimsOfCAdESHaveOneForm(t *testing.T) {
	p := newPerson(t, "P-256")
	md := p.digest(nil)
	for _, tc := range []struct {
		at   time.Time
		want string // "": refused
	}{
		{time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC), tlv("17", hex.EncodeToString([]byte("500101000000Z")))},
		{time.Date(2049, 12, 31, 23, 59, 59, 999, time.UTC), tlv("17", hex.EncodeToString([]byte("491231235959Z")))},
		{time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), tlv("18", hex.EncodeToString([]byte("20500101000000Z")))},
		{time.Time{}, ""}, {time.Date(1949, 12, 31, 0, 0, 0, 0, time.UTC), ""}, {time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), ""},
	} {
		der, err := p.alg.CAdESAttributes(md, p.cert, tc.at, "")
		want := tlv("30", "06092a864886f70d010905"+tlv("31", tc.want))
		if tc.want == "" {
			if code(err) != cms.CodeAttributes {
				t.Errorf("%v: %v", tc.at, err)
			}
		} else if err != nil || !strings.Contains(hex.EncodeToString(der), want) {
			t.Errorf("%v: %v %x", tc.at, err, der)
		}
	}
	for _, mime := range []string{"text", "/", "text/", "/plain", "text/plain; charset=utf-8", "text/plain\n", "text /plain", "tëxt/plain", "a/" + strings.Repeat("b", 128)} {
		if _, err := p.alg.CAdESAttributes(md, p.cert, time.Now(), mime); code(err) != cms.CodeAttributes {
			t.Errorf("%q: %v", mime, err)
		}
	}
	der, err := p.alg.CAdESAttributes(md, p.cert, time.Now(), "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	list := apart(t, der)
	without := slices.DeleteFunc(slices.Clone(list), func(a []byte) bool { return bytes.Contains(a[:min(20, len(a))], oid(t, cms.OIDSigningTime)) })
	for name, bad := range map[string][]byte{
		"a mime-type alone":  sorted(t, without...),
		"a time twice":       sorted(t, append(slices.Clone(list), attr(t, cms.OIDSigningTime, []byte("\x17\x0d490101000000Z")))...),
		"a time with a zone": sorted(t, append(slices.Clone(without), attr(t, cms.OIDSigningTime, []byte("\x17\x11490101000000+0100")))...),
		"a time in minutes":  sorted(t, append(slices.Clone(without), attr(t, cms.OIDSigningTime, []byte("\x17\x0b4901010000Z")))...),
		"a long time":        sorted(t, append(slices.Clone(without), attr(t, cms.OIDSigningTime, []byte("\x18\x0f20490101000000Z")))...),
		"a fraction":         sorted(t, append(slices.Clone(without), attr(t, cms.OIDSigningTime, []byte("\x18\x1120500101000000.5Z")))...),
	} {
		if a, err := cms.ParseSignedAttributes(bad); code(err) == "" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// TestOpenSSLAcceptsCAdES: every family and hash, attached and detached, and
// with everything that B-LTA adds.
func TestOpenSSLAcceptsCAdES(t *testing.T) {
	content := []byte("content\x00of bytes\r\n")
	for kind := range kinds {
		p := newPerson(t, kind)
		dir := t.TempDir()
		write(t, dir, "content", content)
		write(t, dir, "other", []byte("other"))
		write(t, dir, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.issuer.Raw}))
		openssl := func(args ...string) ([]byte, error) {
			cmd := exec.Command("openssl", append([]string{"cms", "-verify", "-cades", "-inform", "DER", "-binary", "-CAfile", "ca.pem", "-out", "out"}, args...)...)
			cmd.Dir = dir
			return cmd.CombinedOutput()
		}
		for level, parts := range map[string]cms.Parts{
			"B-B": p.cadesParts(t, content), "B-LTA": archived(t, p.longTerm(t, content), content, crypto.SHA256),
		} {
			write(t, dir, "detached", assemble(t, parts))
			before, after, err := cms.Frame(parts, int64(len(content)))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "attached", slices.Concat(before, content, after))
			if out, err := openssl("-in", "detached", "-content", "content"); err != nil {
				t.Errorf("%s %s, detached: %v\n%s", kind, level, err, out)
			}
			if out, err := openssl("-in", "attached"); err != nil {
				t.Errorf("%s %s, attached: %v\n%s", kind, level, err, out)
			}
			if _, err := openssl("-in", "detached", "-content", "other"); err == nil {
				t.Errorf("%s %s: openssl takes other content: the test says nothing", kind, level)
			}
		}
	}
}
