package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"tekend/certs"
)

const ocspQuery = "application/ocsp-request"

// A revocation is to be seen within 60 s of the act, also through us and through a cache behind us: half a minute for them, a
// quarter for us, the rest for the way. So max-age stays below nextUpdate, as RFC 5019 §6.2 lets it; Expires states nextUpdate.
const (
	ocspHeld   = 15 * time.Second // how long we answer without asking the ca
	ocspMaxAge = 30 * time.Second // how long others may
	// ocspEntries bounds what we hold: answers have 1 to 2 KiB, and those above 8 KiB are not held.
	ocspEntries    = 4096
	ocspEntryBytes = 8 << 10
)

// ocspCache holds the ca's answers to requests without a nonce, so that whoever reads the status of certificates does not
// reach the process with the key, and so that there is an answer while that process is away, until the answer's nextUpdate.
// It is filled in a ring: what came first goes first.
type ocspCache struct {
	mu      sync.Mutex
	entries map[[32]byte]*ocspEntry
	ring    [][32]byte
	next    int
	asking  singleflight.Group
}

type ocspEntry struct {
	der            []byte
	etag           string
	this, next, at time.Time // thisUpdate, nextUpdate, when we got it
}

func (c *ocspCache) get(key [32]byte) *ocspEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[key]
}

func (c *ocspCache) put(key [32]byte, e *ocspEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[[32]byte]*ocspEntry{}
	}
	if _, held := c.entries[key]; !held {
		if len(c.ring) < ocspEntries {
			c.ring = append(c.ring, key)
		} else {
			delete(c.entries, c.ring[c.next])
			c.ring[c.next] = key
			c.next = (c.next + 1) % ocspEntries
		}
	}
	c.entries[key] = e
}

// ocspReply is an answer of the protocol.
type ocspReply struct {
	cached
	der []byte
}

// VisitGetOCSPResponse implements the generated interface.
func (r *ocspReply) VisitGetOCSPResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitPostOCSPResponse implements the generated interface.
func (r *ocspReply) VisitPostOCSPResponse(w http.ResponseWriter) error { return r.write(w) }

func (r *ocspReply) write(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", "application/ocsp-response")
	h.Set("Content-Length", strconv.Itoa(len(r.der)))
	r.set(h)
	w.WriteHeader(http.StatusOK) // also for the protocol's errors: they are answers (RFC 6960 A.2)
	_, err := w.Write(r.der)
	return err
}

// fresh is an answer that nobody may keep.
func fresh(der []byte) *ocspReply { return &ocspReply{cached{control: "no-store"}, der} }

// PostOCSP answers a request in the body.
func (s *server) PostOCSP(ctx context.Context, in PostOCSPRequestObject) (PostOCSPResponseObject, error) {
	ctx, _ = enter(ctx)
	query, err := io.ReadAll(in.Body) // at most certs.MaxOCSPRequest: guard
	switch {
	case tooLarge(err):
		return fresh(certs.OCSPErrorResponse(certs.OCSPMalformed)), nil
	case err != nil:
		return nil, readError(err)
	}
	r, err := s.status(ctx, query)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// GetOCSP answers a request in the path.
func (s *server) GetOCSP(ctx context.Context, in GetOCSPRequestObject) (GetOCSPResponseObject, error) {
	ctx, cl := enter(ctx)
	query, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(in.Query, "="))
	if err != nil {
		return fresh(certs.OCSPErrorResponse(certs.OCSPMalformed)), nil
	}
	r, err := s.status(ctx, query)
	if err != nil {
		return nil, err
	}
	if r.etag != "" && cl.have.has(r.etag, r.modified) {
		return &notModified{r.cached}, nil
	}
	return r, nil
}

// onePathElement makes one path element of the base64 behind /pki/ocsp/, which has slashes in it (RFC 6960 A.1; many clients
// do not write them as %2F, and the server has decoded those of the others): the alphabet becomes that of RFC 4648 §5.
func onePathElement(next http.Handler) http.Handler {
	const prefix = "/pki/ocsp/"
	alphabet := strings.NewReplacer("+", "-", "/", "_")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if query, ok := strings.CutPrefix(r.URL.Path, prefix); ok && r.Method == http.MethodGet {
			at := *r.URL
			at.Path, at.RawPath = prefix+alphabet.Replace(query), ""
			again := *r
			again.URL = &at
			r = &again
		}
		next.ServeHTTP(w, r)
	})
}

// status is the answer to an OCSP request. What is not one is answered here; what has a nonce, or asks for several certificates,
// goes to the ca as it is; the rest goes there as we would ask it ourselves, at most once in ocspHeld.
func (s *server) status(ctx context.Context, query []byte) (*ocspReply, error) {
	req, err := certs.ParseOCSPRequest(query)
	if err != nil {
		status := certs.OCSPMalformed
		if refusal, ok := errors.AsType[*certs.OCSPError](err); ok {
			status = refusal.Status
		}
		return fresh(certs.OCSPErrorResponse(status)), nil
	}
	if req.Nonce != nil || len(req.IDs) != 1 {
		der, err := s.dep.PKI.OCSP(ctx, query)
		if err != nil {
			return nil, relayError(err, errPublishing)
		}
		return fresh(der), nil
	}
	key, now := sha256.Sum256(req.IDs[0].DER), s.cfg.Now()
	if e := s.ocsp.get(key); e != nil && e.holds(now) {
		return e.reply(now), nil
	}
	v, err, _ := s.ocsp.asking.Do(string(key[:]), func() (any, error) {
		// The answer is for everyone who waits for it: the first one's going away must not end it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayLimit)
		defer cancel()
		return s.ask(ctx, req.IDs[0])
	})
	if err == nil {
		if e, ok := v.(*ocspEntry); ok && e.next.After(now) {
			s.ocsp.put(key, e)
			return e.reply(now), nil
		} else if ok {
			return fresh(e.der), nil
		}
	}
	if e := s.ocsp.get(key); e != nil && e.next.After(now) {
		s.cfg.Log.Warn("partner", "route", "/pki/ocsp", "answered", "from before", "err", err)
		return e.reply(now), nil
	}
	return nil, relayError(err, errPublishing)
}

// relayLimit is how long the ca may take for an answer that waits for nobody else.
const relayLimit = 10 * time.Second

// ask has the ca answer for one certificate. An answer that must not be kept has no nextUpdate.
func (s *server) ask(ctx context.Context, id certs.CertID) (*ocspEntry, error) {
	query, err := certs.EncodeOCSPRequest([]certs.CertID{id}, nil)
	if err != nil {
		return nil, err
	}
	der, err := s.dep.PKI.OCSP(ctx, query)
	if err != nil {
		return nil, err
	}
	e := &ocspEntry{der: der, at: s.cfg.Now()}
	resp, err := certs.ParseOCSPResponse(der)
	if _, ok := errors.AsType[*certs.OCSPError](err); ok {
		return e, nil // tryLater and its like
	}
	if err != nil {
		return nil, fmt.Errorf("the ca's OCSP answer: %w", err)
	}
	if len(resp.Singles) != 1 || !bytes.Equal(resp.Singles[0].ID.DER, id.DER) {
		return nil, errors.New("the ca's OCSP answer is about another certificate")
	}
	sum := sha256.Sum256(der)
	if len(der) <= ocspEntryBytes {
		e.etag, e.this, e.next = `"`+hex.EncodeToString(sum[:16])+`"`, resp.Singles[0].ThisUpdate, resp.Singles[0].NextUpdate
	}
	return e, nil
}

func (e *ocspEntry) holds(now time.Time) bool {
	age := now.Sub(e.at)
	return age >= 0 && age < ocspHeld && e.next.After(now)
}

func (e *ocspEntry) reply(now time.Time) *ocspReply {
	age := min(ocspMaxAge, e.next.Sub(now))
	return &ocspReply{cached{
		control: fmt.Sprintf("max-age=%d, public, no-transform, must-revalidate", int(age.Seconds())),
		etag:    e.etag, modified: e.this, expires: e.next,
	}, e.der}
}
