package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tekend/audit"
)

type usesCmd struct {
	Signer  string   `arg:"" help:"File that shows that one is the signer: from 'tekend sign --keep-signer', or made by hand (docs/operations.md)." type:"path"`
	Sandbox string   `help:"Folder of a sandbox, for the key of its record." default:".sandbox" type:"path" placeholder:"DIR"`
	LogKey  string   `help:"Verifier key of the sam's record, from a source that you trust. Default: the sandbox's." placeholder:"KEY"`
	Witness []string `name:"witness-key" help:"Verifier key of a witness that must have cosigned; may be repeated." placeholder:"KEY"`
}

// signerFile is what the signer's browser has and nobody else: see package api, GetUses.
type signerFile struct {
	Link   string `json:"link"`   // of the signer's page
	Cookie string `json:"cookie"` // value of signerCookie
}

// signerCookie is the name of that cookie.
const signerCookie = "tekend_signer"

// keepSigner writes the file after the way through itsme.
func keepSigner(path string, api *apiClient, link string) error {
	u, err := url.Parse(link)
	if err != nil {
		return unreachable("the service's signing link cannot be read")
	}
	for _, c := range api.http.Jar.Cookies(u) {
		if c.Name != signerCookie {
			continue
		}
		b, err := json.Marshal(signerFile{link, c.Value})
		if err != nil {
			return err
		}
		return writeBytes(path, b, modeSecret, os.Rename)
	}
	return no("the service gave the signer nothing to show: was the request confirmed?")
}

// use is one line of the list, as the API gives it.
type use struct {
	Seq       int64     `json:"seq"`
	At        time.Time `json:"at"`
	Kind      string    `json:"kind"`
	Nonce     string    `json:"nonce"`
	RequestID string    `json:"request_id"`
	Document  int       `json:"document"`
	Documents int       `json:"documents"`
	Labels    []string  `json:"labels"`
	CheckCode string    `json:"check_code"`
}

// verifiers are the keys that a proof is held to.
type verifiers struct {
	log       note.Verifier
	witnesses []note.Verifier // all of them
}

// Run lists all uses; exit code 1 when a proof does not show what its line says.
func (c *usesCmd) Run(p *program) error {
	keys, err := c.keys()
	if err != nil {
		return err
	}
	b, err := readBounded(c.Signer, 4<<10)
	if err != nil {
		return err
	}
	var who signerFile
	if err := json.Unmarshal(b, &who); err != nil || who.Link == "" || who.Cookie == "" {
		return usage("%s is not a file of a signer", c.Signer)
	}
	u, err := url.Parse(who.Link)
	if err != nil {
		return usage("%s: the link cannot be read", c.Signer)
	}
	api := newAPIClient(u.Scheme+"://"+u.Host, "")
	api.http.Jar.SetCookies(u, []*http.Cookie{{Name: signerCookie, Value: who.Cookie, Path: u.Path}})
	bad, all, err := api.listUses(p, who.Link, keys)
	if err != nil {
		return err
	}
	if bad > 0 {
		return no("%d of %d lines are not proven", bad, all)
	}
	fmt.Fprintf(p.stderr, "%d lines, all proven to be in the record %s; names of documents and check codes are as the service tells them\n", all, keys.log.Name())
	return nil
}

// listUses prints every page and counts the lines that are not proven.
func (c *apiClient) listUses(p *program, link string, keys verifiers) (bad, all int, err error) {
	for address := link + "/uses"; address != ""; {
		var page struct {
			Uses   []use `json:"uses"`
			Before int64 `json:"before"`
		}
		if err := c.getJSON(p.ctx, address, &page); err != nil {
			return 0, 0, err
		}
		for _, one := range page.Uses {
			verdict := "proven"
			if err := c.proven(p, link, one, keys); err != nil {
				if own, ok := errors.AsType[*exitError](err); !ok || own.code != exitNo {
					return 0, 0, err
				}
				verdict, bad = "NOT PROVEN: "+oneLine(err.Error()), bad+1
			}
			all++
			fmt.Fprintln(p.stdout, one.line()+":", verdict)
		}
		address = ""
		if page.Before > 0 {
			address = fmt.Sprintf("%s/uses?before=%d", link, page.Before)
		}
	}
	return bad, all, nil
}

// line is a use in one line. What came over the network is quoted or made plain.
func (u use) line() string {
	s := fmt.Sprintf("%s row %d %s", u.At.UTC().Format("2006-01-02 15:04:05Z"), u.Seq, oneLine(u.Kind))
	switch {
	case u.Document > 0:
		s += fmt.Sprintf(", document %d of %d", u.Document, u.Documents)
	case u.Documents > 0:
		s += fmt.Sprintf(", documents: %d", u.Documents)
	}
	for _, l := range u.Labels {
		s += fmt.Sprintf(" %q", l)
	}
	if u.CheckCode != "" {
		s += ", check code " + oneLine(u.CheckCode)
	}
	if u.RequestID != "" {
		s += ", request " + oneLine(u.RequestID)
	}
	return s
}

func (c *usesCmd) keys() (v verifiers, err error) {
	key := c.LogKey
	if key == "" {
		b, err := readBounded(filepath.Join(c.Sandbox, "pki", "audit", "sam.vkey"), 1<<10)
		if err != nil {
			return v, usage("no key of the record: give --log-key: %w", err)
		}
		key = string(b)
	}
	if v.log, err = audit.LogVerifier(key); err != nil {
		return v, usage("--log-key: %w", err)
	}
	for _, k := range c.Witness {
		w, err := audit.WitnessVerifier(k)
		if err != nil {
			return v, usage("--witness-key: %w", err)
		}
		v.witnesses = append(v.witnesses, w)
	}
	return v, nil
}

// proven fetches the proof of a line and checks that the record says the same.
func (c *apiClient) proven(p *program, link string, u use, keys verifiers) error {
	b, err := c.useProof(p, fmt.Sprintf("%s/uses/%d/proof", link, u.Seq))
	if err != nil {
		return err
	}
	proof, err := audit.ParseProof(b)
	if err != nil {
		return no("%w", err)
	}
	e, err := proof.Verify(keys.log, keys.witnesses, len(keys.witnesses))
	switch {
	case err != nil:
		return no("%w", err)
	case proof.Seq != u.Seq || e.Kind != u.Kind || !e.At.Equal(u.At) || u.Nonce != "" && e.Subject != u.Nonce && e.Detail["of"] == "":
		return no("the record says something else at row %d", u.Seq)
	case u.Document > 0 && e.Detail["position"] != fmt.Sprint(u.Document-1):
		return no("the record names another document at row %d", u.Seq)
	}
	return nil
}

// proofPatience is how long a proof is waited for: a checkpoint is made every
// second, a slow witness takes a few.
const proofPatience = 30 * time.Second

// useProof downloads a proof, and waits while no checkpoint covers it.
func (c *apiClient) useProof(p *program, address string) ([]byte, error) {
	for until := p.now().Add(proofPatience); ; {
		b, soon, err := c.tryProof(p.ctx, address)
		if err == nil || !soon || p.now().After(until) {
			return b, err
		}
		select {
		case <-p.ctx.Done():
			return nil, errStopped
		case <-time.After(time.Second):
		}
	}
}

func (c *apiClient) tryProof(ctx context.Context, address string) (proof []byte, soon bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, false, usage("the signing link is no address")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, false, notReached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, resp.Header.Get("Retry-After") != "", readAnswer(resp, nil)
	}
	if proof, err = io.ReadAll(io.LimitReader(resp.Body, audit.MaxProof+1)); err != nil {
		return nil, false, unreachable("the proof broke off: %w", err)
	}
	return proof, false, nil
}
