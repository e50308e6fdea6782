package sam_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/sam"
	"tekend/wire"
)

// TestPaths: every call goes once to the path that the package comment says,
// and a PUT that names a hash names that of its very body.
func TestPaths(t *testing.T) {
	dir, err := os.MkdirTemp("", "sam")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var seen []string
	l, err := wire.Listen(filepath.Join(dir, "s"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		path := strings.Replace(r.URL.EscapedPath(), wire.BodyHash(body), "{hash}", 1)
		seen = append(seen, r.Method+" "+path+" "+string(body))
		wire.Fail(w, wire.Refuse(http.StatusConflict, sam.CodeConflict, "seen"))
	}), wire.Peers{})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	c, ctx := sam.NewClient(filepath.Join(dir, "s"), 5*time.Second), t.Context()
	calls := []struct {
		want string
		call func() error
	}{
		{"PUT /v1/preparations/{hash} {\"v\":1,", func() error { _, err := c.Prepare(ctx, sam.PrepareRequest{V: 1}); return err }},
		{"PUT /v1/confirmations/n/authorization {\"code\":\"x\"}", func() error { _, err := c.Authorize(ctx, "n", sam.Answer{Code: "x"}); return err }},
		{"PUT /v1/confirmations/n/signatures/{hash} {\"session\":\"s\",\"positions\":[0]}", func() error {
			_, err := c.Sign(ctx, "n", sam.SignRequest{Session: "s", Positions: []int{0}})
			return err
		}},
		{"GET /v1/confirmations/a%2Fb ", func() error { _, err := c.Confirmation(ctx, "a/b"); return err }},
		{"PUT /v1/enrolments/{hash} {\"v\":1,", func() error { _, err := c.Enrol(ctx, sam.EnrolRequest{V: 1}); return err }},
		{"PUT /v1/enrolments/e/identification {\"error\":\"no\"}", func() error { _, err := c.Identification(ctx, "e", sam.Answer{Error: "no"}); return err }},
		{"PUT /v1/enrolments/e/consent {\"code\":\"x\"}", func() error { _, err := c.Consent(ctx, "e", sam.Answer{Code: "x"}); return err }},
		{"PUT /v1/enrolments/e/certificate {\"chain\":[\"AQ==\"]}", func() error { _, err := c.Certificate(ctx, "e", [][]byte{{1}}); return err }},
		{"GET /v1/enrolments/e ", func() error { _, err := c.Enrolment(ctx, "e"); return err }},
		{"GET /v1/credentials/c ", func() error { _, err := c.Credential(ctx, "c"); return err }},
		{"GET /v1/health ", func() error { _, err := c.Health(ctx); return err }},
	}
	for i, tc := range calls {
		err := tc.call()
		if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != sam.CodeConflict || e.Status != http.StatusConflict {
			t.Errorf("%s: %v", tc.want, err)
		}
		if len(seen) != i+1 || !strings.HasPrefix(seen[i], tc.want) {
			t.Fatalf("want %q once, seen %q", tc.want, seen[i:])
		}
	}
}
