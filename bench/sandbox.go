package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"tekend/api"
	"tekend/ca"
	"tekend/interop/sandboxtest"
	"tekend/sam"
)

// bench is what the groups share.
type bench struct {
	tmp    string // for documents; removed at the end
	long   bool   // -long
	shared *sandboxtest.Sandbox
	tb     *tb
	info   sandboxtest.Info
	pids   map[string]int
	token  *tokens
	cred   *credential
}

// tb lets package sandboxtest work outside a test.
type tb struct {
	testing.TB // nil: only the methods below are called
	cleanup    []func()
	failed     bool
}

func (t *tb) Helper()                        {}
func (t *tb) Cleanup(f func())               { t.cleanup = append(t.cleanup, f) }
func (t *tb) Failed() bool                   { return t.failed }
func (t *tb) Log(a ...any)                   { fmt.Fprintln(os.Stderr, a...) }
func (t *tb) Error(a ...any)                 { t.failed = true; t.Log(a...) }
func (t *tb) Fatal(a ...any)                 { t.failed = true; panic(stop{fmt.Errorf("%s", fmt.Sprint(a...))}) }
func (t *tb) Fatalf(format string, a ...any) { t.Fatal(fmt.Sprintf(format, a...)) }

func (t *tb) close() {
	for _, f := range slices.Backward(t.cleanup) {
		f()
	}
	t.cleanup = nil
}

func (b *bench) close() {
	if b.tb != nil {
		b.tb.close()
	}
	if b.token != nil {
		b.token.close()
	}
	_ = os.RemoveAll(b.tmp)
}

// sandbox is the one that all groups but "ready" share.
func (b *bench) sandbox() *sandboxtest.Sandbox {
	if b.shared == nil {
		t := &tb{}
		b.tb = t
		b.shared = sandboxtest.Start(t)
		b.info = b.shared.Info(t)
		b.pids = b.info.PIDs
	}
	return b.shared
}

func (b *bench) socket(role, folder, name string) string {
	return filepath.Join(b.sandbox().Dir, role, folder, name)
}

// rolesCPU adds up the CPU time of our processes; the simulated itsme is not ours.
func (b *bench) rolesCPU() float64 {
	sum := 0.0
	for _, role := range []string{"front", "sam", "ca", "tsa"} {
		sum += processCPU(b.pids[role])
	}
	return sum
}

// ready measures from exec to sandbox.json: a folder's first start, with the
// ceremony that makes all keys, and its second.
func (b *bench) ready() []row {
	const rounds = 5
	var first, second, cpu sample
	for range rounds {
		t := &tb{}
		c, at := rusage(syscall.RUSAGE_CHILDREN), time.Now()
		s := sandboxtest.Start(t)
		first = append(first, time.Since(at).Seconds())
		s.Stop(t)
		settle()
		cpu = append(cpu, (rusage(syscall.RUSAGE_CHILDREN) - c).Seconds())
		at = time.Now()
		s.Run(t)
		second = append(second, time.Since(at).Seconds())
		t.close()
	}
	return []row{
		{goal: "sandbox ready, first start with ceremony", must: "≤ 3 s", measured: first.show("%.2f", " s"),
			raw: cpu.show("%.2f", " s") + " CPU of all its processes", verdict: verdict(first.median() <= 3)},
		{goal: "sandbox ready, second start", must: "≤ 3 s", measured: second.show("%.2f", " s"), verdict: verdict(second.median() <= 3)},
	}
}

// settle lets the account of a child that has just been waited for arrive.
func settle() { time.Sleep(20 * time.Millisecond) }

// credential is a person who enrolled directly at the sam, so that its calls
// can be measured alone.
type credential struct {
	sam   *sam.Client
	pid   int // of the sam
	flow  *sandboxtest.Flow
	id    string
	chain [][]byte
	count int
}

// enrolled is a person of the sandbox that the groups share.
func (b *bench) enrolled(ctx context.Context) *credential {
	if b.cred == nil {
		s := b.sandbox()
		b.cred = enrol(ctx, s, b.tb)
	}
	return b.cred
}

// enrol walks both legs as the front does, with its contracts.
func enrol(ctx context.Context, s *sandboxtest.Sandbox, t *tb) *credential {
	version, digest, err := api.TermsInForce()
	must(err)
	socket := func(role string) string { return filepath.Join(s.Dir, role, "run", role+".sock") }
	c := &credential{sam: sam.NewClient(socket("sam"), time.Minute), flow: s.Flow(t), pid: s.Info(t).PIDs["sam"]}
	step := need(c.sam.Enrol(ctx, sam.EnrolRequest{V: sam.Version, Txn: "bench", Language: "en", TermsVersion: version, TermsSHA256: digest}))
	step = need(c.sam.Identification(ctx, step.ID, c.answer(ctx, step.AuthorizationURL)))
	if step.Step == sam.StepConsent {
		step = need(c.sam.Consent(ctx, step.ID, c.answer(ctx, step.AuthorizationURL)))
		demand(step.Order != nil, "the enrolment stands at %s", step.Step)
		issued := need(ca.NewClient(socket("ca"), time.Minute).Issue(ctx, ca.IssueRequest(*step.Order)))
		step = need(c.sam.Certificate(ctx, step.ID, issued.Chain))
	}
	demand(step.Credential != nil, "the enrolment ended at %s", step.Step)
	c.id, c.chain = step.Credential.ID, step.Credential.Chain
	return c
}

// answer lets the person confirm at itsme.
func (c *credential) answer(ctx context.Context, link string) sam.Answer {
	back := need(url.Parse(need(c.flow.AtItsme(ctx, link, "approve"))))
	return sam.Answer{Code: back.Query().Get("code"), Error: back.Query().Get("error")}
}

// stream sends a file as an order without reading it into memory.
func stream(ctx context.Context, f *sandboxtest.Flow, reference, path, level string) sandboxtest.Request {
	file := need(os.Open(path))
	defer func() { _ = file.Close() }()
	req := need(http.NewRequestWithContext(ctx, http.MethodPost,
		f.Front+"/v1/signature-requests?level="+level+"&signer_reference="+url.QueryEscape(reference), file))
	req.ContentLength = need(file.Stat()).Size()
	req.Header.Set("Content-Type", "application/pdf")
	var r sandboxtest.Request
	decode(send(f, req), &r)
	return r
}

// download reads a document to its end.
func download(ctx context.Context, f *sandboxtest.Flow, address string) (int64, error) {
	body := send(f, need(http.NewRequestWithContext(ctx, http.MethodGet, address, nil)))
	defer func() { _ = body.Close() }()
	return io.Copy(io.Discard, body)
}
