package signer_test

import (
	"sync"
	"testing"
	"time"

	"tekend/signer"
)

// The front on the other engine: a person's whole way, and what only PostgreSQL has, several fronts.
func TestOnPostgres(t *testing.T) {
	t.Run("TestAPersonEnrolsAndSignsAndIsKnownNextTime", TestAPersonEnrolsAndSignsAndIsKnownNextTime)
	t.Run("two fronts share the requests", twoFronts)
	t.Run("a front that died is taken over from", deadFront)
}

// twoFronts: the person's browser comes to one front and then to the other; both work on what is due. Each step is
// made once.
func twoFronts(t *testing.T) {
	w := enrolled(t)
	first := w.front
	w.startFront()
	fronts := []*front{first, w.front}
	t.Cleanup(func() { w.front = first; w.stopFront() }) // the other one is the world's to stop
	prepared, signed := w.sam.count("PUT /v1/preparations"), w.sam.count("PUT /v1/confirmations/[^/]+/signatures")
	const n = 8
	ids := make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		w.front = fronts[i%2]
		r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
		ids[i] = r.ID
		all.Go(func() { wander(w, fronts, token) })
	}
	all.Wait()
	for _, id := range ids {
		w.wait(id, signer.Finished)
	}
	preparations, signatures := w.sam.count("PUT /v1/preparations")-prepared, w.sam.count("PUT /v1/confirmations/[^/]+/signatures")-signed
	t.Logf("%d requests, two fronts on one database: %d preparations, %d signatures asked for", n, preparations, signatures)
	if preparations != n || signatures != n {
		t.Error("two fronts worked on one request")
	}
	for position, times := range w.uses().signed {
		if times != 1 {
			t.Errorf("%s was signed %d times", position, times)
		}
	}
}

// wander walks a known person through the pages, each time at another front.
func wander(w *world, fronts []*front, token string) {
	deadline := time.Now().Add(60 * time.Second)
	for turn := 0; time.Now().Before(deadline); turn++ {
		p, err := fronts[turn%2].Page(w.t.Context(), token)
		if err != nil {
			w.t.Error(err)
			return
		}
		switch p.Step {
		case signer.StepConfirm:
			a := w.atItsme(p.Link, "approve")
			if _, err := fronts[(turn+1)%2].Callback(w.t.Context(), a.state, a.code, a.err); err != nil && codeOf(err) != signer.ErrStateUsed.Code {
				w.t.Errorf("callback: %v", err)
				return
			}
		case signer.StepWait:
			time.Sleep(20 * time.Millisecond)
		case signer.StepDone:
			return
		default:
			w.t.Errorf("%+v", p)
			return
		}
	}
	w.t.Error("the page does not come to its end")
}

// deadFront: what a front had when it died goes on at another one.
func deadFront(t *testing.T) {
	w := enrolled(t)
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	w.walk(token, "approve", signer.StepConfirm)
	ok, err := w.front.store.Claim(t.Context(), r.ID, time.Second) // and never gives it back
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	dead := w.front
	w.startFront()
	t.Cleanup(func() { w.front = dead; w.stopFront() })
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
}
