package itsme

import (
	"crypto/rsa"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// FuzzKeySet: what is taken out of a key set is a public RSA key of the right
// size under its own kid, whatever itsme's server sends.
func FuzzKeySet(f *testing.F) {
	k := rsaKeys()
	seed, err := json.Marshal(PublicJWKS(&k[0].PublicKey, &k[1].PublicKey, "s1", "e1"))
	if err != nil {
		f.Fatal(err)
	}
	private, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k[2], KeyID: "p", Use: "sig"}}})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range [][]byte{seed, private, []byte(`{"keys":[]}`), []byte(`{"keys":[{"kty":"oct","k":"AA"}]}`), []byte(`{"keys":[],"keys":[]}`), nil} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := readKeySet(b)
		if err != nil {
			return
		}
		if len(set.Signing) == 0 || len(set.Signing) > 64 {
			t.Errorf("%d keys", len(set.Signing))
		}
		for kid, key := range set.Signing {
			pub, ok := key.Key.(*rsa.PublicKey)
			if !ok || kid == "" || kid != key.KeyID || pub.N.BitLen() < minModulus || pub.E != exponent {
				t.Errorf("taken: %q", b)
			}
		}
	})
}
