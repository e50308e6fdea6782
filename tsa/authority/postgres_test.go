package authority_test

import "testing"

// The same tests on the other engine: all that store something.
func TestOnPostgres(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"TestStampWithKeyInToken", TestStampWithKeyInToken},
		{"TestEveryTokenIsRecorded", TestEveryTokenIsRecorded},
		{"TestConcurrentStampsHaveDifferentSerialsAndOrderedTimes", TestConcurrentStampsHaveDifferentSerialsAndOrderedTimes},
		{"TestTimeNeverGoesBack", TestTimeNeverGoesBack},
		{"TestKeyPastItsEnd", TestKeyPastItsEnd},
		{"TestNothingUnverifiedLeaves", TestNothingUnverifiedLeaves},
		{"TestHealthOverHTTP", TestHealthOverHTTP},
		{"TestRollOver", TestRollOver},
		{"TestOneKindOfTokens", TestOneKindOfTokens},
		{"TestARequestThatLeavesTakesNobodyWithIt", TestARequestThatLeavesTakesNobodyWithIt},
		{"TestNoTokenWhenTheClockIsLostWhileTheKeyWorks", TestNoTokenWhenTheClockIsLostWhileTheKeyWorks},
	} {
		t.Run(test.name, test.run)
	}
}
