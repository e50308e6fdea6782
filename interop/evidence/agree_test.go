//go:build interop

package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/consent"
	"tekend/evidence"
	"tekend/hsm"
	"tekend/interop/sandboxtest"
	"tekend/sam"
)

var bundles = flag.Int("bundles", 200, "how many bundles both verifiers must accept; make evidence takes 1000")

var golden = flag.String("golden", "", "folder to write the test data of package evidence to")

// keepGolden writes a bundle of two documents with what a verifier brings.
func (j *judges) keepGolden(w *world, b *consent.Bundle) {
	for name, text := range map[string][]byte{
		"bundle.json": got(b.Encode())(j.t), "root.pem": got(os.ReadFile(w.path("root.pem")))(j.t), "itsme.jwks": b.IssuerKeys.Body,
		"log.vkey": []byte(w.logKey + "\n"), "witness.vkey": []byte(w.witness + "\n"), "now": []byte(time.Now().UTC().Format(time.RFC3339) + "\n"),
	} {
		must(j.t, os.WriteFile(filepath.Join(*golden, name), text, 0o644))
	}
}

type logKey struct {
	pub ed25519.PublicKey
	der []byte
}

func newLogKey() (logKey, error) {
	pub, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return logKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	return logKey{pub, der}, err
}

// sizes: most confirmations are of a few documents, every tenth of up to 70,
// one of more than the text can name.
func sizes(n int) []int {
	r := mathrand.New(mathrand.NewPCG(4, 8)) // the same sizes each time
	all := make([]int, n)
	for i := range all {
		all[i] = 1 + r.IntN(8)
		if i%10 == 9 {
			all[i] = 1 + i*7%70
		}
	}
	all[0] = 250
	return all
}

// TestVerifiersAgree: both accept every bundle, and refuse every mutant, also
// when it was stamped anew.
func TestVerifiersAgree(t *testing.T) {
	began := time.Now()
	j := &judges{t: t, dir: t.TempDir(), classes: map[string]int{}}
	positions, accepted, refused := 0, 0, 0
	kinds := []hsm.KeyKind{hsm.P256, hsm.RSA3072, hsm.P384, hsm.RSA3072PSS}
	share := []int{*bundles * 7 / 10, *bundles * 2 / 10, *bundles / 20, *bundles / 20} // RSA is slow
	for k, kind := range kinds {
		w := newWorld(t, kind)
		people := []sam.Credential{w.enrol("approve"), w.enrol("diacritics")}
		var nonces, files []string
		for i, n := range sizes(share[k]) {
			nonces = append(nonces, w.sign(people[i%2], fmt.Sprintf("%s-%d", kind, i), n, i))
			positions += n
		}
		for i, nonce := range nonces {
			files = append(files, j.keep(fmt.Sprintf("%s-%04d.json", kind, i), got(w.evidence(nonce).Encode())(t)))
		}
		accepted += j.all(w, files, true)
		if kind == hsm.P256 || kind == hsm.RSA3072 && *bundles >= 1000 {
			refused += j.mutants(w, kind, people)
		}
	}
	t.Logf("accepted by both: %d bundles of 1 to 250 documents, %d signatures, %d kinds of keys", accepted, positions, len(kinds))
	t.Logf("refused by both: %d mutants, each changed in another place or way, %d of them stamped anew; %s", refused, j.restamped, time.Since(began).Round(time.Second))
	if accepted < *bundles || refused < 1000 {
		t.Errorf("at least %d bundles and 1000 mutants are wanted", *bundles)
	}
	for _, line := range j.table() {
		t.Log(line)
	}
}

// judges asks both verifiers.
type judges struct {
	t         *testing.T
	dir       string
	restamped int
	classes   map[string]int
}

func (j *judges) keep(name string, b []byte) string {
	path := filepath.Join(j.dir, name)
	must(j.t, os.WriteFile(path, b, 0o600))
	return path
}

// all fails unless both verifiers say want of every file.
func (j *judges) all(w *world, files []string, want bool) int {
	j.t.Helper()
	theirs := j.python(w, files)
	n := 0
	for _, f := range files {
		b := got(os.ReadFile(f))(j.t)
		_, err := evidence.Verify(j.t.Context(), b, evidence.Trust{Roots: w.roots, At: time.Now(), LogKey: w.logKey, WitnessKeys: []string{w.witness}})
		reason, ok := theirs[f]
		switch {
		case (err == nil) != want:
			j.t.Errorf("%s: ours says %v", filepath.Base(f), err)
		case !ok:
			j.t.Errorf("%s: Python said nothing", filepath.Base(f))
		case (reason == "") != want:
			j.t.Errorf("%s: Python says %q, ours %v", filepath.Base(f), reason, err)
		default:
			n++
		}
	}
	return n
}

// python gives the second verifier's reason for each file, "" for ok.
func (j *judges) python(w *world, files []string) map[string]string {
	j.t.Helper()
	args := []string{"--trust", w.path("root.pem"), "--log-key", w.logKey, "--witness-key", w.witness}
	cmd := sandboxtest.Python(j.t, "evidence_verify.py", append(args, files...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		j.t.Fatalf("the second verifier is missing: %v; run make judges", err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			j.t.Fatalf("the second verifier printed %q\n%s", line, stderr.String())
		}
		all[f[0]] = map[bool]string{true: "", false: f[2]}[f[1] == "ok"]
	}
	return all
}
