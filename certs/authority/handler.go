package authority

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
	"tekend/wire"
)

// Handler serves the front: orders, their outcomes, what is published, OCSP, health.
func (r *Role) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/certificates/{hash}", func(w http.ResponseWriter, req *http.Request) {
		order, body, err := wire.DecodeHashed[ca.IssueRequest](w, req)
		if err != nil {
			r.reply(w, nil, r.malformed(req, audit.Event{Kind: "certificate.refused"}, err))
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
	mux.HandleFunc("POST /v1/ocsp", serveOCSP(r.OCSP))
	mux.HandleFunc("POST /v1/ocsp/own", serveOCSP(r.OwnOCSP))
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, req *http.Request) {
		wire.Reply(w, http.StatusOK, r.Health(req.Context()))
	})
	return mux
}

// malformed audits as e that a message which is not of the contract was refused. Neither its path nor what is said about it
// is written down: both repeat what came in, names of members for one.
func (r *Role) malformed(req *http.Request, e audit.Event, cause error) error {
	if err := r.shut(); err != nil {
		return err
	}
	e.Subject, e.Detail = wire.BodyHash([]byte(req.PathValue("hash"))), map[string]string{"code": "internal"}
	if refusal, ok := errors.AsType[*wire.Error](cause); ok {
		e.Detail["code"] = refusal.Code
	}
	return r.note(req.Context(), e, cause)
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
	mux.HandleFunc("PUT /v1/revocations/{hash}", r.serveRevoke(ca.BySigner, ca.BySAM, ca.ByOperators))
	mux.HandleFunc("GET /v1/revocations", func(w http.ResponseWriter, req *http.Request) {
		after, err := strconv.ParseInt(req.URL.Query().Get("after"), 10, 64)
		if err != nil || after < 0 {
			wire.Fail(w, wire.Refuse(http.StatusBadRequest, "bad_request", "after must be the number of a revocation, or 0"))
			return
		}
		if err := r.shut(); err != nil {
			wire.Fail(w, err)
			return
		}
		list, err := r.revocations(req.Context(), after)
		r.reply(w, list, err)
	})
	return mux
}

// OperatorHandler serves operators at the ca's own host: revocations, and last CRLs, that two of them approved. It needs
// neither the front nor the sam nor itsme.
func (r *Role) OperatorHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/revocations/{hash}", r.serveRevoke(ca.ByOperators))
	mux.HandleFunc("PUT /v1/last-crls/{hash}", func(w http.ResponseWriter, req *http.Request) {
		act, _, err := wire.DecodeHashed[ca.RetireRequest](w, req)
		if err != nil {
			r.reply(w, nil, r.malformed(req, audit.Event{Kind: "issuer.retire_refused"}, err))
			return
		}
		out, err := r.retire(req.Context(), act)
		r.reply(w, out, err)
	})
	return mux
}

// serveRevoke takes revocations by those who may ask on this socket.
func (r *Role) serveRevoke(by ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		order, body, err := wire.DecodeHashed[ca.RevokeRequest](w, req)
		if err != nil {
			r.reply(w, nil, r.malformed(req, audit.Event{Kind: "certificate.revoke_refused"}, err))
			return
		}
		out, err := r.revoke(req.Context(), body, order, by...)
		r.reply(w, out, err)
	}
}

// serveOCSP answers what the front relays, or asks for itself. The status is 200 whatever the answer says: it has words of its own for that.
func serveOCSP(answer func(ctx context.Context, query []byte) []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		query, err := io.ReadAll(http.MaxBytesReader(w, req.Body, certs.MaxOCSPRequest))
		var der []byte
		if err != nil {
			der = certs.OCSPErrorResponse(certs.OCSPMalformed) // too long, or cut off
		} else {
			der = answer(req.Context(), query)
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = w.Write(der) // a reader that went away asks again
	}
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
	name := req.PathValue("kind") + "/" + req.PathValue("file")
	if issuer, ok := strings.CutPrefix(strings.TrimSuffix(name, ".crl"), "crl/"); ok && strings.HasSuffix(name, ".crl") {
		if i := r.issuer(issuer); i != nil {
			r.publishedCRL(w, req, i)
			return
		}
	}
	der, mediaType := []byte(nil), "application/pkix-cert"
	switch name {
	case "ca/root.crt":
		der = r.root.Raw
	case "crl/root.crl":
		list, err := r.rootCRL()
		if err != nil {
			r.reply(w, nil, err)
			return
		}
		der, mediaType = list.Raw, "application/pkix-crl"
	default:
		if der = r.certificateNamed(name); der == nil {
			wire.Fail(w, wire.Refuse(http.StatusNotFound, "not_found", "nothing is published under this name"))
			return
		}
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write(der) // a reader that went away asks again
}

// certificateNamed is the DER of an issuing CA or a time-stamping unit (tsu, tsu-2, …); nil when there is none of that name.
func (r *Role) certificateNamed(name string) []byte {
	for i, c := range r.tsus {
		if name == "ca/tsu.crt" && i == 0 || i > 0 && name == fmt.Sprintf("ca/tsu-%d.crt", i+1) {
			return c.Raw
		}
	}
	if i := r.issuer(strings.TrimSuffix(strings.TrimPrefix(name, "ca/"), ".crt")); i != nil && name == "ca/"+i.name+".crt" {
		return i.cert.Raw
	}
	return nil
}

// publishedCRL streams an issuing CA's CRL from its file.
func (r *Role) publishedCRL(w http.ResponseWriter, req *http.Request, i *issuer) {
	list, err := r.crlOf(req.Context(), i)
	if err != nil {
		r.cfg.Log.Error("no current CRL", "role", "ca", "cause", err.Error())
		wire.Fail(w, &wire.Error{Status: http.StatusServiceUnavailable, Code: "no_crl", Detail: "there is no current CRL", Retryable: true})
		return
	}
	defer func() { _ = list.Close() }()
	w.Header().Set("Content-Type", "application/pkix-crl")
	w.Header().Set("Content-Length", strconv.FormatInt(list.Size, 10))
	_, _ = io.Copy(w, list) // a reader that went away asks again
}
