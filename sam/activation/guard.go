package activation

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// locks lets calls about one thing (a nonce, an enrolment, a request) follow
// one another.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	turn  chan struct{}
	users int
}

// take waits for the name and returns what gives it back.
func (l *locks) take(ctx context.Context, name string) (release func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	k := l.held[name]
	if k == nil {
		k = &lock{turn: make(chan struct{}, 1)}
		l.held[name] = k
	}
	k.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, name)
		}
	}
	select {
	case k.turn <- struct{}{}:
		return func() { <-k.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// spent remembers in memory what this process used up, so that a database that
// is put back under a running process revives nothing. Entries may go when
// what they name is too old to be used: twice MaxLife.
type spent struct {
	mu    sync.Mutex
	until map[spentName]int64 // microseconds since 1970
}

// spentName is half a SHA-256 of a name: there may be 100 000 of them. Two
// equal ones would be a refusal, never a second use.
type spentName [sha256.Size / 2]byte

func spentNameOf(name string) spentName {
	sum := sha256.Sum256([]byte(name))
	return spentName(sum[:])
}

// first tells whether name is used for the first time, and remembers it.
func (s *spent) first(name string, now time.Time) bool {
	short, at := spentNameOf(name), now.UnixMicro()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[spentName]int64{}
	}
	if len(s.until) > 100_000 { // two days of one person a second would need less
		for k, t := range s.until {
			if at > t {
				delete(s.until, k)
			}
		}
	}
	if _, used := s.until[short]; used {
		return false
	}
	s.until[short] = now.Add(2 * MaxLife).UnixMicro()
	return true
}

// again takes back first, for an act that is known not to have happened.
func (s *spent) again(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, spentNameOf(name))
}
