package ntp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
)

// siv is AEAD_AES_SIV_CMAC_256 (RFC 5297), which NTS prescribes and the standard library does not have. It needs no nonce to be safe against
// repetition; ours is random all the same (RFC 8915 §5.6).
type siv struct{ mac, ctr cipher.Block }

const (
	sivKey = 32
	sivTag = 16
)

// newSIV takes a key of 32 octets: half for CMAC, half for CTR.
func newSIV(key []byte) (*siv, error) {
	if len(key) != sivKey {
		return nil, errors.New("ntp: a key of AES-SIV-CMAC-256 has 32 octets")
	}
	mac, err := aes.NewCipher(key[:sivKey/2])
	if err != nil {
		return nil, err
	}
	ctr, err := aes.NewCipher(key[sivKey/2:])
	if err != nil {
		return nil, err
	}
	return &siv{mac, ctr}, nil
}

// seal gives the synthetic IV and the ciphertext. The last of the associated strings is the nonce (RFC 5297 §3).
func (s *siv) seal(plain []byte, associated ...[]byte) []byte {
	v := s.s2v(plain, associated)
	return append(v[:], s.stream(v, plain)...)
}

// open gives the plaintext, or an error when any octet is another.
func (s *siv) open(sealed []byte, associated ...[]byte) ([]byte, error) {
	if len(sealed) < sivTag {
		return nil, errors.New("ntp: too short to be authentic")
	}
	v := [sivTag]byte(sealed)
	plain := s.stream(v, sealed[sivTag:])
	want := s.s2v(plain, associated)
	if subtle.ConstantTimeCompare(v[:], want[:]) != 1 {
		return nil, errors.New("ntp: not authentic")
	}
	return plain, nil
}

// stream is CTR from the synthetic IV with two bits cleared (RFC 5297 §2.6).
func (s *siv) stream(v [sivTag]byte, in []byte) []byte {
	v[8] &= 0x7f
	v[12] &= 0x7f
	out := make([]byte, len(in))
	cipher.NewCTR(s.ctr, v[:]).XORKeyStream(out, in)
	return out
}

// s2v is RFC 5297 §2.4.
func (s *siv) s2v(plain []byte, associated [][]byte) [sivTag]byte {
	d := s.cmac(make([]byte, sivTag))
	for _, a := range associated {
		m := s.cmac(a)
		d = double(d)
		subtle.XORBytes(d[:], d[:], m[:])
	}
	if n := len(plain) - sivTag; n >= 0 {
		t := append([]byte(nil), plain...)
		subtle.XORBytes(t[n:], t[n:], d[:])
		return s.cmac(t)
	}
	d = double(d)
	padded := pad(plain)
	subtle.XORBytes(d[:], d[:], padded[:])
	return s.cmac(d[:])
}

// cmac is AES-CMAC (RFC 4493).
func (s *siv) cmac(msg []byte) (out [sivTag]byte) {
	var zero [sivTag]byte
	s.mac.Encrypt(zero[:], zero[:])
	k := double(zero)
	for ; len(msg) > sivTag; msg = msg[sivTag:] {
		subtle.XORBytes(out[:], out[:], msg[:sivTag])
		s.mac.Encrypt(out[:], out[:])
	}
	last := pad(msg)
	if len(msg) < sivTag {
		k = double(k)
	}
	subtle.XORBytes(out[:], out[:], last[:])
	subtle.XORBytes(out[:], out[:], k[:])
	s.mac.Encrypt(out[:], out[:])
	return out
}

// pad puts 10* behind what is shorter than a block.
func pad(b []byte) (out [sivTag]byte) {
	if copy(out[:], b) < sivTag {
		out[len(b)] = 0x80
	}
	return out
}

// double multiplies by x in GF(2^128).
func double(b [sivTag]byte) (out [sivTag]byte) {
	for i := range sivTag - 1 {
		out[i] = b[i]<<1 | b[i+1]>>7
	}
	out[sivTag-1] = b[sivTag-1]<<1 ^ 0x87*(b[0]>>7)
	return out
}
