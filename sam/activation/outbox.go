package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"tekend/audit"
)

// The outbox tells people that their keys were used, past the front: a row is
// written in the transaction of the act, and leaves from here (reliability §3
// F33). Delivery is at least once, in order for each person; who does not take
// his notices holds nobody else's.

const (
	// sendTime bounds one delivery.
	sendTime = time.Minute
	// lease keeps a row to one sender; a sender that died frees it so late.
	lease = 2 * sendTime
	// Between two tries of one notice: 1 min, 2 min, 4 min … 6 h.
	firstPause, longestPause = time.Minute, 6 * time.Hour
	// giveUp is the age at which a notice that never left stays as dead.
	giveUp = 72 * time.Hour
	// senders deliver at the same time.
	senders = 8
	// tick is how often the role looks for what is due, at the latest.
	tick = 15 * time.Second
)

// mailer takes a letter to its receiver. An error means that it may not have
// arrived; it is tried again.
type mailer interface {
	send(ctx context.Context, l letter) error
}

// outbox is the sending side; nil in a role without notices.
type outbox struct {
	mailer mailer
	words  map[string]catalogue
	from   string // header
	domain string // of message ids
	help   string
	slots  chan struct{}
	wake   chan struct{}
	busy   sync.WaitGroup
}

// post puts a notice into the outbox, if the person can be told.
func (r *Role) post(ctx context.Context, tx *sql.Tx, n notice) error {
	if r.out == nil {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO outbox (seq, credential, kind, at, documents, txn, root, due)
		SELECT CAST(? AS BIGINT), credential, CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS INTEGER), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT)
		FROM contacts WHERE credential = ?`,
		n.seq, n.kind, n.at.UnixMicro(), n.documents, n.txn, n.root, n.at.UnixMicro(), n.credential)
	if err != nil {
		return fmt.Errorf("post notice: %w", err)
	}
	return nil
}

// startHousekeeping begins what the role does without being called.
func (r *Role) startHousekeeping() {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { r.housekeep(ctx) })
	done.Go(func() { r.reconcileForever(ctx) })
	done.Go(func() { r.sweeping(ctx) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = func() { cancel(); done.Wait() }
}

// stopHousekeeping ends that, and tells what was refused until now.
func (r *Role) stopHousekeeping() {
	r.mu.Lock()
	stop := r.idle
	r.idle = nil
	r.mu.Unlock()
	if stop == nil {
		return // it never began
	}
	stop()
	ctx, cancel := context.WithTimeout(context.Background(), recordTime)
	defer cancel()
	if err := r.settleRefusals(ctx, 0); err != nil {
		r.cfg.Log.Error("refusals could not be recorded; the next start does", "err", err)
	}
}

// housekeep runs until ctx ends: it sends what is due, and tells what was
// refused again and again.
func (r *Role) housekeep(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		if err := r.settleRefusals(ctx, audit.TallyTime); err != nil && ctx.Err() == nil {
			r.cfg.Log.Error("refusals could not be recorded", "err", err)
		}
		if err := r.dispatch(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.Error("notices could not be sent", "err", err)
		}
		select {
		case <-ctx.Done():
			r.out.wait()
			return
		case <-t.C:
		case <-r.out.woken():
		}
	}
}

// settleRefusals writes the rows about refusals that were counted for longer
// than age.
func (r *Role) settleRefusals(ctx context.Context, age time.Duration) error {
	now := r.cfg.Now()
	due, err := audit.TallyDue(ctx, r.db, now.Add(-age))
	if err != nil || !due {
		return err
	}
	return r.db.InTx(ctx, func(tx *sql.Tx) error { return audit.SettleTally(ctx, tx, now.Add(-age), now) })
}

// woken is signalled when a sender is free again; never without an outbox.
func (o *outbox) woken() <-chan struct{} {
	if o == nil {
		return nil
	}
	return o.wake
}

func (o *outbox) wait() {
	if o != nil {
		o.busy.Wait()
	}
}

// signal makes the role look at the outbox soon.
func (o *outbox) signal() {
	if o == nil {
		return
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// dispatch gives what is due to free senders.
func (r *Role) dispatch(ctx context.Context) error {
	if r.out == nil {
		return nil
	}
	due, err := r.dueNotices(ctx)
	if err != nil {
		return err
	}
	for _, n := range due {
		select {
		case r.out.slots <- struct{}{}:
		default:
			return nil // all are at work; one that ends signals
		}
		mine, err := r.lease(ctx, n)
		if err != nil || !mine {
			<-r.out.slots
			if err != nil {
				return err
			}
			continue
		}
		r.out.busy.Go(func() {
			defer func() { <-r.out.slots; r.out.signal() }()
			r.deliver(ctx, n)
		})
	}
	return nil
}

// dueNotices are those whose time has come and that no earlier one of the same
// person holds back.
func (r *Role) dueNotices(ctx context.Context) ([]notice, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT seq, credential, kind, at, documents, txn, root, tries FROM outbox o
		WHERE state = 'waiting' AND due <= ? AND NOT EXISTS
			(SELECT 1 FROM outbox e WHERE e.credential = o.credential AND e.state = 'waiting' AND e.seq < o.seq)
		ORDER BY due LIMIT 64`, r.cfg.Now().UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []notice
	for rows.Next() {
		var n notice
		var at int64
		if err := rows.Scan(&n.seq, &n.credential, &n.kind, &at, &n.documents, &n.txn, &n.root, &n.tries); err != nil {
			return nil, fmt.Errorf("read outbox: %w", err)
		}
		n.at, n.position = time.UnixMicro(at).UTC(), allPositions
		all = append(all, n)
	}
	return all, rows.Err()
}

// lease takes a notice for this process: its next try is after the lease, and
// counts already, so that one that ends the process is not tried for ever.
func (r *Role) lease(ctx context.Context, n notice) (bool, error) {
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		return changed(ctx, tx, "UPDATE outbox SET due = ?, tries = tries + 1 WHERE seq = ? AND state = 'waiting' AND tries = ?",
			r.cfg.Now().Add(lease).UnixMicro(), n.seq, n.tries)
	})
	if errors.Is(err, errNotOne) {
		return false, nil
	}
	return err == nil, err
}

// deliver sends one notice and writes down what became of it. Neither the
// address nor the receiver's words are logged.
func (r *Role) deliver(ctx context.Context, n notice) {
	sent := r.sendNotice(ctx, n)
	if sent != nil && ctx.Err() != nil {
		return // stopping; it is sent again later
	}
	if sent != nil {
		r.cfg.Log.Warn("a notice did not leave", "of", n.seq, "try", n.tries+1)
	}
	if err := r.db.InTx(context.WithoutCancel(ctx), func(tx *sql.Tx) error { return r.after(ctx, tx, n, sent) }); err != nil {
		r.cfg.Log.Error("what became of a notice could not be stored; it is sent again", "of", n.seq, "err", err)
	}
}

// after stores what became of one delivery.
func (r *Role) after(ctx context.Context, tx *sql.Tx, n notice, sent error) error {
	ctx = context.WithoutCancel(ctx)
	now := r.cfg.Now()
	detail := map[string]string{"of": strconv.FormatInt(n.seq, 10), "tries": strconv.Itoa(n.tries + 1)}
	e := audit.Event{At: now, Subject: n.credential, Detail: detail}
	switch {
	case sent == nil:
		e.Kind = "notice.sent"
		if err := changed(ctx, tx, "DELETE FROM outbox WHERE seq = ?", n.seq); err != nil {
			return fmt.Errorf("outbox: %w", err)
		}
	case now.Sub(n.at) >= giveUp:
		e.Kind = "notice.dead"
		if err := changed(ctx, tx, "UPDATE outbox SET state = 'dead' WHERE seq = ?", n.seq); err != nil {
			return fmt.Errorf("outbox: %w", err)
		}
	default:
		return changed(ctx, tx, "UPDATE outbox SET due = ? WHERE seq = ?", now.Add(pauseAfter(n.tries)).UnixMicro(), n.seq)
	}
	_, err := r.auditListed(ctx, tx, n.concern, e)
	return err
}

// pauseAfter is the time until the next try, after tries failed before this one.
func pauseAfter(tries int) time.Duration {
	if tries > 16 {
		return longestPause
	}
	return min(longestPause, firstPause<<tries)
}

// sendNotice writes the letter and hands it over.
func (r *Role) sendNotice(ctx context.Context, n notice) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	c, err := r.contact(ctx, n.credential)
	if err != nil {
		return err
	}
	words, ok := r.out.words[c.Language]
	if !ok || !plainAddress(c.Email) {
		return errors.New("the stored contact cannot be used")
	}
	if n.address, n.secret, err = r.emergencyLine(ctx, n); err != nil {
		return err
	}
	body, err := n.body(words, r.out.help)
	if err != nil {
		return err
	}
	return r.out.mailer.send(ctx, letter{
		id: noticeName(n) + "@" + r.out.domain, to: c.Email, from: r.out.from, language: c.Language,
		subject: words.say("subject." + n.kind), body: body, date: n.at,
	})
}

// noticeName is the same for every try, so that a receiver can tell a second
// copy, and says nothing about the person.
func noticeName(n notice) string {
	return strings.ToLower(strconv.FormatInt(n.seq, 10) + "." + digest([]byte("tekend-notice/1 " + n.credential + " " + strconv.FormatInt(n.seq, 10)))[:16])
}
