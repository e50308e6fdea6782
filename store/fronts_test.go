package store_test

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/db/dbtest"
	"tekend/store"
)

// The same tests, and those of package db, run on both engines.
func TestOnPostgres(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"TestARequestComesBackAsItWasStoredAlsoAfterARestart": TestARequestComesBackAsItWasStoredAlsoAfterARestart,
		"TestAnIdempotencyKeyIsTakenOnce":                     TestAnIdempotencyKeyIsTakenOnce,
		"TestADatabaseOfTheFirstVersionIsTakenOver":           TestADatabaseOfTheFirstVersionIsTakenOver,
		"TestWhoHasMadeARevisionIsTakenOver":                  TestWhoHasMadeARevisionIsTakenOver,
		"TestUnknownRequestsTokensStatesAndKeysAreNotFound":   TestUnknownRequestsTokensStatesAndKeysAreNotFound,
		"TestOfManyWritersOneWins":                            TestOfManyWritersOneWins,
		"TestAChangeHappensWholeOrNotAtAll":                   TestAChangeHappensWholeOrNotAtAll,
		"TestAStateParameterNeverMovesToAnotherQuestion":      TestAStateParameterNeverMovesToAnotherQuestion,
		"TestAnAbandonedStateIsOverForEver":                   TestAnAbandonedStateIsOverForEver,
		"TestCredentialsAreBoundPerClientAndCanBeForgotten":   TestCredentialsAreBoundPerClientAndCanBeForgotten,
		"TestADocumentComesBackWithWhatItStandsOn":            TestADocumentComesBackWithWhatItStandsOn,
		"TestOneOpenRequestHoldsADocument":                    TestOneOpenRequestHoldsADocument,
		"TestDigestsThatComeLater":                            TestDigestsThatComeLater,
		"TestDueTellsWhatComesNext":                           TestDueTellsWhatComesNext,
		"TestClientsAreKnownByTheirKeyOnly":                   TestClientsAreKnownByTheirKeyOnly,
		"TestARevocationComesBackAsItWasStored":               TestARevocationComesBackAsItWasStored,
		"TestOldRevocationsAreForgotten":                      TestOldRevocationsAreForgotten,
		"TestMarksGrowAlongOneHistory":                        TestMarksGrowAlongOneHistory,
		"TestOrphansAreSweptAtStartAndNothingElse":            TestOrphansAreSweptAtStartAndNothingElse,
	} {
		t.Run(name, test)
	}
}

// fronts opens one PostgreSQL database n times, as n processes would.
func fronts(t *testing.T, n int) []*store.Store {
	t.Helper()
	source, blobs := dbtest.Postgres(t), filepath.Join(t.TempDir(), "blobs")
	all := make([]*store.Store, n)
	for i := range all {
		s, err := store.Open(t.Context(), store.Config{DBPath: source, Blobs: blobs, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		all[i] = s
	}
	return all
}

func claim(t *testing.T, s *store.Store, id string, d time.Duration) bool {
	t.Helper()
	ok, err := s.Claim(t.Context(), id, d)
	if err != nil {
		t.Error(err)
	}
	return ok
}

func TestOneFrontAtATimeHasARequest(t *testing.T) {
	all := fronts(t, 2)
	a, b := all[0], all[1]
	insert(t, a, "sr_1")
	due := func(s *store.Store) int {
		ids, _, err := s.Due(t.Context(), time.Now().Add(100*365*24*time.Hour), 10)
		if err != nil {
			t.Error(err)
		}
		return len(ids)
	}
	if !claim(t, a, "sr_1", time.Minute) || !claim(t, a, "sr_1", time.Minute) {
		t.Error("the front that has the request cannot claim it again")
	}
	if claim(t, b, "sr_1", time.Minute) || due(b) != 0 || due(a) != 1 {
		t.Errorf("another front takes what is claimed; due: %d there, %d here", due(b), due(a))
	}
	if err := b.Release(t.Context(), "sr_1"); err != nil || claim(t, b, "sr_1", time.Minute) {
		t.Errorf("a front frees what another one has (%v)", err)
	}
	if err := a.Release(t.Context(), "sr_1"); err != nil || !claim(t, b, "sr_1", 50*time.Millisecond) {
		t.Errorf("what was given back cannot be had (%v)", err)
	}
	// b dies. Its time passes.
	for n := 0; !claim(t, a, "sr_1", time.Minute); n++ {
		if n > 100 {
			t.Fatal("what a dead front had cannot be had")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestManyFrontsClaimingOneRequestAreNeverTwo(t *testing.T) {
	const rounds = 40
	all := fronts(t, 4)
	r := insert(t, all[0], "sr_1")
	var working, most atomic.Int64
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { // one caller for each front: signer's jobs see to that
			for n := 0; n < rounds; {
				if !claim(t, s, r.ID, time.Minute) {
					time.Sleep(100 * time.Microsecond)
					continue
				}
				n++
				most.Store(max(most.Load(), working.Add(1)))
				working.Add(-1)
				if err := s.Release(t.Context(), r.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d claims by %d fronts, at most %d front at a time", len(all)*rounds, len(all), most.Load())
	if most.Load() != 1 {
		t.Errorf("%d fronts had one request", most.Load())
	}
}
