package sandbox

import (
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"tekend/itsme/token"
)

// confirmTemplate is what the phone shows for a Confirmation (specs/itsme.md §3.2).
type confirmTemplate struct {
	name                   string
	text                   string
	amount, currency, iban string
}

// Amount, Currency and IBAN are for the page.
func (t *confirmTemplate) Amount() string   { return t.amount }
func (t *confirmTemplate) Currency() string { return t.currency }
func (t *confirmTemplate) IBAN() string     { return t.iban }

// maxText is the limit of free text in characters, tags included (§0.2 no 3).
const maxText = 7500

var integer = regexp.MustCompile(`^[0-9]{1,12}$`)

// readTemplate takes the template out of claims.userinfo and checks it before
// the person sees anything (SB-30, SB-31, SB-33).
func (r *authRequest) readTemplate() *oauthError {
	bad := func(text string) *oauthError { return fail("invalid_request_object", text) }
	v := func(key string) string { return r.values[prefix+"claim_approval_"+key] }
	t := &confirmTemplate{name: v("template_name")}
	switch t.name {
	case token.TemplateFreeText:
		t.text = v("text_key")
		if t.text == "" {
			return bad("The template free_text needs its text")
		}
		if n := utf8.RuneCountInString(t.text); n > maxText {
			return bad("The text has more than 7500 characters")
		}
		if !latin9(t.text) {
			return bad("The text has a character outside ISO/IEC 8859-15")
		}
	case "adv_payment":
		t.amount, t.currency, t.iban = v("amount_key"), v("currency_key"), strings.ReplaceAll(v("iban_key"), " ", "")
		switch {
		case !integer.MatchString(t.amount):
			return bad("The amount is not an integer")
		case !slices.Contains(currencies, t.currency):
			return bad("The currency is not a code of ISO 4217")
		case !ibanOK(t.iban):
			return bad("The IBAN is not valid")
		}
	default:
		return bad("The template is missing or unknown")
	}
	r.template = t
	return nil
}

// latin9 tells whether every character exists in ISO/IEC 8859-15.
func latin9(s string) bool {
	for _, c := range s {
		if _, ok := charmap.ISO8859_15.EncodeRune(c); !ok {
			return false
		}
	}
	return true
}

// ibanOK checks form and remainder (ISO 13616-1, ISO/IEC 7064 MOD 97-10).
func ibanOK(iban string) bool {
	if len(iban) < 15 || len(iban) > 34 {
		return false
	}
	var digits strings.Builder
	for _, c := range iban[4:] + iban[:4] {
		switch {
		case c >= '0' && c <= '9':
			digits.WriteRune(c)
		case c >= 'A' && c <= 'Z':
			digits.WriteString(big.NewInt(int64(c-'A') + 10).String())
		default:
			return false
		}
	}
	n, ok := new(big.Int).SetString(digits.String(), 10)
	return ok && new(big.Int).Mod(n, big.NewInt(97)).Int64() == 1
}

// currencies of ISO 4217 that a European payment can have.
var currencies = strings.Fields(`AED ALL AUD BAM BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP GEL HKD HUF IDR ILS INR ISK JPY KRW
	KZT MAD MDL MKD MXN MYR NOK NZD PEN PHP PLN RON RSD SAR SEK SGD THB TND TRY TWD UAH USD UYU VND ZAR`)
