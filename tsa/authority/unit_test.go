package authority_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/certs"
	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/tsa"
	"tekend/tsa/authority"
)

// TestRollOver: the next unit takes over at its time under load, without a restart and without one refused request; a request whose time
// was taken before is signed by the unit before, however long that takes.
func TestRollOver(t *testing.T) {
	slow := &held{Signer: softKey(t), hold: make(chan struct{}), held: make(chan struct{}, 1)}
	w := start(t, slow)
	w.close()
	second := softKey(t)
	next := w.issue(t, certs.TSU, second.Public())
	from := w.clock.now().Add(time.Minute).Truncate(time.Second)
	w.dep.Next = &authority.Unit{Signer: second, Chain: []*x509.Certificate{next, w.cert}, From: from}
	w.open(t)
	slow.on.Store(true)
	late := make(chan *tsa.Token, 1)
	go func() {
		digest := sha256.Sum256([]byte("document"))
		patient := tsa.NewClient(tsa.ClientConfig{URL: w.srv.URL + "/tsa", Roots: w.roots(), Now: w.clock.now, MaxSkew: time.Hour}, http.DefaultClient)
		tok, err := patient.Stamp(context.Background(), digest[:], crypto.SHA256)
		if err != nil {
			t.Error(err)
		}
		late <- tok
	}()
	<-slow.held // it has its time and waits for its key
	slow.on.Store(false)
	byUnit := w.rollUnderLoad(t, from)
	close(slow.hold)
	if tok := <-late; tok == nil || !tok.Certificate.Equal(w.dep.Chain[0]) || !tok.GenTime.Before(from) {
		t.Error("the request in flight was not signed by the unit whose time it has")
	}
	if byUnit[0] == 0 || byUnit[1] == 0 {
		t.Errorf("tokens by unit: %v", byUnit)
	}
	w.close()
	w.open(t) // a restart changes nothing
	if tok, err := w.stamp(); err != nil || !tok.Certificate.Equal(next) {
		t.Errorf("after a restart: %v", err)
	}
}

// rollUnderLoad stamps while the clock passes the time of the next unit, and counts the tokens of both.
func (w *world) rollUnderLoad(t *testing.T, from time.Time) (byUnit [2]int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for w.clock.now().Before(from.Add(time.Minute)) {
				w.clock.add(time.Second)
				tok, err := w.stamp()
				if err != nil {
					t.Error(err)
					return
				}
				which, want := 0, w.dep.Chain[0]
				if !tok.GenTime.Before(from) {
					which, want = 1, w.dep.Next.Chain[0]
				}
				if !tok.Certificate.Equal(want) {
					t.Errorf("a token of %v from the wrong unit", tok.GenTime)
				}
				mu.Lock()
				byUnit[which]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return byUnit
}

// TestEndOfAUnit: 30 days before, health warns, unless another one follows; a gap is told too.
func TestEndOfAUnit(t *testing.T) {
	w := start(t, softKey(t))
	end := w.from.AddDate(1, 0, 0)
	warned := func() bool {
		h := w.role.Health(t.Context())
		return slices.ContainsFunc(h.Notes, func(n string) bool { return strings.Contains(n, "key ends on") })
	}
	w.clock.set(end.AddDate(0, 0, -31))
	if warned() {
		t.Error("warned 31 days before")
	}
	w.clock.set(end.AddDate(0, 0, -29))
	if !warned() {
		t.Error("not warned 29 days before")
	}
	key := softKey(t)
	w.from = end.AddDate(0, -6, 0) // the next one's key lives half a year longer
	for days := -1; days <= 1; days += 2 {
		from, want := end.AddDate(0, 0, days), days > 0
		w.close()
		w.dep.Next = &authority.Unit{Signer: key, Chain: []*x509.Certificate{w.issue(t, certs.TSU, key.Public()), w.cert}, From: from}
		w.open(t)
		if warned() != want {
			t.Errorf("next unit %v after the end: warned %t", from.Sub(end), !want)
		}
	}
	w.clock.set(end.Add(time.Hour)) // in the gap
	if _, err := w.stamp(); failure(err) != tsa.SystemFailure {
		t.Error(err)
	}
}

// TestOneKindOfTokens: a key that was set up for one kind is refused for the other, also after years; another key is not.
func TestOneKindOfTokens(t *testing.T) {
	w := start(t, softKey(t))
	if tok, err := w.stamp(); err != nil || tok.Qualified {
		t.Errorf("%v", err)
	}
	w.close()
	cfg := authority.Config{Now: w.clock.now, DB: w.path, Qualified: true}
	if _, err := authority.New(t.Context(), cfg, w.dep); err == nil {
		t.Fatal("one key makes tokens of both kinds")
	}
	key := softKey(t)
	w.dep.Unit = authority.Unit{Signer: key, Chain: []*x509.Certificate{w.issue(t, certs.TSU, key.Public()), w.cert}}
	role, err := authority.New(t.Context(), cfg, w.dep)
	check(t, err)
	w.serve(t, role)
	if tok, err := w.stamp(); err != nil || !tok.Qualified {
		t.Errorf("%v", err)
	}
}

// TestSerialsAfterARestore: a database put back makes no serial number twice.
func TestSerialsAfterARestore(t *testing.T) {
	w := start(t, softKey(t))
	serials := map[string]bool{}
	for round := range 3 {
		_, err := w.stamp()
		check(t, err)
		w.close()
		copyOf, err := os.ReadFile(w.path)
		check(t, err)
		w.open(t)
		for range 20 {
			w.clock.add(time.Second)
			tok, err := w.stamp()
			check(t, err)
			serials[tok.Serial.Text(16)] = true
		}
		if want := 20 * (round + 1); len(serials) != want {
			t.Fatalf("%d serial numbers in %d tokens", len(serials), want)
		}
		w.close()
		check(t, os.WriteFile(w.path, copyOf, 0o600))
		check(t, os.RemoveAll(w.path+"-wal"))
		w.open(t)
	}
}

// TestKindsOfKeys: RSA and P-384 units make tokens that a client verifies, whether or not their signer verifies what it signs.
func TestKindsOfKeys(t *testing.T) {
	token := hsmtest.Token(t)
	for _, kind := range []hsm.KeyKind{hsm.P256, hsm.P384, hsm.RSA3072} {
		_, err := token.CreateKeyPair(t.Context(), string(kind), kind)
		check(t, err)
		key, err := token.Signer(t.Context(), string(kind))
		check(t, err)
		for _, verifies := range []bool{true, false} {
			w := start(t, key)
			w.close()
			w.dep.Verifies = verifies
			w.open(t)
			tok, err := w.stamp()
			check(t, err)
			if _, isRSA := tok.Certificate.PublicKey.(*rsa.PublicKey); isRSA != (kind == hsm.RSA3072) {
				t.Errorf("%s: a token of another key", kind)
			}
			w.close()
		}
	}
}

// held is a key that waits when it is told to.
type held struct {
	crypto.Signer
	on   atomic.Bool
	hold chan struct{}
	held chan struct{} // told when it waits
}

func (h *held) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if h.on.Load() {
		h.held <- struct{}{}
		<-h.hold
	}
	return h.Signer.Sign(r, digest, o)
}

// TestARequestThatLeavesTakesNobodyWithIt: of requests that share a transaction one has gone away.
func TestARequestThatLeavesTakesNobodyWithIt(t *testing.T) {
	w := start(t, softKey(t))
	right := requested(t)
	h := w.role.Handler()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/tsa", bytes.NewReader(right))
			r.Header.Set("Content-Type", "application/timestamp-query")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%4 == 0 {
				cancel()
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r.WithContext(ctx))
			if i%4 != 0 && !bytes.Contains(rec.Body.Bytes()[:16], []byte{0x30, 0x03, 0x02, 0x01, 0x00}) {
				t.Errorf("request %d: %d %x", i, rec.Code, rec.Body)
			}
		})
	}
	wg.Wait()
	if n := w.rows(t); n != 30 {
		t.Errorf("%d tokens recorded for 30 requests that waited", n)
	}
}

// TestTooManyRequests: two seconds' worth at once, then 503 with a time to come back.
func TestTooManyRequests(t *testing.T) {
	w := start(t, softKey(t))
	w.close()
	role, err := authority.New(t.Context(), authority.Config{Now: w.clock.now, DB: w.path, Rate: 5}, w.dep)
	check(t, err)
	w.serve(t, role)
	post := func() *http.Response {
		resp, err := http.Post(w.srv.URL+"/tsa", "application/timestamp-query", bytes.NewReader(requested(t)))
		check(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp
	}
	for i := range 10 {
		if r := post(); r.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %d", i, r.StatusCode)
		}
	}
	if r := post(); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	w.clock.add(time.Second)
	if r := post(); r.StatusCode != http.StatusOK {
		t.Errorf("a second later: %d", r.StatusCode)
	}
}

// TestEachRefusalHasItsFailInfo: RFC 3161 §2.4.2, EN 319 422 §5. addInfoNotAvailable is for what cannot be asked for here.
func TestEachRefusalHasItsFailInfo(t *testing.T) {
	for name, tc := range map[string]struct {
		query func(*cryptobyte.Builder)
		world func(*world)
		want  tsa.FailureInfo
	}{
		"SHA-1":              {query: ask1(1, []byte{0x2b, 0x0e, 0x03, 0x02, 0x1a}, 20), want: tsa.BadAlg},
		"SHA-224":            {query: ask1(1, []byte{0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4}, 28), want: tsa.BadAlg},
		"unknown hash":       {query: ask1(1, []byte{0x2a, 3, 4}, 32), want: tsa.BadAlg},
		"version 2":          {query: ask1(2, oidSHA256, 32), want: tsa.BadRequest},
		"digest too long":    {query: ask1(1, oidSHA256, 33), want: tsa.BadDataFormat},
		"no digest":          {query: ask1(1, oidSHA256, 0), want: tsa.BadDataFormat},
		"not a request":      {query: func(b *cryptobyte.Builder) { b.AddASN1OctetString([]byte("x")) }, want: tsa.BadDataFormat},
		"another policy":     {query: ask1(1, oidSHA256, 32, []byte{6, 3, 0x2a, 3, 4}...), want: tsa.UnacceptedPolicy},
		"an extension":       {query: ask1(1, oidSHA256, 32, []byte{0xa0, 9, 0x30, 7, 6, 2, 0x2a, 3, 4, 1, 0}...), want: tsa.UnacceptedExtension},
		"the clock is back":  {query: ask1(1, oidSHA256, 32), world: func(w *world) { w.clock.add(-time.Hour) }, want: tsa.TimeNotAvailable},
		"the key is over":    {query: ask1(1, oidSHA256, 32), world: func(w *world) { w.clock.add(400 * 24 * time.Hour) }, want: tsa.SystemFailure},
		"the key is gone":    {query: ask1(1, oidSHA256, 32), world: func(w *world) { w.dep.Signer.(*faulty).fail = gone }, want: tsa.SystemFailure},
		"the database ended": {query: ask1(1, oidSHA256, 32), world: func(w *world) { _ = w.role.Close() }, want: tsa.SystemFailure},
	} {
		w := start(t, &faulty{Signer: softKey(t)})
		_, err := w.stamp()
		check(t, err)
		if tc.world != nil {
			tc.world(w)
		}
		var b cryptobyte.Builder
		b.AddASN1(casn1.SEQUENCE, tc.query)
		query, err := b.Bytes()
		check(t, err)
		reply, err := tsa.Post(t.Context(), http.DefaultClient, w.srv.URL+"/tsa", query)
		check(t, err)
		r, err := tsa.ParseResponse(reply)
		if err != nil || r.Status != 2 || r.Info != tc.want || r.Token != nil || r.Text == "" {
			t.Errorf("%s: %+v %v, want %v", name, r, err, tc.want)
		}
	}
}

var oidSHA256 = []byte{0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1}

func gone([]byte, error) ([]byte, error) { return nil, io.ErrUnexpectedEOF }

// ask1 is the inside of a TimeStampReq: version, hash, a digest of some length, and what else.
func ask1(version int64, hash []byte, size int, rest ...byte) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1Int64(version)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(hash) })
			})
			b.AddASN1OctetString(make([]byte, size))
		})
		b.AddBytes(rest)
	}
}

// TestAReplayedNonceIsAnsweredAnew: with another serial number and the time of now.
func TestAReplayedNonceIsAnsweredAnew(t *testing.T) {
	w := start(t, softKey(t))
	right := requested(t)
	var tokens []*tsa.Token
	for range 2 {
		w.clock.add(time.Second)
		reply, err := tsa.Post(t.Context(), http.DefaultClient, w.srv.URL+"/tsa", right)
		check(t, err)
		r, err := tsa.ParseResponse(reply)
		check(t, err)
		tok, err := tsa.ParseToken(r.Token)
		check(t, err)
		tokens = append(tokens, tok)
	}
	digest := sha256.Sum256([]byte("document"))
	if a, b := tokens[0], tokens[1]; a.Serial.Cmp(b.Serial) == 0 || !b.GenTime.After(a.GenTime) || a.Nonce.Cmp(b.Nonce) != 0 || !bytes.Equal(b.Imprint, digest[:]) {
		t.Errorf("%+v %+v", a, b)
	}
}

// TestNextUnitIsRefused when it could not take over.
func TestNextUnitIsRefused(t *testing.T) {
	w := start(t, softKey(t))
	w.close()
	key := softKey(t)
	unit := w.issue(t, certs.TSU, key.Public())
	soon := w.clock.now().Add(time.Hour)
	for name, next := range map[string]authority.Unit{
		"no time":     {Signer: key, Chain: []*x509.Certificate{unit, w.cert}},
		"no chain":    {Signer: key, From: soon},
		"another key": {Signer: softKey(t), Chain: []*x509.Certificate{unit, w.cert}, From: soon},
		"the same":    {Signer: w.dep.Signer, Chain: w.dep.Chain, From: soon},
		"too late":    {Signer: key, Chain: []*x509.Certificate{unit, w.cert}, From: soon.AddDate(4, 0, 0)},
	} {
		w.dep.Next = &next
		if r, err := authority.New(t.Context(), authority.Config{Now: w.clock.now, DB: filepath.Join(t.TempDir(), "tsa.db")}, w.dep); err == nil {
			t.Errorf("%s: it starts", name)
			_ = r.Close()
		}
	}
}
