package activation_test

import "testing"

// The same tests on the other engine: flow, restart, what stopped half way, what others changed.
func TestOnPostgres(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"TestSignature", TestSignature},
		{"TestNoPersonAndNoTokenInTheRecord", TestNoPersonAndNoTokenInTheRecord},
		{"TestValuesLeaveTogether", TestValuesLeaveTogether},
		{"TestEqualCallsGetTheStoredOutcome", TestEqualCallsGetTheStoredOutcome},
		{"TestManyCallersOneSession", TestManyCallersOneSession},
		{"TestManyAnswersAtOnce", TestManyAnswersAtOnce},
		{"TestReplyLostAfterTheKeyWasUsed", TestReplyLostAfterTheKeyWasUsed},
		{"TestExistingCredentialIsFound", TestExistingCredentialIsFound},
		{"TestHealth", TestHealth},
		{"TestQuestionsThatNobodyConfirmedGo", TestQuestionsThatNobodyConfirmedGo},
		{"TestAnswersThatAreNo", TestAnswersThatAreNo},
		{"TestReplyOfTheExchangeIsLost", TestReplyOfTheExchangeIsLost},
		{"TestRestart", TestRestart},
		{"TestStoppedWhileTheKeyWasUsed", TestStoppedWhileTheKeyWasUsed},
		{"TestStoppedWhileACodeWasExchanged", TestStoppedWhileACodeWasExchanged},
		{"TestClockBack", TestClockBack},
		{"TestClockBackAndForth", TestClockBackAndForth},
		{"TestTooLate", TestTooLate},
		{"TestChangedLink", TestChangedLink},
		{"TestChangedRows", TestChangedRows},
		{"TestInventedSession", TestInventedSession},
		{"TestOldEnrolmentsAreForgotten", TestOldEnrolmentsAreForgotten},
		{"TestOwnedFrontD", TestOwnedFrontD},
		{"TestWrongValue", TestWrongValue},
		{"TestNoAuditNoAct", TestNoAuditNoAct},
		{"TestEveryUseIsListedWithItsProof", TestEveryUseIsListedWithItsProof},
		{"TestUnknownUsesAreListed", TestUnknownUsesAreListed},
		{"TestThreeQuestionsWait", TestThreeQuestionsWait},
		{"TestTenQuestionsAnHour", TestTenQuestionsAnHour},
		{"TestEnrolmentsOfOnePersonAreLimited", TestEnrolmentsOfOnePersonAreLimited},
		{"TestABurstIsOneLineAndANumber", TestABurstIsOneLineAndANumber},
		{"TestPeopleAreToldByTheSamItself", TestPeopleAreToldByTheSamItself},
		{"TestNoticesOutliveAnOutage", TestNoticesOutliveAnOutage},
		{"TestAResidentKeySigns", TestAResidentKeySigns},
		{"TestMarksOfFronts", TestMarksOfFronts},
		{"TestAOneTimeCredentialSignsOnceAndItsKeyIsGone", TestAOneTimeCredentialSignsOnceAndItsKeyIsGone},
		{"TestAOneTimeCredentialHasOneConfirmation", TestAOneTimeCredentialHasOneConfirmation},
		{"TestAOneTimeApplicationThatTakesTooLong", TestAOneTimeApplicationThatTakesTooLong},
		{"TestACredentialIsRenewedBeforeItsEnd", TestACredentialIsRenewedBeforeItsEnd},
		{"TestRecordsOfAnEarlierVersionEndToo", TestRecordsOfAnEarlierVersionEndToo},
		{"TestKeysAndRecordsAgreeAfterADay", TestKeysAndRecordsAgreeAfterADay},
		{"TestEveryFamilySignsByEveryHash", TestEveryFamilySignsByEveryHash},
		{"TestHashOrders", TestHashOrders},
	} {
		t.Run(test.name, test.run)
	}
}
