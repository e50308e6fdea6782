package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tekend/strictjson"
)

type keysVerifyCmd struct {
	Report string `required:"" help:"The report; its signature lies beside it, with .sig at the end." type:"existingfile"`
	Root   string `required:"" help:"The root's certificate (PEM), from a source that you trust." type:"existingfile"`
	PKI    string `help:"Folder with what is published: then each certificate and CRL of the report must be there, unchanged." type:"existingdir"`
	Config string `help:"The ceremony's configuration: then the operators must be those." type:"existingfile"`
}

// maxReport bounds a report, in bytes: a plan, approvals, and a dozen keys.
const maxReport = 64 << 10

func strictReport(text []byte, r *ceremonyReport) error {
	if err := strictjson.Decode(text, maxReport, r); err != nil {
		return fmt.Errorf("the report: %w", err)
	}
	return nil
}

// Run says what the report proves. Exit code 1 when it proves nothing.
func (c keysVerifyCmd) Run(p *program) error {
	chain, err := readChain([]string{c.Root})
	if err != nil {
		return usage("%w", err)
	}
	r, err := readReport(c.Report, chain[0])
	if err != nil {
		return no("not proven: %w", err)
	}
	if err := c.published(r); err != nil {
		return no("not proven: %w", err)
	}
	if err := c.operators(r); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "proven: %s, held %s under the root %s\n", r.What, r.At.Format("2006-01-02 15:04:05 MST"), r.Root)
	fmt.Fprintf(&b, "by %s with %s; production %t\n", r.Program, r.Module, r.Production)
	for _, a := range r.Approvals {
		fmt.Fprintf(&b, "approved by operator %s\n", a.Operator)
	}
	for _, k := range r.Keys {
		fmt.Fprintf(&b, "key %s of the %s, %s, in a %s\n", k.Label, k.Role, k.Kind, k.Place)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Certificates)) {
		fmt.Fprintf(&b, "certificate %s %s\n", name, r.Certificates[name])
	}
	_, err = p.stdout.Write([]byte(b.String()))
	return err
}

// published compares what lies in the folder. CRLs are made anew, so a report speaks of the first one only.
func (c keysVerifyCmd) published(r *ceremonyReport) error {
	if c.PKI == "" {
		return nil
	}
	for name, sum := range r.Certificates {
		if filepath.Base(name) != name {
			return fmt.Errorf("%q is no name of a certificate", name)
		}
		b, err := os.ReadFile(filepath.Join(c.PKI, "ca", name+".crt"))
		if err != nil {
			return err
		}
		if digestOf(b) != sum {
			return fmt.Errorf("the certificate %s is not the one that the ceremony made", name)
		}
	}
	return nil
}

// operators compares the operators of the report with those of the configuration.
func (c keysVerifyCmd) operators(r *ceremonyReport) error {
	if c.Config == "" {
		return nil
	}
	cfg, err := readCeremony(c.Config)
	if err != nil {
		return err
	}
	known, err := operators(cfg.Operators)
	if err != nil {
		return err
	}
	for _, a := range r.Approvals {
		if _, ok := known[a.Operator]; !ok {
			return no("not proven: operator %s is none of %s", a.Operator, c.Config)
		}
	}
	return nil
}
