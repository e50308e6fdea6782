package wire_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"tekend/wire"
)

// TestBytesThatAreNotJSON: questions and downloads have limits, refusals stay refusals, and a question arrives once.
func TestBytesThatAreNotJSON(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "role.sock")
	var asked atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/ask", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		b, _ := io.ReadAll(r.Body)
		switch string(b) {
		case "no":
			wire.Fail(w, wire.Refuse(http.StatusConflict, "not_so", "no"))
		case "away":
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, r.Header.Get("Content-Type")+" "+string(b))
		}
	})
	mux.HandleFunc("GET /v1/file/{n}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("n") == "none" {
			wire.Fail(w, wire.Refuse(http.StatusNotFound, "not_found", "none"))
			return
		}
		w.Header().Set("Content-Type", "application/x-test")
		if r.PathValue("n") == "unsaid" { // no Content-Length: the limit holds while it is read
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 1000))
	})
	l, err := wire.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.Server(mux, wire.Peers{})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	c := wire.NewReader(socket, 5*time.Second)
	ask := func(body string, limit int) (string, error) {
		b, err := c.Ask(t.Context(), "/v1/ask", wire.Question{Type: "application/x-q", Body: []byte(body), Limit: limit})
		return string(b), err
	}
	if got, err := ask("hello", 100); err != nil || got != "application/x-q hello" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := ask("hello", 10); !errors.Is(err, wire.ErrNoReply) {
		t.Errorf("longer than the limit: %v", err)
	}
	if e, ok := errors.AsType[*wire.Error](second(ask("no", 100))); !ok || e.Code != "not_so" || e.Status != http.StatusConflict {
		t.Errorf("a refusal: %+v", e)
	}
	before := asked.Load()
	if _, err := ask("away", 100); !errors.Is(err, wire.ErrNoReply) || asked.Load() != before+1 {
		t.Errorf("%d arrivals, %v", asked.Load()-before, err)
	}
	d, err := c.Open(t.Context(), "/v1/file/some", 1000)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(d)
	if err := errors.Join(err, d.Close()); err != nil || len(b) != 1000 || d.Size != 1000 || d.Type != "application/x-test" {
		t.Errorf("%d of %d bytes of %s: %v", len(b), d.Size, d.Type, err)
	}
	if _, err := c.Open(t.Context(), "/v1/file/some", 999); !errors.Is(err, wire.ErrNoReply) {
		t.Errorf("longer than the limit, and said so: %v", err)
	}
	d, err = c.Open(t.Context(), "/v1/file/unsaid", 999)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(d); err == nil || len(b) > 999 {
		t.Errorf("longer than the limit, unsaid: %d bytes, %v", len(b), err)
	}
	_ = d.Close()
	if e, ok := errors.AsType[*wire.Error](second(c.Open(t.Context(), "/v1/file/none", 1000))); !ok || e.Status != http.StatusNotFound {
		t.Errorf("a refusal: %+v", e)
	}
	if _, err := wire.NewReader(socket+"x", time.Second).Open(t.Context(), "/v1/file/some", 1000); !errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
