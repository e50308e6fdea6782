package validate

import (
	"errors"
	"fmt"

	"tekend/pdf"
)

// changes judges what later revisions did to the document of each signature
// (specs/ades.md §10.2 no. 7, §10.3). What is not on the list of permitted
// changes keeps the signature from passing: the revision that it means is
// intact, and the document that a reader sees is another one.
func (d *document) changes() error {
	var ends []int64
	var whose []*item
	for _, it := range d.items {
		if it.judged && it.out.LaterChanges {
			ends, whose = append(ends, it.sig.RevisionEnd), append(whose, it)
		}
	}
	if len(ends) == 0 {
		return nil
	}
	list, err := pdf.AllDifferences(d.r, d.size, ends, d.o.PDF)
	if err != nil {
		if _, ok := errors.AsType[*pdf.Error](err); !ok || d.ctx.Err() != nil {
			return fmt.Errorf("compare revisions: %w", err)
		}
	}
	for n, it := range whose {
		c := pdf.Changes{}
		switch {
		case err != nil:
			c.Reasons = []string{err.Error()}
		case n < len(list):
			c = list[n]
		}
		s := &it.out
		s.Changes = c.Level.String()
		if c.Permitted {
			continue
		}
		s.fail(Indeterminate, SigConstraintsFailure, "later_changes: the signed revision is intact, and the document was changed after it (%s)", c.Level)
		for _, r := range c.Reasons {
			s.fail(Indeterminate, SigConstraintsFailure, "later_changes: %s", r)
		}
	}
	return nil
}
