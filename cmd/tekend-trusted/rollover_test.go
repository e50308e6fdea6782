package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"strings"
	"testing"
	"time"

	"tekend/ca"
	"tekend/tsa"
)

// ceremony holds a later ceremony of the world.
func (w world) ceremony(t *testing.T, command []string, what ...string) {
	t.Helper()
	must(t, append(command, approve(t, w.dir, w.path("ceremony.yaml"), what...)...)...)
}

// configure changes a role's file.
func (w world) configure(t *testing.T, role string, oldNew ...string) {
	t.Helper()
	text := readText(t, w.path(role+".yaml"))
	for i := 0; i < len(oldNew); i += 2 {
		if !strings.Contains(text, oldNew[i]) {
			t.Fatalf("%s.yaml has no %q", role, oldNew[i])
		}
	}
	write(t, w.path(role+".yaml"), strings.NewReplacer(oldNew...).Replace(text))
}

// TestTheRolesTakeUpWhatTheCeremonyAdds: the root's next CRL while the ca runs; a second issuing CA beside the first; a
// second unit that takes over at its time.
func TestTheRolesTakeUpWhatTheCeremonyAdds(t *testing.T) {
	w := newWorld(t)
	role := start(t, "ca", w.path("ca.yaml"))
	role.health(t, w.path("ca/run/ca.sock"))
	client := ca.NewClient(w.path("ca/run/ca.sock"), 5*time.Second)
	w.ceremony(t, []string{"keys", "root-crl"}, "root-crl", "--revoke", "tsu=cessationOfOperation")
	if list := publishedCRL(t, client, "root"); len(list.RevokedCertificateEntries) != 1 {
		t.Errorf("the root's new CRL is not published: number %v", list.Number)
	}
	role.stop(t)

	w.ceremony(t, []string{"keys", "add", "issuing-ca-2"}, "issuing-ca-2")
	w.configure(t, "ca", "listen: {socket: "+w.path("ca/run"), "key: issuing-ca-2\nlisten: {socket: "+w.path("ca/run"),
		"issuing_ca_file: "+w.path("ca/issuing-ca.pem"), "issuing_ca_file: "+w.path("ca/issuing-ca-2.pem")+"\n  issuer_name: issuing-ca-2\n"+
			"  previous: [{name: issuing-ca, cert_file: "+w.path("ca/issuing-ca.pem")+", key: issuing-ca}]")
	role = start(t, "ca", w.path("ca.yaml"))
	if h := role.health(t, w.path("ca/run/ca.sock")); h["ready"] != true {
		t.Errorf("health: %v", h)
	}
	for _, name := range []string{"issuing-ca", "issuing-ca-2"} {
		der, _, err := client.Published(t.Context(), "ca/"+name+".crt")
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := publishedCRL(t, client, name).CheckSignatureFrom(cert); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	role.stop(t)

	w.ceremony(t, []string{"keys", "add", "tsu-2"}, "tsu-2")
	from := time.Now().Add(4 * time.Second).UTC().Truncate(time.Second)
	w.configure(t, "tsa", "chain_files:", "next: {key: tsu-2, chain_files: ["+w.path("tsa/tsu-2.pem")+", "+w.path("tsa/root.pem")+"], from: "+from.Format(time.RFC3339)+"}\nchain_files:")
	role = start(t, "tsa", w.path("tsa.yaml"))
	role.health(t, w.path("tsa/run/tsa.sock"))
	first, second := readCert(t, w.path("tsa/tsu.pem")), readCert(t, w.path("tsa/tsu-2.pem"))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		token := w.token(t)
		want := first
		if !token.GenTime.Before(from) {
			want = second
		}
		if !token.Certificate.Equal(want) {
			t.Fatalf("at %v, with the change at %v, the unit was %s", token.GenTime, from, token.Certificate.Subject.CommonName)
		}
		if want == second {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the second unit never took over")
		}
	}
	role.stop(t)
}

func publishedCRL(t *testing.T, client *ca.Client, name string) *x509.RevocationList {
	t.Helper()
	der, _, err := client.Published(context.Background(), "crl/"+name+".crl")
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// token has something stamped.
func (w world) token(t *testing.T) *tsa.Token {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(readCert(t, w.path("pki/root.pem")))
	digest := sha256.Sum256([]byte("document"))
	token, err := tsa.NewClient(tsa.ClientConfig{Socket: w.path("tsa/run/tsa.sock"), Roots: roots, Now: time.Now}, nil).Stamp(t.Context(), digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestACeremonyThatWasCutOffIsNotTakenUp: killed while it makes keys. Its approvals are used up, what it made stays, nothing
// is reported, and the next number can be made.
func TestACeremonyThatWasCutOffIsNotTakenUp(t *testing.T) {
	w := newWorld(t)
	cfg := w.path("ceremony.yaml")
	args := append([]string{"keys", "add", "itsme-ident-sig-2"}, approve(t, w.dir, cfg, "itsme-ident-sig-2")...)
	cmd := command(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 2000 { // until it has begun
		if entries, err := os.ReadDir(w.path("root/ceremonies")); err == nil && len(entries) > 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it ended before it was killed")
	}
	if _, err := os.Stat(w.path("pki/ceremony-itsme-ident-sig-2.json")); err == nil {
		t.Error("what was cut off is reported")
	}
	if code, _, stderr := call(t, args...); code != exitNo || !strings.Contains(stderr, "counts once") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	w.ceremony(t, []string{"keys", "add", "itsme-ident-sig-3"}, "itsme-ident-sig-3")
	must(t, "keys", "verify-report", "--report", w.path("pki/ceremony-itsme-ident-sig-3.json"), "--root", w.path("pki/root.pem"))
}
