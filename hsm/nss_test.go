package hsm_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

// onBoth are the functional tests, which must give the same on both modules. In a process of SoftHSM's they run as
// always; TestTheSameTestsRunOnNSS runs them in a process of NSS's.
var onBoth = []string{
	"TestAUserKeyIsMadeWrappedAndUsed", "TestAKeyIsNotKeptWhenItsFirstUseFails", "TestKindsThatAreNotForUsersAreRefused",
	"TestNoSessionObjectIsLeftAfterUse", "TestAPanicGivesTheSessionBack", "TestADamagedBlobIsRefused", "TestABlobFromAnotherTokenIsRefused",
	"TestTheBlobOfAnotherPersonGivesNoValue", "TestTheRecordMustFit", "TestAKeySignsByTheFamilyOfItsKindOnly", "TestAUserKeySignsByEveryHash",
	"TestAnRSAKeyIsUsedAsItsRecordSays", "TestResidentKeysSign", "TestAPairThatIsNoPairIsRefusedAndSuspended",
	"TestAnExtractableServiceKeyIsRefused", "TestTheMACKeyMakesTheSameMACEachTimeAndStaysInTheToken", "TestManyAtOnce",
	"TestTheQueueHasADeadline", "TestAClosedTokenSaysSo", "TestAnAbsentKEKIsNamed", "TestADirectoryThatWasAwayBetweenTwoUsesIsNotEvenNoticed",
	"TestALostLoginIsRepairedBeforeSigning", "TestTheModuleStartsAgainAfterTheConfiguredNumberOfKeys", "TestWhatReachedAKeyIsNeverRepeated",
	"TestWhatDidNotReachAKeyIsRepeatedOnce", "TestAWrongPINIsOfferedOnceAndNeverShown", "TestAResidentUserKeyIsMadeAndUsed",
	"TestAResidentKeyWhoseFirstUseFailsIsDestroyed", "TestTwoPairsUnderOneNameAreNotUsed", "TestAResidentKeyWithWrongAttributesIsRefused",
	"TestModulesDifferAsKnown", "TestNSSIsRefused",
}

func TestTheSameTestsRunOnNSS(t *testing.T) {
	if hsmtest.NSS() {
		t.Fatal("the list must not hold this test")
	}
	t.Parallel() // another process does the work
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run", "^("+strings.Join(onBoth, "|")+")$")
	cmd.Env = append(os.Environ(), hsmtest.EnvNSS+"=1")
	out, err := cmd.CombinedOutput()
	passed := regexp.MustCompile(`(?m)^--- PASS: (\w+)`).FindAllStringSubmatch(string(out), -1)
	if err != nil || len(passed) != len(onBoth) {
		t.Fatalf("%d of %d tests pass on NSS: %v\n%s", len(passed), len(onBoth), err, out)
	}
	t.Logf("NSS: %d functional tests of %d pass", len(passed), len(onBoth))
	var table strings.Builder
	theirs := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)behaviour: (.*) = (.*)$`).FindAllStringSubmatch(string(out), -1) {
		theirs[m[1]] = m[2]
	}
	fmt.Fprintf(&table, "\n%-56s %-10s %s\n", "", "SoftHSM", "NSS")
	for _, row := range behaviours {
		if theirs[row.what] != row.nss {
			t.Errorf("NSS: %s: %q, known is %q", row.what, theirs[row.what], row.nss)
		}
		mark := ""
		if row.softHSM != row.nss {
			mark = "  <> " + row.mean
		}
		fmt.Fprintf(&table, "%-56s %-10s %-10s%s\n", row.what, row.softHSM, row.nss, mark)
	}
	t.Log(table.String())
}

// behaviours is what the two modules are known to do: SoftHSM 2.6.1, NSS 3.87. Numbers are CKR_….
var behaviours = []struct{ what, softHSM, nss, mean string }{
	{"make a token key with CKA_ALLOWED_MECHANISMS", "done", "0x5", "NSS cannot tie a key to one mechanism"},
	{"make a token key with CKA_COPYABLE=false", "done", "0x5", "NSS: left out"},
	{"make a token key with CKA_MODIFIABLE=false", "done", "done", ""},
	{"make a token key with CKA_UNWRAP_TEMPLATE", "done", "done", ""},
	{"CKA_LOCAL of a KEK made inside", "1", "0", "NSS never says where a key came from"},
	{"CKA_MODIFIABLE of a KEK made inside", "0", "0", ""},
	{"CKA_COPYABLE of a KEK made inside", "0", "0x12", "NSS does not know the attribute"},
	{"CKA_NEVER_EXTRACTABLE of a KEK made inside", "1", "1", ""},
	{"bytes of a wrapped P-256 key", "80", "152", "NSS writes the public key into it"},
	{"unwrap without the vendor's attribute", "done", "0xD0", "NSS wants CKA_NSS_DB"},
	{"unwrap a readable key in spite of the unwrap template", "0xD1", "done", "NSS stores the template and does not enforce it"},
	{"unwrap as we do", "done", "done", ""},
	{"sign 64 bytes by CKM_ECDSA on P-256", "done", "done", ""},
	{"wrap a key that is not extractable", "0x6A", "done", "NSS lets it out"},
	{"read the value of a sensitive key", "0x11", "0x11", ""},
	{"unwrap a damaged blob", "0x5", "0x110", "SoftHSM says no more than general error"},
	{"start to decrypt with the KEK by AES-ECB", "0x68", "0x63", ""},
	{"wrap by CKM 0x210B", "0x70", "0x150", "NSS knows it, and fails"},
	{"destroy a session key", "done", "done", ""},
	{"sign with a destroyed key", "0x82", "0x60", ""},
	{"store a data object", "done", "0x13", "NSS holds none: there is no generation in its token"},
}

func TestModulesDifferAsKnown(t *testing.T) {
	token := hsmtest.Token(t)
	got, err := token.Behaviours(ctx, hsmtest.KEK)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(behaviours) {
		t.Errorf("%d behaviours were tried, %d are known", len(got), len(behaviours))
	}
	for _, b := range got {
		t.Logf("behaviour: %s = %s", b.What, b.Does)
		i := slices.IndexFunc(behaviours, func(k struct{ what, softHSM, nss, mean string }) bool { return k.what == b.What })
		if i < 0 {
			t.Errorf("%s is not in the table", b.What)
			continue
		}
		known := behaviours[i].softHSM
		if hsmtest.NSS() {
			known = behaviours[i].nss
		}
		if b.Does != known {
			t.Errorf("%s: %s, known is %s: the module changed; look at what follows for us", b.What, b.Does, known)
		}
	}
}

// NSS does not protect keys, and the probe shows it: each attempt of a thief succeeds. Without test_only it is not opened.
func TestNSSIsRefused(t *testing.T) {
	if !hsmtest.NSS() {
		return // its process is that of TestTheSameTestsRunOnNSS
	}
	cfg := hsmtest.Config(t)
	real := cfg
	real.TestOnly = false
	if token, err := hsm.Open(ctx, real); err == nil || !strings.Contains(err.Error(), "test_only") {
		t.Errorf("without test_only: %v %v", token, err)
	}
	if err := hsm.InitFirstPIN(real); err == nil {
		t.Error("a first PIN was set without test_only")
	}
	if err := hsm.InitFirstPIN(cfg); err == nil {
		t.Error("a PIN was replaced")
	}
	token := hsmtest.Open(t, cfg)
	err := token.ProbeKEK(ctx, hsmtest.KEK)
	if !errors.Is(err, hsm.ErrKEK) {
		t.Fatalf("the probe says %v", err)
	}
	// Its attributes are enough to refuse it; what is behind them is found by the attempts.
	err = token.Attempts(ctx, hsmtest.KEK)
	for _, what := range []string{
		"unwrap a key that is not sensitive and extractable", "unwrap a key that is extractable", "unwrap a key that is not sensitive",
		"wrap an unwrapped key again",
	} {
		if err == nil || !strings.Contains(err.Error(), "it is possible to "+what) {
			t.Errorf("the probe does not find that it is possible to %s: %v", what, err)
		}
	}
}
