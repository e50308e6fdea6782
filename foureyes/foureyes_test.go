package foureyes_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"tekend/foureyes"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// people makes three operators, of whom the last is not configured.
func people(t *testing.T) (foureyes.Operators, []ed25519.PrivateKey) {
	t.Helper()
	var keys []ed25519.PrivateKey
	var list []foureyes.Operator
	for _, name := range []string{"an", "bo", "stranger"} {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, private)
		list = append(list, foureyes.Operator{Name: name, Key: base64.RawURLEncoding.EncodeToString(public)})
	}
	ops, err := foureyes.Load(list[:2])
	if err != nil {
		t.Fatal(err)
	}
	return ops, keys
}

func approve(t *testing.T, key ed25519.PrivateKey, subject string, at time.Time) string {
	t.Helper()
	a, err := foureyes.Approve(key, subject, at, foureyes.MaxValid)
	if err != nil {
		t.Fatal(err)
	}
	return a.String()
}

func TestTwoOperatorsDecide(t *testing.T) {
	ops, keys := people(t)
	const subject = "open lock 7"
	a, b := approve(t, keys[0], subject, noon), approve(t, keys[1], subject, noon)
	if got, err := ops.Decide(subject, []string{a, b}, noon.Add(time.Minute)); err != nil || len(got) != 2 || got[0].Hash() == got[1].Hash() {
		t.Fatalf("%v %v", got, err)
	}
	for name, c := range map[string]struct {
		approvals []string
		subject   string
		at        time.Time
		want      error
	}{
		"nobody":            {nil, subject, noon, foureyes.ErrTooFew},
		"one":               {[]string{a}, subject, noon, foureyes.ErrTooFew},
		"the same twice":    {[]string{a, a}, subject, noon, foureyes.ErrTooFew},
		"one, two texts":    {[]string{a, approve(t, keys[0], subject, noon.Add(time.Second))}, subject, noon.Add(time.Second), foureyes.ErrTooFew},
		"a third of one":    {[]string{a, b, approve(t, keys[0], subject, noon)}, subject, noon, foureyes.ErrTooFew},
		"a stranger":        {[]string{a, approve(t, keys[2], subject, noon)}, subject, noon, foureyes.ErrUnknown},
		"another subject":   {[]string{a, approve(t, keys[1], "open lock 8", noon)}, subject, noon, foureyes.ErrSubject},
		"the last second":   {[]string{a, b}, subject, noon.Add(15 * time.Minute), foureyes.ErrExpired},
		"from the future":   {[]string{a, b}, subject, noon.Add(-61 * time.Second), foureyes.ErrExpired},
		"another signature": {[]string{a, swapSignature(b, a)}, subject, noon, foureyes.ErrSignature},
		"a longer life":     {[]string{a, strings.Replace(b, "12:15:00", "12:16:00", 1)}, subject, noon, foureyes.ErrSignature},
		"another key id":    {[]string{a, strings.Replace(a, keyLine(a), keyLine(b), 1)}, subject, noon, foureyes.ErrSignature},
		"a space":           {[]string{a, b + " "}, subject, noon, foureyes.ErrMalformed},
		"no end of line":    {[]string{a, strings.TrimSuffix(b, "\n")}, subject, noon, foureyes.ErrMalformed},
		"lines reordered":   {[]string{a, reorder(b)}, subject, noon, foureyes.ErrMalformed},
		"another zone":      {[]string{a, strings.Replace(b, "12:00:00Z", "13:00:00+01:00", 1)}, subject, noon, foureyes.ErrMalformed},
	} {
		if got, err := ops.Decide(c.subject, c.approvals, c.at); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

func line(text string, n int) string { return strings.Split(text, "\n")[n] }
func keyLine(text string) string     { return line(text, 3) }

func swapSignature(of, from string) string { return strings.Replace(of, line(of, 6), line(from, 6), 1) }

func reorder(text string) string {
	l := strings.Split(text, "\n")
	l[4], l[5] = l[5], l[4]
	return strings.Join(l, "\n")
}

func TestEveryBitOfAnApprovalCounts(t *testing.T) {
	ops, keys := people(t)
	a, b := approve(t, keys[0], "s", noon), approve(t, keys[1], "s", noon)
	for i := range len(b) {
		for bit := range 8 {
			bad := []byte(b)
			bad[i] ^= 1 << bit
			if _, err := ops.Decide("s", []string{a, string(bad)}, noon); err == nil {
				t.Fatalf("bit %d of byte %d (%q) does not count", bit, i, b[i])
			}
		}
	}
}

func TestLifeAndOperatorsAreBounded(t *testing.T) {
	_, keys := people(t)
	for _, d := range []time.Duration{0, -time.Hour, time.Millisecond, foureyes.MaxValid + 1} {
		if _, err := foureyes.Approve(keys[0], "s", noon, d); err == nil {
			t.Errorf("valid for %v", d)
		}
	}
	key := base64.RawURLEncoding.EncodeToString(keys[0].Public().(ed25519.PublicKey))
	other := base64.RawURLEncoding.EncodeToString(keys[1].Public().(ed25519.PublicKey))
	for name, list := range map[string][]foureyes.Operator{
		"a key twice":  {{Name: "a", Key: key}, {Name: "b", Key: key}},
		"a name twice": {{Name: "a", Key: key}, {Name: "a", Key: other}},
		"no name":      {{Key: key}},
		"no key":       {{Name: "a"}},
		"a short key":  {{Name: "a", Key: key[:40]}},
		"padding":      {{Name: "a", Key: key + "="}},
	} {
		if _, err := foureyes.Load(list); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	a, err := foureyes.Approve(key, "s", noon, time.Minute)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.String())
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := foureyes.Parse(text); err == nil && a.String() != text {
			t.Errorf("%q is read as %q", text, a.String())
		}
	})
}
