package authority

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/consent"
	"tekend/foureyes"
	"tekend/itsme/token"
)

// revocationAge is how old a holder's confirmation may be. The sam blocks first
// and tells us when we can be reached; an older token harms nobody, because it
// only reaches certificates that were there when it was given.
const revocationAge = 72 * time.Hour

// prove verifies who asks.
func (r *Role) prove(ctx context.Context, req ca.RevokeRequest, t target) (proof, error) {
	switch req.By {
	case ca.BySigner:
		return r.proveSigner(ctx, req, t)
	case ca.ByOperators:
		return r.proveOperators(req)
	}
	return proof{detail: map[string]string{}}, nil // the sam: its socket says who calls
}

// proveSigner: itsme's token commits to a manifest that revokes this
// certificate, or all of whoever answered, and the holder answered. The role
// believes the token, not who brings it.
func (r *Role) proveSigner(ctx context.Context, req ca.RevokeRequest, t target) (proof, error) {
	m, err := r.revocationManifest(req, t)
	if err != nil {
		return proof{}, err
	}
	recorder := &keyRecorder{Keys: r.keys}
	nonce := consent.Nonce(req.Manifest)
	id, err := token.Verify(ctx, req.Token, recorder, token.Expect{
		Issuer: r.cfg.Itsme.Issuer, Audience: r.cfg.ConfirmClient, Nonce: nonce, Subject: m.Sub,
		ACR: r.cfg.ACR, Now: r.cfg.Now(), MaxAge: revocationAge, Skew: skew, AllowExpired: true,
	})
	if err != nil {
		return proof{}, tokenRefusal("revocation", err)
	}
	switch {
	case id.IssuedAt.Before(time.Unix(m.Iat, 0).Add(-skew)) || id.IssuedAt.After(time.Unix(m.Exp, 0).Add(skew)):
		return proof{}, refuse(ca.CodeBadToken, "revocation: issued outside the life of its manifest")
	case id.IssuedAt.Add(skew).Before(t.at):
		return proof{}, refuse(ca.CodeNotHolder, "the confirmation is older than the certificate")
	}
	who, err := r.holderOf(ctx, t)
	if err != nil {
		return proof{}, err
	}
	if subtle.ConstantTimeCompare([]byte(who), []byte(holder(id.Issuer, id.Audience, id.Subject))) != 1 {
		return proof{}, refuse(ca.CodeNotHolder, "the confirmation is not of the certificate's holder")
	}
	keys, err := recorder.set()
	return proof{keys: keys, detail: map[string]string{"nonce": nonce, "key": id.KeyID}}, err
}

// revocationManifest checks what the person was asked: by us, with the text
// that names this certificate, or all, and this reason.
func (r *Role) revocationManifest(req ca.RevokeRequest, t target) (consent.Manifest, error) {
	m, err := consent.DecodeManifest(req.Manifest)
	switch {
	case err != nil:
		return m, refuse(ca.CodeBadOrder, "the manifest cannot be read")
	case m.Op != consent.OpRevoke:
		return m, refuse(ca.CodeBadOrder, "the manifest is not for a revocation")
	case m.Iss != r.cfg.Itsme.Issuer || m.ClientID != r.cfg.ConfirmClient:
		return m, refuse(ca.CodeBadOrder, "the manifest is for another issuer or client")
	case t.cert == nil:
		return m, refuse(ca.CodeNotHolder, "this order gave no certificate that anybody holds")
	}
	if code, err := consent.ReasonCode(m.Reason); err != nil || code != req.Reason {
		return m, refuse(ca.CodeBadOrder, "the manifest has another reason")
	}
	what := consent.Revocation{Reason: m.Reason}
	if m.Cred != nil {
		sum := sha256.Sum256(t.cert.Raw)
		if m.Cred.CertSHA256 != base64.RawURLEncoding.EncodeToString(sum[:]) {
			return m, refuse(ca.CodeNotHolder, "the manifest names another certificate")
		}
		what.Serial, what.NotAfter = certs.SerialHex(t.cert.SerialNumber), t.cert.NotAfter
	}
	for _, lang := range languages {
		if text, err := consent.RevokeText(lang, what); err == nil && m.Template != nil && text == m.Template.Text {
			return m, nil
		}
	}
	return m, refuse(ca.CodeBadOrder, "the text shown is not that of this revocation")
}

// proveOperators: two operators approved exactly this act.
func (r *Role) proveOperators(req ca.RevokeRequest) (proof, error) {
	act, err := foureyes.ParseAct(req.Text)
	if err != nil {
		return proof{}, refuse(ca.CodeBadOrder, "the text is no act of operators")
	}
	if act.Act != foureyes.ActRevoke || act.Subject != req.Serial || act.Code() != req.Reason {
		return proof{}, refuse(ca.CodeNotApproved, "the act is another one than this revocation")
	}
	detail, err := r.approvedAct(act, req.Approvals)
	return proof{act: act.ID, detail: detail}, err
}

// approvedAct wants approvals of two operators, and gives what the audit says of them.
func (r *Role) approvedAct(act foureyes.Act, approvals []string) (map[string]string, error) {
	good, err := r.operators.Decide(act.String(), approvals, r.cfg.Now())
	if err != nil {
		return nil, refuse(ca.CodeNotApproved, err.Error())
	}
	detail := map[string]string{"act": act.ID}
	for n, a := range good {
		detail[fmt.Sprintf("operator_%d", n+1)] = a.Key
		detail[fmt.Sprintf("approval_%d", n+1)] = a.Hash()
	}
	return detail, nil
}

// holder names a person as itsme names him to our Confirmation client: base64url
// of the SHA-256 of the three values, each with its length before it.
func holder(iss, aud, sub string) string {
	h := sha256.New()
	h.Write([]byte("tekend-holder/1\x00"))
	for _, s := range []string{iss, aud, sub} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// holderOf gives the holder of a certificate. Orders from before it was stored
// have it in the consent token of their evidence, which was verified then.
func (r *Role) holderOf(ctx context.Context, t target) (string, error) {
	if t.holder.Valid {
		return t.holder.String, nil
	}
	var body []byte
	if err := r.db.QueryRowContext(ctx, "SELECT body FROM evidence WHERE order_hash = ?", t.hash).Scan(&body); err != nil {
		return "", fmt.Errorf("look up the holder: %w", err)
	}
	var order ca.IssueRequest
	var claims struct{ Iss, Aud, Sub string }
	if err := json.Unmarshal(body, &order); err != nil {
		return "", fmt.Errorf("read the evidence: %w", err)
	}
	parts := strings.Split(order.ConsentToken, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("read the evidence: no consent token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		return "", fmt.Errorf("read the consent token: %w", err)
	}
	return holder(claims.Iss, claims.Aud, claims.Sub), nil
}
