package activation_test

import (
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"tekend/db/dbtest"
	"tekend/sam"
	"tekend/sam/activation"
)

// Who owns the front can put questions without end. Those that nobody confirmed
// go after a day; what was confirmed stays, with its values.
func TestQuestionsThatNobodyConfirmedGo(t *testing.T) {
	w := newWorld(t)
	c := w.enrol("approve")
	signed := w.confirm(c, 1)
	got(w.front.Sign(t.Context(), signed.Nonce, signed.request(0)))(t)
	open := w.prepare(c, documents(t, c, 1))
	declined := w.prepare(c, documents(t, c, 2))
	_, err := w.front.Authorize(t.Context(), declined.Nonce, sam.Answer{Error: "access_denied"})
	if code(err) != sam.CodeDeclined {
		t.Fatal(err)
	}
	w.apply()

	d := dbtest.Raw(t, w.cfg.DB)
	count := func(query string) (n int) {
		t.Helper()
		must(t, d.QueryRow(query).Scan(&n))
		return n
	}
	const ended = "SELECT count(*) FROM questions WHERE status IN ('prepared', 'declined', 'failed', 'expired')"
	if n := count(ended); n != 3 {
		t.Fatalf("%d questions without a confirmation", n)
	}
	w.advance(23 * time.Hour)
	w.prepare(c, documents(t, c, 1))
	if n := count(ended); n != 4 {
		t.Errorf("%d questions after 23 hours", n)
	}
	w.advance(2 * time.Hour)
	w.prepare(c, documents(t, c, 2))
	if n := count(ended); n != 2 { // those of 2 hours ago and of now
		t.Errorf("%d questions after 25 hours", n)
	}
	if n := count("SELECT count(*) FROM enrolments WHERE step = 'identify'"); n != 0 {
		t.Errorf("%d enrolments that nobody went on with", n)
	}
	for _, nonce := range []string{open.Nonce, declined.Nonce} {
		if _, err := w.front.Authorize(t.Context(), nonce, sam.Answer{Code: "late"}); code(err) != sam.CodeNotAuthorized {
			t.Error(err)
		}
	}
	st := got(w.front.Confirmation(t.Context(), signed.Nonce))(t)
	if st.State != sam.StateAuthorized || len(st.Positions) != 1 || st.Positions[0].Value == nil {
		t.Errorf("what was signed: %+v", st)
	}
}

const left = "NOT EXISTS (SELECT 1 FROM boots b WHERE b.boot = q.boot AND b.boot <> 'x' AND b.seen > 1)"

// What is done with the database held reads only the rows it is about.
func TestForgettingReadsNoOtherRows(t *testing.T) {
	w := newWorld(t)
	d := dbtest.Raw(t, w.cfg.DB)
	for query, index := range map[string]string{
		"DELETE FROM enrolments WHERE step NOT IN ('done', 'existing') AND created < 1":                                                               "enrolments_open",
		"UPDATE questions SET token = '' WHERE token <> '' AND kind <> 'sign' AND expires < 1":                                                        "questions_tokens",
		"DELETE FROM questions WHERE status IN ('prepared', 'declined', 'failed', 'expired') AND expires < 1":                                         "questions_ended",
		activation.FindOnce + " AND (once_ends <= 1 OR once_nonce <> '') LIMIT 1000":                                                                  "links_once",
		activation.FindExpired + " AND expires > 0 AND expires <= 1 LIMIT 100":                                                                        "links_expires",
		"SELECT id FROM links WHERE expires = 0 AND state <> 'destroyed' LIMIT 100":                                                                   "links_expires",
		"SELECT id FROM enrolments WHERE step NOT IN ('done', 'existing') AND identified > 0 AND identified <= 1 LIMIT 1000":                          "enrolments_open",
		"SELECT nonce FROM questions q WHERE status = 'exchanging' AND " + left:                                                                       "questions_exchanging",
		"SELECT p.nonce FROM positions p JOIN questions q ON q.nonce = p.nonce WHERE p.state = 'burnt' AND " + left + " ORDER BY p.nonce, p.position": "positions_burnt",
	} {
		var id, parent, unused int
		var plan string
		must(t, d.QueryRow("EXPLAIN QUERY PLAN "+query).Scan(&id, &parent, &unused, &plan))
		if !strings.Contains(plan, index) {
			t.Errorf("%s: %s", query, plan)
		}
	}
}
