package activation

import (
	"crypto"
	"crypto/ecdsa"
	_ "crypto/sha256" // for hashes
	_ "crypto/sha512"
	"errors"
	"fmt"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/consent"
	"tekend/hsm"
	"tekend/sam"
)

// algorithms says how each kind of user's key usually signs. A key has one
// family of algorithms for life (KEY-02): its kind stands in the link record,
// under the MAC. The hash is the one of the documents that are confirmed, never
// weaker than SHA-256 (docs/decisions/0026-hashes.md).
var algorithms = map[hsm.KeyKind]cms.Algorithm{
	hsm.P256:       cms.ECDSAWithSHA256,
	hsm.P384:       cms.ECDSAWithSHA384,
	hsm.RSA3072:    cms.RSAWithSHA256,
	hsm.RSA3072PSS: cms.PSSWithSHA256,
}

// hashes are the digest algorithms of documents, by their names in messages and
// manifests.
var hashes = map[string]crypto.Hash{
	consent.SHA256: crypto.SHA256, consent.SHA384: crypto.SHA384, consent.SHA512: crypto.SHA512,
}

// algorithm is how the credential's key usually signs.
func (l *link) algorithm() cms.Algorithm { return algorithms[l.Key.Kind] }

// algorithmFor is how the key signs documents whose digests are by alg.
func (l *link) algorithmFor(alg string) (cms.Algorithm, error) {
	h, known := hashes[alg]
	if !known {
		return "", errors.New("the digest algorithm is not SHA-256, SHA-384 or SHA-512")
	}
	return l.algorithm().WithHash(h)
}

// algorithmOf is how the key signs the documents of a stored manifest: of one
// digest algorithm, as consent.DecodeManifest wants it.
func (l *link) algorithmOf(m consent.Manifest) (cms.Algorithm, error) {
	if len(m.Docs) > 0 {
		if a, err := l.algorithmFor(m.Docs[0].Alg); err == nil {
			return a, nil
		}
	}
	return "", refuse(sam.CodeNotAuthorized, "the stored question was changed")
}

// counts tells whether values of this kind of key still count, by the one table
// of algorithms and end dates (KEY-03).
func counts(k hsm.KeyKind, pub crypto.PublicKey, at time.Time) error {
	a, known := algorithms[k]
	usual, err := cms.AlgorithmOf(pub)
	_, curve := pub.(*ecdsa.PublicKey)
	if !known || err != nil || !a.Fits(pub) || curve && usual != a { // the kind names the curve too
		return fmt.Errorf("a key of kind %q that is a %T", k, pub)
	}
	return certs.CheckAlgorithm(a.X509(), pub, at)
}

// endOf is when values of new keys of a kind no longer count; zero: no end is
// named.
func endOf(k hsm.KeyKind) (time.Time, error) {
	bits := map[hsm.KeyKind]int{hsm.P256: 256, hsm.P384: 384, hsm.RSA3072: 3072, hsm.RSA3072PSS: 3072}[k]
	return certs.AlgorithmEndOf(algorithms[k].X509(), bits)
}

// shortestUse is how long a new key must count at least: less than a month is not
// what a person expects who identifies for a certificate. A one-time key has a
// session of 30 minutes, and the ca gives no certificate for less than an hour.
const (
	shortestUse     = 30 * 24 * time.Hour
	shortestOnceUse = time.Hour
)

// mayMakeKeys refuses a new key whose certificate would end at once with its
// algorithm.
func (r *Role) mayMakeKeys(oneTime bool) error {
	least := shortestUse
	if oneTime {
		least = shortestOnceUse
	}
	end, err := endOf(r.cfg.KeyType)
	if err != nil || !end.IsZero() && r.cfg.Now().Add(least).After(end) {
		return refuse(sam.CodeKeyTypeEnded, fmt.Sprintf("new keys are of the kind %s, whose algorithm is accepted only until %s: operators must set sam.key_type to P-256, P-384 or RSA-3072-PSS",
			r.cfg.KeyType, end.Format(time.DateOnly)))
	}
	return nil
}

// warnBefore is how long before an algorithm's end operators are told
// (specs/eidas.md §2.8: two years).
const warnBefore = 2 * 365 * 24 * time.Hour

// notesOfKeys tells operators in time that the kind of new keys ends.
func (r *Role) notesOfKeys() []string {
	end, err := endOf(r.cfg.KeyType)
	if err != nil || end.IsZero() || r.cfg.Now().Add(warnBefore).Before(end) {
		return nil
	}
	return []string{fmt.Sprintf("key_type %s is accepted only until %s, and no certificate for such a key ends later: plan for P-256, P-384 or RSA-3072-PSS", r.cfg.KeyType, end.Format(time.DateOnly))}
}

// countsNow is counts for one algorithm of the credential's key.
func (r *Role) countsNow(l *link, a cms.Algorithm) error {
	if certs.CheckAlgorithm(a.X509(), l.leaf.PublicKey, r.cfg.Now()) != nil {
		return refuse(sam.CodeCertificateNotGood, "the key's algorithm no longer counts")
	}
	return nil
}

// dtbsOf is the digest that the key signs, by the hash that the document's alg
// names: of the DER signed attributes, base64url. The alg is a known one.
func dtbsOf(alg string, attributes []byte) string {
	w := hashes[alg].New()
	w.Write(attributes)
	return b64.EncodeToString(w.Sum(nil))
}
