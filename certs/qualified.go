package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// NotQualifiedError says which property of a qualified certificate for
// signatures of a natural person with its key in a qualified device is missing.
type NotQualifiedError struct{ Missing string }

func (e *NotQualifiedError) Error() string {
	return "not a qualified certificate of a natural person: " + e.Missing
}

// IsQualifiedNaturalPerson tells whether a certificate says of itself that it
// is qualified for electronic signatures of a natural person with the key in a
// qualified device (EN 319 412-5, EN 319 411-2 QCP-n-qscd): QcCompliance,
// QcSSCD, exactly one type esign, no QcCClegislation, policy QCP-n-qscd,
// contentCommitment as the only key usage, a given name or surname and no
// pseudonym. Whether its issuer may say so is for a trusted list. nil, or a
// *NotQualifiedError.
func IsQualifiedNaturalPerson(cert *x509.Certificate) error {
	missing := func(format string, a ...any) error { return &NotQualifiedError{fmt.Sprintf(format, a...)} }
	if cert == nil {
		return missing("no certificate")
	}
	statements, err := statementsOf(cert)
	if err != nil {
		return missing("%v", err)
	}
	v := &view{statements: statements}
	switch {
	case cert.IsCA:
		return missing("it is a CA")
	case cert.KeyUsage != x509.KeyUsageContentCommitment:
		return missing("key usage is not contentCommitment alone")
	case !slices.ContainsFunc(cert.PolicyIdentifiers, PolicyQCPNaturalQSCD.Equal):
		return missing("policy QCP-n-qscd")
	case len(v.qc(oidQcCompliance)) != 1:
		return missing("QcCompliance")
	case len(v.qc(oidQcSSCD)) != 1:
		return missing("QcSSCD")
	case len(v.qc(oidQcType)) != 1 || !onlyOID(v, oidQcType, oidQcTypeESign):
		return missing("QcType esign, and that alone")
	case len(v.qc(oidQcCClegislation)) > 0:
		return missing("QcCClegislation says that EU law does not apply")
	}
	n, err := parseName(cert.RawSubject)
	if err != nil {
		return missing("%v", err)
	}
	if len(n.all(oidGivenName))+len(n.all(oidSurname)) == 0 || len(n.all(oidPseudonym)) > 0 {
		return missing("given name or surname, and no pseudonym")
	}
	return nil
}

func statementsOf(cert *x509.Certificate) ([]qcStatement, error) {
	for _, e := range cert.Extensions {
		if asn1.ObjectIdentifier(e.Id).Equal(oidExtQcStatements) {
			return parseQcStatements(e.Value)
		}
	}
	return nil, errors.New("qcStatements")
}
