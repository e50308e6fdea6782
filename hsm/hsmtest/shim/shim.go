// Package shim is the oracle of the tests: a PKCS#11 module in C that stands before a real one, writes down each
// signature that the token is asked for, and misbehaves on order. It knows nothing of our code, so what it saw can be
// held against audit and databases.
//
// The oracle file has one line for each event, written in one write(2) before the call goes on:
//
//	before C_Sign pid=7 n=3 session=1 key=blob:<hex> label=- mech=0x1041 data=<hex>
//	after C_Sign pid=7 n=3 session=1 key=- rv=0x0
//	after C_UnwrapKey pid=7 n=3 session=1 key=blob:<hex> rv=0x0
//	fault C_Sign pid=7 n=4 action=rv:0x30
//
// "before" means that the request goes to the token, "after" what the token answered (not what the program was told when
// there is a "fault" line); n counts the calls of one function in one process. The order file is described by [Fault].
package shim

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tekend/hsm"
)

// The variables of the environment that the shim reads.
const (
	EnvModule = "TEKEND_SHIM_MODULE" // the real module
	EnvOracle = "TEKEND_SHIM_ORACLE" // where the lines go
	EnvFaults = "TEKEND_SHIM_FAULTS" // where the orders come from
)

//go:embed shim.c
var source []byte

var compiled = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "tekend-shim-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	in, out := filepath.Join(dir, "shim.c"), filepath.Join(dir, "shim.so")
	if err := os.WriteFile(in, source, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden", "-o", out, in, "-ldl", "-lpthread")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return os.ReadFile(out)
})

// Build compiles the shim, once per process, and returns its path for the length of the test. Every user may load it.
func Build(t testing.TB) string {
	t.Helper()
	module, err := compiled()
	if err != nil {
		t.Fatalf("shim: compile: %v", err)
	}
	dir, err := os.MkdirTemp("", "tekend-shim-") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "shim.so")
	if err := os.WriteFile(path, module, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Event is one line of the oracle.
type Event struct {
	When      string // "before", "after" or "fault"
	Function  string // e.g. C_Sign
	PID       int
	N         int    // number of the call of this function in the process, from 1
	Session   uint   // 0 when the function has none
	Key       string // "blob:" + SHA-256 of the wrapped key, "id:" + CKA_ID, "pub:" + SHA-256 of modulus or point, "handle:" + number; "-"
	Label     string // CKA_LABEL of the key, "" without one
	Mechanism uint   // CKM_…, of "before"
	Data      []byte // what is to be signed, of "before"
	RV        uint   // CKR_…, of "after": the token's own answer
	Action    string // of "fault", e.g. rv:0x30
}

// ReadOracle reads an oracle file. A last line without its end is an error: each line is one write.
func ReadOracle(path string) ([]Event, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all, err := ParseOracle(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// ParseOracle reads lines of an oracle file.
func ParseOracle(text []byte) ([]Event, error) {
	var all []Event
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		e, err := parseEvent(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("shim: line %d: %w", len(all)+1, err)
		}
		all = append(all, e)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return nil, errors.New("shim: the last line is not whole")
	}
	return all, lines.Err()
}

func parseEvent(line string) (Event, error) {
	words := strings.Fields(line)
	if len(words) < 4 {
		return Event{}, fmt.Errorf("%q is no event", line)
	}
	e := Event{When: words[0], Function: words[1]}
	for _, w := range words[2:] {
		name, value, _ := strings.Cut(w, "=")
		var err error
		switch name {
		case "pid":
			e.PID, err = strconv.Atoi(value)
		case "n":
			e.N, err = strconv.Atoi(value)
		case "session":
			e.Session, err = number(value)
		case "mech":
			e.Mechanism, err = number(value)
		case "rv":
			e.RV, err = number(value)
		case "data":
			e.Data, err = hex.DecodeString(value)
		case "label":
			var b []byte
			if value != "-" {
				b, err = hex.DecodeString(value)
			}
			e.Label = string(b)
		case "key":
			e.Key = value
		case "action":
			e.Action = value
		default:
			err = fmt.Errorf("unknown word %q", w)
		}
		if err != nil {
			return Event{}, fmt.Errorf("%q: %w", line, err)
		}
	}
	return e, nil
}

func number(s string) (uint, error) {
	n, err := strconv.ParseUint(s, 0, 64)
	return uint(n), err
}

// Signature is one request to sign that reached the token.
type Signature struct {
	Event      // the "before" line
	Done  bool // the token answered; false when the process ended inside the call
	RV    uint // the token's answer; CKR_OK (0) with Done: the token made the value
}

// Made tells whether the token made a value for sure.
func (s Signature) Made() bool { return s.Done && s.RV == 0 }

// Canary tells whether the request was the program's own check of the token, not for anybody.
func (s Signature) Canary() bool {
	d := hsm.CanaryDigest()
	return bytes.Equal(s.Data, d[:])
}

// MAC tells whether the request was for an authentication code (CKM_…_HMAC), not a signature.
func (s Signature) MAC() bool {
	switch s.Mechanism {
	case 0x221, 0x251, 0x261, 0x271: // SHA-1, SHA-256, SHA-384, SHA-512
		return true
	}
	return false
}

// Digest is the digest that was to be signed: PKCS #1 v1.5 requests carry it in a DigestInfo (RFC 8017 §9.2).
func (s Signature) Digest() []byte {
	const ckmRSAPKCS = 1
	if s.Mechanism != ckmRSAPKCS {
		return s.Data
	}
	var info struct {
		Algorithm asn1.RawValue
		Digest    []byte
	}
	if rest, err := asn1.Unmarshal(s.Data, &info); err != nil || len(rest) > 0 {
		return s.Data
	}
	return info.Digest
}

// Signatures pairs the lines of C_Sign, in the order in which they were sent. Calls of other processes in the same file
// are told apart.
func Signatures(events []Event) []Signature {
	type call struct{ pid, n int }
	var all []Signature
	open := map[call]int{}
	for _, e := range events {
		if e.Function != "C_Sign" {
			continue
		}
		at := call{e.PID, e.N}
		switch e.When {
		case "before":
			open[at] = len(all)
			all = append(all, Signature{Event: e})
		case "after":
			if i, ok := open[at]; ok {
				all[i].Done, all[i].RV = true, e.RV
				delete(open, at)
			}
		}
	}
	return all
}

// Count counts the calls of a function that reached the token and came back, in all processes.
func Count(events []Event, function string) int {
	n := 0
	for _, e := range events {
		if e.When == "after" && e.Function == function {
			n++
		}
	}
	return n
}

// Fault is one order. The shim counts the calls of each function from the moment the orders changed, in each process by
// itself; the first order that fits a call is followed. As a line: `C_Sign from=1 until=3 action=rv:0x30`.
type Fault struct {
	Function string // any function of PKCS#11 v2.40, e.g. C_Sign
	From     int    // first call that misbehaves; 0 means 1
	Until    int    // last call that misbehaves; 0 means for ever
	// Action is what happens:
	//	rv:CODE   the call is not sent to the token and returns CODE
	//	delay:MS  the call is sent to the token after that time ("before C_Sign" is written first)
	//	late:MS   the call is sent, and returns after that time
	//	flip      one bit of the output is changed
	//	lose      the call is sent, and CKR_DEVICE_ERROR is returned without output
	//	drop      the call is not sent and returns CKR_DEVICE_ERROR; an open operation stays open
	// A delay ends when the orders change: that is how a test ends a call that hangs.
	Action string
}

// Once is the fault in the first call, Times in the first n, Always in each.
func Once(function, action string) Fault { return Fault{function, 1, 1, action} }

// Times is the fault in the first n calls.
func Times(n int, function, action string) Fault { return Fault{function, 1, n, action} }

// Always is the fault in each call.
func Always(function, action string) Fault { return Fault{function, 1, 0, action} }

// RV is the action that returns a code without asking the token.
func RV(code uint) string { return fmt.Sprintf("rv:0x%x", code) }

// Faults is an order file.
type Faults string

var orders atomic.Int64

// Set replaces all orders; without any, the shim behaves. The counting starts again, also when the orders are the same.
func (f Faults) Set(list ...Fault) error {
	text := fmt.Sprintf("# %d\n", orders.Add(1))
	for _, o := range list {
		span := fmt.Sprintf("from=%d", max(o.From, 1))
		if o.Until > 0 {
			span += fmt.Sprintf(" until=%d", o.Until)
		}
		text += fmt.Sprintf("%s %s action=%s\n", o.Function, span, o.Action)
	}
	next := string(f) + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return err
	}
	// Every role's user may read the orders; the file is replaced whole, so that none is half read.
	if err := os.Chmod(next, 0o644); err != nil {
		return err
	}
	return os.Rename(next, string(f))
}
