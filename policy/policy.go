// Package policy holds what a trust service provider promises in words: practice statement, disclosure statements and terms,
// in four languages. A document is published under its own digest, so that the address that stands in a certificate, and the
// digest that stands in a manifest, mean these words for ever (EN 319 411-1 annex A, TS 119 431-1 OVR-6.1-02).
//
// The texts in this package are templates for the sandbox and say so. Whoever runs the service in earnest keeps his own in a
// folder of the same form, and gives that to Load.
package policy

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Kinds of documents, as they stand in file names.
const (
	// CPS is the practice statement, with the certificate policies (EN 319 411-1, outline of RFC 3647).
	CPS = "cps"
	// PDS is the PKI disclosure statement (EN 319 411-1 annex A), which certificates name (EN 319 412-5 §4.3.4).
	PDS = "pds"
	// TSADisclosure is the disclosure statement of the time-stamping authority (EN 319 421 annex B).
	TSADisclosure = "tsa-disclosure"
	// Terms are what a person accepts before he gets a certificate.
	Terms = "terms"
)

// AllLanguages is the language of a document that holds all of them in one file: the terms, because a person consents to
// the digest of one file, whatever language he read (ISO 639-2: "mul").
const AllLanguages = "mul"

// Base is the path below which documents are published; the index is Base itself.
const Base = "/pki/policies/"

// maxText is the longest document, in bytes. It is served from memory.
const maxText = 256 << 10

// Kinds are all kinds, in the order of the index.
func Kinds() []string { return []string{CPS, PDS, TSADisclosure, Terms} }

// Languages are those in which every document exists, as ISO 639-1 codes.
func Languages() []string { return []string{"nl", "fr", "de", "en"} }

// Document is one text in one language.
type Document struct {
	Kind, Version, Lang string
	SHA256              []byte // of Text
	Path                string // where the front serves it, from its root: /pki/policies/{sha256 in hex}/{kind}-{lang}.txt
	Text                []byte // UTF-8; not to be changed
}

// Library is a set of documents of all versions. Its methods may be called concurrently.
type Library struct{ docs []Document }

//go:embed texts
var texts embed.FS

// Templates is the library of this package: honest texts for a sandbox.
var Templates = sync.OnceValues(func() (*Library, error) {
	sub, err := fs.Sub(texts, "texts")
	if err != nil {
		return nil, err
	}
	return Load(sub)
})

var (
	versionName = regexp.MustCompile(`^\d{4}-\d{2}(-\d{2})?$`)
	fileName    = regexp.MustCompile(`^(cps|pds|tsa-disclosure|terms)-(nl|fr|de|en|mul)\.txt$`)
)

// Load reads a folder of the form VERSION/KIND-LANG.txt, where VERSION is a date (2026-11 or 2026-11-24) and orders by its
// characters. Old versions stay: certificates point to them. It fails for a file with another name, for a text that is not
// UTF-8 or longer than 256 KiB, and when the version in force of a kind is not there in every language.
func Load(from fs.FS) (*Library, error) {
	l := &Library{}
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		doc, err := read(from, name)
		if err != nil {
			return err
		}
		l.docs = append(l.docs, doc)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	for _, kind := range Kinds() {
		for _, lang := range Languages() {
			if _, err := l.InForce(kind, lang); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

func read(from fs.FS, name string) (Document, error) {
	version, file := path.Split(name)
	version = strings.TrimSuffix(version, "/")
	parts := fileName.FindStringSubmatch(file)
	if parts == nil || !versionName.MatchString(version) {
		return Document{}, fmt.Errorf("%q is not of the form VERSION/KIND-LANG.txt", name)
	}
	if (parts[1] == Terms) != (parts[2] == AllLanguages) {
		return Document{}, fmt.Errorf("%s: terms are one file in all languages (mul), the other kinds are not", name)
	}
	text, err := fs.ReadFile(from, name)
	if err != nil {
		return Document{}, err
	}
	if len(text) == 0 || len(text) > maxText || !utf8.Valid(text) {
		return Document{}, fmt.Errorf("%s: not a text in UTF-8 of at most %d bytes", name, maxText)
	}
	sum := sha256.Sum256(text)
	return Document{
		Kind: parts[1], Version: version, Lang: parts[2], SHA256: sum[:],
		Path: Base + hex.EncodeToString(sum[:]) + "/" + file, Text: text,
	}, nil
}

// InForce is the document of the latest version of a kind. Terms are the same file for every language.
func (l *Library) InForce(kind, lang string) (Document, error) {
	if kind == Terms {
		lang = AllLanguages
	}
	latest := ""
	for _, d := range l.docs {
		if d.Kind == kind {
			latest = max(latest, d.Version)
		}
	}
	for _, d := range l.docs {
		if d.Kind == kind && d.Version == latest && d.Lang == lang {
			return d, nil
		}
	}
	return Document{}, fmt.Errorf("policy: there is no %s in force in language %q", kind, lang)
}

// ErrUnknown says that there is no such document.
var ErrUnknown = errors.New("policy: no such document")

// At is the document that is published at Base/digest/file; ErrUnknown when the two do not belong to one.
func (l *Library) At(digest, file string) (Document, error) {
	for _, d := range l.docs {
		if d.Path == Base+digest+"/"+file {
			return d, nil
		}
	}
	return Document{}, ErrUnknown
}

// TermsOf are the terms of a version, also one no longer in force: people have accepted it.
func (l *Library) TermsOf(version string) (Document, error) {
	for _, d := range l.docs {
		if d.Kind == Terms && d.Version == version {
			return d, nil
		}
	}
	return Document{}, ErrUnknown
}

// All are the documents by kind, the latest version first.
func (l *Library) All() []Document {
	all := slices.Clone(l.docs)
	slices.SortStableFunc(all, func(a, b Document) int {
		if k := slices.Index(Kinds(), a.Kind) - slices.Index(Kinds(), b.Kind); k != 0 {
			return k
		}
		return strings.Compare(b.Version, a.Version)
	})
	return all
}

// InForce is Library.InForce of Templates.
func InForce(kind, lang string) (Document, error) {
	l, err := Templates()
	if err != nil {
		return Document{}, err
	}
	return l.InForce(kind, lang)
}
