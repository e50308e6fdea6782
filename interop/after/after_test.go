//go:build interop

// Package after has others go on with what we signed: pyHanko and EU DSS sign on top of it, renew it, and bring it to
// a higher level. Our signatures stay valid by our own validator, and are what was there before.
package after

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
	"tekend/validate"
)

type world struct {
	s         *sandboxtest.Sandbox
	info      sandboxtest.Info
	dir       string
	key, cert string // paths of another signer's, whom nobody trusts
	documents []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{s: sandboxtest.Start(t), dir: t.TempDir()}
	w.info = w.s.Info(t)
	w.key, w.cert = stranger(t, w.dir)
	var err error
	if w.documents, err = filepath.Glob(filepath.Join(sandboxtest.Root(t), "testdata/pdf/*.pdf")); err != nil || len(w.documents) < 20 {
		t.Fatalf("%d documents, %v", len(w.documents), err)
	}
	return w
}

// stranger makes a key and a certificate for it, issued by itself.
func stranger(t *testing.T, dir string) (key, cert string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Somebody else"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageContentCommitment}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	key, cert = filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return key, cert
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// signed has the sandbox's person sign all documents and gives the folder of the products.
func (w *world) signed(t *testing.T, level string) string {
	t.Helper()
	out := filepath.Join(w.dir, "ours", level)
	if err := os.MkdirAll(out, 0o700); err != nil {
		t.Fatal(err)
	}
	text, code := w.s.Tekend(t, append([]string{"sign", "--person", "approve", "--level", level, "-o", out}, w.documents...)...)
	if code != 0 || strings.Count(text, "level "+level+"\n") != len(w.documents) {
		t.Fatalf("exit %d\n%s", code, text)
	}
	return out
}

// report is what tekend verify says of the fields of a file.
type report map[string]validate.SignatureReport

// verify asks about all files of a folder, without network.
func (w *world) verify(t *testing.T, dir string) map[string]report {
	t.Helper()
	args := []string{"verify", "--json", "--offline", "--trust", w.info.RootPEM}
	for _, d := range w.documents {
		args = append(args, filepath.Join(dir, filepath.Base(d)))
	}
	out, err := exec.Command(sandboxtest.Bin(t, "tekend"), args...).Output() // exit code 1: the stranger is not trusted
	var all []struct {
		File   string `json:"file"`
		Report struct {
			Signatures []validate.SignatureReport `json:"signatures"`
		} `json:"report"`
	}
	if bad := json.Unmarshal(out, &all); bad != nil || len(all) != len(w.documents) {
		t.Fatalf("%d reports, %v %v", len(all), err, bad)
	}
	reports := map[string]report{}
	for _, one := range all {
		r := report{}
		for _, s := range one.Report.Signatures {
			r[s.FieldName] = s
		}
		reports[filepath.Base(one.File)] = r
	}
	return reports
}

// on is what somebody does to a file of level before.
type on struct {
	name, before string
	level        string // of our signature then
	do           func(t *testing.T, w *world, files [][2]string)
}

var others = []on{
	{"pyHanko signs", "B-LTA", "B-LTA", pyHanko("sign")},
	{"pyHanko signs visibly", "B-LTA", "B-LTA", pyHanko("visible")},
	{"pyHanko renews", "B-LTA", "B-LTA", pyHanko("renew")},
	{"EU DSS signs", "B-LTA", "B-LTA", dssSigns},
	{"EU DSS extends", "B-T", "B-LTA", dssExtends},
}

func pyHanko(mode string) func(t *testing.T, w *world, files [][2]string) {
	return func(t *testing.T, w *world, files [][2]string) {
		run(t, sandboxtest.Python(t, "after.py", w.key, w.cert, w.info.RootPEM, w.info.TSA, w.lines(t, mode+"\t", files)))
	}
}

func dssSigns(t *testing.T, w *world, files [][2]string) {
	run(t, sandboxtest.Java(t, "Sign", w.lines(t, strings.Join([]string{w.key, w.cert, w.cert, w.info.TSA}, "\t")+"\t", files)))
}

func dssExtends(t *testing.T, w *world, files [][2]string) {
	run(t, sandboxtest.Java(t, "Extend", w.info.RootPEM, w.info.TSA, w.lines(t, "", files)))
}

// lines writes a job file: a line a file, of in and out.
func (w *world) lines(t *testing.T, head string, files [][2]string) string {
	t.Helper()
	var b strings.Builder
	for _, f := range files {
		fmt.Fprintf(&b, "%s%s\t%s\n", head, f[0], f[1])
	}
	path := filepath.Join(t.TempDir(), "lines")
	write(t, path, []byte(b.String()))
	return path
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v (scripts/install test)\n%s", cmd.Args[0], err, out)
	}
}

func TestOthersGoOnWithOurs(t *testing.T) {
	w := newWorld(t)
	dirs, was := map[string]string{}, map[string]map[string]report{}
	for _, level := range []string{"B-T", "B-LTA"} {
		dirs[level] = w.signed(t, level)
		was[level] = w.verify(t, dirs[level])
	}
	for _, o := range others {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var files [][2]string
			for _, d := range w.documents {
				files = append(files, [2]string{filepath.Join(dirs[o.before], filepath.Base(d)), filepath.Join(dir, filepath.Base(d))})
			}
			o.do(t, w, files)
			for name, is := range w.verify(t, dir) {
				o.still(t, name, was[o.before][name], is)
			}
		})
	}
}

// still holds what became of a product against what it was.
func (o on) still(t *testing.T, name string, was, is report) {
	t.Helper()
	if len(is) <= len(was) {
		t.Errorf("%s: %d fields, and there were %d", name, len(is), len(was))
	}
	ours := 0
	for field, old := range was {
		now, there := is[field]
		if !there {
			t.Errorf("%s: %s is gone", name, field)
		}
		// Some documents have signatures of strangers already; they are not changed either.
		if lost := old.Indication == validate.TotalPassed && now.Indication != validate.TotalPassed; lost || strings.Contains(strings.Join(now.Reasons, " "), "later_changes") {
			t.Errorf("%s: %s is %v %s %v", name, field, now.Indication, now.SubIndication, now.Reasons)
		}
		if now.Kind == validate.KindSignature && now.Indication == validate.TotalPassed && now.Level == o.level {
			ours++
		}
	}
	if ours != 1 {
		t.Errorf("%s: %d signatures are good at %s: %+v", name, ours, o.level, is)
	}
}
