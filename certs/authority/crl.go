package authority

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"sync"
	"time"

	"tekend/audit"
	"tekend/certs"
)

// crlState is the newest CRL of an issuing CA.
type crlState struct {
	sync.Mutex
	this, next time.Time
	revoked    int64     // seq up to which its revocations go
	list       *spool    // nil: there is none
	failed     time.Time // of the last attempt that did not make one
}

// retryCRL is the pause after a failed attempt: a token that is away must not
// be asked with every reader of the CRL.
const retryCRL = 30 * time.Second

// A CRL of more than manyRevoked bytes (some 10 000 entries) is not made anew for
// each certificate that is issued, but at most once in pauseMany: OCSP tells of
// new certificates, and what was revoked is on the CRL at once all the same.
const (
	manyRevoked = 512 << 10
	pauseMany   = 10 * time.Minute
)

// lastUpdate is nextUpdate of a CA's last CRL: there will be no other one (EN
// 319 411-1 CSS-6.3.9-06, RFC 5280 §4.1.2.5).
var lastUpdate = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// last tells that the CA has published its last CRL.
func (s *crlState) last() bool { return s.list != nil && s.next.Equal(lastUpdate) }

// loadCRL reads an issuer's newest CRL into a file, and what it must contain.
func (r *Role) loadCRL(ctx context.Context, i *issuer) error {
	var newest, seq int64
	err := r.db.QueryRowContext(ctx, "SELECT coalesce(max(at), 0) FROM orders WHERE state = 'issued' AND issuer = ?", i.name).Scan(&newest)
	if err == nil {
		err = r.db.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM revocations WHERE issuer = ?", i.name).Scan(&seq)
	}
	if err != nil {
		return fmt.Errorf("load CRL: %w", err)
	}
	s := &i.crl
	s.Lock()
	defer s.Unlock()
	i.revoked.Store(seq)
	i.newest.Store(newest)
	var number, this, next int64
	var whole []byte
	err = r.db.QueryRowContext(ctx, `SELECT number, this_update, next_update, revoked, crl FROM crls
		WHERE issuer = ? AND (crl IS NOT NULL OR sha256 IS NOT NULL) ORDER BY number DESC LIMIT 1`, i.name).Scan(&number, &this, &next, &s.revoked, &whole)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load CRL: %w", err)
	}
	list, err := newSpool(r.cfg.PublishDir)
	if err != nil {
		return fmt.Errorf("load CRL: %w", err)
	}
	if err := r.readParts(ctx, number, whole, list); err != nil {
		list.release()
		return fmt.Errorf("load CRL: %w", err)
	}
	s.this, s.next, s.list = time.Unix(this, 0).UTC(), time.Unix(next, 0).UTC(), list
	return nil
}

// CRL gives the CRL of the issuing CA in force.
func (r *Role) CRL(ctx context.Context) (*List, error) { return r.crlOf(ctx, r.issuers[0]) }

// crlOf gives an issuer's CRL. It makes a new one when half the life of the
// present one is over, when a certificate was revoked since, and (but for
// manyRevoked) when one was issued: a CRL from before a certificate's notBefore says nothing about it, and
// EU DSS refuses it as revocation information (RevocationConsistentCheck, FAIL
// in its default policy). When a new one cannot be made the present one is given
// as long as it is valid, and that needs neither database nor token.
func (r *Role) crlOf(ctx context.Context, i *issuer) (*List, error) {
	if err := r.shut(); err != nil {
		return nil, err // the newest one here may be older than one that was published
	}
	s := &i.crl
	s.Lock()
	defer s.Unlock()
	now := r.cfg.Now()
	if s.list != nil && s.fresh(now, i.newest.Load()) && s.revoked >= i.revoked.Load() || s.last() {
		return s.open(), nil
	}
	var err error
	if now.Sub(s.failed).Abs() >= retryCRL {
		if err = r.newCRL(context.WithoutCancel(ctx), i, now, false); err != nil {
			s.failed = now
		}
	}
	if s.list == nil || now.After(s.next) {
		return nil, errors.Join(errors.New("there is no current CRL"), err)
	}
	return s.open(), nil
}

// fresh tells whether the present CRL needs no successor for its age, or for the
// newest certificate (seconds since 1970).
func (s *crlState) fresh(now time.Time, newest int64) bool {
	half := s.this.Add(s.next.Sub(s.this) / 2)
	covers := s.this.Unix() >= newest || s.list.size > manyRevoked && now.Before(s.this.Add(pauseMany))
	return covers && now.Before(half) && !now.Before(s.this.Add(-audit.Backstep))
}

// open gives a reader of the CRL; the caller has the lock.
func (s *crlState) open() *List {
	l := s.list.open()
	l.revoked = s.revoked
	return l
}

// newCRL records its intent, has the CRL signed and stores it; the caller has
// the lock of i.crl. The number is the time in seconds, or one more than the
// last: it also grows when an old database was put back (RFC 5280 §5.2.3).
func (r *Role) newCRL(ctx context.Context, i *issuer, now time.Time, last bool) error {
	s := &i.crl
	c := crlIntent{this: now.UTC().Truncate(time.Second), last: last}
	if err := r.intendCRL(ctx, i, &c); err != nil {
		return err
	}
	list, err := newSpool(r.cfg.PublishDir)
	if err != nil {
		return fmt.Errorf("make CRL: %w", err)
	}
	entries := 0
	sum, err := list.fill(func(w io.Writer) error {
		return certs.WriteCRL(w, certs.CRLSpec{
			Issuer: certs.Issuer{Cert: i.cert, Signer: i.signer}, Number: big.NewInt(c.number), ThisUpdate: c.this, NextUpdate: c.next,
			ExpiredCerts: i.cert.NotBefore, Last: last,
			Entries: func(yield func(certs.Revoked) error) error {
				entries = 0
				return r.eachRevoked(ctx, i.name, c.revoked, func(e revoked) error { entries++; return yield(e.Revoked) })
			},
		})
	})
	if err == nil {
		err = r.storeCRL(ctx, c.number, list, map[string]string{"issuer": i.name, "sha256": sum, "entries": strconv.Itoa(entries)})
	}
	if err != nil {
		list.release()
		return err
	}
	if s.list != nil {
		s.list.release()
	}
	s.this, s.next, s.revoked, s.list = c.this, c.next, c.revoked, list
	whole := list.open()
	defer func() { _ = whole.Close() }()
	return publish(whole, r.cfg.PublishDir, i.name)
}

// crlIntent is a CRL that will be signed.
type crlIntent struct {
	number     int64
	this, next time.Time
	revoked    int64 // seq up to which it goes
	last       bool
}

// intendCRL records that a CRL will be signed, and up to which revocation it
// goes. Every CRL of the role has a number of its own. thisUpdate is not before
// the newest revocation, which may have come while the database was waited for.
func (r *Role) intendCRL(ctx context.Context, i *issuer, c *crlIntent) error {
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		var newest int64
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) FROM crls").Scan(&c.number); err != nil {
			return fmt.Errorf("record CRL: %w", err)
		}
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM revocations WHERE issuer = ?", i.name).Scan(&c.revoked); err != nil {
			return fmt.Errorf("record CRL: %w", err)
		}
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(at), 0) FROM revocations WHERE seq = ?", c.revoked).Scan(&newest); err != nil {
			return fmt.Errorf("record CRL: %w", err)
		}
		c.this = time.Unix(max(c.this.Unix(), newest), 0).UTC()
		if c.next = c.this.Add(r.cfg.CRLLife); c.last {
			c.next = lastUpdate
		}
		c.number = max(c.number+1, c.this.Unix())
		if _, err := tx.ExecContext(ctx, "INSERT INTO crls (number, this_update, next_update, issuer, revoked) VALUES (?, ?, ?, ?, ?)",
			c.number, c.this.Unix(), c.next.Unix(), i.name, c.revoked); err != nil {
			return fmt.Errorf("record CRL: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "crl.intent", Subject: strconv.FormatInt(c.number, 10), Detail: map[string]string{"issuer": i.name}})
	})
}

// maxPart is a piece of a CRL in the database, in bytes.
const maxPart = 1 << 20

// storeCRL stores the CRL in parts, in place of the issuer's earlier one, of
// which the row stays.
func (r *Role) storeCRL(ctx context.Context, number int64, list *spool, detail map[string]string) error {
	from := list.open()
	defer func() { _ = from.Close() }()
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM crl_parts WHERE number IN (SELECT number FROM crls WHERE issuer = ?)", detail["issuer"]); err != nil {
			return fmt.Errorf("store CRL: %w", err)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE crls SET sha256 = ? WHERE number = ?", detail["sha256"], number); err != nil {
			return fmt.Errorf("store CRL: %w", err)
		}
		piece := make([]byte, maxPart)
		for part := 0; ; part++ {
			n, err := io.ReadFull(from, piece)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("store CRL: %w", err)
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO crl_parts (number, part, der) VALUES (?, ?, ?)", number, part, piece[:n]); err != nil {
				return fmt.Errorf("store CRL: %w", err)
			}
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "crl.issued", Subject: strconv.FormatInt(number, 10), Detail: detail})
	})
}

// readParts writes a stored CRL into a file and compares its digest.
func (r *Role) readParts(ctx context.Context, number int64, whole []byte, to *spool) error {
	var want sql.NullString
	if err := r.db.QueryRowContext(ctx, "SELECT sha256 FROM crls WHERE number = ?", number).Scan(&want); err != nil {
		return err
	}
	sum, err := to.fill(func(w io.Writer) error {
		if whole != nil {
			_, err := w.Write(whole)
			return err
		}
		for part := 0; ; part++ {
			var der []byte
			err := r.db.QueryRowContext(ctx, "SELECT der FROM crl_parts WHERE number = ? AND part = ?", number, part).Scan(&der)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := w.Write(der); err != nil {
				return err
			}
		}
	})
	if err == nil && want.Valid && want.String != sum {
		err = errors.New("the stored CRL is damaged")
	}
	return err
}

// revoked is a row of the table revocations.
type revoked struct {
	seq    int64
	serial string
	certs.Revoked
}

// pageRevoked is how many rows are read at once: no reading of the whole table
// stands in the way of the database's housekeeping.
const pageRevoked = 10_000

// eachRevoked gives an issuer's revocations in order, up to a seq. It can be
// called again and gives the same: rows are final.
func (r *Role) eachRevoked(ctx context.Context, name string, upTo int64, yield func(revoked) error) error {
	for after := int64(0); after < upTo; {
		rows, err := r.db.QueryContext(ctx, "SELECT seq, serial, reason, at FROM revocations WHERE issuer = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
			name, after, upTo, pageRevoked)
		if err != nil {
			return fmt.Errorf("read revocations: %w", err)
		}
		n := 0
		for ; rows.Next(); n++ {
			e := revoked{Revoked: certs.Revoked{Serial: new(big.Int)}}
			var at int64
			err = rows.Scan(&e.seq, &e.serial, &e.Reason, &at)
			if err == nil {
				var serial []byte
				serial, err = hex.DecodeString(e.serial)
				e.Serial.SetBytes(serial)
				e.At, after = time.Unix(at, 0).UTC(), e.seq
			}
			if err == nil {
				err = yield(e)
			}
			if err != nil {
				break
			}
		}
		if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("read revocations: %w", err)
		}
		if n < pageRevoked {
			return nil
		}
	}
	return nil
}

// fill writes the file, once, and gives the hexadecimal SHA-256 of its bytes.
func (s *spool) fill(write func(io.Writer) error) (string, error) {
	h := sha256.New()
	b := bufio.NewWriterSize(s.file, 256<<10)
	if err := write(io.MultiWriter(b, h)); err != nil {
		return "", err
	}
	if err := b.Flush(); err != nil {
		return "", fmt.Errorf("write CRL: %w", err)
	}
	info, err := s.file.Stat()
	if err != nil {
		return "", fmt.Errorf("write CRL: %w", err)
	}
	s.size = info.Size()
	return hex.EncodeToString(h.Sum(nil)), nil
}
