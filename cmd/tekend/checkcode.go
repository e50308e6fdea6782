package main

import (
	"cmp"
	"crypto"
	_ "crypto/sha256" // the digests of prepared documents
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"tekend/cms"
	"tekend/consent"
	"tekend/pdf"
)

type checkcodeCmd struct {
	Files  []string `arg:"" name:"file" help:"Prepared or signed PDF files, or what --format says, in the order of the signer's page."`
	Labels []string `name:"label" help:"The name of each document on the signer's page, where the files are called otherwise." placeholder:"NAME"`
	Format string   `help:"pades: the code is over what the newest signature of each PDF covers. cades: over each whole file. digest: over digests in base64, given instead of files, as an order has them." enum:"pades,cades,digest" default:"pades"`
	Digest string   `help:"Digest algorithm of documents that are not signed yet, and of cades and digest. For an uploaded document it is the one of the signer's key: SHA-384 where that is P-384. A signature tells its own." enum:"SHA-256,SHA-384,SHA-512" default:"SHA-256"`
}

// Run prints the check code. It depends on the bytes to be signed, on the
// names and on their order; it is the same before and after signing.
func (c *checkcodeCmd) Run(p *program) error {
	if len(c.Labels) > 0 && len(c.Labels) != len(c.Files) {
		return usage("%d labels for %d files: give one --label per file, in the same order", len(c.Labels), len(c.Files))
	}
	var docs []consent.Doc
	for i, path := range c.Files {
		name := filepath.Base(path)
		if len(c.Labels) > 0 {
			name = c.Labels[i]
		} else if c.Format == "digest" {
			name = fmt.Sprintf("document-%d", i+1) // as the service calls a digest without a name
		}
		label, err := consent.Label(name)
		if err != nil {
			return usage("%s: %w", path, err)
		}
		alg, digest, err := c.digestOf(path)
		if err != nil {
			return err
		}
		docs = append(docs, consent.Doc{Alg: alg, Doc: base64.RawURLEncoding.EncodeToString(digest), Label: label})
	}
	root, err := consent.Root(docs)
	if err != nil {
		return usage("%w", err)
	}
	code, err := consent.CheckCode(root)
	if err != nil {
		return usage("%w", err)
	}
	if len(c.Labels) == 0 {
		fmt.Fprintf(p.stderr, "for documents that the signer's page calls %s; where it calls them otherwise, give --label\n", quoted(docs))
	}
	fmt.Fprintln(p.stdout, code)
	return nil
}

// checkHashes are the digest algorithms of documents, by name.
var checkHashes = map[string]crypto.Hash{consent.SHA256: crypto.SHA256, consent.SHA384: crypto.SHA384, consent.SHA512: crypto.SHA512}

// digestOf is the digest of one document that the code is over.
func (c *checkcodeCmd) digestOf(arg string) (alg string, digest []byte, err error) {
	alg = cmp.Or(c.Digest, consent.SHA256)
	switch c.Format {
	case "digest":
		if digest, err = base64.StdEncoding.Strict().DecodeString(arg); err != nil || len(digest) != checkHashes[alg].Size() {
			return "", nil, usage("%.20q is not a %s digest in base64", arg, alg)
		}
		return alg, digest, nil
	case "cades":
		f, _, err := openFile(arg)
		if err != nil {
			return "", nil, err
		}
		defer func() { _ = f.Close() }()
		w := checkHashes[alg].New()
		if _, err := io.Copy(w, f); err != nil {
			return "", nil, usage("%w", err)
		}
		return alg, w.Sum(nil), nil
	}
	return lastByteRangeDigest(arg, alg)
}

func quoted(docs []consent.Doc) string {
	var all []string
	for _, d := range docs {
		all = append(all, fmt.Sprintf("%q", d.Label))
	}
	return strings.Join(all, ", ")
}

// lastByteRangeDigest hashes what the newest signature of the file covers. That
// must be the whole file but the space of this signature, and what levels B-LT
// and B-LTA add: else what is read in it need not be what the code stands for.
// The digest is the one that the signature names; alg where there is none yet.
func lastByteRangeDigest(path, alg string) (string, []byte, error) {
	f, info, err := openFile(path)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = f.Close() }()
	last, err := newest(f, info.Size())
	if err != nil {
		if pe, ok := errors.AsType[*pdf.Error](err); ok {
			return "", nil, unreadable(path, pe)
		}
		return "", nil, usage("%s: %w", path, err)
	}
	if last == nil {
		return "", nil, usage("%s is neither prepared nor signed: a check code exists once the document is prepared for its signer; download it from the signer's page", path)
	}
	if !last.SameInSignedRevision || !last.CoversWholeFile && !onlyRaised(f, info.Size(), last) {
		return "", nil, no("%s: its newest signature does not cover the whole file, so that the document could show something else than what is signed: there is no check code for it", path)
	}
	if sd, err := cms.Parse(last.CMS, cms.DefaultBudget()); err == nil && len(sd.SignerInfos) == 1 {
		if h, err := sd.SignerInfos[0].Hash(); err == nil {
			alg = nameOf(h)
		}
	}
	if alg == "" {
		return "", nil, no("%s: its newest signature has another digest algorithm than SHA-256, SHA-384 or SHA-512, so that it is not one of ours: there is no check code for it", path)
	}
	digest, err := pdf.ByteRangeDigest(f, info.Size(), *last, checkHashes[alg])
	return alg, digest, err
}

// newest is the newest signature that is no time-stamp; nil if there is none.
func newest(r io.ReaderAt, size int64) (*pdf.Signature, error) {
	sigs, err := pdf.Signatures(r, size, pdf.DefaultBudget())
	for i := len(sigs) - 1; i >= 0; i-- {
		if sigs[i].Type != "DocTimeStamp" {
			return &sigs[i], nil
		}
	}
	return nil, err
}

// onlyRaised says whether nothing but time-stamps and validation data stands behind a signature's revision.
func onlyRaised(r io.ReaderAt, size int64, s *pdf.Signature) bool {
	if s.Coverage != pdf.CoverageRevision {
		return false
	}
	c, err := pdf.Differences(r, size, s.RevisionEnd, pdf.DefaultBudget())
	return err == nil && c.Permitted && c.Level == pdf.ChangesLTA
}

// nameOf is the name of a digest algorithm that check codes are over, "" for another one.
func nameOf(h crypto.Hash) string {
	for name, one := range checkHashes {
		if one == h {
			return name
		}
	}
	return ""
}
