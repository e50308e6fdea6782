package evidence

import (
	"encoding/base64"
	"time"

	"tekend/itsme/token"
	"tekend/strictjson"
)

// keyID reads the kid of a JWS header; "" when there is none.
func keyID(header string) string {
	b, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return ""
	}
	var h struct {
		KeyID string `json:"kid"`
	}
	if strictjson.DecodeLoose(b, token.MaxToken, &h) != nil {
		return ""
	}
	return h.KeyID
}

// answer: the token is itsme's, answers this question, and was fresh when the
// sam took it.
func (j *job) answer() error {
	set, err := token.ReadKeySet(j.b.IssuerKeys.Body)
	if err != nil {
		return fault(StepToken, "itsme's key set in the bundle: %w", err)
	}
	if err := j.verifyToken(set); err != nil {
		return err
	}
	if j.trust.ItsmeKeys != nil {
		own, err := token.ReadKeySet(j.trust.ItsmeKeys)
		if err != nil {
			return fault(StepToken, "the key set that you gave: %w", err)
		}
		if err := j.verifyToken(own); err != nil {
			return err
		}
	}
	authorized := j.rows[1].At
	switch life := j.token.Expires.Sub(j.token.IssuedAt); {
	case life <= 0 || life > maxLife:
		return fault(StepToken, "it lives longer than %v", maxLife)
	case !authorized.Before(j.token.Expires.Add(token.MaxSkew + callTime)):
		return fault(StepToken, "it had expired when it was taken")
	case j.lastIntent().After(j.token.IssuedAt.Add(maxLife + callTime)):
		return fault(StepToken, "the key was used more than %v after it was made", maxLife)
	case j.token.Claims.OngoingCall != nil && *j.token.Claims.OngoingCall:
		return fault(StepToken, "the person was in a call")
	}
	j.rep.Issuer, j.rep.Account = j.token.Issuer, j.token.Subject
	j.rep.AnsweredAt, j.rep.ConfirmedAt, j.rep.SignedAt = j.token.IssuedAt, authorized, j.lastUse()
	return nil
}

// verifyToken verifies as the sam did (specs/itsme.md §9.4 steps 4 to 7).
func (j *job) verifyToken(set *token.KeySet) error {
	t, err := token.Verify(j.ctx, j.b.Token, set, token.Expect{
		Issuer: j.m.Iss, Audience: j.m.ClientID, Nonce: j.nonce, Subject: j.m.Sub, ACR: j.m.ACR,
		Now: j.rows[1].At, MaxAge: token.DefaultMaxAge + callTime, AllowExpired: true,
	})
	if err != nil {
		return fault(StepToken, "%w", err)
	}
	j.token = t
	return nil
}

// lastIntent is when the last use of the key was decided, by the record.
func (j *job) lastIntent() time.Time {
	var last time.Time
	for i := 2; i < len(j.rows); i += 2 {
		if j.rows[i].At.After(last) {
			last = j.rows[i].At
		}
	}
	return last
}
