package api

import (
	"cmp"
	"context"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// docsView is the contract as a page, made once at start. No script, nothing from elsewhere.
type docsView struct {
	view
	Name, Version string
	Text          template.HTML
	Groups        []docsGroup
	Schemas       []docsSchema
	Problems      []docsProblem
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary string
	Text                      template.HTML
	Public                    bool
	Params                    []docsRow
	Body                      []docsRow
	Answers                   []docsRow
}

type docsRow struct {
	Name, In string
	Required bool
	Type     template.HTML
	Text     template.HTML
}

type docsSchema struct {
	Name string
	Text template.HTML
	Type template.HTML
	Rows []docsRow
}

type docsProblem struct {
	Code, Title string
	Status      int
}

// GetDocs shows the contract.
func (s *server) GetDocs(ctx context.Context, _ GetDocsRequestObject) (GetDocsResponseObject, error) {
	_, _ = enter(ctx)
	return &file{media: "text/html; charset=utf-8", bytes: s.pages.docs, cache: cacheStatic, policy: policyPage}, nil
}

// renderDocs makes the page; it is English, like the contract.
func (p *pages) renderDocs(spec *contract, sandbox bool) ([]byte, error) {
	v := docsView{view: p.view(defaultLanguage, sandbox), Name: spec.doc.Info.Title, Version: spec.doc.Info.Version, Text: prose(spec.doc.Info.Description)}
	v.Title, v.Langs, v.Wide = p.words.say(defaultLanguage, "title.docs"), nil, true
	for _, tag := range spec.doc.Tags {
		g := docsGroup{Name: tag.Name}
		for _, path := range spec.doc.Paths.InMatchingOrder() {
			item := spec.doc.Paths.Value(path)
			for method, op := range item.Operations() {
				if slices.Contains(op.Tags, tag.Name) {
					g.Operations = append(g.Operations, docsOf(method, path, newOperation(item, op), op))
				}
			}
		}
		slices.SortFunc(g.Operations, func(a, b docsOperation) int {
			return cmp.Or(cmp.Compare(len(a.Path), len(b.Path)), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
		v.Groups = append(v.Groups, g)
	}
	for name, schema := range spec.doc.Components.Schemas {
		v.Schemas = append(v.Schemas, docsSchema{name, prose(schema.Value.Description), typeOf(&openapi3.SchemaRef{Value: schema.Value}), rows(schema.Value)})
	}
	slices.SortFunc(v.Schemas, func(a, b docsSchema) int { return strings.Compare(a.Name, b.Name) })
	for code, a := range answers {
		v.Problems = append(v.Problems, docsProblem{code, a.title, a.status})
	}
	slices.SortFunc(v.Problems, func(a, b docsProblem) int { return strings.Compare(a.Code, b.Code) })
	return p.render("docs", v)
}

func docsOf(method, path string, o *operation, op *openapi3.Operation) docsOperation {
	d := docsOperation{ID: o.id, Method: method, Path: path, Summary: op.Summary, Text: prose(op.Description), Public: o.public}
	for _, p := range o.params {
		d.Params = append(d.Params, docsRow{p.Name, p.In, p.Required, typeOf(p.Schema), prose(p.Description)})
	}
	if o.body != nil {
		for _, m := range o.mediaTypes() {
			d.Body = append(d.Body, docsRow{Name: m, Required: o.body.Required, Type: typeOf(o.body.Content[m].Schema)})
		}
	}
	for status, r := range op.Responses.Map() {
		var types []string
		for m, c := range r.Value.Content {
			types = append(types, m+" "+string(typeOf(c.Schema)))
		}
		slices.Sort(types)
		text := ""
		if r.Value.Description != nil {
			text = *r.Value.Description
		}
		d.Answers = append(d.Answers, docsRow{Name: status, Type: template.HTML(strings.Join(types, "<br>")), Text: prose(text)}) //nolint:gosec // from our own contract
	}
	slices.SortFunc(d.Answers, func(a, b docsRow) int { return strings.Compare(a.Name, b.Name) })
	return d
}

func rows(s *openapi3.Schema) []docsRow {
	var all []docsRow
	for name, p := range s.Properties {
		all = append(all, docsRow{Name: name, Required: slices.Contains(s.Required, name), Type: typeOf(p), Text: prose(p.Value.Description)})
	}
	slices.SortFunc(all, func(a, b docsRow) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// typeOf says what a schema allows, with a link where it has a name.
func typeOf(ref *openapi3.SchemaRef) template.HTML {
	if ref == nil || ref.Value == nil {
		return ""
	}
	if name, ok := strings.CutPrefix(ref.Ref, "#/components/schemas/"); ok {
		e := template.HTMLEscapeString(name)
		return template.HTML(`<a href="#schema-` + e + `">` + e + `</a>`) //nolint:gosec // escaped
	}
	s := ref.Value
	if s.Type.Is("array") {
		return "array of " + typeOf(s.Items)
	}
	var b strings.Builder
	b.WriteString(strings.Join(s.Type.Slice(), " | "))
	for i, v := range s.Enum {
		b.WriteString(map[bool]string{true: ": ", false: ", "}[i == 0])
		text, _ := v.(string)
		b.WriteString(text)
	}
	if s.Format != "" {
		b.WriteString(" " + s.Format)
	}
	if s.Pattern != "" {
		b.WriteString(" " + s.Pattern)
	}
	if s.MaxLength != nil {
		b.WriteString(" ≤ " + strconv.FormatUint(*s.MaxLength, 10))
	}
	return template.HTML(template.HTMLEscapeString(b.String())) //nolint:gosec // escaped
}

// prose is a description of the contract: paragraphs, and `code`.
func prose(text string) template.HTML {
	var b strings.Builder
	for p := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		b.WriteString("<p>")
		for i, part := range strings.Split(p, "`") {
			e := template.HTMLEscapeString(part)
			if i%2 == 1 {
				e = "<code>" + e + "</code>"
			}
			b.WriteString(e)
		}
		b.WriteString("</p>")
	}
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return template.HTML(b.String()) //nolint:gosec // every piece was escaped
}
