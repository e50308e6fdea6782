package foureyes_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tekend/foureyes"
)

func TestActIsWhatItsTextSays(t *testing.T) {
	for _, c := range []struct {
		act, reason string
		code        int
	}{
		{foureyes.ActRevoke, "keyCompromise", 1}, {foureyes.ActRevoke, "privilegeWithdrawn", 9}, {foureyes.ActRevoke, "unspecified", 0},
		{foureyes.ActRevoke, "superseded", 4}, {foureyes.ActRevoke, "cessationOfOperation", 5},
		{foureyes.ActSuspend, "investigation", 0}, {foureyes.ActResume, "investigationOver", 0}, {foureyes.ActDestroy, "unspecified", 0},
	} {
		a, err := foureyes.NewAct(c.act, "cred_018f", c.reason)
		if err != nil || a.Code() != c.code {
			t.Fatalf("%s %s: %d %v", c.act, c.reason, a.Code(), err)
		}
		again, err := foureyes.ParseAct(a.String())
		if err != nil || again != a {
			t.Errorf("%q was read as %+v, %v", a.String(), again, err)
		}
		other, err := foureyes.NewAct(c.act, "cred_018f", c.reason)
		if err != nil || other.ID == a.ID {
			t.Errorf("two acts are alike: %v %v", other, err)
		}
	}
	a := foureyes.Act{Act: "revoke", Subject: "0a1b", Reason: "keyCompromise", ID: strings.Repeat("A", 26)}
	if want := "tekend-act/1\nact: revoke\nsubject: 0a1b\nreason: keyCompromise\nid: " + a.ID + "\n"; a.String() != want {
		t.Errorf("%q", a.String())
	}
}

func TestWhatIsNoActIsRefused(t *testing.T) {
	a, err := foureyes.NewAct(foureyes.ActRevoke, "cred_018f", "keyCompromise")
	if err != nil {
		t.Fatal(err)
	}
	good := a.String()
	for name, text := range map[string]string{
		"empty":               "",
		"another version":     strings.Replace(good, "act/1", "act/2", 1),
		"a line more":         good + "x: y\n",
		"a line less":         strings.Replace(good, "reason: keyCompromise\n", "", 1),
		"lines swapped":       strings.Replace(good, "act: revoke\nsubject: cred_018f\n", "subject: cred_018f\nact: revoke\n", 1),
		"carriage returns":    strings.ReplaceAll(good, "\n", "\r\n"),
		"an unknown act":      strings.Replace(good, "act: revoke", "act: issue", 1),
		"an unknown reason":   strings.Replace(good, "keyCompromise", "certificateHold", 1),
		"another act's":       strings.Replace(good, "keyCompromise", "investigation", 1),
		"no subject":          strings.Replace(good, "cred_018f", "", 1),
		"a long subject":      strings.Replace(good, "cred_018f", strings.Repeat("a", foureyes.MaxActSubject+1), 1),
		"a subject in colour": strings.Replace(good, "cred_018f", "\x1b[31mcred", 1),
		"a space":             strings.Replace(good, "cred_018f", "cred 018f", 1),
		"a short id":          strings.Replace(good, a.ID, a.ID[1:], 1),
		"too long":            good + strings.Repeat("x", foureyes.MaxText),
	} {
		if got, err := foureyes.ParseAct(text); !errors.Is(err, foureyes.ErrAct) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if _, err := foureyes.NewAct("issue", "cred_1", "unspecified"); !errors.Is(err, foureyes.ErrAct) {
		t.Errorf("an unknown act: %v", err)
	}
}

// TestActNeedsTwo: an approval of one act is none of another, and one operator
// is not two.
func TestActNeedsTwo(t *testing.T) {
	ops, keys := people(t)
	act, err := foureyes.NewAct(foureyes.ActSuspend, "cred_1", "investigation")
	if err != nil {
		t.Fatal(err)
	}
	other, err := foureyes.NewAct(foureyes.ActSuspend, "cred_1", "investigation")
	if err != nil {
		t.Fatal(err)
	}
	an, bo := approve(t, keys[0], act.String(), noon), approve(t, keys[1], act.String(), noon)
	if _, err := ops.Decide(act.String(), []string{an, bo}, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := ops.Decide(other.String(), []string{an, bo}, noon); !errors.Is(err, foureyes.ErrSubject) {
		t.Errorf("approvals of another act: %v", err)
	}
	if _, err := ops.Decide(act.String(), []string{an, an}, noon); !errors.Is(err, foureyes.ErrTooFew) {
		t.Errorf("one operator twice: %v", err)
	}
}
