package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxCRL bounds a list that is read, in bytes: a million entries have 36 MB.
const MaxCRL = 64 << 20

// RevocationList is a complete certificate revocation list as it was read.
// Nothing in it counts before Status said so. It refers to the bytes it was
// read from, which must not change; beside them it needs no memory that grows
// with the entries, which are looked through when a status is asked for.
type RevocationList struct {
	ThisUpdate, NextUpdate time.Time // NextUpdate may be zero
	Number                 *big.Int  // nil: none
	// ExpiredCerts is since when expired certificates stay in the list; zero: not said.
	ExpiredCerts time.Time
	// Entries is how many certificates are listed.
	Entries int

	der, tbs, entries, signature []byte
	issuer, keyID                []byte
	algorithm                    x509.SignatureAlgorithm
	point                        *issuingPoint // nil: the list is for all certificates of the issuer
	// verified is the issuer whose key was found to have signed: hashing a large
	// list takes 0.1 s, and it is asked for many certificates.
	verified atomic.Pointer[x509.Certificate]
}

func badCRL(detail string) error { return refused(FromCRL, StatusMalformed, detail) }

// ReadCRL reads a list in DER (RFC 5280 §5) of at most MaxCRL bytes, entry by
// entry. Refused are delta and indirect lists, those for some reasons only, and
// those with a critical extension that is not known, in the list or in any
// entry: such a list must not be used for any certificate (§5.2, §5.3). The
// error is a *StatusError.
//
//	CertificateList ::= SEQUENCE { tbsCertList, signatureAlgorithm
//	  AlgorithmIdentifier, signatureValue BIT STRING }
func ReadCRL(der []byte) (*RevocationList, error) {
	if len(der) > MaxCRL {
		return nil, badCRL("longer than 64 MiB")
	}
	l := &RevocationList{der: der}
	outer := cryptobyte.String(der)
	var list, tbs, alg cryptobyte.String
	if !outer.ReadASN1(&list, cbasn1.SEQUENCE) || !outer.Empty() || !list.ReadASN1Element(&tbs, cbasn1.SEQUENCE) ||
		!list.ReadASN1Element(&alg, cbasn1.SEQUENCE) || !list.ReadASN1BitStringAsBytes(&l.signature) || !list.Empty() {
		return nil, badCRL("not a CertificateList")
	}
	l.tbs, l.algorithm = tbs, readAlgorithm(alg)
	return l, l.readList(tbs, alg)
}

// TBSCertList ::= SEQUENCE { version INTEGER OPTIONAL, signature
//
//	AlgorithmIdentifier, issuer Name, thisUpdate Time, nextUpdate Time OPTIONAL,
//	revokedCertificates SEQUENCE OF SEQUENCE { … } OPTIONAL,
//	crlExtensions [0] EXPLICIT Extensions OPTIONAL }   (RFC 5280 §5.1)
func (l *RevocationList) readList(tbs, outerAlg cryptobyte.String) error {
	var body, alg, issuer, entries, extensions cryptobyte.String
	var version int
	var has bool
	if !tbs.ReadASN1(&body, cbasn1.SEQUENCE) || body.PeekASN1Tag(cbasn1.INTEGER) && (!body.ReadASN1Integer(&version) || version != 1) ||
		!body.ReadASN1Element(&alg, cbasn1.SEQUENCE) || !bytes.Equal(alg, outerAlg) ||
		!body.ReadASN1Element(&issuer, cbasn1.SEQUENCE) || !readTime(&body, &l.ThisUpdate) {
		return badCRL("not a TBSCertList")
	}
	l.issuer = issuer
	if (body.PeekASN1Tag(cbasn1.UTCTime) || body.PeekASN1Tag(cbasn1.GeneralizedTime)) && !readTime(&body, &l.NextUpdate) {
		return badCRL("nextUpdate")
	}
	if !body.ReadOptionalASN1(&entries, &has, cbasn1.SEQUENCE) {
		return badCRL("its entries")
	}
	l.entries = entries
	if !body.ReadOptionalASN1(&extensions, &has, cbasn1.Tag(0).ContextSpecific().Constructed()) || !body.Empty() || has && version != 1 {
		return badCRL("its extensions")
	}
	if has {
		if err := l.readExtensions(extensions); err != nil {
			return err
		}
	}
	return l.readEntries()
}

// readTime reads Time ::= CHOICE { utcTime, generalTime }.
func readTime(s *cryptobyte.String, t *time.Time) bool {
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return s.ReadASN1UTCTime(t)
	}
	return s.ReadASN1GeneralizedTime(t)
}

// eachExtension walks over Extensions; each stands once. visit gives the reason
// to refuse, or nil.
func eachExtension(der cryptobyte.String, visit func(oid asn1.ObjectIdentifier, critical bool, value cryptobyte.String) error) error {
	var list cryptobyte.String
	if !der.ReadASN1(&list, cbasn1.SEQUENCE) || !der.Empty() {
		return badCRL("extensions")
	}
	var seen []asn1.ObjectIdentifier
	for !list.Empty() {
		var one, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var critical bool
		if len(seen) == maxOCSPExtensions || !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&oid) ||
			one.PeekASN1Tag(cbasn1.BOOLEAN) && !one.ReadASN1Boolean(&critical) ||
			!one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() || slices.ContainsFunc(seen, oid.Equal) {
			return badCRL("extensions")
		}
		seen = append(seen, oid)
		if err := visit(oid, critical, value); err != nil {
			return err
		}
	}
	return nil
}

func (l *RevocationList) readExtensions(der cryptobyte.String) error {
	return eachExtension(der, func(oid asn1.ObjectIdentifier, critical bool, value cryptobyte.String) error {
		ok := true
		switch {
		case oid.Equal(oidExtDeltaCRL):
			return refused(FromCRL, StatusPartial, "a delta list")
		case oid.Equal(oidExtIssuingPoint):
			var err error
			l.point, err = readIssuingPoint(value)
			return err
		case oid.Equal(oidExtCRLNumber):
			l.Number = new(big.Int)
			ok = value.ReadASN1Integer(l.Number) && value.Empty() && len(l.Number.Bytes()) <= 20
		case oid.Equal(oidExtExpiredCerts):
			ok = value.ReadASN1GeneralizedTime(&l.ExpiredCerts) && value.Empty()
		case oid.Equal(oidExtAKI):
			l.keyID, ok = readKeyID(value)
		case critical:
			return refused(FromCRL, StatusCritical, "a critical extension is not known")
		}
		if !ok {
			return badCRL("an extension")
		}
		return nil
	})
}

// AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] OCTET STRING OPTIONAL,
//
//	authorityCertIssuer [1] …, authorityCertSerialNumber [2] … }
func readKeyID(value cryptobyte.String) ([]byte, bool) {
	var body, id cryptobyte.String
	var has bool
	ok := value.ReadASN1(&body, cbasn1.SEQUENCE) && value.Empty() && body.ReadOptionalASN1(&id, &has, cbasn1.Tag(0).ContextSpecific())
	return id, ok
}

// issuingPoint is for which certificates a list is.
type issuingPoint struct {
	names                                [][]byte // DER GeneralName; nil: any
	users, authorities, attributes, some bool
}

// readIssuingPoint reads the scope of a list.
//
//	IssuingDistributionPoint ::= SEQUENCE { distributionPoint [0]
//	  DistributionPointName OPTIONAL, onlyContainsUserCerts [1] BOOLEAN,
//	  onlyContainsCACerts [2] BOOLEAN, onlySomeReasons [3] ReasonFlags OPTIONAL,
//	  indirectCRL [4] BOOLEAN, onlyContainsAttributeCerts [5] BOOLEAN }  (RFC 5280 §5.2.5)
func readIssuingPoint(value cryptobyte.String) (*issuingPoint, error) {
	var body, name cryptobyte.String
	var has bool
	p := &issuingPoint{}
	if !value.ReadASN1(&body, cbasn1.SEQUENCE) || !value.Empty() || !body.ReadOptionalASN1(&name, &has, cbasn1.Tag(0).ContextSpecific().Constructed()) {
		return nil, badCRL("its scope")
	}
	if has {
		if p.names = fullName(name); p.names == nil {
			return nil, refused(FromCRL, StatusScope, "a distribution point that is named relative to the issuer")
		}
	}
	var indirect bool
	flags := []*bool{1: &p.users, 2: &p.authorities, 3: &p.some, 4: &indirect, 5: &p.attributes}
	for n, flag := range flags {
		if n == 0 {
			continue
		}
		var v cryptobyte.String
		if !body.ReadOptionalASN1(&v, &has, cbasn1.Tag(n).ContextSpecific()) {
			return nil, badCRL("its scope")
		}
		if has && n != 3 && len(v) != 1 { // no BOOLEAN: whoever takes it for false takes the list for complete
			return nil, badCRL("its scope")
		}
		*flag = has && (n == 3 || v[0] != 0)
	}
	if !body.Empty() {
		return nil, badCRL("its scope")
	}
	if indirect || p.some {
		return nil, refused(FromCRL, StatusPartial, "an indirect list, or one for some reasons only")
	}
	return p, nil
}

// fullName gives the GeneralNames of a DistributionPointName ::= CHOICE {
// fullName [0] GeneralNames, nameRelativeToCRLIssuer [1] … }; nil: not a full name.
func fullName(name cryptobyte.String) (list [][]byte) {
	var names cryptobyte.String
	if !name.ReadASN1(&names, cbasn1.Tag(0).ContextSpecific().Constructed()) || !name.Empty() {
		return nil
	}
	for !names.Empty() {
		var one cryptobyte.String
		var tag cbasn1.Tag
		if len(list) == maxPointNames || !names.ReadAnyASN1Element(&one, &tag) {
			return nil
		}
		list = append(list, one)
	}
	return list
}

// maxPointNames bounds the names of a distribution point: real ones have an http and an ldap address.
const maxPointNames = 16

// readEntries counts the entries and refuses what makes the whole list unusable.
func (l *RevocationList) readEntries() error {
	return l.each(func(_, _ []byte, extensions cryptobyte.String) (bool, error) {
		l.Entries++
		_, err := entryReason(extensions)
		return false, err
	})
}

// each visits the entries: serial number (content octets), time (element) and
// extensions (element, empty: none), until visit says to stop. A serial number
// that is not minimal would not be found by who looks for its one form.
//
//	SEQUENCE { userCertificate INTEGER, revocationDate Time,
//	  crlEntryExtensions Extensions OPTIONAL }
func (l *RevocationList) each(visit func(serial, at []byte, extensions cryptobyte.String) (stop bool, err error)) error {
	for rest := cryptobyte.String(l.entries); !rest.Empty(); {
		var one, serial, at cryptobyte.String
		var tag cbasn1.Tag
		if !rest.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1(&serial, cbasn1.INTEGER) || !minimal(serial) ||
			!one.ReadAnyASN1Element(&at, &tag) || tag != cbasn1.UTCTime && tag != cbasn1.GeneralizedTime {
			return badCRL("an entry")
		}
		if stop, err := visit(serial, at, one); stop || err != nil {
			return err
		}
	}
	return nil
}

// minimal tells whether the content octets of an INTEGER are as few as they can be (X.690 §8.3.2).
func minimal(n []byte) bool {
	return len(n) == 1 || len(n) > 1 && (n[0] != 0 || n[1] >= 0x80) && (n[0] != 0xff || n[1] < 0x80)
}

// plainReason is what nearly all entries that have extensions begin with: a
// reason code and no other extension, not critical. A list may have a million,
// and reading them with care takes ten times as long.
var plainReason = []byte{0x30, 12, 0x30, 10, 6, 3, 0x55, 0x1d, 0x15, 4, 3, 0x0a, 1}

// entryReason reads an entry's extensions: its reason, 0 when none is given.
func entryReason(der cryptobyte.String) (reason int, err error) {
	if der.Empty() {
		return 0, nil
	}
	if n := len(plainReason); len(der) == n+1 && bytes.Equal(der[:n], plainReason) && der[n] != reasonRemoved {
		return int(der[n]), nil
	}
	err = eachExtension(der, func(oid asn1.ObjectIdentifier, critical bool, value cryptobyte.String) error {
		switch {
		case oid.Equal(oidExtReason):
			if !value.ReadASN1Enum(&reason) || !value.Empty() {
				return badCRL("a reason")
			}
			if reason == reasonRemoved {
				return refused(FromCRL, StatusPartial, "an entry of a delta list (removeFromCRL)")
			}
		case oid.Equal(oidExtCertIssuer):
			return refused(FromCRL, StatusPartial, "an entry of another issuer: an indirect list")
		case critical && !oid.Equal(oidExtInvalidity):
			return refused(FromCRL, StatusCritical, "a critical extension of an entry is not known")
		}
		return nil
	})
	return reason, err
}
