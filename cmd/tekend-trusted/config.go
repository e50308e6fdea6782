package main

import (
	"fmt"
	"os"
	"strings"

	"tekend/hsm"
	"tekend/strictyaml"
)

// readYAML reads a role's file; what is wrong with it is wrong use.
func readYAML(path string, v any) error {
	if err := strictyaml.Read(path, v); err != nil {
		return usage("%w", err)
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
	if !s.TestOnly {
		if err := refuseWatchers(os.Environ()); err != nil {
			return nil, err
		}
	}
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
	cfg.OnStuck = p.tokenStuck
	token, err := hsm.Open(p.ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the token: %w", err)
	}
	return token, nil
}

// refuseWatchers refuses an environment that puts other code between the program and its token: a preloaded library, a
// PKCS#11 spy (its log holds the PIN) or the tests' shim. Only `test_only: true` in the token section allows it.
func refuseWatchers(environ []string) error {
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		watcher := name == "LD_PRELOAD" || name == "LD_AUDIT" || strings.HasPrefix(name, "PKCS11SPY") || strings.HasPrefix(name, "TEKEND_SHIM_")
		if watcher && value != "" {
			return usage("the environment has %s: nothing may stand between this program and its token (token.test_only allows it, for tests)", name)
		}
	}
	return nil
}
