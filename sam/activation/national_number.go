package activation

import (
	"strings"

	"tekend/itsme/token"
)

// NationalNumber says whether itsme is asked for the Belgian national number.
type NationalNumber struct {
	// LegalBasis names the law that allows this provider to use the number, as in
	// ca.yaml. Empty: it is not asked for.
	LegalBasis string `yaml:"legal_basis"`
}

// claims adds the number to the claims of an identification.
func (n NationalNumber) claims(list []string) []string {
	if strings.TrimSpace(n.LegalBasis) == "" {
		return list
	}
	return append(list, token.ClaimNationalNumber)
}
