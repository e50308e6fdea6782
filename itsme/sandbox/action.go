package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"math/big"
	"net/url"
	"slices"
	"sync"
	"time"

	"tekend/itsme/token"
)

// Lifetimes (specs/itsme.md §1.10, §5.5).
const (
	actionLife = 3 * time.Minute // to answer on the phone
	codeLife   = 3 * time.Minute
	tokenLife  = time.Hour
	idLife     = 300 * time.Second
	keepAction = 15 * time.Minute // that a page can still say what became of it
	maxEntries = 20000            // of each kind kept in memory
)

// action is one request that waits for its person.
type action struct {
	id      string
	req     *authRequest
	created time.Time
	icon    int
	mobile  bool

	mu       sync.Mutex
	person   *person   // who holds the phone; nil = not identified yet
	does     behaviour // how that phone reacts
	identity *person   // whose account answers
	done     bool
	result   string // where the browser goes; "" = nowhere (silent expiry)
}

// grant is what a code stands for.
type grant struct {
	client      *ClientRegistration
	redirectURI string
	challenge   string
	until       time.Time
	idToken     func(ctx context.Context) (string, error)
	userInfo    func(ctx context.Context) (string, error)
}

// ID, Icon, Advanced and Answered are for the pages.
func (a *action) ID() string     { return a.id }
func (a *action) Icon() int      { return a.icon }
func (a *action) Advanced() bool { return a.req.advanced }

// Answered tells whether the action ended with an answer for the partner.
func (a *action) Answered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.done && a.result != ""
}

// newAction decides who will answer as far as that is known now.
func (s *Server) newAction(r *authRequest, mobile bool) (*action, *oauthError) {
	a := &action{id: random(16), req: r, created: s.cfg.Now(), icon: int(number(9)) + 1, mobile: mobile}
	name := r.ext.person
	if r.targetSub != "" {
		owner := s.bySub(r.targetSub, r.client.ID)
		if owner == nil {
			code := s.switches().UnknownSubError
			if code == "" {
				code = "access_denied"
			}
			return nil, fail(code, "Unknown user")
		}
		if err := a.target(owner, name); err != nil {
			return nil, err
		}
	} else if name != "" {
		a.identify(findPerson(name))
	}
	s.order(a)
	return a, nil
}

// target sets the person that the request is meant for (SB-24). Another person
// may be named to lend a special behaviour; one who has none is refused, since
// itsme would never ask him.
func (a *action) target(owner *person, named string) *oauthError {
	a.identify(owner)
	if named == "" || named == owner.name {
		return nil
	}
	other := findPerson(named)
	if other.behaviour == (behaviour{}) {
		return fail("access_denied", "The request is meant for another person")
	}
	a.does = other.behaviour
	if other.answersAs != "" && a.req.kind == Confirmation {
		a.identity = findPerson(other.answersAs)
	}
	return nil
}

func (a *action) identify(q *person) {
	a.person, a.identity, a.does = q, q, q.behaviour
	if q.answersAs != "" && a.req.kind == Confirmation {
		a.identity = findPerson(q.answersAs)
	}
}

// order applies what was ordered through /sandbox/next, once.
func (s *Server) order(a *action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.next, func(o order) bool { return o.Client == "" || o.Client == a.req.client.ID })
	if i < 0 {
		return
	}
	name := s.next[i].Outcome
	s.next = slices.Delete(s.next, i, i+1)
	if a.person == nil {
		a.identify(findPerson(defaultPerson))
	}
	switch name {
	case "approve":
		a.does = behaviour{}
	case "refuse", "expire", "blocked", "error":
		a.does = behaviour{outcome: outcome(name)}
	case "slow":
		a.does.slow = true
	case "call":
		a.does.call = true
	default:
		a.req.ext.defect = name
	}
}

// bySub finds the account behind a pairwise sub.
func (s *Server) bySub(sub, client string) *person {
	for i := range people {
		if s.state.sub(people[i].name, client) == sub {
			return &people[i]
		}
	}
	return nil
}

// expired tells whether nobody answered in time.
func (a *action) expired(now time.Time) bool { return now.Sub(a.created) >= actionLife }

// answer ends an action and returns where the browser goes; "" = nowhere. Only
// the first answer counts, the others get its result.
func (s *Server) answer(a *action, confirm bool, ip, mode string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done {
		return a.result
	}
	a.done = true
	late := a.expired(s.cfg.Now())
	switch {
	case a.does.outcome == expires, late:
		if !s.switches().SilentExpiry {
			a.result = a.refusal("access_denied", "The action was not answered within 3 minutes")
		}
	case a.does.outcome == blocked:
		a.result = a.refusal("access_denied", "The account is blocked")
	case a.does.outcome == errs:
		a.result = a.refusal("temporary_unavailable", "A technical error was ordered")
	case !confirm, a.does.outcome == refuses:
		a.result = a.refusal("access_denied", "The user refused")
	default:
		a.result = s.approve(a, ip, mode)
	}
	return a.result
}

func (a *action) refusal(code, text string) string {
	return redirectTo(a.req.redirectURI, url.Values{"error": {code}, "error_description": {text}}, a.req.state)
}

// redirectTo adds parameters to a redirect URI and keeps the ones it has; state
// goes back byte by byte (SB-40).
func redirectTo(uri string, q url.Values, state string) string {
	if state != "" {
		q.Set("state", state)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return uri // registered and parsed at start
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += q.Encode()
	return u.String()
}

// approve makes the code and remembers what it stands for.
func (s *Server) approve(a *action, ip, mode string) string {
	if a.does.appToApp {
		mode = "a2a"
	}
	r, who, does := a.req, a.identity, a.does
	defect := r.ext.defect
	if defect == "" && r.kind == Confirmation && r.targetSub != "" {
		defect = does.defect
	}
	ask := func() circumstances {
		return circumstances{now: s.cfg.Now(), mode: mode, ip: ip, call: does.call}
	}
	g := &grant{
		client: r.client, redirectURI: r.redirectURI, challenge: r.challenge, until: s.cfg.Now().Add(codeLife),
		idToken:  func(ctx context.Context) (string, error) { return s.idToken(ctx, r, who, ask(), defect) },
		userInfo: func(ctx context.Context) (string, error) { return s.userInfo(ctx, r, who, ask()) },
	}
	code := randomCode()
	s.codes.put(code, g, g.until)
	return redirectTo(r.redirectURI, url.Values{"code": {code}}, r.state)
}

// idToken makes the nested ID token (SB-45 to SB-49, SB-53).
func (s *Server) idToken(ctx context.Context, r *authRequest, who *person, c circumstances, defect string) (string, error) {
	m := who.chosen(r.idToken, c)
	s.standard(m, r, who, c.now)
	if r.nonce != "" {
		m["nonce"] = r.nonce
	}
	if !s.switches().OmitACR {
		m["acr"] = token.ACRBasic
		if r.advanced {
			m["acr"] = token.ACRAdvanced
		}
	}
	if s.switches().EchoApproval && r.template != nil {
		for name, v := range r.values {
			if name != "sub" {
				m[name] = v
			}
		}
	}
	s.claimDefect(defect, m, c.now)
	return s.nest(ctx, r.client, m, defect)
}

// userInfo makes the nested UserInfo answer (SB-48, SB-51).
func (s *Server) userInfo(ctx context.Context, r *authRequest, who *person, c circumstances) (string, error) {
	names := slices.Clone(r.userinfo)
	for _, scope := range r.scopes {
		names = append(names, scopeClaims[scope]...)
	}
	m := who.chosen(names, c)
	s.standard(m, r, who, c.now)
	m["nbf"] = c.now.Unix()
	return s.nest(ctx, r.client, m, "")
}

func (s *Server) standard(m map[string]any, r *authRequest, who *person, now time.Time) {
	m["iss"], m["aud"], m["sub"] = s.cfg.Issuer, r.client.ID, s.state.sub(who.name, r.client.ID)
	m["iat"], m["exp"] = now.Unix(), now.Add(idLife).Unix()
}

// nest signs and then encrypts claims for a partner.
func (s *Server) nest(ctx context.Context, c *ClientRegistration, m map[string]any, defect string) (string, error) {
	key, err := s.state.key("sig")
	if err != nil {
		return "", err
	}
	body, err := payload(defect, m)
	if err != nil {
		return "", err
	}
	jws, err := s.signDefect(defect, body, key)
	if err != nil {
		return "", err
	}
	if jws == "" {
		if jws, err = signJWS("RS256", key.Key, key.KeyID, body); err != nil {
			return "", err
		}
	}
	if defect == DefectUnencrypted {
		return jws, nil
	}
	to, err := s.partners.encryptionKey(ctx, c, s.switches().RealJWKSCache)
	if err != nil {
		return "", err
	}
	return s.encryptFor(to, jws, defect)
}

// timed is a map whose entries die, with a bound on their number.
type timed[T any] struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[string]entry[T]
}

type entry[T any] struct {
	v     T
	until time.Time
}

func newTimed[T any](now func() time.Time) *timed[T] {
	return &timed[T]{now: now, m: map[string]entry[T]{}}
}

func (t *timed[T]) put(key string, v T, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.purge()
	t.m[key] = entry[T]{v, until}
}

func (t *timed[T]) purge() {
	if len(t.m) < maxEntries {
		return
	}
	now := t.now()
	for k, e := range t.m {
		if !now.Before(e.until) || len(t.m) >= maxEntries {
			delete(t.m, k)
		}
	}
}

func (t *timed[T]) get(key string) (v T, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.m[key]
	if !ok || !t.now().Before(e.until) {
		return v, false
	}
	return e.v, true
}

// take is get and removes the entry.
func (t *timed[T]) take(key string) (v T, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.m[key]
	delete(t.m, key)
	if !ok || !t.now().Before(e.until) {
		return v, false
	}
	return e.v, true
}

// once remembers identifiers that may be used one time.
type once struct{ t *timed[struct{}] }

func (o once) first(key string, until time.Time) bool {
	if limit := o.t.now().Add(24 * time.Hour); until.After(limit) {
		until = limit
	}
	o.t.mu.Lock()
	defer o.t.mu.Unlock()
	if e, ok := o.t.m[key]; ok && o.t.now().Before(e.until) {
		return false
	}
	o.t.purge()
	o.t.m[key] = entry[struct{}]{until: until}
	return true
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// randomCode has 36 characters, as itsme's (specs/itsme.md §1.10).
func randomCode() string { return random(27) }

func number(below int64) int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(below))
	if err != nil {
		return 0
	}
	return n.Int64()
}
