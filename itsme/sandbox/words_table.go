package sandbox

import "strings"

// words of the pages, in the languages that itsme's have (SB-22).
type words struct {
	Simulation, NotAffiliated                    string
	Oops, TryAgain                               string
	Who, WhoHint, Phone, Send, Scan, UseThis     string
	Prove, ProveHint, Left, OpenPhone            string
	Titles                                       map[ServiceType]string
	Partner, Time, Shared, NothingShared, Amount string
	Code, CodeHint, Finger                       string
	Confirm, Refuse                              string
	Done, DoneHint, Expired, ExpiredHint         string
}

var languages = []string{"nl", "fr", "de", "en"}

// language picks the first supported of ui_locales (SB-22); "nl-BE" is "nl".
func language(uiLocales string) string {
	for tag := range strings.FieldsSeq(strings.ToLower(uiLocales)) {
		short, _, _ := strings.Cut(tag, "-")
		if _, ok := allWords[short]; ok {
			return short
		}
	}
	return "en"
}

var allWords = map[string]words{
	"en": {
		Simulation: "Simulation for tests - this is not itsme", NotAffiliated: "Not affiliated with itsme. Nothing you confirm here is real.",
		Oops: "Oops! Something went wrong.", TryAgain: "Try again",
		Who: "Identify yourself", WhoHint: "Who holds the simulated phone?", Phone: "Telephone number", Send: "Send",
		Scan: "Scan this code with the simulated phone, or go on here.", UseThis: "Go on",
		Prove: "Prove it's you", ProveHint: "Check that the phone shows this icon.", Left: "Time left", OpenPhone: "Open the simulated phone",
		Titles:  map[ServiceType]string{Authentication: "Log in", Identification: "Share data", Confirmation: "Confirm"},
		Partner: "Asked by", Time: "Time", Shared: "Shared identity data", NothingShared: "No identity data", Amount: "Amount",
		Code: "Code", CodeHint: "Any five digits will do in the simulation.", Finger: "Confirm with fingerprint",
		Confirm: "Confirm", Refuse: "Refuse",
		Done: "Answered", DoneHint: "You can go back to the window where you started.",
		Expired: "Expired", ExpiredHint: "Nobody answered within three minutes.",
	},
	"nl": {
		Simulation: "Simulatie voor tests - dit is niet itsme", NotAffiliated: "Niet verbonden met itsme. Niets wat u hier bevestigt, is echt.",
		Oops: "Oeps! Er ging iets mis.", TryAgain: "Opnieuw proberen",
		Who: "Identificeer uzelf", WhoHint: "Wie heeft de gesimuleerde telefoon?", Phone: "Telefoonnummer", Send: "Versturen",
		Scan: "Scan deze code met de gesimuleerde telefoon, of ga hier verder.", UseThis: "Verder",
		Prove: "Bewijs dat u het bent", ProveHint: "Controleer of de telefoon dit icoon toont.", Left: "Resterende tijd", OpenPhone: "Open de gesimuleerde telefoon",
		Titles:  map[ServiceType]string{Authentication: "Inloggen", Identification: "Gegevens delen", Confirmation: "Bevestigen"},
		Partner: "Gevraagd door", Time: "Tijd", Shared: "Gedeelde identiteitsgegevens", NothingShared: "Geen identiteitsgegevens", Amount: "Bedrag",
		Code: "Code", CodeHint: "In de simulatie zijn vijf willekeurige cijfers goed.", Finger: "Bevestigen met vingerafdruk",
		Confirm: "Bevestigen", Refuse: "Weigeren",
		Done: "Beantwoord", DoneHint: "U kunt terug naar het venster waar u begon.",
		Expired: "Verlopen", ExpiredHint: "Niemand antwoordde binnen drie minuten.",
	},
	"fr": {
		Simulation: "Simulation pour tests - ceci n'est pas itsme", NotAffiliated: "Sans lien avec itsme. Rien de ce que vous confirmez ici n'est réel.",
		Oops: "Oups ! Une erreur s'est produite.", TryAgain: "Réessayer",
		Who: "Identifiez-vous", WhoHint: "Qui tient le téléphone simulé ?", Phone: "Numéro de téléphone", Send: "Envoyer",
		Scan: "Scannez ce code avec le téléphone simulé, ou continuez ici.", UseThis: "Continuer",
		Prove: "Prouvez que c'est vous", ProveHint: "Vérifiez que le téléphone montre cette icône.", Left: "Temps restant", OpenPhone: "Ouvrir le téléphone simulé",
		Titles:  map[ServiceType]string{Authentication: "Connexion", Identification: "Partage de données", Confirmation: "Confirmation"},
		Partner: "Demandé par", Time: "Heure", Shared: "Données d'identité partagées", NothingShared: "Aucune donnée d'identité", Amount: "Montant",
		Code: "Code", CodeHint: "Cinq chiffres quelconques suffisent dans la simulation.", Finger: "Confirmer par empreinte digitale",
		Confirm: "Confirmer", Refuse: "Refuser",
		Done: "Répondu", DoneHint: "Vous pouvez revenir à la fenêtre où vous avez commencé.",
		Expired: "Expiré", ExpiredHint: "Personne n'a répondu dans les trois minutes.",
	},
	"de": {
		Simulation: "Simulation für Tests - das ist nicht itsme", NotAffiliated: "Nicht mit itsme verbunden. Nichts, was Sie hier bestätigen, ist echt.",
		Oops: "Hoppla! Etwas ist schiefgegangen.", TryAgain: "Erneut versuchen",
		Who: "Identifizieren Sie sich", WhoHint: "Wer hält das simulierte Telefon?", Phone: "Telefonnummer", Send: "Senden",
		Scan: "Scannen Sie diesen Code mit dem simulierten Telefon, oder machen Sie hier weiter.", UseThis: "Weiter",
		Prove: "Beweisen Sie, dass Sie es sind", ProveHint: "Prüfen Sie, ob das Telefon dieses Symbol zeigt.", Left: "Verbleibende Zeit", OpenPhone: "Simuliertes Telefon öffnen",
		Titles:  map[ServiceType]string{Authentication: "Anmelden", Identification: "Daten teilen", Confirmation: "Bestätigen"},
		Partner: "Angefragt von", Time: "Zeit", Shared: "Geteilte Identitätsdaten", NothingShared: "Keine Identitätsdaten", Amount: "Betrag",
		Code: "Code", CodeHint: "In der Simulation genügen fünf beliebige Ziffern.", Finger: "Mit Fingerabdruck bestätigen",
		Confirm: "Bestätigen", Refuse: "Ablehnen",
		Done: "Beantwortet", DoneHint: "Sie können zum Fenster zurückkehren, in dem Sie begonnen haben.",
		Expired: "Abgelaufen", ExpiredHint: "Niemand hat innerhalb von drei Minuten geantwortet.",
	},
}
