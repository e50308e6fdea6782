package client

import (
	"context"
	"crypto"
	_ "crypto/sha256" // the three hashes of a preparation
	_ "crypto/sha512"
	"crypto/subtle"
	"io"
	"slices"
	"time"

	"tekend/pdf"
)

// Formats of signatures.
const (
	PAdES = "pades" // in the PDF
	CAdES = "cades" // detached, beside a document of any type
)

// levels from the lowest to the highest.
var levels = []string{"B-B", "B-T", "B-LT", "B-LTA"}

// atLeast says whether a level is this one or a higher one; an unknown one is neither.
func atLeast(level, least string) bool {
	return slices.Contains(levels, level) && slices.Index(levels, level) >= slices.Index(levels, least)
}

// hashes by the names of the API.
var hashes = map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}

// DefaultReserve is the space for the CMS, in bytes of DER. The signer's certificate, and with it the size, is not known
// before the person has confirmed, and a CMS that does not fit would cost a second confirmation. A certificate with two
// issuers of 3 kB each, the largest value, the attributes and a time-stamp of 15 kB with its own chain make 26 kB; a fifth
// of that is room. The space costs twice its size in the file.
const DefaultReserve = 32 << 10

// Options is what the caller of [Client.Prepare] decides.
type Options struct {
	// Format is PAdES (default) or CAdES.
	Format string
	// Level is B-B, B-T (default), B-LT or B-LTA.
	Level string
	// Hash is the name of the digest algorithm: SHA-256 (default), SHA-384 or SHA-512. The same for all of an order.
	Hash string
	// Label is what the signer's page and app call the document: all that the service hears of it beside the digest.
	// Default: none; the service makes one up.
	Label string
	// Field is the signature field, as in pdf.Options.FieldName. PAdES only.
	Field string
	// Reserve is the space for the CMS in bytes. Default DefaultReserve. PAdES only.
	Reserve int
}

// Preparation is a document with everything fixed that will be signed: plain data, to be kept (as JSON) until the product
// is there. It holds parts of the document's structure, so it is as confidential as the document.
type Preparation struct {
	Version int           `json:"v"`
	Format  string        `json:"format"`
	Level   string        `json:"level"`
	Hash    string        `json:"hash"`
	Label   string        `json:"label,omitempty"`
	Size    int64         `json:"size"`   // of the document, bytes
	Digest  []byte        `json:"digest"` // what goes to the service
	PDF     *pdf.Prepared `json:"pdf,omitempty"`
	// At is when it was prepared; /M of the signature dictionary.
	At time.Time `json:"at"`
}

// preparationVersion changes when the meaning of a kept preparation does.
const preparationVersion = 1

// Prepare reads the size bytes of the document once and asks nobody. A PDF gets space for its signature behind it, and the
// claimed time of its signature, which is now: who has no certificate yet gets one that is younger, so that [Client.Finish]
// will answer certificate_new, and the document has to be prepared and ordered once more. [Client.PrepareFor] spares that.
// Errors: bad_options, document.
func (c *Client) Prepare(ctx context.Context, document io.ReaderAt, size int64, o Options) (*Preparation, error) {
	return c.prepare(ctx, document, size, o, c.cfg.Now())
}

// plan is a preparation by these options, of which nothing is fixed yet.
func plan(o *Options) (*Preparation, error) {
	if o.Format == "" {
		o.Format = PAdES
	}
	if o.Level == "" {
		o.Level = "B-T"
	}
	if o.Hash == "" {
		o.Hash = "SHA-256"
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	switch {
	case hashes[o.Hash] == 0:
		return nil, errf(CodeBadOptions, "the hash is none of SHA-256, SHA-384, SHA-512")
	case !slices.Contains(levels, o.Level):
		return nil, errf(CodeBadOptions, "the level is none of B-B, B-T, B-LT, B-LTA")
	case o.Format != PAdES && o.Format != CAdES:
		return nil, errf(CodeBadOptions, "the format is neither pades nor cades")
	}
	return &Preparation{Version: preparationVersion, Format: o.Format, Level: o.Level, Hash: o.Hash, Label: o.Label}, nil
}

// prepare is Prepare with the time that is claimed.
func (c *Client) prepare(ctx context.Context, document io.ReaderAt, size int64, o Options, at time.Time) (*Preparation, error) {
	p, err := plan(&o)
	if err != nil {
		return nil, err
	}
	if size <= 0 {
		return nil, errf(CodeDocument, "the document has no bytes")
	}
	p.Size, p.At = size, at.UTC().Truncate(time.Second)
	h := hashes[o.Hash]
	in := &cancelled{ctx, document}
	if o.Format == CAdES {
		w := h.New()
		if _, err := io.CopyBuffer(w, sequential(in, size), make([]byte, copyBuffer)); err != nil {
			return nil, wrap(CodeDocument, "", err)
		}
		p.Digest = w.Sum(nil)
		return p, nil
	}
	p.PDF, err = pdf.Prepare(in, size, pdf.Options{SignatureTime: p.At, Reserve: o.Reserve, FieldName: o.Field, Hash: h, Budget: c.cfg.PDF})
	if err != nil {
		return nil, wrap(CodeDocument, "", err)
	}
	p.Digest = p.PDF.Digest
	return p, nil
}

// copyBuffer is large enough for the disk and small enough not to be noticed.
const copyBuffer = 256 << 10

// sequential hides WriterTo and ReadFrom, so that the buffer decides.
func sequential(r io.ReaderAt, size int64) io.Reader {
	return struct{ io.Reader }{io.NewSectionReader(r, 0, size)}
}

// check refuses a preparation that cannot have come from Prepare.
func (p *Preparation) check() error {
	if p == nil {
		return errf(CodeBadPreparation, "there is none")
	}
	h, known := hashes[p.Hash]
	switch {
	case p.Version != preparationVersion:
		return errf(CodeBadPreparation, "it is of another version of this package")
	case !known || len(p.Digest) != h.Size() || !slices.Contains(levels, p.Level) || p.Size <= 0:
		return errf(CodeBadPreparation, "a member makes no sense")
	case p.Format == CAdES && p.PDF == nil:
		return nil
	case p.Format != PAdES || p.PDF == nil || p.PDF.BaseSize != p.Size || subtle.ConstantTimeCompare(p.PDF.Digest, p.Digest) != 1:
		return errf(CodeBadPreparation, "its parts do not belong together")
	}
	return nil
}

// ordered is the level that the service is asked for. The time-stamp of B-LTA in a PDF is over the whole file, so that it is
// made here.
func (p *Preparation) ordered() string {
	if p.Format == PAdES && p.Level == "B-LTA" {
		return "B-LT"
	}
	return p.Level
}

// cancelled ends reading when the caller's context ends.
type cancelled struct {
	ctx context.Context
	r   io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (c *cancelled) ReadAt(b []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.ReadAt(b, off)
}
