package revocation_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"tekend/revocation"
)

// TestASlowHostTakesNoOthersPlaces: however many ask a host that does not answer, those who ask another one are served.
func TestASlowHostTakesNoOthersPlaces(t *testing.T) {
	goOn := make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	began := make(chan struct{}, 100)
	slow := newHost(t, func(w http.ResponseWriter, _ *http.Request) { began <- struct{}{}; <-goOn })
	quick := newHost(t, gives([]byte("quick")))
	t.Cleanup(release)
	f := fetcher(func(c *revocation.FetcherConfig) { c.PerHost, c.All, c.Timeout = 2, 4, time.Minute })
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() { _, _ = f.OCSP(t.Context(), slow.URL, nil) })
	}
	<-began
	<-began
	time.Sleep(100 * time.Millisecond) // so that the others stand behind them
	done := make(chan error, 10)
	for range cap(done) {
		go func() { _, err := f.OCSP(t.Context(), quick.URL, nil); done <- err }()
	}
	for range cap(done) {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("they wait for a host that they do not ask")
		}
	}
	if n := slow.asked.Load(); n != 2 {
		t.Errorf("%d at once", n)
	}
	release()
	waiting.Wait()
	if n := slow.asked.Load(); n != 20 {
		t.Errorf("%d of 20 had their turn", n)
	}
}

// TestATrickleKeepsNoLargeListWaiting: large lists are read one after the other; a host that sends a byte now and then does
// not keep the place.
func TestATrickleKeepsNoLargeListWaiting(t *testing.T) {
	const size = 3 << 20
	began := make(chan struct{})
	trickle := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, size/2))
		for n := 0; r.Context().Err() == nil; n++ {
			if _, err := w.Write([]byte{0}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			if n == 1 {
				close(began)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	good := newHost(t, gives(make([]byte, size)))
	f := fetcher(func(c *revocation.FetcherConfig) { c.CRLTimeout, c.Stall = 30*time.Second, time.Second })
	ended := make(chan error, 1)
	go func() { _, err := f.CRL(t.Context(), trickle.URL); ended <- err }()
	<-began
	start := time.Now()
	if der, err := f.CRL(t.Context(), good.URL); err != nil || len(der) != size || time.Since(start) > 10*time.Second {
		t.Errorf("%d bytes, %v after %v", len(der), err, time.Since(start))
	}
	if err := <-ended; classes(err) != "unreachable" {
		t.Errorf("the one that trickles: %v", err)
	}
}
