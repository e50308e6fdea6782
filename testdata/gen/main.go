// Command gen writes a valid PDF of about the size that is asked for, with
// memory that does not depend on it. It is for tests and measurements.
//
//	go run ./testdata/gen -size 100MB -kind pages -o pages.pdf
//
// Kinds: big = streams of 1 MiB, one a page; pages = small pages of about 2 kB.
// With -xref stream the cross-reference section is a compressed stream.
package main

import (
	"bufio"
	"compress/zlib"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func main() {
	size := flag.String("size", "1MB", "size of the file, in bytes, kB, MB or GB (decimal)")
	kind := flag.String("kind", "big", "big or pages")
	xref := flag.String("xref", "table", "table or stream")
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if err := run(*size, *kind, *xref, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(2)
	}
}

func run(size, kind, xref, out string) error {
	n, err := parseSize(size)
	if err != nil {
		return err
	}
	if out == "" || xref != "table" && xref != "stream" {
		return fmt.Errorf("usage: -size 1MB -kind big|pages -xref table|stream -o FILE")
	}
	content := map[string]int{"big": 1 << 20, "pages": 1900}[kind]
	if content == 0 {
		return fmt.Errorf("unknown kind %q", kind)
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	g := &generator{w: bufio.NewWriterSize(f, 1<<20), content: content}
	g.document(n, xref == "stream")
	if err = g.w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func parseSize(s string) (int64, error) {
	unit := int64(1)
	for suffix, u := range map[string]int64{"kB": 1e3, "MB": 1e6, "GB": 1e9} {
		if strings.HasSuffix(s, suffix) {
			s, unit = strings.TrimSuffix(s, suffix), u
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > 1<<40/unit {
		return 0, fmt.Errorf("bad size")
	}
	return n * unit, nil
}

// fanOut is the number of kids of a node of the page tree.
const fanOut = 64

// generator writes objects and remembers where they are: 8 bytes an object.
type generator struct {
	w       *bufio.Writer
	pos     int64
	content int     // bytes of page content
	offs    []int64 // of object i+1
	seed    uint64
}

func (g *generator) printf(format string, a ...any) {
	n, _ := fmt.Fprintf(g.w, format, a...) // an error stays in g.w until Flush
	g.pos += int64(n)
}

func (g *generator) begin() int {
	g.offs = append(g.offs, g.pos)
	g.printf("%d 0 obj\n", len(g.offs))
	return len(g.offs)
}

// document writes a balanced page tree bottom up. A node is written when it is
// full, and its number must be known to its kids before: numbers are reserved.
func (g *generator) document(size int64, stream bool) {
	g.printf("%%PDF-1.7\n%%\xE2\xE3\xCF\xD3\n")
	font := g.begin()
	g.printf("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>\nendobj\n")
	var levels [][]node
	for g.pos < size-int64(g.content)/2 || len(levels) == 0 {
		levels = g.add(levels, 0, g.page(font, g.parentOf(&levels, 0)))
	}
	root := g.close(levels)
	catalog := g.begin()
	g.printf("<</Type/Catalog/Pages %d 0 R>>\nendobj\n", root)
	if stream {
		g.xrefStream(catalog)
	} else {
		g.xrefTable(catalog)
	}
}

// node is a page or an inner node that is written already.
type node struct{ num, pages int }

// parentOf is the number reserved for the open inner node of level l.
func (g *generator) parentOf(levels *[][]node, l int) int {
	if l == len(*levels) {
		*levels = append(*levels, nil)
	}
	if len((*levels)[l]) == 0 {
		g.offs = append(g.offs, 0)
		(*levels)[l] = append((*levels)[l], node{num: len(g.offs)})
	}
	return (*levels)[l][0].num
}

// add puts a kid into the open node of level l, and writes that node when it
// is full. The first entry of a level is the node itself.
func (g *generator) add(levels [][]node, l int, kid node) [][]node {
	levels[l] = append(levels[l], kid)
	if len(levels[l]) <= fanOut {
		return levels
	}
	parent := g.parentOf(&levels, l+1)
	full := g.inner(levels[l], parent)
	levels[l] = nil
	return g.add(levels, l+1, full)
}

// close writes the open nodes from the bottom up and returns the root.
func (g *generator) close(levels [][]node) int {
	for l := 0; ; l++ {
		if l == len(levels)-1 {
			return g.inner(levels[l], 0).num
		}
		if len(levels[l]) == 0 {
			continue
		}
		parent := g.parentOf(&levels, l+1)
		levels[l+1] = append(levels[l+1], g.inner(levels[l], parent))
	}
}

func (g *generator) inner(kids []node, parent int) node {
	self := node{num: kids[0].num}
	g.offs[self.num-1] = g.pos
	g.printf("%d 0 obj\n<</Type/Pages/Kids[", self.num)
	for _, k := range kids[1:] {
		self.pages += k.pages
		g.printf("%d 0 R ", k.num)
	}
	g.printf("]/Count %d", self.pages)
	if parent > 0 {
		g.printf("/Parent %d 0 R", parent)
	}
	g.printf(">>\nendobj\n")
	return self
}

func (g *generator) page(font, parent int) node {
	stream := g.begin()
	head := "BT /F1 10 Tf 40 800 Td (page) Tj ET\n"
	g.printf("<</Length %d>>\nstream\n%s", g.content, head)
	g.filler(g.content - len(head))
	g.printf("\nendstream\nendobj\n")
	p := g.begin()
	g.printf("<</Type/Page/Parent %d 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F1 %d 0 R>>>>>>\nendobj\n",
		parent, stream, font)
	return node{num: p, pages: 1}
}

// filler is a comment of the content stream that does not compress well.
func (g *generator) filler(n int) {
	line := make([]byte, 64)
	for n > 0 {
		line[0] = '%'
		for i := 1; i < 63; i++ {
			g.seed = g.seed*6364136223846793005 + 1442695040888963407
			line[i] = 'A' + byte(g.seed>>59)
		}
		line[63] = '\n'
		m, _ := g.w.Write(line[:min(n, 64)])
		g.pos += int64(m)
		n -= 64
	}
}

func (g *generator) xrefTable(catalog int) {
	start := g.pos
	g.printf("xref\n0 %d\n0000000000 65535 f\r\n", len(g.offs)+1)
	for _, o := range g.offs {
		g.printf("%010d 00000 n\r\n", o)
	}
	g.printf("trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(g.offs)+1, catalog, start)
}

func (g *generator) xrefStream(catalog int) {
	start := g.pos
	g.offs = append(g.offs, start)
	var b strings.Builder
	z := zlib.NewWriter(&b)
	row := make([]byte, 9)
	_, _ = z.Write(row)
	for _, o := range g.offs {
		row[0] = 1
		binary.BigEndian.PutUint64(row[1:], uint64(o))
		_, _ = z.Write(row) // a strings.Builder does not fail
	}
	_ = z.Close()
	g.printf("%d 0 obj\n<</Type/XRef/Size %d/W[1 8 0]/Root %d 0 R/Filter/FlateDecode/Length %d>>\nstream\n",
		len(g.offs), len(g.offs)+1, catalog, b.Len())
	n, _ := io.WriteString(g.w, b.String())
	g.pos += int64(n)
	g.printf("\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n", start)
}
