package clock

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOperatorsEndADoubt: once the sources agree again, and not before; a doubt from before the start is kept.
func TestOperatorsEndADoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, events := &machine{start: time.Now()}, []string{}
		g := newGuard(t, m, &events, func(c *Config) { c.OperatorResume = true })
		round := func() error {
			g.Round(t.Context())
			time.Sleep(time.Second)
			_, err := g.Now()
			return err
		}
		if err := round(); err != nil {
			t.Fatalf("the first agreement needs nobody: %v", err)
		}
		if g.Held() || g.Resume() == nil {
			t.Error("operators end what is no doubt")
		}
		off(2*time.Second, three...)(m)
		for range 3 {
			if err := round(); !refused(err, Wrong) || g.Held() || g.Resume() == nil {
				t.Errorf("while the clock is wrong: %v", err)
			}
		}
		off(0, three...)(m)
		if err := round(); !refused(err, Wrong) || g.Held() {
			t.Errorf("after one good round: %v", err)
		}
		for range 100 {
			if err := round(); !refused(err, Held) || !g.Held() {
				t.Fatalf("without operators: %v", err)
			}
		}
		change(silent, three...)(m)
		for range 70 {
			_ = round()
		}
		if g.Held() || g.Resume() == nil {
			t.Error("operators end a doubt while nobody knows the time")
		}
		change(func(s *simulated) { s.err = nil }, three...)(m)
		_ = round()
		if err := g.Resume(); err != nil {
			t.Errorf("now: %v", err)
		}
		if err := round(); err != nil {
			t.Errorf("after their word: %v", err)
		}
		if got := strings.Join(events, " "); got != "clock.synchronised clock.lost clock.restored" {
			t.Errorf("told %s", got)
		}
		again := newGuard(t, m, &events, func(c *Config) { c.OperatorResume = true })
		again.Hold()
		again.Round(t.Context())
		if _, err := again.Now(); !refused(err, Held) {
			t.Errorf("after a restart: %v", err)
		}
		if err := again.Resume(); err != nil {
			t.Error(err)
		}
		if _, err := again.Now(); err != nil {
			t.Error(err)
		}
	})
}
