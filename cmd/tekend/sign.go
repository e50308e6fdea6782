package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	itsme "tekend/itsme/sandbox"
	orders "tekend/order"
)

type signCmd struct {
	serverFlags
	orderKeyFlags
	Files     []string `arg:"" optional:"" name:"file" help:"Files, signed together with one confirmation: PDFs, or anything with --format cades." type:"existingfile"`
	Out       string   `short:"o" required:"" help:"Where the result goes: a file, or a folder when there are several." type:"path"`
	Person    string   `help:"Let this magic person of the sandbox answer (approve, refuse, …). Without it the link is printed and the command waits."`
	Level     string   `default:"B-T" enum:"B-B,B-T,B-LT,B-LTA" help:"Signature level: B-B, B-T (with a time-stamp), B-LT (can be validated without a network), B-LTA (time-stamped as a whole)."`
	Format    string   `default:"pades" enum:"pades,cades" help:"pades: in the PDF. cades: a signature of its own, over any file."`
	Attached  bool     `help:"With --format cades: the file goes into the signature."`
	Local     bool     `help:"The files stay here: only their digests are sent, and no name but that of --label."`
	Label     []string `help:"With --local: what the page and the app call each file, in their order. Default: names that say nothing." placeholder:"NAME"`
	Job       string   `help:"With --local: keep in this file what is needed to go on after an interruption; with the same files the command goes on." type:"path" placeholder:"FILE"`
	Trust     string   `help:"With --local: PEM file with the roots that the result is checked against. Default: the sandbox's, when it signs." type:"path" placeholder:"root.pem"`
	Continue  []string `help:"Instead of files: the next signature on document N of a finished request." placeholder:"REQUEST/N"`
	Exclusive bool     `help:"The files are originals and not forms: while this request is open no other one can sign them."`
	Visible   string   `help:"Let the signature show: page (-1 is the last), then x and y of the lower left corner, width and height of its box in 1/72 inch. 'field': in the empty signature field that the document has." placeholder:"PAGE,X,Y,W,H"`
	Text      string   `name:"visible-text" help:"With --visible: the text, with {name} and {date} for who signs and when." placeholder:"TEXT"`
	Lang      string   `default:"en" enum:"en,nl" help:"Language of the pages and of the text in the app."`
	Keep      string   `name:"keep-signer" help:"With --person: leave in this file what shows that one is the signer, for 'tekend uses'." type:"path" placeholder:"FILE"`
	Signer    string   `help:"Your own reference of the person; who has signed before under it need not enrol again." placeholder:"REF"`
}

// order is the JSON part of POST /v1/signature-requests.
type order struct {
	Level     string      `json:"level"`
	Format    string      `json:"format,omitempty"`
	Packaging string      `json:"packaging,omitempty"`
	Exclusive bool        `json:"exclusive,omitempty"`
	Visible   []visible   `json:"visible,omitempty"`
	Continues []continued `json:"continues,omitempty"`
	Language  string      `json:"language"`
	Signer    *person     `json:"signer,omitempty"`
	// RedirectURL is where the person goes afterwards.
	RedirectURL string `json:"redirect_url,omitempty"`
	// SignedOrder is the order signed by the provider: see package tekend/order.
	SignedOrder string `json:"signed_order,omitempty"`
}

type person struct {
	Reference string `json:"reference"`
}

// continued is a document of a finished request.
type continued struct {
	Request  string `json:"request"`
	Document int    `json:"document"`
}

// Run signs and leaves the documents at --out.
func (c *signCmd) Run(p *program) error {
	if err := c.fits(); err != nil {
		return err
	}
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
	api := newAPIClient(base, key)
	if c.Local {
		return c.local(p, api, targets, sandbox)
	}
	o, err := c.order(p)
	if err != nil {
		return err
	}
	say := func(text string) { fmt.Fprintln(p.stderr, oneLine(text)) }
	r, err := api.create(p.ctx, o, upload{c.Files, c.Format}, say)
	if err != nil {
		return err
	}
	if err := c.ask(p, api, r.ID, r.SigningURL); err != nil {
		return err
	}
	if r, err = waitFinished(p.ctx, api, r.ID, say); err != nil {
		return err
	}
	if len(c.Continue) > 0 {
		targets = c.named(r)
	}
	for i, target := range targets {
		if err := api.download(p.ctx, r.ID, i+1, target); err != nil {
			return err
		}
		say("level " + r.Documents[i].Level)
		fmt.Fprintf(p.stdout, "signed: %s\n", target)
	}
	return nil
}

// fits refuses flags that do not go together.
func (c *signCmd) fits() error {
	switch {
	case (len(c.Files) == 0) == (len(c.Continue) == 0):
		return usage("give files to sign, or --continue, and not both")
	case len(c.Continue) > 0 && (c.Local || c.Format != "pades"):
		return usage("--continue is for PDFs that the service has; it goes neither with --local nor with --format cades")
	case len(c.Continue) > 0 && c.OrderKey != "":
		return usage("with --continue there is no file whose digests could be signed: fetch the document and sign the order over it")
	case c.Text != "" && c.Visible == "":
		return usage("--visible-text goes with --visible")
	case c.Visible != "" && (c.Local || c.Format != "pades" || c.OrderKey != ""):
		return usage("--visible is for PDFs that the service makes the next revision of; it goes neither with --local nor with --format cades nor with --order-key")
	case c.Attached && c.Format != "cades":
		return usage("--attached goes with --format cades")
	case c.Attached && c.Local:
		return usage("with --local the signature is a file of its own: leave --attached out")
	case !c.Local && (len(c.Label) > 0 || c.Job != "" || c.Trust != ""):
		return usage("--label, --job and --trust go with --local")
	case c.Keep != "" && c.Person == "":
		return usage("--keep-signer goes with --person: of who answers in a browser only the browser knows")
	case c.Local && c.Exclusive:
		return usage("the service cannot tell of a digest which document it is of, so that --exclusive does not go with --local")
	case len(c.Label) > 0 && len(c.Label) != len(c.Files):
		return usage("%d labels for %d files: give one --label per file, in the same order", len(c.Label), len(c.Files))
	}
	return nil
}

// order is what is asked of the service when the files go there, or are there.
func (c *signCmd) order(p *program) (order, error) {
	o := order{Level: c.Level, Language: c.Lang, Exclusive: c.Exclusive}
	if c.Format == "cades" {
		o.Format, o.Packaging = c.Format, "detached"
		if c.Attached {
			o.Packaging = "attached"
		}
	}
	for _, text := range c.Continue {
		id, n, found := strings.Cut(text, "/")
		number, err := strconv.Atoi(n)
		if !found || err != nil || number < 1 || !strings.HasPrefix(id, "sr_") {
			return o, usage("--continue %s: give it as REQUEST/N, for example sr_…/1", text)
		}
		o.Continues = append(o.Continues, continued{id, number})
	}
	if ref := c.reference(); ref != "" {
		o.Signer = &person{ref}
	}
	var err error
	if o.Visible, err = c.visible(); err != nil {
		return o, err
	}
	o.SignedOrder, err = c.orderKeyFlags.sign(p.now(), func() ([]orders.Document, error) { return orderedFiles(c.Files) })
	return o, err
}

func (c *signCmd) reference() string {
	if c.Signer == "" && c.Person != "" {
		return "sandbox-" + c.Person
	}
	return c.Signer
}

// ask has the person answer: a magic one at once, another one by the link.
func (c *signCmd) ask(p *program, api *apiClient, id, signingURL string) error {
	fmt.Fprintln(p.stderr, "request", oneLine(id))
	if err := c.answer(p, api, signingURL); err != nil {
		return err
	}
	return c.keep(api, signingURL)
}

func (c *signCmd) answer(p *program, api *apiClient, signingURL string) error {
	if c.Person == "" {
		fmt.Fprintf(p.stdout, "open: %s\n", oneLine(signingURL))
		return nil
	}
	return answerAs(p.ctx, api, signingURL, c.Person, func(text string) { fmt.Fprintln(p.stderr, oneLine(text)) })
}

// keep leaves what shows that one is the signer.
func (c *signCmd) keep(api *apiClient, signingURL string) error {
	if c.Keep == "" {
		return nil
	}
	return keepSigner(c.Keep, api, signingURL)
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

// targets gives a path for each file. That they can be written, and what they would replace, is looked at now: after
// signing it would be too late. With --continue the names come with the answer, see [signCmd.named].
func (c *signCmd) targets() ([]string, error) {
	folder := c.folder()
	if len(c.Files) <= 1 && len(c.Continue) <= 1 && !folder {
		if err := c.spares(c.Out); err != nil {
			return nil, err
		}
		return []string{c.Out}, canWrite(filepath.Dir(c.Out))
	}
	if !folder {
		return nil, usage("several files are signed: -o must be an existing folder")
	}
	var all []string
	seen := map[string]bool{}
	for _, f := range c.Files {
		name := filepath.Base(f) + c.ending()
		if seen[name] {
			return nil, usage("two files are called %s; give them different names", name)
		}
		seen[name] = true
		target := filepath.Join(c.Out, name)
		if err := c.spares(target); err != nil {
			return nil, err
		}
		all = append(all, target)
	}
	return all, canWrite(c.Out)
}

func (c *signCmd) folder() bool {
	info, err := os.Stat(c.Out)
	return err == nil && info.IsDir()
}

// named gives a path for each document of a request that was continued.
func (c *signCmd) named(r *signatureRequest) (all []string) {
	if !c.folder() {
		return []string{c.Out}
	}
	taken := map[string]bool{}
	for _, name := range r.names() {
		all = append(all, free(c.Out, name, taken))
	}
	return all
}

// spares refuses a target that is a file which the command reads or keeps, or none at all.
func (c *signCmd) spares(target string) error {
	for _, f := range c.Files {
		if samePlace(f, target) {
			return usage("the result would take the place of %s, which is to be signed; give another -o", f)
		}
		if c.Keep != "" && samePlace(f, c.Keep) {
			return usage("--keep-signer would take the place of %s, which is to be signed", f)
		}
	}
	for _, kept := range []string{c.Job, c.Keep} {
		if kept != "" && samePlace(kept, target) {
			return usage("the result would take the place of %s, which another flag names; give another -o", kept)
		}
	}
	return replaceable(target)
}

// ending is what is added to a file's name for the name of its signature.
func (c *signCmd) ending() string {
	switch {
	case c.Format != "cades":
		return ""
	case c.Attached:
		return ".p7m"
	}
	return ".p7s"
}

// answerAs walks the signer's pages as a browser would and lets the magic
// person answer at the simulated itsme, each question once, until there is an end or the caller has to send digests.
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
			if pg.Notice != nil && pg.Notice.Code == "digests_awaited" {
				return nil // from the caller
			}
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

func waitFinished(ctx context.Context, api *apiClient, id string, say func(string)) (*signatureRequest, error) {
	last, notice := "", ""
	for {
		var r signatureRequest
		if err := api.getJSON(ctx, api.base+"/v1/signature-requests/"+id+"?wait=20s", &r); err != nil {
			return nil, err
		}
		pause := time.Second // of a service that answers a question with wait at once
		if r.State != last {
			say("state: " + r.State)
			last, pause = r.State, 0
		}
		if r.Notice != nil && r.Notice.Code != notice {
			say("waiting: " + r.Notice.String())
			notice = r.Notice.Code
		}
		switch r.State {
		case "finished":
			return &r, nil
		case "declined", "expired", "failed":
			return nil, ended(r.State, r.Problem)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errStopped
		}
	}
}

// ended says why a request has no signature.
func ended(state string, why *problem) error {
	switch {
	case state == "declined":
		return no("the person refused: nothing was signed")
	case state == "expired":
		return no("the request expired: nothing was signed")
	case why != nil:
		return no("the request failed: %s", why)
	}
	return no("the request failed")
}
