package itsme

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"tekend/itsme/token"
)

// TestARecorderKeepsTheSetOfItsKey: also when the Provider has fetched another set meanwhile.
func TestARecorderKeepsTheSetOfItsKey(t *testing.T) {
	f := newFake(t)
	p := f.provider(nil)
	r := p.Record()
	if s := r.Snapshot(); s.Body != nil {
		t.Errorf("%+v before any key", s)
	}
	before := f.Now()
	if _, err := r.Key(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	first := r.Snapshot()
	if first.URL != f.URL+"/v2/jwkSet" || !first.At.Equal(before) || !bytes.Contains(first.Body, []byte(`"s1"`)) {
		t.Errorf("%+v", first)
	}
	f.setKeys(PublicKey(&rsaKeys()[2].PublicKey, "s2", "sig"), PublicKey(&rsaKeys()[1].PublicKey, "e1", "enc"))
	f.sleep(11 * time.Minute)
	other := p.Record()
	if _, err := other.Key(t.Context(), "s2"); err != nil {
		t.Fatal(err)
	}
	if s := r.Snapshot(); !bytes.Equal(s.Body, first.Body) || !s.At.Equal(first.At) {
		t.Errorf("another recorder's key changed the snapshot: %+v", s)
	}
	if s := other.Snapshot(); bytes.Equal(s.Body, first.Body) || !s.At.Equal(f.Now()) {
		t.Errorf("%+v", s)
	}
	// A key that is not there leaves the snapshot as it was.
	if _, err := other.Key(t.Context(), "s1"); !errors.Is(err, token.ErrUnknownKey) {
		t.Error(err)
	}
	if s := other.Snapshot(); !bytes.Contains(s.Body, []byte(`"s2"`)) {
		t.Errorf("%+v", s)
	}
}
