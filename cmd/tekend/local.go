package main

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tekend/client"
	orders "tekend/order"
	"tekend/tsa"
)

// localFile is a file that stays here.
type localFile struct {
	*os.File
	size   int64
	target string
}

// sendWithin is how long a command tries to order: who waits at a keyboard wants to know that a service is not there.
const sendWithin = 10 * time.Second

// local signs files of which the service gets only the digests.
func (c *signCmd) local(p *program, api *apiClient, targets []string, sandbox bool) error {
	if c.Trust == "" && !sandbox { // those of a sandbox that happens to be here would be found wrong after the person has confirmed
		return usage("under which roots are the signers of this server? Give --trust root.pem")
	}
	files, err := openAll(c.Files, targets)
	defer func() {
		for _, f := range files {
			_ = f.Close() // only read from
		}
	}()
	if err != nil {
		return err
	}
	roots, err := trustedRoots(c.Trust, c.Sandbox)
	if err != nil {
		return err
	}
	cl, err := client.New(client.Config{BaseURL: api.base, Key: api.key, Roots: roots, Now: p.now, PlainHTTP: c.PlainHTTP})
	if err != nil {
		return localError(err)
	}
	if err := c.round(p, api, cl, files); err != nil {
		return c.aboutJob(err, localError(err))
	}
	return nil
}

// round orders, prepares when the person is known, has him confirm, and finishes.
func (c *signCmd) round(p *program, api *apiClient, cl *client.Client, files []localFile) error {
	job, err := c.begin(p, api.base, files)
	if err != nil {
		return err
	}
	defer job.file.close()
	for i, one := range job.Preparations { // before the person is asked about what could not be finished
		if err := cl.Unchanged(p.ctx, files[i], files[i].size, one); err != nil {
			return fmt.Errorf("%s: %w", c.Files[i], err)
		}
	}
	sending, cancel := context.WithTimeout(p.ctx, sendWithin)
	o := client.Order{Reference: c.reference(), Language: c.Lang, IdempotencyKey: job.Key}
	r, err := cl.Announce(sending, o, c.options()...)
	cancel()
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stderr, "request", oneLine(r.ID))
	if err := c.answer(p, api, r.SigningURL); err != nil {
		return err
	}
	see := watcher(p.stderr)
	if r, err = cl.Identified(p.ctx, r.ID, see); err != nil {
		return err
	}
	if err := c.sendDigests(p, cl, r, job, files); err != nil {
		return err
	}
	if c.Person != "" { // who has the link sees his page go on by itself
		if err := c.answer(p, api, r.SigningURL); err != nil {
			return err
		}
	}
	if err := c.keep(api, r.SigningURL); err != nil {
		return err
	}
	if _, err := cl.Wait(p.ctx, r.ID, see); err != nil {
		return err
	}
	var done []*client.Signed
	for i, f := range files {
		got, err := cl.Product(p.ctx, r.ID, i+1)
		if err != nil {
			return err
		}
		s, err := patiently(p, stampPause, func() (*client.Signed, error) {
			return cl.Finish(p.ctx, f, f.size, job.Preparations[i], got)
		})
		if err != nil {
			return err
		}
		done = append(done, s)
	}
	if err := leave(p, files, done); err != nil {
		return err
	}
	return job.file.remove()
}

// stampPause is between two questions to a time-stamping authority that does not answer.
const stampPause = 5 * time.Second

// patiently repeats finishing while the time-stamping authority is away: the person has confirmed, and without a job what was
// prepared is here alone.
func patiently(p *program, pause time.Duration, finish func() (*client.Signed, error)) (*client.Signed, error) {
	for said := false; ; said = true {
		s, err := finish()
		if !errors.Is(err, tsa.ErrUnreachable) {
			return s, err
		}
		if !said {
			fmt.Fprintln(p.stderr, "waiting:", oneLine(err.Error()))
		}
		select {
		case <-time.After(pause):
		case <-p.ctx.Done():
			return nil, err
		}
	}
}

// leave writes what was signed to its places, when all of it is there.
func leave(p *program, files []localFile, done []*client.Signed) error {
	for i, f := range files {
		var result io.Reader = bytes.NewReader(done[i].Signature)
		if done[i].Signature == nil {
			result = done[i].Reader(f, f.size)
		}
		if err := writeWhole(f.target, result); err != nil {
			return err
		}
		fmt.Fprintln(p.stderr, "signed by", oneLine(done[i].Signer.Subject.CommonName)) // whom that should be only the caller knows
		fmt.Fprintln(p.stderr, "level", done[i].Level)
		fmt.Fprintf(p.stdout, "signed: %s\n", f.target)
	}
	return nil
}

func openAll(paths, targets []string) (all []localFile, err error) {
	for i, path := range paths {
		f, info, err := openFile(path)
		if err != nil {
			return all, err
		}
		all = append(all, localFile{f, info.Size(), targets[i]})
	}
	return all, nil
}

// options of each file.
func (c *signCmd) options() []client.Options {
	all := make([]client.Options, len(c.Files))
	for i := range all {
		all[i] = client.Options{Format: c.Format, Level: c.Level}
		if len(c.Label) > 0 {
			all[i].Label = c.Label[i]
		}
	}
	return all
}

// sendDigests fixes what will be signed, unless an interrupted command has, keeps it, and sends the digests.
func (c *signCmd) sendDigests(p *program, cl *client.Client, r *client.Request, job *localJob, files []localFile) error {
	if len(job.Preparations) == 0 {
		for i, o := range c.options() {
			one, err := cl.PrepareFor(p.ctx, r, files[i], files[i].size, o)
			if err != nil {
				return fmt.Errorf("%s: %w", c.Files[i], err)
			}
			job.Preparations = append(job.Preparations, one)
		}
		if err := job.file.keep(job); err != nil {
			return err
		}
	}
	signed, err := c.orderKeyFlags.sign(p.now(), func() ([]orders.Document, error) { return digestsOf(job.Preparations) })
	if err != nil {
		return err
	}
	sending, cancel := context.WithTimeout(p.ctx, sendWithin)
	defer cancel()
	_, err = cl.SendDigests(sending, r.ID, signed, job.Preparations...)
	return err
}

// watcher says once what changes.
func watcher(w io.Writer) func(*client.Request) {
	state, notice := "", ""
	return func(r *client.Request) {
		if r.State != state {
			fmt.Fprintln(w, "state:", oneLine(r.State))
			state = r.State
		}
		if r.Notice != nil && r.Notice.Code != notice {
			fmt.Fprintln(w, "waiting:", oneLine(r.Notice.Error()))
			notice = r.Notice.Code
		}
	}
}

// localError gives an error of package client its exit code.
func localError(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return err
	}
	if p, ok := errors.AsType[*client.Problem](err); ok && e.Code == client.CodeRefused {
		return asExit(p.Status, "%w", plainly{err})
	}
	switch e.Code {
	case client.CodeUnreachable, client.CodeTimeStamp:
		return unreachable("%w", err)
	case client.CodeEnded:
		why, _ := errors.AsType[*client.Problem](err)
		if why == nil {
			return ended(e.Detail, nil)
		}
		return ended(e.Detail, &problem{Title: why.Title, Detail: why.Detail, Code: why.Code, Hint: why.Hint})
	case client.CodeBadProduct, client.CodeNotPassed, client.CodeTooLarge, client.CodeCertificateNew:
		return no("%w", err)
	}
	return usage("%w", err)
}

// plainly is an error with words of the service: they stay in one line.
type plainly struct{ error }

func (e plainly) Error() string { return oneLine(e.error.Error()) }
func (e plainly) Unwrap() error { return e.error }

// digests of what was prepared, for a signed order.
func digestsOf(all []*client.Preparation) ([]orders.Document, error) {
	names := map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}
	var docs []orders.Document
	for _, p := range all {
		d, err := orders.NewDigest(names[p.Hash], p.Digest)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}
