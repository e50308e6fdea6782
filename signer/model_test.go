package signer_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tekend/consent"
	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/hsm/hsmtest/shim"
	"tekend/itsme/sandbox"
	"tekend/signer"
)

// modelSteps is how many steps the sequences have together; `make model` takes 1 000 000.
var modelSteps = flag.Int("model-steps", 5000, "steps of the model-based test, all sequences together")

// The model is a list of what people did at itsme. From it follows what may be signed; what was signed tells the oracle,
// a PKCS#11 module between the program and its token that knows nothing of the program. Neither looks into the code
// between them.
//
// What may be signed with a person's key is a document of a question to which the owner of that key said yes, at itsme
// and without a defect, and whose answer reached the sam while the question was alive and in the life of the sam's
// process that asked it, before the request was declined; and that at most once.

// asked is what the model knows of one question, by the state parameter that itsme brings back.
type asked struct {
	request  string
	kind     string
	sam      int    // which life of the sam asked
	answered string // who said yes
	yes      bool   // and the answer, with a right token behind it, was brought to the front in that life
	trail    []string
}

func (q *asked) note(format string, a ...any) { q.trail = append(q.trail, fmt.Sprintf(format, a...)) }

// said is what somebody did at itsme, by the code that itsme gave for it.
type said struct {
	state, who string
	honest     bool // a right token will be had for the code
}

// ordered is a request of the model.
type ordered struct {
	id, token, person string
	declined          bool                   // before anybody had said yes
	digests           []signer.OrderedDigest // that were taken later
}

// model is the machine that rapid drives. All its sequences share one world: what one leaves behind, another finds.
type model struct {
	w        *world
	oracle   string
	lives    int // of the sam
	backward bool
	requests []*ordered
	open     []*ordered
	done     string // a finished PDF
	asked    map[string]*asked
	said     map[string]said
	pocket   []answer // came from itsme, not brought to the front yet
	brought  []answer
	steps    map[string]int
	total    int
	signed   map[string]bool // digests that the oracle saw, already judged
	events   int
	uses     int
	csrs     int
}

func TestModelOfWhatMayBeSigned(t *testing.T) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // thousands of durable transactions
	}
	m := newModel(t)
	started := time.Now()
	for round := 0; m.total < *modelSteps; round++ {
		ok := t.Run(fmt.Sprint("sequences-", round), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				if m.total < *modelSteps {
					rt.Repeat(m.actions())
					m.check(rt)
				}
			})
		})
		if !ok {
			break
		}
	}
	m.end(t)
	t.Logf("model: %d steps in %v: %v", m.total, time.Since(started).Round(time.Second), m.steps)
	t.Logf("model: %d requests, %d questions, %d uses of people's keys by the oracle, %d of them proofs of possession: without its owner's will 0, twice 0",
		len(m.requests), len(m.asked), m.uses+m.csrs, m.csrs)
	for _, name := range []string{"order", "send digests", "go on", "look", "answer", "bring", "swap", "replay", "decline", "again", "restart the sam", "restart the front", "clock on", "clock back", "outage", "say no", "wrong person", "defect"} {
		if m.steps[name] == 0 {
			t.Errorf("the step %q was never taken", name)
		}
	}
	if m.uses == 0 || m.csrs == 0 {
		t.Error("nothing was signed: the test shows nothing")
	}
}

func newModel(t *testing.T) *model {
	dir := t.TempDir()
	m := &model{oracle: filepath.Join(dir, "oracle"), asked: map[string]*asked{}, said: map[string]said{}, signed: map[string]bool{}, steps: map[string]int{}}
	cfg := hsmtest.Config(t)
	t.Setenv(shim.EnvModule, cfg.Module)
	t.Setenv(shim.EnvOracle, m.oracle)
	t.Setenv(shim.EnvFaults, filepath.Join(dir, "faults"))
	if err := os.WriteFile(filepath.Join(dir, "faults"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Module, cfg.TestOnly, cfg.Sessions = shim.Build(t), true, 4
	m.w = newWorldOn(t, hsm.P256, hsmtest.Open(t, cfg))
	return m
}

// owners are the people who sign; each has one key.
var owners = []string{"approve", "diacritics", "one-name", "no-email"}

// others answer in somebody's place, or with a token that is wrong.
var defects = []string{
	sandbox.DefectAlgNone, sandbox.DefectOtherAudience, sandbox.DefectWrongNonce, sandbox.DefectWrongSub, sandbox.DefectWrongKey,
	sandbox.DefectLowACR, sandbox.DefectOld, sandbox.DefectUnencrypted, sandbox.DefectUnsigned, sandbox.DefectCaseClaim,
}

func (m *model) actions() map[string]func(*rapid.T) {
	step := func(name string, f func(*rapid.T)) func(*rapid.T) {
		return func(rt *rapid.T) {
			m.steps[name]++
			m.total++
			f(rt)
		}
	}
	answering := func(rt *rapid.T) { m.answer(rt, "", "") }
	bring := func(rt *rapid.T) { m.bring(rt) }
	look := func(rt *rapid.T) { m.look(rt) }
	rarely := func(f func(*rapid.T)) func(*rapid.T) { // what ends much at once
		return func(rt *rapid.T) {
			if rapid.IntRange(0, 2).Draw(rt, "rarely") == 0 {
				f(rt)
			}
		}
	}
	all := map[string]func(*rapid.T){"": m.check}
	// The same step under several names is taken more often.
	for _, s := range []struct {
		name  string
		times int
		do    func(*rapid.T)
	}{
		{"order", 2, m.order}, {"send digests", 2, m.sendDigests}, {"go on", 8, m.goOn}, {"look", 3, look}, {"answer", 4, answering}, {"bring", 4, bring},
		{"say no", 1, func(rt *rapid.T) { m.answer(rt, "refuse", "") }},
		{"wrong person", 1, func(rt *rapid.T) { m.answer(rt, rapid.SampledFrom(owners).Draw(rt, "who"), "") }},
		{"defect", 1, func(rt *rapid.T) { m.answer(rt, "", rapid.SampledFrom(defects).Draw(rt, "defect")) }},
		{"swap", 1, m.swap}, {"replay", 1, m.replay}, {"decline", 1, rarely(m.decline)}, {"again", 1, m.again},
		{"restart the sam", 1, rarely(m.restartSAM)}, {"restart the front", 1, rarely(m.restartFront)},
		{"clock on", 1, m.clockOn}, {"clock back", 1, m.clockBack}, {"outage", 1, rarely(m.outage)},
	} {
		for i := range s.times {
			all[fmt.Sprint(s.name, " ", i)] = step(s.name, s.do)
		}
	}
	return all
}

// one draws an open request, nil when there is none.
func (m *model) one(rt *rapid.T) *ordered {
	if len(m.open) == 0 {
		return nil
	}
	return m.open[rapid.IntRange(0, len(m.open)-1).Draw(rt, "request")]
}

// order asks for a signature of one or two documents; a person without a reference is one who enrols (again).
func (m *model) order(rt *rapid.T) {
	if len(m.open) > 4 {
		m.open = m.open[1:] // forgotten by everybody
	}
	person := rapid.SampledFrom(owners).Draw(rt, "person")
	ref := "ref-" + person
	if rapid.IntRange(0, 4).Draw(rt, "unknown") == 0 {
		ref = ""
	}
	docs := [][]byte{onePage(fmt.Sprintf("%% model %d a\n", m.total))}
	if rapid.Bool().Draw(rt, "two") {
		docs = append(docs, onePage(fmt.Sprintf("%% model %d b\n", m.total)))
	}
	o, up := signer.Order{Reference: ref, Level: rapid.SampledFrom(levels).Draw(rt, "level")}, signer.Upload(upload(docs...))
	switch rapid.SampledFrom([]string{"pades", "pades", "cades", "attached", "digests", "digests of PDFs", "digests later", "digests later", "next"}).Draw(rt, "kind") {
	case "cades":
		o.Format = signer.CAdES
	case "attached":
		o.Format, o.Packaging = signer.CAdES, signer.Attached
	case "digests later":
		o.Digests = bare("SHA-256", len(docs))
		if up = nil; o.Level == "B-LTA" {
			o.Level = "B-LT"
		}
	case "digests":
		o.Format = signer.CAdES
		fallthrough
	case "digests of PDFs":
		alg := rapid.SampledFrom([]string{"SHA-256", "SHA-384", "SHA-512"}).Draw(rt, "algorithm")
		for _, d := range docs {
			o.Digests = append(o.Digests, digestOf(alg, d))
		}
		if up = nil; o.Format == "" && o.Level == "B-LTA" {
			o.Level = "B-LT"
		}
	case "next":
		if m.done != "" {
			o.Continues, up = []signer.Continued{{Request: m.done, Document: 1}}, nil
		}
	}
	m.ordered(rt, o, up, person)
}

var levels = []string{"B-B", "B-T", "B-LT", "B-LTA"}

// ordered brings an order, which is refused when another one has the next revision.
func (m *model) ordered(rt *rapid.T, order signer.Order, up signer.Upload, person string) {
	r, err := m.w.front.Create(context.Background(), "acme", order, up)
	if len(order.Continues) > 0 && (errors.Is(err, signer.ErrHeld) || errors.Is(err, signer.ErrContinues)) {
		return
	}
	if err != nil {
		rt.Fatalf("order: %v", err)
	}
	_, token, _ := strings.Cut(m.w.front.SigningURL(r), "/sign/")
	o := &ordered{id: r.ID, token: token, person: person}
	m.requests, m.open = append(m.requests, o), append(m.open, o)
}

// sendDigests brings the digests that an order left out, again or others too: what was taken once stays.
func (m *model) sendDigests(rt *rapid.T) {
	if o := m.one(rt); o != nil {
		m.sendTo(rt, o)
	}
}

func (m *model) sendTo(rt *rapid.T, o *ordered) {
	r, err := m.w.front.Get(context.Background(), "acme", o.id)
	if err != nil {
		rt.Fatalf("request %s: %v", o.id, err)
	}
	var all []signer.OrderedDigest
	for n := range r.Documents {
		all = append(all, digestOf("SHA-256", fmt.Appendf(nil, "%s %d %d", o.id, n, rapid.IntRange(0, 1).Draw(rt, "digest"))))
	}
	r, err = m.w.front.SendDigests(context.Background(), "acme", o.id, all, "")
	m.told(rt, err)
	same := slices.EqualFunc(all, o.digests, func(a, b signer.OrderedDigest) bool { return bytes.Equal(a.Digest, b.Digest) })
	switch {
	case err != nil && same:
		rt.Fatalf("the digests of %s, sent again: %v", o.id, err)
	case err == nil && o.digests != nil && !same:
		rt.Fatalf("request %s took other digests", o.id)
	case err == nil && r.State == signer.Created:
		rt.Fatalf("request %s took digests in state %s", o.id, r.State)
	case err == nil:
		o.digests = all
	}
}

// page is what the person's browser shows; partners that are down or a clock that is wrong may keep it from changing.
func (m *model) page(rt *rapid.T, o *ordered) *signer.Page {
	p, err := m.w.front.Page(context.Background(), o.token)
	if err != nil {
		rt.Fatalf("page of %s: %v", o.id, err)
	}
	return p
}

// look opens the page and does what it offers short of going to itsme.
func (m *model) look(rt *rapid.T) {
	o := m.one(rt)
	if o == nil {
		return
	}
	if m.page(rt, o).Step == signer.StepTerms {
		m.told(rt, m.w.front.AcceptTerms(context.Background(), o.token, terms, "en"))
	}
}

// goOn is an honest person: he does what his page offers, and brings itsme's answer at once.
func (m *model) goOn(rt *rapid.T) {
	o := m.one(rt)
	if o == nil {
		return
	}
	p := m.page(rt, o)
	switch p.Step {
	case signer.StepTerms:
		m.told(rt, m.w.front.AcceptTerms(context.Background(), o.token, terms, "en"))
	case signer.StepIdentify, signer.StepConsent, signer.StepConfirm:
		if a, ok := m.ask(rt, o, p, o.person, ""); ok {
			m.carry(rt, a)
		}
	case signer.StepWait:
		if p.Notice != nil && p.Notice.Code == signer.ErrAwaited.Code {
			m.sendTo(rt, o) // his client prepares meanwhile
		}
	case signer.StepDone, signer.StepFailed, signer.StepRefused, signer.StepExpired:
		if p.Step == signer.StepDone && p.Request.Format == signer.PAdES && !p.Request.Hashes {
			m.done = o.id
		}
		m.open = slices.DeleteFunc(m.open, func(other *ordered) bool { return other == o })
	}
}

// told accepts only errors that are meant for the outside.
func (m *model) told(rt *rapid.T, err error) {
	var e *signer.Error
	if err != nil && !errors.As(err, &e) {
		rt.Fatalf("an error that is not for the outside: %v", err)
	}
}

// answer goes to itsme from a page that offers it. The answer goes into the pocket: whoever holds the browser brings it
// when he likes.
func (m *model) answer(rt *rapid.T, who, defect string) {
	o := m.one(rt)
	if o == nil {
		return
	}
	p := m.page(rt, o)
	if p.Link == "" || p.Step != signer.StepIdentify && p.Step != signer.StepConsent && p.Step != signer.StepConfirm {
		return
	}
	if who == "" {
		who = o.person
	}
	if a, ok := m.ask(rt, o, p, who, defect); ok {
		m.pocket = append(m.pocket, a)
	}
}

// ask has somebody answer the question of a page at itsme, and remembers what he said.
func (m *model) ask(rt *rapid.T, o *ordered, p *signer.Page, who, defect string) (answer, bool) {
	a, ok := m.atItsme(rt, p.Link, who, defect)
	if !ok {
		return a, false
	}
	if m.asked[a.state] == nil {
		m.asked[a.state] = &asked{request: o.id, kind: p.Step, sam: m.lives}
	}
	m.asked[a.state].note("life %d: %s at itsme, defect %q: code %.4s error %q", m.lives, who, defect, a.code, a.err)
	if _, known := m.said[a.code]; a.code != "" && !known { // itsme answers a link once; then it says the same again
		// Whoever identifies is not known before: there no sub is wrong.
		honest := defect == "" || defect == sandbox.DefectWrongSub && p.Step == signer.StepIdentify
		m.said[a.code] = said{state: a.state, who: who, honest: honest}
	}
	return a, true
}

// atItsme is world.atItsme for people who may be refused there.
func (m *model) atItsme(rt *rapid.T, link, who, defect string) (answer, bool) {
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 20 * time.Second}
	res, err := hc.Get(link + "&sandbox_auto=1&sandbox_person=" + url.QueryEscape(who) + "&sandbox_defect=" + url.QueryEscape(defect))
	if err != nil {
		rt.Fatalf("itsme: %v", err)
	}
	_ = res.Body.Close()
	u, err := res.Location()
	if err != nil {
		return answer{}, false // itsme shows a page: the request has expired there
	}
	q := u.Query()
	return answer{q.Get("state"), q.Get("code"), q.Get("error")}, true
}

// bring carries an answer to the front.
func (m *model) bring(rt *rapid.T) {
	if len(m.pocket) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.pocket)-1).Draw(rt, "answer")
	a := m.pocket[i]
	m.pocket = slices.Delete(m.pocket, i, i+1)
	m.carry(rt, a)
}

func (m *model) carry(rt *rapid.T, a answer) {
	m.brought = append(m.brought, a)
	m.heard(a)
	_, err := m.w.front.Callback(context.Background(), a.state, a.code, a.err)
	m.told(rt, err)
}

// heard: the sam may take this answer now.
func (m *model) heard(a answer) {
	q, s := m.asked[a.state], m.said[a.code]
	if q != nil {
		q.note("life %d: code %.4s error %q is brought", m.lives, a.code, a.err)
	}
	if q != nil && q.sam == m.lives && s.honest && s.state == a.state {
		q.answered, q.yes = s.who, true
	}
}

// swap brings the code of one answer with the state of another: parallel enrolments and confirmations.
func (m *model) swap(rt *rapid.T) {
	if len(m.pocket) < 2 {
		return
	}
	i := rapid.IntRange(0, len(m.pocket)-2).Draw(rt, "first")
	a, b := m.pocket[i], m.pocket[i+1]
	m.pocket = slices.Delete(m.pocket, i, i+2)
	for _, x := range []struct{ state, code answer }{{a, b}, {b, a}} {
		m.carry(rt, answer{x.state.state, x.code.code, x.code.err})
	}
}

// replay brings an answer once more.
func (m *model) replay(rt *rapid.T) {
	if len(m.brought) == 0 {
		return
	}
	a := m.brought[rapid.IntRange(max(0, len(m.brought)-10), len(m.brought)-1).Draw(rt, "answer")]
	m.heard(a)
	_, err := m.w.front.Callback(context.Background(), a.state, a.code, a.err)
	m.told(rt, err)
}

func (m *model) decline(rt *rapid.T) {
	o := m.one(rt)
	if o == nil {
		return
	}
	err := m.w.front.Decline(context.Background(), o.token)
	m.told(rt, err)
	if err != nil {
		return
	}
	o.declined = !slices.ContainsFunc(slices.Collect(mapsValues(m.asked)), func(q *asked) bool {
		return q.request == o.id && q.kind == signer.StepConfirm && q.yes
	})
}

func mapsValues(all map[string]*asked) func(func(*asked) bool) {
	return func(yield func(*asked) bool) {
		for _, q := range all {
			if !yield(q) {
				return
			}
		}
	}
}

func (m *model) again(rt *rapid.T) {
	if o := m.one(rt); o != nil {
		m.told(rt, m.w.front.Again(context.Background(), o.token))
	}
}

func (m *model) restartSAM(rt *rapid.T) {
	if m.backward {
		m.clockBack(rt) // it would rightly not start
	}
	m.lives++
	m.w.restartSAM()
}

// outage takes a partner of step 7 away, or gives it back.
func (m *model) outage(rt *rapid.T) {
	switch name := rapid.SampledFrom([]string{"tsa", "ocsp", "crl"}).Draw(rt, "partner"); name {
	case "tsa":
		m.w.tsa.mu.Lock()
		defer m.w.tsa.mu.Unlock()
		m.w.tsa.down = !m.w.tsa.down
	default:
		m.w.net.set(name, !m.w.net.isDown(name))
	}
}

func (m *model) restartFront(*rapid.T) { m.w.restartFront() }

func (m *model) clockOn(rt *rapid.T) {
	m.w.sleep(time.Duration(rapid.IntRange(1, 200).Draw(rt, "seconds")) * time.Second)
}

// clockBack puts everybody's clock back, and the next time right again.
func (m *model) clockBack(*rapid.T) {
	d := -10 * time.Minute
	if m.backward {
		d = -d
	}
	m.backward = !m.backward
	m.w.sleep(d)
}

// check holds what the oracle saw against the model.
func (m *model) check(rt *rapid.T) {
	if err := m.judge(); err != nil {
		rt.Fatal(err)
	}
}

func (m *model) judge() error {
	events, err := shim.ReadOracle(m.oracle)
	if err != nil {
		return err
	}
	for ; m.events < len(events); m.events++ {
		e := events[m.events]
		if e.When != "before" || e.Function != "C_Sign" || !strings.HasPrefix(e.Key, "blob:") || (shim.Signature{Event: e}).Canary() {
			continue
		}
		digest := hex.EncodeToString(e.Data)
		if m.signed[digest] {
			return fmt.Errorf("the digest %s was signed twice", digest)
		}
		m.signed[digest] = true
		if err := m.permitted(e.Data); err != nil {
			m.events++ // told once: rapid goes on to look for a shorter way
			return err
		}
	}
	return nil
}

// permitted finds the question that a signed digest belongs to and asks the model.
func (m *model) permitted(digest []byte) error {
	d, err := sql.Open("sqlite", "file:"+m.w.path("sam.db")+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	// Of a longer digest the key sees the leftmost bits: 240 of them, which are whole characters of base64, name it.
	name := base64.RawURLEncoding.EncodeToString(digest[:30])
	var questions, intents int
	err = d.QueryRow(`SELECT (SELECT COUNT(*) FROM questions WHERE kind = 'sign' AND instr(manifest, ?) > 0),
		(SELECT COUNT(*) FROM audit WHERE kind = 'key.intent' AND instr(detail, ?) > 0)`, name, name).Scan(&questions, &intents)
	switch {
	case err != nil:
		return err
	case questions == 0:
		return m.possession(d)
	case intents != 1:
		return fmt.Errorf("a document was signed with %d intents in the record", intents)
	}
	var manifest []byte
	var state string
	err = d.QueryRow(`SELECT q.manifest, q.state FROM questions q JOIN audit a ON a.subject = q.nonce
		WHERE a.kind = 'key.intent' AND instr(a.detail, ?) > 0 AND instr(q.manifest, ?) > 0`, name, name).Scan(&manifest, &state)
	if err != nil {
		return fmt.Errorf("the question of an intent: %w", err)
	}
	m.uses++
	q := m.asked[state]
	if q == nil || !q.yes {
		return fmt.Errorf("a document was signed to which nobody had said yes: %+v", q)
	}
	return m.ownersWill(d, q, manifest)
}

// possession counts the digests that are of no document: certificate requests, one for each key that was made.
func (m *model) possession(d *sql.DB) error {
	var made int
	if err := d.QueryRow("SELECT COUNT(*) FROM audit WHERE kind = 'key.generate'").Scan(&made); err != nil {
		return err
	}
	if m.csrs++; m.csrs > made {
		return fmt.Errorf("%d digests of no question were signed, %d keys were made", m.csrs, made)
	}
	return nil
}

// ownersWill: the key's owner is who identified and who consented when the key was certified, and he is who said yes now.
func (m *model) ownersWill(d *sql.DB, q *asked, manifest []byte) error {
	var man struct {
		Op   string `json:"op"`
		Cred struct {
			ID string `json:"id"`
		} `json:"cred"`
	}
	if err := json.Unmarshal(manifest, &man); err != nil {
		return err
	}
	var ident, consented string
	err := d.QueryRow(`SELECT a.state, b.state FROM enrolments e JOIN questions a ON a.nonce = e.ident_nonce JOIN questions b ON b.nonce = e.consent_nonce
		WHERE e.credential = ? AND e.step = 'done'`, man.Cred.ID).Scan(&ident, &consented)
	if err != nil {
		return fmt.Errorf("the enrolment of %s: %w", man.Cred.ID, err)
	}
	a, b := m.asked[ident], m.asked[consented]
	switch {
	case a == nil || b == nil || !a.yes || !b.yes:
		return fmt.Errorf("a key was certified without both confirmations: %+v %+v", a, b)
	case a.answered != b.answered:
		return fmt.Errorf("a key was certified for two people: %s and %s", a.answered, b.answered)
	case q.answered != a.answered:
		return fmt.Errorf("%s said yes to the use of the key of %s", q.answered, a.answered)
	case man.Op != consent.OpSign:
		return fmt.Errorf("a key was used for %q", man.Op)
	}
	for _, o := range m.requests {
		if o.id == q.request && o.declined {
			return fmt.Errorf("request %s was declined before anybody had said yes, and was signed", o.id)
		}
	}
	return nil
}

// end puts the clock right, lets everything expire and looks at what became of each request: each has ended, and the
// record is whole.
func (m *model) end(t *testing.T) {
	if m.backward {
		m.w.sleep(10 * time.Minute)
		m.backward = false
	}
	m.w.tsa.heal()
	m.w.net.set("ocsp", false)
	m.w.net.set("crl", false)
	m.w.sleep(2 * time.Minute)
	m.w.restartFront()
	time.Sleep(5 * time.Second) // what waited for a partner is finished
	m.w.sleep(40 * 24 * time.Hour)
	m.w.restartSAM()
	m.w.restartFront()
	states, reached := map[signer.State]int{}, map[string]int{}
	for _, o := range m.requests {
		r := m.wait(t, o.id)
		states[r.State]++
		for n, d := range r.Documents {
			if want := map[bool]string{true: r.Level}[r.State == signer.Finished]; d.Level != want {
				t.Errorf("%s is %s, document %d has level %q, ordered %s", o.id, r.State, n+1, d.Level, r.Level)
			}
		}
		for n, d := range r.Documents {
			if o.digests != nil && d.Digest != hex.EncodeToString(o.digests[n].Digest) {
				t.Errorf("%s, document %d: digest %s, sent %x", o.id, n+1, d.Digest, o.digests[n].Digest)
			}
		}
		if r.State == signer.Finished {
			reached[r.Format+" "+r.Level]++
		}
		if r.State == signer.Finished && o.declined {
			t.Errorf("%s was declined and is finished", o.id)
		}
	}
	if err := m.judge(); err != nil {
		t.Error(err)
	}
	t.Logf("model: the requests ended as %v; reached %v", states, reached)
	later := slices.ContainsFunc(m.requests, func(o *ordered) bool { return o.digests != nil })
	if states[signer.Finished] == 0 || !later {
		t.Error("no request was finished, or none had its digests later")
	}
}

func (m *model) wait(t *testing.T, id string) *signer.Request {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := m.w.front.Get(t.Context(), "acme", id)
		if err != nil {
			t.Fatal(err)
		}
		if r.State.End() {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("request %s stands at %s: %v", id, r.State, r.Notice)
		}
	}
}
