package api

import (
	"context"
	_ "embed" // the contract
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var specYAML []byte

// contract is openapi.yaml, read once at start.
type contract struct {
	doc        *openapi3.T
	json       []byte                // for /openapi.json
	operations map[string]*operation // "GET /sign/:token", with the path as gin writes it
}

// operation is one operation of the contract with what the guard needs of it.
type operation struct {
	id     string
	public bool // no API key
	page   bool // answers people: problems are pages
	params []*openapi3.Parameter
	body   *openapi3.RequestBody
}

var pathParam = regexp.MustCompile(`\{([a-z]+)\}`)

func loadContract() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(specYAML)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	// Not doc.MarshalJSON: readers get exactly what was written.
	var plain map[string]any
	if err := yaml.Unmarshal(specYAML, &plain); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	c := &contract{doc: doc, operations: map[string]*operation{}}
	if c.json, err = json.Marshal(plain); err != nil {
		return nil, fmt.Errorf("openapi.json: %w", err)
	}
	for path, item := range doc.Paths.Map() {
		route := pathParam.ReplaceAllString(path, ":$1")
		for method, op := range item.Operations() {
			c.operations[method+" "+route] = newOperation(item, op)
		}
	}
	return c, nil
}

func newOperation(item *openapi3.PathItem, op *openapi3.Operation) *operation {
	o := &operation{id: op.OperationID, public: op.Security != nil && len(*op.Security) == 0}
	for _, p := range slices.Concat(item.Parameters, op.Parameters) {
		o.params = append(o.params, p.Value)
	}
	if op.RequestBody != nil {
		o.body = op.RequestBody.Value
	}
	if d := op.Responses.Default(); d != nil {
		o.page = d.Value.Content["text/html"] != nil
	}
	return o
}

// mediaTypes lists what the operation takes, sorted.
func (o *operation) mediaTypes() []string {
	var all []string
	for m := range o.body.Content {
		all = append(all, m)
	}
	slices.Sort(all)
	return all
}

// check holds a decoded JSON value against a schema. Each issue says where and why, never the value.
func check(schema *openapi3.SchemaRef, v any) []Issue {
	err := schema.Value.VisitJSON(v, openapi3.MultiErrors())
	if err == nil {
		return nil
	}
	var issues []Issue
	for _, e := range flatten(err) {
		for _, at := range places(e) {
			issue := Issue{In: Body, Reason: reason(e)}
			if p := pointer(at); p != "" {
				issue.Pointer = &p
			}
			issues = append(issues, issue)
		}
	}
	return issues
}

// places says where an error is. For members that are not allowed kin-openapi names the object, one error for all.
func places(e *openapi3.SchemaError) [][]string {
	at := e.JSONPointer()
	object, ok := e.Value.(map[string]any)
	if e.SchemaField != "properties" || !ok {
		return [][]string{at}
	}
	var all [][]string
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if e.Schema.Properties[name] == nil {
			all = append(all, append(slices.Clone(at), name))
		}
	}
	return all
}

// flatten lists the schema errors in err; an error of another kind becomes one without a place.
func flatten(err error) []*openapi3.SchemaError {
	switch e := err.(type) { //nolint:errorlint // a tree of errors is walked here, not searched
	case openapi3.MultiError:
		var all []*openapi3.SchemaError
		for _, one := range e {
			all = append(all, flatten(one)...)
		}
		return all
	case *openapi3.SchemaError:
		return []*openapi3.SchemaError{e}
	}
	return []*openapi3.SchemaError{{Schema: &openapi3.Schema{}}}
}

func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	// A member's name comes from the client; 200 bytes are enough to find it.
	return strings.ToValidUTF8(b.String()[:min(b.Len(), 200)], "")
}

// reason says from the schema alone what was expected: kin-openapi's own texts may show parts of the value.
func reason(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "properties", "additionalProperties":
		return "is not known here"
	case "type":
		return "must be of type " + strings.Join(s.Type.Slice(), " or ")
	case "enum":
		var all []string
		for _, v := range s.Enum {
			all = append(all, fmt.Sprint(v))
		}
		return "must be one of " + strings.Join(all, ", ")
	case "pattern":
		return "must match " + s.Pattern
	case "minLength":
		return fmt.Sprintf("must have at least %d characters", s.MinLength)
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *s.MaxLength)
	case "minItems":
		return fmt.Sprintf("must have at least %d members", s.MinItems)
	case "maxItems":
		return fmt.Sprintf("must have at most %d members", *s.MaxItems)
	case "minimum":
		return fmt.Sprintf("must be at least %v", *s.Min)
	case "maximum":
		return fmt.Sprintf("must be at most %v", *s.Max)
	}
	return "has the wrong form"
}
