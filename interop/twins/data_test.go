//go:build interop

package twins

import (
	"crypto/rand"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
)

// wrong is validation data with one defect.
type wrong struct {
	name   string
	change func(m *pdf.Material)
}

func flipped(b []byte) []byte {
	out := slices.Clone(b)
	out[len(out)-1] ^= 1
	return out
}

// wrongData are the defects of revocation data for the signer of a B-LT.
func (w *world) wrongData(t testing.TB, who person) []wrong {
	answer := func(change func(*certs.SingleStatus)) func(*pdf.Material) {
		return func(m *pdf.Material) { m.OCSPs = [][]byte{w.ocsp(t, who.leaf, change)} }
	}
	list := func(m *pdf.Material, der []byte) { m.CRLs = [][]byte{der} }
	revoked := func(serial *x509.Certificate) certs.Revoked {
		return certs.Revoked{Serial: serial.SerialNumber, At: time.Now().Add(-time.Hour), Reason: 1}
	}
	now := time.Now()
	strangers := certs.Issuer{Cert: w.stranger.cert, Signer: w.stranger.key}
	own := func(r ocsp.Response, by *x509.Certificate, key person) func(*pdf.Material) {
		return func(m *pdf.Material) {
			r.SerialNumber, r.ThisUpdate, r.NextUpdate, r.Certificate = who.leaf.SerialNumber, now, now.Add(time.Hour), by
			der, err := ocsp.CreateResponse(w.issuing, by, r, key.key)
			check(t, err)
			m.OCSPs = [][]byte{der}
		}
	}
	return []wrong{
		{"no OCSP", func(m *pdf.Material) { m.OCSPs = nil }},
		{"no CRL", func(m *pdf.Material) { m.CRLs = nil }},
		{"nothing", func(m *pdf.Material) { m.OCSPs, m.CRLs = nil, nil }},
		{"no certificates", func(m *pdf.Material) { m.Certificates = m.Certificates[:1] }},
		{"OCSP for another certificate", func(m *pdf.Material) { m.OCSPs = [][]byte{w.ocsp(t, w.pss.leaf, nil)} }},
		{"OCSP for the issuing ca", func(m *pdf.Material) { m.OCSPs = [][]byte{w.ocsp(t, w.issuing, nil)} }},
		{"OCSP of before", answer(func(s *certs.SingleStatus) {
			s.ThisUpdate, s.NextUpdate = now.Add(-6*time.Hour), now.Add(6*time.Hour)
		})},
		{"OCSP of before, expired", answer(func(s *certs.SingleStatus) {
			s.ThisUpdate, s.NextUpdate = now.Add(-26*time.Hour), now.Add(-14*time.Hour)
		})},
		{"OCSP of tomorrow", answer(func(s *certs.SingleStatus) {
			s.ThisUpdate, s.NextUpdate = now.Add(24*time.Hour), now.Add(36*time.Hour)
		})},
		{"OCSP says revoked", answer(func(s *certs.SingleStatus) {
			s.State, s.RevokedAt, s.Reason = certs.StatusRevoked, now.Add(-time.Hour), 1
		})},
		{"OCSP says unknown", answer(func(s *certs.SingleStatus) { s.State = certs.StatusUnknown })},
		{"OCSP with a cut-off before", answer(func(s *certs.SingleStatus) { s.ArchiveCutoff = now.Add(-time.Hour) })},
		{"OCSP with another value", func(m *pdf.Material) { m.OCSPs[0] = brokenAnswer(t, m.OCSPs[0]) }},
		{"OCSP cut", func(m *pdf.Material) { m.OCSPs[0] = []byte{0x30, 3, 10, 1, 0} }},
		{"OCSP by the signer himself", own(ocsp.Response{Status: ocsp.Good}, who.leaf, who)},
		{"OCSP by the unit", own(ocsp.Response{Status: ocsp.Good}, w.unit, person{key: w.unitKey})},
		{"OCSP by a stranger", own(ocsp.Response{Status: ocsp.Good}, w.stranger.cert, person{key: w.stranger.key})},
		{"OCSP in the place of the CRL", func(m *pdf.Material) { m.CRLs = m.OCSPs }},
		{"CRL in the place of the OCSP", func(m *pdf.Material) { m.OCSPs = m.CRLs }},
		{"swapped", func(m *pdf.Material) { m.OCSPs, m.CRLs = m.CRLs, m.OCSPs }},
		{"CRL with another value", func(m *pdf.Material) { m.CRLs[0] = flipped(m.CRLs[0]) }},
		{"CRL expired", func(m *pdf.Material) { list(m, w.list(t, w.byRoot(), now.Add(-20*time.Hour), now.Add(-10*time.Hour))) }},
		{"CRL of tomorrow", func(m *pdf.Material) { list(m, w.list(t, w.byRoot(), now.Add(24*time.Hour), now.Add(48*time.Hour))) }},
		{"CRL by a stranger", func(m *pdf.Material) { list(m, w.strangersList(t, strangers)) }},
		{"CRL of the issuing ca", func(m *pdf.Material) { list(m, w.list(t, w.byCA(), now, now.Add(time.Hour))) }},
		{"CRL revokes the issuing ca", func(m *pdf.Material) { list(m, w.list(t, w.byRoot(), now, now.Add(time.Hour), revoked(w.issuing))) }},
		{"CRL revokes the unit", func(m *pdf.Material) { list(m, w.list(t, w.byRoot(), now, now.Add(time.Hour), revoked(w.unit))) }},
		{"CRL revokes the signer, OCSP is older and good", func(m *pdf.Material) {
			m.CRLs = append(m.CRLs, w.list(t, w.byCA(), now.Add(time.Minute), now.Add(time.Hour), revoked(who.leaf)))
		}},
		{"CRL revokes the signer, OCSP is newer and good", func(m *pdf.Material) {
			m.CRLs = append(m.CRLs, w.list(t, w.byCA(), now.Add(-time.Minute), now.Add(time.Hour), revoked(who.leaf)))
		}},
		{"CRL revokes the responder", func(m *pdf.Material) {
			m.CRLs = append(m.CRLs, w.list(t, w.byCA(), now, now.Add(time.Hour), revoked(w.responder.Cert)))
		}},
	}
}

// brokenAnswer changes the value of an answer and not the certificate behind it.
func brokenAnswer(t testing.TB, der []byte) []byte {
	t.Helper()
	n := tree(t, der)
	octets := n.inner[1].inner[0].inner[1]
	basic := tree(t, octets.value)
	v := basic.inner[2].value
	v[len(v)-1] ^= 1
	octets.value = basic.der()
	return n.der()
}

// strangersList is a list under the root's name by a stranger's key.
func (w *world) strangersList(t testing.TB, by certs.Issuer) []byte {
	t.Helper()
	issuer := *w.root
	issuer.PublicKey = by.Cert.PublicKey
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: serial(), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}, &issuer, by.Signer)
	check(t, err)
	return der
}

// dataTwins have their data in the DSS dictionary, not archived and archived, or
// in CAdES.
func (w *world) dataTwins(t testing.TB, p *products) []twin {
	t.Helper()
	var out []twin
	bt := p.bt["P-256"]
	for _, d := range w.wrongData(t, w.p256) {
		m := clone(w.data(t, w.p256))
		d.change(&m)
		lt := store(t, bt, m)
		out = append(out, twin{class: "revocation data", name: "B-LT, " + d.name, file: lt, of: w.p256})
		if !slices.Contains([]string{"OCSP in the place of the CRL", "CRL in the place of the OCSP", "swapped", "OCSP cut"}, d.name) {
			lta := archive(t, lt, func(b []byte) []byte { return w.token(t, b) })
			out = append(out, twin{class: "revocation data", name: "B-LTA, " + d.name, file: lta, of: w.p256})
			parts := w.cadesLT(t, w.p256, w.genuine(t))
			parts.ExtraCertificates, parts.OCSPs, parts.CRLs = m.Certificates, m.OCSPs, m.CRLs
			if der, err := cms.Assemble(parts); err == nil {
				out = append(out, twin{class: "revocation data", name: "CAdES LT, " + d.name, file: der, content: w.content, of: w.p256})
			}
		}
	}
	return out
}
