//go:build sweep

package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

// site is a sandbox in which partners go away for a while.
type site struct {
	*sandboxtest.Sandbox
	flow *sandboxtest.Flow
	k    *killer
	n    int
}

// away is how long a partner is away: longer than a request ever takes, and than the sam waits for a status (3 s).
const away = 4 * time.Second

func (s *site) pid(t *testing.T, role string) int {
	t.Helper()
	pid, err := s.k.pid(t.Context(), role, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// frozen runs fn while the processes do not move but hold their sockets.
func (s *site) frozen(t *testing.T, role string, fn func()) {
	t.Helper()
	pid := s.pid(t, role)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
		if now := s.pid(t, role); now != pid {
			t.Errorf("%s is another process than before", role)
		}
	}()
	fn()
}

// gone runs fn while there is no process of the roles, then waits until all are back.
func (s *site) gone(t *testing.T, fn func(), roles ...string) {
	t.Helper()
	pids := map[string]int{}
	for _, r := range roles {
		pids[r] = s.pid(t, r)
	}
	err := s.k.paused(func() error {
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				return err
			}
		}
		fn()
		return nil
	})
	for r, pid := range pids {
		err = errors.Join(err, s.k.wait(t.Context(), r, pid))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// order asks for a signature under the person's usual reference.
func (s *site) order(t *testing.T, person string) sandboxtest.Request {
	t.Helper()
	s.n++
	r, err := order(t.Context(), s.flow, "outage-"+person, [][]byte{smallPDF(fmt.Sprintf("outage %d, first", s.n)), smallPDF(fmt.Sprintf("outage %d, second", s.n))})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// walk lets the person do what the page asks for; it may end before anything has come to an end.
func (s *site) walk(t *testing.T, r sandboxtest.Request, person string, d time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return walk(ctx, s.flow, r.SigningURL, person)
}

// state reads the request as its provider does.
func (s *site) state(t *testing.T, r sandboxtest.Request) string {
	t.Helper()
	got, err := s.flow.Get(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got.State
}

func (s *site) want(t *testing.T, r sandboxtest.Request, when string, states ...string) {
	t.Helper()
	if got := s.state(t, r); !slices.Contains(states, got) {
		t.Errorf("%s the request is %s, want %v", when, got, states)
	}
}

// stays: it was confirmed, the sam was asked to use the key, and nothing came of it.
func (s *site) stays(t *testing.T, r sandboxtest.Request, when string) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); s.state(t, r) == "confirmed" && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	time.Sleep(300 * time.Millisecond) // several tries
	s.want(t, r, when, "activating")
}

// finish walks to the end.
func (s *site) finish(t *testing.T, r sandboxtest.Request, person, state string) {
	t.Helper()
	step := s.walk(t, r, person, 60*time.Second)
	if got := s.state(t, r); got != state {
		t.Errorf("in the end the page says %s and the request is %s, want %s", step, got, state)
	}
}

// What was begun is kept while a partner is away, and finished when it is back; or it has failed and nothing was signed
// (house §3). At the end the witnesses are compared as after the kills.
func TestPartnersThatAreAwayForAWhile(t *testing.T) {
	s := &site{Sandbox: sandboxtest.Start(t, "--spy", spy)}
	keep(t, s.Sandbox)
	s.flow = s.Flow(t)
	s.k = newKiller(t, s.Sandbox)
	const person = "approve"
	s.finish(t, s.order(t, person), person, "finished")

	t.Run("no time-stamping authority", func(t *testing.T) {
		for how, without := range map[string]func(func()){
			"frozen": func(fn func()) { s.frozen(t, "tsa", fn) },
			"gone":   func(fn func()) { s.gone(t, fn, "tsa") },
		} {
			r := s.order(t, person)
			without(func() {
				s.walk(t, r, person, away)
				s.want(t, r, "without tsa ("+how+")", "signed")
			})
			s.finish(t, r, person, "finished")
		}
	})
	t.Run("no certificate status", func(t *testing.T) {
		for how, without := range map[string]func(func()){
			"frozen": func(fn func()) { s.frozen(t, "ca", fn) },
			"gone":   func(fn func()) { s.gone(t, fn, "ca") },
		} {
			r, back := s.atCallback(t, person)
			without(func() {
				ctx, cancel := context.WithTimeout(t.Context(), away)
				defer cancel()
				_ = s.flow.Callback(ctx, back)
				<-ctx.Done()
				s.stays(t, r, "without ca ("+how+")")
			})
			s.finish(t, r, "", "finished") // nobody is asked again
		}
	})
	t.Run("nobody who issues the certificate", func(t *testing.T) {
		r := s.order(t, "eu-document")
		s.gone(t, func() {
			s.walk(t, r, "eu-document", away)
			s.want(t, r, "without ca", "created")
		}, "ca")
		s.finish(t, r, "eu-document", "finished")
	})
	t.Run("signature activation frozen at the callback", func(t *testing.T) {
		r, back := s.atCallback(t, person)
		answered := make(chan error, 1)
		s.frozen(t, "sam", func() {
			go func() { answered <- s.flow.Callback(context.Background(), back) }()
			time.Sleep(away)
			s.want(t, r, "while the sam is frozen", "prepared")
		})
		if err := <-answered; err != nil {
			t.Error(err)
		}
		s.finish(t, r, "", "finished") // nobody is asked again
	})
	t.Run("signature activation gone at the callback", func(t *testing.T) {
		r, back := s.atCallback(t, person)
		s.gone(t, func() {
			ctx, cancel := context.WithTimeout(t.Context(), away)
			defer cancel()
			_ = s.flow.Callback(ctx, back)
			s.want(t, r, "without sam", "prepared")
		}, "sam")
		s.finish(t, r, person, "finished") // the question was of the process before: the person confirms again
	})
	t.Run("signature activation gone in an enrolment", func(t *testing.T) {
		r := s.order(t, "nl-document")
		for range 2 { // terms, identification
			if _, err := s.flow.Step(t.Context(), r.SigningURL, "nl-document"); err != nil {
				t.Fatal(err)
			}
		}
		s.gone(t, func() {
			s.walk(t, r, "nl-document", away)
			s.want(t, r, "without sam", "created")
		}, "sam")
		s.finish(t, r, "nl-document", "finished")
	})
	t.Run("signature activation gone between will and key", func(t *testing.T) {
		r, back := s.atCallback(t, person)
		var sam int
		s.gone(t, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_ = s.flow.Callback(ctx, back)
			s.stays(t, r, "without ca") // confirmed, and the sam does not use the key without a status
			sam = s.pid(t, "sam")
			if err := syscall.Kill(sam, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			s.stays(t, r, "without ca and sam")
		}, "ca")
		if err := s.k.wait(t.Context(), "sam", sam); err != nil {
			t.Fatal(err)
		}
		s.finish(t, r, "", "failed") // its session is from before the start
	})
	t.Run("itsme frozen at the callback", func(t *testing.T) {
		r, back := s.atCallback(t, person)
		answered := make(chan error, 1)
		s.frozen(t, "itsme", func() {
			go func() { answered <- s.flow.Callback(context.Background(), back) }()
			time.Sleep(away)
			s.want(t, r, "while itsme is frozen", "prepared")
		})
		if err := <-answered; err != nil {
			t.Error(err)
		}
		s.finish(t, r, person, "finished")
	})
	t.Run("itsme gone", func(t *testing.T) {
		r := s.order(t, person)
		s.gone(t, func() {
			s.walk(t, r, person, away)
			s.want(t, r, "without itsme", "created", "prepared")
		}, "itsme")
		s.finish(t, r, person, "finished")
	})
	t.Run("front gone at the callback", func(t *testing.T) {
		r, back := s.atCallback(t, person)
		s.gone(t, func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_ = s.flow.Callback(ctx, back) // waits in the listener, which the launcher holds, and is given up
		}, "front")
		deliver(t.Context(), s.flow, back)
		s.finish(t, r, "", "finished") // nobody is asked again
	})
	s.tokenGone(t, person)
	s.tokenLost(t, person)
	s.compare(t)
}

// atCallback stops where itsme sends the browser back.
func (s *site) atCallback(t *testing.T, person string) (sandboxtest.Request, string) {
	t.Helper()
	r := s.order(t, person)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		p, err := s.flow.Page(t.Context(), r.SigningURL)
		if err != nil {
			t.Fatal(err)
		}
		if p.Step == "confirm" {
			back, err := s.flow.AtItsme(t.Context(), p.Link, person)
			if err != nil {
				t.Fatal(err)
			}
			return r, back
		}
	}
	t.Fatal("the page never asked to confirm")
	return r, ""
}

// tokenGone moves the sam's token directory away and back: it signs again without a restart.
func (s *site) tokenGone(t *testing.T, person string) {
	tokens := filepath.Join(s.Dir, "sam", "tokens")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("token directory gone before the person confirms", func(t *testing.T) {
		pid := s.pid(t, "sam")
		r := s.order(t, person)
		move(tokens, tokens+".away")
		s.walk(t, r, person, away)
		s.want(t, r, "without token", "created", "identified", "prepared", "confirmed", "activating")
		move(tokens+".away", tokens)
		s.finish(t, r, person, "finished")
		if s.pid(t, "sam") != pid {
			t.Error("the sam was started again")
		}
	})
	t.Run("token directory gone between will and key", func(t *testing.T) {
		pid := s.pid(t, "sam")
		r, back := s.atCallback(t, person)
		s.gone(t, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_ = s.flow.Callback(ctx, back)
			s.stays(t, r, "without ca")
			move(tokens, tokens+".away")
		}, "ca")
		time.Sleep(away)
		s.stays(t, r, "without token")
		move(tokens+".away", tokens)
		s.finish(t, r, "", "finished") // nobody is asked again
		if s.pid(t, "sam") != pid {
			t.Error("the sam was started again")
		}
	})
}

// tokenLost: SoftHSM empties its token file at each login before it writes it again; a kill in between loses the token
// (performance §5.3), the role cannot start, and the copy made after the ceremony is put back. Users' keys are not in it.
func (s *site) tokenLost(t *testing.T, person string) {
	for _, role := range []string{"sam", "tsa", "ca"} {
		t.Run("token lost by SoftHSM, the copy put back: "+role, func(t *testing.T) {
			r := s.order(t, person)
			files, err := filepath.Glob(filepath.Join(s.Dir, role, "tokens", "*", "token.object"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			s.gone(t, func() {
				if err := os.Truncate(files[0], 0); err != nil {
					t.Error(err)
				}
			}, role) // waits, and finds that the token is lost
			if s.k.restores[role] != 1 {
				t.Errorf("the token was put back %d times", s.k.restores[role])
			}
			s.finish(t, r, person, "finished")
		})
	}
}

// compare stops the sandbox and compares the witnesses.
func (s *site) compare(t *testing.T) {
	open, err := settle(s.Dir, 30*time.Second)
	if err != nil || len(open) > 0 {
		t.Errorf("not at rest: %v %v", open, err)
	}
	documents := checkProducts(t, s.Sandbox, s.flow)
	s.Stop(t)
	w, err := readWorld(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	f, wrong := w.check()
	for _, e := range wrong {
		t.Error(e)
	}
	if f.signed == 0 || f.signs != f.signed {
		t.Errorf("C_Sign = %d, signed = %d: nobody was killed while the key was used", f.signs, f.signed)
	}
	t.Logf("requests %s; failed after confirmation %s; %d documents; C_Sign %d = signed %d", list(f.states), list(f.failures), documents, f.signs, f.signed)
}
