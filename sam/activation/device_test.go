package activation_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"tekend/hsm/hsmtest"
	"tekend/hsm/hsmtest/shim"
	"tekend/sam"
	"tekend/wire"
)

// TestARoleWithAFaultyToken runs TestFaultyToken in a process of its own, behind the oracle.
func TestARoleWithAFaultyToken(t *testing.T) {
	path, dir := shim.Build(t), t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^TestFaultyToken$")
	cmd.Env = append(os.Environ(), envShim+"="+path, shim.EnvModule+"="+hsmtest.Module, shim.EnvOracle+"="+dir+"/oracle", shim.EnvFaults+"="+dir+"/faults")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestFaultyToken") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, line := range strings.Split(string(out), "\n") {
		if _, told, ok := strings.Cut(line, "told: "); ok {
			t.Log(told)
		}
	}
}

func TestFaultyToken(t *testing.T) {
	if os.Getenv(envShim) == "" {
		return // its process is that of TestARoleWithAFaultyToken
	}
	faults := shim.Faults(os.Getenv(shim.EnvFaults))
	t.Run("a wrong value", func(t *testing.T) { wrongValue(t, faults) })
	t.Run("a token that is away", func(t *testing.T) { tokenAway(t, faults) })
	t.Run("a token that does not sign", func(t *testing.T) { tokenDoesNotSign(t, faults) })
}

// sent are the values that reached the token, those of canaries apart.
func sent(t *testing.T) (values, canaries int) {
	t.Helper()
	for _, s := range shim.Signatures(got(shim.ReadOracle(os.Getenv(shim.EnvOracle)))(t)) {
		switch {
		case s.Canary():
			canaries++
		case !s.MAC() && strings.HasPrefix(s.Key, "blob:"):
			values++
		}
	}
	return values, canaries
}

func (w *world) ready() bool { return got(w.front.Health(w.t.Context()))(w.t).Ready }

func wrongValue(t *testing.T, faults shim.Faults) {
	w := newWorld(t)
	cred := w.enrol("approve")
	if !w.ready() {
		t.Fatal("not ready")
	}
	c, other, good := w.confirm(cred, 2), w.confirm(cred, 1), w.confirm(cred, 1)
	from := len(shim.Signatures(got(shim.ReadOracle(os.Getenv(shim.EnvOracle)))(t)))
	got(w.front.Sign(t.Context(), good.Nonce, good.request(0)))(t)
	// The record's MAC is also a C_Sign: the value is the last one of a call.
	value := len(shim.Signatures(got(shim.ReadOracle(os.Getenv(shim.EnvOracle)))(t))) - from
	before, canaries := sent(t)
	must(t, faults.Set(shim.Fault{Function: "C_Sign", From: value, Until: value, Action: "flip"}))
	if _, err := w.front.Sign(t.Context(), c.Nonce, c.request(0, 1)); code(err) != sam.CodeBurnt || retryable(err) {
		t.Errorf("a wrong value: %v", err)
	}
	must(t, faults.Set())
	if n, _ := sent(t); n != before+1 {
		t.Errorf("%d values were made after the wrong one", n-before-1)
	}
	if w.count("key.wrong_value") != 1 || w.count("key.unknown") != 1 || w.count("key.used") != 1 {
		t.Error("the audit does not tell of the wrong value")
	}
	st := got(w.front.Confirmation(t.Context(), c.Nonce))(t)
	for _, p := range st.Positions {
		if p.Value != nil {
			t.Error("a value is released")
		}
	}
	// The token proves itself before it does anything else; the key stays suspended.
	if _, err := w.front.Sign(t.Context(), other.Nonce, other.request(0)); code(err) != sam.CodeCertificateNotGood {
		t.Errorf("the key was used again: %v", err)
	}
	if _, n := sent(t); n-canaries < 10 {
		t.Errorf("trusted again after %d canary values", n-canaries)
	}
	if n, _ := sent(t); n != before+1 || !w.ready() {
		t.Errorf("%d values more; ready %t", n-before-1, w.ready())
	}
}

// tokenDoesNotSign: the token answers, and signs nothing. A confirmation is not used up: the code is not sent to itsme
// before the client assertion is signed.
func tokenDoesNotSign(t *testing.T, faults shim.Faults) {
	w := newWorld(t)
	cred := w.enrol("approve")
	for _, call := range []string{"C_SignInit", "C_Sign"} {
		docs := documents(t, cred, 1)
		p := w.prepare(cred, docs)
		answer := w.at(p.AuthorizationURL, "")
		exchanges := w.count("answer.exchange")
		must(t, faults.Set(shim.Always(call, shim.RV(pkcs11.CKR_DEVICE_ERROR))))
		for range 3 {
			if _, err := w.front.Authorize(t.Context(), p.Nonce, answer); code(err) != sam.CodeHSMFailed || !retryable(err) {
				t.Errorf("%s: authorize: %v", call, err)
			}
		}
		must(t, faults.Set())
		if n := w.count("answer.exchange"); n != exchanges {
			t.Errorf("%s: %d codes were sent", call, n-exchanges)
		}
		var s *sam.Session
		for end := time.Now().Add(30 * time.Second); s == nil; time.Sleep(20 * time.Millisecond) {
			one, err := w.front.Authorize(t.Context(), p.Nonce, answer)
			if err == nil {
				s = &one
			} else if !retryable(err) || time.Now().After(end) {
				t.Fatalf("%s: the same answer afterwards: %v", call, err)
			}
		}
		signed := got(w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}}))(t)
		checkValues(t, cred, docs, signed.Values)
	}
}

func tokenAway(t *testing.T, faults shim.Faults) {
	w := newWorld(t)
	cred := w.enrol("approve")
	c := w.confirm(cred, 1)
	docs := documents(t, cred, 1)
	p := w.prepare(cred, docs)
	answer := w.at(p.AuthorizationURL, "")
	before, _ := sent(t)
	hits := w.hits.Load()
	var down []shim.Fault
	for _, call := range []string{"C_Initialize", "C_OpenSession", "C_GetTokenInfo", "C_UnwrapKey", "C_SignInit"} {
		down = append(down, shim.Always(call, shim.RV(pkcs11.CKR_DEVICE_ERROR)))
	}
	must(t, faults.Set(down...))
	red := time.Now()
	for w.ready() {
		if time.Since(red) > 10*time.Second {
			t.Fatal("still ready without a token")
		}
		time.Sleep(20 * time.Millisecond)
	}
	red2 := time.Since(red)
	for range 5 {
		if _, err := w.front.Sign(t.Context(), c.Nonce, c.request(0)); code(err) != sam.CodeHSMFailed || !retryable(err) {
			t.Errorf("sign: %v", err)
		}
		if _, err := w.front.Authorize(t.Context(), p.Nonce, answer); code(err) != sam.CodeHSMFailed || !retryable(err) {
			t.Errorf("authorize: %v", err)
		}
	}
	if w.hits.Load() != hits || w.count("confirmation.authorized") != 1 {
		t.Error("a confirmation was used up while the token was away")
	}
	must(t, faults.Set())
	back := time.Now()
	for !w.ready() {
		if time.Since(back) > 30*time.Second {
			t.Fatal("not ready 30 s after the token came back")
		}
		time.Sleep(20 * time.Millisecond)
	}
	green := time.Since(back)
	checkValues(t, cred, c.docs, got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t).Values)
	s := got(w.front.Authorize(t.Context(), p.Nonce, answer))(t)
	signed := got(w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: s.ID, Positions: []int{0}}))(t)
	checkValues(t, cred, docs, signed.Values)
	if n, _ := sent(t); n != before+2 || w.count("key.used") != 2 {
		t.Errorf("%d values for two documents", n-before)
	}
	fmt.Printf("told: token away: red after %v, ready %v after it came back, confirmations used up 0, values 2 = C_Sign 2\n",
		red2.Round(time.Millisecond), green.Round(time.Millisecond))
}

// TestReadinessCannotLoadTheToken: however often it is asked, the canary signs once in five seconds, and what is asked of
// it is answered over the socket as any other call.
func TestReadinessCannotLoadTheToken(t *testing.T) {
	w := newWorld(t)
	at, start := spySize(t), time.Now()
	client := wire.NewClient(w.socket, 10*time.Second)
	for range 200 {
		var h sam.Health
		if err := client.Do(t.Context(), http.MethodGet, "/v1/health", nil, &h); err != nil || !h.Ready {
			t.Fatalf("%+v %v", h, err)
		}
	}
	signs := strings.Count(string(got(os.ReadFile(spyLog))(t)[at:]), ": C_Sign\n")
	if limit := 1 + int(time.Since(start)/(5*time.Second)); signs < 1 || signs > limit {
		t.Errorf("200 questions, %d signatures", signs)
	}
}
