package main

import (
	"fmt"
	"strings"

	"tekend/certs/authority"
	"tekend/db"
)

type recordsCmd struct {
	Verify recordsVerifyCmd `cmd:"" help:"Verify kept identity records again, from what was kept alone."`
}

type recordsVerifyCmd struct {
	Config string `required:"" help:"The role ca's configuration file, which names the database and the CA certificates." type:"existingfile"`
	Serial string `help:"Only the order of this certificate: its serial number in lower-case hexadecimal." placeholder:"HEX"`
}

// maxShown bounds the problems that are printed; the rest is counted.
const maxShown = 100

// Run needs neither network nor token, and may run beside the role. It prints no person's data.
func (c recordsVerifyCmd) Run(p *program) error {
	var cfg caFile
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	if cfg.CA.DB == "" {
		return usage("%s: ca.db is missing", c.Config)
	}
	d, err := db.OpenReader(p.ctx, cfg.CA.DB)
	if err != nil {
		return usage("%w", err)
	}
	defer func() { _ = d.Close() }()
	rep, err := authority.VerifyRecords(p.ctx, d, cfg.CA, c.Serial)
	if err != nil {
		return usage("%s: %w", cfg.CA.DB, err)
	}
	var lines []string
	for n, problem := range rep.Problems {
		if n == maxShown {
			lines = append(lines, fmt.Sprintf("and %d more", len(rep.Problems)-n))
			break
		}
		lines = append(lines, strings.TrimPrefix(problem.Serial+": "+problem.What, ": "))
	}
	switch {
	case len(lines) > 0:
		return no("%d orders were verified again, and these do not hold:\n  %s", rep.Orders, strings.Join(lines, "\n  "))
	case rep.Orders+rep.Before == 0 && c.Serial != "":
		return no("there is no order of a certificate with this serial number")
	}
	_, err = fmt.Fprintf(p.stdout, "%d orders were verified again from what was kept: tokens, keys, rules, record, certificate, audit\n", rep.Orders)
	if err == nil && rep.Before > 0 {
		_, err = fmt.Fprintf(p.stdout, "NOT looked at: %d orders from before there were identity records\n", rep.Before)
	}
	return err
}
