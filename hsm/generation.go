package hsm

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/miekg/pkcs11"
)

// The generation is a number in the token that grows with every start of its
// role. Beside it the role keeps the same number outside the token: a token
// directory that is put back shows a lower one.
//
// It is a private data object. A new number is a new object, and the old ones
// go only when the new one is there: a kill in between leaves two, of which the
// higher counts; an object that was half written is none.

// generationLabel is the CKA_LABEL of the objects.
const generationLabel = "tekend-generation"

// ErrNoData means that the module keeps no data objects in its token (NSS), so
// that there is no generation.
var ErrNoData = errors.New("hsm: the module keeps no data objects in its token")

// maxGenerations bounds how many objects one look takes: each kill can leave one.
const maxGenerations = 1000

// Generation is the highest number in the token, 0 when there is none.
func (t *Token) Generation(ctx context.Context) (highest int64, err error) {
	err = t.with(ctx, func(s *session) error {
		found, err := t.lib.generations(s.handle)
		for _, g := range found {
			highest = max(highest, g.number)
		}
		return err
	})
	return highest, err
}

// RaiseGeneration writes n, which must be above the present number, and then
// destroys the lower ones. It is called once per start, while nothing is served.
func (t *Token) RaiseGeneration(ctx context.Context, n int64) error {
	return t.readWrite(ctx, func(s *session) error { return t.lib.raiseGeneration(s.handle, n) })
}

func (l *library) raiseGeneration(h pkcs11.SessionHandle, n int64) error {
	old, err := l.generations(h)
	if err != nil {
		return err
	}
	for _, g := range old {
		if g.number >= n {
			return fmt.Errorf("hsm: the token's generation is %d already", g.number)
		}
	}
	_, err = l.ctx.CreateObject(h, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_DATA),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_MODIFIABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_APPLICATION, "tekend"),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, generationLabel),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE, []byte(strconv.FormatInt(n, 10))),
	})
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_VALUE_INVALID)) {
		return fmt.Errorf("%w: %w", ErrNoData, fail("C_CreateObject", err))
	}
	if err != nil {
		return fail("C_CreateObject", err)
	}
	// Read back what the token keeps: a module that forgets is no memory.
	now, err := l.generations(h)
	if err != nil {
		return err
	}
	kept := false
	for _, g := range now {
		kept = kept || g.number == n
	}
	if !kept {
		return errors.New("hsm: the token did not keep its new generation")
	}
	for _, g := range old {
		_ = l.ctx.DestroyObject(h, g.handle) // a lower number does no harm; the next start tries again
	}
	return nil
}

type generation struct {
	handle pkcs11.ObjectHandle
	number int64
}

// generations reads all whole objects.
func (l *library) generations(h pkcs11.SessionHandle) ([]generation, error) {
	err := l.ctx.FindObjectsInit(h, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_DATA),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, generationLabel),
	})
	if err != nil {
		return nil, fail("C_FindObjectsInit", err)
	}
	list, _, err := l.ctx.FindObjects(h, maxGenerations)
	if err := errors.Join(fail("C_FindObjects", err), fail("C_FindObjectsFinal", l.ctx.FindObjectsFinal(h))); err != nil {
		return nil, err
	}
	var all []generation
	for _, o := range list {
		a, err := l.ctx.GetAttributeValue(h, o, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
		if err != nil && needsReinit(fail("C_GetAttributeValue", err)) {
			return nil, fail("C_GetAttributeValue", err)
		}
		if err != nil || len(a) != 1 {
			continue // half written
		}
		n, err := strconv.ParseInt(string(a[0].Value), 10, 64)
		if err != nil || n < 1 || strconv.FormatInt(n, 10) != string(a[0].Value) {
			continue
		}
		all = append(all, generation{o, n})
	}
	return all, nil
}
