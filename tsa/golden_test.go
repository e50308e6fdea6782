package tsa_test

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"tekend/tsa"
)

// TestGoldenTSTInfo was written down by hand from RFC 3161 §2.4.2: no tsa, no
// extensions (so no statement that the stamp is qualified), no ordering.
func TestGoldenTSTInfo(t *testing.T) {
	got := encode(t, tsa.Info{
		Policy: testPolicy, Imprint: tsa.Imprint{Hash: crypto.SHA256, Digest: bytes.Repeat([]byte{0xAA}, 32)}, Serial: big.NewInt(0x80),
		GenTime: time.Date(2026, 11, 24, 12, 0, 0, 250e6, time.FixedZone("", 3600)), Accuracy: 500 * time.Millisecond, Nonce: big.NewInt(1),
	})
	want := "305a" + "020101" + "06032a0304" + // version, policy 1.2.3.4
		"302f" + "300b0609608648016503040201" + "0420" + strings.Repeat("aa", 32) + // SHA-256 imprint
		"02020080" + // serial number
		"1812" + hex.EncodeToString([]byte("20261124110000.25Z")) + // genTime
		"3004" + "800201f4" + // accuracy: 500 ms
		"020101" // nonce
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func TestGoldenRejection(t *testing.T) {
	for info, want := range map[tsa.FailureInfo]string{
		tsa.BadAlg:           "300f300d0201023004" + "0c026e6f" + "03020780",
		tsa.BadDataFormat:    "300f300d0201023004" + "0c026e6f" + "03020204",
		tsa.TimeNotAvailable: "3010300e0201023004" + "0c026e6f" + "0303010002",
	} {
		got, err := tsa.EncodeRejected(&tsa.Failure{Info: info, Text: "no"})
		check(t, err)
		if hex.EncodeToString(got) != want {
			t.Errorf("%v: got %x want %s", info, got, want)
		}
	}
}
