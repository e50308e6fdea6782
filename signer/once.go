package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// maxKey is the longest idempotency key, in characters: it is a name, not a place for data.
const maxKey = 255

// Once makes an order happen once: the same client with the same key means the same request
// (draft-ietf-httpapi-idempotency-key-header).
type Once struct {
	Key    string // the client's own; only its hash is stored
	Digest []byte // SHA-256 over what was ordered: the draft's "idempotency fingerprint"
}

// fingerprint is the digest over an order as it was understood: what the client left out is the same as its
// default (but a life that it left out stays "ours"), and whether it came in parts or as one body does not
// matter. docs are those that were uploaded. Its form is part of the database: a new member of an order is added with
// omitempty.
func fingerprint(o Order, docs []Document) ([]byte, error) {
	type document struct {
		Name   string `json:"name"`
		SHA256 []byte `json:"sha256"`
	}
	f := struct {
		V         int           `json:"v"`
		Level     string        `json:"level"`
		Language  string        `json:"language"`
		Reference string        `json:"reference"`
		Redirect  string        `json:"redirect_url"`
		Lifetime  time.Duration `json:"lifetime"`
		Documents []document    `json:"documents"`
		Order     string        `json:"signed_order,omitempty"`

		Format    string          `json:"format,omitempty"`
		Packaging string          `json:"packaging,omitempty"`
		Digests   []OrderedDigest `json:"digests,omitempty"`
		Continues []Continued     `json:"continues,omitempty"`
		Exclusive bool            `json:"exclusive,omitempty"`
		Visible   []Visible       `json:"visible,omitempty"`
	}{
		V: 1, Order: o.SignedOrder, Level: o.Level, Language: o.Language, Reference: o.Reference, Redirect: o.RedirectURL,
		Lifetime: o.Lifetime, Digests: o.Digests, Continues: o.Continues, Exclusive: o.Exclusive, Visible: o.Visible,
	}
	if o.Format == CAdES {
		f.Format, f.Packaging = CAdES, Detached
		setIf(&f.Packaging, o.Packaging)
	}
	setDefault(&f.Level, defaultLevel)
	setDefault(&f.Language, defaultLanguage)
	for _, d := range docs {
		f.Documents = append(f.Documents, document{d.Name, d.SHA256})
	}
	b, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

// repeat answers an order whose key was used before; ErrNotFound if it was not. The documents are hashed and
// not stored: if they are the same we have them, if not the order is refused.
func (s *Service) repeat(ctx context.Context, rec *Record, o Order, up Upload) (*Request, error) {
	first, err := s.dep.Requests.Load(ctx, Lookup{Client: rec.Client, Key: o.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	var docs []Document
	for up != nil && len(o.Digests) == 0 && len(o.Continues) == 0 {
		name, r, err := up.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(docs) == len(first.Documents) {
			return nil, ErrKeyReused
		}
		h, size := sha256.New(), first.Documents[len(docs)].Size
		// size+1: one byte more proves that it is another document; the rest need not be read.
		n, err := io.Copy(h, io.LimitReader(r, size+1))
		if err != nil {
			return nil, fmt.Errorf("read document: %w", err)
		}
		if n > size {
			return nil, ErrKeyReused
		}
		docs = append(docs, Document{Name: cleanName(name, len(docs)+1), SHA256: h.Sum(nil)})
	}
	return s.sameOrder(rec, first, o, docs)
}

// lost answers an order of which the same key was stored by another call while its documents came in.
func (s *Service) lost(ctx context.Context, rec *Record, o Order, mine []Document) (*Request, error) {
	first, err := s.dep.Requests.Load(ctx, Lookup{Client: rec.Client, Key: o.IdempotencyKey})
	if err != nil {
		return nil, fmt.Errorf("load the request of an idempotency key: %w", err)
	}
	return s.sameOrder(rec, first, o, mine)
}

// sameOrder shows the first request as it was when it was made, so that the answer is the same again; Get
// tells what became of it.
func (s *Service) sameOrder(rec, first *Record, o Order, docs []Document) (*Request, error) {
	digest, err := fingerprint(o, docs)
	if err != nil {
		return nil, err
	}
	if first.Once == nil || !bytes.Equal(first.Once.Digest, digest) {
		return nil, ErrKeyReused
	}
	then := *first
	then.State, then.Language, then.Events = Created, rec.Language, first.Events[:1]
	then.Progress = Progress{Format: rec.Progress.Format, Packaging: rec.Progress.Packaging, Hashes: rec.Progress.Hashes, Later: rec.Progress.Later}
	then.Documents = slices.Clone(first.Documents)
	for i := range then.Documents {
		then.Documents[i].Level = ""
		if first.Progress.Later != nil {
			then.Documents[i].Digest = nil
		}
	}
	return view(&then), nil
}
