//go:build interop

// Package interop has our products judged by others: every PDF of
// testdata/pdf goes through the real flow and must be accepted by all, and
// each product with one changed byte must be refused by every judge that looks
// at that byte.
package interop

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tekend/cms"
	"tekend/interop/sandboxtest"
	"tekend/pdf"
)

func TestJudgesAcceptEveryProductAndRefuseEveryMutation(t *testing.T) {
	for kind, k := range kinds {
		t.Run(kind, func(t *testing.T) {
			s := sandboxtest.Start(t, "--key-type", kind)
			w := world{
				root: sandboxtest.Root(t), trust: s.Info(t).RootPEM,
				pki: filepath.Join(s.Dir, "pki"), tmp: t.TempDir(),
			}
			products := signAll(t, s, w, k.documents)
			signedBy(t, products, k.algorithm)
			mutants := mutate(t, w, products)
			report(t, w, products, mutants)
		})
	}
}

// signAll signs PDFs of testdata/pdf, all of them or the first few, each with its
// own confirmation of the same person.
func signAll(t *testing.T, s *sandboxtest.Sandbox, w world, few int) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.root, "testdata/pdf/*.pdf"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d PDFs of other producers, at least 20 are needed: %v", len(files), err)
	}
	if few > 0 {
		files = files[:few]
	}
	var products []string
	for _, f := range files {
		out := filepath.Join(w.tmp, filepath.Base(f))
		s.Sign(t, "approve", out, f)
		products = append(products, out)
	}
	return products
}

// part is a place in a product where one byte is changed.
type part string

const (
	partBase        part = "document"
	partUpdate      part = "update"
	partCertificate part = "certificate"
	partValue       part = "value"
	partTimeStamp   part = "time-stamp"
)

var allParts = []part{partBase, partUpdate, partCertificate, partValue, partTimeStamp}

// mutate writes five mutants of each product and gives their paths by part.
func mutate(t *testing.T, w world, products []string) map[part][]string {
	t.Helper()
	all := map[part][]string{}
	for i, p := range products {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		places := placesOf(t, data, i)
		for _, part := range allParts {
			changed := bytes.Clone(data)
			at := places[part]
			if part == partBase || part == partUpdate {
				changed[at] ^= 0x01
			} else {
				changed[at] = otherHex(changed[at])
			}
			name := filepath.Join(w.tmp, fmt.Sprintf("%s.%s.pdf", strings.TrimSuffix(filepath.Base(p), ".pdf"), part))
			if err := os.WriteFile(name, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			all[part] = append(all[part], name)
		}
	}
	return all
}

// placesOf finds a byte of each part; n varies the place from product to product.
func placesOf(t *testing.T, data []byte, n int) map[part]int {
	t.Helper()
	sigs, err := pdf.Signatures(bytes.NewReader(data), int64(len(data)), pdf.DefaultBudget())
	if err != nil || len(sigs) == 0 {
		t.Fatalf("%d signatures: %v", len(sigs), err)
	}
	sig := sigs[len(sigs)-1]
	sd, err := cms.Parse(sig.CMS, cms.DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := sd.SignerCertificate(0)
	if err != nil {
		t.Fatal(err)
	}
	info := sd.SignerInfos[0]
	inCMS := func(what []byte, off int) int {
		i := bytes.Index(sig.CMS, what)
		if i < 0 || len(what) < 16 {
			t.Fatal("a part of the CMS was not found")
		}
		return int(sig.ContentsStart) + 1 + 2*(i+off)
	}
	tst := info.TimeStampTokens()[0]
	stamp := []int{len(tst) - 1 - n%8, bytes.Index(tst, []byte("202")) + 6}[n%2] // its value, or its genTime
	places := map[part]int{
		// somewhere in the first half of the document, and the claimed time of the update
		partBase:        int(sig.ContentsStart) * (n + 3) / 100,
		partUpdate:      int(sig.ContentsEnd) + 1,
		partCertificate: inCMS(cert.Raw, changeable(cert.Raw, len(cert.Raw)/2+n)),
		partValue:       inCMS(info.Value, len(info.Value)/2),
		partTimeStamp:   inCMS(tst, stamp),
	}
	if i := bytes.LastIndex(data[:sig.ContentsStart], []byte("(D:20")); i > 0 {
		places[partUpdate] = i + 5
	}
	return places
}

// changeable moves off a DER BOOLEAN TRUE: EU DSS reads FE as TRUE too and
// writes it back as FF, so that it judges the certificate as it was. Measured
// with 6.4: of 945 bytes of a certificate this is the only one whose change it
// accepts; we, OpenSSL and pyHanko refuse it.
func changeable(der []byte, at int) int {
	if at >= 2 && bytes.Equal(der[at-2:at+1], []byte{0x01, 0x01, 0xff}) {
		return at + 1
	}
	return at
}

func otherHex(c byte) byte {
	v, err := hex.DecodeString("0" + string(c))
	if err != nil {
		return '0'
	}
	return "0123456789abcdef"[v[0]^1]
}

// report asks every judge, prints the table and fails on each answer that is
// not the expected one.
func report(t *testing.T, w world, products []string, mutants map[part][]string) {
	t.Helper()
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-22s %-12s", "judge", "accepted")
	for _, p := range allParts {
		fmt.Fprintf(&table, " %-12s", p)
	}
	table.WriteString("   (mutants refused; – : does not look there)\n")
	for _, j := range judges() {
		var paths []string
		paths = append(paths, products...)
		for _, p := range j.looks {
			paths = append(paths, mutants[p]...)
		}
		answers := j.accepts(t, w, paths)
		fmt.Fprintf(&table, "%-22s %-12s", j.name, fmt.Sprintf("%d/%d", count(answers, products, true), len(products)))
		for _, p := range products {
			if a := answers[p]; !a.yes {
				t.Errorf("%s refuses %s: %s", j.name, filepath.Base(p), a.reason)
			}
		}
		for _, part := range allParts {
			if !slices.Contains(j.looks, part) {
				fmt.Fprintf(&table, " %-12s", "–")
				continue
			}
			fmt.Fprintf(&table, " %-12s", fmt.Sprintf("%d/%d", count(answers, mutants[part], false), len(mutants[part])))
			for _, p := range mutants[part] {
				if answers[p].yes {
					t.Errorf("%s accepts %s", j.name, filepath.Base(p))
				}
			}
		}
		table.WriteByte('\n')
	}
	t.Log(table.String())
}

func count(answers map[string]answer, paths []string, yes bool) (n int) {
	for _, p := range paths {
		if answers[p].yes == yes {
			n++
		}
	}
	return n
}
