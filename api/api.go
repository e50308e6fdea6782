// Package api is the front's HTTP side: REST for service providers, the signer's pages, the callback of itsme, and
// the relays to the certification authority and the time-stamping authority.
//
// The contract is openapi.yaml, written by hand; routes, parameters and bodies are generated from it (go generate).
// Around the generated code stand a guard (guard.go), which holds every request to the contract before the binder
// sees it, and problem.go, the only place that turns an error into an answer. Uploads never meet a validator: they
// are checked by upload.go while they stream. Words that a person reads stand in templates/.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"tekend/policy"
	"tekend/sam"
	"tekend/signer"
	"tekend/wire"
)

// Orders is what service providers do; *signer.Service is the one implementation. A request of another client is
// answered like one that does not exist. Errors that may be shown are *signer.Error.
type Orders interface {
	Create(ctx context.Context, client string, o signer.Order, up signer.Upload) (*signer.Request, error)
	Get(ctx context.Context, client, id string) (*signer.Request, error)
	Wait(ctx context.Context, client, id string, known signer.State, d time.Duration) (*signer.Request, error)
	Document(ctx context.Context, client, id string, n int) (*signer.Content, error)
	SigningURL(r *signer.Request) string
}

// Hashing is what orders of digests have of their own; *signer.Service is the one implementation.
type Hashing interface {
	SendDigests(ctx context.Context, client, id string, all []signer.OrderedDigest, signedOrder string) (*signer.Request, error)
	Product(ctx context.Context, client, id string, n int) (*signer.Product, error)
}

// Pages is what the signer does; *signer.Service is the one implementation. The token of the page is the authority.
type Pages interface {
	Page(ctx context.Context, token string) (*signer.Page, error)
	AcceptTerms(ctx context.Context, token, termsVersion, language string) error
	Decline(ctx context.Context, token string) error
	PageDocument(ctx context.Context, token string, n int) (*signer.Content, error)
}

// Questions is what goes on between the signer and itsme; *signer.Service is the one implementation.
type Questions interface {
	Again(ctx context.Context, token string) error
	Callback(ctx context.Context, state, code, errorCode string) (token string, err error)
}

// Evidencing is what a service provider may show others; *signer.Service is the one implementation.
type Evidencing interface {
	Evidence(ctx context.Context, client, id string) (bundle []byte, err error)
}

// Results are what a request leads to beside a signed document.
type Results interface {
	Hashing
	Evidencing
	Previewing
}

// Previewing is what comes before an order; *signer.Service is the one implementation.
type Previewing interface {
	// MaxRequestBytes is how many bytes of documents one order may have.
	MaxRequestBytes() int64
	Preview(ctx context.Context, client string, o signer.Order, name string, up signer.Upload) (*signer.Content, error)
}

// Transparency is what a signer may see of the uses of his key; *signer.Service is the one implementation.
type Transparency interface {
	Uses(ctx context.Context, token, viewer string, before int64) (sam.Uses, error)
	UseProof(ctx context.Context, token, viewer string, seq int64) (json.RawMessage, error)
}

// Revoking is what people do who want their certificates gone; *signer.Service is the one implementation.
type Revoking interface {
	Revoke(ctx context.Context, language, reason string) (token string, err error)
	RevokeOne(ctx context.Context, token, viewer, credential string) (page string, err error)
	RevocationPage(ctx context.Context, token string) (*signer.RevocationPage, error)
	RevocationReply(ctx context.Context, state, code, errorCode string) (token string, err error)
	Credentials(ctx context.Context, token, viewer string) ([]signer.CredentialInfo, error)
}

// Holders is what people do about their own certificates and keys.
type Holders interface {
	Transparency
	Revoking
}

// Signer is the signing service.
type Signer interface {
	Holders
	Orders
	Results
	Pages
	Questions
}

// ClientLookup finds the client that an API key belongs to: "" or signer.ErrNotFound if there is none. It must not
// tell by its time how much of a key was right.
type ClientLookup interface {
	ClientByKey(ctx context.Context, key string) (string, error)
}

// TSA relays an RFC 3161 request of at most 64 KiB to the time-stamping unit and returns its reply (DER), which may be
// a refusal. Any error is answered with 503.
type TSA interface {
	Relay(ctx context.Context, query []byte) (reply []byte, err error)
}

// RelayFunc is a function that is a TSA.
type RelayFunc func(ctx context.Context, query []byte) ([]byte, error)

// Relay calls f.
func (f RelayFunc) Relay(ctx context.Context, query []byte) ([]byte, error) { return f(ctx, query) }

// PKI fetches what the certification authority publishes and says; *ca.Client is the one implementation. Names are
// "ca/root.crt", "crl/issuing-ca.crl" and their like. A *wire.Error with status 404 means that there is no such file.
type PKI interface {
	Published(ctx context.Context, name string) (der []byte, contentType string, err error)
	// Open is Published for what may be too large for memory.
	Open(ctx context.Context, name string) (*wire.Download, error)
	// OCSP answers a query (DER) with an answer (DER), which may be one of the protocol's errors.
	OCSP(ctx context.Context, query []byte) ([]byte, error)
}

// Config is the HTTP part of the front's configuration file. Timeouts of the server itself (headers, idle connections)
// belong to cmd; this package prolongs them for uploads, downloads and long polls as long as bytes move.
type Config struct {
	// Now is the clock. Required.
	Now func() time.Time `yaml:"-"`
	// Log receives one line per request and the errors that are not shown outside. Required.
	Log *slog.Logger `yaml:"-"`
	// PublicURL is where people reach the front, as in the signer's configuration. Example: https://sign.example.
	PublicURL string `yaml:"public_url"`
	// Sandbox makes every page say that it is a simulation, and allows redirects to http on loopback.
	Sandbox bool `yaml:"sandbox"`
	// MaxUploadBytes limits the body of an order with its documents. Default: the signer's max_request_bytes, and 1 MiB for
	// what multipart puts around them.
	MaxUploadBytes int64 `yaml:"max_upload_bytes"`
	// IdleTimeout ends an upload or download that does not move. Default 30s.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// SecurityTxt says where weaknesses are reported. Default: /.well-known/security.txt does not exist.
	SecurityTxt SecurityTxt `yaml:"security_txt"`
}

// Dependencies are the other parts. All but Policies, ClientName and Locked are required.
type Dependencies struct {
	Signer  Signer
	Clients ClientLookup
	TSA     TSA
	PKI     PKI
	// Health tells how the service is and, when it is not UP, why, in words for operators that may be public. It is asked
	// at most once in two seconds.
	Health func(ctx context.Context) (HealthStatus, string)
	// Locked is the reason why the front answers nothing but its health, "" for none. May be absent.
	Locked func() string
	// Policies are the texts that are published. Nil: the templates of package policy.
	Policies *policy.Library
	// ClientName is the name that pages show for a client; without it the client's id.
	ClientName func(id string) string
}

// server implements the generated StrictServerInterface.
type server struct {
	cfg      Config
	dep      Dependencies
	spec     *contract
	words    *catalogues
	pages    *pages
	policies *policy.Library
	origin   string // scheme and host of PublicURL
	health   healthCache
	ocsp     ocspCache
}

var _ StrictServerInterface = (*server)(nil)

// framing is room for what multipart puts around documents.
const framing = 1 << 20

// New returns the front's handler. It fails when the configuration, the contract or the pages do not hold.
func New(cfg Config, dep Dependencies) (http.Handler, error) {
	if cfg.Now == nil || cfg.Log == nil || dep.Signer == nil || dep.Clients == nil || dep.TSA == nil || dep.PKI == nil || dep.Health == nil {
		return nil, errors.New("api: a required part is missing")
	}
	public, err := url.Parse(cfg.PublicURL)
	if err != nil || public.Host == "" || public.Scheme != "https" && public.Scheme != "http" {
		return nil, fmt.Errorf("api: public_url %q is not an http(s) address", cfg.PublicURL)
	}
	if cfg.MaxUploadBytes == 0 {
		cfg.MaxUploadBytes = dep.Signer.MaxRequestBytes() + framing
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 30 * time.Second
	}
	s := &server{cfg: cfg, dep: dep, origin: public.Scheme + "://" + public.Host}
	if s.spec, err = loadContract(); err != nil {
		return nil, err
	}
	if s.words, err = loadCatalogues(); err != nil {
		return nil, err
	}
	if s.pages, err = loadPages(s.spec, s.words, cfg.Sandbox); err != nil {
		return nil, err
	}
	if s.policies = dep.Policies; s.policies == nil {
		if s.policies, err = policy.Templates(); err != nil {
			return nil, err
		}
	}
	if err := cfg.SecurityTxt.check(); err != nil {
		return nil, err
	}
	return s.engine(), nil
}

func (s *server) engine() http.Handler {
	gin.SetMode(gin.ReleaseMode) // gin's own notes go to standard output otherwise
	e := gin.New()
	e.ContextWithFallback = true // c.Done and c.Value follow the request's context
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	e.MaxMultipartMemory = 0     // nothing of ours uses ParseMultipartForm
	_ = e.SetTrustedProxies(nil) // nil never fails; we use no forwarded address
	e.Use(s.access, s.recover, s.headers, s.locked, s.guard)
	e.NoRoute(func(c *gin.Context) { s.fail(c, errNoRoute) })
	e.NoMethod(func(c *gin.Context) { s.fail(c, errMethod) })
	strict := NewStrictHandlerWithOptions(s, nil, StrictGinServerOptions{
		RequestErrorHandlerFunc:  func(c *gin.Context, err error) { s.fail(c, bindError(err)) },
		HandlerErrorFunc:         s.fail,
		ResponseErrorHandlerFunc: s.fail,
	})
	RegisterHandlersWithOptions(e, strict, GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) { s.fail(c, bindError(err)) },
	})
	return onePathElement(e)
}

// enter is the first line of every operation. The generated code hands over a *gin.Context, which gin uses again for
// another request as soon as the handler returns; what goes further is the request's own context.
func enter(ctx context.Context) (context.Context, *call) {
	if c, ok := ctx.(*gin.Context); ok {
		ctx = c.Request.Context()
	}
	cl, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		cl = &call{}
	}
	return ctx, cl
}
