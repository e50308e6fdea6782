package main

import (
	"fmt"
	"slices"

	"tekend/sam/activation"
)

type keksCmd struct {
	Config string `required:"" help:"The sam's configuration file, which names database and key-encryption keys." type:"existingfile"`
}

// Run tells how many users' keys are under each key-encryption key, beside the running role: a previous one under which
// nothing is any more may be destroyed in the token. Exit code 1 when keys are under one that is not configured.
func (c keksCmd) Run(p *program) error {
	var cfg samFile
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	present := cfg.SAM.KEK
	if present == "" {
		present = labelKEK
	}
	all, err := activation.KEKs(p.ctx, cfg.SAM.DB)
	if err != nil {
		return usage("%w", err)
	}
	known := append([]string{present}, cfg.SAM.PreviousKEKs...)
	lost := 0
	for _, label := range known {
		if !slices.ContainsFunc(all, func(k activation.KEK) bool { return k.Label == label }) {
			all = append(all, activation.KEK{Label: label})
		}
	}
	for _, k := range all {
		role := "previous"
		switch {
		case k.Label == present:
			role = "in use"
		case !slices.Contains(known, k.Label):
			role, lost = "NOT CONFIGURED", lost+k.Keys
		}
		last := ""
		if !k.Last.IsZero() {
			last = ", the last one ends " + k.Last.Format("2006-01-02")
		}
		if k.Keys == 0 && role == "previous" {
			last = ": take it out of previous_keks, then destroy it in the token"
		}
		fmt.Fprintf(p.stdout, "%s (%s): %d keys%s\n", k.Label, role, k.Keys, last)
	}
	if lost > 0 {
		return no("%d keys are under key-encryption keys that are not in %s", lost, c.Config)
	}
	return nil
}
