package authority

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"time"

	"tekend/audit"
	"tekend/certs"
	"tekend/cms"
	"tekend/fence"
	"tekend/tsa"
)

// stamp makes a token. A refusal is a *tsa.Failure; any other error is ours.
func (r *Role) stamp(ctx context.Context, req tsa.Request) ([]byte, error) {
	if r.gate.Check() != nil {
		return nil, &tsa.Failure{Info: tsa.SystemFailure, Text: "the unit is locked: it was put back in time, or no witness has said that it was not"}
	}
	now := r.cfg.Now()
	if fence.Witnessed(r.log, now) != nil {
		return nil, &tsa.Failure{Info: tsa.SystemFailure, Text: "the unit's record is not witnessed"}
	}
	if req.Policy != nil && !req.Policy.Equal(r.policy) {
		return nil, &tsa.Failure{Info: tsa.UnacceptedPolicy, Text: "the only policy here is " + r.policy.String()}
	}
	if certs.CheckHash(req.Imprint.Hash, now) != nil {
		return nil, &tsa.Failure{Info: tsa.BadAlg, Text: "SHA-256, SHA-384 and SHA-512 are accepted"}
	}
	if now.After(r.keyUntil) {
		return nil, &tsa.Failure{Info: tsa.SystemFailure, Text: "the unit's key is past its end"}
	}
	info, err := r.reserve(ctx, req)
	if err != nil {
		return nil, err
	}
	token, err := r.sign(info, req.CertReq)
	if err == nil {
		err = r.verify(token, info)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("token %s: %w", info.Serial.Text(16), err), r.recordFailure(ctx, info))
	}
	return token, nil
}

// reserve takes the time and a new serial number and records both, durably,
// before the key is used. The serial number is random with 159 bits, so that
// even a database put back makes no second one (TSA-03); time never goes back
// from token to token (TSA-15).
func (r *Role) reserve(ctx context.Context, req tsa.Request) (tsa.Info, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return tsa.Info{}, fmt.Errorf("make serial number: %w", err)
	}
	info := tsa.Info{Policy: r.policy, Imprint: req.Imprint, Serial: serial, Accuracy: r.cfg.Accuracy, Nonce: req.Nonce}
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		now := r.cfg.Now().Truncate(time.Millisecond)
		info.GenTime = now
		var last sql.NullInt64
		if err := tx.QueryRowContext(ctx, "SELECT MAX(gen_time) FROM tokens").Scan(&last); err != nil {
			return fmt.Errorf("read the newest token: %w", err)
		}
		if last.Valid && now.UnixMicro() < last.Int64 {
			return audit.ErrClockBack
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO tokens (serial, gen_time, policy, hash, imprint) VALUES (?,?,?,?,?)",
			serial.Text(16), now.UnixMicro(), r.policy.String(), req.Imprint.Hash.String(), req.Imprint.Digest)
		if err != nil {
			return fmt.Errorf("store token: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{
			At: now, Kind: "tsa.token", Subject: serial.Text(16),
			Detail: map[string]string{"gen_time": now.UTC().Format(time.RFC3339Nano), "hash": req.Imprint.Hash.String(), "imprint": fmt.Sprintf("%x", req.Imprint.Digest)},
		})
	})
	if errors.Is(err, audit.ErrClockBack) {
		return tsa.Info{}, &tsa.Failure{Info: tsa.TimeNotAvailable, Text: "the clock is behind the newest token"}
	}
	return info, err
}

// sign uses the key.
func (r *Role) sign(info tsa.Info, certReq bool) ([]byte, error) {
	body, err := info.Encode()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	attrs, err := cms.ContentAttributes(cms.OIDTSTInfo, sum[:], r.cert)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(attrs)
	value, err := r.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("use the key: %w", err)
	}
	return cms.AssembleToken(body, cms.Parts{SignedAttrs: attrs, Value: value, Certificate: r.cert, Chain: r.chain}, certReq)
}

// verify reads the token as a client does, before it leaves (TSA-09).
func (r *Role) verify(token []byte, info tsa.Info) error {
	t, err := tsa.ParseToken(token)
	if err != nil {
		return err
	}
	o := tsa.VerifyOptions{
		Imprint: info.Imprint.Digest, Hash: info.Imprint.Hash, Nonce: info.Nonce, Policies: []string{r.policy.String()},
		Roots: r.roots, At: info.GenTime, Intermediates: append(r.chain[:len(r.chain):len(r.chain)], r.cert),
	}
	if err := t.Verify(o); err != nil {
		return err
	}
	if t.Serial.Cmp(info.Serial) != 0 || !t.GenTime.Equal(info.GenTime) || t.Accuracy != info.Accuracy {
		return errors.New("the token does not state what was recorded")
	}
	return nil
}

// recordFailure: a serial number was used up and no token left.
func (r *Role) recordFailure(ctx context.Context, info tsa.Info) error {
	ctx = context.WithoutCancel(ctx)
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "tsa.failed", Subject: info.Serial.Text(16)})
	})
}
