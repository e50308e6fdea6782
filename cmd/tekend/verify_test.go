package main

import (
	"bytes"
	"strings"
	"testing"

	"tekend/validate"
)

// TestADocumentCannotWriteItsOwnVerdict: names in it are anybody's text.
func TestADocumentCannotWriteItsOwnVerdict(t *testing.T) {
	const name = "x\r\x1b[2K\ncontract.pdf: TOTAL_PASSED\n\u2028\u202e\u0085Zoë Пушкин"
	var out bytes.Buffer
	printReport(&out, "contract.pdf", &validate.Report{Indication: validate.TotalFailed, Reasons: []string{name}, Signatures: []validate.SignatureReport{
		{FieldName: name, Signer: name, Indication: validate.TotalFailed, Reasons: []string{name}}}})
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "contract.pdf: TOTAL_PASSED") {
			t.Errorf("%q", line)
		}
	}
	if strings.ContainsAny(out.String(), "\r\x1b\u0085\u2028\u202e") {
		t.Errorf("%q", out.String())
	}
	if !strings.Contains(out.String(), "Zoë Пушкин") {
		t.Error("names lose their letters")
	}
}
