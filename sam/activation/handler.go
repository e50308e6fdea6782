package activation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"tekend/audit"
	"tekend/fence"
	"tekend/sam"
	"tekend/wire"
)

// Handler serves the contract of package sam. It must stand behind
// wire.Server, which knows who calls.
func (r *Role) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/preparations/{hash}", act(r, "prepare", r.prepare))
	mux.HandleFunc("PUT /v1/enrolments/{hash}", act(r, "enrol", r.enrol))
	mux.HandleFunc("PUT /v1/enrolments/{id}/identification", actOn(r, "identification", "id", r.identification))
	mux.HandleFunc("PUT /v1/enrolments/{id}/consent", actOn(r, "consent", "id", r.consent))
	mux.HandleFunc("PUT /v1/enrolments/{id}/certificate", actOn(r, "certificate", "id", r.certificate))
	mux.HandleFunc("PUT /v1/confirmations/{nonce}/authorization", actOn(r, "authorize", "nonce", r.authorize))
	mux.HandleFunc("PUT /v1/confirmations/{nonce}/signatures/{hash}", actOn(r, "sign", "nonce",
		func(ctx context.Context, nonce string, in sam.SignRequest, _ string) (*sam.Signed, error) {
			return r.sign(ctx, nonce, in)
		}))
	mux.HandleFunc("GET /v1/confirmations/{nonce}", read(r, "confirmation", "nonce", r.confirmation))
	mux.HandleFunc("GET /v1/confirmations/{nonce}/evidence", read(r, "evidence", "nonce", r.evidence))
	mux.HandleFunc("PUT /v1/revocations/{hash}", act(r, "revoke", r.prepareRevocation))
	mux.HandleFunc("PUT /v1/revocations/{nonce}/authorization", actOn(r, "revocation answer", "nonce", r.answerRevocation))
	mux.HandleFunc("GET /v1/revocations/{nonce}", read(r, "revocation", "nonce", r.revocation))
	mux.HandleFunc("GET /v1/enrolments/{id}", read(r, "enrolment", "id", func(ctx context.Context, id string) (*sam.EnrolStep, error) {
		e, err := r.loadEnrolment(ctx, id)
		if err != nil {
			return nil, err
		}
		if e == nil {
			return nil, refuse(sam.CodeEnrolmentUnknown, "there is no such enrolment")
		}
		return r.step(ctx, e)
	}))
	mux.HandleFunc("GET /v1/credentials/{id}", read(r, "credential", "id", func(ctx context.Context, id string) (*sam.Credential, error) {
		l, err := r.credential(ctx, id)
		if err != nil {
			return nil, err
		}
		return l.message(), nil
	}))
	mux.HandleFunc("GET /v1/credentials/{id}/siblings", read(r, "siblings", "id", r.siblings))
	r.handleUses(mux)
	mux.HandleFunc("GET /v1/fronts/{name}/mark", read(r, "mark", "name", r.frontMark))
	mux.HandleFunc("PUT /v1/fronts/{name}/mark", actOn(r, "mark", "name", r.tellMark))
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, req *http.Request) {
		wire.Reply(w, http.StatusOK, r.health(req.Context()))
	})
	return mux
}

// act serves a PUT on the hash of its body.
func act[In, Out any](r *Role, call string, do func(ctx context.Context, in In, hash string) (*Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		in, _, err := wire.DecodeHashed[In](w, req)
		hash := req.PathValue("hash")
		serve(r, w, req, job[Out]{call, hash, err, call + " " + hash, func(ctx context.Context) (*Out, error) { return do(ctx, in, hash) }})
	}
}

// actOn serves a PUT on something that is there already. Calls on the same
// thing follow one another; the path may name the body's hash too.
func actOn[In, Out any](r *Role, call, name string, do func(ctx context.Context, id string, in In, hash string) (*Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		in, body, err := wire.Decode[In](w, req)
		if h := req.PathValue("hash"); err == nil && h != "" && h != wire.BodyHash(body) {
			err = refuse(sam.CodeConflict, "the path does not name the hash of this body")
		}
		id := req.PathValue(name)
		serve(r, w, req, job[Out]{call, id, err, name + " " + id, func(ctx context.Context) (*Out, error) {
			return do(ctx, id, in, wire.BodyHash(body))
		}})
	}
}

// read serves a GET.
func read[Out any](r *Role, call, name string, do func(ctx context.Context, id string) (*Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		id := req.PathValue(name)
		serve(r, w, req, job[Out]{call, id, nil, "", func(ctx context.Context) (*Out, error) { return do(ctx, id) }})
	}
}

// job is one call: its name, what it is about, why its message was refused,
// whom it waits for, and what it does.
type job[Out any] struct {
	call, subject string
	refused       error
	turn          string
	do            func(context.Context) (*Out, error)
}

// serve runs a call to its end, also when the caller has gone, and writes every
// refusal into the audit before it is told.
func serve[Out any](r *Role, w http.ResponseWriter, req *http.Request, j job[Out]) {
	if !r.enter() {
		wire.Fail(w, &wire.Error{Status: http.StatusServiceUnavailable, Code: "stopping", Detail: "the role is stopping", Retryable: true})
		return
	}
	defer r.running.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), r.cfg.CallTimeout)
	defer cancel()
	out, err := j.run(ctx, r)
	if err == nil {
		wire.Reply(w, http.StatusOK, out)
		return
	}
	wire.Fail(w, r.told(j.call, j.subject, err))
}

func (j job[Out]) run(ctx context.Context, r *Role) (*Out, error) {
	if j.refused != nil {
		return nil, j.refused
	}
	if j.turn != "" {
		release, err := r.locks.take(ctx, j.turn)
		if err != nil {
			return nil, err
		}
		defer release()
		if err := r.gate.Check(); err != nil {
			return nil, err
		}
		if err := fence.Witnessed(r.log, r.cfg.Now()); err != nil {
			return nil, err
		}
		if err := r.clock(ctx); err != nil {
			return nil, err
		}
	}
	return j.do(ctx)
}

// clock refuses acts before the highest time of the record, before anything is
// judged by a wrong time. (audit.Append would refuse the act itself.)
func (r *Role) clock(ctx context.Context) error {
	high, err := audit.HighWater(ctx, r.db)
	if err != nil {
		return err
	}
	if r.cfg.Now().Before(high.Add(-audit.Backstep)) {
		return fmt.Errorf("before acting: %w", audit.ErrClockBack)
	}
	return nil
}

// recordTime bounds the writing of one row about a refusal.
const recordTime = 10 * time.Second

// told is what the caller hears of an error.
func (r *Role) told(call, subject string, err error) error {
	ref := why(err)
	if ref == nil {
		r.cfg.Log.Error("call failed", "call", call, "err", err)
		return err // "internal": wire keeps its text here
	}
	if !ref.recorded {
		if !plainID(subject) {
			subject = digest([]byte(subject)) // what came in is not written down as it is
		}
		ctx, cancel := context.WithTimeout(context.Background(), recordTime)
		defer cancel()
		if err := r.record(ctx, call, subject, ref); err != nil {
			r.cfg.Log.Error("a refusal could not be recorded", "call", call, "code", ref.Code, "err", err)
		}
	}
	return ref.message()
}

// health says whether the role could sign now.
func (r *Role) health(ctx context.Context) sam.Health {
	h := sam.Health{Reasons: r.gate.Reasons()}
	switch err := r.clock(ctx); {
	case errors.Is(err, audit.ErrClockBack):
		h.Reasons = append(h.Reasons, "the clock is before the role's record")
	case err != nil:
		h.Reasons = append(h.Reasons, "the database does not work")
	}
	if err := r.token.Ready(ctx); err != nil {
		h.Reasons = append(h.Reasons, "the token does not sign")
	}
	if err := r.log.Ready(r.cfg.Now()); err != nil {
		h.Reasons = append(h.Reasons, err.Error())
	}
	h.Notes = slices.Concat(r.log.Notes(r.cfg.Now()), r.notesOfKeys(), r.notesOfRevocation(ctx))
	h.Ready = len(h.Reasons) == 0
	return h
}
