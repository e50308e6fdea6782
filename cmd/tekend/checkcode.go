package main

import (
	"cmp"
	"crypto"
	_ "crypto/sha256" // the digests of prepared documents
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"tekend/cms"
	"tekend/consent"
	"tekend/pdf"
)

type checkcodeCmd struct {
	Files  []string `arg:"" name:"file" help:"Prepared or signed PDF files, in the order of the signer's page." type:"path"`
	Labels []string `name:"label" help:"The name of each document on the signer's page, where the files are called otherwise." placeholder:"NAME"`
	Digest string   `help:"Digest algorithm of documents that are not signed yet: SHA-384 where the signer's key is P-384. A signature tells its own." enum:"SHA-256,SHA-384" default:"SHA-256"`
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
		}
		label, err := consent.Label(name)
		if err != nil {
			return usage("%s: %w", path, err)
		}
		alg, digest, err := lastByteRangeDigest(path, c.Digest)
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

func quoted(docs []consent.Doc) string {
	var all []string
	for _, d := range docs {
		all = append(all, fmt.Sprintf("%q", d.Label))
	}
	return strings.Join(all, ", ")
}

// lastByteRangeDigest hashes what the newest signature of the file covers. That
// must be the whole file but the space of this signature: else what is read in
// it need not be what the code stands for. The digest is the one that the signature
// names; alg where there is none yet.
func lastByteRangeDigest(path, alg string) (string, []byte, error) {
	f, info, err := openFile(path)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = f.Close() }()
	sigs, err := pdf.Signatures(f, info.Size(), pdf.DefaultBudget())
	if err != nil {
		if pe, ok := errors.AsType[*pdf.Error](err); ok {
			return "", nil, unreadable(path, pe)
		}
		return "", nil, usage("%s: %w", path, err)
	}
	if len(sigs) == 0 {
		return "", nil, usage("%s is neither prepared nor signed: a check code exists once the document is prepared for its signer; download it from the signer's page", path)
	}
	last := sigs[len(sigs)-1]
	if !last.CoversWholeFile || !last.SameInSignedRevision {
		return "", nil, no("%s: its newest signature does not cover the whole file, so that the document could show something else than what is signed: there is no check code for it", path)
	}
	hash := crypto.SHA256
	alg = cmp.Or(alg, consent.SHA256)
	if sd, err := cms.Parse(last.CMS, cms.DefaultBudget()); err == nil && len(sd.SignerInfos) == 1 {
		if h, err := sd.SignerInfos[0].Hash(); err == nil {
			alg = map[crypto.Hash]string{crypto.SHA256: consent.SHA256, crypto.SHA384: consent.SHA384}[h]
		}
	}
	switch alg {
	case consent.SHA384:
		hash = crypto.SHA384
	case "":
		return "", nil, no("%s: its newest signature has another digest algorithm than SHA-256 or SHA-384, so that it is not one of ours: there is no check code for it", path)
	}
	digest, err := pdf.ByteRangeDigest(f, info.Size(), last, hash)
	return alg, digest, err
}
