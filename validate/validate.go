package validate

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
	"tekend/tsa"
)

// Options says what a document is held against.
type Options struct {
	// Roots are the trust anchors of signers and of time-stamping units.
	Roots *x509.CertPool
	// At is the time of validation. Required.
	At time.Time
	// PDF and CMS limit the work; zero fields mean their defaults.
	PDF pdf.Budget
	CMS cms.Budget
	// MaxSignatures is how many signatures and document time-stamps are judged.
	// Default 64; with more, the verdict is INDETERMINATE.
	MaxSignatures int
	// Revocation answers for the status of certificates that the document's own
	// data does not prove. nil: nothing is fetched.
	Revocation Revoker
	// Material is more known data: certificates and status that the document does
	// not hold. It proves no level.
	Material pdf.Material
	// NoRevocation leaves the status of certificates out of the verdict, because
	// the caller proves it elsewhere; the report says so. Levels B-LT and B-LTA
	// are still recognised by what the document holds.
	NoRevocation bool
	// Only names the fields that are judged; empty: all. What else is in the
	// document still counts as a later change, as proof of time and as data.
	Only []string
}

// Revoker tells the status of cert, issued by issuer: by an answer or list
// issued at or after since, or, when since is zero, by one in force.
type Revoker interface {
	Status(ctx context.Context, cert, issuer *x509.Certificate, since time.Time) (*certs.Status, error)
}

// PDF judges every signature and document time-stamp in the size bytes of r.
// An error means that the document could not be read (a *pdf.Error) or the
// work was cut short; it is never "valid" and never "no signature".
func PDF(ctx context.Context, r io.ReaderAt, size int64, o Options) (*Report, error) {
	if o.MaxSignatures <= 0 {
		o.MaxSignatures = 64
	}
	if o.At.IsZero() {
		return nil, fmt.Errorf("validate: Options.At is missing")
	}
	in := &cancelled{ctx: ctx, r: r}
	list, err := pdf.Signatures(in, size, o.PDF)
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	rep := &Report{Signatures: []SignatureReport{}}
	for i := range list {
		if i >= o.MaxSignatures {
			rep.Indication, rep.SubIndication = Indeterminate, Generic
			rep.Reasons = append(rep.Reasons, fmt.Sprintf("only %d of %d signatures were looked at", i, len(list)))
			break
		}
		j := &judge{ctx: ctx, r: in, size: size, o: o, sig: list[i]}
		if err := j.run(); err != nil {
			return nil, err
		}
		rep.Signatures = append(rep.Signatures, j.out)
	}
	rep.conclude()
	return rep, nil
}

// cancelled ends reading when the caller's context ends.
type cancelled struct {
	ctx context.Context
	r   io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (c *cancelled) ReadAt(p []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.ReadAt(p, off)
}

// judge works on one signature.
type judge struct {
	ctx  context.Context
	r    io.ReaderAt
	size int64
	o    Options
	sig  pdf.Signature
	out  SignatureReport
}

func (j *judge) run() error {
	s := &j.out
	s.FieldName, s.SubFilter, s.Kind = j.sig.FieldName, j.sig.SubFilter, KindSignature
	s.CoversWholeFile = j.sig.CoversWholeFile
	s.LaterChanges = j.sig.RevisionEnd > 0 && j.sig.RevisionEnd < j.size
	s.SignedAt, _ = pdfDate(j.sig.SigningTime)
	for _, p := range j.sig.Problems {
		s.fail(TotalFailed, FormatFailure, "%s", strings.TrimPrefix(p.Error(), "pdf: "))
	}
	switch {
	case !j.sig.ContentsIsExactGap || j.sig.RevisionEnd == 0:
		s.fail(TotalFailed, FormatFailure, "coverage: the signed bytes are not a revision of the document around exactly this signature")
	case !s.CoversWholeFile:
		s.fail(Indeterminate, SigConstraintsFailure, "later_changes: the document was changed after this signature; only the signed revision is meant by it")
	}
	var err error
	if j.sig.Type == "DocTimeStamp" || j.sig.SubFilter == "ETSI.RFC3161" {
		s.Kind = KindTimeStamp
		err = j.documentTimeStamp()
	} else {
		err = j.signature()
	}
	s.conclude()
	return err
}

// documentTimeStamp judges a document time-stamp (EN 319 142-1 §5.4.3): a
// token over the bytes of ByteRange.
func (j *judge) documentTimeStamp() error {
	s := &j.out
	if j.sig.Type != "DocTimeStamp" || j.sig.SubFilter != "ETSI.RFC3161" {
		s.fail(Indeterminate, SigConstraintsFailure, "profile: DocTimeStamp and ETSI.RFC3161 do not stand together")
	}
	if j.sig.HasCert {
		s.fail(Indeterminate, SigConstraintsFailure, "profile: /Cert is there")
	}
	t, err := tsa.ParseToken(j.sig.CMS)
	if err != nil {
		s.fail(TotalFailed, FormatFailure, "time_stamp: %v", err)
		return nil
	}
	if t.Certificate != nil {
		s.Signer = t.Certificate.Subject.CommonName
	}
	if !j.sig.ContentsIsExactGap {
		return nil
	}
	digest, err := pdf.ByteRangeDigest(j.r, j.size, j.sig, t.Hash)
	if err != nil {
		return fmt.Errorf("hash document: %w", err)
	}
	err = t.Verify(tsa.VerifyOptions{Imprint: digest, Hash: t.Hash, Roots: j.o.Roots, At: j.o.At})
	if err != nil {
		i, sub := timeStampVerdict(err, true)
		s.fail(i, sub, "time_stamp: %v", err)
		return nil
	}
	s.BestTime = t.GenTime
	return nil
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
