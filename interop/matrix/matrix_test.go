//go:build interop

package matrix

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

// exception is a judge who is wrong about products of ours, and must be wrong
// about every one of them: when he has learnt better the line goes.
type exception struct {
	judge  string
	of     func(product) bool
	says   []string // in his reason: what he is wrong about, and that he found all the rest in order
	reason string
}

// excuses tells whether a refusal is the judge's known mistake.
func (e exception) excuses(j judge, p product, reason string) bool {
	return e.judge == j.name && e.of(p) && !slices.ContainsFunc(e.says, func(piece string) bool { return !strings.Contains(reason, piece) })
}

// At most five: what more judges refuse is wrong, whatever the standards say.
const mostExceptions = 5

var exceptions = []exception{
	{"pdfsig", func(p product) bool { return p.level == "B-LTA" },
		[]string{"document time-stamp: ", "Signature Type: unknown", "- Total document signed", "Signature has not yet been verified"}, "poppler 22.12 knows no SubFilter ETSI.RFC3161 (ISO 32000-2, 12.8.5): " +
			`it says "has not yet been verified" of every document time-stamp, and "Total document signed" all the same`},
	{"pyHanko 0.38 AdES, no network", func(p product) bool { return p.level == "B-LTA" && strings.HasSuffix(p.base, "-pdfa1B.pdf") },
		[]string{"AdESPassed.OK ENTIRE_REVISION FORM_FILLING what came after the signature is more than LT and LTA add"},
		"pyHanko 0.38 counts the empty appearance of a document time-stamp's field, which PDF/A-1 demands of every field (ISO 19005-1, 6.9), as form filling"},
}

// fewestJudges is what a CAdES B-LTA has: EU DSS, OpenSSL and ourselves.
const fewestJudges = 3

// TestMatrix: each document of testdata/pdf with each level, each document with
// each algorithm and each level with each algorithm; with TEKEND_MATRIX=full
// (make matrix) each document at each level with each algorithm. Beside them
// CAdES signatures, of forms, levels and algorithms the same.
func TestMatrix(t *testing.T) {
	began := time.Now()
	documents, err := filepath.Glob(filepath.Join(sandboxtest.Root(t), "testdata/pdf/*.pdf"))
	if err != nil || len(documents) < 20 {
		t.Fatalf("%d PDFs of other producers, at least 20 are needed: %v", len(documents), err)
	}
	sizes := [3]int{len(documents), len(levels), len(algorithms)}
	kind, cells := "pairwise", pairwise(sizes)
	if os.Getenv("TEKEND_MATRIX") == "full" {
		kind, cells = "full", all(sizes)
	}
	list := places(t)
	products := sign(t, list, documents, cells)
	if len(products) != len(cells) {
		t.Fatalf("%d products for %d cells", len(products), len(cells))
	}
	beside := signCAdES(t, list, kind == "full")
	signed := time.Since(began)
	counts := court(t, slices.Concat(products, beside), judges())
	stayPDFA(t, products, 1)
	lookTheSame(t, "matrix-"+kind, products)
	t.Logf("matrix, %s: %d products of %d documents, 4 levels, 4 algorithms, and %d CAdES signatures of 3 forms; %d judgements, %d refusals, of them by exceptions %d; %d controls refused; signed in %.0f s, judged in %.0f s",
		kind, len(products), len(documents), len(beside), counts.judged, counts.refused, counts.excepted, counts.controls, signed.Seconds(), (time.Since(began) - signed).Seconds())
}

type counts struct{ judged, refused, excepted, controls int }

// court shows all products, and the controls, to all judges. A judge who is asked
// about no product, or sees no control although there are some for him, has not judged.
func court(t *testing.T, products []product, all []judge) (total counts) {
	t.Helper()
	if len(exceptions) > mostExceptions {
		t.Errorf("%d exceptions, at most %d", len(exceptions), mostExceptions)
	}
	for _, p := range products {
		heard := slices.DeleteFunc(slices.Clone(all), func(j judge) bool { return !j.about(p) })
		if len(heard) < fewestJudges {
			t.Errorf("%s has %d judges", p.name, len(heard))
		}
	}
	shown := slices.Concat(products, controls(t, products))
	var mu sync.Mutex
	t.Run("judges", func(t *testing.T) {
		for _, j := range all {
			t.Run(j.name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				about := slices.DeleteFunc(slices.Clone(shown), func(p product) bool { return !j.about(p) })
				if !slices.ContainsFunc(about, func(p product) bool { return !p.broken }) {
					t.Fatal("he was asked about no product")
				}
				c := hear(t, j, about, j.ask(t, about))
				if c.controls == 0 && slices.ContainsFunc(shown, j.sees) {
					t.Error("he was shown no control")
				}
				t.Logf("%d judged in %.1f s", c.judged, time.Since(began).Seconds())
				mu.Lock()
				defer mu.Unlock()
				total = counts{total.judged + c.judged, total.refused + c.refused, total.excepted + c.excepted, total.controls + c.controls}
			})
		}
	})
	return total
}

// hear compares what a judge says with what he should say.
func hear(t *testing.T, j judge, about []product, verdicts map[string]verdict) (c counts) {
	t.Helper()
	for _, p := range about {
		v, judged := verdicts[p.name]
		if !judged {
			t.Errorf("%s was not judged", p.name)
			continue
		}
		if p.broken {
			if j.sees(p) {
				c.controls++
				// By his known mistake he refuses good ones too.
				if v.yes || slices.ContainsFunc(exceptions, func(e exception) bool { return e.excuses(j, p, v.reason) }) {
					t.Errorf("%s, %s, passes: %s", p.name, p.file, v.reason)
				}
			}
			continue
		}
		c.judged++
		excepted := slices.IndexFunc(exceptions, func(e exception) bool { return e.judge == j.name && e.of(p) })
		switch {
		case !v.yes && excepted >= 0 && exceptions[excepted].excuses(j, p, v.reason):
			c.excepted++
			c.refused++
		case !v.yes:
			c.refused++
			t.Errorf("%s: %s", p.name, v.reason)
		case excepted >= 0:
			t.Errorf("%s is accepted: the exception (%s) can go", p.name, exceptions[excepted].reason)
		}
	}
	return c
}
