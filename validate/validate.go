package validate

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
)

// MaxSignatures is how many signatures and document time-stamps of one document
// are judged when the options do not say: 64 signers at B-LTA. The work grows with its square and
// more: some seconds here, where all signatures are held against all later revisions.
const MaxSignatures = 128

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
	// Default MaxSignatures; with more, the oldest (of a CMS file the first) are
	// judged, without what the others prove, and the verdict is INDETERMINATE.
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
	// document still counts as a later change, as proof of time and as data. The
	// report's verdict is then on those fields alone, and a note says so.
	Only []string
}

// Revoker tells the status of cert, issued by issuer: by an answer or list
// issued at or after since, or, when since is zero, by one in force.
type Revoker interface {
	Status(ctx context.Context, cert, issuer *x509.Certificate, since time.Time) (*certs.Status, error)
}

// PDF judges every signature and document time-stamp in the size bytes of r. An
// error means that the document could not be read (a *pdf.Error) or the work
// was cut short; it is never "valid" and never "no signature".
func PDF(ctx context.Context, r io.ReaderAt, size int64, o Options) (*Report, error) {
	if o.MaxSignatures <= 0 {
		o.MaxSignatures = MaxSignatures
	}
	if o.At.IsZero() {
		return nil, fmt.Errorf("validate: Options.At is missing")
	}
	in := &cancelled{ctx: ctx, r: r}
	list, err := pdf.Signatures(in, size, o.PDF)
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	rep := &Report{Signatures: []SignatureReport{}, NoRevocation: o.NoRevocation, ValidatedAt: o.At}
	if len(list) > o.MaxSignatures {
		rep.worse(Indeterminate, Generic)
		rep.Reasons = append(rep.Reasons, fmt.Sprintf("only the oldest %d of %d signatures were looked at", o.MaxSignatures, len(list)))
		list = list[:o.MaxSignatures]
	}
	d := &document{ctx: ctx, r: in, size: size, o: o, e: newEvidence(o)}
	if err := d.all(list); err != nil {
		return nil, err
	}
	d.report(rep)
	return rep, nil
}

// all does the work in the order of EN 319 102-1 §5.6: what the document is and
// holds, what is proven about its age, then each signature.
func (d *document) all(list []pdf.Signature) error {
	if err := d.gather(list); err != nil {
		return err
	}
	if err := d.proofs(); err != nil {
		return err
	}
	for _, it := range d.items {
		if !it.judged {
			continue
		}
		if err := d.judge(it); err != nil {
			return err
		}
	}
	if err := d.changes(); err != nil {
		return err
	}
	for _, it := range d.items {
		it.out.conclude()
	}
	return nil
}

// report puts together what was found about the document.
func (d *document) report(rep *Report) {
	missing := map[string]bool{}
	for _, name := range d.o.Only {
		missing[name] = true
	}
	for _, it := range d.items {
		if it.judged {
			delete(missing, it.sig.FieldName)
			rep.Signatures = append(rep.Signatures, it.out)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		rep.worse(Indeterminate, Generic)
		rep.Reasons = append(rep.Reasons, fmt.Sprintf("there is no signed field %q among those that were looked at", name))
	}
	if judged := len(rep.Signatures); judged < len(d.items) {
		rep.Notes = append(rep.Notes, fmt.Sprintf("only %d of %d signatures and time-stamps were judged, as asked", judged, len(d.items)))
	}
	if d.e.full {
		rep.Notes = append(rep.Notes, "there are more certificates or answers than are looked at")
	}
	rep.Notes = append(rep.Notes, d.notes...)
	rep.conclude()
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
