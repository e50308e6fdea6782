package db

import (
	"strconv"
	"strings"
)

// rebind writes the nth ? of a query as $n, as PostgreSQL has it. A ? inside a literal, a quoted name, a
// comment or a dollar-quoted body stays. (PostgreSQL's operators with ? cannot be written in our SQL.)
func rebind(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	var out strings.Builder
	out.Grow(len(query) + 16)
	for n, i := 0, 0; i < len(query); {
		if query[i] == '?' {
			n++
			out.WriteByte('$')
			out.WriteString(strconv.Itoa(n))
			i++
			continue
		}
		end := i + max(1, quoted(query[i:]))
		out.WriteString(query[i:end])
		i = end
	}
	return out.String()
}

// quoted is the length of the literal, name, comment or dollar-quoted body at the start of s; 0 when
// there is none. One that does not end goes to the end of s: the server will refuse it.
func quoted(s string) int {
	switch {
	case s[0] == '\'' || s[0] == '"': // a doubled quote is two literals side by side, which is the same to us
		return through(s, s[:1], 1)
	case strings.HasPrefix(s, "E'") || strings.HasPrefix(s, "e'"):
		return escaped(s)
	case strings.HasPrefix(s, "--"):
		return through(s, "\n", 2)
	case strings.HasPrefix(s, "/*"):
		return nested(s)
	case s[0] == '$':
		tag := s[:1+strings.IndexByte(s[1:], '$')+1]
		if len(tag) < 2 || strings.ContainsFunc(tag[1:len(tag)-1], func(c rune) bool { return !letter(c) }) {
			return 0
		}
		return through(s, tag, len(tag))
	}
	return 0
}

// through is how far it is to the end of the next end after the first skip bytes.
func through(s, end string, skip int) int {
	i := strings.Index(s[skip:], end)
	if i < 0 {
		return len(s)
	}
	return skip + i + len(end)
}

// escaped is the length of a literal with backslashes (E'…').
func escaped(s string) int {
	for i := 2; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\'':
			return i + 1
		}
	}
	return len(s)
}

// nested is the length of a comment; PostgreSQL lets comments stand in comments.
func nested(s string) int {
	for i, depth := 0, 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// letter may stand in the tag of a dollar-quoted body. (No digits: $1$ is a parameter.)
func letter(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
