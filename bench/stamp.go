package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/digitorus/timestamp"

	"tekend/certs"
	"tekend/clock"
	"tekend/cms"
	"tekend/tsa"
	"tekend/tsa/authority"
)

// timestamp is G6: making a token beside the signature in it, with the same kind of key; then the whole role, with record, audit and own
// check, of which many ask at the same time; then the sandbox's role over its socket.
func (b *bench) timestamp() []row {
	t := b.tokens()
	client, digest := b.stamper(), sha256.Sum256([]byte("bench"))
	const rounds, calls = 7, 40
	var token, whole, one [2]sample
	var wholeRate, rawRate [2]sample
	var role, wall, hsmP256 sample
	for range rounds {
		for i, k := range []struct {
			kind         string
			signs, group int
		}{{"p256", 1500, 1024}, {"rsa3072", 60, 128}} {
			raw, stamp := t.raw.measure("sign-"+k.kind, k.signs), t.hsm.measure("stamp-"+k.kind, k.signs/2)
			all, single := t.hsm.together("role-"+k.kind, k.group, 32), t.hsm.measure("role-"+k.kind, k.group/8)
			token[i], whole[i], one[i] = append(token[i], raw.CPU/stamp.CPU), append(whole[i], raw.CPU/all.CPU), append(one[i], raw.CPU/single.CPU)
			wholeRate[i], rawRate[i] = append(wholeRate[i], 1/all.Wall), append(rawRate[i], 1/raw.Wall)
		}
		hsmP256 = append(hsmP256, t.hsm.measure("sign-p256", 1000).CPU/t.hsm.measure("stamp-p256", 1000).CPU)
		before, at := processCPU(b.pids["tsa"]), time.Now()
		for range calls {
			need(client.Stamp(context.Background(), digest[:], crypto.SHA256))
		}
		wall = append(wall, time.Since(at).Seconds()/calls*1e3)
		role = append(role, (processCPU(b.pids["tsa"])-before)/calls*1e6)
	}
	rates := func(i int) string {
		return wholeRate[i].show("%.0f", "/s") + " beside " + rawRate[i].show("%.0f", " signatures/s of one session")
	}
	return []row{
		{goal: "G6: raw C_Sign / time-stamp token, P-256, CPU", must: "≥ 0.55", measured: token[0].show("%.2f", ""),
			raw: "hsm's verified sign / token " + hsmP256.show("%.2f", ""), verdict: verdict(token[0].median() >= 0.55)},
		{goal: "G6: the same, RSA-3072", must: "≥ 0.95", measured: token[1].show("%.2f", ""), verdict: verdict(token[1].median() >= 0.95)},
		{goal: "tokens a second of the whole role, durable, 32 at a time / raw signatures a second, P-256", must: "≥ 0.55", measured: ratios(wholeRate[0], rawRate[0]).show("%.2f", ""),
			raw: rates(0), verdict: verdict(ratios(wholeRate[0], rawRate[0]).median() >= 0.55)},
		{goal: "the same, RSA-3072", must: "≥ 0.95", measured: ratios(wholeRate[1], rawRate[1]).show("%.2f", ""),
			raw: rates(1), verdict: verdict(ratios(wholeRate[1], rawRate[1]).median() >= 0.95)},
		{goal: "raw C_Sign / whole role, 32 at a time; one at a time, P-256, CPU", measured: whole[0].show("%.2f", "") + "; " + one[0].show("%.2f", ""), verdict: info},
		{goal: "the same, RSA-3072", measured: whole[1].show("%.2f", "") + "; " + one[1].show("%.2f", ""), verdict: info},
		{goal: "the role tsa of the sandbox, one at a time, HTTP to durable record and own check, CPU", measured: role.show("%.0f", " µs"), raw: wall.show("%.1f", " ms") + " wall", verdict: info},
	}
}

// tokenMaker makes time-stamp tokens as the role does, without its record.
func tokenMaker(s crypto.Signer) (func(digest [sha256.Size]byte) ([]byte, error), error) {
	chain, err := unitChain(s.Public())
	if err != nil {
		return nil, err
	}
	return func(digest [sha256.Size]byte) ([]byte, error) {
		info := tsa.Info{
			Policy: asn1.ObjectIdentifier{2, 25, 1}, Imprint: tsa.Imprint{Hash: crypto.SHA256, Digest: digest[:]},
			Serial: big.NewInt(1 << 40), GenTime: time.Now().Truncate(time.Millisecond), Accuracy: time.Second, Nonce: big.NewInt(1 << 60),
		}
		body, err := info.Encode()
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		attrs, err := cms.ContentAttributes(cms.OIDTSTInfo, sum[:], chain[0])
		if err != nil {
			return nil, err
		}
		dtbs := sha256.Sum256(attrs)
		value, err := s.Sign(rand.Reader, dtbs[:], crypto.SHA256) // verified by package hsm
		if err != nil {
			return nil, err
		}
		der, err := cms.EncodeToken(body, cms.Parts{SignedAttrs: attrs, Value: value, Certificate: chain[0]}, true)
		if err != nil {
			return nil, err
		}
		return der, tsa.Made{Info: info, Body: body, SignedAttrs: attrs, Value: value, Certificates: chain[:1]}.Check(der)
	}, nil
}

// unitChain is a certificate of a time-stamping unit for a key, and its root.
func unitChain(pub crypto.PublicKey) ([]*x509.Certificate, error) {
	key := softwareKey()
	from := time.Now().Add(-time.Hour)
	subject := func(cn string) certs.Subject {
		return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: "SANDBOX " + cn}
	}
	der, err := certs.Issue(certs.Issuer{Signer: key}, certs.Order{
		Profile: certs.Root, Subject: subject("Root"), PublicKey: key.Public(), NotBefore: from, NotAfter: from.AddDate(10, 0, 0),
	})
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	der, err = certs.Issue(certs.Issuer{Cert: root, Signer: key}, certs.Order{
		Profile: certs.TSU, Subject: subject("Unit"), PublicKey: pub, NotBefore: from, NotAfter: from.AddDate(3, 0, 0), PrivateKeyEnd: from.AddDate(1, 0, 0),
		Publication: certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps"),
	})
	if err != nil {
		return nil, err
	}
	unit, err := x509.ParseCertificate(der)
	return []*x509.Certificate{unit, root}, err
}

// exact is a source of time that agrees.
type exact struct{}

func (exact) Measure(context.Context) (clock.Measurement, error) {
	return clock.Measurement{Uncertainty: time.Millisecond}, nil
}

// roleMaker runs the role itself on a disk of its own and sends it requests, without the network between.
func roleMaker(s crypto.Signer) (op func() error, stop func(), err error) {
	chain, err := unitChain(s.Public())
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "tekend-bench-tsa-")
	if err != nil {
		return nil, nil, err
	}
	cfg := authority.Config{Now: time.Now, DB: filepath.Join(dir, "tsa.db"), Rate: 1 << 20, Clock: &clock.Config{}}
	dep := authority.Dependencies{Unit: authority.Unit{Signer: s, Verifies: true, Chain: chain}}
	for _, name := range []string{"a", "b", "c"} {
		cfg.Clock.Sources = append(cfg.Clock.Sources, clock.SourceConfig{Kind: "bench", Address: name})
		dep.Sources = append(dep.Sources, clock.Named{Name: name, Source: exact{}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	role, err := authority.New(ctx, cfg, dep)
	if err != nil {
		cancel()
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	done := make(chan struct{})
	go func() { defer close(done); role.RunClock(ctx) }()
	digest := sha256.Sum256([]byte("bench"))
	query, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true, Nonce: big.NewInt(1 << 60)}).Marshal()
	if err != nil {
		cancel()
		return nil, nil, err
	}
	h := role.Handler()
	op = func() error {
		r := httptest.NewRequest(http.MethodPost, "/tsa", bytes.NewReader(query))
		r.Header.Set("Content-Type", "application/timestamp-query")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK || w.Body.Len() < 500 {
			return fmt.Errorf("no token: %d, %d bytes", w.Code, w.Body.Len())
		}
		return nil
	}
	return op, func() { cancel(); <-done; _ = role.Close(); _ = os.RemoveAll(dir) }, nil
}
