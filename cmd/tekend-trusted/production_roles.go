package main

import (
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"

	"tekend/certs"
	"tekend/clock"
	"tekend/itsme/token"
	"tekend/production"
	"tekend/sam/activation"
)

// Limits of what one person is asked, in production: a front that was taken over cannot wear people out (specs/itsme.md).
const (
	mostOpen    = 10
	mostPerHour = 60
	mostMinute  = 6000
)

// common are the settings of the sam's file.
func (f samFile) common(file string, uid int) common {
	c := common{
		file: file, uid: uid, section: f.productionSection, gate: f.gateSections, token: f.Token, audit: f.Audit,
		listens: map[string]socketSection{"listen": f.Listen, "operator_listen": f.Operator}, dbName: "sam.db", db: f.SAM.DB,
		root: f.SAM.RootFile, certs: append([]string{f.SAM.IssuerFile}, f.SAM.OtherIssuerFiles...),
	}
	c.lists = []rule{
		func(l *production.List) { f.ofClients(l, uid) },
		func(l *production.List) { ofNotices(l, f.SAM.Notices, uid) },
		f.ofChannels,
		f.ofPeople,
	}
	return c
}

// ofClients looks at itsme and at our two clients there.
func (f samFile) ofClients(l *production.List, uid int) {
	ofItsme(l, "sam.itsme", f.SAM.Itsme)
	clients := map[string]activation.ClientConfig{"sam.confirm": f.SAM.Confirm, "sam.ident": f.SAM.Ident}
	for _, name := range slices.Sorted(maps.Keys(clients)) {
		c := clients[name]
		l.Address(name+".redirect_uri", c.RedirectURI, production.HTTPS)
		l.Secret(name+".enc_key_file", c.EncKeyFile, uid)
		for _, k := range c.OtherKeys {
			l.Secret(name+".other_keys", k.EncKeyFile, uid)
		}
	}
}

// ofNotices: a person who is not told cannot notice that his key was used.
func ofNotices(l *production.List, n activation.Notices, uid int) {
	if n.Kind == "" {
		l.Add("sam.notices", "there are none: nobody would hear that his key was used; set kind to smtp or file")
		return
	}
	if from, err := mail.ParseAddress(n.From); err == nil {
		_, host, _ := strings.Cut(from.Address, "@")
		l.Host("sam.notices.from", host)
	}
	l.Durable("sam.notices.dir", n.Dir)
	l.Secret("sam.notices.password_file", n.PasswordFile, uid)
	local := strings.HasPrefix(n.Address, "127.") || strings.HasPrefix(n.Address, "[::1]") || strings.HasPrefix(n.Address, "localhost:")
	l.Unless(n.TLS != "none" || local, "sam.notices.tls", "none is for a relay on this machine; use starttls or implicit")
}

// ofChannels: two operators and the persons themselves can revoke without front and itsme.
func (f samFile) ofChannels(l *production.List) {
	l.Unless(f.Operator.Socket != "", "operator_listen", "it is not set: operators could not revoke; give them a socket")
	l.Unless(f.Emergency != "", "emergency_listen", "it is not set: a person without itsme could not revoke; listen, behind a host name of its own")
	l.Unless(f.SAM.EmergencyURL != "", "sam.emergency_url", "it is not set: notices would name no address for revocation, and hold no code")
	l.Address("sam.emergency_url", f.SAM.EmergencyURL, production.HTTPS)
	l.Distinct("listen", f.Listen.Socket, "sam.status_socket", f.SAM.StatusSocket, "the front would see the ca's status socket; give each a folder of its own")
}

func (f samFile) ofPeople(l *production.List) {
	l.Unless(f.SAM.Limits.Open <= mostOpen, "sam.limits.open", "%d questions may wait for one person; at most %d", f.SAM.Limits.Open, mostOpen)
	l.Unless(f.SAM.Limits.PerHour <= mostPerHour, "sam.limits.per_hour", "one person may be asked %d times in an hour; at most %d", f.SAM.Limits.PerHour, mostPerHour)
	l.Unless(f.SAM.Limits.PerMinute <= mostMinute, "sam.limits.per_minute", "%d questions in a minute for people who are not known yet; at most %d", f.SAM.Limits.PerMinute, mostMinute)
	// Either may be right; which one is a decision that nobody should take by silence.
	l.Unless(f.SAM.ProviderSigned != "", "sam.provider_signed", "it is not decided; required keeps an owned front from ordering by itself, optional takes unsigned orders too")
	l.Unless(f.SAM.HashOrders != "", "sam.hash_orders", "it is not decided; forbidden takes documents alone, signed takes hashes that their provider signed for, allowed takes all, and people are told in each case")
	l.Unless(f.SAM.PolicySHA256 != "", "sam.policy_sha256", "it is not set: what people confirm would not name the practice statement in force")
}

// common are the settings of the ca's file.
func (f caFile) common(file string, uid int) common {
	c := common{
		file: file, uid: uid, section: f.productionSection, gate: f.gateSections, token: f.Token, audit: f.Audit,
		listens: map[string]socketSection{"listen": f.Listen, "status_listen": f.Status, "operator_listen": f.Operator}, dbName: "ca.db", db: f.CA.DB,
		root: f.CA.RootFile, certs: append([]string{f.CA.IssuingCAFile, f.CA.TSUFile}, f.CA.TSUFiles...),
	}
	for _, before := range f.CA.Previous {
		c.certs = append(c.certs, before.CertFile)
	}
	c.lists = []rule{
		func(l *production.List) { ofItsme(l, "ca.itsme", f.CA.Itsme) },
		func(l *production.List) { l.Policy("ca.policy_oid", f.CA.PolicyOID, c.policyOf("person")) },
		f.ofPublication,
		f.ofPersons,
		func(l *production.List) {
			for _, uid := range f.Listen.Peers {
				l.Unless(!slices.Contains(f.Status.Peers, uid), "status_listen.peers", "user %d may call both sockets: the front must not speak where the sam does", uid)
			}
			l.Unless(f.Operator.Socket != "", "operator_listen", "it is not set: operators could not revoke when the sam is away; give them a socket")
		},
	}
	return c
}

// ofPublication: what stands in every certificate, for ever.
func (f caFile) ofPublication(l *production.List) {
	l.Address("ca.public_url", f.CA.PublicURL, production.HTTP)
	l.Address("ca.cps_url", f.CA.CPSURL, production.Any)
	english := false
	for i, p := range f.CA.PDS {
		l.Address(fmt.Sprintf("ca.pds[%d].url", i), p.URL, production.HTTPS)
		english = english || p.Language == "en"
	}
	l.Unless(english, "ca.pds", "no disclosure statement is in English (EN 319 412-5 §4.3.4); add one with language en")
	l.Durable("ca.publish_dir", f.CA.PublishDir)
}

// ofPersons: what a certificate says of a person was proofed.
func (f caFile) ofPersons(l *production.List) {
	l.Unless(f.CA.ACR == "" || f.CA.ACR == token.ACRAdvanced, "ca.acr", "%q takes tokens of a lower level than a qualified certificate needs; leave it out", f.CA.ACR)
	l.Unless(!slices.Contains(f.CA.Activation, "*"), "ca.activation", "\"*\" takes accounts of which nobody says how they were activated; name the ways, or leave it out")
	l.Unless(f.CA.DefaultCountry == "", "ca.default_country", "it invents the country of whoever itsme does not say it of; take it out, then such an order is refused")
}

// common are the settings of the tsa's file.
func (f tsaFile) common(file string, uid int) common {
	c := common{
		file: file, uid: uid, section: f.productionSection, gate: f.gateSections, token: f.Token, audit: f.Audit,
		listens: map[string]socketSection{"listen": f.Listen, "operator_listen": f.Operator}, dbName: "tsa.db", db: f.TSA.DB,
	}
	if n := len(f.Chain); n > 0 {
		c.root, c.certs = f.Chain[n-1], f.Chain[:n-1]
	}
	if f.Next != nil && len(f.Next.Chain) > 0 {
		c.certs = append(slices.Clone(c.certs), f.Next.Chain[:len(f.Next.Chain)-1]...)
	}
	c.lists = []rule{
		func(l *production.List) { l.Policy("tsa.policy", f.TSA.Policy, c.policyOf("time_stamp")) },
		func(l *production.List) { ofClock(l, f.TSA.Clock) },
	}
	return c
}

// ofClock: a clock that nobody checks stamps wrong times (EN 319 421 §7.7).
func ofClock(l *production.List, c *clock.Config) {
	if c == nil {
		l.Add("tsa.clock", "there are no sources: nobody would notice a wrong clock; name three or more servers of your own or by contract")
		return
	}
	for i, s := range c.Sources {
		l.Host(fmt.Sprintf("tsa.clock.sources[%d]", i), s.Address)
	}
}

// ofSubject looks at the name that CAs and units will have.
func ofSubject(l *production.List, o organisationSection) {
	l.Unless(!strings.Contains(strings.ToUpper(o.Name), certs.SandboxMark) && o.Name != defaultOrganisation, "organisation.name",
		"%q is a sandbox's; give the registered name of the trust service provider", o.Name)
	l.Unless(o.ID != production.NobodysID, "organisation.id", "%s is nobody's; give the number under which you are registered (EN 319 412-1 §5.1.4)", o.ID)
}
