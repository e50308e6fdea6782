package sam_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// instance is a process of the role that answers every call with the code, or 200 when it is "".
func instance(t *testing.T, path, code string) (calls *atomic.Int64) {
	t.Helper()
	calls = &atomic.Int64{}
	l, err := wire.Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		switch code {
		case "":
			wire.Reply(w, http.StatusOK, sam.Session{ID: path})
		case "dies":
			panic(http.ErrAbortHandler) // the call has arrived
		default:
			wire.Fail(w, &wire.Error{Status: http.StatusMisdirectedRequest, Code: code, Retryable: true})
		}
	}), wire.Peers{})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return calls
}

// A call goes to the next instance only when the one before has done nothing.
func TestTheNextInstanceIsAskedOnlyAfterOneThatDidNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		first string // what the first instance says; "absent": there is none
		next  int64  // calls that the second one gets
		code  string // refusal that the caller gets
		is    error
	}{
		"works":            {"", 0, "", nil},
		"is not there":     {"absent", 1, "", nil},
		"says elsewhere":   {sam.CodeElsewhere, 1, "", nil},
		"refuses":          {sam.CodeBurnt, 0, sam.CodeBurnt, nil},
		"is busy":          {sam.CodeHSMBusy, 0, sam.CodeHSMBusy, nil},
		"breaks off later": {"dies", 0, "", wire.ErrNoReply},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "sam")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
			var first *atomic.Int64
			if tc.first != "absent" {
				first = instance(t, a, tc.first)
			}
			second := instance(t, b, "")
			_, err = sam.NewClient(a, 5*time.Second, b).Authorize(t.Context(), "n", sam.Answer{Code: "x"})
			e, refused := errors.AsType[*wire.Error](err)
			if refused != (tc.code != "") || refused && e.Code != tc.code || !refused && !errors.Is(err, tc.is) {
				t.Errorf("the caller gets %v", err)
			}
			if first != nil && first.Load() != 1 || second.Load() != tc.next {
				t.Errorf("the second instance got %d calls, want %d", second.Load(), tc.next)
			}
		})
	}
}

// Of two that cannot help the caller hears that the responsible one may come back.
func TestNoInstanceIsResponsible(t *testing.T) {
	dir, err := os.MkdirTemp("", "sam")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	a := filepath.Join(dir, "a")
	instance(t, a, sam.CodeElsewhere)
	for _, order := range [][]string{{a, filepath.Join(dir, "none")}, {filepath.Join(dir, "none"), a}} {
		_, err = sam.NewClient(order[0], 5*time.Second, order[1]).Authorize(t.Context(), "n", sam.Answer{Code: "x"})
		if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != sam.CodeElsewhere || !e.Retryable {
			t.Errorf("%v: %v", order, err)
		}
	}
	if _, err = sam.NewClient(filepath.Join(dir, "x"), 5*time.Second, filepath.Join(dir, "y")).Health(t.Context()); !errors.Is(err, wire.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}
