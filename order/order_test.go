package order_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/order"
)

var now = time.Unix(1_780_000_000, 0)

func docs(n int) (list []order.Document, sums [][]byte) {
	for i := range n {
		a, b := sha256.Sum256([]byte{byte(i)}), sha512.Sum384([]byte{byte(i)})
		list = append(list, order.NewDocument(a[:], b[:]))
		sums = append(sums, a[:])
	}
	return list, sums
}

// TestOrdersOfHashes: one digest is enough, and is what is covered, by its own hash alone.
func TestOrdersOfHashes(t *testing.T) {
	key := newKey(t)
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		var list []order.Document
		var sums [][]byte
		for i := range order.MaxDocuments {
			w := h.New()
			w.Write([]byte{byte(i)})
			sums = append(sums, w.Sum(nil))
			d, err := order.NewDigest(h, sums[i])
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, d)
		}
		o, err := order.Verify(sign(t, order.New("acme", list, now, time.Hour), key), "acme", registered(t, key))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []crypto.Hash{crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA512_256} {
			if err := o.Covers(other, sums); (err == nil) != (other == h) {
				t.Errorf("an order by %v covers digests by %v: %v", h, other, err)
			}
		}
		if _, err := order.NewDigest(h, sums[0][1:]); err == nil {
			t.Errorf("%v: a short digest was taken", h)
		}
		if _, err := order.NewDigest(crypto.SHA1, make([]byte, 20)); err == nil {
			t.Error("SHA-1 was taken")
		}
	}
	all := slices.Repeat([]order.Document{{
		SHA256: strings.Repeat("A", 43), SHA384: strings.Repeat("A", 64), SHA512: strings.Repeat("A", 86),
	}}, order.MaxDocuments)
	if jws, err := order.Sign(order.New("acme", all, now, time.Hour), key); err == nil {
		t.Errorf("an order of %d bytes was made, which nobody reads", len(jws))
	}
	for name, d := range map[string]order.Document{
		"no digest": {}, "SHA-512 of 48 bytes": {SHA512: strings.Repeat("A", 64)}, "SHA-384 of 32 bytes": {SHA384: strings.Repeat("A", 43)},
		"one good, one short": {SHA256: strings.Repeat("A", 43), SHA512: "AAAA"},
	} {
		if _, err := order.Sign(order.New("acme", []order.Document{d}, now, time.Hour), key); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func registered(t *testing.T, key crypto.Signer) []order.Key {
	t.Helper()
	kid, err := order.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return []order.Key{{ID: kid, Public: key.Public()}}
}

func sign(t *testing.T, o order.Order, key crypto.Signer) string {
	t.Helper()
	jws, err := order.Sign(o, key)
	if err != nil {
		t.Fatal(err)
	}
	return jws
}

func TestEveryKindOfKey(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	list, sums := docs(3)
	for _, key := range []crypto.Signer{newKey(t), p384, ed, big} {
		jws := sign(t, order.New("acme", list, now, time.Hour), key)
		o, err := order.Verify(jws, "acme", registered(t, key))
		if err != nil {
			t.Fatalf("%T: %v", key, err)
		}
		if err := errors.Join(o.At(now), o.Covers(crypto.SHA256, sums)); err != nil {
			t.Errorf("%T: %v", key, err)
		}
	}
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := order.KeyID(small.Public()); err == nil {
		t.Error("RSA-2048 was accepted")
	}
}

// TestEveryChangedByteIsRefused: also those of the encoding that decode to the same bytes.
func TestEveryChangedByteIsRefused(t *testing.T) {
	key := newKey(t)
	list, _ := docs(2)
	jws := sign(t, order.New("acme", list, now, time.Hour), key)
	keys := registered(t, key)
	for i := range jws {
		for _, c := range []byte{'A', 'B', 'w', '.', '='} {
			if jws[i] == c {
				continue
			}
			bad := jws[:i] + string(c) + jws[i+1:]
			if _, err := order.Verify(bad, "acme", keys); err == nil {
				t.Fatalf("byte %d as %q was accepted", i, c)
			}
		}
	}
}

// TestForgedOrders: what a front that owns everything but the provider's key could try.
func TestForgedOrders(t *testing.T) {
	key, other := newKey(t), newKey(t)
	list, sums := docs(2)
	good := order.New("acme", list, now, time.Hour)
	jws := sign(t, good, key)
	keys := registered(t, key)
	head := func(h string) string {
		parts := strings.Split(jws, ".")
		return base64.RawURLEncoding.EncodeToString([]byte(h)) + "." + parts[1] + "." + parts[2]
	}
	for name, c := range map[string]struct {
		jws, provider string
		want          error
	}{
		"another key":           {sign(t, good, other), "acme", order.ErrKey},
		"another provider":      {jws, "other", order.ErrKey},
		"another key's kid":     {head(`{"alg":"ES256","kid":"` + registered(t, other)[0].ID + `","typ":"tekend-order+jws"}`), "acme", order.ErrKey},
		"alg none":              {head(`{"alg":"none","kid":"` + keys[0].ID + `","typ":"tekend-order+jws"}`), "acme", order.ErrKey},
		"alg HS256":             {head(`{"alg":"HS256","kid":"` + keys[0].ID + `","typ":"tekend-order+jws"}`), "acme", order.ErrKey},
		"another type":          {head(`{"alg":"ES256","kid":"` + keys[0].ID + `","typ":"JWT"}`), "acme", order.ErrFormat},
		"a key in the header":   {head(`{"alg":"ES256","kid":"x","jwk":{},"typ":"tekend-order+jws"}`), "acme", order.ErrFormat},
		"alg twice":             {head(`{"alg":"ES256","alg":"ES256","kid":"x","typ":"tekend-order+jws"}`), "acme", order.ErrFormat},
		"no signature":          {jws[:strings.LastIndexByte(jws, '.')+1], "acme", order.ErrSignature},
		"four parts":            {jws + ".e30", "acme", order.ErrFormat},
		"JSON serialization":    {`{"payload":"e30","signatures":[]}`, "acme", order.ErrFormat},
		"nothing":               {"", "acme", order.ErrFormat},
		"longer than any order": {strings.Repeat("A", order.MaxLength+1), "acme", order.ErrFormat},
	} {
		if _, err := order.Verify(c.jws, c.provider, keys); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for name, digests := range map[string][][]byte{
		"one less": sums[:1], "exchanged": {sums[1], sums[0]}, "one more": append(sums[:2:2], sums[0]), "another": {sums[0], make([]byte, 32)}, "none": nil,
	} {
		if err := good.Covers(crypto.SHA256, digests); !errors.Is(err, order.ErrDocuments) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := order.New("acme", []order.Document{order.NewDocument(sums[0], nil)}, now, time.Hour).Covers(crypto.SHA384, [][]byte{nil}); err == nil {
		t.Error("a digest that is not there covered an empty one")
	}
	for _, at := range []time.Time{now.Add(-2 * time.Minute), now.Add(time.Hour), now.Add(24 * time.Hour)} {
		if err := good.At(at); !errors.Is(err, order.ErrTime) {
			t.Errorf("at %v: %v", at.Sub(now), err)
		}
	}
	for name, o := range map[string]order.Order{
		"for ever": order.New("acme", list, now, order.MaxLife+time.Second), "ends first": order.New("acme", list, now, -time.Second),
		"no name": order.New("", list, now, time.Hour), "no document": order.New("acme", nil, now, time.Hour),
		"short digest": order.New("acme", []order.Document{{SHA256: "AAAA"}}, now, time.Hour),
	} {
		if _, err := order.Sign(o, key); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	kid, err := order.KeyID(key.Public())
	if err != nil {
		f.Fatal(err)
	}
	list, _ := docs(2)
	jws, err := order.Sign(order.New("acme", list, now, time.Hour), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(jws)
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, in string) {
		if _, err := order.Verify(in, "acme", []order.Key{{ID: kid, Public: key.Public()}}); err == nil && in != jws {
			t.Error("an order that was not made was accepted")
		}
		_, _ = order.Peek(in)
	})
}
