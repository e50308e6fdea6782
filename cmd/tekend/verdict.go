package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"tekend/validate"
)

// printReport says for people what --json says for programs.
func printReport(w io.Writer, path string, rep *validate.Report) {
	fmt.Fprintf(w, "%s: %s\n", oneLine(path), inWords(rep.Indication, rep.SubIndication))
	for _, r := range rep.Reasons {
		fmt.Fprintln(w, "  -", oneLine(r))
	}
	for _, n := range rep.Notes {
		fmt.Fprintln(w, "  note:", oneLine(n))
	}
	for i := range rep.Signatures {
		printSignature(w, &rep.Signatures[i], rep.ValidatedAt)
	}
}

// inWords is a verdict in the words of EN 319 102-1.
func inWords(i validate.Indication, sub string) string {
	if sub == "" {
		return i.String()
	}
	return fmt.Sprintf("%s (%s)", i, sub)
}

// mostArchives is how many archive time-stamps have a line each: with many
// signers, each of theirs stands at every signature before it.
const mostArchives = 3

func printSignature(w io.Writer, s *validate.SignatureReport, now time.Time) {
	line := func(name, format string, a ...any) {
		fmt.Fprintf(w, "    %-10s "+format+"\n", append([]any{name}, a...)...)
	}
	name := s.FieldName
	if n, isCMS := strings.CutPrefix(name, "#"); isCMS { // of a CMS, counted from 0: package validate
		name = "signature " + n
	}
	fmt.Fprintf(w, "  %s: %s\n", oneLine(cmp.Or(name, s.Kind)), inWords(s.Indication, s.SubIndication))
	if s.Kind == validate.KindTimeStamp {
		line("stamped by", "%s", oneLine(s.Signer))
	} else {
		line("signed by", "%s", oneLine(s.Signer))
		line("level", "%s", cmp.Or(s.Level, "none"))
	}
	switch {
	case s.BestTime.IsZero():
	case s.BestTime.Equal(now):
		line("best time", "%s, which is now: nothing proves an earlier one", moment(s.BestTime))
	default:
		line("best time", "%s", moment(s.BestTime))
	}
	if !s.SignedAt.IsZero() {
		line("claimed", "%s", moment(s.SignedAt))
	}
	if c := coverage(s); c != "" {
		line("coverage", "%s", c)
	}
	for _, t := range s.TimeStamps {
		line("time-stamp", "%s", stampInWords(t))
	}
	if n := len(s.ArchiveTimeStamps); n > mostArchives {
		line("archive", "%d time-stamps, the first %s, the last %s", n, stampInWords(s.ArchiveTimeStamps[0]), stampInWords(s.ArchiveTimeStamps[n-1]))
	} else {
		for _, t := range s.ArchiveTimeStamps {
			line("archive", "%s", stampInWords(t))
		}
	}
	said := map[string]bool{} // of one certificate the same may be known for the signature and for a time-stamp
	for _, r := range s.Revocation {
		if text := revocationInWords(r); !said[text] {
			said[text] = true
			line("revocation", "%s", text)
		}
	}
	for _, r := range s.Reasons {
		fmt.Fprintln(w, "    -", oneLine(r))
	}
	if s.SubIndication == validate.SignedDataNotFound {
		fmt.Fprintln(w, "    give the signed file with --detached")
	}
	for _, n := range s.Notes {
		fmt.Fprintln(w, "    note:", oneLine(n))
	}
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func stampInWords(t validate.TimeStampReport) string {
	text := fmt.Sprintf("%s by %s", moment(t.GenTime), oneLine(cmp.Or(t.Unit, "an unknown unit")))
	if !t.Verified {
		return strings.ToUpper("not verified") + ", " + text + ": " + oneLine(t.Reason)
	}
	return text
}

func revocationInWords(r validate.RevocationReport) string {
	text := fmt.Sprintf("%s: %s", oneLine(r.Subject), strings.ReplaceAll(r.State, "_", " "))
	if !r.RevokedAt.IsZero() {
		text += " since " + moment(r.RevokedAt)
	}
	if r.Kind == "" {
		return text
	}
	text += fmt.Sprintf(", %s of %s", strings.ToUpper(r.Kind), moment(r.ThisUpdate))
	if r.Source != "" {
		text += ", " + r.Source
	}
	return text
}

// oneLine shows text of the document or of a certificate as text: nothing in
// it may end the line, move the cursor or change the direction, and so write a
// verdict of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Z, r) && r != ' ' {
			return '\uFFFD'
		}
		return r
	}, s)
}

// changed says what later revisions did, by the words of pdf.ChangeLevel.
var changed = map[string]string{
	"none":         "nothing that matters was added after it",
	"lta_updates":  "only time-stamps and validation data were added after it",
	"form_filling": "forms were filled in or signatures added after it",
	"annotations":  "annotations were added after it",
}

// coverage says which part of the file a signature in a PDF is about; "" for a CMS of its own.
func coverage(s *validate.SignatureReport) string {
	switch {
	case s.SubIndication == validate.SignedDataNotFound:
		return ""
	case s.CoversWholeFile:
		return "the whole file"
	case s.LaterChanges && changed[s.Changes] != "":
		return "its revision; " + changed[s.Changes]
	case s.LaterChanges:
		return "its revision; the document was changed after this signature"
	case s.Coverage == "" && s.FieldName == "":
		return ""
	}
	return strings.ToUpper("not the whole file")
}
