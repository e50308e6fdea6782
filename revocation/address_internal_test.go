package revocation

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// TestPublic: what may be dialled, and how else the same private hosts can be written.
func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "193.191.245.1": true, "2a00:1450:4013:c05::65": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true, "100.63.255.255": true, "100.128.0.0": true, "172.32.0.0": true, "172.15.255.255": true,
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.127.255.254": false, "127.0.0.1": false, "127.255.255.255": false,
		"169.254.169.254": false, "168.63.129.16": false, "::ffff:168.63.129.16": false, "168.63.129.17": true, "100.100.100.200": false, "192.0.0.192": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.170": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.1.1": false,
		"198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false,
		"64:ff9b::10.0.0.1": false, "64:ff9b::808:808": false, "64:ff9b:1::1": false, "100::1": false, "2001::1": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false,
		"2001:db8::1": false, "2002:7f00:1::": false, "2002:a00:1::1": false, "3fff::1": false, "5f00::1": false, "fc00::1": false, "fd12:3456::1": false,
		"fe80::1": false, "fe80::1%eth0": false, "2606:4700::1111%eth0": false, "fec0::1": false, "ff02::1": false, "4000::1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is one")
	}
	for _, dialled := range []struct{ network, address string }{{"tcp4", "localhost:80"}, {"tcp", "8.8.8.8:80"}, {"unix", "/run/x"}, {"udp4", "8.8.8.8:53"}} {
		if only(public)(dialled.network, dialled.address, nil) == nil {
			t.Errorf("%v is dialled", dialled)
		}
	}
	if err := only(public)("tcp4", "8.8.8.8:80", nil); err != nil {
		t.Error(err)
	}
}

// TestParse: which addresses are asked at all.
func TestParse(t *testing.T) {
	open, closed := NewFetcher(FetcherConfig{AllowPrivate: true}), NewFetcher(FetcherConfig{})
	for address, want := range map[string][2]bool{ // with AllowPrivate, without
		"http://ocsp.example.be/":                {true, true},
		"HTTPS://ocsp.example.be/x?y=z":          {true, true},
		"http://ocsp.example.be:80/":             {true, true},
		"https://ocsp.example.be:443/":           {true, true},
		"http://ocsp.example.be:8080/":           {true, true},
		"http://ocsp.example.be:25/":             {true, false},
		"http://ocsp.example.be:0/":              {true, false},
		"http://ocsp.example.be:99999999999999/": {true, false},
		"http://[2a00:1450::1]/":                 {true, true},
		"http://user@ocsp.example.be/":           {},
		"http://user:secret@ocsp.example.be/":    {},
		"http:///etc/passwd":                     {},
		"http:ocsp.example.be":                   {},
		"http://":                                {},
		"http://:80/":                            {},
		"//ocsp.example.be/":                     {},
		"/etc/passwd":                            {},
		"":                                       {},
		"file:///etc/passwd":                     {},
		"ftp://ocsp.example.be/":                 {},
		"gopher://ocsp.example.be:11211/_stats":  {},
		"ldap://ldap.example.be/cn=CA":           {},
		"unix:///run/tekend/ca.sock":             {},
		"javascript:alert(1)":                    {},
		"http://ocsp.example.be/\x00":            {},
		"http://ocsp.example.be /":               {},
		"http://ocsp.example.be/" + string(make([]byte, maxURL)): {},
	} {
		for n, f := range []*Fetcher{open, closed} {
			if _, err := f.parse(address); (err == nil) != want[n] {
				t.Errorf("%.60q, case %d: %v", address, n, err)
			}
		}
	}
}

// TestEachHopIsLookedAt: a host of the open Internet (127.0.0.1 here) may not lead to a private one (127.0.0.2), and what is
// there does not even see a connection.
func TestEachHopIsLookedAt(t *testing.T) {
	seen := make(chan struct{}, 10)
	inside := httptest.NewUnstartedServer(http.NotFoundHandler())
	_ = inside.Listener.Close()
	var err error
	if inside.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:0"); err != nil {
		t.Fatal(err)
	}
	inside.Config.ConnState = func(net.Conn, http.ConnState) { seen <- struct{}{} }
	inside.Start()
	defer inside.Close()
	var to string
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("outside"))
	}))
	defer outside.Close()
	f := NewFetcher(FetcherConfig{allowed: func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") }})
	for _, to = range []string{inside.URL, inside.URL + "/x", "//" + inside.Listener.Addr().String() + "/"} {
		if got, err := f.CRL(t.Context(), outside.URL+"/"); !errors.Is(err, ErrRefused) || len(seen) > 0 {
			t.Errorf("to %s: %q %v", to, got, err)
		}
	}
	for _, to = range []string{outside.URL + "/x", "/x", "x"} {
		if got, err := f.CRL(t.Context(), outside.URL+"/"); err != nil || string(got) != "outside" {
			t.Errorf("to %s: %q %v", to, got, err)
		}
	}
}
