package signer_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"tekend/audit"
	"tekend/db"
	"tekend/hsm/hsmtest/shim"
	"tekend/signer"
	"tekend/wire"
)

// The owned front in the whole flow (issue 4 item 9): real roles, real token, and the oracle of the model-based test.

// onRAM puts the databases where thousands of durable transactions are quick.
func onRAM(t *testing.T) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}

// tally counts what the oracle and the roles' own records say.
type tally struct {
	uses         int // C_Sign on people's keys, by the oracle
	certificates int // C_Sign by the CA key that were certificates, by the record of the ca
	refused      int // audited by sam and ca, told in rows or counted
}

func (m *model) tally(t *testing.T) (n tally) {
	t.Helper()
	events, err := shim.ReadOracle(m.oracle)
	m.w.must(err)
	for _, s := range shim.Signatures(events) {
		if strings.HasPrefix(s.Key, "blob:") && !s.Canary() {
			n.uses++
		}
	}
	ask := func(path, query string) (count int) {
		d, err := db.OpenReader(t.Context(), m.w.path(path))
		m.w.must(err)
		defer func() { _ = d.Close() }()
		rep, err := audit.Verify(t.Context(), d)
		m.w.must(err)
		if rep.FirstBad != 0 {
			t.Errorf("%s: row %d: %s", path, rep.FirstBad, rep.Reason)
		}
		m.w.must(d.QueryRow(query).Scan(&count))
		return count
	}
	n.certificates = ask("ca.db", "SELECT COUNT(*) FROM audit WHERE kind = 'certificate.intent'")
	n.refused = ask("ca.db", "SELECT COUNT(*) FROM audit WHERE kind = 'certificate.refused'") +
		ask("sam.db", `SELECT (SELECT COALESCE(SUM(COALESCE(CAST(json_extract(detail, '$.times') AS INTEGER), 1)), 0) FROM audit WHERE kind LIKE 'refusal.%')
			+ (SELECT COALESCE(SUM(times), 0) FROM refusals)`)
	return n
}

// answered lets a person answer at itsme and tells the model that he did; the answer is brought in this life of the sam.
func (m *model) answered(request, kind, link, person string) answer {
	a := m.w.atItsme(link, person)
	if m.asked[a.state] == nil {
		m.asked[a.state] = &asked{request: request, kind: kind, sam: m.lives}
	}
	if _, known := m.said[a.code]; a.code != "" && !known {
		m.said[a.code] = said{state: a.state, who: person, honest: true}
	}
	m.heard(a)
	return a
}

// walkOwned walks a person to one of the steps; what he says on the way the model knows.
func (m *model) walkOwned(t *testing.T, o *ordered, until ...string) *signer.Page {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		p, err := m.w.front.Page(t.Context(), o.token)
		m.w.must(err)
		for _, u := range until {
			if p.Step == u {
				return p
			}
		}
		switch p.Step {
		case signer.StepTerms:
			m.w.must(m.w.front.AcceptTerms(t.Context(), o.token, terms, "en"))
		case signer.StepIdentify, signer.StepConsent, signer.StepConfirm:
			m.w.callback(m.answered(o.id, p.Step, p.Link, o.person))
		case signer.StepWait:
			time.Sleep(10 * time.Millisecond)
		default:
			t.Fatalf("%s stands at %s: %v", o.id, p.Step, p.Failure)
		}
	}
	t.Fatal("the walk took too long")
	return nil
}

func (m *model) place(person string, n int) *ordered {
	order := signer.Order{Reference: "ref-" + person, IdempotencyKey: fmt.Sprint("owned-", m.w.orders.Add(1)), Exclusive: true}
	r, token := m.w.ordered(order, upload(onePage(fmt.Sprintf("%% owned %s %d\n", person, n))))
	o := &ordered{id: r.ID, token: token, person: person}
	m.requests = append(m.requests, o)
	return o
}

// message is a call as it was recorded on a socket.
type message struct {
	socket, method, path, media string
	body                        []byte
}

func (x message) String() string { return x.socket + " " + x.method + " " + x.path }

// TestOwnedFrontReplays records every message on the sockets of sam, ca, status and tsa in two enrolments, signatures, a
// refusal and a question that nobody answered, and sends each again: in order, shuffled, after a restart, late.
func TestOwnedFrontReplays(t *testing.T) {
	onRAM(t)
	m := newModel(t)
	status := newProxy(t, m.w.path("status/s.sock"))
	m.w.samCfg.StatusSocket = status.socket
	m.w.restartSAM()
	sockets := map[string]*proxy{"sam": m.w.sam, "ca": m.w.ca, "tsa": m.w.tsa, "status": status}
	for i, person := range []string{"approve", "diacritics", "approve"} {
		o := m.place(person, i)
		m.walkOwned(t, o, signer.StepDone)
		m.w.wait(o.id, signer.Finished)
	}
	m.walkOwned(t, m.place("approve", 4), signer.StepConfirm)
	no := m.place("diacritics", 5)
	p := m.walkOwned(t, no, signer.StepConfirm)
	m.w.callback(m.answered(no.id, p.Step, p.Link, "refuse"))
	m.w.wait(no.id, signer.Declined)
	m.w.must(m.judge())
	m.w.stopFront()

	var all []message
	for name, p := range sockets {
		p.mu.Lock()
		for _, x := range p.messages {
			x.socket = name
			all = append(all, x)
		}
		p.mu.Unlock()
		if len(p.messages) == 0 {
			t.Fatalf("nothing was recorded on the socket %s", name)
		}
	}
	before, sent := m.tally(t), 0
	values := map[string][]byte{}
	replay := func(when string) {
		for _, x := range all {
			sent++
			status, body := m.send(t, x)
			if status >= 500 && status != 503 || status == 0 {
				t.Errorf("%s, %s: %d %s", when, x, status, body)
			}
			if status == 200 && strings.Contains(x.path, "/signatures/") {
				if old := values[x.path]; old != nil && !bytes.Equal(old, body) {
					t.Errorf("%s: %s gave other values", when, x)
				}
				values[x.path] = body
			}
		}
	}
	r := rand.New(rand.NewPCG(4, 9))
	shuffle := func() { r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) }
	replay("in order")
	shuffle()
	replay("shuffled")
	m.lives++
	m.w.restartSAM()
	replay("after a restart")
	shuffle()
	m.w.sleep(25 * time.Hour)
	replay("a day later")
	between := m.tally(t)
	crossed, refused := m.cross(t, all)
	after := m.tally(t)
	m.w.must(m.judge())
	if after.uses != before.uses || after.certificates != before.certificates || len(values) == 0 {
		t.Errorf("before %+v, after %+v, values of %d signatures again", before, after, len(values))
	}
	if audited := after.refused - between.refused; audited != refused || refused == 0 {
		t.Errorf("%d calls were refused, %d refusals are in the audit", refused, audited)
	}
	t.Logf("owned front, replays: %d messages of 4 sockets, %d sent again, %d with the content of another (%d refused, each in the audit); signatures by the oracle %d, certificates %d",
		len(all), sent, crossed, refused, after.uses-before.uses, after.certificates-before.certificates)
}

// cross sends each act on something that is there with the content of each other one of its kind, and counts the refusals.
func (m *model) cross(t *testing.T, all []message) (sent, refused int) {
	t.Helper()
	kind := func(x message) string {
		if x.socket != "sam" || x.method != http.MethodPut || strings.Count(x.path, "/") < 4 {
			return "" // the path of the others is the hash of what they carry
		}
		return strings.Split(x.path, "/")[4]
	}
	for i, x := range all {
		for j, y := range all {
			if i == j || kind(x) == "" || kind(x) != kind(y) || bytes.Equal(x.body, y.body) {
				continue
			}
			x.body = y.body
			if kind(x) == "signatures" {
				x.path = x.path[:strings.LastIndexByte(x.path, '/')+1] + wire.BodyHash(y.body)
			}
			sent++
			status, body := m.send(t, x)
			switch {
			case status >= 400 && status < 500:
				refused++
			case status != 200:
				t.Errorf("%s with the content of %s: %d %s", x, y, status, body)
			}
		}
	}
	return sent, refused
}

// send sends a message past the front; 0 when the connection ended without an answer.
func (m *model) send(t *testing.T, x message) (int, []byte) {
	t.Helper()
	status, _, body, err := wire.NewClient(m.w.path(x.socket+"/s.sock"), 20*time.Second).Raw(context.WithoutCancel(t.Context()), x.method, x.path, x.body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return status, body
}
