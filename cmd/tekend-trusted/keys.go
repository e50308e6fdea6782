package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"tekend/foureyes"
	"tekend/hsm"
)

// keysCmd is the ceremony (EN 319 411-1 GEN-6.5.1-11 and -13; eidas KEY-12, SAM-04): what makes keys is planned as a text,
// approved by two operators, done exactly so, and reported under the root's signature.
type keysCmd struct {
	Plan         keysPlanCmd   `cmd:"" help:"Print the plan of a ceremony: the text that two operators approve."`
	Init         keysInitCmd   `cmd:"" help:"Make tokens, keys and certificates, once, as two operators have approved."`
	Add          keysAddCmd    `cmd:"" help:"Make one more key, and its certificate, for a roll-over."`
	RootCRL      rootCRLCmd    `cmd:"" name:"root-crl" help:"Make the root's CRL anew, with what is revoked besides."`
	VerifyReport keysVerifyCmd `cmd:"" name:"verify-report" help:"Check a ceremony's report: signature, approvals, keys, certificates."`
}

type keysPlanCmd struct {
	Config string   `required:"" help:"The ceremony's configuration file (YAML)." type:"existingfile"`
	Revoke []string `help:"With root-crl: a certificate of the root and why, e.g. tsu=superseded. Repeatable." placeholder:"NAME=REASON"`
	What   string   `arg:"" optional:"" default:"init" help:"init, root-crl, or what is to be added: kek-2, issuing-ca-2, tsu-2, ocsp, itsme-ident-sig-2, itsme-confirm-sig-2, …"`
}

// Run prints the plan. Its random id makes it another text each time.
func (c keysPlanCmd) Run(p *program) error {
	cfg, err := safeCeremony(c.Config)
	if err != nil {
		return err
	}
	w, err := cfg.work(c.What, c.Revoke)
	if err != nil {
		return usage("%w", err)
	}
	text, err := w.plan(newPlanID())
	if err != nil {
		return usage("%w", err)
	}
	_, err = fmt.Fprint(p.stdout, text)
	return err
}

// approved is what every command that makes keys wants: the plan and two operators' approvals of it.
type approved struct {
	Config   string   `required:"" help:"The ceremony's configuration file (YAML)." type:"existingfile"`
	Plan     string   `help:"File with the plan, as keys plan printed it." type:"existingfile"`
	Approval []string `help:"File with an operator's approval of the plan; twice, of two operators." type:"existingfile"`
}

// decide reads the plan and wants it to be what this program would do now, and approved by two different operators.
func (a approved) decide(p *program, cfg *ceremonyConfig, what string) (*ceremony, error) {
	if a.Plan == "" || len(a.Approval) == 0 {
		return nil, usage("two operators must approve: give --plan, printed by keys plan, and two --approval, made by lock approve")
	}
	b, err := readShort(a.Plan)
	if err != nil {
		return nil, usage("read the plan: %w", err)
	}
	plan, err := parsePlan(string(b))
	if err != nil {
		return nil, usage("%s: %w", a.Plan, err)
	}
	if plan.what != what {
		return nil, no("the plan is for %s, not for %s", plan.what, what)
	}
	w, err := cfg.work(plan.what, plan.revoke)
	if err != nil {
		return nil, usage("%w", err)
	}
	now, err := w.plan(plan.id)
	if err != nil {
		return nil, usage("%w", err)
	}
	if now != string(b) {
		return nil, no("the plan is not what would be done now: %s. Make a new plan and have that approved", firstDifference(string(b), now))
	}
	ops, err := operators(cfg.Operators)
	if err != nil {
		return nil, err
	}
	texts, err := readApprovals(a.Approval)
	if err != nil {
		return nil, err
	}
	at := p.now().UTC().Truncate(time.Second)
	good, err := ops.Decide(now, texts, at)
	if err != nil {
		return nil, no("not approved: %w", err)
	}
	return newCeremony(p, w, decided{at: at, id: plan.id, plan: now, approvals: good}), nil
}

// decided is a plan with its approvals, which were good at that time, to the second: the report says so, and whoever checks it
// later asks for that second.
type decided struct {
	at        time.Time
	id, plan  string
	approvals []foureyes.Approval
}

type keysInitCmd struct{ approved }

// Run holds the first ceremony. Done once already, it changes nothing; begun and not ended, it refuses.
func (c keysInitCmd) Run(p *program) error {
	if err := refuseWatchers(os.Environ()); err != nil {
		return err
	}
	cfg, err := safeCeremony(c.Config)
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.reportPath(whatInit)); err == nil {
		_, err := fmt.Fprintf(p.stdout, "the ceremony was done before (%s); nothing was changed\n", cfg.reportPath(whatInit))
		return err
	}
	if err := cfg.refuseLeftovers(); err != nil {
		return err
	}
	run, err := c.decide(p, cfg, whatInit)
	if err != nil {
		return err
	}
	if err := run.do(); err != nil {
		return fmt.Errorf("ceremony: %w; remove %s, %s, %s, %s and %s to begin again",
			err, cfg.SAM.tokens(), cfg.CA.tokens(), cfg.TSA.tokens(), cfg.Root.place(), cfg.PKIDir)
	}
	_, err = fmt.Fprintf(p.stdout, "made the tokens of sam, ca, tsa and the root; root certificate %s\n", run.report.Root)
	return err
}

type keysAddCmd struct {
	approved
	What string `arg:"" help:"What the plan is for: kek-2, issuing-ca-2, tsu-2, ocsp, itsme-confirm-sig-2, …"`
}

// Run makes one more key. The role whose token gets it must not run: SoftHSM keeps a token in files that two processes
// would write.
func (c keysAddCmd) Run(p *program) error {
	if c.What == whatInit || c.What == whatRootCRL {
		return usage("that is keys %s", c.What)
	}
	return c.run(p, c.What)
}

type rootCRLCmd struct{ approved }

// Run makes the root's next CRL (EN 319 411-1 CSS-6.3.9-12: at least once a year).
func (c rootCRLCmd) Run(p *program) error { return c.run(p, whatRootCRL) }

// run holds a later ceremony.
func (a approved) run(p *program, what string) error {
	if err := refuseWatchers(os.Environ()); err != nil {
		return err
	}
	cfg, err := safeCeremony(a.Config)
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.reportPath(whatInit)); err != nil {
		return no("there was no first ceremony: %w", err)
	}
	run, err := a.decide(p, cfg, what)
	if err != nil {
		return err
	}
	err = run.do()
	if errors.Is(err, hsm.ErrExists) {
		return no("%w; keys are not replaced. Plan the next number", err)
	}
	if err != nil {
		return fmt.Errorf("ceremony: %w; what was made until then stays and is not used: plan the next number", err)
	}
	_, err = fmt.Fprintf(p.stdout, "done: %s; report %s\n", what, cfg.reportPath(what+run.w.suffix()))
	return err
}

// The lives of what the ceremony makes. The time-stamping key is used for a year; its certificate outlives it, so that
// the last stamp can still be checked (TIS-8.1, eidas §2.7).
const (
	year        = 365 * 24 * time.Hour
	rootLife    = 10 * year
	issuingLife = 6 * year
	tsuLife     = 3 * year
	tsuKeyLife  = year
	rootCRLLife = year // EN 319 411-1 CSS-6.3.9-12

	issuingCRLLife = 24 * time.Hour // EN 319 411-1 CSS-6.3.9-05
)

var errNoRoot = errors.New("the root's key is not there")
