package consent

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"tekend/strictjson"
)

// BundleVersion stands in every evidence bundle.
const BundleVersion = "tekend-evidence/1"

// MaxBundle bounds a bundle, in bytes: MaxDocs documents with CAdES attributes and RSA-3072 values,
// the proofs of 502 rows in a log of a million, and a few time-stamps are below 1.7 MB.
const MaxBundle = 4 << 20

// Bundle is the evidence of one confirmation and of the signatures made with
// it. docs/evidence.md is its format; package evidence verifies it. []byte
// members are base64 (RFC 4648 §4, padded) of exact byte strings.
type Bundle struct {
	V            string       `json:"v"`            // BundleVersion
	Manifest     []byte       `json:"manifest"`     // what the nonce commits to
	Text         string       `json:"text"`         // what itsme was asked to show
	Request      string       `json:"request"`      // our signed request object, compact JWS
	ClientKeys   []byte       `json:"client_keys"`  // our public key set when we asked, JWK set
	Token        string       `json:"token"`        // the ID token that itsme signed, compact JWS
	IssuerKeys   IssuerKeys   `json:"issuer_keys"`  // the set that the token was verified with
	Certificates [][]byte     `json:"certificates"` // DER: the person's, then each issuer's below the root
	Order        *SignedOrder `json:"order"`        // absent when the provider has not signed its order
	Positions    []Position   `json:"positions"`    // in the order of the manifest's docs
	Audit        AuditExtract `json:"audit"`
	TimeStamps   [][]byte     `json:"time_stamps"` // RFC 3161 tokens over Imprint; absent before the first
}

// IssuerKeys is itsme's key set as it was fetched.
type IssuerKeys struct {
	URL  string `json:"url"`
	At   string `json:"at"`   // when it was asked for: TimeOfKeys
	Body []byte `json:"body"` // the answer, byte for byte
}

// SignedOrder is what the provider signed about its documents (package order).
type SignedOrder struct {
	Provider string `json:"provider"` // as operators registered it
	JWS      string `json:"jws"`
	KeySet   []byte `json:"key_set"` // its registered keys at that moment, JWK set
}

// TimeOfKeys is the form of IssuerKeys.At: UTC with microseconds, for time.Format.
const TimeOfKeys = "2006-01-02T15:04:05.000000Z"

// Position is one document with its signature.
type Position struct {
	Label      string `json:"label"`      // as in the manifest
	Digest     []byte `json:"digest"`     // of the document, by the manifest's alg
	Attributes []byte `json:"attributes"` // DER SET OF signed attributes: what was hashed and signed
	Algorithm  string `json:"algorithm"`  // of the value, as in package sam
	Value      []byte `json:"value"`
}

// AuditExtract is the part of the sam's record that tells of this confirmation, with the
// proof that each row stands in the log of one checkpoint.
type AuditExtract struct {
	LogKey      string     `json:"log_key"`      // of the checkpoint, C2SP signed-note verifier key
	WitnessKeys []string   `json:"witness_keys"` // of the witnesses that cosigned it
	Checkpoint  string     `json:"checkpoint"`   // C2SP signed note with cosignatures
	Rows        []AuditRow `json:"rows"`         // prepared, authorized, then intent and use of each position
}

// AuditRow is one row: a leaf of the log with its inclusion proof (RFC 6962 §2.1.1).
type AuditRow struct {
	Seq    int64    `json:"seq"`    // from 1; the leaf's index is Seq-1
	Row    []byte   `json:"row"`    // the leaf
	Hashes [][]byte `json:"hashes"` // the path, from the leaf up
}

// Encode gives the canonical JSON (RFC 8785) of a bundle. It says nothing
// about whether the bundle is true.
func (b *Bundle) Encode() ([]byte, error) {
	if b.V != BundleVersion {
		return nil, fmt.Errorf("evidence: v must be %q", BundleVersion)
	}
	w := &writer{}
	w.open()
	w.name("audit")
	b.Audit.write(w)
	w.blobs("certificates", b.Certificates)
	w.blob("client_keys", b.ClientKeys)
	w.name("issuer_keys")
	w.open()
	w.must("at", b.IssuerKeys.At)
	w.blob("body", b.IssuerKeys.Body)
	w.must("url", b.IssuerKeys.URL)
	w.close()
	w.blob("manifest", b.Manifest)
	if o := b.Order; o != nil {
		w.name("order")
		w.open()
		w.must("jws", o.JWS)
		w.blob("key_set", o.KeySet)
		w.must("provider", o.Provider)
		w.close()
	}
	w.name("positions")
	w.list(len(b.Positions), func(i int) { b.Positions[i].write(w) })
	w.must("request", b.Request)
	w.must("text", b.Text)
	if len(b.TimeStamps) > 0 {
		w.blobs("time_stamps", b.TimeStamps)
	}
	w.must("token", b.Token)
	w.must("v", b.V)
	w.close()
	if w.err == nil && len(w.out) > MaxBundle {
		w.err = errors.New("longer than a bundle may be")
	}
	if w.err != nil {
		return nil, fmt.Errorf("evidence: %w", w.err)
	}
	return w.out, nil
}

func (p *Position) write(w *writer) {
	w.open()
	w.must("algorithm", p.Algorithm)
	w.blob("attributes", p.Attributes)
	w.blob("digest", p.Digest)
	w.must("label", p.Label)
	w.blob("value", p.Value)
	w.close()
}

func (a *AuditExtract) write(w *writer) {
	w.open()
	w.must("checkpoint", a.Checkpoint)
	w.must("log_key", a.LogKey)
	w.name("rows")
	w.list(len(a.Rows), func(i int) {
		w.open()
		w.blobs("hashes", a.Rows[i].Hashes)
		w.blob("row", a.Rows[i].Row)
		w.integer("seq", a.Rows[i].Seq)
		w.close()
	})
	w.name("witness_keys")
	w.list(len(a.WitnessKeys), func(i int) { w.text(a.WitnessKeys[i]) })
	w.close()
}

// DecodeBundle reads a bundle. It refuses unknown, absent and duplicate
// members and every byte that is not the canonical JSON of what it says.
func DecodeBundle(in []byte) (*Bundle, error) {
	b := &Bundle{}
	if err := strictjson.Decode(in, MaxBundle, b); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	again, err := b.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, in) {
		return nil, errors.New("evidence: not in canonical form")
	}
	return b, nil
}

// Imprint is what the time-stamps are over: the SHA-256 of the canonical JSON
// of the bundle without its time_stamps.
func (b *Bundle) Imprint() ([]byte, error) {
	bare := *b
	bare.TimeStamps = nil
	out, err := bare.Encode()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(out)
	return sum[:], nil
}

// must writes a string member also when it is empty.
func (w *writer) must(name, v string) {
	w.name(name)
	w.text(v)
}

func (w *writer) blob(name string, v []byte) { w.must(name, base64.StdEncoding.EncodeToString(v)) }

func (w *writer) blobs(name string, v [][]byte) {
	w.name(name)
	w.list(len(v), func(i int) { w.text(base64.StdEncoding.EncodeToString(v[i])) })
}

// list writes an array of n elements.
func (w *writer) list(n int, one func(i int)) {
	w.raw("[")
	for i := range n {
		if i > 0 {
			w.raw(",")
		}
		one(i)
	}
	w.raw("]")
	w.first = false
}
