package tsa_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"os/exec"
	"testing"

	"github.com/digitorus/timestamp"
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/tsa"
)

// query is a TimeStampReq with everything that can be wrong in it.
type query struct {
	version int64
	hash    asn1.ObjectIdentifier
	digest  []byte
	policy  asn1.ObjectIdentifier
	nonce   *big.Int
	rest    func(*cryptobyte.Builder)
}

var sha256OID = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}

func goodQuery() query { return query{version: 1, hash: sha256OID, digest: make([]byte, 32)} }

func (q query) der(t testing.TB) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(q.version)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(q.hash) })
			b.AddASN1OctetString(q.digest)
		})
		if q.policy != nil {
			b.AddASN1ObjectIdentifier(q.policy)
		}
		if q.nonce != nil {
			b.AddASN1BigInt(q.nonce)
		}
		if q.rest != nil {
			q.rest(b)
		}
	})
	der, err := b.Bytes()
	check(t, err)
	return der
}

func TestRequestIsRead(t *testing.T) {
	digest := sha256.Sum256([]byte("document"))
	der, err := (&timestamp.Request{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true, TSAPolicyOID: testPolicy, Nonce: big.NewInt(4711),
	}).Marshal()
	check(t, err)
	r, f := tsa.ParseRequest(der)
	if f != nil {
		t.Fatal(f)
	}
	if !r.CertReq || r.Nonce.Int64() != 4711 || !r.Policy.Equal(testPolicy) || r.Imprint.Hash != crypto.SHA256 || !bytes.Equal(r.Imprint.Digest, digest[:]) {
		t.Errorf("%+v", r)
	}
}

func TestBadRequests(t *testing.T) {
	with := func(change func(*query)) []byte {
		q := goodQuery()
		change(&q)
		return q.der(t)
	}
	good := goodQuery().der(t)
	for name, tc := range map[string]struct {
		der  []byte
		want tsa.FailureInfo
	}{
		"empty":                {nil, tsa.BadDataFormat},
		"cut":                  {good[:len(good)-1], tsa.BadDataFormat},
		"trailing byte":        {append(bytes.Clone(good), 0), tsa.BadDataFormat},
		"not a sequence":       {[]byte{0x04, 0x01, 0x00}, tsa.BadDataFormat},
		"12 MB of BER":         {bytes.Repeat([]byte{0x30, 0x80}, 6<<20), tsa.BadDataFormat},
		"64 kB of BER":         {bytes.Repeat([]byte{0x30, 0x80}, 32<<10), tsa.BadDataFormat},
		"version 2":            {with(func(q *query) { q.version = 2 }), tsa.BadRequest},
		"SHA3-256":             {with(func(q *query) { q.hash = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 8} }), tsa.BadAlg},
		"unknown algorithm":    {with(func(q *query) { q.hash = asn1.ObjectIdentifier{1, 2, 3} }), tsa.BadAlg},
		"digest too short":     {with(func(q *query) { q.digest = q.digest[:31] }), tsa.BadDataFormat},
		"no digest":            {with(func(q *query) { q.digest = nil }), tsa.BadDataFormat},
		"huge nonce":           {with(func(q *query) { q.nonce = new(big.Int).Lsh(big.NewInt(1), 600) }), tsa.BadDataFormat},
		"certReq FALSE":        {with(func(q *query) { q.rest = func(b *cryptobyte.Builder) { b.AddASN1Boolean(false) } }), tsa.BadDataFormat},
		"certReq 01":           {with(func(q *query) { q.rest = func(b *cryptobyte.Builder) { b.AddBytes([]byte{1, 1, 1}) } }), tsa.BadDataFormat},
		"unknown member":       {with(func(q *query) { q.rest = func(b *cryptobyte.Builder) { b.AddASN1OctetString(nil) } }), tsa.BadDataFormat},
		"an extension":         {with(func(q *query) { q.rest = ext(false) }), tsa.UnacceptedExtension},
		"a critical extension": {with(func(q *query) { q.rest = ext(true) }), tsa.UnacceptedExtension},
	} {
		if _, f := tsa.ParseRequest(tc.der); f == nil || f.Info != tc.want {
			t.Errorf("%s: %v, want %v", name, f, tc.want)
		}
	}
}

func ext(critical bool) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 3})
				if critical {
					b.AddASN1Boolean(true)
				}
				b.AddASN1OctetString([]byte{5, 0})
			})
		})
	}
}

// TestRejectionsAreReadBack: by ourselves, and by openssl for every bit.
func TestRejectionsAreReadBack(t *testing.T) {
	for _, info := range []tsa.FailureInfo{
		tsa.BadAlg, tsa.BadRequest, tsa.BadDataFormat, tsa.TimeNotAvailable, tsa.UnacceptedPolicy,
		tsa.UnacceptedExtension, tsa.AddInfoNotAvailable, tsa.SystemFailure,
	} {
		der, err := tsa.EncodeRejected(&tsa.Failure{Info: info, Text: "because of " + info.String()})
		check(t, err)
		r, err := tsa.ParseResponse(der)
		if err != nil || r.Status != 2 || r.Info != info || r.Text != "because of "+info.String() || r.Token != nil {
			t.Errorf("%v: %+v %v", info, r, err)
		}
		dir := t.TempDir()
		write(t, dir, "reply", der)
		cmd := exec.Command("openssl", "ts", "-reply", "-in", "reply", "-text")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("Rejected")) || !bytes.Contains(out, []byte("because of "+info.String())) {
			t.Errorf("%v: %v\n%s", info, err, out)
		}
	}
}

func TestBadResponses(t *testing.T) {
	for name, h := range map[string]string{
		"empty": "", "no status": "3000", "trailing": "3005300302010000", "token of another kind": "300730030201000500",
		"status string of another kind": "300930070201023002040 0",
	} {
		der, _ := hex.DecodeString(h)
		if r, err := tsa.ParseResponse(der); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(goodQuery().der(f))
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 100))
	f.Fuzz(func(t *testing.T, der []byte) {
		r, failure := tsa.ParseRequest(der)
		if failure != nil {
			if failure.Info.String() == "" {
				t.Error("a failure that RFC 3161 does not have")
			}
			return
		}
		if len(r.Imprint.Digest) != r.Imprint.Hash.Size() {
			t.Error("a digest of another length")
		}
		if _, failure := tsa.ParseRequest(append(bytes.Clone(der), 0)); failure == nil {
			t.Error("a trailing byte is accepted")
		}
	})
}

func FuzzParseToken(f *testing.F) {
	u := newUnit(f)
	digest := sha256.Sum256([]byte("document"))
	f.Add(u.token(f, encode(f, info(digest[:]))))
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 100))
	o := u.good(digest[:])
	f.Fuzz(func(t *testing.T, der []byte) {
		tok, err := tsa.ParseToken(der)
		if err != nil {
			return
		}
		_ = tok.Verify(o)
		if _, err := tsa.ParseToken(append(bytes.Clone(der), 0)); err == nil {
			t.Error("a trailing byte is accepted")
		}
	})
}
