package authority_test

import (
	"bytes"
	"testing"

	"tekend/certs"
)

// TestFurtherUnitsArePublished beside the first, under the names of their keys; one that the root did not issue stops the start.
func TestFurtherUnitsArePublished(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.front.Published(t.Context(), "ca/tsu-2.crt"); err == nil {
		t.Error("a unit that is not there is published")
	}
	from := w.now()
	unit := got(certs.Issue(w.rootCA, certs.Order{
		Profile: certs.TSU, Subject: subject("Tekend SANDBOX TSU 2"), PublicKey: ecKey(t).Public(), NotBefore: from, NotAfter: from.AddDate(6, 0, 0),
		Publication: certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps"),
	}))(t)
	w.write("tsu-2.crt", unit)
	w.cfg.TSUFiles = []string{w.path("tsu-2.crt")}
	w.start()
	for name, want := range map[string]bool{"ca/tsu.crt": true, "ca/tsu-2.crt": true, "ca/tsu-1.crt": false, "ca/tsu-3.crt": false, "ca/tsu-02.crt": false} {
		der, _, err := w.front.Published(t.Context(), name)
		if (err == nil) != want || name == "ca/tsu-2.crt" && !bytes.Equal(der, unit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
