package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tekend/production"
)

// refuseUnsafe refuses a front in production with settings of a sandbox, all at once.
func (c frontConfig) refuseUnsafe(file string) error {
	if !c.Production {
		return nil
	}
	if err := c.unsafe(file, os.Getuid()).Err(file); err != nil {
		return usage("%w", err)
	}
	return nil
}

// unsafe looks at all of the front's settings. uid is the process's user.
func (c frontConfig) unsafe(file string, uid int) *production.List {
	l := &production.List{}
	l.Config("(file)", file, uid)
	l.Placeholders(file)
	l.Unless(uid != 0, "(user)", "the front runs as root; give it a user of its own (deploy/systemd)")
	l.Unless(!c.Sandbox, "sandbox", "every page would call itself a simulation; take it out")
	l.Unless(!c.API.Sandbox, "api.sandbox", "it allows redirects in the clear; take it out")
	l.Address("public_url", c.PublicURL, production.HTTPS)
	l.Address("api.public_url", c.API.PublicURL, production.HTTPS)
	l.Secret("tls.key_file", c.TLS.KeyFile, uid)
	rootsUnmarked(l, c.Roots)
	c.ofSockets(l)
	c.ofStamps(l)
	l.Unless(!c.Revocation.AllowPrivate, "revocation.allow_private", "whoever has a certificate made could have this front ask hosts of its own network; take it out")
	l.Address("revocation.pki_url", c.Revocation.PKIURL, production.Any)
	l.Unless(c.Policies != "", "policies", "practice statement and terms would be the sandbox's templates; name the folder of yours (tekend policies)")
	l.Unless(len(c.API.SecurityTxt.Contacts) > 0, "api.security_txt", "nobody could report a weakness (RFC 9116); give contacts and expires")
	c.ofClients(l, uid)
	l.Database("store.db", c.Store.DBPath)
	l.Durable("store.blobs", c.Store.Blobs)
	l.Secret("store.blobs_key_file", c.Store.BlobsKeyFile, uid)
	if u, err := url.Parse(c.Store.Blobs); err == nil && u.Scheme == "s3" {
		l.Address("store.blobs", u.Query().Get("endpoint"), production.HTTPS)
	}
	return l
}

// rootsUnmarked looks at each root that products must lead to.
func rootsUnmarked(l *production.List, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		return // loadRoots says it
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			l.Certificate(path, cert)
		}
	}
}

// ofSockets: each role is another process behind a folder of its own.
func (c frontConfig) ofSockets(l *production.List) {
	l.Unless(len(c.Sockets.SAM) > 0, "sockets.sam", "it is missing; nobody could sign")
	all := []struct{ name, path string }{{"sockets.ca", c.Sockets.CA}, {"sockets.tsa", c.Sockets.TSA}}
	for i, path := range c.Sockets.SAM {
		all = append(all, struct{ name, path string }{fmt.Sprintf("sockets.sam[%d]", i), path})
	}
	for i, a := range all {
		l.Unless(a.path != "", a.name, "it is missing")
		for _, b := range all[:i] {
			if a.path != "" && filepath.Dir(a.path) == filepath.Dir(b.path) {
				l.Add(a.name, "it lies in the folder of %s: then the two roles are one user; give each its own", b.name)
			}
		}
	}
}

// ofStamps: which time-stamps count, and whose.
func (c frontConfig) ofStamps(l *production.List) {
	l.Unless(len(c.TSAPolicies) > 0, "tsa_policies", "there are none, so that a time-stamp of any policy would be taken; name the tsa's policy")
	for i, p := range c.TSAPolicies {
		l.Policy(fmt.Sprintf("tsa_policies[%d]", i), p, "")
	}
	l.Unless(len(c.EvidenceTSAs) > 0, "evidence_tsas", "there are none: only our own authority would say when evidence existed; name one of somebody else")
	others := map[string][]otherTSA{"evidence_tsas": c.EvidenceTSAs, "tsas": c.TSAs}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		for i, t := range others[name] {
			l.Address(fmt.Sprintf("%s[%d].url", name, i), t.URL, production.Any) // its answers are signed
		}
	}
}

// ofClients: a provider's key is the right to order in its name.
func (c frontConfig) ofClients(l *production.List, uid int) {
	l.Unless(len(c.Clients) > 0, "clients", "there are none: nobody could order; name a provider")
	keys := map[string]string{}
	for i, client := range c.Clients {
		name := fmt.Sprintf("clients[%d]", i)
		l.Secret(name+".key_file", client.KeyFile, uid)
		if other := keys[client.KeyFile]; other != "" {
			l.Add(name+".key_file", "it is also the key of %s; each provider has its own", other)
		}
		keys[client.KeyFile] = client.ID
		l.Unless(!strings.Contains(strings.ToLower(client.Name), "simulation"), name+".name", "%q is the sandbox's provider; name real ones", client.Name)
	}
}
