package ca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tekend/wire"
)

// Reasons of a revocation: the codes of RFC 5280 §5.3.1 that are taken.
const (
	ReasonUnspecified          = 0
	ReasonKeyCompromise        = 1
	ReasonSuperseded           = 4
	ReasonCessationOfOperation = 5
	ReasonPrivilegeWithdrawn   = 9
)

// Who asks for a revocation, and so what proves it.
const (
	// BySigner: the holder confirmed it in the itsme app. Manifest and Token
	// prove it to the ca itself.
	BySigner = "signer"
	// BySAM: the sam says so, for a holder who gave his revocation code, for
	// operators of the sam, or when itsme's keys cannot be had. The socket proves it.
	BySAM = "sam"
	// ByOperators: two operators approved Text. On every socket.
	ByOperators = "operators"
)

// RevocationVersion stands in every RevokeRequest.
const RevocationVersion = 1

// RevokeRequest asks for the revocation of one certificate, for ever. A
// confirmation without a credential ("all of whoever answers") may come once
// for each serial number of its holder.
type RevokeRequest struct {
	V      int    `json:"v"`      // RevocationVersion
	Serial string `json:"serial"` // as in CertificateStatus
	Reason int    `json:"reason"` // one of the above
	By     string `json:"by"`
	// Manifest (op revoke, exact bytes) and Token (inner ID token, compact JWS): By "signer" alone.
	Manifest []byte `json:"manifest,omitempty"`
	Token    string `json:"token,omitempty"`
	// Text of a foureyes.Act and its approvals: By "operators" alone.
	Text      string   `json:"text,omitempty"`
	Approvals []string `json:"approvals,omitempty"`
}

// Revocation is a revocation as the CA has it. Seq counts them from 1 without
// gaps; At is in whole seconds, as CRL and OCSP write it.
type Revocation struct {
	Seq    int64     `json:"seq"`
	Serial string    `json:"serial"`
	Reason int       `json:"reason"`
	At     time.Time `json:"at"`
}

// MaxRevocations bounds one answer to GET /v1/revocations.
const MaxRevocations = 500

// Revocations are those behind a number, at most MaxRevocations, in order of
// Seq. Whoever follows them asks again behind the last one.
type Revocations struct {
	Entries []Revocation `json:"entries"`
}

// revoker sends revocations.
type revoker struct{ wire *wire.Client }

// Revoke revokes one certificate. An equal request, or another one for a
// certificate that is revoked already, gets the first outcome.
func (c revoker) Revoke(ctx context.Context, r RevokeRequest) (Revocation, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Revocation{}, fmt.Errorf("encode revocation: %w", err)
	}
	var out Revocation
	if err := c.wire.Do(ctx, http.MethodPut, "/v1/revocations/"+wire.BodyHash(body), body, &out); err != nil {
		return Revocation{}, err
	}
	if out.Serial != r.Serial {
		return Revocation{}, fmt.Errorf("%w: revocation of another certificate", wire.ErrNoReply)
	}
	return out, nil
}

// StatusClient is the sam's side.
type StatusClient struct {
	revoker
	reads *wire.Client
}

// NewStatusClient calls the status socket of the role.
func NewStatusClient(socket string, timeout time.Duration) *StatusClient {
	return &StatusClient{revoker{wire.NewClient(socket, timeout)}, wire.NewReader(socket, timeout)}
}

// Status asks for a serial number, lower-case hexadecimal. Only an answer with
// State Good permits the use of a key; the answer is for the serial asked for.
func (c *StatusClient) Status(ctx context.Context, serialHex string) (CertificateStatus, error) {
	var s CertificateStatus
	if err := c.reads.Do(ctx, http.MethodGet, "/v1/status/"+url.PathEscape(serialHex), nil, &s); err != nil {
		return CertificateStatus{}, err
	}
	if s.Serial != serialHex {
		return CertificateStatus{}, fmt.Errorf("%w: status of another certificate", wire.ErrNoReply)
	}
	return s, nil
}

// Revocations gives the next revocations behind the number after (0: from the
// first on), at most MaxRevocations. They come in order and without gaps.
func (c *StatusClient) Revocations(ctx context.Context, after int64) ([]Revocation, error) {
	var list Revocations
	if err := c.reads.Do(ctx, http.MethodGet, "/v1/revocations?after="+strconv.FormatInt(after, 10), nil, &list); err != nil {
		return nil, err
	}
	for i, r := range list.Entries {
		if r.Seq != after+1+int64(i) {
			return nil, fmt.Errorf("%w: the revocations are not in order", wire.ErrNoReply)
		}
	}
	return list.Entries, nil
}

// OperatorClient is the side of operators, at the ca's own host.
type OperatorClient struct{ revoker }

// NewOperatorClient calls the operators' socket of the role.
func NewOperatorClient(socket string, timeout time.Duration) *OperatorClient {
	return &OperatorClient{revoker{wire.NewClient(socket, timeout)}}
}

// RetireRequest asks for the last CRL of an earlier issuing CA: an act of
// operators (foureyes.ActRetire, whose subject is the SHA-256 of its certificate, in hexadecimal) and its
// approvals.
type RetireRequest struct {
	Text      string   `json:"text"`
	Approvals []string `json:"approvals"`
}

// LastCRL is the last CRL of an issuing CA. SHA256 is of its DER, in
// hexadecimal, for who keeps it.
type LastCRL struct {
	Issuer string `json:"issuer"`
	Number int64  `json:"number"`
	SHA256 string `json:"sha256"`
}

// Retire has an earlier issuing CA sign its last CRL. An equal request gets the
// stored outcome; a refusal not_yet means that a certificate of it could be valid.
func (c *OperatorClient) Retire(ctx context.Context, r RetireRequest) (LastCRL, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return LastCRL{}, fmt.Errorf("encode act: %w", err)
	}
	var out LastCRL
	err = c.wire.Do(ctx, http.MethodPut, "/v1/last-crls/"+wire.BodyHash(body), body, &out)
	return out, err
}

// MaxOCSPResponse bounds an OCSP answer, in bytes: one certificate's, with the
// responder's certificate in it, has about 1.5 KiB; twenty, with RSA, below 8 KiB.
const MaxOCSPResponse = 64 << 10

// OCSP relays a query (DER) and gives the answer (DER), which may be one of the
// protocol's own errors. An error here means that the role could not be asked:
// the caller's answer is then the protocol's tryLater.
func (c *Client) OCSP(ctx context.Context, query []byte) ([]byte, error) {
	return c.ocsp(ctx, "/v1/ocsp", query)
}

// OwnOCSP is OCSP for what the front itself makes: with a nonce it gets an answer of now, however many strangers ask.
func (c *Client) OwnOCSP(ctx context.Context, query []byte) ([]byte, error) {
	return c.ocsp(ctx, "/v1/ocsp/own", query)
}

func (c *Client) ocsp(ctx context.Context, path string, query []byte) ([]byte, error) {
	der, err := c.reads.Ask(ctx, path, wire.Question{Type: "application/ocsp-request", Body: query, Limit: MaxOCSPResponse})
	if err != nil {
		return nil, err
	}
	if len(der) == 0 {
		return nil, errors.Join(wire.ErrNoReply, errors.New("the OCSP answer is empty"))
	}
	return der, nil
}
