package authority

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/audit"
)

// checkEvery is how often Run compares what CRL and OCSP say.
const checkEvery = time.Hour

// checks is the outcome of the last comparison.
type checks struct {
	sync.Mutex
	at  time.Time
	err error
}

func (r *Role) checkDue() bool {
	r.checked.Lock()
	defer r.checked.Unlock()
	return r.cfg.Now().Sub(r.checked.at).Abs() >= checkEvery
}

// errDiffers begins what a comparison finds.
var errDiffers = errors.New("CRL and OCSP do not say the same")

// Check compares what is published in both ways (EN 319 411-1 CSS-6.3.10-08,
// REV-14 of specs/eidas.md): each issuer's CRL, entry by entry, with the table
// that OCSP answers from, and with the state in every answer that was made in
// advance. A difference makes Health red and stands in the audit.
func (r *Role) Check(ctx context.Context) error {
	err := r.compare(ctx)
	if errors.Is(err, errDiffers) {
		err = r.note(ctx, audit.Event{Kind: "status.differs", Subject: "ca", Detail: map[string]string{"what": err.Error()}}, err)
	}
	r.checked.Lock()
	defer r.checked.Unlock()
	r.checked.at = r.cfg.Now()
	if err == nil || errors.Is(err, errDiffers) {
		r.checked.err = err
	}
	return err
}

func (r *Role) compare(ctx context.Context) error {
	for _, i := range r.issuers {
		if err := r.compareCRL(ctx, i); err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
	}
	for what, query := range map[string]string{
		"an OCSP answer says good of a revoked certificate":                 "SELECT count(*) FROM answers a JOIN revocations v ON v.serial = a.serial WHERE a.der IS NOT NULL AND a.revoked = 0",
		"an OCSP answer says revoked of a certificate that was not revoked": "SELECT count(*) FROM answers a LEFT JOIN revocations v ON v.serial = a.serial WHERE a.der IS NOT NULL AND a.revoked = 1 AND v.serial IS NULL",
	} {
		var n int
		if err := r.db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			return fmt.Errorf("compare OCSP answers: %w", err)
		}
		if n > 0 {
			return fmt.Errorf("%w: %s", errDiffers, what)
		}
	}
	return nil
}

// compareCRL holds the published CRL to the revocations up to which it goes.
func (r *Role) compareCRL(ctx context.Context, i *issuer) error {
	l, err := r.crlOf(ctx, i)
	if err != nil {
		return nil // there is none; Health says so
	}
	defer func() { _ = l.Close() }()
	entries, err := readEntries(l)
	if err != nil {
		return err
	}
	err = r.eachRevoked(ctx, i.name, l.revoked, func(want revoked) error {
		e, err := entries.next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the CRL lacks %s", errDiffers, want.serial)
		}
		if err == nil && (e.serial.Cmp(want.Serial) != 0 || !e.at.Equal(want.At)) {
			err = fmt.Errorf("%w: the CRL has another entry in place of %s", errDiffers, want.serial)
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := entries.next(); !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("%w: the CRL has an entry too many", errDiffers), err)
	}
	return nil
}

// entry is one revocation of a CRL.
type entry struct {
	serial *big.Int
	at     time.Time
}

// entries reads the entries of a CRL one by one, so that it need not be in memory.
//
//	TBSCertList ::= SEQUENCE { version INTEGER, signature AlgorithmIdentifier,
//	  issuer Name, thisUpdate Time, nextUpdate Time,
//	  revokedCertificates SEQUENCE OF SEQUENCE { userCertificate INTEGER,
//	    revocationDate Time, crlEntryExtensions Extensions OPTIONAL } OPTIONAL,
//	  crlExtensions [0] EXPLICIT Extensions }                 (RFC 5280 §5.1)
type entries struct {
	from *bufio.Reader
	left int // bytes of revokedCertificates
}

var errCRL = errors.New("the CRL cannot be read")

func readEntries(from io.Reader) (*entries, error) {
	e := &entries{from: bufio.NewReader(from)}
	for range 2 { // CertificateList, TBSCertList
		if tag, _, _, err := e.header(); err != nil || tag != 0x30 {
			return nil, errors.Join(errCRL, err)
		}
	}
	for range 5 { // version to nextUpdate
		_, n, _, err := e.header()
		if err == nil {
			_, err = e.from.Discard(n)
		}
		if err != nil {
			return nil, errors.Join(errCRL, err)
		}
	}
	tag, n, _, err := e.header()
	if err != nil {
		return nil, errors.Join(errCRL, err)
	}
	if tag == 0x30 {
		e.left = n
	}
	return e, nil
}

// header reads tag and length, in DER; size is how many bytes they took.
func (e *entries) header() (tag byte, length, size int, err error) {
	var b [2]byte
	if _, err := io.ReadFull(e.from, b[:]); err != nil {
		return 0, 0, 0, err
	}
	if b[1] < 0x80 {
		return b[0], int(b[1]), 2, nil
	}
	more := int(b[1] & 0x7f)
	if more == 0 || more > 4 {
		return 0, 0, 0, errCRL
	}
	for range more {
		c, err := e.from.ReadByte()
		if err != nil {
			return 0, 0, 0, err
		}
		length = length<<8 | int(c)
	}
	return b[0], length, 2 + more, nil
}

// maxEntry bounds an entry, in bytes; ours have below 50.
const maxEntry = 256

// next gives the next entry, io.EOF behind the last.
func (e *entries) next() (entry, error) {
	if e.left == 0 {
		return entry{}, io.EOF
	}
	tag, n, size, err := e.header()
	if err != nil || tag != 0x30 || n > maxEntry || n+size > e.left {
		return entry{}, errors.Join(errCRL, err)
	}
	e.left -= n + size
	der := make([]byte, n)
	if _, err := io.ReadFull(e.from, der); err != nil {
		return entry{}, errors.Join(errCRL, err)
	}
	s := cryptobyte.String(der)
	found := entry{serial: new(big.Int)}
	if !s.ReadASN1Integer(found.serial) {
		return entry{}, errCRL
	}
	if s.PeekASN1Tag(cbasn1.UTCTime) && s.ReadASN1UTCTime(&found.at) || s.ReadASN1GeneralizedTime(&found.at) {
		return found, nil
	}
	return entry{}, errCRL
}
