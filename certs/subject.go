package certs

import "crypto/x509"

// SubjectOf reads a certificate's subject, of which each attribute that we know
// stands at most once; others are not in it.
func SubjectOf(cert *x509.Certificate) (Subject, error) {
	n, err := parseName(cert.RawSubject)
	if err != nil {
		return Subject{}, err
	}
	return Subject{
		Country: n.one(oidCountry), Organisation: n.one(oidOrganisation), OrganisationID: n.one(oidOrganisationID),
		Surname: n.one(oidSurname), GivenName: n.one(oidGivenName), SerialNumber: n.one(oidSerialNumber), CommonName: n.one(oidCommonName),
	}, nil
}
