package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"tekend/audit"
	"tekend/consent"
	"tekend/db"
	"tekend/sam"
)

// A person may see every use of his key, and every question about it, with a
// proof from the audit (reliability §6). The table uses is the index to it: it
// is written in the transaction of the row, and holds nothing that the row or
// the manifest has not.

// concern is one thing that concerns a person's key.
type concern struct {
	credential, nonce, txn, root string
	documents                    int
	position                     int // allPositions, or one document of the confirmation
}

const allPositions = -1

// concernOf is what a question for signatures is about.
func concernOf(nonce string, m consent.Manifest) concern {
	return concern{credential: m.Cred.ID, nonce: nonce, txn: m.Txn, root: m.Root, documents: len(m.Docs), position: allPositions}
}

// auditConcern writes a row of the audit about the nonce of c, and its line
// for the person.
func (r *Role) auditConcern(ctx context.Context, tx *sql.Tx, c concern, kind string, detail map[string]string) error {
	_, err := r.auditListed(ctx, tx, c, audit.Event{At: r.cfg.Now(), Kind: kind, Subject: c.nonce, Detail: detail})
	return err
}

// auditListed is auditConcern for any row; it gives the row's number.
func (r *Role) auditListed(ctx context.Context, tx *sql.Tx, c concern, e audit.Event) (seq int64, err error) {
	if seq, err = audit.AppendRow(ctx, tx, e); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO uses (seq, credential, nonce, kind, at, position, txn, documents, root) VALUES (?,?,?,?,?,?,?,?,?)",
		seq, c.credential, c.nonce, e.Kind, e.At.UnixMicro(), c.position, c.txn, c.documents, c.root)
	if err != nil {
		return 0, fmt.Errorf("list use: %w", err)
	}
	return seq, nil
}

// confirmed is what a confirmation was listed with. A session without such a
// line is no reason to lose what the key made.
func confirmed(ctx context.Context, tx *sql.Tx, nonce string) (concern, error) {
	c := concern{nonce: nonce, position: allPositions}
	err := tx.QueryRowContext(ctx, `SELECT s.credential, COALESCE(u.txn, ''), COALESCE(u.documents, s.positions), COALESCE(u.root, '')
		FROM sessions s LEFT JOIN uses u ON u.nonce = s.nonce AND u.kind = 'confirmation.authorized' WHERE s.nonce = ?`, nonce).Scan(
		&c.credential, &c.txn, &c.documents, &c.root)
	if err != nil {
		return concern{}, fmt.Errorf("find the confirmation of a use: %w", err)
	}
	return c, nil
}

// auditUses writes the rows about positions of one confirmation, their lines
// for the person, and the notices to him: one about those that were used, one
// about those of which nobody knows.
func (r *Role) auditUses(ctx context.Context, tx *sql.Tx, c concern, rows []audit.Event) error {
	told := map[string]notice{}
	for _, e := range rows {
		var err error
		if c.position, err = strconv.Atoi(e.Detail["position"]); err != nil {
			return fmt.Errorf("a use without a position: %w", err)
		}
		seq, err := r.auditListed(ctx, tx, c, e)
		if err != nil {
			return err
		}
		kind, ok := noticeOf[e.Kind]
		if !ok {
			continue
		}
		n, ok := told[kind]
		if !ok {
			n = notice{seq: seq, kind: kind, concern: c, at: e.At}
			n.documents = 0
		}
		n.documents++
		told[kind] = n
	}
	for _, kind := range []string{noticeUsed, noticeUnknown} {
		if n, ok := told[kind]; ok {
			if err := r.post(ctx, tx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// auditCredential writes the row about a new credential, its line, and the
// notice.
func (r *Role) auditCredential(ctx context.Context, tx *sql.Tx, id string, detail map[string]string) error {
	n := notice{kind: noticeCreated, concern: concern{credential: id, position: allPositions}, at: r.cfg.Now()}
	var err error
	if n.seq, err = r.auditListed(ctx, tx, n.concern, audit.Event{At: n.at, Kind: "credential.linked", Subject: id, Detail: detail}); err != nil {
		return err
	}
	return r.post(ctx, tx, n)
}

// auditEnd writes the row about a question that was not confirmed. A question
// of an enrolment concerns no key yet: it has the row of the audit alone.
func (r *Role) auditEnd(ctx context.Context, tx *sql.Tx, q *question, kind string, detail map[string]string) error {
	m, err := q.manifest()
	if err != nil || m.Cred == nil {
		return r.audit(ctx, tx, kind, q.Nonce, detail)
	}
	return r.auditConcern(ctx, tx, concernOf(q.Nonce, m), kind, detail)
}

// uses tells a page of what concerns a credential: below seq before (0: the
// newest), newest first.
func (r *Role) uses(ctx context.Context, id string, before int64, limit int) (*sam.Uses, error) {
	if _, err := r.credential(ctx, id); err != nil {
		return nil, err
	}
	if before == 0 {
		before = 1 << 62
	}
	out, err := ListUses(ctx, r.db, id, before, limit+1)
	if err != nil {
		return nil, err
	}
	page := &sam.Uses{Uses: out}
	if len(out) > limit {
		page.Uses, page.Before = out[:limit], out[limit-1].Seq
	}
	return page, r.nameDocuments(ctx, page.Uses)
}

// ListUses reads the index to the audit about a credential: at most n rows
// below before, newest first, without the labels. Operators read it beside the
// running role; MissingUses tells whether it is whole.
func ListUses(ctx context.Context, d *db.DB, id string, before int64, n int) ([]sam.Use, error) {
	rows, err := d.QueryContext(ctx, "SELECT seq, nonce, kind, at, position, txn, documents, root FROM uses WHERE credential = ? AND seq < ? ORDER BY seq DESC LIMIT ?", id, before, n)
	if err != nil {
		return nil, fmt.Errorf("read uses: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := []sam.Use{}
	for rows.Next() {
		var u sam.Use
		var at int64
		var position int
		var root string
		if err := rows.Scan(&u.Seq, &u.Nonce, &u.Kind, &at, &position, &u.Txn, &u.Documents, &root); err != nil {
			return nil, fmt.Errorf("read uses: %w", err)
		}
		u.At = time.UnixMicro(at).UTC()
		if position >= 0 {
			u.Position = &position
		}
		if root != "" {
			if u.CheckCode, err = consent.CheckCode(root); err != nil {
				return nil, fmt.Errorf("read uses: %w", err)
			}
		}
		all = append(all, u)
	}
	return all, rows.Err()
}

// MissingUses compares the index with the audit, which is what counts: it gives
// the rows about uses of a credential that the index does not list.
func MissingUses(ctx context.Context, d *db.DB, id string) (missing []int64, err error) {
	rows, err := d.QueryContext(ctx, `SELECT seq FROM audit a WHERE kind IN ('key.used', 'key.unknown', 'key.not_used')
		AND subject IN (SELECT subject FROM audit WHERE kind = 'confirmation.authorized' AND detail LIKE ?)
		AND NOT EXISTS (SELECT 1 FROM uses u WHERE u.seq = a.seq AND u.kind = a.kind AND u.credential = ?) ORDER BY seq`,
		`%"credential":"`+id+`"%`, id)
	if err != nil {
		return nil, fmt.Errorf("compare uses with the audit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, fmt.Errorf("compare uses with the audit: %w", err)
		}
		missing = append(missing, seq)
	}
	return missing, rows.Err()
}

// nameDocuments adds the labels of one document, or of all, from the manifest
// that the nonce commits to, as long as that is kept: a question that nobody
// confirmed goes after a day.
func (r *Role) nameDocuments(ctx context.Context, all []sam.Use) error {
	known := map[string][]consent.Doc{}
	room := maxLabels
	for i := range all {
		u := &all[i]
		if u.Nonce == "" {
			continue
		}
		docs, ok := known[u.Nonce]
		if !ok {
			q, err := r.loadQuestion(ctx, kindSign, "nonce", u.Nonce)
			if err != nil {
				return err
			}
			if q != nil {
				if m, err := q.manifest(); err == nil {
					docs = m.Docs
				}
			}
			known[u.Nonce] = docs
		}
		for p, d := range docs {
			if (u.Position == nil || *u.Position == p) && room > 0 {
				u.Labels = append(u.Labels, d.Label)
				room--
			}
		}
	}
	return nil
}

const (
	// maxUses is the longest page of uses.
	maxUses = 100
	// maxLabels bounds the labels in one page, of 120 bytes each at most: the
	// answer stays below wire.MaxBody. The check code stands for all.
	maxLabels = 500
)

// prove gives the proof of one listed row, and of no other row of the audit.
func (r *Role) prove(ctx context.Context, id, number string) (*audit.Proof, error) {
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil || seq < 1 {
		return nil, refuse(sam.CodeBadRequest, "seq must be a number from 1")
	}
	var one int
	err = r.db.QueryRowContext(ctx, "SELECT 1 FROM uses WHERE seq = ? AND credential = ?", seq, id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, refuse(sam.CodeCredentialUnknown, "there is no such use of this credential")
	}
	if err != nil {
		return nil, fmt.Errorf("find use: %w", err)
	}
	p, err := audit.Prove(ctx, r.db, seq)
	if errors.Is(err, audit.ErrNotYet) {
		return nil, after(sam.CodeNotYet, "no checkpoint of the audit covers this use yet", proofSoon)
	}
	return p, err
}

// proofSoon is when to ask again: a checkpoint is made every second or so.
const proofSoon = 2 * time.Second

// handleUses adds the two addresses of this file.
func (r *Role) handleUses(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/credentials/{id}/uses", func(w http.ResponseWriter, req *http.Request) {
		before, limit, err := pageOf(req)
		id := req.PathValue("id")
		serve(r, w, req, job[sam.Uses]{"uses", id, err, "", func(ctx context.Context) (*sam.Uses, error) { return r.uses(ctx, id, before, limit) }})
	})
	mux.HandleFunc("GET /v1/credentials/{id}/uses/{seq}/proof", func(w http.ResponseWriter, req *http.Request) {
		id, seq := req.PathValue("id"), req.PathValue("seq")
		serve(r, w, req, job[audit.Proof]{"proof", id, nil, "", func(ctx context.Context) (*audit.Proof, error) { return r.prove(ctx, id, seq) }})
	})
}

// pageOf reads ?before= and ?limit=.
func pageOf(req *http.Request) (before int64, limit int, err error) {
	q := req.URL.Query()
	limit = maxUses / 2
	if v := q.Get("before"); v != "" {
		if before, err = strconv.ParseInt(v, 10, 64); err != nil || before < 1 {
			return 0, 0, refuse(sam.CodeBadRequest, "before must be a number from 1")
		}
	}
	if v := q.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > maxUses {
			return 0, 0, refuse(sam.CodeBadRequest, "limit must be 1 to "+strconv.Itoa(maxUses))
		}
	}
	return before, limit, nil
}
