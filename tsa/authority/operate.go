package authority

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tekend/audit"
	"tekend/clock"
	"tekend/foureyes"
	"tekend/tsa"
	"tekend/wire"
)

// unitOf tells whether the one act that this role knows is about it: foureyes.ActResume, once operators have looked at the
// clock. Its subject is the SHA-256 of a unit's certificate, in hexadecimal: clocks have no names, and an approval for one
// deployment must do nothing in another one.
func (r *Role) unitOf(subject string) bool {
	return slices.ContainsFunc(r.units, func(u *unit) bool {
		sum := sha256.Sum256(u.cert.Raw)
		return hex.EncodeToString(sum[:]) == subject
	})
}

// OperatorHandler serves operators on a socket of their own, which the front cannot open.
//
//	PUT /v1/acts/{hash}   tsa.ActRequest → tsa.ActDone
//	GET /v1/health
func (r *Role) OperatorHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/acts/{hash}", func(w http.ResponseWriter, q *http.Request) {
		req, _, err := wire.DecodeHashed[tsa.ActRequest](w, q)
		if err != nil {
			wire.Fail(w, err)
			return
		}
		done, err := r.operate(q.Context(), req, q.PathValue("hash"))
		if err != nil {
			if _, told := errors.AsType[*wire.Error](err); !told {
				r.cfg.Log.Error("act of operators", "err", err)
			}
			wire.Fail(w, err)
			return
		}
		wire.Reply(w, http.StatusOK, done)
	})
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, q *http.Request) {
		wire.Reply(w, http.StatusOK, r.Health(q.Context()))
	})
	return mux
}

func refuse(status int, code, detail string) error { return wire.Refuse(status, code, detail) }

// operate ends the doubt about the clock by the word of two operators. The act is stored, so that their approvals count
// once; an equal call gets the stored outcome.
func (r *Role) operate(ctx context.Context, req tsa.ActRequest, hash string) (*tsa.ActDone, error) {
	a, err := foureyes.ParseAct(req.Text)
	if err != nil || a.Act != foureyes.ActResume || !r.unitOf(a.Subject) || a.Reason != "clockChecked" {
		return nil, refuse(http.StatusBadRequest, "bad_request", "this role knows one act: resume, for the reason clockChecked; its subject is the SHA-256 of the unit's certificate, in hexadecimal")
	}
	if done, err := r.actDone(ctx, a.ID, hash); err != nil || done != nil {
		return done, err
	}
	if r.gate.Check() != nil || r.guard == nil || !r.guard.Held() {
		return nil, refuse(http.StatusConflict, "act_refused", "the clock does not wait for operators: there is no doubt, or the sources do not agree yet")
	}
	now := r.cfg.Now() // right: the sources agree
	good, err := r.operators.Decide(req.Text, req.Approvals, now)
	if err != nil {
		return nil, refuse(http.StatusForbidden, "not_approved", err.Error())
	}
	if err := r.storeAct(ctx, a, storedAct{req, hash, good, now}); err != nil {
		return nil, err
	}
	if err := r.guard.Resume(); err != nil { // lost again meanwhile: operators look again
		return nil, refuse(http.StatusConflict, "act_refused", "the clock was lost again meanwhile")
	}
	return r.actDone(ctx, a.ID, hash)
}

// storedAct is an act's request and what was checked of it.
type storedAct struct {
	req       tsa.ActRequest
	hash      string
	approvals []foureyes.Approval
	at        time.Time
}

// storeAct stores the act with its row and ends the hold, in one transaction.
func (r *Role) storeAct(ctx context.Context, a foureyes.Act, s storedAct) error {
	approvals, err := json.Marshal(s.req.Approvals)
	if err != nil {
		return err
	}
	var who, what []string
	for _, one := range s.approvals {
		who, what = append(who, one.Key), append(what, one.Hash())
	}
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO acts (id, hash, text, approvals, at) VALUES (?,?,?,?,?)", a.ID, s.hash, s.req.Text, string(approvals), s.at.UnixMicro())
		if err != nil {
			return fmt.Errorf("store the act: %w", err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM clock_holds"); err != nil {
			return fmt.Errorf("end the hold: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{
			At: s.at, Kind: "clock.resumed", Subject: a.ID,
			Detail: map[string]string{"operators": strings.Join(who, " "), "approvals": strings.Join(what, " ")},
		})
	})
}

// actDone is the stored outcome of an act, nil when there is none.
func (r *Role) actDone(ctx context.Context, id, hash string) (*tsa.ActDone, error) {
	var stored string
	var at int64
	err := r.db.QueryRowContext(ctx, "SELECT hash, at FROM acts WHERE id = ?", id).Scan(&stored, &at)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the act: %w", err)
	case stored != hash:
		return nil, refuse(http.StatusConflict, "conflict", "this act was done with other approvals")
	}
	return &tsa.ActDone{ID: id, At: time.UnixMicro(at).UTC()}, nil
}

// restoreHold has the guard wait for operators when a process before this one ended in doubt.
func (r *Role) restoreHold(ctx context.Context) error {
	if r.guard == nil || !r.cfg.Clock.OperatorResume {
		return nil
	}
	held := 0
	if err := r.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM clock_holds").Scan(&held); err != nil {
		return fmt.Errorf("read the clock's hold: %w", err)
	}
	if held > 0 {
		r.guard.Hold()
	}
	return nil
}

// hold keeps a doubt for the next process, in the transaction of its row.
func (r *Role) hold(ctx context.Context, tx *sql.Tx, e clock.Event) error {
	if !r.cfg.Clock.OperatorResume || e.Kind != clock.KindLost && e.Kind != clock.KindJump {
		return nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO clock_holds (role, since) VALUES ('tsa', ?) ON CONFLICT DO NOTHING", e.At.UnixMicro())
	if err != nil {
		return fmt.Errorf("keep the doubt: %w", err)
	}
	return nil
}
