package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxAnswer bounds a JSON answer of the service, in bytes; a request with 70
// documents and its events is below 64 KiB.
const maxAnswer = 1 << 20

// apiClient speaks the REST API as any provider would.
type apiClient struct {
	base, key string
	http      *http.Client
}

func newAPIClient(base, key string) *apiClient {
	jar, _ := cookiejar.New(nil) // cannot fail; what a browser keeps of the signer's pages
	return &apiClient{base: base, key: key, http: &http.Client{
		Jar: jar,
		// Uploads and downloads take as long as they take; each JSON call has
		// a deadline of its own.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{ResponseHeaderTimeout: 2 * time.Minute, MaxIdleConnsPerHost: 4},
	}}
}

// problem is RFC 9457's answer, as far as it is shown.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Hint   string `json:"hint"`
	Issues []struct {
		Name    string `json:"name"`
		Pointer string `json:"pointer"`
		Reason  string `json:"reason"`
	} `json:"issues"`
}

// signatureRequest is the part of the REST resource that the CLI reads.
type signatureRequest struct {
	ID         string   `json:"id"`
	State      string   `json:"state"`
	SigningURL string   `json:"signing_url"`
	Level      string   `json:"level"`
	Problem    *problem `json:"problem"`
	Notice     *problem `json:"notice"` // why it waits
	Documents  []struct {
		Name  string `json:"name"`
		Level string `json:"level"` // reached
	} `json:"documents"`
}

// names are those of its documents. They came from the service, and become names of files: of PDFs, and of none that hides.
func (r *signatureRequest) names() (all []string) {
	for i, d := range r.Documents {
		name := filepath.Base(filepath.Clean("/" + d.Name))
		if strings.HasPrefix(name, ".") || !strings.EqualFold(filepath.Ext(name), ".pdf") || oneLine(name) != name {
			name = fmt.Sprintf("document-%d.pdf", i+1)
		}
		all = append(all, name)
	}
	return all
}

// page is the JSON form of the signer's page.
type page struct {
	State        string   `json:"state"`
	Step         string   `json:"step"`
	Link         string   `json:"link"`
	CheckCode    string   `json:"check_code"`
	TermsVersion string   `json:"terms_version"`
	Problem      *problem `json:"problem"`
	Notice       *problem `json:"notice"` // why it waits or asks again
}

func (c *apiClient) do(ctx context.Context, req *http.Request, out any) error {
	req = req.WithContext(ctx)
	if strings.HasPrefix(req.URL.String(), c.base+"/v1/") {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return notReached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	return readAnswer(resp, out)
}

// notReached is what no answer means: a file of ours that could not be read,
// Ctrl-C, or a service that is not there.
func notReached(ctx context.Context, err error) error {
	if own, ok := errors.AsType[*exitError](err); ok {
		return own
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return errStopped
	}
	return unreachable("the service cannot be reached: %w; is it running?", stripURL(err))
}

// errStopped ends a command that the user stopped. What the service has taken
// goes on there.
var errStopped = no("stopped; what the service has taken goes on without this command")

func readAnswer(resp *http.Response, out any) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return unreachable("the service's answer broke off: %w", err)
	}
	if resp.StatusCode >= 400 {
		return asProblem(resp.StatusCode, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return unreachable("the service's answer is not JSON: %w", err)
	}
	return nil
}

func asProblem(status int, b []byte) error {
	var p problem
	if json.Unmarshal(b, &p) != nil || p.Code == "" {
		return unreachable("the service answered %d", status)
	}
	return asExit(status, "%s", p)
}

// asExit is a refusal of the service with its exit code.
func asExit(status int, format string, why any) error {
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return unreachable(format, why)
	case status == http.StatusConflict || status == http.StatusGone:
		return no(format, why)
	}
	return usage(format, why)
}

// String is a problem in one line: what happened, what to do, its code. The service chose the letters, and we the line.
func (p problem) String() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, is := range p.Issues {
		if is.Reason != p.Detail {
			text += "; " + strings.TrimSpace(is.Name+is.Pointer+" "+is.Reason)
		}
	}
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return oneLine(fmt.Sprintf("%s (%s)", text, p.Code))
}

// stripURL removes the address from a net/http error: it may hold a token.
func stripURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// upload is what goes to the service: files, or none when they are there.
type upload struct {
	files  []string
	format string
}

// create makes a request and uploads the files.
func (c *apiClient) create(ctx context.Context, order any, up upload, progress func(string)) (*signatureRequest, error) {
	var r signatureRequest
	if len(up.files) == 0 {
		return &r, c.post(ctx, c.base+"/v1/signature-requests", order, &r)
	}
	body, w := io.Pipe()
	mw := multipart.NewWriter(w)
	go func() { _ = w.CloseWithError(writeParts(mw, order, up, progress)) }()
	req, err := http.NewRequest(http.MethodPost, c.base+"/v1/signature-requests", body)
	if err != nil {
		return nil, usage("server address: %w", err)
	}
	req.Header.Set("Content-Type", mw.FormDataContentType())
	if err := c.do(ctx, req, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

func writeParts(mw *multipart.Writer, order any, up upload, progress func(string)) error {
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", `form-data; name="request"`)
	h.Set("Content-Type", "application/json")
	part, err := mw.CreatePart(h)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(part).Encode(order); err != nil {
		return err
	}
	media := "application/pdf"
	if up.format == "cades" {
		media = "application/octet-stream"
	}
	for _, path := range up.files {
		progress("uploading " + filepath.Base(path))
		if err := writeFile(mw, path, media); err != nil {
			return err
		}
	}
	return mw.Close()
}

func writeFile(mw *multipart.Writer, path, media string) error {
	f, err := os.Open(path)
	if err != nil {
		return usage("%w", err)
	}
	defer func() { _ = f.Close() }()
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", multipart.FileContentDisposition("document", filepath.Base(path)))
	h.Set("Content-Type", media)
	part, err := mw.CreatePart(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(part, f)
	return err
}

func (c *apiClient) getJSON(ctx context.Context, address string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return usage("address: %w", err)
	}
	return c.do(ctx, req, out)
}

func (c *apiClient) postJSON(ctx context.Context, address string, in any) error {
	return c.post(ctx, address, in, nil)
}

func (c *apiClient) post(ctx context.Context, address string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(string(b)))
	if err != nil {
		return usage("address: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	return c.do(ctx, req, out)
}

// download streams document n (from 1) to path, which is only there when whole.
func (c *apiClient) download(ctx context.Context, id string, n int, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/signature-requests/%s/documents/%d", c.base, id, n), nil)
	if err != nil {
		return usage("address: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return notReached(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return readAnswer(resp, nil)
	}
	return writeWhole(path, received{resp.Body})
}
