package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"

	"tekend/certs"
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
	if err := writeSecret(r.path("softhsm2.conf"), r.softHSMConf()); err != nil {
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

// softHSMConf tells SoftHSM where the role's token lies.
func (r roleSection) softHSMConf() []byte {
	return []byte("directories.tokendir = " + r.tokens() + "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n")
}

// useToken points SoftHSM at the role's directory. The module reads it at C_Initialize; cgo programs hand os.Setenv on to C.
func useToken(r roleSection) error { return os.Setenv("SOFTHSM2_CONF", r.path("softhsm2.conf")) }

// initToken makes the token in the role's directory.
func initToken(module, role string, r roleSection) error {
	if err := useToken(r); err != nil {
		return err
	}
	return hsm.InitToken(module, tokenLabel(role), r.path("so-pin"), r.path("pin"))
}

// publish writes the certificates where the roles read them, and what is public to the pki directory.
func (c *ceremony) publish() error {
	for i, item := range c.w.certs {
		readers := []string{"ca", "sam"}
		switch item.profile {
		case certs.Root:
			readers = []string{"sam", "ca", "tsa"}
		case certs.TSU:
			readers = []string{"ca", "tsa"}
		}
		if err := c.publishCert(item.name, c.made[i], readers); err != nil {
			return err
		}
	}
	for name, der := range c.crls {
		if err := writePublic(c.cfg.PKIDir, "crl/"+name+".crl", der); err != nil {
			return err
		}
	}
	if c.rootCRL == nil {
		return nil
	}
	// The root's own copy first: the next CRL goes on from it.
	return errors.Join(
		replaceSecret(c.cfg.Root.path(fileRootCRL), c.rootCRL),
		c.cfg.CA.give("root.crl", c.rootCRL, replaceOld),
		writePublic(c.cfg.PKIDir, "crl/root.crl", c.rootCRL),
	)
}

func (c *ceremony) publishCert(name string, cert *x509.Certificate, readers []string) error {
	text := certPEM(cert)
	for _, role := range readers {
		if err := c.cfg.role(role).give(name+".pem", text, keepOld); err != nil {
			return err
		}
	}
	own, data := name+".crt", cert.Raw
	if name == labelRoot {
		own, data = fileRootCert, text
	}
	return errors.Join(
		writeSecret(c.cfg.Root.path(own), data),
		writePublic(c.cfg.PKIDir, name+".pem", text),
		writePublic(c.cfg.PKIDir, "ca/"+name+".crt", cert.Raw),
	)
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

// replaceSecret writes a file that only its owner reads, whole or not at all.
func replaceSecret(path string, data []byte) error {
	next := path + ".new"
	if err := errors.Join(os.RemoveAll(next), writeSecret(next, data)); err != nil {
		return err
	}
	return os.Rename(next, path)
}
