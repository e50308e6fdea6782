package tsa

import (
	"crypto"
	"crypto/x509"
	"slices"

	"tekend/cms"
)

// Judged is what a validator needs that looks at a token years later and so
// asks about paths, status and algorithms at other times than [Token.Verify].
type Judged struct {
	Certificate *x509.Certificate // the unit's, which signing-certificate confirms
	Hashes      []crypto.Hash     // of the imprint, of the signature, of signing-certificate
	Algorithm   x509.SignatureAlgorithm
}

// CheckValue makes the checks of [Token.Verify] that do not change with time:
// imprint, extensions, the CMS signature, signing-certificate, the tsa field,
// the usage of the unit's certificate. No algorithm and no path is judged. more
// are searched for the unit's certificate beside the embedded ones. Errors:
// *[Error].
func (t *Token) CheckValue(imprint []byte, more []*x509.Certificate) (Judged, error) {
	var j Judged
	if err := t.checkImprint(imprint, t.Hash); err != nil {
		return j, err
	}
	if len(t.info.critical) > 0 {
		return j, errf(CodeExtension, "critical extension %v", t.info.critical[0])
	}
	cert, err := t.certificate(more)
	if err != nil {
		return j, err
	}
	if err := t.checkSigned(cert); err != nil {
		return j, err
	}
	if err := checkUsage(cert); err != nil {
		return j, err
	}
	si := &t.sd.SignerInfos[0]
	h, err := si.Hash()
	if err != nil {
		return j, wrap(CodeAlgorithm, err)
	}
	ids, err := si.CertIDs()
	if err != nil {
		return j, wrap(CodeCertificate, err)
	}
	alg, err := si.SignatureAlgorithm()
	if err != nil {
		return j, wrap(CodeAlgorithm, err)
	}
	return Judged{Certificate: cert, Hashes: []crypto.Hash{t.Hash, h, ids[0].Hash}, Algorithm: alg}, nil
}

// Embedded gives the certificates in the token that can be read.
func (t *Token) Embedded() []*x509.Certificate { return slices.Clone(t.embedded) }

// SignedData is the token as CMS, with what nobody signs: certificates,
// revocation data, unsigned attributes.
func (t *Token) SignedData() *cms.SignedData { return t.sd }
