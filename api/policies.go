package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// GetPolicies lists what a trust service provider promises in words, all versions of it.
func (s *server) GetPolicies(ctx context.Context, _ GetPoliciesRequestObject) (GetPoliciesResponseObject, error) {
	_, cl := enter(ctx)
	var all []Policy
	for _, d := range s.policies.All() {
		now, err := s.policies.InForce(d.Kind, d.Lang)
		all = append(all, Policy{
			Kind: PolicyKind(d.Kind), Version: d.Version, Language: d.Lang, Sha256: hex.EncodeToString(d.SHA256),
			Path: d.Path, InForce: err == nil && now.Version == d.Version,
		})
	}
	if cl.json {
		return GetPolicies200JSONResponse{Policies: all}, nil
	}
	lang := s.words.choose(cl.langs, "")
	v := policiesView{view: s.pages.view(lang, s.cfg.Sandbox)}
	v.Title, v.Wide = s.words.say(lang, "title.policies"), true
	for _, p := range all {
		last := len(v.Groups) - 1
		if last < 0 || v.Groups[last].Kind != string(p.Kind) || v.Groups[last].Version != p.Version {
			v.Groups = append(v.Groups, policyGroup{Kind: string(p.Kind), Version: p.Version, InForce: p.InForce})
			last++
		}
		v.Groups[last].Texts = append(v.Groups[last].Texts, p)
	}
	for _, g := range v.Groups { // in the order of the languages of a page, not of the folder
		slices.SortFunc(g.Texts, func(a, b Policy) int { return strings.Compare(a.Language, b.Language) })
	}
	return s.html("policies", v, cl)
}

// policiesView is the index.
type policiesView struct {
	view
	Groups []policyGroup
}

type policyGroup struct {
	Kind, Version string
	InForce       bool
	Texts         []Policy
}

// GetPolicy serves one text, for ever.
func (s *server) GetPolicy(ctx context.Context, in GetPolicyRequestObject) (GetPolicyResponseObject, error) {
	_, _ = enter(ctx)
	d, err := s.policies.At(in.Digest, in.File)
	if err != nil {
		return nil, errNoRoute
	}
	return &file{media: "text/plain; charset=utf-8", bytes: d.Text, cache: cacheForEver}, nil
}

// SecurityTxt is what /.well-known/security.txt says (RFC 9116). It is not signed.
type SecurityTxt struct {
	// Contacts are addresses for reports, mailto:, https: or tel:, the best first. Example: mailto:security@sign.example.
	Contacts []string `yaml:"contacts"`
	// Expires is when somebody must have looked at this again, at most a year ahead (RFC 9116 §2.5.5). Example:
	// 2027-06-01T00:00:00Z.
	Expires time.Time `yaml:"expires"`
	// Languages in which reports are read. Default en, nl, fr, de.
	Languages []string `yaml:"languages"`
	// Policy is the https address of the rules for reporting. May be empty.
	Policy string `yaml:"policy"`
}

func (t SecurityTxt) check() error {
	if len(t.Contacts) == 0 {
		if !t.Expires.IsZero() || t.Policy != "" {
			return errors.New("api: security_txt has no contacts")
		}
		return nil
	}
	if t.Expires.IsZero() {
		return errors.New("api: security_txt has no expires")
	}
	for _, c := range t.Contacts {
		u, err := url.Parse(c)
		if err != nil || !slices.Contains([]string{"mailto", "https", "tel"}, u.Scheme) || strings.ContainsAny(c, " \r\n") {
			return fmt.Errorf("api: contact %q of security_txt is not a mailto:, https: or tel: address", c)
		}
	}
	if u, err := url.Parse(t.Policy); t.Policy != "" && (err != nil || u.Scheme != "https" || strings.ContainsAny(t.Policy, " \r\n")) {
		return fmt.Errorf("api: policy %q of security_txt is not an https address", t.Policy)
	}
	return nil
}

// GetSecurityTxt says where to report a weakness.
func (s *server) GetSecurityTxt(ctx context.Context, _ GetSecurityTxtRequestObject) (GetSecurityTxtResponseObject, error) {
	_, _ = enter(ctx)
	t := s.cfg.SecurityTxt
	if len(t.Contacts) == 0 {
		return nil, errNoRoute
	}
	langs := t.Languages
	if len(langs) == 0 {
		langs = []string{"en", "nl", "fr", "de"}
	}
	var b strings.Builder
	for _, c := range t.Contacts {
		fmt.Fprintf(&b, "Contact: %s\n", c)
	}
	fmt.Fprintf(&b, "Expires: %s\n", t.Expires.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "Preferred-Languages: %s\n", strings.Join(langs, ", "))
	fmt.Fprintf(&b, "Canonical: %s/.well-known/security.txt\n", s.origin)
	if t.Policy != "" {
		fmt.Fprintf(&b, "Policy: %s\n", t.Policy)
	}
	return &file{media: "text/plain; charset=utf-8", bytes: []byte(b.String()), cache: cacheStatic}, nil
}
