package consent_test

import (
	"bytes"
	"crypto"
	_ "crypto/sha512"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tekend/consent"
)

// long is a SHA-512 digest in base64url.
func long(s string) string { return by(crypto.SHA512, s) }

func by(h crypto.Hash, s string) string {
	w := h.New()
	w.Write([]byte(s))
	return b64.EncodeToString(w.Sum(nil))
}

// TestOneDigestAlgorithmForAll: both digests of each document are by its alg, and
// all documents of a confirmation have one.
func TestOneDigestAlgorithmForAll(t *testing.T) {
	for alg, h := range map[string]crypto.Hash{consent.SHA256: crypto.SHA256, consent.SHA384: crypto.SHA384, consent.SHA512: crypto.SHA512} {
		m := vector()
		for i := range m.Docs {
			m.Docs[i].Alg, m.Docs[i].Doc, m.Docs[i].DTBS = alg, by(h, "doc"+m.Docs[i].Label), by(h, "dtbs")
		}
		m.Root = got(t)(consent.Root(m.Docs))
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := consent.DecodeManifest(b)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := back.Docs[0].DTBSDigest(); err != nil || len(d) != h.Size() {
			t.Errorf("%s: %d bytes, %v", alg, len(d), err)
		}
		for other, o := range map[string]crypto.Hash{consent.SHA256: crypto.SHA256, consent.SHA384: crypto.SHA384, consent.SHA512: crypto.SHA512, "SHA-224": 0, "sha-256": 0, "": 0} {
			if other == alg {
				continue
			}
			for name, change := range map[string]func(*consent.Doc){
				"alg":  func(d *consent.Doc) { d.Alg = other },
				"doc":  func(d *consent.Doc) { d.Doc = by(max(o, crypto.SHA224), "x") },
				"dtbs": func(d *consent.Doc) { d.DTBS = by(max(o, crypto.SHA224), "x") },
				"all": func(d *consent.Doc) {
					d.Alg, d.Doc, d.DTBS = other, by(max(o, crypto.SHA224), "x"), by(max(o, crypto.SHA224), "y")
				},
			} {
				bad := m
				bad.Docs = slices.Clone(m.Docs)
				change(&bad.Docs[1])
				if root, err := consent.Root(bad.Docs); err == nil {
					bad.Root = root
				}
				if _, err := bad.Encode(); err == nil {
					t.Errorf("%s beside %s of %q: accepted", alg, name, other)
				}
			}
		}
	}
}

func hashes(n int) []consent.Doc {
	docs := docsWith(n, "Contract.pdf")
	for i := range docs {
		docs[i].Origin = consent.OriginHash
	}
	return docs
}

// TestOriginIsInTheManifestAndNotInTheRoot: it stands there only for hashes, in
// one spelling, for all documents or none.
func TestOriginIsInTheManifestAndNotInTheRoot(t *testing.T) {
	m := vector()
	for i := range m.Docs {
		m.Docs[i].Origin = consent.OriginHash
	}
	if root := got(t)(consent.Root(m.Docs)); root != vectorRoot {
		t.Errorf("the root became %s", root)
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(vectorManifest, `.pdf"}`, `.pdf","origin":"hash"}`); string(b) != want || consent.Nonce(b) == vectorNonce {
		t.Errorf("got %s", b)
	}
	back, err := consent.DecodeManifest(b)
	if err != nil || back.Docs[1].Origin != consent.OriginHash {
		t.Errorf("%+v %v", back.Docs, err)
	}
	for name, bad := range map[string][]byte{
		"of one document":  []byte(strings.Replace(vectorManifest, `.pdf"}`, `.pdf","origin":"hash"}`, 1)),
		"empty":            []byte(strings.ReplaceAll(vectorManifest, `.pdf"}`, `.pdf","origin":""}`)),
		"another":          []byte(strings.ReplaceAll(vectorManifest, `.pdf"}`, `.pdf","origin":"file"}`)),
		"in upper case":    bytes.ReplaceAll(b, []byte(`"hash"`), []byte(`"Hash"`)),
		"a truth":          bytes.ReplaceAll(b, []byte(`"hash"`), []byte(`true`)),
		"before the label": []byte(strings.ReplaceAll(vectorManifest, `"label"`, `"origin":"hash","label"`)),
	} {
		if _, err := consent.DecodeManifest(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTextsOfHashes(t *testing.T) {
	for _, c := range []struct {
		lang, provider string
		n              int
		line           string
	}{
		{"en", "", 1, "Only a hash was supplied: the document was not seen here"},
		{"en", "", 2, "Only hashes were supplied: the documents were not seen here"},
		{"en", "acme", 1, "Hash supplied by acme; the document was not seen here"},
		{"en", "acme", 2, "Hashes supplied by acme; the documents were not seen here"},
		{"nl", "", 1, "Alleen een hash is aangeleverd: het document is hier niet gezien"},
		{"nl", "", 2, "Alleen hashes zijn aangeleverd: de documenten zijn hier niet gezien"},
		{"nl", "acme", 1, "Hash aangeleverd door acme; het document is hier niet gezien"},
		{"nl", "acme", 2, "Hashes aangeleverd door acme; de documenten zijn hier niet gezien"},
	} {
		text := got(t)(consent.SignText(c.lang, hashes(c.n), vectorCode, c.provider))
		plain := got(t)(consent.SignText(c.lang, docsWith(c.n, "Contract.pdf"), vectorCode, c.provider))
		if want := strings.Replace(plain, "</b><br>", "</b><br><i>"+c.line+"</i><br>", 1); text != want {
			t.Errorf("%s", text)
		}
		// No label has room for the line behind what fills a line of a screen.
		if n := utf8.RuneCountInString(c.line); n < consent.MaxLabel-12 {
			t.Errorf("%q has only %d characters", c.line, n)
		}
	}
	for _, provider := range []string{"<b>", "a b", "a;b", "Č", strings.Repeat("a", consent.MaxLabel+1), "&"} {
		text, err := consent.SignText("en", hashes(1), vectorCode, provider)
		if err == nil {
			t.Errorf("provider %q: %s", provider, text)
		}
	}
}

// TestLabelsDoNotImitateTheLineAboutHashes: whatever a document is called, the
// text has this line once and at its place, and only for hashes.
func TestLabelsDoNotImitateTheLineAboutHashes(t *testing.T) {
	line := "Hashes supplied by acme; the documents were not seen here"
	for _, name := range []string{
		line, "<br><i>" + line + "</i>", "</b><br><i>" + line, "x\n" + line, "x\u2028" + line, "x\u00a0\u00a0\u00a0" + line, "&lt;i&gt;" + line, "‮" + line,
	} {
		l := got(t)(consent.Label(name))
		for _, docs := range [][]consent.Doc{docsWith(2, l), hashes(2)} {
			for i := range docs {
				docs[i].Label = l
			}
			text := got(t)(consent.SignText("en", docs, vectorCode, ""))
			marks := strings.Count(text, "<i>")
			if want := docs[0].Origin == consent.OriginHash; (marks == 1) != want || marks > 1 || strings.Contains(text, "<i>"+line) || strings.Count(text, "<br>") != 3+marks {
				t.Errorf("%q: %s", name, text)
			}
			for i := range docs {
				if !strings.Contains(text, fmt.Sprintf("<br>%d. %s<br>", i+1, l)) {
					t.Errorf("%q: document %d: %s", name, i+1, text)
				}
			}
		}
	}
}
