// Package client signs documents that stay where they are. It prepares a PDF locally, sends only the digest of what will
// be signed, embeds the answer and raises it to the level that is wanted; of other documents it sends the digest and gets
// a detached CAdES signature. No byte of a document leaves the process, and no name of one but the label that the caller
// chooses.
//
// The steps are apart, because a person is waited for between them, and each can be repeated:
//
//	[Client.Announce]    orders signatures on up to 250 documents, under one confirmation; repeatable by its idempotency key
//	[Client.Identified]  until the person has a certificate
//	[Client.PrepareFor]  fixes every byte that will be signed; the result is plain data, to be kept until the signature is there
//	[Client.SendDigests] of all of them
//	[Client.Wait]        until the person has answered
//	[Client.Product]     the signature over one digest
//	[Client.Finish]      proves the product, embeds it, raises it, and judges the whole before it gives it out
//
// Whoever cannot answer while the person waits prepares first ([Client.Prepare]) and orders with the digests
// ([Client.Send]). A PDF claims the time of its preparation, which must not be before the certificate: people who get
// their first one, or a new one each time, then cannot sign it.
//
// Nothing the service says is believed: before anything is embedded the value, the certificate, the digest and the
// time-stamp are verified, the document is compared with what was prepared, and the space for the signature with the one
// that this package made; see [Client.Finish].
package client

import (
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tekend/pdf"
	"tekend/tsa"
	"tekend/validate"
)

// Config says which service is asked and what is believed.
type Config struct {
	// BaseURL is the address of the service, without a path. Example: https://sign.example. Required.
	BaseURL string
	// Key is the API key. Required.
	Key string
	// PlainHTTP allows a BaseURL of http beyond this machine, where something else keeps the key from being read on the way.
	PlainHTTP bool
	// TSA is where document time-stamps of level B-LTA come from. Default: BaseURL/tsa.
	TSA string
	// Roots are the trust anchors of signers and of time-stamping units: every product is checked against them. Required.
	Roots *x509.CertPool
	// Now is the clock. Required.
	Now func() time.Time
	// HTTP sends the requests; its redirects are never followed, since each carries the API key. Default: a client of
	// its own which waits at most two minutes for the head of an answer.
	HTTP *http.Client
	// Revocation answers for certificates whose status does not come with a product: of the signer below B-LT, and of another
	// authority's unit in a document time-stamp. *revocation.Collector is one that asks the addresses in certificates.
	// Default: nobody is asked; below B-LT it is then the service alone that looked at the status, before it signed.
	Revocation validate.Revoker
	// PDF limits what reading a document may cost. Default: pdf.DefaultBudget.
	PDF pdf.Budget
}

// Client asks one service. Its methods may be called concurrently.
type Client struct {
	cfg     Config
	http    *http.Client
	tsa     *tsa.Client
	longest time.Duration // of one call
}

// longestCall bounds one call with its answer: maxAnswer over 2 Mbit/s takes four and a half minutes. A service that sends a byte now and then would
// hold its caller for ever.
const longestCall = 5 * time.Minute

// New returns a client. It asks nothing.
func New(cfg Config) (*Client, error) {
	if cfg.Key == "" || cfg.Roots == nil || cfg.Now == nil {
		return nil, errf(CodeBadOptions, "an API key, roots and a clock are required")
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.TSA == "" {
		cfg.TSA = cfg.BaseURL + "/tsa"
	}
	for _, address := range []string{cfg.BaseURL, cfg.TSA} {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, errf(CodeBadOptions, "an address is not one of http or https")
		}
	}
	if !cfg.PlainHTTP && InClear(cfg.BaseURL) {
		return nil, errf(CodeBadOptions, "the API key would be sent in clear: use https, or set PlainHTTP where something else protects the way")
	}
	hc := http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ResponseHeaderTimeout: 2 * time.Minute, // a long poll takes one
		MaxIdleConnsPerHost:   4,
	}}
	if cfg.HTTP != nil {
		hc = *cfg.HTTP
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{cfg: cfg, http: &hc, longest: longestCall, tsa: tsa.NewClient(tsa.ClientConfig{URL: cfg.TSA, Roots: cfg.Roots, Now: cfg.Now}, &hc)}, nil
}

// InClear says whether a key that is sent to this address can be read on the way: it is not https, and not on this machine.
func InClear(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// Error is why something was not done. Code is stable and made for programs; Detail is for people and holds nothing of a
// document.
type Error struct {
	Code   string
	Detail string

	cause error
}

// Error implements error.
func (e *Error) Error() string {
	text := "client: " + e.Code
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap gives the cause: a *pdf.Error, *cms.Error, *tsa.Error, *certs.PathError, *Problem or *Verdict.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is compare by code: errors.Is(err, &Error{Code: c}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Detail == ""
}

// The codes of Error.
const (
	CodeBadOptions      = "bad_options"         // the caller's options make no sense
	CodeDocument        = "document"            // the document cannot be prepared; wraps a *pdf.Error, or what reading it returned
	CodeUnreachable     = "unreachable"         // no answer, or none of this service; asking again is harmless
	CodeRefused         = "refused"             // the service refused; wraps its *Problem
	CodeEnded           = "ended"               // the request ended without a signature; wraps the *Problem if there is one
	CodeBadPreparation  = "bad_preparation"     // what was kept contradicts itself, or is not what Prepare makes
	CodeDocumentChanged = "document_changed"    // the document is not the one that was prepared
	CodeBadProduct      = "bad_product"         // what the service sent is not a signature over this digest that could be proven
	CodeCertificateNew  = "certificate_new"     // the person's certificate is younger than the preparation: prepare again, and order anew
	CodeTooLarge        = "signature_too_large" // it does not fit into its space: prepare again with a larger Reserve
	CodeTimeStamp       = "time_stamp"          // no good document time-stamp could be had; asking again is harmless
	CodeNotPassed       = "not_passed"          // our own check of the whole did not pass; wraps the *Verdict
)

func errf(code, detail string) *Error { return &Error{Code: code, Detail: detail} }

func wrap(code, detail string, cause error) *Error {
	return &Error{Code: code, Detail: detail, cause: cause}
}

// Problem is the service's reason (RFC 9457), in its own words.
type Problem struct {
	Status    int     `json:"status"`
	Code      string  `json:"code"`
	Title     string  `json:"title"`
	Detail    string  `json:"detail"`
	Hint      string  `json:"hint"`
	Retryable bool    `json:"retryable"`
	State     string  `json:"state"`
	Issues    []Issue `json:"issues"`

	after time.Duration // Retry-After
}

// Issue is what to mend, and where.
type Issue struct {
	In      string `json:"in"`
	Name    string `json:"name"`
	Pointer string `json:"pointer"`
	Reason  string `json:"reason"`
}

// Error implements error.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, i := range p.Issues {
		text += "; " + strings.TrimSpace(i.In+" "+i.Name+i.Pointer) + " " + i.Reason
	}
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	return text + " (" + p.Code + ")"
}

// asProblem gives the problem in an error, nil if there is none.
func asProblem(err error) *Problem {
	p, _ := errors.AsType[*Problem](err)
	return p
}
