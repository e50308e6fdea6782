package validate

import (
	"encoding/asn1"
	"strings"
	"time"

	"tekend/cms"
)

// forbidden are the attributes that a PAdES baseline signature does not have
// (EN 319 142-1 §6.3, as specs/ades.md §9.1 lists them).
var forbidden = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{cms.OIDSigningTime, "signing-time"}, {cms.OIDSignerLocation, "signer-location"}, {cms.OIDMimeType, "mime-type"},
	{cms.OIDContentHints, "content-hints"}, {cms.OIDContentIdentifier, "content-identifier"},
	{cms.OIDContentReference, "content-reference"}, {cms.OIDAdobeRevocationArchive, "adbe-revocationInfoArchival"},
}

// profile checks the rules of PAdES baseline and tells whether all hold.
func (it *item) profile(sd *cms.SignedData, si *cms.SignerInfo) bool {
	before := len(it.out.Reasons)
	breach := func(reason string, a ...any) {
		it.out.fail(Indeterminate, SigConstraintsFailure, "profile: "+reason, a...)
	}
	if it.sig.SubFilter != "ETSI.CAdES.detached" {
		breach("the SubFilter is %.40q, not ETSI.CAdES.detached", it.sig.SubFilter)
	}
	if it.sig.Type != "" && it.sig.Type != "Sig" {
		breach("the Type is not Sig")
	}
	if it.sig.Filter == "" {
		breach("Filter is absent")
	}
	if it.sig.HasCert {
		breach("/Cert is there")
	}
	if _, ok := pdfDate(it.sig.SigningTime); !ok {
		breach("/M is absent or not a date with seconds and offset")
	}
	if it.sig.HasReason && len(si.Values(cms.OIDSignaturePolicy))+len(si.Values(cms.OIDCommitmentType)) > 0 {
		breach("/Reason stands beside a commitment or a policy")
	}
	it.attributes(sd, si)
	return len(it.out.Reasons) == before
}

// attributes checks what PAdES baseline says of the CMS, and tells whether all
// holds.
func (it *item) attributes(sd *cms.SignedData, si *cms.SignerInfo) bool {
	before := len(it.out.Reasons)
	breach := func(reason string, a ...any) {
		it.out.fail(Indeterminate, SigConstraintsFailure, "profile: "+reason, a...)
	}
	if !sd.ContentType.Equal(cms.OIDData) {
		breach("the content type is not id-data")
	}
	for _, f := range forbidden {
		if len(si.Values(f.oid)) > 0 {
			breach("the signed attribute %s is there", f.name)
		}
	}
	for _, a := range si.Unsigned {
		// Nobody signed them. One that we cannot judge may have been meant to
		// be a time-stamp.
		if !a.Type.Equal(cms.OIDSignatureTimeStamp) {
			breach("the unsigned attribute %v is not known here", a.Type)
		}
	}
	if n := len(si.Values(cms.OIDSignaturePolicy)); n > 1 {
		breach("signature-policy-identifier is there %d times", n)
	}
	if ids, err := si.CertIDs(); err == nil && len(si.Values(cms.OIDSigningCertificate)) > 0 {
		breach("signing-certificate is version 1 (%v)", ids[0].Hash)
	}
	return len(it.out.Reasons) == before
}

// pdfDate reads a date as EN 319 142-1 and ISO 32000-2, 7.9.4 have it, with
// the seconds and the offset that make it a moment: D:YYYYMMDDHHmmSS and Z or
// an offset, the apostrophe after the minutes optional.
func pdfDate(s string) (time.Time, bool) {
	s, ok := strings.CutPrefix(s, "D:")
	if !ok || len(s) < 15 {
		return time.Time{}, false
	}
	s = s[:15] + strings.TrimSuffix(s[15:], "'")
	for _, layout := range []string{"20060102150405Z", "20060102150405-07'00", "20060102150405-07"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	// Z followed by zeros is the same moment.
	if s[14] == 'Z' && (s[15:] == "00'00" || s[15:] == "00") {
		t, err := time.Parse("20060102150405Z", s[:15])
		return t, err == nil
	}
	return time.Time{}, false
}
