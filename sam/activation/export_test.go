package activation

import "context"

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
