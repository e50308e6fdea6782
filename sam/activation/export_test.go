package activation

import (
	"context"
	"time"
)

// Reseal gives a link row that a test has changed its MAC again: then only the
// token can tell that something is wrong with the key.
func (r *Role) Reseal(ctx context.Context, id string) error {
	l, err := r.readLink(ctx, id)
	if err != nil {
		return err
	}
	mac, err := r.mac(ctx, l.fields())
	if err != nil {
		return err
	}
	_, err = r.db.ExecContext(ctx, "UPDATE links SET mac = ? WHERE id = ?", mac, id)
	return err
}

// SendDue sends what is due and waits until it is sent or failed.
func (r *Role) SendDue(ctx context.Context) error {
	err := r.dispatch(ctx)
	for r.out != nil && len(r.out.slots) > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	return err
}

// SettleRefusals tells what was refused in the last minute too.
func (r *Role) SettleRefusals(ctx context.Context) error { return r.settleRefusals(ctx, 0) }

// Letter writes a message for an address and a subject as they are.
func Letter(to, subject string) ([]byte, error) {
	return letter{id: "1@x.test", from: "a@x.test", to: to, subject: subject, language: "en", body: "text\r\n.\r\nend\r\n"}.bytes()
}

// PlainAddress is what the outbox writes to.
func PlainAddress(s string) bool { return plainAddress(s) }

// NoticeBody is a notice in words.
func NoticeBody(lang, kind string, documents int) (subject, body string, err error) {
	all, err := catalogues()
	if err != nil {
		return "", "", err
	}
	n := notice{kind: kind, seq: 7, concern: concern{documents: documents, txn: "sr_1-1", root: digest([]byte("root"))}}
	body, err = n.body(all[lang], "+32 2 555 00 00")
	return all[lang].say("subject." + kind), body, err
}

// CheckNotices opens the section of a configuration.
func CheckNotices(n Notices) error {
	_, err := n.open()
	return err
}

// DestroyKey destroys the key of a credential, as operators may have done.
func (r *Role) DestroyKey(ctx context.Context, id string) error {
	l, err := r.credential(ctx, id)
	if err != nil {
		return err
	}
	return r.destroyKey(ctx, l, "the test wants it")
}

// Sweep is one look of the sweeping, with a search of the token.
func (r *Role) Sweep(ctx context.Context) error { return r.sweep(ctx, true) }

// Reconcile takes one look at what is not finished of revocations.
func (r *Role) Reconcile(ctx context.Context) error { return r.reconcile(ctx) }

// Code is a credential's revocation code.
func (r *Role) Code(ctx context.Context, id string) (string, error) { return r.revocationCode(ctx, id) }

// What the sweeping looks for.
const (
	FindOnce    = findOnce
	FindExpired = findExpired
)
