package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"tekend/ca"
	"tekend/sam"
	"tekend/wire"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Load the front's configuration, ask every role, and stop."`
}

type configCheckCmd struct {
	Config string `help:"The front's configuration (YAML)." type:"path" default:".sandbox/front/front.yaml"`
}

// Run prints a line for each thing that was looked at. The token and itsme's
// discovery document are looked at by the sam, which has them.
func (c *configCheckCmd) Run(p *program) error {
	var cfg frontConfig
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	if err := cfg.refuseUnsafe(c.Config); err != nil {
		return no("%w", err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	checks := []struct {
		what string
		do   func(context.Context, frontConfig) error
	}{
		{"trusted roots", func(_ context.Context, cfg frontConfig) error { _, err := loadRoots(cfg.Roots); return err }},
		{"sam: token, keys, itsme", checkSAM},
		{"ca: certificates lead to the roots", checkCA},
		{"tsa: a time-stamp that verifies", checkTSA},
	}
	var failed error
	for _, check := range checks {
		if err := check.do(ctx, cfg); err != nil {
			fmt.Fprintf(p.stdout, "%-36s NO  %v\n", check.what, err)
			failed = errors.Join(failed, err)
			continue
		}
		fmt.Fprintf(p.stdout, "%-36s ok\n", check.what)
	}
	switch {
	case failed == nil:
		return nil
	case errors.Is(failed, wire.ErrUnreachable):
		return unreachable("not everything could be reached; are the roles running, and may this user call them?")
	}
	return no("the configuration does not work yet")
}

func checkSAM(ctx context.Context, cfg frontConfig) error {
	if len(cfg.Sockets.SAM) == 0 {
		return errors.New("sockets.sam is missing")
	}
	for _, socket := range cfg.Sockets.SAM { // each instance, not the first that answers
		h, err := sam.NewClient(socket, 10*time.Second).Health(ctx)
		if err != nil {
			return err
		}
		if !h.Ready {
			return fmt.Errorf("%s is not ready: %v", socket, h.Reasons)
		}
	}
	return nil
}

func checkCA(ctx context.Context, cfg frontConfig) error {
	roots, err := loadRoots(cfg.Roots)
	if err != nil {
		return err
	}
	client := ca.NewClient(cfg.Sockets.CA, 10*time.Second)
	for _, name := range []string{"ca/issuing-ca.crt", "ca/tsu.crt"} {
		der, _, err := client.Published(ctx, name)
		if err != nil {
			return err
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func checkTSA(ctx context.Context, cfg frontConfig) error {
	stamper, err := newStamper(cfg, time.Now)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte("config check"))
	_, err = stamper.Stamp(ctx, sum[:], crypto.SHA256)
	return err
}
