package certs

import "testing"

// BenchmarkPrepare is a person's certificate built, twinned and linted.
func BenchmarkPrepare(b *testing.B) {
	p := newPKI(b, nil, nil)
	o := p.personOrder(b, ecKey(b, p256).Public())
	for b.Loop() {
		if _, err := Prepare(p.issuing, o); err != nil {
			b.Fatal(err)
		}
	}
}
