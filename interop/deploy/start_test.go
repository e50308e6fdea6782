//go:build interop

package deploy_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/api"
	"tekend/certs"
	"tekend/db/dbtest"
	"tekend/foureyes"
	"tekend/interop/sandboxtest"
)

// world is a place with a simulated itsme, keys from the ceremony, and what has to be filled in into the configurations.
type world struct {
	*place
	table map[string]role
	fill  *strings.Replacer
	key   string // of the provider acme
	fills []string

	operators []ed25519.PrivateKey
}

// sandboxFills make sandboxes of the examples for production: there are neither a device nor other houses here.
var sandboxFills = []string{
	"production: true\n", "",
	"default_country: BE\n  terms_version:", "default_country: BE\n  terms_version:",
	"terms_version:", "default_country: BE\n  terms_version:", // the simulated people have no country
	"policies: /etc/tekend/policies             # your practice statement, disclosure statements and terms\n", "",
	"evidence_tsas: [{url: \"http://tsa.example.eu/tsa\", root_file: /etc/tekend/anchor-root.pem}] # another house's authority\n", "",
	"  anchor: {url: \"http://tsa.example.eu/tsa\", root_file: /etc/tekend/anchor-root.pem} # another house's authority\n", "",
	"  clock: # servers of your own or by contract, independent of each other and of this machine\n", "",
	"    sources: [{kind: ntp, address: ntp1.example.be}, {kind: ntp, address: ntp2.example.be}, {kind: ntp, address: ntp.example.eu, nts: true}]\n", "",
	"    interval: 200ms\n    confirm: true                          # a token waits for one more answer of the sources\n", "",
}

const apiKey = "tk_deploymentdeploymentdeployment"

// newWorld holds the ceremony and starts itsme. jwks is the port at which itsme reads our keys; front the public one.
func newWorld(t *testing.T, front, jwks string) *world {
	w := &world{place: newPlace(t), table: roles(t), key: apiKey}
	itsme, witness := freePort(t), freePort(t)
	version, sum, err := api.TermsInForce()
	if err != nil {
		t.Fatal(err)
	}
	w.fills = append(sandboxFills, []string{
		"public_url: https://sign.example.be\nroots", "public_url: http://127.0.0.1:" + front + "\nsandbox: true\nroots",
		"https://sign.example.be/pds", "https://pki.tekend-sandbox.test/pds", // must be https; nothing answers there
		"https://sign.example.be/pki/policies/PDS-HEX", "https://pki.tekend-sandbox.test/pki/policies/PDS-HEX",
		"https://sign.example.be", "http://127.0.0.1:" + front, "http://sign.example.be", "http://127.0.0.1:" + front,
		"sign.example.be/audit", "127.0.0.1:" + front + "/audit",
		"https://idp.e2e.itsme.services", "http://127.0.0.1:" + itsme, "https://idp.prd.itsme.services", "http://127.0.0.1:" + itsme,
		"https://witness.example.eu", "http://127.0.0.1:" + witness, "http://witness:8090", "http://127.0.0.1:" + witness,
		"127.0.0.1:8090", "127.0.0.1:" + witness, "0.0.0.0:8090", "127.0.0.1:" + witness, "127.0.0.1:8084", "127.0.0.1:" + freePort(t),
		"TERMS-VERSION", version, "TERMS-SHA256", base64.RawURLEncoding.EncodeToString(sum),
		"POLICY-SHA256", base64.RawURLEncoding.EncodeToString(sum),
		"PERSON-POLICY", certs.PolicyTestPerson.String(), "TSU-POLICY", certs.PolicyTestTSU.String(), "STAMP-POLICY", certs.PolicyTestTimeStamp.String(),
	}...)
	for i := range 2 {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w.operators = append(w.operators, key)
		w.fills = append(w.fills, fmt.Sprintf("OPERATOR-KEY-%d", i+1), base64.RawURLEncoding.EncodeToString(pub))
	}
	for name, r := range w.table {
		w.folder(t, name, 0o711, r.UID, r.UID)
		w.folder(t, name+"-fence", 0o700, r.UID, r.UID)
	}
	w.folder(t, "pki", 0o755, w.table["ca"].UID, w.table["ca"].UID)
	w.ceremony(t)
	w.startItsme(t, front, jwks, itsme)
	return w
}

// ceremony makes the roles' keys and the witness's, as deploy/README.md tells.
func (w *world) ceremony(t *testing.T) {
	w.file(t, "config/ceremony.yaml", strings.NewReplacer(append([]string{"module: HSM-MODULE ", "module: /usr/lib/softhsm/libsofthsm2.so "}, w.fills...)...).Replace(string(deployFile(t, "config/ceremony.yaml"))), 0o644, 0)
	w.folder(t, "root", 0o700, 0, 0)
	mounts := []mount{{filepath.Join(w.dir, "config"), "/var/lib/tekend/config", true}, {filepath.Join(w.dir, "root"), "/run/media/tekend-root", false}}
	for _, name := range []string{"sam", "ca", "tsa", "pki"} {
		mounts = append(mounts, mount{filepath.Join(w.dir, name), "/var/lib/tekend/" + name, false})
	}
	keys := func(args ...string) string {
		t.Helper()
		return w.run(t, process{"ceremony", 0, append([]string{"tekend-trusted", "keys"}, args...), mounts})
	}
	const config, folder = "/var/lib/tekend/config/ceremony.yaml", "/var/lib/tekend/config/"
	plan := keys("plan", "--config", config)
	w.file(t, "config/plan", plan, 0o644, 0)
	args := []string{"init", "--config", config, "--plan", folder + "plan"}
	for i, key := range w.operators {
		a, err := foureyes.Approve(key, plan, time.Now(), foureyes.MaxValid)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("approval-%d", i)
		w.file(t, "config/"+name, a.String(), 0o644, 0)
		args = append(args, "--approval", folder+name)
	}
	keys(args...)
	if out, err := exec.Command("chown", "-R", "47102:47102", filepath.Join(w.dir, "pki")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	vkey := w.run(t, process{"witness keygen", w.table["witness"].UID, []string{
		"tekend-witness", "keygen", "--name", "witness.example/w1", "--key", "/var/lib/tekend/witness/witness.key", "--state", "/var/lib/tekend/witness/state",
	}, []mount{{filepath.Join(w.dir, "witness"), "/var/lib/tekend/witness", false}}})
	w.fills = append(w.fills, "WITNESS-KEY", strings.TrimSpace(vkey))
	for _, name := range []string{"sam", "ca", "tsa"} {
		b, err := os.ReadFile(filepath.Join(w.dir, "pki/audit", name+".vkey"))
		if err != nil {
			t.Fatal(err)
		}
		w.fills = append(w.fills, strings.ToUpper(name)+"-LOG-KEY", strings.TrimSpace(string(b)))
	}
	w.file(t, "front/acme.key", apiKey+"\n", 0o600, w.table["front"].UID)
	w.folder(t, "sam/notices", 0o700, w.table["sam"].UID, w.table["sam"].UID)
}

func (w *world) startItsme(t *testing.T, front, jwks, port string) {
	client := func(id, keys, service, kind string) map[string]any {
		return map[string]any{
			"id": id, "label": "acme", "jwks_url": "http://127.0.0.1:" + jwks + "/jwks/" + keys, "pkce_required": true,
			"redirect_uris": []string{"http://127.0.0.1:" + front + "/itsme/callback"}, "services": map[string]string{service: kind},
		}
	}
	b, err := json.Marshal(map[string]any{"listen": "127.0.0.1:" + port, "sandbox": map[string]any{
		"issuer": "http://127.0.0.1:" + port + "/v2", "state_file": "/var/lib/itsme/state.json",
		"clients": []any{
			client("IDENT-CLIENT", "ident", "IDENT-SERVICE", "Identification"),
			client("CONFIRM-CLIENT", "confirm", "CONFIRM-SERVICE", "Confirmation"),
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.file(t, "config/itsme.yaml", string(b), 0o644, 0)
	w.start(t, process{"itsme", 47104, []string{"tekend", "simulated", "itsme", "--config", "/var/lib/tekend/config/itsme.yaml"}, []mount{
		{filepath.Join(w.dir, "config"), "/var/lib/tekend/config", true}, {w.folder(t, "itsme", 0o700, 47104, 47104), "/var/lib/itsme", false},
	}})
}

// module is SoftHSM in a role's file, in the place of a device.
func module(role string) []string {
	return []string{"module: HSM-MODULE ", "module: /usr/lib/softhsm/libsofthsm2.so\n  softhsm_conf: /var/lib/tekend/" + role + "/softhsm2.conf "}
}

// config fills a configuration of deploy/ in and gives where the process finds it.
func (w *world) config(t *testing.T, from string, uid int) mount {
	text := strings.NewReplacer(append(module(strings.Split(strings.TrimSuffix(filepath.Base(from), ".yaml"), "-")[0]), w.fills...)...).Replace(string(deployFile(t, from)))
	return mount{w.file(t, "config/"+from, text, 0o600, uid), "/var/lib/tekend/config/" + filepath.Base(from), true}
}

// up waits until a front says that everything is up.
func (w *world) up(t *testing.T, port string) {
	t.Helper()
	var last string
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get("http://127.0.0.1:" + port + "/health")
		if err != nil {
			last = err.Error()
			continue
		}
		var h struct{ Status string }
		err = json.NewDecoder(resp.Body).Decode(&h)
		_ = resp.Body.Close()
		if last = fmt.Sprint(h.Status, err); err == nil && h.Status == "UP" {
			return
		}
	}
	t.Fatalf("the front at %s is not up: %s", port, last)
}

// signs has one document signed, ordered at one front and walked at another, and judges it.
func (w *world) signs(t *testing.T, order, walk string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	flow := func(port string) *sandboxtest.Flow {
		return &sandboxtest.Flow{Front: "http://127.0.0.1:" + port, Key: w.key, HTTP: &http.Client{
			Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
	}
	doc, err := os.ReadFile(filepath.Join(sandboxtest.Root(t), "testdata/pdf/cairo-librsvg.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := flow(order).CreateAt(ctx, "B-LTA", "deploy-"+order+walk, doc)
	if err != nil {
		t.Fatal(err)
	}
	token := r.SigningURL[strings.LastIndexByte(r.SigningURL, '/'):]
	step, err := flow(walk).Walk(ctx, "http://127.0.0.1:"+walk+"/sign"+token, "approve")
	if err != nil || step != "done" {
		t.Fatalf("the page ended with %s %v", step, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+order+"/v1/signature-requests/"+r.ID+"/documents/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	signed := filepath.Join(t.TempDir(), "signed.pdf")
	f, err := os.Create(signed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	// Its addresses are of no host that there is: the document must prove itself.
	out, err := exec.Command(sandboxtest.Bin(t, "tekend"), "verify", "--offline", "--trust", filepath.Join(w.dir, "pki/root.pem"), signed).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestUnitsStart: what the systemd units run, on one host with SQLite.
func TestUnitsStart(t *testing.T) {
	front, jwks := freePort(t), freePort(t)
	w := newWorld(t, front, jwks)
	w.fills = append([]string{"127.0.0.1:8080", "127.0.0.1:" + front, "127.0.0.1:8081", "127.0.0.1:" + jwks}, w.fills...)
	w.runFolders(t)
	for _, name := range []string{"witness", "ca", "tsa", "sam", "front"} {
		u, r := readUnit(t, name), w.table[name]
		command := strings.Fields(strings.TrimPrefix(u["ExecStart"][0], "/usr/bin/"))
		p := process{name: name, uid: r.UID, command: append(command[:len(command)-1], "/var/lib/tekend/config/"+name+".yaml")}
		p.mounts = append(p.mounts, w.config(t, "config/"+name+".yaml", r.UID))
		hidden := strings.Fields(strings.Join(u["InaccessiblePaths"], " "))
		writes := append(strings.Fields(strings.Join(u["ReadWritePaths"], " ")), "/var/lib/"+u["StateDirectory"][0])
		for target, source := range w.hostFolders() {
			rw := contains(writes, target)
			if contains(hidden, "-"+target) || !rw && strings.HasPrefix(target, "/var/lib/tekend-fence") {
				continue
			}
			p.mounts = append(p.mounts, mount{source, target, !rw})
		}
		w.start(t, p)
	}
	w.up(t, front)
	w.signs(t, front, front)
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// runFolders makes what deploy/systemd/tekend.tmpfiles describes below /run.
func (w *world) runFolders(t *testing.T) {
	w.folder(t, "run", 0o755, 0, 0)
	for name, r := range w.table {
		for folder, caller := range r.Offers {
			w.folder(t, "run/"+name, 0o711, r.UID, r.UID)
			if r.Operators {
				w.folder(t, "run/"+name+"/operators", 0o700, r.UID, r.UID)
			}
			w.folder(t, "run/"+name+"/"+folder, 0o2750, r.UID, w.table[caller].UID)
			if err := os.Chmod(filepath.Join(w.dir, "run", name, folder), 0o750|os.ModeSetgid); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// hostFolders are the folders of the host by where its processes see them.
func (w *world) hostFolders() map[string]string {
	all := map[string]string{"/var/lib/tekend/pki": filepath.Join(w.dir, "pki")}
	for name, r := range w.table {
		all["/var/lib/tekend/"+name] = filepath.Join(w.dir, name)
		all["/var/lib/tekend-fence/"+name] = filepath.Join(w.dir, name+"-fence")
		if r.Operators {
			all["/run/tekend/"+name+"/operators"] = filepath.Join(w.dir, "run", name, "operators")
		}
		for folder := range r.Offers {
			all["/run/tekend/"+name+"/"+folder] = filepath.Join(w.dir, "run", name, folder)
		}
	}
	return all
}

// join gives the second sam the first one's keys and fence, once that one has begun: a sam without a fence on a database
// that others have begun locks.
func (w *world) join(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(w.dir, "sam-fence", "fence.json")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the first sam has no fence")
		}
	}
	time.Sleep(time.Second) // its start is over
	for _, name := range []string{"sam", "sam-fence"} {
		to := strings.Replace(name, "sam", "sam-b", 1)
		if out, err := exec.Command("cp", "-a", filepath.Join(w.dir, name), filepath.Join(w.dir, to)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// TestComposeStarts: two fronts and two sams on PostgreSQL, as the compose file describes them. What is ordered at one
// front can be walked at the other.
func TestComposeStarts(t *testing.T) {
	ports := map[string]string{"8080": freePort(t), "8081": freePort(t), "8082": freePort(t), "8083": freePort(t), "8084": freePort(t), "8085": freePort(t)}
	w := newWorld(t, ports["8080"], ports["8081"])
	for old, port := range ports {
		w.fills = append([]string{"0.0.0.0:" + old, "127.0.0.1:" + port}, w.fills...)
	}
	var c composeFile
	decode(t, "docker-compose.yml", &c)
	pg := dbtest.Shared(t)
	if out, err := exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", pg.URL(pg.User, "postgres"), "-f",
		filepath.Join(sandboxtest.Root(t), "deploy/postgres/setup.sql")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, r := range w.table {
		if r.Database != "" {
			pg.Exec(t, "postgres", "ALTER ROLE "+r.Database+" PASSWORD 'of-"+name+"'")
			w.file(t, name+"/pgpass", "*:*:*:"+r.Database+":of-"+name+"\n", 0o600, r.UID)
		}
	}
	// The volumes: the second sam has a copy of the first one's keys, and a fence of its own.
	volumes := map[string]string{
		"front": "front", "pki": "pki", "sam-a": "sam", "sam-b": "sam-b", "ca": "ca", "tsa": "tsa", "witness": "witness",
		"sam-a-fence": "sam-fence", "sam-b-fence": "sam-b-fence", "ca-fence": "ca-fence", "tsa-fence": "tsa-fence",
	}
	for _, v := range []struct{ volume, role, folder string }{
		{"sam-a-run", "sam", "run"}, {"sam-b-run", "sam", "run"}, {"ca-run", "ca", "run"}, {"ca-status", "ca", "status"}, {"tsa-run", "tsa", "run"},
	} {
		path := w.folder(t, v.volume, 0o750, w.table[v.role].UID, w.table[w.table[v.role].Offers[v.folder]].UID)
		if err := os.Chmod(path, 0o750|os.ModeSetgid); err != nil {
			t.Fatal(err)
		}
		volumes[v.volume] = v.volume
	}
	for v, role := range map[string]string{"sam-a-operators": "sam", "sam-b-operators": "sam", "ca-operators": "ca"} {
		w.folder(t, v, 0o700, w.table[role].UID, w.table[role].UID)
		volumes[v] = v
	}
	for _, name := range []string{"witness", "ca", "tsa", "sam", "front"} {
		for _, instance := range instances[name] {
			s, r := c.Services[instance], w.table[name]
			p := process{name: instance, uid: r.UID, command: s.Command}
			for _, v := range s.Volumes {
				parts := strings.Split(v, ":")
				switch {
				case strings.HasPrefix(parts[0], "./"):
					p.mounts = append(p.mounts, w.config(t, strings.TrimPrefix(parts[0], "./"), r.UID))
				case parts[0] == "postgres-run":
					p.mounts = append(p.mounts, mount{pg.Dir, parts[1], true})
				default:
					p.mounts = append(p.mounts, mount{filepath.Join(w.dir, volumes[parts[0]]), parts[1], len(parts) == 3})
				}
			}
			if instance == "sam-b" {
				w.join(t)
			}
			w.start(t, p)
		}
	}
	a, b := ports["8080"], ports["8082"]
	w.up(t, a)
	w.up(t, b)
	w.signs(t, a, a)
	w.signs(t, a, b)
	w.signs(t, b, a)
	w.signs(t, b, b)
}
