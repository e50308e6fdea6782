package authority_test

import "testing"

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
