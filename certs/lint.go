package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"sync"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// Finding is one objection to a certificate or CRL: the name of the rule (ours
// in lower case with hyphens, zlint's with its e_/w_ prefix), where it comes
// from, and what is wrong. Detail holds no personal data.
type Finding struct{ Rule, Clause, Detail string }

func (f Finding) String() string { return f.Rule + " (" + f.Clause + "): " + f.Detail }

// notApplied are zlint's lints that we leave out, each with its reason.
// Everything else of the sources below stops an issuance.
var notApplied = map[string]string{
	"e_subject_common_name_max_length":            "EN 319 412-2 NAT-4.2.4-18 lifts the upper bound of X.520 for people's names; nothing is cut",
	"e_subject_given_name_max_length":             "as above",
	"e_subject_surname_max_length":                "as above",
	"w_subject_given_name_recommended_max_length": "as above",
	"w_subject_surname_recommended_max_length":    "as above",
}

// lintSources are the documents that certificates of ours follow. Browser and
// CA/Browser Forum rules are for TLS, S/MIME and code signing: not ours.
var lintSources = lint.SourceList{lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC8813, lint.EtsiEsi}

var lintRegistry = sync.OnceValues(func() (lint.Registry, error) {
	var names []string
	for n := range notApplied {
		names = append(names, n)
	}
	slices.Sort(names)
	return lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lintSources, ExcludeNames: names})
})

// Lint judges a DER certificate by zlint and by our rules for the profile.
// issuer is nil for a self-signed one. No finding means it may be signed.
//
// Lint does not know the order. It takes a certificate for a real one when its
// issuer's is (a root: when its own name has no mark).
func Lint(profile Profile, der []byte, issuer *x509.Certificate) []Finding {
	return lintAs(profile, der, issuer, nil)
}

// lintOrder judges a certificate by what was ordered.
func lintOrder(o Order, der []byte, issuer *x509.Certificate) []Finding {
	return lintAs(o.Profile, der, issuer, &o)
}

func lintAs(profile Profile, der []byte, issuer *x509.Certificate, o *Order) []Finding {
	found := ownFindings(profile, der, issuer, o)
	parsed, err := zx509.ParseCertificate(der)
	if err != nil {
		return append(found, Finding{"unreadable", "zlint", "zcrypto cannot read it: " + err.Error()})
	}
	registry, err := lintRegistry()
	if err != nil {
		return append(found, Finding{"no-lint", "zlint", err.Error()})
	}
	return append(found, zlintFindings(zlint.LintCertificateEx(parsed, registry), registry)...)
}

// zlintFindings counts everything but "pass" and "does not apply", notices
// too: a lint that cannot decide is a reason to look, not to sign.
func zlintFindings(set *zlint.ResultSet, registry lint.Registry) []Finding {
	if set == nil || len(set.Results) < 50 && set.Version == 0 {
		return []Finding{{"no-lint", "zlint", "zlint judged nothing"}}
	}
	var found []Finding
	for ruleName, r := range set.Results {
		if r.Status == lint.Pass || r.Status == lint.NA || r.Status == lint.NE {
			continue
		}
		// zlint's own text may quote the subject: it is left out.
		f := Finding{ruleName, "zlint", r.Status.String()}
		if l := registry.CertificateLints().ByName(ruleName); l != nil {
			f.Clause = l.Citation
		} else if l := registry.RevocationListLints().ByName(ruleName); l != nil {
			f.Clause = l.Citation
		}
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b Finding) int { return bytes.Compare([]byte(a.Rule), []byte(b.Rule)) })
	return found
}

// ownFindings are our rules: each row of specs/eidas.md §2.1, 2.2, 2.5 and
// 2.7, of which zlint knows only some.
func ownFindings(profile Profile, der []byte, issuer *x509.Certificate, o *Order) []Finding {
	v, err := newView(profile, der, issuer)
	if err != nil {
		return []Finding{{"unreadable", "RFC 5280 §4.1", err.Error()}}
	}
	v.order = o
	found := v.byTable()
	for _, r := range rules {
		if r.profiles != nil && !slices.Contains(r.profiles, profile) {
			continue
		}
		if detail := r.check(v); detail != "" {
			found = append(found, Finding{r.id, r.clause, detail})
		}
	}
	return found
}

// view is a certificate as the rules look at it.
type view struct {
	profile    Profile
	cert       *x509.Certificate
	issuer     *x509.Certificate // itself for a root
	order      *Order            // nil: not known
	subject    name
	issuerName name
	extensions []extension
	statements []qcStatement
}

func newView(profile Profile, der []byte, issuer *x509.Certificate) (*view, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	v := &view{profile: profile, cert: cert, issuer: issuer}
	if issuer == nil {
		v.issuer = cert
	}
	if v.subject, err = parseName(cert.RawSubject); err != nil {
		return nil, err
	}
	if v.issuerName, err = parseName(cert.RawIssuer); err != nil {
		return nil, err
	}
	for _, e := range cert.Extensions {
		v.extensions = append(v.extensions, extension{asn1.ObjectIdentifier(e.Id), e.Critical, e.Value})
	}
	if e := v.ext(oidExtQcStatements); e != nil {
		if v.statements, err = parseQcStatements(e.value); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// ext gives an extension, or nil.
func (v *view) ext(oid asn1.ObjectIdentifier) *extension {
	for i := range v.extensions {
		if v.extensions[i].oid.Equal(oid) {
			return &v.extensions[i]
		}
	}
	return nil
}

// qc gives all statements with an identifier.
func (v *view) qc(oid asn1.ObjectIdentifier) []qcStatement {
	var found []qcStatement
	for _, s := range v.statements {
		if s.id.Equal(oid) {
			found = append(found, s)
		}
	}
	return found
}
