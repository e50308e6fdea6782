package certs

import (
	"encoding/asn1"
	"encoding/hex"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// TestVectors holds our DER to specs/eidas.md §2.2, made there with Python and
// decoded with openssl asn1parse.
func TestVectors(t *testing.T) {
	pds := []PDS{{"https://pki.example.test/pds/en.pdf", "en"}}
	one := func(s cryptobyte.BuilderContinuation) []byte {
		var b cryptobyte.Builder
		s(&b)
		return b.BytesOrPanic()
	}
	value := func(oid asn1.ObjectIdentifier, crit bool, write cryptobyte.BuilderContinuation) []byte {
		e, err := newExtension(oid, crit, write)
		if err != nil {
			t.Fatal(err)
		}
		return e.value
	}
	// whole gives an extension of the table as a profile has it.
	whole := func(p Profile, oid asn1.ObjectIdentifier) []byte {
		for _, r := range table {
			if c, has := r.in[p]; has && r.oid.Equal(oid) {
				e, err := newExtension(r.oid, r.critical, func(b *cryptobyte.Builder) { c.write(b, &form{}) })
				if err != nil {
					t.Fatal(err)
				}
				return one(e.encode)
			}
		}
		t.Fatalf("%v is not in the table for %v", oid, p)
		return nil
	}
	five := "301506082b06010505070b023009060704008bec490101" + "3008060604008e460101" + "3008060604008e460104" +
		"3013060604008e4601063009060704008e46010601" +
		"3035060604008e460105302b3029162368747470733a2f2f706b692e6578616d706c652e746573742f7064732f656e2e7064661302656e"
	for name, tc := range map[string]struct {
		got  []byte
		want string
	}{
		"semantics natural": {one(statement(oidQcSemantics, oidSequence(oidSemanticsNatural))), "301506082b06010505070b023009060704008bec490101"},
		"QcCompliance":      {one(statement(oidQcCompliance, nil)), "3008060604008e460101"},
		"QcSSCD":            {one(statement(oidQcSSCD, nil)), "3008060604008e460104"},
		"QcType esign":      {one(statement(oidQcType, oidSequence(oidQcTypeESign))), "3013060604008e4601063009060704008e46010601"},
		"QcPDS":             {one(statement(oidQcPDS, pdsList(pds))), five[len(five)-110:]},
		"whole extnValue": {value(oidExtQcStatements, false, func(b *cryptobyte.Builder) {
			qcStatements(b, &form{Order: Order{Profile: NaturalPerson, LegalBasis: "a law", Publication: Publication{PDS: pds}}})
		}), "3077" + five},
		"policies":        {value(oidExtPolicies, false, func(b *cryptobyte.Builder) { policySequence(b, policy{PolicyQCPNaturalQSCD, ""}) }), "300b3009060704008bec400102"},
		"KU ext":          {whole(NaturalPerson, oidExtKeyUsage), "300e0603551d0f0101ff040403020640"},
		"KU ext one-time": {whole(OneTime, oidExtKeyUsage), "300e0603551d0f0101ff040403020640"},
		"validityAssured": {whole(OneTime, oidExtValidityAssured), "300d060704008bec49020104020500"},
		"noRevAvail":      {whole(OneTime, oidExtNoRevAvail), "30090603551d3804020500"},
		"ocsp-nocheck":    {whole(Responder, oidExtOCSPNoCheck), "300f06092b060105050730010504020500"},
		"EKU TSA":         {whole(TSU, oidExtEKU), "30160603551d250101ff040c300a06082b06010505070308"},
	} {
		if got := hex.EncodeToString(tc.got); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	if list, err := parseQcStatements(mustHex(t, "3077"+five)); err != nil || len(list) != 5 || !list[3].id.Equal(oidQcType) {
		t.Errorf("read back: %v %v", list, err)
	}
}

// TestVectorsInACertificate: the same bytes stand in an issued certificate,
// without semantics, because our serial numbers follow no scheme.
func TestVectorsInACertificate(t *testing.T) {
	p := newPKI(t, nil, nil)
	p.peoples.PDS = []PDS{{"https://pki.example.test/pds/en.pdf", "en"}}
	c := p.person(t, ecKey(t, p256).Public())
	want := map[string]string{
		"1.3.6.1.5.5.7.1.3": "3075" + "3008060604008e460101" + "3008060604008e460104" + "3013060604008e4601063009060704008e46010601" +
			"3035060604008e460105302b3029162368747470733a2f2f706b692e6578616d706c652e746573742f7064732f656e2e7064661302656e" +
			"3013060604008e4601083009060704008e46010803",
		"2.5.29.15": "03020640",
		"2.5.29.19": "", // absent
		"2.5.29.37": "",
		"2.5.29.17": "",
	}
	for _, e := range c.Extensions {
		w, listed := want[e.Id.String()]
		if !listed {
			continue
		}
		if got := hex.EncodeToString(e.Value); got != w {
			t.Errorf("%v: %s, want %s", e.Id, got, w)
		}
		if e.Critical != e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 15}) {
			t.Errorf("%v: critical is %v", e.Id, e.Critical)
		}
	}
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
