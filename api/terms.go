package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Terms of service are files templates/terms/<version>.txt with one section for each language, "== en ==" above it. The
// last version, by name, is in force; old ones stay readable, since people have accepted them.

// TermsInForce returns the version of the terms that are in force and the SHA-256 of their file, which /terms/<version>.txt
// serves: what signer.Config.Terms needs, and what a person consents to when the certificate is made.
func TermsInForce() (version string, sha256Sum []byte, err error) {
	files, err := fs.Glob(templateFiles, "templates/terms/*.txt")
	if err != nil {
		return "", nil, err
	}
	if len(files) == 0 {
		return "", nil, errors.New("api: no terms of service")
	}
	last := slices.Max(files)
	text, err := templateFiles.ReadFile(last)
	if err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(text)
	return strings.TrimSuffix(path.Base(last), ".txt"), sum[:], nil
}

// termsView is the page of the terms.
type termsView struct {
	view
	Version, Digest string
	Paragraphs      []string
}

// GetTerms shows terms of service.
func (s *server) GetTerms(ctx context.Context, in GetTermsRequestObject) (GetTermsResponseObject, error) {
	_, cl := enter(ctx)
	version, raw := strings.CutSuffix(in.Version, ".txt")
	text, err := templateFiles.ReadFile("templates/terms/" + version + ".txt")
	if err != nil {
		return nil, errNoRoute
	}
	if raw {
		return &file{media: "text/plain; charset=utf-8", bytes: text, cache: cacheStatic}, nil
	}
	lang := s.words.choose(cl.langs, "")
	sum := sha256.Sum256(text)
	v := termsView{view: s.pages.view(lang, s.cfg.Sandbox), Version: version, Digest: hex.EncodeToString(sum[:])}
	v.Paragraphs, err = termsSection(string(text), lang)
	if err != nil {
		return nil, err
	}
	v.Title = s.words.say(lang, "title.terms")
	return s.html("terms", v, cl)
}

// termsSection is the text in one language, in paragraphs.
func termsSection(text, lang string) ([]string, error) {
	_, rest, ok := strings.Cut(text, "== "+lang+" ==\n")
	if !ok {
		return nil, fmt.Errorf("terms have no section %s", lang)
	}
	section, _, _ := strings.Cut(rest, "\n== ")
	var all []string
	for p := range strings.SplitSeq(section, "\n\n") {
		if p = strings.TrimSpace(strings.ReplaceAll(p, "\n", " ")); p != "" {
			all = append(all, p)
		}
	}
	return all, nil
}
