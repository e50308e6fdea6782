package api

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestTheGeneratedCodeIsUpToDate runs the generator again. Without a network and an empty module cache that cannot be
// done; then the test still holds that each operation of the contract is served.
func TestTheGeneratedCodeIsUpToDate(t *testing.T) {
	committed, err := os.ReadFile("openapi.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("oapi-codegen.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, elsewhere := filepath.Join(dir, "again.go"), filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(elsewhere, bytes.Replace(config, []byte("openapi.gen.go"), []byte(out), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	gen := exec.Command("go", "tool", "-modfile=../tools/go.mod", "oapi-codegen", "-config", elsewhere, "openapi.yaml")
	if text, err := gen.CombinedOutput(); err != nil {
		if s := string(text); strings.Contains(s, "dial tcp") || strings.Contains(s, "module lookup disabled") || strings.Contains(s, "proxy") {
			t.Logf("the generator cannot be had here: %s", s)
		} else {
			t.Fatalf("%v\n%s", err, text)
		}
	} else if again, err := os.ReadFile(out); err != nil || !bytes.Equal(again, committed) {
		t.Errorf("openapi.gen.go is old (%v): go generate ./api", err)
	}
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	for route, op := range c.operations {
		method, path, _ := strings.Cut(route, " ")
		if line := `router.` + method + `(options.BaseURL+"` + path + `", wrapper.`; !bytes.Contains(committed, []byte(line)) {
			t.Errorf("%s (%s) is not served", route, op.id)
		}
	}
	if len(c.operations) < 16 {
		t.Errorf("%d operations", len(c.operations))
	}
}

// TestTheContractLeavesNothingOpen: what comes in is closed and bounded, and every operation says how it fails.
func TestTheContractLeavesNothingOpen(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	for route, op := range c.operations {
		for _, p := range op.params {
			if s := p.Schema.Value; s.Type.Is("string") && len(s.Enum) == 0 && s.MaxLength == nil {
				t.Errorf("%s: parameter %s has no longest length", route, p.Name)
			}
		}
		if op.body == nil {
			continue
		}
		for media, m := range op.body.Content {
			if media == "application/json" || media == "application/x-www-form-urlencoded" || media == "multipart/form-data" {
				closed(t, route, m.Schema)
			}
		}
	}
	for path, item := range c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			d := op.Responses.Default()
			if d == nil || d.Value.Content["application/problem+json"] == nil {
				t.Errorf("%s %s has no problem", method, path)
			}
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s: id %q, summary %q, tags %v", method, path, op.OperationID, op.Summary, op.Tags)
			}
			if secured := op.Security == nil; secured != strings.HasPrefix(path, "/v1/") {
				t.Errorf("%s %s: API key %v", method, path, secured)
			}
		}
	}
}

func closed(t *testing.T, at string, ref *openapi3.SchemaRef) {
	t.Helper()
	s := ref.Value
	switch {
	case s.Type.Is("object"):
		if s.AdditionalProperties.Has == nil || *s.AdditionalProperties.Has {
			t.Errorf("%s: an open object", at)
		}
		for name, p := range s.Properties {
			closed(t, at+"/"+name, p)
		}
	case s.Type.Is("array"):
		closed(t, at+"/*", s.Items)
	case s.Type.Is("string"):
		if len(s.Enum) == 0 && s.MaxLength == nil && s.Extensions["contentMediaType"] == nil && s.ContentMediaType == "" {
			t.Errorf("%s: a text without longest length", at)
		}
	}
}

// TestNoOperationKeepsGinsContext: each operation begins by taking the request's own context.
func TestNoOperationKeepsGinsContext(t *testing.T) {
	want := operations(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "openapi.gen.go" {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || !want[fn.Name.Name] {
				continue
			}
			seen++
			first, ok := fn.Body.List[0].(*ast.AssignStmt)
			if !ok {
				t.Errorf("%s does not begin with enter", fn.Name.Name)
				continue
			}
			call, ok := first.Rhs[0].(*ast.CallExpr)
			if id, isName := call.Fun.(*ast.Ident); !ok || !isName || id.Name != "enter" {
				t.Errorf("%s does not begin with enter", fn.Name.Name)
			}
		}
	}
	if seen != len(want) || seen < 16 {
		t.Errorf("%d operations of %d looked at", seen, len(want))
	}
}

// operations are the names of the generated interface.
func operations(t *testing.T) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "openapi.gen.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		ts, ok := n.(*ast.TypeSpec)
		if !ok || ts.Name.Name != "StrictServerInterface" {
			return true
		}
		for _, m := range ts.Type.(*ast.InterfaceType).Methods.List {
			all[m.Names[0].Name] = true
		}
		return false
	})
	return all
}
