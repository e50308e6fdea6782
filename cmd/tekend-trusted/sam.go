package main

import (
	"errors"

	"tekend/audit"
	"tekend/sam/activation"
	"tekend/wire"
)

type samCmd struct {
	Config string `required:"" help:"The role's configuration file (YAML)." type:"existingfile"`
}

// samFile is the role sam's file. Example:
//
//	token: {module: /usr/lib/softhsm/libsofthsm2.so, softhsm_conf: /srv/tekend/sam/softhsm2.conf, token_label: tekend-sam, pin_file: /srv/tekend/sam/pin}
//	listen: {socket: /srv/tekend/sam/run/sam.sock, peers: [47100]}
//	operator_listen: {socket: /srv/tekend/sam/operators/sam.sock, peers: [47110]}
//	jwks_listen: 127.0.0.1:8443
//	emergency_listen: 127.0.0.1:8444
//	audit: {origin: sign.acme.example/audit/sam, key_file: /srv/tekend/sam/audit-log.pem, witnesses: […]}
//	sam: {db: /srv/tekend/sam/sam.db, …}
type samFile struct {
	Token        tokenSection    `yaml:"token"`
	Listen       socketSection   `yaml:"listen"`           // for the front
	Operator     socketSection   `yaml:"operator_listen"`  // for acts of operators; none: there are none
	JWKS         string          `yaml:"jwks_listen"`      // our key sets for itsme: 127.0.0.1:port or fd:3
	Emergency    string          `yaml:"emergency_listen"` // where people revoke with a code: 127.0.0.1:port or fd:4; none: nowhere
	Audit        audit.LogConfig `yaml:"audit"`
	gateSections `yaml:",inline"`
	SAM          activation.Config `yaml:"sam"`

	productionSection `yaml:",inline"`
}

// Run serves signature activation until the program is told to stop.
func (c samCmd) Run(p *program) error {
	var cfg samFile
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	if err := cfg.common(c.Config, user()).refuse(); err != nil {
		return err
	}
	cfg.SAM.Production, cfg.SAM.Itsme.Production = cfg.Production, cfg.Production || cfg.SAM.Itsme.Production
	root, err := readChain([]string{cfg.SAM.RootFile})
	if err != nil {
		return usage("%s: sam.root_file: %w", c.Config, err)
	}
	if cfg.SAM.Audit, err = auditLog(p, cfg.Audit, root[0]); err != nil {
		return usage("%s: %w", c.Config, err)
	}
	// The socket first: a process that is started beside a running one must end here, before it settles as "stopped" what
	// the running one is doing.
	socket, err := cfg.Listen.listen()
	if err != nil {
		return err
	}
	token, err := cfg.openToken(p, cfg.Token)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	open := closing{token}
	cfg.SAM.Now, cfg.SAM.Log, cfg.SAM.DiskFailed = p.now, p.log, p.diskFailed
	if cfg.SAM.Operators, err = operators(cfg.Operators); err != nil {
		return open.close(errors.Join(err, socket.Close()))
	}
	gate, err := cfg.setup(p, "sam", cfg.Audit, cfg.Token.remembers(token))
	if err != nil {
		return open.close(errors.Join(err, socket.Close()))
	}
	role, err := activation.New(p.ctx, cfg.SAM, activation.Dependencies{Token: token, Fence: gate})
	if err != nil {
		return open.close(errors.Join(err, socket.Close()))
	}
	open = append(open, role, inBackground(p.ctx, role.RunAudit))
	ends, err := cfg.endpoints(role)
	if err != nil {
		return open.close(errors.Join(err, socket.Close()))
	}
	return open.close(serve(p, "sam", append(ends, cfg.Listen.endpoint(socket, role.Handler()))...))
}

// endpoints are all but the front's socket: what needs no front.
func (f samFile) endpoints(role *activation.Role) ([]wire.Endpoint, error) {
	jwks, err := openPublic(f.JWKS, role.JWKS())
	if err != nil {
		return nil, err
	}
	all := []wire.Endpoint{jwks}
	if f.Emergency != "" {
		page, err := openPublic(f.Emergency, role.EmergencyHandler())
		if err != nil {
			return nil, err
		}
		all = append(all, page)
	}
	if f.Operator.Socket != "" {
		operators, err := f.Operator.open(role.OperatorHandler())
		if err != nil {
			return nil, err
		}
		all = append(all, operators)
	}
	return all, nil
}
