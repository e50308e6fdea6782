package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tekend/client"
	"tekend/tsa"
)

// TestAConfirmationIsNotLostToATimeStamp: an authority that is away is asked again, one whose answer is not good is not.
func TestAConfirmationIsNotLostToATimeStamp(t *testing.T) {
	away := fmt.Errorf("client: time_stamp: %w", tsa.ErrUnreachable)
	var out bytes.Buffer
	calls := 0
	s, err := patiently(&program{ctx: t.Context(), stderr: &out}, time.Millisecond, func() (*client.Signed, error) {
		if calls++; calls < 4 {
			return nil, away
		}
		return &client.Signed{Level: "B-LTA"}, nil
	})
	if err != nil || s.Level != "B-LTA" || calls != 4 || strings.Count(out.String(), "waiting: ") != 1 {
		t.Errorf("%+v %v after %d calls, said %q", s, err, calls, out.String())
	}
	calls = 0
	bad := &client.Error{Code: client.CodeTimeStamp, Detail: "path"}
	if _, err := patiently(&program{ctx: t.Context(), stderr: &out}, time.Millisecond, func() (*client.Signed, error) { calls++; return nil, bad }); !errors.Is(err, bad) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := patiently(&program{ctx: ctx, stderr: &out}, time.Hour, func() (*client.Signed, error) { return nil, away }); !errors.Is(err, tsa.ErrUnreachable) {
		t.Errorf("stopped: %v", err)
	}
}

// TestAServiceThatDoesNotWait: it is not asked thousands of times because it answers at once.
func TestAServiceThatDoesNotWait(t *testing.T) {
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = io.WriteString(w, `{"id":"sr_1","state":"prepared"}`)
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if _, err := waitFinished(ctx, newAPIClient(srv.URL, "key"), "sr_1", func(string) {}); err == nil {
		t.Error("finished")
	}
	if n := calls.Load(); n < 2 || n > 4 {
		t.Errorf("%d calls", n)
	}
}
