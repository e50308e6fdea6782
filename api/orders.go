package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tekend/signer"
)

// counted is an upload that knows at which document it is (from 1; 0 before the first and behind the last, where an error is
// about the order), and why a document ended early.
type counted interface {
	signer.Upload
	count() int
	failed() error
}

// CreateSignatureRequest takes an order with its documents.
func (s *server) CreateSignatureRequest(ctx context.Context, in CreateSignatureRequestRequestObject) (CreateSignatureRequestResponseObject, error) {
	ctx, cl := enter(ctx)
	up, wish, err := s.openUpload(cl, in)
	if err != nil {
		return nil, uploadError(err, cl.stream, nil)
	}
	order, err := s.ordered(wish)
	if err != nil {
		return nil, err
	}
	order.IdempotencyKey = value(in.Params.IdempotencyKey)
	r, err := s.dep.Signer.Create(ctx, cl.client, order, up)
	if errors.Is(err, signer.ErrKeyReused) { // about the order, not about the document that was read last
		return nil, &fault{of: signer.ErrKeyReused, issues: []Issue{named(Header, "Idempotency-Key", "was used for another order")}}
	}
	if err != nil {
		return nil, uploadError(err, cl.stream, up)
	}
	at := "/v1/signature-requests/" + r.ID
	return CreateSignatureRequest201JSONResponse{
		Body:    s.signatureRequest(r),
		Headers: CreateSignatureRequest201ResponseHeaders{Location: &at},
	}, nil
}

func (s *server) openUpload(cl *call, in CreateSignatureRequestRequestObject) (counted, SignatureRequestOrder, error) {
	p := in.Params
	p.IdempotencyKey = nil // goes with all
	switch {
	case in.JSONBody != nil:
		return noUpload{}, *in.JSONBody, openJSON(p, *in.JSONBody)
	case in.MultipartBody != nil:
		if p != (CreateSignatureRequestParams{}) {
			return nil, SignatureRequestOrder{}, invalid(Issue{In: Query, Reason: "options of a multipart order stand in its part request"})
		}
		var order SignatureRequestOrder
		up, err := openParts(s.spec, in.MultipartBody, "SignatureRequestOrder", &order)
		if err != nil {
			return nil, order, err
		}
		up.any = value(order.Format) == signer.CAdES
		return up, order, uploadsOnly(order, partRequest)
	}
	order := SignatureRequestOrder{
		Level: p.Level, Language: p.Language, RedirectUrl: p.RedirectUrl, ExpiresIn: p.ExpiresIn, Format: p.Format, Packaging: p.Packaging,
	}
	if p.Exclusive != nil {
		order.Exclusive = new(*p.Exclusive == "true")
	}
	if p.SignerReference != nil {
		order.Signer = &struct {
			Reference *Reference `json:"reference,omitempty"`
		}{p.SignerReference}
	}
	return &rawUpload{name: cl.fileName, body: in.Body}, order, nil
}

// ordered is what the client wishes in the signer's words. Levels, formats, languages and addresses are judged there.
func (s *server) ordered(w SignatureRequestOrder) (signer.Order, error) {
	o := signer.Order{Level: string(value(w.Level)), Language: string(value(w.Language)), RedirectURL: value(w.RedirectUrl)}
	o.Format, o.Packaging, o.Exclusive, o.SignedOrder = string(value(w.Format)), string(value(w.Packaging)), value(w.Exclusive), value(w.SignedOrder)
	o.Continues, o.Visible = continued(w.Continues), visible(value(w.Visible)...)
	var err error
	if o.Digests, err = digests(w.Digests); err != nil {
		return o, err
	}
	if w.Signer != nil {
		o.Reference = value(w.Signer.Reference)
	}
	if w.ExpiresIn != nil {
		d, ok := duration(*w.ExpiresIn)
		if !ok || d == 0 {
			return o, signer.ErrLifetime
		}
		o.Lifetime = d
	}
	if u, err := url.Parse(o.RedirectURL); err != nil || !s.cfg.Sandbox && u.Scheme == "http" {
		return o, signer.ErrRedirect // plain http is for the sandbox
	}
	return o, nil
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// lifetime is the contract's pattern with its numbers; they are short enough for the sum to fit.
var lifetime = regexp.MustCompile(`^P(?:(\d{1,3})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?(?:(\d{1,7})S)?)?$`)

// duration reads an ISO 8601 duration of days, hours, minutes and seconds, each a whole number.
func duration(text string) (time.Duration, bool) {
	m := lifetime.FindStringSubmatch(text)
	if m == nil || strings.HasSuffix(text, "T") || text == "P" {
		return 0, false
	}
	var sum time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(m[i+1])
		if err != nil {
			return 0, false
		}
		sum += time.Duration(n) * unit
	}
	return sum, true
}

// longest is the longest long poll; the contract allows no more.
const longest = time.Minute

// GetSignatureRequest tells the state of a request, at once or when it changes.
func (s *server) GetSignatureRequest(ctx context.Context, in GetSignatureRequestRequestObject) (GetSignatureRequestResponseObject, error) {
	ctx, cl := enter(ctx)
	wait, err := time.ParseDuration(value(in.Params.Wait))
	if err != nil || wait <= 0 {
		r, err := s.dep.Signer.Get(ctx, cl.client, in.Id)
		if err != nil {
			return nil, err
		}
		return GetSignatureRequest200JSONResponse(s.signatureRequest(r)), nil
	}
	cl.patience.lift() // the server's timeouts are shorter than a long poll
	r, err := s.dep.Signer.Wait(ctx, cl.client, in.Id, signer.State(value(in.Params.State)), min(wait, longest))
	if err != nil {
		return nil, err
	}
	return GetSignatureRequest200JSONResponse(s.signatureRequest(r)), nil
}

// GetSignedDocument streams what was made of a document, or gives the signature over its digest.
func (s *server) GetSignedDocument(ctx context.Context, in GetSignedDocumentRequestObject) (GetSignedDocumentResponseObject, error) {
	ctx, cl := enter(ctx)
	doc, err := s.dep.Signer.Document(ctx, cl.client, in.Id, in.N)
	if errors.Is(err, signer.ErrNotHere) {
		return s.product(ctx, cl, in)
	}
	if err != nil {
		return nil, s.withState(ctx, cl, in.Id, err)
	}
	return &document{content: doc, attachment: true, patience: cl.patience}, nil
}

// GetEvidence serves the evidence bundle, byte for byte as it was stamped.
func (s *server) GetEvidence(ctx context.Context, in GetEvidenceRequestObject) (GetEvidenceResponseObject, error) {
	ctx, cl := enter(ctx)
	bundle, err := s.dep.Signer.Evidence(ctx, cl.client, in.Id)
	if err != nil {
		return nil, s.withState(ctx, cl, in.Id, err)
	}
	return &file{media: "application/json", bytes: bundle}, nil
}

// withState adds to not_finished where the request stands.
func (s *server) withState(ctx context.Context, cl *call, id string, err error) error {
	e, ok := errors.AsType[*signer.Error](err)
	if !ok || e.Code != signer.ErrNotFinished.Code {
		return err
	}
	r, err := s.dep.Signer.Get(ctx, cl.client, id)
	if err != nil {
		return err
	}
	return &fault{of: e, state: State(r.State)}
}

func (s *server) signatureRequest(r *signer.Request) SignatureRequest {
	v := SignatureRequest{
		Id: r.ID, State: State(r.State), Level: Level(r.Level), Format: Format(r.Format), Packaging: optional(Packaging(r.Packaging)), Language: Language(r.Language), Documents: documents(r),
		SigningUrl: s.dep.Signer.SigningURL(r), RedirectUrl: optional(r.RedirectURL), CheckCode: optional(r.CheckCode),
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, Events: []Event{}, Problem: because(r.Failure), Notice: because(r.Notice),
	}
	if r.Reference != "" {
		v.Signer = &struct {
			Reference *string `json:"reference,omitempty"`
		}{&r.Reference}
	}
	if l := r.Later; l != nil {
		v.SignerCertificate = &SignerCertificate{NotBefore: l.NotBefore, CmsSize: l.CMSSize}
	}
	for _, e := range r.Events {
		v.Events = append(v.Events, Event{Id: e.ID, At: e.At, Type: e.Type})
	}
	return v
}

func documents(r *signer.Request) []Document {
	all := []Document{}
	for i, d := range r.Documents {
		v := Document{
			N: i + 1, Id: d.ID, Name: d.Name, Label: d.Label, Sha256: optional(d.SHA256), Level: optional(Level(d.Level)),
			Digest: fromHex(d.Digest), DigestAlgorithm: optional(d.DigestAlgorithm),
		}
		if d.SHA256 != "" { // of a digest nothing else is known
			v.Size = &d.Size
		}
		all = append(all, v)
	}
	return all
}

func because(e *signer.Error) *Reason {
	if e == nil {
		return nil
	}
	return &Reason{Code: e.Code, Detail: e.Detail, Hint: optional(e.Hint), Retryable: e.Retryable}
}

// document is the answer that streams a document or a signature. It closes what it streams.
type document struct {
	content    *signer.Content
	attachment bool
	patience   *patience
}

// VisitGetSignedDocumentResponse implements the generated interface.
func (d *document) VisitGetSignedDocumentResponse(w http.ResponseWriter) error { return d.write(w) }

// VisitPreviewSignatureResponse implements the generated interface.
func (d *document) VisitPreviewSignatureResponse(w http.ResponseWriter) error { return d.write(w) }

// VisitGetPageDocumentResponse implements the generated interface.
func (d *document) VisitGetPageDocumentResponse(w http.ResponseWriter) error { return d.write(w) }

func (d *document) write(w http.ResponseWriter) error {
	defer func() { _ = d.content.Close() }() // only read from
	h := w.Header()
	media := d.content.Type
	pdf := media == mediaPDF
	if media == "" || extensions[media] == "" && media != mediaAny {
		media = mediaAny // the type that a sender named is not shown to a browser as if we vouched for it
	}
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.FormatInt(d.content.Size, 10))
	h.Set("Content-Disposition", disposition(d.attachment || !pdf, d.content.Name, media))
	h.Set("Accept-Ranges", "none") // a part of a signed document proves nothing
	if pdf {
		h.Set("Content-Security-Policy", policyPDF)
	}
	w.WriteHeader(http.StatusOK)
	n, err := d.patience.copy(w, d.content)
	if err == nil && n != d.content.Size {
		err = fmt.Errorf("document has %d bytes, not %d", n, d.content.Size)
	}
	return err
}

const (
	mediaPDF      = "application/pdf"
	mediaAny      = "application/octet-stream"
	mediaDetached = "application/pkcs7-signature"
	mediaAttached = "application/pkcs7-mime"
)

// extensions of what we serve (RFC 8551 §3.2.1 for the signatures).
var extensions = map[string]string{mediaPDF: ".pdf", mediaDetached: ".p7s", mediaAttached: ".p7m"}

// disposition is a Content-Disposition header with the name twice (RFC 6266 §4.3, appendix D): in ASCII for old readers,
// and in full. The name always ends as its type says, so that nothing stored from here is run by a click; a document of a
// type that is not ours goes only to its signer, under the name that it came with.
func disposition(attachment bool, name, media string) string {
	if !strings.HasSuffix(strings.ToLower(name), extensions[media]) {
		name += extensions[media]
	}
	kind := "inline"
	if attachment {
		kind = "attachment"
	}
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return fmt.Sprintf(`%s; filename="%s"; filename*=UTF-8''%s`, kind, ascii, extValue(name))
}

// extValue encodes for RFC 8187 §3.2.1: attr-char stays, all else is percent-encoded.
func extValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
