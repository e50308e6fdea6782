// Package wire is the transport of the contract between the front and the
// trusted side: HTTP/1.1 with strict JSON over Unix sockets. A call that acts
// is a PUT on the hash of what it acts on; the client never sends anything
// twice. What the calls mean is said by the packages sam and ca.
package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"tekend/strictjson"
)

// MaxBody bounds a message in either direction, in bytes: an order of 70
// documents with their signed attributes is below 64 KiB, an enrolment with
// two ID tokens below 32 KiB.
const MaxBody = 256 << 10

// Error is a refusal as it travels: a status and
// {"code":…,"detail":…,"retryable":…,"after":…}. Detail is for operators and developers
// and holds no personal data.
type Error struct {
	Status    int    `json:"-"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Retryable bool   `json:"retryable"`
	After     int    `json:"after,omitempty"` // seconds until it is worth trying again, also as Retry-After; 0: not known
}

func (e *Error) Error() string { return e.Code + ": " + e.Detail }

// Refuse makes a refusal that trying again does not change.
func Refuse(status int, code, detail string) *Error {
	return &Error{Status: status, Code: code, Detail: detail}
}

// BodyHash names a message in the path of its PUT: base64url (no padding) of
// the SHA-256 of its exact bytes, 43 characters.
func BodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Decode reads the request's body as a T and also gives its exact bytes. It
// writes nothing; an error is an *Error ready for Fail.
func Decode[T any](w http.ResponseWriter, r *http.Request) (T, []byte, error) {
	var v T
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return v, nil, Refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must be application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return v, nil, Refuse(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("a message has at most %d bytes", MaxBody))
		}
		return v, nil, Refuse(http.StatusBadRequest, "bad_request", "the body could not be read")
	}
	if err := strictjson.Decode(body, MaxBody, &v); err != nil {
		return v, nil, Refuse(http.StatusBadRequest, "bad_request", err.Error())
	}
	return v, body, nil
}

// DecodeHashed is Decode for a PUT whose path names the body's hash in the
// path value "hash"; a body with another hash is a conflict.
func DecodeHashed[T any](w http.ResponseWriter, r *http.Request) (T, []byte, error) {
	v, body, err := Decode[T](w, r)
	if err == nil && r.PathValue("hash") != BodyHash(body) {
		err = Refuse(http.StatusConflict, "conflict", "the path does not name the hash of this body")
	}
	return v, body, err
}

// Reply answers with v as JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		Fail(w, &Error{Status: http.StatusInternalServerError, Code: "internal", Detail: "the answer could not be written"})
		return
	}
	send(w, status, b)
}

// Fail answers with a refusal. An error that is not an *Error is "internal":
// its text stays here.
func Fail(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Status: http.StatusInternalServerError, Code: "internal", Detail: "the role failed; its log says why"}
	}
	b, err := json.Marshal(e)
	if err != nil {
		b = []byte(`{"code":"internal","detail":"","retryable":false}`)
	}
	if e.After > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.After))
	}
	send(w, e.Status, b)
}

func send(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller is gone: it reads the outcome by GET
}
