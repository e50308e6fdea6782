// Package sandbox is a simulated OpenID provider that behaves like itsme for
// the services Authentication, Identification and Confirmation, as far as that
// is public (specs/itsme.md §8, SB-01 to SB-53, SB-80 to SB-83). What differs
// stands at /sandbox/deviations. It is not affiliated with itsme, uses none of
// its artwork, says on every page that it is a simulation, and refuses to be
// reachable from elsewhere than this machine.
//
// The text of the simulated people and the faults that can be ordered are in
// people_table.go and defects.go.
package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ServiceType is what a service code is registered for.
type ServiceType string

// The service types that are simulated.
const (
	Authentication ServiceType = "Authentication"
	Identification ServiceType = "Identification"
	Confirmation   ServiceType = "Confirmation"
)

// ClientRegistration is what a relying party agrees with itsme beforehand.
type ClientRegistration struct {
	ID           string                 `yaml:"id"`            // client id, at most 10 characters at itsme
	Label        string                 `yaml:"label"`         // partner's name on the phone; default ID
	JWKSURL      string                 `yaml:"jwks_url"`      // where the partner publishes its keys
	RedirectURIs []string               `yaml:"redirect_uris"` // compared byte by byte
	RequestURIs  []string               `yaml:"request_uris"`  // registered request_uri values
	Services     map[string]ServiceType `yaml:"services"`      // service code → type
	PKCERequired bool                   `yaml:"pkce_required"`
}

// Switches choose between behaviours where itsme's own is configurable, unknown
// or was observed in two ways. The zero value is the default of each.
type Switches struct {
	OmitJWEKID            bool   `json:"omit_jwe_kid" yaml:"omit_jwe_kid"`                         // SB-06
	JWEAlg                string `json:"jwe_alg" yaml:"jwe_alg"`                                   // SB-07: RSA-OAEP-256 (default) or RSA-OAEP
	JWEEnc                string `json:"jwe_enc" yaml:"jwe_enc"`                                   // SB-07: A128CBC-HS256 (default) or A256GCM
	RealJWKSCache         bool   `json:"real_jwks_cache" yaml:"real_jwks_cache"`                   // SB-04: keep partners' keys 30 min to 24 h instead of not at all
	LegacyAudience        bool   `json:"legacy_audience" yaml:"legacy_audience"`                   // SB-16: the authorization endpoint is also an aud of request objects
	RefuseLocalRequestURI bool   `json:"refuse_local_request_uri" yaml:"refuse_local_request_uri"` // SB-17: the real rule
	OmitACR               bool   `json:"omit_acr" yaml:"omit_acr"`                                 // SB-47
	UnknownSubError       string `json:"unknown_sub_error" yaml:"unknown_sub_error"`               // SB-25: default access_denied
	SilentExpiry          bool   `json:"silent_expiry" yaml:"silent_expiry"`                       // SB-36: nothing is sent when the action expires
	EchoApproval          bool   `json:"echo_approval" yaml:"echo_approval"`                       // SB-53
}

// Config of the simulated provider.
type Config struct {
	Now    func() time.Time `yaml:"-"`
	Listen string           `yaml:"listen"` // loopback address and port; only checked, the caller listens
	// Issuer is the base URL with /v2, no slash at its end, for example
	// http://127.0.0.1:8443/v2.
	Issuer    string               `yaml:"issuer"`
	Clients   []ClientRegistration `yaml:"clients"`
	StateFile string               `yaml:"state_file"` // keys, salt of the subs; mode 0600; "" = nothing is kept
	// AutoApprove answers every request at once, as if sandbox_auto=1.
	AutoApprove bool          `yaml:"auto_approve"`
	SlowDelay   time.Duration `yaml:"slow_delay"` // of approve-slow; default 5s
	RPCAFile    string        `yaml:"rp_ca_file"` // CAs that may vouch for partners' https hosts; "" = the system's
	Switches    Switches      `yaml:"switches"`
	// Warn is told what real itsme would not accept; may be nil. The last ones
	// are also at /sandbox/warnings.
	Warn func(text string) `yaml:"-"`
	// AllowPublic lifts SB-83. Nobody should.
	AllowPublic bool `yaml:"allow_public"`
}

// CheckListen refuses an address that others than this machine can reach
// (SB-83): the host must be a loopback address or "localhost".
func CheckListen(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("sandbox: listen address: %w", err)
	}
	if !loopback(host) {
		return errors.New("sandbox: the simulated itsme only listens on a loopback address, such as 127.0.0.1:0")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func local(host string) bool { return loopback(host) || strings.HasSuffix(host, ".test") }

func (c Config) validate() error {
	if c.Now == nil {
		return errors.New("sandbox: Config.Now is missing")
	}
	if c.Listen != "" && !c.AllowPublic {
		if err := CheckListen(c.Listen); err != nil {
			return err
		}
	}
	u, err := url.Parse(c.Issuer)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path != "/v2" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("sandbox: issuer must be http(s)://host:port/v2")
	}
	if !c.AllowPublic && !local(u.Hostname()) {
		return errors.New("sandbox: issuer must be on this machine or below .test")
	}
	if err := c.Switches.validate(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, reg := range c.Clients {
		if seen[reg.ID] {
			return fmt.Errorf("sandbox: client %q is registered twice", reg.ID)
		}
		seen[reg.ID] = true
		if err := reg.validate(c.AllowPublic); err != nil {
			return err
		}
	}
	return nil
}

func (s Switches) validate() error {
	if !slices.Contains([]string{"", "RSA-OAEP-256", "RSA-OAEP"}, s.JWEAlg) {
		return errors.New("sandbox: jwe_alg must be RSA-OAEP-256 or RSA-OAEP")
	}
	if !slices.Contains([]string{"", "A128CBC-HS256", "A256GCM"}, s.JWEEnc) {
		return errors.New("sandbox: jwe_enc must be A128CBC-HS256 or A256GCM")
	}
	return nil
}

func (r ClientRegistration) validate(allowPublic bool) error {
	if r.ID == "" || len(r.Services) == 0 || len(r.RedirectURIs) == 0 {
		return errors.New("sandbox: a client needs an id, a service and a redirect URI")
	}
	for code, kind := range r.Services {
		if code == "" || len(code) > 45 || strings.ContainsAny(code, " \t\r\n") {
			return fmt.Errorf("sandbox: client %q: service codes have 1 to 45 characters and no space", r.ID)
		}
		if kind != Authentication && kind != Identification && kind != Confirmation {
			return fmt.Errorf("sandbox: client %q: unknown service type %q", r.ID, kind)
		}
	}
	for _, uri := range r.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || u.Host == "" || u.Fragment != "" || (u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname()))) {
			return fmt.Errorf("sandbox: client %q: a redirect URI is https without fragment (http only on loopback)", r.ID)
		}
		if !allowPublic && !local(u.Hostname()) {
			return fmt.Errorf("sandbox: client %q: a redirect URI must be on this machine or below .test", r.ID)
		}
	}
	return nil
}
