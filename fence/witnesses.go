package fence

import (
	"context"

	"tekend/audit"
)

// WitnessesOf makes the witnesses of a log askable. What they hold counts only
// with the signatures of the log and of the witness.
func WitnessesOf(c audit.LogConfig) ([]Witness, error) {
	log, err := c.Verifier()
	if err != nil {
		return nil, err
	}
	var all []Witness
	for _, w := range c.Witnesses {
		all = append(all, func(ctx context.Context, origin string) (Seen, bool, error) {
			held, err := w.Held(ctx, origin, log)
			if err != nil || held == nil {
				return Seen{}, false, err
			}
			return Seen{held.Size, held.Root}, true, nil
		})
	}
	return all, nil
}
