package hsm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(spyChild) != "" {
		os.Exit(runSpyChild())
	}
	if os.Getenv(killChild) != "" {
		os.Exit(runKillChild())
	}
	os.Exit(hsmtest.Main(m))
}

var ctx = context.Background()

// userKey makes a wrapped key and returns it with its public key.
func userKey(t testing.TB, token *hsm.Token, kind hsm.KeyKind) (hsm.Wrapped, crypto.PublicKey) {
	t.Helper()
	var pub crypto.PublicKey
	w, err := token.GenerateWrapped(ctx, hsmtest.KEK, kind, func(s crypto.Signer) error {
		pub = s.Public()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, pub
}

// userKeys calls use with a key of each kind. The RSA kinds share one: nothing in the key tells them apart, and it takes long
// to make.
func userKeys(t testing.TB, token *hsm.Token, use func(hsm.Wrapped, crypto.PublicKey)) {
	t.Helper()
	rsaKey, rsaPub := userKey(t, token, hsm.RSA3072)
	for _, kind := range hsm.UserKinds {
		w, pub := rsaKey, rsaPub
		if w.Kind = kind; kind != hsm.RSA3072 && kind != hsm.RSA3072PSS {
			w, pub = userKey(t, token, kind)
		}
		use(w, pub)
	}
}

// sign makes one value with a wrapped key and returns it with its digest.
func sign(token *hsm.Token, w hsm.Wrapped, pub crypto.PublicKey) (digest, value []byte, err error) {
	digest = randomDigest(w.Kind)
	err = token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error {
		value, err = s.Sign(rand.Reader, digest, w.Kind.Options())
		return err
	})
	return digest, value, err
}

// randomDigest is a digest of something nobody knows, by the hash of the kind.
func randomDigest(kind hsm.KeyKind) []byte {
	h := kind.Options().HashFunc().New()
	h.Write([]byte(rand.Text()))
	return h.Sum(nil)
}

// verify checks a value with the standard library.
func verify(t testing.TB, kind hsm.KeyKind, pub crypto.PublicKey, digest, value []byte) {
	t.Helper()
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(k, digest, value) {
			t.Error("the ECDSA value does not verify")
		}
	case *rsa.PublicKey:
		err := rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, value)
		if kind == hsm.RSA3072PSS {
			err = rsa.VerifyPSS(k, crypto.SHA256, digest, value, &rsa.PSSOptions{SaltLength: 32})
		}
		if err != nil {
			t.Error(err)
		}
	default:
		t.Errorf("public key of type %T", pub)
	}
}

func TestAUserKeyIsMadeWrappedAndUsed(t *testing.T) {
	token := hsmtest.Token(t)
	maker, sizes := "SoftHSM, ", map[hsm.KeyKind]int{hsm.P256: 80, hsm.P384: 88, hsm.RSA3072: 1800, hsm.RSA3072PSS: 1800}
	if hsmtest.NSS() { // it writes the public key into the PKCS #8 too
		maker, sizes = "Mozilla Foundation, ", map[hsm.KeyKind]int{hsm.P256: 152, hsm.P384: 200, hsm.RSA3072: 1800, hsm.RSA3072PSS: 1800}
	}
	for kind, size := range sizes {
		t.Run(string(kind), func(t *testing.T) {
			w, pub := userKey(t, token, kind)
			if w.Kind != kind || w.KEK != hsmtest.KEK || w.Mechanism != "0x0000210A" || !strings.HasPrefix(w.Module, maker) {
				t.Errorf("the record says %q %q %q %q", w.Kind, w.KEK, w.Mechanism, w.Module)
			}
			if d := len(w.Blob) - size; d < -8 || d > 16 {
				t.Errorf("the blob has %d bytes, about %d were expected", len(w.Blob), size)
			}
			for range 3 {
				digest, value, err := sign(token, w, pub)
				if err != nil {
					t.Fatal(err)
				}
				verify(t, kind, pub, digest, value)
			}
		})
	}
}

func TestAKeyIsNotKeptWhenItsFirstUseFails(t *testing.T) {
	token := hsmtest.Token(t)
	refusal := errors.New("the request was not accepted")
	w, err := token.GenerateWrapped(ctx, hsmtest.KEK, hsm.P256, func(crypto.Signer) error { return refusal })
	if !errors.Is(err, refusal) || w.Blob != nil {
		t.Errorf("got %v and a blob of %d bytes", err, len(w.Blob))
	}
}

func TestKindsThatAreNotForUsersAreRefused(t *testing.T) {
	token := hsmtest.Token(t)
	for _, kind := range []hsm.KeyKind{hsm.RSA2048, "P-224", ""} {
		if _, err := token.GenerateWrapped(ctx, hsmtest.KEK, kind, nil); err == nil {
			t.Errorf("%q was made", kind)
		}
	}
}

func TestNoSessionObjectIsLeftAfterUse(t *testing.T) {
	token := hsmtest.Token(t)
	w, pub := userKey(t, token, hsm.P256)
	other, otherPub := userKey(t, token, hsm.P256)
	damaged := w
	damaged.Blob = bytes.Clone(w.Blob)
	damaged.Blob[20] ^= 1
	var kept crypto.Signer
	err := token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error { kept = s; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, attempt := range []func() error{
		func() error { _, _, err := sign(token, w, pub); return err },
		func() error { _, _, err := sign(token, other, pub); return err },
		func() error { _, _, err := sign(token, damaged, otherPub); return err },
		func() error {
			return token.UseWrapped(ctx, w, pub, func(crypto.Signer) error { return errors.New("no") })
		},
		func() (err error) {
			defer func() { err = fmt.Errorf("panic: %v", recover()) }()
			return token.UseWrapped(ctx, w, pub, func(crypto.Signer) error { panic("test") })
		},
	} {
		err := attempt()
		if n, countErr := token.SessionObjects(ctx); n != 0 || countErr != nil {
			t.Errorf("%d session objects are left after %v (%v)", n, err, countErr)
		}
	}
	digest := sha256.Sum256(nil)
	if _, err := kept.Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, hsm.ErrClosed) {
		t.Errorf("a signer that was kept after its use says %v", err)
	}
}

func TestAPanicGivesTheSessionBack(t *testing.T) {
	cfg := hsmtest.Config(t)
	cfg.Sessions = 1
	token := hsmtest.Open(t, cfg)
	w, pub := userKey(t, token, hsm.P256)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = token.UseWrapped(ctx, w, pub, func(crypto.Signer) error { panic("test") })
	}()
	if _, _, err := sign(token, w, pub); err != nil {
		t.Error(err)
	}
}

func TestADamagedBlobIsRefused(t *testing.T) {
	var reinits atomic.Int64
	cfg := hsmtest.Config(t)
	cfg.OnReinit = func(string) { reinits.Add(1) }
	token := hsmtest.Open(t, cfg)
	w, pub := userKey(t, token, hsm.P256)
	for i := range w.Blob {
		damaged := w
		damaged.Blob = bytes.Clone(w.Blob)
		damaged.Blob[i] ^= 0x10
		if _, _, err := sign(token, damaged, pub); !errors.Is(err, hsm.ErrBlob) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for _, n := range []int{0, 8, 15, 40, 79} {
		short := w
		short.Blob = w.Blob[:n]
		if _, _, err := sign(token, short, pub); !errors.Is(err, hsm.ErrBlob) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	long := w
	long.Blob = make([]byte, 1<<20)
	if _, _, err := sign(token, long, pub); !errors.Is(err, hsm.ErrBlob) {
		t.Errorf("1 MB: %v", err)
	}
	if reinits.Load() != 0 {
		t.Errorf("damaged blobs made the module start again %d times", reinits.Load())
	}
	if _, _, err := sign(token, w, pub); err != nil {
		t.Errorf("the good blob afterwards: %v", err)
	}
}

func TestABlobFromAnotherTokenIsRefused(t *testing.T) {
	token := hsmtest.Token(t)
	w, pub := userKey(t, token, hsm.P256)
	if err := token.Close(); err != nil { // one NSS token at a time
		t.Fatal(err)
	}
	if _, _, err := sign(hsmtest.Token(t), w, pub); !errors.Is(err, hsm.ErrBlob) {
		t.Errorf("got %v", err)
	}
}

func TestTheBlobOfAnotherPersonGivesNoValue(t *testing.T) {
	token := hsmtest.Token(t)
	theirs := map[hsm.KeyKind]crypto.PublicKey{}
	userKeys(t, token, func(w hsm.Wrapped, pub crypto.PublicKey) { theirs[w.Kind] = pub })
	userKeys(t, token, func(mine hsm.Wrapped, _ crypto.PublicKey) {
		token.Forgive() // each is the first wrong value: the RSA kinds have one blob
		_, value, err := sign(token, mine, theirs[mine.Kind])
		if !errors.Is(err, hsm.ErrWrongValue) || errors.Is(err, hsm.ErrSuspended) || value != nil {
			t.Errorf("%s: got %v and a value of %d bytes", mine.Kind, err, len(value))
		}
	})
}

func TestTheRecordMustFit(t *testing.T) {
	token := hsmtest.Token(t)
	w, pub := userKey(t, token, hsm.P256)
	rsaPub := &rsa.PublicKey{N: fromHex("c5"), E: 65537}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	asRSA := w
	asRSA.Kind = hsm.RSA3072
	mechanism := w
	mechanism.Mechanism = "0x00001082"
	noKEK := w
	noKEK.KEK = "another"
	for name, c := range map[string]struct {
		w   hsm.Wrapped
		pub crypto.PublicKey
	}{
		"another kind":         {asRSA, pub},
		"another mechanism":    {mechanism, pub},
		"a small RSA key":      {w, rsaPub},
		"another curve":        {w, p384.Public()},
		"no public key":        {w, nil},
		"a KEK that is absent": {noKEK, pub},
	} {
		used := false
		if err := token.UseWrapped(ctx, c.w, c.pub, func(crypto.Signer) error { used = true; return nil }); err == nil || used {
			t.Errorf("%s: got %v, used: %v", name, err, used)
		}
	}
}

// hashes are what a user's key signs by.
var hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

// options are what a kind of key signs by with a hash.
func options(kind hsm.KeyKind, h crypto.Hash) crypto.SignerOpts {
	if kind == hsm.RSA3072PSS {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: h}
	}
	return h
}

// verifyBy checks a value over a digest of h with the standard library.
func verifyBy(t testing.TB, w hsm.Wrapped, pub crypto.PublicKey, h crypto.Hash, digest, value []byte) {
	t.Helper()
	ok := false
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		// Go cuts the digest itself; so does whoever follows FIPS 186-5 §6.4.1.
		short := digest[:min(len(digest), k.Curve.Params().BitSize/8)]
		ok = ecdsa.VerifyASN1(k, digest, value) && ecdsa.VerifyASN1(k, short, value)
	case *rsa.PublicKey:
		if w.Kind == hsm.RSA3072PSS {
			ok = rsa.VerifyPSS(k, h, digest, value, &rsa.PSSOptions{SaltLength: h.Size()}) == nil && rsa.VerifyPKCS1v15(k, h, digest, value) != nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, h, digest, value) == nil
		}
	}
	if !ok {
		t.Errorf("%s with %v: the value does not verify", w.Kind, h)
	}
}

// TestAUserKeySignsByEveryHash: each family with each hash, wrapped and resident.
func TestAUserKeySignsByEveryHash(t *testing.T) {
	token := hsmtest.Token(t)
	byEach := func(w hsm.Wrapped, pub crypto.PublicKey) {
		err := token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error {
			for _, h := range hashes {
				sum := h.New()
				sum.Write([]byte(rand.Text()))
				digest := sum.Sum(nil)
				value, err := s.Sign(rand.Reader, digest, options(w.Kind, h))
				if err != nil {
					return fmt.Errorf("%s with %v: %w", w.Kind, h, err)
				}
				verifyBy(t, w, pub, h, digest, value)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	userKeys(t, token, byEach)
	for _, kind := range []hsm.KeyKind{hsm.P256, hsm.P384} {
		byEach(residentKey(t, token, kind))
	}
}

// One key has one family of algorithms (KEY-02), with hashes that are at least as strong as SHA-256: each kind refuses the
// requests of the other families, and a service's key those of other hashes.
func TestAKeySignsByTheFamilyOfItsKindOnly(t *testing.T) {
	type request struct {
		digest []byte
		opts   crypto.SignerOpts
	}
	token := hsmtest.Token(t)
	refusesAll := func(kind hsm.KeyKind, s crypto.Signer, requests map[string]request) {
		for name, c := range requests {
			if _, err := s.Sign(rand.Reader, c.digest, c.opts); err == nil {
				t.Errorf("%s: %s was signed", kind, name)
			}
		}
	}
	userKeys(t, token, func(w hsm.Wrapped, pub crypto.PublicKey) {
		requests := map[string]request{
			"SHA-1":                                 {make([]byte, 20), options(w.Kind, crypto.SHA1)},
			"SHA-224":                               {make([]byte, 28), options(w.Kind, crypto.SHA224)},
			"SHA-512/256":                           {make([]byte, 32), options(w.Kind, crypto.SHA512_256)},
			"SHA3-256":                              {make([]byte, 32), options(w.Kind, crypto.SHA3_256)},
			"no hash":                               {make([]byte, 32), crypto.Hash(0)},
			"no options":                            {make([]byte, 32), nil},
			"empty input":                           {nil, options(w.Kind, crypto.SHA256)},
			"PSS, longest":                          {make([]byte, 32), &rsa.PSSOptions{Hash: crypto.SHA256}},
			"PSS, 20 bytes":                         {make([]byte, 32), &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: 20}},
			"PSS, SHA-384 with the salt of SHA-256": {make([]byte, 48), &rsa.PSSOptions{Hash: crypto.SHA384, SaltLength: 32}},
		}
		other := hsm.RSA3072PSS // a family that every kind but this one refuses
		if w.Kind == other {
			other = hsm.RSA3072
		}
		for _, h := range hashes {
			requests[fmt.Sprint("the other family by ", h)] = request{make([]byte, h.Size()), options(other, h)}
			requests[fmt.Sprint("one byte too few of ", h)] = request{make([]byte, h.Size()-1), options(w.Kind, h)}
			requests[fmt.Sprint("one byte too many of ", h)] = request{make([]byte, h.Size()+1), options(w.Kind, h)}
		}
		if err := token.UseWrapped(ctx, w, pub, func(s crypto.Signer) error { refusesAll(w.Kind, s, requests); return nil }); err != nil {
			t.Fatal(err)
		}
	})
	for _, kind := range []hsm.KeyKind{hsm.P256, hsm.P384, hsm.RSA2048} {
		if _, err := token.CreateKeyPair(ctx, "service "+string(kind), kind); err != nil {
			t.Fatal(err)
		}
		s, err := token.Signer(ctx, "service "+string(kind))
		if err != nil {
			t.Fatal(err)
		}
		requests := map[string]request{"PSS": {make([]byte, 32), options(hsm.RSA3072PSS, crypto.SHA256)}, "no options": {make([]byte, 32), nil}}
		for _, h := range hashes {
			if h != kind.Options().HashFunc() {
				requests[fmt.Sprint("another hash: ", h)] = request{make([]byte, h.Size()), h}
			}
		}
		refusesAll(kind, s, requests)
	}
}

// Nothing in an RSA key tells how it signs: the record's kind does, and both are good for the same key.
func TestAnRSAKeyIsUsedAsItsRecordSays(t *testing.T) {
	token := hsmtest.Token(t)
	w, pub := userKey(t, token, hsm.RSA3072PSS)
	digest, value, err := sign(token, w, pub)
	if err != nil {
		t.Fatal(err)
	}
	if rsa.VerifyPKCS1v15(pub.(*rsa.PublicKey), crypto.SHA256, digest, value) == nil {
		t.Error("a PSS key made a PKCS #1 v1.5 value")
	}
	verify(t, hsm.RSA3072PSS, pub, digest, value)
}

func TestResidentKeysSign(t *testing.T) {
	cfg := hsmtest.Config(t)
	token := hsmtest.Open(t, cfg)
	for _, kind := range []hsm.KeyKind{hsm.P256, hsm.P384, hsm.RSA2048, hsm.RSA3072} {
		pub, err := token.CreateKeyPair(ctx, "service "+string(kind), kind)
		if err != nil {
			t.Fatal(err)
		}
		s, err := token.Signer(ctx, "service "+string(kind))
		if err != nil {
			t.Fatal(err)
		}
		if !s.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(pub) {
			t.Errorf("%s: the signer has another public key", kind)
		}
		digest := randomDigest(kind)
		value, err := s.Sign(rand.Reader, digest, kind.Options())
		if err != nil {
			t.Fatal(err)
		}
		verify(t, kind, pub, digest, value)
		if _, err := token.CreateKeyPair(ctx, "service "+string(kind), kind); !errors.Is(err, hsm.ErrExists) {
			t.Errorf("%s: a second key with the label: %v", kind, err)
		}
	}
	if _, err := token.Signer(ctx, "absent"); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("absent key: %v", err)
	}
}

func TestAPairThatIsNoPairIsRefusedAndSuspended(t *testing.T) {
	token := hsmtest.Token(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := token.CreateMixedPair(ctx, "mixed", &other.PublicKey); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		_, err := token.Signer(ctx, "mixed")
		if !errors.Is(err, hsm.ErrWrongValue) {
			t.Errorf("attempt %d: %v", i, err)
		}
		if i == 1 && !strings.Contains(err.Error(), "suspended") {
			t.Errorf("the key was used again: %v", err)
		}
	}
}

func TestAnExtractableServiceKeyIsRefused(t *testing.T) {
	token := hsmtest.Token(t)
	if err := token.CreateExtractablePair(ctx, "open"); err != nil {
		t.Fatal(err)
	}
	if _, err := token.Signer(ctx, "open"); err == nil || !strings.Contains(err.Error(), "CKA_EXTRACTABLE") {
		t.Errorf("got %v", err)
	}
}

func TestValuesThatDoNotVerifyAreDestroyed(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	v15, err := rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind hsm.KeyKind
		pub  crypto.PublicKey
		raw  []byte
	}{
		"ECDSA of 64 ones":     {hsm.P256, &key.PublicKey, bytes.Repeat([]byte{1}, 64)},
		"ECDSA of 63 bytes":    {hsm.P256, &key.PublicKey, bytes.Repeat([]byte{1}, 63)},
		"ECDSA of zeroes":      {hsm.P256, &key.PublicKey, make([]byte, 64)},
		"ECDSA, another curve": {hsm.P384, &key.PublicKey, bytes.Repeat([]byte{1}, 96)},
		"RSA of ones":          {hsm.RSA2048, &rsaKey.PublicKey, bytes.Repeat([]byte{1}, 256)},
		"RSA of 255 bytes":     {hsm.RSA2048, &rsaKey.PublicKey, bytes.Repeat([]byte{1}, 255)},
		"v1.5 for a PSS key":   {hsm.RSA3072PSS, &rsaKey.PublicKey, v15},
		"a key of no kind":     {hsm.P256, nil, bytes.Repeat([]byte{1}, 64)},
		"a private key type":   {hsm.P256, key, bytes.Repeat([]byte{1}, 64)},
	} {
		value, err := hsm.Verified(c.kind, c.pub, digest[:], c.raw)
		if !errors.Is(err, hsm.ErrWrongValue) || value != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(c.raw, make([]byte, len(c.raw))) {
			t.Errorf("%s: the value was not destroyed", name)
		}
	}
}

func TestTheMACKeyMakesTheSameMACEachTimeAndStaysInTheToken(t *testing.T) {
	token := hsmtest.Token(t)
	a, err := token.MAC(ctx, hsmtest.MAC, []byte("row 1"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := token.MAC(ctx, hsmtest.MAC, []byte("row 1"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := token.MAC(ctx, hsmtest.MAC, []byte("row 2"))
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != sha256.Size || !hmac.Equal(a, b) || hmac.Equal(a, c) {
		t.Error("equal rows must have equal MACs and others not")
	}
	if _, err := token.MAC(ctx, hsmtest.KEK, []byte("x")); err == nil {
		t.Error("the KEK made a MAC")
	}
	if _, err := token.MAC(ctx, hsmtest.MAC, nil); err == nil {
		t.Error("a MAC over nothing")
	}
	if _, err := token.MAC(ctx, "absent", []byte("x")); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("absent key: %v", err)
	}
	if large, err := token.MAC(ctx, hsmtest.MAC, make([]byte, 100_000)); err != nil || len(large) != sha256.Size {
		t.Errorf("100 kB: %v", err)
	}
	if err := token.Close(); err != nil { // one NSS token at a time
		t.Fatal(err)
	}
	other, err := hsmtest.Token(t).MAC(ctx, hsmtest.MAC, []byte("row 1"))
	if err != nil || hmac.Equal(a, other) {
		t.Errorf("another token's key makes the same MAC (%v)", err)
	}
}

func TestTheCeremonyRefusesWhatExists(t *testing.T) {
	cfg := hsmtest.Config(t)
	token := hsmtest.Open(t, cfg)
	if err := token.CreateKEK(ctx, hsmtest.KEK); !errors.Is(err, hsm.ErrExists) {
		t.Errorf("a second KEK: %v", err)
	}
	if err := token.CreateMACKey(ctx, hsmtest.KEK); !errors.Is(err, hsm.ErrExists) {
		t.Errorf("a MAC key with the KEK's label: %v", err)
	}
	if err := token.CreateKEK(ctx, ""); err == nil {
		t.Error("a key without label")
	}
	if err := hsm.InitToken(cfg.Module, cfg.TokenLabel, cfg.PINFile, cfg.PINFile); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second token with the label: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	cfg := hsmtest.Config(t)
	cfg.Sessions = 3
	cfg.ReinitEvery = 40 // restarts happen in between
	token := hsmtest.Open(t, cfg)
	if _, err := token.CreateKeyPair(ctx, "service", hsm.P256); err != nil {
		t.Fatal(err)
	}
	service, err := token.Signer(ctx, "service")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			w, pub := userKey(t, token, hsm.P256)
			for range 15 {
				digest, value, err := sign(token, w, pub)
				if err != nil {
					t.Error(err)
					return
				}
				verify(t, w.Kind, pub, digest, value)
				value, err = service.Sign(rand.Reader, digest, crypto.SHA256)
				if err != nil {
					t.Error(err)
					return
				}
				verify(t, hsm.P256, service.Public(), digest, value)
				if _, err := token.MAC(ctx, hsmtest.MAC, digest); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n, err := token.SessionObjects(ctx); n != 0 || err != nil {
		t.Errorf("%d session objects are left (%v)", n, err)
	}
}

func TestTheQueueHasADeadline(t *testing.T) {
	cfg := hsmtest.Config(t)
	cfg.Sessions, cfg.QueueTimeout = 1, 150*time.Millisecond
	token := hsmtest.Open(t, cfg)
	w, pub := userKey(t, token, hsm.P256)
	err := token.UseWrapped(ctx, w, pub, func(crypto.Signer) error {
		if _, _, err := sign(token, w, pub); !errors.Is(err, hsm.ErrBusy) {
			t.Errorf("with the only session in use: %v", err)
		}
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if err := token.Health(canceled); !errors.Is(err, hsm.ErrBusy) || !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that gave up: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := sign(token, w, pub); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAClosedTokenSaysSo(t *testing.T) {
	token, err := hsm.Open(ctx, hsmtest.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(token.Close(), token.Close()); err != nil {
		t.Fatal(err)
	}
	if err := token.Health(ctx); !errors.Is(err, hsm.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsHaveTheirClass(t *testing.T) {
	for rv, want := range map[uint]hsm.Class{
		pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED: hsm.ClassRequest,
		pkcs11.CKR_SESSION_HANDLE_INVALID:     hsm.ClassSession,
		pkcs11.CKR_OBJECT_HANDLE_INVALID:      hsm.ClassSession,
		pkcs11.CKR_DEVICE_REMOVED:             hsm.ClassDevice,
		pkcs11.CKR_GENERAL_ERROR:              hsm.ClassDevice,
		pkcs11.CKR_PIN_LOCKED:                 hsm.ClassPIN,
		pkcs11.CKR_RANDOM_NO_RNG:              hsm.ClassUnknown,
	} {
		var e *hsm.Error
		if !errors.As(hsm.Fail("C_Sign", rv), &e) || e.Class != want || e.RV != rv {
			t.Errorf("0x%X: got %+v", rv, e)
		}
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	good := hsmtest.Config(t)
	open := filepath.Join(t.TempDir(), "open-pin")
	if err := os.WriteFile(open, []byte("pin-of-a-test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short-pin")
	if err := os.WriteFile(short, []byte("12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*hsm.Config)
		says   string
	}{
		"no module":          {func(c *hsm.Config) { c.Module = "" }, "must be set"},
		"module absent":      {func(c *hsm.Config) { c.Module = "/nowhere.so" }, "can be loaded"},
		"label absent":       {func(c *hsm.Config) { c.TokenLabel = "nobody" }, "keys init"},
		"label too long":     {func(c *hsm.Config) { c.TokenLabel = strings.Repeat("x", 33) }, "longer than 32"},
		"PIN file absent":    {func(c *hsm.Config) { c.PINFile = "/nowhere" }, "PIN file"},
		"PIN file open":      {func(c *hsm.Config) { c.PINFile = open }, "0600"},
		"PIN too short":      {func(c *hsm.Config) { c.PINFile = short }, "4 to 64"},
		"sessions":           {func(c *hsm.Config) { c.Sessions = -1 }, "1 to 256"},
		"negative queue":     {func(c *hsm.Config) { c.QueueTimeout = -1 }, "negative"},
		"no token directory": {func(c *hsm.Config) { c.PINFile = "" }, "must be set"},
	} {
		cfg := good
		c.change(&cfg)
		token, err := hsm.Open(ctx, cfg)
		if err == nil {
			_ = token.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; it should say %q", name, err, c.says)
		}
	}
}
