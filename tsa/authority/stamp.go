package authority

import (
	"context"
	"errors"
	"fmt"

	"tekend/certs"
	"tekend/fence"
	"tekend/tsa"
)

// stamp makes a token. A refusal is a *tsa.Failure; any other error is ours.
func (r *Role) stamp(ctx context.Context, req tsa.Request) ([]byte, error) {
	if err := r.admit(req); err != nil {
		return nil, err
	}
	info, unit, err := r.reserve(ctx, req)
	if err != nil {
		return nil, err
	}
	token, err := unit.token(info, req.CertReq)
	if err == nil {
		err = r.confirm(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("token %s: %w", info.Serial.Text(16), err), r.recordFailure(ctx, info))
	}
	return token, nil
}

// admit says whether a request may have a token. What its bytes are refused for, tsa.ParseRequest has said before. There
// is no addInfoNotAvailable: nothing additional can be asked for that is not either unknown (an extension) or there.
func (r *Role) admit(req tsa.Request) error {
	if r.gate.Check() != nil {
		return &tsa.Failure{Info: tsa.SystemFailure, Text: "the unit is locked: it was put back in time, or no witness has said that it was not"}
	}
	now := r.cfg.Now()
	if fence.Witnessed(r.log, now) != nil {
		return &tsa.Failure{Info: tsa.SystemFailure, Text: "the unit's record is not witnessed"}
	}
	if req.Policy != nil && !req.Policy.Equal(r.policy) {
		return &tsa.Failure{Info: tsa.UnacceptedPolicy, Text: "the only policy here is " + r.policy.String()}
	}
	if certs.CheckHash(req.Imprint.Hash, now) != nil {
		return &tsa.Failure{Info: tsa.BadAlg, Text: "SHA-256, SHA-384 and SHA-512 are accepted"}
	}
	return nil
}
