package main

import (
	"encoding/base64"
	"fmt"
	"os"

	"tekend/policy"
)

// promises are the texts in force that certificates and manifests of the sandbox name.
type promises struct {
	cpsURL string // of the practice statement in English
	cpsSum string // base64url of its SHA-256, for manifests
	pds    []doc  // addresses of the disclosure statement, one for each language
}

// promise finds them. The front serves what lies behind their paths; the disclosure statement's address must be https (EN
// 319 412-5 §4.3.4), which the sandbox's front is not, so its host is a .test name where nothing answers.
func (s *sandbox) promise() error {
	cps, err := policy.InForce(policy.CPS, "en")
	if err != nil {
		return err
	}
	s.promises = promises{cpsURL: s.url("front") + cps.Path, cpsSum: base64.RawURLEncoding.EncodeToString(cps.SHA256)}
	for _, lang := range policy.Languages() {
		d, err := policy.InForce(policy.PDS, lang)
		if err != nil {
			return err
		}
		s.promises.pds = append(s.promises.pds, doc{"url": "https://pki.tekend-sandbox.test" + d.Path, "language": lang})
	}
	return nil
}

// loadPolicies reads the folder of a provider's own texts; without one they are the templates of the sandbox.
func loadPolicies(dir string) (*policy.Library, error) {
	if dir == "" {
		return policy.Templates()
	}
	l, err := policy.Load(os.DirFS(dir))
	if err != nil {
		return nil, usage("policies %s: %w", dir, err)
	}
	return l, nil
}

type policiesCmd struct {
	Config string `help:"The front's configuration; without it: the templates of the sandbox." type:"path" placeholder:"front.yaml"`
}

// Run prints what the texts in force make of the other configuration files: certificates and manifests name them by their
// digests.
func (c policiesCmd) Run(p *program) error {
	var cfg frontConfig
	if c.Config != "" {
		if err := readYAML(c.Config, &cfg); err != nil {
			return err
		}
	}
	l, err := loadPolicies(cfg.Policies)
	if err != nil {
		return err
	}
	cps, err := l.InForce(policy.CPS, "en")
	if err != nil {
		return err
	}
	terms, err := l.InForce(policy.Terms, policy.AllLanguages)
	if err != nil {
		return err
	}
	b64 := base64.RawURLEncoding.EncodeToString
	fmt.Fprintf(p.stdout, "# ceremony.yaml, and ca: of ca.yaml\ncps_url: %s%s\n# ca: of ca.yaml; a disclosure statement's address must be https\npds:\n", cfg.PublicURL, cps.Path)
	for _, lang := range policy.Languages() {
		d, err := l.InForce(policy.PDS, lang)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "  - {url: %s%s, language: %s}\n", cfg.PublicURL, d.Path, lang)
	}
	_, err = fmt.Fprintf(p.stdout, "terms_version: %s\nterms_sha256: %s\n# sam: of sam.yaml\npolicy_sha256: %s\n", terms.Version, b64(terms.SHA256), b64(cps.SHA256))
	return err
}
