package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"tekend/policy"
)

// Terms of service are files of package policy with one section for each language, "== en ==" above it. The last version is
// in force; old ones stay readable, since people have accepted them.

// TermsInForce returns the version of the terms that are in force and the SHA-256 of their file, which /terms/<version>.txt
// serves: what signer.Config.Terms needs, and what a person consents to when the certificate is made.
func TermsInForce() (version string, sha256Sum []byte, err error) {
	d, err := policy.InForce(policy.Terms, policy.AllLanguages)
	return d.Version, d.SHA256, err
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
	doc, err := s.policies.TermsOf(version)
	if err != nil {
		return nil, errNoRoute
	}
	if raw {
		return &file{media: "text/plain; charset=utf-8", bytes: doc.Text, cache: cacheStatic}, nil
	}
	lang := s.words.choose(cl.langs, "")
	v := termsView{view: s.pages.view(lang, s.cfg.Sandbox), Version: version, Digest: hex.EncodeToString(doc.SHA256)}
	v.Paragraphs, err = termsSection(string(doc.Text), lang)
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
