package activation_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"tekend/sam"
	"tekend/sam/activation"
)

// post is a real SMTP server (emersion/go-smtp) that can be told to misbehave.
type post struct {
	t    *testing.T
	addr string
	srv  *smtp.Server

	mu      sync.Mutex
	letters []*mail.Message
	bodies  []string
	tries   map[string]int
	down    map[string]bool // receivers that are refused for now
	hang    map[string]chan struct{}
	all     bool // everybody is refused
}

func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{p: p}, nil }

type mailSession struct {
	p    *post
	user string
}

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "tekend" || password != "canary-smtp-password" {
			return errors.New("no")
		}
		s.user = user
		return nil
	}), nil
}
func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }
func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	if s.user == "" {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.p.mu.Lock()
	s.p.tries[to]++
	refused, wait := s.p.all || s.p.down[to], s.p.hang[to]
	s.p.mu.Unlock()
	if wait != nil {
		<-wait
	}
	if refused {
		return &smtp.SMTPError{Code: 451, Message: "later"}
	}
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		return err
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.letters, s.p.bodies = append(s.p.letters, m), append(s.p.bodies, string(body))
	return nil
}

// startPost serves SMTP with STARTTLS and AUTH on a loopback port.
func startPost(t *testing.T) (*post, string) {
	key := ecKey(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der := got(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))(t)
	p := &post{t: t, tries: map[string]int{}, down: map[string]bool{}, hang: map[string]chan struct{}{}}
	p.srv = smtp.NewServer(p)
	p.srv.Domain, p.srv.AllowInsecureAuth = "relay.test", false
	p.srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	l := got(net.Listen("tcp", "127.0.0.1:0"))(t)
	p.addr = l.Addr().String()
	go func() { _ = p.srv.Serve(l) }()
	t.Cleanup(func() { _ = p.srv.Close() })
	ca := filepath.Join(t.TempDir(), "relay.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return p, ca
}

func (p *post) set(f func()) { p.mu.Lock(); defer p.mu.Unlock(); f() }

// arrived are the receivers of what arrived, in order, with the subject.
func (p *post) arrived() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.letters {
		all = append(all, m.Header.Get("To")+" "+got(new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")))(p.t))
	}
	return all
}

func overSMTP(t *testing.T) (*post, func(*activation.Config)) {
	p, ca := startPost(t)
	password := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(password, []byte("canary-smtp-password\n"), 0o600))
	return p, func(c *activation.Config) {
		c.Notices = activation.Notices{Kind: "smtp", Address: p.addr, CAFile: ca, Username: "tekend", PasswordFile: password, From: "Tekend <keys@sign.test>", Help: "+32 2 555 00 00"}
	}
}

func (w *world) send() { w.t.Helper(); must(w.t, w.role.SendDue(w.t.Context())) }

// outbox counts the notices in a state.
func (w *world) outbox(state string) (n int) {
	w.t.Helper()
	w.sql(func(d *sql.DB) error {
		return d.QueryRow("SELECT COUNT(*) FROM outbox WHERE state = '" + state + "'").Scan(&n)
	})
	return n
}

// dump is all that a table holds.
func (w *world) dump(table string) []byte {
	w.t.Helper()
	var all bytes.Buffer
	w.sql(func(d *sql.DB) error {
		rows, err := d.Query("SELECT * FROM " + table)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(sql.RawBytes)
			}
			if err := rows.Scan(values...); err != nil {
				return err
			}
			for _, v := range values {
				all.Write(*v.(*sql.RawBytes))
			}
		}
		return rows.Err()
	})
	return all.Bytes()
}

const alice, johanna = "alice.peeters@example.test", "johanna@example.test"

// TestPeopleAreToldByTheSamItself: without the front, each in his language,
// through a real relay; who gave no address has no row anywhere.
func TestPeopleAreToldByTheSamItself(t *testing.T) {
	p, notices := overSMTP(t)
	w := newWorld(t, notices)
	cred := w.enrol("approve")
	c := w.confirm(cred, 3)
	got(w.front.Sign(t.Context(), c.Nonce, c.request(0, 1, 2)))(t)
	none := w.enrol("no-email")
	d := w.confirm(none, 1)
	got(w.front.Sign(t.Context(), d.Nonce, d.request(0)))(t)
	w.send()
	w.send()
	if all := p.arrived(); len(all) != 2 || !strings.HasPrefix(all[0], alice+" ") || w.count("notice.sent") != 2 || w.outbox("waiting") != 0 {
		t.Fatalf("%q, %d sent", all, w.count("notice.sent"))
	}
	last, body := p.letters[1], p.bodies[1]
	for _, want := range []string{"3 documenten", c.CheckCode, "+32 2 555 00 00"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %q", want, body)
		}
	}
	for name, want := range map[string]string{"From": `"Tekend" <keys@sign.test>`, "Auto-Submitted": "auto-generated", "Content-Language": "nl"} {
		if last.Header.Get(name) != want {
			t.Errorf("%s: %q", name, last.Header.Get(name))
		}
	}
	if strings.Contains(body, "Contract") {
		t.Error("the name of a document stands in an e-mail")
	}
	// The address is nowhere in the clear.
	for _, table := range []string{"contacts", "outbox", "uses", "audit", "enrolments", "asked", "refusals"} {
		if dump := w.dump(table); bytes.Contains(dump, []byte("example.test")) || bytes.Contains(dump, []byte("canary")) {
			t.Errorf("table %s holds an address", table)
		}
	}
	// A page of uses has the notices too.
	u := got(w.front.Uses(t.Context(), cred.ID, 0, 100))(t)
	if u.Uses[0].Kind != "notice.sent" {
		t.Errorf("%+v", u.Uses[0])
	}
}

// TestNoticesOutliveAnOutage is F33 in virtual time: the relay is away for 24
// hours, a restart in between; then everything arrives once, in order for each
// person, and one person's trouble holds nobody else's. After 72 hours a
// notice is dead and the next ones go on.
func TestNoticesOutliveAnOutage(t *testing.T) {
	p, notices := overSMTP(t)
	w := newWorld(t, notices)
	p.set(func() { p.all = true })
	creds := []sam.Credential{w.enrol("approve"), w.enrol("nl-document")}
	for range 3 {
		for _, cred := range creds {
			c := w.confirm(cred, 1)
			got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t)
		}
	}
	start := w.now()
	for w.now().Sub(start) < 24*time.Hour {
		w.send()
		w.advance(20 * time.Minute)
		if w.now().Sub(start) > 12*time.Hour && w.count("sam.start") == 1 {
			w.start()
		}
	}
	if n := p.tries[alice]; n < 8 || n > 16 {
		t.Errorf("%d tries in 24 hours", n)
	}
	if len(p.arrived()) != 0 || w.outbox("waiting") == 0 {
		t.Fatalf("%q", p.arrived())
	}
	p.set(func() { p.all = false; p.down[alice] = true })
	for range 4 * 24 * 3 {
		w.send()
		w.advance(20 * time.Minute)
	}
	if all := p.arrived(); len(all) != 4 || slices.ContainsFunc(all, func(s string) bool { return !strings.HasPrefix(s, johanna) }) {
		t.Errorf("%q", all)
	}
	if w.outbox("dead") != 4 || w.count("notice.dead") != 4 || w.outbox("waiting") != 0 {
		t.Errorf("%d dead, %d waiting", w.outbox("dead"), w.outbox("waiting"))
	}
	ids := map[string]bool{}
	for _, m := range p.letters {
		ids[m.Header.Get("Message-ID")] = true
	}
	if len(ids) != 4 || w.count("notice.sent") != 4 {
		t.Errorf("%d different letters, %d sent", len(ids), w.count("notice.sent"))
	}
	fmt.Printf("F33: 24 h without a relay, then %d of 4 arrived once; 4 notices of a person who takes none are dead after 72 h\n", len(ids))
}

// TestOneSlowReceiverHoldsNobodyElse: the relay does not answer for one person.
func TestOneSlowReceiverHoldsNobodyElse(t *testing.T) {
	p, notices := overSMTP(t)
	w := newWorld(t, notices)
	free := make(chan struct{})
	p.set(func() { p.hang[alice] = free })
	w.enrol("approve")
	w.enrol("nl-document")
	for limit := time.Now().Add(20 * time.Second); len(p.arrived()) < 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("nothing arrived while one receiver was slow")
		}
		go func() { _ = w.role.SendDue(t.Context()) }()
	}
	if all := p.arrived(); !strings.HasPrefix(all[0], johanna) {
		t.Errorf("%q", all)
	}
	close(free)
	w.send()
	if all := p.arrived(); len(all) != 2 {
		t.Errorf("%q", all)
	}
}

// TestNoNoticeWithoutTLS: a relay whose certificate is not trusted, or that
// wants no TLS, gets neither the password nor a letter.
func TestNoNoticeWithoutTLS(t *testing.T) {
	p, notices := overSMTP(t)
	w := newWorld(t, notices, func(c *activation.Config) { c.Notices.CAFile = w0(t) })
	w.enrol("approve")
	w.send()
	if len(p.arrived()) != 0 || p.tries[alice] != 0 || w.outbox("waiting") != 1 {
		t.Errorf("%q %v", p.arrived(), p.tries)
	}
}

// w0 is a PEM file of a root that signed nothing.
func w0(t *testing.T) string {
	key := ecKey(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().AddDate(1, 0, 0)}
	der := got(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))(t)
	path := filepath.Join(t.TempDir(), "other.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return path
}

// TestNoticesAsFiles: kind file; the same notice twice is one file.
func TestNoticesAsFiles(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, func(c *activation.Config) {
		c.Notices = activation.Notices{Kind: "file", Dir: dir, From: "keys@sign.test", Help: "x"}
	})
	c := w.confirm(w.enrol("approve"), 1)
	w.send()
	w.exec("UPDATE outbox SET due = 0")
	got(w.front.Sign(t.Context(), c.Nonce, c.request(0)))(t)
	w.send()
	files := got(filepath.Glob(filepath.Join(dir, "*")))(t)
	if len(files) != 2 {
		t.Fatalf("%q", files)
	}
	for _, f := range files {
		m := got(mail.ReadMessage(bytes.NewReader(got(os.ReadFile(f))(t))))(t)
		if m.Header.Get("To") != alice {
			t.Errorf("%v", m.Header)
		}
	}
}

func TestHeadersCannotBeInjected(t *testing.T) {
	for _, bad := range []string{"a@x.test\r\nBcc: b@x.test", "a@x.test\nX: y", "a@x.test\rX: y", "a@x.test\x00"} {
		if b, err := activation.Letter(bad, "s"); err == nil {
			t.Errorf("%q: %q", bad, b)
		}
		if activation.PlainAddress(bad) {
			t.Errorf("%q is taken for an address", bad)
		}
	}
	b := got(activation.Letter("a@x.test", "s\r\nBcc: b@x.test"))(t)
	m := got(mail.ReadMessage(bytes.NewReader(b)))(t)
	if m.Header.Get("Bcc") != "" || len(m.Header) != 10 {
		t.Errorf("%v", m.Header)
	}
	for _, bad := range []string{"", "a", "a@", "@x", "a b@x.test", "A <a@x.test>", "a@x.test,b@x.test", "ä@x.test", `"a b"@x.test`, "a@[127.0.0.1]", strings.Repeat("a", 250) + "@x.test", "<a@x.test>", "a@x.test>"} {
		if activation.PlainAddress(bad) {
			t.Errorf("%q is taken for an address", bad)
		}
	}
	for _, good := range []string{alice, "a+b@x.test", "o'neil@x.test"} {
		if !activation.PlainAddress(good) {
			t.Errorf("%q is refused", good)
		}
	}
}

func TestWordsOfNotices(t *testing.T) {
	for _, lang := range []string{"en", "nl", "fr", "de"} {
		for _, kind := range []string{"created", "used", "unknown"} {
			for _, n := range []int{1, 2} {
				subject, body, err := activation.NoticeBody(lang, kind, n)
				if err != nil || subject == "" || strings.ContainsAny(body, "{}") || !strings.Contains(body, "+32 2 555 00 00") || kind != "created" && !strings.Contains(body, fmt.Sprint(n)) {
					t.Errorf("%s %s %d: %q %q %v", lang, kind, n, subject, body, err)
				}
			}
		}
	}
}

func TestNoticesThatAreRefused(t *testing.T) {
	open := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(open, []byte("x"), 0o644))
	for name, n := range map[string]activation.Notices{
		"kind":            {Kind: "pigeon", From: "a@x.test", Help: "h"},
		"no from":         {Kind: "file", Dir: t.TempDir(), Help: "h"},
		"two from":        {Kind: "file", Dir: t.TempDir(), From: "a@x.test, b@x.test", Help: "h"},
		"no help":         {Kind: "file", Dir: t.TempDir(), From: "a@x.test"},
		"no folder":       {Kind: "file", Dir: open, From: "a@x.test", Help: "h"},
		"no port":         {Kind: "smtp", Address: "mail.test", From: "a@x.test", Help: "h"},
		"no TLS far away": {Kind: "smtp", Address: "192.0.2.1:25", TLS: "none", From: "a@x.test", Help: "h"},
		"open password":   {Kind: "smtp", Address: "mail.test:587", Username: "u", PasswordFile: open, From: "a@x.test", Help: "h"},
		"no password":     {Kind: "smtp", Address: "mail.test:587", Username: "u", From: "a@x.test", Help: "h"},
	} {
		if err := activation.CheckNotices(n); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
