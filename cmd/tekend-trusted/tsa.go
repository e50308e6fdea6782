package main

import (
	"context"
	"crypto/x509"
	"time"

	"tekend/audit"
	"tekend/clock/ntp"
	"tekend/hsm"
	tsauthority "tekend/tsa/authority"
	"tekend/wire"
)

type tsaCmd struct {
	Config string `required:"" help:"The role's configuration file (YAML)." type:"existingfile"`
}

// tsaFile is the role tsa's file. Example:
//
//	token: {module: /usr/lib/softhsm/libsofthsm2.so, softhsm_conf: /srv/tekend/tsa/softhsm2.conf, token_label: tekend-tsa, pin_file: /srv/tekend/tsa/pin}
//	chain_files: [/srv/tekend/tsa/tsu.pem, /srv/tekend/tsa/root.pem]
//	next: {key: tsu-2, chain_files: [/srv/tekend/tsa/tsu-2.pem, /srv/tekend/tsa/root.pem], from: 2027-11-01T00:00:00Z}
//	listen: {socket: /srv/tekend/tsa/run/tsa.sock, peers: [47100]}
//	audit: {origin: sign.acme.example/audit/tsa, key_file: /srv/tekend/tsa/audit-log.pem, witnesses: […]}
//	tsa: {db: /srv/tekend/tsa/tsa.db, clock: {sources: […]}}
type tsaFile struct {
	Token        tokenSection    `yaml:"token"`
	Key          string          `yaml:"key"`             // label of the unit's key pair; default tsu
	Chain        []string        `yaml:"chain_files"`     // PEM: the unit's certificate, its issuers, the trust anchor last
	Next         *nextUnit       `yaml:"next"`            // the unit that takes over; default none
	Listen       socketSection   `yaml:"listen"`          // for the front
	Operator     socketSection   `yaml:"operator_listen"` // for operators who end a doubt about the clock; only with clock.operator_resume
	Audit        audit.LogConfig `yaml:"audit"`
	gateSections `yaml:",inline"`
	TSA          tsauthority.Config `yaml:"tsa"`

	productionSection `yaml:",inline"`
}

// nextUnit takes over from the one before at a time, without a restart. Afterwards it may move up: then its key and chain stand where the
// first one's stood.
type nextUnit struct {
	Key   string    `yaml:"key"`         // label of its key pair in the same token, for example tsu-2. Required
	Chain []string  `yaml:"chain_files"` // as above. Required
	From  time.Time `yaml:"from"`        // RFC 3339. Required
}

// Run serves time-stamps until the program is told to stop.
func (c tsaCmd) Run(p *program) error {
	var cfg tsaFile
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	if clock := cfg.TSA.Clock; (clock != nil && clock.OperatorResume) != (cfg.Operator.Socket != "") {
		return usage("%s: clock.operator_resume and operator_listen go together", c.Config)
	}
	if err := cfg.common(c.Config, user()).refuse(); err != nil {
		return err
	}
	setDefault(&cfg.Key, labelTSU)
	chain, next, err := cfg.chains()
	if err != nil {
		return usage("%s: %w", c.Config, err)
	}
	if cfg.TSA.Audit, err = auditLog(p, cfg.Audit, chain[len(chain)-1]); err != nil {
		return usage("%s: %w", c.Config, err)
	}
	dep := tsauthority.Dependencies{}
	if dep.Operators, err = operators(cfg.Operators); err != nil {
		return usage("%s: %w", c.Config, err)
	}
	if cfg.TSA.Clock != nil {
		if dep.Sources, err = ntp.Open(cfg.TSA.Clock.Sources, p.now); err != nil {
			return usage("%s: %w", c.Config, err)
		}
	}
	token, err := cfg.openToken(p, cfg.Token)
	if err != nil {
		return err
	}
	open := closing{token}
	if dep.Unit, dep.Next, err = cfg.units(p.ctx, token, chain, next); err != nil {
		return open.close(err)
	}
	cfg.TSA.Now, cfg.TSA.Log, cfg.TSA.DiskFailed = p.now, p.log, p.diskFailed
	if dep.Fence, err = cfg.setup(p, "tsa", cfg.Audit, cfg.Token.remembers(token)); err != nil {
		return open.close(err)
	}
	role, err := tsauthority.New(p.ctx, cfg.TSA, dep)
	if err != nil {
		return open.close(err)
	}
	open = append(open, role, inBackground(p.ctx, role.RunAudit), inBackground(p.ctx, role.RunClock))
	listeners, err := cfg.listen(token, role)
	if err != nil {
		return open.close(err)
	}
	return open.close(serve(p, "tsa", listeners...))
}

// listen opens the front's socket, and the operators' if there is one.
func (f tsaFile) listen(token *hsm.Token, role *tsauthority.Role) ([]wire.Endpoint, error) {
	front, err := f.Listen.open(withToken(token, role.Handler()))
	if err != nil || f.Operator.Socket == "" {
		return []wire.Endpoint{front}, err
	}
	operators, err := f.Operator.open(role.OperatorHandler())
	return []wire.Endpoint{front, operators}, err
}

// chains reads the certificates of the unit and of the next one, nil when there is none.
func (f tsaFile) chains() (chain, next []*x509.Certificate, err error) {
	read := func(name string, files []string) (c []*x509.Certificate) {
		if err != nil {
			return nil
		}
		if c, err = readChain(files); err != nil {
			err = usage("%s: %w", name, err)
		} else if len(c) == 0 {
			err = usage("%s is missing", name)
		}
		return c
	}
	chain = read("chain_files", f.Chain)
	if f.Next != nil {
		next = read("next.chain_files", f.Next.Chain)
	}
	return chain, next, err
}

// units find their keys in the token.
func (f tsaFile) units(ctx context.Context, token *hsm.Token, chain, next []*x509.Certificate) (u tsauthority.Unit, n *tsauthority.Unit, err error) {
	if u.Signer, err = token.Signer(ctx, f.Key); err != nil {
		return u, nil, err
	}
	u.Chain, u.Verifies = chain, true
	if f.Next == nil {
		return u, nil, nil
	}
	n = &tsauthority.Unit{Verifies: true, Chain: next, From: f.Next.From}
	n.Signer, err = token.Signer(ctx, f.Next.Key)
	return u, n, err
}
