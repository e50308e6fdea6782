package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"tekend/api"
	"tekend/wire"
)

// rolesHealth asks the roles at the same time. Without one of them requests are taken and wait: without the sam nobody
// signs, without the ca nobody enrols, without the tsa nothing finishes.
type rolesHealth struct {
	log   *slog.Logger
	roles []roleHealth

	mu   sync.Mutex
	said string // what the log was told last
}

// roleHealth is one role's own answer.
type roleHealth struct {
	name string
	ask  func(context.Context) (ready bool, reasons []string, err error)
}

// overSocket asks a role of which the front has no other client.
func overSocket(client *wire.Client) func(context.Context) (bool, []string, error) {
	return func(ctx context.Context) (bool, []string, error) {
		var h struct {
			Ready   bool     `json:"ready"`
			Reasons []string `json:"reasons"`
			Notes   []string `json:"notes"`
		}
		err := client.Do(ctx, http.MethodGet, "/v1/health", nil, &h)
		return h.Ready, h.Reasons, err
	}
}

// now is UP, or DEGRADED with the names of the roles that are not ready. Their own reasons go to the log, once for each
// change: the answer is public.
func (r *rolesHealth) now(ctx context.Context) (api.HealthStatus, string) {
	public, private := make([]string, len(r.roles)), make([]string, len(r.roles))
	var wg sync.WaitGroup
	for i, role := range r.roles {
		wg.Go(func() {
			ready, reasons, err := role.ask(ctx)
			switch {
			case err != nil:
				public[i], private[i] = role.name+": no answer", role.name+": "+err.Error()
			case !ready:
				public[i], private[i] = role.name+": not ready", role.name+": "+strings.Join(reasons, ", ")
			}
		})
	}
	wg.Wait()
	reason := joined(public)
	r.tell(joined(private))
	if reason == "" {
		return api.UP, ""
	}
	return api.DEGRADED, reason
}

func (r *rolesHealth) tell(detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if detail == r.said {
		return
	}
	r.said = detail
	if detail == "" {
		r.log.Info("all roles are ready")
		return
	}
	r.log.Warn("roles are not ready", "why", detail)
}

// joined joins what is not empty.
func joined(list []string) string {
	var said []string
	for _, s := range list {
		if s != "" {
			said = append(said, s)
		}
	}
	return strings.Join(said, "; ")
}
