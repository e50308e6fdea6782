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
	digests := make([][]byte, len(j.b.Positions))
	for i, p := range j.b.Positions {
		digests[i] = p.Digest // of the manifest: attributes looks at it
	}
	j.rep.Provider, j.same = o.Provider, got.Covers(hashes[j.m.Docs[0].Alg], digests) == nil
	if j.m.Docs[0].Origin == consent.OriginHash && !j.same {
		return fault(StepOrder, "it is of other hashes")
	}
	return nil
}
