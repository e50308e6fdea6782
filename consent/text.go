package consent

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxText is the longest text that itsme shows, in characters with tags (§3.2).
const MaxText = 7500

// MaxLabel is the longest label, in characters (§3.3.2).
const MaxLabel = 60

// words are the texts that a person reads in the itsme app.
type words struct{ signOne, signMany, code, enrol string }

var languages = map[string]words{
	"en": {
		signOne: "Sign 1 document", signMany: "Sign %d documents", code: "Check code",
		enrol: "<b>Create my certificate for electronic signatures</b><br>I apply for a certificate in my name and accept the terms, version %s.",
	},
	"nl": {
		signOne: "Onderteken 1 document", signMany: "Onderteken %d documenten", code: "Controlecode",
		enrol: "<b>Maak mijn certificaat voor elektronische handtekeningen</b><br>Ik vraag een certificaat op mijn naam aan en aanvaard de voorwaarden, versie %s.",
	},
}

// SignText is the text for signing docs, in the layout of §3.3.4: a heading, a
// line for each document, the check code. lang is en or nl. A text that is too
// long is an error; nothing is ever cut off.
func SignText(lang string, docs []Doc, code string) (string, error) {
	w, ok := languages[lang]
	if !ok {
		return "", errors.New("text: language must be en or nl")
	}
	if err := checkDocs(docs); err != nil {
		return "", fmt.Errorf("text: %w", err)
	}
	var b strings.Builder
	heading := w.signOne
	if len(docs) > 1 {
		heading = fmt.Sprintf(w.signMany, len(docs))
	}
	fmt.Fprintf(&b, "<b>%s</b>", heading)
	for i, d := range docs {
		fmt.Fprintf(&b, "<br>%d. %s", i+1, d.Label)
	}
	fmt.Fprintf(&b, "<br>%s: <b>%s</b>", w.code, code)
	return finish(b.String())
}

// EnrolText is the text with which a person asks for a certificate. lang is en
// or nl.
func EnrolText(lang string, a Application) (string, error) {
	w, ok := languages[lang]
	if !ok {
		return "", errors.New("text: language must be en or nl")
	}
	if err := a.check(); err != nil {
		return "", fmt.Errorf("text: %w", err)
	}
	return finish(fmt.Sprintf(w.enrol, a.TermsVersion))
}

func finish(text string) (string, error) {
	if n := utf8.RuneCountInString(text); n > MaxText {
		return "", fmt.Errorf("text: %d characters, at most %d can be shown", n, MaxText)
	}
	return text, nil
}

// plainer gives characters that itsme cannot show, and that file names often
// have, their plain form (§3.3.1).
var plainer = strings.NewReplacer(
	"\u2018", "'", "\u2019", "'", "\u201a", "'", "\u201b", "'", "\u2032", "'",
	"\u201c", `"`, "\u201d", `"`, "\u201e", `"`, "\u201f", `"`, "\u2033", `"`,
	"\u2010", "-", "\u2011", "-", "\u2012", "-", "\u2013", "-", "\u2014", "-", "\u2015", "-", "\u2212", "-",
	"\u2026", "...", "\u20ac", "EUR",
	"\u00a0", " ", "\u2002", " ", "\u2003", " ", "\u2007", " ", "\u2009", " ", "\u202f", " ",
)

// onlyLatin1 are the characters of ISO 8859-1 that 8859-15 has not.
const onlyLatin1 = "¤¦¨´¸¼½¾"

// Label makes the name of a document fit to be shown by itsme (§3.3.1-2):
// NFC, typographic characters made plain, control characters and < > & taken
// out, runs of spaces made one, cut to MaxLabel characters with "...". A
// character outside the intersection of ISO 8859-1 and 8859-15, or a name of
// which nothing is left, is an error. Label of a label is the label.
func Label(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("label: not UTF-8")
	}
	s = plainer.Replace(norm.NFC.String(s))
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.C, r) && r <= 0xff || strings.ContainsRune("<>&", r) {
			return -1
		}
		return r
	}, s)
	for _, r := range s {
		if r > 0xff || strings.ContainsRune(onlyLatin1, r) {
			return "", errors.New("label: holds a character that itsme cannot show")
		}
	}
	s = strings.Join(strings.Fields(s), " ")
	if s == "" {
		return "", errors.New("label: nothing that can be shown is left")
	}
	if r := []rune(s); len(r) > MaxLabel {
		s = string(r[:MaxLabel-3]) + "..."
	}
	return s, nil
}
