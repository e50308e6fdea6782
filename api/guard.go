package api

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"

	"tekend/certs"
	"tekend/signer"
	"tekend/strictjson"
)

// Limits of bodies, in bytes.
const (
	maxJSON  = 64 << 10  // no message of ours but an order needs 2 KiB; strict reading costs memory in proportion
	maxOrder = 256 << 10 // 250 digests with names of 255 bytes have 110 KB, and the same in a signed order 64 KiB; in a part of its own too
	maxForm  = 4 << 10   // two short fields
	maxQuery = 64 << 10  // a time-stamp request has 100 bytes, and as many extensions as its maker likes
	maxKey   = 256       // an API key
)

// guard holds a request to the contract before generated code reads it: key, parameters, origin, type and size of the
// body, and JSON that can be read in one way only. A body that is not JSON or a small form is never validated here
// (kin-openapi would read it into memory); it becomes a stream with a limit.
func (s *server) guard(c *gin.Context) {
	cl := callOf(c)
	if cl.op == nil {
		return // no such route: NoRoute and NoMethod answer
	}
	for _, step := range []func(*gin.Context, *call) error{s.authenticate, s.parameters, s.sameSite, s.body} {
		if err := step(c, cl); err != nil {
			s.fail(c, err)
			return
		}
	}
}

func (s *server) authenticate(c *gin.Context, cl *call) error {
	if cl.op.public {
		return nil
	}
	values := c.Request.Header.Values("Authorization")
	if len(values) != 1 {
		return errKey
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	key = strings.TrimSpace(key)
	if !strings.EqualFold(scheme, "Bearer") || key == "" || len(key) > maxKey {
		return errKey
	}
	client, err := s.dep.Clients.ClientByKey(c.Request.Context(), key)
	switch {
	case errors.Is(err, signer.ErrNotFound), err == nil && client == "":
		return errKey
	case err != nil:
		return err
	}
	cl.client = client
	return nil
}

// parameters checks path, query and headers. A path that the contract does not allow leads nowhere (404).
func (s *server) parameters(c *gin.Context, cl *call) error {
	query, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return invalid(Issue{In: Query, Reason: "is not well-formed"})
	}
	var issues []Issue
	known := map[string]bool{}
	for _, p := range cl.op.params {
		switch p.In {
		case "path":
			if v, ok := typed(p.Schema.Value, c.Param(p.Name)); !ok || check(p.Schema, v) != nil {
				return absent(p.Name)
			}
		case "query":
			known[p.Name] = true
			issues = append(issues, valueIssues(Query, p, query[p.Name])...)
		case "header":
			issues = append(issues, valueIssues(Header, p, c.Request.Header.Values(p.Name))...)
		}
	}
	if !cl.op.public { // a misspelt option of an order must not be passed over; pages get parameters of others
		for _, name := range slices.Sorted(maps.Keys(query)) {
			if !known[name] {
				issues = append(issues, named(Query, name[:min(len(name), 64)], "is not known here"))
			}
		}
	}
	if len(issues) > 0 {
		return invalid(issues...)
	}
	return nil
}

// absent names what does not exist when a path parameter cannot be right.
func absent(param string) error {
	switch param {
	case "n":
		return signer.ErrDocumentAbsent
	case "id", "token":
		return signer.ErrUnknown
	case "page":
		return signer.ErrNoRevocation
	case "credential":
		return signer.ErrNoCredential
	}
	return errNoRoute
}

func valueIssues(in IssueIn, p *openapi3.Parameter, values []string) []Issue {
	switch len(values) {
	case 0:
		if p.Required {
			return []Issue{named(in, p.Name, "is required")}
		}
		return nil
	case 1:
		v, ok := typed(p.Schema.Value, values[0])
		if !ok {
			return []Issue{named(in, p.Name, "must be a whole number")}
		}
		issues := check(p.Schema, v)
		for i := range issues {
			issues[i].In, issues[i].Name, issues[i].Pointer = in, &p.Name, nil
		}
		return issues
	}
	return []Issue{named(in, p.Name, "stands twice")}
}

// typed is the text of a parameter as its schema wants it.
func typed(schema *openapi3.Schema, text string) (any, bool) {
	if !schema.Type.Is("integer") {
		return text, true
	}
	n, err := strconv.ParseInt(text, 10, 32)
	return float64(n), err == nil && text == strconv.FormatInt(n, 10)
}

// sameSite keeps other sites from sending the forms of a page. Their address is a secret, so this is the second lock.
// Our own pages send "Origin: null" (Referrer-Policy no-referrer, Fetch §3.2.5), so Sec-Fetch-Site decides where the
// browser sends it. Programs send neither.
func (s *server) sameSite(c *gin.Context, cl *call) error {
	if !cl.op.page || c.Request.Method == http.MethodGet {
		return nil
	}
	if site := c.GetHeader("Sec-Fetch-Site"); site != "" {
		if site != "same-origin" && site != "none" {
			return errSite
		}
		return nil
	}
	if origin := c.GetHeader("Origin"); origin != "" && origin != "null" && origin != s.origin {
		return errSite
	}
	return nil
}

// body checks type, then size, then content where that is small.
func (s *server) body(c *gin.Context, cl *call) error {
	r := c.Request
	if cl.op.body == nil {
		r.Body = http.NoBody // nothing of ours reads it
		return nil
	}
	if r.ContentLength == 0 && !cl.op.body.Required {
		r.Body = http.NoBody
		r.Header.Del("Content-Type")
		return nil
	}
	media, schema, err := mediaType(r, cl.op)
	if err != nil {
		c.Header("Accept", strings.Join(cl.op.mediaTypes(), ", ")) // RFC 9110 §15.5.16
		return err
	}
	limit := s.bodyLimit(media, cl.op)
	if r.ContentLength > limit && media != ocspQuery && media != stampQuery { // whose protocols have answers of their own
		return errBody
	}
	cl.patience.lift()
	cl.stream = &stream{Reader: io.LimitReader(r.Body, limit+1), Closer: r.Body, limit: limit, patience: cl.patience}
	r.Body = cl.stream
	switch media {
	case "application/json":
		return replay(r, func(b []byte) error { return checkJSON(b, limit, schema) })
	case "application/x-www-form-urlencoded":
		return replay(r, func(b []byte) error { return checkForm(b, schema) })
	}
	return nil
}

func (s *server) bodyLimit(media string, op *operation) int64 {
	switch media {
	case "application/json":
		if op.id == "createSignatureRequest" || op.id == "sendDigests" {
			return maxOrder
		}
		return maxJSON
	case "application/x-www-form-urlencoded":
		return maxForm
	case stampQuery:
		return maxQuery
	case ocspQuery:
		return certs.MaxOCSPRequest
	}
	return s.cfg.MaxUploadBytes
}

// mediaType is the type of the body if the contract has it; the header is rewritten as the generated code, which looks
// at its first letters, expects it.
func mediaType(r *http.Request, op *operation) (string, *openapi3.SchemaRef, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "", nil, errEncoding
	}
	values := r.Header.Values("Content-Type")
	if len(values) != 1 {
		return "", nil, unsupported(op)
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || op.body.Content[media] == nil {
		return "", nil, unsupported(op)
	}
	if cs, ok := params["charset"]; ok && media == "application/json" && !strings.EqualFold(cs, "utf-8") {
		return "", nil, unsupported(op)
	}
	clean := mime.FormatMediaType(media, params)
	if clean == "" {
		return "", nil, unsupported(op)
	}
	r.Header.Set("Content-Type", clean)
	return media, op.body.Content[media].Schema, nil
}

func unsupported(op *operation) error {
	return &fault{of: errMedia, issues: []Issue{named(Header, "Content-Type", "must be one of "+strings.Join(op.mediaTypes(), ", "))}}
}

// replay reads a small body, has it checked, and puts it back for the binder.
func replay(r *http.Request, look func([]byte) error) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return readError(err)
	}
	if err := look(b); err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	r.ContentLength = int64(len(b))
	return nil
}

func checkJSON(b []byte, limit int64, schema *openapi3.SchemaRef) error {
	var v any
	if err := strictjson.Decode(b, int(limit), &v); err != nil {
		return jsonError(err, "")
	}
	if issues := check(schema, v); issues != nil {
		return invalid(issues...)
	}
	return nil
}

// checkForm reads a form in which every field stands once.
func checkForm(b []byte, schema *openapi3.SchemaRef) error {
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return invalid(Issue{In: Body, Reason: "is not a well-formed form"})
	}
	v := map[string]any{}
	for name, values := range form {
		if len(values) != 1 {
			return invalid(named(Body, name[:min(len(name), 64)], "stands twice"))
		}
		v[name] = values[0]
	}
	if issues := check(schema, v); issues != nil {
		return invalid(issues...)
	}
	return nil
}

// stream is the body of a request with a limit and with patience. It keeps its first error, so that a caller can tell
// what really happened when somebody in between has wrapped it away.
type stream struct {
	io.Reader // ends one byte after the limit
	io.Closer
	limit    int64
	patience *patience
	read     int64
	err      error
}

func (s *stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.patience.read(s.Reader, p)
	s.read += int64(n)
	if s.read > s.limit {
		err = &http.MaxBytesError{Limit: s.limit}
		n -= int(s.read - s.limit)
	}
	if err != nil {
		s.err = err
	}
	return n, err
}

// failed is the error that ended the stream early, nil if it ended well or goes on.
func (s *stream) failed() error {
	if s == nil || errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}
