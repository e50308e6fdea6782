package main

import "testing"

// TestBoxesThatAreNone: what is no number is said here, before anything is sent.
func TestBoxesThatAreNone(t *testing.T) {
	for _, text := range []string{"1", "1,72,72,200", "1,72,72,200,60,1", "1,72,72,NaN,60", "1,72,72,200,+Inf", "1,72,72,1e999,60", "x,72,72,200,60", "1,,72,200,60", " ", "1;72;72;200;60"} {
		if v, err := (&signCmd{Visible: text}).visible(); exitOf(err) != exitUsage {
			t.Errorf("%s: %v %v", text, v, err)
		}
	}
	v, err := (&signCmd{Visible: "-1,72,72.5,200,60", Text: `a\nb`}).visible()
	if err != nil || len(v) != 1 || v[0].Page != -1 || v[0].Box[1] != 72.5 || v[0].Text != "a\nb" {
		t.Errorf("%v %v", v, err)
	}
}
