package activation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
)

// Notices is the manual of the section `notices:`: how people are told that
// their key was used. Examples:
//
//	notices: {kind: file, dir: /srv/tekend/sam/notices, from: "Tekend <keys@sign.acme.example>", help: "+32 2 555 00 00"}
//	notices: {kind: smtp, address: "mail.acme.example:587", username: tekend, password_file: /srv/tekend/sam/smtp-password,
//	  from: "Tekend <keys@sign.acme.example>", help: "https://acme.example/key-misuse"}
//
// The relay is the second, and last, address that the trusted side calls:
// docs/decisions/0011-notices.md.
type Notices struct {
	// Kind is file (one message file each, for another program to send) or
	// smtp. Default: nobody is told.
	Kind string `yaml:"kind"`
	// Dir is the folder of kind file; it must be there.
	Dir string `yaml:"dir"`
	// Address of the relay, host:port.
	Address string `yaml:"address"`
	// TLS: starttls (the relay must offer it), implicit, or none, which is for
	// a relay on this machine. Default starttls.
	TLS string `yaml:"tls"`
	// CAFile is a PEM file with the roots that the relay's certificate may
	// have. Default the system's.
	CAFile string `yaml:"ca_file"`
	// Username for AUTH PLAIN, and a file (mode 0600) with the password.
	// Default no AUTH.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	// From is the sender, an address with or without a name. Required.
	From string `yaml:"from"`
	// Help says where a person turns who did not do what the notice tells: a
	// telephone number or an https address. Required.
	Help string `yaml:"help"`
}

// open makes the outbox; nil when there is none.
func (n Notices) open() (*outbox, error) {
	if n.Kind == "" {
		return nil, nil
	}
	from, err := mail.ParseAddress(n.From)
	if err != nil || !plainAddress(from.Address) || strings.ContainsAny(n.From, "\r\n") {
		return nil, errors.New("sam: notices.from must be one address")
	}
	if n.Help == "" || strings.ContainsAny(n.Help, "\r\n") {
		return nil, errors.New("sam: notices.help is missing, or has more than one line")
	}
	words, err := catalogues()
	if err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	o := &outbox{
		words: words, from: from.String(), domain: domain, help: n.Help,
		slots: make(chan struct{}, senders), wake: make(chan struct{}, 1),
	}
	switch n.Kind {
	case "file":
		info, err := os.Stat(n.Dir)
		if err != nil || !info.IsDir() {
			return nil, errors.New("sam: notices.dir must be a folder")
		}
		o.mailer = folder(n.Dir)
	case "smtp":
		if o.mailer, err = n.relay(from.Address); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("sam: notices.kind must be file or smtp")
	}
	return o, nil
}

func (n Notices) relay(from string) (*relay, error) {
	host, _, err := net.SplitHostPort(n.Address)
	if err != nil {
		return nil, fmt.Errorf("sam: notices.address: %w", err)
	}
	r := &relay{address: n.Address, host: host, mode: n.TLS, from: from, tls: &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}}
	if r.mode == "" {
		r.mode = "starttls"
	}
	ip := net.ParseIP(host)
	switch {
	case r.mode != "starttls" && r.mode != "implicit" && r.mode != "none":
		return nil, errors.New("sam: notices.tls must be starttls, implicit or none")
	case r.mode == "none" && (ip == nil || !ip.IsLoopback()):
		return nil, errors.New("sam: notices.tls none is for a relay at a loopback address")
	case (n.Username == "") != (n.PasswordFile == ""):
		return nil, errors.New("sam: notices.username and password_file belong together")
	}
	if n.CAFile != "" {
		pem, err := os.ReadFile(n.CAFile)
		if err != nil {
			return nil, fmt.Errorf("sam: notices.ca_file: %w", err)
		}
		r.tls.RootCAs = x509.NewCertPool()
		if !r.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("sam: notices.ca_file holds no certificate")
		}
	}
	if n.PasswordFile != "" {
		password, err := readPassword(n.PasswordFile)
		if err != nil {
			return nil, err
		}
		r.auth = smtp.PlainAuth("", n.Username, password, host)
	}
	return r, nil
}

func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("sam: notices.password_file: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		return "", errors.New("sam: notices.password_file must be readable for its owner alone (0600)")
	}
	b, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return "", fmt.Errorf("sam: notices.password_file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// folder is the mailer of kind file.
type folder string

// send writes the letter under its own name, whole or not at all: sent twice,
// it is one file.
func (d folder) send(_ context.Context, l letter) error {
	b, err := l.bytes()
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(l.id, "@")
	path := filepath.Join(string(d), name+".eml")
	f, err := os.CreateTemp(string(d), ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	parent, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// relay is the mailer of kind smtp (RFC 5321), one connection for each letter.
type relay struct {
	address, host, mode, from string
	tls                       *tls.Config
	auth                      smtp.Auth
}

// maxTalk bounds what a relay may say to one letter, in bytes.
const maxTalk = 64 << 10

// talk is a connection with a bound to what is read.
type talk struct {
	net.Conn
	left int
}

func (t *talk) Read(p []byte) (int, error) {
	if t.left <= 0 {
		return 0, errors.New("the relay says too much")
	}
	n, err := t.Conn.Read(p[:min(len(p), t.left)])
	t.left -= n
	return n, err
}

func (r *relay) send(ctx context.Context, l letter) error {
	b, err := l.bytes()
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // the only clock of this call is ctx
	c, err := r.begin(ctx, conn)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() { _ = c.Close() }()
	if r.auth != nil {
		if err := c.Auth(r.auth); err != nil {
			return err
		}
	}
	if err := errors.Join(c.Mail(r.from), c.Rcpt(l.to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // the relay has it when this is nil
		return err
	}
	_ = c.Quit() // it was taken, whatever is said now
	return nil
}

// begin greets the relay, under TLS unless the configuration says none.
func (r *relay) begin(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	conn = &talk{conn, maxTalk}
	if r.mode == "implicit" {
		secure := tls.Client(conn, r.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	c, err := smtp.NewClient(conn, r.host)
	if err != nil {
		return nil, err
	}
	if r.mode == "starttls" { // never without: a relay that does not offer it fails here
		if err := c.StartTLS(r.tls); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}
