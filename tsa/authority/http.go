package authority

import (
	"errors"
	"io"
	"mime"
	"net/http"

	"tekend/tsa"
	"tekend/wire"
)

// Handler serves POST /tsa (RFC 3161 §3.4) and GET /v1/health. A request that
// is refused is answered by HTTP 200 with a rejection, as clients expect; only
// what is not a time-stamp request at all gets an HTTP status.
func (r *Role) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tsa", r.serveStamp)
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, q *http.Request) {
		wire.Reply(w, http.StatusOK, r.Health(q.Context()))
	})
	return mux
}

func (r *Role) serveStamp(w http.ResponseWriter, q *http.Request) {
	if mt, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || mt != "application/timestamp-query" {
		wire.Fail(w, wire.Refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must be application/timestamp-query"))
		return
	}
	if !r.limit.AllowN(r.cfg.Now(), 1) {
		wire.Fail(w, &wire.Error{Status: http.StatusServiceUnavailable, Code: "busy", Detail: "more requests than this unit answers in a second", Retryable: true, After: 1})
		return
	}
	body, err := io.ReadAll(io.LimitReader(q.Body, tsa.MaxRequest+1)) // one more is refused by the reader, in the protocol's words
	if err != nil {
		wire.Fail(w, wire.Refuse(http.StatusBadRequest, "bad_request", "the body could not be read"))
		return
	}
	reply, err := r.answer(q, body)
	if err != nil {
		wire.Fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(reply) // who is gone asks again
}

func (r *Role) answer(q *http.Request, body []byte) ([]byte, error) {
	req, refused := tsa.ParseRequest(body)
	if refused != nil {
		return tsa.EncodeRejected(refused)
	}
	token, err := r.stamp(q.Context(), req)
	if err == nil {
		return tsa.EncodeGranted(token)
	}
	refused, ok := errors.AsType[*tsa.Failure](err)
	if !ok {
		r.cfg.Log.Error("time-stamp", "err", err)
		refused = &tsa.Failure{Info: tsa.SystemFailure, Text: "the request cannot be handled now"}
	}
	return tsa.EncodeRejected(refused)
}
