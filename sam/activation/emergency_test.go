package activation_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"tekend/ca"
	"tekend/sam"
	"tekend/sam/activation"
)

const emergencyURL = "https://revoke.acme.test/"

// channel is the emergency channel of a world, as a person's browser sees it.
type channel struct {
	w    *world
	post *post
	web  *httptest.Server
}

func newChannel(t *testing.T, change ...func(*activation.Config)) *channel {
	t.Helper()
	post, config := overSMTP(t)
	w := newWorld(t, append([]func(*activation.Config){config, func(c *activation.Config) { c.EmergencyURL = emergencyURL }}, change...)...)
	c := &channel{w: w, post: post}
	c.web = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.role.EmergencyHandler().ServeHTTP(rw, r) }))
	t.Cleanup(c.web.Close)
	return c
}

// send posts the form.
func (c *channel) send(code, reason string) (status int, page string) {
	c.w.t.Helper()
	resp := got(http.PostForm(c.web.URL+"/revoke", url.Values{"code": {code}, "reason": {reason}}))(c.w.t)
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, string(got(io.ReadAll(resp.Body))(c.w.t))
}

var codeForm = regexp.MustCompile(`(?m)^    ([0-9a-hjkmnp-tv-z]{5}(?:-[0-9a-hjkmnp-tv-z]{5}){4})\r?$`)

// codes are those in the notices that arrived.
func (c *channel) codes() (all []string) {
	c.w.t.Helper()
	c.w.send()
	c.post.mu.Lock()
	defer c.post.mu.Unlock()
	for _, body := range c.post.bodies {
		if m := codeForm.FindStringSubmatch(body); m != nil {
			if !strings.Contains(body, emergencyURL) {
				c.w.t.Errorf("a code without its address: %q", body)
			}
			all = append(all, m[1])
		}
	}
	return all
}

// TestTheEmergencyChannel revokes with front and itsme switched off, and the ca
// away: blocked at once, and published when the ca is back.
func TestTheEmergencyChannel(t *testing.T) {
	c := newChannel(t)
	w := c.w
	cred, other := w.enrol("approve"), w.enrol("one-name")
	open := w.confirm(cred, 1)
	codes := c.codes()
	if len(codes) != 2 || codes[0] == codes[1] {
		t.Fatalf("%q", codes)
	}
	code := codes[0]
	// What the role keeps is a hash: not the code, in no spelling.
	for _, table := range []string{"codes", "links", "outbox", "audit", "contacts", "uses"} {
		dump := string(w.dump(table))
		if strings.Contains(dump, code) || strings.Contains(dump, strings.ReplaceAll(code, "-", "")) {
			t.Errorf("%s holds the code", table)
		}
	}
	w.opDown.Store(true)
	w.caDown.Store(true)
	sign := w.front // the front is gone but for this one call, which must be refused
	w.front = nil
	status, page := c.send("  "+strings.ToUpper(code)+" ", "keyCompromise")
	if status != http.StatusOK || !strings.Contains(page, "Your certificate is revoked") || !strings.Contains(page, "is herroepen") {
		t.Fatalf("%d %s", status, page)
	}
	_, err := sign.Sign(t.Context(), open.Nonce, open.request(0))
	w.refused(err, sam.CodeCertificateNotGood)
	w.caDown.Store(false)
	must(t, w.role.Reconcile(t.Context()))
	w.front = sign
	w.soonDestroyed(cred)
	if w.caSays(cred) != ca.Revoked || w.countDetail("credential.revoked", "by", "code") != 1 || w.countDetail("credential.revoked", "reason", "1") != 1 {
		t.Error("the ca does not say revoked, or the record not why")
	}
	if w.state(other) != sam.CredentialActive || w.caSays(other) != ca.Good {
		t.Error("another person's credential was revoked")
	}
	// Again, and after a restart: still revoked, nothing new.
	w.opDown.Store(false)
	w.start()
	if status, page := c.send(strings.ReplaceAll(code, "-", ""), ""); status != http.StatusOK || !strings.Contains(page, "is revoked") || w.count("credential.revoked") != 1 {
		t.Errorf("again: %d", status)
	}
}

// TestWrongCodes: nothing is revoked, wrong ones and those of nobody look alike,
// their rows in the audit are bounded, and a right one works all the same.
func TestWrongCodes(t *testing.T) {
	c := newChannel(t)
	w := c.w
	cred := w.enrol("approve")
	code := c.codes()[0]
	near := []byte(code)
	near[0] = map[bool]byte{true: '1', false: '0'}[near[0] == '0']
	wrong := []string{"", "x", code[:len(code)-1], code + "0", string(near), "00000-00000-00000-00000-00000", strings.Repeat("0", 2000), "' OR 1=1 --", cred.ID}
	var first string
	for _, s := range wrong {
		status, page := c.send(s, "")
		if status != http.StatusForbidden || !strings.Contains(page, "not a code of ours") || first != "" && page != first {
			t.Errorf("%.40q: %d", s, status)
		}
		first = page
	}
	if n := w.count("refusal." + sam.CodeWrongCode); n != len(wrong) {
		t.Errorf("%d wrong codes in the audit, %d tried", n, len(wrong))
	}
	rows := len(w.rows())
	var busy, many int
	for range 200 {
		switch status, _ := c.send("00000-00000-00000-00000-00001", ""); status {
		case http.StatusTooManyRequests:
			many++
		case http.StatusForbidden:
			busy++
		}
	}
	if busy+len(wrong) > 30 || many != 200-busy {
		t.Errorf("%d wrong codes were answered as such, %d as too many", busy+len(wrong), many)
	}
	if n := len(w.rows()) - rows; n > 2 {
		t.Errorf("200 wrong codes made %d rows", n)
	}
	if w.state(cred) != sam.CredentialActive || w.count("credential.revoked") != 0 {
		t.Fatal("a wrong code revoked")
	}
	if status, _ := c.send(code, ""); status != http.StatusOK || w.state(cred) == sam.CredentialActive {
		t.Errorf("the right code after many wrong ones: %d", status)
	}
}

// TestWhatTheEmergencyPageTakes: one form, small, by POST, of no other type.
func TestWhatTheEmergencyPageTakes(t *testing.T) {
	c := newChannel(t)
	w := c.w
	w.enrol("approve")
	code := c.codes()[0]
	form := url.Values{"code": {code}}.Encode()
	do := func(method, path, kind, body string) *http.Response {
		req := got(http.NewRequestWithContext(t.Context(), method, c.web.URL+path, strings.NewReader(body)))(t)
		req.Header.Set("Content-Type", kind)
		resp := got(http.DefaultClient.Do(req))(t)
		must(t, resp.Body.Close())
		return resp
	}
	const urlencoded = "application/x-www-form-urlencoded"
	for name, r := range map[string]struct {
		method, path, kind, body string
		want                     int
	}{
		"the code in the address": {"POST", "/revoke?" + form, urlencoded, "", 403},
		"GET":                     {"GET", "/revoke?" + form, "", "", 405},
		"JSON":                    {"POST", "/revoke", "application/json", `{"code":"` + code + `"}`, 400},
		"multipart":               {"POST", "/revoke", "multipart/form-data; boundary=x", form, 400},
		"a large form":            {"POST", "/revoke", urlencoded, form + "&x=" + strings.Repeat("x", 8<<10), 400},
		"broken":                  {"POST", "/revoke", urlencoded, "%zz", 400},
		"another path":            {"POST", "/", urlencoded, form, 405},
		"no path":                 {"GET", "/v1/health", "", "", 404},
	} {
		if resp := do(r.method, r.path, r.kind, r.body); resp.StatusCode != r.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, r.want)
		}
	}
	if w.count("credential.revoked") != 0 {
		t.Fatal("one of them revoked")
	}
	resp := got(http.Get(c.web.URL + "/"))(t)
	page := string(got(io.ReadAll(resp.Body))(t))
	must(t, resp.Body.Close())
	for _, want := range []string{"SANDBOX", "herroepen", "&#43;32 2 555 00 00", `action="/revoke"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if p := resp.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(page, "<script") {
		t.Errorf("%v", resp.Header)
	}
	w.cfg.Production = true
	w.start()
	resp = got(http.Get(c.web.URL + "/"))(t)
	if page := string(got(io.ReadAll(resp.Body))(t)); strings.Contains(page, "SANDBOX") {
		t.Error("a production role calls itself a sandbox")
	}
	must(t, resp.Body.Close())
}

// TestNoNoticeNoCode: who is not written to gets no code, and operators are told
// when nobody does.
func TestNoNoticeNoCode(t *testing.T) {
	c := newChannel(t)
	w := c.w
	w.enrol("no-email")
	if n := w.inTable("codes"); n != 0 || len(c.codes()) != 0 {
		t.Errorf("%d codes", n)
	}
	if notes := strings.Join(got(w.front.Health(t.Context()))(t).Notes, " "); strings.Contains(notes, "no code") {
		t.Error(notes)
	}
	w.cfg.EmergencyURL = ""
	w.start()
	w.enrol("approve")
	if n := w.inTable("codes"); n != 0 || len(c.codes()) != 0 {
		t.Errorf("%d codes without a channel", n)
	}
	if notes := strings.Join(got(w.front.Health(t.Context()))(t).Notes, " "); !strings.Contains(notes, "no code") {
		t.Errorf("%q", notes)
	}
}

// TestManyCodesAtOnce: the same code from many sides is one revocation.
func TestManyCodesAtOnce(t *testing.T) {
	c := newChannel(t)
	w := c.w
	cred := w.enrol("approve")
	code := got(w.role.Code(context.Background(), cred.ID))(t)
	if all := c.codes(); len(all) != 1 || all[0] != code {
		t.Fatalf("the notice holds %q", all)
	}
	var all sync.WaitGroup
	counts := make([]int, 20)
	for i := range counts {
		all.Go(func() { counts[i], _ = c.send(code, "") })
	}
	all.Wait()
	for _, s := range counts {
		if s != http.StatusOK {
			t.Errorf("an answer of %d", s)
		}
	}
	if n := w.count("credential.revoked"); n != 1 {
		t.Errorf("%d revocations", n)
	}
}

// emergencyOf serves a world's emergency channel.
func emergencyOf(t *testing.T, w *world) *httptest.Server {
	web := httptest.NewServer(w.role.EmergencyHandler())
	t.Cleanup(web.Close)
	return web
}
