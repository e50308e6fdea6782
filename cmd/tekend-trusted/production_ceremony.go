package main

import (
	"fmt"
	"path/filepath"

	"tekend/production"
)

// safeCeremony reads the ceremony's file and refuses what is unsafe in it.
func safeCeremony(path string) (*ceremonyConfig, error) {
	cfg, err := readCeremony(path)
	if err != nil {
		return nil, err
	}
	return cfg, cfg.refuse(path)
}

// refuse refuses a production ceremony with settings of a sandbox, before anything is planned.
func (c *ceremonyConfig) refuse(file string) error {
	if !c.Production {
		return nil
	}
	if err := c.unsafe(file, user()).Err(file); err != nil {
		return usage("%w", err)
	}
	return nil
}

// unsafe looks at all of the ceremony's settings. uid is the user that holds it.
func (c *ceremonyConfig) unsafe(file string, uid int) *production.List {
	l := &production.List{}
	l.Config("(file)", file, uid)
	l.Placeholders(file)
	ofModule(l, "module", c.Module, uid)
	l.Unless(c.Root.File == "", "root.file", "the root's key would be software; use root.dir, with a token of its own")
	l.Secret("root.passphrase_file", c.Root.PassphraseFile, uid)
	l.Durable("root.dir", mediaIsFine(c.Root.Dir))
	l.Durable("pki_dir", c.PKIDir)
	l.Address("public_url", c.PublicURL, production.HTTPS)
	l.Address("pki_url", c.PKIURL, production.HTTP)
	l.Unless(c.CPSURL != c.PublicURL+"/docs", "cps_url", "it is not set: certificates would name no practice statement; give its address, with the digest in it")
	l.Address("cps_url", c.CPSURL, production.Any)
	ofSubject(l, c.Organisation)
	l.Policy("policies.person", c.Policies.Person, "")
	l.Policy("policies.tsu", c.Policies.TSU, "")
	l.Policy("policies.time_stamp", c.Policies.TimeStamp, "")
	c.ofUsers(l)
	return l
}

// mediaIsFine: removable media are mounted below /run, which is not where data would be lost.
func mediaIsFine(dir string) string {
	if production.Within("/run/media", dir) {
		return ""
	}
	return dir
}

// ofUsers: each role is a user of its own.
func (c *ceremonyConfig) ofUsers(l *production.List) {
	seen := map[int]string{}
	for _, r := range []struct {
		name string
		role roleSection
	}{{"sam", c.SAM}, {"ca", c.CA}, {"tsa", c.TSA}} {
		l.Durable(r.name+".dir", r.role.Dir)
		switch {
		case r.role.UID == nil:
			l.Add(r.name+".uid", "it is not set: the role would have no user of its own; give uid and gid (deploy/roles.yaml)")
			continue
		case *r.role.UID == 0:
			l.Add(r.name+".uid", "it is root; give the role a user of its own (deploy/roles.yaml)")
		case seen[*r.role.UID] != "":
			l.Add(r.name+".uid", "it is also the user of the %s; give each role a user of its own", seen[*r.role.UID])
		}
		seen[*r.role.UID] = r.name
	}
	for i, a := range []string{c.SAM.Dir, c.CA.Dir, c.TSA.Dir} {
		for j, b := range []string{c.SAM.Dir, c.CA.Dir, c.TSA.Dir} {
			if i != j && production.Within(a, b) {
				l.Add(fmt.Sprintf("%s.dir", []string{"sam", "ca", "tsa"}[j]), "it lies in %s; give each role a folder of its own", filepath.Clean(a))
			}
		}
	}
}
