package authority_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tekend/tsa"
)

// requested are the bytes of a genuine request, as they go over the socket.
func requested(t testing.TB) []byte {
	t.Helper()
	var body bytes.Buffer
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = body.ReadFrom(r.Body) }))
	defer srv.Close()
	digest := sha256.Sum256([]byte("document"))
	_, err := tsa.NewClient(tsa.ClientConfig{URL: srv.URL, Roots: newPKI(t).roots(), Now: time.Now}, http.DefaultClient).Stamp(t.Context(), digest[:], crypto.SHA256)
	if err == nil || body.Len() == 0 {
		t.Fatalf("no request was sent: %v", err)
	}
	return body.Bytes()
}

// ask sends bytes to the handler and gives what came; a fault of the unit's own ends the test.
func ask(t testing.TB, h http.Handler, body []byte) (granted bool) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/tsa", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/timestamp-query")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	switch {
	case rec.Code == http.StatusOK && rec.Header().Get("Content-Type") == "application/timestamp-reply" && rec.Body.Len() > 0:
		// PKIStatusInfo comes first: status granted is 30 03 02 01 00
		return bytes.Contains(rec.Body.Bytes()[:min(16, rec.Body.Len())], []byte{0x30, 0x03, 0x02, 0x01, 0x00})
	case rec.Code >= 400 && rec.Code < 500:
	default:
		t.Errorf("status %d: %.200s", rec.Code, rec.Body)
	}
	return false
}

// FuzzStamp: whatever comes, the unit answers as RFC 3161 says.
func FuzzStamp(f *testing.F) {
	w := start(f, softKey(f))
	right := requested(f)
	f.Add(right)
	for i := range right {
		b := bytes.Clone(right)
		b[i] ^= 0xff
		f.Add(b)
		f.Add(right[:i])
	}
	h := w.role.Handler()
	f.Fuzz(func(t *testing.T, body []byte) { ask(t, h, body) })
}

// TestOwnedFrontTimes: an owned front has time-stamps made of what it likes, and of no other time than now: a request has
// no member for one, and neither a repeated request nor a clock that went back brings an earlier time.
func TestOwnedFrontTimes(t *testing.T) {
	w := start(t, nil)
	right := requested(t)
	h := w.role.Handler()
	if !ask(t, h, right) || !ask(t, h, right) {
		t.Fatal("a right request is refused: the test shows nothing")
	}
	first, err := w.stamp()
	check(t, err)
	w.clock.add(time.Hour)
	second, err := w.stamp()
	check(t, err)
	if !second.GenTime.After(first.GenTime.Add(59 * time.Minute)) {
		t.Errorf("%v, then %v", first.GenTime, second.GenTime)
	}
	refused := 0
	w.clock.add(-2 * time.Hour)
	for range 10 {
		if !ask(t, h, right) {
			refused++
		}
	}
	w.clock.add(2 * time.Hour)
	granted := 0
	for i := range right {
		b := bytes.Clone(right)
		b[i] ^= 0x80
		if ask(t, h, b) {
			granted++ // another digest or another nonce: of no more worth than any other
		}
	}
	for name, body := range map[string][]byte{
		"one byte over the limit": append(bytes.Clone(right), make([]byte, tsa.MaxRequest+1-len(right))...), "empty": nil,
		"twice": append(bytes.Clone(right), right...), "text": []byte(strings.Repeat("x", 1000)),
	} {
		if ask(t, h, body) {
			t.Errorf("%s: granted", name)
		}
	}
	if refused != 10 {
		t.Errorf("%d of 10 time-stamps before the record were refused", refused)
	}
	t.Logf("owned front, times at the tsa: a request with each byte changed %d, time-stamps of another time than now 0, before the record %d of 10 refused", len(right), refused)
}
