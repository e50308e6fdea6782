package activation

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"tekend/audit"
	"tekend/hsm"
	"tekend/sam"
	"tekend/wire"
)

// refusal is an answer "no". Its code and detail go to the front and into the
// audit; both are texts of ours, never something that came in, unless it is foreign.
type refusal struct {
	Code, Detail string
	Status       int  // HTTP
	Retryable    bool // nothing was used up: the same call may succeed later
	recorded     bool // its row of the audit was written with the act, or earlier
	foreign      bool // Detail may hold what came in, and is not for the audit

	After time.Duration // until it is worth trying again; 0: not known
}

func (r *refusal) Error() string { return r.Code + ": " + r.Detail }

func (r *refusal) message() *wire.Error {
	return &wire.Error{Status: r.Status, Code: r.Code, Detail: r.Detail, Retryable: r.Retryable, After: int((r.After + time.Second - 1) / time.Second)}
}

// statuses are the HTTP statuses of the codes.
var statuses = map[string]int{
	sam.CodeBadRequest: http.StatusBadRequest, sam.CodeAttributesRefused: http.StatusUnprocessableEntity,
	sam.CodeDeclined: http.StatusForbidden, sam.CodeWrongPerson: http.StatusForbidden, sam.CodeWrongNonce: http.StatusForbidden,
	sam.CodeBadToken: http.StatusForbidden, sam.CodeOngoingCall: http.StatusForbidden, sam.CodeSignerMinor: http.StatusForbidden,
	sam.CodeIdentityMismatch: http.StatusForbidden, sam.CodeNotAuthorized: http.StatusForbidden,
	sam.CodeCredentialUnknown: http.StatusNotFound, sam.CodeEnrolmentUnknown: http.StatusNotFound,
	sam.CodeElsewhere: http.StatusMisdirectedRequest, sam.CodeExpired: http.StatusGone, sam.CodeBeforeStart: http.StatusGone,
	sam.CodeReplayed: http.StatusConflict, sam.CodeBurnt: http.StatusConflict, sam.CodeConflict: http.StatusConflict,
	sam.CodeCertificateNotGood: http.StatusConflict, sam.CodeNotSigned: http.StatusConflict,
	sam.CodeTooManyQuestions: http.StatusTooManyRequests,
	sam.CodeNotYet:           http.StatusServiceUnavailable,
	sam.CodeClock:            http.StatusServiceUnavailable, sam.CodeItsmeUnreachable: http.StatusServiceUnavailable,
	sam.CodeFrontBehind: http.StatusConflict,
	sam.CodeActRefused:  http.StatusConflict,
	sam.CodeSuspended:   http.StatusConflict,
	sam.CodeNotApproved: http.StatusForbidden, sam.CodeWrongCode: http.StatusForbidden,
	sam.CodeTimeStampRequired: http.StatusConflict,
	sam.CodeOrderRequired:     http.StatusForbidden, sam.CodeOrderRefused: http.StatusUnprocessableEntity,
	sam.CodeHashOrdersRefused: http.StatusForbidden, sam.CodeKeyTypeEnded: http.StatusConflict,
	sam.CodeHSMBusy: http.StatusServiceUnavailable, sam.CodeHSMFailed: http.StatusServiceUnavailable,
}

// refuse makes a refusal that stays one.
func refuse(code, detail string) *refusal {
	return &refusal{Code: code, Detail: detail, Status: statuses[code]}
}

// later makes a retryable refusal.
func later(code, detail string) *refusal {
	r := refuse(code, detail)
	r.Status, r.Retryable = http.StatusServiceUnavailable, true
	return r
}

// tokenTrouble makes errors of the token retryable refusals. Use it only where
// nothing was signed. Other errors pass through.
func tokenTrouble(err error) error {
	var e *hsm.Error
	switch {
	case errors.Is(err, hsm.ErrBusy):
		return later(sam.CodeHSMBusy, "all sessions of the token are busy")
	case errors.Is(err, hsm.ErrUnavailable), errors.Is(err, hsm.ErrWrongValue), errors.As(err, &e):
		return later(sam.CodeHSMFailed, "the token does not work")
	}
	return err
}

// why turns any error into the refusal it means, nil for an internal fault.
func why(err error) *refusal {
	var r *refusal
	var w *wire.Error
	switch {
	case errors.As(err, &r):
		return r
	case errors.As(err, &w): // of package wire, about the message: it names members of it
		return &refusal{Code: w.Code, Detail: w.Detail, Status: w.Status, Retryable: w.Retryable, foreign: true}
	case shut(err) != nil:
		return shut(err)
	case errors.Is(err, audit.ErrClockBack):
		return later(sam.CodeClock, "the clock is before the role's record")
	}
	return nil
}

// record writes a refusal into the audit, under a quota (audit.Tally). With the clock put back the row is
// dated with the highest time of the record.
func (r *Role) record(ctx context.Context, call, subject string, ref *refusal) error {
	at := r.cfg.Now()
	if ref.Code == sam.CodeClock {
		high, err := audit.HighWater(ctx, r.db)
		if err != nil {
			return err
		}
		if high.After(at) {
			at = high
		}
	}
	why := ref.Detail
	if ref.foreign {
		why = "the message is not of the contract"
	}
	e := audit.Event{At: at, Kind: "refusal." + ref.Code, Subject: subject, Detail: map[string]string{"call": call, "why": why}}
	return r.db.InTx(ctx, func(tx *sql.Tx) error { return audit.Tally(ctx, tx, e, call, why) })
}
