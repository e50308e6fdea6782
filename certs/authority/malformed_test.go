package authority_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tekend/wire"
)

// TestWhatComesInStaysOutOfTheAudit: an error about a message names members of it. A caller must not write into the
// audit with them, and a name longer than a row may be must not keep the refusal out of it.
func TestWhatComesInStaysOutOfTheAudit(t *testing.T) {
	w := newWorld(t)
	h := w.role.Handler()
	for _, n := range []int{1, 20_000} {
		name := "Alice-Peeters" + strings.Repeat("x", n)
		body := fmt.Sprintf(`{%q:1}`, name)
		r := httptest.NewRequest(http.MethodPut, "/v1/certificates/"+wire.BodyHash([]byte(body)), strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), name) {
			t.Errorf("%d %.100s", rec.Code, rec.Body)
		}
	}
	kinds, all := w.events()
	if kinds["certificate.refused"] != 2 || strings.Contains(fmt.Sprint(all), "Peeters") {
		t.Errorf("%v; %.300s", kinds, fmt.Sprint(all))
	}
}
