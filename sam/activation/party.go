package activation

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme"
)

// party is one of our two clients at itsme: its signing key is in the token,
// its decryption key a file of the role's user.
type party struct {
	*itsme.Client
	decrypt []jose.JSONWebKey
	keySet  []byte // public, JSON
}

func (r *Role) newParty(ctx context.Context, cfg ClientConfig) (*party, error) {
	sig, err := r.token.Signer(ctx, cfg.SigLabel)
	if err != nil {
		return nil, err
	}
	client, err := itsme.NewClient(r.provider, cfg.ClientConfig, sig)
	if err != nil {
		return nil, err
	}
	enc, err := readDecryptionKey(cfg.EncKeyFile)
	if err != nil {
		return nil, err
	}
	p := &party{Client: client, decrypt: []jose.JSONWebKey{{Key: enc, KeyID: cfg.EncKID, Use: "enc"}}}
	set := itsme.PublicJWKS(sig.Public(), enc.Public(), cfg.SigKID, cfg.EncKID)
	for i, other := range cfg.OtherKeys {
		if err := r.addKeys(ctx, p, &set, other); err != nil {
			return nil, fmt.Errorf("other_keys %d: %w", i+1, err)
		}
	}
	if p.keySet, err = json.Marshal(set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return p, nil
}

// readDecryptionKey never puts anything of the file into an error.
func readDecryptionKey(path string) (*rsa.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("enc_key_file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("enc_key_file %s is open to others (mode %04o); make it 0600", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("enc_key_file: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("enc_key_file %s is not PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("enc_key_file %s holds no PKCS #8 key", path)
	}
	priv, ok := key.(*rsa.PrivateKey)
	if !ok || priv.N.BitLen() < 2048 {
		return nil, errors.New("enc_key_file must hold an RSA key of at least 2048 bits")
	}
	return priv, nil
}

// JWKS serves the public keys of our two clients to itsme, on a listener of
// its own: GET /jwks/ident and /jwks/confirm. itsme keeps a set as long as the
// header allows, at least half an hour (specs/itsme.md §1.4).
func (r *Role) JWKS() http.Handler {
	mux := http.NewServeMux()
	for path, p := range map[string]*party{"/jwks/ident": r.ident, "/jwks/confirm": r.confirm} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "public, max-age=1800")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = w.Write(p.keySet) // itsme is gone: it asks again
		})
	}
	return mux
}
