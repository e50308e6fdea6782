package validate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"tekend/certs"
)

// use is one certificate at its work: what EN 319 102-1 §5.2.6 (XCV) and
// §5.6.2.1, §5.6.2.2 (past certificates, sliding) ask about.
type use struct {
	cert    *x509.Certificate
	purpose certs.Use
	// when the path must be good: the best signature time; of a time-stamping
	// unit the genTime of its token.
	when time.Time
	// exists is since when the signed object is proven to exist. What an issuer
	// lost later (its validity, its good name, the strength of its algorithms)
	// does not touch it. Never before when.
	exists time.Time
	in     scope
	// offline: nothing is asked. noStatus: no status is looked at.
	offline, noStatus bool
}

// chain is the outcome.
type chain struct {
	path     []*x509.Certificate
	facts    []RevocationReport
	findings []finding
	notes    []string
	// revokedAt of the certificate itself, when it was before exists.
	revokedAt time.Time
}

// of is the word for what the certificate stands for.
func (u use) of() string {
	if u.purpose == certs.TimeStamping {
		return "time_stamp"
	}
	return "signature"
}

// judge answers for one use. An error means that the caller's context ended.
func (e *evidence) judge(ctx context.Context, u use) (chain, error) {
	var c chain
	var err error
	if c.path, err = e.path(u.cert, u.when, u.purpose, u.in); err != nil {
		c.findings = append(c.findings, pathFinding(err))
		return c, nil
	}
	if u.exists.After(u.when) {
		// Nothing proves that the object is as old as it says.
		if _, err := e.path(u.cert, u.exists, u.purpose, u.in); err != nil {
			f := pathFinding(err)
			if f.sub == CryptoConstraintsFailure {
				f.sub = CryptoConstraintsNoPOE
			}
			c.findings = append(c.findings, f)
			return c, nil
		}
	}
	w := &walk{e: e, u: u, c: &c}
	err = w.down(ctx)
	return c, err
}

// walk goes from the trust anchor down to the leaf, since what is known of an
// issuer limits what its signatures are worth.
type walk struct {
	e *evidence
	u use
	c *chain
	// limit is until when the issuer of the next certificate counts; zero: the
	// issuer is the trust anchor, for which others answer.
	limit time.Time
	// lost is the sub-indication for what came into being after limit.
	lost string
}

func (w *walk) down(ctx context.Context) error {
	path := w.c.path
	for i := len(path) - 2; i >= 0; i-- {
		cert, issuer := path[i], path[i+1]
		exists := w.e.proven(idOf(cert.Raw))
		if i == 0 && w.u.exists.Before(exists) {
			exists = w.u.exists // signing-certificate names it, under the signature
		}
		if err := certs.CheckAlgorithm(cert.SignatureAlgorithm, issuer.PublicKey, exists); err != nil {
			w.object(CryptoConstraintsNoPOE, "certificate %d of the path is not proven to be older than the end of its algorithm: %v", i, err)
		}
		if !w.limit.IsZero() && exists.After(w.limit) {
			w.object(w.lost, "certificate %d of the path is not proven to be older than the end of its issuer at %s", i, stamp(w.limit))
		}
		next, lost := cert.NotAfter, OutOfBoundsNoPOE
		if !w.u.noStatus {
			gone, err := w.status(ctx, cert, issuer, i)
			if err != nil {
				return err
			}
			if !gone.IsZero() && gone.Before(next) {
				next, lost = gone, RevokedCANoPOE
			}
		}
		w.limit, w.lost = next, lost
	}
	return nil
}

func (w *walk) object(sub, reason string, a ...any) {
	w.c.findings = append(w.c.findings, found(Indeterminate, sub, reason, a...))
}

// status finds what is known of path[i] and objects when that is not enough. gone
// is when it was revoked; zero: it was not.
func (w *walk) status(ctx context.Context, cert, issuer *x509.Certificate, i int) (gone time.Time, err error) {
	fact := RevocationReport{Subject: subjectOf(cert), Of: w.u.of(), State: "not_needed"}
	if !certs.NeedsStatus(cert) {
		w.c.facts = append(w.c.facts, fact)
		return gone, nil
	}
	l := w.look(cert, issuer, i)
	if since, ask := w.wanted(l, i); ask {
		err := w.e.ask(ctx, cert, issuer, since)
		if ctx.Err() != nil {
			return gone, ctx.Err()
		}
		if err != nil {
			w.c.notes = append(w.c.notes, fmt.Sprintf("status of %s could not be asked for: %v", fact.Subject, err))
		}
		l = w.look(cert, issuer, i)
	}
	if l.differ {
		w.c.notes = append(w.c.notes, "answers about "+fact.Subject+" contradict each other; a revocation counts")
	}
	w.decide(l, i, &fact)
	w.c.facts = append(w.c.facts, fact)
	return l.gone, nil
}

// wanted tells whether Options.Revocation is to be asked, and for how new an
// answer: when what is at hand does not do, or when it does not reach to the
// time from which the object is proven and something newer could speak against
// a time-stamping unit or a CA.
func (w *walk) wanted(l looked, i int) (since time.Time, ask bool) {
	if w.u.offline || w.e.revoker == nil || l.best.status.State == certs.StatusRevoked {
		return time.Time{}, false
	}
	if w.strict(i) {
		return w.u.when.Truncate(time.Second), l.best.statement == nil
	}
	return time.Time{}, l.best.statement == nil || reach(l.best.status).Before(w.u.exists)
}

// strict: the status of a signer's certificate must have been made after the
// signature was proven to exist: an older one says nothing of that moment.
func (w *walk) strict(i int) bool {
	return i == 0 && w.u.purpose == certs.Signing && w.u.exists.Before(w.e.at)
}

// decide turns what was found into a fact and, if it is not enough, a finding.
func (w *walk) decide(l looked, i int, fact *RevocationReport) {
	st := l.best.status
	if l.best.statement == nil {
		fact.State = "missing"
		w.object(l.sub, "no usable status of certificate %d of the path: %s", i, l.why)
		return
	}
	fact.State, fact.Kind, fact.Source = st.State.String(), st.Kind, l.best.statement.source
	fact.ThisUpdate, fact.NextUpdate, fact.ProducedAt, fact.RevokedAt, fact.Reason = st.ThisUpdate, st.NextUpdate, st.ProducedAt, st.RevokedAt, st.Reason
	if at := w.e.proven(l.best.statement.id); at.Before(w.e.at) {
		fact.ExistedAt = at
	}
	if st.Responder != nil {
		fact.Responder = subjectOf(st.Responder)
	}
	switch {
	case !w.against(st, i):
		if st.State == certs.StatusRevoked && !st.RevokedAt.After(w.u.exists) {
			w.c.notes = append(w.c.notes, "the unit's certificate was revoked later, without fault")
		}
	case i > 0:
		w.object(RevokedCANoPOE, "certificate %d of the path was revoked at %s", i, stamp(st.RevokedAt))
	case w.mayComeBack(st):
		w.object(TryLater, "the certificate is on hold since %s", stamp(st.RevokedAt))
	default:
		w.c.revokedAt = st.RevokedAt
		w.object(RevokedNoPOE, "the certificate was revoked at %s", stamp(st.RevokedAt))
	}
}

// against tells whether a status speaks against path[i]: a revocation from before
// the object is proven to exist.
func (w *walk) against(st certs.Status, i int) bool {
	if st.State != certs.StatusRevoked || st.RevokedAt.After(w.u.exists) {
		return false
	}
	// RFC 3161 §4: a unit that ended its work leaves good time-stamps behind.
	unit := i == 0 && w.u.purpose == certs.TimeStamping && st.RevokedAt.After(w.u.when)
	return !unit || st.Reason != 3 && st.Reason != 4 && st.Reason != 5
}

// mayComeBack: on hold, but not known to be so when the object existed; then a
// newer answer may tell that it was good again. Who signs while the certificate
// is on hold signs without one (Regulation 910/2014 Art 28(5)).
func (w *walk) mayComeBack(st certs.Status) bool {
	return st.State == certs.StatusRevoked && st.Reason == certs.ReasonOnHold && st.ThisUpdate.Before(w.u.exists)
}

// looked is the yield of a look through the statements.
type looked struct {
	best answered
	gone time.Time // the first revocation that is known of, from whenever; zero: none
	// The candidates: a revocation that counts, one that leaves the object good,
	// and the newest word "good" or "on hold".
	against, later, word answered

	differ bool
	sub    string // why nothing was found, in the standard's word
	why    string
}

// rank orders the reasons for having nothing: the one that came closest counts.
var ranks = map[string]int{TryLater: 1, CryptoConstraintsNoPOE: 2, RevokedCANoPOE: 3, RevocationOutOfBoundsNoPOE: 4}

func (l *looked) miss(sub, why string) {
	if ranks[sub] > ranks[l.sub] || sub == TryLater && l.sub == TryLater && l.why == nothing {
		l.sub, l.why = sub, why
	}
}

const nothing = "there is none"

// look chooses among the statements in scope. A revocation, once verified,
// counts even where newer data is silent about it (Regulation 910/2014 Art
// 28(4): it is for ever), unless the certificate was only on hold.
func (w *walk) look(cert, issuer *x509.Certificate, i int) looked {
	l := looked{sub: TryLater, why: nothing}
	var all []certs.Status
	about := w.e.about(cert, issuer)
	if about.refusal != "" {
		l.miss(TryLater, about.refusal)
	}
	for _, a := range about.answers {
		if !w.u.in.has(a.id) {
			continue
		}
		if w.e.steps--; w.e.steps < 0 {
			return looked{sub: TryLater, why: errTooMuch.Error()}
		}
		if a.status.State == certs.StatusUnknown {
			l.miss(TryLater, "the responder does not know the certificate")
			continue
		}
		sub, why := w.usable(a, issuer)
		if why == "" || a.status.State == certs.StatusRevoked {
			all = append(all, a.status)
		}
		if why == "" && !w.covers(a.status, i) {
			sub, why = TryLater, fmt.Sprintf("the status of %s is too old", stamp(a.status.ThisUpdate))
		}
		w.weigh(&l, a, i, sub, why)
	}
	_, l.differ = certs.Newest(all)
	switch {
	case l.against.statement != nil:
		l.best = l.against
	case about.cut: // what was not read may say worse
		return looked{sub: TryLater, why: errTooMuch.Error()}
	case w.against(l.word.status, i):
		l.best, l.gone = l.word, l.word.status.RevokedAt
	case l.later.statement != nil:
		l.best = l.later
	default:
		l.best = l.word
	}
	return l
}

// weigh makes an answer a candidate. What speaks against a certificate counts
// whoever said it. What speaks for it, and that is also a revocation after the
// object existed, counts when it is usable and of the right time; else why says
// what is wrong with it.
func (w *walk) weigh(l *looked, a answered, i int, sub, why string) {
	st, against := a.status, w.against(a.status, i)
	revoked := st.State == certs.StatusRevoked
	final := revoked && st.Reason != certs.ReasonOnHold
	if final && (l.gone.IsZero() || st.RevokedAt.Before(l.gone)) {
		l.gone = st.RevokedAt
	}
	earliest := func(to *answered) {
		if to.statement == nil || st.RevokedAt.Before(to.status.RevokedAt) {
			*to = a
		}
	}
	switch word := l.word.status; {
	case against && !w.mayComeBack(st):
		earliest(&l.against)
	case !against && why != "":
		l.miss(sub, why)
	case final:
		earliest(&l.later)
	case l.word.statement == nil, st.ThisUpdate.After(word.ThisUpdate), st.ThisUpdate.Equal(word.ThisUpdate) && revoked:
		l.word = a // of two of one second the worse
	}
}

// covers tells whether a good status is about the time that matters.
func (w *walk) covers(st certs.Status, i int) bool {
	switch {
	case w.strict(i):
		return !st.ThisUpdate.Before(w.u.when.Truncate(time.Second))
	case i == 0 && w.u.purpose == certs.Signing && st.ThisUpdate.Before(w.e.at.Add(-maxAge)):
		return false
	}
	return !reach(st).Before(w.u.when)
}

// maxAge is how old the status of a signer's certificate may be that is judged
// at the time of validation (Regulation (EU) 2025/1945, annex I, (2)(c)(iv)).
const maxAge = 24 * time.Hour

// reach is until when a status is meant to be used; without nextUpdate newer
// data is there at any time (RFC 6960 §2.4), and a day is enough.
func reach(st certs.Status) time.Time {
	if st.NextUpdate.IsZero() {
		return st.ThisUpdate.Add(maxAge)
	}
	return st.NextUpdate
}

// usable tells whether an answer counts that is verified: whether its times fit
// together with those that are proven, and its maker was good when it is
// proven to exist. why is "" when it does.
func (w *walk) usable(a answered, issuer *x509.Certificate) (sub, why string) {
	st, exists := a.status, w.e.proven(a.id)
	key := issuer.PublicKey
	if st.Responder != nil {
		key = st.Responder.PublicKey
	}
	switch {
	case st.ThisUpdate.After(exists.Add(clockSkew)), st.ProducedAt.After(exists.Add(clockSkew)):
		return TryLater, "it says that it is newer than it is proven to be"
	case certs.CheckAlgorithm(st.Algorithm, key, exists) != nil:
		return CryptoConstraintsNoPOE, "the answer is not proven to be older than the end of its algorithm"
	case !w.limit.IsZero() && exists.After(w.limit):
		return outOfBounds(w.lost), "the answer is not proven to be older than the end of its issuer"
	case st.Responder == nil:
		return "", ""
	case exists.After(st.Responder.NotAfter):
		return RevocationOutOfBoundsNoPOE, "the answer is not proven to be older than the end of its responder's certificate"
	case certs.CheckAlgorithm(st.Responder.SignatureAlgorithm, issuer.PublicKey, exists) != nil:
		return CryptoConstraintsNoPOE, "the responder's certificate is not proven to be older than the end of its algorithm"
	case certs.NeedsStatus(st.Responder) && !w.responder(st, issuer, exists):
		return TryLater, "the status of the responder is not known"
	}
	return "", ""
}

// outOfBounds is the word for revocation data that came after its issuer's end.
func outOfBounds(lost string) string {
	if lost == OutOfBoundsNoPOE {
		return RevocationOutOfBoundsNoPOE
	}
	return lost
}

// responder tells whether a delegated responder without id-pkix-ocsp-nocheck
// was good when its answer was made. Only the issuer itself can say so:
// otherwise responders could vouch for each other.
func (w *walk) responder(of certs.Status, issuer *x509.Certificate, exists time.Time) bool {
	good := false
	about := w.e.about(of.Responder, issuer)
	if about.cut {
		return false
	}
	for _, a := range about.answers {
		st := a.status
		if w.e.steps--; w.e.steps < 0 {
			return false
		}
		if !w.u.in.has(a.id) || st.Responder != nil {
			continue
		}
		if st.State == certs.StatusRevoked && !st.RevokedAt.After(exists) {
			return false
		}
		if _, why := w.usable(a, issuer); why == "" && st.State == certs.StatusGood && !reach(st).Before(of.ProducedAt) {
			good = true
		}
	}
	return good
}

// pathFinding puts an objection of package certs into the standard's words.
func pathFinding(err error) finding {
	e, ok := errors.AsType[*certs.PathError](err)
	if !ok {
		return found(Indeterminate, Generic, "%v", err)
	}
	sub := ChainConstraintsFailure
	switch e.Reason {
	case certs.NoPath:
		sub = NoCertificateChain
	case certs.Expired, certs.NotYetValid:
		sub = OutOfBoundsNoPOE
	case certs.BadAlgorithm:
		sub = CryptoConstraintsFailure
	}
	return found(Indeterminate, sub, "%v", err)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// subjectOf is a certificate's common name, or its organisation's.
func subjectOf(c *x509.Certificate) string {
	if c.Subject.CommonName == "" && len(c.Subject.Organization) > 0 {
		return c.Subject.Organization[0]
	}
	return c.Subject.CommonName
}

// described is a path for the report.
func described(path []*x509.Certificate) []PathCertificate {
	var out []PathCertificate
	for _, c := range path {
		out = append(out, PathCertificate{Subject: subjectOf(c), Serial: c.SerialNumber.Text(16), NotBefore: c.NotBefore, NotAfter: c.NotAfter})
	}
	return out
}
