package token

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// pair is one key of itsme (signing) and two of ours, made once.
var pair = sync.OnceValue(func() (k [3]*rsa.PrivateKey) {
	for i := range k {
		var err error
		if k[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return k
})

// published is a fixed key set.
type published map[string]jose.JSONWebKey

func (p published) Key(_ context.Context, kid string) (*jose.JSONWebKey, error) {
	if k, ok := p[kid]; ok {
		return &k, nil
	}
	return nil, ErrUnknownKey
}

func keys() published {
	return published{"s1": {Key: &pair()[0].PublicKey, KeyID: "s1", Use: "sig", Algorithm: "RS256"}}
}

func ours() []jose.JSONWebKey {
	return []jose.JSONWebKey{{Key: pair()[1], KeyID: "e1"}, {Key: pair()[2], KeyID: "e2"}}
}

var now = time.Unix(1780000000, 0)

func expect() Expect {
	return Expect{Issuer: "https://idp.test/v2", Audience: "CLIENT", Nonce: strings.Repeat("n", 43), Subject: "sub1", ACR: ACRAdvanced, Now: now}
}

func good() map[string]any {
	return map[string]any{
		"iss": "https://idp.test/v2", "aud": "CLIENT", "sub": "sub1", "nonce": strings.Repeat("n", 43), "acr": ACRAdvanced,
		"iat": now.Unix(), "exp": now.Unix() + 300, "name": "Jan Jansen", ClaimDocumentSN: "590000000123", ClaimOngoingCall: false,
		ClaimIssuingCountry: map[string]any{ClaimDocumentSN: "BEL", "name": "BEL"},
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sign(t testing.TB, payload []byte) string {
	t.Helper()
	return signWith(t, payload, jose.SigningKey{Algorithm: jose.RS256, Key: pair()[0]}, map[jose.HeaderKey]any{"kid": "s1"})
}

func signWith(t testing.TB, payload []byte, key jose.SigningKey, header map[jose.HeaderKey]any) string {
	t.Helper()
	s, err := jose.NewSigner(key, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	out, err := obj.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rawSign signs a header that go-jose would not write.
func rawSign(t testing.TB, header string, payload []byte) string {
	t.Helper()
	enc := base64.RawURLEncoding.EncodeToString
	s := opaque{pair()[0]}
	input := enc([]byte(header)) + "." + enc(payload)
	sig, err := s.sign([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + enc(sig)
}

type jwe struct {
	alg    jose.KeyAlgorithm
	enc    jose.ContentEncryption
	key    any
	kid    string
	header map[jose.HeaderKey]any
	zip    jose.CompressionAlgorithm
}

func (j jwe) seal(t testing.TB, plain string) *jose.JSONWebEncryption {
	t.Helper()
	if j.alg == "" {
		j.alg = jose.RSA_OAEP_256
	}
	if j.enc == "" {
		j.enc = jose.A128CBC_HS256
	}
	if j.key == nil {
		j.key = &pair()[1].PublicKey
	}
	e, err := jose.NewEncrypter(j.enc, jose.Recipient{Algorithm: j.alg, Key: j.key, KeyID: j.kid}, &jose.EncrypterOptions{ExtraHeaders: j.header, Compression: j.zip})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := e.Encrypt([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return obj
}

func (j jwe) compact(t testing.TB, plain string) string {
	t.Helper()
	out, err := j.seal(t, plain).CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGoodToken(t *testing.T) {
	for _, j := range []jwe{{}, {kid: "e1"}, {enc: jose.A256GCM, kid: "e2", key: &pair()[2].PublicKey}, {key: &pair()[2].PublicKey}, {header: map[jose.HeaderKey]any{"cty": "JWT", "typ": "JWT"}}} {
		inner, err := Decrypt(j.compact(t, sign(t, marshal(t, good()))), ours())
		if err != nil {
			t.Fatal(err)
		}
		id, err := Verify(context.Background(), inner, keys(), expect())
		if err != nil {
			t.Fatal(err)
		}
		if id.Subject != "sub1" || id.KeyID != "s1" || !id.IssuedAt.Equal(now) || !id.Expires.Equal(now.Add(5*time.Minute)) || id.ACR != ACRAdvanced ||
			id.Claims.Name != "Jan Jansen" || id.Claims.IssuingCountry != "BEL" || id.Claims.OngoingCall == nil || *id.Claims.OngoingCall || id.Claims.AgeGTE18 != nil {
			t.Errorf("%+v", id)
		}
	}
}

func TestDecryptRefuses(t *testing.T) {
	inner := sign(t, marshal(t, good()))
	fine := jwe{kid: "e1"}.compact(t, inner)
	parts := strings.Split(fine, ".")
	header := func(h string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(h)) + "." + strings.Join(parts[1:], ".")
	}
	stranger := &pair()[0].PublicKey
	for name, test := range map[string]struct{ raw, reason string }{
		"empty":              {"", Malformed},
		"bare JWS":           {inner, NotEncrypted},
		"JSON":               {jwe{}.seal(t, inner).FullSerialize(), Serialization},
		"JSON after space":   {" {}", Serialization},
		"too long":           {strings.Repeat("a", MaxToken+1), TooLong},
		"line break inside":  {fine[:40] + "\n" + fine[40:], Malformed},
		"padding":            {fine + "=", Malformed},
		"six parts":          {fine + ".x", Malformed},
		"empty part":         {parts[0] + "..." + parts[3] + "." + parts[4], Malformed},
		"RSA-OAEP":           {jwe{alg: jose.RSA_OAEP}.compact(t, inner), BadAlgorithm},
		"RSA1_5":             {header(`{"alg":"RSA1_5","enc":"A128CBC-HS256"}`), BadAlgorithm},
		"dir":                {header(`{"alg":"dir","enc":"A256GCM"}`), BadAlgorithm},
		"no alg":             {header(`{"enc":"A256GCM"}`), BadAlgorithm},
		"A128GCM":            {jwe{enc: jose.A128GCM}.compact(t, inner), BadEncryption},
		"A256CBC-HS512":      {jwe{enc: jose.A256CBC_HS512}.compact(t, inner), BadEncryption},
		"zip":                {jwe{zip: jose.DEFLATE}.compact(t, inner), Compressed},
		"zip in capitals":    {header(`{"alg":"RSA-OAEP-256","enc":"A256GCM","ZIP":"DEF"}`), Compressed},
		"crit":               {header(`{"alg":"RSA-OAEP-256","enc":"A256GCM","crit":["exp"]}`), Critical},
		"jwk":                {header(`{"alg":"RSA-OAEP-256","enc":"A256GCM","jwk":{}}`), BadHeader},
		"alg twice":          {header(`{"alg":"dir","alg":"RSA-OAEP-256","enc":"A256GCM"}`), BadHeader},
		"Alg beside alg":     {header(`{"Alg":"dir","alg":"RSA-OAEP-256","enc":"A256GCM"}`), BadHeader},
		"alg is a number":    {header(`{"alg":5,"enc":"A256GCM"}`), BadHeader},
		"header no JSON":     {header(`xx`), BadHeader},
		"header null":        {header(`null`), BadHeader},
		"header list":        {header(`[]`), BadHeader},
		"header huge":        {header(`{"alg":"` + strings.Repeat("a", maxHeader) + `"}`), TooLong},
		"cty":                {jwe{header: map[jose.HeaderKey]any{"cty": "JSON"}}.compact(t, inner), BadHeader},
		"unknown kid":        {jwe{kid: "e9"}.compact(t, inner), BadKeyID},
		"empty kid":          {header(`{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":""}`), BadKeyID},
		"kid of another key": {jwe{kid: "e2"}.compact(t, inner), CannotDecrypt},
		"to a stranger":      {jwe{key: stranger}.compact(t, inner), CannotDecrypt},
		"header changed":     {header(`{"alg":"RSA-OAEP-256","enc":"A128CBC-HS256","kid":"e1","x":1}`), CannotDecrypt},
		"tag changed":        {fine[:len(fine)-4] + "AAAA", CannotDecrypt},
		"plain JSON inside":  {jwe{}.compact(t, `{"sub":"sub1"}`), NotSigned},
		"JWE inside":         {jwe{}.compact(t, fine), NotSigned},
		"nothing inside":     {jwe{}.compact(t, ""), NotSigned},
		"JWS with spaces":    {jwe{}.compact(t, " "+inner), NotSigned},
	} {
		if _, err := Decrypt(test.raw, ours()); ReasonOf(err) != test.reason {
			t.Errorf("%s: %v, want %s", name, err, test.reason)
		}
	}
	if _, err := Decrypt(fine, nil); ReasonOf(err) != BadKeyID {
		t.Error(err)
	}
	if _, err := DecryptOlder(jwe{alg: jose.RSA_OAEP}.compact(t, inner), ours()); err != nil {
		t.Error(err)
	}
	if got, err := DecryptOlder(fine, ours()); err != nil || got != inner {
		t.Error(err)
	}
}

// TestOneSpelling: no other text decrypts to what a token holds.
func TestOneSpelling(t *testing.T) {
	fine := jwe{kid: "e1"}.compact(t, sign(t, marshal(t, good())))
	parts := strings.Split(fine, ".")
	// The last character of a 342-character part has four spare bits.
	key := parts[1]
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		changed := key[:len(key)-1] + string(c)
		if changed == key {
			continue
		}
		if _, err := Decrypt(strings.Join([]string{parts[0], changed, parts[2], parts[3], parts[4]}, "."), ours()); err == nil {
			t.Errorf("another spelling ending in %c was taken", c)
		}
	}
}

func TestVerifyRefusesTheForm(t *testing.T) {
	body := marshal(t, good())
	fine := sign(t, body)
	enc := base64.RawURLEncoding.EncodeToString
	none := enc([]byte(`{"alg":"none"}`)) + "." + enc(body) + "."
	_, b, _ := strings.Cut(fine, ".")
	for name, test := range map[string]struct{ inner, reason string }{
		"empty":           {"", Malformed},
		"JSON":            {`{"payload":""}`, Serialization},
		"five parts":      {"a.b.c.d.e", NotSigned},
		"too long":        {strings.Repeat("a", MaxToken+1), TooLong},
		"none":            {none, BadAlgorithm},
		"None":            {enc([]byte(`{"alg":"None","kid":"s1"}`)) + "." + b, BadAlgorithm},
		"RS512":           {signWith(t, body, jose.SigningKey{Algorithm: jose.RS512, Key: pair()[0]}, map[jose.HeaderKey]any{"kid": "s1"}), BadAlgorithm},
		"PS256":           {signWith(t, body, jose.SigningKey{Algorithm: jose.PS256, Key: pair()[0]}, map[jose.HeaderKey]any{"kid": "s1"}), BadAlgorithm},
		"HS256":           {signWith(t, body, jose.SigningKey{Algorithm: jose.HS256, Key: pair()[0].N.Bytes()}, map[jose.HeaderKey]any{"kid": "s1"}), BadAlgorithm},
		"no kid":          {signWith(t, body, jose.SigningKey{Algorithm: jose.RS256, Key: pair()[0]}, nil), BadKeyID},
		"unknown kid":     {signWith(t, body, jose.SigningKey{Algorithm: jose.RS256, Key: pair()[0]}, map[jose.HeaderKey]any{"kid": "s2"}), BadKeyID},
		"another key":     {signWith(t, body, jose.SigningKey{Algorithm: jose.RS256, Key: pair()[1]}, map[jose.HeaderKey]any{"kid": "s1"}), BadSignature},
		"b64":             {rawSign(t, `{"alg":"RS256","kid":"s1","b64":false}`, body), Critical},
		"crit":            {rawSign(t, `{"alg":"RS256","kid":"s1","crit":[]}`, body), Critical},
		"own key":         {rawSign(t, `{"alg":"RS256","kid":"s1","jwk":{"kty":"RSA"}}`, body), BadHeader},
		"kid twice":       {rawSign(t, `{"alg":"RS256","kid":"s2","kid":"s1"}`, body), BadHeader},
		"payload changed": {fine[:200] + "A" + fine[201:], BadSignature},
		"no signature":    {fine[:strings.LastIndex(fine, ".")+1], BadSignature},
		"line break":      {fine + "\n", Malformed},
	} {
		if _, err := Verify(context.Background(), test.inner, keys(), expect()); ReasonOf(err) != test.reason {
			t.Errorf("%s: %v, want %s", name, err, test.reason)
		}
	}
}

func TestVerifyRefusesKeysThatDoNotFit(t *testing.T) {
	fine := sign(t, marshal(t, good()))
	pub := &pair()[0].PublicKey
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]jose.JSONWebKey{
		"enc":       {Key: pub, KeyID: "s1", Use: "enc"},
		"RS512":     {Key: pub, KeyID: "s1", Use: "sig", Algorithm: "RS512"},
		"other kid": {Key: pub, KeyID: "s2", Use: "sig"},
		"small":     {Key: &small.PublicKey, KeyID: "s1", Use: "sig"},
		"symmetric": {Key: []byte("secret"), KeyID: "s1", Use: "sig"},
		"private":   {Key: pair()[0], KeyID: "s1", Use: "sig"},
		"no key":    {KeyID: "s1"},
	} {
		if _, err := Verify(context.Background(), fine, published{"s1": k}, expect()); ReasonOf(err) != BadKeyID {
			t.Errorf("%s: %v", name, err)
		}
	}
	down := errors.New("itsme is down")
	_, err = Verify(context.Background(), fine, failing{down}, expect())
	if !errors.Is(err, down) || ReasonOf(err) != "" {
		t.Errorf("an outage must not look like a bad token: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Key(context.Context, string) (*jose.JSONWebKey, error) { return nil, f.err }

func TestVerifyRefusesTheContent(t *testing.T) {
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for name, test := range map[string]struct {
		change func(map[string]any)
		reason string
	}{
		"fine":                {func(map[string]any) {}, ""},
		"iss":                 {func(m map[string]any) { m["iss"] = "https://idp.test/v2/" }, WrongIssuer},
		"no iss":              {func(m map[string]any) { delete(m, "iss") }, WrongIssuer},
		"aud":                 {func(m map[string]any) { m["aud"] = "CLIENT2" }, WrongAudience},
		"aud in capitals":     {func(m map[string]any) { m["aud"] = "client" }, WrongAudience},
		"aud list of one":     {func(m map[string]any) { m["aud"] = []string{"CLIENT"} }, WrongAudience},
		"no aud":              {func(m map[string]any) { delete(m, "aud") }, WrongAudience},
		"azp":                 {func(m map[string]any) { m["azp"] = "OTHER" }, WrongAudience},
		"azp right":           {func(m map[string]any) { m["azp"] = "CLIENT" }, ""},
		"exp just in":         {func(m map[string]any) { m["exp"] = at(-59 * time.Second); m["iat"] = at(-4 * time.Minute) }, ""},
		"exp just out":        {func(m map[string]any) { m["exp"] = at(-60 * time.Second); m["iat"] = at(-4 * time.Minute) }, Expired},
		"no exp":              {func(m map[string]any) { delete(m, "exp") }, Malformed},
		"exp far":             {func(m map[string]any) { m["exp"] = at(2 * time.Hour) }, ImpossibleToKeep},
		"iat just in":         {func(m map[string]any) { m["iat"] = at(60 * time.Second); m["exp"] = at(6 * time.Minute) }, ""},
		"iat ahead":           {func(m map[string]any) { m["iat"] = at(61 * time.Second); m["exp"] = at(6 * time.Minute) }, IssuedInFuture},
		"iat old":             {func(m map[string]any) { m["iat"] = at(-301 * time.Second) }, TooOld},
		"iat just not old":    {func(m map[string]any) { m["iat"] = at(-300 * time.Second) }, ""},
		"no iat":              {func(m map[string]any) { delete(m, "iat") }, Malformed},
		"iat a text":          {func(m map[string]any) { m["iat"] = fmt.Sprint(now.Unix()) }, Malformed},
		"iat a fraction":      {func(m map[string]any) { m["iat"] = 1780000000.5 }, Malformed},
		"iat negative":        {func(m map[string]any) { m["iat"] = -1 }, Malformed},
		"exp enormous":        {func(m map[string]any) { m["exp"] = int64(1) << 60 }, Malformed},
		"nbf ahead":           {func(m map[string]any) { m["nbf"] = at(61 * time.Second) }, NotYetValid},
		"nbf past":            {func(m map[string]any) { m["nbf"] = at(-time.Second) }, ""},
		"nonce":               {func(m map[string]any) { m["nonce"] = strings.Repeat("n", 42) + "N" }, WrongNonce},
		"no nonce":            {func(m map[string]any) { delete(m, "nonce") }, WrongNonce},
		"null nonce":          {func(m map[string]any) { m["nonce"] = nil }, WrongNonce},
		"sub":                 {func(m map[string]any) { m["sub"] = "sub2" }, WrongSubject},
		"no sub":              {func(m map[string]any) { delete(m, "sub") }, WrongSubject},
		"sub a number":        {func(m map[string]any) { m["sub"] = 1 }, Malformed},
		"acr basic":           {func(m map[string]any) { m["acr"] = ACRBasic }, WrongACR},
		"no acr":              {func(m map[string]any) { delete(m, "acr") }, WrongACR},
		"acr old spelling":    {func(m map[string]any) { m["acr"] = strings.Replace(ACRAdvanced, "/v2/", "/V2/", 1) }, ""},
		"Sub beside sub":      {func(m map[string]any) { m["Sub"] = "sub1" }, BadClaims},
		"SUB alone":           {func(m map[string]any) { delete(m, "sub"); m["SUB"] = "sub1" }, BadClaims},
		"long s in sub":       {func(m map[string]any) { m["\u017fub"] = "sub2" }, BadClaims},
		"Kelvin sign":         {func(m map[string]any) { m["irrelevant_\u212a"] = 1 }, ""},
		"claim in other case": {func(m map[string]any) { m["Name"] = "Piet" }, BadClaims},
		"name with control":   {func(m map[string]any) { m["name"] = "Jan\u202eJansen" }, Malformed},
		"name a number":       {func(m map[string]any) { m["name"] = 7 }, Malformed},
		"name very long":      {func(m map[string]any) { m["name"] = strings.Repeat("a", maxText+1) }, Malformed},
		"ongoing_call a text": {func(m map[string]any) { m[ClaimOngoingCall] = "false" }, Malformed},
		"countries differ":    {func(m map[string]any) { m[ClaimIssuingCountry] = map[string]any{"name": "BEL", "gender": "NLD"} }, Malformed},
		"country of another":  {func(m map[string]any) { m[ClaimIssuingCountry] = map[string]any{"name": "BEL"} }, ""},
		"country a text":      {func(m map[string]any) { m[ClaimIssuingCountry] = "BEL" }, ""},
		"country a list":      {func(m map[string]any) { m[ClaimIssuingCountry] = []string{"BEL"} }, Malformed},
		"unknown claims":      {func(m map[string]any) { m["x"] = map[string]any{"y": []int{1}} }, ""},
	} {
		m := good()
		test.change(m)
		_, err := Verify(context.Background(), sign(t, marshal(t, m)), keys(), expect())
		if ReasonOf(err) != test.reason || (err != nil) != (test.reason != "") {
			t.Errorf("%s: %v, want %q", name, err, test.reason)
		}
	}
	body := string(marshal(t, good()))
	for name, payload := range map[string]string{
		"sub twice": `{"sub":"sub2",` + body[1:], "not JSON": "hello", "null": "null", "list": "[]", "rest": body + "{}",
		"half a surrogate": `{"x":"\ud800",` + body[1:], "deep": `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "," + body[1:],
	} {
		if _, err := Verify(context.Background(), sign(t, []byte(payload)), keys(), expect()); ReasonOf(err) != BadClaims {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpectMustBeComplete(t *testing.T) {
	fine := sign(t, marshal(t, good()))
	for name, change := range map[string]func(*Expect){
		"issuer": func(e *Expect) { e.Issuer = "" }, "audience": func(e *Expect) { e.Audience = "" }, "nonce": func(e *Expect) { e.Nonce = "" },
		"acr": func(e *Expect) { e.ACR = "" }, "now": func(e *Expect) { e.Now = time.Time{} }, "skew": func(e *Expect) { e.Skew = 61 * time.Second },
		"negative skew": func(e *Expect) { e.Skew = -1 }, "age": func(e *Expect) { e.MaxAge = -1 }, "expired": func(e *Expect) { e.AllowExpired = true },
	} {
		e := expect()
		change(&e)
		if _, err := Verify(context.Background(), fine, keys(), e); err == nil || ReasonOf(err) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOtherExpectations(t *testing.T) {
	m := good()
	m["acr"] = ACRBasic
	e := expect()
	e.ACR, e.Subject = AnyACR, ""
	if _, err := Verify(context.Background(), sign(t, marshal(t, m)), keys(), e); err != nil {
		t.Error(err)
	}
	// The second reader: long after exp, but within MaxAge.
	e = expect()
	e.Now, e.AllowExpired, e.MaxAge = now.Add(9*time.Minute), true, 10*time.Minute
	fine := sign(t, marshal(t, good()))
	if _, err := Verify(context.Background(), fine, keys(), e); err != nil {
		t.Error(err)
	}
	e.Now = now.Add(11 * time.Minute)
	if _, err := Verify(context.Background(), fine, keys(), e); ReasonOf(err) != TooOld {
		t.Error(err)
	}
	e.AllowExpired = false
	e.Now = now.Add(9 * time.Minute)
	if _, err := Verify(context.Background(), fine, keys(), e); ReasonOf(err) != Expired {
		t.Error(err)
	}
}

// TestErrorsSayNothing: a refusal holds its reason and nothing of the token.
func TestErrorsSayNothing(t *testing.T) {
	m := good()
	m["nonce"], m["name"] = "secret-nonce", "Secret Name"
	_, err := Verify(context.Background(), sign(t, marshal(t, m)), keys(), expect())
	if err == nil || strings.Contains(err.Error(), "ecret") || err.Error() != "itsme token refused: nonce" {
		t.Error(err)
	}
}

// TestAccountAndNationalNumber: how the account was activated is read from an
// object that may have other members; a national number never goes into what is
// kept of the claims.
func TestAccountAndNationalNumber(t *testing.T) {
	for name, test := range map[string]struct {
		account any
		want    string
	}{
		"card reader":         {map[string]any{"activationDate": "2024-01-15T10:00:00Z", "activationMechanism": ActivatedCardReader}, ActivatedCardReader},
		"by a bank":           {map[string]any{"activationMechanism": ActivatedByRegistrar, "third": 3}, ActivatedByRegistrar},
		"not there":           {nil, ""},
		"a text":              {"CARD_READER", ""},
		"a number in it":      {map[string]any{"activationMechanism": 7}, ""},
		"invisible letters":   {map[string]any{"activationMechanism": "CARD\u200b_READER"}, ""},
		"in another spelling": {map[string]any{"ActivationMechanism": "CARD_READER"}, ""},
	} {
		m := good()
		if test.account != nil {
			m[ClaimAccount] = test.account
		}
		m[ClaimNationalNumber] = "85073003328"
		got, err := Verify(context.Background(), sign(t, marshal(t, m)), keys(), expect())
		if err != nil || got.Claims.Activation != test.want || got.Claims.NationalNumber != "85073003328" {
			t.Errorf("%s: %v %+v", name, err, got)
			continue
		}
		if kept := string(marshal(t, got.Claims)); strings.Contains(kept, "85073003328") {
			t.Errorf("%s: kept %s", name, kept)
		}
	}
}
