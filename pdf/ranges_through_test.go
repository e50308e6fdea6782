package pdf

import (
	"bytes"
	"crypto"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRangeHasher: however the file is read through it, the digests are those of the file.
func TestRangeHasher(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	file := make([]byte, 1<<20)
	for i := range file {
		file[i] = byte(rnd.Uint32())
	}
	n := int64(len(file))
	wants := []RangeWant{
		{Signature{ByteRange: [4]int64{0, 600_000, 610_000, 90_000}}, crypto.SHA256},
		{Signature{ByteRange: [4]int64{0, 800_000, 820_000, n - 830_000}}, crypto.SHA384},
		{Signature{ByteRange: [4]int64{0, 800_000, 820_000, n - 830_000}}, crypto.SHA256},
	}
	want, err := ByteRangeDigests(bytes.NewReader(file), n, wants)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 200 {
		h, err := NewRangeHasher(bytes.NewReader(file), n, wants)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(0)
		for range rnd.IntN(100) {
			b := make([]byte, rnd.IntN(80<<10))
			switch rnd.IntN(6) {
			case 0:
				at = rnd.Int64N(n)
			case 1:
				at = max(0, at-rnd.Int64N(20<<10))
			}
			got, _ := h.ReadAt(b, at)
			if !bytes.Equal(b[:got], file[min(at, n):min(at+int64(got), n)]) {
				t.Fatalf("round %d: other bytes at %d", round, at)
			}
			at += int64(got) + rnd.Int64N(20<<10)
		}
		got, err := h.Digests()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("round %d: other digests", round)
		}
	}
	// A file that is shorter than it was said to be.
	h, err := NewRangeHasher(bytes.NewReader(file[:700_000]), n, wants)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := h.Digests(); err == nil {
		t.Fatalf("digests of bytes that are not there: %x", d)
	}
}
