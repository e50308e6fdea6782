package ntp

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestSIV holds the cipher to the vectors of RFC 5297 A.1 and A.2, and CMAC to RFC 4493 §4.
func TestSIV(t *testing.T) {
	un := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, v := range map[string]struct {
		key, plain, sealed string
		associated         []string
	}{
		"A.1": {
			"fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "112233445566778899aabbccddee",
			"85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c", []string{"101112131415161718191a1b1c1d1e1f2021222324252627"},
		},
		"A.2": {
			"7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f", "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
			"7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
			[]string{"00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100", "102030405060708090a0", "09f911029d74e35bd84156c5635688c0"},
		},
	} {
		s, err := newSIV(un(v.key))
		if err != nil {
			t.Fatal(err)
		}
		var ad [][]byte
		for _, a := range v.associated {
			ad = append(ad, un(a))
		}
		sealed := s.seal(un(v.plain), ad...)
		if hex.EncodeToString(sealed) != v.sealed {
			t.Errorf("%s: %x", name, sealed)
		}
		if plain, err := s.open(sealed, ad...); err != nil || !bytes.Equal(plain, un(v.plain)) {
			t.Errorf("%s: %x %v", name, plain, err)
		}
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := s.open(bad, ad...); err == nil {
				t.Errorf("%s: octet %d changed, and it is taken", name, i)
			}
		}
		if _, err := s.open(sealed[:15], ad...); err == nil {
			t.Error("15 octets are taken")
		}
	}
	s, err := newSIV(append(un("2b7e151628aed2a6abf7158809cf4f3c"), make([]byte, 16)...))
	if err != nil {
		t.Fatal(err)
	}
	for msg, want := range map[string]string{
		"": "bb1d6929e95937287fa37d129b756746", "6bc1bee22e409f96e93d7e117393172a": "070a16b46b4d4144f79bdd9dd04a287c",
		"6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411": "dfa66747de9ae63030ca32611497c827",
	} {
		if got := s.cmac(un(msg)); hex.EncodeToString(got[:]) != want {
			t.Errorf("CMAC of %q: %x", msg, got)
		}
	}
	if _, err := newSIV(make([]byte, 64)); err == nil {
		t.Error("a key of 64 octets is taken")
	}
}
