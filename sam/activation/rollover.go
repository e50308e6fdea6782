package activation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/db"
	"tekend/hsm"
	"tekend/itsme"
)

// Roll-over (docs/decisions/0018-life.md).
//
// A key-encryption key is replaced by letting its keys end: new keys are made
// under the new one, whoever has a key under an old one enrols anew at the next
// order, and the old one leaves the token when no key is under it. Keys are not
// wrapped anew, because nobody can: what the KEK unwraps is never extractable
// again (its CKA_UNWRAP_TEMPLATE, which ProbeKEK proves at every start), and that is
// what keeps a thief with PIN and database from taking keys away.
//
// The issuing CA is replaced in three configurations too: the sam knows the next
// one, the ca changes over to it, the sam forgets the previous one when its
// certificates have ended. A certificate of either is of our root, and good when
// the ca says so.
//
// The keys of our itsme clients are replaced in three configurations: the next
// keys are published, they are used and the previous ones stay published, they
// are alone. itsme caches a key set for half an hour (JWKS), so at least so long
// lies between two of them.

// checkRollover is part of check.
func (c Config) checkRollover() error {
	for i, label := range c.PreviousKEKs {
		if label == "" || label == c.KEK || slices.Contains(c.PreviousKEKs[:i], label) {
			return errors.New("sam: previous_keks must be other keys than kek, each once")
		}
	}
	if c.RenewBefore < 0 {
		return errors.New("sam: renew_before must not be negative")
	}
	seen := map[string]bool{}
	for name, client := range map[string]ClientConfig{"ident": c.Ident, "confirm": c.Confirm} {
		kids := map[string]bool{client.SigKID: true, client.EncKID: true}
		for _, v := range []string{client.SigLabel, client.EncKeyFile} {
			seen[v] = true
		}
		for _, k := range client.OtherKeys {
			if (k.SigLabel == "") != (k.SigKID == "") || (k.EncKeyFile == "") != (k.EncKID == "") || k.SigLabel == "" && k.EncKeyFile == "" {
				return fmt.Errorf("sam: %s.other_keys need sig_label with sig_kid, or enc_key_file with enc_kid, or all four", name)
			}
			for _, kid := range []string{k.SigKID, k.EncKID} {
				if kid != "" && kids[kid] {
					return fmt.Errorf("sam: %s: a kid stands for one key", name)
				}
				kids[kid] = true
			}
		}
	}
	for name, client := range map[string]ClientConfig{"ident": c.Ident, "confirm": c.Confirm} {
		for _, k := range client.OtherKeys {
			for _, v := range []string{k.SigLabel, k.EncKeyFile} {
				if v != "" && seen[v] {
					return fmt.Errorf("sam: %s.other_keys must be other keys than those in use, and no other client's", name)
				}
				seen[v] = true
			}
		}
	}
	return nil
}

// addKeys publishes other keys of a client, and reads what is encrypted for them.
func (r *Role) addKeys(ctx context.Context, p *party, set *jose.JSONWebKeySet, k ClientKeys) error {
	if k.SigLabel != "" {
		sig, err := r.token.Signer(ctx, k.SigLabel)
		if err != nil {
			return err
		}
		set.Keys = append(set.Keys, itsme.PublicKey(sig.Public(), k.SigKID, "sig"))
	}
	if k.EncKeyFile == "" {
		return nil
	}
	enc, err := readDecryptionKey(k.EncKeyFile)
	if err != nil {
		return err
	}
	set.Keys = append(set.Keys, itsme.PublicKey(enc.Public(), k.EncKID, "enc"))
	p.decrypt = append(p.decrypt, jose.JSONWebKey{Key: enc, KeyID: k.EncKID, Use: "enc"})
	return nil
}

// readIssuers reads the issuing CAs whose certificates are taken: that in force,
// and those before and after it. Each must be one of our root's.
func (r *Role) readIssuers(root *x509.Certificate) error {
	for i, file := range append([]string{r.cfg.IssuerFile}, r.cfg.OtherIssuerFiles...) {
		c, err := readCertificate(file)
		if err == nil && i > 0 {
			err = c.CheckSignatureFrom(root)
		}
		if err != nil {
			return fmt.Errorf("issuer_file or other_issuer_files: %s: %w", file, err)
		}
		r.issuers = append(r.issuers, c)
	}
	return nil
}

// probeKEKs proves that every key-encryption key in use protects what is under
// it.
func (r *Role) probeKEKs(ctx context.Context) error {
	for _, label := range append([]string{r.cfg.KEK}, r.cfg.PreviousKEKs...) {
		err := r.token.ProbeKEK(ctx, label)
		if errors.Is(err, hsm.ErrKEK) && r.token.Unsafe() {
			r.cfg.Log.Warn("TEST ONLY: the token does not protect the keys it holds", "err", err)
			err = nil
		}
		if err != nil {
			return fmt.Errorf("probe the KEK %q: %w", label, err)
		}
	}
	return nil
}

// KEK says how much is under a key-encryption key.
type KEK struct {
	Label string
	Keys  int       // of credentials that are not at their end, and of applications on their way
	Last  time.Time // when the last of their certificates ends; zero: only applications, which last a day
}

// KEKs counts the keys under each key-encryption key in the role's database,
// which may be in use: only when nothing is under one any more may operators
// destroy it in the token. source is Config.DB.
func KEKs(ctx context.Context, source string) ([]KEK, error) {
	d, err := db.OpenReader(ctx, source)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	rows, err := d.QueryContext(ctx, `SELECT kek, COUNT(*), MAX(expires) FROM (
		SELECT kek, expires FROM links WHERE mechanism <> ? AND state <> 'destroyed'
		UNION ALL SELECT kek, 0 FROM enrolments WHERE mechanism <> ? AND step NOT IN ('done', 'existing')) AS k
		GROUP BY kek ORDER BY kek`, hsm.MechanismResident, hsm.MechanismResident)
	if err != nil {
		return nil, fmt.Errorf("count keys: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []KEK
	for rows.Next() {
		var k KEK
		var last int64
		if err := rows.Scan(&k.Label, &k.Keys, &last); err != nil {
			return nil, fmt.Errorf("count keys: %w", err)
		}
		if last > 1 {
			k.Last = time.UnixMicro(last).UTC()
		}
		all = append(all, k)
	}
	return all, rows.Err()
}
