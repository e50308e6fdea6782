package pdf

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"hash"
	"io"
)

// Prefix is how far a document has been hashed: what [Options].Known takes, so
// that a document of any size is read once, when it comes, and not again for
// each signature and time-stamp behind it. It is plain data, to be stored. It
// must come from our own keeping: what it says is believed.
type Prefix struct {
	Size  int64       `json:"size"` // bytes that were hashed, from the first on
	Hash  crypto.Hash `json:"hash"`
	State []byte      `json:"state"` // of Hash, as in Base.State
	// SHA256 is the state of SHA-256 after the same bytes when Hash is another
	// function: by SHA-256 the base is known (Prepared.BaseDigest).
	SHA256 []byte `json:"sha256,omitempty"`
}

// PrefixHasher makes a [Prefix] of what is written to it.
type PrefixHasher struct {
	f            crypto.Hash
	main, sha256 hash.Hash // one and the same when f is SHA-256; main is nil when f is none of ours
	n            int64
}

var _ io.Writer = (*PrefixHasher)(nil)

// NewPrefixHasher begins with nothing written. h is SHA-256 (also when zero),
// SHA-384 or SHA-512; any other is the error of Prefix.
func NewPrefixHasher(h crypto.Hash) *PrefixHasher {
	if h == 0 {
		h = crypto.SHA256
	}
	p := &PrefixHasher{f: h, sha256: sha256.New()}
	switch fn, known := functions[h]; {
	case h == crypto.SHA256:
		p.main = p.sha256
	case known:
		p.main = fn.make()
	}
	return p
}

// Write never fails.
func (p *PrefixHasher) Write(b []byte) (int, error) {
	p.sha256.Write(b)
	if p.main != nil && p.f != crypto.SHA256 {
		p.main.Write(b)
	}
	p.n += int64(len(b))
	return len(b), nil
}

// SHA256 is the SHA-256 of what was written.
func (p *PrefixHasher) SHA256() []byte { return p.sha256.Sum(nil) }

// Prefix tells how far it is; writing can go on.
func (p *PrefixHasher) Prefix() (Prefix, error) {
	out := Prefix{Size: p.n, Hash: p.f}
	if p.main == nil {
		return Prefix{}, errf(CodeBadOptions, "hash is not SHA-256, SHA-384 or SHA-512")
	}
	var err error
	if out.State, err = stateOf(p.f, p.main, p.n); err != nil {
		return Prefix{}, err
	}
	if p.f != crypto.SHA256 {
		out.SHA256, err = stateOf(crypto.SHA256, p.sha256, p.n)
	}
	return out, err
}

// hasher goes on where k ends, in the size bytes of base. A state ends with the
// bytes behind the last whole block: they are held against the base, which
// finds most mix-ups of documents for nothing.
func (k *Prefix) hasher(base io.ReaderAt, size int64) (*PrefixHasher, error) {
	if k.Size < 0 || k.Size > size {
		return nil, errf(CodeBadOptions, "%d bytes are known of %d", k.Size, size)
	}
	p := &PrefixHasher{f: k.Hash, n: k.Size}
	var err error
	if p.main, err = restore(k.Hash, k.State, k.Size); err != nil {
		return nil, errf(CodeBadOptions, "no state of the known bytes")
	}
	p.sha256 = p.main
	if k.Hash != crypto.SHA256 {
		if p.sha256, err = restore(crypto.SHA256, k.SHA256, k.Size); err != nil {
			return nil, errf(CodeBadOptions, "no state of the known bytes in SHA-256")
		}
	}
	rest := k.State[functions[k.Hash].chain:]
	there := make([]byte, len(rest))
	if err = readFull(base, there, k.Size-int64(len(rest))); err != nil {
		return nil, err
	}
	if !bytes.Equal(rest, there) {
		return nil, errf(CodeBadOptions, "what is known is of another document")
	}
	return p, nil
}

// Prefix is what [Options].Known takes for whatever is made behind the same
// base, or behind it with updates; nil when p was made before there was one.
func (p *Prepared) Prefix() *Prefix {
	k := &Prefix{Size: p.BaseSize, State: p.BaseState, SHA256: p.BaseSHA256}
	for f := range functions {
		if f.Size() == len(p.Digest) {
			k.Hash = f
		}
	}
	if len(k.State) == 0 || k.Hash == 0 || k.Hash != crypto.SHA256 && len(k.SHA256) == 0 {
		return nil
	}
	return k
}
