// Package hsm is the program's way to a PKCS#11 token: sessions, keys, wrapping, health. It is the only package with
// cgo and unsafe code, and is imported by the role sam and by cmd/tekend-trusted alone; other roles get a crypto.Signer.
//
// What it promises:
//   - one C_Login per process life (SoftHSM rewrites its token file at each login, and a kill in between loses the
//     token: performance §5.3), a bounded pool of read-only sessions, and ErrBusy at the queue's deadline;
//   - a signature is never sent twice. Only what happens before C_Sign was sent (opening a session, unwrapping,
//     C_SignInit) is repeated, once, after the module was started again;
//   - no value leaves the package before the public key has verified it;
//   - users' keys exist in clear only inside the token: wrapped ones as session objects, for one use; resident ones for good;
//   - C_FindObjects is called when a key is first named and after a restart of the module, not on the way of a request.
//
// A function given to UseWrapped or GenerateWrapped holds a session: it must not call the same Token again.
package hsm

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// Config names a token and how it is used. This is the manual of the `hsm:` section of a role's configuration file.
type Config struct {
	// Module is the path of the PKCS#11 library, e.g. /usr/lib/softhsm/libsofthsm2.so. Required.
	Module string `yaml:"module"`
	// TokenLabel finds the token. Slot numbers change when the module starts again, so they are never configured. Required.
	TokenLabel string `yaml:"token_label"`
	// PINFile holds the user PIN, 4 to 64 characters, an end of line is cut off. Mode 0600 or stricter. Required.
	PINFile string `yaml:"pin_file"`
	// Sessions is how many operations run at once. SoftHSM: the number of cores; a network HSM: about 30. Default 2.
	Sessions int `yaml:"sessions"`
	// QueueTimeout is how long a call waits for a free session before ErrBusy. Default 5s.
	QueueTimeout time.Duration `yaml:"queue_timeout"`
	// ReinitEvery starts the module again after this many unwrapped keys, because SoftHSM keeps about 240 bytes of each
	// until C_Finalize (performance §4.4). Default 20000; -1 for never.
	ReinitEvery int `yaml:"reinit_every"`
	// WrapMechanism is the CKM number of AES key wrap with padding (RFC 5649). Default 0x210A (SoftHSM, NSS); some
	// devices want 0x210B.
	WrapMechanism uint `yaml:"wrap_mechanism"`
	// InitArgs is handed to C_Initialize as pReserved, for modules that want it (NSS: "configdir='sql:/dir' …"). Default
	// none.
	InitArgs string `yaml:"init_args"`
	// TestOnly allows a module that must never hold real keys: one of which the probe shows that it does not protect them
	// (NSS), or one that a test put in front of the token (hsm/hsmtest/shim). Default false: such a module is refused.
	TestOnly bool `yaml:"test_only"`
	// Queue is how many calls may wait for a session; further ones get ErrBusy at once. Default 256.
	Queue int `yaml:"queue"`
	// StuckAfter is how long one operation may take before OnStuck is told. The slowest that is well is an RSA key
	// generation on a slow device. Default 60s.
	StuckAfter time.Duration `yaml:"stuck_after"`
	// OnStuck is told that a call of the module hangs. It cannot be ended, and its session is lost: the program should
	// end and be started again. It must not call the Token.
	OnStuck func(detail string) `yaml:"-"`
	// OnReinit is told, in one line, why the module was started again and whether it worked, and when the token gave a
	// wrong value or has proven itself again. It must not call the Token.
	OnReinit func(reason string) `yaml:"-"`
}

// CKMAESKeyWrapPad is AES key wrap with padding (RFC 5649) as SoftHSM and NSS number it.
const CKMAESKeyWrapPad uint = 0x210A

// withDefaults fills what is not set and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if c.Module == "" || c.TokenLabel == "" || c.PINFile == "" {
		return c, errors.New("hsm: module, token_label and pin_file must be set")
	}
	if len(c.TokenLabel) > 32 {
		return c, errors.New("hsm: token_label is longer than 32 bytes")
	}
	if c.Sessions == 0 {
		c.Sessions = 2
	}
	if c.Sessions < 1 || c.Sessions > 256 {
		return c, fmt.Errorf("hsm: sessions is %d; use 1 to 256", c.Sessions)
	}
	if c.QueueTimeout == 0 {
		c.QueueTimeout = 5 * time.Second
	}
	if c.QueueTimeout < 0 {
		return c, errors.New("hsm: queue_timeout is negative")
	}
	if c.Queue == 0 {
		c.Queue = 256
	}
	if c.StuckAfter == 0 {
		c.StuckAfter = time.Minute
	}
	if c.Queue < 0 || c.StuckAfter < 0 {
		return c, errors.New("hsm: queue and stuck_after must be more than 0")
	}
	if c.OnReinit == nil {
		c.OnReinit = func(string) {}
	}
	if c.OnStuck == nil {
		c.OnStuck = func(string) {}
	}
	if c.ReinitEvery == 0 {
		c.ReinitEvery = 20000
	}
	if c.WrapMechanism == 0 {
		c.WrapMechanism = CKMAESKeyWrapPad
	}
	return c, nil
}

// readPIN reads a PIN file. Its errors name the file, never what is in it.
func readPIN(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("hsm: PIN file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("hsm: PIN file %s is open to others (mode %04o); make it 0600", path, info.Mode().Perm())
	}
	if info.Size() > 128 {
		return "", fmt.Errorf("hsm: PIN file %s is longer than a PIN", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("hsm: PIN file: %w", err)
	}
	pin := strings.TrimRight(string(b), "\r\n")
	if len(pin) < 4 || len(pin) > 64 {
		return "", fmt.Errorf("hsm: PIN file %s must hold 4 to 64 characters", path)
	}
	return pin, nil
}
