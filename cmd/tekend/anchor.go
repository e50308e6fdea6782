package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"time"

	"tekend/certs"
	"tekend/cms"
	itsme "tekend/itsme/sandbox"
	"tekend/tsa"
)

type simulatedTSACmd struct {
	Config string `required:"" type:"path"`
}

// simulatedTSAConfig is anchor.yaml.
type simulatedTSAConfig struct {
	Listen string `yaml:"listen"` // loopback address, or fd:3
	Key    string `yaml:"key"`    // PEM, PKCS #8, ECDSA
	Cert   string `yaml:"cert"`   // PEM, its certificate
	// NTP are UDP addresses, loopback or fd:4 and so on, at which it also tells the time. Default none.
	NTP []string `yaml:"ntp"`
}

// Run serves a time-stamping authority of another house until the process is told to stop. It is a simulation: it keeps no
// record and its key is a file.
func (c *simulatedTSACmd) Run(p *program) error {
	var cfg simulatedTSAConfig
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	unit, err := cfg.open(p)
	if err != nil {
		return usage("%s: %w", c.Config, err)
	}
	l, err := listenTCP(cfg.Listen)
	if err != nil {
		return err
	}
	if err := itsme.CheckListen(l.Addr().String()); err != nil {
		return usage("%w", err)
	}
	if err := tellTime(p.ctx, p, cfg.NTP); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tsa", unit.serve)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a simulated time-stamping authority\n")
	})
	return serveHTTP(p.ctx, l, mux)
}

// foreignUnit makes tokens.
type foreignUnit struct {
	now  func() time.Time
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func (c simulatedTSAConfig) open(p *program) (*foreignUnit, error) {
	block := func(path string) ([]byte, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		d, _ := pem.Decode(b)
		if d == nil {
			return nil, fmt.Errorf("%s is not PEM", path)
		}
		return d.Bytes, nil
	}
	der, err := block(c.Key)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	secret, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key is no ECDSA key")
	}
	if der, err = block(c.Cert); err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &foreignUnit{p.now, secret, cert}, nil
}

func (u *foreignUnit) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, tsa.MaxRequest))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	reply, err := u.answer(body)
	if err != nil {
		http.Error(w, "no token can be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(reply) // who is gone asks again
}

func (u *foreignUnit) answer(body []byte) ([]byte, error) {
	req, refused := tsa.ParseRequest(body)
	if refused == nil && (req.Policy != nil || certs.CheckHash(req.Imprint.Hash, u.now()) != nil) {
		refused = &tsa.Failure{Info: tsa.BadRequest, Text: "neither a policy nor a weak hash is taken here"}
	}
	if refused != nil {
		return tsa.EncodeRejected(refused)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return nil, err
	}
	info := tsa.Info{
		Policy: certs.PolicyTestTimeStamp, Imprint: req.Imprint, Serial: serial, GenTime: u.now().Truncate(time.Millisecond), Accuracy: time.Second, Nonce: req.Nonce,
	}
	content, err := info.Encode()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	attrs, err := cms.ContentAttributes(cms.OIDTSTInfo, sum[:], u.cert)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(attrs)
	value, err := u.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	token, err := cms.AssembleToken(content, cms.Parts{SignedAttrs: attrs, Value: value, Certificate: u.cert}, req.CertReq)
	if err != nil {
		return nil, err
	}
	return tsa.EncodeGranted(token)
}
