package token

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"testing"
)

type opaque struct{ key *rsa.PrivateKey }

func (o opaque) sign(input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	return rsa.SignPKCS1v15(rand.Reader, o.key, crypto.SHA256, digest[:])
}

// FuzzToken: no text may panic or be taken unless it is what was made for us.
func FuzzToken(f *testing.F) {
	inner := sign(f, marshal(f, good()))
	fine := jwe{kid: "e1"}.compact(f, inner)
	for _, seed := range []string{fine, inner, "", "....", "..", "{}", jwe{}.seal(f, inner).FullSerialize(), "eyJhbGciOiJub25lIn0.e30."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := Decrypt(raw, ours())
		if err == nil && got != inner {
			// Anybody may encrypt to us, but the fuzzer cannot guess the public key.
			t.Errorf("decrypted %q", raw)
		}
		if err != nil && ReasonOf(err) == "" {
			t.Errorf("an error without reason: %v", err)
		}
		id, err := Verify(context.Background(), raw, keys(), expect())
		if err == nil && raw != inner {
			t.Errorf("verified %q as %+v", raw, id)
		}
		if err != nil && ReasonOf(err) == "" {
			t.Errorf("an error without reason: %v", err)
		}
	})
}

// FuzzClaims: whatever is read out of a payload is what its one member of that
// exact name says.
func FuzzClaims(f *testing.F) {
	f.Add(marshal(f, good()))
	f.Add([]byte(`{"iss":"a","aud":"b","sub":"c","nonce":"d","iat":1,"exp":2,"Sub":"x"}`))
	f.Add([]byte(`{"iss":"a","aud":"b","\u017fub":"c"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := read(payload)
		if err != nil {
			if ReasonOf(err) == "" {
				t.Errorf("an error without reason: %v", err)
			}
			return
		}
		m := map[string]any{}
		if err := json.Unmarshal(payload, &m); err != nil {
			t.Fatalf("taken, but not JSON: %v", err)
		}
		for name, got := range map[string]string{"iss": c.Issuer, "aud": c.Audience, "sub": c.Subject, "nonce": c.Nonce, "name": c.Claims.Name} {
			if want, _ := m[name].(string); want != got {
				t.Errorf("%s: %q read as %q", name, want, got)
			}
		}
	})
}

// FuzzHeader: a header that is taken has no member that changes its meaning.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{`{"alg":"RS256","kid":"s1"}`, `{"alg":"RS256","crit":["b64"],"b64":false}`, `{"alg":"RS256","Crit":[]}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHeader(part.EncodeToString(b))
		if err != nil {
			return
		}
		m := map[string]any{}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		if m["crit"] != nil || m["b64"] != nil || m["zip"] != nil || m["jwk"] != nil {
			t.Errorf("taken: %q", b)
		}
		if want, _ := m["alg"].(string); want != h.alg {
			t.Errorf("alg %q read as %q", want, h.alg)
		}
	})
}
