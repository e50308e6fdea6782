package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"tekend/foureyes"
)

type operatorCmd struct {
	Keygen operatorKeygenCmd `cmd:"" help:"Make an operator's key. Keep the file where no role and no other operator can read it."`
}

type operatorKeygenCmd struct {
	Name string `required:"" help:"The operator's name, as it will stand in the roles' configuration."`
	Out  string `required:"" help:"New file for the private key (PEM, mode 0600)." type:"path"`
}

// Run prints the line for the section operators: of a role's file.
func (c operatorKeygenCmd) Run(p *program) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	err = writeSecret(c.Out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if errors.Is(err, fs.ErrExist) {
		return no("%s exists; a key is not replaced", c.Out)
	}
	if err != nil {
		return usage("%w", err)
	}
	_, err = fmt.Fprintf(p.stdout, "- {name: %q, key: %s}\n", c.Name, base64.RawURLEncoding.EncodeToString(public))
	return err
}

// readOperatorKey reads what keygen wrote.
func readOperatorKey(path string) (ed25519.PrivateKey, error) {
	b, err := readClosed(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", path)
	}
	return private, nil
}

// readClosed reads a short file that must be closed to others.
func readClosed(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is open to others (mode %04o); make it 0600", path, info.Mode().Perm())
	}
	return readShort(path)
}

// readShort reads a file of operators: a key, a lock's text, an approval.
func readShort(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, 64<<10+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(b) > 64<<10 {
		return nil, fmt.Errorf("%s is too long", path)
	}
	return b, nil
}

// readApprovals reads approval files.
func readApprovals(paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		b, err := readShort(path)
		if err != nil {
			return nil, usage("read the approval: %w", err)
		}
		all = append(all, string(b))
	}
	return all, nil
}

// decision is what unlocking is asked to do.
type decision struct {
	Approval []string `help:"File with an operator's approval; twice, of two operators." type:"existingfile"`
	Do       bool     `help:"Do it. Without this, only look whether it could be done."`
}

// operators are those of a role's file.
func operators(list []foureyes.Operator) (foureyes.Operators, error) {
	all, err := foureyes.Load(list)
	if err != nil {
		return nil, usage("%w", err)
	}
	return all, nil
}
