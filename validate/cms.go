package validate

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"tekend/cms"
)

// SignedDataNotFound: the content that was signed is not at hand (EN 319 102-1,
// table 6).
const SignedDataNotFound = "SIGNED_DATA_NOT_FOUND"

// Limits of what one CMS may make us look at, beside those of evidence.go.
const (
	maxArchives   = 64        // archive time-stamps in the whole file
	maxArchived   = 512 << 20 // bytes that they are over, all together; each hashes what is beside the content
	maxFileStamps = 128       // time-stamps in the whole file: each is a signature to verify
)

// Data is the content of a detached signature: the bytes, or their digests. For
// an attached one it is the zero value.
type Data struct {
	Reader io.ReaderAt
	Size   int64
	// Digests is for who has only those. A signature whose digest is not among
	// them cannot be judged.
	Digests map[crypto.Hash][]byte
	// PDF: the signature is the CMS of a PDF signature, and Digests are of what its
	// ByteRange covers. So it must keep to PAdES baseline and not to CAdES; what
	// only the PDF can show is not judged.
	PDF bool
}

func (d Data) none() bool { return d.Reader == nil && len(d.Digests) == 0 }

// signatures is the work on one CMS file. Its items are its SignerInfos, each
// with a SignedData of its own that has only that one.
type signatures struct {
	document
	list   []*signer
	holds  []id            // certificates and answers of the SignedData itself
	inside map[*token][]id // what a token is and holds
	pdf    bool            // Data.PDF
	// archives counts the archive time-stamps of the file, of which there may be most.
	archives, most int
}

// signer is one SignerInfo.
type signer struct {
	*item
	archives []*archive
	more     bool // there are time-stamps beyond the limits of the file
}

// archive is an archive-time-stamp-v3.
type archive struct {
	*token
	covers scope // what its hash index names, as far as it is proven
	err    error // its index or imprint does not fit
}

// CMS judges every signature in the CMS file of size bytes, which is CAdES:
// with its content inside, or detached, with data. An error means that the file
// could not be read (a *cms.Error), that data does not go with it, or that the
// work was cut short; it is never "valid".
func CMS(ctx context.Context, sig io.ReaderAt, size int64, data Data, o Options) (*Report, error) {
	if o.MaxSignatures <= 0 {
		o.MaxSignatures = MaxSignatures
	}
	if o.At.IsZero() {
		return nil, fmt.Errorf("validate: Options.At is missing")
	}
	if o.CMS == (cms.Budget{}) {
		o.CMS = cms.WholeFile()
	}
	in := &cancelled{ctx: ctx, r: sig}
	sd, err := cms.ParseAt(in, size, o.CMS)
	if err != nil {
		return nil, fmt.Errorf("read signature: %w", err)
	}
	if sd.HasContent {
		if data.PDF || !data.none() {
			return nil, fmt.Errorf("validate: the signature has a content of its own, and another one is given")
		}
		data = Data{Reader: &section{in, sd.ContentOffset}, Size: sd.ContentSize}
		if sd.Content != nil { // BER: it came in pieces
			data = Data{Reader: bytes.NewReader(sd.Content), Size: int64(len(sd.Content))}
		}
	}
	rep := &Report{Signatures: []SignatureReport{}, NoRevocation: o.NoRevocation, ValidatedAt: o.At}
	if n := len(sd.SignerInfos); n > o.MaxSignatures {
		rep.worse(Indeterminate, Generic)
		rep.Reasons = append(rep.Reasons, fmt.Sprintf("only %d of %d signatures were looked at", o.MaxSignatures, n))
		sd.SignerInfos = sd.SignerInfos[:o.MaxSignatures]
	}
	f := &signatures{document: document{ctx: ctx, o: o, e: newEvidence(o)}, inside: map[*token][]id{}, pdf: data.PDF}
	f.most = int(min(maxArchives, maxArchived/max(size-sd.ContentSize, 1)))
	if err := f.all(sd, data); err != nil {
		return nil, err
	}
	f.report(rep)
	return rep, nil
}

// section shifts offsets.
type section struct {
	r    io.ReaderAt
	from int64
}

// ReadAt implements io.ReaderAt.
func (s *section) ReadAt(p []byte, off int64) (int, error) { return s.r.ReadAt(p, s.from+off) }

// all does the work in the order of EN 319 102-1 §5.6, as it is done for a PDF.
func (f *signatures) all(sd *cms.SignedData, data Data) error {
	f.e.addMaterial(f.o.Material, given) // first: no flood in the file keeps it out
	f.take(sd)
	digests, err := f.digest(data)
	if err != nil {
		return err
	}
	for _, s := range f.list {
		s.digests = digests
	}
	for _, s := range f.list {
		f.e.spend(s.judged)
		if err := f.proofsOf(s); err != nil {
			return err
		}
	}
	f.e.spend(true)
	for _, s := range f.list {
		if !s.judged {
			continue
		}
		if err := f.one(s); err != nil {
			return err
		}
		s.out.conclude()
	}
	return nil
}

// take reads everything that is to be looked at.
func (f *signatures) take(sd *cms.SignedData) {
	root := &item{}
	f.hold(root, sd)
	f.holds = root.holds
	for i := range sd.SignerInfos {
		view := *sd
		view.SignerInfos = sd.SignerInfos[i : i+1]
		si := &view.SignerInfos[0]
		it := &item{sd: &view, self: idOf(append(slices.Clone(si.SignedAttrs), si.Value...))}
		it.sig.FieldName = fmt.Sprintf("#%d", i)
		it.judged = len(f.o.Only) == 0 || slices.Contains(f.o.Only, it.sig.FieldName)
		s := &signer{item: it}
		for _, der := range si.TimeStampTokens() {
			if len(it.stamps) <= maxTokens { // one more, so that it is said
				it.stamps = append(it.stamps, f.stampIn(der, it))
			}
		}
		for _, der := range si.ContentTimeStamps() {
			if len(it.before) <= maxTokens {
				it.before = append(it.before, f.stampIn(der, it))
			}
		}
		for _, der := range si.ArchiveTimeStamps() {
			if f.archives++; f.archives <= f.most {
				s.archives = append(s.archives, &archive{token: f.stampIn(der, it)})
			}
		}
		s.more = f.archives > f.most || len(f.inside) > maxFileStamps
		f.items, f.list = append(f.items, it), append(f.list, s)
	}
}

// stampIn is token, and notes what the token holds.
func (f *signatures) stampIn(der []byte, it *item) *token {
	before := len(it.holds)
	t := f.token(der, it)
	f.inside[t] = slices.Clone(it.holds[before:])
	return t
}

// digest makes all digests of the content that anything here is about, in one
// pass over it; of a content that is not at hand, those that are given.
func (f *signatures) digest(data Data) (map[crypto.Hash][]byte, error) {
	out := map[crypto.Hash][]byte{}
	for h, d := range data.Digests {
		if !h.Available() || len(d) != h.Size() {
			return nil, fmt.Errorf("validate: a digest of %d bytes", len(d))
		}
		out[h] = d
	}
	if data.Reader == nil {
		return out, nil
	}
	hashes := map[crypto.Hash]hash.Hash{}
	var all []io.Writer
	want := func(h crypto.Hash) {
		if hashes[h] == nil && h.Available() {
			hashes[h] = h.New()
			all = append(all, hashes[h])
		}
	}
	for _, s := range f.list {
		if h, err := s.sd.SignerInfos[0].Hash(); err == nil {
			want(h)
		}
		for _, t := range s.before {
			if t.err == nil {
				want(t.t.Hash)
			}
		}
		for _, a := range s.archives {
			if a.token.err == nil {
				want(a.t.Hash)
			}
		}
	}
	in := io.NewSectionReader(&cancelled{ctx: f.ctx, r: data.Reader}, 0, data.Size)
	n, err := io.CopyBuffer(io.MultiWriter(all...), struct{ io.Reader }{in}, make([]byte, 256<<10))
	if err == nil && n != data.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("hash content: %w", err)
	}
	for h, w := range hashes {
		out[h] = w.Sum(nil)
	}
	return out, nil
}

// proofsOf goes through the archive time-stamps of a signature from the newest
// to the oldest (EN 319 102-1 §5.6.3.4), then its signature time-stamps: each
// one that is proven proves that what it covers existed at its time.
func (f *signatures) proofsOf(s *signer) error {
	if s.more {
		return nil // the file is beyond the limits: the signature does not pass
	}
	slices.SortStableFunc(s.archives, func(a, b *archive) int { return a.time().Compare(b.time()) })
	for n := len(s.archives) - 1; n >= 0; n-- {
		if err := f.archiveProof(s, s.archives[n]); err != nil {
			return err
		}
	}
	if err := f.signatureStamps(s.item); err != nil {
		return err
	}
	if len(s.before) > 0 && f.bound(s.item) {
		for _, t := range s.before {
			// The signature is over them: what is in them is as old as it is proven to be.
			f.proveAll(f.inside[t], f.e.proven(s.self))
		}
	}
	return nil
}

// time is genTime as the token says.
func (a *archive) time() time.Time {
	if a.t == nil || a.token.err != nil {
		return time.Time{}
	}
	return a.t.GenTime
}

// archiveProof judges one archive time-stamp and records what it proves.
func (f *signatures) archiveProof(s *signer, a *archive) error {
	if a.token.err != nil {
		return f.prove(a.token, nil, nil)
	}
	si := &s.sd.SignerInfos[0]
	found, err := cms.VerifyArchive(s.sd, si, a.der, func(h crypto.Hash) ([]byte, error) {
		if d := s.digests[h]; d != nil {
			return d, nil
		}
		return nil, errNoContent
	})
	if a.err = err; err != nil {
		return nil
	}
	// VerifyArchive has compared the imprint with what it is over.
	if err := f.prove(a.token, a.t.Imprint, nil); err != nil || !a.ok {
		return err
	}
	a.covers = f.covered(s, found)
	for i := range a.covers {
		f.e.prove(i, a.t.GenTime)
	}
	f.e.prove(s.self, a.t.GenTime)
	return nil
}

// errNoContent: the content is not at hand, nor its digest by this hash.
var errNoContent = errors.New("there is no digest of the content by its hash")

// covered names what an archive time-stamp is over.
func (f *signatures) covered(s *signer, found cms.Archived) scope {
	in := scope{}
	for _, der := range found.Certificates {
		in[idOf(der)] = true
	}
	data := cms.SignedData{RawCRLs: found.Revocations}
	for _, der := range append(data.OCSPs(), data.CRLs()...) {
		in[idOf(der)] = true
	}
	values := map[id]bool{}
	for _, a := range found.Unsigned {
		for _, v := range a.Values {
			values[idOf(v)] = true
		}
	}
	for _, t := range s.tokens() {
		// The content-time-stamps are signed attributes: always covered.
		if values[t.id] || slices.Contains(s.before, t) {
			for _, i := range f.inside[t] {
				in[i] = true
			}
		}
	}
	return in
}

// tokens are all time-stamps at a signature.
func (s *signer) tokens() []*token {
	all := slices.Concat(s.before, s.stamps)
	for _, a := range s.archives {
		all = append(all, a.token)
	}
	return all
}

func (f *signatures) proveAll(list []id, at time.Time) {
	for _, i := range list {
		f.e.prove(i, at)
	}
}
