//go:build interop

package program

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"tekend/interop/sandboxtest"
)

// problem is an answer as RFC 9457 has it, with our members.
type problem struct {
	Type, Title, Detail, Code, Hint, Instance string
	Status                                    int
	Retryable                                 *bool
	Issues                                    []struct{ In, Name, Pointer, Reason string }
	State                                     string
}

// request is the REST resource with what these tests look at besides sandboxtest's.
type request struct {
	ID, State       string
	Problem, Notice *reason
	Documents       []struct{ Name, Label string }
}

type reason struct {
	Code, Detail, Hint string
	Retryable          bool
}

// do calls the front; a path below /v1/ gets the API key, unless header sets Authorization.
func (w *world) do(t testing.TB, f *sandboxtest.Flow, method, address string, header http.Header, body io.Reader) (*http.Response, []byte) {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = f.Front + address
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, body)
	w.must(t, err)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+f.Key)
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := f.HTTP.Do(req)
	w.must(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	w.must(t, err)
	return resp, b
}

func (w *world) get(t testing.TB, id string) (r request) {
	t.Helper()
	resp, b := w.do(t, w.flow, http.MethodGet, "/v1/signature-requests/"+id, nil, nil)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	w.must(t, json.Unmarshal(b, &r))
	return r
}

func header(name, value string) http.Header { return http.Header{name: {value}} }

// asProblem reads a problem and holds what every problem must have.
func asProblem(t testing.TB, resp *http.Response, body []byte) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("%d without a problem: %.300s", resp.StatusCode, body)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("the problem is of type %q", got)
	}
	if p.Status != resp.StatusCode || p.Type != "urn:tekend:problem:"+p.Code || p.Title == "" || p.Detail == "" || p.Retryable == nil ||
		!strings.HasPrefix(p.Instance, "urn:uuid:") {
		t.Errorf("the problem is incomplete: %s", body)
	}
	return p
}

// want is a problem that a test expects.
type want struct {
	status    int
	code      string
	retryable bool
}

// refused holds that an answer is the problem that was expected and says what
// to do: in its hint, or in its issues.
func refused(t testing.TB, resp *http.Response, body []byte, e want) problem {
	t.Helper()
	p := asProblem(t, resp, body)
	if p.Status != e.status || p.Code != e.code || *p.Retryable != e.retryable {
		t.Errorf("%d %s retryable=%v, want %+v: %s", p.Status, p.Code, *p.Retryable, e, body)
	}
	if p.Hint == "" && len(p.Issues) == 0 {
		t.Errorf("%s has neither a hint nor issues: %s", p.Code, body)
	}
	return p
}

// part is one part of a multipart body.
type part struct{ name, file, media, body string }

func multipartBody(t testing.TB, parts ...part) (http.Header, io.Reader) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		d := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.file != "" {
			d += fmt.Sprintf(`; filename=%q`, p.file)
		}
		h.Set("Content-Disposition", d)
		h.Set("Content-Type", p.media)
		to, err := m.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(to, p.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return header("Content-Type", m.FormDataContentType()), &b
}

func query(t testing.TB, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}

// withQuery sets one parameter of an address.
func withQuery(t testing.TB, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// chownLike gives a file to the owner of another.
func chownLike(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("no owner of %s", path)
	}
	return os.Chown(path, int(st.Uid), int(st.Gid))
}
