package store_test

import (
	"testing"

	"tekend/sam"
)

// TestMarksGrowAlongOneHistory: each mark is found afterwards, also after a restart, and another link at its number is not.
func TestMarksGrowAlongOneHistory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if m, err := s.NewestMark(t.Context()); err != nil || m.Number != 0 {
		t.Fatalf("%+v %v", m, err)
	}
	var all []sam.Mark
	for n := range int64(3) {
		m, err := s.RaiseMark(t.Context())
		if err != nil || m.Number != n+1 || len(m.Link) != 16 {
			t.Fatalf("%+v %v", m, err)
		}
		all = append(all, m)
	}
	before := s.Changes()
	insert(t, s, "sr_mark")
	if s.Changes() == before {
		t.Error("an order is no change")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	for _, m := range all {
		if ok, err := s.HasMark(t.Context(), m); err != nil || !ok {
			t.Errorf("%+v: %t %v", m, ok, err)
		}
		m.Link = all[(m.Number)%3].Link
		if ok, err := s.HasMark(t.Context(), m); err != nil || ok {
			t.Errorf("with another link: %t %v", ok, err)
		}
	}
	if ok, err := s.HasMark(t.Context(), sam.Mark{Number: 4, Link: all[0].Link}); err != nil || ok {
		t.Errorf("a later one: %t %v", ok, err)
	}
}
