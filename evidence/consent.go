package evidence

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"tekend/consent"
	"tekend/itsme/token"
	"tekend/strictjson"
)

// text: the same in bundle, manifest and request object (request), and of the
// layout that names the documents and ends with the check code.
func (j *job) text() error {
	if j.m.Template.Text != j.b.Text {
		return fault(StepText, "it is not that of the manifest")
	}
	provider := ""
	if j.b.Order != nil {
		provider = j.b.Order.Provider
	}
	if err := layout(j.b.Text, j.m.Docs, j.code, provider); err != nil {
		return fault(StepText, "%w", err)
	}
	return nil
}

var digits = regexp.MustCompile(`[0-9]+`)

// layout reads a text in the layout of consent.SignText, in any language:
//
//	<b>heading with n</b>[<br><i>words about hashes</i>]<br>1. label … <br>k. label [<br><i>words with n-k</i>]<br>words: <b>check code</b>
//
// provider is who signed the order, "" for nobody.
func layout(text string, docs []consent.Doc, code, provider string) error {
	heading, rest, ok := words(text, "<b>", "</b>")
	if !ok || number(heading) != len(docs) {
		return fmt.Errorf("the heading does not say %d", len(docs))
	}
	if docs[0].Origin == consent.OriginHash { // of all, or of none: consent.DecodeManifest
		var line string
		if line, rest, ok = words(rest, "<br><i>", "</i>"); !ok || !supplied(line, provider) {
			return fmt.Errorf("it does not say, or not of the right provider, that hashes were supplied")
		}
	}
	shown := 0
	for shown < len(docs) {
		line := fmt.Sprintf("<br>%d. %s", shown+1, docs[shown].Label)
		after, ok := strings.CutPrefix(rest, line)
		if !ok || !strings.HasPrefix(after, "<br>") {
			break
		}
		rest, shown = after, shown+1
	}
	if shown == 0 {
		return fmt.Errorf("no document is named")
	}
	if shown < len(docs) {
		var more string
		if more, rest, ok = words(rest, "<br><i>", "</i>"); !ok || number(more) != len(docs)-shown {
			return fmt.Errorf("document %d is neither named nor counted", shown+1)
		}
	}
	if _, rest, ok = words(rest, "<br>", ": <b>"); !ok || rest != code+"</b>" {
		return fmt.Errorf("it does not end with the check code")
	}
	return nil
}

// supplied: the line about hashes names the provider who signed the order, with
// "; " behind the name, and without one it names nobody and has no semicolon.
func supplied(line, provider string) bool {
	before, after, found := strings.Cut(line, "; ")
	if provider == "" {
		return !strings.Contains(line, ";")
	}
	return found && !strings.Contains(after, ";") && strings.HasSuffix(before, " "+provider)
}

// words cuts off what stands between two marks and holds no markup.
func words(s, open, end string) (in, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, open)
	if !ok {
		return "", s, false
	}
	in, rest, ok = strings.Cut(s, end)
	return in, rest, ok && in != "" && !strings.ContainsAny(in, "<>&")
}

// number is the only number in s, -1 for none or several.
func number(s string) int {
	all := digits.FindAllString(s, 2)
	if len(all) != 1 {
		return -1
	}
	n, err := strconv.Atoi(all[0])
	if err != nil {
		return -1
	}
	return n
}

// asked are the members of our request object that count (specs/itsme.md §1.9).
type asked struct {
	Iss             string `json:"iss"`
	Aud             string `json:"aud"`
	Iat             int64  `json:"iat"`
	Exp             int64  `json:"exp"`
	ResponseType    string `json:"response_type"`
	ClientID        string `json:"client_id"`
	RedirectURI     string `json:"redirect_uri"`
	Scope           string `json:"scope"`
	Nonce           string `json:"nonce"`
	CodeChallenge   string `json:"code_challenge"`
	ChallengeMethod string `json:"code_challenge_method"`
	ACRValues       string `json:"acr_values"`
	Claims          struct {
		UserInfo map[string]json.RawMessage `json:"userinfo"`
	} `json:"claims"`
}

// request: what itsme was asked, under our key.
func (j *job) request() error {
	payload, err := ours(j.b.Request, j.b.ClientKeys)
	if err != nil {
		return fault(StepRequest, "%w", err)
	}
	var a asked
	if err := strictjson.DecodeLoose(payload, token.MaxToken, &a); err != nil {
		return fault(StepRequest, "%w", err)
	}
	claims := map[string]string{}
	for name, raw := range a.Claims.UserInfo {
		var v struct {
			Value string `json:"value"`
		}
		if err := strictjson.DecodeLoose(raw, token.MaxToken, &v); err != nil {
			return fault(StepRequest, "claim %s: %w", name, err)
		}
		claims[name] = v.Value
	}
	m := j.m
	for _, c := range []struct{ what, is, must string }{
		{"iss", a.Iss, m.ClientID}, {"client_id", a.ClientID, m.ClientID}, {"aud", a.Aud, m.Iss},
		{"response_type", a.ResponseType, "code"}, {"redirect_uri", a.RedirectURI, m.RedirectURI},
		{"scope", a.Scope, "openid service:" + m.Service}, {"nonce", a.Nonce, j.nonce},
		{"code_challenge", a.CodeChallenge, m.CodeChallenge}, {"code_challenge_method", a.ChallengeMethod, "S256"},
		{"acr_values", a.ACRValues, m.ACR}, {"iat", strconv.FormatInt(a.Iat, 10), strconv.FormatInt(m.Iat, 10)},
		{"exp", strconv.FormatInt(a.Exp, 10), strconv.FormatInt(m.Exp, 10)}, {"sub", claims["sub"], m.Sub},
		{"template", claims[token.TemplateName], m.Template.Name}, {"text", claims[token.TemplateText], m.Template.Text},
	} {
		if c.is != c.must {
			return fault(StepRequest, "its %s is not that of the manifest", c.what)
		}
	}
	return nil
}

// ours verifies a JWS with a key of our own set.
func ours(jws string, set []byte) ([]byte, error) {
	keys, err := token.ReadKeySet(set)
	if err != nil {
		return nil, fmt.Errorf("our key set: %w", err)
	}
	obj, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(obj.Signatures) != 1 {
		return nil, fmt.Errorf("not a compact JWS with RS256")
	}
	key, ok := keys.Signing[obj.Signatures[0].Protected.KeyID]
	if !ok {
		return nil, fmt.Errorf("signed with a key that is not in our set")
	}
	payload, err := obj.Verify(key)
	if err != nil {
		return nil, fmt.Errorf("the signature is not good")
	}
	return payload, nil
}
