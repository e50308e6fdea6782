package main

import (
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tekend/wire"
)

//go:embed provider.html
var providerPages embed.FS

// simulatedCmd plays the outside parties of a sandbox, each as a process of
// its own user.
type simulatedCmd struct {
	Itsme    simulatedItsmeCmd    `cmd:"" help:"The simulated itsme."`
	Provider simulatedProviderCmd `cmd:"" help:"A service provider's website that has documents signed."`
	TSA      simulatedTSACmd      `cmd:"" name:"tsa" help:"A time-stamping authority of another house."`
}

type simulatedProviderCmd struct {
	Config string `required:"" type:"path"`
}

// providerConfig is provider.yaml.
type providerConfig struct {
	Listen     string `yaml:"listen"`       // 127.0.0.1:PORT or fd:3
	PublicURL  string `yaml:"public_url"`   // where a browser reaches this site
	Service    string `yaml:"service"`      // base URL of the signature service
	APIKeyFile string `yaml:"api_key_file"` // its key at the service
	Samples    string `yaml:"samples"`      // folder with PDFs to try
	// Name and OrderKeyFile sign its orders, so that nobody on the way can put other documents into them.
	Name         string `yaml:"name"`
	OrderKeyFile string `yaml:"order_key_file"`
}

// provider is a website as a customer of the service would build it: it knows
// the REST API and nothing else.
type provider struct {
	cfg   providerConfig
	api   *apiClient
	pages *template.Template
	now   func() time.Time

	mu   sync.Mutex
	sent map[string]string // our own number of an order, which the person brings back, to the request's id
}

// Run serves the site until the process is told to stop.
func (c *simulatedProviderCmd) Run(p *program) error {
	var cfg providerConfig
	if err := readYAML(c.Config, &cfg); err != nil {
		return err
	}
	key, err := os.ReadFile(cfg.APIKeyFile)
	if err != nil {
		return usage("read the API key: %w", err)
	}
	site := &provider{
		cfg: cfg, now: p.now, api: newAPIClient(cfg.Service, strings.TrimSpace(string(key))),
		pages: template.Must(template.ParseFS(providerPages, "provider.html")), sent: map[string]string{},
	}
	l, err := listenTCP(cfg.Listen)
	if err != nil {
		return err
	}
	return serveHTTP(p.ctx, l, site.handler())
}

func (s *provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.start)
	mux.HandleFunc("POST /sign", s.sign)
	mux.HandleFunc("GET /orders/{order}", s.back)
	mux.HandleFunc("GET /orders/{order}/document", s.document)
	return mux
}

func (s *provider) start(w http.ResponseWriter, _ *http.Request) {
	names, err := filepath.Glob(filepath.Join(s.cfg.Samples, "*.pdf"))
	if err != nil {
		names = nil
	}
	for i := range names {
		names[i] = filepath.Base(names[i])
	}
	s.page(w, "start", names)
}

// maxDemoUpload bounds what the demo site takes, in bytes; the service itself
// takes far more.
const maxDemoUpload = 200 << 20

func (s *provider) sign(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxDemoUpload)
	path, cleanup, err := s.chosen(r)
	if err != nil {
		s.fail(w, err)
		return
	}
	defer cleanup()
	number := rand.Text()
	o := order{Level: "B-T", Language: r.FormValue("language"), RedirectURL: s.cfg.PublicURL + "/orders/" + number}
	o.SignedOrder, err = signFiles(s.cfg.OrderKeyFile, s.cfg.Name, []string{path}, s.now())
	if err != nil {
		s.fail(w, err)
		return
	}
	req, err := s.api.create(r.Context(), o, upload{files: []string{path}}, func(string) {})
	if err != nil {
		s.fail(w, err)
		return
	}
	s.mu.Lock()
	s.sent[number] = req.ID
	s.mu.Unlock()
	http.Redirect(w, r, req.SigningURL, http.StatusSeeOther)
}

// chosen gives the file to be signed: an upload or one of the samples.
func (s *provider) chosen(r *http.Request) (string, func(), error) {
	nothing := func() {}
	if err := r.ParseMultipartForm(1 << 20); err != nil {
		return "", nothing, errors.New("the form could not be read")
	}
	f, header, err := r.FormFile("upload")
	if err == nil {
		defer func() { _ = f.Close() }()
		dir, err := os.MkdirTemp("", "provider-*")
		if err != nil {
			return "", nothing, err
		}
		path := filepath.Join(dir, filepath.Base(header.Filename))
		return path, func() { _ = os.RemoveAll(dir) }, writeWhole(path, f)
	}
	all, _ := filepath.Glob(filepath.Join(s.cfg.Samples, "*.pdf"))
	path := filepath.Join(s.cfg.Samples, filepath.Base(r.FormValue("sample")))
	if !slices.Contains(all, path) {
		return "", nothing, errors.New("choose a document")
	}
	return path, nothing, nil
}

func (s *provider) back(w http.ResponseWriter, r *http.Request) {
	var req signatureRequest
	if err := s.api.getJSON(r.Context(), s.api.base+"/v1/signature-requests/"+s.id(r)+"?wait=5s", &req); err != nil {
		s.fail(w, err)
		return
	}
	req.ID = r.PathValue("order")
	s.page(w, "back", req)
}

func (s *provider) id(r *http.Request) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[r.PathValue("order")]
}

func (s *provider) document(w http.ResponseWriter, r *http.Request) {
	address := fmt.Sprintf("%s/v1/signature-requests/%s/documents/1", s.api.base, s.id(r))
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, address, nil)
	if err != nil {
		s.fail(w, err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+s.api.key)
	resp, err := s.api.http.Do(req)
	if err != nil {
		s.fail(w, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		s.fail(w, readAnswer(resp, nil))
		return
	}
	w.Header().Set("Content-Type", "application/pdf")
	w.Header().Set("Content-Disposition", resp.Header.Get("Content-Disposition"))
	_, _ = io.Copy(w, resp.Body)
}

func (s *provider) fail(w http.ResponseWriter, err error) {
	w.WriteHeader(http.StatusBadRequest)
	s.page(w, "error", err.Error())
}

func (s *provider) page(w http.ResponseWriter, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action *; frame-ancestors 'none'")
	_ = s.pages.ExecuteTemplate(w, name, data)
}

// listenTCP opens "host:port" or takes over the descriptor of "fd:N".
func listenTCP(listen string) (net.Listener, error) {
	l, err := wire.ListenTCP(listen)
	if err != nil {
		return nil, unreachable("%w", err)
	}
	return l, nil
}

// timeouts of every HTTP server of this program: headers come at once, a body
// of 1 GB over a slow line may take long, an idle connection is not kept.
func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10}
}
