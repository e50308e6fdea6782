package main

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tekend/client"
	orders "tekend/order"
)

// localJob is what an interrupted command goes on from: the name of its order, and then what was prepared for the person who
// answered it. It holds parts of the documents' structure: mode 0600.
type localJob struct {
	Key          string                `json:"idempotency_key"`
	Level        string                `json:"level"`
	Format       string                `json:"format"`
	Sizes        []int64               `json:"sizes"` // of the files, by which others are told from them
	Preparations []*client.Preparation `json:"preparations"`
}

func (c *signCmd) newJob(files []localFile) *localJob {
	j := &localJob{Key: client.NewKey(), Level: c.Level, Format: c.Format}
	for _, f := range files {
		j.Sizes = append(j.Sizes, f.size)
	}
	return j
}

// localFile is a file that stays here.
type localFile struct {
	*os.File
	size   int64
	target string
}

// sendWithin is how long a command tries to order: who waits at a keyboard wants to know that a service is not there.
const sendWithin = 10 * time.Second

// local signs files of which the service gets only the digests.
func (c *signCmd) local(p *program, api *apiClient, targets []string) error {
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
	cl, err := client.New(client.Config{BaseURL: api.base, Key: api.key, Roots: roots, Now: p.now})
	if err != nil {
		return localError(err)
	}
	if err := c.round(p, api, cl, files); err != nil {
		return localError(err)
	}
	if c.Job != "" {
		return os.Remove(c.Job)
	}
	return nil
}

// round orders, prepares when the person is known, has him confirm, and finishes.
func (c *signCmd) round(p *program, api *apiClient, cl *client.Client, files []localFile) error {
	job, err := c.begin(p, files)
	if err != nil {
		return err
	}
	sending, cancel := context.WithTimeout(p.ctx, sendWithin)
	o := client.Order{Reference: c.reference(), Language: c.Lang, IdempotencyKey: job.Key}
	r, err := cl.Announce(sending, o, c.options()...)
	cancel()
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stderr, "request", r.ID)
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
		s, err := cl.Finish(p.ctx, f, f.size, job.Preparations[i], got)
		if err != nil {
			return err
		}
		done = append(done, s)
	}
	return leave(p, files, done)
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

// begin takes up an interrupted command, or names a new order and keeps the name: a second order would ask the person twice.
func (c *signCmd) begin(p *program, files []localFile) (*localJob, error) {
	if c.Job == "" {
		return c.newJob(files), nil
	}
	b, err := os.ReadFile(c.Job)
	if err == nil {
		return c.resume(p, b, files)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, usage("%w", err)
	}
	job := c.newJob(files)
	if b, err = json.Marshal(job); err != nil {
		return nil, err
	}
	if err := newFile(c.Job, 0o600, b); err != nil {
		return nil, usage("%w", err)
	}
	return job, nil
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
		if err := c.keepJob(job); err != nil {
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

// keepJob puts a job in the place of what was kept before.
func (c *signCmd) keepJob(job *localJob) error {
	if c.Job == "" {
		return nil
	}
	b, err := json.Marshal(job)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(c.Job), ".tekend-*") // mode 0600
	if err != nil {
		return usage("%w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(b)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return usage("%w", err)
	}
	if err := os.Rename(tmp.Name(), c.Job); err != nil {
		return usage("%w", err)
	}
	return nil
}

func (c *signCmd) resume(p *program, b []byte, files []localFile) (*localJob, error) {
	var job localJob
	if err := json.Unmarshal(b, &job); err != nil || job.Key == "" {
		return nil, usage("%s is not a job of this command", c.Job)
	}
	now := c.newJob(files)
	if job.Level != now.Level || job.Format != now.Format || !slices.Equal(job.Sizes, now.Sizes) {
		return nil, usage("%s is a job of other files, or of another level or format; give another --job for these", c.Job)
	}
	if n := len(job.Preparations); n != 0 && n != len(files) || slices.Contains(job.Preparations, nil) {
		return nil, usage("%s is not a job of this command", c.Job)
	}
	fmt.Fprintln(p.stderr, "going on with", c.Job)
	return &job, nil
}

// watcher says once what changes.
func watcher(w io.Writer) func(*client.Request) {
	state, notice := "", ""
	return func(r *client.Request) {
		if r.State != state {
			fmt.Fprintln(w, "state:", r.State)
			state = r.State
		}
		if r.Notice != nil && r.Notice.Code != notice {
			fmt.Fprintln(w, "waiting:", r.Notice)
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
		return asExit(p.Status, "%w", err)
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
