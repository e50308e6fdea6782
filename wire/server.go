package wire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Listen opens a Unix socket at path with the given mode. A socket file that
// nobody listens on any more (its process was killed) is replaced; one that
// answers is an error, so that two processes never share a role.
func Listen(path string, mode fs.FileMode) (net.Listener, error) {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("listen on %s: another process answers there", path)
	}
	// Any other error, such as a full queue, may be a living process's.
	if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: another process may be there: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// Between bind and chmod the socket has the process's umask, which can only
	// be narrower than needed; peers are checked by credentials anyway.
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("mode of %s: %w", path, err), l.Close())
	}
	return &bounded{UnixListener: l, free: make(chan struct{}, MaxConns), closed: make(chan struct{})}, nil
}

// MaxConns bounds the connections of one socket; more wait in the kernel. A
// call is a connection and can hold some 256 KiB, so this bounds what a caller
// can make the role keep in memory and in descriptors.
const MaxConns = 256

// bounded is a Unix listener with at most MaxConns open connections.
type bounded struct {
	*net.UnixListener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a free place, then for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.free <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.AcceptUnix()
	if err != nil {
		<-b.free
		return nil, err
	}
	return &placed{UnixConn: c, leave: sync.OnceFunc(func() { <-b.free })}, nil
}

// Close also ends an Accept that waits for a place.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.UnixListener.Close()
}

// placed is a connection that has a place.
type placed struct {
	*net.UnixConn
	leave func()
}

// Close gives the place back.
func (p *placed) Close() error {
	defer p.leave()
	return p.UnixConn.Close()
}

// MaxCall bounds how long a role may work on a call. A caller that does not
// take the answer loses its connection when MaxCall and half a minute are over:
// it must not hold the role's memory, nor its end.
const MaxCall = time.Minute

// ListenTCP opens a listener for readers from outside: "127.0.0.1:port", or
// "fd:3" for a listening socket that the starting process left open, so that a
// port stays the same over restarts.
func ListenTCP(address string) (net.Listener, error) {
	number, inherited := strings.CutPrefix(address, "fd:")
	if !inherited {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w; is another process using the port?", address, err)
		}
		return l, nil
	}
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("address %q: fd: is followed by a descriptor from 3 on", address)
	}
	f := os.NewFile(uintptr(fd), address)
	if f == nil {
		return nil, fmt.Errorf("address %q: no such descriptor was inherited", address)
	}
	l, err := net.FileListener(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("address %q: not an inherited listening socket: %w", address, err)
	}
	return l, nil
}

// Peers are the users who may call, by the kernel's word (SO_PEERCRED).
type Peers struct {
	UIDs []uint32 // empty: only the server's own user
}

type peerKey struct{}

// Server serves h to the allowed peers. Others get 403 before any routing.
// Time limits: a message is small and its sender is on this machine.
func Server(h http.Handler, p Peers) *http.Server {
	allowed := p.UIDs
	if len(allowed) == 0 {
		allowed = []uint32{uint32(os.Getuid())}
	}
	guard := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, ok := r.Context().Value(peerKey{}).(uint32)
		if !ok || !slices.Contains(allowed, uid) {
			Fail(w, Refuse(http.StatusForbidden, "peer_refused", "this user may not call this role"))
			return
		}
		if r.Context().Err() != nil {
			// A read failed while an earlier request was answered. All that come on this connection are cancelled.
			w.Header().Set("Connection", "close")
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		h.ServeHTTP(w, r)
	})
	return &http.Server{
		Handler:           guard,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      MaxCall + 30*time.Second, // counts from the call's header on
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if uid, err := peerUID(c); err == nil {
				return context.WithValue(ctx, peerKey{}, uid)
			}
			return ctx
		},
	}
}

func peerUID(c net.Conn) (uint32, error) {
	var u *net.UnixConn
	switch c := c.(type) {
	case *placed:
		u = c.UnixConn
	case *net.UnixConn:
		u = c
	default:
		return 0, errors.New("not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
