package signer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/signer"
	"tekend/store"
)

// disk makes one write of the front fail: a full disk, a lost answer to COMMIT (reliability F24, F25).
type disk struct {
	mu     sync.Mutex
	to     signer.State // the next change to this state fails …
	stored bool         // … though it was stored
	at     func()       // runs when it failed
	hit    int

	read  atomic.Int64 // bytes of documents
	panic atomic.Bool  // whoever reads a document
}

func (d *disk) fail(to signer.State, stored bool, at func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to, d.stored, d.at, d.hit = to, stored, at, 0
}

func (d *disk) hits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hit
}

// badDisk is the real store on a disk with faults.
type badDisk struct {
	*store.Store
	disk *disk
}

// Open counts what is read.
func (b badDisk) Open(ctx context.Context, name string) (signer.BlobFile, error) {
	f, err := b.Store.Open(ctx, name)
	return counted{f, b.disk}, err
}

type counted struct {
	signer.BlobFile
	disk *disk
}

func (c counted) ReadAt(p []byte, off int64) (int, error) {
	if c.disk.panic.Load() {
		panic("a fault in the program")
	}
	n, err := c.BlobFile.ReadAt(p, off)
	c.disk.read.Add(int64(n))
	return n, err
}

var errDisk = errors.New("input/output error")

func (b badDisk) Advance(ctx context.Context, c signer.Change) error {
	b.disk.mu.Lock()
	fail := c.Now.State == b.disk.to && (c.Was != b.disk.to || c.Use != "")
	stored, at := b.disk.stored, b.disk.at
	if fail {
		b.disk.to = ""
		b.disk.hit++
	}
	b.disk.mu.Unlock()
	if !fail {
		return b.Store.Advance(ctx, c)
	}
	if stored {
		if err := b.Store.Advance(ctx, c); err != nil {
			return err
		}
		c.Now.Version = 0 // whoever goes on with it after an error gets nowhere
	}
	if at != nil {
		at()
	}
	return errDisk
}

// TestEachWriteFailsInBothWays: every change of state is not stored, or is stored and nobody is told; with and
// without the front dying at that moment, which is a restart in every state.
func TestEachWriteFailsInBothWays(t *testing.T) {
	w := enrolled(t)
	file := sample(t, "fpdf2.pdf")
	for _, dies := range []bool{false, true} {
		for _, stored := range []bool{false, true} {
			for _, to := range []signer.State{signer.Identified, signer.Prepared, signer.Confirmed, signer.Activating, signer.Signed, signer.Finished} {
				t.Run(fmt.Sprintf("%s stored=%v dies=%v", to, stored, dies), func(t *testing.T) {
					before := w.uses()
					held, release := make(chan struct{}), make(chan struct{})
					var at func()
					if dies {
						at = func() { close(held); <-release }
					}
					w.disk.fail(to, stored, at)
					r, token := w.order("cust-1", file)
					gone := make(chan struct{})
					old := w.front
					go func() {
						defer close(gone)
						p, err := old.Page(context.Background(), token)
						for n := 0; n < 500 && err == nil && p.Step == signer.StepWait; n++ {
							time.Sleep(10 * time.Millisecond)
							p, err = old.Page(context.Background(), token)
						}
						if err == nil && p.Step == signer.StepConfirm {
							a := w.atItsme(p.Link, "approve")
							_, _ = old.Callback(context.Background(), a.state, a.code, a.err)
						}
					}()
					if dies {
						select {
						case <-held:
						case <-time.After(30 * time.Second):
							t.Fatal("the write never came")
						}
						w.front.stop()
						close(release)
						w.restartFront()
					}
					<-gone
					w.walk(token, "approve", signer.StepDone)
					r = w.wait(r.ID, signer.Finished)
					w.released(r, file)
					if w.disk.hits() != 1 {
						t.Errorf("%d writes failed", w.disk.hits())
					}
					w.check(before, r, 1)
				})
			}
		}
	}
}

// TestAnAnswerWhoseStorageFailsCanBeBroughtAgain: the browser reloads the callback.
func TestAnAnswerWhoseStorageFailsCanBeBroughtAgain(t *testing.T) {
	w := enrolled(t)
	for stored, want := range map[bool]string{false: "", true: "callback_used"} {
		r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
		p := w.walk(token, "approve", signer.StepConfirm)
		a := w.atItsme(p.Link, "approve")
		w.disk.fail(signer.Prepared, stored, nil)
		if _, err := w.front.Callback(t.Context(), a.state, a.code, a.err); !errors.Is(err, errDisk) {
			t.Fatalf("stored=%v: %v", stored, err)
		}
		if _, err := w.front.Callback(t.Context(), a.state, a.code, a.err); codeOf(err) != want || want == "" && err != nil {
			t.Errorf("stored=%v, again: %v", stored, err)
		}
		w.wait(r.ID, signer.Finished)
	}
}

// TestTheTokenGoesAndComesBack: a confirmed request waits for the signing device while its session lives.
func TestTheTokenGoesAndComesBack(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	file := sample(t, "fpdf2.pdf")
	back := make(chan func(), 1)
	lost := w.sam.breakCall("/signatures/", 1, requestLost)
	lost.at = func() { back <- takeTokenAway(t) }
	r, token := w.order("cust-1", file)
	p := w.walk(token, "approve", signer.StepConfirm)
	w.callback(w.atItsme(p.Link, "approve"))
	bring := <-back
	noticed := func() bool { n := w.get(r.ID).Notice; return n != nil && n.Code == "hsm_unavailable" }
	for n := 0; !noticed() && n < 1000; n++ {
		time.Sleep(10 * time.Millisecond)
	}
	if !noticed() || w.get(r.ID).State != signer.Activating {
		t.Errorf("state %s, notice %+v", w.get(r.ID).State, w.get(r.ID).Notice)
	}
	bring()
	r = w.wait(r.ID, signer.Finished)
	w.released(r, file)
	w.check(before, r, 1)
}

func TestTheWholeWayWithAnRSAKey(t *testing.T) {
	w := newWorldOf(t, hsm.RSA3072)
	files := [][]byte{sample(t, "pdftex-2.0.pdf"), sample(t, "reportlab-acroform.pdf")}
	r, token := w.order("", files...)
	w.walk(token, "approve", signer.StepDone)
	w.released(w.wait(r.ID, signer.Finished), files...)
}

// TestAFaultOfOursEndsInItsTime: a step that panics is tried again, less and less often, and not for ever.
func TestAFaultOfOursEndsInItsTime(t *testing.T) {
	w := enrolled(t)
	for _, mended := range []bool{true, false} {
		r, token := w.order("cust-1", onePage(fmt.Sprintf("%% fault %t\n", mended)))
		p := w.walk(token, "approve", signer.StepConfirm)
		w.disk.panic.Store(true)
		w.callback(w.atItsme(p.Link, "approve"))
		if got := w.noticed(r.ID); got == nil || got.Code != "internal" || !got.Retryable {
			t.Fatalf("%+v", got)
		}
		if mended {
			w.disk.panic.Store(false)
			w.sleep(2 * time.Minute)
			w.released(w.wait(r.ID, signer.Finished), onePage("% fault true\n"))
			continue
		}
		w.sleep(73 * time.Hour)
		if r = w.wait(r.ID, signer.Failed); r.Failure.Code != signer.ErrLevelLate.Code {
			t.Errorf("%v", r.Failure)
		}
	}
}

// TestADocumentThatIsDamagedOnTheDiskIsNotReleased: by another hash than the one of the upload it is read before the person is asked,
// and what is there then must not be what is signed; else our own check finds it.
func TestADocumentThatIsDamagedOnTheDiskIsNotReleased(t *testing.T) {
	for _, c := range []struct {
		kind hsm.KeyKind
		want *signer.Error
		uses int
	}{{hsm.P384, signer.ErrDamaged, 0}, {hsm.P256, signer.ErrOwnCheck, 1}} {
		w := newWorldOf(t, c.kind)
		for n, format := range []string{signer.PAdES, signer.CAdES} {
			before := len(w.uses().signed)
			r, token := w.ordered(signer.Order{Reference: "cust", Format: format}, upload(onePage("% undamaged "+format+"\n")))
			found, err := filepath.Glob(filepath.Join(w.path("blobs"), "*"))
			w.must(err)
			changed := 0
			for _, name := range found {
				b, err := os.ReadFile(name)
				w.must(err)
				if bytes.Contains(b, []byte("undamaged "+format)) {
					w.must(os.Chmod(name, 0o600))
					w.must(os.WriteFile(name, bytes.Replace(b, []byte("undamaged"), []byte("-damaged-"), 1), 0o600))
					changed++
				}
			}
			w.walk(token, "approve", signer.StepDone, signer.StepFailed)
			if r = w.wait(r.ID, signer.Failed); r.Failure.Code != c.want.Code || changed != 1 {
				t.Errorf("%s %s: %v", c.kind, format, r.Failure)
			}
			if used := len(w.uses().signed) - before; used != c.uses {
				t.Errorf("%s %s, %d: %d uses", c.kind, format, n, used)
			}
		}
		w.stopFront()
	}
}

// takeTokenAway moves SoftHSM's token directory away, as a pulled device; the function brings it back.
func takeTokenAway(t testing.TB) (back func()) {
	t.Helper()
	dir := hsmtest.Directory(t)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
	}
}
