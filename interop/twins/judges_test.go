//go:build interop

package twins

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
	"tekend/pdf"
	"tekend/validate"
)

// rank puts both judges' levels on one scale; 0: none, or not passed.
var rank = map[string]int{"B-B": 1, "B-T": 2, "B-LT": 3, "B-LTA": 4, "BASELINE-B": 1, "BASELINE-T": 2, "BASELINE-LT": 3, "BASELINE-LTA": 4}

// opinion is what one judge says of a file. A file passes when every signature
// and every document time-stamp in it does.
type opinion struct {
	passed    bool // all of the file
	signature int  // rank of the person's signature; 0: it does not pass
	words     string
}

// ours asks package validate.
func (w *world) ours(t testing.TB, tw twin, at time.Time) opinion {
	t.Helper()
	o := validate.Options{Roots: w.roots(), At: at}
	if tw.aside {
		m := w.data(t, tw.of)
		o.Material = pdf.Material{OCSPs: m.OCSPs, CRLs: m.CRLs}
		o.At = time.Now()
	}
	var rep *validate.Report
	var err error
	size := int64(len(tw.file))
	if bytes.HasPrefix(tw.file, []byte{0x30}) {
		data := validate.Data{}
		if tw.content != nil {
			data = validate.Data{Reader: bytes.NewReader(tw.content), Size: int64(len(tw.content))}
		}
		rep, err = validate.CMS(context.Background(), bytes.NewReader(tw.file), size, data, o)
	} else {
		rep, err = validate.PDF(context.Background(), bytes.NewReader(tw.file), size, o)
	}
	if err != nil {
		return opinion{words: "not readable: " + err.Error()}
	}
	out := opinion{passed: rep.Indication == validate.TotalPassed}
	words := append([]string{rep.Indication.String() + " " + rep.SubIndication}, rep.Reasons...)
	for _, s := range rep.Signatures {
		if s.Kind == validate.KindSignature && s.Indication == validate.TotalPassed {
			out.signature = max(out.signature, rank[s.Level])
		}
		words = append(words, s.Kind+" "+s.Level)
		words = append(words, s.Reasons...)
	}
	out.words = strings.Join(words, " | ")
	return out
}

// dss has all files judged by one process of EU DSS.
func (w *world) dss(t testing.TB, twins []twin) []opinion {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		if b == nil {
			return "-"
		}
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, b, 0o600))
		return path
	}
	root := write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.root.Raw}))
	crl, content := write("root.crl", w.crl), write("content", w.content)
	ocsp := map[string]string{}
	for name, p := range w.people() {
		ocsp[string(p.leaf.Raw)] = write(name+".ocsp", w.ocsp(t, p.leaf, nil))
	}
	var questions strings.Builder
	for i, tw := range twins {
		line := []string{fmt.Sprint(i), root, write(fmt.Sprint(i), tw.file), "-", "-", "-"}
		if tw.content != nil {
			line[3] = content
		}
		if tw.aside {
			line[4], line[5] = crl, ocsp[string(tw.of.leaf.Raw)]
		}
		questions.WriteString(strings.Join(line, "\t") + "\n")
	}
	cmd := sandboxtest.Java(t, "Twins", write("questions", []byte(questions.String())))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("EU DSS: %v; if it is missing: scripts/install test, make judges\n%s", err, stderr.String())
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(twins) {
		t.Fatalf("EU DSS judged %d of %d\n%s", len(lines), len(twins), stderr.String())
	}
	all := make([]opinion, len(twins))
	for i, line := range lines {
		p := strings.Split(line, "\t")
		if len(p) != 5 || p[0] != fmt.Sprint(i) {
			t.Fatalf("EU DSS printed %q", line)
		}
		all[i] = heard(p)
	}
	return all
}

// heard reads name, number, indications, levels, stamps. A file is TOTAL_PASSED
// by DSS when each signature is; it says nothing of forged time-stamps by that.
func heard(p []string) opinion {
	out := opinion{words: strings.Join(p[1:], " "), passed: p[1] != "0"}
	for i, one := range strings.Split(p[2], ",") {
		if one != "TOTAL_PASSED" {
			out.passed = false
			continue
		}
		_, level, _ := strings.Cut(strings.Split(p[3], ",")[i], "-")
		out.signature = max(out.signature, rank[level])
	}
	return out
}

// TestProductsAndTwins: of a product both judges say TOTAL_PASSED, and the same
// level. What does not pass with DSS does not pass with us, or passes with us at
// DSS's level at most; where DSS passes and we do not, the tables say why.
func TestProductsAndTwins(t *testing.T) {
	base, err := os.ReadFile(filepath.Join(sandboxtest.Root(t), "testdata/pdf/fpdf2.pdf"))
	check(t, err)
	w := newWorld(t, base)
	p := w.products(t)
	twins := slices.Concat(p.all, w.twins(t, p))
	theirs := w.dss(t, twins)
	c := &comparison{t: t, used: map[line]int{}, counts: map[string]int{}, classes: map[string]int{}}
	for i, tw := range twins {
		ours := w.ours(t, tw, time.Now())
		if tw.level != "" {
			c.product(tw, ours, theirs[i])
		} else {
			c.twin(tw, ours, theirs[i])
		}
	}
	for _, l := range slices.Concat(why, harmless, behind) {
		if c.used[l] == 0 {
			t.Errorf("%q, %q explains nothing any more", l.class, l.piece)
		}
		t.Logf("%3d times: %q %q: %s", c.used[l], l.class, l.piece, l.why)
	}
	t.Logf("%v", c.counts)
	t.Logf("by class: %v", c.classes)
	if c.counts["twins"] < 200 {
		t.Errorf("only %d twins", c.counts["twins"])
	}
}

// comparison counts who says what.
type comparison struct {
	t               *testing.T
	used            map[line]int
	counts, classes map[string]int
}

func (c *comparison) product(tw twin, ours, dss opinion) {
	c.counts["products"]++
	if r := rank[tw.level]; !ours.passed || !dss.passed || ours.signature != r || dss.signature != r {
		c.t.Errorf("a product is not passed at %s by both: %s", tw.level, said(tw, ours, dss))
	}
}

func (c *comparison) twin(tw twin, ours, dss opinion) {
	c.counts["twins"]++
	c.classes[tw.class]++
	switch {
	case ours.passed && (!dss.passed || ours.signature > dss.signature):
		c.t.Errorf("MORE LENIENT: %s", said(tw, ours, dss))
	case ours.passed && ours.signature == dss.signature:
		c.counts["both pass"]++
		c.explained(harmless, "a damaged twin passes with both", tw, tw.name, ours, dss)
	case ours.signature > dss.signature:
		// The signature itself, in a file that does not pass.
		c.counts["neither passes"]++
		c.explained(behind, "MORE LENIENT with the signature", tw, ours.words, ours, dss)
	case !dss.passed:
		c.counts["neither passes"]++
	default:
		c.counts["stricter"]++
		c.explained(why, "stricter without a written reason", tw, ours.words, ours, dss)
	}
}

// explained looks a disagreement up.
func (c *comparison) explained(table []line, what string, tw twin, words string, ours, dss opinion) {
	l, ok := find(table, tw.class, words)
	if !ok {
		c.t.Errorf("%s: %s", what, said(tw, ours, dss))
	}
	c.used[l]++
}

func said(tw twin, ours, dss opinion) string {
	return fmt.Sprintf("%s: %s\n  we:  %s\n  DSS: %s", tw.class, tw.name, ours.words, dss.words)
}
