package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	itsme "tekend/itsme/sandbox"
)

type signCmd struct {
	serverFlags
	orderKeyFlags
	Files  []string `arg:"" name:"file" help:"PDF files, signed together with one confirmation." type:"existingfile"`
	Out    string   `short:"o" required:"" help:"Where the signed PDF goes: a file, or a folder when there are several." type:"path"`
	Person string   `help:"Let this magic person of the sandbox answer (approve, refuse, …). Without it the link is printed and the command waits."`
	Level  string   `default:"B-T" enum:"B-T" help:"Signature level."`
	Lang   string   `default:"en" enum:"en,nl" help:"Language of the pages and of the text in the app."`
	Keep   string   `name:"keep-signer" help:"With --person: leave in this file what shows that one is the signer, for 'tekend uses'." type:"path" placeholder:"FILE"`
	Signer string   `help:"Your own reference of the person; who has signed before under it need not enrol again." placeholder:"REF"`
}

// order is the JSON part of POST /v1/signature-requests.
type order struct {
	Level    string  `json:"level"`
	Language string  `json:"language"`
	Signer   *person `json:"signer,omitempty"`
	// RedirectURL is where the person goes afterwards.
	RedirectURL string `json:"redirect_url,omitempty"`
	// SignedOrder is the order signed by the provider: see package tekend/order.
	SignedOrder string `json:"signed_order,omitempty"`
}

type person struct {
	Reference string `json:"reference"`
}

// Run signs and leaves the documents at --out.
func (c *signCmd) Run(p *program) error {
	base, key, sandbox, err := c.resolve()
	if err != nil {
		return err
	}
	if err := c.checkPerson(sandbox); err != nil {
		return err
	}
	targets, err := c.targets()
	if err != nil {
		return err
	}
	o := order{Level: c.Level, Language: c.Lang}
	if c.Signer != "" {
		o.Signer = &person{c.Signer}
	} else if c.Person != "" {
		o.Signer = &person{"sandbox-" + c.Person}
	}
	if o.SignedOrder, err = c.orderKeyFlags.sign(p.now(), c.Files); err != nil {
		return err
	}
	api := newAPIClient(base, key)
	say := func(text string) { fmt.Fprintln(p.stderr, text) }
	r, err := api.create(p.ctx, o, c.Files, say)
	if err != nil {
		return err
	}
	say("request " + r.ID)
	if c.Person == "" {
		fmt.Fprintf(p.stdout, "open: %s\n", r.SigningURL)
	} else if err := answerAs(p.ctx, api, r.SigningURL, c.Person, say); err != nil {
		return err
	}
	if c.Keep != "" {
		if err := keepSigner(c.Keep, api, r.SigningURL); err != nil {
			return err
		}
	}
	if err := waitFinished(p.ctx, api, r.ID, say); err != nil {
		return err
	}
	for i, target := range targets {
		if err := api.download(p.ctx, r.ID, i+1, target); err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "signed: %s\n", target)
	}
	return nil
}

// checkPerson refuses a magic person who cannot answer, before anything is sent.
func (c *signCmd) checkPerson(sandbox bool) error {
	switch {
	case c.Person == "":
		return nil
	case !sandbox:
		return usage("--person only works with a sandbox (%s/sandbox.json)", c.Sandbox)
	case !slices.Contains(itsme.People(), c.Person):
		return usage("nobody in the sandbox is called %q; there are: %s", c.Person, strings.Join(itsme.People(), " "))
	}
	return nil
}

// targets gives a path for each file. That they can be written is looked at
// now: after signing it would be too late.
func (c *signCmd) targets() ([]string, error) {
	info, err := os.Stat(c.Out)
	folder := err == nil && info.IsDir()
	if len(c.Files) == 1 && !folder {
		return []string{c.Out}, canWrite(filepath.Dir(c.Out))
	}
	if !folder {
		return nil, usage("several files are signed: -o must be an existing folder")
	}
	var all []string
	seen := map[string]bool{}
	for _, f := range c.Files {
		name := filepath.Base(f)
		if seen[name] {
			return nil, usage("two files are called %s; give them different names", name)
		}
		seen[name] = true
		all = append(all, filepath.Join(c.Out, name))
	}
	return all, canWrite(c.Out)
}

// canWrite tells whether a file can be made in a folder, by making one.
func canWrite(folder string) error {
	f, err := os.CreateTemp(folder, ".tekend-*")
	if err != nil {
		return usage("the signed document cannot be written: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// answerAs walks the signer's pages as a browser would and lets the magic
// person answer at the simulated itsme, each question once.
func answerAs(ctx context.Context, api *apiClient, signingURL, person string, say func(string)) error {
	last, answered := "", false
	for range 1500 { // of 20 ms and more
		var pg page
		if err := api.getJSON(ctx, signingURL, &pg); err != nil {
			return err
		}
		if answered && pg.Notice != nil && pg.Step != "wait" {
			return askedAgain(*pg.Notice)
		}
		if pg.Step != last {
			say("page: " + pg.Step)
			last = pg.Step
		}
		switch pg.Step {
		case "accept_terms":
			if err := api.postJSON(ctx, signingURL+"/terms", map[string]string{"terms_version": pg.TermsVersion, "language": "en"}); err != nil {
				return err
			}
		case "identify", "consent", "confirm":
			if pg.CheckCode != "" {
				say("check code: " + pg.CheckCode)
			}
			if err := throughItsme(ctx, api, pg.Link, person); err != nil {
				return err
			}
			answered = true
		case "done", "refused", "expired", "failed":
			return nil // the request's state says the rest
		default:
			select {
			case <-ctx.Done():
				return errStopped
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return unreachable("the service is still at work; the request goes on without this command")
}

// askedAgain ends the walk when the page says that the answer was not good and
// that the person may answer once more: a magic person would do the same again.
func askedAgain(why problem) error {
	if why.Code == "ongoing_call" {
		return no("nothing was signed: %s", why)
	}
	return unreachable("nothing was signed yet: %s", why)
}

// throughItsme follows the link to itsme and back to the front's callback.
func throughItsme(ctx context.Context, api *apiClient, link, person string) error {
	u, err := url.Parse(link)
	if err != nil {
		return unreachable("the page's link to itsme cannot be read")
	}
	q := u.Query()
	q.Set("sandbox_person", person)
	q.Set("sandbox_auto", "1")
	u.RawQuery = q.Encode()
	next := u.String()
	for range 5 {
		ctx, cancel := context.WithTimeout(ctx, 4*time.Minute) // a slow person has 3 minutes
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, next, nil)
		if err != nil {
			return unreachable("redirect: %w", stripURL(err))
		}
		req.Header.Set("Accept", "application/json")
		resp, err := api.http.Do(req)
		if err != nil {
			return unreachable("itsme cannot be reached: %w", stripURL(err))
		}
		location := resp.Header.Get("Location")
		if resp.StatusCode < 300 || resp.StatusCode >= 400 || location == "" {
			err := readAnswer(resp, nil)
			_ = resp.Body.Close()
			return err
		}
		_ = resp.Body.Close()
		to, err := req.URL.Parse(location)
		if err != nil {
			return unreachable("a redirect cannot be read")
		}
		if strings.HasPrefix(to.String(), api.base+"/sign/") || strings.HasPrefix(to.String(), api.base+"/revoke/") {
			return nil
		}
		next = to.String()
	}
	return unreachable("itsme redirects without end")
}

func waitFinished(ctx context.Context, api *apiClient, id string, say func(string)) error {
	last, notice := "", ""
	for {
		var r signatureRequest
		if err := api.getJSON(ctx, api.base+"/v1/signature-requests/"+id+"?wait=20s", &r); err != nil {
			return err
		}
		if r.State != last {
			say("state: " + r.State)
			last = r.State
		}
		if r.Notice != nil && r.Notice.Code != notice {
			say("waiting: " + r.Notice.String())
			notice = r.Notice.Code
		}
		switch r.State {
		case "finished":
			return nil
		case "declined":
			return no("the person refused: nothing was signed")
		case "expired":
			return no("the request expired: nothing was signed")
		case "failed":
			if r.Problem != nil {
				return no("the request failed: %s", r.Problem)
			}
			return no("the request failed")
		}
		if ctx.Err() != nil {
			return errStopped
		}
	}
}
