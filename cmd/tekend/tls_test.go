package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/wire"
)

// writePair writes a key and its certificate; name goes into the certificate.
func writePair(t *testing.T, dir string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestTheFrontSpeaksHTTPSWithTheCertificateOfNow: TLS 1.2 and 1.3 and nothing older; new files are taken without a restart, and half
// a pair is passed over.
func TestTheFrontSpeaksHTTPSWithTheCertificateOfNow(t *testing.T) {
	dir := t.TempDir()
	first := writePair(t, dir, 1)
	now := time.Now()
	var failures int
	f := &front{cfg: frontConfig{Listen: "127.0.0.1:0", TLS: tlsConfig{Listen: "127.0.0.1:0", CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}}}
	f.handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	all, err := f.endpoints(func() time.Time { return now }, func(error) { failures++ })
	if err != nil || len(all) != 2 {
		t.Fatalf("%d listeners, %v", len(all), err)
	}
	served := make(chan error, 1)
	go func() { served <- wire.Serve(t.Context(), time.Second, all...) }()
	seen := func(c *tls.Config) *x509.Certificate {
		t.Helper()
		c.InsecureSkipVerify = true // the test compares the certificate itself
		conn, err := tls.Dial("tcp", all[1].Listener.Addr().String(), c)
		if err != nil {
			return nil
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0]
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if c := seen(&tls.Config{MinVersion: version, MaxVersion: version}); c == nil || !bytes.Equal(c.Raw, first.Raw) {
			t.Errorf("%s: %v", tls.VersionName(version), c)
		}
	}
	if c := seen(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); c != nil {
		t.Error("TLS 1.1 is spoken")
	}
	resp, err := http.Get("http://" + all[0].Listener.Addr().String())
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatalf("the plain listener: %v", err)
	}
	_ = resp.Body.Close()

	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	second := writePair(t, dir, 2)
	newKey, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600); err != nil { // the old key with the new certificate
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(tlsLook)
		if c := seen(&tls.Config{}); c == nil || !bytes.Equal(c.Raw, first.Raw) {
			t.Errorf("half a pair: %v", c)
		}
	}
	if failures != 1 {
		t.Errorf("complained %d times", failures)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), append(newKey, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(tlsLook)
	if c := seen(&tls.Config{}); c == nil || !bytes.Equal(c.Raw, second.Raw) {
		t.Errorf("the new pair: %v", c)
	}
	if err := os.Remove(filepath.Join(dir, "cert.pem")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(tlsLook)
	if c := seen(&tls.Config{}); c == nil || !bytes.Equal(c.Raw, second.Raw) {
		t.Errorf("without files: %v", c)
	}
	for _, e := range all {
		_ = e.Listener.Close()
	}
	<-served
}

func TestHTTPSThatCannotBeServedIsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, 1)
	good := tlsConfig{Listen: "127.0.0.1:0", CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for name, edit := range map[string]func(*tlsConfig){
		"no certificate": func(c *tlsConfig) { c.CertFile = filepath.Join(dir, "none.pem") },
		"no key":         func(c *tlsConfig) { c.KeyFile = "" },
		"swapped":        func(c *tlsConfig) { c.CertFile, c.KeyFile = c.KeyFile, c.CertFile },
		"no listener":    func(c *tlsConfig) { c.Listen = "" },
		"a bad address":  func(c *tlsConfig) { c.Listen = "nowhere" },
	} {
		c := good
		edit(&c)
		f := &front{cfg: frontConfig{Listen: "127.0.0.1:0", TLS: c}}
		if _, err := f.endpoints(time.Now, func(error) {}); err == nil || !strings.Contains(err.Error(), "tls") && name != "a bad address" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
