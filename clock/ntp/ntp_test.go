package ntp

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"tekend/clock"
)

// station is a simulated server that a test can change.
type station struct {
	mu    sync.Mutex
	state State
	asked int
	addr  string
}

func (s *station) set(st State) { s.mu.Lock(); defer s.mu.Unlock(); s.state = st }

func (s *station) questions() int { s.mu.Lock(); defer s.mu.Unlock(); return s.asked }

func serve(t *testing.T) *station {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &station{addr: c.LocalAddr().String()}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Simulated{Now: time.Now, State: func() State { s.mu.Lock(); defer s.mu.Unlock(); s.asked++; return s.state }}.Serve(ctx, c)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func measure(t *testing.T, c *Client) (clock.Measurement, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	return c.Measure(ctx)
}

// TestMeasure: what a server says comes out as offset, uncertainty and leap second.
func TestMeasure(t *testing.T) {
	s := serve(t)
	for name, st := range map[string]State{
		"right": {}, "2 s ahead": {Ahead: 2 * time.Second}, "an hour behind": {Ahead: -time.Hour}, "uncertain": {Dispersion: 100 * time.Millisecond},
		"leap second": {Leap: clock.Insert}, "second left out": {Leap: clock.Delete}, "ten years ahead": {Ahead: 87600 * time.Hour},
	} {
		s.set(st)
		m, err := measure(t, NewClient(s.addr, time.Now))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if off := (m.Offset - st.Ahead).Abs(); off > m.Uncertainty || m.Uncertainty < st.Dispersion || m.Uncertainty > st.Dispersion+time.Second || m.Leap != st.Leap {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestOffsetIsOfTheGivenClock: 3 s behind, the server is 3 s ahead.
func TestOffsetIsOfTheGivenClock(t *testing.T) {
	c := NewClient(serve(t).addr, func() time.Time { return time.Now().Add(-3 * time.Second) })
	if m, err := measure(t, c); err != nil || (m.Offset-3*time.Second).Abs() > m.Uncertainty {
		t.Errorf("%+v %v", m, err)
	}
}

// TestBadAnswers are errors, each.
func TestBadAnswers(t *testing.T) {
	s := serve(t)
	for name, st := range map[string]State{
		"without time": {Unsynchro: true}, "kiss of death": {Refuses: true}, "another question's": {WrongAnswers: true}, "silent": {Silent: true},
		"too uncertain": {Dispersion: 20 * time.Second},
	} {
		s.set(st)
		ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if m, err := NewClient(s.addr, time.Now).Measure(ctx); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
		stop()
	}
	if _, err := measure(t, NewClient("127.0.0.1:1", time.Now)); err == nil {
		t.Error("nobody answers, and that is no error")
	}
	if _, err := Open([]clock.SourceConfig{{Kind: "sundial", Address: "x"}}, time.Now); err == nil {
		t.Error("a kind that is not known")
	}
}

// TestAServerThatWantsPeaceHasIt for a minute.
func TestAServerThatWantsPeaceHasIt(t *testing.T) {
	s := serve(t)
	s.set(State{Refuses: true})
	var ahead time.Duration
	c := NewClient(s.addr, func() time.Time { return time.Now().Add(ahead) })
	for range 3 {
		if _, err := measure(t, c); err == nil {
			t.Error("a kiss of death is taken for time")
		}
	}
	if n := s.questions(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	s.set(State{})
	ahead = calm + time.Second
	if _, err := measure(t, c); err != nil {
		t.Errorf("after the pause: %v", err)
	}
}

// TestOnlyQuestionsAreAnswered, each by one message of its own length.
func TestOnlyQuestionsAreAnswered(t *testing.T) {
	s := Simulated{Now: time.Now}
	q := make([]byte, packet)
	q[0] = 4<<3 | client
	if len(s.answer(q)) != packet {
		t.Error("a question is not answered")
	}
	q[0] = 4<<3 | server
	if s.answer(q) != nil || s.answer(q[:47]) != nil || s.answer(nil) != nil {
		t.Error("what is no question is answered")
	}
}
