package tsa

import (
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Response is a TimeStampResp as a client reads it.
type Response struct {
	Status int         // 0 granted, 1 grantedWithMods; others are rejections
	Text   string      // the first statusString, at most 200 bytes
	Info   FailureInfo // -1: none given
	Token  []byte      // DER, nil when there is none
}

// ParseResponse reads a TimeStampResp; the token in it is not looked at.
//
//	TimeStampResp ::= SEQUENCE { status PKIStatusInfo, timeStampToken ContentInfo OPTIONAL }
//	PKIStatusInfo ::= SEQUENCE { status INTEGER, statusString SEQUENCE OF UTF8String OPTIONAL, failInfo BIT STRING OPTIONAL }
func ParseResponse(der []byte) (Response, error) {
	r := Response{Info: -1}
	bad := errf(CodeMalformed, "not a TimeStampResp")
	in := cryptobyte.String(der)
	var s, status, texts cryptobyte.String
	if !in.ReadASN1(&s, casn1.SEQUENCE) || !in.Empty() || !s.ReadASN1(&status, casn1.SEQUENCE) || !status.ReadASN1Integer(&r.Status) {
		return r, bad
	}
	has := false
	if !status.ReadOptionalASN1(&texts, &has, casn1.SEQUENCE) {
		return r, bad
	}
	if has {
		var first cryptobyte.String
		if !texts.ReadASN1(&first, casn1.UTF8String) {
			return r, bad
		}
		r.Text = string(first[:min(len(first), 200)])
	}
	if status.PeekASN1Tag(casn1.BIT_STRING) {
		var bits asn1.BitString
		if !status.ReadASN1BitString(&bits) {
			return r, bad
		}
		for i := range bits.BitLength {
			if bits.At(i) == 1 {
				r.Info = FailureInfo(i)
				break
			}
		}
	}
	if !status.Empty() {
		return r, bad
	}
	if !s.Empty() {
		var token cryptobyte.String
		if !s.ReadASN1Element(&token, casn1.SEQUENCE) || !s.Empty() {
			return r, bad
		}
		r.Token = token
	}
	return r, nil
}

// EncodeGranted writes the answer that carries a token.
func EncodeGranted(token []byte) ([]byte, error) {
	return encode(func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(0) })
		b.AddBytes(token)
	})
}

// TooLarge is the refusal of a request of more than [MaxRequest] bytes.
func TooLarge() *Failure {
	return &Failure{Info: BadDataFormat, Text: "a time-stamp request has at most 64 KiB"}
}

// EncodeRejected writes the answer that refuses a request (status 2).
func EncodeRejected(f *Failure) ([]byte, error) {
	// A BIT STRING with named bits ends, in DER, with its last one bit.
	bits := make([]byte, int(f.Info)/8+1)
	bits[f.Info/8] = 0x80 >> (f.Info % 8)
	return encode(func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(2)
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(f.Text)) })
			})
			b.AddASN1(casn1.BIT_STRING, func(b *cryptobyte.Builder) {
				b.AddUint8(uint8(7 - f.Info%8))
				b.AddBytes(bits)
			})
		})
	})
}

func encode(body cryptobyte.BuilderContinuation) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, body)
	der, err := b.Bytes()
	if err != nil {
		return nil, wrap(CodeMalformed, err)
	}
	return der, nil
}
