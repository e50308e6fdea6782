//go:build sweep

package sweep_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// world is all that can be known of a sandbox from outside: what the spy saw, the sam's audit and tables, the front's
// database.
type world struct {
	signatures []signature
	rows       []auditRow
	positions  map[spot]string // states of the sam's table
	consumed   map[string]int  // nonce → rows
	requests   []*request
	byDTBS     map[string]*request
}

type auditRow struct {
	seq           int64
	kind, subject string
	detail        map[string]string
}

// spot is a position of a confirmation.
type spot struct {
	nonce    string
	position string
}

// request is one of the front.
type request struct {
	id, state string
	confirmed bool // its history says so
	progress  struct {
		Answer  *struct{ Kind string }  `json:"answer"`
		Session *struct{ Nonce string } `json:"session"`
		Failure *struct{ Code string }  `json:"failure"`
	}
	dtbs []string // digest of the signed attributes of each document, "" before state prepared
}

// sha is a digest as the audit writes it.
func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func openDB(path string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
}

func each(db *sql.DB, query string, scan func(*sql.Rows) error) error {
	rows, err := db.Query(query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// readFront reads every request, known to us or not.
func readFront(dir string) ([]*request, error) {
	db, err := openDB(filepath.Join(dir, "front", "front.db"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	var all []*request
	byID := map[string]*request{}
	err = each(db, "SELECT id, state, progress FROM requests ORDER BY id", func(rows *sql.Rows) error {
		r, progress := &request{}, ""
		if err := rows.Scan(&r.id, &r.state, &progress); err != nil {
			return err
		}
		all, byID[r.id] = append(all, r), r
		return json.Unmarshal([]byte(progress), &r.progress)
	})
	if err != nil {
		return nil, err
	}
	err = each(db, "SELECT request FROM events WHERE type = 'signature_request.confirmed'", func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil || byID[id] == nil {
			return fmt.Errorf("event of request %q: %w", id, err)
		}
		byID[id].confirmed = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, each(db, "SELECT request, coalesce(work, '') FROM documents ORDER BY request, n", func(rows *sql.Rows) error {
		var id, work string
		if err := rows.Scan(&id, &work); err != nil || byID[id] == nil {
			return fmt.Errorf("document of request %q: %w", id, err)
		}
		var w struct {
			SignedAttrs []byte `json:"signed_attrs"`
		}
		if work == "" {
			byID[id].dtbs = append(byID[id].dtbs, "")
			return nil
		}
		err := json.Unmarshal([]byte(work), &w)
		byID[id].dtbs = append(byID[id].dtbs, sha(w.SignedAttrs))
		return err
	})
}

// open says why the request is not at rest, "" if it is.
func (r *request) open() string {
	switch {
	case r.state == "confirmed" || r.state == "activating" || r.state == "signed":
		return r.state
	case r.progress.Answer != nil:
		return r.state + " with an answer of itsme that the sam has not taken"
	}
	return ""
}

// settle waits until no request is under way.
func settle(dir string, d time.Duration) (open []string, err error) {
	for end := time.Now().Add(d); ; time.Sleep(250 * time.Millisecond) {
		all, err := readFront(dir)
		if err != nil && time.Now().After(end) {
			return nil, err
		}
		open = nil
		for _, r := range all {
			if why := r.open(); why != "" {
				open = append(open, r.id+": "+why)
			}
		}
		if err == nil && len(open) == 0 || time.Now().After(end) {
			return open, nil
		}
	}
}

// readWorld reads everything of a sandbox that has stopped, with the spy as witness of the token.
func readWorld(dir string) (*world, error) {
	processes, err := readSpy(filepath.Join(dir, "sam", "spy.log"))
	if err != nil {
		return nil, err
	}
	seen, err := signatures(processes)
	if err != nil {
		return nil, err
	}
	return readTables(dir, seen)
}

// readTables reads the databases and puts them beside what the witness of the token saw.
func readTables(dir string, seen []signature) (*world, error) {
	w := &world{signatures: seen, positions: map[spot]string{}, consumed: map[string]int{}, byDTBS: map[string]*request{}}
	var err error
	if w.requests, err = readFront(dir); err != nil {
		return nil, err
	}
	for _, r := range w.requests {
		for _, d := range r.dtbs {
			if d == "" {
				continue
			}
			if other := w.byDTBS[d]; other != nil {
				return nil, fmt.Errorf("requests %s and %s have a digest in common: they cannot be told apart", r.id, other.id)
			}
			w.byDTBS[d] = r
		}
	}
	db, err := openDB(filepath.Join(dir, "sam", "sam.db"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	err = each(db, "SELECT seq, kind, subject, detail FROM audit ORDER BY seq", func(rows *sql.Rows) error {
		var r auditRow
		var detail string
		if err := rows.Scan(&r.seq, &r.kind, &r.subject, &detail); err != nil {
			return err
		}
		w.rows = append(w.rows, r)
		return json.Unmarshal([]byte(detail), &w.rows[len(w.rows)-1].detail)
	})
	if err != nil {
		return nil, err
	}
	err = each(db, "SELECT nonce, position, state FROM positions", func(rows *sql.Rows) error {
		var s spot
		var state string
		err := rows.Scan(&s.nonce, &s.position, &state)
		w.positions[s] = state
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, each(db, "SELECT nonce FROM consumed", func(rows *sql.Rows) error {
		var n string
		err := rows.Scan(&n)
		w.consumed[n]++
		return err
	})
}

// figures are the closing table's.
type figures struct {
	signs, signed, unknown   int // C_Sign on users' keys for documents; positions by the audit
	unknownUsed              int // unknown positions whose C_Sign the spy saw
	enrolSigns, made, intent int // the same for certificate requests
	macs, services           int
	authorized               int
	states                   map[string]int
	failures                 map[string]int
}

// check compares the witnesses and lists everything that does not fit.
//
//	for each position:   C_Sign = 1 with the value in the audit, when it is signed
//	                     C_Sign ≤ 1, when it is unknown
//	                     C_Sign = 0, when it was never burnt
//	together:            signed ≤ C_Sign ≤ signed + unknown
//	for enrolments:      key.generated ≤ C_Sign ≤ key.generate, all on new keys
func (w *world) check() (f figures, wrong []string) {
	bad := func(format string, a ...any) { wrong = append(wrong, fmt.Sprintf(format, a...)) }
	f.states, f.failures = map[string]int{}, map[string]int{}
	uses := map[string][]signature{} // by digest
	for _, s := range w.signatures {
		switch {
		case s.key == "mac":
			f.macs++
		case s.key == "service":
			f.services++
		case s.enrolment:
			f.enrolSigns++
		default:
			f.signs++
			d := base64.RawURLEncoding.EncodeToString(s.data)
			uses[d] = append(uses[d], s)
		}
	}
	outcome, dtbs := w.follow(&f, bad)
	w.compare(&f, uses, outcome, dtbs, bad)
	for d := range uses {
		r := w.byDTBS[d]
		if r == nil {
			bad("C_Sign over %s, which no request of the front has", d)
		} else if !r.confirmed {
			bad("C_Sign over %s of request %s, which was never confirmed", d, r.id)
		}
	}
	for _, r := range w.requests {
		f.states[r.state]++
		w.checkRequest(r, &f, uses, outcome, bad)
	}
	if f.signs < f.signed || f.signs > f.signed+f.unknown {
		bad("C_Sign = %d is not between signed = %d and signed + unknown = %d", f.signs, f.signed, f.signed+f.unknown)
	}
	if f.enrolSigns < f.made || f.enrolSigns > f.intent {
		bad("C_Sign of certificate requests = %d is not between made = %d and meant = %d", f.enrolSigns, f.made, f.intent)
	}
	return f, wrong
}

// result of a position as the audit tells it.
type result struct{ state, value string }

// follow walks the sam's audit in its order.
func (w *world) follow(f *figures, bad func(string, ...any)) (outcome map[spot]result, dtbs map[string]spot) {
	outcome, dtbs = map[spot]result{}, map[string]spot{}
	authorized := map[string]bool{}
	for _, r := range w.rows {
		s := spot{r.subject, r.detail["position"]}
		was := outcome[s].state
		switch r.kind {
		case "confirmation.authorized":
			if authorized[r.subject] || w.consumed[r.subject] != 1 {
				bad("confirmation %s was authorized twice or not consumed once", r.subject)
			}
			authorized[r.subject] = true
			f.authorized++
		case "key.intent":
			if !authorized[r.subject] {
				bad("row %d burns a position of %s, which was not authorized before", r.seq, r.subject)
			}
			if was != "" && was != "free" {
				bad("row %d burns a position that is %s", r.seq, was)
			}
			if other, seen := dtbs[r.detail["dtbs"]]; seen && other != s {
				bad("row %d burns a second position for the digest %s", r.seq, r.detail["dtbs"])
			}
			outcome[s], dtbs[r.detail["dtbs"]] = result{state: "burnt"}, s
		case "key.used", "key.unknown", "key.not_used":
			if was != "burnt" {
				bad("row %d, %s, of a position that is %q", r.seq, r.kind, was)
			}
			outcome[s] = result{map[string]string{"key.used": "signed", "key.unknown": "unknown", "key.not_used": "free"}[r.kind], r.detail["value"]}
		case "key.generate":
			f.intent++
		case "key.generated":
			f.made++
		}
	}
	for s, r := range outcome {
		if w.positions[s] != r.state {
			bad("position %v is %s in the audit and %q in the table", s, r.state, w.positions[s])
		}
	}
	for s, state := range w.positions {
		if state != "free" && outcome[s].state != state {
			bad("position %v is %s without a row in the audit", s, state)
		}
	}
	return outcome, dtbs
}

// compare matches each digest that was signed with the position that was burnt for it.
func (w *world) compare(f *figures, uses map[string][]signature, outcome map[spot]result, dtbs map[string]spot, bad func(string, ...any)) {
	for d, list := range uses {
		if _, burnt := dtbs[d]; !burnt {
			bad("C_Sign over %s, for which no position was burnt", d)
		}
		if len(list) > 1 {
			bad("%d C_Sign over the digest %s", len(list), d)
		}
	}
	for d, s := range dtbs {
		r, list := outcome[s], uses[d]
		switch r.state {
		case "signed":
			f.signed++
			if len(list) != 1 || !list[0].done || list[0].value != nil && sha(asDER(list[0].value)) != r.value {
				bad("position %v is signed, but the spy did not see just this value once", s)
			}
		case "unknown":
			f.unknown++
			f.unknownUsed += len(list)
		case "free":
			if len(list) > 0 {
				bad("position %v was given back, but its key was used", s)
			}
		default:
			bad("position %v is still %s", s, r.state)
		}
	}
}

// asDER encodes r || s as the program does.
func asDER(value []byte) []byte {
	n := len(value) / 2
	b, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(value[:n]), new(big.Int).SetBytes(value[n:])})
	if err != nil {
		return nil
	}
	return b
}

// checkRequest: what was confirmed has ended, in the one way that fits to what the key did.
func (w *world) checkRequest(r *request, f *figures, uses map[string][]signature, outcome map[spot]result, bad func(string, ...any)) {
	if why := r.open(); why != "" {
		bad("request %s is still %s", r.id, why)
	}
	states := map[string]int{}
	if r.progress.Session != nil {
		for i := range r.dtbs {
			states[outcome[spot{r.progress.Session.Nonce, fmt.Sprint(i)}].state]++
		}
	}
	signs := 0
	for _, d := range r.dtbs {
		signs += len(uses[d])
	}
	switch {
	case r.state == "finished":
		if !r.confirmed || states["signed"] != len(r.dtbs) || signs != len(r.dtbs) {
			bad("request %s is finished, but its %d positions are %v", r.id, len(r.dtbs), states)
		}
	case r.confirmed && r.state != "failed":
		bad("request %s was confirmed and is %s", r.id, r.state)
	case r.confirmed:
		code := ""
		if r.progress.Failure != nil {
			code = r.progress.Failure.Code
		}
		f.failures[code]++
		if states["signed"] == len(r.dtbs) {
			bad("request %s has all its values and failed (%s): what was confirmed is lost", r.id, code)
		}
		if (code == "outcome_unknown") != (states["unknown"] > 0) || code != "outcome_unknown" && signs > 0 {
			bad("request %s failed with %q, its positions are %v, the key was used %d times", r.id, code, states, signs)
		}
	case signs > 0:
		bad("request %s was not confirmed and the key was used %d times", r.id, signs)
	}
}

// finished lists the requests with documents to download and how many each has.
func (w *world) finished() (ids []string, documents map[string]int) {
	documents = map[string]int{}
	for _, r := range w.requests {
		if r.state == "finished" {
			ids = append(ids, r.id)
			documents[r.id] = len(r.dtbs)
		}
	}
	slices.Sort(ids)
	return ids, documents
}

func list(m map[string]int) string {
	var all []string
	for k, n := range m {
		all = append(all, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
