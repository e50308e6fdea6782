//go:build sweep && linux && amd64

package sweep_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/hsm/hsmtest/shim"
	"tekend/interop/sandboxtest"
	"tekend/interop/sweep/ptrace"
)

// The sweep over system calls (reliability §8 no. 2). A point is one system call of one role between the person's
// approval and the end of the request (Authorize, Sign and Finish run in that time), with one fault: the process is
// killed before the call, or the call fails with EIO or ENOSPC. Each point has an order of its own, made up to the
// question to the person before the fault is set; afterwards the person goes on as people do, and then
//
//	the request has ended: finished, or failed for a stated reason;
//	the next order of the same person works, with nobody's help but the supervisor's;
//	oracle, audit, values and the front's database agree (world.check), all databases are whole.
//
// TEKEND_SWEEP=full sweeps everything ("make sweep"); TEKEND_MOST is then how many points of one role and fault there are
// at most, evenly spread. Otherwise a sample is drawn by TEKEND_SEED, which is the day without it. TEKEND_ROLES,
// TEKEND_FAULTS and TEKEND_POINT repeat a part: "sam,front", "kill,EIO", "417".

// sweptRoles take part in a signature, with their share of a hundred points of the sample.
var sweptRoles = []struct {
	role  string
	share int
}{{"sam", 40}, {"front", 30}, {"ca", 15}, {"tsa", 15}}

const (
	// sampleSize is how many points `make test` has, of all faults together.
	sampleSize = 90
	// leastOf is how many points of one fault the full sweep has, in all roles: where there are fewer calls they are
	// gone through again, over databases that have grown meanwhile.
	leastOf = 560
	// comparedEvery is after how many points all witnesses are compared: all that they ever saw is read again.
	comparedEvery = 50
	// sweptPerson has been enrolled before the first point.
	sweptPerson = "approve"
	// endsWithin is when a request whose person goes on must have ended; longer is called stuck.
	endsWithin = 40 * time.Second
)

// point is one fault at one call.
type point struct {
	role  string
	fault ptrace.Fault
	n     int
}

func (p point) String() string { return fmt.Sprintf("%s %v at %d", p.role, p.fault, p.n) }

// line is a line of the table.
type line struct {
	role                   string
	fault                  ptrace.Fault
	calls                  int // points that the profile saw
	points, reached        int
	ended                  map[string]int // how the requests of the points ended
	tokens                 int            // tokens that SoftHSM lost
	twice, unlogged        int
	lost, stuck, otherwise int
}

// sweeper goes from point to point in one sandbox.
type sweeper struct {
	*sandboxtest.Sandbox
	flow  *sandboxtest.Flow
	k     *killer
	n     int
	lines map[string]*line
	of    map[string]point  // request → its point
	what  map[string]string // request → the call that was hit
	said  map[string]bool   // violations told already
}

func TestEachSystemCall(t *testing.T) {
	start := time.Now()
	full := os.Getenv("TEKEND_SWEEP") == "full"
	year, month, day := start.Date()
	seed := number(t, "TEKEND_SEED", uint64(year*10000+int(month)*100+day))
	s := newSweeper(t)
	points := s.plan(t, full, seed)
	t.Logf("%d points, full %v, TEKEND_SEED=%d, planned after %.0f s", len(points), full, seed, time.Since(start).Seconds())
	for i, p := range points {
		s.hit(t, p)
		if (i+1)%comparedEvery == 0 {
			s.compare(t)
			t.Logf("%d points after %.0f s", i+1, time.Since(start).Seconds())
		}
	}
	s.compare(t)
	s.end(t)
	s.print(t, len(points), time.Since(start))
}

func newSweeper(t *testing.T) *sweeper {
	t.Helper()
	s := &sweeper{
		Sandbox: sandboxtest.Start(t, "--shim", shim.Build(t)),
		lines:   map[string]*line{}, of: map[string]point{}, what: map[string]string{}, said: map[string]bool{},
	}
	keep(t, s.Sandbox)
	s.flow, s.k = s.Flow(t), newKiller(t, s.Sandbox)
	s.wholeOrder(t) // enrols
	return s
}

// plan profiles each role and draws the points. The order is mixed, so that no role is tried only on an old database.
func (s *sweeper) plan(t *testing.T, full bool, seed uint64) []point {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	seen := map[string]map[ptrace.Fault]int{}
	for _, role := range sweptRoles {
		seen[role.role] = s.profile(t, role.role)
	}
	var all []point
	for _, fault := range ptrace.Faults {
		var drawn []point
		for round := 0; round == 0 || full && len(drawn) < leastOf; round++ {
			var once []point
			for _, role := range sweptRoles {
				l := &line{role: role.role, fault: fault, calls: seen[role.role][fault], ended: map[string]int{}}
				s.lines[role.role+fault.String()] = l
				count := min(l.calls, max(1, sampleSize*role.share/100/len(ptrace.Faults)))
				if full {
					count = min(l.calls, int(number(t, "TEKEND_MOST", math.MaxInt)))
				}
				if wanted("TEKEND_ROLES", l.role) && wanted("TEKEND_FAULTS", fault.String()) {
					once = append(once, spread(t, l, count, r)...)
				}
			}
			if round > 0 { // a part of it will do
				r.Shuffle(len(once), func(i, j int) { once[i], once[j] = once[j], once[i] })
				once = once[:min(len(once), leastOf-len(drawn))]
			}
			drawn = append(drawn, once...)
			if len(once) == 0 {
				break
			}
		}
		all = append(all, drawn...)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// spread draws one point in each of count equal parts of the calls.
func spread(t *testing.T, l *line, count int, r *rand.Rand) (all []point) {
	t.Helper()
	if one := int(number(t, "TEKEND_POINT", 0)); one > 0 {
		return []point{{l.role, l.fault, one}}
	}
	for i := range count {
		from, to := l.calls*i/count, l.calls*(i+1)/count
		all = append(all, point{l.role, l.fault, 1 + from + r.IntN(to-from)})
	}
	return all
}

func wanted(variable, name string) bool {
	list := os.Getenv(variable)
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

// profile counts the role's calls in an order to which nothing happens: the least of three, so that nearly every
// point will be reached.
func (s *sweeper) profile(t *testing.T, role string) map[ptrace.Fault]int {
	t.Helper()
	least := map[ptrace.Fault]int{}
	for i := range 3 {
		r, back := s.atCallback(t)
		tr := s.attach(t, role)
		tr.Open(ptrace.Plan{Record: true})
		if step := s.approve(t.Context(), r, back); step != "done" {
			t.Fatalf("profile of %s: the page says %s", role, step)
		}
		report := s.detach(t, tr)
		now := map[ptrace.Fault]int{ptrace.Kill: report.Calls}
		names := map[string]int{}
		for _, c := range report.Record {
			names[c.Name]++
			if c.EIO {
				now[ptrace.EIO]++
			}
			if c.ENOSPC {
				now[ptrace.ENOSPC]++
			}
		}
		for f, n := range now {
			if i == 0 || n < least[f] {
				least[f] = n
			}
		}
		if i == 0 {
			t.Logf("profile of %s: %d calls, EIO %d, ENOSPC %d: %s", role, report.Calls, now[ptrace.EIO], now[ptrace.ENOSPC], list(names))
		}
	}
	return least
}

// attach takes hold of the role. The calls in which its threads wait are entered again within a moment and shall not be
// counted.
func (s *sweeper) attach(t *testing.T, role string) *ptrace.Tracer {
	t.Helper()
	tr, err := ptrace.Attach(s.pid(t, role))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Millisecond)
	return tr
}

func (s *sweeper) pid(t *testing.T, role string) int {
	t.Helper()
	pid, err := s.k.pid(t.Context(), role, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func (s *sweeper) detach(t *testing.T, tr *ptrace.Tracer) ptrace.Report {
	t.Helper()
	r, err := tr.Detach()
	if err != nil {
		t.Errorf("ptrace: %v", err)
	}
	return r
}

// atCallback makes an order of two documents, so that a fault may fall between two uses of the key, and stops where itsme sends the browser back.
func (s *sweeper) atCallback(t *testing.T) (sandboxtest.Request, string) {
	t.Helper()
	s.n++
	ctx, cancel := context.WithTimeout(t.Context(), endsWithin)
	defer cancel()
	var last error
	for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		r, err := orderOf(ctx, s.flow, "calls-"+sweptPerson, kinds[1], [][]byte{smallPDF(fmt.Sprintf("order %d, first", s.n)), smallPDF(fmt.Sprintf("order %d, second", s.n))})
		if err != nil {
			last = err
			continue
		}
		for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			p, err := s.flow.Page(ctx, r.SigningURL)
			if err != nil || p.Step != "confirm" {
				last = cmp.Or(err, errors.New("the page says "+p.Step))
				if err == nil && p.Step != "wait" && p.Step != "confirm" {
					_, last = s.flow.Step(ctx, r.SigningURL, sweptPerson) // an enrolment
				}
				continue
			}
			back, err := s.flow.AtItsme(ctx, p.Link, sweptPerson)
			if err == nil {
				return r, back
			}
			last = err
		}
	}
	t.Fatalf("no order came to its question: %v", last)
	return sandboxtest.Request{}, ""
}

// approve brings the person back from itsme and lets him go on until the page has come to an end.
func (s *sweeper) approve(ctx context.Context, r sandboxtest.Request, back string) string {
	ctx, cancel := context.WithTimeout(ctx, endsWithin)
	defer cancel()
	deliver(ctx, s.flow, back)
	return walk(ctx, s.flow, r.SigningURL, sweptPerson)
}

// wholeOrder is one to which nothing happens: it must be finished.
func (s *sweeper) wholeOrder(t *testing.T) sandboxtest.Request {
	t.Helper()
	r, back := s.atCallback(t)
	if step := s.approve(t.Context(), r, back); step != "done" {
		t.Errorf("an order without a fault came to %s", step)
	}
	return r
}

// hit tries one point.
func (s *sweeper) hit(t *testing.T, p point) {
	t.Helper()
	l := s.lines[p.role+p.fault.String()]
	l.points++
	r, back := s.atCallback(t)
	s.of[r.ID] = p
	tr := s.attach(t, p.role)
	tr.Open(ptrace.Plan{Fault: p.fault, N: p.n})
	ended := make(chan string, 1)
	go func() { ended <- s.approve(t.Context(), r, back) }()
	step := ""
	select {
	case <-tr.Hit():
	case <-tr.Done(): // it ended by itself
	case step = <-ended:
	}
	report := s.detach(t, tr)
	if step == "" {
		step = <-ended
	}
	if report.Hit == nil {
		l.ended["not reached"]++
	} else {
		l.reached++
		s.what[r.ID] = report.Hit.String()
		l.ended[s.state(t, r)]++
	}
	lost := list(s.k.restores)
	if err := s.k.wait(t.Context(), p.role, 0); err != nil { // puts a lost token back
		t.Fatalf("%v (%v): %v", p, s.what[r.ID], err)
	}
	if now := list(s.k.restores); now != lost {
		l.tokens++
		t.Logf("%v (%v): SoftHSM lost a token; put back: %s", p, s.what[r.ID], now)
	}
	if !slices.Contains([]string{"done", "failed"}, step) {
		l.stuck++
		t.Errorf("%v (%v): request %s came only to %q", p, s.what[r.ID], r.ID, step)
	}
	began := time.Now()
	next := s.wholeOrder(t)
	s.of[next.ID], s.what[next.ID] = p, "the order after "+s.what[r.ID]
	if d := time.Since(began); d > 10*time.Second {
		t.Logf("%v (%v): the next order took %v", p, s.what[r.ID], d.Round(time.Millisecond))
	}
}

// state reads how the request ended, and why if it failed.
func (s *sweeper) state(t *testing.T, r sandboxtest.Request) string {
	t.Helper()
	db, err := openDB(filepath.Join(s.Dir, "front", "front.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	own := request{}
	var progress string
	err = db.QueryRow("SELECT state, progress FROM requests WHERE id = ?", r.ID).Scan(&own.state, &progress)
	if err = errors.Join(err, json.Unmarshal([]byte(progress), &own.progress)); err != nil {
		t.Errorf("request %s: %v", r.ID, err)
	}
	if own.progress.Failure != nil {
		return own.state + " " + own.progress.Failure.Code
	}
	return own.state
}

// compare holds the witnesses against each other; each violation is put to the account of its point.
func (s *sweeper) compare(t *testing.T) *figures {
	t.Helper()
	if open, err := settle(s.Dir, endsWithin); err != nil {
		t.Fatalf("not at rest: %v %v", open, err)
	}
	seen, err := readOracle(filepath.Join(s.Dir, "sam", "oracle.log"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := readTables(s.Dir, seen)
	if err != nil {
		t.Fatal(err)
	}
	f, wrong := w.check()
	for _, what := range wrong {
		if s.said[what] {
			continue
		}
		s.said[what] = true
		p, why := s.trace(w, what)
		t.Errorf("%v (%s): %s", p, why, what)
		if l := s.lines[p.role+p.fault.String()]; l != nil {
			l.blame(what)
		}
	}
	return &f
}

// trace finds the point of a violation by the request, nonce or digest that it names.
func (s *sweeper) trace(w *world, what string) (point, string) {
	for _, r := range w.requests {
		names := append([]string{r.id}, r.dtbs...)
		if r.progress.Session != nil {
			names = append(names, r.progress.Session.Nonce)
		}
		for _, name := range names {
			if name != "" && strings.Contains(what, name) {
				return s.of[r.id], s.what[r.id]
			}
		}
	}
	return point{}, "no request of the sweep"
}

// blame counts a violation in its column.
func (l *line) blame(what string) {
	switch {
	case strings.Contains(what, "C_Sign over the digest"), strings.Contains(what, "second position"):
		l.twice++
	case strings.Contains(what, "no position was burnt"), strings.Contains(what, "no request of the front"), strings.Contains(what, "never confirmed"):
		l.unlogged++
	case strings.Contains(what, "is lost"):
		l.lost++
	case strings.Contains(what, "is still"):
		l.stuck++
	default:
		l.otherwise++
	}
}

// end downloads and verifies every document, stops the sandbox, and looks whether databases and records are whole.
func (s *sweeper) end(t *testing.T) {
	t.Helper()
	t.Logf("%d documents downloaded, all TOTAL_PASSED", checkProducts(t, s.Sandbox, s.flow))
	s.Stop(t)
	for _, role := range sweptRoles {
		whole(t, filepath.Join(s.Dir, role.role, role.role+".db"))
		if role.role == "front" {
			continue
		}
		config := filepath.Join(s.Dir, role.role, role.role+".yaml")
		out, err := exec.Command(sandboxtest.Bin(t, "tekend-trusted"), "audit", "verify", "--config", config).CombinedOutput()
		if err != nil {
			t.Errorf("audit of %s: %v", role.role, err)
		}
		t.Logf("audit of %s: %s", role.role, out)
	}
}

// whole lets SQLite look at every page.
func whole(t *testing.T, path string) {
	t.Helper()
	db, err := openDB(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var said string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&said); err != nil || said != "ok" {
		t.Errorf("%s: %s %v", path, said, err)
	}
}

// print shows the table and fails when a promise was broken or the run proves nothing.
func (s *sweeper) print(t *testing.T, planned int, took time.Duration) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-6s %-7s %6s %6s %7s %6s %8s %5s %5s %6s  %s\n",
		"role", "fault", "calls", "points", "reached", "twice", "unlogged", "lost", "stuck", "others", "ended")
	byFault := map[ptrace.Fault]int{}
	reached := 0
	for _, role := range sweptRoles {
		for _, fault := range ptrace.Faults {
			l := s.lines[role.role+fault.String()]
			fmt.Fprintf(&b, "%-6s %-7v %6d %6d %7d %6d %8d %5d %5d %6d  %s; tokens lost by SoftHSM %d\n", l.role, l.fault, l.calls, l.points, l.reached,
				l.twice, l.unlogged, l.lost, l.stuck, l.otherwise, list(l.ended), l.tokens)
			byFault[fault] += l.reached
			reached += l.reached
			if l.points > 0 && l.reached == 0 {
				t.Errorf("no point of %s with %v was reached", l.role, l.fault)
			}
		}
	}
	fmt.Fprintf(&b, "reached %d of %d points (kill %d, EIO %d, ENOSPC %d), tokens put back: %s; %.0f s",
		reached, planned, byFault[ptrace.Kill], byFault[ptrace.EIO], byFault[ptrace.ENOSPC], list(s.k.restores), took.Seconds())
	t.Log(b.String())
	if reached*10 < planned*8 {
		t.Errorf("only %d of %d points were reached: the run proves too little", reached, planned)
	}
}
