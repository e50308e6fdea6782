package activation_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tekend/hsm/hsmtest"
)

// spyModule stands between us and SoftHSM and writes down every call: the
// independent witness of the uses of keys.
const spyModule = "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"

// envShim names the oracle's module for a process that has it in place of the
// spy: resident_test.go.
const envShim = "ACTIVATION_SHIM"

// module is what stands before SoftHSM in this process.
func module() string {
	if path := os.Getenv(envShim); path != "" {
		return path
	}
	return spyModule
}

var (
	spyLog  string
	dirOfUs string
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if _, err := os.Stat(spyModule); err != nil {
			fmt.Fprintln(os.Stderr, "pkcs11-spy is missing (apt-get install opensc-pkcs11):", err)
			return 1
		}
		dir, err := os.MkdirTemp("", "spy")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		spyLog, dirOfUs = filepath.Join(dir, "log"), dir
		for k, v := range map[string]string{"PKCS11SPY": hsmtest.Module, "PKCS11SPY_OUTPUT": spyLog} {
			if err := os.Setenv(k, v); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return hsmtest.Main(m)
	}())
}

var spyValue = regexp.MustCompile(`^\[(in|out)\] (\w+) = (?:0x)?([0-9a-fA-F]+)`)

// spySize is where the log ends now.
func spySize(t testing.TB) int64 {
	t.Helper()
	if module() != spyModule {
		return oracleSize(t)
	}
	info, err := os.Stat(spyLog)
	must(t, err)
	return info.Size()
}

// spyUses counts, from a place in the log on, the C_Sign calls on keys that
// came out of C_UnwrapKey: users' keys. Other keys of the token sign too.
func spyUses(t testing.TB, from int64) int {
	t.Helper()
	if module() != spyModule {
		return oracleUses(t, from)
	}
	f, err := os.Open(spyLog)
	must(t, err)
	defer func() { _ = f.Close() }()
	_, err = f.Seek(from, io.SeekStart)
	must(t, err)
	unwrapped, using := map[string]bool{}, map[string]string{}
	call, session, n := "", "", 0
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		if _, name, ok := strings.Cut(line, ": C_"); ok && !strings.Contains(line, "=") {
			call, session = name, ""
			continue
		}
		m := spyValue.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch name, value := m[2], m[3]; {
		case name == "hSession":
			session = value
			if call == "Sign" && unwrapped[using[session]] {
				n++
			}
		case call == "UnwrapKey" && m[1] == "out" && (name == "phKey" || name == "hKey"):
			unwrapped[value] = true
		case call == "SignInit" && name == "hKey":
			using[session] = value
		case call == "DestroyObject" && name == "hObject":
			delete(unwrapped, value)
		}
	}
	must(t, in.Err())
	return n
}
