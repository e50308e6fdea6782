package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"tekend/signer"
	"tekend/strictjson"
)

// A document that is uploaded goes from the connection to the blob store in pieces; nothing here holds more of it than
// what multipart needs to find the next boundary.

// Names of the parts of an order.
const (
	partRequest  = "request"
	partDocument = "document"
)

// rawUpload is one document that is the whole body.
type rawUpload struct {
	name string
	body io.Reader
	at   int // 0 before the document, 1 at it, 2 behind it
}

// Next implements signer.Upload.
func (u *rawUpload) Next(context.Context) (string, io.Reader, error) {
	if u.at > 0 {
		u.at = 2
		return "", nil, io.EOF
	}
	u.at = 1
	return u.name, u.body, nil
}

func (u *rawUpload) count() int {
	if u.at == 1 {
		return 1
	}
	return 0
}

func (u *rawUpload) failed() error { return nil } // the stream of the body knows

// fileName is the name in a Content-Disposition header (RFC 6266 §4.3), "" if there is none.
func fileName(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil {
		return ""
	}
	return params["filename"]
}

// partsUpload is an order in parts: request, then document, document, …
type partsUpload struct {
	parts *multipart.Reader
	spec  *contract
	next  *part // read already
	any   bool  // documents may be of any type
	seen  int   // documents handed out
	ended bool  // all of them were
	err   error // why a part ended early
}

// part is a part with its media type; the upload keeps the error that ends it early.
type part struct {
	*multipart.Part
	media string
	of    *partsUpload
}

// Read implements io.Reader.
func (p *part) Read(b []byte) (int, error) {
	n, err := p.Part.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // multipart wraps io.EOF where the parts do not end as they should
		p.of.err = partError(err)
	}
	return n, err
}

// openParts reads the part request into order, if it is there, and stands before the first document.
func openParts[T SignatureRequestOrder | SignaturePreviewOrder](spec *contract, r *multipart.Reader, schema string, order *T) (*partsUpload, error) {
	u := &partsUpload{parts: r, spec: spec}
	p, err := u.read()
	if errors.Is(err, io.EOF) {
		return u, nil // signer says that there is no document
	}
	if err != nil {
		return nil, err
	}
	if p.FormName() != partRequest {
		u.next = p
		return u, nil
	}
	if p.media != "application/json" {
		return nil, partMedia(partRequest, "application/json")
	}
	b, err := io.ReadAll(io.LimitReader(p, maxOrder+1))
	if err != nil {
		return nil, partError(err)
	}
	if err := decodeOrder(spec.doc.Components.Schemas[schema], b, order); err != nil {
		return nil, err
	}
	return u, nil
}

func decodeOrder(schema *openapi3.SchemaRef, b []byte, order any) error {
	var v any
	if err := strictjson.Decode(b, maxOrder, &v); err != nil {
		return jsonError(err, partRequest)
	}
	if issues := check(schema, v); issues != nil {
		name := partRequest
		for i := range issues {
			issues[i].Name = &name
		}
		return invalid(issues...)
	}
	if err := strictjson.Decode(b, maxOrder, order); err != nil {
		return jsonError(err, partRequest)
	}
	return nil
}

// read is the head of the next part; io.EOF after the last.
func (u *partsUpload) read() (*part, error) {
	p, err := u.parts.NextRawPart() // NextPart would undo quoted-printable, so change the bytes of a document
	if err != nil {
		return nil, partError(err)
	}
	if e := p.Header.Get("Content-Transfer-Encoding"); e != "" && !strings.EqualFold(e, "binary") && !strings.EqualFold(e, "8bit") && !strings.EqualFold(e, "7bit") {
		return nil, &fault{of: errMultipart, issues: []Issue{named(Body, partName(p), "must not have a transfer encoding")}}
	}
	media, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	return &part{p, media, u}, nil
}

// Next implements signer.Upload.
func (u *partsUpload) Next(context.Context) (string, io.Reader, error) {
	p := u.next
	u.next = nil
	if p == nil {
		var err error
		if p, err = u.read(); err != nil {
			u.ended = true
			return "", nil, err
		}
	}
	switch p.FormName() {
	case partDocument:
		if !u.any && p.media != mediaPDF {
			return "", nil, partMedia(partDocument, mediaPDF)
		}
		u.seen++
		return p.FileName(), p, nil
	case partRequest:
		return "", nil, invalid(named(Body, partRequest, "must be the first part and stand once"))
	}
	return "", nil, invalid(named(Body, partName(p.Part), "is not known here; the parts are request and document"))
}

func (u *partsUpload) count() int {
	if u.ended {
		return 0
	}
	return u.seen
}

func (u *partsUpload) failed() error { return u.err }

func partName(p *multipart.Part) string { return p.FormName()[:min(len(p.FormName()), 64)] }

func partMedia(name, want string) error {
	return &fault{of: errMedia, issues: []Issue{named(Body, name, "must be of type "+want)}}
}

// partError tells the end of the parts and the limit of the body from parts that cannot be read; a fault, since these
// are about the parts and not about the document that was read last.
func partError(err error) error {
	var header textproto.ProtocolError
	switch {
	case err == io.EOF, tooLarge(err): //nolint:errorlint // a wrapped io.EOF is an end without the last boundary
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &fault{of: errBroken}
	case errors.As(err, &header), strings.HasPrefix(err.Error(), "multipart:"):
		return &fault{of: errMultipart}
	}
	return &fault{of: errBroken}
}

// uploadError says which document an error is about, and puts the real cause back when somebody between the connection
// and us has wrapped it away. up is nil when the first part could not be read.
func uploadError(err error, body *stream, up counted) error {
	if cut := body.failed(); cut != nil {
		if tooLarge(cut) {
			return signer.ErrRequestSize
		}
		return errBroken
	}
	if up == nil {
		return err
	}
	if cut := up.failed(); cut != nil {
		return cut
	}
	e, ok := errors.AsType[*signer.Error](err)
	if _, told := errors.AsType[*fault](err); !ok || told || up.count() == 0 {
		return err
	}
	name, at := partDocument, fmt.Sprintf("/%s/%d", partDocument, up.count()-1)
	return &fault{of: e, issues: []Issue{{In: Body, Name: &name, Pointer: &at, Reason: e.Detail}}}
}
