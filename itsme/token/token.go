// Package token decrypts and verifies itsme's tokens: a JWS inside a JWE,
// compact, nested by hand with go-jose, every algorithm pinned, claims read
// strictly. It has no network. Whoever verifies a token of itsme (sam, ca, an
// outside verifier) uses this one text.
//
// Nothing of a token's content ever reaches an error: refusals are Reasons.
package token

import (
	"context"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// MaxToken is the longest token that is read, in bytes. A nested ID token with
// every claim we ask is about 3 kB, with a photo (never asked) about 40 kB.
const MaxToken = 64 << 10

// MaxSkew is the largest difference of clocks that is forgiven
// (specs/itsme.md §9.4 step 5).
const MaxSkew = 60 * time.Second

// DefaultMaxAge is how far iat may lie in the past when Expect does not say it
// (specs/itsme.md §9.4 step 5).
const DefaultMaxAge = 5 * time.Minute

// AnyACR as Expect.ACR says openly that the level is not checked. An empty
// Expect.ACR is an error, so that nobody forgets the level by accident.
const AnyACR = "*"

// minModulus is the smallest RSA key of itsme that is accepted, in bits
// (specs/itsme.md §1.4).
const minModulus = 2048

// Keys gives itsme's public keys. Key returns ErrUnknownKey when the issuer
// does not publish that key (any more); every other error means that the
// question could not be answered and is handed on by Verify as it is. The set
// behind it is at most 10 minutes old. Calls may run concurrently.
type Keys interface {
	Key(ctx context.Context, kid string) (*jose.JSONWebKey, error)
}

// ErrUnknownKey is what Keys answer for a kid the issuer does not publish.
var ErrUnknownKey = errors.New("the issuer publishes no such key")

// Expect is what a token must say. Issuer, Audience, Nonce, ACR and Now are
// required: an empty one is an error, never "any".
type Expect struct {
	Issuer   string
	Audience string // our client id; aud must be this single string
	Nonce    string
	Subject  string // "" = any
	ACR      string // AnyACR = any
	Now      time.Time
	MaxAge   time.Duration // how far iat may lie in the past; 0 = DefaultMaxAge
	Skew     time.Duration // 0 = MaxSkew; more than MaxSkew is an error

	// AllowExpired is for a second reader of a token that was fresh when the
	// first one took it (the ca reads the identification after the consent):
	// exp is not compared with Now, only MaxAge, which must be set.
	AllowExpired bool
}

// IDToken is a verified ID token (OpenID Connect Core 1.0 §2).
type IDToken struct {
	Issuer, Audience, Subject, Nonce, ACR string
	IssuedAt, Expires                     time.Time
	Claims                                Claims
	KeyID                                 string // kid of the issuer's key
}

// Reasons for which a token is refused. They are stable: audit rows, tests and
// other packages rely on them.
const (
	TooLong          = "too_long"           // more than MaxToken bytes
	Malformed        = "malformed"          // not five or three base64url parts, claims of a wrong type
	Serialization    = "serialization"      // JSON serialisation
	NotEncrypted     = "not_encrypted"      // a bare JWS where a JWE must stand
	NotSigned        = "not_signed"         // plaintext is not a compact JWS
	Compressed       = "compressed"         // zip in the JWE header
	Critical         = "crit"               // crit or b64 in a header
	BadHeader        = "header"             // duplicate members, embedded keys, wrong types
	BadAlgorithm     = "alg"                // alg outside the allow-list
	BadEncryption    = "enc"                // enc outside the allow-list
	BadKeyID         = "kid"                // no such key
	CannotDecrypt    = "decrypt"            // wrong key or changed bytes
	BadSignature     = "signature"          //
	BadClaims        = "claims"             // duplicate or case-variant claims, not JSON
	WrongIssuer      = "issuer"             //
	WrongAudience    = "audience"           // also an array, also azp
	Expired          = "expired"            //
	NotYetValid      = "not_yet_valid"      // nbf
	IssuedInFuture   = "issued_in_future"   //
	TooOld           = "too_old"            // iat older than MaxAge
	WrongNonce       = "nonce"              //
	WrongSubject     = "subject"            //
	WrongACR         = "acr"                //
	ImpossibleToKeep = "lifetime_too_large" // exp more than one hour after iat
)

// Error is a refusal. It names the reason and never anything of the token.
type Error struct{ Reason string }

func (e *Error) Error() string { return "itsme token refused: " + e.Reason }

func refuse(reason string) error { return &Error{Reason: reason} }

// ReasonOf returns the reason of a refusal, or "" when err is something else.
func ReasonOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}
