package consent_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"

	"tekend/consent"
)

var b64 = base64.RawURLEncoding

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return b64.EncodeToString(sum[:])
}

// The vector of specs/itsme.md §9.3.
const (
	vectorRoot     = "3DUaEEfSCWtzJGejTUbYVgjsUeFQ6jZ0My7AaGy-UrE"
	vectorCode     = "vgth-m427-t84p-pws4"
	vectorText     = "<b>Sign 2 documents</b><br>1. Contract.pdf<br>2. Annex A.pdf<br>Check code: <b>vgth-m427-t84p-pws4</b>"
	vectorManifest = `{"acr":"http://itsme.services/v2/claim/acr_advanced","client_id":"SANDBOX1","code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM","cred":{"cert_sha256":"BimEMugGayniIjvMI6qVBLVq5Qj6vzQ1UIhpucMZDiI","id":"cred-1"},"docs":[{"alg":"SHA-256","doc":"-Rp06_Fue80qHDfXfPDJ8eaczUsCPxGYA_1t7JLGaGQ","dtbs":"cElqvFCYzLuE4yYsXjyif4-HERNOFMIzvcS2fEsZwtQ","label":"Contract.pdf"},{"alg":"SHA-256","doc":"Nak3QsyxCvCQI2b0DO7L8O3Fao5OkJxgAOJEfBGjdIE","dtbs":"qQN1l6AMj5Z4uder10-Nn6Vb0dcrbRDnqRf2Ob7MEs4","label":"Annex A.pdf"}],"exp":1780000300,"iat":1780000000,"iss":"https://idp.e2e.itsme.services/v2","op":"sign","redirect_uri":"https://rp.example.test/cb","root":"3DUaEEfSCWtzJGejTUbYVgjsUeFQ6jZ0My7AaGy-UrE","salt":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","service":"SANDBOX_CONFIRM","sub":"9o8f04wm1g0bdc8gmgcuxp2ehgn7txh0x2kq","template":{"name":"free_text","text":"<b>Sign 2 documents</b><br>1. Contract.pdf<br>2. Annex A.pdf<br>Check code: <b>vgth-m427-t84p-pws4</b>"},"txn":"txn-0001","v":"itsme-bind/1"}`
	vectorSHA256   = "8c3d371a1b6244253742bcea28c549c0adc864f3e5a6b90f51975ae651218a02"
	vectorNonce    = "2O4SsTWk-Yuwbb7S2PLqTMcMIxGGMNThvyYkwaUqWfg"
)

func vectorDocs() []consent.Doc {
	return []consent.Doc{
		{Alg: "SHA-256", Doc: digest("document one\n"), DTBS: "cElqvFCYzLuE4yYsXjyif4-HERNOFMIzvcS2fEsZwtQ", Label: "Contract.pdf"},
		{Alg: "SHA-256", Doc: digest("document two\n"), DTBS: "qQN1l6AMj5Z4uder10-Nn6Vb0dcrbRDnqRf2Ob7MEs4", Label: "Annex A.pdf"},
	}
}

func vector() consent.Manifest {
	return consent.Manifest{
		V: consent.Version, Op: consent.OpSign, Txn: "txn-0001", Iss: "https://idp.e2e.itsme.services/v2", ClientID: "SANDBOX1",
		Service: "SANDBOX_CONFIRM", RedirectURI: "https://rp.example.test/cb", ACR: "http://itsme.services/v2/claim/acr_advanced",
		Sub: "9o8f04wm1g0bdc8gmgcuxp2ehgn7txh0x2kq", CodeChallenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
		Template: &consent.Template{Name: "free_text", Text: vectorText}, Docs: vectorDocs(), Root: vectorRoot,
		Cred: &consent.Cred{CertSHA256: "BimEMugGayniIjvMI6qVBLVq5Qj6vzQ1UIhpucMZDiI", ID: "cred-1"},
		Salt: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", Iat: 1780000000, Exp: 1780000300,
	}
}

func TestPublishedVector(t *testing.T) {
	root, err := consent.Root(vectorDocs())
	if err != nil || root != vectorRoot {
		t.Errorf("root %q %v", root, err)
	}
	code, err := consent.CheckCode(root)
	if err != nil || code != vectorCode {
		t.Errorf("check code %q %v", code, err)
	}
	text, err := consent.SignText("en", vectorDocs(), code, "")
	if err != nil || text != vectorText || utf8.RuneCountInString(text) != 102 {
		t.Errorf("text %q %v", text, err)
	}
	m, err := vector().Encode()
	if err != nil || string(m) != vectorManifest {
		t.Fatalf("manifest %s %v", m, err)
	}
	if sum := sha256.Sum256(m); hex.EncodeToString(sum[:]) != vectorSHA256 {
		t.Errorf("SHA-256 of the manifest %x", sum)
	}
	if n := consent.Nonce(m); n != vectorNonce {
		t.Errorf("nonce %q", n)
	}
	back, err := consent.DecodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := back.Encode(); err != nil || !bytes.Equal(again, m) {
		t.Errorf("decoded and encoded again: %s %v", again, err)
	}
}

// TestGoTrap: json.Marshal escapes <, > and &, and its nonce is another one.
func TestGoTrap(t *testing.T) {
	b, err := json.Marshal(vector())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consent.DecodeManifest(b); err == nil {
		t.Error("a manifest that is not canonical was accepted")
	}
}

func TestEveryChangedByteIsAnotherNonceOrRefused(t *testing.T) {
	m := []byte(vectorManifest)
	for i := range m {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			c := bytes.Clone(m)
			c[i] ^= flip
			if consent.Nonce(c) == vectorNonce {
				t.Fatalf("byte %d: same nonce", i)
			}
		}
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	edit := func(from, to string) []byte { return []byte(strings.Replace(vectorManifest, from, to, 1)) }
	for name, b := range map[string][]byte{
		"space":              edit(`"v":`, `"v": `),
		"order":              edit(`"txn":"txn-0001","v":"itsme-bind/1"`, `"v":"itsme-bind/1","txn":"txn-0001"`),
		"duplicate":          edit(`"txn":`, `"txn":"x","txn":`),
		"case variant":       edit(`"txn":`, `"TXN":`),
		"unknown member":     edit(`"txn":`, `"sum":"x","txn":`),
		"escaped letter":     edit(`"txn-0001"`, `"txn-\u0030001"`),
		"escaped tag":        edit(`<b>Sign`, `\u003cb>Sign`),
		"exponent":           edit(`1780000300`, `17800003e2`),
		"fraction":           edit(`1780000300`, `1780000300.0`),
		"trailing bytes":     append([]byte(vectorManifest), ' '),
		"exp before iat":     edit(`1780000300`, `1770000300`),
		"other version":      edit(`itsme-bind/1`, `itsme-bind/2`),
		"other op":           edit(`"op":"sign"`, `"op":"revoke"`),
		"no sub":             edit(`"sub":"9o8f04wm1g0bdc8gmgcuxp2ehgn7txh0x2kq",`, ``),
		"root of other docs": edit(`Annex A.pdf`, `Annex B.pdf`),
		"label with tags":    edit(`Contract.pdf`, `<b>.pdf`),
		"null template":      edit(`"template":{"name":"free_text"`, `"template":null,"x":{"name":"free_text"`),
		"dtbs missing":       edit(`"dtbs":"cElqvFCYzLuE4yYsXjyif4-HERNOFMIzvcS2fEsZwtQ",`, ``),
		"padding bits":       edit(`AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8`, `AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9`),
		"op enrol with docs": edit(`"op":"sign"`, `"op":"enrol"`),
		"empty":              nil,
		"half a surrogate":   edit(`txn-0001`, `\ud800`),
	} {
		if _, err := consent.DecodeManifest(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestJCSLikeTheReference compares our writer with the implementation that the
// authors of RFC 8785 publish, on any text.
func TestJCSLikeTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := vector()
		m.Txn = rapid.StringN(1, 20, -1).Draw(t, "txn")
		m.Template.Text = rapid.StringN(1, 40, -1).Draw(t, "text") + "\u2028\x1f\x7f\"\\/\b\f\n\r\t<&>é€😀"
		m.Iat = rapid.Int64Range(1, 1<<40).Draw(t, "iat")
		m.Exp = m.Iat + 1
		ours, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		reference, err := jcs.Transform(plain)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, reference) {
			t.Fatalf("ours\n%s\nreference\n%s", ours, reference)
		}
	})
}

func application() consent.Application {
	return consent.Application{
		V: consent.ApplicationVersion, ID: "app-1", SPKISHA256: digest("key"), TermsVersion: "2026-1",
		TermsSHA256: digest("terms"), Created: 1780000000,
	}
}

func TestApplication(t *testing.T) {
	b, err := application().Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"created":1780000000,"id":"app-1","spki_sha256":"` + digest("key") + `","terms_sha256":"` + digest("terms") + `","terms_version":"2026-1","v":"tekend-application/1"}`
	if string(b) != want {
		t.Errorf("got %s", b)
	}
	back, err := consent.DecodeApplication(b)
	if err != nil || back != application() {
		t.Errorf("%+v %v", back, err)
	}
	sum := sha256.Sum256(b)
	if d, err := back.Digest(); err != nil || d != b64.EncodeToString(sum[:]) {
		t.Errorf("digest %q %v", d, err)
	}
	for name, bad := range map[string]string{
		"space": " " + want, "unknown": strings.Replace(want, `"id"`, `"a":1,"id"`, 1),
		"terms with tag": strings.Replace(want, "2026-1", "<br>", 1), "no key": strings.Replace(want, digest("key"), "", 1),
	} {
		if _, err := consent.DecodeApplication([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestOneTimeApplication: the member stands in the JSON only when it is true,
// in one spelling, and the text says what it means.
func TestOneTimeApplication(t *testing.T) {
	a := application()
	a.OneTime = true
	b, err := a.Encode()
	if err != nil || !strings.Contains(string(b), `"id":"app-1","one_time":true,"spki_sha256"`) {
		t.Fatalf("%s %v", b, err)
	}
	if back, err := consent.DecodeApplication(b); err != nil || back != a {
		t.Errorf("%+v %v", back, err)
	}
	for _, spelling := range []string{`"one_time":false`, `"one_time":1`, `"one_time":"true"`, `"one_time":null`} {
		if _, err := consent.DecodeApplication([]byte(strings.Replace(string(b), `"one_time":true`, spelling, 1))); err == nil {
			t.Errorf("%s was accepted", spelling)
		}
	}
	for lang, says := range map[string]string{"en": "this session only", "nl": "deze sessie alleen"} {
		once, err := consent.EnrolText(lang, a)
		long, _ := consent.EnrolText(lang, application())
		if err != nil || !strings.Contains(once, says) || strings.Contains(long, says) {
			t.Errorf("%s: %q %q %v", lang, once, long, err)
		}
	}
}

func TestEnrolManifest(t *testing.T) {
	m := vector()
	m.Op, m.Docs, m.Root, m.Cred, m.Sub, m.Template = consent.OpEnrol, nil, "", nil, "", nil
	if _, err := m.Encode(); err == nil {
		t.Error("an enrolment without application was accepted")
	}
	m.Application = digest("application")
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "null") || strings.Contains(string(b), `"sub"`) {
		t.Errorf("absent members are left out: %s", b)
	}
	if _, err := consent.DecodeManifest(b); err != nil {
		t.Error(err)
	}
}

func TestCheckCodesAreForRoots(t *testing.T) {
	for _, bad := range []string{"", "x", vectorRoot + "A", vectorRoot[:42] + "F", vectorRoot + "=", vectorRoot[:20] + "\n" + vectorRoot[20:]} {
		if got, err := consent.CheckCode(bad); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add([]byte(vectorManifest))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := consent.DecodeManifest(b)
		if err != nil {
			return
		}
		if again, err := m.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read, but not written the same: %v", err)
		}
	})
}
