// Package wiretest makes messages that are nearly right: what a caller who does not keep to the contract sends to a
// role's socket. The fuzz targets of the roles begin with them, so that go test tries each of them.
package wiretest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tekend/wire"
)

// Variants are messages made of a right one: unknown, doubled, missing members, members of every wrong type, other
// spellings of their names, and texts that are no JSON. The right one is not among them.
func Variants(t testing.TB, right []byte) [][]byte {
	t.Helper()
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(right, &members); err != nil {
		t.Fatal(err)
	}
	all := [][]byte{
		nil, []byte("null"), []byte("[]"), []byte(`"x"`), []byte("1"), []byte("{}"), []byte("{"), []byte("\xff\xfe{}"),
		right[:len(right)-1], append(bytes.Clone(right), '{', '}'), append([]byte("\xef\xbb\xbf"), right...),
		[]byte(strings.Repeat("[", 5000)), []byte(strings.Repeat(`{"a":`, 2000)),
		append([]byte(`{"unknown":1,`), right[1:]...),
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range members {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range names {
		prefix := func(spelled string, value []byte) []byte {
			return append(fmt.Appendf(nil, "{%s:%s,", spelled, value), right[1:]...)
		}
		quoted, _ := json.Marshal(name) // a name of ours
		upper, _ := json.Marshal(strings.ToUpper(name[:1]) + name[1:])
		escaped := fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:])
		all = append(all, prefix(string(quoted), members[name]), prefix(string(upper), members[name]), prefix(escaped, members[name]))
		for _, wrong := range []string{"null", "1", "-1", "1e400", "true", `""`, `"x"`, `"\u0000"`, `"\ud800"`, "[]", "[null]", "{}", `{"a":{}}`, `["x","x"]`} {
			changed := map[string]json.RawMessage{}
			for n, v := range members {
				changed[n] = v
			}
			changed[name] = json.RawMessage(wrong)
			b, err := json.Marshal(changed)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		delete(members, name)
		b, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		members[name] = field(right, name)
		all = append(all, b)
	}
	return all
}

// field is one member of a message.
func field(message []byte, name string) json.RawMessage {
	members := map[string]json.RawMessage{}
	_ = json.Unmarshal(message, &members) // it was read before
	return members[name]
}

// Check holds an answer to the protocol: JSON with a code for every refusal, and never a fault of the role's own.
func Check(status int, body []byte) error {
	if status >= 200 && status < 300 {
		return nil
	}
	var e wire.Error
	if err := json.Unmarshal(body, &e); err != nil || e.Code == "" || e.Detail == "" {
		return fmt.Errorf("status %d with an answer outside the protocol: %.200s", status, body)
	}
	if status >= 500 && (status != 503 || !e.Retryable) || e.Code == "internal" {
		return fmt.Errorf("status %d: %.200s", status, body)
	}
	return nil
}
