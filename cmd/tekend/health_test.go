package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"tekend/api"
)

func TestTheFrontIsDegradedWhileOneOfItsRolesIs(t *testing.T) {
	var log bytes.Buffer
	down := map[string]error{}
	unready := map[string]string{}
	h := &rolesHealth{log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, name := range []string{"sam", "ca", "tsa"} {
		h.roles = append(h.roles, roleHealth{name, func(context.Context) (bool, []string, error) {
			return unready[name] == "", []string{unready[name]}, down[name]
		}})
	}
	for _, tc := range []struct {
		down, unready string
		want          api.HealthStatus
		reason        string
	}{
		{"", "", api.UP, ""},
		{"sam", "", api.DEGRADED, "sam: no answer"},
		{"", "ca", api.DEGRADED, "ca: not ready"},
		{"tsa", "", api.DEGRADED, "tsa: no answer"},
		{"ca", "tsa", api.DEGRADED, "ca: no answer; tsa: not ready"},
		{"", "", api.UP, ""},
	} {
		clear(down)
		clear(unready)
		if tc.down != "" {
			down[tc.down] = errors.New("dial unix /secret/path")
		}
		if tc.unready != "" {
			unready[tc.unready] = "the token does not sign"
		}
		for range 3 {
			if status, reason := h.now(t.Context()); status != tc.want || reason != tc.reason {
				t.Errorf("%+v: %s %q", tc, status, reason)
			}
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 5 || !strings.Contains(log.String(), "the token does not sign") {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}
