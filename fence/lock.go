package fence

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"tekend/audit"
	"tekend/db"
	"tekend/foureyes"
)

// Audit kinds, in the record of the role itself.
const (
	kindClosed = "lock.closed"
	kindOpened = "lock.opened"
)

var b64 = base64.RawURLEncoding

// Errors of Unlock.
var (
	ErrNotLocked = errors.New("the role is not locked")
	ErrChanged   = errors.New("the role is not as the lock says any more; start it once, so that it is looked at again")
)

// text is the lock as operators read and approve it. Whatever opening would accept stands in it.
func (m Mark) text(origin string) string {
	k := m.Lock
	var b strings.Builder
	line := func(name, format string, a ...any) { fmt.Fprintf(&b, name+": "+format+"\n", a...) }
	b.WriteString("tekend-lock/1\n")
	line("role", "%s", m.Role)
	line("id", "%s", k.ID)
	line("at", "%s", k.At.UTC().Format(time.RFC3339))
	for _, r := range k.Reasons {
		line("found", "%s", r)
	}
	line("fence", "token generation %d, %d rows, root %s", m.Generation, m.Size, b64.EncodeToString(m.Root))
	line("witness", "%s", strings.TrimSuffix(k.Witness, "; "))
	line("here", "token generation %d, %d rows, root %s", k.Local.Generation, k.Local.Size, b64.EncodeToString(k.Local.Root))
	line("opens as", "%s", Origin(origin, k.Opens))
	return b.String()
}

func details(k *Lock) map[string]string {
	return map[string]string{
		"found": strings.Join(k.Reasons, "; "), "witness": k.Witness, "token": strconv.FormatInt(k.Local.Generation, 10),
		"rows": strconv.FormatInt(k.Local.Size, 10), "root": b64.EncodeToString(k.Local.Root),
	}
}

// Show gives the text of the lock, or ErrNotLocked.
func Show(set Setup) (string, error) {
	m, err := read(set.File, set.Role)
	if err != nil {
		return "", err
	}
	if m.Lock == nil {
		return "", ErrNotLocked
	}
	return m.text(set.Origin), nil
}

// describes tells whether the role is still as it was when it was locked, but for the row of the lock itself.
func describes(ctx context.Context, k *Lock, l Local, d *db.DB) (bool, error) {
	if l.Generation != k.Local.Generation || l.Size < k.Local.Size {
		return false, nil
	}
	root, err := audit.RootAt(ctx, d, k.Local.Size)
	if err != nil || !bytes.Equal(root, k.Local.Root) {
		return false, err
	}
	var own int64
	err = d.QueryRowContext(ctx, "SELECT COUNT(*) FROM audit WHERE subject = ? AND kind IN (?, ?)", k.ID, kindClosed, kindOpened).Scan(&own)
	return own == l.Size-k.Local.Size, err
}

func rowsOf(ctx context.Context, tx *sql.Tx, kind, subject string) (n int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM audit WHERE kind = ? AND subject = ?", kind, subject).Scan(&n)
	return n, err
}

// notBefore dates a row with the record's time when the clock is behind it: a lock is recorded also then.
func notBefore(ctx context.Context, tx *sql.Tx, now time.Time) (time.Time, error) {
	var high sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT MAX(high) FROM audit").Scan(&high); err != nil {
		return now, fmt.Errorf("fence: %w", err)
	}
	if t := time.UnixMicro(high.Int64); high.Valid && t.After(now) {
		return t, nil
	}
	return now, nil
}

// UnlockIn is [Unlock] for the database that source names (db.Open).
func UnlockIn(ctx context.Context, source string, migrations fs.FS, set Setup, ask Decision) (string, error) {
	d, err := db.Open(ctx, source, migrations)
	if err != nil {
		return "", err
	}
	text, err := Unlock(ctx, set, d, ask)
	return text, errors.Join(err, d.Close())
}

// Unlock opens the lock that two operators have approved. The role must not run; d is its database, with the tables of the
// audit or without. With Do false it only checks. It gives the lock's text. Killed in between, it is called again with the
// same approvals.
func Unlock(ctx context.Context, set Setup, d *db.DB, ask Decision) (string, error) {
	if err := audit.Ensure(ctx, d); err != nil {
		return "", err
	}
	m, err := read(set.File, set.Role)
	if err != nil {
		return "", err
	}
	if m.Lock == nil {
		return "", ErrNotLocked
	}
	l, err := local(ctx, set, d)
	if err != nil {
		return "", err
	}
	same, err := describes(ctx, m.Lock, l, d)
	if err != nil {
		return "", err
	}
	if !same {
		return "", ErrChanged
	}
	text := m.text(set.Origin)
	good, err := ask.Operators.Decide(text, ask.Approvals, set.Now())
	if err != nil || !ask.Do {
		return text, err
	}
	if err := recordOpening(ctx, set, d, m, good); err != nil {
		return text, err
	}
	if l, err = local(ctx, set, d); err != nil {
		return text, err
	}
	return text, write(set.File, Mark{Role: m.Role, Generation: l.Generation, Epoch: m.Lock.Opens, Size: l.Size, Root: l.Root})
}

// Decision is what Unlock is asked to do, and by whom.
type Decision struct {
	Operators foureyes.Operators
	Approvals []string
	Do        bool
}

// recordOpening writes the row, once for each lock.
func recordOpening(ctx context.Context, set Setup, d *db.DB, m Mark, good []foureyes.Approval) error {
	detail := details(m.Lock)
	detail["origin"] = Origin(set.Origin, m.Lock.Opens)
	for i, a := range good {
		n := strconv.Itoa(i + 1)
		detail["approval"+n], detail["operator"+n] = a.Hash(), a.Key
	}
	return d.InTx(ctx, func(tx *sql.Tx) error {
		if n, err := rowsOf(ctx, tx, kindOpened, m.Lock.ID); err != nil || n > 0 {
			return err
		}
		at, err := notBefore(ctx, tx, set.Now())
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{At: at, Kind: "lock.opened", Subject: m.Lock.ID, Detail: detail})
	})
}
