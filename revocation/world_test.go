package revocation_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"tekend/certs"
	"tekend/revocation"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// host is a web server of somebody: what it does can be replaced, and it can be away.
type host struct {
	*httptest.Server
	mu    sync.Mutex
	do    http.HandlerFunc
	down  atomic.Bool
	asked atomic.Int64
}

func newHost(t testing.TB, do http.HandlerFunc) *host {
	h := &host{do: do}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.asked.Add(1)
		if h.down.Load() {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		h.mu.Lock()
		f := h.do
		h.mu.Unlock()
		f(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *host) does(f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.do = f
}

// world is a CA with its responder and lists behind two hosts, in a time that the test moves.
type world struct {
	t                 testing.TB
	at                atomic.Int64 // UnixNano
	root, issuing     *x509.Certificate
	rootKey, caKey    crypto.Signer
	by                certs.OCSPResponder
	ocsp, crl         *host
	mu                sync.Mutex
	revoked           map[string]time.Time // by serial number
	crlEvery, crlLife time.Duration
	waited            atomic.Int64
	log               strings.Builder
}

func (w *world) now() time.Time          { return time.Unix(0, w.at.Load()).UTC() }
func (w *world) advance(d time.Duration) { w.at.Add(int64(d)) }

func subject(cn string) certs.Subject {
	return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
}

func (w *world) issue(by certs.Issuer, o certs.Order) *x509.Certificate {
	w.t.Helper()
	der, err := certs.Issue(by, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return must(x509.ParseCertificate(der))
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, revoked: map[string]time.Time{}, crlEvery: 6 * time.Hour, crlLife: 12 * time.Hour, rootKey: newKey(), caKey: newKey()}
	w.at.Store(time.Now().Truncate(time.Hour).UnixNano())
	w.ocsp, w.crl = newHost(t, w.answer), newHost(t, w.list)
	start := w.now().Add(-24 * time.Hour)
	w.root = w.issue(certs.Issuer{Signer: w.rootKey}, certs.Order{Profile: certs.Root, Subject: subject("Tekend SANDBOX Root CA"), PublicKey: w.rootKey.Public(), NotBefore: start, NotAfter: start.AddDate(20, 0, 0)})
	w.issuing = w.issue(w.rootIssuer(), certs.Order{Profile: certs.IssuingCA, Subject: subject("Tekend SANDBOX Issuing CA"), PublicKey: w.caKey.Public(), NotBefore: start, NotAfter: start.AddDate(10, 0, 0), Publication: w.publication("root")})
	key := newKey()
	w.by = certs.OCSPResponder{Signer: key, Issuer: w.issuing, Cert: w.issue(w.issuer(), certs.Order{
		Profile: certs.Responder, Subject: subject("Tekend SANDBOX OCSP Responder 1"), PublicKey: key.Public(), NotBefore: start, NotAfter: start.AddDate(0, 0, 60), Publication: w.publication("issuing-ca"),
	})}
	return w
}

func (w *world) rootIssuer() certs.Issuer { return certs.Issuer{Cert: w.root, Signer: w.rootKey} }
func (w *world) issuer() certs.Issuer     { return certs.Issuer{Cert: w.issuing, Signer: w.caKey} }

// publication: the lists are on one host, the responder on another.
func (w *world) publication(issuer string) certs.Publication {
	p := certs.PublishedBy(w.crl.URL+"/pki", issuer, "https://sandbox.tekend.example/cps")
	if issuer != "root" {
		p.OCSPURL = w.ocsp.URL + "/pki/ocsp"
		p.PDS = []certs.PDS{{URL: "https://sandbox.tekend.example/pds/en", Language: "en"}}
	}
	return p
}

func (w *world) person() *x509.Certificate {
	w.t.Helper()
	who := must(certs.NewPerson("Jan Jansen", "Jan", "Jansen", "BEL"))
	return w.issue(w.issuer(), certs.Order{Profile: certs.NaturalPerson, Subject: who.Subject(), PublicKey: newKey().Public(), NotBefore: w.now(), NotAfter: w.now().AddDate(2, 0, 0), Publication: w.publication("issuing-ca"), Identified: true})
}

func (w *world) tsu() *x509.Certificate {
	w.t.Helper()
	return w.issue(w.rootIssuer(), certs.Order{Profile: certs.TSU, Subject: subject("Tekend SANDBOX Time-Stamping Unit 1"), PublicKey: newKey().Public(), NotBefore: w.now(), NotAfter: w.now().AddDate(6, 0, 0), PrivateKeyEnd: w.now().AddDate(2, 0, 0), Publication: w.publication("root")})
}

func (w *world) revoke(c *x509.Certificate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked[c.SerialNumber.String()] = w.now().Truncate(time.Second)
}

// single is what the responder says now.
func (w *world) single(id certs.CertID) certs.SingleStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := certs.SingleStatus{ID: id, State: certs.StatusGood, ThisUpdate: w.now(), NextUpdate: w.now().Add(12 * time.Hour), ArchiveCutoff: w.issuing.NotBefore}
	if at, is := w.revoked[id.Serial.String()]; is {
		s.State, s.RevokedAt, s.Reason = certs.StatusRevoked, at, 1
	}
	return s
}

// request reads what a client asked.
func request(r *http.Request) *certs.OCSPRequest {
	return must(certs.ParseOCSPRequest(must(io.ReadAll(io.LimitReader(r.Body, certs.MaxOCSPRequest)))))
}

// answer is the good responder.
func (w *world) answer(out http.ResponseWriter, r *http.Request) {
	q := request(r)
	w.reply(out, []certs.SingleStatus{w.single(q.IDs[0])}, q.Nonce)
}

func (w *world) reply(out http.ResponseWriter, singles []certs.SingleStatus, nonce []byte) {
	out.Header().Set("Content-Type", "text/plain") // nobody may look at it
	_, _ = out.Write(must(w.by.Answer(singles, w.now(), nonce)))
}

// made is when the list in force was made.
func (w *world) made() time.Time { return w.now().Truncate(w.crlEvery) }

// list is the good host of lists.
func (w *world) list(out http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/crl/root.crl"):
		_, _ = out.Write(must(certs.CRL(w.rootIssuer(), big.NewInt(1), nil, w.now().Truncate(24*time.Hour), w.now().AddDate(0, 6, 0))))
	case strings.HasSuffix(r.URL.Path, "/crl/issuing-ca.crl"):
		_, _ = out.Write(w.crlOf(w.made(), func(*certs.CRLSpec) {}))
	case strings.HasSuffix(r.URL.Path, "/ca/issuing-ca.crt"):
		_, _ = out.Write(w.issuing.Raw)
	case strings.HasSuffix(r.URL.Path, "/ca/root.crt"):
		_, _ = out.Write(w.root.Raw)
	default:
		http.NotFound(out, r)
	}
}

// crlOf is a list made at a time, with those who were revoked before it.
func (w *world) crlOf(at time.Time, change func(*certs.CRLSpec)) []byte {
	w.mu.Lock()
	var list []certs.Revoked
	for serial, since := range w.revoked {
		n, _ := new(big.Int).SetString(serial, 10)
		if !since.After(at) {
			list = append(list, certs.Revoked{Serial: n, At: since, Reason: 1})
		}
	}
	w.mu.Unlock()
	var out strings.Builder
	spec := certs.CRLSpec{Issuer: w.issuer(), Number: big.NewInt(at.Unix()), ThisUpdate: at, NextUpdate: at.Add(w.crlLife), Entries: certs.Listed(list)}
	change(&spec)
	if err := certs.WriteCRL(&out, spec); err != nil {
		w.t.Error(err)
	}
	return []byte(out.String())
}

// foreignCRL is a list as crypto/x509 writes it, with what our writer does not know.
func (w *world) foreignCRL(extra ...pkix.Extension) []byte {
	return must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(9), ThisUpdate: w.now(), NextUpdate: w.now().Add(time.Hour), ExtraExtensions: extra}, w.issuing, w.caKey))
}

func gives(der []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(der) }
}

// collector asks over real sockets. Its waits move the world's time.
func (w *world) collector(change ...func(*revocation.Config)) *revocation.Collector {
	cfg := revocation.Config{
		Source: revocation.NewFetcher(revocation.FetcherConfig{AllowPrivate: true, Timeout: 5 * time.Second, CRLTimeout: 5 * time.Second, Stall: 2 * time.Second}),
		Now:    w.now, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Wait: func(_ context.Context, d time.Duration) error {
			w.waited.Add(1)
			w.advance(d)
			return nil
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	return revocation.New(cfg)
}

// classes are the words of an error, in a fixed order.
func classes(err error) string {
	var all []string
	for name, e := range map[string]error{"unreachable": revocation.ErrUnreachable, "stale": revocation.ErrStale, "refused": revocation.ErrRefused, "not needed": revocation.ErrNotNeeded} {
		if errors.Is(err, e) {
			all = append(all, name)
		}
	}
	if err != nil && len(all) == 0 {
		return err.Error()
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// unvouched is an answer in w.by's name as golang.org/x/crypto/ocsp makes it: ours does not let out what a client would have to
// look up. It is from the moment in which the test runs.
func unvouched(w *world, q *certs.OCSPRequest) []byte {
	return must(ocsp.CreateResponse(w.issuing, w.by.Cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: q.IDs[0].Serial, ThisUpdate: time.Now(), NextUpdate: time.Now().AddDate(0, 0, 10), Certificate: w.by.Cert, IssuerHash: crypto.SHA1,
	}, w.by.Signer))
}
