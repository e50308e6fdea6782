package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"tekend/audit"
	"tekend/db"
	"tekend/strictyaml"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Recompute the chain of a role's audit record."`
}

type auditVerifyCmd struct {
	DB     string `name:"db" xor:"where" required:"" help:"The role's database: a file, or a PostgreSQL URL."`
	Config string `xor:"where" required:"" help:"The role's configuration file, which names the database." type:"existingfile"`
}

// Run prints the number of rows and the head of the chain, or the first row that does not fit.
func (c auditVerifyCmd) Run(p *program) error {
	path := c.DB
	if path == "" {
		var err error
		if path, err = databaseOf(c.Config); err != nil {
			return err
		}
	}
	d, err := db.OpenReader(p.ctx, path) // beside a running role
	if err != nil {
		return usage("%w", err)
	}
	report, err := audit.Verify(p.ctx, d)
	if err := errors.Join(err, d.Close()); err != nil {
		return usage("%s: %w", path, err)
	}
	if report.FirstBad != 0 {
		return no("the record is not whole: row %d of %d: %s", report.FirstBad, report.Rows, report.Reason)
	}
	_, err = fmt.Fprintf(p.stdout, "whole: %d rows, head %s\n", report.Rows, hex.EncodeToString(report.Head))
	return err
}

// databaseOf finds the database in the file of any role.
func databaseOf(config string) (string, error) {
	f, err := os.Open(config)
	if err != nil {
		return "", usage("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	type role struct {
		DB string `yaml:"db"`
	}
	var file struct {
		SAM role `yaml:"sam"`
		CA  role `yaml:"ca"`
		TSA role `yaml:"tsa"`
	}
	if err := yaml.NewDecoder(io.LimitReader(f, strictyaml.MaxFile)).Decode(&file); err != nil {
		return "", usage("%s: %w", config, err)
	}
	path := file.SAM.DB + file.CA.DB + file.TSA.DB // a file is of one role
	if path == "" {
		return "", usage("%s: it names no database; is it the file of a role?", config)
	}
	return path, nil
}
