package store_test

import (
	"bytes"
	"errors"
	"testing"

	"tekend/signer"
)

// TestDigestsThatComeLater: they are written with the change or not at all, and hold their next revision from then on.
func TestDigestsThatComeLater(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	waiting := func(id string) *signer.Record {
		r := record(id)
		r.Progress.Hashes, r.Progress.Later = true, &signer.Later{Exclusive: true}
		for i := range r.Documents {
			r.Documents[i].SHA256, r.Documents[i].Blob, r.Documents[i].DigestAlgorithm = nil, "", "SHA-256"
		}
		if err := s.Insert(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return load(t, s, signer.Lookup{ID: id})
	}
	send := func(r *signer.Record, digest byte, change bool) error {
		next := *r
		next.Documents = append([]signer.Document{}, r.Documents...)
		for i := range next.Documents {
			next.Documents[i].Digest = bytes.Repeat([]byte{digest + byte(i)}, 32)
			next.Holds = append(next.Holds, next.Documents[i].Digest)
		}
		return s.Advance(t.Context(), signer.Change{Was: r.State, Now: &next, Digests: change})
	}
	first, second := waiting("sr_1"), waiting("sr_2")
	if err := send(first, 1, true); err != nil {
		t.Fatal(err)
	}
	if err := send(first, 50, true); !errors.Is(err, signer.ErrConflict) {
		t.Errorf("of two calls from the same state the second: %v", err)
	}
	var held *signer.HeldError
	if err := send(second, 1, true); !errors.As(err, &held) || held.Request != first.ID {
		t.Errorf("the same digest for another request: %v", err)
	}
	if got := load(t, s, signer.Lookup{ID: second.ID}); got.Documents[0].Digest != nil || got.Version != second.Version {
		t.Errorf("a refused change left %+v", got)
	}
	if err := send(second, 100, false); err != nil {
		t.Fatal(err)
	}
	if got := load(t, s, signer.Lookup{ID: second.ID}); got.Documents[0].Digest != nil {
		t.Error("digests were written without being asked for")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	got := load(t, s, signer.Lookup{ID: first.ID})
	if !bytes.Equal(got.Documents[0].Digest, bytes.Repeat([]byte{1}, 32)) || got.Documents[0].DigestAlgorithm != "SHA-256" || !got.Progress.Later.Exclusive {
		t.Errorf("%+v", got.Documents[0])
	}
}
