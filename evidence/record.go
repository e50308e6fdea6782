package evidence

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tekend/audit"
	"tekend/consent"
)

// Limits between the times of one confirmation.
const (
	// maxSteps is what clocks and calls may take between two steps that follow
	// one another: a call of the sam ends after a minute.
	callTime = time.Minute
	// maxLife bounds the life of a question, of a token, of a session, and the
	// age of itsme's keys.
	maxLife = 10 * time.Minute
)

// digestOf is how digests stand in rows: base64url of the SHA-256.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// want is what a row must say.
type want struct {
	kind   string
	detail map[string]string // beside these, a row may say more
}

// record: the rows are in the log of the checkpoint, and they tell of exactly
// the bytes of this bundle.
func (j *job) record() error {
	a := j.b.Audit
	if err := j.openRows(); err != nil {
		return err
	}
	wants := j.wants()
	if len(j.rows) != len(wants) {
		return fault(StepRecord, "%d rows instead of %d", len(j.rows), len(wants))
	}
	for i, w := range wants {
		e := j.rows[i]
		if e.Kind != w.kind || e.Subject != j.nonce {
			return fault(StepRecord, "row %d is not %s of this confirmation", a.Rows[i].Seq, w.kind)
		}
		for name, v := range w.detail {
			if e.Detail[name] != v {
				return fault(StepRecord, "row %d (%s): its %s is not that of the bundle", a.Rows[i].Seq, w.kind, name)
			}
		}
	}
	return j.sequence()
}

func (j *job) wants() []want {
	n := strconv.Itoa(len(j.m.Docs))
	header, _, _ := strings.Cut(j.b.Token, ".")
	all := []want{
		{"confirmation.prepared", map[string]string{
			"credential": j.m.Cred.ID, "documents": n, "root": j.m.Root,
			"request": digestOf([]byte(j.b.Request)), "client_keys": digestOf(j.b.ClientKeys),
		}},
		{"confirmation.authorized", map[string]string{
			"credential": j.m.Cred.ID, "positions": n, "token": digestOf([]byte(j.b.Token)), "kid": digestOf([]byte(keyID(header))),
			"keys": digestOf(j.b.IssuerKeys.Body), "keys_url": j.b.IssuerKeys.URL, "keys_at": j.b.IssuerKeys.At,
		}},
	}
	prepared := all[0].detail
	prepared["provider"], prepared["order"], prepared["order_keys"], prepared["hashes"] = "", "", "", ""
	if j.m.Docs[0].Origin == consent.OriginHash {
		prepared["hashes"] = n
	}
	if o := j.b.Order; o != nil {
		prepared["provider"], prepared["order"], prepared["order_keys"] = o.Provider, digestOf([]byte(o.JWS)), digestOf(o.KeySet)
	}
	for i, d := range j.m.Docs {
		all = append(all,
			want{"key.intent", map[string]string{"position": strconv.Itoa(i), "credential": j.m.Cred.ID, "dtbs": d.DTBS}},
			want{"key.used", map[string]string{"position": strconv.Itoa(i), "value": digestOf(j.b.Positions[i].Value)}})
	}
	return all
}

// sequence: prepared before authorized before each intent before its use, by
// number and by time.
func (j *job) sequence() error {
	rows := j.b.Audit.Rows
	bad := func(i int) error { return fault(StepRecord, "row %d comes before what must precede it", rows[i].Seq) }
	for i := range rows {
		before := 0
		switch {
		case i == 0:
			continue
		case i > 2 && i%2 == 1:
			before = i - 1
		case i > 1:
			before = 1
		}
		if rows[i].Seq <= rows[before].Seq || j.rows[i].At.Before(j.rows[before].At.Add(-audit.Backstep)) {
			return bad(i)
		}
	}
	prepared, authorized := j.rows[0].At, j.rows[1].At
	asked, ends := time.Unix(j.m.Iat, 0), time.Unix(j.m.Exp, 0)
	keys, err := time.Parse(consent.TimeOfKeys, j.b.IssuerKeys.At)
	switch {
	case ends.Sub(asked) > maxLife:
		return fault(StepRecord, "the question lived longer than %v", maxLife)
	case prepared.Before(asked) || prepared.After(asked.Add(callTime)):
		return fault(StepRecord, "the question was recorded at another time than the manifest says")
	case authorized.After(ends.Add(callTime)):
		return fault(StepRecord, "the answer was taken after the end of the question")
	case err != nil || keys.Format(consent.TimeOfKeys) != j.b.IssuerKeys.At:
		return fault(StepRecord, "the time of itsme's key set is not in its form")
	case keys.After(authorized) || keys.Before(authorized.Add(-maxLife-callTime)):
		return fault(StepRecord, "itsme's key set was not fetched in the 10 minutes before the answer was taken")
	}
	return sameHost(j.b.IssuerKeys.URL, j.m.Iss)
}

// sameHost: itsme's keys come from itsme's own address.
func sameHost(keys, issuer string) error {
	k, err := url.Parse(keys)
	if err != nil {
		return fault(StepRecord, "the address of itsme's key set cannot be read")
	}
	i, err := url.Parse(issuer)
	if err != nil || k.Scheme != i.Scheme || k.Host != i.Host || k.Host == "" {
		return fault(StepRecord, "itsme's key set comes from another host than the issuer")
	}
	return nil
}

// lastUse is when the key was last used, by the record.
func (j *job) lastUse() time.Time {
	var last time.Time
	for i := 3; i < len(j.rows); i += 2 {
		if j.rows[i].At.After(last) {
			last = j.rows[i].At
		}
	}
	return last
}

// openRows verifies checkpoint, cosignatures and inclusion proofs.
func (j *job) openRows() error {
	a, t := j.b.Audit, j.trust
	log, err := audit.LogVerifier(first(t.LogKey, a.LogKey))
	if err != nil || t.LogKey != "" && strings.TrimSpace(t.LogKey) != a.LogKey {
		return fault(StepRecord, "the log's key in the bundle is not readable or not the one that you gave")
	}
	names := append([]string{}, a.WitnessKeys...)
	for _, k := range t.WitnessKeys {
		if !contains(a.WitnessKeys, strings.TrimSpace(k)) {
			return fault(StepRecord, "a witness whose key you gave has not cosigned")
		}
	}
	var witnesses []note.Verifier
	for _, k := range names {
		v, err := audit.WitnessVerifier(k)
		if err != nil {
			return fault(StepRecord, "%w", err)
		}
		witnesses = append(witnesses, memo(v))
	}
	origin, size, err := headOf(a.Checkpoint)
	if err != nil {
		return err
	}
	if err := signatureLines(a.Checkpoint); err != nil {
		return err
	}
	once := memo(log)
	seen := map[int64]bool{}
	for _, r := range a.Rows {
		p := audit.Proof{Origin: origin, Seq: r.Seq, Row: r.Row, Size: size, Hashes: r.Hashes, Checkpoint: a.Checkpoint}
		e, err := p.Verify(once, witnesses, len(witnesses))
		if err != nil {
			return fault(StepRecord, "row %d: %w", r.Seq, err)
		}
		if seen[r.Seq] {
			return fault(StepRecord, "row %d stands twice", r.Seq)
		}
		seen[r.Seq] = true
		j.rows = append(j.rows, e)
	}
	j.rep.Checkpoint, j.rep.Witnesses = uint64(size), len(witnesses)
	return nil
}

// signatureLines: each signature once, in its only spelling. Package note
// passes over a second one and over unused bits.
func signatureLines(checkpoint string) error {
	seen := map[string]bool{}
	_, lines, _ := strings.Cut(checkpoint, "\n\n") // the text has three lines, none empty: Proof.Verify
	for line := range strings.Lines(lines) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(f) != 3 {
			return fault(StepRecord, "the checkpoint has a line that is no signature")
		}
		b, err := base64.StdEncoding.Strict().DecodeString(f[2])
		if err != nil || len(b) < 5 || seen[f[1]+" "+string(b[:4])] {
			return fault(StepRecord, "the checkpoint has a signature twice or in another spelling")
		}
		seen[f[1]+" "+string(b[:4])] = true
	}
	return nil
}

// headOf reads origin and size, the first lines of a checkpoint; Proof.Verify
// checks them, and that the origin is the name of the log's key.
func headOf(checkpoint string) (origin string, size int64, err error) {
	lines := strings.SplitN(checkpoint, "\n", 3)
	if len(lines) < 3 {
		return "", 0, fault(StepRecord, "the checkpoint has no size")
	}
	size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 1 {
		return "", 0, fault(StepRecord, "the checkpoint has no size")
	}
	return lines[0], size, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

// remembering verifies each message once: the rows of a bundle share their checkpoint.
type remembering struct {
	note.Verifier
	mu    sync.Mutex
	known map[string]bool
}

func memo(v note.Verifier) note.Verifier { return &remembering{Verifier: v, known: map[string]bool{}} }

// Verify implements note.Verifier.
func (r *remembering) Verify(msg, sig []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := string(sig) + "\x00" + string(msg)
	ok, seen := r.known[key]
	if !seen {
		ok = r.Verifier.Verify(msg, sig)
		r.known[key] = ok
	}
	return ok
}
