//go:build sweep

package sweep_test

import (
	"bytes"
	"fmt"
	"strings"

	"tekend/hsm"
	"tekend/hsm/hsmtest/shim"
)

// readOracle lists all C_Sign calls that reached the sam's token, told by the shim in front of it. A user's key has been
// unwrapped and is known by its blob; its first use in its life is the certificate request.
func readOracle(path string) ([]signature, error) {
	events, err := shim.ReadOracle(path)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		switch e.Function {
		case "C_SignUpdate", "C_SignFinal", "C_SignRecover", "C_SignEncryptUpdate":
			return nil, fmt.Errorf("%s is another way to sign", e.Function)
		}
	}
	canary := hsm.CanaryDigest()
	var out []signature
	used := map[string]bool{}
	for _, s := range shim.Signatures(events) {
		own := signature{data: s.Digest(), done: s.Made()}
		switch {
		case bytes.Equal(own.data, canary[:]): // readiness; its key lives in memory and is nobody's
			continue
		case strings.HasPrefix(s.Key, "blob:"):
			own.key, own.enrolment = "user", !used[s.Key]
			used[s.Key] = true
		case s.Label == "": // the token's own keys have labels
			return nil, fmt.Errorf("C_Sign with a key that was neither unwrapped nor is one of the token's own: %s", s.Key)
		case s.MAC():
			own.key = "mac"
		default:
			own.key = "service"
		}
		out = append(out, own)
	}
	return out, nil
}
