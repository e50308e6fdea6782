package authority

import (
	"errors"
	"strings"

	"tekend/ca"
	"tekend/certs"
	"tekend/itsme/token"
)

// SerialNumber says what stands in the subject as serial number. Without it the
// number is random and says nothing of the person.
type SerialNumber struct {
	// Scheme is PNOBE, for the Belgian national register number, and needs
	// LegalBasis. itsme must be asked for the number (the sam's national_number).
	Scheme string `yaml:"scheme"`
	// LegalBasis names the law that allows this provider to use the number, in
	// certificates that every reader of a document sees. It stands in each
	// identity record. Example: "Act of 8 August 1983, Art. 5 §1, authorisation of …"
	LegalBasis string `yaml:"legal_basis"`
}

// complete says what is wrong.
func (s SerialNumber) complete() error {
	switch {
	case s.Scheme != "" && s.Scheme != certs.SchemePNOBE:
		return errors.New("ca: serial_number.scheme must be PNOBE or empty")
	case s.Scheme != "" && strings.TrimSpace(s.LegalBasis) == "":
		return errors.New("ca: serial_number.legal_basis is missing: a national number without the law that allows it is refused")
	case s.Scheme == "" && s.LegalBasis != "":
		return errors.New("ca: serial_number.legal_basis without a scheme")
	}
	return nil
}

// numbered gives the person the serial number of the configuration. The number
// comes from the identification token and from nowhere else.
func (c verifier) numbered(p certs.Person, ident token.Claims) (certs.Person, error) {
	if c.cfg.SerialNumber.Scheme == "" {
		return p, nil
	}
	if ident.NationalNumber == "" {
		return p, refuse(ca.CodeRecord, "the identification does not state the national number")
	}
	p, err := p.WithNumber(c.cfg.SerialNumber.Scheme, ident.NationalNumber)
	if err != nil {
		return p, refuse(ca.CodeName, err.Error())
	}
	return p, nil
}

// trialNumber is nobody's: no. 010 of 1 January 1900, with its check digits.
const trialNumber = "00010101064"

// trialNumbered is numbered for the trial certificate.
func (c Config) trialNumbered(p certs.Person) (certs.Person, error) {
	if c.SerialNumber.Scheme == "" {
		return p, nil
	}
	return p.WithNumber(c.SerialNumber.Scheme, trialNumber)
}
