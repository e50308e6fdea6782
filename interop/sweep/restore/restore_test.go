//go:build sweep

package restore

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"tekend/interop/sandboxtest"
	"tekend/wire"
)

var folders = []string{"sam", "sam-fence", "ca", "ca-fence", "tsa", "tsa-fence", "front"}

// TestRestores: a sandbox with two moments, "then" and "now", in copies. Each
// case puts some of "then" over "now" and starts the role beside a witness that
// knows "now".
func TestRestores(t *testing.T) {
	began := time.Now()
	w := newWorld(t)
	w.twoMoments()
	w.keep("now", folders...)
	witness := w.witness()
	unlocked, cases := 0, 0
	for _, role := range []string{"sam", "ca", "tsa"} {
		for name, c := range map[string]struct {
			put  []string
			says string
		}{
			"database":             {[]string{role + "/" + role + ".db*"}, "the database is older than the fence"},
			"token directory":      {[]string{role + "/tokens"}, "the token is older than the fence"},
			"database and fence":   {[]string{role + "/" + role + ".db*", role + "-fence"}, "the database is older than the witness"},
			"database and token":   {[]string{role + "/" + role + ".db*", role + "/tokens"}, "the token is older than the fence"},
			"everything it has":    {[]string{role, role + "-fence"}, "the database is older than the witness"},
			"everything but fence": {[]string{role}, "the database is older than the fence"},
		} {
			cases++
			w.put("now", role, role+"-fence")
			w.put("then", c.put...)
			if !w.isLocked(role, name, c.says) {
				unlocked++
			}
		}
		w.put("now", role, role+"-fence")
	}
	// A copy that was taken while the role ran, with its write-ahead log, and no copy at all.
	for name, c := range map[string]struct {
		do   func()
		says string
	}{
		"copied while it ran": {func() { w.put("running", "sam/sam.db*") }, "the database is older than the fence"},
		"an empty database":   {func() { w.put("none", "sam/sam.db*") }, "the database is older than the fence"},
		"no fence":            {func() { w.put("none", "sam-fence/fence.json") }, "there is no fence"},
	} {
		cases++
		w.put("now", "sam", "sam-fence")
		c.do()
		if !w.isLocked("sam", name, c.says) {
			unlocked++
		}
	}
	w.put("now", "sam", "sam-fence")
	// The other way round: nothing was put back, nothing is locked.
	for _, role := range []string{"sam", "ca", "tsa"} {
		p := w.role(role)
		w.open(p)
		w.stop(p)
	}
	w.stop(witness)
	cases++
	if !w.frontIsLocked() {
		unlocked++
	}
	fmt.Printf("restores: %d cases of databases, tokens, fences, whole roles and the front; started unlocked %d; %.0f s\n", cases, unlocked, time.Since(began).Seconds())
	if cases < 20 || unlocked > 0 {
		t.Errorf("%d cases, %d started unlocked", cases, unlocked)
	}
}

func newWorld(t *testing.T) *world {
	s := sandboxtest.Start(t)
	return &world{t: t, s: s, dir: s.Dir}
}

// twoMoments signs, copies everything, signs again, and leaves the sandbox
// stopped.
func (w *world) twoMoments() {
	w.sign("known")
	w.s.Stop(w.t)
	w.keep("then", folders...)
	w.s.Run(w.t)
	w.keep("running", "sam")
	w.sign("known")
	w.sign("other")
	w.s.Stop(w.t)
}

// sign has one document signed, all the way.
func (w *world) sign(reference string) {
	w.t.Helper()
	pdf, err := os.ReadFile(filepath.Join(sandboxtest.Root(w.t), "testdata", "pdf", "cairo-librsvg.pdf"))
	w.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	f := w.s.Flow(w.t)
	r, err := f.Create(ctx, reference, pdf)
	w.must(err)
	if step, err := f.Walk(ctx, r.SigningURL, "approve"); step != "done" {
		w.t.Fatalf("%s: %s %v", reference, step, err)
	}
}

// isLocked starts the role and wants it locked, for the reason says.
func (w *world) isLocked(role, name, says string) bool {
	w.t.Helper()
	p := w.role(role)
	defer w.stop(p)
	ready, reasons := w.health(p)
	code := w.act(role)
	if ready || !slices.Contains(reasons, says) || code != "locked" {
		w.t.Errorf("%s, %s: ready %t, reasons %q, an act is answered with %q", role, name, ready, reasons, code)
	}
	return code == "locked" && !ready
}

// open waits until the role may act.
func (w *world) open(p *process) {
	w.t.Helper()
	var code string
	for range 100 {
		w.health(p)
		if code = w.act(p.name); code != "unwitnessed" && !strings.Contains(code, "no witness") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if code == "locked" {
		_, reasons := w.health(p)
		w.t.Errorf("%s is locked: %q", p.name, reasons)
	}
}

// frontIsLocked puts the front's database back under a running sandbox.
func (w *world) frontIsLocked() bool {
	w.t.Helper()
	w.put("now", "front")
	w.put("then", "front/front.db*")
	blobs, err := os.ReadDir(w.path("front", "blobs"))
	w.must(err)
	w.s.Run(w.t)
	status, body := w.get("/health")
	locked := status == http.StatusServiceUnavailable && strings.Contains(body, "older than what it told")
	_, err = w.s.Flow(w.t).Create(context.Background(), "known", []byte("%PDF-1.4"))
	if !locked || err == nil || !strings.Contains(err.Error(), `"locked"`) {
		w.t.Errorf("the front says %d %s; an order: %v", status, body, err)
	}
	after, err := os.ReadDir(w.path("front", "blobs"))
	w.must(err)
	if len(after) < len(blobs) {
		w.t.Errorf("of %d documents %d are left: the locked front threw newer ones away", len(blobs), len(after))
	}
	w.s.Stop(w.t)
	w.unlock("sam", "front")
	w.s.Run(w.t)
	w.sign("known")
	w.s.Stop(w.t)
	return locked
}

func (w *world) get(path string) (int, string) {
	w.t.Helper()
	resp, err := http.Get(w.s.Info(w.t).Front + path)
	w.must(err)
	b, err := io.ReadAll(resp.Body)
	w.must(err)
	w.must(resp.Body.Close())
	return resp.StatusCode, string(b)
}

// lock shows a lock and writes it down; front is "" for the role's own.
func (w *world) lock(role, front string) (file string) {
	w.t.Helper()
	args := []string{"lock", "show", "--config", w.path(role, role+".yaml")}
	if front != "" {
		args = append(args, "--front", front)
	}
	text, code := w.trusted(args...)
	if code != 0 {
		w.t.Fatalf("lock show: exit %d\n%s", code, text)
	}
	return w.write("lock.txt", text)
}

// approve is what an operator does.
func (w *world) approve(who, lock string, valid time.Duration) string {
	w.t.Helper()
	text, code := w.trusted("lock", "approve", "--key", w.path("operators", who+".pem"), "--valid", valid.String(), lock)
	if code != 0 {
		w.t.Fatalf("lock approve: exit %d\n%s", code, text)
	}
	return w.write(fmt.Sprintf("%s-%d.approval", who, time.Now().UnixNano()), text)
}

func (w *world) tryUnlock(role, front string, do bool, approvals ...string) (string, int) {
	args := []string{"unlock", "--config", w.path(role, role+".yaml")}
	if front != "" {
		args = append(args, "--front", front)
	}
	for _, a := range approvals {
		args = append(args, "--approval", a)
	}
	if do {
		args = append(args, "--do")
	}
	return w.trusted(args...)
}

// unlock has two operators open a lock.
func (w *world) unlock(role, front string) {
	w.t.Helper()
	lock := w.lock(role, front)
	if out, code := w.tryUnlock(role, front, true, w.approve("an", lock, time.Minute), w.approve("bo", lock, time.Minute)); code != 0 {
		w.t.Fatalf("unlock: exit %d\n%s", code, out)
	}
}

// TestTwoOperatorsOpenALock: the sam's database is put back; every way of
// opening the lock but the right one is refused; then it signs again, and what
// was confirmed before the copy stays used up.
func TestTwoOperatorsOpenALock(t *testing.T) {
	w := newWorld(t)
	w.twoMoments()
	nonces := w.used()
	w.put("then", "sam/sam.db*")
	witness := w.witness()
	w.isLocked("sam", "database", "the database is older than the fence")
	lock := w.lock("sam", "")
	an, bo := w.approve("an", lock, time.Minute), w.approve("bo", lock, time.Minute)
	brief := w.approve("bo", lock, time.Second)
	other := w.write("other.txt", strings.Replace(w.read(lock), "\nid: ", "\nid: X", 1))
	time.Sleep(1100 * time.Millisecond)
	refused := 0
	for name, approvals := range map[string][]string{
		"nobody": nil, "one": {an}, "one operator twice": {an, w.approve("an", lock, time.Minute)},
		"expired": {an, brief}, "another lock": {an, w.approve("bo", other, time.Minute)},
	} {
		out, code := w.tryUnlock("sam", "", true, approvals...)
		if code != 1 {
			t.Errorf("%s: exit %d\n%s", name, code, out)
			continue
		}
		refused++
	}
	if out, code := w.tryUnlock("sam", "", false, an, bo); code != 0 || !strings.Contains(out, "nothing was changed") {
		t.Errorf("a trial: exit %d\n%s", code, out)
	}
	w.isLocked("sam", "after a trial", "the database is older than the fence")
	p := w.role("sam")
	w.health(p)
	if out, code := w.tryUnlock("sam", "", true, an, bo); code == 0 {
		t.Errorf("opened under a running role\n%s", out)
	}
	w.stop(p)
	w.keep("locked", "sam", "sam-fence")
	began := time.Now()
	if out, code := w.tryUnlock("sam", "", true, an, bo); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if out, code := w.tryUnlock("sam", "", true, an, bo); code != 1 {
		t.Errorf("the approvals a second time: exit %d\n%s", code, out)
	}
	w.stop(witness)
	w.s.Run(t)
	w.sign("known")
	again := time.Since(began)
	w.stillUsed(nonces)
	w.s.Stop(t)
	// The locked state and its fence are put back, and the approvals used again: the witness knows better.
	w.put("locked", "sam", "sam-fence")
	witness = w.witness()
	_, _ = w.tryUnlock("sam", "", true, an, bo)
	p = w.role("sam")
	if _, reasons := w.health(p); w.act("sam") != "locked" {
		t.Errorf("approvals were used a second time: %q", reasons)
	}
	w.stop(p)
	w.stop(witness)
	fmt.Printf("unlocking: %d wrong ways refused, opened by two operators, signed again after %.1f s; %d confirmations stay used up\n", refused, again.Seconds(), len(nonces))
}

func (w *world) read(path string) string {
	w.t.Helper()
	b, err := os.ReadFile(path)
	w.must(err)
	return string(b)
}

// used are the confirmations that the copied database knows as consumed, with
// their sessions.
func (w *world) used() map[string]string {
	w.t.Helper()
	d, err := sql.Open("sqlite", "file:"+w.path("copies", "then", "sam", "sam.db")+"?mode=ro")
	w.must(err)
	defer func() { w.must(d.Close()) }()
	rows, err := d.Query("SELECT nonce, id FROM sessions")
	w.must(err)
	defer func() { w.must(rows.Close()) }()
	all := map[string]string{}
	for rows.Next() {
		var nonce, id string
		w.must(rows.Scan(&nonce, &id))
		all[nonce] = id
	}
	if len(all) == 0 {
		w.t.Fatal("nothing was confirmed before the copy")
	}
	return all
}

// stillUsed tries old confirmations again: no answer is taken for them, and no
// key is used.
func (w *world) stillUsed(nonces map[string]string) {
	w.t.Helper()
	before := w.uses()
	c := wire.NewClient(w.socket("sam"), 10*time.Second)
	for nonce, session := range nonces {
		body := []byte(`{"code":"again"}`)
		if err := c.Do(context.Background(), http.MethodPut, "/v1/confirmations/"+nonce+"/authorization", body, nil); err == nil {
			w.t.Errorf("%s was authorized again", nonce)
		}
		body = fmt.Appendf(nil, `{"session":%q,"positions":[0]}`, session)
		_ = c.Do(context.Background(), http.MethodPut, "/v1/confirmations/"+nonce+"/signatures/"+wire.BodyHash(body), body, nil)
	}
	if after := w.uses(); after != before {
		w.t.Errorf("keys were used %d times, then %d", before, after)
	}
}

// uses counts how often the sam says that it was about to use a key.
func (w *world) uses() (n int) {
	w.t.Helper()
	d, err := sql.Open("sqlite", "file:"+w.path("sam", "sam.db")+"?mode=ro")
	w.must(err)
	w.must(d.QueryRow("SELECT COUNT(*) FROM audit WHERE kind = 'key.intent'").Scan(&n))
	w.must(d.Close())
	return n
}
