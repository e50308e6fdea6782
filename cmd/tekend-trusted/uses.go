package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"

	"tekend/audit"
	"tekend/db"
	"tekend/sam"
	"tekend/sam/activation"
)

type usesCmd struct {
	Config     string `required:"" help:"The sam's configuration file, which names the database." type:"existingfile"`
	Credential string `required:"" help:"The credential (cred_…)."`
	LogKeyFile string `help:"File with the verifier key of the sam's record: then every proof is checked too." type:"existingfile"`
}

// usesPage is how many rows are read at a time.
const usesPage = 500

// Run lists the rows of the audit about a person's key, newest first, beside the running role. Exit code 1 when the list
// lacks a use that the audit has, or a proof does not hold.
func (c usesCmd) Run(p *program) error {
	var log note.Verifier
	if c.LogKeyFile != "" {
		b, err := os.ReadFile(c.LogKeyFile)
		if err != nil {
			return usage("%w", err)
		}
		if log, err = audit.LogVerifier(string(b)); err != nil {
			return usage("%s: %w", c.LogKeyFile, err)
		}
	}
	path, err := databaseOf(c.Config)
	if err != nil {
		return err
	}
	d, err := db.OpenReader(p.ctx, path)
	if err != nil {
		return usage("%w", err)
	}
	return errors.Join(c.list(p, d, log), d.Close())
}

func (c usesCmd) list(p *program, d *db.DB, log note.Verifier) error {
	bad := 0
	for before, more := int64(1)<<62, true; more; {
		page, err := activation.ListUses(p.ctx, d, c.Credential, before, usesPage)
		if err != nil {
			return usage("%w", err)
		}
		for _, u := range page {
			verdict := ""
			if log != nil {
				verdict = " proven"
				if err := provenUse(p.ctx, d, u, log); err != nil {
					verdict, bad = " NOT PROVEN: "+err.Error(), bad+1
				}
			}
			document := "all"
			if u.Position != nil {
				document = fmt.Sprint(*u.Position + 1)
			}
			fmt.Fprintf(p.stdout, "%s row %d %s document %s of %d nonce %s request %s%s\n",
				u.At.Format("2006-01-02 15:04:05Z"), u.Seq, u.Kind, document, u.Documents, u.Nonce, u.Txn, verdict)
			before = u.Seq
		}
		more = len(page) == usesPage
	}
	missing, err := activation.MissingUses(p.ctx, d, c.Credential)
	switch {
	case err != nil:
		return usage("%w", err)
	case len(missing) > 0:
		return no("the list lacks %d uses that the audit has, the first at row %d: the table was changed", len(missing), missing[0])
	case bad > 0:
		return no("%d rows are not proven", bad)
	}
	return nil
}

// provenUse checks that the record holds the row under a checkpoint of its key.
func provenUse(ctx context.Context, d *db.DB, u sam.Use, log note.Verifier) error {
	proof, err := audit.Prove(ctx, d, u.Seq)
	if err != nil {
		return err
	}
	e, err := proof.Verify(log, nil, 0)
	if err == nil && (e.Kind != u.Kind || !e.At.Equal(u.At)) {
		err = errors.New("the record says something else")
	}
	return err
}
