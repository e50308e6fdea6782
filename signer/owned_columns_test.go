package signer_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/signer"
)

// ownedAll: each column with each value at each time, instead of each once.
var ownedAll = flag.Bool("owned-all", false, "owned front: edit each column in every way at every time")

// The times at which an owned front edits its database.
const (
	beforeAsked = iota // the documents are fixed, the person is not asked yet
	asking             // the person sees the question
	confirmed          // the sam has the confirmation, the key is not used yet
	times
)

// edit is one change of the front's database. member names what is changed within a column that holds JSON.
type edit struct {
	table, column string
	member        []string
	value         string // other or random, or a state
	when          int
}

func (e edit) String() string {
	return fmt.Sprint(strings.Join(append([]string{e.table, e.column}, e.member...), "."), " ", e.value, " at ", e.when)
}

// rowOf finds the row of a table that belongs to a request.
var rowOf = map[string]string{
	"requests": "id = ?", "documents": "request = ?", "events": "request = ? AND version = 1", "callbacks": "request = ?",
	"idempotency_keys": "request = ?", "claims": "request = ?", "holds": "request = ?",
	"clients": "id = 'acme' AND ? <> ''", "signers": "reference = 'ref-approve' AND ? <> ''", "marks": "number = 1 AND ? <> ''",
	"revocations": "id = 'rv_1' AND ? <> ''",
}

// shared tables have no row of one request alone.
var shared = []string{"clients", "signers", "marks", "revocations"}

// TestOwnedFrontEditsItsDatabase walks the schema of front.db: each column of each row, and each member of what is JSON in
// it, gets the value of another person's row or a random one, before the person is asked, while he is, and after he
// confirmed. Then the front goes on, and is restarted. What is signed is what the key's owner said yes to, or nothing.
func TestOwnedFrontEditsItsDatabase(t *testing.T) {
	onRAM(t)
	m := newModel(t)
	for i, person := range []string{"approve", "diacritics"} { // known from here on
		o := m.place(person, -1-i)
		m.walkOwned(t, o, signer.StepDone)
		m.w.wait(o.id, signer.Finished)
	}
	d, err := sql.Open("sqlite", "file:"+m.w.path("front.db")+"?_pragma=busy_timeout(20000)&_pragma=foreign_keys(0)")
	m.w.must(err)
	defer func() { _ = d.Close() }()
	_, err = d.Exec("INSERT INTO clients (id, key_sha256, created_at) VALUES ('acme', x'01', 1), ('other', x'02', 2)")
	m.w.must(err)
	_, err = d.Exec("INSERT INTO marks (number, link) VALUES (1, x'01'), (2, x'02') ON CONFLICT DO NOTHING")
	m.w.must(err)

	for range 2 {
		_, err := m.w.front.Revoke(t.Context(), "en", "") // nobody says yes to it
		m.w.must(err)
	}
	_, err = d.Exec("UPDATE revocations SET id = 'rv_' || rowid, data = json_set(data, '$.id', 'rv_' || rowid)")
	m.w.must(err)

	other := m.place("diacritics", 0)
	m.walkOwned(t, other, signer.StepConfirm)
	edits := m.edits(t, d, other.id)
	before, done := m.tally(t), 0
	for batch := range slices.Chunk(edits, 12) {
		done += m.drive(t, d, other, batch)
		m.w.must(m.judge())
	}
	m.lives++
	m.w.restartSAM()
	m.w.restartFront()
	time.Sleep(500 * time.Millisecond) // it goes on with whatever it finds
	m.w.must(m.judge())
	after, states := m.tally(t), map[signer.State]int{}
	for _, o := range m.requests {
		if r, err := m.w.front.Get(t.Context(), "acme", o.id); err == nil {
			if len(r.State) > 20 {
				r.State = "nonsense" // an edit
			}
			states[r.State]++
		}
	}
	if done < 100 || after.uses == before.uses || after.certificates != before.certificates {
		t.Errorf("%d edits, before %+v, after %+v", done, before, after)
	}
	t.Logf("owned front, its own database: %d of %d edits took hold; %d signatures by the oracle, 0 of them without the owner's will; certificates %d; refusals in the audit %d; the requests stand at %v",
		done, len(edits), after.uses-before.uses, after.certificates-before.certificates, after.refused-before.refused, states)
}

// edits lists what will be changed, from the schema and from what stands in the database now.
func (m *model) edits(t *testing.T, d *sql.DB, request string) []edit {
	t.Helper()
	var all []edit
	add := func(e edit, values ...string) {
		for i, v := range values {
			for when := range times {
				if e.value, e.when = v, when; *ownedAll || (len(all)+i)%times == when {
					all = append(all, e)
				}
			}
		}
	}
	tables := m.texts(t, d, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%' ORDER BY name")
	for _, table := range tables {
		if rowOf[table] == "" && table != "audit" {
			t.Errorf("the table %s is not edited: say in rowOf which of its rows belong to a request", table)
			continue
		}
		for _, column := range m.texts(t, d, "SELECT name FROM pragma_table_info('"+table+"')") {
			add(edit{table: table, column: column}, "other", "random")
			if column != "progress" && column != "work" {
				continue
			}
			var text string
			m.w.must(d.QueryRow("SELECT "+column+" FROM "+table+" WHERE "+rowOf[table], request).Scan(&text))
			for _, path := range leaves(t, text) {
				add(edit{table: table, column: column, member: path}, "other", "random")
			}
		}
	}
	for _, s := range []signer.State{signer.Created, signer.Identified, signer.Prepared, signer.Confirmed, signer.Activating, signer.Signed, signer.Finished} {
		add(edit{table: "requests", column: "state"}, string(s))
	}
	return all
}

func (m *model) texts(t *testing.T, d *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := d.Query(query)
	m.w.must(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		m.w.must(rows.Scan(&s))
		all = append(all, s)
	}
	m.w.must(rows.Err())
	return all
}

// leaves are the paths to all members of an object that are no objects.
func leaves(t *testing.T, text string) (all [][]string) {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	var walk func(path []string, v any)
	walk = func(path []string, v any) {
		if o, ok := v.(map[string]any); ok {
			for name, x := range o {
				walk(append(slices.Clone(path), name), x)
			}
			return
		}
		all = append(all, path)
	}
	walk(nil, v)
	slices.SortFunc(all, slices.Compare)
	return all
}

// drive orders a signature for each edit, lets each person say yes, edits in between, and goes on as long as something
// moves. It counts the edits that took hold.
func (m *model) drive(t *testing.T, d *sql.DB, other *ordered, batch []edit) (done int) {
	t.Helper()
	kept := m.keepShared(t, d)
	apply := func(e edit, o *ordered, when int) {
		if e.when == when && m.apply(t, d, e, o.id, other.id) {
			done++
		}
	}
	var all []*ordered
	for i := range batch {
		o := m.place("approve", len(m.requests)*100+i)
		m.walkOwned(t, o, signer.StepConfirm)
		all = append(all, o)
	}
	for i, o := range all {
		if batch[i].when == beforeAsked {
			_, _ = d.Exec("UPDATE requests SET progress = json_remove(progress, '$.confirmation') WHERE id = ?", o.id)
		}
		apply(batch[i], o, beforeAsked)
	}
	hold := m.w.sam.breakCall(`PUT /v1/confirmations/[^/]+/signatures/`, 0, requestLost)
	for i, o := range all {
		p, err := m.w.front.Page(t.Context(), o.token)
		if err != nil || p.Link == "" {
			continue // the front does not know its own request any more
		}
		apply(batch[i], o, asking)
		m.tellFront(m.answered(o.id, p.Step, p.Link, "approve"))
	}
	m.w.sam.await(t, hold) // confirmed, and on the way to the key
	for i, o := range all {
		apply(batch[i], o, confirmed)
	}
	m.w.sam.heal()
	for range 4 {
		m.w.sleep(20 * time.Second) // over every wait between two tries
		for _, o := range all {
			if p, err := m.w.front.Page(t.Context(), o.token); err == nil && p.Link != "" && p.Step == signer.StepConfirm {
				m.tellFront(m.answered(o.id, p.Step, p.Link, "approve"))
			}
		}
		time.Sleep(60 * time.Millisecond)
	}
	m.putShared(t, d, kept)
	return done
}

// tellFront is what itsme's redirect does; the front may answer what it likes.
func (m *model) tellFront(a answer) {
	_, _ = m.w.front.Callback(context.Background(), a.state, a.code, a.err)
}

// apply makes one edit; false when the database itself refuses it, or there is nothing to edit.
func (m *model) apply(t *testing.T, d *sql.DB, e edit, mine, other string) bool {
	t.Helper()
	where := rowOf[e.table]
	theirs := strings.NewReplacer("'acme'", "'other'", "ref-approve", "ref-diacritics", "number = 1", "number = 2", "'rv_1'", "'rv_2'").Replace(where)
	var old, value any
	if err := d.QueryRow("SELECT "+e.column+" FROM "+e.table+" WHERE "+where, mine).Scan(&old); err != nil {
		return false
	}
	switch e.value {
	case "other":
		if err := d.QueryRow("SELECT "+e.column+" FROM "+e.table+" WHERE "+theirs, other).Scan(&value); err != nil {
			return false
		}
	case "random":
		value = random(old)
	default:
		value = e.value
	}
	if e.member != nil {
		text, ok := withMember(old, value, e)
		if !ok {
			return false
		}
		value = text
	}
	res, err := d.Exec("UPDATE "+e.table+" SET "+e.column+" = ? WHERE "+where, value, mine)
	if err != nil {
		return false // a constraint of the database's
	}
	n, err := res.RowsAffected()
	m.w.must(err)
	return n > 0
}

// withMember puts the member of another object, or a random value of its kind, into a JSON text.
func withMember(old, other any, e edit) (string, bool) {
	var into map[string]any
	from := map[string]any{}
	if json.Unmarshal([]byte(fmt.Sprint(old)), &into) != nil || e.value == "other" && json.Unmarshal([]byte(fmt.Sprint(other)), &from) != nil {
		return "", false
	}
	last := e.member[len(e.member)-1]
	for _, name := range e.member[:len(e.member)-1] {
		var ok bool
		if into, ok = into[name].(map[string]any); !ok {
			return "", false
		}
		from, _ = from[name].(map[string]any)
	}
	if into[last] == nil {
		return "", false
	}
	whole := map[string]any{}
	_ = json.Unmarshal([]byte(fmt.Sprint(old)), &whole)
	at := whole
	for _, name := range e.member[:len(e.member)-1] {
		at = at[name].(map[string]any)
	}
	if at[last] = from[last]; e.value == "random" {
		at[last] = random(into[last])
	}
	b, err := json.Marshal(whole)
	return string(b), err == nil
}

// random is a value of the same kind.
func random(old any) any {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	switch v := old.(type) {
	case int64:
		return int64(b[0])<<32 + int64(b[1])
	case float64:
		return float64(b[0])
	case []byte:
		return b
	case []any:
		if len(v) > 0 {
			return []any{random(v[0])}
		}
		return []any{"x"}
	case bool:
		return !v
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// keepShared and putShared put rows that many requests need back after a batch, so that the next one can begin.
func (m *model) keepShared(t *testing.T, d *sql.DB) map[string][][]any {
	t.Helper()
	kept := map[string][][]any{}
	for _, table := range shared {
		rows, err := d.Query("SELECT * FROM " + table)
		m.w.must(err)
		columns, err := rows.Columns()
		m.w.must(err)
		for rows.Next() {
			row := make([]any, len(columns))
			to := make([]any, len(columns))
			for i := range row {
				to[i] = &row[i]
			}
			m.w.must(rows.Scan(to...))
			kept[table] = append(kept[table], row)
		}
		m.w.must(rows.Err())
		_ = rows.Close()
	}
	return kept
}

func (m *model) putShared(t *testing.T, d *sql.DB, kept map[string][][]any) {
	t.Helper()
	for table, rows := range kept {
		_, err := d.Exec("DELETE FROM " + table)
		m.w.must(err)
		for _, row := range rows {
			_, err := d.Exec("INSERT INTO "+table+" VALUES ("+strings.TrimSuffix(strings.Repeat("?,", len(row)), ",")+")", row...)
			m.w.must(err)
		}
	}
}
