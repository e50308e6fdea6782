package revocation

import (
	"context"
	"sync"
)

// hosts are those that are asked now, each by so many at most: who waits for one
// that does not answer takes no place from who asks another.
type hosts struct {
	most int
	mu   sync.Mutex
	by   map[string]*places
}

// places are those of one host; it is forgotten with the last who uses or wants one.
type places struct {
	taken chan struct{}
	users int
}

// enter waits for a place; leave gives it back. false: ctx was over before.
func (h *hosts) enter(ctx context.Context, host string) (leave func(), ok bool) {
	h.mu.Lock()
	p := h.by[host]
	if p == nil {
		p = &places{taken: make(chan struct{}, h.most)}
		h.by[host] = p
	}
	p.users++
	h.mu.Unlock()
	gone := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(h.by, host)
		}
	}
	select {
	case p.taken <- struct{}{}:
		return func() { <-p.taken; gone() }, true
	case <-ctx.Done():
		gone()
		return nil, false
	}
}
