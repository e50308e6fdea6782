package authority_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tekend/tsa/authority"
)

// BenchmarkStamp is one token, from the client's request to its verification,
// with the key in SoftHSM and the record on disk. It prints the token's size.
func BenchmarkStamp(b *testing.B) {
	w := start(b, nil)
	size := 0
	for b.Loop() {
		tok, err := w.stamp()
		if err != nil {
			b.Fatal(err)
		}
		size = len(tok.Raw)
	}
	b.ReportMetric(float64(size), "token-bytes")
}

// BenchmarkTogether is one token of many that are asked for at the same time, without the network between: their records share
// transactions.
func BenchmarkTogether(b *testing.B) {
	w := start(b, nil)
	w.close()
	w.dep.Verifies = true
	role, err := authority.New(b.Context(), authority.Config{Now: time.Now, DB: w.path, Rate: 1 << 20}, w.dep)
	if err != nil {
		b.Fatal(err)
	}
	w.serve(b, role)
	query, h := requested(b), role.Handler()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, "/tsa", bytes.NewReader(query))
			r.Header.Set("Content-Type", "application/timestamp-query")
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK || rec.Body.Len() < 500 {
				b.Errorf("no token: %d", rec.Code)
				return
			}
		}
	})
}
