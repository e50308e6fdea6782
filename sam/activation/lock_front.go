package activation

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tekend/audit"
	"tekend/db"
	"tekend/foureyes"
	"tekend/sam"
)

// A front tells how far its database has come, so that it notices that it was
// put back. It is no defence against the front itself.

const (
	linkSize  = 16 // bytes of a mark's link
	maxFronts = 64 // names, which the caller chooses: each is a row for ever
)

// ErrFrontNotLocked: the sam keeps no lock of this front.
var ErrFrontNotLocked = errors.New("this front is not locked")

// frontState is a row of fronts.
type frontState struct {
	mark sam.Mark
	lock string
}

type rowReader interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readFront(ctx context.Context, q rowReader, name string) (f frontState, err error) {
	err = q.QueryRowContext(ctx, "SELECT number, link, lock FROM fronts WHERE name = ?", name).Scan(&f.mark.Number, &f.mark.Link, &f.lock)
	if errors.Is(err, sql.ErrNoRows) {
		return frontState{}, nil
	}
	if err != nil {
		return f, fmt.Errorf("read the front's mark: %w", err)
	}
	return f, nil
}

// frontMark gives the mark that is kept.
func (r *Role) frontMark(ctx context.Context, name string) (*sam.Mark, error) {
	f, err := readFront(ctx, r.db, name)
	if err == nil && f.lock != "" {
		err = frontBehind()
	}
	return &f.mark, err
}

// frontBehind is answered to a locked front; the lock has its row.
func frontBehind() *refusal {
	ref := refuse(sam.CodeFrontBehind, "the front's database is older than what it told")
	ref.recorded = true
	return ref
}

// tellMark keeps a front's mark, or locks the front.
func (r *Role) tellMark(ctx context.Context, name string, in sam.MarkRequest, _ string) (*sam.Mark, error) {
	if !plainID(name) || in.Mark.Number < 1 || len(in.Mark.Link) != linkSize {
		return nil, refuse(sam.CodeBadRequest, "a mark has a number from 1 and a link of 16 bytes")
	}
	var refused error // told after the commit
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		f, err := readFront(ctx, tx, name)
		if err != nil {
			return err
		}
		same := f.mark.Number == in.Mark.Number && bytes.Equal(f.mark.Link, in.Mark.Link)
		switch {
		case f.lock != "":
			refused = frontBehind()
			return nil
		case same:
			return nil
		case f.mark.Number > 0 && (in.Mark.Number <= f.mark.Number || len(in.After) == 0):
			refused = frontBehind()
			return r.lockFront(ctx, tx, name, f.mark, in.Mark)
		case f.mark.Number > 0 && !bytes.Equal(in.After, f.mark.Link):
			ref := later(sam.CodeMarkMoved, "another process of the front told a later mark")
			ref.recorded = true // ordinary, with several processes
			refused = ref
			return nil
		}
		if f.mark.Number == 0 {
			var known int
			if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM fronts").Scan(&known); err != nil {
				return fmt.Errorf("count the fronts: %w", err)
			}
			if known >= maxFronts {
				return refuse(sam.CodeBadRequest, "as many fronts as allowed have a mark")
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO fronts (name, number, link, lock) VALUES (?, ?, ?, '')
			ON CONFLICT (name) DO UPDATE SET number = excluded.number, link = excluded.link`, name, in.Mark.Number, in.Mark.Link)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &in.Mark, refused
}

// lockFront writes the lock and its row.
func (r *Role) lockFront(ctx context.Context, tx *sql.Tx, name string, known, told sam.Mark) error {
	id := rand.Text()
	text := fmt.Sprintf("tekend-front-lock/1\nfront: %s\nid: %s\nat: %s\nfound: the front's database is older than what it told, or another one\nknown: number %d, link %s\nhere: number %d, link %s\n",
		name, id, r.cfg.Now().UTC().Format(time.RFC3339), known.Number, b64.EncodeToString(known.Link), told.Number, b64.EncodeToString(told.Link))
	if err := changed(ctx, tx, "UPDATE fronts SET lock = ? WHERE name = ?", text, name); err != nil {
		return err
	}
	return r.audit(ctx, tx, "front.locked", id, map[string]string{"front": name, "lock": digest([]byte(text))})
}

// ShowFront gives the text of a front's lock, or ErrFrontNotLocked.
func ShowFront(ctx context.Context, source, name string) (string, error) {
	d, err := db.OpenReader(ctx, source)
	if err != nil {
		return "", err
	}
	f, err := readFront(ctx, d, name)
	if err == nil && f.lock == "" {
		err = ErrFrontNotLocked
	}
	return f.lock, errors.Join(err, d.Close())
}

// FrontDecision is what UnlockFront is asked to do, and by whom.
type FrontDecision struct {
	Operators foureyes.Operators
	Approvals []string
	Do        bool
	Now       func() time.Time
}

// UnlockFront forgets the mark of a locked front when two operators have
// approved: the next one that it tells is its new beginning. The sam must not
// run. It gives the lock's text.
func UnlockFront(ctx context.Context, source, name string, ask FrontDecision) (string, error) {
	d, err := db.Open(ctx, source, migrations)
	if err != nil {
		return "", err
	}
	text, err := unlockFront(ctx, d, name, ask)
	return text, errors.Join(err, d.Close())
}

func unlockFront(ctx context.Context, d *db.DB, name string, ask FrontDecision) (text string, err error) {
	if err := audit.Ensure(ctx, d); err != nil {
		return "", err
	}
	err = d.InTx(ctx, func(tx *sql.Tx) error {
		f, err := readFront(ctx, tx, name)
		if err != nil {
			return err
		}
		if text = f.lock; text == "" {
			return ErrFrontNotLocked
		}
		good, err := ask.Operators.Decide(text, ask.Approvals, ask.Now())
		if err != nil || !ask.Do {
			return err
		}
		if err := changed(ctx, tx, "DELETE FROM fronts WHERE name = ?", name); err != nil {
			return err
		}
		detail := map[string]string{"front": name, "lock": digest([]byte(text))}
		for i, a := range good {
			detail[fmt.Sprintf("approval%d", i+1)], detail[fmt.Sprintf("operator%d", i+1)] = a.Hash(), a.Key
		}
		return audit.Append(ctx, tx, audit.Event{At: ask.Now(), Kind: "front.opened", Subject: name, Detail: detail})
	})
	return text, err
}
