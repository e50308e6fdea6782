package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"tekend/wire"
)

// socketSection says where a role listens for other roles or the front.
type socketSection struct {
	// Socket is the path of the Unix socket. Its directory must exist and be closed to everyone but the role and the
	// caller's group (mode 2750, so that the socket gets the group).
	Socket string `yaml:"socket"`
	// Mode of the socket. Default 0660.
	Mode fs.FileMode `yaml:"mode"`
	// Peers are the user ids that may call (checked by the kernel's word). Empty: only the role's own user.
	Peers []uint32 `yaml:"peers"`
}

// endpoint is one listener with its server.
type endpoint struct {
	listener net.Listener
	server   *http.Server
}

// open listens on the Unix socket and serves h to the allowed peers.
func (s socketSection) open(h http.Handler) (endpoint, error) {
	l, err := s.listen()
	if err != nil {
		return endpoint{}, err
	}
	return s.endpoint(l, h), nil
}

// listen takes the socket; it fails when another process has it. Callers wait until it is served.
func (s socketSection) listen() (net.Listener, error) {
	if s.Socket == "" {
		return nil, errors.New("the path of the socket is missing")
	}
	if s.Mode == 0 {
		s.Mode = 0o660
	}
	return wire.Listen(s.Socket, s.Mode)
}

func (s socketSection) endpoint(l net.Listener, h http.Handler) endpoint {
	return endpoint{l, wire.Server(withLive(h), wire.Peers{UIDs: s.Peers})}
}

// openPublic listens on TCP for readers from outside (our key set). address is "127.0.0.1:port", or "fd:3" for a
// listening socket that the starting process left open, so that a port stays the same over restarts.
func openPublic(address string, h http.Handler) (endpoint, error) {
	l, err := wire.ListenTCP(address)
	if err != nil {
		return endpoint{}, err
	}
	return endpoint{l, &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,  // requests here are a line and some headers
		ReadTimeout:       10 * time.Second, // the same, with a body nobody reads
		WriteTimeout:      20 * time.Second, // a key set is a few kilobytes
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}}, nil
}

// stopTimeout is how long running requests may take after SIGTERM. A signature under way must come to its end.
const stopTimeout = 15 * time.Second

// serve runs the endpoints until the program is told to stop, then lets running requests end.
func serve(p *program, role string, endpoints ...endpoint) error {
	failed := make(chan error, len(endpoints))
	for _, e := range endpoints {
		e.server.ErrorLog = slog.NewLogLogger(p.log.Handler(), slog.LevelWarn)
		e.server.Handler = logged(p, e.server.Handler)
		go func() { failed <- e.server.Serve(e.listener) }()
		p.log.Info("listening", "role", role, "address", e.listener.Addr().String())
	}
	var err error
	select {
	case <-p.ctx.Done():
	case err = <-failed:
	}
	p.log.Info("stopping", "role", role)
	stop, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), stopTimeout)
	defer cancel()
	for _, e := range endpoints {
		if late := e.server.Shutdown(stop); late != nil {
			// A caller who does not take his answer must not hold up the end; what a role is doing, it ends (its Close waits).
			err = errors.Join(err, late, e.server.Close())
		}
	}
	return err
}

// logged writes one line for each request: what was asked and how it ended, never what was in it. Paths of the contract
// hold hashes and opaque ids only; a query is not part of it and not logged.
func logged(p *program, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := p.now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(s, r)
		level := slog.LevelInfo
		if (r.URL.Path == "/v1/health" || r.URL.Path == "/v1/live") && s.status == http.StatusOK {
			level = slog.LevelDebug
		}
		p.log.Log(r.Context(), level, "request", "method", r.Method, "path", r.URL.Path, "status", s.status,
			"ms", p.now().Sub(start).Milliseconds())
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

// closing closes what a role has opened, the last first, and joins the errors.
type closing []io.Closer

func (c closing) close(err error) error {
	for i := len(c) - 1; i >= 0; i-- {
		err = errors.Join(err, c[i].Close())
	}
	return err
}
