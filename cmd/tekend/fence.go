package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// How the roles of the sandbox notice that they were put back in time: each has a fence in a folder of its own, which is
// copied and put back by itself. The two operators' keys lie in D/operators; in earnest each is with one person.

var operatorNames = []string{"an", "bo"}

// gate adds the sections fence and operators to a role's configuration.
func (s *sandbox) gate(role string, cfg doc) (doc, error) {
	list, err := s.operators()
	if err != nil {
		return nil, err
	}
	cfg["fence"] = doc{"file": s.path(role+"-fence", "fence.json")}
	cfg["operators"] = list
	return cfg, nil
}

// operators is the section operators: of a role and of the ceremony.
func (s *sandbox) operators() ([]doc, error) {
	var list []doc
	for _, name := range operatorNames {
		key, err := s.operator(name)
		if err != nil {
			return nil, err
		}
		public, _ := key.Public().(ed25519.PublicKey)
		list = append(list, doc{"name": name, "key": base64.RawURLEncoding.EncodeToString(public)})
	}
	return list, nil
}

// fenceFolders makes the roles' folders for fences and the operators' folder, which is the starter's alone.
func (s *sandbox) fenceFolders() error {
	for _, role := range []string{"sam", "ca", "tsa"} {
		if err := s.folder(s.path(role+"-fence"), role, role, 0o700); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.path("operators"), 0o700); err != nil {
		return usage("%w", err)
	}
	return nil
}

// operator makes an operator's key at the first start, as `tekend-trusted operator keygen` does, and reads it.
func (s *sandbox) operator(name string) (ed25519.PrivateKey, error) {
	path := s.path("operators", name+".pem")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.newOperator(path)
	}
	if err != nil {
		return nil, usage("%w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, usage("%s holds no PEM key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, usage("%s holds no Ed25519 key (%v)", path, err)
	}
	return private, nil
}

func (s *sandbox) newOperator(path string) (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, usage("%w", err)
	}
	return private, nil
}

// gated writes the configuration of a role with its gate.
func (s *sandbox) gated(role string, cfg doc) error {
	cfg, err := s.gate(role, cfg)
	if err != nil {
		return fmt.Errorf("operators: %w", err)
	}
	return s.role(role, cfg)
}
