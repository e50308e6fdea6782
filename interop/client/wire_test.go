//go:build interop

// Package client watches what package client sends to a running service: that no part of a document, and no name of one,
// leaves the platform that keeps it.
package client

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/client"
	"tekend/interop/sandboxtest"
	"tekend/validate"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wire is the only way from the client to the service. It keeps every byte that goes there.
type wire struct {
	net.Listener
	to   string
	mu   sync.Mutex
	sent bytes.Buffer
}

func watch(t testing.TB, service string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wire{Listener: ln, to: strings.TrimPrefix(service, "http://")}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w
}

func (w *wire) carry(from net.Conn) {
	defer func() { _ = from.Close() }()
	to, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	go func() { _, _ = io.Copy(from, to); _ = from.Close() }()
	_, _ = io.Copy(to, io.TeeReader(from, w))
}

// Write keeps what is sent.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent.Write(b)
}

func (w *wire) taken() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := bytes.Clone(w.sent.Bytes())
	w.sent.Reset()
	return b
}

func (w *wire) url() string { return "http://" + w.Addr().String() }

// window is how much of a document in a row would be noticed, in bytes.
const window = 16

// windows are all runs of a document.
type windows map[[window]byte]struct{}

func windowsOf(docs ...[]byte) windows {
	all := windows{}
	for _, d := range docs {
		for i := 0; i+window <= len(d); i++ {
			all[[window]byte(d[i:])] = struct{}{}
		}
	}
	return all
}

var (
	base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{22,}`)
	hexRun    = regexp.MustCompile(`[0-9A-Fa-f]{32,}`)
)

// in gives a run of a document in what was sent: as it is, in base64 (at each of the four places where it can begin) or in hex.
func (ws windows) in(sent []byte) (string, bool) {
	views := [][]byte{sent}
	for _, run := range base64Run.FindAll(sent, -1) {
		text := strings.NewReplacer("-", "+", "_", "/").Replace(string(run))
		for begin := range min(4, len(text)) {
			part := text[begin:]
			if b, err := base64.RawStdEncoding.DecodeString(part[:len(part)/4*4]); err == nil {
				views = append(views, b)
			}
		}
	}
	for _, run := range hexRun.FindAll(sent, -1) {
		for begin := range 2 {
			part := run[begin:]
			if b, err := hex.DecodeString(string(part[:len(part)/2*2])); err == nil {
				views = append(views, b)
			}
		}
	}
	for _, v := range views {
		for i := 0; i+window <= len(v); i++ {
			if _, found := ws[[window]byte(v[i:])]; found {
				return fmt.Sprintf("%q", v[i:i+window]), true
			}
		}
	}
	return "", false
}

// name is what the documents are called here, and nowhere else.
const name = "Q3-redundancies-Zelenka"

// documents are two PDFs; the second one has half a megabyte of noise in a stream, so that nothing in it is like anything else.
func documents(t testing.TB) [][]byte {
	t.Helper()
	first, err := os.ReadFile(filepath.Join(sandboxtest.Root(t), "testdata/pdf/libreoffice-writer.pdf"))
	must(t, err)
	noise := make([]byte, 512<<10)
	_, _ = rand.Read(noise)
	var z bytes.Buffer
	zw := zlib.NewWriter(&z)
	_, _ = zw.Write(noise)
	must(t, zw.Close())
	var b bytes.Buffer
	var at []int
	object := func(text string) { at = append(at, b.Len()); fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), text) }
	b.WriteString("%PDF-1.7\n")
	object("<</Type/Catalog/Pages 2 0 R/Lang(" + name + ")>>")
	object("<</Type/Pages/Kids[3 0 R]/Count 1>>")
	object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Resources<<>>>>")
	object(fmt.Sprintf("<</Length %d/Filter/FlateDecode>>\nstream\n%s\nendstream", z.Len(), z.Bytes()))
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, o := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, start)
	return [][]byte{first, b.Bytes()}
}

// TestNothingOfADocumentLeaves: for each level and format, from preparation to the product that our own judge passes, under a
// watcher that was seen to notice.
func TestNothingOfADocumentLeaves(t *testing.T) {
	s := sandboxtest.Start(t)
	flow, info := s.Flow(t), s.Info(t)
	pem, err := os.ReadFile(info.RootPEM)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	w := watch(t, info.Front)
	docs := documents(t)
	all := windowsOf(docs...)

	// The watcher notices: the ordinary way sends the documents.
	ordinary := *flow
	ordinary.Front = w.url()
	_, err = ordinary.Create(t.Context(), "", docs[1])
	must(t, err)
	sent := w.taken()
	if _, found := all.in(sent); !found {
		t.Fatal("the watcher does not see a document that is sent")
	}
	for _, hidden := range []string{base64.StdEncoding.EncodeToString(docs[1][1000:1100]), hex.EncodeToString(docs[1][1000:1100]), "x" + base64.RawURLEncoding.EncodeToString(docs[1][2000:2100])} {
		if _, found := all.in([]byte("{\"digest\":\"" + hidden + "\"}")); !found {
			t.Fatalf("the watcher does not see %s", hidden[:20])
		}
	}

	c, err := client.New(client.Config{BaseURL: w.url(), Key: flow.Key, Roots: roots, Now: time.Now})
	must(t, err)
	for _, format := range []string{client.PAdES, client.CAdES} {
		for _, level := range []string{"B-B", "B-T", "B-LT", "B-LTA"} {
			t.Run(format+" "+level, func(t *testing.T) {
				run(t, c, flow, docs, client.Options{Format: format, Level: level})
				prepareFirst(t, c, flow, docs, client.Options{Format: format, Level: level})
				sent := w.taken()
				if run, found := all.in(sent); found {
					t.Errorf("a part of a document was sent: %s", run)
				}
				if bytes.Contains(bytes.ToLower(sent), []byte(strings.ToLower(name))) {
					t.Error("the name was sent")
				}
				if len(sent) > 32<<10 {
					t.Errorf("%d bytes were sent", len(sent))
				}
				want := 4 // two orders, and once more after the crashes
				if level == "B-LTA" && format == client.PAdES {
					want += 2 * len(docs) // time-stamps
				}
				if posts, puts := bytes.Count(sent, []byte("POST ")), bytes.Count(sent, []byte("PUT ")); posts != want || puts != 2 {
					t.Errorf("%d orders and time-stamps, not %d; %d times digests, not 2", posts, want, puts)
				}
				t.Logf("%d bytes sent for documents of %d", len(sent), len(docs[0])+len(docs[1]))
			})
		}
	}
}

// run signs both documents under one confirmation, with a crash after each step: what goes on has only what was kept.
func run(t *testing.T, c *client.Client, flow *sandboxtest.Flow, docs [][]byte, o client.Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	order := client.Order{Reference: "wire", IdempotencyKey: client.NewKey()}
	var r *client.Request
	var err error
	for range 2 {
		r, err = c.Announce(ctx, order, o, o)
		must(t, err)
	}
	walked := make(chan string, 1)
	go func() {
		step, _ := flow.Walk(ctx, r.SigningURL, "approve")
		walked <- step
	}()
	r, err = c.Identified(ctx, r.ID, nil)
	must(t, err)
	var all []*client.Preparation
	for _, d := range docs {
		p, err := c.PrepareFor(ctx, r, bytes.NewReader(d), int64(len(d)), o)
		must(t, err)
		all = append(all, p)
	}
	kept, err := json.Marshal(all)
	must(t, err)
	for range 2 {
		all = nil
		must(t, json.Unmarshal(kept, &all))
		_, err = c.SendDigests(ctx, r.ID, "", all...)
		must(t, err)
	}
	finish(ctx, t, c, r.ID, docs, all)
	if step := <-walked; step != "done" {
		t.Errorf("the page came to %s", step)
	}
}

// finish gives what a finished request made to the judge of package client.
func finish(ctx context.Context, t *testing.T, c *client.Client, id string, docs [][]byte, all []*client.Preparation) {
	t.Helper()
	_, err := c.Wait(ctx, id, nil)
	must(t, err)
	for i, d := range docs {
		got, err := c.Product(ctx, id, i+1)
		must(t, err)
		s, err := c.Finish(ctx, bytes.NewReader(d), int64(len(d)), all[i], got)
		must(t, err)
		if s.Level != all[i].Level || s.Report.Indication != validate.TotalPassed {
			t.Errorf("%d: %s %s", i, s.Level, s.Report.Indication)
		}
	}
}

// prepareFirst is the other way: the digests are sent with the order. The person has his certificate already.
func prepareFirst(t *testing.T, c *client.Client, flow *sandboxtest.Flow, docs [][]byte, o client.Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var kept []byte
	var all []*client.Preparation
	again := func() {
		all = nil
		must(t, json.Unmarshal(kept, &all))
	}
	for i, d := range docs {
		o.Label = fmt.Sprintf("document %d", i+1)
		p, err := c.Prepare(ctx, bytes.NewReader(d), int64(len(d)), o)
		must(t, err)
		all = append(all, p)
	}
	var err error
	kept, err = json.Marshal(all)
	must(t, err)
	again()
	order := client.Order{Reference: "wire", IdempotencyKey: client.NewKey()}
	r, err := c.Send(ctx, order, all...)
	must(t, err)
	if step, err := flow.Walk(ctx, r.SigningURL, "approve"); step != "done" {
		t.Fatalf("%s %v", step, err)
	}
	again()
	same, err := c.Send(ctx, order, all...)
	must(t, err)
	if same.ID != r.ID {
		t.Fatal("the person would be asked twice")
	}
	finish(ctx, t, c, same.ID, docs, all)
}
