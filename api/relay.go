package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tekend/tsa"
)

// file is an answer of known bytes.
type file struct {
	media   string
	bytes   []byte
	cache   string // Cache-Control; "" keeps no-store
	policy  string // Content-Security-Policy; "" keeps that of data
	vary    string
	session []*http.Cookie
}

func (f *file) write(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("Content-Length", strconv.Itoa(len(f.bytes)))
	for name, v := range map[string]string{"Cache-Control": f.cache, "Content-Security-Policy": f.policy, "Vary": f.vary} {
		if v != "" {
			h.Set(name, v)
		}
	}
	if f.cache != "" {
		sum := sha256.Sum256(f.bytes)
		h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	}
	for _, c := range f.session {
		http.SetCookie(w, c)
	}
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(f.bytes)
	return err
}

// The generated interfaces that a file answers.

// VisitGetAssetResponse implements the generated interface.
func (f *file) VisitGetAssetResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetCACertificateResponse implements the generated interface.
func (f *file) VisitGetCACertificateResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetPoliciesResponse implements the generated interface.
func (f *file) VisitGetPoliciesResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetPolicyResponse implements the generated interface.
func (f *file) VisitGetPolicyResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetSecurityTxtResponse implements the generated interface.
func (f *file) VisitGetSecurityTxtResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetEvidenceResponse implements the generated interface.
func (f *file) VisitGetEvidenceResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitTimeStampResponse implements the generated interface.
func (f *file) VisitTimeStampResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetOpenAPIResponse implements the generated interface.
func (f *file) VisitGetOpenAPIResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetDocsResponse implements the generated interface.
func (f *file) VisitGetDocsResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetTermsResponse implements the generated interface.
func (f *file) VisitGetTermsResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetUseProofResponse implements the generated interface.
func (f *file) VisitGetUseProofResponse(w http.ResponseWriter) error { return f.write(w) }

// VisitGetSigningPageResponse implements the generated interface.
func (f *file) VisitGetSigningPageResponse(w http.ResponseWriter) error { return f.write(w) }

// Certificates change when keys do.
const (
	cacheCertificate = "public, max-age=86400"
	cacheStatic      = "public, max-age=3600"
	cacheForEver     = "public, max-age=31536000, immutable" // the address holds the digest (RFC 8246)
)

// GetCACertificate relays a certificate.
func (s *server) GetCACertificate(ctx context.Context, in GetCACertificateRequestObject) (GetCACertificateResponseObject, error) {
	ctx, _ = enter(ctx)
	return s.published(ctx, "ca/"+in.File, file{media: "application/pkix-cert", cache: cacheCertificate})
}

// published fetches a file from the certification authority. The type of the answer is ours, whatever it says.
func (s *server) published(ctx context.Context, name string, f file) (*file, error) {
	der, _, err := s.dep.PKI.Published(ctx, name)
	if err != nil {
		return nil, relayError(err, errPublishing)
	}
	f.bytes = der
	return &f, nil
}

const stampQuery = "application/timestamp-query"

// TimeStamp relays a time-stamp request.
func (s *server) TimeStamp(ctx context.Context, in TimeStampRequestObject) (TimeStampResponseObject, error) {
	ctx, _ = enter(ctx)
	query, err := io.ReadAll(in.Body) // at most maxQuery: guard
	if tooLarge(err) {
		reply, err := tsa.EncodeRejected(tsa.TooLarge())
		return &file{media: "application/timestamp-reply", bytes: reply}, err
	}
	if err != nil {
		return nil, readError(err)
	}
	reply, err := s.dep.TSA.Relay(ctx, query)
	if err != nil {
		return nil, relayError(err, errStamping)
	}
	return &file{media: "application/timestamp-reply", bytes: reply}, nil
}

// healthCache keeps everyone's question from becoming everyone's load on the roles.
type healthCache struct {
	mu     sync.Mutex
	until  time.Time
	status HealthStatus
	reason string
}

const (
	healthAge   = 2 * time.Second
	healthLimit = 3 * time.Second // a role that does not answer by then is down
)

func (s *server) healthNow(ctx context.Context) (HealthStatus, string) {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := s.cfg.Now(); !now.Before(h.until) {
		// The answer is for everyone: the first asker's going away must not make it DOWN.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthLimit)
		defer cancel()
		h.status, h.reason = s.dep.Health(ctx)
		h.until = now.Add(healthAge)
	}
	return h.status, h.reason
}

// GetHealth tells whether the service works.
func (s *server) GetHealth(ctx context.Context, _ GetHealthRequestObject) (GetHealthResponseObject, error) {
	ctx, _ = enter(ctx)
	if s.dep.Locked != nil && s.dep.Locked() != "" {
		return s.downBecause(), nil
	}
	status, reason := s.healthNow(ctx)
	if status == UP || status == DEGRADED {
		return GetHealth200JSONResponse{Status: status, Reason: optional(reason)}, nil
	}
	return GetHealth503JSONResponse{Status: DOWN, Reason: optional(reason)}, nil
}

// GetOpenAPI serves the contract.
func (s *server) GetOpenAPI(ctx context.Context, _ GetOpenAPIRequestObject) (GetOpenAPIResponseObject, error) {
	_, _ = enter(ctx)
	return &file{media: "application/json", bytes: s.spec.json, cache: cacheStatic}, nil
}

// GetAsset serves style, script and icon of the pages.
func (s *server) GetAsset(ctx context.Context, in GetAssetRequestObject) (GetAssetResponseObject, error) {
	_, _ = enter(ctx)
	media := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	for ext, m := range media {
		if !strings.HasSuffix(in.File, ext) {
			continue
		}
		b, err := templateFiles.ReadFile("templates/assets/" + in.File)
		if err != nil {
			break
		}
		return &file{media: m, bytes: bytes.Clone(b), cache: cacheStatic}, nil
	}
	return nil, errNoRoute
}
