package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tekend/audit"
	"tekend/foureyes"
	"tekend/hsm"
	"tekend/itsme"
	"tekend/production"
)

// productionSection is in every role's file.
type productionSection struct {
	// Production refuses every setting that is for a sandbox only (docs/operations.md, "Ceremony and production"), all
	// at once. Default false: a sandbox.
	Production bool `yaml:"production"`
	// CeremonyReports are the reports of the ceremonies that made this role's keys, each with its signature beside it
	// (FILE.sig): pki/ceremony.json, after a roll-over also pki/ceremony-issuing-ca-2.json. Required in production.
	CeremonyReports []string `yaml:"ceremony_reports"`
}

// common is what the files of all roles have, with the names under which each has it.
type common struct {
	file    string // its path
	uid     int    // the process's user
	section productionSection
	gate    gateSections
	token   tokenSection
	audit   audit.LogConfig
	listens map[string]socketSection // by name; that of operators may have root as a caller
	dbName  string
	db      string
	root    string   // the file of the root's certificate
	certs   []string // files of further certificates of ours
	lists   []rule
}

// rule is one further look at a setting.
type rule func(*production.List)

// refuse is the refusal of what is unsafe; nil outside production.
func (c common) refuse() error {
	if !c.section.Production {
		return nil
	}
	if err := c.unsafe().Err(c.file); err != nil {
		return usage("%w", err)
	}
	return nil
}

// unsafe looks at all of it.
func (c common) unsafe() *production.List {
	l := &production.List{}
	l.Config("(file)", c.file, c.uid)
	l.Placeholders(c.file)
	l.Unless(c.uid != 0, "(user)", "the role runs as root; give it a user of its own (deploy/systemd)")
	c.ofToken(l)
	l.Database(c.dbName, c.db)
	l.Durable("fence.file", c.gate.Fence.File)
	c.ofFence(l)
	l.Unless(c.gate.Fence.File != "", "fence.file", "it is missing: the role would not notice that it was put back in time")
	c.ofOperators(l)
	c.ofAudit(l)
	for _, name := range sortedNames(c.listens) {
		c.ofSocket(l, name, c.listens[name])
	}
	c.ofCertificates(l)
	for _, look := range c.lists {
		look(l)
	}
	return l
}

// ofFence: fence and database must not be brought back together. Nor may others read the file when the database's password
// stands in it.
func (c common) ofFence(l *production.List) {
	fence := c.gate.Fence.File
	if u, err := url.Parse(c.db); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		_, has := u.User.Password()
		info, err := os.Stat(c.file)
		if err == nil && (has || u.Query().Has("password")) && info.Mode().Perm()&0o007 != 0 {
			l.Add(c.dbName, "its password stands in %s, which everyone may read (mode %04o); make it %04o", c.file, info.Mode().Perm(), info.Mode().Perm()&^0o007)
		}
		return
	}
	if fence != "" && c.db != "" && (production.Within(filepath.Dir(c.db), fence) || production.Within(filepath.Dir(fence), c.db)) {
		l.Add("fence.file", "it lies in the folder of %s (%s), or that in its; a copy of one folder would bring both back, and nobody would notice an old database; give the fence a folder of its own",
			c.dbName, filepath.Dir(c.db))
	}
}

func sortedNames(m map[string]socketSection) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// testModules are parts of the names of modules that hold keys in software, or stand before one.
var testModules = []string{"softhsm", "softokn", "kryoptic", "swtok", "tpm2_sim", "spy", "shim"}

// softwareModule names what is wrong with a module's file or description.
func softwareModule(name string) string {
	name = strings.ToLower(name)
	for _, m := range testModules {
		if strings.Contains(name, m) {
			return m
		}
	}
	return ""
}

// ofModule looks at a PKCS#11 module's path.
func ofModule(l *production.List, setting, module string, uid int) {
	if bad := softwareModule(filepath.Base(module)); bad != "" {
		l.Add(setting, "%s keeps keys in software or is for tests (%s); name the module of a certified device", module, bad)
	}
	l.Unless(filepath.IsAbs(module), setting, "it is no whole path, so that the environment decides what is loaded; write the whole path")
	l.Config(setting, module, uid)
}

func (c common) ofToken(l *production.List) {
	t := c.token
	ofModule(l, "token.module", t.Module, c.uid)
	l.Unless(!t.TestOnly, "token.test_only", "it allows a module that does not protect keys; take it out")
	l.Unless(t.SoftHSMConf == "", "token.softhsm_conf", "it is for SoftHSM; take it out")
	l.Secret("token.pin_file", t.PINFile, c.uid)
}

func (c common) ofOperators(l *production.List) {
	switch len(c.gate.Operators) {
	case 0:
		l.Add("operators", "there are none, so that nothing that takes two people can be decided; tekend-trusted operator keygen makes a key for each")
	case 1:
		l.Add("operators", "there is one; decisions take %d, each with a key of his own", foureyes.Needed)
	}
}

func (c common) ofAudit(l *production.List) {
	a := c.audit
	host, _, _ := strings.Cut(a.Origin, "/")
	l.Host("audit.origin", host)
	l.Secret("audit.key_file", a.KeyFile, c.uid)
	l.Unless(len(a.Witnesses) > 0, "audit.witnesses", "there is none: nobody outside would notice a record that was cut off or put back; have somebody else run tekend-witness")
	for i, w := range a.Witnesses {
		name := fmt.Sprintf("audit.witnesses[%d]", i)
		l.Unless(w.Socket == "", name+".socket", "a witness on this machine is put back together with it; use one of somebody else by its url")
		if w.Socket == "" {
			l.Address(name+".url", w.URL, production.HTTPS)
		}
	}
	l.Unless(a.Anchor.URL != "", "audit.anchor", "there is none: nobody says when the record was as it is; name a time-stamping authority of somebody else")
	l.Address("audit.anchor.url", a.Anchor.URL, production.Any) // its answers are signed
}

// ofSocket looks at who may call. Root may call as an operator: who is root can do more than that.
func (c common) ofSocket(l *production.List, name string, s socketSection) {
	if s.Socket == "" {
		return
	}
	operators := name == "operator_listen"
	if operators {
		for _, uid := range s.Peers {
			l.Unless(uid == 0 || !slices.Contains(c.listens["listen"].Peers, uid), name+".peers", "user %d may call both sockets: the front must not speak where operators do", uid)
		}
	}
	l.Unless(len(s.Peers) > 0, name+".peers", "there are none, so that only the role's own user could call: then caller and role are one user; give the caller a user of its own and name it")
	l.Unless(operators || !slices.Contains(s.Peers, 0), name+".peers", "root is among them; nothing that calls here runs as root")
	l.Unless(c.uid == 0 || !slices.Contains(s.Peers, uint32(c.uid)), name+".peers", "the role's own user (%d) is among them; each role has a user of its own", c.uid)
	l.Unless(s.Mode&0o007 == 0, name+".mode", "everyone may try to call (mode %04o); leave it out: 0660", s.Mode)
	for _, other := range sortedNames(c.listens) {
		if other < name {
			l.Distinct(name, s.Socket, other, c.listens[other].Socket, "who sees the one socket sees the other; give each a folder that only its caller can enter")
		}
	}
}

// ofCertificates looks at the certificates of ours and at the reports of the ceremonies that made them.
func (c common) ofCertificates(l *production.List) {
	root := marked(l, c.root)
	for _, path := range c.certs {
		marked(l, path)
	}
	c.ofReports(l, root)
}

// marked reads a certificate and looks for the marks of a sandbox in its name; nil when it cannot be read, which the role
// itself says.
func marked(l *production.List, path string) *x509.Certificate {
	chain, err := readChain([]string{path})
	if err != nil {
		return nil
	}
	l.Certificate(path, chain[0])
	return chain[0]
}

// ofItsme looks at the identity provider.
func ofItsme(l *production.List, setting string, c itsme.Config) {
	l.Address(setting+".issuer", c.Issuer, production.HTTPS)
	for _, name := range []string{".e2e.", ".uat."} {
		if strings.Contains(c.Issuer, name) {
			l.Add(setting+".issuer", "%s is itsme's test environment, where nobody was proofed; use https://idp.prd.itsme.services/v2", c.Issuer)
		}
	}
}

// openToken opens a role's token, and in production looks at what it says of itself: its file may have another's name.
func (s productionSection) openToken(p *program, t tokenSection) (*hsm.Token, error) {
	token, err := t.open(p)
	if err != nil || !s.Production || softwareModule(token.Module()) == "" && !token.Unsafe() {
		return token, err
	}
	err = usage("production: the token's module calls itself %q, which keeps keys in software; use a certified device", token.Module())
	return nil, errors.Join(err, token.Close())
}

// user is the process's user.
func user() int { return os.Getuid() }
