package revocation

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
)

var (
	errAddress = errors.New("the address is none of http")
	errPrivate = errors.New("an address that is not of the open Internet")
)

// parse reads an address of a certificate or of a redirect: http or https, a
// host, no user, a port that web servers have.
func (f *Fetcher) parse(address string) (*url.URL, error) {
	if len(address) > maxURL {
		return nil, errAddress
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || u.Hostname() == "" || u.User != nil {
		return nil, errAddress
	}
	u.Fragment, u.RawFragment = "", ""
	if p := u.Port(); p != "" && !f.cfg.AllowPrivate {
		// Below 1024 are mail servers and others who would take an HTTP request for something else.
		if n, err := strconv.Atoi(p); err != nil || n != 80 && n != 443 && n < 1024 || n > 65535 {
			return nil, errAddress
		}
	}
	return u, nil
}

// only makes what a dialer calls with each address before it dials, after names
// were resolved: for each hop of a redirect anew.
func only(allowed func(netip.Addr) bool) func(network, address string, _ syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || network != "tcp4" && network != "tcp6" || !allowed(ap.Addr()) {
			return errPrivate
		}
		return nil
	}
}

// public tells whether an address is of the open Internet (IANA's registries of
// special-purpose addresses, RFC 6890). Of IPv6 only the global unicast space
// counts, and of it not what carries an IPv4 address inside (NAT64, 6to4,
// Teredo): that leads to where the IPv4 address may not.
func public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if a.Is6() && !global6.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

var global6 = netip.MustParsePrefix("2000::/3")

var special = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // shared by carriers
	"127.0.0.0/8",      // this machine
	"168.63.129.16/32", // public, and inside each machine of Azure the host's own
	"169.254.0.0/16",   // link-local: clouds tell their secrets here
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // IETF protocols
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast
	"2001::/23",        // IETF protocols, Teredo, ORCHID
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4
	"3fff::/20",        // documentation
	"5f00::/16",        // segment routing
)

func prefixes(all ...string) (list []netip.Prefix) {
	for _, s := range all {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}
