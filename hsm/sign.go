package hsm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"

	"github.com/miekg/pkcs11"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// digestInfoSHA256 stands before a SHA-256 digest in PKCS #1 v1.5 (RFC 8017 §9.2, note 1).
var digestInfoSHA256 = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// checkRequest allows what we sign: SHA-256 digests, ECDSA or PKCS #1 v1.5.
func checkRequest(digest []byte, opts crypto.SignerOpts) error {
	if _, pss := opts.(*rsa.PSSOptions); pss {
		return errors.New("hsm: RSASSA-PSS is not supported")
	}
	if opts == nil || opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return errors.New("hsm: only SHA-256 digests are signed")
	}
	return nil
}

// value makes one signature in the session and verifies it. After C_SignInit succeeded, s.sent is set.
func (t *Token) value(s *session, key pkcs11.ObjectHandle, pub crypto.PublicKey, digest []byte) (_ []byte, err error) {
	defer func() {
		if err != nil {
			s.fault = err // the session's end depends on it, whatever the caller makes of the error
		}
	}()
	mechanism, data := uint(pkcs11.CKM_ECDSA), digest
	if _, ok := pub.(*rsa.PublicKey); ok {
		mechanism, data = pkcs11.CKM_RSA_PKCS, append(append([]byte{}, digestInfoSHA256...), digest...)
	}
	err = t.lib.ctx.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, key)
	if err != nil {
		return nil, fail("C_SignInit", err)
	}
	buffer := make([]byte, 512) // RSA-4096 would fit
	s.sent = true
	n, err := t.lib.sign.call(s.handle, data, buffer)
	if err != nil {
		return nil, fail("C_Sign", err)
	}
	return verified(pub, digest, buffer[:n])
}

// verified turns the token's value into its usual form and lets it out only when the public key verifies it. A wrong
// RSA value can give the private key away (a fault in the CRT), so it is overwritten.
func verified(pub crypto.PublicKey, digest, raw []byte) ([]byte, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		value, err := ecdsaDER(raw)
		if err == nil && ecdsa.VerifyASN1(k, digest, value) {
			return value, nil
		}
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, raw) == nil {
			return append([]byte{}, raw...), nil
		}
	}
	clear(raw)
	return nil, ErrWrongValue
}

// ecdsaDER encodes the token's r || s.
//
//	Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }   (RFC 3279 §2.2.3)
func ecdsaDER(raw []byte) ([]byte, error) {
	if len(raw) != 64 {
		return nil, fmt.Errorf("hsm: an ECDSA value of %d bytes; 64 are expected for P-256", len(raw))
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:32]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[32:]))
	})
	return b.Bytes()
}

// wrappedSigner signs with an unwrapped key while UseWrapped runs, one value at a time.
type wrappedSigner struct {
	mu    sync.Mutex
	token *Token
	s     *session
	key   pkcs11.ObjectHandle // 0 when the key is destroyed
	pub   crypto.PublicKey
}

func (w *wrappedSigner) Public() crypto.PublicKey { return w.pub }

// Sign implements crypto.Signer; the random source is the token's own.
func (w *wrappedSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := checkRequest(digest, opts); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.key == 0 {
		return nil, ErrClosed
	}
	return w.token.value(w.s, w.key, w.pub, digest)
}

// close destroys the key. If the token refuses, the session is closed, which destroys its objects.
func (w *wrappedSigner) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.token.lib.ctx.DestroyObject(w.s.handle, w.key) != nil {
		w.s.doomed = true
	}
	w.key = 0
}

// residentSigner signs with a key pair of the token.
type residentSigner struct {
	token *Token
	label string
	pub   crypto.PublicKey
}

// Signer returns the signer of a token-resident key pair (CA, TSU, client keys). It finds both keys, refuses a private
// key that could leave the token, and proves that the two belong together by one signature. SHA-256 with ECDSA (value
// in DER) or PKCS #1 v1.5. A key that once gave a wrong value is refused from then on.
func (t *Token) Signer(ctx context.Context, label string) (crypto.Signer, error) {
	r := &residentSigner{token: t, label: label}
	err := t.with(ctx, func(s *session) error {
		private, err := t.handle(s, object{pkcs11.CKO_PRIVATE_KEY, label})
		if err != nil {
			return err
		}
		if err := t.lib.checkAttributes(s.handle, private, residentProfile); err != nil {
			return fmt.Errorf("hsm: key %q: %w", label, err)
		}
		public, err := t.handle(s, object{pkcs11.CKO_PUBLIC_KEY, label})
		if err != nil {
			return err
		}
		r.pub, err = t.lib.publicKey(s.handle, public)
		return err
	})
	if err != nil {
		return nil, err
	}
	probe := sha256.Sum256([]byte("tekend: is this key pair one pair?"))
	if _, err := r.sign(ctx, probe[:]); err != nil {
		return nil, fmt.Errorf("hsm: key %q: %w", label, err)
	}
	return r, nil
}

func (r *residentSigner) Public() crypto.PublicKey { return r.pub }

// Sign implements crypto.Signer; the random source is the token's own. It waits for a session at most the queue's deadline.
func (r *residentSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := checkRequest(digest, opts); err != nil {
		return nil, err
	}
	return r.sign(context.Background(), digest)
}

func (r *residentSigner) sign(ctx context.Context, digest []byte) (value []byte, err error) {
	t := r.token
	if t.isSuspended(r.label) {
		return nil, fmt.Errorf("%w: key %q is suspended; check the device and start again", ErrWrongValue, r.label)
	}
	err = t.with(ctx, func(s *session) error {
		key, err := t.handle(s, object{pkcs11.CKO_PRIVATE_KEY, r.label})
		if err != nil {
			return err
		}
		value, err = t.value(s, key, r.pub, digest)
		return err
	})
	if errors.Is(err, ErrWrongValue) {
		t.mu.Lock()
		t.suspended[r.label] = true
		t.mu.Unlock()
	}
	return value, err
}

func (t *Token) isSuspended(label string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.suspended[label]
}

// MAC returns HMAC-SHA-256 (32 bytes) over data with a secret key of the token.
func (t *Token) MAC(ctx context.Context, label string, data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, errors.New("hsm: nothing to authenticate")
	}
	mac := make([]byte, sha256.Size)
	err := t.with(ctx, func(s *session) error {
		key, err := t.handle(s, object{pkcs11.CKO_SECRET_KEY, label})
		if err != nil {
			return err
		}
		err = t.lib.ctx.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_HMAC, nil)}, key)
		if err != nil {
			return fail("C_SignInit", err)
		}
		s.sent = true
		n, err := t.lib.sign.call(s.handle, data, mac)
		if err == nil && n != len(mac) {
			return fmt.Errorf("hsm: a MAC of %d bytes", n)
		}
		return fail("C_Sign", err)
	})
	if err != nil {
		return nil, err
	}
	return mac, nil
}
