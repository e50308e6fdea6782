package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	orders "tekend/order"
)

type orderCmd struct {
	Keygen orderKeygenCmd `cmd:"" help:"Make a provider's key for its orders."`
	Sign   orderSignCmd   `cmd:"" help:"Sign an order over PDF files; the service then takes no other ones for it."`
}

type orderKeygenCmd struct {
	Key    string `required:"" placeholder:"FILE" help:"Where the private key goes (PEM, PKCS #8, mode 0600). It never goes to the service." type:"path"`
	Public string `required:"" placeholder:"FILE" help:"Where the public key goes (PEM), which the service's operators register." type:"path"`
}

// Run makes a P-256 key. Existing files are not replaced.
func (c *orderKeygenCmd) Run(p *program) error {
	private, public, err := newOrderKey()
	if err != nil {
		return err
	}
	if err := writeBytes(c.Key, private, modeSecret, os.Link); err != nil {
		return err
	}
	if err := writeBytes(c.Public, public, modeResult, os.Link); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "key: %s\npublic key for the operators: %s\n", c.Key, c.Public)
	return err
}

// newOrderKey makes a key and gives both halves as PEM.
func newOrderKey() (private, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}), nil
}

// orderKeyFlags name the key that signs an order.
type orderKeyFlags struct {
	OrderKey string `placeholder:"FILE" help:"Sign the order with this private key (tekend order keygen)." type:"existingfile"`
	Provider string `placeholder:"NAME" help:"Your name at the service, as its operators registered the key."`
}

// orderLife is how long an order is good that this program signs and sends at once.
const orderLife = 7 * 24 * time.Hour

// sign signs an order over documents, "" when no key is named.
func (f orderKeyFlags) sign(now time.Time, docs func() ([]orders.Document, error)) (string, error) {
	if f.OrderKey == "" && f.Provider == "" {
		return "", nil
	}
	if f.OrderKey == "" || f.Provider == "" {
		return "", usage("--order-key and --provider go together")
	}
	list, err := docs()
	if err != nil {
		return "", usage("%w", err)
	}
	return signOrder(f.OrderKey, f.Provider, list, term{now, orderLife})
}

type orderSignCmd struct {
	Key      string        `required:"" placeholder:"FILE" help:"The provider's private key." type:"existingfile"`
	Provider string        `required:"" placeholder:"NAME" help:"The provider's name, as the service's operators registered the key."`
	Valid    time.Duration `default:"168h" help:"How long a person may be asked to confirm."`
	Files    []string      `arg:"" name:"file" help:"PDF files, in the order in which they will be sent." type:"existingfile"`
}

// Run prints the compact JWS for the member signed_order.
func (c *orderSignCmd) Run(p *program) error {
	docs, err := orderedFiles(c.Files)
	if err != nil {
		return usage("%w", err)
	}
	jws, err := signOrder(c.Key, c.Provider, docs, term{p.now(), c.Valid})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, jws)
	return err
}

// term is when an order is made, and how long it is good.
type term struct {
	now   time.Time
	valid time.Duration
}

// signOrder signs an order over documents.
func signOrder(keyFile, provider string, docs []orders.Document, t term) (string, error) {
	key, err := readOrderKey(keyFile)
	if err != nil {
		return "", usage("order key %s: %w", keyFile, err)
	}
	jws, err := orders.Sign(orders.New(provider, docs, t.now, t.valid), key)
	if err != nil {
		return "", usage("sign the order: %w", err)
	}
	return jws, nil
}

// signFiles signs an order over files that is sent at once.
func signFiles(keyFile, provider string, files []string, now time.Time) (string, error) {
	docs, err := orderedFiles(files)
	if err != nil {
		return "", err
	}
	return signOrder(keyFile, provider, docs, term{now, orderLife})
}

func orderedFiles(files []string) (docs []orders.Document, err error) {
	for _, name := range files {
		d, err := orderedFile(name)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

// orderedFile hashes a file once, by both functions.
func orderedFile(name string) (orders.Document, error) {
	f, err := os.Open(name)
	if err != nil {
		return orders.Document{}, err
	}
	defer func() { _ = f.Close() }()
	a, b := sha256.New(), sha512.New384()
	if _, err := io.Copy(io.MultiWriter(a, b), f); err != nil {
		return orders.Document{}, err
	}
	return orders.NewDocument(a.Sum(nil), b.Sum(nil)), nil
}

func readOrderKey(path string) (crypto.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the file is open to others (mode %04o); make it 0600", info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a PKCS #8 key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("not a key that signs")
	}
	return signer, nil
}
