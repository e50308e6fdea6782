package certs

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// QCStatement ::= SEQUENCE { statementId OBJECT IDENTIFIER,
//
//	statementInfo ANY DEFINED BY statementId OPTIONAL }   (RFC 3739 §3.2.6)
type qcStatement struct {
	id   asn1.ObjectIdentifier
	info []byte // DER, or nil
}

// statement builds one; info writes the statementInfo and may be nil.
func statement(id asn1.ObjectIdentifier, info cryptobyte.BuilderContinuation) cryptobyte.BuilderContinuation {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(id)
			if info != nil {
				info(b)
			}
		})
	}
}

// oidSequence is SEQUENCE OF OBJECT IDENTIFIER with one member: the info of
// QcType and QcIdentMethod (EN 319 412-5 §4.2.3) and of the semantics (RFC 3739
// §3.2.6.1: SemanticsInformation), and ExtKeyUsageSyntax (RFC 5280 §4.2.1.12).
func oidSequence(id asn1.ObjectIdentifier) cryptobyte.BuilderContinuation {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(id) })
	}
}

// pdsList is the info of QcPDS.
//
//	QcEuPDS ::= SEQUENCE SIZE (1..MAX) OF PdsLocation   (EN 319 412-5 §4.3.4)
//	PdsLocation ::= SEQUENCE { url IA5String, language PrintableString (SIZE (2)) }
func pdsList(list []PDS) cryptobyte.BuilderContinuation {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, p := range list {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.IA5String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.URL)) })
					b.AddASN1(cbasn1.PrintableString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.Language)) })
				})
			}
		})
	}
}

// qcStatements writes the statements of the table.
func qcStatements(b *cryptobyte.Builder, f *form) {
	var list []cryptobyte.BuilderContinuation
	for _, r := range statementTable {
		if r.when == nil || r.when(f) {
			list = append(list, statement(r.oid, r.info(f)))
		}
	}
	statementSequence(list...)(b)
}

// QCStatements ::= SEQUENCE OF QCStatement   (RFC 3739 §3.2.6)
func statementSequence(list ...cryptobyte.BuilderContinuation) cryptobyte.BuilderContinuation {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, s := range list {
				s(b)
			}
		})
	}
}

// maxStatements bounds what we read: EN 319 412-5 defines nine statements.
const maxStatements = 32

var errQcStatements = errors.New("the qcStatements extension cannot be read")

// parseQcStatements reads the value of the extension.
func parseQcStatements(der []byte) ([]qcStatement, error) {
	outer := cryptobyte.String(der)
	var list cryptobyte.String
	if !outer.ReadASN1(&list, cbasn1.SEQUENCE) || !outer.Empty() {
		return nil, errQcStatements
	}
	var found []qcStatement
	for !list.Empty() {
		var one cryptobyte.String
		var s qcStatement
		if len(found) == maxStatements || !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&s.id) {
			return nil, errQcStatements
		}
		if !one.Empty() {
			var info cryptobyte.String
			var tag cbasn1.Tag
			if !one.ReadAnyASN1Element(&info, &tag) || !one.Empty() {
				return nil, errQcStatements
			}
			s.info = info
		}
		found = append(found, s)
	}
	return found, nil
}

// readOIDs reads a SEQUENCE OF OBJECT IDENTIFIER.
func readOIDs(der []byte) ([]asn1.ObjectIdentifier, error) {
	var oids []asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(der, &oids); err != nil || len(rest) > 0 {
		return nil, errQcStatements
	}
	return oids, nil
}

// readPDS reads the info of QcPDS.
func readPDS(der []byte) ([]PDS, error) {
	var raw []struct {
		URL      string `asn1:"ia5"`
		Language string `asn1:"printable"`
	}
	if rest, err := asn1.Unmarshal(der, &raw); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("QcPDS: %w", errQcStatements)
	}
	var list []PDS
	for _, p := range raw {
		list = append(list, PDS{p.URL, p.Language})
	}
	return list, nil
}
