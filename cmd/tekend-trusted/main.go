// Command tekend-trusted runs one role of the trusted side (sam, ca, tsa) and holds the ceremony that makes the roles'
// keys. It is the only program of the product with cgo and PKCS#11: see docs/design.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"
)

// version is set at build time with -ldflags "-X main.version=…".
var version = "dev"

// Exit codes: 0 done, 1 the answer is no (an audit record is not whole, keys exist already), 2 wrong use or unreadable
// input, 3 something needed (token, database, address) cannot be reached.
const (
	exitNo          = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// exitError carries the exit code of an error.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func no(format string, a ...any) error    { return &exitError{exitNo, fmt.Errorf(format, a...)} }
func usage(format string, a ...any) error { return &exitError{exitUsage, fmt.Errorf(format, a...)} }

// program is what the commands need of the world.
type program struct {
	ctx            context.Context
	stdout, stderr io.Writer
	log            *slog.Logger
	now            func() time.Time
}

type commands struct {
	Sam      samCmd         `cmd:"" help:"Run the signature activation role: users' keys and itsme."`
	CA       caCmd          `cmd:"" name:"ca" help:"Run the issuing and status role."`
	TSA      tsaCmd         `cmd:"" name:"tsa" help:"Run the time-stamping role."`
	Keys     keysCmd        `cmd:"" help:"The ceremony: make the roles' tokens, keys and certificates."`
	Uses     usesCmd        `cmd:"" help:"List what a person's key was used for, from the sam's own record."`
	Keks     keksCmd        `cmd:"" help:"How many users' keys are under each key-encryption key, for its roll-over."`
	Records  recordsCmd     `cmd:"" help:"The identity records behind certificates."`
	Audit    auditCmd       `cmd:"" help:"Look at a role's audit record."`
	Operator operatorCmd    `cmd:"" help:"Keys of operators, of whom two decide together."`
	Config   configCmd      `cmd:"" help:"Look at a configuration file."`
	Approve  lockApproveCmd `cmd:"" help:"Approve a text as an operator: a plan of keys plan, a lock, an act."`
	Act      actCmd         `cmd:"" help:"Acts of two operators about a certificate or its key: revoke, suspend, resume, destroy."`
	Lock     lockCmd        `cmd:"" help:"The lock of a role, or of a front, that was put back in time."`
	Unlock   unlockCmd      `cmd:"" help:"Open a lock that two operators have approved."`
	Version  versionCmd     `cmd:"" help:"Print the version."`
}

type versionCmd struct{}

func (versionCmd) Run(p *program) error {
	_, err := fmt.Fprintln(p.stdout, "tekend-trusted", version)
	return err
}

func main() {
	// Whatever this program creates is its user's alone; sockets get their mode on purpose.
	unix.Umask(0o077)
	// Memory holds a PIN and decryption keys: it never goes to a file (reliability §2 no. 32).
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // lowering cannot fail
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	p := &program{
		ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, now: time.Now,
		log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	}
	os.Exit(run(p, os.Args[1:]))
}

// run is main without the process around it.
func run(p *program, args []string) int {
	if err := refusePIN(args); err != nil {
		fmt.Fprintln(p.stderr, "tekend-trusted:", err)
		return exitUsage
	}
	var c commands
	parser, err := kong.New(&c,
		kong.Name("tekend-trusted"),
		kong.Description("The trusted side of tekend: each role is a process with its own user, token, database and socket."),
		kong.Writers(p.stdout, p.stderr),
	)
	if err != nil {
		fmt.Fprintln(p.stderr, "tekend-trusted:", err)
		return exitUsage
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(p.stderr, "tekend-trusted: %v\nRun \"tekend-trusted --help\" to see how it is used.\n", err)
		return exitUsage
	}
	if err := k.Run(p); err != nil {
		fmt.Fprintln(p.stderr, "tekend-trusted:", err)
		var e *exitError
		if errors.As(err, &e) {
			return e.code
		}
		return exitUnreachable
	}
	return 0
}
