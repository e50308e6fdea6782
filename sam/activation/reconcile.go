package activation

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/foureyes"
	"tekend/sam"
	"tekend/wire"
)

// The reconciler brings revocations to their end: what is blocked here becomes
// known to the ca, what the ca revoked is blocked here, and the keys of both are
// destroyed. It looks at the database, not at what this process remembers, so it
// goes on after a stop anywhere; each step may be done twice.

const (
	// reconcileTime is between two looks, at the latest.
	reconcileTime = 5 * time.Second
	// revokeTime bounds one call that revokes: the ca may ask itsme for its keys.
	revokeTime = 20 * time.Second
	// itsmePatience is how long the ca may fail to verify a signer's confirmation
	// for lack of itsme's keys before the sam vouches for it.
	itsmePatience = 30 * time.Second
	// overdue is the age at which something unfinished is told to operators.
	overdue = time.Minute
)

// work wakes the reconciler, and holds what it should look at.
type work struct {
	wake chan struct{}

	mu     sync.Mutex
	known  map[string]bool // credentials that the ca called revoked when their status was asked
	whole  bool            // the ca's list must be read from its beginning
	listed time.Time       // when it was last read to its end
	said   map[string]bool // faults that are in the log already
}

func newWork(now time.Time) work {
	return work{wake: make(chan struct{}, 1), known: map[string]bool{}, said: map[string]bool{}, listed: now}
}

// signal makes the reconciler look soon.
func (w *work) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// heard is told when the ca calls a certificate revoked that is not blocked here.
// Its list has the certificate too, perhaps further up than where it is read now:
// it was read before the credential was here. What blocks for ever is the list; a
// single answer about a status only refuses.
func (w *work) heard(credential string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[credential] {
		return
	}
	w.known[credential], w.whole = true, true
	w.signal()
}

// readWhole tells whether the list must be read from its beginning, once.
func (w *work) readWhole() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	whole := w.whole
	w.whole = false
	return whole
}

// again has the list read from its beginning at the next look too: this one did not come to its end.
func (w *work) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.whole = true
}

// reconcileForever runs until ctx ends; the first look is at once.
func (r *Role) reconcileForever(ctx context.Context) {
	t := time.NewTicker(reconcileTime)
	defer t.Stop()
	for {
		if err := r.reconcile(ctx); ctx.Err() == nil {
			r.unfinished(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-r.work.wake:
		}
	}
}

// unfinished logs what a look could not do, once until it changes: the ca may be
// away for hours.
func (r *Role) unfinished(err error) {
	r.work.mu.Lock()
	defer r.work.mu.Unlock()
	if err == nil {
		clear(r.work.said)
		return
	}
	if text := err.Error(); !r.work.said[text] {
		r.work.said[text] = true
		r.cfg.Log.Error("revocations are not finished; they are tried again", "err", err)
	}
}

// reconcile takes one look. What fails keeps nothing else from being done.
func (r *Role) reconcile(ctx context.Context) error {
	if err := r.gate.Check(); err != nil {
		return err
	}
	return errors.Join(r.readList(ctx), r.publishAll(ctx), r.destroyRevoked(ctx))
}

// publishAll tells the ca of every revocation that it is not known to have.
func (r *Role) publishAll(ctx context.Context) error {
	serials, err := column(ctx, r.db, "SELECT serial FROM revocations WHERE published = 0 ORDER BY at LIMIT 500")
	if err != nil {
		return fmt.Errorf("look for revocations: %w", err)
	}
	var all error
	for _, serial := range serials {
		if err := r.publish(ctx, serial); err != nil {
			all = errors.Join(all, fmt.Errorf("revocation of %s: %w", serial, err))
		}
	}
	return all
}

// telling is a row of revocations that the ca must get.
type telling struct {
	serial, credential, source, nonce, act string
	reason                                 int
	at                                     time.Time
}

// publish tells the ca of one revocation, once more if need be: a certificate
// that is revoked already gets the first outcome.
func (r *Role) publish(ctx context.Context, serial string) error {
	t := telling{serial: serial}
	var at int64
	err := r.db.QueryRowContext(ctx, "SELECT credential, source, nonce, act, reason, at FROM revocations WHERE serial = ?", serial).Scan(
		&t.credential, &t.source, &t.nonce, &t.act, &t.reason, &at)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	t.at = time.UnixMicro(at)
	req, err := r.evidenceOf(ctx, t)
	if err != nil {
		return err
	}
	got, err := r.revoker.Revoke(ctx, req)
	if err != nil && req.By != ca.BySAM && r.vouches(err, t) {
		req = ca.RevokeRequest{V: ca.RevocationVersion, Serial: serial, Reason: t.reason, By: ca.BySAM}
		got, err = r.revoker.Revoke(ctx, req)
	}
	var no *wire.Error
	if errors.As(err, &no) && no.Code == ca.CodeNotRevocable {
		err = nil // valid for hours, without revocation: the ca keeps the report, and that is all there is to say
	}
	if err != nil {
		return err
	}
	return r.published(ctx, t, req.By, got.Seq)
}

// evidenceOf is what the ca is told first: with the proof that it can check itself.
func (r *Role) evidenceOf(ctx context.Context, t telling) (ca.RevokeRequest, error) {
	req := ca.RevokeRequest{V: ca.RevocationVersion, Serial: t.serial, Reason: t.reason, By: ca.BySAM}
	switch t.source {
	case bySigner:
		q, err := r.loadQuestion(ctx, kindRevoke, "nonce", t.nonce)
		if err != nil {
			return req, err
		}
		if q != nil && q.Token != "" {
			req.By, req.Manifest, req.Token = ca.BySigner, q.Manifest, q.Token
		}
	case byOperators:
		var text, list string
		var approvals []string
		if err := r.db.QueryRowContext(ctx, "SELECT text, approvals FROM acts WHERE id = ?", t.act).Scan(&text, &list); err != nil {
			return req, fmt.Errorf("read act: %w", err)
		}
		// An act about a credential is no act about a serial number, which is all
		// that the ca knows: then this role vouches for its operators.
		if a, err := foureyes.ParseAct(text); err == nil && a.Subject == t.serial && json.Unmarshal([]byte(list), &approvals) == nil {
			req.By, req.Text, req.Approvals = ca.ByOperators, text, approvals
		}
	}
	return req, nil
}

// vouches says whether the sam tells the ca by itself after this error: when the
// ca will never accept the proof (it is too old by now), or has waited for
// itsme's keys long enough. The key is blocked; the status must not stay good.
func (r *Role) vouches(err error, t telling) bool {
	var no *wire.Error
	if !errors.As(err, &no) || no.Code == ca.CodeNotRevocable {
		return false
	}
	return !no.Retryable && no.Status < 500 || no.Code == ca.CodeItsme && r.cfg.Now().Sub(t.at) > itsmePatience
}

// published writes down that the ca has it.
func (r *Role) published(ctx context.Context, t telling, by string, seq int64) error {
	now := r.cfg.Now()
	defer r.work.signal() // the list goes on; who has read it to its end notices when it is put back
	return r.inTx(ctx, func(tx *sql.Tx) error {
		err := changed(ctx, tx, "UPDATE revocations SET published = ?, seq = ? WHERE serial = ? AND published = 0", now.UnixMicro(), seq, t.serial)
		if errors.Is(err, errNotOne) {
			return nil // another instance was first
		}
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		_, err = r.auditListed(ctx, tx, concern{credential: t.credential, nonce: t.nonce, position: allPositions}, audit.Event{
			At: now, Kind: "revocation.published", Subject: t.credential,
			Detail: map[string]string{"serial": t.serial, "by": by, "seq": strconv.FormatInt(seq, 10)},
		})
		return err
	})
}

// readList reads the ca's list of revocations from where it was read to, and
// blocks what is ours. A list that does not have the last entry any more is read
// from the beginning, and the ca is told what it has forgotten. Only when all of
// that is done it counts as read.
func (r *Role) readList(ctx context.Context) (err error) {
	var seq int64
	var serial string
	err = r.db.QueryRowContext(ctx, "SELECT seq, serial FROM ca_list").Scan(&seq, &serial)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read how far the ca's list was read: %w", err)
	}
	whole, other := r.work.readWhole(), false
	defer func() {
		if err != nil && whole {
			r.work.again()
		}
	}()
	if seq > 0 {
		last, err := r.status.Revocations(ctx, seq-1)
		if err != nil {
			return fmt.Errorf("read the ca's list: %w", err)
		}
		if other = len(last) == 0 || last[0].Serial != serial; other {
			r.cfg.Log.Warn("the ca's list of revocations is another one than before; it is read from the beginning")
		}
	}
	if !whole && !other {
		_, err = r.readFrom(ctx, ca.Revocation{Seq: seq, Serial: serial}, r.keepRead)
	} else {
		err = r.readAgain(ctx, other)
	}
	if err == nil {
		r.work.mu.Lock()
		r.work.listed = r.cfg.Now()
		r.work.mu.Unlock()
	}
	return err
}

// readAgain reads the list from its beginning; forgotten: it is another one than before.
func (r *Role) readAgain(ctx context.Context, forgotten bool) error {
	end, err := r.readFrom(ctx, ca.Revocation{}, func(context.Context, ca.Revocation) error { return nil })
	if err == nil && forgotten {
		err = r.retell(ctx)
	}
	if err != nil {
		return err
	}
	return r.keepRead(ctx, end)
}

// readFrom blocks what is ours behind an entry of the list, and gives the last entry. keep is called after each page.
func (r *Role) readFrom(ctx context.Context, end ca.Revocation, keep func(context.Context, ca.Revocation) error) (ca.Revocation, error) {
	for {
		page, err := r.status.Revocations(ctx, end.Seq)
		if err != nil {
			return end, fmt.Errorf("read the ca's list: %w", err)
		}
		if len(page) == 0 {
			return end, nil
		}
		for _, e := range page {
			if err := r.blockListed(ctx, e); err != nil {
				return end, err
			}
		}
		end = page[len(page)-1]
		if err := keep(ctx, end); err != nil {
			return end, err
		}
	}
}

// keepRead stores up to which entry the ca's list was read.
func (r *Role) keepRead(ctx context.Context, end ca.Revocation) error {
	err := r.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO ca_list (one, seq, serial) VALUES (1,?,?) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, serial = excluded.serial",
			end.Seq, end.Serial)
		return err
	})
	if err != nil {
		return fmt.Errorf("store how far the ca's list was read: %w", err)
	}
	return nil
}

// retell tells the ca once more of every revocation that it had and does not
// know any more: it was put back in time, and must not call good what is revoked
// (Regulation (EU) 910/2014, Article 28(4)).
func (r *Role) retell(ctx context.Context) error {
	for after := ""; ; {
		serials, err := column(ctx, r.db, "SELECT serial FROM revocations WHERE published <> 0 AND serial > ? ORDER BY serial LIMIT 500", after)
		if err != nil {
			return fmt.Errorf("look for revocations: %w", err)
		}
		if len(serials) == 0 {
			return nil
		}
		for _, serial := range serials {
			s, err := r.status.Status(ctx, serial)
			if err == nil && s.State != ca.Revoked {
				r.cfg.Log.Warn("the ca has forgotten a revocation; it is told again", "serial", serial)
				err = r.publish(ctx, serial)
			}
			var no *wire.Error
			if errors.As(err, &no) && no.Code == ca.CodeSerialUnknown {
				err = nil // it has forgotten the certificate too, and says good of none that it does not know
			}
			if err != nil {
				return fmt.Errorf("tell the ca of %s again: %w", serial, err)
			}
		}
		after = serials[len(serials)-1]
	}
}

// blockListed blocks the credential of a certificate that the ca revoked.
func (r *Role) blockListed(ctx context.Context, e ca.Revocation) error {
	var id string
	err := r.db.QueryRowContext(ctx, "SELECT credential FROM serials WHERE serial = ?", e.Serial).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // not a person's whose key is here
	}
	if err != nil {
		return fmt.Errorf("find the credential of a serial number: %w", err)
	}
	release, err := r.locks.take(ctx, "credential "+id)
	if err != nil {
		return err
	}
	defer release()
	l, err := r.credential(ctx, id)
	if ref := why(err); ref != nil && !ref.Retryable {
		return r.record(ctx, "reconcile", id, ref) // it cannot be used, and cannot be changed under a MAC
	}
	if err != nil || l.over() {
		return err
	}
	c, err := r.newCut(ctx, l, cut{by: byCA, reason: e.Reason, serial: e.Serial, seq: e.Seq})
	if err != nil {
		return err
	}
	err = r.inTx(ctx, func(tx *sql.Tx) error { return r.revokeIn(ctx, tx, c) })
	r.out.signal()
	return err
}

// destroyRevoked destroys the keys of what is revoked and published, or that
// operators want destroyed.
func (r *Role) destroyRevoked(ctx context.Context) error {
	ids, err := column(ctx, r.db, `SELECT id FROM links l WHERE state = 'revoked'
			AND (NOT EXISTS (SELECT 1 FROM revocations v WHERE v.credential = l.id AND v.published = 0)
				OR EXISTS (SELECT 1 FROM acts a WHERE a.credential = l.id AND a.act = 'destroy')) ORDER BY id LIMIT 500`)
	if err != nil {
		return fmt.Errorf("look for keys of revoked certificates: %w", err)
	}
	var all error
	for _, id := range ids {
		if err := r.destroyOne(ctx, id); err != nil {
			all = errors.Join(all, fmt.Errorf("key of %s: %w", id, err))
		}
	}
	return all
}

// destroyOne destroys the key of one revoked credential.
func (r *Role) destroyOne(ctx context.Context, id string) error {
	release, err := r.locks.take(ctx, "credential "+id)
	if err != nil {
		return err
	}
	defer release()
	l, err := r.credential(ctx, id)
	if err != nil || l.State != sam.CredentialRevoked {
		return err
	}
	return r.destroyKey(ctx, l, "the certificate is revoked")
}

// notesOfRevocation are what operators should know.
func (r *Role) notesOfRevocation(ctx context.Context) (notes []string) {
	now := r.cfg.Now()
	var late int
	err := r.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM revocations WHERE published = 0 AND at < ?", now.Add(-overdue).UnixMicro()).Scan(&late)
	if err == nil && late > 0 {
		notes = append(notes, fmt.Sprintf("%d revocations are not known to the ca for more than a minute; the keys are blocked", late))
	}
	r.work.mu.Lock()
	listed := r.work.listed
	r.work.mu.Unlock()
	if now.Sub(listed) > overdue {
		notes = append(notes, "the ca's list of revocations could not be read for more than a minute")
	}
	if r.out == nil || r.cfg.EmergencyURL == "" {
		notes = append(notes, "people get no code to revoke with: notices or emergency_url are not configured")
	}
	return notes
}
