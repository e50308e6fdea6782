//go:build interop

package twins

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// twins are all damaged files.
func (w *world) twins(t testing.TB, p *products) []twin {
	t.Helper()
	return slices.Concat(w.pdfTwins(t, p), w.cmsTwins(t, p), w.tokenTwins(t, p), w.dataTwins(t, p))
}

// line of a table: the classes of twins that it is about, as an expression; a
// piece of our reasons (or of a twin's name, in harmless); and why.
type line struct{ class, piece, why string }

func find(table []line, class, words string) (line, bool) {
	for _, l := range table {
		if regexp.MustCompile("^("+l.class+")$").MatchString(class) && strings.Contains(words, l.piece) {
			return l, true
		}
	}
	return line{}, false
}

// places of a PDF outside of the person's ranges, in a B-LTA.
const (
	later   = "body|field|page content|signature dictionary|trailer|ByteRange|data dictionary|data stream|gap|startxref|cross-references"
	anyData = "data dictionary|data stream|field"
)

// why is the table of what we are stricter with than EU DSS.
var why = []line{
	// DSS says TOTAL_PASSED of the signature whatever becomes of the document time-stamp behind it.
	{later, "document_time_stamp  | time_stamp: tsa: imprint", "DSS: the document time-stamp is over something else, and the signature passes as LTA"},
	{later, "time_stamp: tsa: imprint", "the same, besides other objections"},
	{"document time-stamp: .*", "document_time_stamp  | time_stamp: tsa: ", "DSS: a forged document time-stamp takes nothing from its verdict; a document with one does not pass here"},
	{"document time-stamp: (unit|genTime)", "document_time_stamp  | time_stamp: ", "the same: the unit is nobody's, expired, not for time-stamps, or the time is impossible"},
	{"archive time-stamp: .*", "archive_time_stamp: ", "DSS: a forged archive time-stamp takes nothing from its verdict"},
	{"signature time-stamp: .*", "time_stamp: ", "DSS: passes as if there were no time-stamp; one that does not verify is never overlooked here"},

	// Bytes around the document.
	{"bytes after EOF", "bytes_behind_eof", "DSS reads past what stands behind the end"},
	{"bytes after EOF|startxref|end of file|cut tail|cross-references|trailer|gap|body", "not readable: ", "DSS repairs the file; what is read without its cross-references can be read in two ways"},
	{"cut tail|ByteRange", "bad_byte_range", "the last range leaves the file, or does not begin where it must"},
	{"ByteRange", "not_exact_gap", "the gap is not the token of Contents"},
	{"padding", "trailing_contents", "DSS passes other padding than zeros"},
	{"padding|gap", "bad_contents", "Contents are not pairs of digits in one token"},

	// Later revisions.
	{"page content replaced", "later_changes: ", "DSS warns: a later revision shows another page"},
	{"annotation added", "later_changes: ", "DSS passes annotations that cover the page"},
	{"dictionary spoofed", "not_exact_gap", "DSS: a copy of the dictionary elsewhere, which the ranges are not around"},
	{anyData + "|body|trailer|signature dictionary", "later_changes: ", "DSS: a later revision whose data, form or tables are not of the form that the list of changes has"},

	// CMS.
	{"CMS frame", "not_signed_data", "DSS does not look at the type of the frame"},
	{"CMS version", "version", "RFC 5652 §5.1 says which version there is; DSS does not look"},
	{"CMS SignerInfos", "not exactly one", "PAdES has one signer; DSS takes the first"},
	{"CMS SignerInfos", "the same token stands elsewhere too", "one signature there twice"},
	{"CMS certificates", "archive_index", "what the archive time-stamp's index names was changed: DSS warns"},
	{"CMS signatureAlgorithm", "archive_mismatch", "what the archive time-stamp covers was changed: DSS overlooks it"},
	{"CMS unsigned attributes", "profile: the unsigned attribute", "an attribute that nobody signed and nobody knows"},
	{"CMS unsigned attributes", "time_stamp: tsa: malformed", "a time-stamp that is none is not overlooked"},
	{"signed attribute, signed", "signing-certificate", "without the one signing-certificate nobody knows whose signature it is (EN 319 122-1 §5.2.2)"},
	{"signed attribute, signed", "not sorted", "two equal attributes are no SET in DER"},
	{"signed attribute, signed", "profile: the signed attribute", "EN 319 142-1 §6.3 forbids it"},
	{"certificate substituted", "certificate path, certificate 0", "the key is for something else than documents: DSS's default policy does not ask for extended key usages"},

	// Revocation data.
	{"revocation data", "too old", "data from before the signature says nothing about it (decision 0024); DSS takes it"},
	{"revocation data", "newer than it is proven to be", "DSS: data of the future"},
	{"revocation data", "(responder)", "DSS takes an answer by a certificate of the chain that is not for OCSP"},
	{"revocation data", "the certificate was revoked", "DSS takes the newest good answer, and no time-stamping unit's revocation for an obstacle"},
}

// harmless are twins that pass with both judges: the piece is one of the twin's name.
var harmless = []line{
	{"empty update", "no object", "a revision that says nothing"},
	{"dictionary spoofed", "an object that is not used", "nothing leads to it"},
	{"signed attribute, signed", "protection removed", "the signer himself left out what RFC 6211 recommends"},
	{"signed attribute, signed", "protection under another type", "the same"},
	{"signed attribute, signed", "unknown one added", "the signer himself signed it"},
	{"CMS digestAlgorithms", "twice", "a hint that nobody relies on (RFC 5652 §5.1)"},
	{"CMS digestAlgorithms", "SHA-1 beside", "the same"},
	{"CMS certificates", "twice", "a bag of certificates, which nobody signed"},
	{"CMS certificates", "other order", "the same"},
	{"CMS certificates", "a stranger's beside", "the same"},
	{"CMS signatureAlgorithm", "B-T, with parameters", "NULL where RFC 5758 has nothing: many wrote it"},
	{"CMS unsigned attributes", "empty set", "the time-stamps are gone, and both say B-B"},
	{"(signature|document|archive) time-stamp: policy", "changed", "signed by the unit: it is its own policy"},
	{"(signature|document|archive) time-stamp: serial", "", "signed by the unit: it is its own number"},
	{"(signature|document|archive) time-stamp: nonce", "changed", "signed by the unit: only who asked knows the nonce"},
	{"revocation data", "no certificates", "the signature and the token have them"},
	{"revocation data", "cut-off", "a certificate that has not expired is within it"},
	{"revocation data", "CRL revokes the responder", "id-pkix-ocsp-nocheck: nobody asks about it (RFC 6960 §4.2.2.2.1)"},
}

// behind are the classes in which a signature passes with us at a higher level
// than with DSS, while the file does not pass: what was proven of a signature is
// not taken from it by a forged time-stamp behind it (decision 0024).
var behind = []line{{"document time-stamp: .*", "document_time_stamp", "DSS takes the forged time, or cannot read the file"}}
