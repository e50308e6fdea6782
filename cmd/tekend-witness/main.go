// Command tekend-witness runs a witness of transparency logs (C2SP tlog-witness), beside no part of what it watches: see
// docs/operations.md, "Run a witness". It is a small static program without cgo.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"tekend/strictyaml"
	"tekend/wire"
	"tekend/witness"
)

// version is set at build time with -ldflags "-X main.version=…".
var version = "dev"

// Exit codes: 0 done, 2 wrong use or unreadable input, 3 state or address cannot be had.
const (
	exitUsage       = 2
	exitUnreachable = 3
)

// usageError is wrong use.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// program is what the commands need of the world.
type program struct {
	ctx            context.Context
	stdout, stderr io.Writer
	log            *slog.Logger
	now            func() time.Time
}

type commands struct {
	Keygen  keygenCmd  `cmd:"" help:"Make a new witness: its key and its empty memory."`
	Serve   serveCmd   `cmd:"" help:"Cosign checkpoints of the configured logs."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(p *program) error {
	_, err := fmt.Fprintln(p.stdout, "tekend-witness", version)
	return err
}

type keygenCmd struct {
	Name  string `required:"" help:"The witness's name, a host name and path without scheme, e.g. witness.example/w1."`
	Key   string `required:"" help:"The key file to make." type:"path"`
	State string `required:"" help:"The state folder to make." type:"path"`
}

// Run prints the verifier key that logs and verifiers need.
func (c keygenCmd) Run(p *program) error {
	vkey, err := witness.Init(c.Name, c.Key, c.State)
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintln(p.stdout, vkey)
	return err
}

type serveCmd struct {
	Config string `required:"" help:"The witness's configuration file (YAML)." type:"existingfile"`
}

// witnessFile is the witness's file. Example:
//
//	listen: 127.0.0.1:8095
//	key_file: /srv/witness/witness.key
//	state_dir: /srv/witness/state
//	logs:
//	  - {origin: sign.acme.example/audit/sam, key: "sign.acme.example/audit/sam+5f1c…+AQ…", epochs: true}
type witnessFile struct {
	// Listen is 127.0.0.1:port, behind whatever gives it TLS and a name, or fd:3 for an inherited socket. Default none.
	Listen string `yaml:"listen"`
	// Socket is a Unix socket beside or instead of it; its folder says who can call. Default none.
	Socket         string `yaml:"socket"`
	witness.Config `yaml:",inline"`
}

// Run serves until the program is told to stop.
func (c serveCmd) Run(p *program) error {
	var cfg witnessFile
	if err := strictyaml.Read(c.Config, &cfg); err != nil {
		return usageError{err}
	}
	if cfg.Listen == "" && cfg.Socket == "" {
		return usageError{fmt.Errorf("%s: listen and socket are missing", c.Config)}
	}
	w, err := witness.Open(cfg.Config)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", c.Config, err)}
	}
	listeners, err := cfg.listeners()
	if err != nil {
		return errors.Join(err, w.Close())
	}
	return errors.Join(p.serve(w.Server(), listeners), w.Close())
}

func (f witnessFile) listeners() (all []net.Listener, err error) {
	if f.Listen != "" {
		l, err := wire.ListenTCP(f.Listen)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	if f.Socket != "" {
		l, err := wire.Listen(f.Socket, 0o660)
		if err != nil {
			for _, other := range all {
				err = errors.Join(err, other.Close())
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// stopTimeout is how long running requests may take after SIGTERM.
const stopTimeout = 5 * time.Second

func (p *program) serve(srv *http.Server, listeners []net.Listener) error {
	srv.ErrorLog = slog.NewLogLogger(p.log.Handler(), slog.LevelWarn)
	srv.Handler = wire.Logged(srv.Handler, p.log, p.now, loudness)
	endpoints := make([]wire.Endpoint, len(listeners))
	for i, l := range listeners {
		endpoints[i] = wire.Endpoint{Listener: l, Server: srv}
		p.log.Info("listening", "address", l.Addr().String())
	}
	return wire.Serve(p.ctx, stopTimeout, endpoints...)
}

// loudness: what was cosigned is of no interest; a log that asks for what it may not have is.
func loudness(_ string, status int) slog.Level {
	if status >= http.StatusBadRequest {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func main() {
	unix.Umask(0o077) // key and state are this user's alone
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(&program{
		ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, now: time.Now, log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	}, os.Args[1:]))
}

// run is main without the process around it.
func run(p *program, args []string) int {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("tekend-witness"),
		kong.Description("A witness of transparency logs (C2SP tlog-witness)."),
		kong.Writers(p.stdout, p.stderr),
	)
	if err != nil {
		fmt.Fprintln(p.stderr, "tekend-witness:", err)
		return exitUsage
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(p.stderr, "tekend-witness: %v\nRun \"tekend-witness --help\" to see how it is used.\n", err)
		return exitUsage
	}
	if err := k.Run(p); err != nil {
		fmt.Fprintln(p.stderr, "tekend-witness:", err)
		var e usageError
		if errors.As(err, &e) {
			return exitUsage
		}
		return exitUnreachable
	}
	return 0
}
