package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	itsme "tekend/itsme/sandbox"
)

type revokeCmd struct {
	Person    string `help:"Let this person of the simulated itsme answer (sandbox only). Without it: print the link and wait." placeholder:"NAME"`
	Emergency string `help:"Revoke with the code that came with the certificate, past the front and itsme; - reads it from standard input." placeholder:"CODE"`
	At        string `help:"With --emergency: the address in the message that the code came with. Default: the sandbox's." placeholder:"URL"`
	Reason    string `help:"Why." enum:"unspecified,keyCompromise,superseded,cessationOfOperation" default:"unspecified"`
	Lang      string `help:"Language of the question." enum:"en,nl" default:"en"`
	Sandbox   string `help:"Folder of a sandbox, for its addresses." default:".sandbox" type:"path" placeholder:"DIR"`
	Server    string `help:"Base URL of the service. Default: the sandbox's." placeholder:"URL"`
}

// Run has all certificates of a person revoked. Exit code 1 when nothing was revoked.
func (c *revokeCmd) Run(p *program) error {
	box, err := findSandbox(c.Sandbox)
	if err != nil {
		return err
	}
	if c.Emergency != "" {
		if c.Person != "" || c.Server != "" {
			return usage("--emergency needs neither a person nor the service")
		}
		return c.emergency(p, box)
	}
	base := strings.TrimSuffix(c.Server, "/")
	if base == "" && box != nil {
		base = box.Front
	}
	switch {
	case base == "":
		return usage("no server: give --server URL, or start one here with: make demo")
	case c.Person != "" && (box == nil || base != box.Front):
		return usage("--person only works with a sandbox (%s/sandbox.json)", c.Sandbox)
	case c.Person != "" && !slices.Contains(itsme.People(), c.Person):
		return usage("nobody in the sandbox is called %q; there are: %s", c.Person, strings.Join(itsme.People(), " "))
	}
	return c.ask(p, newAPIClient(base, ""))
}

// revocationPage is the page of a revocation as data.
type revocationPage struct {
	Page    string    `json:"page"`
	Step    string    `json:"step"`
	Link    string    `json:"link"`
	Revoked int       `json:"revoked"`
	At      time.Time `json:"revoked_at"`
	Notice  *problem  `json:"notice"`
	Problem *problem  `json:"problem"`
}

// ask begins at the front and follows its page.
func (c *revokeCmd) ask(p *program, api *apiClient) error {
	var pg revocationPage
	if err := api.post(p.ctx, api.base+"/revoke", map[string]string{"language": c.Lang, "reason": c.Reason}, &pg); err != nil {
		return err
	}
	address := api.base + pg.Page
	if c.Person == "" {
		fmt.Fprintf(p.stdout, "open: %s\n", address)
	} else if err := throughItsme(p.ctx, api, pg.Link, c.Person); err != nil {
		return err
	}
	last, notice := "", ""
	for {
		if err := api.getJSON(p.ctx, address, &pg); err != nil {
			return err
		}
		if pg.Step != last {
			fmt.Fprintln(p.stderr, "page: "+pg.Step)
			last = pg.Step
		}
		if pg.Notice != nil && pg.Notice.Code != notice {
			fmt.Fprintln(p.stderr, "waiting: "+pg.Notice.String())
			notice = pg.Notice.Code
		}
		switch pg.Step {
		case "published":
			fmt.Fprintf(p.stdout, "revoked: %d, since %s\n", pg.Revoked, pg.At.UTC().Format(time.RFC3339))
			return nil
		case "refused", "expired", "failed":
			if pg.Problem != nil {
				return no("nothing was revoked: %s", pg.Problem)
			}
			return no("nothing was revoked: nobody confirmed in time")
		}
		select {
		case <-p.ctx.Done():
			return errStopped
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// emergency gives the code to the sam's own listener.
func (c *revokeCmd) emergency(p *program, box *sandboxFile) error {
	at := strings.TrimSuffix(c.At, "/")
	if at == "" && box != nil {
		at = box.Emergency
	}
	if at == "" {
		return usage("no address: give --at URL, which stands in the message that the code came with")
	}
	code := c.Emergency
	if code == "-" {
		line, err := bufio.NewReader(io.LimitReader(os.Stdin, 1<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return usage("read the code: %w", err)
		}
		code = strings.TrimSpace(line)
	}
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	form := url.Values{"code": {code}, "reason": {c.Reason}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at+"/revoke", strings.NewReader(form.Encode()))
	if err != nil {
		return usage("the address cannot be read: %w", stripURL(err))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := newAPIClient(at, "").http.Do(req)
	if err != nil {
		return unreachable("the emergency address cannot be reached: %w", stripURL(err))
	}
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
		fmt.Fprintln(p.stdout, "revoked")
		return nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		return unreachable("not now (%d); try again in a minute", resp.StatusCode)
	}
	return no("nothing was revoked: this is no code of a certificate that could be revoked (%d)", resp.StatusCode)
}
