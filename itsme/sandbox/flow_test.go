package sandbox_test

import (
	"context"
	"testing"

	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/itsme/token"
)

func TestIdentificationThenConfirmation(t *testing.T) {
	w := newWorld(t, nil)
	id := w.must(w.ask(w.ident, nil).auto("approve"))
	c := id.Claims
	if c.Name != "Alice Maria Peeters" || c.FamilyName != "Peeters" || c.Birthdate != "1985-04-12" || c.BirthdateText == "" ||
		len(c.DocumentSN) != 12 || c.DocumentType != "ID" || c.IssuingCountry != "BEL" || c.AgeGTE18 == nil || !*c.AgeGTE18 ||
		c.OngoingCall == nil || *c.OngoingCall || c.IdentificationMode != "QR" || c.TransactionIP != "127.0.0.1" {
		t.Errorf("claims %+v", c)
	}
	con := w.must(w.ask(w.confirm, func(r *itsme.AuthRequest) { r.IDTokenClaims = token.IdentityClaims() }).auto("approve"))
	if con.Subject == id.Subject {
		t.Error("the same sub for two clients")
	}
	if con.Claims.DocumentSN != c.DocumentSN || con.Claims.Name != c.Name {
		t.Error("two legs, two identities")
	}
	sig := w.must(w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = con.Subject }).with("sandbox_auto", "1"))
	if sig.Subject != con.Subject || sig.ACR != token.ACRAdvanced || sig.Claims.Name != "" {
		t.Errorf("%+v", sig)
	}
}

// TestEveryDefectIsRefused orders each defect and reads the reason of
// itsme/token (SB-81).
func TestSB81EveryDefectIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	reasons := map[string]string{
		sandbox.DefectAlgNone: token.BadAlgorithm, sandbox.DefectHS256: token.BadAlgorithm, sandbox.DefectOtherAudience: token.WrongAudience,
		sandbox.DefectAudienceList: token.WrongAudience, sandbox.DefectOtherIssuer: token.WrongIssuer, sandbox.DefectExpired: token.Expired,
		sandbox.DefectFuture: token.IssuedInFuture, sandbox.DefectOld: token.TooOld, sandbox.DefectNotYet: token.NotYetValid,
		sandbox.DefectUnknownKID: token.BadKeyID, sandbox.DefectWrongKey: token.BadSignature, sandbox.DefectBadSignature: token.BadSignature,
		sandbox.DefectUnsigned: token.NotSigned, sandbox.DefectUnencrypted: token.NotEncrypted, sandbox.DefectWrongNonce: token.WrongNonce,
		sandbox.DefectNoNonce: token.WrongNonce, sandbox.DefectWrongSub: token.WrongSubject, sandbox.DefectMissingACR: token.WrongACR,
		sandbox.DefectLowACR: token.WrongACR, sandbox.DefectDuplicateClaim: token.BadClaims, sandbox.DefectCaseClaim: token.BadClaims,
		sandbox.DefectCompressed: token.Compressed, sandbox.DefectCrit: token.Critical, sandbox.DefectJSON: token.Serialization,
		sandbox.DefectOtherJWEKey: token.CannotDecrypt, sandbox.DefectOAEPSHA1: token.BadAlgorithm,
		sandbox.DefectTooLong: "unreachable", // the RP stops reading the answer
	}
	sub := w.op.Sub("approve", confirmID)
	for _, defect := range sandbox.Defects() {
		t.Run(defect, func(t *testing.T) {
			want, ok := reasons[defect]
			if !ok {
				t.Fatal("no reason known for this defect")
			}
			a := w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = sub })
			_, err := w.finish(a.auto("approve").with("sandbox_defect", defect))
			if got := token.ReasonOf(err); got != want && (want != "unreachable" || err == nil) {
				t.Errorf("%v, want reason %s", err, want)
			}
		})
	}
}

func TestPeople(t *testing.T) {
	w := newWorld(t, nil)
	call := w.must(w.ask(w.ident, nil).auto("call"))
	if call.Claims.OngoingCall == nil || !*call.Claims.OngoingCall {
		t.Error("no call")
	}
	if c := w.must(w.ask(w.ident, nil).auto("diacritics")).Claims; c.Name != "Čeněk Jiří Dvořák-Groß Ωmega" {
		t.Error(c.Name)
	}
	for person, code := range map[string]string{"refuse": "access_denied", "expire": "access_denied", "blocked": "access_denied", "error": "temporary_unavailable"} {
		w.wantError(w.ask(w.confirm, nil).auto(person), code)
	}
	if id := w.must(w.ask(w.confirm, nil).auto("approve-slow")); id.Subject == "" {
		t.Error("no sub")
	}
	documents, names := map[string]string{}, map[string]string{}
	for _, person := range sandbox.People() {
		switch person {
		case "refuse", "expire", "blocked", "error":
			continue
		}
		c := w.must(w.ask(w.ident, nil).auto(person)).Claims
		if c.DocumentSN == "" || documents[c.DocumentSN] != "" || names[c.Name] != "" {
			t.Errorf("%s: document %q also of %q", person, c.DocumentSN, documents[c.DocumentSN])
		}
		documents[c.DocumentSN], names[c.Name] = person, person
	}
}

func TestSpecialPeopleWhenTheySign(t *testing.T) {
	w := newWorld(t, nil)
	sign := func(owner, person string) error {
		a := w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = w.op.Sub(owner, confirmID) })
		_, err := w.finish(a.auto(person))
		return err
	}
	// They enrol normally …
	for _, person := range []string{"wrong-nonce", "wrong-sub"} {
		w.must(w.ask(w.ident, nil).auto(person))
		w.must(w.ask(w.confirm, nil).auto(person))
	}
	// … and fail when they sign.
	for person, reason := range map[string]string{"wrong-nonce": token.WrongNonce, "wrong-sub": token.WrongSubject} {
		if err := sign(person, person); token.ReasonOf(err) != reason {
			t.Errorf("%s: %v", person, err)
		}
	}
	if err := sign("approve", "other-person"); token.ReasonOf(err) != token.WrongSubject {
		t.Errorf("other-person for approve: %v", err)
	}
	one := w.must(w.ask(w.ident, nil).auto("other-person")).Claims
	two := w.must(w.ask(w.confirm, func(r *itsme.AuthRequest) { r.IDTokenClaims = token.IdentityClaims() }).auto("other-person")).Claims
	if one.Name == two.Name || one.DocumentSN == two.DocumentSN || one.Birthdate == two.Birthdate {
		t.Error("other-person answers as the same person")
	}
	a := w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = w.op.Sub("approve", confirmID) })
	w.wantError(a.auto("diacritics"), "access_denied")
	a = w.ask(w.confirm, func(r *itsme.AuthRequest) { r.Subject = w.op.Sub("approve", confirmID) })
	w.wantError(a.auto("refuse"), "access_denied")
	for _, pair := range [][2]string{{"sandbox_person", "the-other"}, {"sandbox_person", "nobody"}, {"sandbox_defect", "nothing"}} {
		w.wantPage(w.ask(w.confirm, nil).with(pair[0], pair[1]).url, "invalid_request")
	}
}

func TestWholeWayWithTheRelyingPartyOverHTTPSNeedsItsCA(t *testing.T) {
	w := newTLSWorld(t)
	if id := w.must(w.ask(w.confirm, nil).auto("approve")); id.Subject == "" {
		t.Error("no sub")
	}
	stranger := itsme.NewProvider(itsme.Config{Issuer: w.issuer(), Now: w.clock.Now}, nil)
	if err := stranger.Check(context.Background()); err == nil {
		t.Error("a CA nobody configured was believed")
	}
}
