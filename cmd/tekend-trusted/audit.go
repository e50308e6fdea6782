package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/sumdb/note"

	"tekend/audit"
	"tekend/db"
	"tekend/strictyaml"
	"tekend/tsa"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Recompute a role's audit record: chain, tree, checkpoints, cosignatures, anchors."`
	Prove  auditProveCmd  `cmd:"" help:"Print the proof that rows are in the record, for somebody who sees no other."`
	Check  auditCheckCmd  `cmd:"" name:"check-proof" help:"Check a proof, without network and database."`
}

// recordFlags say which record.
type recordFlags struct {
	DB     string `name:"db" xor:"where" required:"" help:"The role's database: a file, or a PostgreSQL URL."`
	Config string `xor:"where" required:"" help:"The role's configuration file, which names the database." type:"existingfile"`
}

// trustFlags say whose signatures count. With --config they default to what stands there.
type trustFlags struct {
	LogKey     string   `help:"Verifier key of the log (vkey), or a file with it." placeholder:"KEY"`
	WitnessKey []string `help:"Verifier key of a witness (vkey), or a file with it; may be given several times." placeholder:"KEY" sep:"none"`
	Need       int      `help:"How many of the witnesses must have cosigned. Default: all that are given." default:"-1"`
}

type auditVerifyCmd struct {
	recordFlags
	trustFlags
	Witness    []string `help:"What a witness holds: its URL (needs network and one --witness-key), or a file with the checkpoint it showed." placeholder:"URL|FILE"`
	AnchorRoot string   `help:"Root certificate of the anchoring authority (PEM). Default: from --config." type:"existingfile"`
}

type auditProveCmd struct {
	recordFlags
	Seq     int64  `xor:"what" required:"" help:"Number of the row."`
	Subject string `xor:"what" required:"" help:"All rows about this subject, one proof a line."`
}

type auditCheckCmd struct {
	trustFlags
	File string `arg:"" help:"A file with one proof a line, or - for standard input."`
}

// maxSubject bounds how many rows of one subject are proven at once.
const maxSubject = 10000

// roleAudit is what a role's file says of its record; other members are of no concern here.
type roleAudit struct {
	database string
	log      audit.LogConfig
}

// Run prints what was found, or says what does not fit.
func (c auditVerifyCmd) Run(p *program) error {
	r, err := c.read()
	if err != nil {
		return err
	}
	d, err := db.OpenReader(p.ctx, r.database) // beside a running role
	if err != nil {
		return usage("%w", err)
	}
	defer func() { _ = d.Close() }()
	against, err := c.against(p.ctx, r, d)
	if err != nil {
		return err
	}
	f, err := audit.Inspect(p.ctx, d, against)
	if err != nil {
		return usage("%s: %w", r.database, err)
	}
	if len(f.Problems) > 0 {
		return no("the record is not whole:\n  %s", strings.Join(f.Problems, "\n  "))
	}
	return report(p.stdout, f, against)
}

// report says also what was not looked at.
func report(w io.Writer, f *audit.Findings, a audit.Against) error {
	lines := []string{fmt.Sprintf("whole: %d rows, head %s", f.Rows, hex.EncodeToString(f.Head))}
	say := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	if a.Log != nil {
		say("checkpoints: %d, all of this log's key; the newest covers %d rows", f.Checkpoints, f.Size)
	} else {
		say("checkpoints: %d, signatures NOT checked: no --log-key", f.Checkpoints)
	}
	if len(a.Witnesses) > 0 {
		say("witnesses: %d cosignatures; %d rows under a checkpoint with %d of %d", f.Cosignatures, f.Witnessed, a.Need, len(a.Witnesses))
	} else {
		say("witnesses: cosignatures NOT checked: no --witness-key")
	}
	switch {
	case a.Anchor == nil:
		say("anchors: NOT checked: no --anchor-root")
	case f.Anchors == 0:
		say("anchors: there is none")
	default:
		say("anchors: %d; the newest, of %s, covers %d rows", f.Anchors, f.Anchored.UTC().Format(time.RFC3339), f.AnchoredSize)
	}
	if len(a.Held) > 0 {
		say("compared with what %d witnesses hold: nothing was cut off, put back or shown differently", len(a.Held))
	} else {
		say("NOT compared with what a witness holds (--witness): whether the end was cut off or an old copy put back is not known")
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// against collects what the record is held to.
func (c auditVerifyCmd) against(ctx context.Context, r roleAudit, d *db.DB) (a audit.Against, err error) {
	if a.Log, a.Witnesses, a.Need, err = c.keys(r.log); err != nil {
		return a, err
	}
	root := c.AnchorRoot
	if root == "" {
		root = r.log.Anchor.RootFile
	}
	if root != "" {
		roots, err := foreignRoots(root, nil)
		if err != nil {
			return a, usage("%w", err)
		}
		a.Anchor = func(token, digest []byte) (time.Time, error) {
			t, err := tsa.ParseToken(token)
			if err != nil {
				return time.Time{}, err
			}
			o := tsa.VerifyOptions{Imprint: digest, Hash: crypto.SHA256, Roots: roots, At: t.GenTime}
			return t.GenTime, t.Verify(o)
		}
	}
	if len(c.Witness) == 0 {
		return a, nil
	}
	if a.Log == nil || len(a.Witnesses) == 0 {
		return a, usage("--witness needs the keys of log and witness: --config, or --log-key and --witness-key")
	}
	origin, err := audit.NewestOrigin(ctx, d)
	if err != nil {
		return a, usage("%s: %w", r.database, err)
	}
	covered := origin != ""
	if !covered {
		origin = a.Log.Name()
	}
	for _, w := range c.Witness {
		held, err := c.held(ctx, w, origin, a, r.log)
		if err != nil {
			return a, err
		}
		if held != nil {
			a.Held = append(a.Held, *held)
		} else if covered {
			return a, no("the witness at %s holds no checkpoint of %s", w, origin)
		}
	}
	return a, nil
}

// held reads what a witness holds. The signatures say which witness it is.
func (c auditVerifyCmd) held(ctx context.Context, where, origin string, a audit.Against, log audit.LogConfig) (*audit.Held, error) {
	if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
		keys := c.WitnessKey
		if len(keys) == 0 {
			for _, w := range log.Witnesses {
				keys = append(keys, w.Key)
			}
		}
		return askWitness(ctx, where, keys, origin, a.Log)
	}
	b, err := os.ReadFile(where)
	if err != nil {
		return nil, usage("--witness: %w", err)
	}
	for _, w := range a.Witnesses {
		if held, err := audit.ReadHeld(string(b), origin, a.Log, w); err == nil {
			return held, nil
		}
	}
	return nil, no("--witness: %s is no checkpoint of %s with the cosignature of a known witness", where, origin)
}

// askWitness asks a witness at a URL; it may be any of those with the keys. nil: it holds nothing of this log.
func askWitness(ctx context.Context, where string, keys []string, origin string, log note.Verifier) (*audit.Held, error) {
	var failed error
	for _, k := range keys {
		key, err := keyText(k)
		if err != nil {
			return nil, err
		}
		held, err := audit.Witness{URL: where, Key: key}.Held(ctx, origin, log)
		if err == nil {
			return held, nil
		}
		failed = err
	}
	return nil, fmt.Errorf("--witness: %w", failed)
}

// keys reads the verifiers; what is not given comes from the role's file.
func (c trustFlags) keys(log audit.LogConfig) (l note.Verifier, ws []note.Verifier, need int, err error) {
	switch {
	case c.LogKey != "":
		text, err := keyText(c.LogKey)
		if err == nil {
			l, err = audit.LogVerifier(text)
		}
		if err != nil {
			return nil, nil, 0, usage("--log-key: %w", err)
		}
	case log.KeyFile != "":
		if l, err = log.Verifier(); err != nil {
			return nil, nil, 0, usage("%w", err)
		}
	}
	given, need := c.WitnessKey, c.Need
	if len(given) == 0 {
		for _, w := range log.Witnesses {
			given = append(given, w.Key)
		}
		if need < 0 && log.Need > 0 {
			need = log.Need
		}
	}
	for _, k := range given {
		text, err := keyText(k)
		if err != nil {
			return nil, nil, 0, err
		}
		w, err := audit.WitnessVerifier(text)
		if err != nil {
			return nil, nil, 0, usage("--witness-key: %w", err)
		}
		ws = append(ws, w)
	}
	if need < 0 {
		need = len(ws)
	}
	return l, ws, need, nil
}

// keyText is a verifier key, or what is in the file of that name.
func keyText(v string) (string, error) {
	if strings.Count(v, "+") >= 2 {
		return v, nil
	}
	b, err := os.ReadFile(v)
	if err != nil {
		return "", usage("a verifier key, or a file with one: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Run prints one proof a line.
func (c auditProveCmd) Run(p *program) error {
	r, err := c.read()
	if err != nil {
		return err
	}
	d, err := db.OpenReader(p.ctx, r.database)
	if err != nil {
		return usage("%w", err)
	}
	defer func() { _ = d.Close() }()
	seqs := []int64{c.Seq}
	if c.Subject != "" {
		if seqs, err = audit.BySubject(p.ctx, d, c.Subject, maxSubject); err != nil {
			return usage("%s: %w", r.database, err)
		}
		if len(seqs) == 0 {
			return no("no row is about %q", c.Subject)
		}
	}
	out := json.NewEncoder(p.stdout)
	for _, seq := range seqs {
		proof, err := audit.Prove(p.ctx, d, seq)
		if errors.Is(err, audit.ErrNoRow) || errors.Is(err, audit.ErrNotYet) {
			return no("%w", err)
		}
		if err != nil {
			return usage("%s: %w", r.database, err)
		}
		if err := out.Encode(proof); err != nil {
			return err
		}
	}
	return nil
}

// Run says what each proof shows.
func (c auditCheckCmd) Run(p *program) error {
	if c.LogKey == "" {
		return usage("--log-key is missing: a proof is worth what the log's key is")
	}
	log, witnesses, need, err := c.keys(audit.LogConfig{})
	if err != nil {
		return err
	}
	in := io.Reader(os.Stdin)
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return usage("%w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxSubject*audit.MaxProof))
	if err != nil {
		return usage("%w", err)
	}
	for n, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		proof, err := audit.ParseProof([]byte(line))
		if err != nil {
			return no("line %d: %w", n+1, err)
		}
		e, err := proof.Verify(log, witnesses, need)
		if err != nil {
			return no("line %d: %w", n+1, err)
		}
		detail, err := json.Marshal(e.Detail)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(p.stdout, "row %d of %s, under a checkpoint of %d rows with %d cosignatures asked for: %s %s %s %s\n",
			proof.Seq, proof.Origin, proof.Size, need, e.At.Format(time.RFC3339Nano), e.Kind, e.Subject, detail); err != nil {
			return err
		}
	}
	return nil
}

// read finds the database, and the section `audit:` in the file of any role.
func (c recordFlags) read() (roleAudit, error) {
	if c.DB != "" {
		return roleAudit{database: c.DB}, nil
	}
	f, err := os.Open(c.Config)
	if err != nil {
		return roleAudit{}, usage("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	type role struct {
		DB string `yaml:"db"`
	}
	var file struct {
		Audit audit.LogConfig `yaml:"audit"`
		SAM   role            `yaml:"sam"`
		CA    role            `yaml:"ca"`
		TSA   role            `yaml:"tsa"`
	}
	if err := yaml.NewDecoder(io.LimitReader(f, strictyaml.MaxFile)).Decode(&file); err != nil {
		return roleAudit{}, usage("%s: %w", c.Config, err)
	}
	r := roleAudit{file.SAM.DB + file.CA.DB + file.TSA.DB, file.Audit} // a file is of one role
	if r.database == "" {
		return r, usage("%s: it names no database; is it the file of a role?", c.Config)
	}
	return r, nil
}

// databaseOf finds the database in the file of any role.
func databaseOf(config string) (string, error) {
	r, err := recordFlags{Config: config}.read()
	return r.database, err
}
