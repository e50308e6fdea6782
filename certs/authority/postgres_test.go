package authority_test

import "testing"

// The same tests on the other engine: all that store something.
func TestOnPostgres(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"TestIssue", TestIssue},
		{"TestEqualOrderGetsTheSameCertificate", TestEqualOrderGetsTheSameCertificate},
		{"TestOtherHashIsAConflict", TestOtherHashIsAConflict},
		{"TestParallelOrders", TestParallelOrders},
		{"TestTokensAndKeysAreUsedOnceForEver", TestTokensAndKeysAreUsedOnceForEver},
		{"TestItsmeAwayIsRetryable", TestItsmeAwayIsRetryable},
		{"TestCrashBetweenIntentAndCertificate", TestCrashBetweenIntentAndCertificate},
		{"TestFailingKeyKillsTheOrder", TestFailingKeyKillsTheOrder},
		{"TestClockPutBack", TestClockPutBack},
		{"TestStatus", TestStatus},
		{"TestPublished", TestPublished},
		{"TestCRLIsMadeAnewAtHalfItsLife", TestCRLIsMadeAnewAtHalfItsLife},
		{"TestCRLIsNeverOlderThanTheNewestCertificate", TestCRLIsNeverOlderThanTheNewestCertificate},
		{"TestCRLNumberGrowsOverAnOldDatabase", TestCRLNumberGrowsOverAnOldDatabase},
		{"TestRunEndsAndHasMadeACRL", TestRunEndsAndHasMadeACRL},
		{"TestEvidenceVerifiesLater", TestEvidenceVerifiesLater},
		{"TestRunPublishesTheCRLAfterEachIssuance", TestRunPublishesTheCRLAfterEachIssuance},
		{"TestIdentityRecord", TestIdentityRecord},
		{"TestRecordsVerifyAgainAfterYears", TestRecordsVerifyAgainAfterYears},
		{"TestAnotherSubIsAnotherHolder", TestAnotherSubIsAnotherHolder},
		{"TestOneTimeAtTheCA", TestOneTimeAtTheCA},
		{"TestRefusalsAreTallied", TestRefusalsAreTallied},
		{"TestRevokeByTheSigner", TestRevokeByTheSigner},
		{"TestRevokeByOperators", TestRevokeByOperators},
		{"TestRevocationsAreForEver", TestRevocationsAreForEver},
		{"TestActsCountOnce", TestActsCountOnce},
		{"TestRevokeADeadOrder", TestRevokeADeadOrder},
		{"TestOneRevocationAmongMany", TestOneRevocationAmongMany},
		{"TestCrashAfterARevocation", TestCrashAfterARevocation},
		{"TestOneTimeCertificatesAreNotRevoked", TestOneTimeCertificatesAreNotRevoked},
		{"TestOCSP", TestOCSP},
		{"TestOCSPNeedsNoKey", TestOCSPNeedsNoKey},
		{"TestOCSPAnswersAreRenewed", TestOCSPAnswersAreRenewed},
		{"TestResponderIsRenewed", TestResponderIsRenewed},
		{"TestTwoProcesses", TestTwoProcesses},
		{"TestCRLInParts", TestCRLInParts},
		{"TestDamagedCRLStopsTheStart", TestDamagedCRLStopsTheStart},
		{"TestCheckFindsDifferences", TestCheckFindsDifferences},
		{"TestAnOldDatabaseUnrevokesNothing", TestAnOldDatabaseUnrevokesNothing},
		{"TestCrashWhileACRLIsSigned", TestCrashWhileACRLIsSigned},
		{"TestRollOver", TestRollOver},
		{"TestLastCRL", TestLastCRL},
	} {
		t.Run(test.name, test.run)
	}
}
