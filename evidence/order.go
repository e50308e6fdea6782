package evidence

import (
	"tekend/consent"
	"tekend/order"
)

// order: if the provider signed an order, it is signed with a key of its set,
// of as many documents, and was in force when the question was made. An order
// names whole files; the manifest has the same digests only when the provider
// prepared the documents itself. Else that they are those files with a
// signature behind them was compared by the sam.
func (j *job) order() error {
	o := j.b.Order
	if o == nil {
		return nil
	}
	keys, err := order.ReadKeySet(o.KeySet)
	if err != nil {
		return fault(StepOrder, "%w", err)
	}
	got, err := order.Verify(o.JWS, o.Provider, keys)
	if err != nil {
		return fault(StepOrder, "%w", err)
	}
	if err := got.At(j.rows[0].At); err != nil {
		return fault(StepOrder, "%w", err)
	}
	if len(got.Documents) != len(j.m.Docs) {
		return fault(StepOrder, "it is of %d documents, not of %d", len(got.Documents), len(j.m.Docs))
	}
	j.rep.Provider, j.same = o.Provider, true
	for i, d := range got.Documents {
		want := d.SHA256
		if j.m.Docs[i].Alg == consent.SHA384 {
			want = d.SHA384
		}
		j.same = j.same && want == j.m.Docs[i].Doc
	}
	return nil
}
