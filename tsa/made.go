package tsa

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"

	"tekend/cms"
)

// Made is what a unit has put into a token, its value verified.
type Made struct {
	Info         Info
	Body         []byte // Info.Encode
	SignedAttrs  []byte
	Value        []byte
	Certificates []*x509.Certificate // embedded, the unit's first; none when they were not asked for
}

// Check reads a token before it leaves, and holds it to what was recorded and
// signed: byte for byte what the verified value is over, and in it just what
// info says. [Token.Verify] beside it would verify the value, and the path, a
// second time.
func (m Made) Check(der []byte) error {
	sd, err := cms.Parse(der, cms.Budget{Bytes: MaxToken})
	if err != nil {
		return err
	}
	if len(sd.SignerInfos) != 1 || !sd.ContentType.Equal(cms.OIDTSTInfo) {
		return errors.New("it is no time-stamp token")
	}
	si := sd.SignerInfos[0]
	if !bytes.Equal(sd.Content, m.Body) || !bytes.Equal(si.SignedAttrs, m.SignedAttrs) || !bytes.Equal(si.Value, m.Value) {
		return errors.New("it is not what was signed")
	}
	if !slices.EqualFunc(sd.Certificates, m.Certificates, func(der []byte, c *x509.Certificate) bool { return bytes.Equal(der, c.Raw) }) {
		return errors.New("its certificates are not those that were asked for")
	}
	i, err := readInfo(sd.Content)
	if err != nil {
		return err
	}
	if !i.says(m.Info) {
		return errors.New("it does not state what was recorded")
	}
	return nil
}

// says compares what two TSTInfo state.
func (i Info) says(o Info) bool {
	nonce := (i.Nonce == nil) == (o.Nonce == nil) && (i.Nonce == nil || i.Nonce.Cmp(o.Nonce) == 0)
	return nonce && i.Policy.Equal(o.Policy) && i.Imprint.Hash == o.Imprint.Hash && bytes.Equal(i.Imprint.Digest, o.Imprint.Digest) &&
		i.Serial.Cmp(o.Serial) == 0 && i.GenTime.Equal(o.GenTime) && i.Accuracy == o.Accuracy && i.Ordering == o.Ordering &&
		i.Qualified == o.Qualified && len(i.critical) == 0
}
