//go:build interop

package matrix

import (
	"bytes"
	"flag"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tekend/pdf"
)

var howMany = flag.Int("documents", 30, "how many documents TestThousand makes")

// TestThousand: documents that nobody has seen before, each signed at one of the
// levels with one of the algorithms, all accepted by all.
func TestThousand(t *testing.T) {
	began := time.Now()
	dir := t.TempDir()
	var documents []string
	var cells []cell
	for n := range *howMany {
		name, data := generate(n)
		path := filepath.Join(dir, name)
		write(t, path, data)
		documents = append(documents, path)
		cells = append(cells, cell{n, (n + n/10) % len(levels), (n/len(levels) + n/10) % len(algorithms)})
		// A document that qpdf has something against would prove nothing, nor one that holds a signature.
		if out, err := run(t, exec.Command("qpdf", "--check", path)); err != nil {
			t.Fatalf("%s is no good PDF:\n%s", name, out)
		}
		if sigs, err := pdf.Signatures(bytes.NewReader(data), int64(len(data)), pdf.DefaultBudget()); err != nil || len(sigs) != 0 {
			t.Fatalf("%s: %d signatures: %v", name, len(sigs), err)
		}
	}
	products := sign(t, places(t), documents, cells)
	if len(products) != *howMany {
		t.Fatalf("%d products for %d documents", len(products), *howMany)
	}
	signed := time.Since(began)
	counts := court(t, products, ofPDFs())
	stayPDFA(t, products, *howMany/10)
	lookTheSame(t, "generated", products)
	t.Logf("generated: %d documents, 4 levels, 4 algorithms; %d judgements, %d refusals, of them by exceptions %d; %d controls refused; made and signed in %.0f s, judged in %.0f s",
		len(products), counts.judged, counts.refused, counts.excepted, counts.controls, signed.Seconds(), (time.Since(began) - signed).Seconds())
}
