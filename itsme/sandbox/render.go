package sandbox

import (
	"html/template"
	"strings"
)

// renderText makes the HTML of a free text (SB-32): <b> <i> <u> <br> are
// rendered, other tags dropped, all else shown as the characters it is. Tags
// that were left open are closed, so that a text cannot reach beyond its box.
func renderText(text string) template.HTML {
	var out strings.Builder
	var open []string
	for text != "" {
		i := strings.IndexByte(text, '<')
		if i < 0 {
			break
		}
		out.WriteString(template.HTMLEscapeString(text[:i]))
		text = text[i:]
		end := strings.IndexByte(text, '>')
		if end < 0 || !tagStart(text) {
			out.WriteString("&lt;")
			text = text[1:]
			continue
		}
		tag := strings.ToLower(strings.TrimSpace(text[1:end]))
		text = text[end+1:]
		switch tag {
		case "b", "i", "u":
			out.WriteString("<" + tag + ">")
			open = append(open, tag)
		case "br", "br/", "br /":
			out.WriteString("<br>")
		case "/b", "/i", "/u":
			if n := len(open); n > 0 && open[n-1] == tag[1:] {
				out.WriteString("<" + tag + ">")
				open = open[:n-1]
			}
		}
	}
	out.WriteString(template.HTMLEscapeString(text))
	for i := len(open) - 1; i >= 0; i-- {
		out.WriteString("</" + open[i] + ">")
	}
	return template.HTML(out.String()) // built only from escaped text and the tags above
}

// tagStart tells a tag from a lone "<", as HTML does: a letter, "/", "!" or "?"
// follows.
func tagStart(s string) bool {
	if len(s) < 2 {
		return false
	}
	c := s[1]
	return c == '/' || c == '!' || c == '?' || (c|0x20 >= 'a' && c|0x20 <= 'z')
}
