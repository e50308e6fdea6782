package signer_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tekend/ca"
	"tekend/revocation"
)

// pkiNet is the network on which certificates say that OCSP and CRLs are: it carries to the ca role, unless it is down.
type pkiNet struct {
	url       string
	mu        sync.Mutex
	down      map[string]bool // "ocsp", "crl"
	at        func()          // runs once, while the next OCSP answer is held; then the answer is lost
	ocsp, crl atomic.Int64    // questions that were answered
}

func (n *pkiNet) set(what string, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down == nil {
		n.down = map[string]bool{}
	}
	n.down[what] = down
}

func (n *pkiNet) isDown(what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down[what]
}

// hold runs at while the next OCSP answer is held.
func (n *pkiNet) hold(at func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = at
}

func (n *pkiNet) once() func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.at
	n.at = nil
	return at
}

func (w *world) startNet() {
	ln := listen(w.t)
	w.net.url = "http://" + ln.Addr().String() + "/pki"
	w.serve(ln, http.HandlerFunc(w.servePKI))
}

func (w *world) servePKI(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/pki/")
	kind, _, _ := strings.Cut(name, "/")
	if w.net.isDown(kind) {
		http.Error(rw, "down", http.StatusBadGateway)
		return
	}
	c := ca.NewClient(w.path("ca/s.sock"), 10*time.Second)
	var der []byte
	var err error
	if kind == "ocsp" {
		var query []byte
		if query, err = io.ReadAll(http.MaxBytesReader(rw, r.Body, 64<<10)); err == nil {
			der, err = c.OCSP(r.Context(), query)
		}
		w.net.ocsp.Add(1)
		if at := w.net.once(); at != nil {
			at()
			panic(http.ErrAbortHandler)
		}
		rw.Header().Set("Content-Type", "application/ocsp-response")
	} else {
		var media string
		der, media, err = c.Published(r.Context(), name)
		w.net.crl.Add(1)
		rw.Header().Set("Content-Type", media)
	}
	if err != nil {
		http.Error(rw, "not here", http.StatusNotFound)
		return
	}
	_, _ = rw.Write(der)
}

// collector is what a new front has: it remembers nothing.
func (w *world) collector() *revocation.Collector {
	return revocation.New(revocation.Config{
		Source: revocation.NewFetcher(revocation.FetcherConfig{AllowPrivate: true}), Now: w.now, Log: w.log(),
	})
}
