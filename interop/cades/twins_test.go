//go:build interop

package cades

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
	"tekend/validate"
)

// node is an element of a DER file.
type node struct {
	tag   casn1.Tag
	value []byte  // of a primitive one
	inner []*node // of a constructed one
}

// tree takes a file apart.
func tree(t testing.TB, der []byte) []*node {
	t.Helper()
	var out []*node
	for s := cryptobyte.String(der); !s.Empty(); {
		var v cryptobyte.String
		n := &node{}
		if !s.ReadAnyASN1(&v, &n.tag) {
			t.Fatal("not DER")
		}
		if n.value = v; n.tag&0x20 != 0 {
			n.inner = tree(t, v)
		}
		out = append(out, n)
	}
	return out
}

// all lists every element below n, the first ones first.
func (n *node) all() []*node {
	var out []*node
	for _, c := range n.inner {
		out = append(append(out, c), c.all()...)
	}
	return out
}

// twin writes the file with one element left out, twice there, or empty; every
// length around it is as it must be then.
func (n *node) twin(t testing.TB, at *node, how string) []byte {
	t.Helper()
	var b cryptobyte.Builder
	n.add(&b, at, how)
	der, err := b.Bytes()
	check(t, err)
	return der
}

func (n *node) add(b *cryptobyte.Builder, at *node, how string) {
	times := 1
	if n == at {
		times = map[string]int{"out": 0, "twice": 2, "empty": 1}[how]
	}
	for range times {
		b.AddASN1(n.tag, func(b *cryptobyte.Builder) {
			switch {
			case n == at && how == "empty":
			case n.tag&0x20 != 0:
				for _, c := range n.inner {
					c.add(b, at, how)
				}
			default:
				b.AddBytes(n.value)
			}
		})
	}
}

// levels in the order of what they promise.
var rank = map[string]int{"CAdES-BASELINE-B": 1, "B-B": 1, "CAdES-BASELINE-T": 2, "B-T": 2, "CAdES-BASELINE-LT": 3, "B-LT": 3, "CAdES-BASELINE-LTA": 4, "B-LTA": 4}

// TestNeverMoreLenientThanDSS: each element of a B-LTA in turn is left out, is
// there twice or is empty. Where we let one of these pass, EU DSS does too, and
// at least at our level.
func TestNeverMoreLenientThanDSS(t *testing.T) {
	w := newWorld(t)
	f := &folder{t: t, dir: t.TempDir()}
	f.write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.root.Raw}))
	plain := f.write("content", content)
	der, err := cms.Assemble(w.levels(t, w.person(t, ecKey(t, elliptic.P256()), cms.ECDSAWithSHA256), content)["LTA"])
	check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(w.root)
	level := func(der []byte) string { // "": it does not pass with us
		rep, err := validate.CMS(context.Background(), bytes.NewReader(der), int64(len(der)),
			validate.Data{Reader: bytes.NewReader(content), Size: int64(len(content))}, validate.Options{Roots: roots, At: time.Now()})
		if err != nil || rep.Indication != validate.TotalPassed {
			return ""
		}
		return rep.Signatures[0].Level
	}
	root := tree(t, der)[0]
	passed := map[string]string{"unchanged": level(der)} // level that we say, by name
	if passed["unchanged"] != "B-LTA" {
		t.Fatalf("what was not changed has level %q", passed["unchanged"])
	}
	f.ask("unchanged", f.write("unchanged", der), plain, "", "")
	twins := 0
	for i, n := range root.all() {
		for _, how := range []string{"out", "twice", "empty"} {
			name := fmt.Sprintf("%d %s", i, how)
			bad := root.twin(t, n, how)
			if bytes.Equal(bad, der) {
				continue // it was empty
			}
			twins++
			if l := level(bad); l != "" {
				passed[name] = l
				f.ask(name, f.write(filepath.Base(name), bad), plain, "", "")
			}
		}
	}
	t.Logf("%d twins, %d pass with us", twins, len(passed))
	for name, a := range f.answers() {
		if a.indication != "TOTAL_PASSED" || rank[a.format] < rank[passed[name]] {
			t.Errorf("%s: passes with us at %s: %+v", name, passed[name], a)
		} else {
			t.Logf("%s: %s; DSS: %+v", name, passed[name], a)
		}
	}
	if twins < 1000 {
		t.Errorf("only %d twins", twins)
	}
}
