package hsm

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// attach makes slot, login and handles good for the module's start gen: find the slot by label, log in, find the known
// keys again. It runs once per start.
func (t *Token) attach(ctx context.Context, gen uint64) error {
	if !t.attaching.take(ctx) {
		return ErrBusy
	}
	defer t.attaching.give()
	t.mu.Lock()
	attached, locked := t.gen == gen, t.locked
	t.mu.Unlock()
	if locked != nil {
		return locked
	}
	if attached {
		return nil
	}
	err := t.attachNow(gen)
	if err == nil {
		return nil
	}
	if pinRefused(err) {
		// Trying again could lock the PIN; an operator must act.
		locked = fmt.Errorf("%w (token %q, PIN file %s); correct it and start again: %w", ErrPIN, t.cfg.TokenLabel, t.cfg.PINFile, err)
		t.mu.Lock()
		t.locked = locked
		t.mu.Unlock()
		return locked
	}
	t.lib.markStale(gen, err.Error())
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func (t *Token) attachNow(gen uint64) error {
	slot, err := t.lib.findSlot(t.cfg.TokenLabel)
	if err != nil {
		return err
	}
	login, err := t.logIn(slot)
	if err != nil {
		return err
	}
	t.mu.Lock()
	known := make([]object, 0, len(t.handles))
	for o := range t.handles {
		known = append(known, o)
	}
	t.mu.Unlock()
	found := map[object]foundHandle{}
	for _, o := range known {
		h, err := t.lib.findObject(login, o)
		if errors.Is(err, ErrNoKey) {
			found[o] = 0 // keep the name: the key may be back after the next start
			continue
		}
		if err != nil {
			return err
		}
		found[o] = h
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slot, t.login, t.handles, t.gen = slot, login, found, gen
	t.residents = map[string]keyHandle{} // they are many; each is searched when it is used again
	return nil
}

// logIn opens the session that keeps the login and logs in, unless another Token of this process already is.
func (t *Token) logIn(slot uint) (pkcs11.SessionHandle, error) {
	session, err := t.lib.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return 0, fail("C_OpenSession", err)
	}
	pin, err := readPIN(t.cfg.PINFile)
	if err != nil {
		return 0, errors.Join(err, fail("C_CloseSession", t.lib.ctx.CloseSession(session)))
	}
	err = t.lib.ctx.Login(session, pkcs11.CKU_USER, pin)
	if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		return 0, errors.Join(fail("C_Login", err), fail("C_CloseSession", t.lib.ctx.CloseSession(session)))
	}
	return session, nil
}

// findSlot finds the one initialised token with the label.
func (l *library) findSlot(label string) (uint, error) {
	slots, err := l.ctx.GetSlotList(true)
	if err != nil {
		return 0, fail("C_GetSlotList", err)
	}
	found, count := uint(0), 0
	for _, slot := range slots {
		info, err := l.ctx.GetTokenInfo(slot)
		if err != nil || info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 || info.Label != label {
			continue // a slot whose token cannot be read is not ours
		}
		found = slot
		count++
	}
	switch count {
	case 0:
		return 0, fmt.Errorf("hsm: no token is labelled %q; make it with `tekend-trusted keys init`, or put the copy of the token directory back", label)
	case 1:
		return found, nil
	}
	return 0, fmt.Errorf("hsm: %d tokens are labelled %q; labels must be unique", count, label)
}

// findObject finds the one token object of a class with a label.
func (l *library) findObject(session pkcs11.SessionHandle, o object) (pkcs11.ObjectHandle, error) {
	template := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, o.class),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, o.label),
	}
	if o.id != "" {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(o.id)))
	}
	if err := l.ctx.FindObjectsInit(session, template); err != nil {
		return 0, fail("C_FindObjectsInit", err)
	}
	list, _, err := l.ctx.FindObjects(session, 2)
	if err := errors.Join(fail("C_FindObjects", err), fail("C_FindObjectsFinal", l.ctx.FindObjectsFinal(session))); err != nil {
		return 0, err
	}
	switch len(list) {
	case 0:
		return 0, fmt.Errorf("%w: %q", ErrNoKey, o.label)
	case 1:
		return list[0], nil
	}
	return 0, fmt.Errorf("hsm: two keys of one class are labelled %q; labels, and the ids of users' keys, must be unique", o.label)
}

// handle is the kept handle of a key; the first time, the key is searched.
func (t *Token) handle(s *session, o object) (pkcs11.ObjectHandle, error) {
	t.mu.Lock()
	h, known := t.handles[o]
	t.mu.Unlock()
	if h != 0 {
		return h, nil
	}
	h, err := t.lib.findObject(s.handle, o)
	if err != nil && !(known && errors.Is(err, ErrNoKey)) {
		return 0, err
	}
	if err != nil {
		// We had it before: the token directory may be gone (a search in it finds nothing and says no more).
		return 0, errors.Join(err, &Error{Call: "C_FindObjects", RV: pkcs11.CKR_OBJECT_HANDLE_INVALID, Class: ClassSession})
	}
	t.mu.Lock()
	t.handles[o] = h
	t.mu.Unlock()
	return h, nil
}
