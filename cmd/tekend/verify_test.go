package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

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

// TestManyArchiveTimeStampsAreOneLine: of 64 signers at B-LTA the first signature
// has 64 of them.
func TestManyArchiveTimeStampsAreOneLine(t *testing.T) {
	for n, lines := range map[int]int{0: 0, 1: 1, 3: 3, 4: 1, 64: 1} {
		s := validate.SignatureReport{Kind: validate.KindSignature}
		for i := range n {
			s.ArchiveTimeStamps = append(s.ArchiveTimeStamps, validate.TimeStampReport{Verified: true, Unit: "U", GenTime: time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)})
		}
		var out bytes.Buffer
		printReport(&out, "x", &validate.Report{Signatures: []validate.SignatureReport{s}})
		if got := strings.Count(out.String(), "    archive "); got != lines {
			t.Errorf("%d time-stamps: %d lines\n%s", n, got, out.String())
		}
		if n == 64 && !strings.Contains(out.String(), "64 time-stamps, the first 2026-01-01T00:00:00Z by U, the last 2026-01-01T00:01:03Z by U") {
			t.Error(out.String())
		}
	}
}
