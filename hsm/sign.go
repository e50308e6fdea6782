package hsm

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/miekg/pkcs11"
)

// keyHandle is a private key in a session, with what its values must be.
type keyHandle struct {
	handle pkcs11.ObjectHandle
	kind   kind
	pub    crypto.PublicKey
}

// value makes one signature in the session and verifies it. After C_SignInit succeeded, s.sent is set.
func (t *Token) value(s *session, key keyHandle, d digest) (_ []byte, err error) {
	defer func() {
		if err != nil {
			// The session's end depends on it, whatever the caller makes of the error. What was sent may have left an
			// operation open in it.
			s.fault, s.doomed = err, s.doomed || s.sent
		}
	}()
	mechanism, data := key.kind.request(d)
	err = t.lib.ctx.SignInit(s.handle, mechanism, key.handle)
	if err != nil {
		return nil, fail("C_SignInit", err)
	}
	buffer := make([]byte, 512) // RSA-4096 would fit
	s.sent = true
	n, err := t.lib.sign.call(s.handle, data, buffer)
	if err != nil {
		return nil, fail("C_Sign", err)
	}
	return key.kind.verified(key.pub, d, buffer[:n])
}

// userSigner signs with a user's key while UseWrapped or UseResident runs, one value at a time.
type userSigner struct {
	mu    sync.Mutex
	token *Token
	s     *session
	key   keyHandle
	name  string // by which the key is suspended when it gives a wrong value
	done  bool
}

func (u *userSigner) Public() crypto.PublicKey { return u.key.pub }

// Sign implements crypto.Signer; the random source is the token's own.
func (u *userSigner) Sign(_ io.Reader, sum []byte, opts crypto.SignerOpts) ([]byte, error) {
	d, err := u.key.kind.allowed(sum, opts)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done {
		return nil, ErrClosed
	}
	value, err := u.token.value(u.s, u.key, d)
	if errors.Is(err, ErrWrongValue) {
		u.token.wrongValue(u.name, false)
	}
	return value, err
}

// close ends the signer, and the key if it is a session object. If the token refuses to destroy it, the session is
// closed, which destroys its objects.
func (u *userSigner) close(destroy bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done = true
	if destroy && u.token.lib.ctx.DestroyObject(u.s.handle, u.key.handle) != nil {
		u.s.doomed = true
	}
}

// residentSigner signs with a key pair of the token.
type residentSigner struct {
	token *Token
	label string
	kind  kind
	pub   crypto.PublicKey
}

// Signer returns the signer of a token-resident key pair (CA, TSU, client keys). It finds both keys, refuses a private
// key that could leave the token, and proves that the two belong together by one signature. ECDSA
// (value in DER) over SHA-256 or SHA-384 as the curve is, PKCS #1 v1.5 over SHA-256. A key that once gave a wrong value
// is refused from then on.
func (t *Token) Signer(ctx context.Context, label string) (crypto.Signer, error) {
	r := &residentSigner{token: t, label: label}
	err := t.with(ctx, func(s *session) error {
		private, err := t.handle(s, object{class: pkcs11.CKO_PRIVATE_KEY, label: label})
		if err != nil {
			return err
		}
		if err := t.lib.checkAttributes(s.handle, private, t.quirks.profile(residentProfile)); err != nil {
			return fmt.Errorf("hsm: key %q: %w", label, err)
		}
		public, err := t.handle(s, object{class: pkcs11.CKO_PUBLIC_KEY, label: label})
		if err != nil {
			return err
		}
		if r.pub, err = t.lib.publicKey(s.handle, public); err == nil {
			r.kind, err = kindOf(r.pub)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	probe := r.kind.hash.New()
	probe.Write([]byte("tekend: is this key pair one pair?"))
	if _, err := r.sign(ctx, digest{r.kind.hash, probe.Sum(nil)}); err != nil {
		return nil, fmt.Errorf("hsm: key %q: %w", label, err)
	}
	return r, nil
}

func (r *residentSigner) Public() crypto.PublicKey { return r.pub }

// Sign implements crypto.Signer; the random source is the token's own. It waits for a session at most the queue's deadline.
func (r *residentSigner) Sign(_ io.Reader, sum []byte, opts crypto.SignerOpts) ([]byte, error) {
	d, err := r.kind.usual(sum, opts)
	if err != nil {
		return nil, err
	}
	return r.sign(context.Background(), d)
}

func (r *residentSigner) sign(ctx context.Context, d digest) (value []byte, err error) {
	t := r.token
	if err := t.suspendedKey(r.label); err != nil {
		return nil, err
	}
	err = t.with(ctx, func(s *session) error {
		key, err := t.handle(s, object{class: pkcs11.CKO_PRIVATE_KEY, label: r.label})
		if err != nil {
			return err
		}
		value, err = t.value(s, keyHandle{key, r.kind, r.pub}, d)
		return err
	})
	if errors.Is(err, ErrWrongValue) {
		t.wrongValue(r.label, true)
	}
	return value, err
}

// MAC returns HMAC-SHA-256 (32 bytes) over data with a secret key of the token.
func (t *Token) MAC(ctx context.Context, label string, data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, errors.New("hsm: nothing to authenticate")
	}
	mac := make([]byte, sha256.Size)
	err := t.with(ctx, func(s *session) error {
		key, err := t.handle(s, object{class: pkcs11.CKO_SECRET_KEY, label: label})
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
