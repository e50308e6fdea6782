package consent

// transliteration gives the plain form of characters that itsme cannot show
// and that names have (§3.3.1): punctuation, letters without a decomposition
// in Unicode, and the alphabets of the Union beside the Latin one, each after
// the romanisation that is common in passports (ICAO 9303-3 §6, simplified to
// lower case after the first letter). A letter with accents that is not here
// loses them by NFKD. Changing a line changes check codes: it takes a record
// in docs/decisions.
var transliteration = map[rune]string{
	'\u2018': "'", '\u2019': "'", '\u201a': "'", '\u201b': "'", '\u2032': "'", '\u02bc': "'",
	'\u201c': `"`, '\u201d': `"`, '\u201e': `"`, '\u201f': `"`, '\u2033': `"`,
	'\u2010': "-", '\u2011': "-", '\u2012': "-", '\u2013': "-", '\u2014': "-", '\u2015': "-", '\u2212': "-",
	'\u2026': "...", '€': "EUR", '\u2022': "·", '\u2122': "(TM)", '\u2116': "No",
	'¤': "?", '¦': "|", '¨': `"`, '´': "'", '¸': ",", '¼': "1/4", '½': "1/2", '¾': "3/4", '\u2044': "/",

	'Œ': "OE", 'œ': "oe", 'Ł': "L", 'ł': "l", 'Đ': "D", 'đ': "d", 'Ħ': "H", 'ħ': "h", 'ı': "i", 'ĸ': "k",
	'Ŋ': "N", 'ŋ': "n", 'Ŧ': "T", 'ŧ': "t", 'ſ': "s", 'ẞ': "SS", 'ƒ': "f", 'Ə': "E", 'ə': "e",

	'Α': "A", 'Β': "V", 'Γ': "G", 'Δ': "D", 'Ε': "E", 'Ζ': "Z", 'Η': "I", 'Θ': "Th", 'Ι': "I", 'Κ': "K", 'Λ': "L", 'Μ': "M",
	'Ν': "N", 'Ξ': "X", 'Ο': "O", 'Π': "P", 'Ρ': "R", 'Σ': "S", 'Τ': "T", 'Υ': "Y", 'Φ': "F", 'Χ': "Ch", 'Ψ': "Ps", 'Ω': "O",
	'α': "a", 'β': "v", 'γ': "g", 'δ': "d", 'ε': "e", 'ζ': "z", 'η': "i", 'θ': "th", 'ι': "i", 'κ': "k", 'λ': "l", 'μ': "m",
	'ν': "n", 'ξ': "x", 'ο': "o", 'π': "p", 'ρ': "r", 'σ': "s", 'ς': "s", 'τ': "t", 'υ': "y", 'φ': "f", 'χ': "ch", 'ψ': "ps", 'ω': "o",

	'А': "A", 'Б': "B", 'В': "V", 'Г': "G", 'Д': "D", 'Е': "E", 'Ж': "Zh", 'З': "Z", 'И': "I", 'Й': "Y", 'К': "K", 'Л': "L",
	'М': "M", 'Н': "N", 'О': "O", 'П': "P", 'Р': "R", 'С': "S", 'Т': "T", 'У': "U", 'Ф': "F", 'Х': "H", 'Ц': "Ts", 'Ч': "Ch",
	'Ш': "Sh", 'Щ': "Sht", 'Ъ': "A", 'Ы': "Y", 'Ь': "Y", 'Э': "E", 'Ю': "Yu", 'Я': "Ya", 'Є': "Ie", 'І': "I", 'Ѕ': "Dz", 'Ј': "J",
	'Љ': "Lj", 'Њ': "Nj", 'Ћ': "C", 'Ђ': "D", 'Џ': "Dz", 'Ґ': "G",
	'а': "a", 'б': "b", 'в': "v", 'г': "g", 'д': "d", 'е': "e", 'ж': "zh", 'з': "z", 'и': "i", 'й': "y", 'к': "k", 'л': "l",
	'м': "m", 'н': "n", 'о': "o", 'п': "p", 'р': "r", 'с': "s", 'т': "t", 'у': "u", 'ф': "f", 'х': "h", 'ц': "ts", 'ч': "ch",
	'ш': "sh", 'щ': "sht", 'ъ': "a", 'ы': "y", 'ь': "y", 'э': "e", 'ю': "yu", 'я': "ya", 'є': "ie", 'і': "i", 'ѕ': "dz", 'ј': "j",
	'љ': "lj", 'њ': "nj", 'ћ': "c", 'ђ': "d", 'џ': "dz", 'ґ': "g",
}
