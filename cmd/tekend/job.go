package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"tekend/client"
)

// localJob is what an interrupted command goes on from: the name of its order, and then what was prepared for the person who
// answered it. It holds parts of the documents' structure: mode 0600.
type localJob struct {
	Key          string                `json:"idempotency_key"`
	Server       string                `json:"server"` // that knows the key
	Level        string                `json:"level"`
	Format       string                `json:"format"`
	Sizes        []int64               `json:"sizes"` // of the files, by which others are told from them
	Preparations []*client.Preparation `json:"preparations"`

	file jobFile
}

func (c *signCmd) newJob(server string, files []localFile) *localJob {
	j := &localJob{Key: client.NewKey(), Server: server, Level: c.Level, Format: c.Format, file: jobFile{path: c.Job}}
	for _, f := range files {
		j.Sizes = append(j.Sizes, f.size)
	}
	return j
}

// begin takes up an interrupted command, or names a new order and keeps the name: a second order would ask the person twice.
// The caller closes the job's file.
func (c *signCmd) begin(p *program, server string, files []localFile) (*localJob, error) {
	job := c.newJob(server, files)
	b, err := job.file.open()
	if err == nil && b == nil {
		err = job.file.keep(job)
	} else if err == nil {
		err = c.resume(p, b, job)
	}
	if err != nil {
		job.file.close()
		return nil, err
	}
	return job, nil
}

// resume puts into job what was kept of it, if it is about the same as this command.
func (c *signCmd) resume(p *program, b []byte, job *localJob) error {
	kept := localJob{file: job.file}
	if err := json.Unmarshal(b, &kept); err != nil || kept.Key == "" {
		return usage("%s is not a job of this command", c.Job)
	}
	if kept.Level != job.Level || kept.Format != job.Format || !slices.Equal(kept.Sizes, job.Sizes) {
		return usage("%s is a job of other files, or of another level or format; give another --job for these", c.Job)
	}
	if kept.Server != job.Server {
		return usage("%s is a job of another server, which may have asked the person already; give another --job for this one", c.Job)
	}
	if n := len(kept.Preparations); n != 0 && n != len(job.Sizes) {
		return usage("%s is not a job of this command", c.Job)
	}
	for i, one := range kept.Preparations {
		if one == nil || one.Level != job.Level || one.Format != job.Format || one.Size != job.Sizes[i] {
			return usage("%s is not a job of this command", c.Job)
		}
	}
	if err := job.file.private(); err != nil {
		return err
	}
	fmt.Fprintln(p.stderr, "going on with", c.Job)
	*job = kept
	return nil
}

// aboutJob adds to what is shown of an error what became of the job, which stays.
func (c *signCmd) aboutJob(err, shown error) error {
	e, ok := errors.AsType[*client.Error](err)
	exit, known := errors.AsType[*exitError](shown)
	if c.Job == "" || !ok || !known {
		return shown
	}
	why, _ := errors.AsType[*client.Problem](err)
	switch {
	case e.Code == client.CodeRefused && why != nil && why.Code == "idempotency_key_reused":
		return &exitError{exit.code, fmt.Errorf("%w; %s is a job with another --signer, --label or --lang: give the same, or another --job", shown, c.Job)}
	case e.Code == client.CodeDocumentChanged:
		return &exitError{exit.code, fmt.Errorf("%w; %s is of the file as it was: put that back, or remove the job to ask the person anew", shown, c.Job)}
	case e.Code == client.CodeEnded, e.Code == client.CodeCertificateNew, e.Code == client.CodeTooLarge, e.Code == client.CodeBadPreparation:
		return &exitError{exit.code, fmt.Errorf("%w; remove %s to begin anew", shown, c.Job)}
	}
	return shown
}

// jobFile is where a job is kept, nowhere if path is "". While a command is at work it has the lock of the file that is there: two would
// prepare the same documents with two times, and the later one would keep what the other one did not send.
type jobFile struct {
	path string
	lock *os.File
}

// close lets others go on with the job.
func (f *jobFile) close() {
	if f.lock != nil {
		_ = f.lock.Close() // was synced when it was written
	}
}

// open reads what is kept, nil if nothing is.
func (f *jobFile) open() ([]byte, error) {
	if f.path == "" {
		return nil, nil
	}
	file, _, err := openFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f.lock = file
	if err := f.mine(); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return nil, usage("%w", err)
	}
	return b, nil
}

// mine takes the lock of the file, which must still be the one at the path.
func (f *jobFile) mine() error {
	if syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		here, errHere := f.lock.Stat()
		there, errThere := os.Stat(f.path)
		if errHere == nil && errThere == nil && os.SameFile(here, there) {
			return nil
		}
	}
	return no("another command is at work with %s; wait until it has ended, or stop it", f.path)
}

// private refuses a job that others can read, or could have changed.
func (f *jobFile) private() error {
	info, err := f.lock.Stat()
	if err != nil {
		return usage("%w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return usage("%s is open to others (mode %04o); make it 0600", f.path, mode)
	}
	return nil
}

// keep puts a job in the place of what was kept before. The first one takes no place: another command may have begun meanwhile.
func (f *jobFile) keep(job *localJob) error {
	if f.path == "" {
		return nil
	}
	b, err := json.Marshal(job)
	if err != nil {
		return err
	}
	how := os.Rename
	if f.lock == nil {
		how = os.Link
	}
	tmp, err := besides(f.path, modeSecret)
	if err != nil {
		return usage("%w", err)
	}
	if err := errors.Join(syscall.Flock(int(tmp.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), put(tmp, b, f.path, how)); err != nil {
		return usage("%w", errors.Join(err, tmp.Close()))
	}
	f.close()
	f.lock = tmp
	return nil
}

// remove ends a job.
func (f *jobFile) remove() error {
	if f.path == "" {
		return nil
	}
	return os.Remove(f.path)
}
