package authority

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
)

// recoverRevocations puts back what the database has lost of an issuer's
// published CRL, before a new one takes that file's place: an old copy of the
// database that operators accepted must not make a revoked certificate good
// again (Regulation art. 28(4)). The file is the role's own, and counts only with
// the issuer's signature.
func (r *Role) recoverRevocations(ctx context.Context, i *issuer) error {
	if r.cfg.PublishDir == "" || r.gate.Locked() {
		return nil // it is done at the start after the lock
	}
	der, err := readPublished(filepath.Join(r.cfg.PublishDir, "crl", i.name+".crl"))
	if err != nil || der == nil {
		return err
	}
	sum := sha256.Sum256(der)
	var newest string
	err = r.db.QueryRowContext(ctx, "SELECT sha256 FROM crls WHERE issuer = ? AND sha256 IS NOT NULL ORDER BY number DESC LIMIT 1", i.name).Scan(&newest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("look up the newest CRL: %w", err)
	}
	if newest == hex.EncodeToString(sum[:]) {
		return nil // the usual case
	}
	list, err := x509.ParseRevocationList(der)
	if err == nil {
		err = list.CheckSignatureFrom(i.cert)
	}
	if err != nil {
		r.cfg.Log.Error("the published CRL is not ours", "role", "ca", "issuer", i.name, "cause", err.Error())
		return nil
	}
	for _, e := range list.RevokedCertificateEntries {
		if err := r.recoverRevocation(ctx, i, list, e); err != nil {
			return fmt.Errorf("recover revocations: %w", err)
		}
	}
	return nil
}

// readPublished gives a published CRL, nil when there is none.
func readPublished(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the published CRL: %w", err)
	}
	der, err := io.ReadAll(io.LimitReader(f, ca.MaxPublished+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read the published CRL: %w", err)
	}
	if len(der) > ca.MaxPublished {
		return nil, fmt.Errorf("the published CRL %s is longer than %d bytes", path, ca.MaxPublished)
	}
	return der, nil
}

// recoverRevocation records one entry that is not in the database.
func (r *Role) recoverRevocation(ctx context.Context, i *issuer, list *x509.RevocationList, e x509.RevocationListEntry) error {
	serial := certs.SerialHex(e.SerialNumber)
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		there, err := isRevoked(ctx, tx, serial)
		if err != nil || there {
			return err
		}
		var seq int64
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) + 1 FROM revocations").Scan(&seq); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO revocations (seq, serial, issuer, reason, by_whom, at) VALUES (?, ?, ?, ?, 'crl', ?)",
			seq, serial, i.name, e.ReasonCode, e.RevocationTime.Unix()); err != nil {
			return err
		}
		if err := withdrawAnswers(ctx, tx, serial); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "certificate.revoked", Subject: serial, Detail: map[string]string{
			"by": "crl", "crl": list.Number.String(), "reason": strconv.Itoa(e.ReasonCode), "seq": strconv.FormatInt(seq, 10), "issuer": i.name,
		}})
	})
}
