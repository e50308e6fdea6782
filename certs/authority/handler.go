package authority

import (
	"errors"
	"net/http"
	"regexp"

	"tekend/ca"
	"tekend/wire"
)

// Handler serves the front: orders, their outcomes, what is published, health.
func (r *Role) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/certificates/{hash}", func(w http.ResponseWriter, req *http.Request) {
		order, body, err := wire.DecodeHashed[ca.IssueRequest](w, req)
		if err != nil {
			r.reply(w, nil, r.malformed(req, err))
			return
		}
		out, err := r.issue(req.Context(), req.PathValue("hash"), body, order)
		r.reply(w, out, err)
	})
	mux.HandleFunc("GET /v1/certificates/{hash}", func(w http.ResponseWriter, req *http.Request) {
		out, err := r.outcome(req.Context(), req.PathValue("hash"))
		r.reply(w, out, err)
	})
	mux.HandleFunc("GET /v1/published/{kind}/{file}", r.published)
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, req *http.Request) {
		wire.Reply(w, http.StatusOK, r.Health(req.Context()))
	})
	return mux
}

// malformed audits that a message which is not of the contract was refused. Neither its path nor what is said about it
// is written down: both repeat what came in, names of members for one.
func (r *Role) malformed(req *http.Request, cause error) error {
	if err := r.shut(); err != nil {
		return err
	}
	detail := map[string]string{"code": "internal"}
	if e, ok := errors.AsType[*wire.Error](cause); ok {
		detail["code"] = e.Code
	}
	return r.auditRefusal(req.Context(), wire.BodyHash([]byte(req.PathValue("hash"))), detail, cause)
}

// serialHex is a serial number in a path.
var serialHex = regexp.MustCompile(`^([0-9a-f]{2}){1,20}$`)

// StatusHandler serves the sam, on a socket of its own.
func (r *Role) StatusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status/{serial}", func(w http.ResponseWriter, req *http.Request) {
		serial := req.PathValue("serial")
		if !serialHex.MatchString(serial) {
			wire.Fail(w, wire.Refuse(http.StatusBadRequest, "bad_request", "a serial number is 1 to 20 octets in lower-case hexadecimal"))
			return
		}
		if err := r.shut(); err != nil {
			wire.Fail(w, err)
			return
		}
		s, err := r.status(req.Context(), serial)
		r.reply(w, s, err)
	})
	return mux
}

// reply answers; the cause of an "internal" goes to the log, with no more in
// it than our own words and those of the database and the token.
func (r *Role) reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		if _, ok := errors.AsType[*wire.Error](err); !ok {
			r.cfg.Log.Error("request failed", "role", "ca", "cause", err.Error())
		}
		wire.Fail(w, err)
		return
	}
	wire.Reply(w, http.StatusOK, v)
}

// published serves DER with the media types of RFC 2585.
func (r *Role) published(w http.ResponseWriter, req *http.Request) {
	der, mediaType := []byte(nil), "application/pkix-cert"
	switch req.PathValue("kind") + "/" + req.PathValue("file") {
	case "ca/root.crt":
		der = r.root.Raw
	case "ca/issuing-ca.crt":
		der = r.issuing.Raw
	case "ca/tsu.crt":
		der = r.tsu.Raw
	case "crl/root.crl":
		list, err := r.rootCRL()
		if err != nil {
			r.reply(w, nil, err)
			return
		}
		der, mediaType = list.Raw, "application/pkix-crl"
	case "crl/issuing-ca.crl":
		list, err := r.CRL(req.Context())
		if err != nil {
			r.cfg.Log.Error("no current CRL", "role", "ca", "cause", err.Error())
			wire.Fail(w, &wire.Error{Status: http.StatusServiceUnavailable, Code: "no_crl", Detail: "there is no current CRL", Retryable: true})
			return
		}
		der, mediaType = list, "application/pkix-crl"
	default:
		wire.Fail(w, wire.Refuse(http.StatusNotFound, "not_found", "nothing is published under this name"))
		return
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write(der) // a reader that went away asks again
}
