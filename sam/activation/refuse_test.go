package activation

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tekend/fence"
	"tekend/sam"
)

// TestEveryRefusalHasAStatus: an answer without one would end the caller's connection instead of telling him.
func TestEveryRefusalHasAStatus(t *testing.T) {
	files, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
				return true
			}
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			n++
			switch code {
			case fence.CodeLocked, fence.CodeUnwitnessed, sam.CodeMarkMoved: // shut and later give theirs
			default:
				if s := statuses[code]; s < 400 || s > 599 {
					t.Errorf("%s has the status %d", spec.Names[0].Name, s)
				}
			}
			return true
		})
	}
	if n < 30 {
		t.Fatalf("only %d codes were found", n)
	}
}
