package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"tekend/consent"
	"tekend/order"
	"tekend/pdf"
	"tekend/sam"
	"tekend/validate"
)

const (
	maxDocuments = sam.MaxDocuments
	maxReference = 128
	maxURL       = 2048
	minLifetime  = time.Minute

	defaultLevel    = LevelBT
	defaultLanguage = "en"
)

// Upload yields the documents of an order one after the other; io.EOF ends them. The reader of a
// document is used up before Next is called again.
type Upload interface {
	Next(ctx context.Context) (name string, r io.Reader, err error)
}

// Create takes an order: it streams the documents to disk while hashing them, looks at the structure of
// each at once, and stores the request in state created; up may be nil for an order of digests or of finished documents.
// Nothing is kept of a refused order, so its idempotency key stays free. A key that was used for another order is
// ErrKeyReused; ErrHeld: another open request makes the next revision of one of the documents.
func (s *Service) Create(ctx context.Context, client string, o Order, up Upload) (*Request, error) {
	rec, err := s.newRecord(client, o)
	if err != nil {
		return nil, err
	}
	if o.IdempotencyKey != "" {
		if r, err := s.repeat(ctx, rec, o, up); !errors.Is(err, ErrNotFound) {
			return r, err
		}
	}
	var mine []Document // whose blobs came with this call
	kept := false
	defer func() {
		if !kept {
			s.drop(mine)
		}
	}()
	switch {
	case len(o.Digests) > 0:
		err = s.takeDigests(rec, o)
	case len(o.Continues) > 0:
		err = s.takeContinued(ctx, rec, o)
	default:
		err = s.receive(ctx, rec, up, o.Exclusive)
		mine = rec.Documents
	}
	if err != nil {
		return nil, err
	}
	if err := s.ordered(rec); err != nil {
		return nil, err
	}
	if err := rec.countVisible(); err != nil {
		return nil, err
	}
	if o.IdempotencyKey != "" {
		digest, err := fingerprint(o, mine)
		if err != nil {
			return nil, err
		}
		rec.Once = &Once{Key: o.IdempotencyKey, Digest: digest}
	}
	err = s.dep.Requests.Insert(ctx, rec)
	if errors.Is(err, ErrKeyTaken) {
		return s.lost(ctx, rec, o, mine)
	}
	if held, ok := errors.AsType[*HeldError](err); ok {
		return nil, heldBy(held)
	}
	kept = true
	if err != nil {
		// Unknown whether it was stored: the blobs stay, the sweep at the next start decides.
		return nil, fmt.Errorf("store request: %w", err)
	}
	s.jobs.wakeUp() // its end may be nearer than what Run waits for
	return view(rec), nil
}

// check finds what is wrong with an order before anything is read.
func (s *Service) check(client string, o Order) error {
	cades, hashes := o.Format == CAdES, len(o.Digests) > 0
	switch {
	case levelOf(o.Level) == 0:
		return ErrLevel
	case o.Level == LevelBB && s.oneTime(client):
		return ErrLevelOnce
	case o.Format != PAdES && !cades,
		o.Packaging != "" && !cades,
		o.Packaging != "" && o.Packaging != Detached && o.Packaging != Attached,
		o.Packaging == Attached && hashes:
		return ErrFormat
	case hashes && !cades && o.Level == LevelLTA:
		return ErrLevelHash
	case hashes && len(o.Continues) > 0:
		return ErrDigest.with("digests and finished documents cannot be ordered together")
	case len(o.Continues) > 0 && cades:
		return ErrContinues.with("the next revision is one of a PDF; with cades send the file")
	case !language(o.Language):
		return ErrLanguage
	case o.Reference != "" && !visibleASCII(o.Reference, maxReference):
		return ErrReference
	case o.RedirectURL != "" && !redirectAllowed(o.RedirectURL):
		return ErrRedirect
	case o.Lifetime < minLifetime || o.Lifetime > s.cfg.MaxLifetime:
		return ErrLifetime
	case o.IdempotencyKey != "" && !visibleASCII(o.IdempotencyKey, maxKey):
		return ErrKey
	}
	return checkVisible(&o)
}

func (s *Service) newRecord(client string, o Order) (*Record, error) {
	setDefault(&o.Level, defaultLevel)
	setDefault(&o.Language, defaultLanguage)
	setDefault(&o.Lifetime, s.cfg.Lifetime)
	setDefault(&o.Format, PAdES)
	if err := s.check(client, o); err != nil {
		return nil, err
	}
	now := s.now()
	token := make([]byte, 32)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	id, err := newID("sr_")
	if err != nil {
		return nil, err
	}
	rec := &Record{
		ID: id, Client: client, State: Created, Token: base64.RawURLEncoding.EncodeToString(token),
		Level: o.Level, Language: o.Language, Reference: o.Reference, RedirectURL: o.RedirectURL,
		CreatedAt: now, ExpiresAt: now.Add(o.Lifetime),
	}
	rec.NextAt = rec.ExpiresAt
	p := &rec.Progress
	p.SignedOrder, p.OneTime, p.Hashes, p.Visible = o.SignedOrder, s.oneTime(client), len(o.Digests) > 0, o.withText()
	if o.Format == CAdES {
		p.Format = CAdES
		if o.Packaging == Attached {
			p.Packaging = Attached
		}
	}
	ev, err := s.event(Created)
	if err != nil {
		return nil, err
	}
	rec.Events = []Event{*ev}
	return rec, nil
}

// receive stores every document of up and fills rec.Documents, also when it fails half way. exclusive: the next revision
// of each is held for rec; of documents that hold a signature already it always is.
func (s *Service) receive(ctx context.Context, rec *Record, up Upload, exclusive bool) error {
	room := s.cfg.MaxRequestBytes
	for up != nil {
		name, r, err := up.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(rec.Documents) == s.cfg.MaxDocuments {
			return ErrManyDocuments
		}
		doc, err := s.store(ctx, name, r, len(rec.Documents)+1, room)
		if err != nil {
			return err
		}
		room -= doc.Size
		rec.Documents = append(rec.Documents, doc)
		if twice(rec.Documents) {
			return ErrTwice.with(fmt.Sprintf("document %d was sent before", len(rec.Documents)))
		}
		signed, err := s.inspect(ctx, rec, &doc)
		if err != nil {
			return numbered(err, len(rec.Documents))
		}
		if signed || exclusive {
			rec.hold(doc.SHA256)
		}
	}
	if len(rec.Documents) == 0 {
		return ErrNoDocument
	}
	return nil
}

// store takes one document in, of at most room bytes. What is learned while it streams by need not be read again.
func (s *Service) store(ctx context.Context, name string, r io.Reader, n int, room int64) (Document, error) {
	doc, err := newDocument(name, n)
	if err != nil {
		return doc, err
	}
	h := pdf.NewPrefixHasher(crypto.SHA256)
	blob, err := s.dep.Blobs.Put(ctx, io.TeeReader(r, h), min(room, s.cfg.MaxDocumentBytes))
	if err != nil {
		return doc, s.putError(err, room < s.cfg.MaxDocumentBytes)
	}
	doc.Blob, doc.Size, doc.SHA256 = blob.Name, blob.Size, h.SHA256()
	prefix, err := h.Prefix()
	if err == nil {
		doc.Prefix, err = json.Marshal(prefix)
	}
	if err != nil {
		s.drop([]Document{doc})
		return doc, fmt.Errorf("state of the hash: %w", err)
	}
	return doc, nil
}

// ordered says early that a signed order will be refused. It proves nothing: the keys are the SAM's knowledge.
func (s *Service) ordered(rec *Record) error {
	if rec.Progress.SignedOrder == "" {
		return nil
	}
	o, err := order.Peek(rec.Progress.SignedOrder)
	if err == nil {
		err = o.At(s.now())
	}
	if err == nil {
		hash, digests := crypto.SHA256, make([][]byte, len(rec.Documents))
		for i, d := range rec.Documents {
			if digests[i] = d.SHA256; rec.Progress.Hashes {
				digests[i], hash = d.Digest, digestAlgorithms[d.DigestAlgorithm]
			}
		}
		err = o.Covers(hash, digests)
	}
	if err != nil {
		return ErrOrder.with(strings.TrimPrefix(err.Error(), "order: "))
	}
	return nil
}

// twice says whether the last document is like an earlier one. Both would have the same bytes to sign, and
// the SAM signs each once.
func twice(docs []Document) bool {
	last := len(docs) - 1
	return slices.ContainsFunc(docs[:last], func(d Document) bool {
		return bytes.Equal(d.SHA256, docs[last].SHA256) && bytes.Equal(d.Digest, docs[last].Digest)
	})
}

// inspect reads the structure of a document, so that one that cannot be signed is refused at once and not
// when the person has confirmed; and it says whether the document holds a signature already.
func (s *Service) inspect(ctx context.Context, rec *Record, d *Document) (signed bool, err error) {
	if rec.Progress.Format == CAdES {
		if d.Size == 0 {
			return false, ErrEmpty
		}
		return false, nil // any file can be signed beside it
	}
	f, err := s.openBase(ctx, d)
	if err != nil {
		return false, err
	}
	defer f.Close()
	// The reserve only has to be a possible one here; the real one needs the certificate.
	err = pdf.Check(f, d.Size, pdf.Options{
		SignatureTime: s.now(), Reserve: 16 << 10, Hash: crypto.SHA256, Budget: s.cfg.PDF,
		Appearance: rec.appearance(d, longName, s.now()),
	})
	if err != nil {
		return false, pdfError(err)
	}
	found, err := pdf.Signatures(f, d.Size, s.cfg.PDF)
	if err != nil {
		return false, pdfError(err) // our own check of the product would fail so too
	}
	ours := 1
	if levelOf(rec.Level) > levelOf(LevelBLT) {
		ours = 2
	}
	if n := len(found); n+ours > validate.MaxSignatures {
		return true, ErrSignatures.with(fmt.Sprintf("the document has %d signatures and time-stamps, this order adds %d, and %d is the most that validators are asked to look at",
			n, ours, validate.MaxSignatures))
	}
	return len(found) > 0, nil
}

// numbered says which document is meant, by its place: its name is not for errors.
func numbered(err error, n int) error {
	var own *Error
	if errors.As(err, &own) && n > 1 {
		return own.with(fmt.Sprintf("document %d: %s", n, own.Detail))
	}
	return err
}

func (s *Service) putError(err error, whole bool) error {
	switch {
	case errors.Is(err, ErrTooLarge) && whole:
		return ErrRequestSize.with(fmt.Sprintf("the documents together have more than the %d bytes that this service takes", s.cfg.MaxRequestBytes))
	case errors.Is(err, ErrTooLarge):
		return ErrDocumentSize.with(fmt.Sprintf("a document has more than the %d bytes that this service takes", s.cfg.MaxDocumentBytes))
	case errors.Is(err, ErrStorageFull):
		return ErrStorage
	}
	return fmt.Errorf("store document: %w", err)
}

func newDocument(name string, n int) (Document, error) {
	id, err := newID("doc_")
	if err != nil {
		return Document{}, err
	}
	name = cleanName(name, n)
	label, err := consent.Label(name)
	if err != nil {
		return Document{}, ErrDocumentName
	}
	return Document{ID: id, Name: name, Label: label}, nil
}

// cleanName keeps the last element of a file name: no folders, no control characters, ≤ 255 bytes (what
// file systems take).
func cleanName(name string, n int) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, "_"), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '/' {
			return -1
		}
		return r
	}, name)
	name = strings.TrimSpace(name)
	if name == "" || name == "." || name == ".." {
		return fmt.Sprintf("document-%d.pdf", n)
	}
	for len(name) > 255 {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

func (s *Service) drop(docs []Document) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, d := range docs {
		if err := s.dep.Blobs.Drop(ctx, d.Blob); err != nil {
			s.cfg.Log.Warn("drop document", "blob", d.Blob, "err", err)
		}
	}
}

func language(l string) bool { return l == "en" || l == "nl" }

func visibleASCII(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func redirectAllowed(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// newID returns prefix and a UUIDv7 (RFC 9562 §5.7).
func newID(prefix string) (string, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	return prefix + u.String(), nil
}

// now has whole microseconds, so that a time is the same before and after it was stored.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) event(to State) (*Event, error) {
	id, err := newID("evt_")
	if err != nil {
		return nil, err
	}
	return &Event{ID: id, At: s.now(), Type: "signature_request." + string(to)}, nil
}
