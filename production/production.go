// Package production tells settings that are good for a sandbox only from those that may face real people. A program whose
// file says `production: true` collects what is unsafe in it, all at once, each with its own words on what is wrong and how
// it is mended, and does not start with any of it. The rules here are those that front, roles and ceremony share; what only
// one of them has, it judges itself.
package production

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Finding is one unsafe setting: its name as it stands in the file, and what is wrong and how to mend it.
type Finding struct{ Setting, Says string }

func (f Finding) String() string { return f.Setting + ": " + f.Says }

// List collects findings in the order of the checks. The zero List is empty.
type List struct{ Found []Finding }

// Add records a finding.
func (l *List) Add(setting, says string, a ...any) {
	l.Found = append(l.Found, Finding{setting, fmt.Sprintf(says, a...)})
}

// Unless records a finding when ok does not hold.
func (l *List) Unless(ok bool, setting, says string, a ...any) {
	if !ok {
		l.Add(setting, says, a...)
	}
}

// Error is the refusal of a file with unsafe settings.
type Error struct {
	File  string
	Found []Finding
}

// Error names every finding, one a line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Found)+1)
	lines = append(lines, fmt.Sprintf("%s says production, and %d of its settings are for a sandbox only:", e.File, len(e.Found)))
	for _, f := range e.Found {
		lines = append(lines, "  "+f.String())
	}
	return strings.Join(lines, "\n")
}

// Err is nil when nothing was found, else an *Error.
func (l *List) Err(file string) error {
	if len(l.Found) == 0 {
		return nil
	}
	return &Error{file, l.Found}
}

// Schemes of an address.
const (
	HTTPS = "https"
	HTTP  = "http" // for what certificates name: who reads it must not need a certificate for it first
	Any   = ""     // what comes over it is signed
)

// Address wants an address of that scheme at a host that others can reach by a real name. An empty address is no finding:
// whether it must be there is another rule.
func (l *List) Address(setting, address, scheme string) {
	if address == "" {
		return
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		l.Add(setting, "it is not an address")
		return
	case scheme != Any && u.Scheme != scheme:
		l.Add(setting, "it must be %s, not %s", scheme, u.Scheme)
	}
	if why := simulated(u.Hostname()); why != "" {
		l.Add(setting, "%s; give the name under which the world reaches it", why)
	}
}

// Host wants a host name (host or host:port) that is not of this machine and not reserved for examples.
func (l *List) Host(setting, host string) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if why := simulated(host); why != "" {
		l.Add(setting, "%s", why)
	}
}

// reserved are names that nobody can own: RFC 2606 §2 and §3, RFC 6761, RFC 6762.
var reserved = []string{"test", "example", "invalid", "localhost", "local", "example.com", "example.net", "example.org"}

// simulated says why a host cannot be real, "" when it can.
func simulated(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsLoopback() || ip.IsUnspecified() {
			return "it is this machine (" + host + ")"
		}
		return ""
	}
	for _, name := range reserved {
		if host == name || strings.HasSuffix(host, "."+name) {
			return "the name " + host + " is reserved for tests and examples"
		}
	}
	return ""
}

// Secret wants a file that nobody but the process's user (uid) reads or writes. One that is not there is no finding here:
// whoever needs it says so.
func (l *List) Secret(setting, path string, uid int) { l.file(setting, path, uid, 0o077) }

// Config wants a file that only root and the process's user change. The group may read it.
func (l *List) Config(setting, path string, uid int) { l.file(setting, path, uid, 0o022) }

func (l *List) file(setting, path string, uid int, closed fs.FileMode) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	if mode := info.Mode().Perm(); mode&closed != 0 {
		l.Add(setting, "%s is open to others (mode %04o); make it %04o", path, mode, mode&^closed)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != uid {
		l.Add(setting, "%s belongs to user %d, who can change it; give it to the role's user (%d) or to root", path, st.Uid, uid)
	}
}

// volatile are folders that a restart empties, or in which every user may make files.
var volatile = []string{"/tmp", "/var/tmp", "/dev/shm", "/run"}

// Durable wants data to lie where a restart and other users leave it alone. PostgreSQL's and S3's addresses are none of a file.
func (l *List) Durable(setting, path string) {
	if path == "" || strings.Contains(path, "://") {
		return
	}
	for _, dir := range volatile {
		if Within(dir, path) {
			l.Add(setting, "%s lies in %s, which a restart empties or every user may write; use a folder of the role's own below /var/lib", path, dir)
		}
	}
}

// Database is Durable, and wants a connection over a network to be encrypted and the server to be proven.
func (l *List) Database(setting, source string) {
	l.Durable(setting, source)
	u, err := url.Parse(source)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return
	}
	host := u.Hostname()
	if h := u.Query().Get("host"); h != "" {
		host = h
	}
	if strings.HasPrefix(host, "/") {
		return // a Unix socket
	}
	if mode := u.Query().Get("sslmode"); mode != "verify-full" {
		l.Add(setting, "it goes to %s over the network; set sslmode=verify-full and sslrootcert", host)
	}
}

// Within tells whether path is dir or below it.
func Within(dir, path string) bool {
	rel, err := filepath.Rel(dir, filepath.Clean(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// Distinct wants each of the named paths, those that are not empty, to be in a folder of its own.
func (l *List) Distinct(first, firstPath, second, secondPath, says string) {
	if firstPath != "" && secondPath != "" && filepath.Dir(firstPath) == filepath.Dir(secondPath) {
		l.Add(first, "it lies in the folder of %s (%s); %s", second, filepath.Dir(secondPath), says)
	}
}
