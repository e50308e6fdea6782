package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"tekend/certs"
	"tekend/certs/authority"
	"tekend/itsme"
	"tekend/wire"
)

// statusCA is a role ca in this process, with keys in software: what is measured
// is what the role does beside the key.
type statusCA struct {
	dir     string
	cfg     authority.Config
	dep     authority.Dependencies
	issuing *x509.Certificate
	role    *authority.Role
}

func newStatusCA(dir string) *statusCA {
	must(os.MkdirAll(dir, 0o700))
	s := &statusCA{dir: dir}
	now := time.Now().Add(-time.Minute)
	rootKey, key, unit := softwareKey(), softwareKey(), softwareKey()
	name := func(cn string) certs.Subject {
		return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn + " " + certs.SandboxMark}
	}
	issue := func(file string, by certs.Issuer, o certs.Order) *x509.Certificate {
		o.NotBefore, o.NotAfter, o.Publication = now, now.AddDate(3, 0, 0), certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps")
		der := need(certs.Issue(by, o))
		must(os.WriteFile(filepath.Join(dir, file), der, 0o600))
		return need(x509.ParseCertificate(der))
	}
	root := certs.Issuer{Signer: rootKey}
	root.Cert = issue("root.crt", root, certs.Order{Profile: certs.Root, Subject: name("Root"), PublicKey: rootKey.Public()})
	s.issuing = issue("issuing.crt", root, certs.Order{Profile: certs.IssuingCA, Subject: name("Issuing CA"), PublicKey: key.Public()})
	issue("tsu.crt", root, certs.Order{Profile: certs.TSU, Subject: name("TSU"), PublicKey: unit.Public()})
	must(os.WriteFile(filepath.Join(dir, "root.crl"), need(certs.CRL(root, big.NewInt(1), nil, now, now.AddDate(1, 0, 0))), 0o600))
	terms := sha256.Sum256([]byte("terms"))
	path := func(file string) string { return filepath.Join(dir, file) }
	s.cfg = authority.Config{
		Now: time.Now, DB: path("ca.db"), RootFile: path("root.crt"), IssuingCAFile: path("issuing.crt"), TSUFile: path("tsu.crt"), RootCRLFile: path("root.crl"),
		PublicURL: "http://127.0.0.1:8080/pki", CPSURL: "https://sandbox.tekend.example/cps", PDS: []certs.PDS{{URL: "https://sandbox.tekend.example/pds", Language: "en"}},
		PublishDir: dir, Itsme: itsme.Config{Issuer: "https://idp.itsme.test/v2", Now: time.Now}, IdentClient: "I", ConfirmClient: "C", DefaultCountry: "BE",
		TermsVersion: "1", TermsSHA256: base64.RawURLEncoding.EncodeToString(terms[:]),
	}
	must(os.MkdirAll(path("crl"), 0o700))
	s.dep = authority.Dependencies{Signer: key, OCSP: softwareKey(), Keys: itsme.NewProvider(s.cfg.Itsme, nil)}
	s.start()
	return s
}

func (s *statusCA) start() { s.role = need(authority.New(context.Background(), s.cfg, s.dep)) }

func (s *statusCA) close() { must(s.role.Close()) }

// fill writes into the database what n revocations, or orders, would have left.
func (s *statusCA) fill(query string, args ...any) {
	d := need(sql.Open("sqlite", "file:"+s.cfg.DB+"?_pragma=busy_timeout(60000)&_pragma=synchronous(OFF)&_pragma=cache_size(-200000)"))
	defer func() { _ = d.Close() }()
	_, err := d.Exec(query, args...)
	must(err)
}

// ocsp is the rate of OCSP answers beside the same server with a handler that
// gives constant bytes, over the Unix socket, as the front asks.
func (b *bench) ocsp() []row {
	s := newStatusCA(filepath.Join(b.tmp, "ocsp"))
	defer s.close()
	const people = 5000
	s.fill(`WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?)
		INSERT INTO orders (hash, state, application_id, serial, spki_sha256, tbs_sha256, terms_version, terms_sha256, at, certificate)
		SELECT 'h' || n, 'issued', 'a' || n, printf('4%031x', n), 'k' || n, 'x', 'x', 'x', ?, x'00' FROM c`, people, time.Now().Unix())
	var queries [][]byte
	first, _ := new(big.Int).SetString("4"+fmt.Sprintf("%031x", 0), 16)
	for n := range people {
		id := need(certs.IDOf(&x509.Certificate{SerialNumber: new(big.Int).Add(first, big.NewInt(int64(n+1)))}, s.issuing, crypto.SHA1))
		queries = append(queries, need(certs.EncodeOCSPRequest([]certs.CertID{id}, nil)))
	}
	s.cfg.OCSPLive = 10_000 // every answer is signed once, at the first question
	s.close()
	s.start()
	answer := s.warm(queries)
	ours := serveAt(filepath.Join(s.dir, "ca.sock"), s.role.Handler())
	defer ours()
	constant := serveAt(filepath.Join(s.dir, "constant.sock"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = w.Write(answer)
	}))
	defer constant()
	const rounds, calls = 9, 6000
	var ratio, rate, plain, alone, live sample
	for range rounds {
		c := askMany(filepath.Join(s.dir, "constant.sock"), queries, calls)
		o := askMany(filepath.Join(s.dir, "ca.sock"), queries, calls)
		plain, rate, ratio = append(plain, calls/c), append(rate, calls/o), append(ratio, c/o)
		_, cpu := timed(func() {
			for n := range calls {
				s.role.OCSP(context.Background(), queries[n%people])
			}
		})
		alone = append(alone, cpu/calls*1e6)
		const signed = 200
		id := need(certs.ParseOCSPRequest(queries[0])).IDs
		nonced := need(certs.EncodeOCSPRequest(id, bytes.Repeat([]byte{7}, 32)))
		_, cpu = timed(func() {
			for range signed {
				s.role.OCSP(context.Background(), nonced)
			}
		})
		live = append(live, cpu/signed*1e6)
	}
	return []row{
		{goal: "OCSP answers/s / the same server giving constant bytes, Unix socket", must: "≥ 0.80", measured: ratio.show("%.2f", ""),
			raw: rate.show("%.0f", "/s") + " / " + plain.show("%.0f", "/s"), verdict: verdict(ratio.median() >= 0.80)},
		{goal: "an OCSP answer made in advance, without HTTP, CPU", measured: alone.show("%.1f", " µs"), verdict: info},
		{goal: "an OCSP answer with nonce, key in software, CPU", measured: live.show("%.0f", " µs"), verdict: info},
	}
}

// warm asks every question once and gives an answer.
func (s *statusCA) warm(queries [][]byte) (answer []byte) {
	for _, q := range queries {
		for {
			answer = s.role.OCSP(context.Background(), q)
			if _, err := certs.ParseOCSPResponse(answer); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond) // the quota
		}
	}
	return answer
}

// serveAt serves h on a Unix socket until it is stopped.
func serveAt(socket string, h http.Handler) (stop func()) {
	l := need(wire.Listen(socket, 0o600))
	srv := wire.Server(h, wire.Peers{})
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	return func() { _ = srv.Close(); <-done }
}

// askMany asks n questions on two kept connections and gives the seconds that they took.
func askMany(socket string, queries [][]byte, n int) float64 {
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 2, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	defer client.CloseIdleConnections()
	runtime.GC()
	start := time.Now()
	var wg sync.WaitGroup
	failed := make(chan error, 2)
	for half := range 2 {
		wg.Go(func() {
			for i := half; i < n; i += 2 {
				resp, err := client.Post("http://role/v1/ocsp", "application/ocsp-request", bytes.NewReader(queries[i%len(queries)]))
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		must(err)
	default:
	}
	return time.Since(start).Seconds()
}

// crl is the making of a CRL with a million entries: read from the database,
// signed, stored in parts, published; and what it takes in memory beside one
// with a tenth.
func (b *bench) crl() []row {
	const million = 1_000_000
	small, smallPeak, _ := b.crlOf(million / 10)
	large, largePeak, size := b.crlOf(million)
	more := largePeak - smallPeak
	return []row{
		{goal: "CRL of 1 000 000 revoked serials, from the database to the file, wall", must: "≤ 5 s", measured: large.show("%.2f", " s"),
			raw: fmt.Sprintf("%.1f MB; of a tenth %s", float64(size)/1e6, small.show("%.2f", " s")), verdict: verdict(large.median() <= 5)},
		{goal: "peak of memory while it is made, above one of a tenth", must: "≤ 16 MiB", measured: fmt.Sprintf("%+.1f MiB", more),
			raw: fmt.Sprintf("%.1f / %.1f MiB above rest", largePeak, smallPeak), verdict: verdict(more <= 16)},
	}
}

// crlOf gives the seconds and the peak above rest, in MiB, of CRLs with n entries.
func (b *bench) crlOf(n int) (seconds sample, above float64, size int64) {
	debug.SetGCPercent(100) // as the role runs
	defer debug.SetGCPercent(400)
	s := newStatusCA(filepath.Join(b.tmp, fmt.Sprintf("crl-%d", n)))
	s.close()
	at := time.Now().Unix()
	s.fill(`WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?)
		INSERT INTO revocations (seq, serial, issuer, reason, by_whom, at) SELECT n, '4' || lower(hex(randomblob(15))) || '0', 'issuing-ca', 1, 'sam', ? FROM c`, n, at)
	const rounds = 3
	for round := range rounds {
		s.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(round+1) * 7 * time.Hour) } // half its life is over each time
		s.start()
		debug.FreeOSMemory()
		pid := os.Getpid()
		resetPeak(pid)
		rest := resident(pid)
		start := time.Now()
		list := need(s.role.CRL(context.Background()))
		seconds = append(seconds, time.Since(start).Seconds())
		above = max(above, float64(peak(pid)-rest)/(1<<20))
		size = list.Size
		must(list.Close())
		s.close()
	}
	return seconds, above, size
}
