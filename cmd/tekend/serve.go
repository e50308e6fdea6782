package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tekend/api"
	"tekend/ca"
	"tekend/policy"
	"tekend/sam"
	"tekend/signer"
	"tekend/store"
	"tekend/tsa"
	"tekend/wire"
)

type serveCmd struct {
	Config string `required:"" help:"The front's configuration (YAML)." type:"path" placeholder:"front.yaml"`
}

// frontConfig is the whole of the front's configuration file.
type frontConfig struct {
	// Listen is the address of the HTTP server, 127.0.0.1:8080, or fd:3 for a
	// listener that the parent opened.
	Listen string `yaml:"listen"`
	// TLS is a second listener, for https. Default none: a proxy before the front speaks it.
	TLS tlsConfig `yaml:"tls"`
	// PublicURL is where people and providers reach it, without a slash at its end.
	PublicURL string `yaml:"public_url"`
	// Name tells this front's database from those of others at the same sam: 1 to 64 letters, digits, dashes and dots. Fronts
	// that share a database share it. Default front.
	Name string `yaml:"name"`
	// Sandbox says on every page that this is a simulation.
	Sandbox bool `yaml:"sandbox"`
	// Production refuses every setting that is for a sandbox only (docs/operations.md, "Production"), all at once. Default
	// false.
	Production bool `yaml:"production"`
	// Roots is a PEM file: what our own products must lead to before they are released.
	Roots string `yaml:"roots"`
	// Sockets of the trusted roles.
	Sockets socketsConfig `yaml:"sockets"`
	// TSAPolicies are the policies accepted in time-stamps; empty accepts any.
	TSAPolicies []string `yaml:"tsa_policies"`
	// Policies is a folder of the provider's own texts, VERSION/KIND-LANG.txt (package policy): practice statement, disclosure
	// statements, terms. Default: the templates of the sandbox.
	Policies string `yaml:"policies"`
	// TSAs are asked in their order when our own authority gives no time-stamp. Default none.
	TSAs []otherTSA `yaml:"tsas"`
	// EvidenceTSAs stamp evidence bundles beside our own authority. Default none.
	EvidenceTSAs []otherTSA `yaml:"evidence_tsas"`
	// Revocation is how revocation data is had.
	Revocation revocationConfig `yaml:"revocation"`
	// Clients are the service providers.
	Clients []clientConfig `yaml:"clients"`
	Store   store.Config   `yaml:"store"`
	Signer  signer.Config  `yaml:"signer"`
	API     api.Config     `yaml:"api"`
}

type socketsConfig struct {
	// SAM is one socket, or a list with one of each instance that serves the sam's database.
	SAM socketList `yaml:"sam"`
	CA  string     `yaml:"ca"`
	TSA string     `yaml:"tsa"`
}

// socketList is written as one path or as a list of paths.
type socketList []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *socketList) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = socketList{n.Value}
		return nil
	}
	return n.Decode((*[]string)(l))
}

// client calls the sam. Without a socket every call fails as with one that is not there.
func (l socketList) client(timeout time.Duration) *sam.Client {
	if len(l) == 0 {
		return sam.NewClient("", timeout)
	}
	return sam.NewClient(l[0], timeout, l[1:]...)
}

type clientConfig struct {
	ID   string `yaml:"id"`   // opaque, stands in logs
	Name string `yaml:"name"` // what the signer reads
	// KeyFile holds its API key, at least 128 random bits.
	KeyFile string `yaml:"key_file"`
	// Credential says what its people sign with: long-term (a certificate that
	// further requests use too) or one-time (a new one for each request, whose key
	// is destroyed after it). Default long-term.
	Credential string `yaml:"credential"`
}

// oneTime says which clients have the policy one-time.
func oneTime(clients []clientConfig) (func(client string) bool, error) {
	all := map[string]bool{}
	for _, c := range clients {
		switch c.Credential {
		case "", "long-term":
		case "one-time":
			all[c.ID] = true
		default:
			return nil, usage("client %s: credential must be long-term or one-time", c.ID)
		}
	}
	return func(client string) bool { return all[client] }, nil
}

// front is the wired service.
type front struct {
	cfg     frontConfig
	store   *store.Store
	service *signer.Service
	sam     *sam.Client
	roles   *rolesHealth
	history *history
	handler http.Handler
}

// callTimeout bounds a call of a role: unwrapping and 70 signatures take less
// than 2 s on SoftHSM, the code exchange up to 10 s when itsme is slow.
const callTimeout = 30 * time.Second

// Run serves until the process is told to stop.
func (c *serveCmd) Run(p *program) error {
	log := slog.New(slog.NewJSONHandler(p.stderr, nil))
	f, err := newFront(p, c.Config, log)
	if err != nil {
		return err
	}
	defer func() { _ = f.store.Close() }()
	all, err := f.endpoints(p.now, func(err error) { log.Error("the new TLS certificate is passed over", "err", err) })
	if err != nil {
		return err
	}
	worker := make(chan error, 1)
	go func() { worker <- f.work(p.ctx) }()
	for _, e := range all {
		log.Info("listening", "address", e.Listener.Addr().String())
	}
	return errors.Join(serveAll(p.ctx, all...), ignoreCanceled(<-worker))
}

// work does what requests need until ctx ends or the front locks.
func (f *front) work(ctx context.Context) error {
	if f.history.locked.Load() {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	told := make(chan struct{})
	go func() {
		defer close(told)
		f.history.run(ctx, f.store)
	}()
	go func() {
		select {
		case <-f.history.lock:
			stop()
		case <-ctx.Done():
		}
	}()
	err := f.service.Run(ctx)
	stop()
	<-told
	return err
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// newFront reads the configuration and wires the parts; it fails here rather
// than at the first request.
func newFront(p *program, path string, log *slog.Logger) (*front, error) {
	var cfg frontConfig
	if err := readYAML(path, &cfg); err != nil {
		return nil, err
	}
	if err := cfg.refuseUnsafe(path); err != nil {
		return nil, err
	}
	roots, err := loadRoots(cfg.Roots)
	if err != nil {
		return nil, err
	}
	cfg.Store.Now, cfg.Store.DiskFailed = p.now, diskFailed(log)
	if cfg.Name == "" {
		cfg.Name = "front"
	}
	client := cfg.Sockets.SAM.client(callTimeout)
	past := newHistory(cfg.Name, client, log)
	cfg.Store.Past = past.past
	st, err := store.Open(p.ctx, cfg.Store)
	if err != nil {
		return nil, usage("open the front's data: %w", err)
	}
	issuer := ca.NewClient(cfg.Sockets.CA, callTimeout)
	f := &front{cfg: cfg, store: st, sam: client, history: past, roles: &rolesHealth{log: log, roles: []roleHealth{
		{"sam", func(ctx context.Context) (bool, []string, error) {
			h, err := client.Health(ctx)
			return h.Ready, h.Reasons, err
		}},
		{"ca", func(ctx context.Context) (bool, []string, error) {
			h, err := issuer.Health(ctx)
			return h.Ready, h.Reasons, err
		}},
		{"tsa", overSocket(wire.NewClient(cfg.Sockets.TSA, callTimeout))},
	}}}
	stamper, err := newStamper(cfg, p.now)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	others, err := newEvidenceStampers(cfg.EvidenceTSAs, p.now)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	proving, err := newCollector(cfg, issuer, p.now, log)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	cfg.Signer.Now, cfg.Signer.Log, cfg.Signer.PublicURL = p.now, log, cfg.PublicURL
	texts, err := loadPolicies(cfg.Policies)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	terms, err := texts.InForce(policy.Terms, policy.AllLanguages)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	cfg.Signer.Terms = signer.Terms{Version: terms.Version, SHA256: terms.SHA256}
	if cfg.Signer.OneTime, err = oneTime(cfg.Clients); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	f.service = signer.New(cfg.Signer, signer.Dependencies{
		Requests: st, Claims: st, Callbacks: st, Signers: st, Blobs: st,
		Enrolling: f.sam, Certifying: f.sam, Preparing: f.sam, Activation: f.sam, Uses: f.sam,
		Revoking: f.sam, Revocations: st,
		Issuer: issuer, Stamper: stamper, Revocation: proving, Evidence: f.sam, EvidenceStampers: others, Roots: roots,
	})
	names, err := f.addClients(p.ctx)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	cfg.API.Now, cfg.API.Log, cfg.API.PublicURL, cfg.API.Sandbox = p.now, log, cfg.PublicURL, cfg.Sandbox
	f.handler, err = api.New(cfg.API, api.Dependencies{
		Signer: f.service, Clients: st, PKI: issuer, Policies: texts, TSA: api.RelayFunc(relayTSA(cfg.Sockets.TSA)), Health: f.health,
		ClientName: func(id string) string { return names[id] }, Locked: past.reason,
	})
	if err != nil {
		return nil, errors.Join(usage("%w", err), st.Close())
	}
	return f, nil
}

// addClients stores the configured providers and gives their names.
func (f *front) addClients(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	for _, c := range f.cfg.Clients {
		key, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, usage("client %s: read its key: %w", c.ID, err)
		}
		if err := f.store.AddClient(ctx, c.ID, strings.TrimSpace(string(key))); err != nil {
			return nil, usage("client %s: %w", c.ID, err)
		}
		names[c.ID] = c.Name
	}
	return names, nil
}

// health is UP when requests can be taken and signed, DEGRADED when they are
// taken and wait for a role.
func (f *front) health(ctx context.Context) (api.HealthStatus, string) {
	if f.store.Ready(ctx) != nil {
		return api.DOWN, "the front's database does not work"
	}
	ctx, cancel := context.WithTimeout(ctx, 2500*time.Millisecond) // api waits 3 s
	defer cancel()
	return f.roles.now(ctx)
}

// relayTSA passes a time-stamp request on to the role, unread: it parses
// foreign bytes itself, under its own limits.
func relayTSA(socket string) func(context.Context, []byte) ([]byte, error) {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	client := &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
		},
	}
	return func(ctx context.Context, query []byte) ([]byte, error) {
		return tsa.Post(ctx, client, "http://tsa/tsa", query)
	}
}

// serveHTTP serves until ctx ends, then lets running requests come to an end.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	return serveAll(ctx, wire.Endpoint{Listener: l, Server: newHTTPServer(h)})
}
