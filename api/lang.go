package api

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

//go:embed templates
var templateFiles embed.FS

// defaultLanguage is used when nothing else fits; its catalogue is the measure of the others.
const defaultLanguage = "en"

// catalogues are the words that people read, by language and key. A new language is a new file in templates/messages
// (and, until signer knows it, a language of the page only).
type catalogues struct {
	words   map[string]map[string]string
	tags    []language.Tag // tags[i] belongs to langs[i]; the default first
	langs   []string
	matcher language.Matcher
}

func loadCatalogues() (*catalogues, error) {
	files, err := fs.Glob(templateFiles, "templates/messages/*.json")
	if err != nil {
		return nil, err
	}
	c := &catalogues{words: map[string]map[string]string{}}
	for _, f := range files {
		text, err := templateFiles.ReadFile(f)
		if err != nil {
			return nil, err
		}
		lang := strings.TrimSuffix(path.Base(f), ".json")
		var words map[string]string
		if err := json.Unmarshal(text, &words); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		c.words[lang] = words
		c.langs = append(c.langs, lang)
	}
	if c.words[defaultLanguage] == nil {
		return nil, fmt.Errorf("api: no message catalogue %s", defaultLanguage)
	}
	slices.SortFunc(c.langs, func(a, b string) int {
		if (a == defaultLanguage) != (b == defaultLanguage) {
			return map[bool]int{true: -1, false: 1}[a == defaultLanguage]
		}
		return strings.Compare(a, b)
	})
	for _, l := range c.langs {
		tag, err := language.Parse(l)
		if err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", l, err)
		}
		c.tags = append(c.tags, tag)
	}
	c.matcher = language.NewMatcher(c.tags)
	return c, nil
}

// wanted is what a request says about languages: by ?lang (kept in a cookie, so that the way over itsme does not lose
// it) and by Accept-Language.
type wanted struct {
	chosen string // "" if the person did not choose
	accept []language.Tag
}

// languageCookie remembers a choice made with ?lang. It holds a language and nothing about the person.
const languageCookie = "lang"

func (c *catalogues) wanted(r *http.Request) wanted {
	var w wanted
	w.chosen = c.known(r.URL.Query().Get("lang"))
	if cookie, err := r.Cookie(languageCookie); err == nil && w.chosen == "" {
		w.chosen = c.known(cookie.Value)
	}
	if h := r.Header.Get("Accept-Language"); len(h) <= 200 { // browsers send less; the parser is not for books
		if tags, _, err := language.ParseAcceptLanguage(h); err == nil {
			w.accept = tags
		}
	}
	return w
}

// known is the catalogue that fits a language tag ("nl-BE" → "nl"), "" if none does.
func (c *catalogues) known(tag string) string {
	if tag == "" || len(tag) > 35 {
		return ""
	}
	t, err := language.Parse(tag)
	if err != nil {
		return ""
	}
	if _, i, sure := c.matcher.Match(t); sure >= language.High {
		return c.langs[i]
	}
	return ""
}

// choose is the language of an answer: the person's choice, what the browser prefers, the request's language.
func (c *catalogues) choose(w wanted, request string) string {
	if w.chosen != "" {
		return w.chosen
	}
	if len(w.accept) > 0 {
		if _, i, sure := c.matcher.Match(w.accept...); sure >= language.High {
			return c.langs[i]
		}
	}
	if c.words[request] != nil {
		return request
	}
	return defaultLanguage
}

// say is a message in a language; args are pairs of a name and what stands for {name}. A key that the language lacks is
// taken from the default one (a test holds that none is missing).
func (c *catalogues) say(lang, key string, args ...string) string {
	text, ok := c.words[lang][key]
	if !ok {
		text = c.words[defaultLanguage][key]
	}
	var pairs []string
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, "{"+args[i]+"}", args[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// has says that the catalogues know a key.
func (c *catalogues) has(key string) bool {
	_, ok := c.words[defaultLanguage][key]
	return ok
}
