package tekend_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// floors is the picture of docs/design.md: which package stands on which
// floor. Imports go to a lower floor; those on the same floor are in beside.
var floors = map[string]int{
	"cmd/tekend": 5, "cmd/tekend-trusted": 5, "cmd/tekend-witness": 5,
	"api":   4,
	"store": 3, "sam/activation": 3, "certs/authority": 3, "tsa/authority": 3,
	"signer": 2, "evidence": 2, "client": 2,
	"validate": 1, "tsa": 1, "sam": 1, "ca": 1, "itsme": 1, "itsme/sandbox": 1, "audit": 1, "fence": 1, "clock/ntp": 1, "revocation": 1,
	"consent": 0, "certs": 0, "cms": 0, "pdf": 0, "itsme/token": 0, "db": 0, "hsm": 0, "strictjson": 0, "strictyaml": 0, "wire": 0, "witness": 0, "foureyes": 0, "clock": 0, "order": 0, "policy": 0, "production": 0,
}

// beside lists the allowed imports on one floor.
var beside = map[string][]string{
	"validate":      {"tsa"},
	"itsme/token":   {"strictjson"},
	"consent":       {"strictjson"},
	"order":         {"strictjson"},
	"wire":          {"strictjson"},
	"fence":         {"audit"},
	"production":    {"certs"},
	"api/templates": {},
}

// tools are packages outside the product: generators, test helpers, peers.
var tools = []string{"hsm/hsmtest", "db/dbtest", "witness/witnesstest", "itsme/token/tokentest", "pdf/pdftest", "wire/wiretest", "testdata/gen", "bench", "interop", "tools", "interop/browser"}

// never lists what a package must not reach even on a lower floor.
var never = map[string][]string{
	"cmd/tekend":      {"hsm", "sam/activation", "certs/authority", "tsa/authority", "itsme"},
	"api":             {"store", "hsm", "itsme", "db", "audit"},
	"signer":          {"hsm", "itsme", "db", "store"},
	"certs/authority": {"hsm", "sam", "sam/activation"},
	"tsa/authority":   {"hsm", "sam", "itsme"},
	"store":           {"hsm", "itsme", "pdf", "cms"},
	"evidence":        {"signer", "sam", "itsme", "hsm"},
	"client":          {"signer", "evidence", "sam", "ca", "itsme", "audit", "db", "hsm"},
}

// onlyFor names the sole importers of the key packages.
var onlyFor = map[string][]string{
	"hsm":            {"sam/activation", "cmd/tekend-trusted", "hsm/hsmtest"},
	"itsme/sandbox":  {"cmd/tekend"},
	"sam/activation": {"cmd/tekend-trusted"},
}

const (
	maxFile   = 500
	maxFunc   = 80
	maxParams = 5
	maxMethod = 5
)

var todo = regexp.MustCompile(`\bTODO\b`)
var todoOK = regexp.MustCompile(`TODO\(#\d+\)`)

type source struct {
	path, pkg string
	test      bool
	file      *ast.File
	fset      *token.FileSet
	text      []byte
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || path == "tools" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{
			path: path, pkg: filepath.ToSlash(filepath.Dir(path)),
			test: strings.HasSuffix(path, "_test.go"), file: file, fset: fset, text: text,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files were found: the house is not looked at", len(all))
	}
	return all
}

func (s source) generated() bool { return ast.IsGenerated(s.file) }

func (s source) inTools() bool {
	return slices.ContainsFunc(tools, func(p string) bool { return s.pkg == p || strings.HasPrefix(s.pkg, p+"/") })
}

// ourMethods counts what an interface asks for itself. What it embeds of another package (database/sql/driver says what a
// connection can do in eight interfaces) is not ours to make smaller: decisions/0015-performance.md.
func ourMethods(n *ast.InterfaceType) (count int) {
	for _, f := range n.Methods.List {
		if _, foreign := f.Type.(*ast.SelectorExpr); !foreign {
			count += max(1, len(f.Names))
		}
	}
	return count
}

func TestImportsFollowTheFloors(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.inTools() {
			continue
		}
		floor, known := floors[s.pkg]
		if !known {
			t.Errorf("%s: package %s has no floor: a new room needs a sentence in docs/design.md and a line here", s.path, s.pkg)
			continue
		}
		for _, imp := range s.file.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			to, ours := strings.CutPrefix(path, "tekend/")
			if !ours {
				continue
			}
			target := floors[to]
			switch {
			case target > floor, target == floor && !slices.Contains(beside[s.pkg], to) && !strings.HasPrefix(to, s.pkg+"/") && !itsmeInside(s.pkg, to):
				t.Errorf("%s (floor %d) imports %s (floor %d)", s.path, floor, to, target)
			case slices.Contains(never[s.pkg], to):
				t.Errorf("%s must never import %s", s.path, to)
			}
			if only, ok := onlyFor[to]; ok && !slices.Contains(only, s.pkg) {
				t.Errorf("%s imports %s, which is for %v alone", s.path, to, only)
			}
		}
	}
}

func itsmeInside(pkg, to string) bool {
	return strings.HasPrefix(pkg, "itsme") && to == "itsme/token"
}

func TestSizesAndForbiddenCalls(t *testing.T) {
	for _, s := range sources(t) {
		if s.generated() {
			continue
		}
		if n := bytes.Count(s.text, []byte("\n")); n > maxFile && !s.test && !table(s) {
			t.Errorf("%s has %d lines, at most %d", s.path, n, maxFile)
		}
		for i, line := range strings.Split(string(s.text), "\n") {
			if todo.MatchString(line) && !todoOK.MatchString(line) && s.path != "house_test.go" {
				t.Errorf("%s:%d: a TODO needs its issue: TODO(#n)", s.path, i+1)
			}
		}
		if s.test || s.inTools() {
			continue
		}
		inspect(t, s)
	}
}

// table tells a file that is one large table of data.
func table(s source) bool { return strings.HasSuffix(s.path, "_table.go") }

func inspect(t *testing.T, s source) {
	inCmd := strings.HasPrefix(s.pkg, "cmd/")
	for _, imp := range s.file.Imports {
		if p := imp.Path.Value; (p == `"unsafe"` || p == `"C"`) && s.pkg != "hsm" {
			t.Errorf("%s imports %s; only hsm may", s.path, p)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		where := func() string { return s.fset.Position(n.Pos()).String() }
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s: no init", where())
			}
			if n.Body != nil {
				if lines := s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1; lines > maxFunc {
					t.Errorf("%s: %s has %d lines, at most %d", where(), n.Name.Name, lines, maxFunc)
				}
			}
			if p := n.Type.Params.NumFields(); p > maxParams {
				t.Errorf("%s: %s has %d parameters, at most %d", where(), n.Name.Name, p, maxParams)
			}
		case *ast.InterfaceType:
			if m := ourMethods(n); m > maxMethod {
				t.Errorf("%s: an interface with %d methods, at most %d", where(), m, maxMethod)
			}
		case *ast.CallExpr:
			forbidden(t, n, where, inCmd)
		}
		return true
	})
}

// onlyInCmd: clock, environment and process end belong to the two programs.
var onlyInCmd = []string{"time.Now", "time.Since", "time.Until", "os.Getenv", "os.LookupEnv", "os.Environ", "os.Exit"}

func forbidden(t *testing.T, call *ast.CallExpr, where func() string, inCmd bool) {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		if f.Name == "panic" {
			t.Errorf("%s: no panic", where())
		}
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		if !ok {
			return
		}
		name := x.Name + "." + f.Sel.Name
		if strings.HasPrefix(name, "log.Fatal") || strings.HasPrefix(name, "log.Panic") {
			t.Errorf("%s: no %s", where(), name)
		}
		if slices.Contains(onlyInCmd, name) && !inCmd {
			t.Errorf("%s: %s only below cmd", where(), name)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.generated() || s.inTools() {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !wellKnown[d.Name.Name] {
					t.Errorf("%s: %s has no comment", s.fset.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil && ts.Comment == nil {
						t.Errorf("%s: %s has no comment", s.fset.Position(ts.Pos()), ts.Name.Name)
					}
				}
			}
		}
	}
}

// wellKnown methods say by their interface what they do.
var wellKnown = map[string]bool{
	"Error": true, "Unwrap": true, "String": true, "Is": true, "MarshalText": true, "UnmarshalText": true,
	"MarshalJSON": true, "UnmarshalJSON": true, "ServeHTTP": true, "Public": true, "Run": true, "Read": true, "Close": true,
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// TestFrontKnowsNeitherCgoNorPKCS11 builds the front as it is shipped and
// looks at what it is made of.
func TestFrontKnowsNeitherCgoNorPKCS11(t *testing.T) {
	env := append(os.Environ(), "CGO_ENABLED=0")
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,CgoFiles,Standard", "-tags", "nomsgpack,netgo,osusergo", "./cmd/tekend")
	list.Env = env
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	seen := 0
	for dec.More() {
		var p struct {
			ImportPath string
			CgoFiles   []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		seen++
		if len(p.CgoFiles) > 0 || strings.Contains(p.ImportPath, "pkcs11") || p.ImportPath == "runtime/cgo" || p.ImportPath == "tekend/hsm" {
			t.Errorf("the front depends on %s (cgo files %v)", p.ImportPath, p.CgoFiles)
		}
	}
	if seen < 100 {
		t.Fatalf("only %d packages listed", seen)
	}
	bin := filepath.Join(t.TempDir(), "tekend")
	b := exec.Command("go", "build", "-trimpath", "-tags", "nomsgpack,netgo,osusergo", "-o", bin, "./cmd/tekend")
	b.Env = env
	if out, err := b.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	staticELF(t, bin)
}

func staticELF(t *testing.T, bin string) {
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	libs, err := f.ImportedLibraries()
	if err != nil || len(libs) > 0 {
		t.Errorf("dynamic libraries %v %v", libs, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the front asks for a dynamic loader")
		}
	}
	syms, err := f.Symbols()
	if err != nil || len(syms) < 1000 {
		t.Fatalf("%d symbols %v", len(syms), err)
	}
	for _, s := range syms {
		if strings.Contains(strings.ToLower(s.Name), "pkcs11") || strings.HasPrefix(s.Name, "dlopen") {
			t.Errorf("the front holds the symbol %s", s.Name)
		}
	}
}

// TestEveryDependencyIsExplained holds docs/dependencies.md to go.mod.
func TestEveryDependencyIsExplained(t *testing.T) {
	doc, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, s := range sources(t) {
		for _, imp := range s.file.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				direct[path] = true
			}
		}
	}
	mod, err := exec.Command("go", "list", "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(mod))
	checked := 0
	for path := range direct {
		best := ""
		for _, m := range modules {
			if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(best) {
				best = m
			}
		}
		if best == "" {
			t.Errorf("no module for import %s", path)
			continue
		}
		checked++
		if !bytes.Contains(doc, fmt.Appendf(nil, "`%s`", best)) {
			t.Errorf("docs/dependencies.md has no line for `%s` (imported as %s)", best, path)
		}
	}
	if checked < 10 {
		t.Errorf("only %d dependencies checked", checked)
	}
}

func TestBuildUsesTheLocalToolchain(t *testing.T) {
	if !slices.Contains(build.Default.ReleaseTags, "go1.26") {
		t.Error("Go 1.26 is needed")
	}
}
