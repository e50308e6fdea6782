package validate_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
	"tekend/validate"
)

// TestABrokenSignatureProvesNoAge: a signature time-stamp is over the value; that
// the attributes are as old shows only when the value is over them. Else anybody
// could hang an answer of an expired responder, as part of a content-time-stamp,
// into an old signature, and it would be as old.
func TestABrokenSignatureProvesNoAge(t *testing.T) {
	w := newWorld(t, "P-256")
	data := w.data(t)
	data.OCSPs = nil
	answer := w.ocsp(t, says{at: w.at(1)}) // its responder's certificate ends after 30 days
	now := w.now.AddDate(0, 3, 0)
	carrier, err := cms.AddValidationData(w.token(t, sha(text), w.at(-2)), nil, [][]byte{answer}, nil)
	check(t, err)
	victim := withData(w.cades(t, nil), data)
	proven := victim
	proven.OCSPs = [][]byte{answer}
	want(t, w.askCMS(t, attached(t, proven), w.at(5), nil).Signatures[0], passed, "", "B-LT")
	want(t, w.askCMS(t, attached(t, proven), now, nil).Signatures[0], undecided, validate.RevocationOutOfBoundsNoPOE, "B-T")

	w.now = w.at(1)
	old := w.cades(t, nil) // whose value and token are really old
	forged := old
	forged.SignedAttrs = set(t, append(elements(t, old.SignedAttrs), attribute(t, cms.OIDContentTimeStamp, carrier)))
	raw := frame{content: text, attrs: forged.SignedAttrs, algorithm: ecdsaSHA256, value: old.Value, signers: 1,
		unsigned: [][]byte{attribute(t, cms.OIDSignatureTimeStamp, old.TimeStampToken)}}.der(t, w.leaf, w.issuing)
	both := joined(t, attached(t, victim).der, raw)
	for _, only := range [][]string{nil, {"#0"}} {
		rep := w.askCMS(t, file{der: both}, now, func(o *validate.Options) { o.Only = only })
		s := rep.Signatures[0]
		if s.Indication == passed || rep.Indication == passed {
			t.Errorf("%v: %v, %v %q", only, rep.Indication, s.Indication, s.Reasons)
		}
	}

	// Where the value is over the attributes, they are as old.
	digest := sha256.Sum256(forged.SignedAttrs)
	value, err := w.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	check(t, err)
	good := frame{content: text, attrs: forged.SignedAttrs, algorithm: ecdsaSHA256, value: value, signers: 1,
		unsigned: [][]byte{attribute(t, cms.OIDSignatureTimeStamp, w.token(t, sha(value), w.now))}}.der(t, w.leaf, w.issuing)
	rep := w.askCMS(t, file{der: joined(t, attached(t, victim).der, good)}, now, func(o *validate.Options) { o.Only = []string{"#0"} })
	want(t, rep.Signatures[0], passed, "", "B-T")
}

// joined puts the SignerInfos of others into a file.
func joined(t testing.TB, der []byte, others ...[]byte) []byte {
	t.Helper()
	kind, fields, set := signerInfos(t, der)
	for _, o := range others {
		_, _, more := signerInfos(t, o)
		set = slices.Concat(set, more)
	}
	return build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(kind)
			b.AddASN1(tagged(0), func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddBytes(fields)
					b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(set) })
				})
			})
		})
	})
}

// signerInfos takes a file apart: the content type, what stands before the
// SignerInfos, and these.
func signerInfos(t testing.TB, der []byte) (kind, fields, set []byte) {
	t.Helper()
	in := cryptobyte.String(der)
	var info, oid, explicit, sd, list cryptobyte.String
	if !in.ReadASN1(&info, casn1.SEQUENCE) || !info.ReadASN1Element(&oid, casn1.OBJECT_IDENTIFIER) ||
		!info.ReadASN1(&explicit, tagged(0)) || !explicit.ReadASN1(&sd, casn1.SEQUENCE) {
		t.Fatal("not a ContentInfo")
	}
	for !sd.Empty() {
		var one cryptobyte.String
		var tag casn1.Tag
		if !sd.ReadAnyASN1Element(&one, &tag) {
			t.Fatal("not a SignedData")
		}
		if sd.Empty() && !one.ReadASN1(&list, casn1.SET) {
			t.Fatal("no signerInfos")
		}
		fields = append(fields, one...)
	}
	return oid, fields, list
}
