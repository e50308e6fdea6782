package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/miekg/pkcs11"
	"golang.org/x/sync/errgroup"

	"tekend/hsm"
	"tekend/hsm/hsmtest"
)

// tokens is a token of the bench's own and two processes on it: one speaks
// PKCS#11 itself, the other through package hsm. Two processes, because a
// module can be started once in each.
type tokens struct {
	dir      string
	raw, hsm *worker
}

// tokenFile is what the processes must know of the token, in keys.json.
type tokenFile struct {
	Wrapped hsm.Wrapped
	Public  []byte // SubjectPublicKeyInfo
}

// worker is one process that measures on command.
type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// figure is one measured cell: seconds for each operation.
type figure struct{ Wall, CPU float64 }

func (b *bench) tokens() *tokens {
	if b.token != nil {
		return b.token
	}
	parent := ""
	if _, err := os.Stat("/dev/shm"); err == nil {
		parent = "/dev/shm"
	}
	dir := need(os.MkdirTemp(parent, "tekend-bench-token-"))
	b.token = &tokens{dir: dir}
	must(hsmtest.WriteConf(filepath.Join(dir, "softhsm2.conf"), filepath.Join(dir, "tokens")))
	for _, name := range []string{"pin", "so-pin"} {
		must(os.WriteFile(filepath.Join(dir, name), []byte(name+"-of-a-bench\n"), 0o600))
	}
	// One after the other: logins at the same time disturb each other in SoftHSM.
	w := b.token.start("make")
	w.wait()
	b.token.raw = b.token.start("raw")
	b.token.hsm = b.token.start("hsm")
	return b.token
}

func (t *tokens) close() {
	for _, w := range []*worker{t.raw, t.hsm} {
		if w != nil {
			w.stop()
		}
	}
	_ = os.RemoveAll(t.dir)
}

// start waits for the worker's first line. before are words before the command.
func (t *tokens) start(kind string, before ...string) *worker {
	line := append(before, need(os.Executable()), "token", kind, t.dir)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+filepath.Join(t.dir, "softhsm2.conf"))
	cmd.Stderr = os.Stderr
	w := &worker{cmd: cmd, in: need(cmd.StdinPipe())}
	w.out = bufio.NewReader(need(cmd.StdoutPipe()))
	must(cmd.Start())
	need(w.out.ReadString('\n'))
	return w
}

func (w *worker) wait() {
	_ = w.in.Close()
	must(w.cmd.Wait())
}

func (w *worker) stop() {
	_ = w.in.Close()
	_ = w.cmd.Wait()
}

// measure has n operations done.
func (w *worker) measure(op string, n int) figure { return w.together(op, n, 1) }

// together has n operations done by some goroutines.
func (w *worker) together(op string, n, goroutines int) figure {
	_, err := fmt.Fprintf(w.in, "%s %d %d\n", op, n, goroutines)
	must(err)
	var f figure
	must(json.Unmarshal([]byte(need(w.out.ReadString('\n'))), &f))
	return f
}

// atEnd is what the worker stops when its parent has gone.
var atEnd []func()

// tokenWorker is the other process: "token make|raw|hsm|long DIR". Long is hsm
// that starts the module again as often as the program does.
func tokenWorker(args []string) error {
	kind, dir := args[0], args[1]
	cfg := hsm.Config{
		Module: hsmtest.Module, TokenLabel: "bench", PINFile: filepath.Join(dir, "pin"),
		Sessions: 2, QueueTimeout: 5 * time.Second, ReinitEvery: -1,
	}
	var ops map[string]func() error
	var err error
	switch kind {
	case "make":
		err = makeToken(cfg, dir)
	case "raw":
		ops, err = rawOperations(dir)
	case "hsm":
		ops, err = hsmOperations(cfg, dir)
	case "long":
		cfg.ReinitEvery = 0 // the default
		ops, err = hsmOperations(cfg, dir)
	}
	if err != nil {
		return err
	}
	defer func() {
		for _, stop := range atEnd {
			stop()
		}
	}()
	fmt.Println("ready")
	for {
		var op string
		var n, goroutines int
		if _, err := fmt.Scanln(&op, &n, &goroutines); err != nil {
			return nil // the parent has gone
		}
		cpu, at := rusage(syscall.RUSAGE_SELF), time.Now()
		if err := repeat(ops[op], n, goroutines); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		wall, used := time.Since(at), rusage(syscall.RUSAGE_SELF)-cpu
		b, err := json.Marshal(figure{wall.Seconds() / float64(n), used.Seconds() / float64(n)})
		if err != nil {
			return err
		}
		fmt.Println(string(b))
	}
}

// repeat does an operation n times in all.
func repeat(op func() error, n, goroutines int) error {
	var g errgroup.Group
	for range goroutines {
		g.Go(func() error {
			for range n / goroutines {
				if err := op(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func makeToken(cfg hsm.Config, dir string) error {
	ctx := context.Background()
	if err := hsm.InitToken(cfg.Module, cfg.TokenLabel, filepath.Join(dir, "so-pin"), cfg.PINFile); err != nil {
		return err
	}
	t, err := hsm.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if err := t.CreateKEK(ctx, "kek"); err != nil {
		return err
	}
	for label, kind := range map[string]hsm.KeyKind{"p256": hsm.P256, "rsa2048": hsm.RSA2048, "rsa3072": hsm.RSA3072} {
		if _, err := t.CreateKeyPair(ctx, label, kind); err != nil {
			return err
		}
	}
	var file tokenFile
	file.Wrapped, err = t.GenerateWrapped(ctx, "kek", hsm.P256, func(s crypto.Signer) error {
		file.Public, err = x509.MarshalPKIXPublicKey(s.Public())
		return err
	})
	if err != nil {
		return err
	}
	b, err := json.Marshal(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "keys.json"), b, 0o600); err != nil {
		return err
	}
	return t.Close()
}

func readTokenFile(dir string) (f tokenFile, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "keys.json"))
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	return f, err
}

// hsmOperations are the same as the program makes them: every value verified.
func hsmOperations(cfg hsm.Config, dir string) (map[string]func() error, error) {
	ctx := context.Background()
	t, err := hsm.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	file, err := readTokenFile(dir)
	if err != nil {
		return nil, err
	}
	pub, err := x509.ParsePKIXPublicKey(file.Public)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte("bench"))
	several := func(n int) func() error {
		return func() error {
			return t.UseWrapped(ctx, file.Wrapped, pub, func(s crypto.Signer) error {
				for range n {
					if _, err := s.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	ops := map[string]func() error{
		"cycle": several(1), "cycle70": several(70),
		"rest": func() error { debug.FreeOSMemory(); return nil }, // Go's own garbage is no leak
	}
	for _, label := range []string{"p256", "rsa3072"} {
		s, err := t.Signer(ctx, label)
		if err != nil {
			return nil, err
		}
		ops["sign-"+label] = func() error {
			_, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
			return err
		}
		token, err := tokenMaker(s)
		if err != nil {
			return nil, err
		}
		ops["stamp-"+label] = func() error {
			_, err := token(digest)
			return err
		}
		if label == "p256" {
			if err := addSigning(ops, s, token, dir); err != nil {
				return nil, err
			}
		}
		role, stop, err := roleMaker(s)
		if err != nil {
			return nil, err
		}
		ops["role-"+label] = role
		atEnd = append(atEnd, stop)
	}
	return ops, nil
}

// raw is PKCS#11 with nothing around it.
type raw struct {
	ctx     *pkcs11.Ctx
	session pkcs11.SessionHandle
}

func rawOperations(dir string) (map[string]func() error, error) {
	r := &raw{ctx: pkcs11.New(hsmtest.Module)}
	if r.ctx == nil {
		return nil, fmt.Errorf("%s cannot be loaded", hsmtest.Module)
	}
	if err := r.login(); err != nil {
		return nil, err
	}
	file, err := readTokenFile(dir)
	if err != nil {
		return nil, err
	}
	ops := map[string]func() error{}
	digest := sha256.Sum256([]byte("bench"))
	// PKCS #1 v1.5 takes the DigestInfo of RFC 8017 §9.2.
	info := append([]byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}, digest[:]...)
	for label, m := range map[string]struct {
		mechanism uint
		data      []byte
	}{"p256": {pkcs11.CKM_ECDSA, digest[:]}, "rsa2048": {pkcs11.CKM_RSA_PKCS, info}, "rsa3072": {pkcs11.CKM_RSA_PKCS, info}} {
		key, err := r.find(label, pkcs11.CKO_PRIVATE_KEY)
		if err != nil {
			return nil, err
		}
		ops["sign-"+label] = func() error { return r.sign(m.mechanism, key, m.data) }
	}
	kek, err := r.find("kek", pkcs11.CKO_SECRET_KEY)
	if err != nil {
		return nil, err
	}
	ops["cycle"] = func() error {
		key, err := r.ctx.UnwrapKey(r.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(hsm.CKMAESKeyWrapPad, nil)}, kek, file.Wrapped.Blob, userKey())
		if err != nil {
			return err
		}
		if err := r.sign(pkcs11.CKM_ECDSA, key, digest[:]); err != nil {
			return err
		}
		return r.ctx.DestroyObject(r.session, key)
	}
	return ops, nil
}

func userKey() []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
	}
}

func (r *raw) sign(mechanism uint, key pkcs11.ObjectHandle, data []byte) error {
	if err := r.ctx.SignInit(r.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}, key); err != nil {
		return err
	}
	_, err := r.ctx.Sign(r.session, data)
	return err
}

func (r *raw) login() error {
	if err := r.ctx.Initialize(); err != nil {
		return err
	}
	slots, err := r.ctx.GetSlotList(true)
	if err != nil {
		return err
	}
	for _, slot := range slots {
		i, err := r.ctx.GetTokenInfo(slot)
		if err != nil || i.Label != "bench" {
			continue
		}
		if r.session, err = r.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION); err != nil {
			return err
		}
		return r.ctx.Login(r.session, pkcs11.CKU_USER, "pin-of-a-bench")
	}
	return fmt.Errorf("no token of the bench among %d slots", len(slots))
}

func (r *raw) find(label string, class uint) (pkcs11.ObjectHandle, error) {
	err := r.ctx.FindObjectsInit(r.session, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_CLASS, class),
	})
	if err != nil {
		return 0, err
	}
	found, _, err := r.ctx.FindObjects(r.session, 1)
	if err != nil {
		return 0, err
	}
	if len(found) == 0 {
		return 0, fmt.Errorf("no key %s", label)
	}
	return found[0], r.ctx.FindObjectsFinal(r.session)
}
