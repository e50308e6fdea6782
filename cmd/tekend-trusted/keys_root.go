package main

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/hsm"
)

// Names in the root's place.
const (
	fileRootCert = "root.pem"
	fileRootCRL  = "root.crl"
	dirBegun     = "ceremonies" // one file for each plan that was begun, by its id: an approval counts once
)

// withRoot runs use with the root's key, and with its token when it has one.
func (c *ceremony) withRoot(ctx context.Context, use func(*hsm.Token, crypto.Signer) error) error {
	if c.cfg.Root.File != "" {
		key, err := c.cfg.Root.readKey()
		if err != nil {
			return fmt.Errorf("root: %w", err)
		}
		return use(nil, key)
	}
	err := c.open(ctx, "root", func(t *hsm.Token) error {
		key, err := t.Signer(ctx, labelRoot)
		if err != nil {
			return err
		}
		return use(t, key)
	})
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	return nil
}

// makeRootFile makes the root's key as an encrypted file.
func (r rootSection) makeRootFile() error {
	var key crypto.Signer
	var err error
	switch r.KeyType {
	case hsm.P384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case hsm.RSA3072:
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	passphrase, err := readPassphrase(r.PassphraseFile)
	if err != nil {
		return err
	}
	sealed, err := sealKey(der, passphrase)
	if err != nil {
		return err
	}
	return writeSecret(r.File, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sealed}))
}

// readKey reads the root's key from its file.
func (r rootSection) readKey() (crypto.Signer, error) {
	b, err := readShort(r.File)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoRoot, err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "ENCRYPTED PRIVATE KEY" {
		return nil, fmt.Errorf("%s holds no encrypted PEM key", r.File)
	}
	passphrase, err := readPassphrase(r.PassphraseFile)
	if err != nil {
		return nil, err
	}
	der, err := openKey(block.Bytes, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.File, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.File, errPassphrase)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds no signing key", r.File)
	}
	return signer, nil
}

// readPassphrase reads a file of one line, at least 20 characters, closed to others.
func readPassphrase(path string) ([]byte, error) {
	b, err := readClosed(path)
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(string(b), "\r\n")
	if len(text) < 20 {
		return nil, fmt.Errorf("%s: a passphrase has 20 characters or more", path)
	}
	return []byte(text), nil
}

// PBES2 (RFC 8018 §6.2) with PBKDF2, HMAC-SHA-256 and AES-256-CBC: what `openssl pkcs8 -topk8` writes, so that a root's file
// can be read without this program.
var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256CBC  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// rounds of PBKDF2: about a third of a second, once in a ceremony.
const rounds = 600_000

var errPassphrase = errors.New("it cannot be decrypted: wrong passphrase, or damaged")

// sealKey encrypts a PKCS #8 key.
//
//	EncryptedPrivateKeyInfo ::= SEQUENCE { encryptionAlgorithm AlgorithmIdentifier, encryptedData OCTET STRING }  (RFC 5958 §3)
//	PBES2-params ::= SEQUENCE { keyDerivationFunc, encryptionScheme }                                            (RFC 8018 A.4)
//	PBKDF2-params ::= SEQUENCE { salt OCTET STRING, iterationCount INTEGER, keyLength OPTIONAL, prf }             (RFC 8018 A.2)
func sealKey(der, passphrase []byte) ([]byte, error) {
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	_, _ = rand.Read(iv)
	mode, err := cbc(passphrase, salt, rounds)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(der)%aes.BlockSize // RFC 5652 §6.3
	data := append(append([]byte{}, der...), strings.Repeat(string(rune(pad)), pad)...)
	cipher.NewCBCEncrypter(mode, iv).CryptBlocks(data, data)
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		algorithm(b, oidPBES2, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				algorithm(b, oidPBKDF2, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1OctetString(salt)
						b.AddASN1Int64(rounds)
						algorithm(b, oidHMACSHA256, func(b *cryptobyte.Builder) { b.AddASN1NULL() })
					})
				})
				algorithm(b, oidAES256CBC, func(b *cryptobyte.Builder) { b.AddASN1OctetString(iv) })
			})
		})
		b.AddASN1OctetString(data)
	})
	return b.Bytes()
}

func algorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, parameters cryptobyte.BuilderContinuation) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		parameters(b)
	})
}

func cbc(passphrase, salt []byte, iterations int) (cipher.Block, error) {
	key, err := pbkdf2.Key(sha256.New, string(passphrase), salt, iterations, 32)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(key)
}

// openKey decrypts what sealKey, or openssl with the same algorithms, has made.
func openKey(sealed, passphrase []byte) ([]byte, error) {
	var info struct {
		Algorithm struct {
			OID    asn1.ObjectIdentifier
			Params struct {
				KDF struct {
					OID    asn1.ObjectIdentifier
					Params struct {
						Salt       []byte
						Iterations int
						PRF        struct {
							OID  asn1.ObjectIdentifier
							Null asn1.RawValue
						}
					}
				}
				Cipher struct {
					OID asn1.ObjectIdentifier
					IV  []byte
				}
			}
		}
		Data []byte
	}
	rest, err := asn1.Unmarshal(sealed, &info)
	p := info.Algorithm.Params
	if err != nil || len(rest) != 0 || !info.Algorithm.OID.Equal(oidPBES2) || !p.KDF.OID.Equal(oidPBKDF2) ||
		!p.KDF.Params.PRF.OID.Equal(oidHMACSHA256) || !p.Cipher.OID.Equal(oidAES256CBC) {
		return nil, errors.New("it is not encrypted by PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC")
	}
	if n := p.KDF.Params.Iterations; n < 1 || n > 10_000_000 || len(p.Cipher.IV) != aes.BlockSize || len(info.Data) == 0 || len(info.Data)%aes.BlockSize != 0 {
		return nil, errPassphrase
	}
	block, err := cbc(passphrase, p.KDF.Params.Salt, p.KDF.Params.Iterations)
	if err != nil {
		return nil, err
	}
	data := info.Data
	cipher.NewCBCDecrypter(block, p.Cipher.IV).CryptBlocks(data, data)
	pad := int(data[len(data)-1])
	if pad < 1 || pad > aes.BlockSize || strings.TrimRight(string(data[len(data)-pad:]), string(rune(pad))) != "" {
		return nil, errPassphrase
	}
	return data[:len(data)-pad], nil
}
