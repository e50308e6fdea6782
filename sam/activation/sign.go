package activation

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"tekend/audit"
	"tekend/sam"
)

// sign makes the values of some positions of an authorized confirmation. What
// is signed already is handed out again, also after a restart; what is burnt
// is never signed again. The caller holds the question's lock.
func (r *Role) sign(ctx context.Context, nonce string, req sam.SignRequest) (*sam.Signed, error) {
	q, s, err := r.authorized(ctx, nonce, req.Session)
	if err != nil {
		return nil, err
	}
	if err := checkPositions(req.Positions, s.Positions); err != nil {
		return nil, err
	}
	all, err := r.positions(ctx, nonce)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(all, position.open) { // values leave here too, but only who asked acts
		if err := r.elsewhere(ctx, q); err != nil {
			return nil, err
		}
	}
	var free []int
	for _, p := range req.Positions {
		if all[p].state == sam.PositionFree {
			free = append(free, p)
		}
	}
	if slices.ContainsFunc(all, position.lost) {
		return nil, refuse(sam.CodeBurnt, "a position was used and its value is not known; nothing more is signed with this confirmation")
	}
	if len(free) > 0 {
		work, err := r.activate(ctx, q, s, free, req.TimeStamp)
		if err != nil {
			return nil, err
		}
		for _, u := range work {
			all[u.position] = position{sam.PositionSigned, u.value}
		}
	}
	out := &sam.Signed{Values: []sam.Value{}}
	if slices.ContainsFunc(all, position.open) {
		return out, nil
	}
	for _, p := range req.Positions {
		out.Values = append(out.Values, *all[p].message(p, s.Algorithm))
	}
	return out, nil
}

// authorized finds the confirmation and proves that the caller knows its session.
func (r *Role) authorized(ctx context.Context, nonce, id string) (*question, *session, error) {
	q, err := r.loadQuestion(ctx, kindSign, "nonce", nonce)
	if err != nil {
		return nil, nil, err
	}
	if q == nil || q.Status != sam.StateAuthorized {
		return nil, nil, refuse(sam.CodeNotAuthorized, "there is no confirmation of this")
	}
	s, err := r.session(ctx, nonce)
	if err != nil {
		return nil, nil, err
	}
	if subtle.ConstantTimeCompare([]byte(s.ID), []byte(id)) != 1 {
		return nil, nil, refuse(sam.CodeNotAuthorized, "there is no such session")
	}
	return q, s, nil
}

func checkPositions(asked []int, n int) error {
	seen := map[int]bool{}
	for _, p := range asked {
		if p < 0 || p >= n || seen[p] {
			return refuse(sam.CodeBadRequest, "positions must be of the confirmation, each once")
		}
		seen[p] = true
	}
	if len(asked) == 0 {
		return refuse(sam.CodeBadRequest, "no position is asked for")
	}
	return nil
}

// position is one document of an authorized confirmation.
type position struct {
	state string
	value []byte
}

// lost: nobody knows, or can know any more, whether the key was used. The
// caller holds the question's lock, so burnt is not somebody at work.
func (p position) lost() bool {
	return p.state == sam.PositionBurnt || p.state == sam.PositionUnknown
}

// open: there is no value. Values leave only when no position is open.
func (p position) open() bool { return p.state != sam.PositionSigned }

func (p position) message(n int, algorithm string) *sam.Value {
	return &sam.Value{Position: n, Algorithm: algorithm, Value: p.value}
}

func (r *Role) positions(ctx context.Context, nonce string) ([]position, error) {
	rows, err := r.db.QueryContext(ctx, "SELECT state, value FROM positions WHERE nonce = ? ORDER BY position", nonce)
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []position
	for rows.Next() {
		var p position
		if err := rows.Scan(&p.state, &p.value); err != nil {
			return nil, fmt.Errorf("read positions: %w", err)
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// settlePositions calls unknown, at start, what a process that is no more burnt.
func (r *Role) settlePositions(ctx context.Context, tx *sql.Tx) error {
	rows, err := column(ctx, tx, `SELECT p.nonce || ' ' || CAST(p.position AS TEXT) FROM positions p JOIN questions q ON q.nonce = p.nonce
		WHERE p.state = 'burnt' AND `+left+` ORDER BY p.nonce, p.position`, r.leftBy()...)
	if err != nil {
		return err
	}
	lost := map[string][]audit.Event{}
	for _, row := range rows {
		var nonce string
		var n int
		if _, err := fmt.Sscanf(row, "%s %d", &nonce, &n); err != nil {
			return fmt.Errorf("read positions: %w", err)
		}
		if err := changed(ctx, tx, "UPDATE positions SET state = 'unknown' WHERE nonce = ? AND position = ? AND state = 'burnt'", nonce, n); err != nil {
			return err
		}
		lost[nonce] = append(lost[nonce], audit.Event{At: r.cfg.Now(), Kind: "key.unknown", Subject: nonce, Detail: map[string]string{
			"position": strconv.Itoa(n), "why": "the process stopped",
		}})
	}
	for _, nonce := range slices.Sorted(maps.Keys(lost)) {
		c, err := confirmed(ctx, tx, nonce)
		if err != nil {
			return err
		}
		if err := r.auditUses(ctx, tx, c, lost[nonce]); err != nil {
			return err
		}
	}
	return nil
}

// confirmation tells where a confirmation is. It needs no lock: it only reads.
func (r *Role) confirmation(ctx context.Context, nonce string) (*sam.Status, error) {
	q, err := r.loadQuestion(ctx, kindSign, "nonce", nonce)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, refuse(sam.CodeNotAuthorized, "there is no such confirmation")
	}
	st := &sam.Status{State: q.Status, Reason: q.Reason, Positions: []sam.PositionStatus{}}
	if q.Status == sam.StateAuthorized {
		return st, r.addPositions(ctx, q, st)
	}
	st.State, st.Reason, err = r.unanswered(ctx, q)
	return st, err
}

func (r *Role) addPositions(ctx context.Context, q *question, st *sam.Status) error {
	s, err := r.session(ctx, q.Nonce)
	if err != nil {
		return err
	}
	if st.Session, err = r.sessionMessage(ctx, q, s); err != nil {
		return err
	}
	all, err := r.positions(ctx, q.Nonce)
	if err != nil {
		return err
	}
	complete := !slices.ContainsFunc(all, position.open)
	for n, p := range all {
		ps := sam.PositionStatus{Position: n, State: p.state}
		if complete {
			ps.Value = p.message(n, s.Algorithm)
		}
		st.Positions = append(st.Positions, ps)
	}
	return nil
}
