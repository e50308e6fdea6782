package tsa_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"tekend/cms"
	"tekend/tsa"
)

// TestWhatAUnitMadeIsWithheldWhenItIsNotThat: one difference each, between the token and what was recorded and signed.
func TestWhatAUnitMadeIsWithheldWhenItIsNotThat(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	good := func() tsa.Made {
		m := tsa.Made{Info: info(digest[:]), Certificates: []*x509.Certificate{u.cert}}
		m.Body = encode(t, m.Info)
		sum := sha256.Sum256(m.Body)
		var err error
		m.SignedAttrs, err = cms.ContentAttributes(cms.OIDTSTInfo, sum[:], u.cert)
		check(t, err)
		dtbs := sha256.Sum256(m.SignedAttrs)
		m.Value, err = u.key.Sign(rand.Reader, dtbs[:], crypto.SHA256)
		check(t, err)
		return m
	}
	m := good()
	der, err := cms.EncodeToken(m.Body, cms.Parts{SignedAttrs: m.SignedAttrs, Value: m.Value, Certificate: u.cert}, true)
	check(t, err)
	check(t, m.Check(der))
	tok, err := tsa.ParseToken(der)
	check(t, err)
	check(t, tok.Verify(u.good(digest[:])))
	other := sha256.Sum256([]byte("another"))
	for name, change := range map[string]func(*tsa.Made){
		"body":           func(m *tsa.Made) { m.Body = encode(t, info(other[:])) },
		"attributes":     func(m *tsa.Made) { m.SignedAttrs = append([]byte(nil), m.SignedAttrs[:len(m.SignedAttrs)-1]...) },
		"value":          func(m *tsa.Made) { m.Value = good().Value },
		"no certificate": func(m *tsa.Made) { m.Certificates = nil },
		"another one":    func(m *tsa.Made) { m.Certificates = []*x509.Certificate{u.root} },
		"one more":       func(m *tsa.Made) { m.Certificates = append(m.Certificates, u.root) },
		"policy":         func(m *tsa.Made) { m.Info.Policy = append(m.Info.Policy[:3:3], 5) },
		"imprint":        func(m *tsa.Made) { m.Info.Imprint.Digest = other[:] },
		"serial number":  func(m *tsa.Made) { m.Info.Serial = big.NewInt(78) },
		"genTime":        func(m *tsa.Made) { m.Info.GenTime = m.Info.GenTime.Add(time.Millisecond) },
		"accuracy":       func(m *tsa.Made) { m.Info.Accuracy = time.Second },
		"ordering":       func(m *tsa.Made) { m.Info.Ordering = true },
		"nonce":          func(m *tsa.Made) { m.Info.Nonce = big.NewInt(4712) },
		"no nonce":       func(m *tsa.Made) { m.Info.Nonce = nil },
		"qualified":      func(m *tsa.Made) { m.Info.Qualified = true },
	} {
		m := m
		change(&m)
		if m.Check(der) == nil {
			t.Errorf("%s: the token leaves", name)
		}
	}
	if m.Check(der[:len(der)-1]) == nil || m.Check(nil) == nil {
		t.Error("what is no token leaves")
	}
}
