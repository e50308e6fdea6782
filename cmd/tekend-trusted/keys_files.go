package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tekend/hsm"
)

// prepare makes the role's directory, SoftHSM's configuration and both PINs. The directory can be passed through, so
// that callers reach the sockets below it; every file in it is closed.
func (r roleSection) prepare() error {
	if _, err := os.Stat(r.Dir); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(r.Dir, 0o711), os.Chmod(r.Dir, 0o711), r.own("")); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(r.tokens(), 0o700); err != nil {
		return err
	}
	conf := "directories.tokendir = " + r.tokens() + "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
	if err := writeSecret(r.path("softhsm2.conf"), []byte(conf)); err != nil {
		return err
	}
	// The PIN of the security officer is for the ceremony alone: it is never given to the role's user.
	for _, name := range []string{"pin", "so-pin"} {
		if err := writeSecret(r.path(name), []byte(rand.Text()+"\n")); err != nil {
			return err
		}
	}
	return nil
}

// initToken points SoftHSM at the role's directory and makes the token.
func initToken(module, role string, r roleSection) error {
	// The module reads it at C_Initialize; cgo programs hand os.Setenv on to C.
	if err := os.Setenv("SOFTHSM2_CONF", r.path("softhsm2.conf")); err != nil {
		return err
	}
	return hsm.InitToken(module, tokenLabel(role), r.path("so-pin"), r.path("pin"))
}

// own gives the named files and directories of the role to its user.
func (r roleSection) own(names ...string) error {
	if r.UID == nil {
		return nil
	}
	for _, name := range names {
		root := r.path(name)
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, *r.UID, *r.GID)
		})
		if err != nil {
			return fmt.Errorf("give %s to uid %d (only root can): %w", root, *r.UID, err)
		}
	}
	return nil
}

// publish writes the certificates where the roles read them and what is public to the pki directory.
func (c *ceremony) publish(made issued) error {
	root, issuing, tsu := certPEM(made.root), certPEM(made.issuing), certPEM(made.tsu)
	for _, f := range []struct {
		role roleSection
		name string
		data []byte
	}{
		{c.cfg.SAM, "root.pem", root},
		{c.cfg.SAM, "issuing-ca.pem", issuing},
		{c.cfg.CA, "root.pem", root},
		{c.cfg.CA, "issuing-ca.pem", issuing},
		{c.cfg.CA, "tsu.pem", tsu},
		{c.cfg.CA, "root.crl", made.rootCRL},
		{c.cfg.TSA, "tsu.pem", tsu},
		{c.cfg.TSA, "root.pem", root},
	} {
		if err := errors.Join(writeSecret(f.role.path(f.name), f.data), f.role.own(f.name)); err != nil {
			return err
		}
	}
	for name, data := range map[string][]byte{
		"root.pem": root, "issuing-ca.pem": issuing, "tsu.pem": tsu,
		"ca/root.crt": made.root.Raw, "ca/issuing-ca.crt": made.issuing.Raw, "ca/tsu.crt": made.tsu.Raw,
		"crl/root.crl": made.rootCRL, "crl/issuing-ca.crl": made.issuingCRL,
	} {
		if err := writePublic(filepath.Join(c.cfg.PKIDir, name), data); err != nil {
			return err
		}
	}
	return nil
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// writeSecret makes a new file that only its owner reads, on the disk when it returns. An existing file is not replaced.
func writeSecret(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// writePublic writes a file that everyone reads, whole or not at all.
func writePublic(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
		return err
	}
	next := path + ".new"
	if err := errors.Join(os.RemoveAll(next), writeSecret(next, data), os.Chmod(next, 0o644)); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// copyDir copies a token directory with its modes (files 0600, directories 0700).
func copyDir(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return writeSecret(target, data)
	})
}
