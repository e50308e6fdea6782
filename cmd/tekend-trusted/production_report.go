package main

import (
	"crypto/x509"
	"path/filepath"
	"slices"

	"tekend/production"
)

// ofReports believes only keys whose making two operators approved and the root reported: no sandbox's, none of a software
// root or of SoftHSM, and each certificate of ours must be in one of the reports.
func (c common) ofReports(l *production.List, root *x509.Certificate) {
	const name = "ceremony_reports"
	if len(c.section.CeremonyReports) == 0 {
		l.Add(name, "there is none: nothing shows how the keys were made; name pki/ceremony.json, and that of each roll-over")
		return
	}
	if root == nil {
		return // the role says that it cannot read its root
	}
	var all []*ceremonyReport
	for _, path := range c.section.CeremonyReports {
		r, err := readReport(path, root)
		if err != nil {
			l.Add(name, "%s does not hold: %v", path, err)
			continue
		}
		all = append(all, r)
		l.Unless(r.Production, name, "%s is of a sandbox's ceremony; hold one with production: true", path)
		if bad := softwareModule(r.Module); bad != "" {
			l.Add(name, "%s says that its keys are in software (%s); hold the ceremony with a certified device", path, r.Module)
		}
		for _, k := range r.Keys {
			l.Unless(k.Role != "root" || k.Place == placeToken, name, "%s says that the root's key is a file; a root's key is made in a token", path)
		}
	}
	if len(all) < len(c.section.CeremonyReports) {
		return
	}
	for _, path := range append([]string{c.root}, c.certs...) {
		chain, err := readChain([]string{path})
		if err != nil {
			continue
		}
		l.Unless(slices.ContainsFunc(all, func(r *ceremonyReport) bool { return r.certificate(chain[0]) }), path,
			"no report in ceremony_reports knows this certificate (%s); add the report of the ceremony that made it", filepath.Base(path))
	}
}

// policyOf is the policy that the first report states, "" when there is none.
func (c common) policyOf(kind string) string {
	chain, err := readChain([]string{c.root})
	if err != nil || len(c.section.CeremonyReports) == 0 {
		return ""
	}
	r, err := readReport(c.section.CeremonyReports[0], chain[0])
	if err != nil {
		return ""
	}
	return r.Policies[kind]
}
