package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"time"
)

// httpsURL is the front by https.
func (s *sandbox) httpsURL() string {
	return strings.Replace(s.url("https"), "http:", "https:", 1)
}

// httpsCertificate makes the certificate of the sandbox's https listener, anew at each start, and writes it where clients can trust
// it: D/https-root.pem. It stands for itself: it has nothing to do with the PKI of the signatures.
func (s *sandbox) httpsCertificate() error {
	host, _, err := net.SplitHostPort(s.cmd.Listen)
	if err != nil {
		return usage("--listen: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return err
	}
	now := s.p.now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "tekend sandbox"}, NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(0, 3, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("certificate for https: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := s.own("front", s.path("front", "https.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})); err != nil {
		return err
	}
	if err := s.own("front", s.path("front", "https.pem"), cert); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("https-root.pem"), cert, 0o644); err != nil {
		return usage("%w", err)
	}
	return nil
}
