package authority_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/digitorus/timestamp"

	"tekend/db/dbtest"
)

// TestADiskThatStandsStillCostsNoMemory: what it cannot take is refused at once; what waits has its token when it goes on.
func TestADiskThatStandsStillCostsNoMemory(t *testing.T) {
	w := start(t, softKey(t))
	conn, err := dbtest.Raw(t, w.path).Conn(context.Background())
	check(t, err)
	_, err = conn.ExecContext(context.Background(), "BEGIN IMMEDIATE")
	check(t, err)
	digest := sha256.Sum256([]byte("document"))
	query, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:]}).Marshal()
	check(t, err)
	refused := make(chan bool, 1300)
	var all sync.WaitGroup
	for range cap(refused) {
		all.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/tsa", bytes.NewReader(query))
			r.Header.Set("Content-Type", "application/timestamp-query")
			reply := httptest.NewRecorder()
			w.role.Handler().ServeHTTP(reply, r)
			refused <- bytes.Contains(reply.Body.Bytes(), []byte("too many requests wait"))
		})
	}
	// 1024 wait, up to 64 are with the disk.
	for range cap(refused) - 1024 - 64 {
		if !<-refused {
			t.Fatal("it was not refused")
		}
	}
	_, err = conn.ExecContext(context.Background(), "ROLLBACK")
	check(t, err)
	check(t, conn.Close())
	all.Wait()
	check(t, func() error { _, err := w.stamp(); return err }())
}
