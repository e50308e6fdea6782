package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Endpoint is a listener with its server.
type Endpoint struct {
	Listener net.Listener
	Server   *http.Server
}

// Serve serves until ctx ends or a listener fails, then lets running requests come to an end. Whoever has not taken his
// answer within that time loses his connection: he must not hold up the end.
func Serve(ctx context.Context, within time.Duration, endpoints ...Endpoint) error {
	failed := make(chan error, len(endpoints))
	for _, e := range endpoints {
		go func() { failed <- e.Server.Serve(e.Listener) }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	for _, e := range endpoints {
		if late := e.Server.Shutdown(stop); late != nil {
			err = errors.Join(err, late, e.Server.Close())
		}
	}
	return err
}

// Logged writes one line for each request: what was asked and how it ended, never what was in it. Paths of our contracts
// hold hashes and opaque ids only. A query is not logged, and no path that a ServeMux below does not know: a stranger may have
// written anything into it, or a person a code. level says how loud the line is.
func Logged(h http.Handler, log *slog.Logger, now func() time.Time, level func(path string, status int) slog.Level) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(s, r)
		path := r.URL.Path
		if r.Pattern == "" {
			path = "unknown"
		}
		log.Log(r.Context(), level(path, s.status), "request", "method", r.Method, "path", path, "status", s.status,
			"ms", now().Sub(start).Milliseconds())
	})
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers the status and passes it on.
func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer below.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
