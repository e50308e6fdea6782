//go:build interop

// Package deploy_test holds the files of deploy/ to one table of roles, and starts what they describe: the processes of
// the systemd units and of the compose file, each as its user, with its mounts on a read-only root, without systemd or
// Docker.
package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tekend/interop/sandboxtest"
)

// role is a line of deploy/roles.yaml.
type role struct {
	Program, Command string
	UID              int
	Offers           map[string]string
	Operators        bool
	Calls            []string
	Database         string
}

func deployFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(sandboxtest.Root(t), "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t *testing.T, name string, v any) {
	t.Helper()
	if err := yaml.Unmarshal(deployFile(t, name), v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func roles(t *testing.T) map[string]role {
	t.Helper()
	var all map[string]role
	decode(t, "roles.yaml", &all)
	if len(all) != 5 {
		t.Fatalf("%d roles", len(all))
	}
	return all
}

// unit is a systemd unit: each key's values in order.
type unit map[string][]string

func readUnit(t *testing.T, role string) unit {
	t.Helper()
	u := unit{}
	for line := range strings.Lines(string(deployFile(t, "systemd/tekend-"+role+".service"))) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

// hardening is what every unit must have, whatever else systemd-analyze finds good.
var hardening = map[string]string{
	"NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
	"ProtectProc": "invisible", "RestrictNamespaces": "yes", "MemoryDenyWriteExecute": "yes", "LimitCORE": "0", "UMask": "0077", "Restart": "always",
}

func TestUnitsFollowTheTable(t *testing.T) {
	users := string(deployFile(t, "systemd/tekend.sysusers"))
	folders := string(deployFile(t, "systemd/tekend.tmpfiles"))
	for name, r := range roles(t) {
		u := readUnit(t, name)
		only := func(key, want string) {
			t.Helper()
			if !slices.Equal(u[key], []string{want}) {
				t.Errorf("%s: %s=%v, want %s", name, key, u[key], want)
			}
		}
		only("ExecStart", "/usr/bin/"+r.Program+" "+r.Command+" --config /etc/tekend/"+name+".yaml")
		only("User", "tekend-"+name)
		only("Group", "tekend-"+name)
		only("StateDirectory", "tekend/"+name)
		for k, v := range hardening {
			only(k, v)
		}
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^u tekend-%s +%d `, name, r.UID)).MatchString(users) {
			t.Errorf("%s: no user %d in tekend.sysusers", name, r.UID)
		}
		writes := strings.Join(u["ReadWritePaths"], " ")
		for folder, caller := range r.Offers {
			path := "/run/tekend/" + name + "/" + folder
			if !regexp.MustCompile(fmt.Sprintf(`(?m)^d %s +2750 tekend-%s +tekend-%s$`, path, name, caller)).MatchString(folders) {
				t.Errorf("%s: tekend.tmpfiles does not make %s for %s alone", name, path, caller)
			}
			if !slices.Contains(strings.Fields(writes), path) {
				t.Errorf("%s: the unit may not write %s", name, path)
			}
		}
		if path := "/run/tekend/" + name + "/operators"; r.Operators != slices.Contains(strings.Fields(writes), path) ||
			r.Operators != regexp.MustCompile(fmt.Sprintf(`(?m)^d %s +0700 tekend-%s +tekend-%s$`, path, name, name)).MatchString(folders) {
			t.Errorf("%s: operators' socket: table, unit and tekend.tmpfiles differ", name)
		}
		// A unit writes its own folders and nothing else, and does not see the other users'.
		for _, path := range strings.Fields(writes) {
			if !strings.Contains(path, "/"+name) && !(name == "ca" && path == "/var/lib/tekend/pki") {
				t.Errorf("%s: the unit may write %s", name, path)
			}
		}
		hidden := strings.Join(u["InaccessiblePaths"], " ")
		for other := range roles(t) {
			if other != name && other != "witness" && !strings.Contains(hidden, "-/var/lib/tekend/"+other) {
				t.Errorf("%s: the unit sees /var/lib/tekend/%s", name, other)
			}
		}
	}
}

// TestUnitsAreSecureForSystemd: systemd's own opinion, which must be OK or better (5.0) for every role.
func TestUnitsAreSecureForSystemd(t *testing.T) {
	level := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+) (\S+)`)
	for name := range roles(t) {
		path := filepath.Join(sandboxtest.Root(t), "deploy/systemd/tekend-"+name+".service")
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=50", path).CombinedOutput()
		m := level.FindStringSubmatch(string(out))
		if err != nil || m == nil || m[2] != "OK" && m[2] != "SAFE" && m[2] != "PERFECT" {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		t.Logf("systemd-analyze security: %s %s %s", name, m[1], m[2])
		if out, err := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", path).CombinedOutput(); strings.Contains(string(out), "Unknown key") || strings.Contains(string(out), "Failed to parse") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// composeFile is what the tests read of docker-compose.yml.
type composeFile struct {
	Services map[string]service
	Volumes  map[string]any
	Networks map[string]any
}

type service struct {
	Image, User string
	Command     []string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	NetworkMode string   `yaml:"network_mode"`
	Networks    []string
	Volumes     []string
	Environment map[string]string
	Privileged  bool
}

// instances are the services of each role.
var instances = map[string][]string{
	"front": {"front-a", "front-b"}, "sam": {"sam-a", "sam-b"}, "ca": {"ca"}, "tsa": {"tsa"}, "witness": {"witness"},
}

func TestComposeFollowsTheTable(t *testing.T) {
	var c composeFile
	decode(t, "docker-compose.yml", &c)
	table := roles(t)
	seen := 1 // postgres
	for name, list := range instances {
		r := table[name]
		for _, instance := range list {
			seen++
			s := c.Services[instance]
			if s.User != fmt.Sprintf("%d:%d", r.UID, r.UID) || !s.ReadOnly || s.Privileged || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
				!slices.Contains(s.SecurityOpt, "no-new-privileges:true") || len(s.Environment) != 0 {
				t.Errorf("%s: %+v", instance, s)
			}
			want := []string{r.Program, r.Command, "--config", "/var/lib/tekend/config/" + instance + ".yaml"}
			if !slices.Equal(s.Command, want) {
				t.Errorf("%s runs %v, want %v", instance, s.Command, want)
			}
			if name != "witness" && !slices.Equal(s.Networks, []string{name}) {
				t.Errorf("%s is on the networks %v", instance, s.Networks)
			}
			composeVolumes(t, c, instance, name, r)
		}
	}
	if seen != len(c.Services) {
		t.Errorf("%d services, %d are in the table", len(c.Services), seen)
	}
	if p := c.Services["postgres"]; p.NetworkMode != "none" || !p.ReadOnly || p.User == "" || strings.HasPrefix(p.User, "0") {
		t.Errorf("postgres: %+v", p)
	}
}

// composeVolumes: writable are a role's own volumes alone; sockets of others are those that the table says it calls.
func composeVolumes(t *testing.T, c composeFile, instance, name string, r role) {
	calls := map[string]bool{}
	for _, v := range c.Services[instance].Volumes {
		parts := strings.Split(v, ":")
		source, target, ro := parts[0], parts[1], len(parts) == 3 && parts[2] == "ro"
		if strings.HasPrefix(source, "./") {
			if !ro {
				t.Errorf("%s may write its configuration", instance)
			}
			continue
		}
		if _, known := c.Volumes[source]; !known {
			t.Errorf("%s: volume %s is not declared", instance, source)
		}
		own := source == name || strings.HasPrefix(source, name+"-") || source == instance || strings.HasPrefix(source, instance+"-") || name == "ca" && source == "pki"
		if !ro && !own {
			t.Errorf("%s may write %s", instance, source)
		}
		if folder, isSocket := strings.CutPrefix(target, "/run/tekend/"); isSocket && ro {
			folder = strings.NewReplacer("sam-a/", "sam/", "sam-b/", "sam/").Replace(folder)
			calls[folder] = true
		}
		if strings.HasPrefix(target, "/run/tekend/") && !ro {
			if folder := filepath.Base(target); r.Offers[folder] == "" && !(r.Operators && folder == "operators") {
				t.Errorf("%s offers %s, which the table does not know", instance, folder)
			}
		}
	}
	for _, want := range r.Calls {
		if !calls[want] {
			t.Errorf("%s cannot call %s", instance, want)
		}
		delete(calls, want)
	}
	for more := range calls {
		t.Errorf("%s sees the socket %s, which it does not call", instance, more)
	}
}

// TestConfigurationsFollowTheTable: sockets, callers and databases in the YAML files of both deployments.
func TestConfigurationsFollowTheTable(t *testing.T) {
	table := roles(t)
	for name, list := range instances {
		files := []string{"config/" + name + ".yaml"}
		for _, i := range list {
			files = append(files, "compose/"+i+".yaml")
		}
		for _, f := range files {
			var cfg map[string]any
			decode(t, f, &cfg)
			text := string(deployFile(t, f))
			at := name
			if base := strings.TrimSuffix(filepath.Base(f), ".yaml"); strings.HasPrefix(f, "compose/") && name == "sam" {
				at = base
			}
			for folder, caller := range table[name].Offers {
				section, socket := "listen", name
				if folder != "run" {
					section, socket = folder+"_listen", folder
				}
				got, _ := cfg[section].(map[string]any)
				if want := "/run/tekend/" + at + "/" + folder + "/" + socket + ".sock"; got["socket"] != want {
					t.Errorf("%s: %s.socket is %v, want %s", f, section, got["socket"], want)
				}
				if peers := fmt.Sprint(got["peers"]); peers != fmt.Sprintf("[%d]", table[caller].UID) {
					t.Errorf("%s: %s.peers are %s, want the uid of %s", f, section, peers, caller)
				}
			}
			if got, _ := cfg["operator_listen"].(map[string]any); table[name].Operators != (got != nil) ||
				got != nil && (got["socket"] != "/run/tekend/"+at+"/operators/"+name+".sock" || fmt.Sprint(got["peers"]) != "[0]") {
				t.Errorf("%s: operator_listen is %v", f, got)
			}
			for _, call := range table[name].Calls {
				socket := "/run/tekend/" + call + "/" + strings.TrimSuffix(filepath.Base(call), "run")
				if strings.HasSuffix(call, "/run") {
					socket = "/run/tekend/" + call + "/" + filepath.Dir(call)
				}
				if strings.HasPrefix(f, "compose/") {
					socket = strings.Replace(socket, "/tekend/sam/", "/tekend/sam-a/", 1)
				}
				if !strings.Contains(text, socket+".sock") {
					t.Errorf("%s: does not name %s.sock", f, socket)
				}
			}
			if d := table[name].Database; d != "" && strings.HasPrefix(f, "compose/") &&
				!strings.Contains(text, fmt.Sprintf("postgres://%s@/%s?host=/run/postgresql&passfile=/var/lib/tekend/%s/", d, d, name)) {
				t.Errorf("%s: is not at its own database", f)
			}
		}
	}
	setup := string(deployFile(t, "postgres/setup.sql"))
	for name, r := range table {
		if r.Database != "" && !strings.Contains(setup, "'"+r.Database+"'") {
			t.Errorf("setup.sql makes no database of %s", name)
		}
	}
}
