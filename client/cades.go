package client

import (
	"bytes"
	"context"
	"crypto/subtle"
	"io"

	"tekend/validate"
)

// finishCAdES judges a detached signature over the document; the service has raised it already.
func (c *Client) finishCAdES(ctx context.Context, document *cancelled, p *Preparation, got *Product) (*Signed, error) {
	if err := p.unchangedData(document); err != nil {
		return nil, err
	}
	who, err := c.prove(p, got)
	if err != nil {
		return nil, err
	}
	rep, err := validate.CMS(ctx, bytes.NewReader(got.CMS), int64(len(got.CMS)), validate.Data{Reader: document, Size: p.Size}, c.options(p, latest(c.cfg.Now(), who.time)))
	if err != nil {
		return nil, wrap(CodeBadProduct, "our own check", err)
	}
	return conclude(&Signed{Signature: got.CMS, Signer: who.signer, Time: who.time, Report: rep}, p)
}

// unchangedData reads a document that is not prepared but by its digest, and tells whether it is still that.
func (p *Preparation) unchangedData(document io.ReaderAt) error {
	w := hashes[p.Hash].New()
	if _, err := io.CopyBuffer(w, sequential(document, p.Size), make([]byte, copyBuffer)); err != nil {
		return wrap(CodeDocument, "", err)
	}
	if subtle.ConstantTimeCompare(w.Sum(nil), p.Digest) != 1 {
		return errf(CodeDocumentChanged, "its digest is another one")
	}
	return nil
}
