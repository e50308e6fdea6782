package audit

import (
	"context"
	"fmt"
)

// Find gives the events of one kind about a subject, oldest first, at most limit.
// What it reads counts when the record around it is whole (Verify, Inspect).
func Find(ctx context.Context, q Querier, subject, kind string, limit int) ([]Event, error) {
	rows, err := q.QueryContext(ctx, "SELECT seq, at, high, kind, subject, detail, salt, prev, hash FROM audit WHERE subject = ? AND kind = ? ORDER BY seq LIMIT ?", subject, kind, limit)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []Event
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.seq, &r.at, &r.high, &r.kind, &r.subject, &r.detail, &r.salt, &r.prev, &r.hash); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		e, err := r.event()
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return all, nil
}
