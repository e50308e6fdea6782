package tsa

import (
	"crypto"
	"encoding/asn1"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/cms"
)

// Info is a TSTInfo, what a token states (RFC 3161 §2.4.2).
//
//	TSTInfo ::= SEQUENCE { version INTEGER { v1(1) }, policy OBJECT IDENTIFIER, messageImprint MessageImprint,
//	  serialNumber INTEGER, genTime GeneralizedTime, accuracy Accuracy OPTIONAL, ordering BOOLEAN DEFAULT FALSE,
//	  nonce INTEGER OPTIONAL, tsa [0] GeneralName OPTIONAL, extensions [1] IMPLICIT Extensions OPTIONAL }
type Info struct {
	Policy   asn1.ObjectIdentifier
	Imprint  Imprint
	Serial   *big.Int
	GenTime  time.Time
	Accuracy time.Duration // 0: not stated
	Ordering bool
	Nonce    *big.Int // nil: none
	TSA      []byte   // DER GeneralName, nil: none
	// Qualified: the token says that it is a qualified electronic time-stamp (EN 319 422 §9.1). Whether it is one, a trusted
	// list says.
	Qualified bool

	critical []asn1.ObjectIdentifier // critical extensions; we know none
}

// Imprint is the digest that is stamped.
//
//	MessageImprint ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, hashedMessage OCTET STRING }
type Imprint struct {
	Hash   crypto.Hash
	Digest []byte // Hash.Size() bytes
	raw    []byte // as found: RFC 3161 §2.4.2 wants it repeated as it was
}

func explicit(n uint8) casn1.Tag { return casn1.Tag(n).Constructed().ContextSpecific() }

// readImprint tells an unknown algorithm (badAlg) from a wrong form.
func readImprint(s *cryptobyte.String) (Imprint, *Failure) {
	bad := &Failure{BadDataFormat, "the message imprint is malformed"}
	var raw, seq, alg, params cryptobyte.String
	var oid asn1.ObjectIdentifier
	var im Imprint
	if !s.ReadASN1Element(&raw, casn1.SEQUENCE) {
		return im, bad
	}
	im.raw = raw
	if !raw.ReadASN1(&seq, casn1.SEQUENCE) || !seq.ReadASN1(&alg, casn1.SEQUENCE) || !alg.ReadASN1ObjectIdentifier(&oid) ||
		!seq.ReadASN1Bytes(&im.Digest, casn1.OCTET_STRING) || !seq.Empty() {
		return im, bad
	}
	if !alg.Empty() && (!alg.ReadASN1(&params, casn1.NULL) || !params.Empty() || !alg.Empty()) {
		return im, bad
	}
	h, ok := cms.HashByOID(oid)
	if !ok {
		return im, &Failure{BadAlg, "the digest algorithm is not known"}
	}
	im.Hash = h
	if len(im.Digest) != h.Size() {
		return im, &Failure{BadDataFormat, "the digest has not the length of its algorithm"}
	}
	return im, nil
}

func (im Imprint) add(b *cryptobyte.Builder) {
	if im.raw != nil {
		b.AddBytes(im.raw)
		return
	}
	oid, _ := cms.OIDOfHash(im.Hash)
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
		b.AddASN1OctetString(im.Digest)
	})
}

// Encode writes the DER TSTInfo, without tsa and without other extensions than that of Qualified. genTime has the
// precision of milliseconds, in UTC, without trailing zeros (RFC 3161 §2.4.2).
func (i Info) Encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1ObjectIdentifier(i.Policy)
		i.Imprint.add(b)
		b.AddASN1BigInt(i.Serial)
		b.AddASN1(casn1.GeneralizedTime, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte(i.GenTime.UTC().Format("20060102150405.999") + "Z"))
		})
		if i.Accuracy > 0 {
			addAccuracy(b, i.Accuracy)
		}
		if i.Ordering {
			b.AddASN1Boolean(true)
		}
		if i.Nonce != nil {
			b.AddASN1BigInt(i.Nonce)
		}
		if i.Qualified {
			addQualified(b)
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, wrap(CodeMalformed, err)
	}
	return der, nil
}

// addQualified writes the extension qcStatements, not critical, with the one statement esi4-qtstStatement-1 (EN 319 422 §9.1 as
// adapted by Regulation (EU) 2025/1929):
//
//	QCStatements ::= SEQUENCE OF QCStatement
//	QCStatement ::= SEQUENCE { statementId OBJECT IDENTIFIER, statementInfo ANY DEFINED BY statementId OPTIONAL }
func addQualified(b *cryptobyte.Builder) {
	b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(cms.OIDExtQcStatements)
			b.AddASN1(casn1.OCTET_STRING, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(cms.OIDQtstStatement) })
				})
			})
		})
	})
}

// addAccuracy writes
//
//	Accuracy ::= SEQUENCE { seconds INTEGER OPTIONAL, millis [0] INTEGER (1..999) OPTIONAL, micros [1] INTEGER (1..999) OPTIONAL }
func addAccuracy(b *cryptobyte.Builder, d time.Duration) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if s := int64(d / time.Second); s > 0 {
			b.AddASN1Int64(s)
		}
		if ms := int64(d % time.Second / time.Millisecond); ms > 0 {
			b.AddASN1Int64WithTag(ms, casn1.Tag(0).ContextSpecific())
		}
		if us := int64(d % time.Millisecond / time.Microsecond); us > 0 {
			b.AddASN1Int64WithTag(us, casn1.Tag(1).ContextSpecific())
		}
	})
}

// readInfo reads a TSTInfo that nobody vouches for.
func readInfo(der []byte) (Info, error) {
	var i Info
	in := cryptobyte.String(der)
	var s cryptobyte.String
	version := 0
	i.Serial = new(big.Int)
	if !in.ReadASN1(&s, casn1.SEQUENCE) || !in.Empty() || !s.ReadASN1Integer(&version) || version != 1 || !s.ReadASN1ObjectIdentifier(&i.Policy) {
		return i, errf(CodeMalformed, "TSTInfo: version or policy")
	}
	im, f := readImprint(&s)
	if f != nil {
		if f.Info == BadAlg {
			return i, errf(CodeAlgorithm, "%s", f.Text)
		}
		return i, errf(CodeMalformed, "%s", f.Text)
	}
	i.Imprint = im
	var when cryptobyte.String
	if !s.ReadASN1Integer(i.Serial) || !s.ReadASN1(&when, casn1.GeneralizedTime) {
		return i, errf(CodeMalformed, "TSTInfo: serialNumber or genTime")
	}
	var err error
	if i.GenTime, err = parseTime(string(when)); err != nil {
		return i, err
	}
	return i, i.readOptional(s)
}

func (i *Info) readOptional(s cryptobyte.String) error {
	if s.PeekASN1Tag(casn1.SEQUENCE) {
		if err := i.readAccuracy(&s); err != nil {
			return err
		}
	}
	if s.PeekASN1Tag(casn1.BOOLEAN) && !s.ReadASN1Boolean(&i.Ordering) {
		return errf(CodeMalformed, "TSTInfo: ordering")
	}
	if s.PeekASN1Tag(casn1.INTEGER) {
		i.Nonce = new(big.Int)
		if !s.ReadASN1Integer(i.Nonce) {
			return errf(CodeMalformed, "TSTInfo: nonce")
		}
	}
	var name, exts cryptobyte.String
	var hasName, hasExts bool
	if !s.ReadOptionalASN1(&name, &hasName, explicit(0)) || !s.ReadOptionalASN1(&exts, &hasExts, explicit(1)) || !s.Empty() {
		return errf(CodeMalformed, "TSTInfo: tsa, extensions or something behind them")
	}
	if hasName {
		i.TSA = name
	}
	return i.readExtensions(exts)
}

// readExtensions reads
//
//	Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }
//
// We know qcStatements, which may stand there once and not critically.
func (i *Info) readExtensions(exts cryptobyte.String) error {
	statements := 0
	for !exts.Empty() {
		var e, v cryptobyte.String
		var oid asn1.ObjectIdentifier
		critical := false
		if !exts.ReadASN1(&e, casn1.SEQUENCE) || !e.ReadASN1ObjectIdentifier(&oid) ||
			e.PeekASN1Tag(casn1.BOOLEAN) && !e.ReadASN1Boolean(&critical) || !e.ReadASN1(&v, casn1.OCTET_STRING) || !e.Empty() {
			return errf(CodeMalformed, "TSTInfo: extensions")
		}
		switch {
		case critical:
			i.critical = append(i.critical, oid)
		case oid.Equal(cms.OIDExtQcStatements):
			if statements++; statements > 1 || !i.readStatements(v) {
				return errf(CodeMalformed, "TSTInfo: qcStatements")
			}
		}
	}
	return nil
}

// readStatements looks for the statement that makes a token a qualified one.
func (i *Info) readStatements(v cryptobyte.String) bool {
	var list cryptobyte.String
	if !v.ReadASN1(&list, casn1.SEQUENCE) || !v.Empty() || list.Empty() {
		return false
	}
	for !list.Empty() {
		var one, info cryptobyte.String
		var id asn1.ObjectIdentifier
		var tag casn1.Tag
		if !list.ReadASN1(&one, casn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&id) || !one.Empty() && !one.ReadAnyASN1(&info, &tag) || !one.Empty() {
			return false
		}
		i.Qualified = i.Qualified || id.Equal(cms.OIDQtstStatement)
	}
	return true
}

func (i *Info) readAccuracy(s *cryptobyte.String) error {
	bad := errf(CodeMalformed, "TSTInfo: accuracy")
	var seq cryptobyte.String
	var sec, ms, us int64
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || seq.PeekASN1Tag(casn1.INTEGER) && !seq.ReadASN1Integer(&sec) {
		return bad
	}
	for n, to := range []*int64{&ms, &us} {
		if tag := casn1.Tag(n).ContextSpecific(); seq.PeekASN1Tag(tag) && !seq.ReadASN1Int64WithTag(to, tag) {
			return bad
		}
	}
	if !seq.Empty() || sec < 0 || sec > 1<<30 || ms < 0 || ms > 999 || us < 0 || us > 999 {
		return bad
	}
	i.Accuracy = time.Duration(sec)*time.Second + time.Duration(ms)*time.Millisecond + time.Duration(us)*time.Microsecond
	return nil
}

// parseTime reads a DER GeneralizedTime with an optional fraction: UTC, "Z",
// seconds present, no trailing zeros, at most nanoseconds.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{"20060102150405Z", "20060102150405.999999999Z"} {
		if t, err := time.Parse(layout, s); err == nil && t.Format(layout) == s {
			return t, nil
		}
	}
	return time.Time{}, errf(CodeMalformed, "genTime is not a DER GeneralizedTime in UTC")
}
