package validate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
)

// id names anything that can be proven to exist: the SHA-256 of its DER.
type id = [sha256.Size]byte

func idOf(der []byte) id { return sha256.Sum256(der) }

// Limits of what one document may make us look at. Real files have a few dozen
// certificates and answers; each of the work limits is some seconds of a
// hostile one at most, and twice that when only some of its fields are judged.
const (
	maxCertificates = 2048
	maxStatements   = 1024    // answers, and as many lists
	maxBag          = 32      // issuers that may lead from one certificate to an anchor
	maxPaths        = 400     // path buildings, each of which may verify 256 signatures
	maxAnswers      = 4000    // readings of an answer for one certificate
	maxSteps        = 2 << 20 // answers weighed for one use of one certificate
	maxValues       = 20_000  // verifications of values with keys of anybody's choice, in units of valueCost
	maxTokens       = 8       // time-stamps at one signature
)

// Where data comes from.
const (
	embedded = "embedded" // in the document
	given    = "given"    // Options.Material
	fetched  = "fetched"  // Options.Revocation
)

// clockSkew is by how much the clocks of a CA and of a time-stamping unit may
// differ before their times contradict each other.
const clockSkew = time.Minute

// evidence is all that is known: certificates, what is said of their status,
// and since when each is proven to exist (the set of POEs of EN 319 102-1
// §5.6.2.3).
type evidence struct {
	at         time.Time
	roots      *x509.CertPool
	revoker    Revoker
	certs      map[id]*x509.Certificate
	order      []id // of certs, so that one document always gets one verdict
	bySubject  map[string][]id
	statements []*statement
	taken      map[bool]int // statements: lists and answers
	known      map[id]*statement
	poe        map[id]time.Time
	unreadable map[id]error  // certificates that crypto/x509 does not read
	source     map[id]string // of certificates
	tried      map[tried]bool

	*work        // that is spent from now on: see spend
	mine, others work
	said         map[statusKey]*said
	built        map[pathKey]builtPath
	scopes       []scope                // that built knows by address, which must not be given to others
	asked        map[statusKey]question // online questions that were put
	full         bool                   // something was left out
}

// work is what is left of the limits of the work.
type work struct{ paths, answers, steps, values int }

// spend chooses whose work follows: on what is judged, or on the signatures and
// time-stamps beside it, which must not take its share.
func (e *evidence) spend(judged bool) {
	if judged {
		e.work = &e.mine
	} else {
		e.work = &e.others
	}
}

// statement is an OCSP answer or a CRL.
type statement struct {
	id     id
	der    []byte
	ocsp   *certs.OCSPResponse
	crl    *certs.RevocationList
	source string
}

type statusKey struct{ cert, issuer id }

// tried is an attempt to read bytes as an OCSP answer or as a CRL: bytes that
// somebody puts in the wrong place are still read in the right one.
type tried struct {
	id  id
	crl bool
}

// question was put to Options.Revocation, with this outcome.
type question struct {
	since time.Time
	err   error
}

func newEvidence(o Options) *evidence {
	all := work{paths: maxPaths, answers: maxAnswers, steps: maxSteps, values: maxValues}
	e := &evidence{
		at: o.At, roots: o.Roots, revoker: o.Revocation,
		certs: map[id]*x509.Certificate{}, bySubject: map[string][]id{}, known: map[id]*statement{}, taken: map[bool]int{},
		poe: map[id]time.Time{}, unreadable: map[id]error{}, source: map[id]string{}, tried: map[tried]bool{},
		mine: all, others: all, said: map[statusKey]*said{}, built: map[pathKey]builtPath{}, asked: map[statusKey]question{},
	}
	e.spend(true)
	return e
}

// affords takes the work of verifying a value from what is left, and tells
// whether it may be done: whoever made the file chose the key, before anything
// shows whose it is.
func (e *evidence) affords(keys ...*x509.Certificate) bool {
	most := 0
	for _, c := range keys {
		most = max(most, valueCost(c.PublicKey))
	}
	e.values -= most
	return e.values >= 0
}

// valueCost is how long a value takes to verify, in some 0.1 ms: RSA with the
// square of its length and with its exponent (16 384 bits: 19 ms).
func valueCost(pub crypto.PublicKey) int {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		n := k.N.BitLen()/1024 + 1
		return 1 + n*n*bits.Len(uint(k.E))/32
	case *ecdsa.PublicKey:
		n := k.Curve.Params().BitSize / 128
		return n * n
	}
	return 1
}

// proven is since when an object is proven to exist: at the time of validation
// everything that is at hand exists.
func (e *evidence) proven(i id) time.Time {
	if t, ok := e.poe[i]; ok {
		return t
	}
	return e.at
}

// prove records a proof of existence.
func (e *evidence) prove(i id, at time.Time) {
	if at.Before(e.proven(i)) {
		e.poe[i] = at
	}
}

// addCertificate takes one in and gives its id.
func (e *evidence) addCertificate(der []byte, source string) id {
	i := idOf(der)
	if e.source[i] != "" {
		return i
	}
	if len(e.source) >= maxCertificates {
		e.full = true
		return i
	}
	e.source[i] = source
	c, err := cms.ReadCertificate(der)
	if err != nil {
		e.unreadable[i] = err
		return i
	}
	e.certs[i] = c
	e.order = append(e.order, i)
	e.bySubject[string(c.RawSubject)] = append(e.bySubject[string(c.RawSubject)], i)
	return i
}

// addStatement takes in an OCSP answer or a CRL; one that cannot be read says
// nothing, and is nothing.
func (e *evidence) addStatement(der []byte, crl bool, source string) id {
	i := idOf(der)
	if s := e.known[i]; s != nil && source == embedded {
		s.source = source
	}
	if e.tried[tried{i, crl}] {
		return i
	}
	if e.taken[crl] >= maxStatements && source != fetched {
		e.full = true
		return i
	}
	e.tried[tried{i, crl}] = true
	s := &statement{id: i, der: der, source: source}
	var err error
	if crl {
		s.crl, err = certs.ReadCRL(der)
	} else {
		s.ocsp, err = certs.ParseOCSPResponse(der)
	}
	if err != nil {
		return i
	}
	e.known[i] = s
	e.taken[crl]++
	e.statements = append(e.statements, s)
	if s.ocsp != nil {
		for _, c := range s.ocsp.Certificates {
			e.prove(e.addCertificate(c.Raw, source), e.proven(i))
		}
	}
	return i
}

// addMaterial takes in what a DSS dictionary holds and gives the ids.
func (e *evidence) addMaterial(m pdf.Material, source string) []id {
	var ids []id
	for _, der := range fromBothEnds(m.Certificates) {
		ids = append(ids, e.addCertificate(der, source))
	}
	for _, der := range fromBothEnds(m.OCSPs) {
		ids = append(ids, e.addStatement(der, false, source))
	}
	for _, der := range fromBothEnds(m.CRLs) {
		ids = append(ids, e.addStatement(der, true, source))
	}
	return ids
}

// fromBothEnds gives the first, the last, the second and so on: each writer adds
// at the end, so that a flood that was there before, or came later, does not
// bring what matters beyond the limits.
func fromBothEnds(list [][]byte) [][]byte {
	out := make([][]byte, 0, len(list))
	for i, j := 0, len(list)-1; i <= j; i, j = i+1, j-1 {
		out = append(out, list[i])
		if i < j {
			out = append(out, list[j])
		}
	}
	return out
}

// scope restricts evidence to what is in it; nil: all.
type scope map[id]bool

func (s scope) has(i id) bool { return s == nil || s[i] }

var (
	errOther   = errors.New("it speaks of other certificates")
	errTooMuch = errors.New("the limits of the work are reached")
)

// said is what all statements say of one certificate: read once, however often
// it is asked.
type said struct {
	read    int // statements that were looked at
	answers []answered
	// refusal is why the first one that was refused does not count.
	refusal string
	// cut: the limits of the work left some unread, and what they say unknown.
	cut bool
}

// answered is a verified answer.
type answered struct {
	*statement
	status certs.Status
}

// about gives what is said of cert, verified.
func (e *evidence) about(cert, issuer *x509.Certificate) *said {
	key := statusKey{idOf(cert.Raw), idOf(issuer.Raw)}
	a := e.said[key]
	if a == nil {
		a = &said{}
		e.said[key] = a
	}
	for ; a.read < len(e.statements); a.read++ {
		s := e.statements[a.read]
		st, err := e.read(s, cert, issuer)
		switch se, ok := errors.AsType[*certs.StatusError](err); {
		case err == nil:
			a.answers = append(a.answers, answered{s, st})
		case errors.Is(err, errTooMuch), ok && se.Reason != certs.StatusIssuer && se.Reason != certs.StatusOther:
			if a.refusal == "" {
				a.refusal = err.Error()
			}
			a.cut = a.cut || errors.Is(err, errTooMuch)
		}
	}
	return a
}

func (e *evidence) read(s *statement, cert, issuer *x509.Certificate) (certs.Status, error) {
	cost := 1
	switch {
	case s.ocsp == nil:
		// Looking through a list of a million entries takes some 50 ms.
		cost += s.crl.Entries / 10_000
	default:
		if _, speaks := s.ocsp.For(cert, issuer); !speaks {
			return certs.Status{}, errOther
		}
	}
	if e.answers -= cost; e.answers < 0 {
		return certs.Status{}, errTooMuch
	}
	if s.ocsp != nil {
		return certs.OCSPStatus(s.der, cert, issuer)
	}
	return s.crl.Status(cert, issuer)
}

// ask puts one question to Options.Revocation, once, and takes the answer in. It
// is put again only when something newer is needed than what was asked for.
func (e *evidence) ask(ctx context.Context, cert, issuer *x509.Certificate, since time.Time) error {
	key := statusKey{idOf(cert.Raw), idOf(issuer.Raw)}
	if q, done := e.asked[key]; done && (q.err != nil || !since.After(q.since)) {
		return q.err
	}
	st, err := e.revoker.Status(ctx, cert, issuer, since)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && st == nil:
		err = fmt.Errorf("no status")
	case err == nil:
		e.addStatement(st.DER, st.Kind == certs.FromCRL, fetched)
	}
	e.asked[key] = question{since, err}
	return err
}

// bag gives the certificates that may lead from leaf to an anchor: its possible
// issuers, and theirs.
func (e *evidence) bag(leaf *x509.Certificate, in scope) []*x509.Certificate {
	var out []*x509.Certificate
	seen := map[id]bool{idOf(leaf.Raw): true}
	for next := []*x509.Certificate{leaf}; len(next) > 0; next = next[1:] {
		for _, i := range e.bySubject[string(next[0].RawIssuer)] {
			if seen[i] || !in.has(i) {
				continue
			}
			if len(out) == maxBag {
				e.full = true
				return out
			}
			seen[i] = true
			out = append(out, e.certs[i])
			next = append(next, e.certs[i])
		}
	}
	return out
}

type pathKey struct {
	leaf  id
	at    int64
	use   certs.Use
	scope string
}

type builtPath struct {
	path []*x509.Certificate
	err  error
}

// holds tells whether the issuers of a path, but for its anchor, are in scope.
func (s scope) holds(path []*x509.Certificate) bool {
	for _, c := range path[1:max(1, len(path)-1)] {
		if !s.has(idOf(c.Raw)) {
			return false
		}
	}
	return true
}

// path builds a path that is good at a time.
func (e *evidence) path(leaf *x509.Certificate, at time.Time, use certs.Use, in scope) ([]*x509.Certificate, error) {
	if in != nil {
		// Most often the path that is known does, and nothing is built anew.
		known, err := e.path(leaf, at, use, nil)
		if err != nil || in.holds(known) {
			return known, err
		}
	}
	key := pathKey{leaf: idOf(leaf.Raw), at: at.UnixNano(), use: use, scope: fmt.Sprintf("%p", in)}
	if b, ok := e.built[key]; ok {
		return b.path, b.err
	}
	if e.paths--; e.paths < 0 {
		return nil, errTooMuch
	}
	var b builtPath
	b.path, b.err = certs.BuildPath(leaf, e.bag(leaf, in), e.roots, at, use)
	e.scopes = append(e.scopes, in)
	e.built[key] = b
	return b.path, b.err
}
