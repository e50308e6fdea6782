package activation

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tekend/consent"
	"tekend/sam"
)

// The emergency channel: a page of the sam's own on which a person revokes with
// the code that the notice about his new certificate brought him. It needs
// neither the front nor itsme (EN 319 411-1 REV-6.2.4-08: requests are taken at
// any time). The code can do nothing but revoke that one credential.

const (
	// codeChars is the length of a code in characters of 5 bits: 125 bits, which
	// nobody guesses at any rate.
	codeChars = 25
	// maxWrong is how many wrong codes a minute get a row of the audit and an
	// answer; the others only hear that there are too many. A right code always
	// works: nobody can keep a person from revoking by trying codes.
	maxWrong = 30
	// maxAtOnce is how many codes are looked up at the same time, and maxWait how
	// long the others wait for their turn: a look takes a millisecond.
	maxAtOnce, maxWait = 4, 10 * time.Second
	// maxForm bounds the form, in bytes: a code and a reason.
	maxForm = 4 << 10
)

// revocationCode is the code of a credential, as five groups of five characters.
// The token makes it from its MAC key, so that a notice that is sent a second
// time can hold it again and nothing but its hash is ever stored.
func (r *Role) revocationCode(ctx context.Context, credential string) (string, error) {
	mac, err := r.token.MAC(ctx, r.cfg.MAC, []byte("tekend-revocation/1: the code that revokes "+credential))
	if err != nil {
		return "", tokenTrouble(fmt.Errorf("revocation code: %w", err))
	}
	return consent.Code(mac, codeChars, 5), nil
}

// codeHash is what is stored of a code. It forgives how it was typed: case,
// spaces, hyphens, and the letters that look like digits. "" when that is no code.
func codeHash(typed string) []byte {
	plain := strings.NewReplacer("-", "", " ", "", "\t", "", "o", "0", "i", "1", "l", "1").Replace(strings.ToLower(typed))
	if len(plain) != codeChars || strings.Trim(plain, consent.Crockford) != "" {
		return nil
	}
	sum := sha256.Sum256([]byte("tekend-revocation-code/1 " + plain))
	return sum[:]
}

// newCode is the hash to store for a new credential; nil when the person gets no
// notice, and so no code. It takes the token, so it comes before the transaction.
func (r *Role) newCode(ctx context.Context, credential string, contact []byte) ([]byte, error) {
	if contact == nil || r.cfg.EmergencyURL == "" {
		return nil, nil
	}
	code, err := r.revocationCode(ctx, credential)
	return codeHash(code), err
}

func (r *Role) storeCode(ctx context.Context, tx *sql.Tx, credential string, hash []byte) error {
	if hash == nil {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO codes (credential, hash, created) VALUES (?,?,?)", credential, hash, r.cfg.Now().UnixMicro()); err != nil {
		return fmt.Errorf("store code: %w", err)
	}
	return nil
}

// emergencyLine is what the notice about a new certificate says of the channel:
// the address and the code, both "" when the person has none.
func (r *Role) emergencyLine(ctx context.Context, n notice) (address, code string, err error) {
	var hash []byte
	err = r.db.QueryRowContext(ctx, "SELECT hash FROM codes WHERE credential = ?", n.credential).Scan(&hash)
	if n.kind != noticeCreated || errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("read code: %w", err)
	}
	if code, err = r.revocationCode(ctx, n.credential); err != nil {
		return "", "", err
	}
	if subtle.ConstantTimeCompare(hash, codeHash(code)) != 1 {
		return "", "", errors.New("the stored code is not the credential's")
	}
	return r.cfg.EmergencyURL, code, nil
}

// ownerOf finds the credential of a code, "" for none.
func (r *Role) ownerOf(ctx context.Context, typed string) (credential string, err error) {
	want := codeHash(typed)
	if want == nil {
		return "", nil
	}
	var hash []byte
	err = r.db.QueryRowContext(ctx, "SELECT credential, hash FROM codes WHERE hash = ?", want).Scan(&credential, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for a code: %w", err)
	}
	if subtle.ConstantTimeCompare(hash, want) != 1 {
		return "", nil
	}
	return credential, nil
}

// revokeByCode revokes the credential of a code. Doing it twice is no error.
func (r *Role) revokeByCode(ctx context.Context, credential, reason string) (*sam.ActDone, error) {
	number, err := consent.ReasonCode(reason)
	if err != nil {
		return nil, refuse(sam.CodeBadRequest, err.Error())
	}
	l, err := r.credential(ctx, credential)
	if err != nil {
		return nil, err
	}
	if !l.over() {
		c, err := r.newCut(ctx, l, cut{by: byCode, reason: number})
		if err != nil {
			return nil, err
		}
		if err := r.inTx(ctx, func(tx *sql.Tx) error { return r.revokeIn(ctx, tx, c) }); err != nil {
			return nil, err
		}
		r.blocked()
	}
	return &sam.ActDone{Credential: credential, State: sam.CredentialRevoked}, nil
}

// tries counts wrong codes in this minute.
type tries struct {
	perMinute
	slots chan struct{}
}

// perMinute counts what happens in a minute.
type perMinute struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

// count counts one more: how many there were in this minute.
func (m *perMinute) count(now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.since).Abs() > time.Minute {
		m.since, m.n = now, 0
	}
	m.n++
	return m.n
}

//go:embed emergency.html
var emergencyText string

var emergencyPage = template.Must(template.New("emergency").Parse(emergencyText))

// emergencyStyle is the page's only style; the policy allows it by its hash.
const emergencyStyle = "body{font:1.1em/1.5 sans-serif;max-width:38em;margin:2em auto;padding:0 1em}input[name=code]{font:1.1em monospace;width:100%;box-sizing:border-box}p.r{font-weight:bold;border:2px solid;padding:.5em}"

var emergencyPolicy = func() string {
	sum := sha256.Sum256([]byte(emergencyStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// reasonCompromise is the one reason that the page offers.
const reasonCompromise = "keyCompromise"

// What the page says after a try.
const (
	saidRevoked = "revoked"
	saidWrong   = "wrong"
	saidTooMany = "too_many"
	saidLater   = "later"
)

// EmergencyHandler serves the emergency channel. It needs no caller's identity
// and gives none away: a wrong code and a code of nobody are the same.
//
//	GET  /         the page, in English and Dutch
//	POST /revoke   code, reason (a form) → the page with what happened
func (r *Role) EmergencyHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { r.showEmergency(w, http.StatusOK, "") })
	mux.HandleFunc("POST /revoke", r.emergency)
	return mux
}

func (r *Role) showEmergency(w http.ResponseWriter, status int, said string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", emergencyPolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "60")
	}
	w.WriteHeader(status)
	_ = emergencyPage.Execute(w, map[string]any{"Said": said, "Sandbox": !r.cfg.Production, "Help": r.cfg.Notices.Help, "Style": template.CSS(emergencyStyle)}) //nolint:gosec // ours
}

// emergency takes one code.
func (r *Role) emergency(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, maxForm)
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || req.ParseForm() != nil {
		r.showEmergency(w, http.StatusBadRequest, saidWrong)
		return
	}
	wait, stop := context.WithTimeout(req.Context(), maxWait)
	defer stop()
	select {
	case r.tries.slots <- struct{}{}:
		defer func() { <-r.tries.slots }()
	case <-wait.Done():
		r.showEmergency(w, http.StatusServiceUnavailable, saidLater)
		return
	}
	if !r.enter() {
		r.showEmergency(w, http.StatusServiceUnavailable, saidLater)
		return
	}
	defer r.running.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), r.cfg.CallTimeout)
	defer cancel()
	status, said := r.tryCode(ctx, req.PostForm.Get("code"), req.PostForm.Get("reason"))
	r.showEmergency(w, status, said)
}

// tryCode is one try: what the page answers.
func (r *Role) tryCode(ctx context.Context, code, reason string) (status int, said string) {
	credential, err := r.ownerOf(ctx, code)
	if err != nil {
		r.cfg.Log.Error("emergency channel", "err", err)
		return http.StatusServiceUnavailable, saidLater
	}
	if credential == "" {
		return r.wrongCode(ctx)
	}
	if reason != reasonCompromise { // a broken form is no reason to refuse
		reason = consent.DefaultReason
	}
	j := job[sam.ActDone]{call: "emergency", subject: credential, turn: "credential " + credential, do: func(ctx context.Context) (*sam.ActDone, error) {
		return r.revokeByCode(ctx, credential, reason)
	}}
	if _, err := j.run(ctx, r); err != nil {
		_ = r.told(j.call, credential, err)
		return http.StatusServiceUnavailable, saidLater
	}
	return http.StatusOK, saidRevoked
}

// wrongCode answers a wrong code; it says in the audit that there was one, up to
// a number a minute and then once that there are more.
func (r *Role) wrongCode(ctx context.Context) (status int, said string) {
	n := r.tries.count(r.cfg.Now())
	status, said = http.StatusForbidden, saidWrong
	ref := refuse(sam.CodeWrongCode, "no credential has this code")
	if n > maxWrong {
		status, said = http.StatusTooManyRequests, saidTooMany
		ref.Detail = "more than " + strconv.Itoa(maxWrong) + " wrong codes in a minute"
	}
	if n <= maxWrong+1 {
		if err := r.record(ctx, "emergency", "", ref); err != nil {
			r.cfg.Log.Error("a refusal could not be recorded", "call", "emergency", "err", err)
		}
	}
	return status, said
}
