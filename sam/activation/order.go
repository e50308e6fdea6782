package activation

import (
	"context"
	"crypto"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"tekend/consent"
	"tekend/order"
	"tekend/sam"
)

// Policies of provider_signed.
const (
	orderOptional = "optional"
	orderRequired = "required"
)

// Policies of hash_orders.
const (
	hashesAllowed   = "allowed"
	hashesSigned    = "signed"
	hashesForbidden = "forbidden"
)

// ProviderConfig is a provider whose keys operators have registered. Example:
//
//	{name: acme, key_files: [/srv/tekend/sam/providers/acme-2026.pem]}
type ProviderConfig struct {
	// Name stands as iss in the provider's orders, and where it orders hashes in the text that people confirm: 1 to 60 visible
	// ASCII characters without < > & and ;. Required.
	Name string `yaml:"name"`
	// KeyFiles are public keys (PEM, SubjectPublicKeyInfo): P-256, P-384, Ed25519, or RSA of at least 3072 bits. Several,
	// so that keys can be changed without a gap. A key that is taken away is dead at the next start. At least one.
	KeyFiles []string `yaml:"key_files"`
}

// providers are the registered keys by provider.
type providers map[string][]order.Key

func openProviders(list []ProviderConfig) (providers, error) {
	all := providers{}
	owner := map[string]string{}
	for _, p := range list {
		if p.Name == "" || len(p.KeyFiles) == 0 || all[p.Name] != nil {
			return nil, fmt.Errorf("providers: %q: each has a name of its own and at least one key file", p.Name)
		}
		if l, err := consent.Label(p.Name); err != nil || l != p.Name || strings.ContainsAny(p.Name, " ;") {
			return nil, fmt.Errorf("providers: %q: a name of 1 to 60 visible ASCII characters without < > & and ;, and not like a line number or a check code: people see it", p.Name)
		}
		for _, path := range p.KeyFiles {
			key, err := readProviderKey(path)
			if err != nil {
				return nil, fmt.Errorf("providers: %s: key file %s: %w", p.Name, path, err)
			}
			if other, taken := owner[key.ID]; taken {
				return nil, fmt.Errorf("providers: %s: key file %s is a key of %s already", p.Name, path, other)
			}
			owner[key.ID] = p.Name
			all[p.Name] = append(all[p.Name], key)
		}
	}
	return all, nil
}

// maxKeyFile: RSA-8192 in PEM has 1.5 kB.
const maxKeyFile = 16 << 10

func readProviderKey(path string) (order.Key, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return order.Key{}, err
	}
	block, rest := pem.Decode(b)
	if len(b) > maxKeyFile || block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return order.Key{}, errors.New("not one PEM block PUBLIC KEY")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return order.Key{}, err
	}
	kid, err := order.KeyID(pub)
	return order.Key{ID: kid, Public: pub}, err
}

// checkHashes holds the order to the policy of hash_orders. What a provider ordered and what the front did not prepare from its
// file is a bare digest, and so the text must say it, whatever the front says. What no provider signed is the front's
// word alone: it could say that it saw a document, and it could show another one anyway (house §1.7).
func (r *Role) checkHashes(req sam.PrepareRequest) error {
	n := 0
	for i, d := range req.Documents {
		switch {
		case d.Hash && d.Base != nil:
			return refuse(sam.CodeBadRequest, fmt.Sprintf("document %d: a document has a base or is a hash, not both", i))
		case req.Order != "" && d.Base == nil && !d.Hash:
			return refuse(sam.CodeOrderRefused, fmt.Sprintf("document %d: a digest that the provider ordered is a hash", i))
		case d.Hash:
			n++
		}
	}
	switch {
	case n == 0:
		return nil
	case n != len(req.Documents):
		return refuse(sam.CodeBadRequest, "the documents of an order are all hashes, or none is")
	case r.cfg.HashOrders == hashesForbidden:
		return refuse(sam.CodeHashOrdersRefused, "orders of bare hashes are not taken here: send the documents")
	case r.cfg.HashOrders == hashesSigned && req.Order == "":
		return refuse(sam.CodeHashOrdersRefused, "hashes are taken here only in an order that their provider has signed")
	}
	return nil
}

// isHashes tells whether a manifest is of a hash order.
func isHashes(m consent.Manifest) bool {
	return len(m.Docs) > 0 && m.Docs[0].Origin == consent.OriginHash
}

// checkOrder verifies the provider's order, if there is one or must be one: it is signed by a registered key, in force,
// and of exactly these documents. For a PDF that the front prepared, the digest of the prepared document must be that of
// the ordered file with an update behind it that does nothing but sign. So not even an owned front can have another
// document confirmed than the one that was ordered.
func (r *Role) checkOrder(req sam.PrepareRequest, hash crypto.Hash) error {
	if req.Order == "" {
		if req.Provider != "" { // the text would name who has not signed
			return refuse(sam.CodeBadRequest, "an order and its provider are given both or not at all")
		}
		if r.cfg.ProviderSigned == orderRequired {
			return refuse(sam.CodeOrderRequired, "only orders that their provider has signed are taken here")
		}
		return nil
	}
	o, err := order.Verify(req.Order, req.Provider, r.providers[req.Provider])
	if err == nil {
		err = o.At(r.cfg.Now())
	}
	if err != nil {
		return orderRefusal(err)
	}
	files := make([][]byte, len(req.Documents))
	for i, d := range req.Documents {
		if d.Base == nil {
			files[i] = d.Digest // a hash: the provider ordered what is signed
			continue
		}
		file, linked := d.Base.Links(hash, d.Digest)
		if !linked {
			return refuse(sam.CodeOrderRefused, fmt.Sprintf("document %d: the prepared document is not the ordered one with an update", i))
		}
		if err := d.Base.OnlySigns(); err != nil {
			return refuse(sam.CodeOrderRefused, fmt.Sprintf("document %d: the update of the ordered document does more than sign", i))
		}
		files[i] = file
	}
	if err := o.Covers(hash, files); err != nil {
		return orderRefusal(err)
	}
	return nil
}

func orderRefusal(err error) error {
	for _, known := range []error{order.ErrFormat, order.ErrKey, order.ErrSignature, order.ErrTime, order.ErrDocuments} {
		if errors.Is(err, known) {
			return refuse(sam.CodeOrderRefused, known.Error())
		}
	}
	return err
}

// keepOrder stores an order as evidence, in the transaction that stores its question. It gives the hash of the
// provider's key set, for the row of the audit.
func (r *Role) keepOrder(ctx context.Context, tx *sql.Tx, nonce string, req sam.PrepareRequest) (keys string, err error) {
	set, err := order.KeySet(r.providers[req.Provider])
	if err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (nonce, provider, jws, key_set) VALUES (?,?,?,?)", nonce, req.Provider, req.Order, set); err != nil {
		return "", fmt.Errorf("store order: %w", err)
	}
	return digest(set), nil
}
