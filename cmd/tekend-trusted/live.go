package main

import (
	"net/http"

	"tekend/wire"
)

// withLive answers GET /v1/live on every socket of a role: the process serves. It touches neither token nor database, so
// that a supervisor who restarts what is not live does not restart a role because its token is away. Whether the role
// can do its work is GET /v1/health.
func withLive(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/live", func(w http.ResponseWriter, _ *http.Request) {
		wire.Reply(w, http.StatusOK, map[string]bool{"live": true})
	})
	mux.Handle("/", h)
	return mux
}
