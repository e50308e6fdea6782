package activation_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"tekend/foureyes"
	"tekend/sam"
	"tekend/sam/activation"
)

// TestMarksOfFronts: a mark only grows, along one history; a front that shows
// an older one is locked until two operators decide.
func TestMarksOfFronts(t *testing.T) {
	w := newWorld(t)
	link := func(b byte) []byte { return bytes.Repeat([]byte{b}, 16) }
	tell := func(front string, n int64, own, after byte) error {
		m := sam.MarkRequest{Mark: sam.Mark{Number: n, Link: link(own)}}
		if after != 0 {
			m.After = link(after)
		}
		_, err := w.front.TellMark(t.Context(), front, m)
		return err
	}
	must(t, tell("a", 1, 1, 0))
	must(t, tell("a", 2, 2, 1))
	must(t, tell("a", 2, 2, 1)) // told again
	must(t, tell("b", 7, 9, 0))
	for name, err := range map[string]error{
		sam.CodeMarkMoved:  tell("a", 4, 4, 1), // another process of the front was faster
		sam.CodeBadRequest: tell("a", 0, 1, 0),
	} {
		if code(err) != name {
			t.Errorf("%v, want %s", err, name)
		}
	}
	if m := got(w.front.Mark(t.Context(), "a"))(t); m.Number != 2 || !bytes.Equal(m.Link, link(2)) {
		t.Errorf("%+v", m)
	}
	for front, err := range map[string]error{"a": tell("a", 1, 1, 0), "b": tell("b", 8, 8, 0)} { // older; longer, of another history
		if code(err) != sam.CodeFrontBehind {
			t.Errorf("%s: %v", front, err)
		}
		if _, err := w.front.Mark(t.Context(), front); code(err) != sam.CodeFrontBehind {
			t.Errorf("%s: %v", front, err)
		}
	}
	if err := tell("a", 3, 3, 2); code(err) != sam.CodeFrontBehind {
		t.Errorf("locked, and then the right one: %v", err)
	}
	if n := w.count("front.locked"); n != 2 {
		t.Errorf("%d rows of 2 locks", n)
	}
	w.halt()
	source := w.cfg.DB
	text := got(activation.ShowFront(t.Context(), source, "a"))(t)
	ops, approvals := approved(t, text)
	decide := func(name string, do bool, with ...string) error {
		_, err := activation.UnlockFront(context.Background(), source, name, activation.FrontDecision{Operators: ops, Approvals: with, Do: do, Now: w.now})
		return err
	}
	for _, c := range []struct {
		what, front string
		do          bool
		with        []string
		want        error
	}{
		{"one", "a", true, approvals[:1], foureyes.ErrTooFew},
		{"another front", "b", true, approvals, foureyes.ErrSubject},
		{"a trial", "a", false, approvals, nil},
		{"both", "a", true, approvals, nil},
		{"again", "a", true, approvals, activation.ErrFrontNotLocked},
	} {
		if err := decide(c.front, c.do, c.with...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if _, err := activation.ShowFront(t.Context(), source, "a"); !errors.Is(err, activation.ErrFrontNotLocked) {
		t.Error(err)
	}
	w.start()
	must(t, tell("a", 1, 5, 0))
	if n := w.count("front.opened"); n != 1 {
		t.Errorf("%d rows of one opening", n)
	}
}

// TestFrontsAreFew: names of fronts are the caller's, so they are bounded; those
// that are known go on.
func TestFrontsAreFew(t *testing.T) {
	w := newWorld(t)
	link := bytes.Repeat([]byte{1}, 16)
	tell := func(front string, n int64) error {
		_, err := w.front.TellMark(t.Context(), front, sam.MarkRequest{Mark: sam.Mark{Number: n, Link: link}, After: link})
		return err
	}
	for i := range 64 {
		must(t, tell(fmt.Sprint("front-", i), 1))
	}
	if err := tell("one-more", 1); code(err) != sam.CodeBadRequest {
		t.Error(err)
	}
	must(t, tell("front-63", 2))
}

// approved makes two operators and their approvals of a text.
func approved(t *testing.T, text string) (foureyes.Operators, []string) {
	t.Helper()
	var list []foureyes.Operator
	var approvals []string
	for _, name := range []string{"an", "bo"} {
		public, private, err := ed25519.GenerateKey(nil)
		must(t, err)
		list = append(list, foureyes.Operator{Name: name, Key: base64.RawURLEncoding.EncodeToString(public)})
		approvals = append(approvals, got(foureyes.Approve(private, text, time.Now(), time.Minute))(t).String())
	}
	return got(foureyes.Load(list))(t), approvals
}
