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
