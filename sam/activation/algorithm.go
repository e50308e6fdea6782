package activation

import (
	"crypto"
	"fmt"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/consent"
	"tekend/hsm"
)

// algorithms says how each kind of user's key signs. A key has one algorithm
// for life (KEY-02): its kind stands in the link record, under the MAC.
var algorithms = map[hsm.KeyKind]cms.Algorithm{
	hsm.P256:       cms.ECDSAWithSHA256,
	hsm.P384:       cms.ECDSAWithSHA384,
	hsm.RSA3072:    cms.RSAWithSHA256,
	hsm.RSA3072PSS: cms.PSSWithSHA256,
}

// algorithm is how the credential's key signs.
func (l *link) algorithm() cms.Algorithm { return algorithms[l.Key.Kind] }

// digestName is the alg of the credential's documents in messages and manifests.
func (l *link) digestName() string {
	if l.algorithm().Hash() == crypto.SHA384 {
		return consent.SHA384
	}
	return consent.SHA256
}

// counts tells whether values of this kind of key still count, by the one table
// of algorithms and end dates (KEY-03).
func counts(k hsm.KeyKind, pub crypto.PublicKey, at time.Time) error {
	a, known := algorithms[k]
	if !known || !a.Fits(pub) {
		return fmt.Errorf("a key of kind %q that is a %T", k, pub)
	}
	return certs.CheckAlgorithm(a.X509(), pub, at)
}

// dtbsOf is the digest that the key signs, by the hash that the document's alg
// names: of the DER signed attributes, base64url.
func dtbsOf(alg string, attributes []byte) string {
	h := crypto.SHA256
	if alg == consent.SHA384 {
		h = crypto.SHA384
	}
	w := h.New()
	w.Write(attributes)
	return b64.EncodeToString(w.Sum(nil))
}
