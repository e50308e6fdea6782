package wire_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tekend/wire"
)

// TestUnknownPathsAreNotLogged: what a stranger, or a person by mistake, writes into a path stays out of the log.
func TestUnknownPathsAreNotLogged(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v1/things/{id}", func(http.ResponseWriter, *http.Request) {})
	outer := http.NewServeMux()
	outer.Handle("/", mux)
	var log bytes.Buffer
	h := wire.Logged(outer, slog.New(slog.NewTextHandler(&log, nil)), time.Now, func(string, int) slog.Level { return slog.LevelInfo })
	for path, want := range map[string]string{
		"/":                    "path=/ status=200",
		"/v1/things/a1?code=q": "path=/v1/things/a1 status=200",
		"/12345-67890":         "path=unknown status=404",
	} {
		log.Reset()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		if line := log.String(); !strings.Contains(line, want) || strings.Contains(line, "67890") || strings.Contains(line, "code") {
			t.Errorf("%s: %s", path, line)
		}
	}
}
