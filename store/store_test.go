package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tekend/db"
	"tekend/db/dbtest"
	"tekend/pdf"
	"tekend/signer"
	"tekend/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{
		DBPath: dbtest.Source(t, filepath.Join(dir, "front.db")), Blobs: filepath.Join(dir, "blobs"), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func record(id string) *signer.Record {
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	return &signer.Record{
		ID: id, Client: "acme", State: signer.Created, Token: "token-of-" + id, Level: "B-T", Language: "nl",
		Reference: "cust-1", RedirectURL: "https://acme.example/back", CreatedAt: at, ExpiresAt: at.Add(time.Hour), NextAt: at.Add(time.Hour),
		Documents: []signer.Document{
			{ID: "doc_1" + id, Name: "a.pdf", Label: "a.pdf", Size: 3, SHA256: []byte{1}, Blob: "ba"},
			{ID: "doc_2" + id, Name: "b.pdf", Label: "b.pdf", Size: 4, SHA256: []byte{2}, Blob: "bb"},
		},
		Events: []signer.Event{{ID: "evt_1" + id, At: at, Type: "signature_request.created"}},
	}
}

func insert(t *testing.T, s *store.Store, id string) *signer.Record {
	t.Helper()
	r := record(id)
	if err := s.Insert(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func load(t *testing.T, s *store.Store, l signer.Lookup) *signer.Record {
	t.Helper()
	r, err := s.Load(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestARequestComesBackAsItWasStoredAlsoAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := insert(t, s, "sr_1")
	next := *r
	next.State = signer.Prepared
	next.Language = "en"
	next.Progress = signer.Progress{
		Credential: "cred_1", Chain: [][]byte{{1, 2}},
		Session: &signer.Session{ID: "s", Nonce: "n", ExpiresAt: r.ExpiresAt},
		Notice:  signer.ErrTSA, Attempts: 3,
	}
	next.Documents = append([]signer.Document(nil), r.Documents...)
	next.Documents[0].Work = &signer.Work{SignedAttrs: []byte{0x31, 0}, Value: []byte{9}}
	next.Documents[1].Work = &signer.Work{TimeStamp: []byte{7}}
	ev := signer.Event{ID: "evt_2", At: r.CreatedAt.Add(time.Second), Type: "signature_request.prepared"}
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: &next, Works: true, Event: &ev}); err != nil {
		t.Fatal(err)
	}
	next.Events = append(next.Events, ev)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	for _, l := range []signer.Lookup{{ID: "sr_1", Works: true}, {Token: "token-of-sr_1", Works: true}} {
		if d := cmp.Diff(&next, load(t, s, l), cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(signer.Error{})); d != "" {
			t.Errorf("%+v: %s", l, d)
		}
	}
	if light := load(t, s, signer.Lookup{ID: "sr_1"}); light.Documents[0].Work != nil {
		t.Error("the works were loaded though nobody asked")
	}
	if one := load(t, s, signer.Lookup{ID: "sr_1", Work: 1}); one.Documents[0].Work == nil {
		t.Error("the work that was asked for was not loaded")
	}
	if none := load(t, s, signer.Lookup{ID: "sr_1", Work: 2}); none.Documents[0].Work != nil {
		t.Error("another work was loaded than the one asked for")
	}
}

// TestAnIdempotencyKeyIsTakenOnce: for each client, also after a restart and by callers at once.
func TestAnIdempotencyKeyIsTakenOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() {
			r := record(fmt.Sprint("sr_", i))
			r.Once = &signer.Once{Key: "k", Digest: []byte{byte(i)}}
			results[i] = s.Insert(t.Context(), r)
		})
	}
	wg.Wait()
	won := -1
	for i, err := range results {
		_, there := s.Load(t.Context(), signer.Lookup{ID: fmt.Sprint("sr_", i)})
		switch {
		case err == nil && won < 0 && there == nil:
			won = i
		case !errors.Is(err, signer.ErrKeyTaken) || !errors.Is(there, signer.ErrNotFound):
			t.Errorf("%d: %v, stored: %v", i, err, there)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	r := load(t, s, signer.Lookup{Client: "acme", Key: "k"})
	if r.ID != fmt.Sprint("sr_", won) || !bytes.Equal(r.Once.Digest, []byte{byte(won)}) || len(r.Documents) != 2 {
		t.Errorf("%+v, won by %d", r, won)
	}
	for _, l := range []signer.Lookup{{Client: "acme", Key: "K"}, {Client: "other", Key: "k"}, {Client: "acme"}} {
		if _, err := s.Load(t.Context(), l); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	other := record("sr_other")
	other.Client, other.Once = "other", &signer.Once{Key: "k", Digest: []byte{1}}
	if err := s.Insert(t.Context(), other); err != nil {
		t.Error(err)
	}
}

// earlier makes a database as the first migrations leave it, up to one of this number, with a request sr_1.
func earlier(t *testing.T, dir, last string) *db.DB {
	t.Helper()
	old := fstest.MapFS{}
	names, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if filepath.Base(name) > last+"~" {
			continue
		}
		for _, name := range []string{name, filepath.Join("migrations/postgres", filepath.Base(name))} {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			old[name] = &fstest.MapFile{Data: text}
		}
	}
	d, err := db.Open(t.Context(), dbtest.Source(t, filepath.Join(dir, "front.db")), old)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.ExecContext(t.Context(), `INSERT INTO requests (id, client, state, version, token, token_sha256, level, language, reference, redirect_url,
		created_at, expires_at, next_at, progress) VALUES ('sr_1', 'acme', 'created', 1, 't', ?, 'B-T', 'nl', '', '', 1, 2, 3, '{}')`, []byte{1})
	if err != nil {
		t.Fatal(errors.Join(err, d.Close()))
	}
	return d
}

// TestWhoHasMadeARevisionIsTakenOver: a database that knew one request for a document, be it open or finished.
func TestWhoHasMadeARevisionIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	d := earlier(t, dir, "00008")
	for made := range 2 {
		if _, err := d.ExecContext(t.Context(), `INSERT INTO holds (client, sha256, request, made) VALUES ('acme', ?, 'sr_1', ?)`, []byte{byte(made)}, made); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	for made := range 2 {
		r := record(fmt.Sprint("sr_2", made))
		r.Client, r.Continues, r.Holds = "acme", true, [][]byte{{byte(made)}}
		held, ok := errors.AsType[*signer.HeldError](s.Insert(t.Context(), r))
		if !ok || held.Request != "sr_1" || held.Made != (made == 1) {
			t.Errorf("made %d: %+v", made, held)
		}
	}
}

// TestADatabaseOfTheFirstVersionIsTakenOver: a new migration is a new file.
func TestADatabaseOfTheFirstVersionIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	if err := earlier(t, dir, "00001").Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	load(t, s, signer.Lookup{ID: "sr_1"})
	r := record("sr_2")
	r.Once = &signer.Once{Key: "k", Digest: []byte{1}}
	if err := s.Insert(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestUnknownRequestsTokensStatesAndKeysAreNotFound(t *testing.T) {
	s := open(t, t.TempDir())
	insert(t, s, "sr_1")
	for _, l := range []signer.Lookup{{ID: "sr_2"}, {Token: "token-of-sr_2"}, {Token: "token-of-sr_"}, {}} {
		if _, err := s.Load(t.Context(), l); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	if _, err := s.Callback(t.Context(), "x"); !errors.Is(err, signer.ErrNotFound) {
		t.Errorf("callback: %v", err)
	}
	if _, err := s.ClientByKey(t.Context(), "x"); !errors.Is(err, signer.ErrNotFound) {
		t.Errorf("key: %v", err)
	}
	if id, err := s.CredentialOf(t.Context(), "acme", "nobody"); id != "" || err != nil {
		t.Errorf("credential: %q %v", id, err)
	}
}

func TestOfManyWritersOneWins(t *testing.T) {
	s := open(t, t.TempDir())
	r := insert(t, s, "sr_1")
	const writers = 32
	var wg sync.WaitGroup
	won := make(chan int, writers)
	for i := range writers {
		wg.Go(func() {
			next := *r
			next.State = signer.Identified
			next.Progress.Credential = fmt.Sprintf("cred_%d", i)
			err := s.Advance(context.Background(), signer.Change{Was: signer.Created, Now: &next})
			switch {
			case err == nil:
				won <- i
			case !errors.Is(err, signer.ErrConflict):
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	close(won)
	if len(won) != 1 {
		t.Fatalf("%d writers won", len(won))
	}
	if got, want := load(t, s, signer.Lookup{ID: "sr_1"}).Progress.Credential, fmt.Sprintf("cred_%d", <-won); got != want {
		t.Errorf("stored %s, the winner wrote %s", got, want)
	}
}

func TestAChangeHappensWholeOrNotAtAll(t *testing.T) {
	s := open(t, t.TempDir())
	r := insert(t, s, "sr_1")
	expect := &signer.Callback{State: "st", Request: "sr_1", Kind: signer.KindConfirmation, Subject: "nonce", ExpiresAt: r.ExpiresAt}
	a := *r
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: &a, Expect: expect}); err != nil {
		t.Fatal(err)
	}
	cb, err := s.Callback(t.Context(), "st")
	if d := cmp.Diff(*expect, cb); err != nil || d != "" {
		t.Fatal(err, d)
	}
	used := a
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: &used, Use: "st"}); err != nil {
		t.Fatal(err)
	}
	// The second use of the state changes nothing, not even what else is in the change.
	again := used
	again.State = signer.Failed
	again.Progress.Credential = "cred_1"
	err = s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: &again, Use: "st", Bind: true})
	if !errors.Is(err, signer.ErrConflict) {
		t.Fatalf("second use: %v", err)
	}
	got := load(t, s, signer.Lookup{ID: "sr_1"})
	if got.State != signer.Created || got.Version != used.Version {
		t.Errorf("state %s version %d", got.State, got.Version)
	}
	if id, _ := s.CredentialOf(t.Context(), "acme", "cust-1"); id != "" {
		t.Errorf("bound %q", id)
	}
}

func TestAStateParameterNeverMovesToAnotherQuestion(t *testing.T) {
	s := open(t, t.TempDir())
	one, two := insert(t, s, "sr_1"), insert(t, s, "sr_2")
	cb := signer.Callback{State: "st", Kind: signer.KindConfirmation, Subject: "nonce", ExpiresAt: one.ExpiresAt}
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: one, Expect: &cb}); err != nil {
		t.Fatal(err)
	}
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: one, Expect: &cb}); err != nil {
		t.Errorf("an equal question: %v", err)
	}
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: two, Expect: &cb}); err == nil {
		t.Error("another request took the state over")
	}
}

// TestAnAbandonedStateIsOverForEver: those known before, of this request, and not the new one.
func TestAnAbandonedStateIsOverForEver(t *testing.T) {
	s := open(t, t.TempDir())
	end := time.Date(2026, 11, 24, 10, 10, 0, 0, time.UTC)
	r, other := insert(t, s, "sr_1"), insert(t, s, "sr_2")
	expect := func(r *signer.Record, state string, abandon bool) {
		t.Helper()
		c := signer.Change{Was: r.State, Now: r, Abandon: abandon, Expect: &signer.Callback{State: state, Request: r.ID, Kind: signer.KindConfirmation, Subject: state, ExpiresAt: end}}
		if err := s.Advance(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	expect(other, "theirs", false)
	expect(r, "first", false)
	expect(r, "second", false)
	expect(r, "third", true)
	for state, over := range map[string]bool{"first": true, "second": true, "third": false, "theirs": false} {
		cb, err := s.Callback(t.Context(), state)
		if err != nil || cb.Used || cb.ExpiresAt.IsZero() || cb.ExpiresAt.Equal(end) == over || over && cb.ExpiresAt.After(time.Unix(1, 0)) {
			t.Errorf("%s: %+v %v", state, cb, err)
		}
	}
}

func TestCredentialsAreBoundPerClientAndCanBeForgotten(t *testing.T) {
	s := open(t, t.TempDir())
	r := insert(t, s, "sr_1")
	r.Progress.Credential = "cred_1"
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: r, Bind: true}); err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]string{"acme": "cred_1", "other": ""} {
		if id, err := s.CredentialOf(t.Context(), client, "cust-1"); id != want || err != nil {
			t.Errorf("%s: %q %v", client, id, err)
		}
	}
	r.Progress.Credential = ""
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: r, Bind: true}); err != nil {
		t.Fatal(err)
	}
	if id, _ := s.CredentialOf(t.Context(), "acme", "cust-1"); id != "" {
		t.Errorf("still bound: %q", id)
	}
}

func TestDueTellsWhatComesNext(t *testing.T) {
	s := open(t, t.TempDir())
	r := insert(t, s, "sr_1")
	insert(t, s, "sr_2")
	end := load(t, s, signer.Lookup{ID: "sr_2"})
	end.State, end.NextAt = signer.Declined, time.Time{}
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: end}); err != nil {
		t.Fatal(err)
	}
	ids, next, err := s.Due(t.Context(), r.NextAt.Add(-time.Second), 10)
	if len(ids) != 0 || !next.Equal(r.NextAt) || err != nil {
		t.Errorf("before: %v %v %v", ids, next, err)
	}
	ids, next, err = s.Due(t.Context(), r.NextAt, 10)
	if !cmp.Equal(ids, []string{"sr_1"}) || !next.IsZero() || err != nil {
		t.Errorf("at its time: %v %v %v", ids, next, err)
	}
}

func TestClientsAreKnownByTheirKeyOnly(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	k1, k2 := store.NewKey(), store.NewKey()
	if err := s.AddClient(t.Context(), "acme", k1); err != nil {
		t.Fatal(err)
	}
	if id, err := s.ClientByKey(t.Context(), k1); id != "acme" || err != nil {
		t.Errorf("%q %v", id, err)
	}
	if err := s.AddClient(t.Context(), "acme", k2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ClientByKey(t.Context(), k1); !errors.Is(err, signer.ErrNotFound) {
		t.Errorf("the old key: %v", err)
	}
	if err := s.AddClient(t.Context(), "weak", "short"); err == nil {
		t.Error("a short key was taken")
	}
	for _, f := range dbtest.Files(t, filepath.Join(dir, "front.db")) {
		raw, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) { // a temporary file of the server
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(k2)) || bytes.Contains(raw, []byte(k1)) {
			t.Errorf("%s holds a key", f)
		}
	}
}

func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	content := bytes.Repeat([]byte("tekend "), 100_000)
	b, err := s.Put(t.Context(), iotest.HalfReader(bytes.NewReader(content)), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if b.Size != int64(len(content)) {
		t.Errorf("size %d", b.Size)
	}
	f, err := s.Open(t.Context(), b.Name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, b.Size))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read back: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{"blobs": 0o700, "blobs/" + b.Name: 0o600, "front.db": 0o600} {
		fi, err := os.Stat(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != want {
			t.Errorf("%s has mode %v", p, fi.Mode())
		}
	}
	if err := s.Drop(t.Context(), b.Name); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{b.Name, "", "b", "../front.db", "lock", "b/../lock"} {
		if _, err := s.Open(t.Context(), name); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("open %q: %v", name, err)
		}
	}
}

func TestNothingIsKeptOfAnUploadThatFails(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	ended, stop := context.WithCancel(t.Context())
	stop()
	cases := map[string]struct {
		ctx  context.Context
		r    io.Reader
		want error
	}{
		"one byte too many": {t.Context(), bytes.NewReader(make([]byte, 101)), signer.ErrTooLarge},
		"broken connection": {t.Context(), iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(make([]byte, 50)))), iotest.ErrTimeout},
		"client gone":       {ended, bytes.NewReader(make([]byte, 50)), context.Canceled},
	}
	for name, c := range cases {
		if _, err := s.Put(c.ctx, c.r, 100); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil || len(left) != 1 { // the lock
		t.Errorf("left: %v %v", left, err)
	}
}

func TestOrphansAreSweptAtStartAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	kept, err := s.Put(t.Context(), bytes.NewReader([]byte("kept")), 10)
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := s.Put(t.Context(), bytes.NewReader([]byte("orphan")), 10)
	if err != nil {
		t.Fatal(err)
	}
	r := record("sr_1")
	r.Documents = r.Documents[:1]
	r.Documents[0].Blob = kept.Name
	if err := s.Insert(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	blobs := filepath.Join(dir, "blobs")
	for _, f := range []string{"bpart.part", "README"} {
		if err := os.WriteFile(filepath.Join(blobs, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	for f, want := range map[string]bool{kept.Name: true, "README": true, "lock": true, orphan.Name: false, "bpart.part": false} {
		if _, err := os.Stat(filepath.Join(blobs, f)); (err == nil) != want {
			t.Errorf("%s: there is %v", f, err == nil)
		}
	}
}

func TestTwoProcessesNeverShareABlobDirectory(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := store.Open(t.Context(), store.Config{DBPath: filepath.Join(dir, "other.db"), Blobs: filepath.Join(dir, "blobs"), Now: time.Now})
	if err == nil {
		t.Fatal("opened twice")
	}
}

// TestADocumentComesBackWithWhatItStandsOn: a bare digest, and a next revision with what is behind its blob.
func TestADocumentComesBackWithWhatItStandsOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := record("sr_1")
	r.Progress = signer.Progress{Format: signer.CAdES, Packaging: signer.Attached, Hashes: true}
	r.Documents[0] = signer.Document{ID: "doc_1", Name: "a", Label: "a", SHA256: []byte{}, DigestAlgorithm: "SHA-512", Digest: []byte{5}}
	r.Documents[1].Behind, r.Documents[1].Prefix = []byte("update"), []byte(`{"size":3}`)
	if err := s.Insert(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	next := *r
	next.Documents = slices.Clone(r.Documents)
	next.Documents[0].Work = &signer.Work{CMS: []byte{1}, Material: &pdf.Material{OCSPs: [][]byte{{2}}}}
	next.Documents[0].Level = "B-LT"
	next.Documents[1].Work = &signer.Work{Archive: &signer.Archive{Updates: []byte{3}, Imprint: []byte{4}, Token: []byte{5}}}
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: &next, Works: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	all := load(t, s, signer.Lookup{ID: "sr_1", Works: true})
	if d := cmp.Diff(next.Documents, all.Documents, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	one := load(t, s, signer.Lookup{ID: "sr_1", Work: 2}).Documents
	if one[0].Work != nil || one[0].Behind != nil || string(one[1].Behind) != "update" || len(one[1].Prefix) == 0 || one[1].Work == nil {
		t.Errorf("of document 2: %+v", one)
	}
	light := load(t, s, signer.Lookup{ID: "sr_1"}).Documents
	if light[0].Level != "B-LT" || light[0].DigestAlgorithm != "SHA-512" || light[1].Behind != nil || light[1].Prefix != nil {
		t.Errorf("without the works: %+v", light)
	}
}

// TestOneOpenRequestHoldsADocument: for each client; of callers at once one; until the request ends, also after a restart.
func TestOneOpenRequestHoldsADocument(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	holding := func(id string, sums ...byte) *signer.Record {
		r := record(id)
		for _, n := range sums {
			r.Holds = append(r.Holds, bytes.Repeat([]byte{n}, 32))
		}
		return r
	}
	results := make([]error, 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = s.Insert(t.Context(), holding(fmt.Sprint("sr_", i), 1, 2)) })
	}
	wg.Wait()
	winner := ""
	for i, err := range results {
		if err == nil && winner == "" {
			winner = fmt.Sprint("sr_", i)
		}
	}
	for i, err := range results {
		held, ok := errors.AsType[*signer.HeldError](err)
		_, there := s.Load(t.Context(), signer.Lookup{ID: fmt.Sprint("sr_", i)})
		switch id := fmt.Sprint("sr_", i); {
		case id == winner && err == nil && there == nil:
		case id == winner || !ok || held.Request != winner || !errors.Is(there, signer.ErrNotFound):
			t.Errorf("%s: %v, stored: %v, held by %s", id, err, there, winner)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if err := s.Insert(t.Context(), holding("sr_second", 2, 3)); err == nil {
		t.Error("the hold did not outlive a restart")
	}
	other := holding("sr_other", 1)
	other.Client = "other"
	if err := s.Insert(t.Context(), other); err != nil {
		t.Errorf("of another client: %v", err)
	}
	if err := s.Insert(t.Context(), holding("sr_third", 3)); err != nil {
		t.Errorf("a refused order held something: %v", err)
	}
	for _, to := range []signer.State{signer.Prepared, signer.Signed, signer.Finished} {
		r := load(t, s, signer.Lookup{ID: winner})
		was := r.State
		r.State = to
		if err := s.Advance(t.Context(), signer.Change{Was: was, Now: r}); err != nil {
			t.Fatal(err)
		}
		next := holding("sr_next_"+string(to), 1, 2)
		next.Continues = true
		err := s.Insert(t.Context(), next)
		if held, ok := errors.AsType[*signer.HeldError](err); !ok || held.Request != winner || held.Made != to.End() {
			t.Errorf("to go on, in state %s: %v", to, err)
		}
		err = s.Insert(t.Context(), holding("sr_after_"+string(to), 1, 2))
		if free := err == nil; free != to.End() {
			t.Errorf("in state %s: %v", to, err)
		}
	}
	// A branch that was not finished made nothing, and what was made before it stays made.
	next := holding("sr_last", 1, 2)
	next.Continues = true
	for _, branch := range []string{"sr_after_finished", ""} {
		err := s.Insert(t.Context(), next)
		if held, ok := errors.AsType[*signer.HeldError](err); !ok || held.Request != winner || !held.Made {
			t.Errorf("to go on beside branch %q: %v", branch, err)
		}
		if branch == "" {
			break
		}
		r := load(t, s, signer.Lookup{ID: branch})
		r.State = signer.Expired
		if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Insert(t.Context(), holding("sr_branch", 1, 2)); err != nil {
		t.Errorf("a branch after one that expired: %v", err)
	}
	// What nobody has finished may be gone on with.
	r := load(t, s, signer.Lookup{ID: "sr_third"})
	r.State = signer.Declined
	if err := s.Advance(t.Context(), signer.Change{Was: signer.Created, Now: r}); err != nil {
		t.Fatal(err)
	}
	next = holding("sr_go_on", 3)
	next.Continues = true
	if err := s.Insert(t.Context(), next); err != nil {
		t.Errorf("after a request that was declined: %v", err)
	}
}
