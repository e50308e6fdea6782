package validate

import (
	"errors"
	"fmt"
	"io"

	"tekend/pdf"
)

// compared is what later revisions did to the document of each signature that has such.
type compared struct {
	whose []*item
	list  []pdf.Changes
	err   error
}

// compare asks for that, and reads the document through r.
func (d *document) compare(r io.ReaderAt) {
	c := &d.compared
	var ends []int64
	for _, it := range d.items {
		if end := it.sig.RevisionEnd; it.judged && end > 0 && end < d.size {
			ends, c.whose = append(ends, end), append(c.whose, it)
		}
	}
	if len(ends) > 0 {
		c.list, c.err = pdf.AllDifferences(r, d.size, ends, d.o.PDF)
	}
}

// changes judges what later revisions did to the document of each signature
// (specs/ades.md §10.2 no. 7, §10.3). What is not on the list of permitted
// changes keeps the signature from passing: the revision that it means is
// intact, and the document that a reader sees is another one.
func (d *document) changes() error {
	list, err := d.compared.list, d.compared.err
	if err != nil {
		if _, ok := errors.AsType[*pdf.Error](err); !ok || d.ctx.Err() != nil {
			return fmt.Errorf("compare revisions: %w", err)
		}
	}
	for n, it := range d.compared.whose {
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
