package pdf

import (
	"bytes"
	"crypto"
	"math/rand/v2"
	"testing"
)

func want(h crypto.Hash, a, b, n int64) RangeWant {
	return RangeWant{Signature{ByteRange: [4]int64{0, a, b, n}}, h}
}

// TestByteRangeDigests: each digest is that of its two blocks, wherever the gaps lie, and the file is read once, up to
// the last byte that is wanted.
func TestByteRangeDigests(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	doc := make([]byte, 3*hashBuffer+12345)
	for i := range doc {
		doc[i] = byte(rng.Uint32())
	}
	size := int64(len(doc))
	for round := range 60 {
		var wants []RangeWant
		end := int64(0)
		for last := int64(0); last < size-3; {
			a := last + 1 + rng.Int64N(min(1+int64(round)*9000, size-last-2))
			if round%3 == 0 { // at the edges of the buffer
				a = min(max(a/hashBuffer, 1)*hashBuffer-1+int64(len(wants)%3), size-2)
				a = max(a, last+1)
			}
			b := min(a+rng.Int64N(70_000), size)
			n := rng.Int64N(size - b + 1)
			if n > 80_000 {
				n = min(size-b, 100)
			}
			wants = append(wants, want(hashes[rng.IntN(3)], a, b, n))
			last = b + n
			end = max(end, last)
			if len(wants) > 40 {
				break
			}
		}
		rng.Shuffle(len(wants), func(i, j int) { wants[i], wants[j] = wants[j], wants[i] })
		wants = append(wants, wants[0], RangeWant{wants[0].Signature, crypto.SHA1})
		c := &countingReader{b: doc}
		got, err := ByteRangeDigests(c, size, wants)
		if err != nil {
			t.Fatal(err)
		}
		if c.n != end {
			t.Fatalf("%d bytes were read, wanted are %d", c.n, end)
		}
		for i, w := range wants {
			r, h := w.Signature.ByteRange, w.Hash.New()
			h.Write(doc[:r[1]])
			h.Write(doc[r[2] : r[2]+r[3]])
			if !bytes.Equal(got[i], h.Sum(nil)) {
				t.Fatalf("round %d: %v of %v differs", round, w.Hash, r)
			}
		}
	}
}

func TestByteRangeDigestsRefuses(t *testing.T) {
	doc := make([]byte, 1000)
	for name, c := range map[string]struct {
		wants []RangeWant
		code  string
	}{
		"begins late":  {[]RangeWant{{Signature{ByteRange: [4]int64{1, 10, 20, 30}}, crypto.SHA256}}, CodeBadByteRange},
		"nothing":      {[]RangeWant{want(crypto.SHA256, 0, 0, 0)}, CodeBadByteRange},
		"backwards":    {[]RangeWant{want(crypto.SHA256, 20, 10, 30)}, CodeBadByteRange},
		"negative":     {[]RangeWant{want(crypto.SHA256, 20, 30, -1)}, CodeBadByteRange},
		"behind":       {[]RangeWant{want(crypto.SHA256, 20, 30, 971)}, CodeBadByteRange},
		"far behind":   {[]RangeWant{want(crypto.SHA256, 20, 1001, 0)}, CodeBadByteRange},
		"overflow":     {[]RangeWant{want(crypto.SHA256, 20, 30, 1<<63-1)}, CodeBadByteRange},
		"no hash":      {[]RangeWant{want(0, 20, 30, 1)}, CodeBadOptions},
		"unknown hash": {[]RangeWant{want(crypto.MD4, 20, 30, 1)}, CodeBadOptions},
		"one bad":      {[]RangeWant{want(crypto.SHA256, 20, 30, 1), want(crypto.SHA256, 20, 30, 1000)}, CodeBadByteRange},
		"too many":     {make([]RangeWant, maxWants+1), CodeTooManyObjects},
		"the same again and again": {[]RangeWant{want(crypto.SHA256, 1, 2, 998), want(crypto.SHA256, 2, 3, 997), want(crypto.SHA256, 3, 4, 996),
			want(crypto.SHA256, 4, 5, 995), want(crypto.SHA256, 5, 6, 994)}, CodeTooMuchWork},
	} {
		if _, err := ByteRangeDigests(bytes.NewReader(doc), 1000, c.wants); code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := ByteRangeDigests(bytes.NewReader(doc), 1000, nil); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	if _, err := ByteRangeDigests(bytes.NewReader(doc[:500]), 1000, []RangeWant{want(crypto.SHA256, 1, 2, 998)}); code(err) != CodeTruncated {
		t.Error("a file that is shorter than said:", err)
	}
}
