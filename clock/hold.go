package clock

import "errors"

// Hold has the guard wait for operators before it gives time: an earlier process had a doubt that nobody has ended
// (Config.OperatorResume). It is for the start.
func (g *Guard) Hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = true
}

// ErrNotHeld: there is no doubt that operators could end, or the sources do not agree yet.
var ErrNotHeld = errors.New("the clock does not wait for operators")

// Held says whether operators may end the doubt now.
func (g *Guard) Held() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.read()
	return g.heldAt(r)
}

// heldAt: the sources agree, and their agreement is still good at r.
func (g *Guard) heldAt(r Reading) bool {
	return g.doubt != nil && g.doubt.Code == Held && r.Mono-g.fix.at.Mono <= g.set.MaxAge && g.off(r)+g.set.Resolution <= g.set.Accuracy
}

// Resume ends the doubt by the word of operators. The error is [ErrNotHeld].
func (g *Guard) Resume() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.read()
	if !g.heldAt(r) {
		return ErrNotHeld
	}
	g.doubt, g.held = nil, false
	g.tell(KindRestored, r, map[string]string{"by": "operators"})
	return nil
}
