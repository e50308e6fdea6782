package certs

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// lastUpdate is the nextUpdate of a last CRL.
var lastUpdate = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

const (
	// maxSample bounds the entries that the twin for the lint holds.
	maxSample = 128
	// maxInMemory bounds the entries kept in memory, in bytes; more go to a file.
	maxInMemory = 1 << 20
)

// WriteCRL writes a certificate revocation list in DER (RFC 5280 §5), signed
// once. Memory does not grow with the number of entries: above 1 MiB they are
// kept in a file without a name in the directory for temporary files, because
// the lengths of DER stand in front. What it refuses, before the key is used:
// what LintCRL finds in a twin with the same head, the first entries and a
// worthless signature (a *LintError), and any entry that is not one. The value
// is verified with the issuer's public key over the bytes that are then
// written. After an error what w got is to be thrown away.
func WriteCRL(w io.Writer, spec CRLSpec) error {
	if spec.Issuer.Cert == nil || !SameKey(spec.Issuer.Signer.Public(), spec.Issuer.Cert.PublicKey) {
		return errors.New("CRL: the key is not the issuer's")
	}
	alg, err := signingAlgorithm(spec.Issuer.Cert.PublicKey)
	if err != nil {
		return fmt.Errorf("CRL: %w", err)
	}
	l := &crlWriter{spec: spec, alg: alg}
	defer l.entries.close()
	if err := spec.Entries(l.add); err != nil {
		return fmt.Errorf("CRL: %w", err)
	}
	if err := l.lint(); err != nil {
		return err
	}
	head, tail, err := l.frame(l.entries.size)
	if err != nil {
		return fmt.Errorf("encode CRL: %w", err)
	}
	signature, err := l.sign(head, tail)
	if err != nil {
		return err
	}
	return l.write(w, head, tail, signature)
}

// crlWriter is one list on its way.
type crlWriter struct {
	spec    CRLSpec
	alg     algorithm
	entries spool
	sample  []byte // the first entries
	sampled int
	buf     []byte
}

// add checks an entry and keeps it.
func (l *crlWriter) add(r Revoked) error {
	switch {
	case r.Serial == nil || r.Serial.Sign() <= 0 || len(r.Serial.Bytes()) > 20:
		return errors.New("an entry's serial number is not positive or longer than 20 octets")
	case r.At.Year() < 1950 || r.At.After(l.spec.ThisUpdate):
		return errors.New("an entry is revoked at no time or after thisUpdate")
	case !reasonAllowed(r.Reason):
		return fmt.Errorf("an entry has the reason %d, which we do not use", r.Reason)
	}
	l.buf = appendEntry(l.buf[:0], r)
	if l.sampled < maxSample {
		l.sampled++
		l.sample = append(l.sample, l.buf...)
	}
	return l.entries.add(l.buf)
}

// appendEntry encodes an entry. A list may have a million: cryptobyte would
// take ten times as long.
//
//	SEQUENCE { userCertificate INTEGER, revocationDate Time,
//	  crlEntryExtensions Extensions OPTIONAL }   (RFC 5280 §5.1)
//
// The one extension is reasonCode, ENUMERATED (§5.3.1). Every length is below
// 128: 2+21 bytes of serial number, 2+15 of time, 14 of extension.
func appendEntry(b []byte, r Revoked) []byte {
	var digits [21]byte
	serial := r.Serial.FillBytes(digits[:])
	for serial[0] == 0 && serial[1] < 0x80 { // the shortest form that stays positive
		serial = serial[1:]
	}
	tag, layout := byte(cbasn1.UTCTime), "060102150405Z"
	at := r.At.UTC()
	if at.Year() >= 2050 { // as addTime
		tag, layout = byte(cbasn1.GeneralizedTime), "20060102150405Z"
	}
	start := len(b)
	b = append(b, 0x30, 0, 2, byte(len(serial)))
	b = append(b, serial...)
	b = append(b, tag, byte(len(layout)))
	b = at.AppendFormat(b, layout)
	if r.Reason != 0 {
		b = append(b, 0x30, 12, 0x30, 10, 6, 3, 0x55, 0x1d, 0x15, 4, 3, 0x0a, 1, byte(r.Reason))
	}
	b[start+1] = byte(len(b) - start - 2)
	return b
}

// frame gives what stands before and after the entries in the TBSCertList, for
// entries of so many bytes.
//
//	TBSCertList ::= SEQUENCE { version INTEGER v2(1), signature
//	  AlgorithmIdentifier, issuer Name, thisUpdate Time, nextUpdate Time OPTIONAL,
//	  revokedCertificates SEQUENCE OF SEQUENCE { … } OPTIONAL,
//	  crlExtensions [0] EXPLICIT Extensions OPTIONAL }        (RFC 5280 §5.1)
func (l *crlWriter) frame(entries int64) (head, tail []byte, err error) {
	var fields, extensions cryptobyte.Builder
	fields.AddASN1Int64(1)
	l.alg.identifier(&fields)
	fields.AddBytes(l.spec.Issuer.Cert.RawSubject)
	addTime(&fields, l.spec.ThisUpdate.UTC().Truncate(time.Second))
	addTime(&fields, l.nextUpdate())
	if entries > 0 { // an empty list is left out (§5.1.2.6)
		fields.AddBytes(header(0x30, entries))
	}
	list, err := l.extensions()
	if err != nil {
		return nil, nil, err
	}
	extensions.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, e := range list {
				e.encode(b)
			}
		})
	})
	if tail, err = extensions.Bytes(); err != nil {
		return nil, nil, err
	}
	inner, err := fields.Bytes()
	if err != nil {
		return nil, nil, err
	}
	return append(header(0x30, int64(len(inner))+entries+int64(len(tail))), inner...), tail, nil
}

func (l *crlWriter) nextUpdate() time.Time {
	if l.spec.Last {
		return lastUpdate
	}
	return l.spec.NextUpdate.UTC().Truncate(time.Second)
}

// extensions are those of the list (RFC 5280 §5.2): key of the issuer, number,
// the shard's address (critical), and from when expired certificates stay.
//
//	IssuingDistributionPoint ::= SEQUENCE { distributionPoint [0]
//	  DistributionPointName OPTIONAL, … }      (§5.2.5)
//	ExpiredCertsOnCRL ::= GeneralizedTime      (X.509 §9.5.2.8)
func (l *crlWriter) extensions() ([]extension, error) {
	var list []extension
	var failed error
	add := func(oid []int, critical bool, value cryptobyte.BuilderContinuation) {
		e, err := newExtension(oid, critical, value)
		failed = errors.Join(failed, err)
		list = append(list, e)
	}
	add(oidExtAKI, notCritical, func(b *cryptobyte.Builder) {
		authorityKey(b, &form{authorityKeyID: l.spec.Issuer.Cert.SubjectKeyId})
	})
	if l.spec.Number == nil {
		return nil, errors.New("the number is missing")
	}
	add(oidExtCRLNumber, notCritical, func(b *cryptobyte.Builder) { b.AddASN1BigInt(l.spec.Number) })
	if l.spec.Shard != "" {
		add(oidExtIssuingPoint, critical, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addPointName(b, l.spec.Shard) })
		})
	}
	if !l.spec.ExpiredCerts.IsZero() {
		add(oidExtExpiredCerts, notCritical, func(b *cryptobyte.Builder) {
			b.AddASN1GeneralizedTime(l.spec.ExpiredCerts.UTC().Truncate(time.Second))
		})
	}
	return list, failed
}

// lint judges a twin that has the head, the first entries and a worthless
// signature. The entries beyond them differ only in what add checked.
func (l *crlWriter) lint() error {
	head, tail, err := l.frame(int64(len(l.sample)))
	if err != nil {
		return fmt.Errorf("CRL: %w", err)
	}
	key, err := throwAway(l.alg)
	if err != nil {
		return err
	}
	tbs := append(append(head, l.sample...), tail...)
	signature, err := signDigest(key, l.alg, tbs)
	if err != nil {
		return err
	}
	twin, err := assemble(tbs, l.alg, signature)
	if err != nil {
		return err
	}
	if found := LintCRL(twin); len(found) > 0 {
		return &LintError{found}
	}
	return nil
}

// sign has the digest of the whole TBSCertList signed and verifies the value.
func (l *crlWriter) sign(head, tail []byte) ([]byte, error) {
	digest, err := l.digest(io.Discard, head, tail)
	if err != nil {
		return nil, err
	}
	signature, err := l.spec.Issuer.Signer.Sign(rand.Reader, digest, l.alg.hash)
	if err != nil {
		return nil, fmt.Errorf("sign CRL: %w", err)
	}
	return signature, verifyDigest(l.spec.Issuer.Cert.PublicKey, l.alg.hash, digest, signature)
}

// digest copies the TBSCertList to w and gives its digest.
func (l *crlWriter) digest(w io.Writer, head, tail []byte) ([]byte, error) {
	h := l.alg.hash.New()
	both := io.MultiWriter(h, w)
	if _, err := both.Write(head); err != nil {
		return nil, fmt.Errorf("write CRL: %w", err)
	}
	if err := l.entries.copyTo(both); err != nil {
		return nil, fmt.Errorf("write CRL: %w", err)
	}
	if _, err := both.Write(tail); err != nil {
		return nil, fmt.Errorf("write CRL: %w", err)
	}
	return h.Sum(nil), nil
}

// write gives the signed list out and holds what was written to the signature.
func (l *crlWriter) write(w io.Writer, head, tail, signature []byte) error {
	var b cryptobyte.Builder
	l.alg.identifier(&b)
	b.AddASN1BitString(signature)
	after, err := b.Bytes()
	if err != nil {
		return fmt.Errorf("encode CRL: %w", err)
	}
	out := bufio.NewWriterSize(w, 1<<16)
	if _, err := out.Write(header(0x30, int64(len(head)+len(tail)+len(after))+l.entries.size)); err != nil {
		return fmt.Errorf("write CRL: %w", err)
	}
	digest, err := l.digest(out, head, tail)
	if err != nil {
		return err
	}
	if err := verifyDigest(l.spec.Issuer.Cert.PublicKey, l.alg.hash, digest, signature); err != nil {
		return err
	}
	if _, err := out.Write(after); err != nil {
		return fmt.Errorf("write CRL: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write CRL: %w", err)
	}
	return nil
}

func verifyDigest(pub crypto.PublicKey, hash crypto.Hash, digest, signature []byte) error {
	ok := false
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, hash, digest, signature) == nil
	}
	if !ok {
		return errors.New("the CRL's new signature does not verify")
	}
	return nil
}

// header is tag and length of DER, the length in the shortest form (X.690
// §10.1).
func header(tag byte, n int64) []byte {
	if n < 0x80 {
		return []byte{tag, byte(n)}
	}
	var length []byte
	for ; n > 0; n >>= 8 {
		length = append([]byte{byte(n)}, length...)
	}
	return append([]byte{tag, 0x80 | byte(len(length))}, length...)
}

// spool keeps bytes in memory, and in a file without a name when they are many.
type spool struct {
	memory []byte
	file   *os.File
	out    *bufio.Writer
	size   int64
}

func (s *spool) add(b []byte) error {
	s.size += int64(len(b))
	if s.file == nil {
		if s.memory = append(s.memory, b...); len(s.memory) <= maxInMemory {
			return nil
		}
		if err := s.open(); err != nil {
			return fmt.Errorf("keep the entries: %w", err)
		}
		b, s.memory = s.memory, nil
	}
	if _, err := s.out.Write(b); err != nil {
		return fmt.Errorf("keep the entries: %w", err)
	}
	return nil
}

func (s *spool) open() error {
	f, err := os.CreateTemp("", "tekend-crl-")
	if err != nil {
		return err
	}
	s.file, s.out = f, bufio.NewWriterSize(f, 1<<16)
	return os.Remove(f.Name())
}

// copyTo gives out all that was added, from the start.
func (s *spool) copyTo(w io.Writer) error {
	if s.file == nil {
		_, err := w.Write(s.memory)
		return err
	}
	if err := s.out.Flush(); err != nil {
		return err
	}
	_, err := io.Copy(w, io.NewSectionReader(s.file, 0, s.size))
	return err
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // it has no name any more
	}
}
