package pdf

import (
	"bytes"
	"strings"
	"testing"
)

func stampOptions() Options { return Options{TimeStamp: true, Reserve: 64} }

// TestTimeStampTakesANewField: an empty field is for somebody's signature, whatever its seed values say.
func TestTimeStampTakesANewField(t *testing.T) {
	for _, c := range goodCases() {
		t.Run(c.name, func(t *testing.T) {
			p, whole := prepareBytes(t, c.pdf, stampOptions())
			if p.FieldName != "Timestamp1" {
				t.Errorf("field %q", p.FieldName)
			}
			up := string(whole[len(c.pdf):])
			if !strings.Contains(up, "<</Type/DocTimeStamp/Filter/Adobe.PPKLite/SubFilter/ETSI.RFC3161/ByteRange ") {
				t.Errorf("no time-stamp in\n%s", up)
			}
			checkDigest(t, p, whole)
			checkOffsets(t, whole, c.kind)
			checkQPDF(t, whole)
			sigs, err := signaturesOf(whole)
			if err != nil {
				t.Fatal(err)
			}
			s := sigs[len(sigs)-1]
			if s.Type != "DocTimeStamp" || s.SigningTime != "" || s.HasReference || s.Coverage != CoverageFile || len(s.Problems) > 0 {
				t.Errorf("%+v", s)
			}
			if err := OnlySigns(p.BaseSize, p.Update[:p.ContentsStart-p.BaseSize], p.Update[p.ContentsEnd-p.BaseSize:]); err == nil {
				t.Error("a time-stamp was taken for an update that only signs")
			}
		})
	}
}

func TestTimeStampNames(t *testing.T) {
	doc := classic(formSpec("[5 0 R 6 0 R]", "", "/Annots[5 0 R 6 0 R]", item{5, sigField("")}, item{6, strings.Replace(textField, "Text", "Timestamp1", 1)}))
	if p, _ := prepareBytes(t, doc, stampOptions()); p.FieldName != "Timestamp2" {
		t.Errorf("field %q", p.FieldName)
	}
	for name, want := range map[string]string{"Mine": "<nil>", "Approval": CodeBadSignatureField, "Timestamp1": CodeBadSignatureField, "a.b": CodeBadSignatureField} {
		o := stampOptions()
		o.FieldName = name
		if err := Check(bytes.NewReader(doc), int64(len(doc)), o); code(err) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestValidationDataIsNoChange: where a signature allows no change, a signature is refused, and a DSS dictionary and a
// time-stamp are not: ISO 32000-2, 12.8.2.2.
func TestValidationDataIsNoChange(t *testing.T) {
	n := 0
	for _, c := range badCases() {
		if c.code != CodeCertifiedNoChanges {
			continue
		}
		n++
		before, err := signaturesOf(c.pdf)
		if err != nil {
			t.Fatal(c.name, err)
		}
		whole := mustAdd(t, c.pdf, Material{Certificates: values("a")})
		p, whole := prepareBytes(t, whole, stampOptions())
		after, err := signaturesOf(whole)
		if err != nil || len(after) != len(before)+1 || after[len(after)-1].FieldName != p.FieldName {
			t.Errorf("%s: %d signatures, %v", c.name, len(after), err)
		}
		checkQPDF(t, whole)
	}
	if n < 3 {
		t.Errorf("only %d documents allow no change", n)
	}
}

// TestTimeStampsFollowTheLock: our own signature in a field whose lock allows nothing more can be kept valid.
func TestTimeStampsFollowTheLock(t *testing.T) {
	doc := classic(formSpec("[6 0 R]", "", "/Annots[6 0 R]", item{6, sigField("/Lock<</Type/SigFieldLock/Action/All/P 1>>")}))
	_, signed := prepareBytes(t, doc, options())
	if err := Check(bytes.NewReader(signed), int64(len(signed)), options()); code(err) != CodeCertifiedNoChanges {
		t.Errorf("a second signature: %v", err)
	}
	stamped := mustAdd(t, signed, Material{Certificates: values("a")})
	for range 3 {
		_, stamped = prepareBytes(t, stamped, stampOptions())
	}
	sigs, err := signaturesOf(stamped)
	if err != nil || len(sigs) != 4 {
		t.Fatal(len(sigs), err)
	}
	for _, s := range sigs {
		if len(s.Problems) > 0 {
			t.Errorf("%s: %v", s.FieldName, s.Problems)
		}
	}
}
