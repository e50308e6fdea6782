package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme/token"
)

// Defects of the ID token that can be ordered (SB-80, SB-81): by
// sandbox_defect=NAME on the authorization URL or through /sandbox/next. Each
// is something a relying party must refuse.
const (
	DefectAlgNone        = "alg_none"
	DefectHS256          = "hs256" // HMAC with our public key as the secret
	DefectOtherAudience  = "other_aud"
	DefectAudienceList   = "aud_list"
	DefectOtherIssuer    = "other_iss"
	DefectExpired        = "expired"
	DefectFuture         = "future_iat"
	DefectOld            = "old_iat" // still before exp, but issued long ago
	DefectNotYet         = "future_nbf"
	DefectUnknownKID     = "unknown_kid"
	DefectWrongKey       = "wrong_key" // our kid, another key
	DefectBadSignature   = "bad_signature"
	DefectUnsigned       = "unsigned" // JWE of bare JSON
	DefectUnencrypted    = "unencrypted"
	DefectWrongNonce     = "wrong_nonce"
	DefectNoNonce        = "no_nonce"
	DefectWrongSub       = "wrong_sub"
	DefectMissingACR     = "missing_acr"
	DefectLowACR         = "low_acr"
	DefectDuplicateClaim = "duplicate_claim"
	DefectCaseClaim      = "case_claim" // SUB beside sub
	DefectCompressed     = "compressed"
	DefectCrit           = "crit"
	DefectJSON           = "json_serialization"
	DefectOtherJWEKey    = "other_jwe_key"
	DefectOAEPSHA1       = "oaep_sha1"
	DefectTooLong        = "too_long"
)

// Defects lists the names of all defects.
func Defects() []string {
	return []string{
		DefectAlgNone, DefectHS256, DefectOtherAudience, DefectAudienceList, DefectOtherIssuer, DefectExpired, DefectFuture, DefectOld,
		DefectNotYet, DefectUnknownKID, DefectWrongKey, DefectBadSignature, DefectUnsigned, DefectUnencrypted, DefectWrongNonce,
		DefectNoNonce, DefectWrongSub, DefectMissingACR, DefectLowACR, DefectDuplicateClaim, DefectCaseClaim, DefectCompressed,
		DefectCrit, DefectJSON, DefectOtherJWEKey, DefectOAEPSHA1, DefectTooLong,
	}
}

// claimDefect changes the claims of an ID token.
func (s *Server) claimDefect(defect string, m map[string]any, now time.Time) {
	switch defect {
	case DefectOtherAudience:
		m["aud"] = "OTHERCLNT"
	case DefectAudienceList:
		m["aud"] = []any{m["aud"], "OTHERCLNT"}
	case DefectOtherIssuer:
		m["iss"] = "https://idp.other.test/v2"
	case DefectExpired:
		m["iat"], m["exp"] = now.Add(-time.Hour).Unix(), now.Add(-55*time.Minute).Unix()
	case DefectFuture:
		m["iat"], m["exp"] = now.Add(time.Hour).Unix(), now.Add(65*time.Minute).Unix()
	case DefectOld:
		m["iat"], m["exp"] = now.Add(-30*time.Minute).Unix(), now.Add(5*time.Minute).Unix()
	case DefectNotYet:
		m["nbf"] = now.Add(10 * time.Minute).Unix()
	case DefectWrongNonce:
		m["nonce"] = strings.Repeat("A", 43)
	case DefectNoNonce:
		delete(m, "nonce")
	case DefectWrongSub:
		m["sub"] = s.state.sub("wrong", fmt.Sprint(m["aud"], m["sub"]))
	case DefectMissingACR:
		delete(m, "acr")
	case DefectLowACR:
		m["acr"] = token.ACRBasic
	case DefectTooLong:
		m["padding"] = strings.Repeat("x", 2*token.MaxToken)
	}
}

// payload encodes the claims, with the defects that a map cannot hold.
func payload(defect string, m map[string]any) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	extra := ""
	switch defect {
	case DefectDuplicateClaim:
		extra = `{"nonce":"` + strings.Repeat("B", 43) + `",`
	case DefectCaseClaim:
		extra = `{"Sub":"` + strings.Repeat("b", 36) + `",`
	default:
		return b, nil
	}
	return append([]byte(extra), b[1:]...), nil
}

// signDefect signs a payload in a wrong way; "" = this defect is not here.
func (s *Server) signDefect(defect string, body []byte, key jose.JSONWebKey) (string, error) {
	part := base64.RawURLEncoding.EncodeToString
	switch defect {
	case DefectAlgNone:
		return part([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + part(body) + ".", nil
	case DefectHS256:
		secret, err := publicPEM(key)
		if err != nil {
			return "", err
		}
		return signJWS(jose.HS256, secret, key.KeyID, body)
	case DefectUnknownKID, DefectWrongKey:
		priv, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return "", err
		}
		kid := key.KeyID
		if defect == DefectUnknownKID {
			kid = "not-published"
		}
		return signJWS(jose.RS256, priv, kid, body)
	case DefectBadSignature:
		jws, err := signJWS(jose.RS256, key.Key, key.KeyID, body)
		if err != nil {
			return "", err
		}
		head, tail := jws[:len(jws)-20], jws[len(jws)-20:]
		flipped := map[byte]byte{tail[0]: 'A'}
		if tail[0] == 'A' {
			flipped[tail[0]] = 'B'
		}
		return head + string(flipped[tail[0]]) + tail[1:], nil
	case DefectUnsigned:
		return string(body), nil
	}
	return "", nil
}

func publicPEM(key jose.JSONWebKey) ([]byte, error) {
	priv, ok := key.Key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("sandbox: no RSA key")
	}
	der, err := x509.MarshalPKIXPublicKey(&priv.PublicKey)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

// signJWS signs with kid in the header, as itsme does.
func signJWS(alg jose.SignatureAlgorithm, key any, kid string, body []byte) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key},
		(&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid))
	if err != nil {
		return "", err
	}
	obj, err := signer.Sign(body)
	if err != nil {
		return "", err
	}
	return obj.CompactSerialize()
}

// encryptFor makes the JWE for a partner by the switches, or with a defect.
func (s *Server) encryptFor(to jose.JSONWebKey, jws, defect string) (string, error) {
	sw := s.switches()
	alg, enc := jose.RSA_OAEP_256, jose.A128CBC_HS256
	if sw.JWEAlg == "RSA-OAEP" || defect == DefectOAEPSHA1 {
		alg = jose.RSA_OAEP
	}
	if sw.JWEEnc == "A256GCM" {
		enc = jose.A256GCM
	}
	recipient := jose.Recipient{Algorithm: alg, Key: to.Key, KeyID: to.KeyID}
	if sw.OmitJWEKID {
		recipient.KeyID = ""
	}
	options := (&jose.EncrypterOptions{}).WithContentType("JWT").WithType("JWT")
	switch defect {
	case DefectOtherJWEKey:
		priv, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return "", err
		}
		recipient.Key = &priv.PublicKey
	case DefectCompressed:
		options.Compression = jose.DEFLATE
	case DefectCrit:
		options = options.WithHeader("crit", []string{"exp"})
	}
	e, err := jose.NewEncrypter(enc, recipient, options)
	if err != nil {
		return "", err
	}
	obj, err := e.Encrypt([]byte(jws))
	if err != nil {
		return "", err
	}
	if defect == DefectJSON {
		return obj.FullSerialize(), nil
	}
	return obj.CompactSerialize()
}

// known tells whether a name of /sandbox/next is a defect or an outcome.
func known(name string) bool {
	return slices.Contains(Defects(), name) || slices.Contains(outcomes, name)
}

// outcomes are the reactions that can be ordered besides the defects (SB-80).
var outcomes = []string{"approve", "refuse", "expire", "blocked", "error", "slow", "call"}
