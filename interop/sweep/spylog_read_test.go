//go:build sweep

package sweep_test

import (
	"strings"
	"testing"
)

const spySample = `

*************** OpenSC PKCS#11 spy *****************
Loaded: "/usr/lib/softhsm/libsofthsm2.so"

0: C_FindObjects
2026-11-24 17:36:19.659
[in] hSession = 0x2
[in] ulMaxObjectCount = 0x2
[out] ulObjectCount = 0x1
Object 0x3 matches
Returned:  0 CKR_OK

1: C_SignInit
2026-11-24 17:36:20.824
[in] hSession = 0x2
[in] pMechanism->type = CKM_SHA256_HMAC              
[in] hKey = 0x3
Returned:  0 CKR_OK

2: C_Sign
2026-11-24 17:36:20.824
[in] hSession = 0x2
[in] pData[ulDataLen] 00001e029dbcd2e0 / 4
    00000000  EA 66 B5 96                                      .f..            
[out] pSignature[*pulSignatureLen] 00001e029def8400 / 2
    00000000  28 F9                                            (.              
Returned:  0 CKR_OK

3: C_UnwrapKey
2026-11-24 17:36:20.824
[in] hSession = 0x2
[in] pWrappedKey[ulWrappedKeyLen] 00001e029de380f0 / 2
    00000000  94 AD                                            ..              
[in] pTemplate[13]: 
    CKA_CLASS             CKO_PRIVATE_KEY      
[out] hKey = 0xe
Returned:  0 CKR_OK

4: C_SignInit
[in] hSession = 0x2
[in] pMechanism->type = CKM_ECDSA                    
[in] hKey = 0xe
Returned:  0 CKR_OK

5: C_Sign
[in] hSession = 0x2
[in] pData[ulDataLen] 00001e029dbcd2e0 / 18
    00000000  EA 66 B5 96 {"time":"2026-11-24T17:36:34Z","level":"INFO","ms":7}
CC CC 81 77 0B 63 7D F6 EB 7D C3 47  .f.....w.c}..}.G
`

// A kill in each place around C_Sign: before its input is whole there is no call, after it there is one.
func TestTheSpysLogIsReadToTheLastLine(t *testing.T) {
	for name, tc := range map[string]struct {
		end        string
		calls      int
		done       bool
		overlapped bool
	}{
		"killed before the input was whole": {"    00000010  2D", 1, false, false},
		"killed in the call":                {"    00000010  2D 42                                            -B              \n", 2, false, false},
		"killed after the call":             {"    00000010  2D 42                                            -B              \n[out] pSignature[*pulSignatureLen] 00001e029def8400 / 2\n    00000000  28 F9                                            (.              \nReturned:  0 CKR_OK\n", 2, true, false},
		"two calls at once":                 {"    00000010  2D 42                                            -B              \n\n6: C_GetInfo\n", 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := parseSpy([]byte(spySample + tc.end + "\n\n*************** OpenSC PKCS#11 spy *****************\n"))
			if tc.overlapped {
				if err == nil {
					t.Fatal("calls that overlap were read")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := signatures(all)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) != 2 || len(got) != tc.calls || got[0].key != "mac" || string(got[0].value) != "\x28\xf9" {
				t.Fatalf("%d processes, %+v", len(all), got)
			}
			if tc.calls == 2 && (got[1].key != "user" || got[1].enrolment || got[1].done != tc.done || len(got[1].data) != 18) {
				t.Fatalf("%+v", got[1])
			}
		})
	}
	if _, err := parseSpy([]byte(strings.Replace(spySample, "OpenSC", "", 1))); err == nil {
		t.Error("a log without a process was read")
	}
	generated := strings.Replace(strings.Replace(spySample, "3: C_UnwrapKey", "3: C_GenerateKeyPair", 1), "[out] hKey", "[out] hPrivateKey", 1)
	all, err := parseSpy([]byte(generated + "    00000010  2D 42                                            -B              \n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signatures(all); err == nil {
		t.Error("a signature with a key that can still be wrapped was not reported")
	}
}
