//go:build sweep

package sweep_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"tekend/hsm"
)

// The spy's log, read as a witness that knows nothing of our code. A call looks like this; hex lines follow a line with
// "address / length":
//
//	169: C_Sign
//	2026-11-24 17:36:20.824
//	[in] hSession = 0x2
//	[in] pData[ulDataLen] 00001e029dbcd2e0 / 32
//	    00000000  EA 66 B5 96 CC CC 81 77 0B 63 7D F6 EB 7D C3 47  .f.....w.c}..}.G
//	    00000010  2D 42 75 C4 77 7F B1 58 DF C8 0C 6D 24 CB E4 C2  -Bu.w.X...m$...
//	[out] pSignature[*pulSignatureLen] 00001e029def8400 / 64
//	    …
//	Returned:  0 CKR_OK
//
// The sandbox gives it an unbuffered stream: all lines "[in]" are in the file before the module gets the call, so that
// a kill can hide the result of a call but never the call. (Read the other way round: a call that has all its input may,
// rarely, not have reached the module.)
type spyCall struct {
	name    string
	scalars map[string]string // "in hSession" → "0x2"
	bytes   map[string][]byte // "in pData" → its bytes
	sizes   map[string]int    // how many they should be
	found   []string          // handles, of C_FindObjects
	result  string            // "0" is CKR_OK; "" when the process was killed in the call
}

// whole gives the bytes when all of them are there.
func (c *spyCall) whole(name string) []byte {
	if b := c.bytes[name]; len(b) == c.sizes[name] {
		return b
	}
	return nil
}

// spyProcess is one life of a role.
type spyProcess []*spyCall

var (
	spyBanner = regexp.MustCompile(`^\*{5,} OpenSC PKCS#11 spy`)
	spyHead   = regexp.MustCompile(`^\d+: (C_\w+)$`)
	spyScalar = regexp.MustCompile(`^\[(in|out)\] (\S+) = (\S+)`)
	spyBytes  = regexp.MustCompile(`^\[(in|out)\] (\w+)\[[^]]*\] [0-9a-f]{16} / (\d+)$`)
	spyHex    = regexp.MustCompile(`^    [0-9A-F]{8}  ([0-9A-F ]{48})`)
	spyFound  = regexp.MustCompile(`^Object (0x[0-9a-f]+) matches$`)
	spyEnd    = regexp.MustCompile(`^Returned:  (\d+)`)
	// The role's own lines go to the same stream, each in one write, and may fall into a line of the spy.
	roleLine = regexp.MustCompile(`\{"time":"[^\n]*\}\n`)
)

// readSpy reads a whole log. Calls that overlap cannot be told apart; they are an error.
func readSpy(path string) ([]spyProcess, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseSpy(text)
}

func parseSpy(text []byte) ([]spyProcess, error) {
	var all []spyProcess
	var c *spyCall
	var into string
	for n, line := range strings.Split(string(roleLine.ReplaceAll(text, nil)), "\n") {
		if spyBanner.MatchString(line) {
			all, c = append(all, nil), nil
			continue
		}
		if m := spyHead.FindStringSubmatch(line); m != nil {
			if len(all) == 0 || c != nil {
				return nil, fmt.Errorf("line %d: %s begins inside another call or before the first process", n+1, m[1])
			}
			c = &spyCall{name: m[1], scalars: map[string]string{}, bytes: map[string][]byte{}, sizes: map[string]int{}}
			all[len(all)-1] = append(all[len(all)-1], c)
			into = ""
			continue
		}
		if c == nil {
			continue
		}
		if m := spyEnd.FindStringSubmatch(line); m != nil {
			c.result, c = m[1], nil
		} else if m := spyScalar.FindStringSubmatch(line); m != nil {
			c.scalars[m[1]+" "+m[2]], into = m[3], ""
		} else if m := spyBytes.FindStringSubmatch(line); m != nil {
			into = m[1] + " " + m[2]
			c.sizes[into], _ = strconv.Atoi(m[3])
			c.bytes[into] = nil
		} else if m := spyFound.FindStringSubmatch(line); m != nil {
			c.found = append(c.found, m[1])
		} else if m := spyHex.FindStringSubmatch(line); m != nil && into != "" {
			b, err := hex.DecodeString(strings.ReplaceAll(m[1], " ", ""))
			if err != nil || len(b) > c.sizes[into]-len(c.bytes[into]) {
				return nil, fmt.Errorf("line %d: bytes that do not fit", n+1)
			}
			c.bytes[into] = append(c.bytes[into], b...)
		} else {
			into = "" // attributes of a template, times
		}
	}
	return all, nil
}

// signature is one C_Sign.
type signature struct {
	key       string // user, service, mac
	enrolment bool   // user: the key's first use in its life, straight after it was made and wrapped: the certificate request
	data      []byte
	value     []byte // r || s, when the call returned CKR_OK; nil from the oracle, which does not look at outputs
	done      bool   // it returned CKR_OK
}

// handles of a process: where each came from.
type handles map[string]struct {
	origin string // found, unwrapped, generated, copied
	first  bool   // the blob was wrapped in this process and is opened for the first time
}

// signatures lists all C_Sign calls whose input is complete, with the kind of key told by where its handle came from:
// keys of the token were found, users' keys were unwrapped. A signature with any other key is an error.
func signatures(all []spyProcess) ([]signature, error) {
	var out []signature
	canary := hsm.CanaryDigest()
	for _, p := range all {
		known, wrapped, using, mechanism := handles{}, map[string]bool{}, map[string]string{}, map[string]string{}
		for i, c := range p {
			session := c.scalars["in hSession"]
			switch c.name {
			case "C_Initialize", "C_Finalize":
				clear(known)
			case "C_FindObjects":
				for _, h := range c.found {
					known.set(h, "found", false)
				}
			case "C_GenerateKeyPair":
				known.set(c.scalars["out hPrivateKey"], "generated", false)
			case "C_CopyObject", "C_CreateObject", "C_GenerateKey", "C_DeriveKey":
				for _, name := range []string{"out phNewObject", "out *phNewObject", "out phObject", "out *phObject", "out hKey", "out *phKey"} {
					known.set(c.scalars[name], "copied", false)
				}
			case "C_WrapKey":
				if b := c.whole("out pWrappedKey"); b != nil {
					wrapped[string(b)] = true
				}
			case "C_UnwrapKey":
				blob := string(c.bytes["in pWrappedKey"])
				known.set(c.scalars["out hKey"], "unwrapped", wrapped[blob])
				if c.result == "0" {
					delete(wrapped, blob)
				}
			case "C_DestroyObject":
				if c.result == "0" {
					delete(known, c.scalars["in hObject"])
				}
			case "C_SignInit":
				using[session], mechanism[session] = c.scalars["in hKey"], c.scalars["in pMechanism->type"]
			case "C_Sign":
				data := c.whole("in pData")
				if data == nil {
					if i != len(p)-1 {
						return nil, fmt.Errorf("a C_Sign without data")
					}
					continue // the process was killed before the module got the call
				}
				if bytes.Equal(data, canary[:]) {
					continue // readiness; its key is nobody's
				}
				s := signature{data: data, done: c.result == "0"}
				if s.done {
					s.value = c.whole("out pSignature")
				}
				h := known[using[session]]
				switch {
				case h.origin == "unwrapped":
					s.key, s.enrolment = "user", h.first
				case h.origin != "found":
					return nil, fmt.Errorf("C_Sign with a key that was neither unwrapped nor found in the token but %q", h.origin)
				case mechanism[session] == "CKM_SHA256_HMAC":
					s.key = "mac"
				default:
					s.key = "service"
				}
				out = append(out, s)
			case "C_SignUpdate", "C_SignFinal", "C_SignRecover", "C_SignEncryptUpdate":
				return nil, fmt.Errorf("%s is another way to sign", c.name)
			}
		}
	}
	return out, nil
}

func (h handles) set(handle, origin string, first bool) {
	if handle == "" {
		return
	}
	h[handle] = struct {
		origin string
		first  bool
	}{origin, first}
}

// countSpy counts the calls of a name that came after a place in the log; cheap enough for polling.
func countSpy(path, call string, from int64) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var b bytes.Buffer
	if _, err := f.Seek(from, 0); err != nil {
		return 0, err
	}
	if _, err := b.ReadFrom(f); err != nil {
		return 0, err
	}
	return bytes.Count(b.Bytes(), []byte(": "+call+"\n")), nil
}
