package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"tekend/hsm"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// readYAML reads a configuration file strictly: unknown keys are refused, because a key that is spelt wrongly must not
// silently mean the default.
func readYAML(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return usage("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return usage("read the configuration: %w", err)
	}
	if len(b) > maxConfig {
		return usage("%s is larger than %d bytes", path, maxConfig)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return usage("%s: %w", path, err)
	}
	if err := dec.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return usage("%s: more than one YAML document", path)
	}
	return nil
}

// tokenSection is the `token:` section of a role's file.
type tokenSection struct {
	hsm.Config `yaml:",inline"`
	// SoftHSMConf is softhsm2.conf for SoftHSM, which finds its token directory only by the environment (SOFTHSM2_CONF).
	// Empty: the environment stays as it is.
	SoftHSMConf string `yaml:"softhsm_conf"`
}

// open opens the role's token. Restarts of the module are logged.
func (s tokenSection) open(p *program) (*hsm.Token, error) {
	if s.SoftHSMConf != "" {
		if _, err := os.Stat(s.SoftHSMConf); err != nil {
			return nil, usage("token.softhsm_conf: %w", err)
		}
		// cgo programs hand os.Setenv on to C, where the module reads it.
		if err := os.Setenv("SOFTHSM2_CONF", s.SoftHSMConf); err != nil {
			return nil, err
		}
	}
	cfg := s.Config
	cfg.OnReinit = func(reason string) { p.log.Warn("token", "event", reason) }
	token, err := hsm.Open(p.ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the token: %w", err)
	}
	return token, nil
}
