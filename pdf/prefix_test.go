package pdf

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

func prefixOf(t *testing.T, b []byte, h crypto.Hash) *Prefix {
	t.Helper()
	w := NewPrefixHasher(h)
	for i := 0; len(b) > 0; i++ { // in pieces of any length
		n := min(len(b), 1+i*37)
		_, _ = w.Write(b[:n])
		b = b[n:]
	}
	k, err := w.Prefix()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	var back Prefix
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return &back
}

// TestKnownGivesTheSame: whatever is known of the base, and by whatever hash, the preparation is the same to the last byte.
func TestKnownGivesTheSame(t *testing.T) {
	for i, c := range goodCases() {
		for j, h := range hashes {
			if c.name == "seed-value-kept" && h == crypto.SHA384 {
				continue // the field wants another hash
			}
			for _, make := range []func() Options{options, stampOptions} {
				o := make()
				o.Hash = h
				want, whole := prepareBytes(t, c.pdf, o)
				sizes := []int{len(c.pdf), len(c.pdf) - 1, 129, 0, 1, 63, 64, 65, 127, 128}
				for k, n := range []int{len(c.pdf), sizes[(i+j)%10], sizes[(i+j+5)%10]} {
					f := h
					if k == 2 && i%2 == 0 {
						f = hashes[(j+1)%3] // is passed over
					}
					o.Known = prefixOf(t, c.pdf[:n], f)
					got, err := Prepare(bytes.NewReader(c.pdf), int64(len(c.pdf)), o)
					if d := cmp.Diff(want, got); d != "" || err != nil {
						t.Fatalf("%s, %v, %d bytes known: %v\n%s", c.name, h, n, err, d)
					}
				}
				// What was prepared tells what is known of all that comes behind it.
				o.Known = nil
				behind, _ := prepareBytes(t, whole, o)
				o.Known = want.Prefix()
				got, err := Prepare(bytes.NewReader(whole), int64(len(whole)), o)
				if d := cmp.Diff(behind, got); d != "" || err != nil {
					t.Fatalf("%s, %v, behind: %v\n%s", c.name, h, err, d)
				}
			}
		}
	}
}

// TestKnownReadsOnlyStructure: with what the upload left, no later step reads the document.
func TestKnownReadsOnlyStructure(t *testing.T) {
	const most = 64 << 10
	doc := synthDoc(8<<20, 0, "")
	w := NewPrefixHasher(crypto.SHA256)
	if err := hashRange(w, doc, 0, doc.Size()); err != nil {
		t.Fatal(err)
	}
	known, err := w.Prefix()
	if err != nil {
		t.Fatal(err)
	}
	var read int64
	counted := oneReader{doc, &read}
	base, size := Reader(counted, doc.Size(), nil), doc.Size()
	var updates []byte
	step := func(name string, f func() []byte) {
		read = 0
		updates = append(updates, f()...)
		base = Reader(counted, doc.Size(), updates)
		size = base.Size()
		if read > most {
			t.Errorf("%s reads %d bytes of the document", name, read)
		}
	}
	put := func(o Options) func() []byte {
		return func() []byte {
			o.Known = &known
			p, err := Prepare(base, size, o)
			if err != nil {
				t.Fatal(err)
			}
			up, err := p.Embed([]byte{0x30, 0})
			if err != nil {
				t.Fatal(err)
			}
			return up
		}
	}
	step("the first signature", put(options()))
	step("the DSS dictionary", func() []byte {
		up, err := AddDSS(base, size, Material{CRLs: values("a")}, Budget{})
		if err != nil {
			t.Fatal(err)
		}
		return up
	})
	step("the time-stamp", put(stampOptions()))
	step("the second signature", put(options()))
	read = 0
	sigs, err := Signatures(base, size, Budget{})
	if err != nil || len(sigs) != 3 {
		t.Fatal(len(sigs), err)
	}
	// And all three digests cost one reading.
	read = 0
	var wants []RangeWant
	for _, s := range sigs {
		wants = append(wants, RangeWant{s, crypto.SHA256})
	}
	if _, err := ByteRangeDigests(base, size, wants); err != nil || read != doc.Size() {
		t.Errorf("three digests read %d bytes of a document of %d: %v", read, doc.Size(), err)
	}
}

func TestKnownRefuses(t *testing.T) {
	doc := classic(spec{})
	size := int64(len(doc))
	other := bytes.Replace(doc, []byte("0 0 m"), []byte("0 1 m"), 1)
	cut := bytes.Index(doc, []byte("0 0 m")) + 5
	for len(doc[:cut])%64 < 5 { // the difference is behind the last whole block
		cut++
	}
	for _, h := range hashes {
		for name, change := range map[string]func(*Prefix){
			"longer than the base": func(k *Prefix) { k.Size = size + 64 },
			"negative":             func(k *Prefix) { k.Size = -64 },
			"of another size":      func(k *Prefix) { k.Size-- },
			"no state":             func(k *Prefix) { k.State = nil },
			"a longer state":       func(k *Prefix) { k.State = append(k.State, 0) },
			"other SHA-256":        func(k *Prefix) { k.SHA256 = k.SHA256[:len(k.SHA256)/2] },
		} {
			k := prefixOf(t, doc[:100], h)
			change(k)
			o := options()
			o.Hash, o.Known = h, k
			_, err := Prepare(bytes.NewReader(doc), size, o)
			if h == crypto.SHA256 && name == "other SHA-256" {
				if err != nil {
					t.Error("SHA-256 has one state:", err)
				}
			} else if code(err) != CodeBadOptions {
				t.Errorf("%v, %s: %v", h, name, err)
			}
		}
		o := options()
		o.Hash, o.Known = h, prefixOf(t, other[:cut], h)
		if _, err := Prepare(bytes.NewReader(doc), size, o); code(err) != CodeBadOptions {
			t.Errorf("%v, of another document: %v", h, err)
		}
	}
	if _, err := NewPrefixHasher(crypto.SHA1).Prefix(); code(err) != CodeBadOptions {
		t.Error("SHA-1:", err)
	}
	if (&Prepared{BaseSize: 1, Digest: make([]byte, 32)}).Prefix() != nil || (&Prepared{BaseState: []byte{1}, Digest: make([]byte, 48)}).Prefix() != nil {
		t.Error("a preparation without states tells what is known")
	}
}

func TestPrefixHasherTellsTheDigest(t *testing.T) {
	doc := classic(spec{})
	for _, h := range append(hashes, 0) {
		w := NewPrefixHasher(h)
		_, _ = w.Write(doc)
		if _, err := w.Prefix(); err != nil {
			t.Error(err)
		}
		if want := sha256.Sum256(doc); !bytes.Equal(w.SHA256(), want[:]) {
			t.Error(h)
		}
	}
}
