package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tekend/ca"
	"tekend/foureyes"
	"tekend/sam"
	"tekend/tsa"
	"tekend/wire"
)

// Acts of operators about one certificate or its key. One of them prints the act, two of them approve it, each with his own
// key and for himself, and whoever has both approvals hands them to the role on its operators' socket.

type actCmd struct {
	Show    actShowCmd    `cmd:"" help:"Print a new act: what two operators shall approve."`
	Approve actApproveCmd `cmd:"" help:"Approve an act. Each operator does this for himself."`
	Do      actDoCmd      `cmd:"" help:"Have the role do an act that two operators have approved."`
}

type actShowCmd struct {
	Act     string `required:"" enum:"revoke,suspend,resume,destroy,retire" help:"revoke (for ever), suspend, resume, destroy (the key of a revoked credential); at the ca retire (last CRL of an earlier issuing CA)."`
	Subject string `required:"" help:"A credential's id, a certificate's serial number in lower-case hex, or the SHA-256 in hex of the certificate of an issuing CA (retire) or of a time-stamping unit (resume, of its clock)."`
	Reason  string `required:"" help:"revoke: unspecified, keyCompromise, superseded, cessationOfOperation, privilegeWithdrawn; suspend: investigation; resume: investigationOver, at the tsa clockChecked; destroy: unspecified; retire: cessationOfOperation."`
}

// Run prints the act's text. Its id is new each time.
func (c actShowCmd) Run(p *program) error {
	a, err := foureyes.NewAct(c.Act, c.Subject, c.Reason)
	if err != nil {
		return usage("%w", err)
	}
	_, err = fmt.Fprint(p.stdout, a.String())
	return err
}

type actApproveCmd struct{ lockApproveCmd }

// Run prints the approval, of a text that is an act.
func (c actApproveCmd) Run(p *program) error {
	a, err := readAct(c.Text)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "approving: %s %s (%s)\n", a.Act, a.Subject, a.Reason)
	return c.lockApproveCmd.Run(p)
}

type actDoCmd struct {
	Config   string   `required:"" help:"The configuration of the sam, the ca or the tsa (YAML). The role must run." type:"existingfile"`
	Approval []string `required:"" help:"File with an operator's approval; twice, of two operators." type:"existingfile"`
	Text     string   `arg:"" help:"File with the act's text." type:"existingfile"`
}

// actTime bounds the call: revoking asks the token and writes.
const actTime = 30 * time.Second

// operatorFile is the part of a role's file that says where operators call it.
type operatorFile struct {
	lockedFile `yaml:",inline"`
	Operator   socketSection `yaml:"operator_listen"`
}

// Run hands the act over and prints what came of it.
func (c actDoCmd) Run(p *program) error {
	var f operatorFile
	if err := readRole(c.Config, &f); err != nil {
		return err
	}
	if f.Operator.Socket == "" {
		return usage("%s: operator_listen is missing: the role takes no acts", c.Config)
	}
	a, err := readAct(c.Text)
	if err != nil {
		return err
	}
	approvals, err := readApprovals(c.Approval)
	if err != nil {
		return err
	}
	did, err := f.do(p, a, approvals)
	if _, refused := errors.AsType[*wire.Error](err); refused {
		return no("not done: %w", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, did)
	return err
}

// readAct reads the file of an act's text.
func readAct(path string) (foureyes.Act, error) {
	text, err := readShort(path)
	if err != nil {
		return foureyes.Act{}, usage("%w", err)
	}
	a, err := foureyes.ParseAct(string(text))
	if err != nil {
		return a, usage("%s: %w", path, err)
	}
	return a, nil
}

// do asks the role whose file this is.
func (f operatorFile) do(p *program, a foureyes.Act, approvals []string) (did string, err error) {
	if f.role() == "ca" && a.Act == foureyes.ActRetire {
		got, err := ca.NewOperatorClient(f.Operator.Socket, actTime).Retire(p.ctx, ca.RetireRequest{Text: a.String(), Approvals: approvals})
		return fmt.Sprintf("the last CRL of %s is number %d, SHA-256 %s", got.Issuer, got.Number, got.SHA256), err
	}
	if f.role() == "ca" {
		if a.Act != foureyes.ActRevoke {
			return "", usage("the ca knows two acts: revoke and retire")
		}
		got, err := ca.NewOperatorClient(f.Operator.Socket, actTime).Revoke(p.ctx, ca.RevokeRequest{
			V: ca.RevocationVersion, Serial: a.Subject, Reason: a.Code(), By: ca.ByOperators, Text: a.String(), Approvals: approvals,
		})
		return fmt.Sprintf("%s is revoked since %s", got.Serial, got.At.UTC().Format(time.RFC3339)), err
	}
	if f.role() == "tsa" {
		body, err := json.Marshal(tsa.ActRequest{Text: a.String(), Approvals: approvals})
		if err != nil {
			return "", err
		}
		var got tsa.ActDone
		err = wire.NewClient(f.Operator.Socket, actTime).Do(p.ctx, http.MethodPut, "/v1/acts/"+wire.BodyHash(body), body, &got)
		return fmt.Sprintf("the clock is believed again since %s", got.At.UTC().Format(time.RFC3339)), err
	}
	got, err := sam.NewClient(f.Operator.Socket, actTime).Act(p.ctx, sam.ActRequest{Text: a.String(), Approvals: approvals})
	return fmt.Sprintf("%s is %s", got.Credential, got.State), err
}
