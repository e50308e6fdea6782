package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// Flow walks a signing request as a provider and its signer do, with each step
// by itself, so that tests can break off and go on anywhere.
type Flow struct {
	Front, Key string
	HTTP       *http.Client
}

// Flow makes one for this sandbox.
func (s *Sandbox) Flow(t testing.TB) *Flow {
	t.Helper()
	i := s.Info(t)
	key, err := os.ReadFile(i.APIKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &Flow{
		Front: i.Front, Key: strings.TrimSpace(string(key)),
		HTTP: &http.Client{
			Timeout:       60 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Request is the REST resource, as far as tests read it.
type Request struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	SigningURL string `json:"signing_url"`
}

// Page is the signer's page as JSON.
type Page struct {
	Step         string `json:"step"`
	Link         string `json:"link"`
	TermsVersion string `json:"terms_version"`
	CheckCode    string `json:"check_code"`
}

// Refused is an answer of 4xx or 5xx.
type Refused struct {
	Status int
	Body   string
}

func (e *Refused) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Body) }

func (f *Flow) call(ctx context.Context, method, address, media string, body []byte, out any) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	if strings.HasPrefix(address, f.Front+"/v1/") {
		req.Header.Set("Authorization", "Bearer "+f.Key)
	}
	resp, err := f.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 400 {
		return resp, &Refused{resp.StatusCode, string(b)}
	}
	if out != nil && resp.StatusCode < 300 {
		return resp, json.Unmarshal(b, out)
	}
	return resp, nil
}

// Create orders a signature on one PDF.
func (f *Flow) Create(ctx context.Context, reference string, document []byte) (Request, error) {
	return f.CreateAt(ctx, "B-T", reference, document)
}

// CreateAt is Create at a level.
func (f *Flow) CreateAt(ctx context.Context, level, reference string, document []byte) (Request, error) {
	var r Request
	q := url.Values{"level": {level}}
	if reference != "" {
		q.Set("signer_reference", reference)
	}
	_, err := f.call(ctx, http.MethodPost, f.Front+"/v1/signature-requests?"+q.Encode(), "application/pdf", document, &r)
	return r, err
}

// Get reads a request.
func (f *Flow) Get(ctx context.Context, id string) (Request, error) {
	var r Request
	_, err := f.call(ctx, http.MethodGet, f.Front+"/v1/signature-requests/"+id, "", nil, &r)
	return r, err
}

// Page reads the signer's page.
func (f *Flow) Page(ctx context.Context, signingURL string) (Page, error) {
	var p Page
	_, err := f.call(ctx, http.MethodGet, signingURL, "", nil, &p)
	return p, err
}

// AcceptTerms starts the enrolment.
func (f *Flow) AcceptTerms(ctx context.Context, signingURL, version string) error {
	body := fmt.Sprintf(`{"terms_version":%q,"language":"en"}`, version)
	_, err := f.call(ctx, http.MethodPost, signingURL+"/terms", "application/json", []byte(body), nil)
	return err
}

// AtItsme lets the person answer at itsme and gives the address of the front's
// callback to which itsme sends the browser.
func (f *Flow) AtItsme(ctx context.Context, link, person string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("sandbox_person", person)
	q.Set("sandbox_auto", "1")
	u.RawQuery = q.Encode()
	resp, err := f.call(ctx, http.MethodGet, u.String(), "", nil, nil)
	if err != nil {
		return "", err
	}
	to := resp.Header.Get("Location")
	if to == "" {
		return "", errors.New("itsme did not send the browser back")
	}
	return to, nil
}

// Callback follows itsme's redirect to the front.
func (f *Flow) Callback(ctx context.Context, address string) error {
	_, err := f.call(ctx, http.MethodGet, address, "", nil, nil)
	return err
}

// Step does what the page asks for and gives the page's step before that.
func (f *Flow) Step(ctx context.Context, signingURL, person string) (string, error) {
	p, err := f.Page(ctx, signingURL)
	if err != nil {
		return "", err
	}
	switch p.Step {
	case "accept_terms":
		return p.Step, f.AcceptTerms(ctx, signingURL, p.TermsVersion)
	case "identify", "consent", "confirm":
		back, err := f.AtItsme(ctx, p.Link, person)
		if err != nil {
			return p.Step, err
		}
		return p.Step, f.Callback(ctx, back)
	}
	return p.Step, nil
}

// Walk repeats Step, as a patient person reloads the page, until the page has
// come to an end or ctx is over.
func (f *Flow) Walk(ctx context.Context, signingURL, person string) (string, error) {
	for {
		step, err := f.Step(ctx, signingURL, person)
		switch step {
		case "done", "refused", "expired", "failed":
			return step, nil
		}
		if ctx.Err() != nil {
			return step, errors.Join(ctx.Err(), err)
		}
		time.Sleep(15 * time.Millisecond)
	}
}
