package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// Use is what a certificate is to be used for. The zero value is nothing.
type Use int

// The uses a path can be checked for.
const (
	Signing      Use = iota + 1 // signatures of people: contentCommitment or digitalSignature
	TimeStamping                // RFC 3161 §2.3: critical and sole extended key usage timeStamping
)

// PathReason says why a path is not accepted; stable words.
type PathReason string

// The reasons of a PathError, with the sub-indication of EN 319 102-1 that
// they lead to.
const (
	NoPath            PathReason = "no_path"            // NO_CERTIFICATE_CHAIN_FOUND
	Expired           PathReason = "expired"            // OUT_OF_BOUNDS_NO_POE or EXPIRED
	NotYetValid       PathReason = "not_yet_valid"      // NOT_YET_VALID
	NotCA             PathReason = "not_ca"             // CHAIN_CONSTRAINTS_FAILURE
	PathTooLong       PathReason = "path_length"        // CHAIN_CONSTRAINTS_FAILURE
	BadKeyUsage       PathReason = "key_usage"          // CHAIN_CONSTRAINTS_FAILURE
	BadExtKeyUsage    PathReason = "extended_key_usage" // CHAIN_CONSTRAINTS_FAILURE
	BadAlgorithm      PathReason = "algorithm"          // CRYPTO_CONSTRAINTS_FAILURE
	CriticalExtension PathReason = "critical_extension" // CHAIN_CONSTRAINTS_FAILURE
)

// PathError is why a path to a trust anchor is not accepted. Depth counts from
// the leaf, which is 0. Detail holds no name of a person.
type PathError struct {
	Reason PathReason
	Depth  int
	Detail string
}

func (e *PathError) Error() string {
	return fmt.Sprintf("certificate path, certificate %d: %s (%s)", e.Depth, e.Detail, e.Reason)
}

// Limits of path building: real paths have at most four certificates; a
// stranger's bag may hold anything.
const (
	maxDepth    = 8
	maxBag      = 64
	maxAttempts = 256
)

// CheckPath builds a path from leaf over chain (any order, may hold strangers)
// to one of roots and checks it at the given time. It is lenient where
// crypto/x509 refuses what qualified CAs do (critical qcStatements or policies,
// names it does not like), and strict on what carries trust: signatures with
// accepted algorithms and sizes (CheckAlgorithm), validity of every
// certificate, CA bit, path length, key usage, names that chain byte for byte,
// and critical extensions it does not know. Revocation is not looked at. The
// error is a *PathError; the leaf itself is never its own trust anchor.
func CheckPath(leaf *x509.Certificate, chain []*x509.Certificate, roots *x509.CertPool, at time.Time, use Use) error {
	_, err := BuildPath(leaf, chain, roots, at, use)
	return err
}

// BuildPath is CheckPath and gives the path that was accepted, leaf first, the
// trust anchor last.
func BuildPath(leaf *x509.Certificate, chain []*x509.Certificate, roots *x509.CertPool, at time.Time, use Use) ([]*x509.Certificate, error) {
	if len(chain) > maxBag {
		return nil, &PathError{NoPath, 0, fmt.Sprintf("more than %d certificates to choose from", maxBag)}
	}
	if err := checkUse(leaf, use); err != nil {
		return nil, err
	}
	s := &search{roots: roots, at: at, best: &PathError{NoPath, 0, "no path to a trust anchor"}}
	weak := s.vouch(chain)
	if path := s.extend([]*x509.Certificate{leaf}); path != nil {
		return path, nil
	}
	if s.best.Reason == NoPath && weak != nil {
		return nil, weak
	}
	return nil, s.best
}

// vouch takes into the bag what an anchor signed, or a CA in the bag: nobody's key
// is computed with but theirs, and strangers who certified each other without
// end, with keys that take long, cost nothing. weak is the objection to one that
// stayed outside because of its algorithm.
func (s *search) vouch(chain []*x509.Certificate) (weak *PathError) {
	in := make(map[*x509.Certificate]bool, len(chain))
	var next []*x509.Certificate
	take := func(c *x509.Certificate) {
		if in[c] = true; c.IsCA {
			next = append(next, c)
		}
	}
	for _, c := range chain {
		if len(s.anchorsOf(c)) > 0 {
			take(c)
		}
	}
	for ; len(next) > 0; next = next[1:] {
		for _, c := range chain {
			if in[c] || !bytes.Equal(c.RawIssuer, next[0].RawSubject) {
				continue
			}
			if err := CheckAlgorithm(c.SignatureAlgorithm, next[0].PublicKey, s.at); err != nil {
				weak = &PathError{BadAlgorithm, 1, err.Error()}
			} else if next[0].CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
				take(c)
			}
		}
	}
	for _, c := range chain { // in the order given
		if in[c] {
			s.bag = append(s.bag, c)
		}
	}
	return weak
}

// search walks from the leaf towards the anchors, depth first and bounded.
type search struct {
	bag      []*x509.Certificate
	roots    *x509.CertPool
	at       time.Time
	attempts int
	best     *PathError // the objection to the path that came furthest
}

func (s *search) extend(path []*x509.Certificate) []*x509.Certificate {
	top := path[len(path)-1]
	if err := s.fit(top, len(path)-1); err != nil {
		s.note(err)
		return nil
	}
	for _, anchor := range s.anchorsOf(top) {
		whole := append(slices.Clone(path), anchor)
		err := s.link(whole, len(whole)-1)
		if err == nil {
			err = s.fit(anchor, len(whole)-1)
		}
		if err == nil {
			return whole
		}
		s.note(err)
	}
	if len(path) >= maxDepth {
		return nil
	}
	for _, next := range s.bag {
		if s.attempts++; s.attempts > maxAttempts {
			return nil
		}
		if !bytes.Equal(next.RawSubject, top.RawIssuer) || slices.ContainsFunc(path, next.Equal) {
			continue
		}
		longer := append(slices.Clone(path), next)
		if err := s.link(longer, len(longer)-1); err != nil {
			s.note(err)
			continue
		}
		if found := s.extend(longer); found != nil {
			return found
		}
	}
	return nil
}

// note keeps the objection of the path that came furthest.
func (s *search) note(err error) {
	if e, ok := err.(*PathError); ok && (s.best.Reason == NoPath || e.Depth > s.best.Depth) {
		s.best = e
	}
}

// anchorsOf asks the pool, which does not list its certificates, for those
// that may have issued c. A copy without what crypto/x509 stumbles over is
// asked; what it answers is then checked by ourselves.
func (s *search) anchorsOf(c *x509.Certificate) []*x509.Certificate {
	if s.roots == nil {
		return nil
	}
	bare := *c
	bare.UnhandledCriticalExtensions = nil
	bare.NotBefore, bare.NotAfter = s.at, s.at // fit looks at its own
	bare.DNSNames, bare.EmailAddresses, bare.IPAddresses, bare.URIs = nil, nil, nil, nil
	chains, err := bare.Verify(x509.VerifyOptions{
		Roots: s.roots, Intermediates: x509.NewCertPool(), CurrentTime: s.at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil
	}
	var anchors []*x509.Certificate
	for _, ch := range chains {
		if len(ch) == 2 {
			anchors = append(anchors, ch[1])
		}
	}
	return anchors
}

// fit checks one certificate alone: validity and critical extensions.
func (s *search) fit(c *x509.Certificate, depth int) error {
	switch {
	case s.at.Before(c.NotBefore):
		return &PathError{NotYetValid, depth, "not yet valid at " + s.at.UTC().Format(time.RFC3339)}
	case s.at.After(c.NotAfter):
		return &PathError{Expired, depth, "expired at " + s.at.UTC().Format(time.RFC3339)}
	}
	for _, e := range c.Extensions {
		if e.Critical && !slices.ContainsFunc(understood, asn1.ObjectIdentifier(e.Id).Equal) {
			return &PathError{CriticalExtension, depth, fmt.Sprintf("critical extension %v is not known", e.Id)}
		}
	}
	return nil
}

// understood are the extensions that may be critical: those we act on, and
// those that only inform. Name constraints, policy constraints and mappings
// are not among them, because we do not process them.
var understood = []asn1.ObjectIdentifier{
	oidExtSKI, oidExtAKI, oidExtKeyUsage, oidExtKeyPeriod, oidExtSAN, oidExtBasic, oidExtCRLDP, oidExtPolicies,
	oidExtEKU, oidExtInhibitAny, oidExtAIA, oidExtQcStatements, oidExtNoRevAvail, oidExtValidityAssured,
}

// link checks that path[i] issued path[i-1].
func (s *search) link(path []*x509.Certificate, i int) error {
	issuer, child := path[i], path[i-1]
	switch {
	case !bytes.Equal(issuer.RawSubject, child.RawIssuer):
		return &PathError{NoPath, i, "names do not chain"}
	case !issuer.BasicConstraintsValid || !issuer.IsCA:
		return &PathError{NotCA, i, "the issuer is not a CA"}
	case issuer.KeyUsage&x509.KeyUsageCertSign == 0:
		return &PathError{BadKeyUsage, i, "the issuer's key is not for signing certificates"}
	}
	if max := issuer.MaxPathLen; max > 0 || max == 0 && issuer.MaxPathLenZero {
		below := 0 // CA certificates between the issuer and the leaf that are not self-issued
		for _, c := range path[1:i] {
			if !bytes.Equal(c.RawSubject, c.RawIssuer) {
				below++
			}
		}
		if below > max {
			return &PathError{PathTooLong, i, fmt.Sprintf("%d CAs below a path length of %d", below, max)}
		}
	}
	if err := CheckAlgorithm(child.SignatureAlgorithm, issuer.PublicKey, s.at); err != nil {
		return &PathError{BadAlgorithm, i - 1, err.Error()}
	}
	if err := issuer.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature); err != nil {
		return &PathError{NoPath, i - 1, "the issuer did not sign it"}
	}
	return nil
}

// checkUse looks at the leaf's key usage and extended key usage.
func checkUse(leaf *x509.Certificate, use Use) error {
	const people = x509.KeyUsageContentCommitment | x509.KeyUsageDigitalSignature
	if leaf.KeyUsage&people == 0 {
		return &PathError{BadKeyUsage, 0, "the key is not for signatures"}
	}
	eku, critical := ekusOf(leaf)
	switch use {
	case TimeStamping:
		if leaf.KeyUsage&^people != 0 {
			return &PathError{BadKeyUsage, 0, "a time-stamping key has another key usage"}
		}
		if !critical || len(eku) != 1 || !eku[0].Equal(oidEKUTimeStamping) {
			return &PathError{BadExtKeyUsage, 0, "timeStamping is not the sole and critical extended key usage"}
		}
		return nil
	case Signing:
		allowed := []asn1.ObjectIdentifier{oidEKUDocumentSigning, oidEKUMSDocument, oidEKUEmail, oidEKUClientAuth, oidEKUAny}
		for _, e := range eku {
			if slices.ContainsFunc(allowed, e.Equal) {
				return nil
			}
		}
		if len(eku) > 0 {
			return &PathError{BadExtKeyUsage, 0, "the extended key usage excludes document signing"}
		}
		return nil
	}
	return &PathError{BadExtKeyUsage, 0, "no use was asked for"}
}

func ekusOf(c *x509.Certificate) (list []asn1.ObjectIdentifier, critical bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidExtEKU) {
			if rest, err := asn1.Unmarshal(e.Value, &list); err != nil || len(rest) > 0 {
				return nil, false
			}
			return list, e.Critical
		}
	}
	return nil, false
}
