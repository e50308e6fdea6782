package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"

	"tekend/audit"
	"tekend/certs/authority"
	"tekend/hsm"
	"tekend/itsme"
	"tekend/wire"
)

// The three roles: each reads its file, opens its token, makes the role and serves it. A role that cannot do its work
// does not start; it needs neither the other roles nor itsme to start.

type caCmd struct {
	Config string `required:"" help:"The role's configuration file (YAML)." type:"existingfile"`
}

// caFile is the role ca's file. Example:
//
//	token: {module: /usr/lib/softhsm/libsofthsm2.so, softhsm_conf: /srv/tekend/ca/softhsm2.conf, token_label: tekend-ca, pin_file: /srv/tekend/ca/pin}
//	listen: {socket: /srv/tekend/ca/run/ca.sock, peers: [47100]}
//	status_listen: {socket: /srv/tekend/ca/status/status.sock, peers: [47101]}
//	operator_listen: {socket: /srv/tekend/ca/operators/operators.sock, peers: [0]}
//	audit: {origin: sign.acme.example/audit/ca, key_file: /srv/tekend/ca/audit-log.pem, witnesses: […]}
//	ca: {db: /srv/tekend/ca/ca.db, …}
type caFile struct {
	Token        tokenSection    `yaml:"token"`
	Key          string          `yaml:"key"`             // label of the issuing CA's key pair; default issuing-ca
	OCSPKey      string          `yaml:"ocsp_key"`        // label of the OCSP responder's key pair; default ocsp
	Listen       socketSection   `yaml:"listen"`          // for the front
	Status       socketSection   `yaml:"status_listen"`   // for the sam
	Operator     socketSection   `yaml:"operator_listen"` // for `tekend-trusted revoke`; without it operators revoke at the sam alone
	Audit        audit.LogConfig `yaml:"audit"`
	gateSections `yaml:",inline"`
	CA           authority.Config `yaml:"ca"`

	productionSection `yaml:",inline"`
}

// Run serves issuing and status until the program is told to stop.
func (c caCmd) Run(p *program) error {
	var cfg caFile
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	if err := cfg.common(c.Config, user()).refuse(); err != nil {
		return err
	}
	cfg.CA.Production, cfg.CA.Itsme.Production = cfg.Production, cfg.Production || cfg.CA.Itsme.Production
	setDefault(&cfg.Key, labelIssuing)
	setDefault(&cfg.OCSPKey, labelOCSP)
	cfg.CA.Now, cfg.CA.Log, cfg.CA.Itsme.Now, cfg.CA.DiskFailed = p.now, p.log, p.now, p.diskFailed
	if err := cfg.CA.Itsme.Validate(); err != nil {
		return usage("%s: %w", c.Config, err)
	}
	root, err := readChain([]string{cfg.CA.RootFile})
	if err != nil {
		return usage("%s: ca.root_file: %w", c.Config, err)
	}
	if cfg.CA.Audit, err = auditLog(p, cfg.Audit, root[0]); err != nil {
		return usage("%s: %w", c.Config, err)
	}
	token, err := cfg.openToken(p, cfg.Token)
	if err != nil {
		return err
	}
	open := closing{token}
	dep, err := cfg.dependencies(p, token)
	if err != nil {
		return open.close(err)
	}
	role, err := authority.New(p.ctx, cfg.CA, dep)
	if err != nil {
		return open.close(err)
	}
	open = append(open, role, inBackground(p.ctx, role.RunAudit))
	front, err := cfg.Listen.open(withToken(token, role.Handler()))
	if err != nil {
		return open.close(err)
	}
	status, err := cfg.Status.open(role.StatusHandler())
	if err != nil {
		return open.close(err)
	}
	endpoints := []wire.Endpoint{front, status}
	if cfg.Operator.Socket != "" {
		operators, err := cfg.Operator.open(role.OperatorHandler())
		if err != nil {
			return open.close(err)
		}
		endpoints = append(endpoints, operators)
	}
	fresh, stop := context.WithCancel(p.ctx)
	done := make(chan error, 1)
	go func() {
		err := role.Run(fresh)
		if err != nil {
			p.log.Error("publishing", "error", err.Error())
		}
		done <- err
	}()
	err = serve(p, "ca", endpoints...)
	stop()
	<-done // it ends with the context and must not use the database afterwards
	return open.close(err)
}

// dependencies are the role's keys and what else it is given.
func (f caFile) dependencies(p *program, token *hsm.Token) (dep authority.Dependencies, err error) {
	if dep.Signer, err = token.Signer(p.ctx, f.Key); err != nil {
		return dep, err
	}
	if dep.OCSP, err = token.Signer(p.ctx, f.OCSPKey); errors.Is(err, hsm.ErrNoKey) {
		return dep, usage("the token has no OCSP key %q, as tokens from before OCSP; make it with `tekend-trusted keys add ocsp`, or let ocsp_key name another one", f.OCSPKey)
	}
	if err != nil {
		return dep, err
	}
	dep.Previous = map[string]crypto.Signer{}
	for _, c := range f.CA.Previous {
		if dep.Previous[c.Name], err = token.Signer(p.ctx, c.Key); err != nil {
			return dep, fmt.Errorf("ca.previous %s: %w", c.Name, err)
		}
	}
	if dep.Operators, err = operators(f.gateSections.Operators); err != nil {
		return dep, err
	}
	dep.Keys = itsme.NewProvider(f.CA.Itsme, nil)
	dep.Fence, err = f.setup(p, "ca", f.Audit, f.Token.remembers(token))
	return dep, err
}

// readChain reads files with one PEM certificate each.
func readChain(paths []string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		block, rest := pem.Decode(b)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds no PEM certificate", path)
		}
		if more, _ := pem.Decode(rest); more != nil {
			return nil, fmt.Errorf("%s holds more than one certificate", path)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// withToken lets health also tell of the token, which the roles ca and tsa know only as a signer: a canary key signs, at
// most once in five seconds. A token that is back is found by the question.
func withToken(token *hsm.Token, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/v1/health" && token.Ready(r.Context()) != nil {
			wire.Reply(w, http.StatusOK, map[string]any{"ready": false, "reasons": []string{"the token does not sign"}})
			return
		}
		h.ServeHTTP(w, r)
	})
}
