package consent

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxText is the longest text that itsme shows, in characters with tags (§3.2).
const MaxText = 7500

// words are the texts that a person reads in the itsme app.
type words struct {
	signOne, signMany, more, code, enrol, enrolOnce string
	hashOne, hashMany                               string // nobody known supplied them
	hashOneBy, hashManyBy                           string // the provider with this name did
}

var languages = map[string]words{
	"en": {
		signOne: "Sign 1 document", signMany: "Sign %d documents", more: "and %d more", code: "Check code",
		hashOne:   "Only a hash was supplied: the document was not seen here",
		hashMany:  "Only hashes were supplied: the documents were not seen here",
		hashOneBy: "Hash supplied by %s; the document was not seen here", hashManyBy: "Hashes supplied by %s; the documents were not seen here",
		enrol:     "<b>Create my certificate for electronic signatures</b><br>I apply for a certificate in my name and accept the terms, version %s.",
		enrolOnce: "<b>Create a certificate for this session only</b><br>I apply for a certificate in my name that serves for what I sign in this session and for nothing after it, and accept the terms, version %s.",
	},
	"nl": {
		signOne: "Onderteken 1 document", signMany: "Onderteken %d documenten", more: "en nog %d", code: "Controlecode",
		hashOne:   "Alleen een hash is aangeleverd: het document is hier niet gezien",
		hashMany:  "Alleen hashes zijn aangeleverd: de documenten zijn hier niet gezien",
		hashOneBy: "Hash aangeleverd door %s; het document is hier niet gezien", hashManyBy: "Hashes aangeleverd door %s; de documenten zijn hier niet gezien",
		enrol:     "<b>Maak mijn certificaat voor elektronische handtekeningen</b><br>Ik vraag een certificaat op mijn naam aan en aanvaard de voorwaarden, versie %s.",
		enrolOnce: "<b>Maak een certificaat voor deze sessie alleen</b><br>Ik vraag een certificaat op mijn naam aan dat dient voor wat ik in deze sessie onderteken en daarna voor niets meer, en aanvaard de voorwaarden, versie %s.",
	},
}

// SignText is the text for signing docs, in the layout of §3.3.4: a heading
// with the number of documents, a line about hashes when they are such, a line
// for each document, the check code. lang is en or nl. provider is whose signed
// order the hashes stand in, in the form of Label; "" for an order that nobody
// signed, and for documents that are not hashes.
//
// Rule for lists that do not fit into MaxText: the first labels, as many as
// fit, then one line "and m more". The heading counts all, the check code
// covers all, and manifest, page and evidence hold this very text. Only
// heading and check code are bold and only the line about hashes and "and m
// more" are italic, and a label can hold no markup: no label looks like one of
// them. Nor is one long enough to pass for the line about hashes where a
// screen breaks the line: behind what fills a line, no label has room for it.
func SignText(lang string, docs []Doc, code, provider string) (string, error) {
	w, ok := languages[lang]
	if !ok {
		return "", errors.New("text: language must be en or nl")
	}
	if err := checkDocs(docs); err != nil {
		return "", fmt.Errorf("text: %w", err)
	}
	heading := w.signOne
	if len(docs) > 1 {
		heading = fmt.Sprintf(w.signMany, len(docs))
	}
	hashes, err := w.hashes(docs, provider)
	if err != nil {
		return "", fmt.Errorf("text: %w", err)
	}
	heading = "<b>" + heading + "</b>" + hashes
	end := "<br>" + w.code + ": <b>" + code + "</b>"
	lines := make([]string, len(docs))
	room := MaxText - utf8.RuneCountInString(heading+end)
	for i, d := range docs {
		lines[i] = fmt.Sprintf("<br>%d. %s", i+1, d.Label)
	}
	return finish(heading + strings.Join(fitting(lines, room, w.more), "") + end)
}

// hashes is the line about hashes; "" when docs are not such.
func (w words) hashes(docs []Doc, provider string) (string, error) {
	if docs[0].Origin != OriginHash { // one for all: checkDocs
		return "", nil
	}
	nobody, by := w.hashOne, w.hashOneBy
	if len(docs) > 1 {
		nobody, by = w.hashMany, w.hashManyBy
	}
	if provider == "" {
		return "<br><i>" + nobody + "</i>", nil
	}
	if l, err := Label(provider); err != nil || l != provider || strings.ContainsAny(provider, " ;") {
		return "", errors.New("the provider's name cannot be shown as it is")
	}
	return "<br><i>" + fmt.Sprintf(by, provider) + "</i>", nil
}

// fitting keeps all lines when they fit into room characters, else the first
// ones that leave room for a line about the others.
func fitting(lines []string, room int, more string) []string {
	used := 0
	for _, l := range lines {
		used += utf8.RuneCountInString(l)
	}
	if used <= room {
		return lines
	}
	for n := len(lines) - 1; n > 0; n-- {
		used -= utf8.RuneCountInString(lines[n])
		rest := "<br><i>" + fmt.Sprintf(more, len(lines)-n) + "</i>"
		if used+utf8.RuneCountInString(rest) <= room {
			return append(lines[:n:n], rest)
		}
	}
	return lines // not even one fits: finish refuses it
}

// EnrolText is the text with which a person asks for a certificate; of a
// one-time one it says that it is for this session only. lang is en or nl.
func EnrolText(lang string, a Application) (string, error) {
	w, ok := languages[lang]
	if !ok {
		return "", errors.New("text: language must be en or nl")
	}
	if err := a.check(); err != nil {
		return "", fmt.Errorf("text: %w", err)
	}
	if a.OneTime {
		return finish(fmt.Sprintf(w.enrolOnce, a.TermsVersion))
	}
	return finish(fmt.Sprintf(w.enrol, a.TermsVersion))
}

func finish(text string) (string, error) {
	if n := utf8.RuneCountInString(text); n > MaxText {
		return "", fmt.Errorf("text: %d characters, at most %d can be shown", n, MaxText)
	}
	return text, nil
}
