package sandbox

import (
	"fmt"
	"time"
)

// outcome is how a simulated person reacts.
type outcome string

const (
	approves outcome = ""
	refuses  outcome = "refuse"
	expires  outcome = "expire"
	blocked  outcome = "blocked"
	errs     outcome = "error"
)

// behaviour is what is special about a person; the zero value just approves.
type behaviour struct {
	outcome   outcome
	slow      bool   // answers after Config.SlowDelay
	call      bool   // is on the telephone while approving
	appToApp  bool   // identification_mode a2a
	defect    string // of the ID token, when a Confirmation targets a known sub
	answersAs string // who answers a Confirmation instead
}

// person is one simulated account. No two have a document number, a name and
// birth date, or a telephone number in common.
type person struct {
	name, hint    string
	hidden        bool // cannot be chosen, only answers for somebody
	given, family string
	born          string // YYYY-MM-DD; "" = see age
	age           int    // always that old, whatever the clock says
	gender        string
	locale        string
	email         string
	phone         string
	street, place string
	country       string // ISO 3166-1 alpha-3 of the identity document
	nationality   string
	docType       string
	docSerial     int // BE: first ten digits of the card number
	docSN         string
	behaviour
}

// people are the magic people of shared/names.md and the ones SB-50 asks for.
var people = []person{
	{name: "approve", hint: "approves (Belgian card)", given: "Alice Maria", family: "Peeters", born: "1985-04-12", gender: "female", locale: "NL",
		email: "alice.peeters@example.test", phone: "+32 470000001", street: "Voorbeeldstraat 1", place: "1000 Brussel", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000001},
	{name: "approve-slow", hint: "approves after some seconds", given: "Simon", family: "Slots", born: "1979-11-02", gender: "male", locale: "NL",
		email: "simon.slots@example.test", phone: "+32 470000002", street: "Traagweg 2", place: "2000 Antwerpen", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000002, behaviour: behaviour{slow: true}},
	{name: "refuse", hint: "refuses", given: "Rita", family: "Renard", born: "1990-01-20", gender: "female", locale: "FR",
		email: "rita.renard@example.test", phone: "+32 470000003", street: "Rue du Refus 3", place: "4000 Liège", country: "BEL", nationality: "belge", docType: "ID", docSerial: 5920000003, behaviour: behaviour{outcome: refuses}},
	{name: "expire", hint: "never answers", given: "Emile", family: "Etienne", born: "1966-06-30", gender: "male", locale: "FR",
		email: "emile.etienne@example.test", phone: "+32 470000004", street: "Rue Longue 4", place: "5000 Namur", country: "BEL", nationality: "belge", docType: "ID", docSerial: 5920000004, behaviour: behaviour{outcome: expires}},
	{name: "minor", hint: "is 17 years old", given: "Mila", family: "Martens", age: 17, gender: "female", locale: "NL",
		email: "mila.martens@example.test", phone: "+32 470000005", street: "Schoolstraat 5", place: "9000 Gent", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000005},
	{name: "no-email", hint: "gave no e-mail address", given: "Nora", family: "Noël", born: "1971-03-08", gender: "female", locale: "FR",
		phone: "+32 470000006", street: "Avenue du Silence 6", place: "6000 Charleroi", country: "BEL", nationality: "belge", docType: "ID", docSerial: 5920000006},
	{name: "diacritics", hint: "has č ř ß Ω in the name", given: "Čeněk Jiří", family: "Dvořák-Groß Ωmega", born: "1982-12-31", gender: "male", locale: "DE",
		email: "cenek@example.test", phone: "+32 470000007", street: "Straße 7", place: "4700 Eupen", country: "BEL", nationality: "Belgier", docType: "ID", docSerial: 5920000007},
	{name: "one-name", hint: "has no given name", family: "Suharti", born: "1988-08-18", gender: "female", locale: "EN",
		email: "suharti@example.test", phone: "+32 470000008", street: "Single Street 8", place: "1050 Ixelles", country: "BEL", nationality: "IDN", docType: "ID", docSerial: 5920000008},
	{name: "blocked", hint: "has a blocked account", given: "Bart", family: "Bloks", born: "1975-05-05", gender: "male", locale: "NL",
		email: "bart.bloks@example.test", phone: "+32 470000009", street: "Slotlaan 9", place: "3000 Leuven", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000009, behaviour: behaviour{outcome: blocked}},
	{name: "call", hint: "is on the telephone while approving", given: "Carla", family: "Claes", born: "1950-10-10", gender: "female", locale: "NL",
		email: "carla.claes@example.test", phone: "+32 470000010", street: "Belstraat 10", place: "8000 Brugge", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000010, behaviour: behaviour{call: true}},
	{name: "wrong-nonce", hint: "enrols; when signing, the token has another nonce", given: "Walter", family: "Noncent", born: "1961-07-07", gender: "male", locale: "EN",
		email: "walter.noncent@example.test", phone: "+32 470000011", street: "Fault Lane 11", place: "1000 Brussels", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000011, behaviour: behaviour{defect: DefectWrongNonce}},
	{name: "wrong-sub", hint: "enrols; when signing, the token has another sub", given: "Wilma", family: "Subers", born: "1962-07-08", gender: "female", locale: "EN",
		email: "wilma.subers@example.test", phone: "+32 470000012", street: "Fault Lane 12", place: "1000 Brussels", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000012, behaviour: behaviour{defect: DefectWrongSub}},
	{name: "other-person", hint: "somebody else answers every Confirmation", given: "Olga", family: "Ochtend", born: "1993-09-03", gender: "female", locale: "NL",
		email: "olga.ochtend@example.test", phone: "+32 470000013", street: "Spiegelstraat 13", place: "2800 Mechelen", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000013, behaviour: behaviour{answersAs: "the-other"}},
	{name: "the-other", hint: "answers for other-person", hidden: true, given: "Hugo", family: "Avond", born: "1992-02-29", gender: "male", locale: "NL",
		email: "hugo.avond@example.test", phone: "+32 470000014", street: "Spiegelstraat 14", place: "2800 Mechelen", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000014},
	{name: "error", hint: "meets a technical error", given: "Erik", family: "Ehrler", born: "1969-09-09", gender: "male", locale: "DE",
		email: "erik.ehrler@example.test", phone: "+32 470000015", street: "Fehlerweg 15", place: "4700 Eupen", country: "BEL", nationality: "Belgier", docType: "ID", docSerial: 5920000015, behaviour: behaviour{outcome: errs}},
	{name: "nl-document", hint: "has a Dutch identity card", given: "Johanna", family: "van der Voorbeeld", born: "1987-01-15", gender: "female", locale: "NL",
		email: "johanna@example.test", phone: "+31 600000016", country: "NLD", nationality: "NLD", docType: "I", docSN: "SPECI2016"},
	{name: "eu-document", hint: "has an Estonian passport", given: "Kadri", family: "Näidis", born: "1994-03-21", gender: "female", locale: "EN",
		email: "kadri@example.test", phone: "+372 50000017", country: "EST", nationality: "EST", docType: "P", docSN: "KZ0000017"},
	{name: "app-to-app", hint: "approves on the phone that asked (a2a)", given: "Arne", family: "Appels", born: "2001-05-01", gender: "male", locale: "NL",
		email: "arne.appels@example.test", phone: "+32 470000018", street: "Schermstraat 18", place: "3500 Hasselt", country: "BEL", nationality: "belg", docType: "ID", docSerial: 5920000018, behaviour: behaviour{appToApp: true}},
}

// defaultPerson answers when nobody is named.
const defaultPerson = "approve"

func findPerson(name string) *person {
	for i := range people {
		if people[i].name == name {
			return &people[i]
		}
	}
	return nil
}

func (p *person) fullName() string {
	if p.given == "" {
		return p.family
	}
	return p.given + " " + p.family
}

func (p *person) birthdate(now time.Time) time.Time {
	if p.age > 0 {
		// Half a year past the birthday, so that no leap day or time zone matters.
		return time.Date(now.Year()-p.age, now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, -6, 0)
	}
	t, _ := time.Parse(time.DateOnly, p.born) // a table of constants; a test reads them all
	return t
}

func (p *person) ageAt(now time.Time) int {
	b := p.birthdate(now)
	age := now.Year() - b.Year()
	if now.Month() < b.Month() || (now.Month() == b.Month() && now.Day() < b.Day()) {
		age--
	}
	return age
}

// belgian tells whether the identity document is Belgian; what is available
// depends on it (specs/itsme.md §2.5).
func (p *person) belgian() bool { return p.country == "BEL" }

// documentSN: a Belgian card number is ten digits and their remainder by 97.
func (p *person) documentSN() string {
	if !p.belgian() {
		return p.docSN
	}
	check := p.docSerial % 97
	if check == 0 {
		check = 97
	}
	return fmt.Sprintf("%010d%02d", p.docSerial, check)
}

// nationalNumber is invented out of the birth date and one serial for all; only
// its form and check digits are right (specs/itsme.md §2.5).
func (p *person) nationalNumber(now time.Time) string {
	b := p.birthdate(now)
	nine := fmt.Sprintf("%s%03d", b.Format("060102"), 997)
	n := 0
	for _, c := range nine {
		n = n*10 + int(c-'0')
	}
	if b.Year() >= 2000 {
		n += 2_000_000_000
	}
	return fmt.Sprintf("%s%02d", nine, 97-n%97)
}
