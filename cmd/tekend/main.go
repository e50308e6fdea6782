// Command tekend is the front of the signature service and its command line.
// It holds no key that signs: see docs/design.md.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"tekend/api"
)

// version is set at build time with -ldflags "-X main.version=…".
var version = "dev"

// Exit codes that scripts rely on (docs/names in the README): 0 done or
// TOTAL_PASSED, 1 the answer is no, 2 wrong use or unreadable input, 3 a
// partner or the server cannot be reached.
const (
	exitNo          = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// exitError carries the exit code of an error that was explained.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func no(format string, a ...any) error    { return &exitError{exitNo, fmt.Errorf(format, a...)} }
func usage(format string, a ...any) error { return &exitError{exitUsage, fmt.Errorf(format, a...)} }
func unreachable(format string, a ...any) error {
	return &exitError{exitUnreachable, fmt.Errorf(format, a...)}
}

// program is what the commands need of the world.
type program struct {
	ctx            context.Context
	stdout, stderr io.Writer
	now            func() time.Time
}

type commands struct {
	Serve     serveCmd     `cmd:"" help:"Run the front: REST API, signer's pages, relays."`
	Sandbox   sandboxCmd   `cmd:"" help:"Run everything on this machine, with a simulated itsme, to try it out."`
	Sign      signCmd      `cmd:"" help:"Have a person sign PDF files."`
	Verify    verifyCmd    `cmd:"" help:"Check signed PDF files."`
	Checkcode checkcodeCmd `cmd:"" help:"Print the check code of prepared or signed PDF files, to compare with the one in the itsme app."`
	Order     orderCmd     `cmd:"" help:"Sign orders as a provider."`
	Revoke    revokeCmd    `cmd:"" help:"Revoke all certificates of a person, or one with its emergency code."`
	Uses      usesCmd      `cmd:"" help:"List what a signer's key was used for, and check the proofs."`
	Evidence  evidenceCmd  `cmd:"" help:"Fetch and check the evidence of signatures."`
	Config    configCmd    `cmd:"" help:"Look at a configuration."`
	Policies  policiesCmd  `cmd:"" help:"Print what the texts in force (practice statement, disclosure statements, terms) make of the configurations."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
	Simulated simulatedCmd `cmd:"" hidden:"" help:"Parts of the sandbox that play outside parties."`
}

type versionCmd struct {
	Terms bool `help:"Print version and SHA-256 of the terms that signers accept, for ca.yaml."`
}

// Run prints the program's version, or what the ca must be told of the terms.
func (c versionCmd) Run(p *program) error {
	if c.Terms {
		name, digest, err := api.TermsInForce()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.stdout, "terms_version: %s\nterms_sha256: %s\n", name, base64.RawURLEncoding.EncodeToString(digest))
		return err
	}
	_, err := fmt.Fprintln(p.stdout, "tekend", version)
	return err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(&program{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, now: time.Now}, os.Args[1:]))
}

// run is main without the process around it.
func run(p *program, args []string) int {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("tekend"),
		kong.Description("Qualified electronic signatures confirmed with itsme."),
		kong.Writers(p.stdout, p.stderr),
	)
	if err != nil {
		fmt.Fprintln(p.stderr, "tekend:", err)
		return exitUsage
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(p.stderr, "tekend: %v\nRun \"tekend --help\" to see how it is used.\n", err)
		return exitUsage
	}
	if err := k.Run(p); err != nil {
		fmt.Fprintln(p.stderr, "tekend:", err)
		if e, ok := errors.AsType[*exitError](err); ok {
			return e.code
		}
		return exitUnreachable
	}
	return 0
}
