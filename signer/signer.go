// Package signer is the life of a signing request, from the order to the finished document (house §3).
//
// It owns the states, the steps between them and every error that the outside may see. It holds no
// key and no itsme secret: those are behind the interfaces below, in other processes. The order of the
// steps is the safety of the whole: consume and record first, sign second, store third. Steps that can
// be repeated are repeated by the worker; a signature never is. After a request has gone to state
// activating, the SAM is asked what happened (GET) before anything else is done.
//
// A request moves only through Requests.Advance, a compare-and-swap: two browsers, a worker and a
// restarted process may all try, one of them wins and the others look again.
package signer

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/pdf"
	"tekend/revocation"
	"tekend/sam"
	"tekend/tsa"
)

// Errors of the store that signer acts upon.
var (
	// ErrNotFound is returned for a request, callback or credential that does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict is returned by Advance when the request is not as the caller saw it.
	ErrConflict = errors.New("changed by somebody else")
	// ErrKeyTaken is returned by Insert when the client has used this idempotency key before.
	ErrKeyTaken = errors.New("idempotency key taken")
	// ErrTooLarge is returned by Blobs.Put when the reader holds more than the limit.
	ErrTooLarge = errors.New("too large")
	// ErrStorageFull is returned by Blobs.Put when the disk is full.
	ErrStorageFull = errors.New("storage full")
)

// Requests keeps the requests. Implementations are safe for concurrent use and never retry.
type Requests interface {
	// Insert stores a new request with its documents, its first event, its Holds and, if it has one, its Once,
	// durable when it returns. ErrKeyTaken: the client has used the key of Once before; *HeldError: one of Holds is
	// another open request's. Then nothing was stored.
	Insert(ctx context.Context, r *Record) error
	// Load returns a request, or ErrNotFound.
	Load(ctx context.Context, l Lookup) (*Record, error)
	// Advance is the only write to a request. It returns ErrConflict, having written nothing, when the
	// request has changed since it was loaded; on nil Now.Version is the new version. After any other
	// error it is unknown whether the change was stored: load again before the next step.
	Advance(ctx context.Context, c Change) error
	// Due returns up to limit requests whose NextAt is not after now, the oldest first, and when the
	// next one will be due (zero: none).
	Due(ctx context.Context, now time.Time, limit int) (ids []string, next time.Time, err error)
}

// Callbacks finds what an itsme state parameter belongs to; ErrNotFound if we never sent it.
type Callbacks interface {
	Callback(ctx context.Context, state string) (Callback, error)
}

// Signers knows which credential a client's person has; "" if none. Written by Change.Bind.
type Signers interface {
	CredentialOf(ctx context.Context, client, reference string) (string, error)
}

// HeldError is returned by Insert when another open request holds one of Record.Holds, or, for Record.Continues, when a
// finished one has made the next revision already.
type HeldError struct {
	Request string // its id; "" when it ended just now
	Made    bool   // it is finished
}

func (e *HeldError) Error() string { return "the next revision is held by request " + e.Request }

// Blob is a stored document: an opaque name and the size in bytes.
type Blob struct {
	Name string
	Size int64
}

// BlobFile is an open blob.
type BlobFile interface {
	io.ReaderAt
	io.Closer
}

// Blobs keeps uploaded bytes, unchanged for ever.
type Blobs interface {
	// Put streams r to its end to disk. File and directory are durable when it returns. More than
	// limit bytes: ErrTooLarge, nothing is kept.
	Put(ctx context.Context, r io.Reader, limit int64) (Blob, error)
	Open(ctx context.Context, name string) (BlobFile, error)
	Drop(ctx context.Context, name string) error
}

// Enrolling is the SAM's part of making a credential. The calls are PUTs on the hash of what they act
// on: an equal one returns the stored outcome, so they may be repeated.
type Enrolling interface {
	Enrol(ctx context.Context, r sam.EnrolRequest) (sam.EnrolStep, error)
	Identification(ctx context.Context, id string, a sam.Answer) (sam.EnrolStep, error)
	Consent(ctx context.Context, id string, a sam.Answer) (sam.EnrolStep, error)
}

// Certifying carries an issue order out of the SAM and the certificate into it.
type Certifying interface {
	Enrolment(ctx context.Context, id string) (sam.EnrolStep, error)
	Certificate(ctx context.Context, id string, chain [][]byte) (sam.EnrolStep, error)
}

// Preparing is the SAM's part before the person confirms. Repeatable.
type Preparing interface {
	Credential(ctx context.Context, id string) (sam.Credential, error)
	Prepare(ctx context.Context, r sam.PrepareRequest) (sam.Prepared, error)
}

// Activation is the SAM's part after the person confirmed. Sign is sent only when Confirmation has
// said, or state confirmed proves, that no position was burnt.
type Activation interface {
	Authorize(ctx context.Context, nonce string, a sam.Answer) (sam.Session, error)
	Sign(ctx context.Context, nonce string, r sam.SignRequest) (sam.Signed, error)
	Confirmation(ctx context.Context, nonce string) (sam.Status, error)
}

// Transparency is what the SAM shows a person of the uses of his key.
type Transparency interface {
	Uses(ctx context.Context, credential string, before int64, limit int) (sam.Uses, error)
	UseProof(ctx context.Context, credential string, seq int64) (json.RawMessage, error)
}

// Issuer is the certification authority. A PUT on the hash of the order: repeatable.
type Issuer interface {
	Issue(ctx context.Context, r ca.IssueRequest) (ca.Issued, error)
}

// Stamper is a time-stamping authority's client. Repeatable.
type Stamper interface {
	Stamp(ctx context.Context, digest []byte, h crypto.Hash) (*tsa.Token, error)
	LearnedSize() int // bytes of the largest token seen
}

// Proving tells whether certificates are good, and collects what proves it to others. Errors mean that it could not be
// had yet. Repeatable. See revocation.Collector, which it is.
type Proving interface {
	Status(ctx context.Context, cert, issuer *x509.Certificate, since time.Time) (*certs.Status, error)
	Material(ctx context.Context, needs []revocation.Need) (pdf.Material, error)
}

// Config is the signer's part of the front's configuration file.
type Config struct {
	// Now is the clock. Required.
	Now func() time.Time `yaml:"-"`
	// Log receives what went wrong inside; never personal data. Required.
	Log *slog.Logger `yaml:"-"`
	// PublicURL is where people reach the front, without a trailing slash. Example: https://sign.example.
	PublicURL string `yaml:"public_url"`
	// Terms are the terms that a person accepts at enrolment.
	Terms Terms `yaml:"-"`
	// Lifetime is how long a request waits for the person if the order does not say. Default 24h.
	Lifetime time.Duration `yaml:"lifetime"`
	// MaxLifetime is the longest life an order may ask for. Default 720h.
	MaxLifetime time.Duration `yaml:"max_lifetime"`
	// MaxDocumentBytes limits one document. Default 2 GiB: the largest PDF we measured is 1 GB, and a
	// cross-reference table cannot address more than 10 GB.
	MaxDocumentBytes int64 `yaml:"max_document_bytes"`
	// MaxRequestBytes limits all documents of one request. Default 4 GiB, or what one document may have.
	MaxRequestBytes int64 `yaml:"max_request_bytes"`
	// MaxDocuments limits the documents of one request. Default and highest 250
	// (sam.MaxDocuments): itsme's text names the first ones and counts the others.
	MaxDocuments int `yaml:"max_documents"`
	// FinishWithin is how long we try to get time-stamps and revocation data after signing. Default 72h, so that a
	// partner may be away for a weekend; then the request fails (it is never released at a lower level).
	FinishWithin time.Duration `yaml:"finish_within"`
	// StopWithin is how long Run lets steps end that are under way when it is stopped. Default 15s.
	StopWithin time.Duration `yaml:"stop_within"`
	// OneTime says which clients' people get a one-time credential for each request (Progress.OneTime). Nil: none.
	OneTime func(client string) bool `yaml:"-"`
	// Workers is how many requests are worked on at the same time. Default 8.
	Workers int `yaml:"workers"`
	// PDF limits what a document may cost to read. Default pdf.DefaultBudget.
	PDF pdf.Budget `yaml:"-"`
}

// Terms names one version of the terms of service.
type Terms struct {
	Version string
	SHA256  []byte // of the text that the page shows
}

// Dependencies are the other parts. All are required.
type Dependencies struct {
	Requests   Requests
	Claims     Claims
	Callbacks  Callbacks
	Signers    Signers
	Blobs      Blobs
	Enrolling  Enrolling
	Certifying Certifying
	Preparing  Preparing
	Activation Activation
	Uses       Transparency
	// Revoking and Revocations are what people need to revoke.
	Revoking    Revoking
	Revocations Revocations
	Issuer      Issuer
	Stamper     Stamper
	// Revocation is asked when a document is finished.
	Revocation Proving
	Evidence   Evidencing
	// EvidenceStampers stamp evidence beside Stamper: authorities of others. May be empty.
	EvidenceStampers []Stamper
	// Roots are the trust anchors that our own product is checked against.
	Roots *x509.CertPool
}

// Service is the signing service. Its methods may be called concurrently.
type Service struct {
	cfg  Config
	dep  Dependencies
	hub  hub
	jobs jobs
	rush rush
}

// New returns a service. Requests move on as soon as something happens; what needs time (expiry,
// repetition, going on after a restart) needs Run.
func New(cfg Config, dep Dependencies) *Service {
	setDefault(&cfg.Lifetime, 24*time.Hour)
	setDefault(&cfg.MaxLifetime, 30*24*time.Hour)
	setDefault(&cfg.MaxDocumentBytes, 2<<30)
	setDefault(&cfg.MaxRequestBytes, max(4<<30, cfg.MaxDocumentBytes))
	setDefault(&cfg.MaxDocuments, maxDocuments)
	setDefault(&cfg.FinishWithin, 72*time.Hour)
	setDefault(&cfg.StopWithin, 15*time.Second)
	setDefault(&cfg.Workers, 8)
	if cfg.PDF == (pdf.Budget{}) {
		cfg.PDF = pdf.DefaultBudget()
	}
	if cfg.MaxDocuments > maxDocuments {
		cfg.MaxDocuments = maxDocuments
	}
	s := &Service{cfg: cfg, dep: dep}
	s.jobs.init(cfg.Workers)
	return s
}

// MaxRequestBytes is how many bytes the documents of one request may have together.
func (s *Service) MaxRequestBytes() int64 { return s.cfg.MaxRequestBytes }

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// hub wakes those who wait for a request to change.
type hub struct {
	mu   sync.Mutex
	wait map[string]chan struct{}
}

// next returns a channel that is closed at the next change of request id.
func (h *hub) next(id string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wait == nil {
		h.wait = map[string]chan struct{}{}
	}
	c, ok := h.wait[id]
	if !ok {
		c = make(chan struct{})
		h.wait[id] = c
	}
	return c
}

// changed wakes everyone who waits for request id.
func (h *hub) changed(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.wait[id]; ok {
		close(c)
		delete(h.wait, id)
	}
}
