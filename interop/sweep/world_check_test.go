//go:build sweep

package sweep_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

// smallWorld is one finished request, one that failed with a position unknown, and one that was never confirmed.
func smallWorld() *world {
	data := func(s string) []byte { sum := sha256.Sum256([]byte(s)); return sum[:] }
	name := func(s string) string { return base64.RawURLEncoding.EncodeToString(data(s)) }
	value := append(data("r"), data("s")...)
	session := func(n string) *struct{ Nonce string } { return &struct{ Nonce string }{n} }
	w := &world{
		signatures: []signature{
			{key: "mac", data: data("m"), done: true}, {key: "service", data: data("c"), done: true},
			{key: "user", enrolment: true, data: data("csr"), done: true},
			{key: "user", data: data("a"), value: value, done: true},
			{key: "user", data: data("b")},
		},
		rows: []auditRow{
			{kind: "key.generate"}, {kind: "key.generated"},
			{kind: "confirmation.authorized", subject: "A"}, {kind: "key.intent", subject: "A", detail: map[string]string{"position": "0", "dtbs": name("a")}},
			{kind: "key.used", subject: "A", detail: map[string]string{"position": "0", "value": sha(asDER(value))}},
			{kind: "confirmation.authorized", subject: "B"}, {kind: "key.intent", subject: "B", detail: map[string]string{"position": "0", "dtbs": name("b")}},
			{kind: "key.unknown", subject: "B", detail: map[string]string{"position": "0"}},
		},
		positions: map[spot]string{{"A", "0"}: "signed", {"B", "0"}: "unknown"},
		consumed:  map[string]int{"A": 1, "B": 1},
		byDTBS:    map[string]*request{},
	}
	w.requests = []*request{
		{id: "a", state: "finished", confirmed: true, dtbs: []string{name("a")}},
		{id: "b", state: "failed", confirmed: true, dtbs: []string{name("b")}},
		{id: "c", state: "prepared", dtbs: []string{name("c")}},
	}
	w.requests[0].progress.Session, w.requests[1].progress.Session = session("A"), session("B")
	w.requests[1].progress.Failure = &struct{ Code string }{"outcome_unknown"}
	for _, r := range w.requests {
		w.byDTBS[r.dtbs[0]] = r
	}
	return w
}

// The comparison must see each fault it is there for.
func TestTheComparisonSeesWhatIsWrong(t *testing.T) {
	if f, wrong := smallWorld().check(); len(wrong) > 0 || f.signs != 2 || f.signed != 1 || f.unknown != 1 || f.unknownUsed != 1 || f.enrolSigns != 1 {
		t.Fatalf("%+v %v", f, wrong)
	}
	again := func(w *world, i int) { w.signatures = append(w.signatures, w.signatures[i]) }
	for name, tc := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"signed twice":                    {func(w *world) { again(w, 3) }, "2 C_Sign over the digest"},
		"unknown and signed twice":        {func(w *world) { again(w, 4) }, "2 C_Sign over the digest"},
		"more certificate requests":       {func(w *world) { again(w, 2) }, "is not between made"},
		"signed without C_Sign":           {func(w *world) { w.signatures = w.signatures[4:] }, "did not see just this value"},
		"another value":                   {func(w *world) { w.signatures[3].value[0] ^= 1 }, "did not see just this value"},
		"never burnt":                     {func(w *world) { w.rows = w.rows[:6]; delete(w.positions, spot{"B", "0"}) }, "no position was burnt"},
		"never confirmed":                 {func(w *world) { w.signatures[4].data, _ = base64.RawURLEncoding.DecodeString(w.requests[2].dtbs[0]) }, "which was never confirmed"},
		"of no request":                   {func(w *world) { w.byDTBS = map[string]*request{} }, "which no request"},
		"burnt twice":                     {func(w *world) { w.rows = append(w.rows, w.rows[3]) }, "burns a position that is signed"},
		"burnt without confirmation":      {func(w *world) { w.rows = append(w.rows[:2:2], w.rows[3:]...) }, "not authorized before"},
		"consumed twice":                  {func(w *world) { w.rows = append(w.rows, w.rows[2]) }, "authorized twice"},
		"two positions for one digest":    {func(w *world) { w.rows[6].detail["dtbs"] = w.rows[3].detail["dtbs"] }, "a second position"},
		"still burnt":                     {func(w *world) { w.rows = w.rows[:7]; w.positions[spot{"B", "0"}] = "burnt" }, "is still burnt"},
		"table and audit differ":          {func(w *world) { w.positions[spot{"B", "0"}] = "free" }, "in the audit and"},
		"stuck":                           {func(w *world) { w.requests[0].state = "signed" }, "is still signed"},
		"confirmed and expired":           {func(w *world) { w.requests[1].state = "expired" }, "was confirmed and is expired"},
		"values and failed":               {func(w *world) { w.requests[0].state = "failed" }, "what was confirmed is lost"},
		"failed, nothing said of the key": {func(w *world) { w.requests[1].progress.Failure.Code = "session_expired" }, "failed with"},
	} {
		w := smallWorld()
		tc.spoil(w)
		if _, wrong := w.check(); !strings.Contains(strings.Join(wrong, "\n"), tc.want) {
			t.Errorf("%s: %q is not in %q", name, tc.want, wrong)
		}
	}
}
