package tokentest

import (
	"bytes"
	"strings"
)

// forms: a genuine token whose form was changed.
func forms() []Forgery {
	var all []Forgery
	add := func(name string, change func(f *Forger, p []string) string) {
		all = append(all, Forgery{"form: " + name, func(f *Forger, inner string, _ Claims) string { return change(f, strings.Split(inner, ".")) }})
	}
	flip := func(s string, at int) string {
		b := []byte(s)
		if b[at]++; !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", rune(b[at])) {
			b[at] = 'A'
		}
		return string(b)
	}
	dots := func(p ...string) string { return strings.Join(p, ".") }
	add("no signature", func(_ *Forger, p []string) string { return dots(p[0], p[1], "") })
	add("two parts", func(_ *Forger, p []string) string { return dots(p[0], p[1]) })
	add("four parts", func(_ *Forger, p []string) string { return dots(p[0], p[1], p[2], p[2]) })
	add("signature cut", func(_ *Forger, p []string) string { return dots(p[0], p[1], p[2][:len(p[2])-4]) })
	add("signature longer", func(_ *Forger, p []string) string { return dots(p[0], p[1], p[2]+"AAAA") })
	add("signature changed", func(_ *Forger, p []string) string { return dots(p[0], p[1], flip(p[2], 9)) })
	add("payload changed", func(_ *Forger, p []string) string { return dots(p[0], flip(p[1], 40), p[2]) })
	add("header changed", func(_ *Forger, p []string) string { return dots(flip(p[0], 8), p[1], p[2]) })
	add("padding", func(_ *Forger, p []string) string { return dots(p[0], p[1], p[2]+"==") })
	add("a space", func(_ *Forger, p []string) string { return dots(p[0], p[1]+" ", p[2]) })
	add("a line end", func(_ *Forger, p []string) string { return dots(p[0], p[1], p[2]) + "\n" })
	add("empty", func(*Forger, []string) string { return "" })
	add("flattened JSON", func(f *Forger, p []string) string {
		return string(f.JSON(Claims{"protected": p[0], "payload": p[1], "signature": p[2]}))
	})
	add("general JSON", func(f *Forger, p []string) string {
		return string(f.JSON(Claims{"payload": p[1], "signatures": []any{Claims{"protected": p[0], "signature": p[2]}}}))
	})
	add("signature of another payload", func(f *Forger, p []string) string {
		c := f.Read(dots(p...))
		c["sub"] = "another"
		return dots(p[0], part(f.JSON(c)), p[2])
	})
	return all
}

// claims: itsme's good signature under wrong claims.
func claims() []Forgery {
	var all []Forgery
	set := func(name string, change func(f *Forger, c Claims)) {
		all = append(all, Forgery{"claims: " + name, func(f *Forger, _ string, c Claims) string {
			change(f, c)
			return f.Sign(c)
		}})
	}
	one := func(claim string, values map[string]func(f *Forger, old any) any) {
		for name, value := range values {
			set(claim+" "+name, func(f *Forger, c Claims) { c[claim] = value(f, c[claim]) })
		}
		set("no "+claim, func(_ *Forger, c Claims) { delete(c, claim) })
	}
	fixed := func(v any) func(*Forger, any) any { return func(*Forger, any) any { return v } }
	text := func(change func(string) string) func(*Forger, any) any {
		return func(_ *Forger, old any) any { return change(old.(string)) }
	}
	at := func(seconds int64) func(*Forger, any) any {
		return func(f *Forger, _ any) any { return f.Now.Unix() + seconds }
	}
	one("aud", map[string]func(*Forger, any) any{
		"list of one":   func(_ *Forger, old any) any { return []any{old} },
		"list of two":   func(_ *Forger, old any) any { return []any{old, "OTHER"} },
		"of another":    fixed("OTHER"),
		"small letters": text(strings.ToLower),
		"with a space":  text(func(s string) string { return s + " " }),
		"an object":     func(_ *Forger, old any) any { return Claims{"client": old} },
	})
	one("iss", map[string]func(*Forger, any) any{
		"of another":   fixed("https://idp.other.test/v2"),
		"with a slash": text(func(s string) string { return s + "/" }),
		"a list":       func(_ *Forger, old any) any { return []any{old} },
		"with a user":  text(func(s string) string { return strings.Replace(s, "://", "://x@", 1) }),
	})
	one("nonce", map[string]func(*Forger, any) any{
		"of another":    fixed(strings.Repeat("A", 43)),
		"padded":        text(func(s string) string { return s + "=" }),
		"cut":           text(func(s string) string { return s[:42] }),
		"empty":         fixed(""),
		"a list":        func(_ *Forger, old any) any { return []any{old} },
		"null":          fixed(nil),
		"small letters": text(func(s string) string { return strings.ToLower(s) + "!" }),
	})
	one("acr", map[string]func(*Forger, any) any{
		"basic":          fixed("http://itsme.services/v2/claim/acr_basic"),
		"a list":         func(_ *Forger, old any) any { return []any{old} },
		"in big letters": text(strings.ToUpper),
		"and more":       text(func(s string) string { return s + " http://itsme.services/v2/claim/acr_basic" }),
	})
	one("iat", map[string]func(*Forger, any) any{
		"in an hour": at(3600), "a day ago": at(-86400), "text": fixed("now"), "huge": fixed(1e300), "negative": fixed(-1),
	})
	one("exp", map[string]func(*Forger, any) any{
		"a day ago": at(-86400), "in a year": at(365 * 86400), "text": fixed("later"), "null": fixed(nil),
	})
	set("sub missing", func(_ *Forger, c Claims) { delete(c, "sub") })
	set("sub empty", func(_ *Forger, c Claims) { c["sub"] = "" })
	set("sub a list", func(_ *Forger, c Claims) { c["sub"] = []any{c["sub"]} })
	set("azp of another", func(_ *Forger, c Claims) { c["azp"] = "OTHER" })
	set("azp empty", func(_ *Forger, c Claims) { c["azp"] = "" })
	set("azp a list", func(_ *Forger, c Claims) { c["azp"] = []any{c["aud"]} })
	set("nbf in an hour", func(f *Forger, c Claims) { c["nbf"] = f.Now.Unix() + 3600 })
	set("nbf text", func(_ *Forger, c Claims) { c["nbf"] = "soon" })
	for name, change := range map[string]func(b []byte) []byte{
		"nonce twice":       func(b []byte) []byte { return append([]byte(`{"nonce":"x",`), b[1:]...) },
		"sub twice":         func(b []byte) []byte { return append([]byte(`{"sub":"x",`), b[1:]...) },
		"aud twice":         func(b []byte) []byte { return append([]byte(`{"aud":"x",`), b[1:]...) },
		"Sub beside sub":    func(b []byte) []byte { return append([]byte(`{"Sub":"x",`), b[1:]...) },
		"long s beside sub": func(b []byte) []byte { return append([]byte("{\"ſub\":\"x\","), b[1:]...) },
		"an escape beside":  func(b []byte) []byte { return append([]byte(`{"s\u0075b":"x",`), b[1:]...) },
		"bytes behind":      func(b []byte) []byte { return append(b, "{}"...) },
		"a byte order mark": func(b []byte) []byte { return append([]byte("\xef\xbb\xbf"), b...) },
		"a list":            func(b []byte) []byte { return append(append([]byte("["), b...), ']') },
		"null":              func([]byte) []byte { return []byte("null") },
		"text":              func([]byte) []byte { return []byte(`"claims"`) },
		"not UTF-8":         func(b []byte) []byte { return bytes.Replace(b, []byte(`"iss":"`), []byte("\"iss\":\"\xff"), 1) },
		"cut":               func(b []byte) []byte { return b[:len(b)-1] },
		"nothing":           func([]byte) []byte { return nil },
		"of brackets":       func([]byte) []byte { return bytes.Repeat([]byte("["), 40000) },
	} {
		all = append(all, Forgery{"payload: " + name, func(f *Forger, _ string, c Claims) string {
			return f.Raw(f.header(nil), change(f.JSON(c)), f.Itsme)
		}})
	}
	return all
}
