// Package fence notices that a role was put back in time: an old database, an
// old token directory, or both with the role's whole folder.
//
// A role keeps a mark outside its database and its token (the fence, a file of
// its own); the token keeps a number that grows with every start; a witness
// keeps the role's last audit checkpoint. At start all must agree that nothing
// went back. If something did, the role is locked: it runs and answers
// questions, but does nothing until two operators have looked at what was found
// and said that this state shall be the new beginning (package foureyes).
//
// What is put back together with fence, token and witness is not noticed here:
// the witness must be somebody else's.
package fence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tekend/strictjson"
)

// Mark is the content of the file.
type Mark struct {
	// Role that wrote it: sam, ca or tsa.
	Role string `json:"role"`
	// Generation of the token at the last start.
	Generation int64 `json:"generation"`
	// Epoch counts the locks that were opened; from 1 on it stands in the origin of the audit's checkpoints.
	Epoch int64 `json:"epoch"`
	// Size and Root are of the last known audit tree (RFC 6962).
	Size int64  `json:"size"`
	Root []byte `json:"root"`
	// Lock is there while the role is locked.
	Lock *Lock `json:"lock,omitempty"`
}

// Lock says why a role is locked. Its text is what operators approve.
type Lock struct {
	ID      string    `json:"id"` // random
	At      time.Time `json:"at"`
	Reasons []string  `json:"reasons"`
	// Local is what the role had when it was locked, and what opening the lock would make the new beginning.
	Local Local `json:"local"`
	// Witness is what the witnesses told: origin and size, or "none".
	Witness string `json:"witness"`
	// Opens is the epoch that begins when the lock is opened: one that no witness knows.
	Opens int64 `json:"opens"`
}

// Local is the state of the role itself.
type Local struct {
	Generation int64  `json:"generation"` // of the token
	Size       int64  `json:"size"`       // rows of the audit
	Root       []byte `json:"root"`       // of the tree over them
}

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// errAbsent means that there is no fence file.
var errAbsent = errors.New("there is no fence")

// read reads the file of a role.
func read(path, role string) (Mark, error) {
	var m Mark
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, errAbsent
	}
	if err != nil {
		return m, fmt.Errorf("fence: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || info.Size() > maxFile {
		return m, fmt.Errorf("fence: %s must be a file of at most %d bytes that only the role can open", path, maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return m, fmt.Errorf("fence: %w", err)
	}
	if err := strictjson.Decode(b, maxFile, &m); err != nil {
		return m, fmt.Errorf("fence: %s: %w", path, err)
	}
	if m.Role != role || m.Generation < 0 || m.Epoch < 0 || m.Size < 0 {
		return m, fmt.Errorf("fence: %s is not the fence of the role %s", path, role)
	}
	return m, nil
}

// write replaces the file: whole, and on the disk when it returns.
func write(path string, m Mark) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	return nil
}
