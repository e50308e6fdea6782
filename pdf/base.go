package pdf

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"errors"
	"hash"
)

// Base ties the digest of a prepared PDF to the digest of the file that it was made of, for somebody who sees neither. A
// prepared PDF is that file with an update behind it; what will be signed is the hash of all
// of it without the space for the signature. SHA-2 goes from block to block (FIPS 180-4 §6.2, §6.4, §6.5): from
// the state behind the last whole block of the file both digests can be computed. A state that gives the file's digest
// and is not the file's would be a second preimage.
type Base struct {
	Size   int64  `json:"size"`   // of the file, bytes
	State  []byte `json:"state"`  // the chaining value, 32 or 64 bytes; then what of the file is behind its last whole block
	Before []byte `json:"before"` // of the update, up to the space for the signature
	After  []byte `json:"after"`  // of the update, from behind that space to its end
}

// function is a hash function whose state Go can write down: magic, chaining value, block, length in bytes.
type function struct {
	make         func() hash.Hash
	magic        string
	chain, block int // bytes
}

var functions = map[crypto.Hash]function{
	crypto.SHA256: {sha256.New, "sha\x03", 32, sha256.BlockSize},
	crypto.SHA384: {sha512.New384, "sha\x04", 64, sha512.BlockSize},
	crypto.SHA512: {sha512.New, "sha\x07", 64, sha512.BlockSize},
}

var errState = errors.New("pdf: the state of this hash cannot be told")

// stateOf takes what Base needs from a hash of the function that has read the whole file of size bytes.
func stateOf(f crypto.Hash, h hash.Hash, size int64) ([]byte, error) {
	fn, known := functions[f]
	m, ok := h.(encoding.BinaryMarshaler)
	if !known || !ok {
		return nil, errState
	}
	b, err := m.MarshalBinary()
	if err != nil || len(b) != len(fn.magic)+fn.chain+fn.block+8 || string(b[:len(fn.magic)]) != fn.magic ||
		binary.BigEndian.Uint64(b[len(b)-8:]) != uint64(size) {
		return nil, errState
	}
	b = b[len(fn.magic):]
	return bytes.Clone(b[:fn.chain+int(size%int64(fn.block))]), nil
}

// restore makes the hash of f that has read size bytes, from what stateOf gave.
func restore(f crypto.Hash, state []byte, size int64) (hash.Hash, error) {
	fn, known := functions[f]
	if !known || size < 0 || len(state) != fn.chain+int(size%int64(fn.block)) {
		return nil, errState
	}
	b := append([]byte(fn.magic), state...)
	b = append(b, make([]byte, fn.chain+fn.block-len(state))...)
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	h := fn.make()
	u, ok := h.(encoding.BinaryUnmarshaler)
	if !ok || u.UnmarshalBinary(b) != nil {
		return nil, errState
	}
	return h, nil
}

// Digests gives the digests of the file and of the prepared one without the space for the signature.
func (b Base) Digests(f crypto.Hash) (file, prepared []byte, err error) {
	if b.Size <= 0 {
		return nil, nil, errState
	}
	h, err := restore(f, b.State, b.Size)
	if err != nil {
		return nil, nil, err
	}
	file = h.Sum(nil)
	h.Write(b.Before)
	h.Write(b.After)
	return file, h.Sum(nil), nil
}

// OnlySigns is [OnlySigns] for the update of b.
func (b Base) OnlySigns() error { return OnlySigns(b.Size, b.Before, b.After) }

// Links says whether prepared is the digest of a prepared file, and gives the digest of the file that it begins with.
func (b Base) Links(f crypto.Hash, prepared []byte) (file []byte, ok bool) {
	file, p, err := b.Digests(f)
	return file, err == nil && subtle.ConstantTimeCompare(p, prepared) == 1
}
