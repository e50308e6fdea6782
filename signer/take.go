package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"tekend/consent"
	"tekend/pdf"
)

// digestAlgorithms are those of orders of digests, by the names of consent.
var digestAlgorithms = map[string]crypto.Hash{
	consent.SHA256: crypto.SHA256, consent.SHA384: crypto.SHA384, consent.SHA512: crypto.SHA512,
}

// hold makes the next revision of the document with this SHA-256 (or ordered digest) the matter of r alone.
func (r *Record) hold(sum []byte) {
	r.Holds = append(r.Holds, sum)
	slices.SortFunc(r.Holds, bytes.Compare) // in one order, so that two requests never wait for each other
}

// heldBy is ErrHeld with the name of who holds it, a request of the same client; or ErrContinues when that one has made the
// next revision: a second one over the old document would not have its signature.
func heldBy(h *HeldError) *Error {
	switch {
	case h.Request == "":
		return ErrHeld
	case h.Made:
		return ErrContinues.with("request " + h.Request + " has made the next revision of this document: go on with that one")
	}
	return ErrHeld.with("request " + h.Request + " makes the next revision of this document")
}

// takeDigests makes documents of bare digests, or of those that come later.
func (s *Service) takeDigests(rec *Record, o Order) error {
	if len(o.Digests) > s.cfg.MaxDocuments {
		return ErrManyDocuments
	}
	hash, known := digestAlgorithms[o.Digests[0].Algorithm]
	if !known {
		return ErrDigestAlg
	}
	later := len(o.Digests[0].Digest) == 0
	switch {
	case later && o.SignedOrder != "":
		return ErrOrder.with("it is over the digests, which come later: send it with them")
	case later:
		rec.Progress.Later = &Later{Exclusive: o.Exclusive}
	case rec.Progress.OneTime && rec.Progress.Format != CAdES:
		return ErrDigestEarly
	}
	for i, g := range o.Digests {
		n := i + 1
		switch {
		case later && len(g.Digest) > 0:
			return ErrDigest.with(fmt.Sprintf("digest %d is there and digest 1 is not: they come all together, now or later", n))
		case g.Algorithm != o.Digests[0].Algorithm:
			return ErrDigestAlg.with(fmt.Sprintf("digest %d is of another algorithm than digest 1", n))
		}
		if why := g.wrong(hash); why != "" && !later {
			return ErrDigest.with(fmt.Sprintf("digest %d %s", n, why))
		}
		name := g.Name
		if name == "" {
			name = fmt.Sprintf("document-%d", n)
		}
		doc, err := newDocument(name, n)
		if err != nil {
			return numbered(err, n)
		}
		doc.DigestAlgorithm, doc.Digest = g.Algorithm, g.Digest
		rec.Documents = append(rec.Documents, doc)
		if later {
			continue
		}
		if twice(rec.Documents) {
			return ErrTwice.with(fmt.Sprintf("digest %d was sent before", n))
		}
		if o.Exclusive {
			rec.hold(doc.Digest)
		}
	}
	return nil
}

// wrong says why a digest cannot be one of a document, "" if it can. Zeros and the digest of nothing come from programs that did
// not read what they wanted to hash.
func (g *OrderedDigest) wrong(h crypto.Hash) string {
	switch {
	case len(g.Digest) != h.Size():
		return fmt.Sprintf("has %d bytes; %s has %d", len(g.Digest), g.Algorithm, h.Size())
	case bytes.Equal(g.Digest, make([]byte, h.Size())):
		return "is all zeros"
	case bytes.Equal(g.Digest, h.New().Sum(nil)):
		return "is the one of an empty file"
	}
	return ""
}

// takeContinued makes documents of what finished requests have made. The bytes stay where they are: the new document is
// the old blob with the old updates behind it, so that no file is copied or read again whatever its size.
func (s *Service) takeContinued(ctx context.Context, rec *Record, o Order) error {
	if len(o.Continues) > s.cfg.MaxDocuments {
		return ErrManyDocuments
	}
	rec.Continues = true
	for i, c := range o.Continues {
		doc, err := s.continued(ctx, rec, c, i+1)
		if err != nil {
			return numbered(err, i+1)
		}
		rec.Documents = append(rec.Documents, doc)
		if twice(rec.Documents) {
			return ErrTwice.with(fmt.Sprintf("document %d was named before", i+1))
		}
		if _, err := s.inspect(ctx, rec, &doc); err != nil {
			return numbered(err, i+1)
		}
		rec.hold(doc.SHA256)
	}
	return nil
}

func (s *Service) continued(ctx context.Context, rec *Record, c Continued, n int) (Document, error) {
	if c.Document < 1 {
		return Document{}, ErrContinues
	}
	first, err := s.mine(ctx, rec.Client, Lookup{ID: c.Request, Work: c.Document})
	switch {
	case errors.Is(err, ErrUnknown):
		return Document{}, ErrContinues
	case err != nil:
		return Document{}, err
	}
	if first.State != Finished || c.Document > len(first.Documents) || first.Progress.Format == CAdES || first.Progress.Hashes {
		return Document{}, ErrContinues
	}
	old := &first.Documents[c.Document-1]
	doc, err := newDocument(old.Name, n)
	if err != nil {
		return doc, err
	}
	doc.Blob = old.Blob
	doc.Behind = slices.Concat(old.Behind, old.Work.Update)
	doc.Size = old.Size + int64(len(old.Work.Update))
	if k := old.Work.Prepared.Prefix(); k != nil {
		doc.Prefix, err = json.Marshal(k)
	} else {
		doc.Prefix = old.Prefix
	}
	if err == nil {
		doc.SHA256, err = s.sum(ctx, &doc)
	}
	return doc, err
}

// known is what was hashed of a document, by h; nil when nothing was.
func (d *Document) known(h crypto.Hash) *pdf.Prefix {
	var k pdf.Prefix
	if len(d.Prefix) == 0 || json.Unmarshal(d.Prefix, &k) != nil || k.Size > d.Size {
		return nil
	}
	switch {
	case k.Hash == h:
		return &k
	case h == crypto.SHA256 && len(k.SHA256) > 0:
		return &pdf.Prefix{Size: k.Size, Hash: crypto.SHA256, State: k.SHA256}
	}
	return nil
}

// sum is the SHA-256 of a document: of what is not known yet, it is read.
func (s *Service) sum(ctx context.Context, d *Document) ([]byte, error) {
	f, err := s.openBase(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if k := d.known(crypto.SHA256); k != nil && d.Size-k.Size <= maxRest {
		rest := make([]byte, d.Size-k.Size)
		if _, err := f.ReadAt(rest, k.Size); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read document: %w", err)
		}
		_, sum, err := pdf.Base{Size: k.Size, State: k.State, Before: rest}.Digests(crypto.SHA256)
		return sum, err
	}
	w := sha256.New()
	if _, err := io.Copy(w, f.reader()); err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	return w.Sum(nil), nil
}

// maxRest is how much of a document sum holds in memory: updates of signatures have some 100 kB.
const maxRest = 8 << 20

// openBase opens what a document was before this request: the blob and what stands behind it.
func (s *Service) openBase(ctx context.Context, d *Document) (*segments, error) {
	f, err := s.dep.Blobs.Open(ctx, d.Blob)
	if err != nil {
		return nil, fmt.Errorf("open document: %w", err)
	}
	return joined(f, d.Size-int64(len(d.Behind)), d.Behind), nil
}
