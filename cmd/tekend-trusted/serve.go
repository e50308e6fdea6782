package main

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"slices"
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

// open listens on the Unix socket and serves h to the allowed peers.
func (s socketSection) open(h http.Handler) (wire.Endpoint, error) {
	l, err := s.listen()
	if err != nil {
		return wire.Endpoint{}, err
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

func (s socketSection) endpoint(l net.Listener, h http.Handler) wire.Endpoint {
	return wire.Endpoint{Listener: l, Server: wire.Server(withLive(h), wire.Peers{UIDs: s.Peers})}
}

// openPublic listens on TCP for readers from outside (our key set). address is "127.0.0.1:port", or "fd:3" for a
// listening socket that the starting process left open, so that a port stays the same over restarts.
func openPublic(address string, h http.Handler) (wire.Endpoint, error) {
	l, err := wire.ListenTCP(address)
	if err != nil {
		return wire.Endpoint{}, err
	}
	return wire.Endpoint{Listener: l, Server: &http.Server{
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
func serve(p *program, role string, endpoints ...wire.Endpoint) error {
	for _, e := range endpoints {
		e.Server.ErrorLog = slog.NewLogLogger(p.log.Handler(), slog.LevelWarn)
		e.Server.Handler = wire.Logged(e.Server.Handler, p.log, p.now, loudness)
		p.log.Info("listening", "role", role, "address", e.Listener.Addr().String())
	}
	defer p.log.Info("stopped", "role", role)
	// What a role is doing, it ends also when its caller has gone: its Close waits.
	return wire.Serve(p.ctx, stopTimeout, endpoints...)
}

// quiet are questions that come every few seconds, or from strangers as often as they like: answered well, they are of no interest.
var quiet = []string{"/v1/health", "/v1/live", "/v1/ocsp", "/v1/revocations"}

func loudness(path string, status int) slog.Level {
	if slices.Contains(quiet, path) && status == http.StatusOK {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// closing closes what a role has opened, the last first, and joins the errors.
type closing []io.Closer

func (c closing) close(err error) error {
	for i := len(c) - 1; i >= 0; i-- {
		err = errors.Join(err, c[i].Close())
	}
	return err
}
