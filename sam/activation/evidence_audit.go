package activation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"tekend/audit"
	"tekend/consent"
	"tekend/sam"
)

// addRows adds the rows that tell of this confirmation, each with its proof
// under one checkpoint.
func (r *Role) addRows(ctx context.Context, b *consent.Bundle, nonce string) error {
	seqs, err := r.rowsOf(ctx, nonce, len(b.Positions))
	if err != nil {
		return err
	}
	// The newest checkpoint may change between two proofs; then once more.
	for range 3 {
		b.Audit = consent.AuditExtract{}
		same, err := r.proveRows(ctx, &b.Audit, seqs)
		if err != nil {
			return err
		}
		if same {
			var enough bool
			if b.Audit.LogKey, b.Audit.WitnessKeys, enough = r.log.VerifierKeys(b.Audit.Checkpoint); !enough {
				return after(sam.CodeNotYet, "the rows of the record are not witnessed yet", proofSoon)
			}
			return nil
		}
	}
	return after(sam.CodeNotYet, "the record grows too fast; ask again", proofSoon)
}

// proveRows gives false when not all proofs are under one checkpoint.
func (r *Role) proveRows(ctx context.Context, a *consent.AuditExtract, seqs []int64) (same bool, err error) {
	for _, seq := range seqs {
		p, err := audit.Prove(ctx, r.db, seq)
		if errors.Is(err, audit.ErrNotYet) {
			return false, after(sam.CodeNotYet, "the rows of the record are not under a checkpoint yet", proofSoon)
		}
		if err != nil {
			return false, fmt.Errorf("prove a row: %w", err)
		}
		if a.Checkpoint == "" {
			a.Checkpoint = p.Checkpoint
		}
		if a.Checkpoint != p.Checkpoint {
			return false, nil
		}
		a.Rows = append(a.Rows, consent.AuditRow{Seq: p.Seq, Row: p.Row, Hashes: p.Hashes})
	}
	return true, nil
}

// rowsOf gives the numbers of the rows: question, confirmation, then of each
// position the intent that led to its value, and the use.
func (r *Role) rowsOf(ctx context.Context, nonce string, positions int) ([]int64, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT seq, kind, detail FROM audit
		WHERE subject = ? AND kind IN ('confirmation.prepared', 'confirmation.authorized', 'key.intent', 'key.used') ORDER BY seq`, nonce)
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	defer func() { _ = rows.Close() }()
	seqs := make([]int64, 2+2*positions)
	for rows.Next() {
		var seq int64
		var kind, detail string
		if err := rows.Scan(&seq, &kind, &detail); err != nil {
			return nil, fmt.Errorf("read the record: %w", err)
		}
		i, err := slot(kind, detail)
		if err != nil || i >= len(seqs) {
			return nil, errors.New("read the record: a row does not fit the confirmation")
		}
		seqs[i] = seq // a later intent: the first one came to nothing, the key was not asked
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	for _, s := range seqs {
		if s == 0 {
			return nil, errors.New("read the record: a row of the confirmation is missing")
		}
	}
	return seqs, nil
}

// slot is where a row stands in the bundle.
func slot(kind, detail string) (int, error) {
	switch kind {
	case "confirmation.prepared":
		return 0, nil
	case "confirmation.authorized":
		return 1, nil
	}
	var d struct {
		Position string `json:"position"`
	}
	if err := json.Unmarshal([]byte(detail), &d); err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(d.Position)
	if err != nil || n < 0 {
		return 0, errors.New("no position")
	}
	if kind == "key.intent" {
		return 2 + 2*n, nil
	}
	return 3 + 2*n, nil
}
