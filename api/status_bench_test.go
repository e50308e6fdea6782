package api_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tekend/api"
)

// BenchmarkOCSP is an answer that the front holds, and beside it the same server with the same chain of handlers that serves
// constant bytes of that length (an asset): performance.md has the share.
func BenchmarkOCSP(b *testing.B) {
	d := open(b, func(s *setup) { s.api.Log = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
	a := newAuthority(b)
	a.life = time.Hour
	a.serve(d)
	h, err := api.New(api.Config{Now: time.Now, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), PublicURL: d.url}, *d.dep)
	if err != nil {
		b.Fatal(err)
	}
	q := a.query(1, nil)
	serve := func(b *testing.B, method, path, media string, body []byte) {
		b.ReportAllocs()
		for b.Loop() {
			req := httptest.NewRequest(method, path, bytes.NewReader(body))
			if media != "" {
				req.Header.Set("Content-Type", media)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			if rec.Code != http.StatusOK {
				b.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
	}
	b.Run("held", func(b *testing.B) { serve(b, http.MethodPost, "/pki/ocsp", ocspQuery, q) })
	b.Run("constant", func(b *testing.B) { serve(b, http.MethodGet, "/assets/icon.svg", "", nil) })
}
