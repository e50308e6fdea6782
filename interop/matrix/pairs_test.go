//go:build interop

package matrix

import (
	"slices"
	"testing"
)

// cell is one product of the matrix: indices of a document, a level and an
// algorithm.
type cell [3]int

// pair is two places of a cell and what stands there.
type pair struct{ first, second, a, b int }

func (c cell) pairs() [3]pair {
	return [3]pair{{0, 1, c[0], c[1]}, {0, 2, c[0], c[2]}, {1, 2, c[1], c[2]}}
}

// all is the whole product.
func all(sizes [3]int) []cell {
	var cells []cell
	for d := range sizes[0] {
		for l := range sizes[1] {
			for a := range sizes[2] {
				cells = append(cells, cell{d, l, a})
			}
		}
	}
	return cells
}

// pairwise chooses cells such that every two values of two places stand together
// in one: each time the cell with most pairs that were not there yet.
func pairwise(sizes [3]int) []cell {
	seen := map[pair]bool{}
	fresh := func(c cell) (n int) {
		for _, p := range c.pairs() {
			if !seen[p] {
				n++
			}
		}
		return n
	}
	var chosen []cell
	rest := all(sizes)
	for {
		best := slices.MaxFunc(rest, func(a, b cell) int { return fresh(a) - fresh(b) })
		if fresh(best) == 0 {
			return chosen
		}
		chosen = append(chosen, best)
		for _, p := range best.pairs() {
			seen[p] = true
		}
	}
}

// TestPairwise: nothing is left out, and not much more is done than must be.
func TestPairwise(t *testing.T) {
	for _, sizes := range [][3]int{{25, 4, 4}, {7, 4, 3}, {1, 1, 1}, {2, 5, 3}} {
		chosen := pairwise(sizes)
		seen := map[pair]bool{}
		for _, c := range chosen {
			for _, p := range c.pairs() {
				seen[p] = true
			}
		}
		missing := 0
		for _, c := range all(sizes) {
			for _, p := range c.pairs() {
				if !seen[p] {
					missing++
				}
			}
		}
		sorted := slices.Sorted(slices.Values(sizes[:]))
		least := sorted[1] * sorted[2]
		if missing > 0 || len(chosen) > least+least/4 {
			t.Errorf("%v: %d cells, at least %d are needed; %d pairs are missing", sizes, len(chosen), least, missing)
		}
	}
}
