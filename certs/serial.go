package certs

import (
	"errors"
	"regexp"
	"strconv"
)

// schemeSerial is a serial number of an ETSI scheme (EN 319 412-1 §5.1.3): type
// of identity, country, hyphen, number. Of the types we take the four that name
// a natural person and need no registration authority beside them.
var schemeSerial = regexp.MustCompile(`^(PNO|IDC|PAS|TIN)([A-Z]{2})-[0-9A-Za-z][0-9A-Za-z./ -]{0,39}$`)

// followsScheme tells whether a subject's serial number is of an ETSI scheme.
func followsScheme(serial string) bool {
	m := schemeSerial.FindStringSubmatch(serial)
	return m != nil && IsCountry(m[2])
}

// SchemePNOBE is the scheme of the Belgian national register number.
const SchemePNOBE = "PNOBE"

// WithNumber gives the person with a number of an ETSI scheme ("PNOBE", …) as
// serial number, for an Order that has a LegalBasis. A Belgian national register
// number must have its eleven digits and the right check digits; separators are
// removed. The error never tells the number.
func (p Person) WithNumber(scheme, number string) (Person, error) {
	if scheme == SchemePNOBE {
		var ok bool
		if number, ok = belgianNumber(number); !ok {
			return Person{}, errors.New("the national register number is not one")
		}
	}
	p.SerialNumber = scheme + "-" + number
	if !followsScheme(p.SerialNumber) {
		return Person{}, errors.New("the number does not follow an ETSI scheme")
	}
	return p, nil
}

// belgianNumber reads YYMMDDSSSCC, with or without its usual dots and hyphens.
// CC is 97 less the rest of the nine digits by 97, for people born from 2000 on
// with a 2 before them (royal decree of 3 April 1984).
func belgianNumber(s string) (string, bool) {
	digits := make([]byte, 0, 11)
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		case c != '.' && c != '-' && c != ' ':
			return "", false
		}
	}
	if len(digits) != 11 {
		return "", false
	}
	n, err1 := strconv.ParseInt(string(digits[:9]), 10, 64)
	check, err2 := strconv.ParseInt(string(digits[9:]), 10, 64)
	if err1 != nil || err2 != nil {
		return "", false
	}
	const from2000 = 2_000_000_000
	return string(digits), check == 97-n%97 || check == 97-(from2000+n)%97
}
