package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tekend/consent"
	"tekend/evidence"
	"tekend/itsme/token"
)

type evidenceCmd struct {
	Get    evidenceGetCmd    `cmd:"" help:"Fetch the evidence of a finished request."`
	Verify evidenceVerifyCmd `cmd:"" help:"Check an evidence bundle, and the signed PDF files it is about, without a network."`
}

type evidenceGetCmd struct {
	serverFlags
	ID  string `arg:"" help:"The signature request (sr_…)."`
	Out string `short:"o" required:"" help:"Where the bundle goes." type:"path" placeholder:"evidence.json"`
}

// evidencePatience is how long Get waits for the record of the signature to be
// sealed: a checkpoint is made every second, a slow witness takes a few.
const evidencePatience = 30 * time.Second

// Run fetches the bundle.
func (c *evidenceGetCmd) Run(p *program) error {
	base, key, _, err := c.resolve()
	if err != nil {
		return err
	}
	api := newAPIClient(base, key)
	until := p.now().Add(evidencePatience)
	for {
		soon, err := api.evidence(p.ctx, c.ID, c.Out)
		if err == nil {
			fmt.Fprintf(p.stdout, "evidence: %s\n", c.Out)
			return nil
		}
		if !soon || p.now().After(until) {
			return err
		}
		select {
		case <-p.ctx.Done():
			return errStopped
		case <-time.After(time.Second):
		}
	}
}

// evidence downloads a bundle to path; soon says that asking again may help.
func (c *apiClient) evidence(ctx context.Context, id, path string) (soon bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/signature-requests/"+url.PathEscape(id)+"/evidence", nil)
	if err != nil {
		return false, usage("address: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return false, notReached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return false, writeWhole(path, received{resp.Body})
	}
	err = readAnswer(resp, nil)
	return resp.StatusCode == http.StatusConflict && resp.Header.Get("Retry-After") != "", err
}

type evidenceVerifyCmd struct {
	Bundle    string   `arg:"" help:"The evidence bundle." type:"path"`
	Files     []string `arg:"" optional:"" name:"signed" help:"The signed PDF files." type:"path"`
	Sandbox   string   `help:"Folder of a sandbox, for its root." default:".sandbox" type:"path" placeholder:"DIR"`
	Trust     []string `sep:"none" help:"PEM file with roots to trust, for certificates and time-stamps; may be repeated. Default: the sandbox's." type:"path" placeholder:"root.pem"`
	ItsmeKeys string   `help:"itsme's key set (JWK set) from a source that you trust." type:"path" placeholder:"FILE"`
	LogKey    string   `help:"Verifier key of the record's log, from a source that you trust." placeholder:"KEY"`
	Witness   []string `name:"witness-key" help:"Verifier key of a witness that must have cosigned; may be repeated." placeholder:"KEY"`
	JSON      bool     `name:"json" help:"Print the report as JSON."`
}

// refusedBundle is the JSON report of what was refused.
type refusedBundle struct {
	Refused string `json:"refused"` // the step
	File    string `json:"file,omitempty"`
	Detail  string `json:"detail"`
}

// Run prints what the bundle proves; exit code 1 when it, or a file, is refused.
func (c *evidenceVerifyCmd) Run(p *program) error {
	t, err := c.trust(p)
	if err != nil {
		return err
	}
	bundle, err := readBounded(c.Bundle, consent.MaxBundle)
	if err != nil {
		return err
	}
	rep, err := evidence.Verify(p.ctx, bundle, t)
	if err != nil {
		return c.refused(p, c.Bundle, err)
	}
	for _, path := range c.Files {
		if err := compareFile(rep, path); err != nil {
			return c.refused(p, path, err)
		}
	}
	if c.JSON {
		return writeIndented(p.stdout, rep)
	}
	printEvidence(p.stdout, rep)
	return nil
}

func (c *evidenceVerifyCmd) trust(p *program) (evidence.Trust, error) {
	files := c.Trust
	if len(files) == 0 {
		s, err := findSandbox(c.Sandbox)
		if err != nil {
			return evidence.Trust{}, err
		}
		if s == nil {
			return evidence.Trust{}, usage("which roots are trusted? Give --trust root.pem")
		}
		files = []string{s.RootPEM, s.AnchorPEM}
	}
	roots, err := loadRoots(files...)
	if err != nil {
		return evidence.Trust{}, err
	}
	t := evidence.Trust{Roots: roots, At: p.now(), LogKey: strings.TrimSpace(c.LogKey), WitnessKeys: c.Witness}
	if c.ItsmeKeys != "" {
		t.ItsmeKeys, err = readBounded(c.ItsmeKeys, token.MaxKeySet)
	}
	return t, err
}

// refused tells which file was refused and why; other errors are of what the
// user gave.
func (c *evidenceVerifyCmd) refused(p *program, path string, err error) error {
	f, ok := errors.AsType[*evidence.Fault](err)
	if !ok {
		return err
	}
	if c.JSON {
		if err := writeIndented(p.stdout, refusedBundle{f.Step, path, f.Detail}); err != nil {
			return err
		}
	}
	if f.Step == evidence.StepFormat {
		return usage("%s is not an evidence bundle: %s", oneLine(path), oneLine(f.Detail))
	}
	return no("%s is REFUSED: %s", oneLine(path), oneLine(f.Error()))
}

func compareFile(rep *evidence.Report, path string) error {
	f, info, err := openFile(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = rep.Documents(path, f, info.Size())
	return err
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int) ([]byte, error) {
	f, info, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info.Size() > int64(limit) {
		return nil, usage("%s has %d bytes; at most %d can be read", path, info.Size(), limit)
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, usage("%w", err)
	}
	return b, nil
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func printEvidence(w io.Writer, rep *evidence.Report) {
	fmt.Fprintln(w, "PROVEN")
	for _, s := range rep.Proven {
		fmt.Fprintln(w, "-", oneLine(s))
	}
	for _, path := range slices.Sorted(maps.Keys(rep.Compared)) {
		fmt.Fprintf(w, "- %s is document %d of %d, exactly as it was signed\n", oneLine(path), rep.Compared[path]+1, rep.Positions)
	}
	fmt.Fprintln(w, "\nTHE TEXT")
	fmt.Fprintln(w, " ", oneLine(rep.Text))
	fmt.Fprintln(w, "\nRESTS ON TRUST")
	for _, s := range rep.Trusted {
		fmt.Fprintln(w, "-", oneLine(s))
	}
	if left := rep.Positions - len(rep.Compared); left > 0 {
		fmt.Fprintf(w, "- %d of %d documents were not compared: give the signed files too\n", left, rep.Positions)
	}
}
