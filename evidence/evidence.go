// Package evidence verifies evidence bundles (package consent, docs/evidence.md)
// without a network and without the service: what was shown to a person, that
// itsme says the person answered, and that this and nothing else was signed.
// It is for whoever has a bundle, the signed documents and something he trusts;
// the service itself does not use it.
package evidence

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"tekend/audit"
	"tekend/certs"
	"tekend/consent"
	"tekend/itsme/token"
)

// Steps of a verification, in their order. A fault names one of them.
const (
	StepFormat       = "format"       // strict JSON in its canonical form
	StepManifest     = "manifest"     // complete, canonical, root and check code recomputed
	StepText         = "text"         // names every document, or as many as fit, and the check code
	StepRecord       = "record"       // rows of the log, under checkpoint and witnesses, about exactly these bytes
	StepRequest      = "request"      // signed with our key; asks for exactly this text, nonce and person
	StepToken        = "token"        // signed by itsme; answers exactly this nonce
	StepOrder        = "order"        // the provider signed an order of as many documents
	StepAttributes   = "attributes"   // what was signed is of exactly these documents and this certificate
	StepCertificates = "certificates" // a path to a root that you trust
	StepValues       = "values"       // each value verifies with the certificate
	StepTimeStamps   = "time_stamps"  // over the whole bundle, after the signatures
	StepDocument     = "document"     // a file is one of the contents, or a PDF with exactly one of these signatures
)

// Fault is why a bundle, or a document beside it, is refused.
type Fault struct {
	Step   string
	Detail string
	cause  error
}

func (f *Fault) Error() string { return f.Step + ": " + f.Detail }

// Unwrap gives the error behind the fault, if any.
func (f *Fault) Unwrap() error { return f.cause }

func fault(step, format string, a ...any) error {
	err := fmt.Errorf(format, a...)
	return &Fault{Step: step, Detail: err.Error(), cause: errors.Unwrap(err)}
}

// Trust is what the verifier believes beforehand.
type Trust struct {
	// Roots are the trust anchors of certificates and time-stamps. Required.
	Roots *x509.CertPool
	// At is the present. Required.
	At time.Time
	// ItsmeKeys is a JWK set of itsme's that the verifier had from itsme. nil:
	// the set in the bundle is believed.
	ItsmeKeys []byte
	// LogKey and WitnessKeys are verifier keys of C2SP signed notes that the
	// verifier had from elsewhere; each of WitnessKeys must have cosigned. ""
	// and nil: those in the bundle are believed.
	LogKey      string
	WitnessKeys []string
}

// Report is what a bundle proves. It is only made when nothing was refused.
type Report struct {
	Nonce       string         `json:"nonce"`
	CheckCode   string         `json:"check_code"`
	Text        string         `json:"text"`
	Issuer      string         `json:"issuer"`  // of the token
	Account     string         `json:"account"` // the person, as itsme names him to us
	AnsweredAt  time.Time      `json:"answered_at"`
	ConfirmedAt time.Time      `json:"confirmed_at"` // when the sam took the answer
	SignedAt    time.Time      `json:"signed_at"`    // the last use of the key, by the record
	StampedAt   time.Time      `json:"stamped_at"`   // the first time-stamp
	StampedBy   string         `json:"stamped_by"`   // subject of its unit's certificate
	Certificate string         `json:"certificate"`  // subject of the person's
	Qualified   bool           `json:"qualified"`    // the certificate says so of itself
	Checkpoint  uint64         `json:"checkpoint"`   // size of the log
	Witnesses   int            `json:"witnesses"`
	Positions   int            `json:"positions"`
	Provider    string         `json:"provider,omitempty"` // who signed the order
	Hashes      bool           `json:"hashes,omitempty"`   // only digests were ordered; the service did not see the documents
	Compared    map[string]int `json:"compared"`           // file → position, from 0, of documents that were compared
	Proven      []string       `json:"proven"`             // in plain words
	Trusted     []string       `json:"trusted"`            // what the proof rests on

	bundle *consent.Bundle
}

// job is a verification under way.
type job struct {
	ctx   context.Context
	trust Trust
	b     *consent.Bundle
	m     consent.Manifest
	nonce string
	code  string
	rows  []audit.Event
	certs []*x509.Certificate
	token *token.IDToken
	same  bool // the digests of the provider's order are those of the manifest
	rep   *Report
}

// Verify checks every link of a bundle. A refusal is a *Fault; other errors
// say that Trust is not complete or not readable.
func Verify(ctx context.Context, bundle []byte, t Trust) (*Report, error) {
	if t.Roots == nil || t.At.IsZero() {
		return nil, errors.New("evidence: Trust needs Roots and At")
	}
	b, err := consent.DecodeBundle(bundle)
	if err != nil {
		return nil, fault(StepFormat, "%w", err)
	}
	j := &job{ctx: ctx, trust: t, b: b, rep: &Report{bundle: b, Text: b.Text, Compared: map[string]int{}}}
	for _, step := range []func() error{
		j.manifest, j.text, j.record, j.request, j.answer, j.order, j.attributes, j.certificates, j.values, j.timeStamps,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	j.conclude()
	return j.rep, nil
}

// manifest: the bytes that everything else refers to.
func (j *job) manifest() error {
	m, err := consent.DecodeManifest(j.b.Manifest)
	if err != nil {
		return fault(StepManifest, "%w", err)
	}
	if m.Op != consent.OpSign {
		return fault(StepManifest, "it is not about signing")
	}
	if len(j.b.Positions) != len(m.Docs) {
		return fault(StepManifest, "%d documents, but %d signatures", len(m.Docs), len(j.b.Positions))
	}
	if j.code, err = consent.CheckCode(m.Root); err != nil { // DecodeManifest has recomputed the root
		return fault(StepManifest, "%w", err)
	}
	j.m, j.nonce = m, consent.Nonce(j.b.Manifest)
	j.rep.Nonce, j.rep.CheckCode, j.rep.Positions = j.nonce, j.code, len(m.Docs)
	j.rep.Hashes = m.Docs[0].Origin == consent.OriginHash
	return nil
}

// certificates: in order, each signed by the next one, none too many, up to a
// root; good when the key was used.
func (j *job) certificates() error {
	at := j.lastUse()
	path, err := certs.BuildPath(j.certs[0], j.certs[1:], j.trust.Roots, at, certs.Signing)
	if err != nil {
		return fault(StepCertificates, "%w", err)
	}
	if len(path) != len(j.certs)+1 {
		return fault(StepCertificates, "the certificates are not one path, each once")
	}
	for i, c := range j.certs {
		if !c.Equal(path[i]) {
			return fault(StepCertificates, "the certificates are not in the order of the path")
		}
	}
	j.rep.Certificate = j.certs[0].Subject.String()
	j.rep.Qualified = certs.IsQualifiedNaturalPerson(j.certs[0]) == nil
	return nil
}

// Documents compares a file with the bundle of the report: it is, byte for byte,
// the content that one of the signatures is of (CAdES), or a PDF that carries, as
// a signature over a whole revision of it, exactly one of the values. It gives
// the position (from 0); a refusal is a *Fault.
func (r *Report) Documents(name string, f io.ReaderAt, size int64) (int, error) {
	n, err := match(r.bundle, f, size)
	if err != nil {
		return 0, err
	}
	for other, p := range r.Compared {
		if p == n {
			return 0, fault(StepDocument, "the same document as %s", other)
		}
	}
	r.Compared[name] = n
	return n, nil
}
