package api

import (
	"encoding/json"
	"errors"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"tekend/signer"
	"tekend/strictjson"
	"tekend/wire"
)

// This file alone turns errors into answers. Only *signer.Error is shown; everything else is "internal" and the
// instance, under which the log has the rest.

// What the HTTP layer itself refuses.
var (
	errInternal   = &signer.Error{Code: "internal", Detail: "something went wrong on our side", Hint: "tell us the instance of this problem"}
	errNoRoute    = &signer.Error{Code: "not_found", Detail: "there is nothing at this address", Hint: "see /docs"}
	errMethod     = &signer.Error{Code: "method_not_allowed", Detail: "this address does not know this method", Hint: "see /docs"}
	errKey        = &signer.Error{Code: "unauthorized", Detail: "there is no valid API key in the request", Hint: "send the header Authorization: Bearer <API key>"}
	errSite       = &signer.Error{Code: "cross_site", Detail: "this form was sent from another site", Hint: "open the signing link and use the page itself"}
	errMedia      = &signer.Error{Code: "unsupported_media_type", Detail: "the body is not of a type that this address takes"}
	errEncoding   = &signer.Error{Code: "unsupported_media_type", Detail: "the body is compressed", Hint: "send it as it is, without Content-Encoding"}
	errBody       = &signer.Error{Code: "body_too_large", Detail: "the body is larger than this address takes", Hint: "send less, or make several requests"}
	errBroken     = &signer.Error{Code: "body_incomplete", Detail: "the body ended early or came too slowly", Hint: "send the request again", Retryable: true}
	errMultipart  = &signer.Error{Code: "multipart_invalid", Detail: "the multipart body is not well-formed", Hint: "send a part request (application/json) and then the parts document (application/pdf)"}
	errJSON       = &signer.Error{Code: "json_invalid", Detail: "the JSON is not well-formed or can be read in two ways"}
	errInvalid    = &signer.Error{Code: "request_invalid", Detail: "the request does not keep to the contract", Hint: "see issues, and /docs"}
	errLocked     = &signer.Error{Code: "locked", Detail: "the service was put back to an older state; two operators must decide how it goes on", Hint: "nothing is signed meanwhile; try again later"}
	errStamping   = &signer.Error{Code: "tsa_unavailable", Detail: "the time-stamping unit cannot be reached", Hint: "try again in a minute", Retryable: true}
	errPublishing = &signer.Error{Code: "ca_unavailable", Detail: "the certification authority cannot be reached", Hint: "try again in a minute", Retryable: true}
)

// answer is how a code looks in HTTP.
type answer struct {
	status int
	title  string
	after  int // Retry-After, seconds; 0 for none
}

// answers maps codes to status and title. A code that is not here is a refusal of a document or an order: 422.
var answers = map[string]answer{
	"internal":                {500, "Internal error", 0},
	"not_found":               {404, "Not found", 0},
	"document_not_found":      {404, "No such document", 0},
	"method_not_allowed":      {405, "Method not allowed", 0},
	"unauthorized":            {401, "No valid API key", 0},
	"cross_site":              {403, "Sent from another site", 0},
	"unsupported_media_type":  {415, "Unsupported media type", 0},
	"body_too_large":          {413, "Body too large", 0},
	"body_incomplete":         {400, "Body incomplete", 0},
	"document_too_large":      {413, "Document too large", 0},
	"request_too_large":       {413, "Documents too large", 0},
	"multipart_invalid":       {400, "Multipart body not understood", 0},
	"json_invalid":            {400, "JSON not understood", 0},
	"request_invalid":         {400, "Request not valid", 0},
	"idempotency_key_invalid": {400, "Idempotency key not valid", 0},
	"idempotency_key_reused":  {422, "Idempotency key was used", 0},
	"storage_full":            {503, "No room", 60},
	"locked":                  {503, "Locked", 0},
	"not_finished":            {409, "Not finished", 0},
	"revision_held":           {409, "Next revision is held", 30},
	"not_identified":          {409, "Person is not identified yet", 5},
	"digests_awaited":         {409, "Digests are awaited", 0},
	"digests_not_awaited":     {409, "These digests are not awaited", 0},
	"hash_orders_refused":     {403, "Digests are not signed here", 0},
	"revocation_unavailable":  {503, "Revocation data not available", 30},
	"level_not_reached":       {503, "Level not reached yet", 30},
	"revocation_late":         {409, "Revocation data came too late", 0},
	"level_late":              {409, "Level was not reached", 0},
	"evidence_not_ready":      {409, "Evidence not ready", 2},
	"terms_changed":           {409, "Terms have changed", 0},
	"too_late":                {409, "Too late", 0},
	"ended":                   {409, "Request has ended", 0},
	"busy":                    {409, "Being worked on", 1},
	"too_soon":                {429, "Too soon", 10},
	"too_many_questions":      {429, "Asked too often", 60},
	"signer_unproven":         {403, "Not the signer's browser", 0},
	"use_unknown":             {404, "No such use", 0},
	"revocation_unknown":      {404, "No such revocation", 0},
	"credential_unknown":      {404, "No such certificate", 0},
	"already_revoked":         {409, "Revoked already", 0},
	"too_many_revocations":    {429, "Too many revocations", 60},
	"callback_malformed":      {400, "Answer of itsme not understood", 0},
	"callback_unknown":        {404, "Answer to no question of ours", 0},
	"callback_used":           {409, "Answer was used", 0},
	"callback_expired":        {410, "Answer came too late", 0},
	"sam_unavailable":         {503, "Signature activation not available", 30},
	"ca_unavailable":          {503, "Certification authority not available", 30},
	"tsa_unavailable":         {503, "Time-stamping not available", 30},
	"itsme_unavailable":       {503, "itsme not available", 30},
	"hsm_unavailable":         {503, "Signing device not available", 30},
	"confirmation_expired":    {409, "Not confirmed in time", 0},
	"ongoing_call":            {409, "Person is on the phone", 0},
	"declined":                {409, "Declined", 0},
	"expired":                 {409, "Expired", 0},
	"wrong_person":            {409, "Another person", 0},
	"signer_minor":            {409, "Person is under 18", 0},
	"identity_mismatch":       {409, "Answers differ", 0},
	"certificate_not_good":    {409, "Certificate cannot be used", 0},
	"answer_refused":          {409, "Answer of itsme refused", 0},
	"refused":                 {409, "Refused", 0},
	"signed_order_required":   {409, "Signed order required", 0},
	"signed_order_refused":    {409, "Signed order refused", 0},
	"session_expired":         {409, "Session has ended", 0},
	"outcome_unknown":         {409, "Outcome unknown", 0},
	"confirmation_void":       {409, "Confirmation void", 0},
	"issuing_refused":         {409, "No certificate", 0},
	"issuing_interrupted":     {409, "Certificate was interrupted", 0},
	"time_stamp_late":         {409, "Time-stamp came too late", 0},
	"own_check_failed":        {500, "Own check failed", 0},
	"document_damaged":        {500, "Document damaged", 0},
}

// fault is a *signer.Error with what only an HTTP answer can say.
type fault struct {
	of     *signer.Error
	issues []Issue
	state  State
}

func (f *fault) Error() string { return f.of.Error() }
func (f *fault) Unwrap() error { return f.of }

// invalid is request_invalid with its issues.
func invalid(issues ...Issue) error { return &fault{of: errInvalid, issues: issues} }

// named is one issue about a parameter, header or part.
func named(in IssueIn, name, reason string) Issue {
	return Issue{In: in, Name: &name, Reason: reason}
}

// jsonError says where JSON could not be read; name is the part it stood in, or "".
func jsonError(err error, name string) error {
	issue := Issue{In: Body, Reason: "not well-formed JSON"}
	if name != "" {
		issue.Name = &name
	}
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		issue.Reason = e.Reason
		if p := e.Pointer[:min(len(e.Pointer), 200)]; p != "" {
			p = strings.ToValidUTF8(p, "")
			issue.Pointer = &p
		}
	}
	return &fault{of: errJSON, issues: []Issue{issue}}
}

// bindError is what generated code could not read. The guard has looked before, so that this is rare; the text of the
// error may hold a value and is dropped.
func bindError(err error) error {
	if shown(err) {
		return err
	}
	if tooLarge(err) {
		return errBody
	}
	if errors.Is(err, multipart.ErrMessageTooLarge) || errors.Is(err, http.ErrMissingBoundary) || errors.Is(err, http.ErrNotMultipart) {
		return errMultipart
	}
	return invalid(Issue{In: Body, Reason: "cannot be read"})
}

func shown(err error) bool {
	_, ok := errors.AsType[*signer.Error](err)
	return ok
}

func tooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

// readError is what went wrong while a body was read.
func readError(err error) error {
	switch {
	case shown(err):
		return err
	case tooLarge(err):
		return errBody
	default:
		return errBroken
	}
}

// relayError turns the error of a role behind a relay into ours.
func relayError(err error, down *signer.Error) error {
	if w, ok := errors.AsType[*wire.Error](err); ok && w.Status == http.StatusNotFound {
		return errNoRoute
	}
	return &outage{of: down, cause: err}
}

// outage is an error that is shown, with a cause that is only logged.
type outage struct {
	of    *signer.Error
	cause error
}

func (o *outage) Error() string { return o.of.Error() }
func (o *outage) Unwrap() error { return o.of }

// fail ends a request with a problem: as a page where people are, else as RFC 9457.
func (s *server) fail(c *gin.Context, err error) {
	c.Abort()
	cl := callOf(c)
	s.logCause(cl, c, err)
	if c.Writer.Written() {
		return // too late to say anything; the length of the answer tells that it is cut
	}
	p := problem(err, cl.id)
	h := c.Writer.Header()
	for _, name := range []string{"Content-Length", "Content-Disposition", "Location", "ETag"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	if after := retryAfter(err, p); after > 0 {
		h.Set("Retry-After", strconv.Itoa(after))
	}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="tekend"`)
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body is not read
	}
	if c.Request.Context().Err() != nil {
		// A read of the connection failed, so the server took the client for gone. If it is not (the error was of a moment),
		// net/http cancels every further request on this connection: the client must take another.
		h.Set("Connection", "close")
	}
	if cl.page() && !cl.json {
		s.problemPage(c, cl, p)
		return
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"urn:tekend:problem:internal","title":"Internal error","status":500,"code":"internal","retryable":false,"instance":"urn:uuid:` + cl.id + `"}`)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.Writer.WriteHeader(p.Status)
	_, _ = c.Writer.Write(body) // the client may be gone
}

// problem is err as RFC 9457 §3 says it.
func problem(err error, instance string) Problem {
	shown := errInternal
	if e, ok := errors.AsType[*signer.Error](err); ok {
		shown = e
	}
	a, ok := answers[shown.Code]
	if !ok {
		a = answer{status: http.StatusUnprocessableEntity, title: "Cannot be signed"}
	}
	p := Problem{
		Type: "urn:tekend:problem:" + shown.Code, Title: a.title, Status: a.status, Code: shown.Code,
		Retryable: shown.Retryable, Instance: "urn:uuid:" + instance,
		Detail: optional(shown.Detail), Hint: optional(shown.Hint),
	}
	if f, ok := errors.AsType[*fault](err); ok {
		if len(f.issues) > 0 {
			p.Issues = &f.issues
		}
		p.State = optional(f.state)
	}
	return p
}

// retryAfter is when it is worth trying again, in seconds; 0 for no word about it.
func retryAfter(err error, p Problem) int {
	if !p.Retryable {
		return 0
	}
	if e, ok := errors.AsType[*signer.Error](err); ok && e.After > 0 {
		return e.After
	}
	return answers[p.Code].after
}

// logCause logs what an answer does not show.
func (s *server) logCause(cl *call, c *gin.Context, err error) {
	if o, ok := errors.AsType[*outage](err); ok {
		s.cfg.Log.Warn("partner", "request_id", cl.id, "route", c.FullPath(), "err", o.cause)
		return
	}
	if !shown(err) && c.Request.Context().Err() == nil {
		s.cfg.Log.Error("internal", "request_id", cl.id, "route", c.FullPath(), "err", err)
	}
}

func optional[T ~string](v T) *T {
	if v == "" {
		return nil
	}
	return &v
}
