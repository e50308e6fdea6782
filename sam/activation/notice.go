package activation

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"time"

	"tekend/consent"
)

//go:embed messages/*.json
var messageFiles embed.FS

// noticeLanguages have a catalogue of words.
var noticeLanguages = []string{"en", "nl", "fr", "de"}

// Kinds of notices.
const (
	noticeCreated = "created"
	noticeUsed    = "used"
	noticeUnknown = "unknown"
	noticeRevoked = "revoked"
	noticeSuspend = "suspended"
	noticeResumed = "resumed"
)

// noticeOf says which rows of the audit the person is told of.
var noticeOf = map[string]string{
	"key.used": noticeUsed, "key.unknown": noticeUnknown, "credential.linked": noticeCreated,
	"credential.revoked": noticeRevoked, "credential.suspended": noticeSuspend, "credential.resumed": noticeResumed,
}

// notice is one message to a person. It says when, how many documents, for
// which request, and what to do; the names of documents are not for e-mail.
type notice struct {
	concern
	seq   int64 // of the row of the audit
	kind  string
	at    time.Time
	tries int

	// Of a new certificate: where it can be revoked without us, and the code for it.
	address, secret string
}

// catalogue are the words of one language.
type catalogue map[string]string

// catalogues reads the words. A catalogue that lacks a word is an error at start.
func catalogues() (map[string]catalogue, error) {
	all := map[string]catalogue{}
	for _, lang := range noticeLanguages {
		b, err := messageFiles.ReadFile("messages/" + lang + ".json")
		if err != nil {
			return nil, fmt.Errorf("notices: %w", err)
		}
		c := catalogue{}
		if err := json.Unmarshal(b, &c); err != nil {
			return nil, fmt.Errorf("notices: %s: %w", lang, err)
		}
		all[lang] = c
	}
	for lang, c := range all {
		for key := range all["en"] {
			if c[key] == "" || len(c) != len(all["en"]) {
				return nil, fmt.Errorf("notices: the words of %s are not whole: %s", lang, key)
			}
		}
	}
	return all, nil
}

// say fills a text in: names and values in pairs.
func (c catalogue) say(key string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(c[key])
}

// body is the notice in words.
func (n notice) body(c catalogue, help string) (string, error) {
	key := n.kind
	if n.kind == noticeUsed || n.kind == noticeUnknown {
		key += ".many"
		if n.documents == 1 {
			key = n.kind + ".one"
		}
	}
	lines := []string{c.say(key, "{when}", n.at.UTC().Format("2006-01-02 15:04 UTC"), "{count}", strconv.Itoa(n.documents)), ""}
	if n.txn != "" {
		lines = append(lines, c.say("request", "{request}", n.txn))
	}
	if n.root != "" {
		code, err := consent.CheckCode(n.root)
		if err != nil {
			return "", fmt.Errorf("notice: %w", err)
		}
		lines = append(lines, c.say("code", "{code}", code))
	}
	if n.secret != "" {
		lines = append(lines, c.say("revoke", "{address}", n.address), "", "    "+n.secret, "")
	}
	lines = append(lines, c.say("entry", "{seq}", strconv.FormatInt(n.seq, 10)), "", c.say("wrong", "{help}", help), "", c.say("end"))
	return strings.Join(lines, "\r\n") + "\r\n", nil
}

// letter is a message on its way.
type letter struct {
	id       string // the same however often it is sent
	to       string
	from     string // header, as configured
	language string
	subject  string
	body     string // lines end in CRLF
	date     time.Time
}

// bytes are the message of RFC 5322. No value can add a header: all are ours
// or checked when they were read, and a line break in one is an error.
func (l letter) bytes() ([]byte, error) {
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", l.from}, {"To", l.to}, {"Subject", mime.QEncoding.Encode("utf-8", l.subject)},
		{"Date", l.date.UTC().Format(time.RFC1123Z)}, {"Message-ID", "<" + l.id + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834 §5: no automatic answers
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Language", l.language}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		if strings.ContainsAny(h[1], "\r\n\x00") {
			return nil, errors.New("notice: a header with a line break")
		}
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(l.body)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
