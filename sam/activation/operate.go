package activation

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"tekend/audit"
	"tekend/foureyes"
	"tekend/sam"
	"tekend/wire"
)

// OperatorHandler serves acts of operators (foureyes.Act): two of them approve,
// the role checks and does. It stands on a socket of its own, which the front
// cannot open; what counts are the approvals.
//
//	PUT /v1/acts/{hash}   sam.ActRequest → sam.ActDone
//	GET /v1/health
func (r *Role) OperatorHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/acts/{hash}", act(r, "act", r.operate))
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, req *http.Request) {
		wire.Reply(w, http.StatusOK, r.health(req.Context()))
	})
	return mux
}

// operate does an act that two operators approved. Its id is stored with it, so
// that the approvals count once; an equal call gets the stored outcome.
func (r *Role) operate(ctx context.Context, req sam.ActRequest, hash string) (*sam.ActDone, error) {
	a, err := foureyes.ParseAct(req.Text)
	if err != nil {
		return nil, refuse(sam.CodeBadRequest, "the text is no act")
	}
	if done, err := r.actDone(ctx, a.ID, hash); err != nil || done != nil {
		return done, err
	}
	approvals, err := r.cfg.Operators.Decide(req.Text, req.Approvals, r.cfg.Now())
	if err != nil {
		return nil, refuse(sam.CodeNotApproved, err.Error())
	}
	id, err := r.subjectOf(ctx, a.Subject)
	if err != nil {
		return nil, err
	}
	release, err := r.locks.take(ctx, "credential "+id)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := r.credential(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := r.perform(ctx, actOf{a, req, hash, approvals}, l); err != nil {
		return nil, err
	}
	return r.actDone(ctx, a.ID, hash)
}

// actOf is an act with its request and what was checked of it.
type actOf struct {
	foureyes.Act
	req       sam.ActRequest
	hash      string
	approvals []foureyes.Approval
}

// mayBe says from which states an act leads where.
var mayBe = map[string]struct {
	from []string
	to   string
}{
	foureyes.ActRevoke:  {[]string{sam.CredentialActive, sam.CredentialBlocked, sam.CredentialSuspended}, sam.CredentialRevoked},
	foureyes.ActSuspend: {[]string{sam.CredentialActive}, sam.CredentialSuspended},
	foureyes.ActResume:  {[]string{sam.CredentialSuspended}, sam.CredentialActive},
	foureyes.ActDestroy: {[]string{sam.CredentialRevoked}, sam.CredentialDestroyed},
}

func (r *Role) perform(ctx context.Context, a actOf, l *link) error {
	way, known := mayBe[a.Act.Act]
	if !known || !slices.Contains(way.from, l.State) {
		return refuse(sam.CodeActRefused, "the credential is "+l.State)
	}
	var c cut
	var err error
	switch a.Act.Act {
	case foureyes.ActRevoke:
		c, err = r.newCut(ctx, l, cut{by: byOperators, reason: a.Code(), act: a.ID})
	case foureyes.ActSuspend, foureyes.ActResume:
		c.next, err = r.turned(ctx, l, way.to)
	}
	if err != nil {
		return err
	}
	err = r.inTx(ctx, func(tx *sql.Tx) error {
		if err := r.storeAct(ctx, tx, a, l.ID); err != nil {
			return err
		}
		switch a.Act.Act {
		case foureyes.ActRevoke:
			return r.revokeIn(ctx, tx, c)
		case foureyes.ActSuspend:
			return r.turnIn(ctx, tx, l, c.next, audit.Event{Kind: "credential.suspended"})
		case foureyes.ActResume:
			return r.turnIn(ctx, tx, l, c.next, audit.Event{Kind: "credential.resumed"})
		}
		return nil // destroy: decided; the key goes next
	})
	if err != nil {
		return err
	}
	r.blocked()
	if a.Act.Act == foureyes.ActDestroy {
		return r.destroyKey(ctx, l, "operators said so")
	}
	return nil
}

// turnIn stores a state that is not for ever, with its row, the person's line
// and notice.
func (r *Role) turnIn(ctx context.Context, tx *sql.Tx, l, next *link, e audit.Event) error {
	if err := storeTurn(ctx, tx, l, next); err != nil {
		return err
	}
	e.At, e.Subject = r.cfg.Now(), l.ID
	n := notice{kind: noticeOf[e.Kind], concern: concern{credential: l.ID, position: allPositions}, at: e.At}
	var err error
	if n.seq, err = r.auditListed(ctx, tx, n.concern, e); err != nil {
		return err
	}
	return r.post(ctx, tx, n)
}

// storeAct stores an act, whose id is good once, and its row: the text's parts,
// the operators' keys and the digests of their approvals.
func (r *Role) storeAct(ctx context.Context, tx *sql.Tx, a actOf, credential string) error {
	approvals, err := json.Marshal(a.req.Approvals)
	if err != nil {
		return fmt.Errorf("store act: %w", err)
	}
	err = changed(ctx, tx, "INSERT INTO acts (id, hash, act, text, approvals, credential, at) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
		a.ID, a.hash, a.Act.Act, a.req.Text, string(approvals), credential, r.cfg.Now().UnixMicro())
	if errors.Is(err, errNotOne) {
		return refuse(sam.CodeActRefused, "the act's id was used before")
	}
	if err != nil {
		return fmt.Errorf("store act: %w", err)
	}
	detail := map[string]string{"act": a.Act.Act, "reason": a.Reason, "id": a.ID}
	for i, p := range a.approvals {
		n := strconv.Itoa(i + 1)
		detail["operator"+n], detail["approval"+n] = p.Key, p.Hash()
	}
	return r.audit(ctx, tx, "act.approved", credential, detail)
}

// actDone is the outcome of an act, with the state that the credential has now;
// nil when no request with this body did it.
func (r *Role) actDone(ctx context.Context, id, hash string) (*sam.ActDone, error) {
	d := &sam.ActDone{ID: id}
	var at int64
	err := r.db.QueryRowContext(ctx, "SELECT act, credential, at FROM acts WHERE id = ? AND hash = ?", id, hash).Scan(&d.Act, &d.Credential, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read act: %w", err)
	}
	l, err := r.credential(ctx, d.Credential)
	if err != nil {
		return nil, err
	}
	d.State, d.At = l.State, time.UnixMicro(at).UTC()
	return d, nil
}

// subjectOf is the credential that an act names, by its id or by a serial number.
func (r *Role) subjectOf(ctx context.Context, subject string) (id string, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT id FROM links WHERE id = ? UNION ALL SELECT credential FROM serials WHERE serial = ? LIMIT 1`, subject, subject).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", refuse(sam.CodeCredentialUnknown, "there is no such credential")
	}
	if err != nil {
		return "", fmt.Errorf("find the subject of an act: %w", err)
	}
	return id, nil
}
