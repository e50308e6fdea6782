package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"tekend/audit"
	"tekend/certs/authority"
	"tekend/fence"
	"tekend/foureyes"
	"tekend/hsm"
	"tekend/sam/activation"
	"tekend/strictyaml"
	tsauthority "tekend/tsa/authority"
)

// gateSections are the parts of every role's file that say how it notices that it was put back in time, and who may decide
// then. Example:
//
//	fence: {file: /srv/tekend/sam-fence/fence.json}
//	operators:
//	  - {name: "An Peeters", key: 5v…}
//	  - {name: "Bo Claes", key: 9Q…}
type gateSections struct {
	Fence     fence.Config        `yaml:"fence"`
	Operators []foureyes.Operator `yaml:"operators"`
}

// setup completes the section `fence:`. A role without a fence or without a witness does not start, unless its token is for
// tests alone.
func (g gateSections) setup(p *program, role string, log audit.LogConfig, token remembering) (*fence.Setup, error) {
	if g.Fence.File == "" {
		return nil, usage("fence.file is missing: the role would not notice that it was put back in time")
	}
	if len(log.Witnesses) == 0 && !token.testOnly {
		return nil, usage("audit.witnesses: there is none; a role whose every file is put back would not notice it")
	}
	if _, err := operators(g.Operators); err != nil {
		return nil, err
	}
	witnesses, err := fence.WitnessesOf(log)
	if err != nil {
		return nil, usage("%w", err)
	}
	return &fence.Setup{
		Config: g.Fence, Role: role, Token: token, Origin: log.Origin, Witnesses: witnesses, Now: p.now, Log: p.log,
	}, nil
}

// remembering is the token's number that grows.
type remembering struct {
	*hsm.Token
	testOnly bool
}

func (s tokenSection) remembers(token *hsm.Token) remembering { return remembering{token, s.TestOnly} }

// RaiseGeneration excuses modules for tests that keep no data.
func (r remembering) RaiseGeneration(ctx context.Context, n int64) error {
	err := r.Token.RaiseGeneration(ctx, n)
	if r.testOnly && errors.Is(err, hsm.ErrNoData) {
		return fence.ErrNoMemory
	}
	return err
}

type lockCmd struct {
	Show    lockShowCmd    `cmd:"" help:"Print the lock of a role: what was found, and what opening it would accept."`
	Approve lockApproveCmd `cmd:"" help:"Approve what lock show printed. Each operator does this for himself."`
}

type lockShowCmd struct {
	Config string `required:"" help:"The role's configuration file (YAML)." type:"existingfile"`
	Front  string `help:"The lock of this front, which the sam keeps."`
}

// Run prints the text that operators approve.
func (c lockShowCmd) Run(p *program) error {
	cfg, err := readLocked(c.Config)
	if err != nil {
		return err
	}
	if err := become(cfg.Fence.File); err != nil {
		return err
	}
	var text string
	if c.Front != "" {
		text, err = activation.ShowFront(p.ctx, cfg.SAM.DB, c.Front)
	} else {
		text, err = fence.Show(fence.Setup{Config: cfg.Fence, Role: cfg.role(), Origin: cfg.Audit.Origin})
	}
	if errors.Is(err, fence.ErrNotLocked) || errors.Is(err, activation.ErrFrontNotLocked) {
		return no("%w", err)
	}
	if err != nil {
		return usage("%w", err)
	}
	_, err = fmt.Fprint(p.stdout, text)
	return err
}

type lockApproveCmd struct {
	Key   string        `required:"" help:"The operator's private key." type:"existingfile"`
	Valid time.Duration `help:"How long the approval may be used, at most 15m." default:"15m"`
	Text  string        `arg:"" help:"File with the lock's text." type:"existingfile"`
}

// Run prints the approval.
func (c lockApproveCmd) Run(p *program) error {
	key, err := readOperatorKey(c.Key)
	if err != nil {
		return usage("%w", err)
	}
	text, err := readShort(c.Text)
	if err != nil {
		return usage("%w", err)
	}
	a, err := foureyes.Approve(key, string(text), p.now(), c.Valid)
	if err != nil {
		return usage("%w", err)
	}
	_, err = fmt.Fprint(p.stdout, a.String())
	return err
}

type unlockCmd struct {
	decision
	Config string `required:"" help:"The role's configuration file (YAML). The role must not run." type:"existingfile"`
	Front  string `help:"Open the lock of this front instead, which the sam keeps."`
}

// Run opens a lock that two operators have approved.
func (c unlockCmd) Run(p *program) error {
	cfg, err := readLocked(c.Config)
	if err != nil {
		return err
	}
	ask := fence.Decision{Do: c.Do}
	if ask.Operators, err = operators(cfg.Operators); err != nil {
		return err
	}
	if ask.Approvals, err = readApprovals(c.Approval); err != nil {
		return err
	}
	if err := become(cfg.Fence.File); err != nil {
		return err
	}
	// Whoever has the socket is the role.
	socket, err := cfg.Listen.listen()
	if err != nil {
		return fmt.Errorf("the role must be stopped: %w", err)
	}
	text, err := cfg.open(p, c.Front, ask)
	if err := errors.Join(err, socket.Close()); err != nil {
		return no("not opened: %w", err)
	}
	if !c.Do {
		text += "this lock can be opened with these approvals; nothing was changed (say --do)\n"
	} else {
		text += "opened\n"
	}
	_, err = fmt.Fprint(p.stdout, text)
	return err
}

// lockedFile is what all roles' files have in common.
type lockedFile struct {
	gateSections `yaml:",inline"`
	Token        tokenSection    `yaml:"token"`
	Listen       socketSection   `yaml:"listen"`
	Audit        audit.LogConfig `yaml:"audit"`
	SAM          roleDB          `yaml:"sam"`
	CA           roleDB          `yaml:"ca"`
	TSA          roleDB          `yaml:"tsa"`
}

type roleDB struct {
	DB string `yaml:"db"`
}

func (f lockedFile) role() string {
	switch {
	case f.SAM.DB != "":
		return "sam"
	case f.CA.DB != "":
		return "ca"
	}
	return "tsa"
}

// readLocked reads any role's file, of which only a part is looked at: the role itself has refused what is wrong in it.
func readLocked(path string) (lockedFile, error) {
	var f lockedFile
	if err := readRole(path, &f); err != nil {
		return f, err
	}
	if f.SAM.DB+f.CA.DB+f.TSA.DB == "" || f.Fence.File == "" {
		return f, usage("%s: it names no database or no fence; is it the file of a role?", path)
	}
	return f, nil
}

// readRole reads the parts of a role's file that f has.
func readRole(path string, f any) error {
	b, err := readShort(path)
	if err != nil {
		return usage("read the configuration: %w", err)
	}
	if err := yaml.Unmarshal(b, f); err != nil || len(b) > strictyaml.MaxFile {
		return usage("%s: %w", path, err)
	}
	return nil
}

func (f lockedFile) open(p *program, front string, ask fence.Decision) (string, error) {
	if front != "" {
		if f.SAM.DB == "" {
			return "", errors.New("the sam keeps the locks of fronts: give its configuration")
		}
		return activation.UnlockFront(p.ctx, f.SAM.DB, front, activation.FrontDecision{
			Operators: ask.Operators, Approvals: ask.Approvals, Do: ask.Do, Now: p.now,
		})
	}
	token, err := f.Token.open(p)
	if err != nil {
		return "", err
	}
	set, err := f.setup(p, f.role(), f.Audit, f.Token.remembers(token))
	if err != nil {
		return "", errors.Join(err, token.Close())
	}
	open := map[string]func(context.Context, string, fence.Setup, fence.Decision) (string, error){
		"sam": activation.Unlock, "ca": authority.Unlock, "tsa": tsauthority.Unlock,
	}[f.role()]
	text, err := open(p.ctx, f.SAM.DB+f.CA.DB+f.TSA.DB, *set, ask)
	return text, errors.Join(err, token.Close())
}

// become makes a command of root the role's user, so that what it writes stays the role's and it can do no more than the role.
func become(fenceFile string) error {
	if os.Getuid() != 0 {
		return nil
	}
	info, err := os.Lstat(fenceFile)
	if err != nil {
		return usage("fence.file: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(int(st.Gid)), syscall.Setuid(int(st.Uid)))
}
