package main

import (
	"log/slog"

	itsme "tekend/itsme/sandbox"
)

type simulatedItsmeCmd struct {
	Config string `required:"" type:"path"`
}

// simulatedItsmeConfig is itsme.yaml.
type simulatedItsmeConfig struct {
	Listen  string       `yaml:"listen"` // loopback address, or fd:3
	Sandbox itsme.Config `yaml:"sandbox"`
}

// Run serves the simulated itsme until the process is told to stop.
func (c *simulatedItsmeCmd) Run(p *program) error {
	var cfg simulatedItsmeConfig
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(p.stderr, nil))
	cfg.Sandbox.Now = p.now
	cfg.Sandbox.Warn = func(text string) { log.Warn("real itsme would not accept", "what", text) }
	l, err := listenTCP(cfg.Listen)
	if err != nil {
		return err
	}
	// Also a listener that was handed over must be on loopback.
	cfg.Sandbox.Listen = l.Addr().String()
	srv, err := itsme.New(cfg.Sandbox)
	if err != nil {
		return usage("%w", err)
	}
	return serveHTTP(p.ctx, l, srv.Handler())
}
