package consent

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"tekend/strictjson"
)

// ApplicationVersion stands in every application.
const ApplicationVersion = "tekend-application/1"

// Application is what a person applies for: a certificate for exactly this
// public key under exactly these terms. Both legs of an enrolment commit to it.
type Application struct {
	V            string `json:"v"`             // ApplicationVersion
	ID           string `json:"id"`            // opaque
	SPKISHA256   string `json:"spki_sha256"`   // SHA-256 of the DER SubjectPublicKeyInfo, base64url
	TermsVersion string `json:"terms_version"` // shown to the person, so in the form of Label
	TermsSHA256  string `json:"terms_sha256"`  // SHA-256 of the terms' text, base64url
	Created      int64  `json:"created"`       // seconds since 1970
	// OneTime asks for a certificate whose key signs in the session of this
	// very identification and then is destroyed (TS 119 431-1 LNK-6.2.2-03B). It
	// stands in the JSON only when it is true.
	OneTime bool `json:"one_time,omitempty"`
}

// maxApplication bounds an application, in bytes; one is below 500.
const maxApplication = 4 << 10

// Encode gives the canonical JSON (RFC 8785) of a complete application.
func (a Application) Encode() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("application: %w", err)
	}
	w := &writer{}
	w.open()
	w.integer("created", a.Created)
	w.str("id", a.ID)
	if a.OneTime {
		w.name("one_time")
		w.raw("true")
	}
	w.str("spki_sha256", a.SPKISHA256)
	w.str("terms_sha256", a.TermsSHA256)
	w.str("terms_version", a.TermsVersion)
	w.str("v", a.V)
	w.close()
	return w.out, w.err
}

func (a Application) check() error {
	if a.V != ApplicationVersion || a.ID == "" || a.Created <= 0 {
		return errors.New("v, id and created are required")
	}
	for name, v := range map[string]string{"spki_sha256": a.SPKISHA256, "terms_sha256": a.TermsSHA256} {
		if _, err := decode32(v); err != nil {
			return fmt.Errorf("%s %w", name, err)
		}
	}
	if l, err := Label(a.TermsVersion); err != nil || l != a.TermsVersion {
		return errors.New("terms_version cannot be shown as it is")
	}
	return nil
}

// DecodeApplication reads an application, as strictly as DecodeManifest.
func DecodeApplication(b []byte) (Application, error) {
	var a Application
	if err := strictjson.Decode(b, maxApplication, &a); err != nil {
		return Application{}, fmt.Errorf("application: %w", err)
	}
	again, err := a.Encode()
	if err != nil {
		return Application{}, err
	}
	if !bytes.Equal(again, b) {
		return Application{}, errors.New("application: not in canonical form")
	}
	return a, nil
}

// Digest is the application's name in manifests: base64url(SHA-256(Encode)).
func (a Application) Digest() (string, error) {
	b, err := a.Encode()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return b64.EncodeToString(sum[:]), nil
}
