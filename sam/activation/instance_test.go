package activation_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/ca"
	"tekend/db/dbtest"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

// rounds is how often a test of chances repeats: TEKEND_ROUNDS, which `make test` sets to some hundreds and
// `make race` to thousands.
func rounds(t *testing.T, sample int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("TEKEND_ROUNDS"))
	if err != nil {
		return sample
	}
	return n
}

// shared is a world on a PostgreSQL database; its own role is instance a.
func shared(t *testing.T) *world {
	t.Helper()
	source := dbtest.Postgres(t)
	return newWorld(t, func(c *activation.Config) { c.DB = source })
}

// another starts one more process on the world's database: same keys, own sockets.
func (w *world) another(instance, source string) (role *activation.Role, socket string) {
	w.t.Helper()
	cfg := w.cfg
	cfg.Instance, cfg.DB = instance, source
	role = got(activation.New(context.Background(), cfg, activation.Dependencies{Token: w.token}))(w.t)
	name := instance + "-" + strconv.Itoa(int(txns.Add(1))) + ".sock"
	stop := w.listen(name, role.Handler())
	w.t.Cleanup(sync.OnceFunc(func() { stop(); _ = role.Close() }))
	return role, w.path(name)
}

func (w *world) client(sockets ...string) *sam.Client {
	return sam.NewClient(sockets[0], 30*time.Second, sockets[1:]...)
}

// isElsewhere: retryable, 421, and without any trace.
func (w *world) isElsewhere(err error) {
	w.t.Helper()
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Code != sam.CodeElsewhere || !e.Retryable || e.Status != 421 {
		w.t.Errorf("not elsewhere: %v", err)
	}
}

// Only who asked a question takes its answer and uses the key for it; what came of it everybody hands out.
func TestAnotherInstanceDoesNothingWithAQuestion(t *testing.T) {
	w := shared(t)
	cred := w.enrol("approve")
	_, socket := w.another("b", w.cfg.DB)
	a, b, ba := w.front, w.client(socket), w.client(socket, w.socket)
	docs := documents(t, cred, 1)
	p := w.prepare(cred, docs)
	answer := w.at(p.AuthorizationURL, "")
	before, hits := len(w.rows()), w.hits.Load()

	_, err := b.Authorize(t.Context(), p.Nonce, answer)
	w.isElsewhere(err)
	if st := got(b.Confirmation(t.Context(), p.Nonce))(t); st.State != sam.StatePrepared || st.Reason != "" {
		t.Errorf("the other instance sees %+v", st)
	}
	if len(w.rows()) != before || w.hits.Load() != hits {
		t.Errorf("%d rows and %d exchanges for nothing", len(w.rows())-before, w.hits.Load()-hits)
	}
	s := got(ba.Authorize(t.Context(), p.Nonce, answer))(t)
	req := sam.SignRequest{Session: s.ID, Positions: []int{0}}
	_, err = b.Sign(t.Context(), p.Nonce, req)
	w.isElsewhere(err)
	checkValues(t, cred, docs, got(ba.Sign(t.Context(), p.Nonce, req))(t).Values)
	// What is stored may be had from each.
	if again := got(b.Authorize(t.Context(), p.Nonce, answer))(t); !reflect.DeepEqual(again, s) {
		t.Errorf("another session: %+v", again)
	}
	checkValues(t, cred, docs, got(b.Sign(t.Context(), p.Nonce, req))(t).Values)
	checkValues(t, cred, docs, got(a.Sign(t.Context(), p.Nonce, req))(t).Values)
	if w.uses() != 2 {
		t.Errorf("%d uses", w.uses())
	}
}

// An enrolment goes on at the instance that asked; its last step, which needs no question, at any, and once.
func TestEnrolmentAcrossInstances(t *testing.T) {
	w := shared(t)
	_, socket := w.another("b", w.cfg.DB)
	b, ba := w.client(socket), w.client(socket, w.socket)
	st := w.apply()
	answer := w.at(st.AuthorizationURL, "approve")
	_, err := b.Identification(t.Context(), st.ID, answer)
	w.isElsewhere(err)
	if there := got(b.Enrolment(t.Context(), st.ID))(t); there.Step != sam.StepIdentify || there.AuthorizationURL != st.AuthorizationURL {
		t.Errorf("the other instance sees %+v", there)
	}
	st = got(ba.Identification(t.Context(), st.ID, answer))(t)
	st = got(ba.Consent(t.Context(), st.ID, w.at(st.AuthorizationURL, "approve")))(t)
	issued := got(w.ca.Issue(t.Context(), ca.IssueRequest(*st.Order)))(t)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			c := []*sam.Client{w.front, b}[i%2]
			for {
				last, err := c.Certificate(t.Context(), st.ID, issued.Chain)
				if code(err) == sam.CodeElsewhere {
					continue
				}
				if err != nil || last.Step != sam.StepDone {
					t.Errorf("%+v %v", last, err)
				}
				return
			}
		})
	}
	all.Wait()
	if n := w.count("credential.linked"); n != 1 {
		t.Errorf("%d credentials for one enrolment", n)
	}
}

// A second process with the name of the first replaces it: the first does nothing any more.
func TestReplacedProcessDoesNothing(t *testing.T) {
	w := shared(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 1)
	docs := documents(t, cred, 1)
	p := w.prepare(cred, docs)
	answer := w.at(p.AuthorizationURL, "")
	used, hits := w.uses(), w.hits.Load()
	_, socket := w.another("a", w.cfg.DB)
	newer := w.client(socket)

	_, err := w.front.Sign(t.Context(), c.Nonce, c.request(0))
	if code(err) != sam.CodeElsewhere {
		t.Errorf("sign: %v", err)
	}
	_, err = w.front.Authorize(t.Context(), p.Nonce, answer)
	if code(err) != sam.CodeElsewhere {
		t.Errorf("authorize: %v", err)
	}
	_, err = w.front.Prepare(t.Context(), order(cred, docs))
	if code(err) != sam.CodeElsewhere {
		t.Errorf("prepare: %v", err)
	}
	_, err = w.front.Enrol(t.Context(), sam.EnrolRequest{V: 1, Txn: txn(), Language: "nl", TermsVersion: terms, TermsSHA256: termsDigest()})
	if code(err) != sam.CodeElsewhere {
		t.Errorf("enrol: %v", err)
	}
	if _, err = newer.Sign(t.Context(), c.Nonce, c.request(0)); code(err) != sam.CodeBeforeStart {
		t.Errorf("sign at the newer: %v", err)
	}
	if _, err = newer.Authorize(t.Context(), p.Nonce, answer); code(err) != sam.CodeBeforeStart {
		t.Errorf("authorize at the newer: %v", err)
	}
	if w.uses() != used || w.hits.Load() != hits {
		t.Errorf("%d uses, %d exchanges", w.uses()-used, w.hits.Load()-hits)
	}
}

// A process stands still between burning and using (reliability F39), and a newer one settles what it burnt. After a
// second it asks who it is, and does not use the key; before, it uses it once, and the value never leaves.
func TestProcessThatStoodStill(t *testing.T) {
	for name, tc := range map[string]struct {
		still time.Duration
		uses  int
		asked string
		code  string
	}{
		"longer than a second": {2 * time.Second, 0, "false", sam.CodeElsewhere},
		"the clock set back":   {-2 * time.Second, 0, "false", sam.CodeElsewhere},
		"for a moment":         {0, 1, "true", sam.CodeBurnt},
	} {
		t.Run(name, func(t *testing.T) {
			source := dbtest.Postgres(t)
			proxy := dbtest.NewProxy(t, source)
			w := newWorld(t, func(c *activation.Config) { c.DB = proxy.URL })
			cred := w.enrol("approve")
			c := w.confirm(cred, 1)
			from := spySize(t)
			burnt := make(chan struct{})
			proxy.Decide(func(statements []string) dbtest.Fate {
				if !strings.Contains(strings.Join(statements, "\n"), "SET state = 'burnt'") {
					return dbtest.Arrives
				}
				close(burnt)
				return dbtest.Lingers
			})
			ended := make(chan error)
			go func() {
				_, err := w.front.Sign(context.Background(), c.Nonce, c.request(0))
				ended <- err
			}()
			<-burnt
			for w.count("key.intent") == 0 { // the server has it, the process does not know yet
				time.Sleep(time.Millisecond)
			}
			_, socket := w.another("a", source)
			if st := got(w.client(socket).Confirmation(t.Context(), c.Nonce))(t); st.Positions[0].State != sam.PositionUnknown {
				t.Errorf("after the start of the newer: %+v", st.Positions)
			}
			w.advance(tc.still)
			proxy.Release()
			if err := <-ended; code(err) != tc.code {
				t.Errorf("%v", err)
			}
			if n := spyUses(t, from); n != tc.uses {
				t.Errorf("%d uses", n)
			}
			late := 0
			for _, r := range w.rows() {
				if r.kind == "key.late" && r.subject == c.Nonce && r.detail["asked"] == tc.asked {
					late++
				}
			}
			if late != 1 || w.count("key.used") != 0 || w.count("key.unknown") != 1 {
				t.Errorf("key.late %d, key.used %d, key.unknown %d", late, w.count("key.used"), w.count("key.unknown"))
			}
			if _, err := w.client(socket).Sign(t.Context(), c.Nonce, c.request(0)); code(err) != sam.CodeBurnt {
				t.Errorf("sign at the newer: %v", err)
			}
		})
	}
}

// What an instance at work has burnt is its own; what one that is gone has burnt is settled by others.
func TestOnlyWhatIsLeftIsSettled(t *testing.T) {
	w := shared(t)
	cred := w.enrol("approve")
	b, socket := w.another("b", w.cfg.DB)
	docs := documents(t, cred, 1)
	at := w.client(socket)
	p := got(at.Prepare(t.Context(), order(cred, docs)))(t)
	s := got(at.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(t)
	asked := got(at.Prepare(t.Context(), order(cred, documents(t, cred, 2))))(t)
	w.exec("UPDATE positions SET state = 'burnt' WHERE nonce = ?", p.Nonce)
	w.exec("UPDATE questions SET status = 'exchanging', answer = 'x' WHERE nonce = ?", asked.Nonce)
	state := func() (position, question string) {
		w.sql(func(d *sql.DB) error {
			return errors.Join(d.QueryRow("SELECT state FROM positions WHERE nonce = ?", p.Nonce).Scan(&position),
				d.QueryRow("SELECT status FROM questions WHERE nonce = ?", asked.Nonce).Scan(&question))
		})
		return position, question
	}
	w.start()
	if p, q := state(); p != "burnt" || q != "exchanging" {
		t.Errorf("the other instance's position is %s, its question %s", p, q)
	}
	_, err := w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}})
	w.isElsewhere(err) // it may be at work with it
	must(t, b.Close())
	w.advance(21 * time.Minute)
	w.start()
	if p, q := state(); p != "unknown" || q != "expired" {
		t.Errorf("after the instance has gone: its position is %s, its question %s", p, q)
	}
}

// Of 64 callers at two instances with one confirmation the key is used once, in every round.
func TestManyCallersTwoInstances(t *testing.T) {
	w := shared(t)
	cred := w.enrol("approve")
	_, socket := w.another("b", w.cfg.DB)
	fronts := []*sam.Client{w.client(w.socket, socket), w.client(socket, w.socket)}
	const callers = 64
	n := rounds(t, 40)
	var twice, none int
	begin := time.Now()
	for round := range n {
		docs := documents(t, cred, 1)
		p := got(fronts[round%2].Prepare(t.Context(), order(cred, docs)))(t)
		answer := w.at(p.AuthorizationURL, "")
		from := spySize(t)
		values := make([][]sam.Value, callers)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				front := fronts[i%2]
				s, err := front.Authorize(t.Context(), p.Nonce, answer)
				if err != nil {
					t.Errorf("round %d: authorize: %v", round, err)
					return
				}
				signed, err := front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}})
				if err != nil {
					t.Errorf("round %d: sign: %v", round, err)
					return
				}
				values[i] = signed.Values
			})
		}
		all.Wait()
		switch uses := spyUses(t, from); {
		case uses == 0:
			none++
		case uses > 1:
			twice++
		}
		for i := range callers {
			if !equalValues(values[i], values[0]) {
				t.Fatalf("round %d: caller %d got another value", round, i)
			}
		}
		checkValues(t, cred, docs, values[0])
		if t.Failed() {
			break
		}
	}
	t.Logf("%d callers x %d rounds on one confirmation each, two instances, PostgreSQL: key used twice %d, not at all %d (%.0f ms a round)",
		callers, n, twice, none, float64(time.Since(begin).Milliseconds())/float64(n))
	if twice != 0 || none != 0 || w.count("key.used") != n || w.count("confirmation.authorized") != n {
		t.Errorf("%d uses and %d confirmations in the audit", w.count("key.used"), w.count("confirmation.authorized"))
	}
}

// The reply to COMMIT is lost when a position is burnt, and when its value is stored (reliability §8 no. 12):
// never two uses for one position, and no value is lost.
func TestLostReplyOfCommitAtBurnAndStore(t *testing.T) {
	proxy := dbtest.NewProxy(t, dbtest.Postgres(t))
	w := newWorld(t, func(c *activation.Config) { c.DB = proxy.URL })
	cred := w.enrol("approve")
	n := rounds(t, 24)
	var double, lost, burn, store int
	for i := range n {
		mark, hits := "SET state = 'burnt'", &burn
		if i%2 == 1 {
			mark, hits = "UPDATE positions SET state = $1, value", &store
		}
		fate := []dbtest.Fate{dbtest.LosesReply, dbtest.LosesReply, dbtest.Cut, dbtest.LosesRequest}[i/2%4]
		c := w.confirm(cred, 1)
		from := spySize(t)
		proxy.Decide(func(statements []string) dbtest.Fate {
			if strings.Contains(strings.Join(statements, "\n"), mark) {
				*hits++
				mark = "none any more"
				return fate
			}
			return dbtest.Arrives
		})
		signed, err := w.front.Sign(t.Context(), c.Nonce, c.request(0))
		if err != nil { // known not to be burnt: the same call again
			signed, err = w.front.Sign(t.Context(), c.Nonce, c.request(0))
		}
		switch uses := spyUses(t, from); {
		case uses > 1:
			double++
		case uses == 0 || err != nil || len(signed.Values) != 1:
			lost++
			t.Errorf("round %d: %d uses, %v", i, uses, err)
		default:
			checkValues(t, cred, c.docs, signed.Values)
		}
	}
	t.Logf("replies of COMMIT lost: %d at the burning, %d at the storing: double %d, lost %d", burn, store, double, lost)
	if double != 0 || lost != 0 || burn+store != n {
		t.Errorf("double %d, lost %d, %d of %d replies were lost", double, lost, burn+store, n)
	}
}

// TestABlockIsForEveryInstance: one instance revokes; another one, which holds a confirmed session, signs nothing with it
// any more, and whichever reconciler is first finishes the revocation, once.
func TestABlockIsForEveryInstance(t *testing.T) {
	w := shared(t)
	cred := w.enrol("approve")
	_, socket := w.another("b", w.cfg.DB)
	a, b := w.front, w.client(socket)
	w.front = b
	c := w.confirm(cred, 1)
	w.front = a
	w.confirmRevocation(cred)
	_, err := b.Sign(t.Context(), c.Nonce, c.request(0))
	w.refused(err, sam.CodeCertificateNotGood)
	w.soonDestroyed(cred)
	if st := got(b.Credential(t.Context(), cred.ID))(t); st.State != sam.CredentialDestroyed {
		t.Errorf("the other instance sees %s", st.State)
	}
	for _, kind := range []string{"credential.revoked", "revocation.published", "key.destroyed"} {
		if n := w.count(kind); n != 1 {
			t.Errorf("%d rows of %s", n, kind)
		}
	}
}
