package tsa_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/tsa"
)

// qtst is the end of a qualified TSTInfo, byte for byte (EN 319 422 §9.1; specs/eidas.md TSA-04).
const qtst = "a11b301906082b06010505070103040d300b30090607040081975e0101"

func TestQualifiedStatement(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	i := info(digest[:])
	plain := encode(t, i)
	i.Qualified = true
	body := encode(t, i)
	statement, err := hex.DecodeString(qtst)
	check(t, err)
	if !bytes.HasSuffix(body, statement) || bytes.Count(body, statement) != 1 || len(body) != len(plain)+len(statement) {
		t.Errorf("%x", body)
	}
	if bytes.Contains(plain, statement[4:]) {
		t.Error("a token that is not qualified says that it is")
	}
	for want, der := range map[bool][]byte{true: body, false: plain} {
		tok, err := tsa.ParseToken(u.token(t, der))
		check(t, err)
		check(t, tok.Verify(u.good(digest[:])))
		if tok.Qualified != want {
			t.Errorf("read as qualified %t, written as %t", tok.Qualified, want)
		}
	}
}

// statements writes extensions qcStatements of the given values.
func statements(critical bool, values ...string) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.Tag(1).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			for _, v := range values {
				der, err := hex.DecodeString(v)
				if err != nil {
					b.SetError(err)
				}
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3})
					if critical {
						b.AddASN1Boolean(true)
					}
					b.AddASN1OctetString(der)
				})
			}
		})
	}
}

// TestOddStatements: the statement is found among others, and what is not well-formed, stands there twice or is critical is refused.
func TestOddStatements(t *testing.T) {
	const one, other, withInfo = "30090607040081975e0101", "3005" + "0603" + "2a0304", "3007" + "0603" + "2a0304" + "0500"
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	base := encode(t, info(digest[:]))
	for name, tc := range map[string]struct {
		more      func(*cryptobyte.Builder)
		qualified bool
		code      string
	}{
		"with others":         {statements(false, "301b"+other+withInfo+one), true, ""},
		"others only":         {statements(false, "3007"+other), false, ""},
		"critical":            {statements(true, "300b"+one), false, tsa.CodeExtension},
		"twice":               {statements(false, "300b"+one, "300b"+one), false, tsa.CodeMalformed},
		"empty":               {statements(false, "3000"), false, tsa.CodeMalformed},
		"no sequence":         {statements(false, "0500"), false, tsa.CodeMalformed},
		"cut":                 {statements(false, "300b"+one[:20]), false, tsa.CodeMalformed},
		"something behind":    {statements(false, "300b"+one+"0500"), false, tsa.CodeMalformed},
		"two values for one":  {statements(false, "300b"+"3009"+"0603"+"2a0304"+"05000500"), false, tsa.CodeMalformed},
		"statement of no oid": {statements(false, "3004"+"3002"+"0500"), false, tsa.CodeMalformed},
	} {
		tok, err := tsa.ParseToken(u.token(t, tstInfo(t, base, tc.more)))
		if err == nil {
			if tok.Qualified != tc.qualified {
				t.Errorf("%s: qualified %t", name, tok.Qualified)
			}
			err = tok.Verify(u.good(digest[:]))
		}
		if code(err) != tc.code {
			t.Errorf("%s: %v, want %q", name, err, tc.code)
		}
	}
}
