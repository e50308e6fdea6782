//go:build sweep

package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"tekend/hsm/hsmtest/shim"
)

// restore does what operators do when SoftHSM has lost a token: the copy that was made after the ceremony is put back,
// with nobody looking. It is older than the role's fence, so the role starts locked, and two operators open the lock.
func (k *killer) restore(ctx context.Context, role string) error {
	err := k.pausedWithout(ctx, role, func() error {
		tokens := filepath.Join(k.dir, role, "tokens")
		if err := os.RemoveAll(tokens); err != nil {
			return err
		}
		if out, err := exec.Command("cp", "-a", tokens+".copy", tokens).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		k.add(func() { k.restores[role]++ })
		return nil
	})
	if err != nil {
		return err
	}
	return k.unlock(ctx, role)
}

// pausedWithout runs fn while the role does not run and is not started again.
func (k *killer) pausedWithout(ctx context.Context, role string, fn func() error) error {
	return k.paused(func() error {
		pid, err := k.pid(ctx, role, 0)
		if err != nil {
			return err
		}
		if p, err := parent(pid); err == nil && p == k.launcher { // it may have ended by itself
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return fn()
	})
}

// unlock lets two operators open the role's lock.
func (k *killer) unlock(ctx context.Context, role string) error {
	dir, err := os.MkdirTemp("", "tekend-unlock-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config, lock := filepath.Join(k.dir, role, role+".yaml"), filepath.Join(dir, "lock")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		up := k.answers(ctx, role) == nil // a lock is written down before the role answers
		err := k.trusted(role, lock, "lock", "show", "--config", config)
		if err == nil {
			break
		}
		if up { // its fence is as old as the copy: an unlocked role was killed before it had started
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("the role did not start with the copy: %w", err)
		}
	}
	args := []string{"unlock", "--config", config, "--do"}
	for _, operator := range []string{"an", "bo"} {
		approval := filepath.Join(dir, operator)
		if err := k.trusted(role, approval, "lock", "approve", "--key", filepath.Join(k.dir, "operators", operator+".pem"), lock); err != nil {
			return err
		}
		args = append(args, "--approval", approval)
	}
	return k.pausedWithout(ctx, role, func() error {
		var err error
		for range 40 { // a killed process frees its socket within a moment
			if err = k.trusted(role, filepath.Join(dir, "out"), args...); err == nil {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
		return err
	})
}

// softHSM is what stands behind the spy or the shim.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// trusted runs tekend-trusted beside a role, with its output in a file.
func (k *killer) trusted(role, output string, args ...string) error {
	cmd := exec.Command(k.program, args...)
	cmd.Env = append(os.Environ(), "PKCS11SPY="+softHSM, shim.EnvModule+"="+softHSM,
		shim.EnvOracle+"="+filepath.Join(k.dir, role, "oracle.log"), shim.EnvFaults+"="+filepath.Join(k.dir, role, "faults"))
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Errorf("tekend-trusted %s: %w: %s", args[0], err, failed.Stderr)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(output, out, 0o600)
}
