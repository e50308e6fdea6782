package tekend_test

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tables of docs/standards.md and docs/names.md are held to the code: what
// they name must be there, and what they list must be all there is.

var inCode = regexp.MustCompile("`([^`]+)`")

// quoted gives what stands between backticks in a cell.
func quoted(cell string) []string {
	var all []string
	for _, m := range inCode.FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

// rows reads the table whose first header cell is head; at least least rows must be there.
func rows(t *testing.T, path, head string, least int) [][]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	columns := 0
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case cells[0] == head:
			columns = len(cells)
		case columns == 0 || strings.HasPrefix(cells[0], "---"):
		case len(cells) != columns:
			t.Errorf("%s: a row has %d cells, its table %d: %s", path, len(cells), columns, line)
		default:
			all = append(all, cells)
		}
	}
	if len(all) < least {
		t.Fatalf("%s: only %d rows in the tables that begin with %q", path, len(all), head)
	}
	return all
}

// compare tells what is on one side only.
func compare[T any](t *testing.T, what string, doc, code map[string]T) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(code)) {
		if _, ok := doc[k]; !ok {
			t.Errorf("docs/names.md has no line for the %s %q, which the code has", what, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(doc)) {
		if c, ok := code[k]; !ok {
			t.Errorf("docs/names.md lists the %s %q, which the code does not have", what, k)
		} else if !reflect.DeepEqual(c, doc[k]) {
			t.Errorf("docs/names.md says of the %s %q %v, the code %v", what, k, doc[k], c)
		}
	}
}

// TestStandardsNameWhatExists: each row names functions and tests of the tree.
func TestStandardsNameWhatExists(t *testing.T) {
	product, tests := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := s.pkg + "." + receiver(f) + f.Name.Name
			if s.test {
				tests[name] = true
			} else {
				product[name] = true
			}
		}
	}
	for _, row := range rows(t, "docs/standards.md", "clause", 60) {
		if len(row) != 4 {
			t.Fatalf("docs/standards.md: a row has %d cells, not 4", len(row))
		}
		check := func(cell string, there map[string]bool, kind string) {
			names := quoted(cell)
			if len(names) == 0 {
				t.Errorf("docs/standards.md: %s: no %s is named", row[0], kind)
			}
			for _, n := range names {
				if !there[n] {
					t.Errorf("docs/standards.md: %s: there is no %s %s", row[0], kind, n)
				}
			}
		}
		check(row[2], product, "function")
		check(row[3], tests, "test")
	}
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

// TestProblemCodesAreListed: code, status and retryable as in signer and api.
func TestProblemCodesAreListed(t *testing.T) {
	type problem struct {
		status    string
		retryable string
	}
	code, statuses := map[string]problem{}, map[string]string{}
	for _, s := range sources(t) {
		if s.test || s.generated() || s.pkg != "signer" && s.pkg != "api" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if c := text(field(n, "Code")); c != "" {
					p := problem{retryable: "no"}
					if id, ok := field(n, "Retryable").(*ast.Ident); ok && id.Name == "true" {
						p.retryable = "yes"
					}
					if old, twice := code[c]; twice && old != p {
						p.retryable = "both"
					}
					code[c] = p
				}
			case *ast.ValueSpec:
				if n.Names[0].Name == "answers" && s.pkg == "api" {
					table, ok := n.Values[0].(*ast.CompositeLit)
					if !ok {
						t.Fatal("api.answers is no table")
					}
					for _, e := range table.Elts {
						kv := e.(*ast.KeyValueExpr)
						statuses[text(kv.Key)] = kv.Value.(*ast.CompositeLit).Elts[0].(*ast.BasicLit).Value
					}
				}
			}
			return true
		})
	}
	if len(code) < 50 || len(statuses) < 40 {
		t.Fatalf("only %d codes and %d statuses were found", len(code), len(statuses))
	}
	for c, p := range code {
		p.status = "422" // api.problem's answer for what is not in its table
		if s, ok := statuses[c]; ok {
			p.status = s
		}
		code[c] = p
	}
	doc := map[string]problem{}
	for _, row := range rows(t, "docs/names.md", "problem code", 50) {
		for _, c := range quoted(row[0]) {
			doc[c] = problem{row[1], row[2]}
		}
	}
	compare(t, "problem code", doc, code)
}

// field gives a member of a composite literal, nil when it is not set.
func field(c *ast.CompositeLit, name string) ast.Expr {
	for _, e := range c.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}

// text gives the value of a string literal, "" for anything else.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return s
}

// TestAuditKindsAreListed: what the three roles write into their records.
func TestAuditKindsAreListed(t *testing.T) {
	roles := map[string]string{"sam/activation": "sam", "certs/authority": "ca", "tsa/authority": "tsa", "fence": "all"}
	code := map[string]string{}
	for _, s := range sources(t) {
		role := roles[s.pkg]
		if s.test || role == "" {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || auditHelper[receiver(f)+f.Name.Name] > 0 { // its callers are looked at
				continue
			}
			kinds := kindsIn(f)
			for _, k := range kinds {
				if k == "" {
					t.Errorf("%s: %s writes an audit row whose kind this test cannot read", s.path, f.Name.Name)
					continue
				}
				code[role+" "+k] = role
			}
		}
	}
	if len(code) < 20 {
		t.Fatalf("only %d kinds were found", len(code))
	}
	doc := map[string]string{}
	for _, row := range rows(t, "docs/names.md", "audit kind", 20) {
		for _, k := range quoted(row[0]) {
			doc[row[1]+" "+k] = row[1]
		}
	}
	compare(t, "audit kind", doc, code)
}

// auditHelper are the methods that write a row of a kind they are given, as the argument of this number.
var auditHelper = map[string]int{"Role.audit": 2, "Role.auditConcern": 3, "Role.auditEnd": 3}

// kindsIn gives the kinds of the audit rows that a function writes; "" for one that is not a constant.
func kindsIn(f *ast.FuncDecl) []string {
	var all []string
	add := func(e ast.Expr) {
		if id, ok := e.(*ast.Ident); ok {
			all = append(all, assigned(f, id.Name)...)
			return
		}
		if sum, ok := e.(*ast.BinaryExpr); ok { // "refusal." + code
			if s := text(sum.X); s != "" {
				all = append(all, s+"CODE")
				return
			}
		}
		all = append(all, text(e))
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) == 5 && auditHelper["Role."+sel.Sel.Name] > 0 {
				add(n.Args[auditHelper["Role."+sel.Sel.Name]])
			}
		case *ast.CompositeLit:
			if fmt.Sprint(kindOf(n.Type)) == "audit.Event" && field(n, "Kind") != nil {
				add(field(n, "Kind"))
			}
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				sel, ok := l.(*ast.SelectorExpr)
				if ok && sel.Sel.Name == "Kind" && len(n.Lhs) == len(n.Rhs) && strings.Contains(text(n.Rhs[i]), ".") {
					add(n.Rhs[i])
				}
			}
		}
		return true
	})
	return all
}

func kindOf(e ast.Expr) string {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return x.Name + "." + sel.Sel.Name
		}
	}
	return ""
}

// assigned gives every value that a variable of the function gets.
func assigned(f *ast.FuncDecl, name string) []string {
	var all []string
	ast.Inspect(f, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
			for i, l := range a.Lhs {
				if id, ok := l.(*ast.Ident); ok && id.Name == name {
					all = append(all, text(a.Rhs[i]))
				}
			}
		}
		return true
	})
	if len(all) == 0 {
		return []string{""}
	}
	return all
}

// TestRefusalCodesAreListed: what sam and ca may answer.
func TestRefusalCodesAreListed(t *testing.T) {
	code, doc := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		if s.test || s.pkg != "sam" && s.pkg != "ca" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Code") && len(v.Values) == 1 {
				code[s.pkg+" "+text(v.Values[0])] = true
			}
			return true
		})
	}
	if len(code) < 30 {
		t.Fatalf("only %d codes were found", len(code))
	}
	for _, row := range rows(t, "docs/names.md", "refusals of", 2) {
		for _, c := range quoted(row[1]) {
			doc[row[0]+" "+c] = true
		}
	}
	compare(t, "refusal", doc, code)
}

// TestMembersAreListed: the keys of configuration files and the members of JSON
// that scripts read are exactly the tags of the struct that is named beside them.
func TestMembersAreListed(t *testing.T) {
	structs := map[string]*ast.StructType{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if st, ok := spec.Type.(*ast.StructType); ok {
					structs[s.pkg+"."+spec.Name.Name] = st
				}
			}
			return true
		})
	}
	for _, row := range rows(t, "docs/names.md", "what", 8) {
		name := strings.Trim(row[1], "`")
		st, ok := structs[name]
		if !ok {
			t.Errorf("docs/names.md: there is no struct %s", name)
			continue
		}
		doc, code := map[string]bool{}, map[string]bool{}
		for _, m := range quoted(row[2]) {
			doc[m] = true
		}
		for _, f := range st.Fields.List {
			if m := tagged(f); m != "" {
				code[m] = true
			}
		}
		compare(t, "member of "+name, doc, code)
	}
}

// tagged gives a field's name in YAML or JSON, "" when it has none.
func tagged(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
	for _, k := range []string{"yaml", "json"} {
		name, _, _ := strings.Cut(tag.Get(k), ",")
		if name != "" && name != "-" {
			return name
		}
	}
	return ""
}

// TestRoutesAreListed: the paths of the contract.
func TestRoutesAreListed(t *testing.T) {
	b, err := os.ReadFile("api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	code, doc := map[string]bool{}, map[string]bool{}
	address, method := regexp.MustCompile(`^  (/\S*):\s*$`), regexp.MustCompile(`^    (get|post|put|delete|patch):\s*$`)
	path := ""
	for line := range strings.Lines(string(b)) {
		if m := address.FindStringSubmatch(line); m != nil {
			path = m[1]
		}
		if m := method.FindStringSubmatch(line); m != nil && path != "" {
			code[strings.ToUpper(m[1])+" "+path] = true
		}
	}
	if len(code) < 15 {
		t.Fatalf("only %d routes were found", len(code))
	}
	for _, row := range rows(t, "docs/names.md", "route", 15) {
		doc[strings.Trim(row[0], "`")] = true
	}
	compare(t, "route", doc, code)
}
