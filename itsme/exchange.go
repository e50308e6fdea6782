package itsme

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tekend/itsme/token"
	"tekend/strictjson"
)

// assertionLife is the life of a client assertion: it is used at once.
const assertionLife = 2 * time.Minute

// Error is what itsme's token endpoint answered instead of a token. Code is
// one of its codes, for example invalid_grant, or "unreadable"; itsme's
// free text is dropped, it may say anything (specs/itsme.md §5.2).
type Error struct {
	Status int
	Code   string
}

func (e *Error) Error() string { return fmt.Sprintf("itsme answered %d %s", e.Status, e.Code) }

type assertion struct {
	Iss string `json:"iss"`
	Sub string `json:"sub"`
	Aud string `json:"aud"`
	JTI string `json:"jti"`
	Iat int64  `json:"iat"`
	Exp int64  `json:"exp"`
}

// Exchange redeems a code for the ID token, encrypted as it came. The request
// is sent once: a code is good for one exchange, so nobody may repeat this,
// and after an error that is not *Error the code may be used up. Before that,
// when all is made that can fail on our side, the signature of our own proof
// above all, it calls last (may be nil): after an error of last, or without a
// call of last, the code was not sent.
//
// Errors: *Error when itsme refused; ErrUnreachable otherwise; the signer's;
// that of last.
func (c *Client) Exchange(ctx context.Context, code, verifier string, last func() error) (rawIDToken string, err error) {
	ends, err := c.p.Endpoints(ctx)
	if err != nil {
		return "", err
	}
	now := c.p.cfg.Now()
	proof, err := c.sig.jws(assertion{
		Iss: c.cfg.ID, Sub: c.cfg.ID, Aud: ends.Token, JTI: Random(), Iat: now.Unix(), Exp: now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("sign client assertion: %w", err)
	}
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.cfg.RedirectURI}, "code_verifier": {verifier},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {proof},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, ends.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.GetBody = nil // net/http must not be able to send it again
	if last != nil {
		if err := last(); err != nil {
			return "", err
		}
	}
	resp, err := c.p.http.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return readTokenAnswer(resp)
}

func readTokenAnswer(resp *http.Response) (string, error) {
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("%w: token answer: %w", ErrUnreachable, err)
	}
	if resp.StatusCode >= 500 {
		return "", fmt.Errorf("%w: status %d", ErrUnreachable, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		return "", &Error{Status: resp.StatusCode, Code: errorCode(body)}
	}
	var answer struct {
		IDToken   string `json:"id_token"`
		TokenType string `json:"token_type"`
	}
	if err := strictjson.DecodeLoose(bytes.TrimSpace(body), maxAnswer, &answer); err != nil {
		return "", fmt.Errorf("%w: token answer: %w", ErrUnreachable, err)
	}
	if answer.IDToken == "" || len(answer.IDToken) > token.MaxToken || !strings.EqualFold(answer.TokenType, "Bearer") {
		return "", fmt.Errorf("%w: token answer without a usable ID token", ErrUnreachable)
	}
	return answer.IDToken, nil
}

// errorCode takes the code out of an error answer and nothing that is not one.
func errorCode(body []byte) string {
	var answer struct {
		Code string `json:"error"`
	}
	if strictjson.DecodeLoose(body, maxAnswer, &answer) != nil || answer.Code == "" || len(answer.Code) > 40 {
		return "unreadable"
	}
	for _, c := range answer.Code {
		if (c < 'a' || c > 'z') && c != '_' {
			return "unreadable"
		}
	}
	return answer.Code
}

// Meaning is what an error of the authorization endpoint means for the person's
// request (specs/itsme.md §5.1, §5.5).
type Meaning string

// The meanings.
const (
	Declined Meaning = "declined" // the person, or itsme, said no: the end
	Expired  Meaning = "expired"  // nobody answered: a new attempt is possible
	Retry    Meaning = "retry"    // itsme is busy: the same again later
	Fault    Meaning = "fault"    // our request or registration is wrong: repeating does not help
)

var meanings = map[string]Meaning{
	"access_denied":           Declined,
	"temporary_unavailable":   Retry, // itsme's spelling
	"temporarily_unavailable": Retry, // RFC 6749 §4.1.2.1
	"server_error":            Retry,
	"expired_token":           Expired,

	"invalid_request": Fault, "login_required": Fault, "interaction_required": Fault, "unsupported_request": Fault,
	"invalid_client_id": Fault, "unauthorized_client": Fault, "invalid_client": Fault, "invalid_redirect_uri": Fault,
	"unsupported_grant_type": Fault, "invalid_grant": Fault, "invalid_scope": Fault, "unsupported_display": Fault,
	"unsupported_response_type": Fault, "invalid_request_object": Fault, "invalid_request_uri": Fault,
	"registration_not_supported": Fault,
}

// ErrorMeaning tells the meaning of an error code from itsme's redirect. What
// itsme says when the person does not answer is not documented, so a code that
// nobody knows counts as Expired (specs/itsme.md §5.5).
func ErrorMeaning(code string) Meaning {
	if m, ok := meanings[code]; ok {
		return m
	}
	return Expired
}
