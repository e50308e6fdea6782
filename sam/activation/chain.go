package activation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"sync/atomic"
	"time"

	"tekend/certs"
)

// maxChains bounds the chains that are kept, some 10 kB each.
const maxChains = 2000

// chains keeps what the stored certificates say, by the hash of their bytes:
// to read them and to verify their signatures costs as much as the person's
// own signature. Roots and issuing CA are those of the process.
type chains struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*chain
}

// chain is a list of certificates, leaf first, and the path from the leaf to
// our root once one was accepted.
type chain struct {
	certs []*x509.Certificate
	path  atomic.Pointer[[]*x509.Certificate]
}

// read parses a chain, or finds the equal one that was parsed before.
func (c *chains) read(der []byte) (*chain, error) {
	hash := sha256.Sum256(der)
	c.mu.Lock()
	got := c.known[hash]
	c.mu.Unlock()
	if got != nil {
		return got, nil
	}
	list, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, err
	}
	got = &chain{certs: list}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxChains {
		c.known = map[[sha256.Size]byte]*chain{}
	}
	c.known[hash] = got
	return got, nil
}

// holds tells whether a path was accepted before and what it depends on still
// is as it was: the key, and at now the validity of each certificate and the
// strength of each algorithm. All else that was checked is in the bytes.
func (c *chain) holds(spkiDER []byte, now time.Time) bool {
	path := c.path.Load()
	if path == nil || !bytes.Equal(c.certs[0].RawSubjectPublicKeyInfo, spkiDER) {
		return false
	}
	for i, one := range *path {
		if now.Before(one.NotBefore) || now.After(one.NotAfter) {
			return false
		}
		if i > 0 && certs.CheckAlgorithm((*path)[i-1].SignatureAlgorithm, one.PublicKey, now) != nil {
			return false
		}
	}
	return true
}
