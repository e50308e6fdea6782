package ntp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/clock"
)

// fortress is a server of time with NTS, and with faults on request.
type fortress struct {
	addr, ca string // of key establishment; PEM file
	udp      net.PacketConn
	port     int

	mu           sync.Mutex
	known        map[string]*keys // by cookie
	serial       byte
	established  int
	placeholders int                                   // in the last question
	records      func(good []byte) []byte              // changes the answer of key establishment
	answer       func(b []byte) []byte                 // changes an answer
	sealed       func(before, inner []byte) (x []byte) // what is authenticated, before and instead of inner
	state        State
}

func newFortress(t *testing.T) *fortress {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "time"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	f := &fortress{known: map[string]*keys{}, ca: filepath.Join(t.TempDir(), "ca.pem")}
	check(t, os.WriteFile(f.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{alpn, "other"}, MinVersion: tls.VersionTLS13,
	})
	check(t, err)
	f.addr = l.Addr().String()
	f.udp, err = net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	f.port = f.udp.LocalAddr().(*net.UDPAddr).Port
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { f.establish(c.(*tls.Conn)) })
		}
	})
	served.Go(f.serve)
	t.Cleanup(func() { _ = l.Close(); _ = f.udp.Close(); served.Wait() })
	return f
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// establish gives eight cookies.
func (f *fortress) establish(c *tls.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, len(keRequest()))); err != nil {
		return
	}
	k := &keys{}
	if k.export(c) != nil {
		return
	}
	f.mu.Lock()
	f.established++
	b := record(nil, recProtocol|critical, []byte{0, 0})
	b = record(b, recAEAD, []byte{0, aeadSIV256})
	b = record(b, recPort, binary.BigEndian.AppendUint16(nil, uint16(f.port)))
	for range maxCookies {
		b = record(b, recCookie, f.bake(k))
	}
	if f.records != nil {
		b = f.records(b)
	} else {
		b = record(b, recEnd|critical, nil)
	}
	f.mu.Unlock()
	_, _ = c.Write(b)
}

// bake makes a cookie; f.mu is held.
func (f *fortress) bake(k *keys) []byte {
	f.serial++
	cookie := bytes.Repeat([]byte{f.serial}, 100)
	f.known[string(cookie)] = k
	return cookie
}

func (f *fortress) serve() {
	buf := make([]byte, 4096)
	for {
		n, from, err := f.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		if a := f.reply(bytes.Clone(buf[:n])); a != nil {
			_, _ = f.udp.WriteTo(a, from)
		}
	}
}

// reply checks the question and answers it.
func (f *fortress) reply(q []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := Simulated{Now: time.Now, State: func() State { return f.state }}.answer(q)
	if a == nil {
		return nil
	}
	var k *keys
	f.placeholders = 0
	for at := packet; at < len(q); {
		kind, body, size, err := readField(q[at:])
		if err != nil {
			return nil
		}
		switch kind {
		case extUnique:
			a = append(a, field(extUnique, body)...)
		case extCookie:
			k = f.known[string(body)]
			delete(f.known, string(body))
		case extPlaceholder:
			f.placeholders++
		case extAuthenticator:
			if k != nil {
				if _, err := k.there.open(body[4+nonceSize:4+nonceSize+int(binary.BigEndian.Uint16(body[2:]))], q[:at], body[4:4+nonceSize]); err != nil {
					return nil
				}
			}
		}
		at += size
	}
	if k == nil {
		a[1] = 0
		copy(a[12:16], "NTSN")
	} else {
		var inner []byte
		for range f.placeholders + 1 {
			inner = append(inner, field(extCookie, f.bake(k))...)
		}
		nonce := make([]byte, nonceSize)
		if f.sealed != nil {
			inner = f.sealed(a, inner)
		}
		a = append(a, field(extAuthenticator, authenticator(nonce, k.back.seal(inner, a, nonce)))...)
	}
	if f.answer != nil {
		a = f.answer(a)
	}
	return a
}

func (f *fortress) with(change func()) { f.mu.Lock(); defer f.mu.Unlock(); change() }

// count is how often keys were established.
func (f *fortress) count() int { f.mu.Lock(); defer f.mu.Unlock(); return f.established }

// missing is how many further cookies the last question asked for.
func (f *fortress) missing() int { f.mu.Lock(); defer f.mu.Unlock(); return f.placeholders }

func (f *fortress) client(t *testing.T, now func() time.Time) *Client {
	t.Helper()
	l, err := Open([]clock.SourceConfig{{Kind: "ntp", Address: f.addr, NTS: true, CAFile: f.ca}}, now)
	check(t, err)
	return l[0].Source.(*Client)
}

// TestNTS: keys once, then authenticated answers; each cookie once; lost ones are made up for.
func TestNTS(t *testing.T) {
	f := newFortress(t)
	f.state = State{Ahead: 3 * time.Second, Leap: clock.Insert}
	c := f.client(t, time.Now)
	for range 20 {
		m, err := measure(t, c)
		if err != nil || (m.Offset-3*time.Second).Abs() > m.Uncertainty || m.Leap != clock.Insert {
			t.Fatalf("%+v %v", m, err)
		}
	}
	if f.count() != 1 || f.missing() != 0 || len(c.secure.keys.cookies) != maxCookies {
		t.Errorf("%d establishments, %d placeholders, %d cookies left", f.count(), f.missing(), len(c.secure.keys.cookies))
	}
	f.with(func() { f.state.Silent = true })
	for range 3 {
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := c.Measure(ctx)
		stop()
		if err == nil {
			t.Error("silence is an answer")
		}
	}
	f.with(func() { f.state.Silent = false })
	if _, err := measure(t, c); err != nil || f.missing() != 3 || len(c.secure.keys.cookies) != maxCookies {
		t.Errorf("%v, %d placeholders, %d cookies", err, f.missing(), len(c.secure.keys.cookies))
	}
}

// TestForgedAnswers: every octet of an answer counts, up to the authenticator.
func TestForgedAnswers(t *testing.T) {
	f := newFortress(t)
	c := f.client(t, time.Now)
	if _, err := measure(t, c); err != nil {
		t.Fatal(err)
	}
	var size int
	f.with(func() { f.answer = func(b []byte) []byte { size = len(b); return b } })
	_, err := measure(t, c)
	check(t, err)
	var octets int
	f.with(func() { octets = size })
	for i := range octets {
		f.with(func() { f.answer = func(b []byte) []byte { b[i] ^= 0x40; return b } })
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		m, err := c.Measure(ctx)
		stop()
		if err == nil {
			t.Errorf("octet %d changed: %+v", i, m)
		}
		f.with(func() { f.answer = nil }) // a fresh cookie, so that they do not run out
		if _, err := measure(t, c); err != nil {
			t.Fatalf("after octet %d: %v", i, err)
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"plain NTP":     func(b []byte) []byte { return b[:packet] },
		"no unique id":  func(b []byte) []byte { return append(b[:packet:packet], b[packet+4+uniqueSize:]...) },
		"no authentic":  func(b []byte) []byte { return b[:packet+4+uniqueSize] },
		"cut":           func(b []byte) []byte { return b[:len(b)-4] },
		"odd field":     func(b []byte) []byte { b[packet+3] = 5; return b },
		"endless field": func(b []byte) []byte { b[packet+2] = 0xff; return b },
		"kiss of death": func(b []byte) []byte { b[1] = 0; copy(b[12:], "RATE"); return b[:packet] },
		"id behind it": func(b []byte) []byte {
			n := packet + 4 + uniqueSize
			return append(append(b[:packet:packet], b[n:]...), b[packet:n]...)
		},
		"another answer": func(b []byte) []byte { b[packet+4] ^= 1; return b },
	} {
		f.with(func() { f.answer = change })
		if m, err := measure(t, c); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
		f.with(func() { f.answer = nil })
		if _, err := measure(t, c); err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
	}
	f.with(func() { f.answer = nil; f.sealed = func(_, _ []byte) []byte { return []byte{1, 2, 3} } })
	if m, err := measure(t, c); err == nil {
		t.Errorf("malformed fields inside: %+v", m)
	}
	f.with(func() { f.sealed = nil })
	if _, err := measure(t, c); err != nil || f.count() != 1 {
		t.Errorf("afterwards: %v, %d establishments", err, f.count())
	}
}

// TestAServerThatForgotItsKeys is asked for new ones, after a while; who forges that wish without the question's id achieves nothing.
func TestAServerThatForgotItsKeys(t *testing.T) {
	f := newFortress(t)
	var ahead time.Duration
	c := f.client(t, func() time.Time { return time.Now().Add(ahead) })
	_, err := measure(t, c)
	check(t, err)
	f.with(func() {
		f.answer = func(b []byte) []byte {
			b = b[:packet+4+uniqueSize]
			b[1] = 0
			copy(b[12:], "NTSN")
			b[packet+8] ^= 1
			return b
		}
	})
	if _, err := measure(t, c); err == nil || c.secure.keys == nil {
		t.Errorf("a forged NTSN has its way: %v", err)
	}
	f.with(func() { f.answer = nil; clear(f.known) })
	for range 3 {
		if _, err := measure(t, c); err == nil {
			t.Error("an answer without keys")
		}
	}
	if f.count() != 1 {
		t.Errorf("%d establishments within the pause", f.count())
	}
	ahead = kePause + time.Second
	if _, err := measure(t, c); err != nil || f.count() != 2 {
		t.Errorf("after the pause: %v, %d establishments", err, f.count())
	}
}

// TestKeyEstablishmentIsRefused: whatever is wrong with it, no question is sent, and the server is left alone for a while.
func TestKeyEstablishmentIsRefused(t *testing.T) {
	end := record(nil, recEnd|critical, nil)
	for name, change := range map[string]func([]byte) []byte{
		"nothing":          func([]byte) []byte { return nil },
		"no end":           func(b []byte) []byte { return b },
		"only the end":     func([]byte) []byte { return end },
		"error":            func([]byte) []byte { return append(record(nil, recError|critical, []byte{0, 1}), end...) },
		"warning":          func(b []byte) []byte { return append(record(b, recWarning|critical, []byte{0, 1}), end...) },
		"another protocol": func(b []byte) []byte { return append(record(b, recProtocol|critical, []byte{0x80, 1}), end...) },
		"another AEAD":     func(b []byte) []byte { return append(record(b, recAEAD, []byte{0, 30}), end...) },
		"unknown critical": func(b []byte) []byte { return append(record(b, 99|critical, nil), end...) },
		"empty cookie":     func(b []byte) []byte { return append(record(b, recCookie, nil), end...) },
		"huge cookie":      func(b []byte) []byte { return append(record(b, recCookie, make([]byte, 2000)), end...) },
		"no server":        func(b []byte) []byte { return append(record(b, recServer, nil), end...) },
		"half a port":      func(b []byte) []byte { return append(record(b, recPort, []byte{1}), end...) },
		"too much":         func(b []byte) []byte { return append(bytes.Repeat(record(nil, 77, make([]byte, 1000)), 100), end...) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFortress(t)
			f.records = change
			c := f.client(t, time.Now)
			for range 2 {
				if m, err := measure(t, c); err == nil || !strings.Contains(err.Error(), "securely") {
					t.Errorf("%+v %v", m, err)
				}
			}
			if f.count() != 1 {
				t.Errorf("%d establishments", f.count())
			}
		})
	}
	f := newFortress(t)
	f.records = func(b []byte) []byte { return append(record(b, 99, []byte("new")), end...) } // not critical: left aside
	if _, err := measure(t, f.client(t, time.Now)); err != nil {
		t.Errorf("an unknown record that is not critical: %v", err)
	}
	for name, tc := range map[string]clock.SourceConfig{
		"another CA":  {Kind: "ntp", Address: f.addr, NTS: true, CAFile: newFortress(t).ca},
		"nobody":      {Kind: "ntp", Address: "127.0.0.1:1", NTS: true, CAFile: f.ca},
		"system's CA": {Kind: "ntp", Address: f.addr, NTS: true},
	} {
		l, err := Open([]clock.SourceConfig{tc}, time.Now)
		check(t, err)
		if m, err := measure(t, l[0].Source.(*Client)); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
	for name, tc := range map[string]clock.SourceConfig{
		"no file": {Kind: "ntp", Address: f.addr, NTS: true, CAFile: f.ca + "x"}, "a file without nts": {Kind: "ntp", Address: f.addr, CAFile: f.ca},
	} {
		if _, err := Open([]clock.SourceConfig{tc}, time.Now); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// FuzzAnswer: whatever comes over the network is an error, and nothing else happens.
func FuzzAnswer(f *testing.F) {
	k, err := newSIV(make([]byte, sivKey))
	check(f, err)
	x := &exchange{s: &secure{now: time.Now}, k: &keys{there: k, back: k}}
	good := append(make([]byte, packet), field(extUnique, x.unique[:])...)
	f.Add(append(bytes.Clone(good), field(extAuthenticator, authenticator(make([]byte, nonceSize), make([]byte, 40)))...))
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		if x.ProcessResponse(b) == nil {
			t.Error("taken")
		}
	})
}

// FuzzKeyEstablishment: what a server sends is read within bounds.
func FuzzKeyEstablishment(f *testing.F) {
	f.Add(record(record(record(record(nil, recProtocol|critical, []byte{0, 0}), recAEAD, []byte{0, aeadSIV256}), recCookie, []byte("cookie")), recEnd|critical, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		k := &keys{address: "127.0.0.1:123"}
		if err := k.read(bytes.NewReader(b)); err == nil && (len(k.cookies) == 0 || len(k.cookies) > maxCookies) {
			t.Errorf("%d cookies", len(k.cookies))
		}
	})
}
