package consent

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxLabel is the longest label, in characters (§3.3.2).
const MaxLabel = 60

// labelTail is how many characters of the end a shortened label keeps: the
// extension, and what numbers or dates a file at the end of its name.
const labelTail = 16

// Label makes the name of a document fit to be shown by itsme (§3.3.1-2). The
// same name gives the same label for ever, and Label of a label is the label:
//
//  1. NFC; typographic characters become plain; a character outside the
//     intersection of ISO 8859-1 and 8859-15 becomes its transliteration
//     (text_table.go), else its letter without accents (NFKD), else "?".
//  2. Control and formatting characters and < > & go; runs of spaces are one.
//  3. More than MaxLabel characters: the first, "...", the last labelTail ones.
//  4. What looks like another line of the text loses that look (harmless).
//
// A name that is not UTF-8, or of which nothing is left, is an error.
func Label(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("label: not UTF-8")
	}
	var b strings.Builder
	for _, r := range norm.NFC.String(s) {
		b.WriteString(shown(r))
	}
	s = strings.Join(strings.Fields(b.String()), " ")
	if s == "" {
		return "", errors.New("label: nothing that can be shown is left")
	}
	if r := []rune(s); len(r) > MaxLabel {
		s = string(r[:MaxLabel-3-labelTail]) + "..." + string(r[len(r)-labelTail:])
	}
	return harmless(s), nil
}

// shown is what stands for a character in a label; "" for none.
func shown(r rune) string {
	if plain, ok := transliteration[r]; ok {
		return plain
	}
	switch {
	case unicode.IsSpace(r) && r != '\u0085' && r != '\n' && r != '\r' && r != '\t' && r != '\v' && r != '\f':
		return " "
	case unicode.Is(unicode.C, r) || strings.ContainsRune("<>&", r):
		return ""
	case inBoth(r):
		return string(r)
	}
	var b strings.Builder
	for _, part := range norm.NFKD.String(string(r)) {
		plain, ok := transliteration[part]
		switch {
		case unicode.Is(unicode.M, part):
		case ok:
			b.WriteString(plain)
		case inBoth(part) && !unicode.Is(unicode.C, part) && !strings.ContainsRune("<>&", part):
			b.WriteRune(part)
		default:
			return unknown(r)
		}
	}
	if b.Len() == 0 {
		return unknown(r)
	}
	return b.String()
}

// unknown stands for a character that has no plain form. A mark alone is part
// of the letter before it.
func unknown(r rune) string {
	if unicode.Is(unicode.M, r) {
		return ""
	}
	return "?"
}

// onlyLatin1 are the characters of ISO 8859-1 that 8859-15 has not.
const onlyLatin1 = "¤¦¨´¸¼½¾"

func inBoth(r rune) bool { return r <= 0xff && !strings.ContainsRune(onlyLatin1, r) }

// lineNumber is how the lines of the text begin.
var lineNumber = regexp.MustCompile(`([0-9]) ?([.)]+) +`)

// harmless takes from a label what could pass for another line of the text
// where a screen breaks the line: the space behind a line number, and the
// separators of whatever has the shape of a check code, which is four or more
// groups of exactly four letters or digits (longer ones are glued to something
// and cannot be read as a code). Between words the space stays: groups
// parted by spaces alone count only when one of them holds a digit.
func harmless(s string) string {
	for { // each turn makes s shorter
		next := joinCodes(lineNumber.ReplaceAllString(s, "$1$2"))
		if next == s {
			return s
		}
		s = next
	}
}

// joinCodes takes the separators out of the first run of groups that has the
// shape of a check code.
func joinCodes(s string) string {
	r := []rune(s)
	groups := fours(r)
	for i := 0; i < len(groups); {
		n := i + 1
		for n < len(groups) && groups[n] == groups[n-1]+5 {
			n++
		}
		first, end := groups[i], groups[n-1]+4
		if n-i >= 4 && looksLikeCode(r[first:end]) {
			var joined []rune
			for _, g := range groups[i:n] {
				joined = append(joined, r[g:g+4]...)
			}
			return string(r[:first]) + string(joined) + string(r[end:])
		}
		i = n
	}
	return s
}

// fours are the places of the groups of exactly four letters or digits.
func fours(r []rune) []int {
	var all []int
	for i := 0; i < len(r); {
		n := i
		for n < len(r) && letterOrDigit(r[n]) {
			n++
		}
		if n-i == 4 {
			all = append(all, i)
		}
		i = n + 1
	}
	return all
}

func letterOrDigit(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }

func looksLikeCode(r []rune) bool {
	for i, c := range r {
		if i%5 == 4 && c != ' ' || i%5 != 4 && unicode.IsDigit(c) {
			return true
		}
	}
	return false
}
